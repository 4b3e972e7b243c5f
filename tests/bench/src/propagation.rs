//! From a change in Consul to its effect in a member.

use std::time::Duration;

use mesh_lab::{Agent, Consul, Version, find_consul};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};
use tower_mesh::{Mesh, consul_api::Config};

use crate::{
    Failure,
    options::Options,
    rounds::{Samples, now},
};

/// Between two changes: a watch may ask about once a second, and what is measured is a change that nobody waited for.
const APART: Duration = Duration::from_millis(1500);
/// Roots stay in Consul for as long as leafs they signed may live, so there are fewer of these changes.
const MOST_ROOTS: usize = 20;
/// Longer than anything that still works.
const LONG: Duration = Duration::from_secs(30);
/// How often the status of an upstream is looked at, which has no other way of being waited for.
const LOOK: Duration = Duration::from_micros(100);

pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    let agent = Consul::new(find_consul(Version::Newest)?).start().await?;
    let (api, web) = (join(&agent, "api").await?, join(&agent, "web").await?);
    let roots = options.changes.min(MOST_ROOTS);
    println!(
        "### From the moment a change is sent to Consul to its effect in a member: {} changes each, {roots} of roots\n",
        options.changes
    );
    println!("{:<44} {:>13} {:>13} {:>10}", "", "p50", "p99", "p50 ratio");
    let (written, seen) = intentions(&agent, &api, options.changes).await?;
    written.print(&written);
    seen.print(&written);
    let (written, seen) = endpoints(&agent, &web, options.changes).await?;
    written.print(&written);
    seen.print(&written);
    let (written, seen) = rotations(&agent, &api, roots).await?;
    written.print(&written);
    seen.print(&written);
    Ok(())
}

async fn join(agent: &Agent, service: &str) -> Result<Mesh, Failure> {
    let config = Config::new(format!("http://{}", agent.http_addr()))?
        .with_grpc_address(agent.grpc_addr().to_string().parse()?);
    let mesh = Mesh::builder(service).consul(config);
    Ok(mesh.rotation_spread(Duration::ZERO).join().await?)
}

/// One side says how long the write alone took, the other how long it took until it was in force.
type Both = (Samples, Samples);

async fn intentions(agent: &Agent, api: &Mesh, changes: usize) -> Result<Both, Failure> {
    let intentions = api
        .intentions()
        .ok_or("the member has no intentions")?
        .clone();
    let web = "web".parse()?;
    let (mut written, mut seen) = (
        Samples::new("intention: the write"),
        Samples::new("intention: in force"),
    );
    for change in 0..changes {
        sleep(APART).await;
        let allow = change % 2 == 1;
        let began = now();
        let write = async {
            agent
                .set_intention("web", "api", if allow { "allow" } else { "deny" })
                .await?;
            Ok::<_, Failure>(began.elapsed())
        };
        let effect = async {
            let mut generation = intentions.status().generation;
            while intentions.explain_service(&web, None).verdict.is_allow() != allow {
                timeout(LONG, async {
                    while intentions.status().generation == generation {
                        sleep(LOOK).await;
                    }
                })
                .await?;
                generation = intentions.status().generation;
            }
            Ok::<_, Failure>(began.elapsed())
        };
        let (write, effect) = tokio::try_join!(write, effect)?;
        written.push(write);
        seen.push(effect);
    }
    Ok((written, seen))
}

/// Instances that nobody serves: they are only known, never called.
async fn endpoints(agent: &Agent, web: &Mesh, changes: usize) -> Result<Both, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let instance = |id: &str| {
        json!({
            "ID": id, "Name": "many", "Address": address.ip(), "Port": address.port(),
            "Connect": { "Native": true },
        })
    };
    let http = agent.http();
    let register = "/v1/agent/service/register";
    http.put(register, &instance("many-0")).await?.ok()?;
    // Somebody must call it, or nobody follows it.
    let client = web.client("many");
    drop(client.get("/").send().await);
    let usable = || {
        let status = web.status();
        let many = status.upstreams.iter().find(|one| one.name == "many");
        many.map_or(0, |one| one.known)
    };
    let until = async |count: usize| {
        timeout(LONG, async {
            while usable() != count {
                sleep(LOOK).await;
            }
        })
        .await
    };
    until(1).await?;
    let (mut written, mut seen) = (
        Samples::new("endpoint: the write"),
        Samples::new("endpoint: in force"),
    );
    for change in 0..changes {
        sleep(APART).await;
        let there = change % 2 == 0;
        let began = now();
        let write = async {
            let path = if there {
                register
            } else {
                "/v1/agent/service/deregister/many-1"
            };
            let body = if there {
                instance("many-1")
            } else {
                Value::Null
            };
            http.put(path, &body).await?.ok()?;
            Ok::<_, Failure>(began.elapsed())
        };
        let effect = async {
            until(if there { 2 } else { 1 }).await?;
            Ok::<_, Failure>(began.elapsed())
        };
        let (write, effect) = tokio::try_join!(write, effect)?;
        written.push(write);
        seen.push(effect);
    }
    Ok((written, seen))
}

async fn rotations(agent: &Agent, api: &Mesh, changes: usize) -> Result<Both, Failure> {
    let (mut written, mut seen) = (
        Samples::new("root: the write"),
        Samples::new("root: trusted"),
    );
    for change in 0..changes {
        sleep(APART).await;
        let bits = if change % 2 == 0 { 384 } else { 256 };
        let known = api.identity().current().roots().len();
        let mut generations = api.identity().changes();
        let began = now();
        let write = async {
            let config = json!({ "PrivateKeyType": "ec", "PrivateKeyBits": bits });
            agent.configure_ca(&config).await?;
            Ok::<_, Failure>(began.elapsed())
        };
        let effect = async {
            while api.identity().current().roots().len() == known {
                timeout(LONG, generations.changed()).await??;
            }
            Ok::<_, Failure>(began.elapsed())
        };
        let (write, effect) = tokio::try_join!(write, effect)?;
        written.push(write);
        seen.push(effect);
    }
    Ok((written, seen))
}
