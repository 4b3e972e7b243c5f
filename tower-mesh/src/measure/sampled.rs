//! What is not counted when it happens, but read from the status now and then.

use std::collections::HashMap;

use consul_connect::SettingsOrigin;

use super::sink::{Counter, Gauge, Sink};
use crate::{
    Status,
    metrics::{
        ENDPOINTS, INTENTIONS, LEAF_NOT_AFTER, READY, ROOTS, ROTATIONS, WATCH_AGE, WATCH_FAILING,
    },
};

/// Sets the gauges of a member.
pub(crate) struct Sampler {
    ready: Gauge,
    leaf_not_after: Gauge,
    rotations: Counter,
    roots: Gauge,
    intentions: Gauge,
    watches: HashMap<String, Watch>,
    endpoints: HashMap<String, Endpoints>,
    sink: Sink,
}

struct Watch {
    age: Gauge,
    failing: Gauge,
}

struct Endpoints {
    usable: Gauge,
    out: Gauge,
}

impl Sampler {
    pub(crate) fn new(sink: Sink) -> Self {
        Self {
            ready: sink.gauge(READY, &[]),
            leaf_not_after: sink.gauge(LEAF_NOT_AFTER, &[]),
            rotations: sink.counter(ROTATIONS, &[]),
            roots: sink.gauge(ROOTS, &[]),
            intentions: sink.gauge(INTENTIONS, &[]),
            watches: HashMap::new(),
            endpoints: HashMap::new(),
            sink,
        }
    }

    pub(crate) fn sample(&mut self, status: &Status) {
        self.ready.set(f64::from(u8::from(status.is_ready())));
        let identity = &status.identity;
        self.leaf_not_after
            .set(exact(identity.leaf_not_after.as_secs()));
        // The first publication is no change.
        self.rotations
            .at_least(identity.generation.saturating_sub(1));
        self.roots.set(count(identity.roots));
        if let Some(intentions) = &status.intentions {
            self.intentions.set(count(intentions.count));
            let failing = intentions.failing_for.unwrap_or_default();
            self.watch("intentions", intentions.age, failing);
        }
        // One watch, of which both tell as long as they follow it.
        let (tls, normalization) = (&status.tls, &status.normalization);
        let told = [
            (tls.origin, tls.age, tls.failing_for),
            (
                normalization.origin,
                normalization.age,
                normalization.failing_for,
            ),
        ];
        let mut told = told.into_iter();
        if let Some((_, age, failing)) = told.find(|(origin, ..)| *origin != SettingsOrigin::Given)
        {
            self.watch("mesh entry", age, failing.unwrap_or_default());
        }
        for upstream in &status.upstreams {
            let problem = upstream.failing_for.unwrap_or_default();
            self.watch(
                &format!("upstream {}", upstream.name),
                upstream.age,
                problem,
            );
            let sink = &self.sink;
            let endpoints = self
                .endpoints
                .entry(upstream.name.clone())
                .or_insert_with(|| Endpoints {
                    usable: sink.gauge(ENDPOINTS, &[("peer", &upstream.name), ("state", "usable")]),
                    out: sink.gauge(ENDPOINTS, &[("peer", &upstream.name), ("state", "out")]),
                });
            endpoints.usable.set(count(upstream.usable.len()));
            endpoints
                .out
                .set(count(upstream.known.saturating_sub(upstream.usable.len())));
        }
        // Of what is not followed any more nothing is known.
        for (name, endpoints) in &self.endpoints {
            if !status.upstreams.iter().any(|one| one.name == *name) {
                endpoints.usable.set(0.0);
                endpoints.out.set(0.0);
            }
        }
    }

    fn watch(
        &mut self,
        name: &str,
        age: Option<std::time::Duration>,
        failing: std::time::Duration,
    ) {
        if !self.watches.contains_key(name) {
            let labels = [("watch", name)];
            let watch = Watch {
                age: self.sink.gauge(WATCH_AGE, &labels),
                failing: self.sink.gauge(WATCH_FAILING, &labels),
            };
            self.watches.insert(name.to_owned(), watch);
        }
        if let Some(watch) = self.watches.get(name) {
            if let Some(age) = age {
                watch.age.set(age.as_secs_f64());
            }
            watch.failing.set(failing.as_secs_f64());
        }
    }
}

/// Exact up to 2^53: beyond every time and number here.
#[expect(clippy::cast_precision_loss, reason = "said above")]
fn exact(number: u64) -> f64 {
    number as f64
}

fn count(number: usize) -> f64 {
    exact(u64::try_from(number).unwrap_or(u64::MAX))
}
