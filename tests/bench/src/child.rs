//! The other processes: servers, and clients that load them.

mod bench;
mod caller;
mod hold;
mod load;
mod serve;

use std::{path::Path, str::FromStr};

use consul_connect::Material;

use self::load::Amount;
pub(crate) use self::load::connections;
use crate::Failure;

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
    Grpc,
}

impl Protocol {
    pub(crate) const ALL: [Self; 3] = [Self::Http1, Self::Http2, Self::Grpc];

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Http1 => "h1",
            Self::Http2 => "h2",
            Self::Grpc => "grpc",
        }
    }

    /// What Consul calls it.
    pub(crate) const fn configured(self) -> &'static str {
        match self {
            Self::Http1 => "http",
            Self::Http2 => "http2",
            Self::Grpc => "grpc",
        }
    }

    fn alpn(self) -> consul_connect::Alpn {
        match self {
            Self::Http1 => consul_connect::Alpn::Http11,
            Self::Http2 | Self::Grpc => consul_connect::Alpn::H2,
        }
    }
}

impl FromStr for Protocol {
    type Err = Failure;

    fn from_str(word: &str) -> Result<Self, Failure> {
        let mut all = Self::ALL.into_iter();
        all.find(|protocol| protocol.word() == word)
            .ok_or_else(|| format!("`{word}` is no protocol").into())
    }
}

/// Leaf, key and roots, as the parent wrote them.
pub(crate) fn write(material: &Material, directory: &Path, name: &str) -> Result<(), Failure> {
    let file = |what: &str| directory.join(format!("{name}.{what}.pem"));
    std::fs::write(file("chain"), &material.chain_pem)?;
    std::fs::write(file("key"), material.key_pem.expose())?;
    std::fs::write(file("roots"), material.roots_pem.concat())?;
    Ok(())
}

fn read(directory: &str, name: &str) -> Result<Material, Failure> {
    let file = |what: &str| std::fs::read_to_string(format!("{directory}/{name}.{what}.pem"));
    Ok(Material::new(
        file("chain")?,
        file("key")?.as_str(),
        vec![file("roots")?],
    ))
}

pub(crate) async fn run(arguments: &[String]) -> Result<(), Failure> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["serve", "plain", protocol] => serve::plain(protocol.parse()?).await,
        ["serve", "tls", protocol, directory] => {
            serve::tls(protocol.parse()?, &read(directory, "api")?).await
        }
        ["serve", "mesh", protocol, service] => serve::mesh(protocol.parse()?, service).await,
        ["load", "plain", protocol, seconds, at_a_time, address] => {
            load::plain(Amount::new(protocol, seconds, at_a_time)?, address).await
        }
        [
            "load",
            "tls",
            protocol,
            seconds,
            at_a_time,
            address,
            directory,
        ] => {
            let material = read(directory, "web")?;
            load::tls(
                Amount::new(protocol, seconds, at_a_time)?,
                address,
                &material,
            )
            .await
        }
        ["load", "mesh", protocol, seconds, at_a_time, service] => {
            load::mesh(Amount::new(protocol, seconds, at_a_time)?, service).await
        }
        ["hold", what, directory] => hold::run(what, read(directory, "api")?).await,
        _ => Err("no such child".into()),
    }
}
