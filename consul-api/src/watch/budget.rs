//! How many connections the watches of one client may hold, and what happens when they are more.
//!
//! Over HTTP/1.1 each long poll occupies a connection, and an agent gives a whole host 200 by default. While
//! there is a slot for each watch, each waits as long as Consul lets it. With more watches than slots they take
//! turns: a turn is short enough that everybody has one every [`ROUND`]. Nothing is missed in between, since a
//! request whose index is old is answered at once.
//!
//! Reads that do not block never queue behind long polls: they have slots of their own.
//!
//! Consul goes on with a long poll whose client has gone, and counts its connection, until the wait it was told is over.
//! So one that is given up keeps its slot for as long, up to a [`ROUND`], and a wait is only longer than that for
//! who has been there as long: see [`wait`]. What a process leaves behind is thus about what it has held.

use std::{num::NonZeroUsize, pin::pin, time::Duration};

use tokio::{
    sync::{Semaphore, SemaphorePermit, watch},
    time::{Instant, sleep_until},
};

/// The slots of one client's watches.
#[derive(Debug)]
pub(crate) struct Budget {
    long: Semaphore,
    short: Semaphore,
    load: watch::Sender<Load>,
    /// When each slot of a long poll that was given up is free.
    left_behind: watch::Sender<Vec<Instant>>,
}

/// How many watches share how many slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    watches: usize,
    slots: Slots,
}

/// Requests that may be under way at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slots {
    long: usize,
    short: usize,
}

impl Slots {
    /// Over connections that carry one request at a time. What is kept back from the long polls is for first
    /// reads, and as much again for the calls of the client that are no watches.
    fn of(connections: NonZeroUsize) -> Self {
        let short = (connections.get() / 8).max(1);
        Self {
            long: connections.get().saturating_sub(2 * short).max(1),
            short,
        }
    }

    /// Over one HTTP/2 connection. Go's server, which Consul is, takes 250 streams per connection, and a client
    /// queues what is above that without a word, for as long as the longest poll lasts.
    const HTTP2: Self = Self {
        long: 200,
        short: 25,
    };
}

impl Load {
    /// How long one request may block, if it has to make room for others; `None` while there is a slot for
    /// everyone.
    fn turn(self) -> Option<Duration> {
        (self.watches > self.slots.long).then(|| {
            let rounds = u32::try_from(self.watches.div_ceil(self.slots.long)).unwrap_or(u32::MAX);
            // The server adds up to a sixteenth to what it is told.
            (ROUND * 16 / 17 / rounds).max(SHORTEST_TURN)
        })
    }
}

/// The right to have one request under way; given back when dropped.
#[derive(Debug)]
pub(crate) struct Slot<'a> {
    budget: &'a Budget,
    permit: Option<SemaphorePermit<'a>>,
    /// The longest this request may block.
    pub(crate) turn: Option<Duration>,
    /// Until when the server holds the request under way, whoever listens.
    held_until: Option<Instant>,
}

impl Slot<'_> {
    /// Notes that a request is sent that the server answers after `wait` at the latest.
    pub(crate) fn sent(&mut self, wait: Duration) {
        // The server adds up to a sixteenth to what it is told.
        let wait = wait.min(ROUND);
        self.held_until = Some(Instant::now() + wait + wait / 16);
    }

    /// Notes that the request is over.
    pub(crate) fn over(&mut self) {
        self.held_until = None;
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        if let Some(until) = self.held_until
            && let Some(permit) = self.permit.take()
        {
            permit.forget();
            self.budget.left_behind.send_modify(|all| all.push(until));
        }
    }
}

/// How long the server may hold a poll of a watch that has been undisturbed for `age`, if `longest` is what was asked for.
pub(crate) fn wait(age: Duration, longest: Duration) -> Duration {
    longest.min(age.max(ROUND))
}

impl Budget {
    /// Slots for a server that is reached over at most `connections` connections.
    pub(crate) fn new(connections: NonZeroUsize) -> Self {
        let slots = Slots::of(connections);
        Self {
            long: Semaphore::new(slots.long),
            short: Semaphore::new(slots.short),
            load: watch::Sender::new(Load { watches: 0, slots }),
            left_behind: watch::Sender::default(),
        }
    }

