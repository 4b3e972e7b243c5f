//! One of three instances ends: in good order, or killed.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper_util::{client::legacy::Client as Plain, rt::TokioExecutor};
use mesh_lab::{Agent, Program, Version, load::Load};
use mesh_tests::{
    hosts::log,
    peers::becomes,
    real_mesh::{Source, member},
    traffic::Traffic,
};
use serde_json::json;
use tokio::time::Instant;

/// Requests at the same time.
const WORKERS: usize = 24;

fn instance(agent: &Agent) -> Program {
    let program = env!("CARGO_BIN_EXE_mesh-member");
    Program::start(program, ["api"], agent.environment()).unwrap()
}

async fn three(agent: &Agent) -> [Program; 3] {
    let all = [instance(agent), instance(agent), instance(agent)];
    for one in &all {
        one.says("ready").await.unwrap();
    }
    all
}

async fn found(client: &tower_mesh::Client, count: usize) {
    becomes("the instances are found", async || {
        client.resolved().await.map_err(|error| error.to_string())?;
        let usable = client.status().usable.len();
        (usable == count).then_some(()).ok_or(format!("{usable}"))
    })
    .await;
}

#[tokio::test]
async fn no_request_fails_when_one_of_three_instances_is_asked_to_end() {
    let Some(consul) = mesh_lab::consul(Version::Newest) else {
        return;
    };
    let agent = consul.start().await.unwrap();
    let entry = json!({ "Kind": "service-defaults", "Name": "api", "Protocol": "http" });
    agent.write_config_entry(&entry).await.unwrap();
    let instances = three(&agent).await;
    let caller = member(&agent, "caller", Source::Grpc, None)
        .join()
        .await
        .unwrap();
    found(&caller.client("api"), 3).await;
    let traffic = Traffic::to(&caller, "api").await;
    let ours = traffic.start(Load::new(WORKERS).rate(600.0));

    let sidecar = match mesh_lab::envoy(&agent) {
        Some(envoy) => Some(envoy.sidecar("web").upstream("api").start().await.unwrap()),
        None => None,
    };
    let plain = Plain::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let through_envoy = sidecar.as_ref().map(|sidecar| {
        let uri = format!("http://{}/", sidecar.upstream("api"));
        Load::new(8).rate(200.0).start(move |_| {
            let (plain, request) = (plain.clone(), Request::get(&uri).body(Empty::new()));
            async move {
                let response = plain.request(request.unwrap()).await;
                let response = response.map_err(|error| error.to_string())?;
                let status = response.status();
                let body = response.into_body().collect().await;
                let body = body.map_err(|error| error.to_string())?.to_bytes();
                let text = String::from_utf8_lossy(&body).into_owned();
                status
                    .is_success()
                    .then_some(())
                    .ok_or(format!("{status} {text}"))
            }
        })
    });
    // Whether Envoy has its endpoints yet is not what is asked here.
    if let Some(load) = &through_envoy {
        load.until_done(200).await;
        assert_eq!(load.report().failed(), 0, "{}", load.report());
    }
    ours.until_done(600).await;

    let told = Instant::now();
    instances[0].terminate().unwrap();
    let status = instances[0].ended().await.unwrap();
    assert!(status.success(), "{}", instances[0].output());
    println!("ended {:?} after SIGTERM", told.elapsed());
    found(&caller.client("api"), 2).await;
    let after = ours.report().done() + 600;
    ours.until_done(after).await;
    let report = ours.stop(Duration::from_secs(20)).await;
    println!(
        "ours: {report}; {:?} connections and requests sent again",
        traffic.http1_counts()
    );
    assert_eq!((report.failed(), report.in_flight()), (0, 0), "{report}");
    if let Some(load) = through_envoy {
        let report = load.stop(Duration::from_secs(20)).await;
        println!("through Envoy: {report}");
        assert_eq!((report.failed(), report.in_flight()), (0, 0), "{report}");
    }
}

#[tokio::test]
async fn when_an_instance_is_killed_only_what_it_had_and_may_not_be_sent_again_fails() {
    let Some(consul) = mesh_lab::consul(Version::Newest) else {
        return;
    };
    let agent = consul.start().await.unwrap();
    let instances = three(&agent).await;
    let caller = member(&agent, "caller", Source::Grpc, None)
        .join()
        .await
        .unwrap();
    found(&caller.client("api"), 3).await;
    let log = log();
    let traffic = Traffic::to(&caller, "api").await;
    let calls = std::sync::Arc::clone(&traffic);
    let load = Load::new(WORKERS).rate(600.0).start(move |number| {
        let calls = std::sync::Arc::clone(&calls);
        async move {
            match number % 4 {
                0 => calls.http1().await,
                1 => calls.http2().await,
                2 => calls.grpc().await,
                _ => calls.post(20).await,
            }
        }
    });
    load.until_done(600).await;
    assert_eq!(load.report().failed(), 0, "{}", load.report());
    instances[1].kill().unwrap();
    let killed = load.report().done();
    load.until_done(killed + 1800).await;
    let report = load.stop(Duration::from_secs(20)).await;
    println!("{report}");
    // Both are POSTs: whether they were acted on nobody knows, and that is what the error says.
    let may_fail = report.failed_as("post sent") + report.failed_as("grpc Unavailable");
    assert_eq!(report.failed(), may_fail, "{report}");
    assert!(may_fail <= WORKERS as u64, "{report}");
    assert_eq!(report.in_flight(), 0, "{report}");
    let lines = log.take();
    println!("{} lines of log", lines.len());
    assert!(lines.len() <= 30, "{}", lines.join("\n"));
}
