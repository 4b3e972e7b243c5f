//! What a run is.

use std::time::Duration;

pub(crate) const USAGE: &str =
    "usage: mesh-soak [MINUTES] [--rotate SECONDS] [--intend SECONDS] [--churn SECONDS] [--rate REQUESTS]
  how often the root rotates, a rule is denied and allowed again, an instance comes and goes: 0 is never, 60 the default;
  how many requests a second there are: 400 by default";

/// How long a run is and what happens in it. An interval of zero is never.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) length: Duration,
    pub(crate) rotate: Duration,
    pub(crate) intend: Duration,
    pub(crate) churn: Duration,
    /// Requests a second: by default little enough that the machine is not what is measured.
    pub(crate) rate: f64,
}

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let minute = Duration::from_secs(60);
        let mut options = Self {
            length: 30 * minute,
            rotate: minute,
            intend: minute,
            churn: minute,
            rate: 400.0,
        };
        while let Some(argument) = arguments.next() {
            if let Ok(minutes) = argument.parse() {
                options.length = minutes_of(minutes)?;
                continue;
            }
            let value: f64 = arguments.next()?.parse().ok()?;
            let seconds = Duration::try_from_secs_f64(value);
            match argument.as_str() {
                "--rotate" => options.rotate = seconds.ok()?,
                "--intend" => options.intend = seconds.ok()?,
                "--churn" => options.churn = seconds.ok()?,
                "--rate" => options.rate = value,
                _ => return None,
            }
        }
        Some(options)
    }
}

fn minutes_of(minutes: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(minutes * 60.0).ok()
}
