//! What Envoy's admin interface says.

use std::net::SocketAddr;

use crate::{Error, Http};

/// `Ok` when Envoy has all its configuration: it is live, nothing is warming, and it listens on these addresses.
pub(super) async fn warm(admin: &Http, listeners: &[SocketAddr]) -> Result<(), Error> {
    let ready = admin.get("/ready").await?;
    if ready.status != 200 || ready.text.trim() != "LIVE" {
        return Err(Error::new(format!("it is {}", ready.text.trim())));
    }
    for warming in [
        "listener_manager.total_listeners_warming",
        "cluster_manager.warming_clusters",
    ] {
        let count = stat(admin, warming).await?;
        if count != 0 {
            return Err(Error::new(format!("{warming} is {count}")));
        }
    }
    let listening = admin.get("/listeners").await?.text;
    for wanted in listeners {
        // `<name>::<address>`, one a line
        if !listening
            .lines()
            .any(|line| line.ends_with(&format!("::{wanted}")))
        {
            return Err(Error::new(format!(
                "it does not listen on {wanted} yet, but on {}",
                listening.split_whitespace().collect::<Vec<_>>().join(", ")
            )));
        }
    }
    Ok(())
}

pub(super) async fn stat(admin: &Http, name: &str) -> Result<u64, Error> {
    let escaped = name.replace('.', r"%5C.");
    let reply = admin
        .get(&format!("/stats?filter=%5E{escaped}$&type=All"))
        .await?;
    if reply.status != 200 {
        return Err(Error::new(format!(
            "asking Envoy for {name}: {} {}",
            reply.status,
            reply.text.trim()
        )));
    }
    // `name: value`
    let value = reply.text.lines().find_map(|line| {
        line.strip_prefix(name)?
            .strip_prefix(": ")?
            .trim()
            .parse()
            .ok()
    });
    Ok(value.unwrap_or_default())
}
