//! Watches over real sockets, against a server that says exactly what the test tells it to.

use std::{collections::HashSet, num::NonZeroUsize, time::Duration};

use consul_api::{Client, Config, Token, Watch};
use futures_util::StreamExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::timeout,
};

const LONG: Duration = Duration::from_secs(20);

/// A request that waits for its answer.
#[derive(Debug)]
struct Heard {
    /// Path and query.
    target: String,
    token: Option<String>,
    connection: usize,
    answer: oneshot::Sender<String>,
}

impl Heard {
    fn answer(self, status: &str, index: u64, body: &str) {
        let length = body.len();
        let text = format!(
            "HTTP/1.1 {status}\r\nX-Consul-Index: {index}\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        assert!(
            self.answer.send(text).is_ok(),
            "nobody waits for {}",
            self.target
        );
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        query
            .split('&')
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }
}

/// A Consul made of what the test answers.
struct Server {
    address: String,
    heard: mpsc::UnboundedReceiver<Heard>,
    _accepting: JoinSet<()>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let (sender, heard) = mpsc::unbounded_channel();
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            for number in 0.. {
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                connections.spawn(converse(stream, number, sender.clone()));
            }
        });
        Self {
            address,
            heard,
            _accepting: accepting,
        }
    }

    fn client(&self) -> Client {
        self.client_with(|config| config)
    }

    fn client_with(&self, configure: impl FnOnce(Config) -> Config) -> Client {
        let config = Config::new(&self.address).expect("an address");
        Client::new(configure(config)).expect("a client")
    }

    async fn next(&mut self) -> Heard {
        timeout(LONG, self.heard.recv())
            .await
            .expect("a request in time")
            .expect("the server runs")
    }
}

/// One connection: requests without a body, one after the other.
async fn converse(mut stream: TcpStream, connection: usize, heard: mpsc::UnboundedSender<Heard>) {
    let mut head = Vec::new();
    loop {
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else {
                return;
            };
            head.push(byte);
        }
        let text = String::from_utf8(std::mem::take(&mut head)).expect("a head of text");
        let target = text.split(' ').nth(1).expect("a target").to_owned();
        let token = text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("x-consul-token")
                .then(|| value.trim().to_owned())
        });
        let (answer, answered) = oneshot::channel();
        if heard
            .send(Heard {
                target,
                token,
                connection,
                answer,
            })
            .is_err()
        {
            return;
        }
        // An answer the test never gives is a server that hangs; one it drops is a connection that breaks. When the client
        // hangs up, the test sees its side of the answer closed.
        let answer = tokio::select! {
            answer = answered => answer,
            _ = stream.read_u8() => return,
        };
        let Ok(answer) = answer else { return };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn item<T: Send + Sync + 'static>(
    watch: &mut Watch<T>,
) -> Result<std::sync::Arc<T>, consul_api::Error> {
    let item = timeout(LONG, watch.next())
        .await
        .expect("an item in time")
        .expect("a watch never ends");
    item.map(|update| update.value)
}

