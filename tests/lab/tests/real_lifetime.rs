//! No agent outlives the process that started it.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use mesh_lab::Version;

/// A program that was started, and the agent it started.
struct Started {
    program: Child,
    agent: String,
    directory: PathBuf,
}

/// Starts the program of this package, which starts an agent, and waits until that is ready.
fn start_a_program_with_an_agent(leash: &str) -> Started {
    let mut program = Command::new(env!("CARGO_BIN_EXE_mesh-lab"))
        .arg("consul")
        .env("MESH_LAB_LEASH", leash)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program of this package starts");
    let output = BufReader::new(program.stdout.take().expect("its output is piped"));
    let line = output
        .lines()
        .map_while(Result::ok)
        .find(|line| line.starts_with("# Consul "));
    let line = line.expect("the program says which agent it started");
    let (_, rest) = line.split_once(", process ").expect("it names the process");
    let (agent, log) = rest.split_once(", log ").expect("it names the log");
    let directory = Path::new(log)
        .parent()
        .expect("the log lies in the agent's directory");
    Started {
        program,
        agent: agent.to_owned(),
        directory: directory.to_owned(),
    }
}

/// Whether a process of that number runs Consul; a number that has gone to another program does not count.
fn runs_consul(process: &str) -> bool {
    let command =
        std::fs::read(Path::new("/proc").join(process).join("cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&command).contains("mesh-lab-consul-")
}

async fn dies_with_its_parent(leash: &str) {
    if !cfg!(target_os = "linux") || mesh_lab::consul(Version::Newest).is_none() {
        return;
    }
    let Started {
        mut program,
        agent,
        directory,
    } = start_a_program_with_an_agent(leash);
    assert!(runs_consul(&agent));
    program.kill().expect("the program can be killed"); // SIGKILL: it cannot clean up
    program.wait().expect("the program ends");
    let end = tokio::time::Instant::now() + Duration::from_secs(30);
    while runs_consul(&agent) {
        assert!(
            tokio::time::Instant::now() < end,
            "agent {agent} outlived the program that started it"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Nobody was left to remove it.
    std::fs::remove_dir_all(directory).expect("the agent's directory can be removed");
}

#[tokio::test]
async fn an_agent_dies_with_its_killed_parent_by_the_kernel() {
    dies_with_its_parent("").await;
}

#[tokio::test]
async fn an_agent_dies_with_its_killed_parent_by_the_watchdog() {
    dies_with_its_parent("watchdog").await;
}

#[tokio::test]
async fn an_agent_is_gone_when_its_handle_is_dropped() {
    let Some(consul) = mesh_lab::consul(Version::Newest) else {
        return;
    };
    let agent = consul.start().await.expect("an agent starts");
    let (address, directory) = (agent.http_addr(), agent.directory().to_owned());
    drop(agent);
    assert!(
        std::net::TcpListener::bind(address).is_ok(),
        "the port is still in use"
    );
    assert!(!directory.exists());
}
