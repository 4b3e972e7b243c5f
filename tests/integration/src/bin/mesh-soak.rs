//! `mesh-soak [MINUTES]`: members of a real Consul's mesh under load, for as long as it takes to see what grows.
//!
//! Each minute the authority gets another root, an intention is denied and allowed again, and an instance comes and goes. Memory,
//! tasks and descriptors of this process, which holds callers and called, are sampled; the slope of the second half is what
//! counts, because caches fill in the first. Ends with failure if a request failed.

use std::{fs, process::ExitCode, time::Duration};

use axum::{Router, routing::get};
use mesh_lab::{Agent, Version, load::Load};
use mesh_tests::{
    InventoryClient, InventoryServer,
    real_mesh::{Source, member, serving},
};
use serde_json::json;
use tokio::time::{Instant, interval, sleep};
use tower_mesh::{Mesh, Peer};

/// Requests a second: little enough that the machine is not what is measured.
const RATE: f64 = 400.0;
const WORKERS: usize = 16;
const SAMPLE: Duration = Duration::from_secs(10);

fn app() -> Router {
    tonic::service::Routes::new(InventoryServer::default())
        .into_axum_router()
        .route(
            "/",
            get(async |caller: Peer| caller.id().service().to_string()),
        )
}

/// What the process has at one moment.
#[derive(Clone, Copy)]
struct Sample {
    at: Duration,
    resident_kib: f64,
    tasks: usize,
    descriptors: usize,
}

impl Sample {
    fn now(at: Duration) -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident = status.lines().find_map(|line| {
            let value = line.strip_prefix("VmRSS:")?;
            value.trim().trim_end_matches(" kB").parse().ok()
        });
        Self {
            at,
            resident_kib: resident.unwrap_or(f64::NAN),
            tasks: tokio::runtime::Handle::current()
                .metrics()
                .num_alive_tasks(),
            descriptors: fs::read_dir("/proc/self/fd").map_or(0, Iterator::count),
        }
    }
}

/// Least squares: KiB an hour.
fn slope(samples: &[Sample]) -> f64 {
    let hours = |sample: &Sample| sample.at.as_secs_f64() / 3600.0;
    let count = samples.iter().map(|_| 1.0).sum::<f64>();
    let mean_x = samples.iter().map(hours).sum::<f64>() / count;
    let mean_y = samples.iter().map(|s| s.resident_kib).sum::<f64>() / count;
    let covariance = |s: &Sample| (hours(s) - mean_x) * (s.resident_kib - mean_y);
    let variance = |s: &Sample| (hours(s) - mean_x).powi(2);
    samples.iter().map(covariance).sum::<f64>() / samples.iter().map(variance).sum::<f64>()
}

/// One minute's changes.
async fn disturb(agent: &Agent, round: u64) {
    let bits = if round.is_multiple_of(2) { 384 } else { 256 };
    let key = json!({ "PrivateKeyType": "ec", "PrivateKeyBits": bits });
    if let Err(error) = agent.configure_ca(&key).await {
        println!("rotating: {error:?}");
    }
    for action in ["deny", "allow"] {
        let nobody = format!("nobody-{}", round % 3);
        if let Err(error) = agent.set_intention(&nobody, "api", action).await {
            println!("writing an intention: {error:?}");
        }
        sleep(Duration::from_secs(5)).await;
    }
    let passing = joined(agent, "api").await;
    let served = serving(&passing, app()).await;
    sleep(Duration::from_secs(15)).await;
    passing.shutdown().await;
    if let Ok(Err(error)) = served.await {
        println!("an instance that came and went: {error}");
    }
}

async fn joined(agent: &Agent, service: &str) -> Mesh {
    let builder = member(agent, service, Source::Grpc, None).drain_grace(Duration::from_secs(2));
    builder.join().await.expect("joined")
}

#[tokio::main]
async fn main() -> ExitCode {
    let minutes: u64 = std::env::args()
        .nth(1)
        .map_or(30, |text| text.parse().expect("a number of minutes"));
    let Some(consul) = mesh_lab::consul(Version::Newest) else {
        return ExitCode::FAILURE;
    };
    let agent = consul.start().await.expect("a Consul");
    let (one, two, web) = tokio::join!(
        joined(&agent, "api"),
        joined(&agent, "api"),
        joined(&agent, "web")
    );
    let _served = (serving(&one, app()).await, serving(&two, app()).await);
    let (http, grpc) = (web.client("api"), InventoryClient::new(web.client("api")));
    let load = Load::new(WORKERS).rate(RATE).start(move |n| {
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

    let began = Instant::now();
    let end = Duration::from_secs(minutes * 60);
    let disturbing = {
        let agent = &agent;
        async move {
            let mut minute = interval(Duration::from_secs(60));
            for round in 0.. {
                minute.tick().await;
                disturb(agent, round).await;
            }
        }
    };
    let sampling = async {
        let (mut ticks, mut samples) = (interval(SAMPLE), Vec::new());
        println!(
            "{:>8} {:>12} {:>8} {:>12}",
            "s", "resident KiB", "tasks", "descriptors"
        );
        while began.elapsed() < end {
            ticks.tick().await;
            let sample = Sample::now(began.elapsed());
            let Sample {
                at,
                resident_kib,
                tasks,
                descriptors,
            } = sample;
            println!(
                "{:>8} {resident_kib:>12} {tasks:>8} {descriptors:>12}",
                at.as_secs()
            );
            samples.push(sample);
        }
        samples
    };
    let samples = tokio::select! {
        samples = sampling => samples,
        () = disturbing => unreachable!("it goes on for ever"),
    };
    let report = load.stop(Duration::from_secs(30)).await;
    println!("{report}");
    println!(
        "second half: {:+.0} KiB an hour",
        slope(&samples[samples.len() / 2..]),
    );
    println!("{}", web.status());
    if report.failed() > 0 {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
