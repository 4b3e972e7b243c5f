//! A Consul with one default, the services in it, and the sets that go through them.

use mesh_lab::{Agent, Version};
use rand::{SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};

use super::{
    callers::{Callers, Protocol},
    differences::{Case, Relation, relate},
    line::fits_http2,
    place::Place,
    requests::Request,
    rules::Intentions,
    sets::{Kind, OF_REQUESTS, Set},
    tally::Tally,
    tokens::{Keys, PROVIDERS},
};

/// What holds for a whole world.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) name: &'static str,
    /// The default intention policy.
    pub(crate) allow: bool,
    /// `RequestNormalization` of the mesh entry.
    pub(crate) normalization: Option<Value>,
}

/// How much is made up in one world.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amount {
    pub(crate) seed: u64,
    pub(crate) sets: usize,
    pub(crate) requests: usize,
}

pub(crate) struct World {
    rules: Rules,
    agent: Agent,
    callers: Callers,
    keys: Keys,
    places: Vec<Place>,
}

impl World {
    /// `None` when the real components are not here.
    pub(crate) async fn start(rules: Rules) -> Option<Self> {
        let policy = if rules.allow { "allow" } else { "deny" };
        let consul = mesh_lab::consul(Version::Newest)?.default_intention_policy(policy);
        let agent = consul.start().await.expect("an agent");
        let envoy = mesh_lab::envoy(&agent)?;
        if let Some(normalization) = &rules.normalization {
            let incoming = json!({ "RequestNormalization": normalization });
            let entry = json!({ "Kind": "mesh", "HTTP": { "Incoming": incoming } });
            agent.write_config_entry(&entry).await.expect("an entry");
        }
        let keys = Keys::generate();
        for provider in &PROVIDERS {
            let entry = keys.entry(provider);
            agent.write_config_entry(&entry).await.expect("an entry");
        }
        let callers = Callers::of(&agent).await;
        let mut places = Vec::new();
        for protocol in [Protocol::Http1, Protocol::Http2, Protocol::Tcp] {
            places.push(Place::start(&agent, &envoy, protocol).await);
        }
        Some(Self {
            rules,
            agent,
            callers,
            keys,
            places,
        })
    }

    /// Makes up sets, and requests under each of them.
    pub(crate) async fn compare(&self, amount: Amount) -> Tally {
        let mut tally = Tally::default();
        // How many sets each place has had: the marker that may call changes with each.
        let mut had = [0; 3];
        for turn in 0..amount.sets {
            // Two sets with requests over each version of HTTP, then one of byte streams.
            let (at, kind) = match turn % 5 {
                4 => (2, Kind::Stream),
                at => {
                    let kind = (turn - turn / 5) / 2 % OF_REQUESTS.len();
                    (at % 2, OF_REQUESTS[kind])
                }
            };
            let seed = amount.seed.wrapping_add(turn as u64);
            let mut random = StdRng::seed_from_u64(seed);
            let place = &self.places[at];
            let set = Set::random(&mut random, &place.service, kind, had[at]);
            had[at] += 1;
            let run = Run {
                seed,
                place,
                set: &set,
                // Whose byte streams are let through is known after a few.
                requests: match kind {
                    Kind::Stream => amount.requests / 4,
                    _ => amount.requests,
                },
            };
            self.compare_one(&run, &mut random, &mut tally).await;
        }
        tally
    }

    async fn compare_one(&self, run: &Run<'_>, random: &mut StdRng, tally: &mut Tally) {
        let Run { place, set, .. } = *run;
        let follow = place.put(&self.agent, &self.callers, &self.keys, set);
        for (slowest, time) in tally.slowest.iter_mut().zip(follow.await) {
            *slowest = time.max(*slowest);
        }
        let count = tally.kinds.entry(set.kind).or_default();
        count.sets += 1;
        let mut lines = place.lines(&self.callers);
        for probe in 1..=run.requests as u64 {
            let request = self.request(random, set, place.protocol);
            let (envoy, ours) = lines.call(&request, probe).await;
            count.requests += 1;
            count.http2 += u64::from(place.protocol == Protocol::Http2);
            match envoy.is_allowed() {
                true => count.allowed += 1,
                false => count.denied += 1,
            }
            let case = Case {
                rules: &self.rules,
                set,
                request: &request,
                envoy: &envoy,
                ours: &ours,
            };
            match relate(&case) {
                Relation::Same => {}
                Relation::Named(name) => *tally.named.entry(name).or_default() += 1,
                Relation::Unexplained => tally.unexplained.push(run.tell(&case)),
            }
        }
    }

    fn request(&self, random: &mut StdRng, set: &Set, protocol: Protocol) -> Request {
        loop {
            let request = Request::random(random, set, protocol, &self.keys);
            if protocol != Protocol::Http2 || fits_http2(&request) {
                return request;
            }
        }
    }

    pub(crate) async fn stop(self) {
        for place in self.places {
            place.stop().await;
        }
    }
}

/// One set at its place.
struct Run<'a> {
    seed: u64,
    place: &'a Place,
    set: &'a Set,
    requests: usize,
}

impl Run<'_> {
    /// Everything there is to know about a request that ended in another way.
    fn tell(&self, case: &Case<'_>) -> String {
        let any = case.set.any.as_ref();
        format!(
            "{}, set of seed {} on {}:\n  any: {}\n  own: {}\n  request: {:?}\n  Envoy: {:?}\n  ours:  {:?}\n  {}",
            case.rules.name,
            self.seed,
            self.place.service,
            any.map_or(Value::Null, Intentions::to_json),
            case.set.own.to_json(),
            case.request,
            case.envoy,
            case.ours,
            self.place.explain(case.request),
        )
    }
}
