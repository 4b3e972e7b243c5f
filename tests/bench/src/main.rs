//! Side-by-side measurements: `cargo run --release -p mesh-bench -- <what>`. How, and what came of it: `docs/performance.md`.
//!
//! Machines are shared and noisy, so each table has its control in the same run, measured in turns with it, and what counts
//! is the ratio. Nothing is asserted here.

mod authorize;
mod bare;
mod child;
mod handshake;
mod l4;
mod memory;
mod metrics;
mod options;
mod process;
mod propagation;
mod rounds;
mod table;
mod ways;

use std::{error::Error, process::ExitCode};

use options::Options;

/// Whatever went wrong; a benchmark ends with it.
type Failure = Box<dyn Error + Send + Sync>;

const USAGE: &str = "usage: mesh-bench authorize|handshake|l4|memory|metrics|propagation \
                     [--rounds N] [--seconds S] [--at-a-time N] [--protocol h1|h2|grpc] [--others true|false] \
                     [--changes N] [--connections N]";

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    let done = match what.as_str() {
        // The other processes of a measurement.
        "child" => child::run(&rest).await,
        "handshake" => handshake::run().await,
        "metrics" => Options::parse(&rest).map(|options| metrics::run(&options)),
        "authorize" | "l4" | "propagation" | "memory" => match Options::parse(&rest) {
            Ok(options) if what == "authorize" => authorize::run(&options).await,
            Ok(options) if what == "l4" => l4::run(&options).await,
            Ok(options) if what == "memory" => memory::run(&options).await,
            Ok(options) => propagation::run(&options).await,
            Err(error) => Err(error),
        },
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
