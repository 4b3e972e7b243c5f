//! Blocking queries as streams: what one asks is in [`ask`], what follows from an answer in [`blocking`], when it is
//! asked again in [`pace`], [`backoff`], [`breaker`] and [`budget`]; [`driver`] is the task that moves values between them, and
//! [`hub`] has watches share it.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_core::Stream;
use futures_util::stream;
use tokio::{sync::watch, time::Instant};

pub(crate) use self::hub::Hub;
use self::{
    ask::Asked,
    hub::{Entry, Key},
    published::{Cursor, Published},
};
#[cfg(feature = "grpc")]
pub(crate) use self::{
    backoff::{Backoff, Trouble},
    credential::Credential,
    journal::Journal,
};
use crate::{Error, Meta, Read};

mod ask;
mod backoff;
mod blocking;
mod breaker;
mod budget;
mod credential;
mod driver;
mod hub;
mod journal;
mod pace;
mod published;

/// A value of a [`Watch`], and what Consul said about it.
#[non_exhaustive]
pub struct Update<T> {
    /// The value. Cloning the update, and other subscribers of the same watch, share it.
    pub value: Arc<T>,
    /// The headers of the answer that brought this value. Later answers that change nothing are not reflected.
    pub meta: Meta,
}

/// The values of one read, from now on: made by [`Read::watch`].
///
/// Yields what there is, then an item when the value changes (or what it means: whether ACLs filtered it, and the ACL
/// default policy), and each error once. A subscriber that is slow gets the newest value, never an old one. Never ends.
///
/// ```no_run
/// # async fn example(client: consul_api::Client) {
/// use futures_util::StreamExt;
///
/// let mut instances = client.health().connect("web").passing().watch();
/// while let Some(item) = instances.next().await {
///     match item {
///         Ok(update) => println!("{} instances", update.value.len()),
///         Err(error) => eprintln!("keeping what I have: {error}"),
///     }
/// }
/// # }
/// ```
///
/// # Recovery
/// A watch never ends. An `Err` says that the last request failed; the value from before stays what is known, and
/// the watch goes on by itself: with full jitter between attempts, at most 1.5 s apart to an agent on this
/// host and 30 s to any other server, and at once when another watch of the same [`Client`](crate::Client) succeeds.
/// When no connection can be made, one watch of the client at a time tries again: within a quarter of a second, then at most 1.5 s
/// apart (elsewhere, 5 s) and never more than five times in one. The others are told of its error, whatever they ask. When
/// Consul limits the rate, one at a time tries again too, about each second (elsewhere, up to each 30 s). The success of one lets
/// the others go within half a second.
/// A refused request is tried again as soon as the client is [given](crate::Client::replace_token) another token, or the
/// token's file holds one. After an `Err` the next success is always
/// an item, if need be with the same value (the same [`Arc`]), so that whoever shows the error can take it down.
///
/// # Sharing
/// Watches of one [`Client`](crate::Client) that ask the same with the same token share one task and one request. The number of
/// connections they hold together is bounded; when there are more watches than that over HTTP/1.1, they take turns,
/// and each is asked at least every ten seconds (up to some thousand watches). A watch that is dropped occupies its
/// connection for up to ten seconds more, because Consul goes on with a long poll whose client has gone: whoever makes and drops
/// watches by the hundred gets first values at once, and changes with that delay.
///
/// # Cancel safety
/// Waiting for the next item can be given up at any time; nothing is lost.
///
/// # Shutdown
/// The request behind it ends when the last `Watch` that shares it is dropped.
#[must_use = "a watch ends when it is dropped"]
pub struct Watch<T> {
    items: Pin<Box<dyn Stream<Item = Result<Update<T>, Error>> + Send>>,
    entry: Arc<Entry<T>>,
    outside_runtime: bool,
}

