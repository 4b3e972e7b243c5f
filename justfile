# One recipe per job of `.ci/run`, which needs no `just`.

_default:
    @just --list

# everything, as before a merge
ci:
    .ci/run

# install what a clean machine lacks
tools:
    .ci/run tools

# formatting
fmt:
    .ci/run fmt

# lints, default and all features
clippy:
    .ci/run clippy

# build the real components that the `real_*` tests run against
setup:
    .ci/run setup

# a world to look at until ctrl-c: a real Consul with its UI, the example services, one behind Envoy
up:
    cargo run -p mesh-lab -- up

# all tests; nothing may be skipped
test:
    .ci/run test

# documentation without a warning
docs:
    .ci/run docs

# licences, sources and bans of the dependency tree
deny:
    .ci/run deny

# each crate by itself, with and without its default features
alone:
    .ci/run alone

# all tests at full scale: longer, and meant for a machine of one's own
prove:
    MESH_SCALE=full .ci/run setup test

# members under load on a real Consul, with rotations and churn: what grows? (minutes)
soak minutes='30':
    cargo run --release -p mesh-tests --bin mesh-soak -- {{minutes}}

# a measurement beside its controls, see docs/performance.md: l4, handshake, propagation, memory, authorize
bench what *options:
    cargo run --release -p mesh-bench -- {{what}} {{options}}

# each fuzz target for some minutes, from its seeds and what earlier runs found; needs a nightly toolchain and `cargo install cargo-fuzz`
fuzz minutes='1':
    #!/usr/bin/env bash
    set -euo pipefail
    for target in $(cargo +nightly fuzz list --fuzz-dir tests/fuzz); do
        mkdir -p "tests/fuzz/corpus/$target"
        cargo +nightly fuzz run --fuzz-dir tests/fuzz "$target" "tests/fuzz/corpus/$target" "tests/fuzz/seeds/$target" -- \
            -max_total_time=$(({{minutes}} * 60)) -max_len=4096 -timeout=10
    done
