//! HTTP/1.1 on loopback: connections, requests, routes, replies.

pub(crate) mod blocking;
pub(crate) mod call;
pub(crate) mod listener;
pub(crate) mod reply;
pub(crate) mod router;
pub(crate) mod serve;
