/// How much of everything that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scale {
    /// About a fiftieth, for every change.
    Ci,
    /// What is promised.
    Full,
}

/// What `MESH_SCALE` says: `ci`, which is the default, or `full`.
///
/// # Panics
/// When it says anything else: a proof that was asked for must not be a fiftieth of one by a slip of the pen.
#[must_use]
pub fn scale() -> Scale {
    match std::env::var("MESH_SCALE").as_deref() {
        Err(std::env::VarError::NotPresent) | Ok("ci") => Scale::Ci,
        Ok("full") => Scale::Full,
        other => panic!("MESH_SCALE is `ci` or `full`, not {other:?}"),
    }
}

impl Scale {
    /// `full`, or a fiftieth of it, and at least 1.
    #[must_use]
    pub fn of(self, full: u64) -> u64 {
        match self {
            Self::Ci => (full / 50).max(1),
            Self::Full => full,
        }
    }
}
