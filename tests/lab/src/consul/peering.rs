//! Two clusters that are each other's cluster peer.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::Agent;
use crate::Error;

/// It takes a tenth of a second on a machine that does nothing else.
const ACTIVE_WITHIN: Duration = Duration::from_secs(90);

impl Agent {
    /// Peers this cluster with that of `other`, and waits until each has the other's roots: here the other is called `theirs`, there
    /// this one is called `ours`.
    ///
    /// # Errors
    /// When either refuses, or they do not find each other in time.
    pub async fn peer_with(&self, other: &Self, theirs: &str, ours: &str) -> Result<(), Error> {
        let token = json!({ "PeerName": theirs });
        let token = self.http().post("/v1/peering/token", &token).await?.ok()?;
        let establish = json!({ "PeerName": ours, "PeeringToken": token["PeeringToken"] });
        other
            .http()
            .post("/v1/peering/establish", &establish)
            .await?
            .ok()?;
        for (agent, name) in [(self, theirs), (other, ours)] {
            let began = Instant::now();
            loop {
                let peering = agent
                    .http()
                    .get(&format!("/v1/peering/{name}"))
                    .await?
                    .ok()?;
                let roots = peering["PeerCAPems"].as_array().map_or(0, Vec::len);
                if peering["State"] == "ACTIVE" && roots > 0 {
                    break;
                }
                if began.elapsed() > ACTIVE_WITHIN {
                    return Err(Error::new(format!("peering with {name}: it is {peering}")));
                }
                sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }
}
