use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::timer::KeptTimer;
use crate::time::FOREVER;

/// What one HTTP connection may cost this server.
///
/// The defaults are for callers that proved who they are: generous where a busy neighbour needs it,
/// closed where only an attack does. `Limits::default()` and then set what differs.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// How long a request's head may take, and how long a kept-alive HTTP/1.1 connection may be
    /// idle: hyper has one clock for both. 75 s, longer than the idle timeout of usual clients, so
    /// that it is they who close and none of their requests meets a closing connection.
    pub head_timeout: Duration,
    /// The largest head of a request, in bytes. 64 KiB, a little over Envoy's 60 KiB.
    pub max_head_size: u32,
    /// How many requests an h2 connection may have open at once. 200.
    pub max_concurrent_streams: u32,
    /// How many streams an h2 peer may open and reset before they are accepted: the measure against
    /// "rapid reset". 20; over it the connection ends.
    pub max_pending_accept_reset_streams: usize,
    /// How many streams an h2 peer may make this server reset by breaking the protocol. 64.
    pub max_local_error_reset_streams: usize,
    /// How many frames an h2 peer may send that carry nothing (PING, SETTINGS, WINDOW_UPDATE, PRIORITY, resets, empty DATA)
    /// beyond what its requests and our responses explain, at once and again each second: the measure against floods of them.
    /// 1000; over it the connection ends.
    pub max_empty_frames: u32,
    /// How long an h2 connection may be silent before it is asked for a sign of life. 20 s.
    pub keep_alive_interval: Duration,
    /// How long the sign of life may take. 10 s; over it the connection ends.
    pub keep_alive_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_timeout: Duration::from_secs(75),
            max_head_size: 64 * 1024,
            max_concurrent_streams: 200,
            max_pending_accept_reset_streams: 20,
            max_local_error_reset_streams: 64,
            max_empty_frames: 1000,
            keep_alive_interval: Duration::from_secs(20),
            keep_alive_timeout: Duration::from_secs(10),
        }
    }
}

impl Limits {
    pub(super) fn http1(&self) -> http1::Builder {
        let mut builder = http1::Builder::new();
        // Without a timer the timeout is silently off.
        builder.timer(KeptTimer::default());
        builder.header_read_timeout(self.head_timeout.min(FOREVER));
        builder.max_header_size(self.max_head_size as usize);
        builder
    }

    pub(super) fn http2(&self) -> http2::Builder<TokioExecutor> {
        // hyper runs each request in a task of its own. Such a task ends with its connection: it
        // holds a stream of it and is woken when that breaks.
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new());
        builder.keep_alive_interval(self.keep_alive_interval.min(FOREVER));
        builder.keep_alive_timeout(self.keep_alive_timeout.min(FOREVER));
        builder.max_header_list_size(self.max_head_size);
        builder.max_concurrent_streams(self.max_concurrent_streams);
        builder.max_pending_accept_reset_streams(self.max_pending_accept_reset_streams);
        builder.max_local_error_reset_streams(self.max_local_error_reset_streams);
        builder.enable_connect_protocol();
        builder
    }
}
