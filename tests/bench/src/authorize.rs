//! Decisions: by the number of intentions, and about requests; what compiling and holding a large set takes; what asking the
//! agent takes instead; and whole requests, here and behind Envoy.

mod agent;
mod requests;
mod sets;

use std::{hint::black_box, time::Duration};

use consul_connect::{
    Decision, Verdict,
    intention::{Compiled, DefaultPolicy},
    jwt::Tokens,
    test_util::TestCa,
};
use http::request::Parts;

use crate::{Failure, options::Options, process, rounds::now};

/// Of each kind, in one round.
const DECISIONS: u32 = 200_000;
/// The contestants take turns; the middle one of the rounds is shown, and how far apart they were.
const ROUNDS: usize = 9;
const COUNTS: [usize; 4] = [1, 10, 100, 10_000];
/// Sets of 10,000 that are held at once to see what one takes.
const HELD: usize = 20;

pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    decisions()?;
    memory(&"api".parse()?)?;
    agent::run().await?;
    requests::run(options).await
}

fn decisions() -> Result<(), Failure> {
    let ca = TestCa::new("11111111-2222-3333-4444-555555555555.consul");
    let service = "api".parse()?;
    println!("one decision, the middle of {ROUNDS} interleaved rounds of {DECISIONS}\n");
    println!("| about | ns | spread | compiled in µs |\n| --- | --: | --: | --: |");

    let mut contestants = Vec::new();
    for count in COUNTS {
        let intentions = sets::connections(count);
        let began = now();
        let compiled = Compiled::new(&service, &intentions);
        let took = began.elapsed();
        // The one that is named last.
        let caller = ca.id(&sets::caller(count - 1));
        contestants.push(Contestant::new(
            format!("a connection, {count} intentions"),
            took,
            move || {
                matches!(
                    compiled.connection(black_box(&caller), DefaultPolicy::Deny),
                    Some(Verdict::Allow(_))
                )
            },
        ));
    }
    for (name, path, allowed) in sets::REQUESTS {
        let intentions = sets::requests();
        let began = now();
        let compiled = Compiled::new(&service, &intentions);
        let took = began.elapsed();
        let (caller, head, tokens) = (ca.id("web"), sets::head(path)?, Tokens::default());
        contestants.push(Contestant::new(
            format!("a request, 10 permissions, {name}"),
            took,
            move || allowed == decide(&compiled, &caller, &head, &tokens),
        ));
    }
    for _ in 0..ROUNDS {
        for contestant in &mut contestants {
            contestant.turn()?;
        }
    }
    for contestant in &contestants {
        contestant.print();
    }
    Ok(())
}

fn decide(
    compiled: &Compiled,
    caller: &consul_connect::ServiceId,
    head: &Parts,
    tokens: &Tokens,
) -> bool {
    let decision = compiled.request(
        black_box(caller),
        black_box(head),
        tokens,
        DefaultPolicy::Deny,
    );
    matches!(decision, Some(Decision::Allow(_)))
}

/// A decision, and how long it took in each round.
struct Contestant {
    name: String,
    compiled: Duration,
    /// Whether the answer is the expected one.
    decide: Box<dyn Fn() -> bool>,
    turns: Vec<Duration>,
}

impl Contestant {
    fn new(name: String, compiled: Duration, decide: impl Fn() -> bool + 'static) -> Self {
        Self {
            name,
            compiled,
            decide: Box::new(decide),
            turns: Vec::new(),
        }
    }

    fn turn(&mut self) -> Result<(), Failure> {
        let began = now();
        for _ in 0..DECISIONS {
            if !(self.decide)() {
                return Err(format!("{}: the wrong answer", self.name).into());
            }
        }
        self.turns.push(began.elapsed());
        self.turns.sort_unstable();
        Ok(())
    }

    fn print(&self) {
        let each = |at: usize| self.turns[at].as_nanos() / u128::from(DECISIONS);
        println!(
            "| {} | {} | {}–{} | {} |",
            self.name,
            each(self.turns.len() / 2),
            each(0),
            each(self.turns.len() - 1),
            self.compiled.as_micros()
        );
    }
}

fn memory(service: &consul_connect::ServiceName) -> Result<(), Failure> {
    let intentions = sets::connections(10_000);
    let me = std::process::id();
    let before = process::resident(me)?;
    let held: Vec<Compiled> = (0..HELD)
        .map(|_| Compiled::new(service, &intentions))
        .collect();
    let each = process::resident(me)?.saturating_sub(before) / HELD as u64;
    println!(
        "\n10,000 intentions, compiled: {} KiB resident, without what Consul sent",
        each / 1024
    );
    drop(held);
    Ok(())
}
