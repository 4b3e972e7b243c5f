//! A world to look at: a real Consul, the example services, and one that has never heard of us, behind Envoy.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::Stdio,
};

use crate::Failure;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use mesh_lab::{Agent, Component, Consul, Program, Sidecar, Version, find_component, find_consul};
use serde_json::json;
use tokio::{net::TcpListener, process::Command, task::JoinSet};

const EXAMPLES: [&str; 3] = ["inventory", "orders", "edge"];

/// What runs. Dropping it ends all of it.
pub(crate) struct World {
    // Those that call are dropped before what they call.
    programs: Vec<(&'static str, Program)>,
    sidecar: Option<Sidecar>,
    _legacy: JoinSet<()>,
    agent: Agent,
}

impl World {
    /// Starts everything and prints how to reach it.
    pub(crate) async fn start() -> Result<Self, Failure> {
        let examples = build_examples().await?;
        let agent = Consul::new(find_consul(Version::Newest)?).start().await?;
        for (service, protocol) in [
            ("edge", "http"),
            ("orders", "http"),
            ("inventory", "grpc"),
            ("legacy", "http"),
        ] {
            let entry =
                json!({ "Kind": "service-defaults", "Name": service, "Protocol": protocol });
            agent.write_config_entry(&entry).await?;
        }

        let mut legacy = JoinSet::new();
        let sidecar = match find_component(Component::Envoy) {
            Ok(_) => Some(behind_envoy(&agent, &mut legacy).await?),
            Err(missing) => {
                println!("without Envoy, as {missing}");
                None
            }
        };
        let mut world = Self {
            programs: Vec::new(),
            sidecar,
            _legacy: legacy,
            agent,
        };
        for name in EXAMPLES {
            let program = examples
                .get(name)
                .ok_or_else(|| format!("starting {name}: cargo has not built it"))?;
            let mut variables = world.agent.environment();
            variables.push(("EDGE_ADDR", "127.0.0.1:0".to_owned()));
            let program = Program::start(program, [] as [&str; 0], variables)?;
            world.programs.push((name, program));
        }
        Ok(world)
    }

    /// Waits until the outermost service can be called, then says how.
    pub(crate) async fn introduce(&self) -> Result<(), Failure> {
        let mut edge = String::new();
        for (name, program) in &self.programs {
            if *name == "edge" {
                edge = program.says("try ").await?;
            }
        }
        println!("\nConsul's UI   http://{}/ui", self.agent.http_addr());
        println!("edge          {edge}");
        if let Some(sidecar) = &self.sidecar {
            println!(
                "legacy        behind Envoy; as it, through Envoy, to orders: curl http://{}/left/apples",
                sidecar.upstream("orders")
            );
            println!("Envoy         http://{}", sidecar.admin_addr());
        }
        println!(
            "deny          curl -X PUT '{}' -d '{{\"Action\":\"deny\"}}'",
            self.intention("edge", "orders")
        );
        println!(
            "allow again   curl -X DELETE '{}'",
            self.intention("edge", "orders")
        );
        println!("\nFor another program in this mesh:");
        for (name, value) in self.agent.environment() {
            println!("export {name}={value}");
        }
        println!("\nAll of it ends with ctrl-c.");
        Ok(())
    }

    fn intention(&self, source: &str, destination: &str) -> String {
        format!(
            "http://{}/v1/connect/intentions/exact?source={source}&destination={destination}",
            self.agent.http_addr()
        )
    }

    /// Asks everything to end, those that call first, and waits for it.
    pub(crate) async fn stop(self) -> Result<(), Failure> {
        for (name, program) in self.programs.iter().rev() {
            if program.exited()?.is_none() {
                program.terminate()?;
                let status = program.ended().await?;
                println!("{name} has ended: {status}");
            }
        }
        if let Some(sidecar) = self.sidecar {
            sidecar.stop().await?;
        }
        Ok(self.agent.kill().await?)
    }
}

/// `legacy` answers in plaintext, its sidecar does the rest, and lets it call `orders`.
async fn behind_envoy(agent: &Agent, tasks: &mut JoinSet<()>) -> Result<Sidecar, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address: SocketAddr = listener.local_addr()?;
    tasks.spawn(async move {
        let mut open = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            open.spawn(async move {
                let service = service_fn(answer);
                // A client that leaves in the middle is not our concern.
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    let envoy = mesh_lab::envoy(agent).ok_or("starting legacy: Envoy or Consul is missing")?;
    let sidecar = envoy.sidecar("legacy").application(address);
    Ok(sidecar.upstream("orders").start().await?)
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let caller = request.headers().get("x-forwarded-client-cert");
    let caller = caller
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').find_map(|part| part.strip_prefix("URI=")))
        .unwrap_or("nobody known");
    Ok(Response::new(Full::new(Bytes::from(format!(
        "legacy was asked for {} by {caller}\n",
        request.uri().path()
    )))))
}

/// The examples as programs, by name.
async fn build_examples() -> Result<BTreeMap<String, PathBuf>, Failure> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "build",
            "-p",
            "mesh-examples",
            "--message-format=json-render-diagnostics",
        ])
        .args(EXAMPLES.map(|name| format!("--example={name}")))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await?;
    if !output.status.success() {
        return Err(format!(
            "building the examples: cargo ended with {}, see above; it is to be run in the workspace",
            output.status
        )
        .into());
    }
    let lines = String::from_utf8_lossy(&output.stdout);
    let messages = lines
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    Ok(messages
        .filter_map(|message| {
            let name = message["target"]["name"].as_str()?.to_owned();
            Some((name, message["executable"].as_str()?.into()))
        })
        .collect())
}
