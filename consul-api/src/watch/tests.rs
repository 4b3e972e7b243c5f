//! The driver and the hub, with a script in the place of the network and time standing still.

use std::num::NonZeroUsize;

use futures_util::{FutureExt, StreamExt};
use http::StatusCode;
use tokio::{
    sync::{mpsc, oneshot},
    time::{advance, sleep, timeout},
};

use super::{
    blocking::{Basis, Position},
    driver::Ask,
    *,
};
use crate::{Address, Config, Response, Token, error::Kind};

mod crowds;
mod items;
mod limits;
mod outages;
mod pacing;
mod recovery;
mod server;
mod sharing;

/// One request as the script sees it.
struct Asked {
    name: &'static str,
    position: Position,
    wait: Duration,
    at: Instant,
    reply: oneshot::Sender<Result<Response<u32>, Error>>,
}

impl Asked {
    fn answer(self, value: u32, index: u64) {
        let meta = Meta {
            index: Some(index),
            ..Meta::default()
        };
        assert!(
            self.reply.send(Ok(Response { value, meta })).is_ok(),
            "{} no longer waits",
            self.name
        );
    }

    fn fail(self, error: Error) {
        assert!(
            self.reply.send(Err(error)).is_ok(),
            "{} no longer waits",
            self.name
        );
    }

    fn index(&self) -> Option<u64> {
        match self.position {
            Position::Index(index) => Some(index.get()),
            _ => None,
        }
    }
}

struct Scripted {
    name: &'static str,
    script: mpsc::UnboundedSender<Asked>,
    /// Counts the tokens there have been.
    token: watch::Receiver<u32>,
}

impl Ask for Scripted {
    type Value = u32;

    fn path(&self) -> String {
        format!("/v1/{}", self.name)
    }

    fn wait(&self) -> Duration {
        Duration::from_secs(300)
    }

    fn basis(&self) -> Basis {
        Basis::Index
    }

    async fn ask(&mut self, position: &Position, wait: Duration) -> Result<Response<u32>, Error> {
        self.token.mark_unchanged();
        let (reply, answer) = oneshot::channel();
        let asked = Asked {
            name: self.name,
            position: position.clone(),
            wait,
            at: Instant::now(),
            reply,
        };
        self.script.send(asked).expect("the script goes on");
        answer.await.expect("the script answers everything")
    }

    async fn token_changed(&mut self) {
        self.token.changed().await.expect("the token lives");
    }
}

/// A hub and what its watches ask.
struct Script {
    hub: Arc<Hub>,
    asked: mpsc::UnboundedReceiver<Asked>,
    sender: mpsc::UnboundedSender<Asked>,
    token: watch::Sender<u32>,
    cell: Arc<watch::Sender<Token>>,
}

impl Script {
    fn new(connections: usize) -> Self {
        Self::at("127.0.0.1:8500", connections)
    }

    fn at(address: &str, connections: usize) -> Self {
        let address: Address = address.parse().expect("an address");
        let connections = NonZeroUsize::new(connections).expect("not 0");
        let config = Config::default()
            .with_address(address)
            .with_watch_connections(connections);
        let (sender, asked) = mpsc::unbounded_channel();
        Self {
            hub: Arc::new(Hub::new(&config)),
            asked,
            sender,
            token: watch::Sender::new(0),
            cell: Arc::new(watch::Sender::new(Token::anonymous())),
        }
    }

    fn watch(&self, name: &'static str) -> Watch<u32> {
        self.watch_as(name, &self.cell)
    }

    fn watch_as(&self, name: &'static str, token: &Arc<watch::Sender<Token>>) -> Watch<u32> {
        let ask = || Scripted {
            name,
            script: self.sender.clone(),
            token: self.token.subscribe(),
        };
        Watch::new(self.hub.entry(Key::new::<u32>(name.to_owned(), token), ask))
    }

    async fn next(&mut self) -> Asked {
        timeout(Duration::from_secs(3600), self.asked.recv())
            .await
            .expect("asked in time")
            .expect("the sender is here")
    }

    fn nothing_asked(&mut self) -> bool {
        self.asked.try_recv().is_err()
    }
}

fn away() -> Error {
    Error::new(Kind::Connect, "reading /v1/x")
}

fn status(code: u16) -> Error {
    Error::new(Kind::Api, "reading /v1/x")
        .with_status(StatusCode::from_u16(code).expect("a status"))
}

async fn value(watch: &mut Watch<u32>) -> u32 {
    *item(watch).await.expect("a value").value
}

async fn item(watch: &mut Watch<u32>) -> Result<Update<u32>, Error> {
    timeout(Duration::from_secs(3600), watch.next())
        .await
        .expect("an item in time")
        .expect("a watch never ends")
}

/// Lets everything run that can run without time passing.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}
