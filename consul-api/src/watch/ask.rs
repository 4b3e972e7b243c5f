//! A read of the HTTP API as what a watch asks.

use std::{sync::Arc, time::Duration};

use zeroize::Zeroizing;

use super::{blocking::Position, driver::Ask};
use crate::{
    Client, Error, Response,
    read::Pace,
    request::{Cursor, Request},
};

/// The same request again and again, with the token as it is each time.
pub(crate) struct Asked<T> {
    client: Client,
    request: Request<T>,
    basis: Pace,
    /// What the last request was sent with.
    used: Option<Arc<Zeroizing<String>>>,
}

impl<T> Asked<T> {
    pub(crate) fn new(client: Client, request: Request<T>, basis: Pace) -> Self {
        Self {
            client,
            request,
            basis,
            used: None,
        }
    }

    /// The secret as it is now. One that cannot be read is none that differs; the next request tells why.
    async fn secret(&self) -> Option<Arc<Zeroizing<String>>> {
        self.client
            .token()
            .secret()
            .await
            .unwrap_or_else(|_| self.used.clone())
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
        self.used = self.secret().await;
        self.client.send(&request).await
    }

    async fn token_changed(&mut self) {
        let mut replaced = self.client.token_cell().subscribe();
        while self.secret().await == self.used {
            tokio::select! {
                // The sender is in the client, so this cannot fail.
                _ = replaced.changed() => {}
                () = tokio::time::sleep(TOKEN_CHECK) => {}
            }
        }
    }
}

/// Consul's own default. It keeps a hung agent from going unnoticed for longer.
const DEFAULT_WAIT: Duration = Duration::from_secs(300);

/// How often the file of a refused token is looked at.
const TOKEN_CHECK: Duration = Duration::from_millis(500);
