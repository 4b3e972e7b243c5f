//! The messages of the CA service, written by hand from their field numbers.

/// Field 1: a PEM certificate request.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SignRequest {
    #[prost(string, tag = "1")]
    pub(crate) csr: String,
}

/// Field 2: PEM, leaf first, then its intermediates.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SignResponse {
    #[prost(string, tag = "2")]
    pub(crate) cert_pem: String,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
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

/// `google.protobuf.Timestamp`
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Timestamp {
    #[prost(int64, tag = "1")]
    pub(crate) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(crate) nanos: i32,
}

impl Timestamp {
    /// Go's zero time, which live roots carry.
    pub(crate) const YEAR_ONE: Self = Self {
        seconds: -62_135_596_800,
        nanos: 0,
    };
}
