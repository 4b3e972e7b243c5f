//! `setup` makes the real components available, `versions` says what is there, `consul` runs one, `up` a whole world.

mod up;

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use self::up::World;
use mesh_lab::{
    Component, Consul, DefaultPolicy, Error, Found, Version, build_consul, find_component,
    find_consul, provide,
};

const USAGE: &str = "\
usage: mesh-lab <command>

  setup                 build or fetch what is missing into the user's cache directory
  versions              say what was found and how, and what is missing
  consul [options]      run a real Consul until interrupted, and print how to reach it
      --oldest          the oldest supported release instead of the newest
      --server          a server with its state on disk instead of a development server
      --acl             ACLs on, default deny
      --client          a client agent beside the server, and print how to reach that
  up                    run a world to look at until interrupted: a real Consul with its UI, the example
                        services, and one behind Envoy";

/// Why a command could not do what it was asked for.
type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["setup"] => match setup() {
            true => Ok(()),
            false => return ExitCode::FAILURE, // each reason has been said
        },
        ["up"] => look_at_a_world(),
        ["versions"] => {
            versions();
            Ok(())
        }
        ["consul", options @ ..] => match Options::parse(options) {
            Some(options) => run(options).map_err(Failure::from),
            None => return usage(),
        },
        _ => return usage(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("mesh-lab: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprint!(": {error}");
                cause = error.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

/// Everything is tried, so that one run says all that is missing.
fn setup() -> bool {
    let mut complete = true;
    for (name, made) in Version::ALL
        .into_iter()
        .map(|version| (format!("Consul ({version})"), consul(version)))
        .chain(
            Component::ALL
                .into_iter()
                .map(|component| (component.name().to_owned(), other(component))),
        )
    {
        match made {
            Ok(found) => show(&name, &found),
            Err(error) => {
                complete = false;
                eprintln!("mesh-lab: {error:?}");
            }
        }
    }
    complete
}

fn consul(version: Version) -> Result<Found, Error> {
    match find_consul(version) {
        Err(_not_there) if std::env::var_os(version.variable()).is_none() => {
            build_consul(version)?;
            Ok(find_consul(version)?)
        }
        found => Ok(found?),
    }
}

fn other(component: Component) -> Result<Found, Error> {
    match find_component(component) {
        Err(_not_there) if std::env::var_os(component.variable()).is_none() => {
            provide(component)?;
            Ok(find_component(component)?)
        }
        found => Ok(found?),
    }
}

fn show(name: &str, found: &Found) {
    let Found {
        path,
        version,
        origin,
        ..
    } = found;
    println!("{name}: {version}, {} ({origin})", path.display());
}

fn versions() {
    for version in Version::ALL {
        match find_consul(version) {
            Ok(found) => show(&format!("Consul ({version})"), &found),
            Err(missing) => println!("{missing}"),
        }
    }
    for component in Component::ALL {
        match find_component(component) {
            Ok(found) => show(component.name(), &found),
            Err(missing) => println!("{missing}"),
        }
    }
}

#[derive(Default)]
struct Options {
    oldest: bool,
    server: bool,
    acl: bool,
    client: bool,
}

impl Options {
    fn parse(arguments: &[&str]) -> Option<Self> {
        let mut options = Self::default();
        for argument in arguments {
            match *argument {
                "--oldest" => options.oldest = true,
                "--server" => options.server = true,
                "--acl" => options.acl = true,
                "--client" => options.client = true,
                _ => return None,
            }
        }
        Some(options)
    }

    fn consul(&self) -> Result<Consul, Error> {
        let version = if self.oldest {
            Version::Oldest
        } else {
            Version::Newest
        };
        let mut consul = Consul::new(find_consul(version)?);
        if self.server {
            consul = consul.server();
        }
        if self.acl {
            consul = consul.acl(DefaultPolicy::Deny);
        }
        Ok(consul)
    }
}

#[tokio::main]
async fn run(options: Options) -> Result<(), Error> {
    let server = options.consul()?.start().await?;
    let client = if options.client {
        Some(server.client_agent().start().await?)
    } else {
        None
    };
    let agent = client.as_ref().unwrap_or(&server);
    for (name, value) in agent.environment() {
        println!("export {name}={value}");
    }
    if let Some(process) = agent.process_id() {
        println!(
            "# Consul {}, process {process}, log {}",
            agent.found().version,
            agent.log_path().display()
        );
    }
    interrupted().await;
    Ok(())
}

#[tokio::main]
async fn look_at_a_world() -> Result<(), Failure> {
    let mut interrupted = std::pin::pin!(interrupted());
    // An interrupt while it starts ends it too: what has been started goes with the future.
    let world = tokio::select! {
        world = World::start() => world?,
        () = &mut interrupted => return Ok(()),
    };
    tokio::select! {
        introduced = world.introduce() => introduced?,
        () = &mut interrupted => return world.stop().await,
    }
    interrupted.await;
    world.stop().await
}

/// Returns when this process is asked to end. Where signals cannot be waited for, it is at once.
async fn interrupted() {
    if let Ok(mut terminated) = signal(SignalKind::terminate()) {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminated.recv() => {}
        }
    }
}