#[tokio::test]
async fn blocks_on_the_index_it_was_given() {
    let mut server = Server::start().await;
    let mut services = server.client().catalog().services().watch();
    let first = server.next().await;
    assert_eq!(first.target, "/v1/catalog/services");
    first.answer("200 OK", 10, r#"{"web": []}"#);
    assert!(
        item(&mut services)
            .await
            .expect("services")
            .contains_key("web")
    );
    let second = server.next().await;
    assert_eq!(
        (second.parameter("index"), second.parameter("wait")),
        (Some("10"), Some("9000ms"))
    );
    second.answer("200 OK", 11, r#"{"web": []}"#);
    let third = server.next().await;
    assert_eq!(third.parameter("index"), Some("11"));
    third.answer("200 OK", 12, r#"{"api": []}"#);
    assert!(
        item(&mut services)
            .await
            .expect("services")
            .contains_key("api"),
        "the unchanged answer was no item"
    );
}

#[tokio::test]
async fn an_entry_that_does_not_exist_is_a_value_that_is_waited_on() {
    let mut server = Server::start().await;
    let mut mesh = server
        .client()
        .config_entries()
        .mesh()
        .wait(Duration::from_secs(6))
        .watch();
    server
        .next()
        .await
        .answer("404 Not Found", 7, "Config entry not found");
    assert!(item(&mut mesh).await.expect("a value").is_none());
    let second = server.next().await;
    assert_eq!(
        (second.parameter("index"), second.parameter("wait")),
        (Some("7"), Some("6000ms"))
    );
    second.answer("200 OK", 8, r#"{"Kind": "mesh"}"#);
    assert!(item(&mut mesh).await.expect("a value").is_some());
}

#[tokio::test]
async fn an_error_is_told_and_the_next_read_does_not_block() {
    let mut server = Server::start().await;
    let mut services = server.client().catalog().services().watch();
    server.next().await.answer("200 OK", 10, "{}");
    item(&mut services).await.expect("services");
    server
        .next()
        .await
        .answer("500 Internal Server Error", 1, "No cluster leader");
    let error = item(&mut services).await.expect_err("the failure");
    assert_eq!(error.server_message(), Some("No cluster leader"));
    let again = server.next().await;
    assert_eq!(again.parameter("index"), None);
    again.answer("200 OK", 3, "{}");
    item(&mut services).await.expect("what it was before");
    assert_eq!(services.status().failures, 0);
}

#[tokio::test]
async fn a_connection_that_breaks_is_an_error_that_heals() {
    let mut server = Server::start().await;
    let mut services = server.client().catalog().services().watch();
    server.next().await.answer("200 OK", 10, "{}");
    item(&mut services).await.expect("services");
    drop(server.next().await);
    assert!(
        item(&mut services)
            .await
            .expect_err("the break")
            .is_retryable()
    );
    server.next().await.answer("200 OK", 10, "{}");
    item(&mut services).await.expect("what it was before");
}

#[tokio::test]
async fn takes_up_a_replaced_token_at_once_after_a_refusal() {
    let mut server = Server::start().await;
    let client = server.client_with(|config| config.with_token(Token::new("old")));
    let mut services = client.catalog().services().watch();
    server.next().await.answer("200 OK", 10, "{}");
    item(&mut services).await.expect("services");
    for _ in 0..3 {
        let refused = server.next().await;
        assert_eq!(refused.token.as_deref(), Some("old"));
        refused.answer("403 Forbidden", 1, "ACL not found");
        assert!(
            item(&mut services)
                .await
                .expect_err("the refusal")
                .is_unknown_token()
        );
    }
    client.replace_token(Token::new("new"));
    let swapped = server.next().await;
    assert_eq!(swapped.token.as_deref(), Some("new"));
    swapped.answer("200 OK", 10, "{}");
    item(&mut services).await.expect("what it was before");
}

#[tokio::test]
async fn reads_the_token_file_again_after_a_refusal() {
    let file = std::env::temp_dir().join(format!("consul-api-watch-token-{}", std::process::id()));
    std::fs::write(&file, "old\n").expect("a token file");
    let mut server = Server::start().await;
    let client = server.client_with(|config| config.with_token(Token::file(&file)));
    let mut services = client.catalog().services().watch();
    let first = server.next().await;
    assert_eq!(first.token.as_deref(), Some("old"));
    std::fs::write(&file, "brand-new\n").expect("another token");
    first.answer("403 Forbidden", 1, "ACL not found");
    item(&mut services).await.expect_err("the refusal");
    assert_eq!(server.next().await.token.as_deref(), Some("brand-new"));
    std::fs::remove_file(&file).expect("the token file");
}

#[tokio::test]
async fn identical_watches_make_one_request() {
    let mut server = Server::start().await;
    let client = server.client();
    let mut watches: Vec<_> = (0..10)
        .map(|_| client.catalog().services().watch())
        .collect();
    let mut other = client.clone().catalog().services().stale().watch();
    let mut targets = HashSet::new();
    for _ in 0..2 {
        let asked = server.next().await;
        assert!(
            targets.insert(asked.target.clone()),
            "{} was asked twice",
            asked.target
        );
        asked.answer("200 OK", 10, "{}");
    }
    for watch in &mut watches {
        item(watch).await.expect("services");
    }
    item(&mut other).await.expect("services");
}

#[tokio::test]
async fn more_watches_than_connections_take_turns() {
    let mut server = Server::start().await;
    let connections = NonZeroUsize::new(4).expect("not 0");
    let client = server.client_with(|config| config.with_watch_connections(connections));
    let watches: Vec<_> = (0..12)
        .map(|n| client.health().service(format!("svc-{n}")).watch())
        .collect();
    let (mut asked, mut used, mut open) = (HashSet::new(), HashSet::new(), Vec::new());
    while asked.len() < watches.len() {
        let heard = server.next().await;
        used.insert(heard.connection);
        if heard.parameter("index").is_none() {
            heard.answer("200 OK", 10, "[]");
            continue;
        }
        let wait = heard.parameter("wait").expect("a wait");
        // Once all of them are known, nobody may keep a connection for five minutes.
        if asked.len() > 4 {
            assert_ne!(wait, "300000ms");
        }
        asked.insert(heard.target.split('?').next().expect("a path").to_owned());
        open.push(heard);
        // One of those that wait is always answered, so that the others get their turn.
        if open.len() == 2 {
            let over = open.remove(0);
            if !over.answer.is_closed() {
                over.answer("200 OK", 10, "[]");
            }
        }
    }
    let live = used.len();
    assert!(
        live <= 2 * connections.get(),
        "{live} connections, cut ones included"
    );
}

#[tokio::test]
async fn dropping_the_watch_ends_its_request() {
    let mut server = Server::start().await;
    let watch = server.client().catalog().services().watch();
    server.next().await.answer("200 OK", 10, "{}");
    let mut blocked = server.next().await;
    drop(watch);
    timeout(LONG, blocked.answer.closed())
        .await
        .expect("the client hangs up");
}
