//! Requests are normalised as Envoy normalises them, under the same Consul and whatever its `mesh` entry says.
//!
//! Random and adversarial targets go as raw bytes to a service behind a real Envoy and to one of ours. What the application
//! behind either sees, or the status, is the same, or the difference is in [`differences::compare`].

#[path = "real_normalization/differences.rs"]
mod differences;
#[path = "real_normalization/targets.rs"]
mod targets;
#[path = "real_normalization/world.rs"]
mod world;

use std::collections::BTreeMap;

use consul_connect::{EscapedSlashes, RequestNormalization, UnderscoreHeaders};
use mesh_tests::{Scale, raw_http::RawAnswer, scale};
use rand::{Rng as _, SeedableRng as _, rngs::SmallRng};

use differences::Comparison;
use targets::{TRICKY, random_target};
use world::{Both, World};

/// Every way to treat paths, each with one way to treat headers.
fn settings() -> Vec<RequestNormalization> {
    let mut all = Vec::new();
    for (disable, merge) in [(false, false), (false, true), (true, false), (true, true)] {
        for escaped_slashes in [
            EscapedSlashes::KeepUnchanged,
            EscapedSlashes::Reject,
            EscapedSlashes::UnescapeAndRedirect,
            EscapedSlashes::UnescapeAndForward,
        ] {
            let mut rules = RequestNormalization::default();
            rules.insecure_disable_path_normalization = disable;
            rules.merge_slashes = merge;
            rules.escaped_slashes = escaped_slashes;
            rules.underscore_headers = match all.len() % 3 {
                0 => UnderscoreHeaders::Allow,
                1 => UnderscoreHeaders::Reject,
                _ => UnderscoreHeaders::Drop,
            };
            all.push(rules);
        }
    }
    all
}

fn h1_request(target: &[u8], header: Option<&str>) -> Vec<u8> {
    let header = header.map_or(String::new(), |name| format!("{name}: 1\r\n"));
    let rest = format!(" HTTP/1.1\r\nhost: api\r\n{header}\r\n");
    [b"GET ", target, rest.as_bytes()].concat()
}

async fn h1(world: &mut World, target: &[u8], header: Option<&str>) -> Both<RawAnswer> {
    let request = h1_request(target, header);
    Both {
        envoy: world.peers.envoy.h1(&request).await,
        ours: world.peers.ours.h1(&request).await,
    }
}

async fn h2(world: &mut World, target: &[u8], header: Option<&str>) -> Both<RawAnswer> {
    let mut headers: Vec<(&[u8], &[u8])> = vec![
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":authority", b"api"),
        (b":path", target),
    ];
    headers.extend(header.map(|name| (name.as_bytes(), b"1".as_slice())));
    Both {
        envoy: world.peers.envoy.h2(&headers).await,
        ours: world.peers.ours.h2(&headers).await,
    }
}

/// A header for one request in sixteen.
fn header(random: &mut SmallRng) -> Option<&'static str> {
    const NAMES: [&str; 4] = ["x_role", "_", "x-a_b", "x-a-b"];
    (random.random_range(0..16) == 0).then(|| NAMES[random.random_range(0..NAMES.len())])
}

#[tokio::test]
async fn a_real_envoy_normalizes_as_we_do_whatever_the_mesh_entry_says() {
    let Some(mut world) = World::start().await else {
        return;
    };
    let seed = scale().seed("MESH_NORMALIZATION_SEED");
    let mut random = SmallRng::seed_from_u64(seed);
    let settings = settings();
    let rounds = settings.len();
    let each = usize::try_from(scale().of(100_000)).expect("a number") / rounds;
    // A share of these at each of the settings is enough for every change.
    let share = match scale() {
        Scale::Full => 1,
        _ => 4,
    };
    let mut found = BTreeMap::<&'static str, (usize, String)>::new();
    let mut wrong = Vec::new();
    let mut asked = [0; 2];
    for (round, rules) in settings.into_iter().enumerate() {
        world.set(rules).await;
        let tricky = TRICKY.iter().skip(round % share).step_by(share);
        let mut targets: Vec<_> = tricky.map(|target| target.to_vec()).collect();
        targets.extend((0..each).map(|_| random_target(&mut random)));
        for target in targets {
            let header = header(&mut random);
            let over_h2 = random.random_range(0..4) == 0;
            for is_h2 in [false, true].into_iter().filter(|is_h2| over_h2 || !is_h2) {
                let both = match is_h2 {
                    true => h2(&mut world, &target, header).await,
                    false => h1(&mut world, &target, header).await,
                };
                asked[usize::from(is_h2)] += 1;
                let shown = || {
                    let version = if is_h2 { "h2" } else { "h1" };
                    let target = String::from_utf8_lossy(&target);
                    let Both { envoy, ours } = &both;
                    format!(
                        "{version} {target:?} {header:?} under `{rules}`: Envoy {envoy:?}, ours {ours:?}"
                    )
                };
                let name = match differences::compare(&target, &both) {
                    Comparison::Same => "the same",
                    Comparison::Named(name) => name,
                    Comparison::Wrong => {
                        wrong.push(shown());
                        continue;
                    }
                };
                found.entry(name).or_insert_with(|| (0, shown())).0 += 1;
            }
        }
    }
    let [h1, h2] = asked;
    println!("{h1} targets over HTTP/1.1 and {h2} over h2 under {rounds} settings");
    for (name, (count, example)) in &found {
        println!("  {count:>7} {name}, as in {example}");
    }
    wrong.sort();
    for wrong in wrong.iter().take(40) {
        println!("WRONG {wrong}");
    }
    let count = wrong.len();
    assert!(wrong.is_empty(), "{count} differences without a name");
}
