//! Who may call what: intentions and requests are made up, each request goes to a real Envoy sidecar and to a member of
//! ours, both of the same service under the same Consul, and the outcome is the same, or stricter by a name that is listed.
//!
//! `MESH_AUTHORIZATION_SEED` repeats a run; the keys of the token providers are new each time.

#[path = "real_authorization/application.rs"]
mod application;
#[path = "real_authorization/callers.rs"]
mod callers;
#[path = "real_authorization/differences.rs"]
mod differences;
#[path = "real_authorization/http1.rs"]
mod http1;
#[path = "real_authorization/line.rs"]
mod line;
#[path = "real_authorization/paths.rs"]
mod paths;
#[path = "real_authorization/place.rs"]
mod place;
#[path = "real_authorization/requests.rs"]
mod requests;
#[path = "real_authorization/rules.rs"]
mod rules;
#[path = "real_authorization/sets.rs"]
mod sets;
#[path = "real_authorization/tally.rs"]
mod tally;
#[path = "real_authorization/tokens.rs"]
mod tokens;
#[path = "real_authorization/world.rs"]
mod world;

use mesh_tests::{Scale, scale};
use serde_json::{Value, json};
use tally::Tally;
use world::{Amount, Rules, World};

/// A name, whether the default allows, how paths are put in order, and how many sets there are at full scale.
type Row = (&'static str, bool, Option<Value>, usize);

/// The first two are enough for every change.
fn worlds() -> [Row; 5] {
    let unescape = |action: &str, underscores: &str| {
        json!({
            "MergeSlashes": true,
            "PathWithEscapedSlashesAction": action,
            "HeadersWithUnderscoresAction": underscores,
        })
    };
    [
        ("default deny", false, None, 60),
        ("default allow", true, None, 50),
        (
            "default deny, slashes merged and unescaped",
            false,
            Some(unescape("UNESCAPE_AND_FORWARD", "DROP_HEADER")),
            20,
        ),
        (
            "default deny, escaped slashes rejected",
            false,
            Some(unescape("REJECT_REQUEST", "REJECT_REQUEST")),
            15,
        ),
        (
            "default allow, paths not normalized",
            true,
            Some(json!({ "InsecureDisablePathNormalization": true })),
            15,
        ),
    ]
}

#[tokio::test]
async fn requests_end_as_behind_envoy_or_are_denied_for_a_named_reason() {
    let seed = scale().seed("MESH_AUTHORIZATION_SEED");
    let (count, requests) = match scale() {
        Scale::Full => (5, 44),
        // A fiftieth would not meet each kind of set once.
        _ => (2, 12),
    };
    let mut total = Tally::default();
    for (row, (name, allow, normalization, sets)) in (0..count).zip(worlds()) {
        let rules = Rules {
            name,
            allow,
            normalization,
        };
        let amount = Amount {
            seed: seed + 1000 * row,
            sets: if scale() == Scale::Full { sets } else { 15 },
            requests,
        };
        let Some(world) = World::start(rules).await else {
            return;
        };
        let tally = world.compare(amount).await;
        println!("{name}:\n{tally}");
        world.stop().await;
        total.add(tally);
    }
    println!("all:\n{total}");
    for difference in differences::DIFFERENCES {
        println!("  {}: {}", difference.name, difference.because);
    }
    assert!(
        total.unexplained.is_empty(),
        "{} of MESH_AUTHORIZATION_SEED={seed} end in another way:\n{}",
        total.unexplained.len(),
        total.unexplained[..total.unexplained.len().min(10)].join("\n")
    );
    if scale() == Scale::Full {
        let sum = total.sum();
        assert!(sum.sets >= 150 && sum.requests >= 5000, "{sum:?}");
    }
}
