//! How long a measurement may take.

use std::time::Duration;

use crate::{Failure, USAGE, child::Protocol};

/// The defaults are for a look: about a minute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// How often each contestant has its turn.
    pub(crate) rounds: usize,
    /// How long a turn is.
    pub(crate) turn: Duration,
    /// How many requests are on their way at any time.
    pub(crate) at_a_time: usize,
    /// The one protocol to look at; all of them otherwise.
    pub(crate) protocol: Option<Protocol>,
    /// Whether the Go SDK and Envoy have their turns too.
    pub(crate) others: bool,
    /// How many changes of each kind are made in Consul.
    pub(crate) changes: usize,
    /// How many idle connections are held.
    pub(crate) connections: usize,
}

impl Options {
    pub(crate) fn parse(arguments: &[String]) -> Result<Self, Failure> {
        let mut options = Self {
            rounds: 3,
            turn: Duration::from_secs(1),
            at_a_time: 32,
            protocol: None,
            others: true,
            changes: 15,
            connections: 2000,
        };
        for pair in arguments.chunks(2) {
            let [name, value] = pair else {
                return Err(USAGE.into());
            };
            match name.as_str() {
                "--rounds" => options.rounds = value.parse::<usize>()?.max(1),
                "--seconds" => options.turn = Duration::try_from_secs_f64(value.parse()?)?,
                "--at-a-time" => options.at_a_time = value.parse::<usize>()?.max(1),
                "--protocol" => options.protocol = Some(value.parse()?),
                "--others" => options.others = value.parse()?,
                "--changes" => options.changes = value.parse::<usize>()?.max(1),
                "--connections" => options.connections = value.parse::<usize>()?.max(100),
                _ => return Err(USAGE.into()),
            }
        }
        Ok(options)
    }
}
