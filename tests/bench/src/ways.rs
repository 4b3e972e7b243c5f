//! Ways from a client to a server, and turns on them.

use std::time::Duration;

use mesh_lab::Agent;

use crate::{
    Failure,
    options::Options,
    process::{self, cpu_of},
    table::{Row, Turn},
};

/// How long a way may take to open after its processes say that they are ready.
const TRIES: usize = 300;

/// One way from a client to a server, and the processes on it, without the client's.
pub(crate) struct Way<'a> {
    pub(crate) name: String,
    pub(crate) agent: &'a Agent,
    pub(crate) processes: Vec<u32>,
    pub(crate) load: Load,
}

pub(crate) enum Load {
    /// This program as the client: what stands before how long and how many at a time, and after it.
    Child(Vec<String>, Vec<String>),
    Go(String),
}

impl<'a> Way<'a> {
    /// One with this program as the client: `before`, how long and how many at a time, `after`.
    pub(crate) fn new(
        name: &str,
        agent: &'a Agent,
        processes: Vec<u32>,
        before: &[&str],
        after: &[&str],
    ) -> Self {
        let owned = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        Self {
            name: name.to_owned(),
            agent,
            processes,
            load: Load::Child(owned(before), owned(after)),
        }
    }

    /// Until requests go through, all of them.
    async fn open(&self, at_a_time: usize) -> Result<(), Failure> {
        let mut last = Turn::default();
        for _ in 0..TRIES {
            last = self.turn(Duration::from_millis(50), at_a_time).await?;
            if last.ok > 0 && last.failed == 0 {
                return Ok(());
            }
        }
        Err(format!("{}: nothing goes through: {last:?}", self.name).into())
    }

    async fn turn(&self, duration: Duration, at_a_time: usize) -> Result<Turn, Failure> {
        match &self.load {
            Load::Child(before, after) => {
                let amount = [duration.as_secs_f64().to_string(), at_a_time.to_string()];
                let arguments = before.iter().chain(&amount).chain(after);
                let client =
                    process::child(arguments.map(String::as_str), self.agent.environment())?;
                client.says("began").await?;
                let used = cpu_of(&self.processes)?;
                let result = client.says("result ").await?;
                let used = cpu_of(&self.processes)? - used;
                let mut turn = parse(&result)?;
                turn.cpu += used;
                if let Some(why) = client
                    .output()
                    .lines()
                    .find(|line| line.starts_with("failed"))
                {
                    eprintln!("{}: {why}", self.name);
                }
                Ok(turn)
            }
            Load::Go(service) => {
                let go = mesh_lab::go_peer(self.agent).ok_or("the Go peer has gone")?;
                let used = cpu_of(&self.processes)?;
                let seen = go
                    .load("web", service, "/kilobyte", at_a_time, duration, false)
                    .await?;
                let used = cpu_of(&self.processes)? - used;
                Ok(Turn {
                    ok: seen.ok,
                    failed: seen.failed.iter().map(|(_, count)| count).sum(),
                    elapsed: seen.elapsed,
                    cpu: seen.cpu + used,
                    p50: seen.p50,
                    p99: seen.p99,
                })
            }
        }
    }
}

/// Opens all ways, and gives each its turn in each round.
pub(crate) async fn rounds(ways: &[Way<'_>], options: &Options) -> Result<Vec<Row>, Failure> {
    let mut rows: Vec<Row> = ways.iter().map(|way| Row::new(&way.name)).collect();
    for way in ways {
        way.open(options.at_a_time).await?;
    }
    for round in 0..options.rounds {
        // Whoever follows whom is another one each time.
        for place in 0..rows.len() {
            let at = (place + round) % rows.len();
            rows[at]
                .turns
                .push(ways[at].turn(options.turn, options.at_a_time).await?);
        }
    }
    Ok(rows)
}

/// What the client prints at its end.
fn parse(result: &str) -> Result<Turn, Failure> {
    let numbers: Vec<u64> = result
        .split(' ')
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let [ok, failed, elapsed, cpu, p50, p99] = numbers[..] else {
        return Err(format!("a client ended with `{result}`").into());
    };
    Ok(Turn {
        ok,
        failed,
        elapsed: Duration::from_nanos(elapsed),
        cpu: Duration::from_nanos(cpu),
        p50: Duration::from_nanos(p50),
        p99: Duration::from_nanos(p99),
    })
}
