//! `mesh-soak [MINUTES]`: members of a real Consul's mesh under load, for as long as it takes to see what grows.
//!
//! Each minute the authority changes to its other root and back, an intention is denied and allowed again, and an instance
//! comes and goes; options make each of them rare, frequent, or never, to tell who makes it grow. What this process has, which
//! holds callers and called, is sampled; the slope of the second half is what counts, because caches fill in the first. Ends
//! with failure if a request failed.

mod disturb;
mod options;
mod sample;

use std::{process::ExitCode, time::Duration};

use axum::{Router, routing::get};
use mesh_lab::{Version, load::Load};
use mesh_tests::{InventoryClient, InventoryServer, real_mesh::serving};
use tokio::time::{Instant, interval};
use tower_mesh::Peer;

use disturb::{CLUSTER, Happened, disturb, joined, roots};
use options::{Options, USAGE};
use sample::{Sample, an_hour};

const WORKERS: usize = 16;
const SAMPLES: u32 = 180;

fn app() -> Router {
    tonic::service::Routes::new(InventoryServer::default())
        .into_axum_router()
        .route(
            "/",
            get(async |caller: Peer| caller.id().service().to_string()),
        )
}

#[tokio::main]
async fn main() -> ExitCode {
    let Some(options) = Options::parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    let Some(consul) = mesh_lab::consul(Version::Newest) else {
        return ExitCode::FAILURE;
    };
    let roots = roots();
    let consul = consul.ca(&roots[0]).cluster_id(CLUSTER);
    let agent = consul.start().await.expect("a Consul");
    let (one, two, web) = tokio::join!(
        joined(&agent, "api"),
        joined(&agent, "api"),
        joined(&agent, "web")
    );
    let _served = (serving(&one, app()).await, serving(&two, app()).await);
    let (http, grpc) = (web.client("api"), InventoryClient::new(web.client("api")));
    let load = Load::new(WORKERS).rate(options.rate).start(move |n| {
        let (http, mut grpc) = (http.clone(), grpc.clone());
        async move {
            if n.is_multiple_of(2) {
                let called = grpc.count("lamp").await.map(drop);
                return called.map_err(|status| format!("gRPC {:?}", status.code()));
            }
            let text = async { http.get("/").send().await?.error_for_status()?.text().await };
            let text = text.await.map_err(|error| format!("{:?}", error.kind()))?;
            (text == "web").then_some(()).ok_or(text)
        }
    });

    let happened = Happened::default();
    let samples = tokio::select! {
        samples = sampled(options.length) => samples,
        () = disturb(&agent, &roots, options, &happened) => unreachable!("it goes on for ever"),
    };
    let report = load.stop(Duration::from_secs(30)).await;
    println!("{report}");
    println!("{happened}");
    let second = &samples[samples.len() / 2..];
    println!(
        "second half, an hour: heap {:+.0} KiB, resident {:+.0} KiB, tasks {:+.1}, descriptors {:+.1}",
        an_hour(second, |sample| sample.heap_kib),
        an_hour(second, |sample| sample.resident_kib),
        an_hour(second, |sample| sample.tasks),
        an_hour(second, |sample| sample.descriptors),
    );
    println!("{}", web.status());
    if report.failed() > 0 {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

async fn sampled(length: Duration) -> Vec<Sample> {
    let began = Instant::now();
    let mut ticks = interval((length / SAMPLES).max(Duration::from_millis(100)));
    let mut samples = Vec::with_capacity(SAMPLES as usize + 1);
    println!("{}", Sample::HEADER);
    while began.elapsed() < length {
        ticks.tick().await;
        let sample = Sample::now(began.elapsed());
        println!("{sample}");
        samples.push(sample);
    }
    samples
}
