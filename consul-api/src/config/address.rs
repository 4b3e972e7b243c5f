//! Where Consul listens.

use std::{fmt, net::IpAddr, path::PathBuf, str::FromStr};

use crate::error::Error;

/// Where an agent or server listens: `host:port`, `http://…`, `https://…` with an optional path prefix, or `unix:///path`.
///
/// IPv6 hosts are written in brackets. Without a port the scheme's own is meant (80, 443), as everywhere else in HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    tls: bool,
    target: Target,
    /// Empty, or starting with `/` and not ending with one.
    prefix: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Target {
    Tcp {
        /// Without brackets.
        host: String,
        port: u16,
    },
    Unix(PathBuf),
}

impl Address {
    /// Whether TLS is spoken to it.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// Whether what is sent to it never leaves this machine: a unix socket, a loopback address, or `localhost`.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match &self.target {
            Target::Unix(_) => true,
            Target::Tcp { host, .. } => match host.parse::<IpAddr>() {
                Ok(IpAddr::V4(ip)) => ip.is_loopback(),
                Ok(IpAddr::V6(ip)) => {
                    ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback())
                }
                // RFC 6761 §6.3: these names stay on the machine.
                Err(_) => {
                    let host = host.trim_end_matches('.').to_ascii_lowercase();
                    host == "localhost" || host.ends_with(".localhost")
                }
            },
        }
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(crate) fn with_tls(mut self) -> Self {
        if let (
            false,
            Target::Tcp {
                port: port @ 80, ..
            },
        ) = (self.tls, &mut self.target)
        {
            *port = 443;
        }
        self.tls = true;
        self
    }

    /// The host as it stands in a URL's authority, and in a `Host` header: with brackets, and a port unless it is the scheme's.
    pub(crate) fn authority(&self) -> String {
        match &self.target {
            Target::Unix(_) => "localhost".to_owned(),
            Target::Tcp { host, port } => authority(host, *port, self.tls),
        }
    }

    /// The host a server's certificate is checked against.
    #[cfg(feature = "grpc")]
    pub(crate) fn host(&self) -> &str {
        match &self.target {
            Target::Unix(_) => "localhost",
            Target::Tcp { host, .. } => host,
        }
    }
}

/// `host` in brackets if it is an IPv6 address, and the port unless it is the default one.
pub(crate) fn authority(host: &str, port: u16, tls: bool) -> String {
    let default_port = if tls { 443 } else { 80 };
    match (host.contains(':'), port == default_port) {
        (true, true) => format!("[{host}]"),
        (true, false) => format!("[{host}]:{port}"),
        (false, true) => host.to_owned(),
        (false, false) => format!("{host}:{port}"),
    }
}

impl Default for Address {
    /// `http://localhost:8500`
    fn default() -> Self {
        Self {
            tls: false,
            target: Target::Tcp {
                host: "localhost".to_owned(),
                port: 8500,
            },
            prefix: String::new(),
        }
    }
}

impl FromStr for Address {
    type Err = Error;

    /// # Errors
    /// A configuration error that quotes the text, without what stands before an `@`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        // User and password in an address would end in logs; CONSUL_HTTP_AUTH is their place.
        if let Some((before, after)) = text.rsplit_once('@')
            && !before.starts_with("unix://")
        {
            return Err(invalid(
                &format!("…@{after}"),
                "credentials do not belong into the address",
            ));
        }
        let (tls, rest) = match text.split_once("://") {
            Some((scheme, rest)) => match scheme.to_ascii_lowercase().as_str() {
                "http" | "tcp" => (false, rest),
                "https" => (true, rest),
                "unix" => {
                    if !rest.starts_with('/') {
                        return Err(invalid(
                            text,
                            "a unix socket needs an absolute path, as in unix:///run/consul.sock",
                        ));
                    }
                    return Ok(Self {
                        tls: false,
                        target: Target::Unix(PathBuf::from(rest)),
                        prefix: String::new(),
                    });
                }
                _ => return Err(invalid(text, "the scheme is none of http, https, unix")),
            },
            None => (false, text),
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        if rest.contains(['?', '#']) {
            return Err(invalid(
                text,
                "a query or fragment does not belong into the address",
            ));
        }
        let (host, port) = split_port(authority, text)?;
        let port = match port {
            Some(port) => port,
            None if tls => 443,
            None => 80,
        };
        let prefix = path.trim_end_matches('/').to_owned();
        let address = Self {
            tls,
            target: Target::Tcp { host, port },
            prefix,
        };
        // One check by the type that will carry it, instead of a second grammar here.
        let uri = format!("http://{}{}/v1", address.authority(), address.prefix);
        match uri.parse::<http::Uri>() {
            Ok(_) => Ok(address),
            Err(error) => Err(invalid(text, "it is no host").with_source(error)),
        }
    }
}

