//! `consul-dev` answers as the real Consul does: the same calls to both, replies compared whole.
//!
//! Statuses, header names, the values of headers that say something, and bodies are equal, but for what is random or
//! counted (indexes, hashes, keys, times) and for the differences listed, with their reasons, in `allowed.rs`.

#[path = "real_consul_dev_parity/allowed.rs"]
mod allowed;
#[path = "real_consul_dev_parity/calls.rs"]
mod calls;
#[path = "real_consul_dev_parity/compare.rs"]
mod compare;
#[path = "real_consul_dev_parity/wire.rs"]
mod wire;

use std::time::Duration;

use calls::{Call, Who};
use compare::{Side, differences};
use consul_dev::{ConsulDev, Policy};
use mesh_lab::{DefaultPolicy, Version};

const NODE: &str = "parity-node";

/// Anti-entropy of the real agent is asynchronous: a read that differs is repeated for this long.
const SETTLE: Duration = Duration::from_secs(3);

async fn compare_all(real: &mut Side, dev: &mut Side, calls: &[Call]) {
    let mut report = Vec::new();
    let mut compared = 0;
    for call in calls {
        compared += 1;
        let started = tokio::time::Instant::now();
        loop {
            let (theirs, ours) = tokio::join!(real.send(call), dev.send(call));
            let found = differences(call, real, &theirs, dev, &ours);
            let repeatable = call.method == "GET" && !call.path.contains("{index}");
            if found.is_empty() || !repeatable || started.elapsed() > SETTLE {
                real.remember(&theirs);
                dev.remember(&ours);
                if !found.is_empty() {
                    report.push(format!("{call}\n    {}", found.join("\n    ")));
                }
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    println!("{compared} calls compared, {} differ", report.len());
    assert!(report.is_empty(), "\n{}", report.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_without_acls_are_those_of_the_real_one() {
    let Some(consul) = mesh_lab::consul(Version::Newest) else {
        return;
    };
    let real = consul.node_name(NODE).start().await.expect("real Consul");
    let dev = ConsulDev::builder()
        .node(NODE)
        .start()
        .await
        .expect("consul-dev");
    let mut theirs = Side::new(real.http_addr(), real.grpc_addr()).await;
    let mut ours = Side::new(dev.http_socket_addr(), dev.grpc_socket_addr()).await;
    compare_all(&mut theirs, &mut ours, &calls::without_acls()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_under_acls_are_those_of_the_real_one() {
    let Some(consul) = mesh_lab::consul(Version::Newest) else {
        return;
    };
    let real = consul
        .node_name(NODE)
        .acl(DefaultPolicy::Deny)
        .default_intention_policy("deny")
        .start()
        .await
        .expect("real Consul");
    let dev = ConsulDev::builder()
        .node(NODE)
        .acl(true)
        .default_intention_allow(false)
        .start()
        .await
        .expect("consul-dev");
    let mut theirs = Side::new(real.http_addr(), real.grpc_addr()).await;
    let mut ours = Side::new(dev.http_socket_addr(), dev.grpc_socket_addr()).await;

    theirs.token(Who::Management, real.token().expect("ACLs are on"));
    ours.token(Who::Management, dev.management_token());
    let tokens = [
        (
            Who::Web,
            r#"service "web" { policy = "write" }"#,
            Policy::new().service_write("web"),
        ),
        (
            Who::Reader,
            r#"service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }"#,
            Policy::new().service_prefix_read("").node_prefix_read(""),
        ),
        (
            Who::Nodeless,
            r#"service_prefix "" { policy = "read" }"#,
            Policy::new().service_prefix_read(""),
        ),
    ];
    for (who, rules, policy) in tokens {
        let secret = real.token_with_rules(rules).await.expect("token");
        theirs.token(who, &secret);
        ours.token(who, &dev.create_token(policy).secret_id);
    }
    compare_all(&mut theirs, &mut ours, &calls::with_acls()).await;
}
