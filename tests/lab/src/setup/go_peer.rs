//! Our program on the Go Connect SDK.

use std::path::{Path, PathBuf};

use super::go_build;
use crate::{Component, Error};

const FILES: [(&str, &str); 6] = [
    ("go.mod", include_str!("../../go-peer/go.mod")),
    ("go.sum", include_str!("../../go-peer/go.sum")),
    ("main.go", include_str!("../../go-peer/main.go")),
    ("serve.go", include_str!("../../go-peer/serve.go")),
    ("dial.go", include_str!("../../go-peer/dial.go")),
    ("load.go", include_str!("../../go-peer/load.go")),
];

/// Its directory in the cache, by what its sources say: changed sources are another program.
pub(crate) fn directory() -> String {
    // FNV-1a: enough to tell versions of our own files apart, and the same with every compiler.
    let bytes = FILES
        .iter()
        .flat_map(|(name, text)| name.bytes().chain([0]).chain(text.bytes()));
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    format!("go-peer-{hash:016x}")
}

pub(super) fn build(workshop: &Path) -> Result<PathBuf, Error> {
    eprintln!("mesh-lab: building the Go peer; seconds when Go's caches are warm");
    let variable = Component::GoPeer.variable();
    go_build(workshop, &FILES, ".", "go-peer", "the Go peer", variable)
}
