//! A server without changes that any number of watches ask: it holds each blocking request as long as it is told, and a
//! sixteenth more.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use super::*;

/// Cloned, it is the same server. Each watch asks through a clone of its own.
#[derive(Clone)]
pub(super) struct Server {
    shared: Arc<Shared>,
    /// Since when this watch has no request open, if it has none; the longest time it had none.
    unasked: Arc<Mutex<(Instant, Duration)>>,
}

struct Shared {
    mode: watch::Sender<Mode>,
    open: AtomicUsize,
    most: AtomicUsize,
    asked: Mutex<Vec<Instant>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Answers,
    /// It limits the rate of whoever asks next.
    Limits,
    /// Its process has ended, and what was open with it.
    Gone,
}

/// Counts a request as open, also when it is given up.
struct Open<'a>(&'a AtomicUsize);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Server {
    pub(super) fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                mode: watch::Sender::new(Mode::Answers),
                open: AtomicUsize::new(0),
                most: AtomicUsize::new(0),
                asked: Mutex::default(),
            }),
            unasked: Arc::new(Mutex::new((Instant::now(), Duration::ZERO))),
        }
    }

    /// So many watches of it, each of something else.
    pub(super) fn watches(&self, script: &Script, count: usize) -> Vec<(Watch<u32>, Self)> {
        let watch = |number: usize| {
            let server = Self {
                shared: Arc::clone(&self.shared),
                unasked: Arc::new(Mutex::new((Instant::now(), Duration::ZERO))),
            };
            let key = Key::new::<u32>(number.to_string(), &script.cell);
            (Watch::new(script.hub.entry(key, || server.clone())), server)
        };
        (0..count).map(watch).collect()
    }

    pub(super) fn becomes(&self, mode: Mode) {
        self.shared.mode.send_replace(mode);
    }

    /// The most requests that were open at once.
    pub(super) fn most(&self) -> usize {
        self.shared.most.load(Ordering::Relaxed)
    }

    /// When it was asked, ever.
    pub(super) fn asked(&self) -> Vec<Instant> {
        self.shared.asked.lock().expect("no panic").clone()
    }

    /// The longest time this watch had no request open, and so no answer that was current.
    pub(super) fn longest_unasked(&self) -> Duration {
        self.unasked.lock().expect("no panic").1
    }
}

impl Ask for Server {
    type Value = u32;

    fn path(&self) -> String {
        "/v1/quiet".to_owned()
    }

    fn wait(&self) -> Duration {
        Duration::from_secs(300)
    }

    fn basis(&self) -> Basis {
        Basis::Index
    }

    async fn ask(&mut self, position: &Position, wait: Duration) -> Result<Response<u32>, Error> {
        let shared = &self.shared;
        shared.asked.lock().expect("no panic").push(Instant::now());
        let mut mode = shared.mode.subscribe();
        if *mode.borrow_and_update() == Mode::Gone {
            sleep(Duration::from_millis(1)).await;
            return Err(away());
        }
        let open = shared.open.fetch_add(1, Ordering::Relaxed) + 1;
        let _open = Open(&shared.open);
        shared.most.fetch_max(open, Ordering::Relaxed);
        {
            let mut unasked = self.unasked.lock().expect("no panic");
            unasked.1 = unasked.1.max(unasked.0.elapsed());
        }
        sleep(Duration::from_millis(3)).await;
        if *mode.borrow_and_update() == Mode::Limits {
            return Err(status(429));
        }
        if position.blocks() {
            tokio::select! {
                () = sleep(wait + wait / 16) => {}
                gone = mode.wait_for(|mode| *mode == Mode::Gone) => {
                    gone.expect("the server is here");
                    return Err(Error::new(Kind::Transport, "reading /v1/quiet"));
                }
            }
        }
        self.unasked.lock().expect("no panic").0 = Instant::now();
        let meta = Meta {
            index: Some(10),
            ..Meta::default()
        };
        Ok(Response { value: 1, meta })
    }

    async fn token_changed(&mut self) {
        std::future::pending::<()>().await;
    }
}

/// How many of them fail.
pub(super) fn failing(watches: &[(Watch<u32>, Server)]) -> usize {
    let fails = |(watch, _): &&(Watch<u32>, Server)| watch.status().failing_for.is_some();
    watches.iter().filter(fails).count()
}
