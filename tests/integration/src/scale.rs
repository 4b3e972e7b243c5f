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
    /// What made-up cases are made of: the same each time for every change, another each time for a proof. `variable` repeats a
    /// run, and is printed with what it is.
    ///
    /// # Panics
    /// When the variable holds no number.
    #[must_use]
    pub fn seed(self, variable: &str) -> u64 {
        let seed = match (std::env::var(variable), self) {
            (Ok(seed), _) => seed
                .parse()
                .unwrap_or_else(|_| panic!("{variable} is a number")),
            (Err(_), Self::Ci) => 1,
            (Err(_), Self::Full) => rand::random::<u32>().into(),
        };
        println!("{variable}={seed}");
        seed
    }

    /// `full`, or a fiftieth of it, and at least 1.
    #[must_use]
    pub fn of(self, full: u64) -> u64 {
        match self {
            Self::Ci => (full / 50).max(1),
            Self::Full => full,
        }
    }
}
