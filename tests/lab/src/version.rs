//! Which Consul.

use std::fmt;

/// The two ends of the range of Consul releases the workspace supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Version {
    /// The newest release that can be built: the whole program.
    Newest,
    /// The oldest release that can be built: the agent alone (`consul agent` and `consul version`).
    Oldest,
}

impl Version {
    /// Both, newest first.
    pub const ALL: [Self; 2] = [Self::Newest, Self::Oldest];

    /// The release that `setup` builds.
    #[must_use]
    pub const fn number(self) -> &'static str {
        match self {
            Self::Newest => "1.22.5",
            Self::Oldest => "1.20.5",
        }
    }

    /// The environment variable that names a ready program instead.
    #[must_use]
    pub const fn variable(self) -> &'static str {
        match self {
            Self::Newest => "CONSUL_BIN",
            Self::Oldest => "CONSUL_OLDEST_BIN",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Newest => "newest",
            Self::Oldest => "oldest",
        })
    }
}

/// The oldest release whose behaviour the workspace promises to work with.
pub(crate) const SUPPORTED: (u32, u32) = (1, 20);

/// `Consul v1.22.5+ent` in the first line of `consul version`: the text of the number, its major and its minor part.
pub(crate) fn parse(output: &str) -> Option<(String, (u32, u32))> {
    let number = output.lines().next()?.trim().strip_prefix("Consul v")?;
    let mut parts = number.split(['.', '-', '+']);
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next()?.parse().ok()?;
    Some((number.to_owned(), (major, minor)))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn reads_the_number_of_a_release_and_of_a_suffixed_one() {
        assert_eq!(
            parse("Consul v1.22.5\nBuild Date 1970"),
            Some(("1.22.5".to_owned(), (1, 22)))
        );
        assert_eq!(
            parse("Consul v1.21.0+ent\n"),
            Some(("1.21.0+ent".to_owned(), (1, 21)))
        );
        assert_eq!(
            parse("Consul v2.0-dev"),
            Some(("2.0-dev".to_owned(), (2, 0)))
        );
    }

    #[test]
    fn refuses_the_output_of_something_else() {
        assert_eq!(parse(""), None);
        assert_eq!(parse("vault v1.2"), None);
        assert_eq!(parse("Consul vX"), None);
    }
}
