//! `hashicorp.consul.connectca.ConnectCAService`: leafs by CSR and the stream of roots, on their own h2c port.

mod messages;
mod server;
mod sign;

pub(crate) use server::grpc;
