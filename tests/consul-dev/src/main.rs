//! `consul-dev`: a development Consul on loopback until ctrl-c.

mod args;

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let parsed = match args::parse(std::env::args().skip(1)) {
        Ok(args::Parsed::Run(builder)) => builder,
        Ok(args::Parsed::Help) => {
            println!("{}", args::HELP);
            return ExitCode::SUCCESS;
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
            eprintln!("{error}: {:?}", std::error::Error::source(&error));
            return ExitCode::FAILURE;
        }
    };
    println!("export CONSUL_HTTP_ADDR={}", dev.http_addr());
    println!("export CONSUL_GRPC_ADDR={}", dev.grpc_addr());
    if acl {
        println!("export CONSUL_HTTP_TOKEN={}", dev.management_token());
    }
    if let Err(error) = tokio::signal::ctrl_c().await {
        eprintln!("waiting for ctrl-c: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
