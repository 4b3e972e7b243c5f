//! `consul-dev`: a development Consul on loopback until ctrl-c.

mod args;

use std::error::Error as _;
use std::io::Write as _;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let parsed = match args::parse(std::env::args().skip(1)) {
        Ok(args::Parsed::Run(builder)) => builder,
        Ok(args::Parsed::Help) => {
            return say(&[args::HELP.to_owned()]);
        }
        Err(error) => {
            eprintln!("{error}\n\n{}", args::HELP);
            return ExitCode::from(2);
        }
    };
    let (builder, acl) = parsed;
    let dev = match builder.start().await {
        Ok(dev) => dev,
        Err(error) => {
            eprintln!("{error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprintln!("because: {error}");
                cause = error.source();
            }
            return ExitCode::FAILURE;
        }
    };
    let mut lines = vec![
        format!("export CONSUL_HTTP_ADDR={}", dev.http_addr()),
        format!("export CONSUL_GRPC_ADDR={}", dev.grpc_addr()),
    ];
    if acl {
        lines.push(format!(
            "export CONSUL_HTTP_TOKEN={}",
            dev.management_token()
        ));
    }
    say(&lines);
    if let Err(error) = tokio::signal::ctrl_c().await {
        eprintln!("waiting for ctrl-c: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Prints what others read; a reader that went away is no reason to stop.
fn say(lines: &[String]) -> ExitCode {
    let mut out = std::io::stdout().lock();
    for line in lines {
        if writeln!(out, "{line}").is_err() {
            break;
        }
    }
    ExitCode::SUCCESS
}