fn split_port(authority: &str, text: &str) -> Result<(String, Option<u16>), Error> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let Some((host, after)) = rest.split_once(']') else {
            return Err(invalid(text, "a bracket is not closed"));
        };
        if host.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(invalid(text, "there is no IPv6 address in the brackets"));
        }
        match after.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if after.is_empty() => (host, None),
            None => {
                return Err(invalid(
                    text,
                    "something other than a port follows the bracket",
                ));
            }
        }
    } else {
        match authority.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            Some(_) => return Err(invalid(text, "an IPv6 address is written in brackets")),
            None => (authority, None),
        }
    };
    if host.is_empty() {
        return Err(invalid(text, "there is no host"));
    }
    let port = match port {
        None => None,
        Some(port) => match port.parse::<u16>() {
            Ok(port) if port != 0 => Some(port),
            _ => return Err(invalid(text, "the port is no number from 1 to 65535")),
        },
    };
    Ok((host.to_owned(), port))
}

fn invalid(text: &str, why: &str) -> Error {
    Error::config(format!("{text:?} is not an address of Consul: {why}"))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Target::Unix(path) => write!(f, "unix://{}", path.display()),
            Target::Tcp { .. } => {
                let scheme = if self.tls { "https" } else { "http" };
                write!(f, "{scheme}://{}{}", self.authority(), self.prefix)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> String {
        text.parse::<Address>().map_or_else(
            |error| format!("error: {error}"),
            |address| address.to_string(),
        )
    }

    #[test]
    fn every_documented_form_is_read() {
        for (text, printed) in [
            ("localhost:8500", "http://localhost:8500"),
            ("127.0.0.1:8500", "http://127.0.0.1:8500"),
            ("http://consul.internal", "http://consul.internal"),
            (
                "HTTPS://consul.internal:8501/",
                "https://consul.internal:8501",
            ),
            ("https://gw.example/consul/", "https://gw.example/consul"),
            ("[::1]:8500", "http://[::1]:8500"),
            ("https://[2001:db8::1]", "https://[2001:db8::1]"),
            ("unix:///run/consul.sock", "unix:///run/consul.sock"),
        ] {
            assert_eq!(parse(text), printed, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_by_name() {
        for text in [
            "",
            ":8500",
            "host:",
            "host:0",
            "host:99999",
            "::1",
            "[::1",
            "ftp://x",
            "unix://relative",
            "http://a b",
            "x?y",
        ] {
            let printed = parse(text);
            assert!(printed.starts_with("error: "), "{text:?} gave {printed}");
        }
    }

    #[test]
    fn credentials_are_refused_and_not_repeated() {
        let printed = parse("http://user:hunter2@consul:8500");
        assert!(
            printed.contains("credentials") && !printed.contains("hunter2"),
            "{printed}"
        );
    }

    #[test]
    fn local_means_this_machine() {
        for text in [
            "localhost:1",
            "127.0.0.9:1",
            "[::1]:1",
            "[::ffff:127.0.0.1]:1",
            "unix:///a",
            "a.localhost:1",
        ] {
            assert!(
                text.parse::<Address>()
                    .is_ok_and(|address| address.is_local()),
                "{text}"
            );
        }
        for text in [
            "10.0.0.1:1",
            "consul:1",
            "localhost.example:1",
            "[2001:db8::1]:1",
        ] {
            assert!(
                text.parse::<Address>()
                    .is_ok_and(|address| !address.is_local()),
                "{text}"
            );
        }
    }
}
