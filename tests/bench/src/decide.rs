//! One decision about a connection, by the number of intentions.

use std::{hint::black_box, time::Duration};

use consul_api::intention::Intention;
use consul_connect::{intention::Compiled, test_util::TestCa};

use crate::rounds::now;

const DECISIONS: u32 = 1_000_000;

pub(crate) fn run() {
    let ca = TestCa::new("11111111-2222-3333-4444-555555555555.consul");
    println!("one L4 decision, {DECISIONS} of each, a caller that the last intention names");
    for count in [1, 10, 100, 10_000] {
        let intentions: Vec<Intention> = (0..count)
            .map(|i| intention(&format!("caller-{i}")))
            .collect();
        let began = now();
        let compiled = Compiled::new(&"api".parse().expect("a name"), &intentions);
        let compile = began.elapsed();
        let caller = ca.id(&format!("caller-{}", count - 1));
        let began = now();
        for _ in 0..DECISIONS {
            black_box(compiled.decide(black_box(&caller)));
        }
        let each = began.elapsed() / DECISIONS;
        println!(
            "{count:>6} intentions: {:>5} ns, compiled in {:>6} µs",
            nanos(each),
            compile.as_micros()
        );
    }
}

fn nanos(d: Duration) -> u128 {
    d.as_nanos()
}

fn intention(source: &str) -> Intention {
    let mut intention = Intention::default();
    intention.source_name = source.to_owned();
    intention.source_ns = "default".to_owned();
    intention.destination_name = "api".to_owned();
    intention.destination_ns = "default".to_owned();
    intention.action = Some("allow".to_owned());
    intention
}