/// How a [`Watch`] is doing.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct WatchStatus {
    /// How long ago Consul last answered. Between changes this grows up to the length of a long poll, so it is no sign
    /// of trouble by itself. `None` before the first answer.
    pub last_answer: Option<Duration>,
    /// For how long every request has failed; `None` while the last one succeeded or none is over.
    pub failing_for: Option<Duration>,
    /// The error of the last request, if it failed.
    pub last_error: Option<Error>,
    /// Requests that failed since the last answer.
    pub failures: u64,
    /// Requests sent, ever.
    pub requests: u64,
}

/// Tells the [`WatchStatus`] of a [`Watch`] that is in use elsewhere. Does not keep the watch running.
#[derive(Clone)]
pub struct WatchMonitor(Arc<dyn Fn() -> WatchStatus + Send + Sync>);

impl<T: PartialEq + Send + Sync + 'static> Read<T> {
    /// The values of this read, from now on: see [`Watch`].
    ///
    /// The first query never blocks, also if an index was set. [`wait`](Read::wait) bounds each of the following ones;
    /// default: five minutes. A young watch waits for less, at most for as long as it has been there (but nine seconds).
    ///
    /// Asking starts here; outside a Tokio runtime, when the watch is first polled inside one.
    pub fn watch(self) -> Watch<T> {
        let (client, request, pace) = self.into_parts();
        let key = Key::new::<T>(request.key(), client.token_cell());
        let hub = Arc::clone(client.hub());
        Watch::new(hub.entry(key, || Asked::new(client, request, pace)))
    }
}

impl<T: Send + Sync + 'static> Watch<T> {
    fn new(entry: Arc<Entry<T>>) -> Self {
        entry.start();
        Self {
            items: Box::pin(items(entry.published.subscribe())),
            entry,
            outside_runtime: false,
        }
    }

    /// How the watch is doing.
    #[must_use]
    pub fn status(&self) -> WatchStatus {
        status(&self.entry.published)
    }

    /// A handle on [`Watch::status`] for whoever does not hold the watch.
    #[must_use]
    pub fn monitor(&self) -> WatchMonitor {
        let published = Arc::clone(&self.entry.published);
        WatchMonitor(Arc::new(move || status(&published)))
    }
}

impl WatchMonitor {
    /// How the watch is doing; after its end, how it was when it ended.
    #[must_use]
    pub fn status(&self) -> WatchStatus {
        (self.0)()
    }
}

fn items<T>(
    published: watch::Receiver<Published<T>>,
) -> impl Stream<Item = Result<Update<T>, Error>> {
    stream::unfold(
        (published, Cursor::default()),
        async |(mut published, mut cursor)| {
            loop {
                let item = cursor.next(&published.borrow_and_update());
                if let Some(item) = item {
                    return Some((item, (published, cursor)));
                }
                if published.changed().await.is_err() {
                    return None;
                }
            }
        },
    )
}

fn status<T>(published: &watch::Sender<Published<T>>) -> WatchStatus {
    let published = published.borrow();
    let age = |since: Option<Instant>| since.map(|since| since.elapsed());
    WatchStatus {
        last_answer: age(published.last_success()),
        failing_for: age(published.failing_since()),
        last_error: published.failure().cloned(),
        failures: published.failures_in_a_row(),
        requests: published.requests(),
    }
}

impl<T: Send + Sync + 'static> Stream for Watch<T> {
    type Item = Result<Update<T>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.entry.start() && !std::mem::replace(&mut self.outside_runtime, true) {
            return Poll::Ready(Some(Err(Error::config(
                "a watch needs a Tokio runtime, and was polled outside of one",
            ))));
        }
        self.items.as_mut().poll_next(cx)
    }
}

impl<T> Clone for Update<T> {
    fn clone(&self) -> Self {
        Self {
            value: Arc::clone(&self.value),
            meta: self.meta.clone(),
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Update<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Update")
            .field("value", &self.value)
            .field("meta", &self.meta)
            .finish()
    }
}

impl<T> fmt::Debug for Watch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("status", &status(&self.entry.published))
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for WatchMonitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WatchMonitor").field(&self.status()).finish()
    }
}

#[cfg(test)]
mod tests;
