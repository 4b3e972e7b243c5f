//! What a pool knows, under its lock: nothing here waits, and nothing here is foreign code.

use std::{collections::VecDeque, future::Future, sync::Arc, time::Duration};

use hyper::client::conn::{http1, http2};
use tokio::{runtime::Handle, sync::oneshot, task::JoinSet, time::Instant};

use super::{
    PoolConfig, Protocol, Shared, Want,
    connection::{Conn, Fresh, Lease, Sender},
    open::{Answer, Offer},
};
use crate::{
    body::Body,
    error::{Error, ErrorKind},
};

/// How long a peer is believed to speak HTTP/1.1 only, before a request that needs h2 asks again:
/// it may have been replaced at its address.
const HTTP1_ONLY_FOR: Duration = Duration::from_secs(5);

/// Pause after a failed dial before the next one that nobody waits for.
const BACKGROUND_PAUSE: Duration = Duration::from_secs(1);

pub(super) struct State {
    config: PoolConfig,
    closed: bool,
    /// What the peer answered when it could choose, and when.
    answer: Option<(Answer, Instant)>,
    /// The newest generation a connection was made with. Connections of older ones are not lent.
    proven: u64,
    idle: Vec<(http1::SendRequest<Body>, Arc<Conn>)>,
    h2: Vec<(http2::SendRequest<Body>, Arc<Conn>)>,
    waiters: VecDeque<Waiter>,
    dialing: [usize; 4],
    background_after: Instant,
    tasks: JoinSet<()>,
    /// Leases whose waiter went away as it was served. Dropping a lease takes the lock, so they are
    /// dropped after it.
    orphans: Vec<Lease>,
}

/// Someone who waits for a connection.
pub(super) struct Waiter {
    pub(super) want: Want,
    pub(super) answer: oneshot::Sender<Result<Lease, Error>>,
}

/// Why a connection is dialled; also the index into `dialing`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Class {
    /// The peer's protocol is unknown: one dial for all.
    First,
    /// It is known not to be h2: one for each who waits. Both are offered all the same.
    Again,
    /// One for each upgrade.
    Upgrade,
    /// One for as many as an h2 connection takes.
    Http2,
}

/// One dial.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dial {
    class: Class,
    pub(super) offer: Offer,
    /// What to speak when the peer does not answer the offer.
    pub(super) silent: Protocol,
}

impl State {
    pub(super) fn new(config: PoolConfig) -> Self {
        Self {
            config,
            closed: false,
            answer: None,
            proven: 0,
            idle: Vec::new(),
            h2: Vec::new(),
            waiters: VecDeque::new(),
            dialing: [0; 4],
            background_after: Instant::now(),
            tasks: JoinSet::new(),
            orphans: Vec::new(),
        }
    }

    pub(super) fn orphans(&mut self) -> Vec<Lease> {
        std::mem::take(&mut self.orphans)
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiters.len()
    }

    /// A connection that can be used now, if there is one.
    pub(super) fn take(&mut self, shared: &Arc<Shared>, want: Want) -> Option<Lease> {
        let (lease, busy) = self
            .take_h2(shared, want)
            .or_else(|| self.take_idle(shared, want))?;
        let crowded = lease.protocol() == Protocol::Http2
            && busy >= self.config.crowded_streams
            && self.h2.len() < self.config.crowded_connections;
        if (crowded || lease.generation() < shared.open.generation())
            && self.dialing.iter().all(|dials| *dials == 0)
            && Instant::now() >= self.background_after
        {
            let class = match lease.protocol() {
                Protocol::Http2 => Class::Http2,
                Protocol::Http1 if want == Want::Http1 => Class::Upgrade,
                Protocol::Http1 => Class::Again,
            };
            self.dial(shared, class);
        }
        Some(lease)
    }

    fn take_h2(&mut self, shared: &Arc<Shared>, want: Want) -> Option<(Lease, usize)> {
        if !self.lends(want, Protocol::Http2) {
            return None;
        }
        self.h2
            .retain(|(sender, conn)| !conn.is_retired() && !sender.is_closed());
        let (sender, conn) = self.h2.iter().min_by_key(|(_, conn)| conn.busy())?;
        let busy = conn.busy();
        (busy < self.config.max_streams).then(|| {
            (
                Lease::new(shared, Arc::clone(conn), Sender::H2(sender.clone())),
                busy,
            )
        })
    }

