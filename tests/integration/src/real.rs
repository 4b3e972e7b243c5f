//! Clients and members of a real Consul.

use std::time::Duration;

use consul_api::{Client, Config, Token};
use mesh_lab::Agent;
use tokio::time::{Instant, sleep};

/// Far above every figure: a test that reaches it has found something broken.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// A client of the agent's HTTP and gRPC interfaces.
pub fn client(agent: &Agent, token: Option<&str>) -> Client {
    let grpc = agent
        .grpc_addr()
        .to_string()
        .parse()
        .expect("a gRPC address");
    let mut config = Config::new(agent.http_addr().to_string())
        .expect("an address")
        .with_grpc_address(grpc);
    if let Some(token) = token.or(agent.token()) {
        config = config.with_token(Token::new(token));
    }
    Client::new(config).expect("a client")
}

/// Asks until the answer is `Some`, and says how long that took.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> (T, Duration) {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return (answer, began.elapsed());
        }
        assert!(
            began.elapsed() < DEADLINE,
            "{what}: not within {DEADLINE:?}"
        );
        sleep(Duration::from_millis(10)).await;
    }
}
