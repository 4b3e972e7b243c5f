//! What a test sees when a real component is not there: this test binary runs itself without one.

use std::process::{Command, Output};

use mesh_lab::{Component, Version, find_component, find_consul};

/// Run by the other tests, in a process in which there is nothing; in this one it shows the normal course.
#[test]
fn asks_for_consul() {
    if mesh_lab::consul(Version::Newest).is_some() {
        assert!(find_consul(Version::Newest).is_ok());
    }
    for component in Component::ALL {
        if mesh_lab::component(component).is_some() {
            assert!(find_component(component).is_ok());
        }
    }
}

fn ask_without_consul(variables: &[(&str, &str)]) -> Output {
    let empty = tempfile::tempdir().expect("a directory can be made");
    Command::new(std::env::current_exe().expect("this program has a path"))
        .args(["--exact", "asks_for_consul"])
        .env_remove("MESH_LAB")
        .env_remove(Version::Newest.variable())
        .env_remove(Component::Envoy.variable())
        .env_remove(Component::GoPeer.variable())
        .env_remove(Component::Prometheus.variable())
        .env("PATH", empty.path())
        .env("XDG_CACHE_HOME", empty.path())
        .envs(variables.iter().copied())
        .output()
        .expect("this program starts")
}

#[test]
fn a_test_without_consul_passes_and_says_past_the_harness_how_to_get_it() {
    let ran = ask_without_consul(&[]);
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{ran:?}");
    assert!(
        said.contains("tests skipped: Consul (newest, 1.22.5) is missing"),
        "{said}"
    );
    assert!(said.contains("cargo run -p mesh-lab -- setup"), "{said}");
    for component in Component::ALL {
        let missing = format!("tests skipped: {} is missing", component.name());
        assert!(said.contains(&missing), "{said}");
    }
}

#[test]
fn a_test_without_consul_fails_where_the_lab_is_required() {
    let ran = ask_without_consul(&[("MESH_LAB", "required")]);
    assert!(!ran.status.success(), "{ran:?}");
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(said.contains("cargo run -p mesh-lab -- setup"), "{said}");
}

#[test]
fn a_variable_that_names_no_consul_is_not_passed_over() {
    let ran = ask_without_consul(&[("CONSUL_BIN", "/nowhere/consul")]);
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(
        said.contains("CONSUL_BIN is set, but /nowhere/consul does not start"),
        "{said}"
    );
}
