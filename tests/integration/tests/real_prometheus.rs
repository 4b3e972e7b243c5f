//! A real Prometheus scrapes members under a real Consul, and knows what happened.

use std::time::{Duration, SystemTime};

use axum::{Router, routing::get};
use mesh_lab::{RunningPrometheus, Version};
use mesh_tests::{
    peers::{World, becomes},
    real_mesh::{Source, member, serving},
};
use tokio::{net::TcpStream, task::JoinSet, time::sleep};
use tower_mesh::metrics;

/// What every request takes at least, and how many there are.
const SLOW: Duration = Duration::from_millis(30);
const REQUESTS: usize = 120;
/// How many connections the callee takes.
const CONNECTIONS: usize = 16;

/// Asks until the answer is one series with a value that is right.
async fn is(prometheus: &RunningPrometheus, query: &str, right: impl Fn(f64) -> bool) -> f64 {
    becomes(query, async || {
        let answer = prometheus.query(query).await.map_err(|e| e.to_string())?;
        match &answer[..] {
            [one] if right(one.value) => Ok(one.value),
            other => Err(format!("{other:?}")),
        }
    })
    .await
}

#[tokio::test]
async fn prometheus_knows_what_members_did() {
    let Some(world) = World::start(Version::Newest).await else {
        return;
    };
    let Some(prometheus) = mesh_lab::prometheus() else {
        return;
    };
    world.protocol("api", "http").await;
    let join = async |service: &str| {
        let token = world.token(service).await;
        let member = member(&world.agent, service, Source::Grpc, Some(&token));
        let member = member.max_connections(CONNECTIONS).admin(0);
        member.join().await.expect("a member")
    };
    let (api, web) = (join("api").await, join("web").await);
    let slow = get(async || {
        // The work: what is measured must be long enough to be told from nothing.
        sleep(SLOW).await;
        "done"
    });
    let served = serving(&api, Router::new().route("/slow", slow)).await;
    let scraped = [&api, &web].map(|mesh| mesh.admin_addr().expect("an admin listener"));
    let prometheus = prometheus.scrape(scraped[0]).scrape(scraped[1]);
    let prometheus = prometheus.start().await.unwrap();
    for target in scraped {
        is(&prometheus, &format!("up{{instance=\"{target}\"}}"), |up| {
            up == 1.0
        })
        .await;
    }

    let client = web.client("api");
    becomes("denied", async || match client.get("/slow").send().await {
        Ok(response) if response.status() == 403 => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    world.intention("web", "api", true).await;
    becomes("allowed", async || match client.get("/slow").send().await {
        Ok(response) if response.status() == 200 => {
            response.text().await.map_err(|e| e.to_string())
        }
        other => Err(format!("{other:?}")),
    })
    .await;
    let mut load = JoinSet::new();
    for _ in 0..8 {
        let client = client.clone();
        load.spawn(async move {
            for _ in 0..REQUESTS / 8 {
                let response = client.get("/slow").send().await.expect("a response");
                assert_eq!(response.text().await.expect("text"), "done");
            }
        });
    }
    load.join_all().await;

    // One more than those of the loop: the one that found the door open.
    let all = REQUESTS as f64 + 1.0;
    for (service, direction, peer) in [("api", "in", "web"), ("web", "out", "api")] {
        let labels = format!("service=\"{service}\",direction=\"{direction}\",peer=\"{peer}\"");
        let requests = format!("{}{{{labels},code=\"200\"}}", metrics::REQUESTS);
        is(&prometheus, &requests, |count| count == all).await;
        let p99 = format!(
            "histogram_quantile(0.99, sum by (le) ({}_bucket{{{labels}}}))",
            metrics::REQUEST_SECONDS
        );
        let p99 = is(&prometheus, &p99, |p99| {
            p99 >= SLOW.as_secs_f64() && p99 < 5.0
        })
        .await;
        println!("  p99 {p99} s");
    }
    let allowed = format!(
        "sum({}{{service=\"api\",decision=\"allow\",reason=\"intention\"}})",
        metrics::DECISIONS
    );
    is(&prometheus, &allowed, |count| count >= all).await;
    let denied = format!(
        "sum({}{{service=\"api\",decision=\"deny\"}})",
        metrics::DECISIONS
    );
    is(&prometheus, &denied, |count| count >= 1.0).await;
    for (service, mesh) in [("api", &api), ("web", &web)] {
        let of = |name: &str| format!("{name}{{service=\"{service}\"}}");
        // The leaf may be renewed between two scrapes, never back.
        let end = |mesh: &tower_mesh::Mesh| mesh.status().identity.leaf_not_after.as_secs();
        let seen = is(&prometheus, &of(metrics::LEAF_NOT_AFTER), |seen| {
            seen == end(mesh) as f64
        })
        .await;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let left = seen - now.unwrap().as_secs_f64();
        println!("  the leaf of {service} is valid for another {left:.0} s");
        assert!(left > 0.0 && left < 73.0 * 3600.0);
        is(&prometheus, &of(metrics::ROOTS), |roots| roots == 1.0).await;
    }
    is(
        &prometheus,
        &format!("{}{{service=\"api\"}}", metrics::READY),
        |ready| ready == 1.0,
    )
    .await;
    let usable = format!(
        "{}{{service=\"web\",peer=\"api\",state=\"usable\"}}",
        metrics::ENDPOINTS
    );
    is(&prometheus, &usable, |count| count == 1.0).await;

    // What only happens when something is wrong: a limit is reached, and a connection is ended.
    let address = web.status().upstreams[0].usable[0].name.clone();
    let address = address.split(' ').next().expect("an address").to_owned();
    let mut silent = Vec::new();
    becomes("more connections than are taken", async || {
        for _ in 0..=CONNECTIONS {
            silent.push(
                TcpStream::connect(&address)
                    .await
                    .map_err(|e| e.to_string())?,
            );
        }
        let sheds = format!("sum({}{{service=\"api\"}})", metrics::SHEDS);
        let sheds = prometheus.query(&sheds).await.map_err(|e| e.to_string())?;
        sheds.first().map(drop).ok_or_else(|| "none".to_owned())
    })
    .await;
    drop(silent);
    world.intention("web", "api", false).await;
    let ended = format!("sum({}{{service=\"api\"}})", metrics::CONNECTIONS_ENDED);
    is(&prometheus, &ended, |count| count >= 1.0).await;

    let names = prometheus.names().await.unwrap();
    for name in metrics::ALL {
        let found = |suffix: &str| names.contains(&format!("{name}{suffix}"));
        assert!(found("") || found("_bucket"), "{name} is not in {names:?}");
    }
    api.shutdown().await;
    served.await.unwrap().unwrap();
}
