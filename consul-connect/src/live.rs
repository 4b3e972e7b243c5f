//! The live set: every open connection, and why it may stay open.
//!
//! A connection is entered first and decided about second, so that no change of policy or identity falls between the two.
//! From then on one task, the warden, holds all of them against the newest roots, the newest rules and the clock:
//!
//! | what changes | what happens |
//! | --- | --- |
//! | the roots no longer anchor the peer's chain | cut |
//! | its cluster is no cluster peer any more | cut; drained if it calls through a gateway |
//! | the root of the peer's chain, or an intermediate in it, expires, and no other root anchors it | cut |
//! | a rule now denies it (byte stream) | cut |
//! | a rule now denies it (requests) | each request is refused; after a grace it is drained |
//! | the earlier of the two leafs expires | drained |
//! | a drain's deadline passes | cut |
//!
//! The connection of a mesh gateway has no caller of its own. Its requests are held to the rules by whoever serves them.
//!
//! A cut works in the stream itself, so nobody who holds it has to cooperate.

mod connection;
mod guard;
mod review;
mod set;
mod warden;

pub(crate) use connection::{Facts, Live};
pub use guard::{Closing, ConnectionGuard};
pub use review::{Grace, Layer};
pub(crate) use set::{LiveSet, Membership};
pub(crate) use warden::{Rules, Warden, admit};
