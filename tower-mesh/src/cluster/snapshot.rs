//! One state of a cluster: what requests pick from. Pure, but for the loads it compares.

use std::{collections::BTreeMap, sync::Arc};

use tokio::time::Instant;

use crate::{
    balance::{self, Sampler},
    endpoint::Endpoint,
    error::{Error, ErrorKind},
    resolve::{Instance, Readiness, Target},
};

/// The endpoints that may be used, and what to say when there is none.
pub(crate) struct Snapshot {
    endpoints: Box<[Arc<Endpoint>]>,
    /// Weight over the mean of all weights, by endpoint.
    relative: Box<[f64]>,
    sampler: Sampler,
    target: Arc<Target>,
    known: usize,
    out: Vec<(String, String)>,
    in_grace: bool,
    no_endpoint: Error,
}

/// Instances that are ready, and those that only their nodes speak against.
pub(super) fn usable(instances: &[Instance]) -> (Vec<&Instance>, Vec<&Instance>) {
    let of = |wanted: fn(&Readiness) -> bool| {
        instances
            .iter()
            .filter(|instance| wanted(&instance.readiness))
            .collect()
    };
    (
        of(|readiness| matches!(readiness, Readiness::Ready)),
        of(|readiness| matches!(readiness, Readiness::NodeFailing(_))),
    )
}

impl Snapshot {
    pub(super) fn new(
        upstream: &str,
        target: &Arc<Target>,
        used: Vec<(Arc<Endpoint>, u16)>,
        instances: &[Instance],
        in_grace: bool,
    ) -> Self {
        let weights: Vec<u32> = used
            .iter()
            .map(|(_, weight)| u32::from(*weight).max(1))
            .collect();
        let mean = weights.iter().map(|weight| f64::from(*weight)).sum::<f64>()
            / weights.len().max(1) as f64;
        let out = instances.iter().filter_map(|instance| {
            let why = match &instance.readiness {
                Readiness::Ready => return None,
                Readiness::NodeFailing(why) | Readiness::Out(why) => why.to_string(),
            };
            Some((format!("{} at {}", instance.id, instance.address), why))
        });
        Self {
            relative: weights
                .iter()
                .map(|weight| f64::from(*weight) / mean)
                .collect(),
            sampler: Sampler::new(&weights),
            endpoints: used.into_iter().map(|(endpoint, _)| endpoint).collect(),
            target: Arc::clone(target),
            known: instances.len(),
            out: out.collect(),
            in_grace,
            no_endpoint: no_endpoint(upstream, target, instances),
        }
    }

    /// The endpoint for one request: the cheaper of two, never one of `tried`.
    pub(crate) fn pick(
        &self,
        bits: u64,
        now: Instant,
        tried: &[Arc<Endpoint>],
    ) -> Option<&Arc<Endpoint>> {
        let cost = |index: usize| self.endpoints[index].load().cost(now, self.relative[index]);
        let index = balance::least_cost(&self.sampler, bits, cost)?;
        let was_tried =
            |endpoint: &Arc<Endpoint>| tried.iter().any(|one| Arc::ptr_eq(one, endpoint));
        if tried.is_empty() || !was_tried(&self.endpoints[index]) {
            return self.endpoints.get(index);
        }
        // Only after a failure: looking at all is cheap beside a dial.
        let rest = (0..self.endpoints.len()).filter(|index| !was_tried(&self.endpoints[*index]));
        let index = rest.min_by(|one, other| cost(*one).total_cmp(&cost(*other)))?;
        self.endpoints.get(index)
    }

    pub(crate) fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// What all of them are instances of.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    pub(crate) fn known(&self) -> usize {
        self.known
    }

    /// Instances that are not ready, and why.
    pub(crate) fn out(&self) -> &[(String, String)] {
        &self.out
    }

    pub(crate) fn in_grace(&self) -> bool {
        self.in_grace
    }

    /// Why nothing can be picked; made beforehand, since a whole service calls in vain at once.
    pub(crate) fn no_endpoint(&self) -> Error {
        self.no_endpoint.clone()
    }
}

/// `no endpoint of `api`: 3 known; 2 critical (check `mem`), 1 in maintenance`.
fn no_endpoint(upstream: &str, target: &Target, instances: &[Instance]) -> Error {
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for instance in instances {
        if let Readiness::NodeFailing(why) | Readiness::Out(why) = &instance.readiness {
            *reasons.entry(why).or_default() += 1;
        }
    }
    let context = if instances.is_empty() {
        format!("no endpoint of `{upstream}`: no instance of {target} is known")
    } else {
        let mut reasons: Vec<_> = reasons.into_iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let more = reasons.len().saturating_sub(3);
        reasons.truncate(3);
        let mut said: Vec<_> = reasons
            .into_iter()
            .map(|(why, count)| format!("{count} {why}"))
            .collect();
        if more > 0 {
            said.push(format!("and {more} other reasons"));
        }
        format!(
            "no endpoint of `{upstream}`: {} known; {}",
            instances.len(),
            said.join(", ")
        )
    };
    Error::new(ErrorKind::NoEndpoints, context)
}
