//! The pool over in-memory pipes: no network, no TLS, paused time.

mod early;
mod lifecycle;
mod peer;
mod sending;
mod sharing;
