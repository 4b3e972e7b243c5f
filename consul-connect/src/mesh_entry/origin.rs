use std::fmt;

/// Where settings of the mesh that are in force come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingsOrigin {
    /// The program gave them.
    Given,
    /// The `mesh` config entry.
    MeshEntry,
    /// Consul has no `mesh` entry: the defaults.
    NoMeshEntry,
    /// Consul does not let us read the entry: the defaults.
    NotPermitted,
    /// Consul has not answered yet: everything is refused.
    Unknown,
}

impl fmt::Display for SettingsOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Given => "as the program says",
            Self::MeshEntry => "as the `mesh` entry says",
            Self::NoMeshEntry => "there is no `mesh` entry",
            Self::NotPermitted => "the token may not read the `mesh` entry",
            Self::Unknown => "Consul has not told the `mesh` entry yet",
        })
    }
}
