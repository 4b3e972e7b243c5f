//! The names of what a member counts and times, for the [`metrics`] facade.
//!
//! A member registers with the recorder that the process has installed when it
//! [joins](crate::Mesh::join), so install one before. Every series has the label `service`: the
//! name this process has in the mesh.
//!
//! | name | kind | labels beside `service` |
//! | --- | --- | --- |
//! | [`REQUESTS`] | counter | `direction`, `peer`, `protocol`, `code` |
//! | [`REQUEST_SECONDS`] | histogram | `direction`, `peer`, `protocol` |
//! | [`DECISIONS`] | counter | `decision`, `layer`, `reason` |
//! | [`HANDSHAKES`] | counter | `direction`, `result` |
//! | [`CONNECTIONS`] | gauge | `direction` |
//! | [`CONNECTIONS_ENDED`] | counter | `direction`, `how`, `reason` |
//! | [`SHEDS`] | counter | `reason` |
//! | [`LEAF_NOT_AFTER`] | gauge | |
//! | [`ROTATIONS`] | counter | |
//! | [`ROOTS`] | gauge | |
//! | [`WATCH_AGE`] | gauge | `watch` |
//! | [`WATCH_FAILING`] | gauge | `watch` |
//! | [`INTENTIONS`] | gauge | |
//! | [`ENDPOINTS`] | gauge | `peer`, `state` |
//! | [`READY`] | gauge | |
//!
//! `direction` is `in` or `out`. `peer` is the service at the other end: the verified caller, or the
//! upstream as it was asked for; more than a thousand callers share the name `other`. `protocol` is
//! `http` or `grpc`. `code` is the status code, or the gRPC status as a number; without a response
//! it is what the client reports ([`ErrorKind`](crate::ErrorKind) in small letters) or, on the
//! server, `canceled`. A path is never a label.

/// Requests that ended, with the last byte of the response, or without one.
pub const REQUESTS: &str = "mesh_requests_total";
/// How long requests took, from the head of the request to the end of the response, in seconds.
pub const REQUEST_SECONDS: &str = "mesh_request_duration_seconds";
/// Answers to "may they": `decision` is `allow`, `deny`, or `shadow_deny` where a denial is only
/// tried out, `layer` is `connection` or `request`, `reason` is `intention`, `default`, or the code
/// of the fault. Where requests decide about a caller, one that was let in and is ended because the
/// rules came to deny it counts again, as denied; who is denied as a caller loses the connection, which
/// is in [`CONNECTIONS_ENDED`].
pub const DECISIONS: &str = "mesh_decisions_total";
/// TLS handshakes that ended: `result` is `ok` or why there was no connection.
pub const HANDSHAKES: &str = "mesh_handshakes_total";
/// Connections that are open now.
pub const CONNECTIONS: &str = "mesh_connections_open";
/// Connections that the mesh ended: `how` is `drained` or `cut`, `reason` is why.
pub const CONNECTIONS_ENDED: &str = "mesh_connections_ended_total";
/// Connections that were closed at once because a limit was reached.
pub const SHEDS: &str = "mesh_sheds_total";
/// When the leaf in use ends, in seconds since 1970.
pub const LEAF_NOT_AFTER: &str = "mesh_leaf_not_after_timestamp_seconds";
/// How often another leaf or other roots were taken into use.
pub const ROTATIONS: &str = "mesh_identity_rotations_total";
/// How many roots are trusted.
pub const ROOTS: &str = "mesh_roots";
/// How long ago Consul was last known to agree with what is in use: `watch` is `intentions`,
/// `mesh entry` or `upstream <name>`. In seconds.
pub const WATCH_AGE: &str = "mesh_watch_age_seconds";
/// For how long every request of a watch has failed; zero if the last one did not. In seconds.
pub const WATCH_FAILING: &str = "mesh_watch_failing_seconds";
/// How many intentions are in force.
pub const INTENTIONS: &str = "mesh_intentions";
/// Known instances of an upstream: `state` is `usable` or `out`.
pub const ENDPOINTS: &str = "mesh_endpoints";
/// Whether this member can serve its callers: 1 or 0.
pub const READY: &str = "mesh_ready";

/// All of them, for a check that a dashboard or an alert names none that does not exist.
pub const ALL: [&str; TEXTS.len()] = {
    let mut all = [""; TEXTS.len()];
    let mut at = 0;
    while at < all.len() {
        all[at] = TEXTS[at].0;
        at += 1;
    }
    all
};

/// What each is, for a recorder's help texts.
pub(crate) const TEXTS: [(&str, &str); 15] = [
    (REQUESTS, "Requests that ended."),
    (
        REQUEST_SECONDS,
        "Duration of requests to the end of the response.",
    ),
    (DECISIONS, "Answers to: may they."),
    (HANDSHAKES, "TLS handshakes that ended."),
    (CONNECTIONS, "Connections that are open."),
    (CONNECTIONS_ENDED, "Connections that the mesh ended."),
    (
        SHEDS,
        "Connections closed at once because a limit was reached.",
    ),
    (LEAF_NOT_AFTER, "When the leaf in use ends."),
    (ROTATIONS, "Changes of the leaf or the roots in use."),
    (ROOTS, "Roots that are trusted."),
    (
        WATCH_AGE,
        "How long ago Consul last agreed with what is in use.",
    ),
    (
        WATCH_FAILING,
        "For how long every request of a watch has failed.",
    ),
    (INTENTIONS, "Intentions in force."),
    (ENDPOINTS, "Known instances of an upstream."),
    (READY, "Whether this member can serve its callers."),
];
