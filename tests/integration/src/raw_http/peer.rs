use std::time::Duration;

use consul_connect::{Connector, Destination, MeshStream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::{H1, H2, RawAnswer};

/// A member of the mesh that is sent raw requests. Connections are kept as long as it lets us.
#[derive(Debug)]
pub struct RawPeer {
    connector: Connector,
    destination: Destination,
    h1: Option<H1<MeshStream>>,
    h2: Option<H2<MeshStream>>,
}

impl RawPeer {
    /// Whom `connector` finds at `destination`.
    pub fn new(connector: Connector, destination: Destination) -> Self {
        Self {
            connector,
            destination,
            h1: None,
            h2: None,
        }
    }

    /// Closes what is open: what comes next is sent on new connections.
    pub fn hang_up(&mut self) {
        (self.h1, self.h2) = (None, None);
    }

    /// Sends these bytes over HTTP/1.1.
    ///
    /// # Panics
    /// If there is no connection to be had, or the answer is none.
    pub async fn h1(&mut self, request: &[u8]) -> RawAnswer {
        loop {
            let kept = self.h1.take().filter(H1::is_open);
            let is_kept = kept.is_some();
            let mut connection = match kept {
                Some(connection) => connection,
                None => H1::new(self.connect(&["http/1.1"]).await),
            };
            let answer = connection
                .ask(request)
                .await
                .expect("an answer of HTTP/1.1");
            self.h1 = Some(connection);
            match answer {
                Some(answer) => return answer,
                None if is_kept => {} // It may have been closed before.
                None => return RawAnswer::default(),
            }
        }
    }

    /// Sends these bytes on a connection of their own, and reads what comes until it is closed.
    ///
    /// # Panics
    /// If there is no connection to be had, or it is not closed within a minute.
    pub async fn h1_to_the_end(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.connect(&["http/1.1"]).await;
        let mut answer = Vec::new();
        // Who has refused the beginning need not read the rest.
        let _ = stream.write_all(bytes).await;
        let _ = stream.flush().await;
        let read = timeout(Duration::from_secs(60), stream.read_to_end(&mut answer)).await;
        let _whole_or_cut = read.expect("the connection is closed");
        answer
    }

    /// Sends a request of these headers over h2, which no ALPN has agreed on.
    ///
    /// # Panics
    /// If there is no connection to be had, or the answer is none.
    pub async fn h2(&mut self, headers: &[(&[u8], &[u8])]) -> RawAnswer {
        loop {
            let kept = self.h2.take().filter(H2::is_open);
            let is_kept = kept.is_some();
            let mut connection = match kept {
                Some(connection) => connection,
                None => H2::new(self.connect(&[]).await)
                    .await
                    .expect("a connection"),
            };
            let answer = connection.ask(headers).await.expect("an answer of h2");
            self.h2 = Some(connection);
            match answer {
                Some(answer) => return answer,
                None if is_kept => {}
                None => return RawAnswer::default(),
            }
        }
    }

    async fn connect(&self, alpn: &[&str]) -> MeshStream {
        let destination = self.destination.clone().with_alpn(alpn);
        let connection = self.connector.connect(&destination).await;
        connection.expect("a connection").stream
    }
}
