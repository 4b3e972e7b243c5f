//! Counting and timing one request, by the recorder there is.
//!
//! `--rounds 1` under `valgrind --tool=callgrind` gives instructions, which do not depend on the neighbours: what each contestant took,
//! divided by [`EACH`].

use std::{hint::black_box, time::Duration};

use http::{HeaderMap, StatusCode};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use tower_mesh::{
    authorize::{Decision, Permit},
    test_util::Measured,
};

use crate::{options::Options, rounds::now};

/// Requests in a turn.
const EACH: u32 = 100_000;

/// What is done for each request of a turn.
type Turn = Box<dyn Fn(&HeaderMap)>;

/// What is done for each request.
struct Contestant {
    name: &'static str,
    turn: Turn,
    all: Vec<Duration>,
}

pub(crate) fn run(options: &Options) {
    let recorder: &'static PrometheusRecorder =
        Box::leak(Box::new(PrometheusBuilder::new().build_recorder()));
    let decision = || Decision::Allow(Permit::by_default());
    let contestants: [(&str, Turn); 6] = [
        ("control: a loop", Box::new(control)),
        ("control: the clock is read twice", Box::new(clock)),
        ("no recorder, a call", {
            let measured = Measured::new("web", "api");
            Box::new(move |headers| turn(&measured, None, headers))
        }),
        ("no recorder, a request served", {
            let (measured, decision) = (Measured::new("web", "api"), decision());
            Box::new(move |headers| turn(&measured, Some(&decision), headers))
        }),
        ("Prometheus, a call", {
            let measured = metrics::with_local_recorder(recorder, || Measured::new("web", "api"));
            Box::new(move |headers| {
                metrics::with_local_recorder(recorder, || turn(&measured, None, headers));
            })
        }),
        ("Prometheus, a request served", {
            let measured = metrics::with_local_recorder(recorder, || Measured::new("api", "web"));
            let decision = decision();
            Box::new(move |headers| {
                metrics::with_local_recorder(recorder, || {
                    turn(&measured, Some(&decision), headers);
                });
            })
        }),
    ];
    let mut contestants = contestants.map(|(name, turn)| Contestant {
        name,
        turn,
        all: Vec::new(),
    });
    let mut upkeep = Vec::new();
    let headers = HeaderMap::new();
    let rounds = options.rounds;
    for _ in 0..rounds {
        for contestant in &mut contestants {
            let began = now();
            (contestant.turn)(&headers);
            contestant.all.push(began.elapsed());
        }
        // What the admin listener does every few seconds with what was timed since.
        let began = now();
        recorder.handle().run_upkeep();
        upkeep.push(began.elapsed() / 2);
    }
    println!("measuring one request, {rounds} rounds of {EACH}, ns each: least, median, most");
    for Contestant { name, all, .. } in contestants {
        print(name, all);
    }
    print("and later, of what Prometheus has timed", upkeep);
}

fn print(name: &str, mut all: Vec<Duration>) {
    all.sort_unstable();
    let nanos = |at: usize| all.get(at).copied().unwrap_or_default().as_nanos() / u128::from(EACH);
    println!(
        "{name:<40} {:>6} {:>6} {:>6}",
        nanos(0),
        nanos(all.len() / 2),
        nanos(all.len().saturating_sub(1))
    );
}

#[inline(never)]
fn control(headers: &HeaderMap) {
    for _ in 0..EACH {
        black_box((black_box(StatusCode::OK), black_box(headers)));
    }
}

#[inline(never)]
fn clock(headers: &HeaderMap) {
    for _ in 0..EACH {
        let began = now();
        black_box((black_box(StatusCode::OK), black_box(headers)));
        black_box(began.elapsed());
    }
}

#[inline(never)]
fn turn(measured: &Measured, decision: Option<&Decision>, headers: &HeaderMap) {
    for _ in 0..EACH {
        measured.exchange(
            black_box(decision),
            black_box(StatusCode::OK),
            black_box(headers),
        );
    }
}