    fn take_idle(&mut self, shared: &Arc<Shared>, want: Want) -> Option<(Lease, usize)> {
        if !self.lends(want, Protocol::Http1) {
            return None;
        }
        while let Some((sender, conn)) = self.idle.pop() {
            if sender.is_ready() && !conn.is_retired() {
                return Some((Lease::new(shared, conn, Sender::H1(sender)), 0));
            }
        }
        None
    }

    /// Whether a connection of this protocol may be lent for it.
    fn lends(&self, want: Want, protocol: Protocol) -> bool {
        // A peer that answers no ALPN may have been spoken to in h2 for a request that needs it,
        // which proves nothing.
        let guessed = protocol == Protocol::Http2
            && want == Want::Any
            && !self.config.http2_only
            && matches!(self.answer, Some((Answer::Silent, _)));
        want.accepts(protocol) && !guessed
    }

    /// Why nothing can be had for this, if that is known already.
    pub(super) fn refusal(&self, shared: &Shared, want: Want) -> Option<Error> {
        if self.closed {
            let context = format!(
                "connecting to {}: it is no endpoint any more",
                shared.open.name()
            );
            return Some(Error::new(ErrorKind::Connect, context));
        }
        match self.answer {
            Some((Answer::Http11, at))
                if want == Want::Http2
                    && !self.config.http2_only
                    && at.elapsed() < HTTP1_ONLY_FOR =>
            {
                let context = format!(
                    "sending a request that needs h2 to {}, which speaks only HTTP/1.1",
                    shared.open.name()
                );
                Some(Error::new(ErrorKind::Protocol, context))
            }
            _ => None,
        }
    }

    pub(super) fn push(&mut self, waiter: Waiter) {
        self.waiters.push_back(waiter);
    }

    fn class(&self, want: Want) -> Class {
        if want == Want::Http1 {
            return Class::Upgrade;
        }
        if self.config.http2_only {
            return Class::Http2;
        }
        match (self.answer.map(|(answer, _)| answer), want) {
            (Some(Answer::H2), _) | (Some(Answer::Silent), Want::Http2) => Class::Http2,
            (None, _) | (Some(Answer::Http11), Want::Http2) => Class::First,
            (Some(Answer::Http11 | Answer::Silent), _) => Class::Again,
        }
    }

    /// Starts the dials that those who wait need and nobody has started.
    pub(super) fn plan(&mut self, shared: &Arc<Shared>) {
        self.waiters.retain(|waiter| !waiter.answer.is_closed());
        let mut needed = [0_usize; 4];
        for waiter in &self.waiters {
            needed[self.class(waiter.want) as usize] += 1;
        }
        let first = &mut needed[Class::First as usize];
        *first = (*first).min(1);
        let h2 = &mut needed[Class::Http2 as usize];
        *h2 = (*h2).div_ceil(self.config.max_streams.max(1));
        for class in [Class::First, Class::Again, Class::Upgrade, Class::Http2] {
            for _ in self.dialing[class as usize]..needed[class as usize] {
                self.dial(shared, class);
            }
        }
    }

    fn dial(&mut self, shared: &Arc<Shared>, class: Class) {
        let h2_waits = self.waiters.iter().any(|waiter| waiter.want == Want::Http2);
        let dial = Dial {
            class,
            offer: match class {
                Class::Upgrade => Offer::Http11,
                Class::Http2 if self.config.http2_only => Offer::H2,
                Class::First | Class::Again | Class::Http2 => Offer::Both,
            },
            silent: match class {
                Class::Http2 => Protocol::Http2,
                Class::First if h2_waits => Protocol::Http2,
                Class::First | Class::Again | Class::Upgrade => Protocol::Http1,
            },
        };
        self.dialing[class as usize] += 1;
        while self.tasks.try_join_next().is_some() {}
        self.tasks.spawn(Arc::clone(shared).dial(dial));
    }

