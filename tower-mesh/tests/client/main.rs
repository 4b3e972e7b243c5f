//! The client over mutual TLS on real sockets, without Consul.

mod endpoints;
mod grpc;
mod http;
mod resending;
mod trust;
mod world;
