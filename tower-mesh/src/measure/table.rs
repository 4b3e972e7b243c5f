//! Handles that are made when they are first needed, and found again without a lock.

use std::sync::OnceLock;

use super::sink::Counter;

/// As many different keys as one peer usually has.
const PLACES: usize = 12;

/// Counters by a small key: the first dozen is kept, any further one is made each time.
pub(super) struct Table<K>([OnceLock<(K, Counter)>; PLACES]);

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self([const { OnceLock::new() }; PLACES])
    }
}

impl<K: Copy + Eq> Table<K> {
    pub(super) fn increment(&self, key: K, make: impl Fn() -> Counter) {
        for place in &self.0 {
            // Two that come first at the same time both look at what one of them put there.
            let (there, counter) = place.get_or_init(|| (key, make()));
            if *there == key {
                return counter.increment();
            }
        }
        make().increment();
    }
}