    /// Counts a watch in. It is counted out when the answer is dropped.
    pub(crate) fn enter(&self) -> Present<'_> {
        self.load.send_modify(|load| load.watches += 1);
        Present(self)
    }

    /// Waits for a slot, first come, first served.
    ///
    /// # Cancel safety
    /// Whoever stops waiting loses its place and nothing else.
    pub(crate) async fn slot(&self, blocks: bool) -> Slot<'_> {
        let slots = if blocks { &self.long } else { &self.short };
        let mut permit = pin!(slots.acquire());
        let mut left_behind = self.left_behind.subscribe();
        let permit = loop {
            let earliest = self.reclaim();
            left_behind.mark_unchanged();
            let due = async {
                match earliest {
                    Some(earliest) => sleep_until(earliest).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                permit = &mut permit => break permit.expect("the semaphores are never closed"),
                () = due, if blocks => {}
                // The sender is in self, so this cannot fail.
                _ = left_behind.changed(), if blocks => {}
            }
        };
        Slot {
            budget: self,
            permit: Some(permit),
            turn: if blocks {
                self.load.borrow().turn()
            } else {
                None
            },
            held_until: None,
        }
    }

    /// Takes back the slots that are free by now, and says when the next one is.
    fn reclaim(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut earliest = None;
        self.left_behind.send_if_modified(|all| {
            let before = all.len();
            all.retain(|until| *until > now);
            self.long.add_permits(before - all.len());
            earliest = all.iter().min().copied();
            false
        });
        earliest
    }

    /// Resolves when a request that blocks for `wait` holds its slot longer than the others can spare. A long
    /// poll begun when there was room is not waited for by those who came later.
    pub(crate) async fn wanted_back(&self, wait: Duration) {
        let mut load = self.load.subscribe();
        let crowded = load
            .wait_for(|load| wait > ROUND && load.turn().is_some())
            .await;
        debug_assert!(crowded.is_ok(), "the sender is in self");
    }

    /// Notes that the server speaks HTTP/2, where requests share one connection.
    pub(crate) fn multiplexed(&self) {
        self.load.send_if_modified(|load| {
            let gained = Slots {
                long: Slots::HTTP2.long.saturating_sub(load.slots.long),
                short: Slots::HTTP2.short.saturating_sub(load.slots.short),
            };
            self.long.add_permits(gained.long);
            self.short.add_permits(gained.short);
            load.slots.long += gained.long;
            load.slots.short += gained.short;
            gained.long + gained.short > 0
        });
    }
}

/// One watch that is counted.
#[derive(Debug)]
pub(crate) struct Present<'a>(&'a Budget);

impl Drop for Present<'_> {
    fn drop(&mut self) {
        self.0.load.send_modify(|load| load.watches -= 1);
    }
}

/// The time in which every watch gets its turn. Together with the requests' own latency this keeps an answer less than
/// ten seconds old.
const ROUND: Duration = Duration::from_secs(9);

/// A turn below this is mostly overhead. With the default budget it is reached at some 4,000 watches, and from there
/// on answers get older than ten seconds rather than the agent busier.
const SHORTEST_TURN: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn load(watches: usize, connections: usize) -> Load {
        Load {
            watches,
            slots: Slots::of(NonZeroUsize::new(connections).unwrap()),
        }
    }

    #[test]
    fn nobody_is_hurried_while_there_is_room() {
        assert_eq!(load(24, 32).turn(), None);
        assert!(load(25, 32).turn().is_some());
    }

    #[test]
    fn three_hundred_watches_on_32_connections_have_a_turn_every_ten_seconds() {
        let turn = load(300, 32).turn().expect("300 > 32");
        assert!(turn >= Duration::from_millis(500), "{turn:?}");
    }

    #[test]
    fn more_watches_than_http2_streams_take_turns_too() {
        let load = Load {
            watches: 300,
            slots: Slots::HTTP2,
        };
        assert!(
            load.turn()
                .is_some_and(|turn| turn > Duration::from_secs(4))
        );
    }

    #[test]
    fn multiplexing_is_counted_once() {
        let budget = Budget::new(NonZeroUsize::new(32).unwrap());
        budget.multiplexed();
        budget.multiplexed();
        assert_eq!(budget.long.available_permits(), Slots::HTTP2.long);
        assert_eq!(budget.short.available_permits(), Slots::HTTP2.short);
    }

    proptest! {
        #[test]
        fn a_whole_round_fits_into_ten_seconds(watches in 1usize..4000, connections in 1usize..200) {
            let load = load(watches, connections);
            if let Some(turn) = load.turn() && turn > SHORTEST_TURN {
                let rounds = u32::try_from(watches.div_ceil(load.slots.long)).unwrap();
                prop_assert!((turn + turn / 16) * rounds <= Duration::from_secs(10));
            }
        }

        #[test]
        fn the_slots_stay_within_the_connections(connections in 2usize..500) {
            let slots = Slots::of(NonZeroUsize::new(connections).unwrap());
            prop_assert!(slots.long + slots.short <= connections);
            prop_assert!(slots.long >= 1 && slots.short >= 1);
        }
    }
}
