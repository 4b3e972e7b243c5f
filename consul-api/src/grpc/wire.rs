//! The messages of the few calls made here, written by hand: field numbers are the contract, and a code generator
//! or a copied `.proto` would be a heavy way to say these.

/// `hashicorp.consul.connectca.ConnectCAService/Sign`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SignRequest {
    /// PEM of a certificate request.
    #[prost(string, tag = "1")]
    pub(crate) csr: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SignResponse {
    /// PEM, leaf first. Field 1 is not in use.
    #[prost(string, tag = "2")]
    pub(crate) cert_pem: String,
}

/// `hashicorp.consul.connectca.ConnectCAService/WatchRoots`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(crate) struct WatchRootsRequest {}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WatchRootsResponse {
    #[prost(string, tag = "1")]
    pub(crate) active_root_id: String,
    #[prost(string, tag = "2")]
    pub(crate) trust_domain: String,
    #[prost(message, repeated, tag = "3")]
    pub(crate) roots: Vec<CaRoot>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CaRoot {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    #[prost(uint64, tag = "3")]
    pub(crate) serial_number: u64,
    #[prost(string, tag = "4")]
    pub(crate) signing_key_id: String,
    #[prost(string, tag = "5")]
    pub(crate) root_cert: String,
    #[prost(string, repeated, tag = "6")]
    pub(crate) intermediate_certs: Vec<String>,
    #[prost(bool, tag = "7")]
    pub(crate) active: bool,
    #[prost(message, optional, tag = "8")]
    pub(crate) rotated_out_at: Option<Timestamp>,
}

/// `google.protobuf.Timestamp`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(crate) struct Timestamp {
    #[prost(int64, tag = "1")]
    pub(crate) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(crate) nanos: i32,
}
