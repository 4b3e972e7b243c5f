//! The examples, run as programs against a real Consul, as `README.md` tells to.

use std::{path::PathBuf, time::Duration};

use mesh_lab::{Agent, Http, Program, Version};
use tokio::time::{Instant, sleep};

const LONG: Duration = Duration::from_secs(60);

/// The program that cargo has built beside this test.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("where this test is");
    let profile = test.ancestors().nth(2).expect("the profile's directory");
    let path = profile.join("examples").join(name);
    assert!(
        path.exists(),
        "there is no {}: `cargo build -p mesh-examples --examples` makes it",
        path.display()
    );
    path
}

fn run(agent: &Agent, name: &str, arguments: &[&str]) -> Program {
    let mut variables = agent.environment();
    variables.push(("EDGE_ADDR", "127.0.0.1:0".to_owned()));
    let arguments = arguments.iter().copied();
    Program::start(example(name), arguments, variables).expect("started")
}

/// Asks until the answer has this status, and returns what it says.
async fn answered(edge: &Http, path: &str, status: u16) -> String {
    let began = Instant::now();
    loop {
        let answer = edge.get(path).await.expect("edge answers");
        let (seen, text) = (answer.status, answer.text);
        if seen == status {
            println!("{path}: {seen} {text} after {:?}", began.elapsed());
            return text;
        }
        assert!(began.elapsed() < LONG, "{path}: {seen} {text}");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn three_programs_call_each_other_by_name_and_an_intention_stops_them() {
    let Some(consul) = mesh_lab::consul(Version::Newest) else {
        return;
    };
    let agent = consul.start().await.expect("a Consul");
    let programs = ["inventory", "orders", "edge"].map(|name| run(&agent, name, &[]));
    let said = programs[2].says("try ").await.expect("it listens");
    let address = said
        .strip_prefix("http://")
        .and_then(|it| it.split('/').next());
    let edge = Http::at(address.expect("a URL").parse().expect("an address"));

    let bought = answered(&edge, "/buy/apples/2", 200).await;
    assert!(bought.contains(r#""ordered_by":"edge""#), "{bought}");
    let left = answered(&edge, "/left/apples", 200).await;
    assert!(left.parse::<u32>().is_ok(), "{left}");
    agent
        .set_intention("edge", "orders", "deny")
        .await
        .expect("written");
    answered(&edge, "/buy/apples/2", 403).await;
    agent
        .set_intention("edge", "orders", "allow")
        .await
        .expect("written");
    answered(&edge, "/buy/apples/2", 200).await;
    let status = answered(&edge, "/status", 200).await;
    assert!(
        status.contains("upstream: orders, 1 of 1 instances usable"),
        "{status}"
    );

    for program in &programs[..2] {
        program.terminate().expect("told");
        let ended = program.ended().await.expect("ended");
        assert!(ended.success(), "{}", program.output());
    }
}

#[tokio::test]
async fn bytes_are_echoed_and_the_end_of_them_is_told() {
    let Some(consul) = mesh_lab::consul(Version::Newest) else {
        return;
    };
    let agent = consul.start().await.expect("a Consul");
    let server = run(&agent, "tcp_echo", &["serve"]);
    // It has no input of its own: the shell gives it some.
    let call = example("tcp_echo").display().to_string();
    let script = format!("while ! echo hello | {call} call; do sleep 0.1; done; echo the end");
    let client = Program::start("/bin/sh", ["-c", &script], agent.environment()).expect("started");
    client.says("hello").await.expect("echoed");
    client.says("the end").await.expect("ended");
    server.says("done: Ok(6)").await.expect("it saw the end");
}

#[tokio::test]
async fn the_quickstart_does_the_same_on_a_real_consul() {
    let Some(consul) = mesh_lab::consul(Version::Newest) else {
        return;
    };
    let agent = consul.start().await.expect("a Consul");
    let program = run(&agent, "quickstart", &["--consul"]);
    let ended = program.ended().await.expect("ended");
    println!("{}", program.output());
    assert!(ended.success(), "{}", program.output());
}

#[tokio::test]
async fn the_quickstart_needs_nothing() {
    let nothing: [(&str, &str); 0] = [];
    let program =
        Program::start(example("quickstart"), nothing.map(|(k, _)| k), nothing).expect("started");
    let ended = program.ended().await.expect("ended");
    println!("{}", program.output());
    assert!(ended.success(), "{}", program.output());
    assert!(
        program.output().contains("requests, 0 failed"),
        "{}",
        program.output()
    );
}
