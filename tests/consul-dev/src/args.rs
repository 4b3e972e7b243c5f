//! The program's flags.

use std::str::FromStr;
use std::time::Duration;

use consul_dev::{Builder, ConsulDev};

pub(crate) const HELP: &str = "\
consul-dev: a development Consul on loopback until ctrl-c (unofficial)

  --http-port N                        HTTP port; a free one if not given
  --grpc-port N                        gRPC port; a free one if not given
  --acl                                ACLs on, default deny; prints a management token
  --default-intention-policy allow|deny
  --leaf-ttl SECONDS                   lifetime of leafs (72 h)
  --leaf-jitter SECONDS                longest delay from a rotation to new leafs (0)
  --help";

/// What the flags ask for.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// A server, and whether it has ACLs.
    Run((Builder, bool)),
    /// The text above.
    Help,
}

/// Reads the flags; both `--flag value` and `--flag=value`.
pub(crate) fn parse(args: impl Iterator<Item = String>) -> Result<Parsed, String> {
    let mut args = args;
    let mut builder = ConsulDev::builder();
    let mut acl = false;
    while let Some(arg) = args.next() {
        let (flag, inline) = match arg.split_once('=') {
            Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
            None => (arg, None),
        };
        let mut value = || {
            inline
                .clone()
                .or_else(|| args.next())
                .ok_or_else(|| format!("{flag} needs a value"))
        };
        builder = match flag.as_str() {
            "--help" | "-h" => return Ok(Parsed::Help),
            "--acl" => {
                acl = true;
                builder.acl(true)
            }
            "--http-port" => builder.http_port(number(&flag, &value()?)?),
            "--grpc-port" => builder.grpc_port(number(&flag, &value()?)?),
            "--default-intention-policy" => match value()?.as_str() {
                "allow" => builder.default_intention_allow(true),
                "deny" => builder.default_intention_allow(false),
                other => return Err(format!("{flag} is allow or deny, not {other}")),
            },
            "--leaf-ttl" => builder.leaf_ttl(seconds(&flag, &value()?)?),
            "--leaf-jitter" => builder.leaf_jitter(seconds(&flag, &value()?)?),
            other => return Err(format!("unknown flag {other}")),
        };
    }
    Ok(Parsed::Run((builder, acl)))
}

fn number<T: FromStr>(flag: &str, text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_reason| format!("{flag} needs a number, not {text}"))
}

fn seconds(flag: &str, text: &str) -> Result<Duration, String> {
    let text = text.strip_suffix('s').unwrap_or(text);
    Ok(Duration::from_secs(number(flag, text)?))
}
