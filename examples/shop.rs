//! The gRPC interface of `inventory`: messages and what tonic generates, from `shop/shop.proto`.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::exhaustive_structs,
    reason = "the style of generated code, of which each program uses one half"
)]

#[derive(Clone, PartialEq, prost::Message)]
pub struct ReserveRequest {
    #[prost(string, tag = "1")]
    pub item: String,
    #[prost(uint32, tag = "2")]
    pub quantity: u32,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct ReserveReply {
    #[prost(uint32, tag = "1")]
    pub left: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct WatchRequest {
    #[prost(string, tag = "1")]
    pub item: String,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Level {
    #[prost(uint32, tag = "1")]
    pub left: u32,
}

include!("shop/generated.rs");
