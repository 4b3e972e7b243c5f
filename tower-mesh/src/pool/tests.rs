//! The pool over in-memory pipes: no network, no TLS, paused time.

mod lifecycle;
mod peer;
mod sharing;
mod sending;
