//! A real Consul in which nobody may do anything yet, and what the tests with peers of other makes ask of it.

use std::time::Duration;

use axum::{Router, extract::Request, routing::any};
use mesh_lab::{Agent, DefaultPolicy, Version};
use serde_json::json;
use tokio::time::{Instant, sleep};
use tower_mesh::{Mesh, Peer};

use crate::{
    real::DEADLINE,
    real_mesh::{Source, member},
};

/// A Consul with ACLs, whose intentions deny what no other allows.
#[derive(Debug)]
#[non_exhaustive]
pub struct World {
    /// The agent that everybody uses.
    pub agent: Agent,
}

impl World {
    /// `None` when there is no such Consul here.
    pub async fn start(version: Version) -> Option<Self> {
        let consul = mesh_lab::consul(version)?
            .acl(DefaultPolicy::Deny)
            .default_intention_policy("deny");
        let agent = consul.start().await.expect("an agent");
        Some(Self { agent })
    }

    /// A token with which to be this service.
    pub async fn token(&self, service: &str) -> String {
        self.agent.service_token(service).await.expect("a token")
    }

    /// Says what a service speaks.
    pub async fn protocol(&self, service: &str, protocol: &str) {
        let entry = json!({ "Kind": "service-defaults", "Name": service, "Protocol": protocol });
        self.agent
            .write_config_entry(&entry)
            .await
            .expect("an entry");
    }

    /// Lets `source` call `destination`, or not.
    pub async fn intention(&self, source: &str, destination: &str, allow: bool) {
        let action = if allow { "allow" } else { "deny" };
        self.agent
            .set_intention(source, destination, action)
            .await
            .expect("an intention");
    }

    /// A member of ours with a token of its own, not in the catalog unless it serves.
    pub async fn join(&self, service: &str) -> Mesh {
        let token = self.token(service).await;
        member(&self.agent, service, Source::Grpc, Some(&token))
            .join()
            .await
            .expect("a member")
    }
}

/// Answers every request with who called, how, and how long the body was.
pub fn who_calls() -> Router {
    async fn answer(caller: Peer, request: Request) -> String {
        let (head, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await;
        format!(
            "{} {} by {} over {:?} with {}",
            head.method,
            head.uri.path(),
            caller.id().service(),
            head.version,
            body.map_or(0, |body| body.len())
        )
    }
    Router::new().fallback(any(answer))
}

/// Asks until the answer is `Ok`, prints how long that took, and returns it. The last error is in the panic.
pub async fn becomes<T>(what: &str, mut ask: impl AsyncFnMut() -> Result<T, String>) -> T {
    let began = Instant::now();
    loop {
        match ask().await {
            Ok(answer) => {
                println!("{what}: after {:?}", began.elapsed());
                return answer;
            }
            Err(error) => assert!(
                began.elapsed() < DEADLINE,
                "{what}: not within {DEADLINE:?}, but {error}"
            ),
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// An error and everything that caused it.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
