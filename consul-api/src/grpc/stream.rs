//! The roots as a stream that does not end.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use futures_util::stream;
use tokio::time::sleep;
use tonic::Streaming;

use super::{Grpc, Roots, WATCHING, wire};
use crate::{
    Error,
    watch::{Backoff, Credential, Journal, Trouble},
};

/// The roots of the mesh CA, whole each time: first as they are, then with each change.
///
/// Never ends. An `Err` says that the connection was lost or refused: keep the last roots; it connects again by itself,
/// with the backoff of a [`Watch`](crate::Watch), and after an error the next item is what the roots are then, changed or
/// not. Works only while it is polled: there is no task behind it.
///
/// # Cancel safety
/// Waiting for the next item can be given up at any time; nothing is lost.
#[must_use = "nothing is asked until this is polled"]
pub struct RootsStream(Pin<Box<dyn Stream<Item = Result<Roots, Error>> + Send>>);

impl RootsStream {
    pub(super) fn new(grpc: Grpc) -> Self {
        let watching = Watching {
            backoff: Backoff::new(grpc.address().is_local()),
            credential: Credential::new(grpc.client.clone()),
            journal: Journal::new(grpc.operation(WATCHING)),
            grpc,
            messages: None,
            told: None,
            in_error: false,
            failures: 0,
            trouble: Trouble::Away,
        };
        Self(Box::pin(stream::unfold(watching, async |mut watching| {
            let item = watching.next().await;
            Some((item, watching))
        })))
    }
}

/// Where a stream of the roots is.
struct Watching {
    grpc: Grpc,
    credential: Credential,
    backoff: Backoff,
    journal: Journal,
    /// The call under way.
    messages: Option<Streaming<wire::WatchRootsResponse>>,
    /// The last roots yielded.
    told: Option<Roots>,
    /// The last item was an error.
    in_error: bool,
    /// Attempts since the last message.
    failures: u32,
    trouble: Trouble,
}

impl Watching {
    async fn next(&mut self) -> Result<Roots, Error> {
        loop {
            match self.message().await {
                Ok(Some(roots)) => {
                    self.failures = 0;
                    let answered = self.journal.answered();
                    self.grpc.client.hub().answered(answered);
                    // A new call begins with the roots as they are, known or not.
                    if self.in_error || self.told.as_ref() != Some(&roots) {
                        self.in_error = false;
                        self.told = Some(roots.clone());
                        return Ok(roots);
                    }
                }
                // A server may end a stream in good order; the next call will tell whether something is wrong.
                Ok(None) => self.broke(Trouble::Away),
                Err(error) => {
                    self.broke(Trouble::of(&error));
                    self.journal.failed(&error);
                    self.in_error = true;
                    return Err(error);
                }
            }
        }
    }

    /// The next message of the call under way, or the first one of a new call.
    async fn message(&mut self) -> Result<Option<Roots>, Error> {
        if let Some(messages) = &mut self.messages {
            let message = messages
                .message()
                .await
                .map_err(|status| self.grpc.error(WATCHING, status))?;
            return Ok(message.map(Roots::from));
        }
        self.pause().await;
        self.credential.note().await;
        let (messages, first) = self.grpc.open_roots().await?;
        self.messages = Some(messages);
        Ok(first)
    }

    fn broke(&mut self, trouble: Trouble) {
        self.messages = None;
        self.failures = self.failures.saturating_add(1);
        self.trouble = trouble;
    }

    /// Leaves a failing server alone for a while.
    async fn pause(&self) {
        if self.failures == 0 {
            return;
        }
        let delay = self
            .backoff
            .delay(self.failures, self.trouble, rand::random());
        let mut recoveries = self.grpc.client.hub().recoveries();
        tokio::select! {
            () = sleep(delay) => {}
            // The sender is in the client, so this cannot fail.
            _ = recoveries.changed(), if self.trouble.ends_with_any_success() => {}
            () = self.credential.changed(), if self.trouble == Trouble::Refused => {}
        }
    }
}

impl Stream for RootsStream {
    type Item = Result<Roots, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for RootsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RootsStream").finish_non_exhaustive()
    }
}
