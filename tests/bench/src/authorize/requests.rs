//! Whole requests of one client: to members with few and with many rules, and to sidecars with and without.

use std::net::SocketAddr;

use mesh_lab::{Agent, Consul, Program, Sidecar, Version, find_consul};
use serde_json::{Value, json};

use super::sets;
use crate::{
    Failure,
    child::Protocol,
    options::Options,
    process,
    table::print,
    ways::{Way, rounds},
};

const MANY: usize = 10_000;

pub(super) async fn run(options: &Options) -> Result<(), Failure> {
    let consul = || Ok::<_, Failure>(Consul::new(find_consul(Version::Newest)?));
    let deny = consul()?.default_intention_policy("deny").start().await?;
    let allow = consul()?.default_intention_policy("allow").start().await?;
    let protocol = options.protocol.unwrap_or(Protocol::Http1);
    let word = protocol.word();
    let application = process::child(["serve", "plain", word], Vec::new())?;
    let address: SocketAddr = process::listening(&application).await?.parse()?;

    let mut members: Vec<Way<'_>> = Vec::new();
    let mut programs: Vec<Program> = Vec::new();
    for (name, service, sources) in [
        ("this SDK, 1 intention", "api-1", vec![web("allow")]),
        ("this SDK, 10,000 intentions", "api-many", many()),
        ("this SDK, 10 permissions", "api-permissions", permitted()),
    ] {
        configure(&deny, service, protocol, sources).await?;
        let server = process::child(["serve", "mesh", word, service], deny.environment())?;
        process::listening(&server).await?;
        let load = ["load", "mesh", word];
        members.push(Way::new(name, &deny, vec![server.id()], &load, &[service]));
        programs.push(server);
    }
    let mut sidecars: Vec<Sidecar> = Vec::new();
    let mut behind: Vec<Way<'_>> = Vec::new();
    for (name, agent, service, sources) in [
        (
            "Envoy, no rule, the default allows",
            &allow,
            "envoy-none",
            vec![],
        ),
        ("Envoy, 1 intention", &deny, "envoy-1", vec![web("allow")]),
        ("Envoy, 10,000 intentions", &deny, "envoy-many", many()),
        (
            "Envoy, 10 permissions",
            &deny,
            "envoy-permissions",
            permitted(),
        ),
    ] {
        let Some(envoy) = mesh_lab::envoy(agent) else {
            break;
        };
        configure(agent, service, protocol, sources).await?;
        let sidecar = envoy.sidecar(service).application(address).start().await?;
        let processes = vec![application.id(), sidecar.process_id()];
        let load = ["load", "mesh", word];
        behind.push(Way::new(name, agent, processes, &load, &[service]));
        sidecars.push(sidecar);
    }

    println!(
        "\n## Requests by rules: {word}, {} at a time, 1 KiB, {} interleaved rounds of {:?}",
        options.at_a_time, options.rounds, options.turn
    );
    let count = members.len();
    members.append(&mut behind);
    let rows = rounds(&members, options).await?;
    print("members", &rows[..count], 0);
    if rows.len() > count {
        print("members' calls of services behind Envoy", &rows[count..], 0);
    }
    Ok(())
}

async fn configure(
    agent: &Agent,
    service: &str,
    protocol: Protocol,
    sources: Vec<Value>,
) -> Result<(), Failure> {
    let entry = json!({
        "Kind": "service-defaults", "Name": service, "Protocol": protocol.configured(),
    });
    agent.write_config_entry(&entry).await?;
    if !sources.is_empty() {
        agent
            .write_config_entry(&sets::entry(service, sources))
            .await?;
    }
    Ok(())
}

fn web(action: &str) -> Value {
    json!({ "Name": "web", "Action": action })
}

/// The caller's is the last one.
fn many() -> Vec<Value> {
    let mut sources = sets::sources(MANY - 1);
    sources.push(web("allow"));
    sources
}

fn permitted() -> Vec<Value> {
    vec![json!({ "Name": "web", "Permissions": sets::permissions("/kilobyte|/bench[.]Bench/.*") })]
}
