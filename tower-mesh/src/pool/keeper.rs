//! The task beside each connection that knows when it must go.
//!
//! It is apart from the connection's own task so that a request wakes only the latter.

use std::{
    convert::Infallible,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::oneshot,
    task::AbortHandle,
    time::{Instant, sleep_until},
};

use super::{
    Protocol, Shared,
    connection::Conn,
    open::{Closing, Guard},
};

/// Starts the keeper. It ends with the stream, which tells by `io_gone`.
pub(super) fn start(
    shared: &Arc<Shared>,
    conn: &Arc<Conn>,
    guard: Box<dyn Guard>,
    io_gone: oneshot::Receiver<Infallible>,
    aborts: [Option<AbortHandle>; 2],
) {
    let idle = match conn.protocol {
        Protocol::Http1 => shared.config.http1_idle,
        Protocol::Http2 => shared.config.http2_idle,
    };
    let keeper = Keeper {
        shared: Arc::downgrade(shared),
        conn: Arc::clone(conn),
        idle,
    };
    tokio::spawn(keeper.run(guard, io_gone, aborts));
}

struct Keeper {
    /// Weak: a connection does not keep its pool.
    shared: Weak<Shared>,
    conn: Arc<Conn>,
    idle: Duration,
}

impl Keeper {
    async fn run(
        self,
        mut guard: Box<dyn Guard>,
        mut io_gone: oneshot::Receiver<Infallible>,
        aborts: [Option<AbortHandle>; 2],
    ) {
        // Looking four times per period keeps an idle connection for at most a quarter longer.
        let mut look = Instant::now() + self.idle / 4;
        let mut seen = self.conn.uses();
        let mut quiet = Instant::now();
        let mut going = false;
        self.count(|open| open.fetch_add(1, Ordering::Relaxed));
        loop {
            tokio::select! {
                biased;
                _ = &mut io_gone => break,
                closing = guard.closing() => {
                    self.retire();
                    if closing == Closing::Cut {
                        aborts.iter().flatten().for_each(AbortHandle::abort);
                        break;
                    }
                    look = Instant::now();
                }
                () = sleep_until(look), if !self.conn.is_upgraded() => {
                    let now = Instant::now();
                    let uses = self.conn.uses();
                    let retired = self.conn.is_retired();
                    if uses != seen || self.conn.busy() > 0 || retired != going {
                        (seen, quiet, going) = (uses, now, retired);
                    }
                    let patience = if going { CLOSING } else { self.idle };
                    if now.duration_since(quiet) >= patience {
                        if going {
                            aborts.iter().flatten().for_each(AbortHandle::abort);
                            break;
                        }
                        self.retire();
                    }
                    look = now + patience / 4;
                }
            }
        }
        self.retire();
        self.count(|open| open.fetch_sub(1, Ordering::Relaxed));
    }

    fn count(&self, change: impl FnOnce(&AtomicUsize) -> usize) {
        if let Some(shared) = self.shared.upgrade() {
            change(&shared.open_now);
        }
    }

    /// Takes the connection out of the pool. It closes once nothing uses it, because then its last
    /// sender is gone.
    fn retire(&self) {
        self.conn.retire();
        if let Some(shared) = self.shared.upgrade() {
            shared.update(|state| {
                state.remove(&self.conn);
                // Those who wait for room on it need another.
                state.plan(&shared);
            });
        }
    }
}

/// How long a connection that nothing uses and nobody will be lent may take to close. What keeps one open is a peer that
/// answered before it had the whole request, and takes no more of it: hyper would wait for it for ever.
const CLOSING: Duration = Duration::from_secs(5);
