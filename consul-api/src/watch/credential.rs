//! The token a request carried, and whether there is another one by now.

use std::{sync::Arc, time::Duration};

use zeroize::Zeroizing;

use crate::Client;

/// Remembers what a client's token was.
pub(crate) struct Credential {
    client: Client,
    used: Option<Arc<Zeroizing<String>>>,
}

impl Credential {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, used: None }
    }

    /// Takes down the token as it is now, just before it is used.
    pub(crate) async fn note(&mut self) {
        self.used = self.secret().await;
    }

    /// Resolves when the client was given another token, or its file holds another one, than was noted last.
    pub(crate) async fn changed(&self) {
        let mut replaced = self.client.token_cell().subscribe();
        while self.secret().await == self.used {
            tokio::select! {
                // The sender is in the client, so this cannot fail.
                _ = replaced.changed() => {}
                () = tokio::time::sleep(FILE_CHECK) => {}
            }
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

/// How often the file of a refused token is looked at.
const FILE_CHECK: Duration = Duration::from_millis(500);
