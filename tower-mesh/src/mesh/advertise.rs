use std::net::{IpAddr, SocketAddr};

/// Where others are told to dial, as far as it differs from the socket.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Advertise {
    pub(super) host: Option<String>,
    pub(super) port: Option<u16>,
}

impl Advertise {
    /// Reads `host`, `host:port`, `[v6]:port`, a bare IPv6 address, or `:port`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Some(address.into());
        }
        if text.parse::<IpAddr>().is_ok() {
            return Some(Self {
                host: Some(text.to_owned()),
                port: None,
            });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok().filter(|port| *port != 0)?)),
            None => (text, None),
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if !host.chars().all(is_name) || (host.is_empty() && port.is_none()) {
            return None;
        }
        Some(Self {
            host: Some(host.to_owned()).filter(|host| !host.is_empty()),
            port,
        })
    }
}

impl From<SocketAddr> for Advertise {
    fn from(address: SocketAddr) -> Self {
        Self {
            host: Some(address.ip().to_string()),
            port: Some(address.port()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_hosts_and_ports_together_and_alone() {
        for (text, host, port) in [
            ("10.0.0.7", Some("10.0.0.7"), None),
            ("10.0.0.7:8443", Some("10.0.0.7"), Some(8443)),
            ("web.internal", Some("web.internal"), None),
            ("web.internal:8443", Some("web.internal"), Some(8443)),
            ("fd00::7", Some("fd00::7"), None),
            ("[fd00::7]:8443", Some("fd00::7"), Some(8443)),
            (":8443", None, Some(8443)),
        ] {
            let expected = Advertise {
                host: host.map(str::to_owned),
                port,
            };
            assert_eq!(Advertise::parse(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn refuses_what_nobody_can_dial() {
        for text in [
            "",
            ":",
            "host:",
            "host:0",
            "host:http",
            "http://host",
            "a b",
            "host:99999",
        ] {
            assert_eq!(Advertise::parse(text), None, "{text:?}");
        }
    }
}
