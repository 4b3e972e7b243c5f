//! Requests end to end: the same kilobyte asked for and served through each way there is.

use std::net::SocketAddr;

use consul_connect::test_util::TestCa;
use mesh_lab::{Agent, Consul, GoServer, Program, Sidecar, Version, find_consul};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    Failure,
    child::{self, Protocol},
    options::Options,
    process::{self, shown},
    table::print,
    ways::{Load, Way, rounds},
};

/// Intentions beside the one that lets the caller in.
const OTHERS: usize = 10;

pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    println!(
        "## L4: {} requests at a time, 1 KiB, {} interleaved rounds of {:?}",
        options.at_a_time, options.rounds, options.turn
    );
    let agent = Consul::new(find_consul(Version::Newest)?).start().await?;
    let all = Protocol::ALL.into_iter();
    for protocol in all.filter(|&one| options.protocol.is_none_or(|only| one == only)) {
        let world = World::start(&agent, protocol, options.others).await?;
        let rows = rounds(&world.ways, options).await?;
        let connections = child::connections(protocol, options.at_a_time);
        let name = match protocol {
            Protocol::Http1 => "HTTP/1.1",
            Protocol::Http2 => "HTTP/2",
            Protocol::Grpc => "gRPC unary",
        };
        print(&format!("{name}, connections: {connections}"), &rows, 1);
    }
    Ok(())
}

/// Everything that runs for one protocol.
struct World<'a> {
    agent: &'a Agent,
    ways: Vec<Way<'a>>,
    _programs: Vec<Program>,
    _sidecars: Vec<Sidecar>,
    _go: Option<GoServer>,
    _directory: TempDir,
}

impl<'a> World<'a> {
    async fn start(agent: &'a Agent, protocol: Protocol, others: bool) -> Result<Self, Failure> {
        let ca = TestCa::new("11111111-2222-3333-4444-555555555555.consul");
        let directory = tempfile::tempdir()?;
        for service in ["web", "api"] {
            child::write(&ca.material(service), directory.path(), service)?;
        }
        let mut world = Self {
            agent,
            ways: Vec::new(),
            _programs: Vec::new(),
            _sidecars: Vec::new(),
            _go: None,
            _directory: directory,
        };
        let plain = world.bare(protocol).await?;
        world.member(protocol).await?;
        if !others {
            return Ok(world);
        }
        if protocol != Protocol::Grpc {
            world.go(protocol).await?;
        }
        for threads in [1, 2] {
            world.envoys(protocol, threads, plain).await?;
        }
        Ok(world)
    }

    /// hyper, without and with TLS. The first one's process and address serve the sidecars too.
    async fn bare(&mut self, protocol: Protocol) -> Result<(u32, SocketAddr), Failure> {
        let word = protocol.word();
        let plain = process::child(["serve", "plain", word], Vec::new())?;
        let pems = shown(self._directory.path()).to_owned();
        let tls = process::child(["serve", "tls", word, &pems], Vec::new())?;
        let (plain_at, tls_at) = (
            process::listening(&plain).await?,
            process::listening(&tls).await?,
        );
        let found = (plain.id(), plain_at.parse()?);
        self.way(
            "plaintext hyper",
            vec![plain.id()],
            &["load", "plain", word],
            &[&plain_at],
        );
        let name = "bare hyper + rustls (the control)";
        self.way(
            name,
            vec![tls.id()],
            &["load", "tls", word],
            &[&tls_at, &pems],
        );
        self._programs.extend([plain, tls]);
        Ok(found)
    }

    async fn member(&mut self, protocol: Protocol) -> Result<(), Failure> {
        let word = protocol.word();
        let service = format!("api-{word}");
        let entry = json!({ "Kind": "service-defaults", "Name": service, "Protocol": protocol.configured() });
        self.agent.write_config_entry(&entry).await?;
        for other in 0..OTHERS {
            let other = format!("caller-{other}");
            self.agent.set_intention(&other, &service, "deny").await?;
        }
        self.agent.set_intention("web", &service, "allow").await?;
        let server = process::child(["serve", "mesh", word, &service], self.agent.environment())?;
        process::listening(&server).await?;
        let name = "this SDK, intentions and metrics on";
        self.way(
            name,
            vec![server.id()],
            &["load", "mesh", word],
            &[&service],
        );
        self._programs.push(server);
        Ok(())
    }

    async fn go(&mut self, protocol: Protocol) -> Result<(), Failure> {
        let Some(go) = mesh_lab::go_peer(self.agent) else {
            return Ok(());
        };
        let service = format!("go-{}", protocol.word());
        let server = go.serve(&service);
        // Its own default is h2 alone.
        let server = match protocol {
            Protocol::Http1 => server.alpn("none"),
            Protocol::Http2 | Protocol::Grpc => server,
        };
        let server = server.start().await?;
        self.ways.push(Way {
            name: "the Go SDK".to_owned(),
            agent: self.agent,
            processes: vec![server.process_id()],
            load: Load::Go(service),
        });
        self._go = Some(server);
        Ok(())
    }

    async fn envoys(
        &mut self,
        protocol: Protocol,
        threads: u32,
        (plain, address): (u32, SocketAddr),
    ) -> Result<(), Failure> {
        let Some(envoy) = mesh_lab::envoy(self.agent) else {
            return Ok(());
        };
        let word = protocol.word();
        let (api, web) = (
            format!("api-envoy-{word}-{threads}"),
            format!("web-envoy-{word}-{threads}"),
        );
        let api_sidecar = envoy.sidecar(&api).application(address);
        let api_sidecar = api_sidecar.concurrency(threads).start().await?;
        let web_sidecar = envoy.sidecar(&web).upstream(&api);
        let web_sidecar = web_sidecar.concurrency(threads).start().await?;
        self.agent.set_intention(&web, &api, "allow").await?;
        let processes = vec![plain, api_sidecar.process_id(), web_sidecar.process_id()];
        let entrance = web_sidecar.upstream(&api).to_string();
        let name = format!("Envoy pair, tcp, concurrency {threads}");
        self.way(&name, processes, &["load", "plain", word], &[&entrance]);
        self._sidecars.extend([api_sidecar, web_sidecar]);
        Ok(())
    }

    fn way(&mut self, name: &str, processes: Vec<u32>, before: &[&str], after: &[&str]) {
        let way = Way::new(name, self.agent, processes, before, after);
        self.ways.push(way);
    }
}
