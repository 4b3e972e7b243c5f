//! What it takes to ask the agent about a connection, as Consul's own SDKs do.

use std::time::Duration;

use consul_api::{Client, Config};
use mesh_lab::{Consul, Version, find_consul};

use super::sets;
use crate::{
    Failure,
    rounds::{Samples, now},
};

const CALLS: usize = 500;

pub(super) async fn run() -> Result<(), Failure> {
    let agent = Consul::new(find_consul(Version::Newest)?).start().await?;
    let client = Client::new(Config::new(agent.http_addr().to_string())?)?;
    let roots = client.connect_ca().roots().await?.into_value();
    println!("\nasking the agent instead, over one connection, {CALLS} calls each\n");
    println!("{:<44} {:>13} {:>13} {:>10}", "", "p50", "p99", "p50 ratio");
    let mut control = None;
    for (name, count) in [
        ("the agent's authorize, 1 intention", 1),
        ("the agent's authorize, 10,000 intentions", 10_000),
    ] {
        let service = format!("api-{count}");
        agent
            .write_config_entry(&sets::entry(&service, sets::sources(count)))
            .await?;
        // The one that is named last.
        let caller = sets::caller(count - 1);
        let uri = format!(
            "spiffe://{}/ns/default/dc/dc1/svc/{caller}",
            roots.trust_domain
        );
        let mut samples = Samples::new(name);
        for _ in 0..CALLS {
            let began = now();
            let asked = client
                .agent()
                .connect_authorize(service.as_str(), uri.as_str(), "01")
                .await?;
            if !asked.value.authorized {
                return Err(format!("{name}: {}", asked.value.reason).into());
            }
            samples.push(began.elapsed());
            // The agent limits nobody here, and is to have its own work done.
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        samples.print(control.as_ref().unwrap_or(&samples));
        control.get_or_insert(samples);
    }
    Ok(())
}
