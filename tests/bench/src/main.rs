//! Side-by-side measurements: `cargo run --release -p mesh-bench -- <what>`.
//!
//! Machines are shared and noisy, so each table has its control in the same run, measured in turns with it, and what counts
//! is the ratio. Nothing is asserted here.

mod bare;
mod decide;
mod handshake;
mod rounds;

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("handshake") => handshake::run().await,
        Some("decide") => decide::run(),
        _ => {
            eprintln!("usage: mesh-bench handshake|decide");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
