use std::{fmt, pin::pin, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Live,
    connection::{Facts, Phase},
};
use crate::Reason;

/// Says when, and why, an open connection must close.
///
/// It only watches: the connection is held to the rules as long as its stream exists, whatever becomes of the guard.
pub struct ConnectionGuard {
    live: Arc<Live>,
    told_to_drain: bool,
}

/// What an open connection must do now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Closing {
    /// It has been cut: every read and write on it fails from now on.
    Cut {
        /// Why.
        reason: Reason,
    },
    /// It must end by itself: finish what is in flight, take nothing new. It is cut when the time is up.
    Drain {
        /// Why.
        reason: Reason,
        /// How long it still has.
        within: Duration,
    },
}

impl ConnectionGuard {
    pub(crate) fn new(live: Arc<Live>) -> Self {
        Self {
            live,
            told_to_drain: false,
        }
    }

    /// Waits until the connection must close, for ever if it may stay. After a [`Closing::Drain`], the next call waits for
    /// the cut.
    ///
    /// # Cancel safety
    /// Safe: a result is lost only if the future is dropped after it was ready.
    pub async fn closing(&mut self) -> Closing {
        loop {
            let mut moved = pin!(self.live.moved());
            // Before the look, so that nothing is missed between the two.
            moved.as_mut().enable();
            match self.live.phase() {
                Phase::Open => {}
                Phase::Draining { .. } if self.told_to_drain => {}
                Phase::Draining { reason, cut_at } => {
                    self.told_to_drain = true;
                    let within = cut_at.saturating_duration_since(Instant::now());
                    return Closing::Drain { reason, within };
                }
                Phase::Cut { reason } => return Closing::Cut { reason },
            }
            moved.await;
        }
    }

    /// Waits for a cut, ignoring that it should drain first.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn cut(&mut self) -> Reason {
        loop {
            let mut moved = pin!(self.live.moved());
            moved.as_mut().enable();
            if let Phase::Cut { reason } = self.live.phase() {
                return reason;
            }
            moved.await;
        }
    }

    /// Whether the connection must close, now.
    pub fn is_closing(&self) -> bool {
        !self.live.is_open()
    }

    /// The generation of our identity the connection was made under.
    pub fn generation(&self) -> u64 {
        let Facts { generation, .. } = &self.live.facts;
        *generation
    }
}

impl fmt::Debug for ConnectionGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionGuard")
            .field("phase", &self.live.phase())
            .finish_non_exhaustive()
    }
}