    /// Takes in what a dial came to.
    pub(super) fn land(&mut self, shared: &Arc<Shared>, dial: Dial, result: Result<Fresh, Error>) {
        self.dialing[dial.class as usize] -= 1;
        match result {
            Ok(fresh) => self.landed(shared, dial, fresh),
            Err(error) => {
                self.background_after = Instant::now() + BACKGROUND_PAUSE;
                self.fail(dial.class, &error);
            }
        }
    }

    fn landed(&mut self, shared: &Arc<Shared>, dial: Dial, fresh: Fresh) {
        if self.closed {
            return;
        }
        if dial.offer == Offer::Both {
            self.answer = Some((fresh.answer, Instant::now()));
        }
        if fresh.conn.generation > self.proven {
            self.proven = fresh.conn.generation;
            self.idle.clear();
            self.h2.clear();
        }
        match fresh.sender {
            Sender::H1(sender) => self.idle.push((sender, fresh.conn)),
            Sender::H2(sender) => self.h2.push((sender, fresh.conn)),
        }
        self.serve(shared);
        for waiter in std::mem::take(&mut self.waiters) {
            match self.refusal(shared, waiter.want) {
                Some(refusal) => {
                    self.answer_to(waiter, Err(refusal));
                }
                None => self.waiters.push_back(waiter),
            }
        }
    }

    /// Gives a failed dial to those who waited for it: one for a dial of its own, else all.
    fn fail(&mut self, class: Class, error: &Error) {
        let mut at = 0;
        while at < self.waiters.len() {
            if self.class(self.waiters[at].want) != class {
                at += 1;
                continue;
            }
            if let Some(waiter) = self.waiters.remove(at) {
                let told = self.answer_to(waiter, Err(error.clone()));
                if told && matches!(class, Class::Again | Class::Upgrade) {
                    return;
                }
            }
        }
    }

    /// Lends what is free to those who wait, in their order.
    pub(super) fn serve(&mut self, shared: &Arc<Shared>) {
        let mut at = 0;
        while at < self.waiters.len() {
            if self.waiters[at].answer.is_closed() {
                self.waiters.remove(at);
            } else if let Some(lease) = self.take(shared, self.waiters[at].want) {
                if let Some(waiter) = self.waiters.remove(at) {
                    self.answer_to(waiter, Ok(lease));
                }
            } else {
                at += 1;
            }
        }
    }

    /// Whether someone was there to hear it.
    fn answer_to(&mut self, waiter: Waiter, answer: Result<Lease, Error>) -> bool {
        match waiter.answer.send(answer) {
            Ok(()) => true,
            Err(Ok(lease)) => {
                self.orphans.push(lease);
                false
            }
            Err(Err(_unheard)) => false,
        }
    }

    /// Takes an HTTP/1.1 connection back.
    pub(super) fn put(
        &mut self,
        shared: &Arc<Shared>,
        sender: http1::SendRequest<Body>,
        conn: Arc<Conn>,
    ) {
        if self.closed || conn.is_retired() || conn.generation < self.proven {
            return;
        }
        self.idle.push((sender, conn));
        if !self.waiters.is_empty() {
            self.serve(shared);
        }
        if self.idle.len() > self.config.max_idle {
            self.idle.remove(0);
        }
    }

    /// Forgets a connection that must go.
    pub(super) fn remove(&mut self, conn: &Arc<Conn>) {
        self.idle.retain(|(_, idle)| !Arc::ptr_eq(idle, conn));
        self.h2.retain(|(_, h2)| !Arc::ptr_eq(h2, conn));
    }

    /// Runs a task as long as the pool lives.
    pub(super) fn adopt(
        &mut self,
        runtime: &Handle,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        while self.tasks.try_join_next().is_some() {}
        self.tasks.spawn_on(task, runtime);
    }

    /// Closes for good. What it returns is to be dropped without the lock.
    pub(super) fn close(&mut self) -> impl Sized + use<> {
        self.closed = true;
        self.idle.clear();
        self.h2.clear();
        (
            std::mem::take(&mut self.waiters),
            std::mem::replace(&mut self.tasks, JoinSet::new()),
        )
    }
}
