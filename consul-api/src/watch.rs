//! Blocking queries as streams.

/// What the watches of one client share.
#[derive(Debug, Default)]
pub(crate) struct Hub;
