//! No agent outlives the process that started it.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use mesh_lab::Version;

/// Starts the program of this package, which starts an agent, and waits until that is ready: the program, the agent's process.
fn start_a_program_with_an_agent(leash: &str) -> (Child, String) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_mesh-lab"))
        .arg("consul")
        .env("MESH_LAB_LEASH", leash)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program of this package starts");
    let output = BufReader::new(program.stdout.take().expect("its output is piped"));
    let agent = output.lines().map_while(Result::ok).find_map(|line| {
        let (_, rest) = line.split_once(", process ")?;
        Some(rest.split(',').next()?.to_owned())
    });
    (
        program,
        agent.expect("the program names its agent's process"),
    )
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
    let (mut program, agent) = start_a_program_with_an_agent(leash);
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
