//! The client over mutual TLS on real sockets, without Consul.

mod endpoints;
mod grpc;
mod http;
mod trust;
mod world;
