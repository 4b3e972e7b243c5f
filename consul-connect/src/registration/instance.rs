//! What tells one instance of a service from another.

use crate::ServiceName;

/// The same after a restart, another one for every other instance that can be on the same agent.
pub(super) fn id(service: &ServiceName, host: &str, address: Option<&str>, port: u16) -> String {
    let mut id = format!("{service}-{host}-");
    if let Some(address) = address.filter(|address| *address != host) {
        id.push_str(address);
        id.push('-');
    }
    id.push_str(&port.to_string());
    // Ids are parts of URL paths and of file names of the agent.
    id.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "-_.".contains(c) {
                c
            } else {
                '-'
            }
        })
        .collect()
}

/// The name of this host, or of this container. Never empty.
pub(super) fn host() -> String {
    let of_kernel = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let of_environment = |name| std::env::var(name).ok();
    of_kernel()
        .or_else(|| of_environment("HOSTNAME"))
        .or_else(|| of_environment("COMPUTERNAME"))
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web() -> ServiceName {
        "web".parse().expect("a name")
    }

    #[test]
    fn instances_on_one_agent_differ_by_host_address_and_port() {
        let ids = [
            id(&web(), "h1", None, 80),
            id(&web(), "h2", None, 80),
            id(&web(), "h1", None, 81),
            id(&web(), "h1", Some("10.0.0.1"), 80),
            id(&web(), "h1", Some("10.0.0.2"), 80),
        ];
        let distinct: std::collections::HashSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
        assert_eq!(ids[0], "web-h1-80");
    }

    #[test]
    fn an_id_is_made_of_characters_that_fit_into_a_path() {
        assert_eq!(id(&web(), "h/1", Some("fe80::1"), 80), "web-h-1-fe80--1-80");
    }

    #[test]
    fn every_host_has_a_name() {
        assert!(!host().is_empty());
        assert_eq!(host(), host().trim());
    }
}
