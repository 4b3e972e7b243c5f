//! May they: a tower layer that asks [`Authorize`] about every request.
//!
//! [`Mesh::serve`](crate::Mesh::serve) does this by itself, below the application. The layer is for
//! servers that are put together by hand (hyper, axum, tonic) and for a second, stricter policy on
//! a part of a router:
//!
//! ```
//! use axum::{Router, routing::get};
//! use tower_mesh::authorize::{self, AuthorizeLayer, Caller, Decision, Permit, Reason};
//!
//! let only_ops = authorize::from_fn(|caller, _head| match caller {
//!     Caller::Peer(peer) if peer.id().service().as_str() == "ops" => {
//!         Decision::Allow(Permit::by_default())
//!     }
//!     _ => Decision::Deny(Reason::fixed("admin", "only `ops` may use the admin routes")),
//! });
//! let admin: Router = Router::new()
//!     .route("/admin/reload", get(async || "reloading"))
//!     .layer(AuthorizeLayer::new(only_ops));
//! # let _ = admin;
//! ```
//!
//! The caller is the [`Peer`](crate::Peer) in the request's extensions. A request without one is
//! decided as [`Caller::Unauthenticated`], which every policy of this workspace refuses. The refusal
//! speaks the caller's protocol: `403` for HTTP, trailers-only `grpc-status: 7` for gRPC. It does not
//! say why, unless it is [told to](AuthorizeLayer::tell_denials); [`Denied`] is in the response's
//! extensions, for a layer that logs.
//!
//! A path is compared as it is. A server of this crate normalises it first; in front of another, let
//! [`NormalizeLayer`] do so, or a rule about `/admin` does not see `/public/../admin`.

mod body;
mod denied;
mod future;
mod layer;
mod normalize;
mod refusal;

pub use body::ResponseBody;
pub use consul_connect::authorize::{
    And, Authorize, Caller, Changes, Decision, FromFn, Or, PerRequest, Permit, Reason, Rule,
    Verdict, dangerously_allow_all, from_fn, per_request,
};
pub use denied::Denied;
pub use future::ResponseFuture;
pub use layer::{AuthorizeLayer, AuthorizeService};
pub use normalize::{NormalizeLayer, NormalizeService};

pub(crate) use refusal::{Dialect, Refusal};

#[cfg(test)]
mod tests;
