//! The gate of the `real_*` tests: run, skip loudly, or fail.

use std::{
    collections::{HashMap, HashSet},
    env,
    io::Write as _,
    sync::{Mutex, PoisonError},
};

use crate::{Component, Consul, Found, Missing, Version, find_component, find_consul};

/// Consul for a test, or `None` when the test cannot run here and should return.
///
/// What is missing, and how to get it, goes to standard error past the capture of the test harness, once per process.
///
/// # Panics
/// When it is missing and `MESH_LAB=required`: a machine that must run the real tests must not pass by skipping them.
#[must_use]
pub fn consul(version: Version) -> Option<Consul> {
    match look_up(Wanted::Consul(version)) {
        Ok(found) => Some(Consul::new(found)),
        Err(missing) => skip(&missing),
    }
}

/// A component for a test, or `None` when the test cannot run here and should return; as with [`consul`].
///
/// # Panics
/// When it is missing and `MESH_LAB=required`.
#[must_use]
pub fn component(component: Component) -> Option<Found> {
    look_up(Wanted::Component(component)).map_or_else(|missing| skip(&missing), Some)
}

/// The whole `consul` program: its client commands are used with agents of both versions, for the oldest has none.
pub(crate) fn consul_commands() -> Option<Found> {
    look_up(Wanted::Consul(Version::Newest)).map_or_else(|missing| skip(&missing), Some)
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Wanted {
    Consul(Version),
    Component(Component),
}

/// Once per process: each look asks a program for its version.
fn look_up(wanted: Wanted) -> Result<Found, Missing> {
    static SEEN: Mutex<Option<HashMap<Wanted, Result<Found, Missing>>>> = Mutex::new(None);
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    seen.get_or_insert_default()
        .entry(wanted)
        .or_insert_with(|| match wanted {
            Wanted::Consul(version) => find_consul(version),
            Wanted::Component(component) => find_component(component),
        })
        .clone()
}

fn skip<T>(missing: &Missing) -> Option<T> {
    assert!(
        env::var_os("MESH_LAB").is_none_or(|value| value != "required"),
        "MESH_LAB=required, and {missing}"
    );
    static SAID: Mutex<Option<HashSet<String>>> = Mutex::new(None);
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if said.get_or_insert_default().insert(missing.to_string()) {
        // The print macros are what the harness captures; writing to the stream itself reaches the terminal.
        // If standard error is closed there is nobody to tell.
        drop(writeln!(
            std::io::stderr(),
            "mesh-lab: tests skipped: {missing}"
        ));
    }
    None
}
