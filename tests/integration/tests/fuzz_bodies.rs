//! The bodies of the fuzz targets without a fuzzer: on every seed, on what is near one, and on any bytes.

use std::{fs, path::PathBuf};

use mesh_tests::{
    fuzzing::{TARGETS, Target},
    scale,
};
use proptest::{
    prelude::*,
    sample::Index,
    test_runner::{Config, TestCaseError, TestRunner},
};

/// Inputs of each kind, per target.
const INPUTS: u64 = 500_000;

fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/seeds")
        .join(target.name);
    let mut files: Vec<PathBuf> = fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files
        .iter()
        .map(|file| fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display())))
        .collect()
}

fn run<S: Strategy<Value = Vec<u8>>>(target: &Target, inputs: S) {
    let mut config =
        Config::with_cases(u32::try_from(scale().of(INPUTS)).expect("a number of cases"));
    config.failure_persistence = None;
    let holds = |input: Vec<u8>| {
        (target.body)(&input);
        Ok::<(), TestCaseError>(())
    };
    if let Err(error) = TestRunner::new(config).run(&inputs, holds) {
        panic!("{}: {error}", target.name);
    }
}

/// A seed of which some bytes are other ones, or gone, or there twice, or from another seed.
fn near(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let seed = prop::sample::select(seeds);
    let changes = prop::collection::vec((any::<Index>(), 0..5_u8, any::<u8>()), 1..6);
    (seed.clone(), seed, changes).prop_map(|(mut bytes, other, changes)| {
        for (at, what, byte) in changes {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match what {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => drop(bytes.drain(at..(at + usize::from(byte) % 8).min(bytes.len()))),
                3 => {
                    let end = (at + usize::from(byte) % 32).min(bytes.len());
                    let part = bytes[at..end].to_vec();
                    bytes.splice(at..at, part);
                }
                _ => {
                    let from = at.min(other.len());
                    let end = (from + usize::from(byte) % 32).min(other.len());
                    bytes.splice(at..at, other[from..end].iter().copied());
                }
            }
        }
        bytes
    })
}

#[test]
fn every_seed_holds() {
    for target in TARGETS {
        let seeds = seeds(target);
        assert!(
            seeds.len() >= 5,
            "{} has {} seeds",
            target.name,
            seeds.len()
        );
        for seed in seeds {
            (target.body)(&seed);
        }
    }
}

#[test]
fn what_is_near_a_seed_holds() {
    for target in TARGETS {
        run(target, near(seeds(target)));
    }
}

#[test]
fn any_bytes_hold() {
    for target in TARGETS {
        run(target, prop::collection::vec(any::<u8>(), 0..200));
    }
}
