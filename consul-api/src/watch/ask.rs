//! A read of the HTTP API as what a watch asks.

use std::time::Duration;

use super::{blocking::Position, credential::Credential, driver::Ask};
use crate::{
    Client, Error, Response,
    read::Pace,
    request::{Cursor, Request},
};

/// The same request again and again, with the token as it is each time.
pub(crate) struct Asked<T> {
    client: Client,
    credential: Credential,
    request: Request<T>,
    basis: Pace,
}

impl<T> Asked<T> {
    pub(crate) fn new(client: Client, request: Request<T>, basis: Pace) -> Self {
        Self {
            credential: Credential::new(client.clone()),
            client,
            request,
            basis,
        }
    }
}

impl<T: PartialEq + Send + Sync + 'static> Ask for Asked<T> {
    type Value = T;

    fn path(&self) -> String {
        self.request.path()
    }

    fn wait(&self) -> Duration {
        self.request.wait().unwrap_or(DEFAULT_WAIT)
    }

    fn basis(&self) -> Pace {
        self.basis
    }

    async fn ask(&mut self, position: &Position, wait: Duration) -> Result<Response<T>, Error> {
        let (cursor, wait) = match position {
            Position::Start => (None, None),
            Position::Index(index) => (Some(Cursor::Index(index.get())), Some(wait)),
            Position::Hash(hash) => (Some(Cursor::Hash(hash.clone())), Some(wait)),
        };
        let mut request = self.request.clone();
        request.set_cursor(cursor);
        request.set_wait(wait);
        self.credential.note().await;
        self.client.send(&request).await
    }

    async fn token_changed(&mut self) {
        self.credential.changed().await;
    }
}

/// Consul's own default; it bounds how long an agent that hangs goes unnoticed.
const DEFAULT_WAIT: Duration = Duration::from_secs(300);
