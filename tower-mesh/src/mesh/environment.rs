//! Where this process runs, and what follows for its registration.

use std::{
    collections::BTreeMap,
    env, fmt,
    net::{IpAddr, SocketAddr},
};

/// What started this process, as far as it can tell.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Platform {
    /// A Kubernetes pod.
    Kubernetes,
    /// A Nomad task.
    Nomad,
    /// Something else: a plain process beside a Consul agent.
    Plain,
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kubernetes => "Kubernetes",
            Self::Nomad => "Nomad",
            Self::Plain => "a plain process",
        })
    }
}

/// A port of this process as the platform publishes it.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Published {
    /// The port this process binds.
    inner: u16,
    /// Where others reach it.
    outer: SocketAddr,
}

/// The platform and what it says of our addresses.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Environment {
    pub(super) platform: Platform,
    published: Vec<Published>,
    pod: Option<IpAddr>,
}

impl Environment {
    /// Reads the process's own variables, once.
    pub(super) fn of_process() -> Self {
        // `vars` panics on what is not Unicode; such a variable is none of ours.
        Self::read(
            env::vars_os().filter_map(|(key, value)| {
                Some((key.into_string().ok()?, value.into_string().ok()?))
            }),
        )
    }

    pub(super) fn read(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let variables: BTreeMap<String, String> = variables
            .into_iter()
            .filter(|(key, _)| {
                ["NOMAD_", "KUBERNETES_SERVICE_HOST", "POD_IP"]
                    .iter()
                    .any(|p| key.starts_with(p))
            })
            .collect();
        let platform = if variables.contains_key("NOMAD_ALLOC_ID") {
            Platform::Nomad
        } else if variables.contains_key("KUBERNETES_SERVICE_HOST") {
            Platform::Kubernetes
        } else {
            Platform::Plain
        };
        Self {
            platform,
            published: published(&variables),
            pod: variables.get("POD_IP").and_then(|ip| ip.parse().ok()),
        }
    }

    /// Who registers this service, if the platform does.
    pub(super) fn registrar(&self) -> Option<&'static str> {
        // A Nomad job with `connect { native = true }` has Nomad register the task. A second entry
        // beside it would be a second instance of one process.
        (self.platform == Platform::Nomad).then_some("Nomad")
    }

    /// Whether this is a pod that was not told its address and did not bind one.
    pub(super) fn is_anonymous_pod(&self, bound: SocketAddr) -> bool {
        self.platform == Platform::Kubernetes && self.pod.is_none() && bound.ip().is_unspecified()
    }

    /// Where others reach what is bound to `bound`, if the platform knows better than the socket.
    pub(super) fn advertised(&self, bound: SocketAddr) -> Option<SocketAddr> {
        let published = self
            .published
            .iter()
            .find(|published| published.inner == bound.port());
        let pod = || self.pod.filter(|_| bound.ip().is_unspecified());
        published
            .map(|published| published.outer)
            .or_else(|| pod().map(|ip| SocketAddr::new(ip, bound.port())))
    }
}

/// Nomad's ports: one label each, with the port inside and the address outside.
fn published(variables: &BTreeMap<String, String>) -> Vec<Published> {
    let port = |name: &str| variables.get(name)?.parse::<u16>().ok();
    let ip = |name: &str| variables.get(name)?.parse::<IpAddr>().ok();
    variables
        .keys()
        .filter_map(|key| {
            let label = key.strip_prefix("NOMAD_PORT_")?;
            let inner = port(key)?;
            let outer_ip = ip(&format!("NOMAD_HOST_IP_{label}"))
                .or_else(|| ip(&format!("NOMAD_IP_{label}")))?;
            let outer_port = port(&format!("NOMAD_HOST_PORT_{label}")).unwrap_or(inner);
            Some(Published {
                inner,
                outer: SocketAddr::new(outer_ip, outer_port),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment::read(
            variables
                .iter()
                .map(|(key, value)| ((*key).into(), (*value).into())),
        )
    }

    fn bound(address: &str) -> SocketAddr {
        address.parse().expect("an address")
    }

    #[test]
    fn a_plain_process_registers_itself_at_what_it_bound() {
        let plain = environment(&[("HOME", "/root"), ("PATH", "/bin")]);
        assert_eq!(plain.platform, Platform::Plain);
        assert_eq!(plain.registrar(), None);
        assert_eq!(plain.advertised(bound("0.0.0.0:8443")), None);
    }

    #[test]
    fn nomad_registers_and_publishes_ports_by_label() {
        let nomad = environment(&[
            ("NOMAD_ALLOC_ID", "b8f4b5f6"),
            ("NOMAD_PORT_mesh", "8443"),
            ("NOMAD_IP_mesh", "10.0.0.7"),
            ("NOMAD_HOST_IP_mesh", "192.0.2.7"),
            ("NOMAD_HOST_PORT_mesh", "27431"),
            ("NOMAD_PORT_admin", "9000"),
            ("NOMAD_IP_admin", "10.0.0.7"),
            ("NOMAD_PORT_broken", "many"),
        ]);
        assert_eq!(nomad.platform, Platform::Nomad);
        assert_eq!(nomad.registrar(), Some("Nomad"));
        assert_eq!(
            nomad.advertised(bound("0.0.0.0:8443")),
            Some(bound("192.0.2.7:27431"))
        );
        assert_eq!(
            nomad.advertised(bound("0.0.0.0:9000")),
            Some(bound("10.0.0.7:9000"))
        );
        assert_eq!(nomad.advertised(bound("0.0.0.0:1")), None);
    }

    #[test]
    fn a_pod_advertises_its_own_address_for_a_wildcard() {
        let pod = environment(&[
            ("KUBERNETES_SERVICE_HOST", "10.96.0.1"),
            ("POD_IP", "10.1.2.3"),
        ]);
        assert_eq!(pod.platform, Platform::Kubernetes);
        assert_eq!(pod.registrar(), None);
        assert_eq!(
            pod.advertised(bound("0.0.0.0:8443")),
            Some(bound("10.1.2.3:8443"))
        );
        assert_eq!(pod.advertised(bound("127.0.0.1:8443")), None);
        assert!(!pod.is_anonymous_pod(bound("0.0.0.0:8443")));
        let unnamed = environment(&[("KUBERNETES_SERVICE_HOST", "10.96.0.1")]);
        assert!(unnamed.is_anonymous_pod(bound("0.0.0.0:8443")));
        assert!(!unnamed.is_anonymous_pod(bound("10.1.2.3:8443")));
    }
}
