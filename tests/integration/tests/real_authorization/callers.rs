//! Who calls: services with the agent's leafs, over connections whose every byte is ours.

use std::{collections::HashMap, io, net::SocketAddr, sync::Arc};

use consul_connect::Material;
use mesh_lab::Agent;
use mesh_tests::raw_client_config;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Some are alike: a name is not a prefix, not a pattern, and not the same in another case.
pub(crate) const CALLERS: [&str; 8] = [
    "web", "web-2", "we", "Web", "billing", "a.b", "axb", "admin",
];

/// They only ask whether a set is in force.
pub(crate) const MARKERS: [&str; 2] = ["marker-a", "marker-b"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Protocol {
    Tcp,
    Http1,
    Http2,
}

impl Protocol {
    pub(crate) const ALL: [Self; 3] = [Self::Tcp, Self::Http1, Self::Http2];

    /// As Consul calls it.
    pub(crate) fn of_the_service(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Http1 => "http",
            Self::Http2 => "http2",
        }
    }

    fn alpn(self) -> Vec<Vec<u8>> {
        match self {
            Self::Tcp => vec![],
            Self::Http1 => vec![b"http/1.1".to_vec()],
            Self::Http2 => vec![b"h2".to_vec()],
        }
    }
}

pub(crate) struct Callers(HashMap<(&'static str, Protocol), Arc<ClientConfig>>);

impl Callers {
    pub(crate) async fn of(agent: &Agent) -> Self {
        let mut all = HashMap::new();
        for name in CALLERS.into_iter().chain(MARKERS) {
            let path = format!("/v1/agent/connect/ca/leaf/{name}");
            let leaf = agent.http().get(&path).await.and_then(mesh_lab::Reply::ok);
            let leaf = leaf.expect("a leaf");
            let part = |key: &str| leaf[key].as_str().expect("PEM").to_owned();
            let material = Material::new(part("CertPEM"), part("PrivateKeyPEM"), vec![]);
            for protocol in Protocol::ALL {
                let versions = &[&rustls::version::TLS13];
                let mut config = raw_client_config(Some(material.clone()), versions);
                config.alpn_protocols = protocol.alpn();
                all.insert((name, protocol), Arc::new(config));
            }
        }
        Self(all)
    }

    /// A connection of this caller. Both servers of a test are called alike.
    pub(crate) async fn connect(
        &self,
        caller: &'static str,
        protocol: Protocol,
        address: SocketAddr,
    ) -> io::Result<TlsStream<TcpStream>> {
        let config = Arc::clone(&self.0[&(caller, protocol)]);
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("mesh.internal").expect("a name");
        TlsConnector::from(config).connect(name, stream).await
    }
}
