//! What is followed on although nobody holds it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use super::Upstream;

/// The upstreams that were asked for last. A handle may be made for one call or one stream: without
/// this each would ask Consul anew, know nothing of the others' load, and leave behind long polls
/// that an agent counts against this host until their time is over.
///
/// Apart from the [`Context`](super::Context), which every upstream holds.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<VecDeque<Arc<Upstream>>>);

impl Recent {
    /// More than a program has dependencies; less than a proxy for any name may open watches.
    const MOST: usize = 64;

    pub(crate) fn remember(&self, upstream: &Arc<Upstream>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.iter().position(|one| Arc::ptr_eq(one, upstream)) {
            let last = all.remove(known);
            all.extend(last);
            return;
        }
        all.push_back(Arc::clone(upstream));
        let forgotten = (all.len() > Self::MOST).then(|| all.pop_front());
        drop(all);
        // Its end takes other locks.
        drop(forgotten);
    }
}
