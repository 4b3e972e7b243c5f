//! Who issues tokens, and how they are checked. Kind `jwt-provider`.

use std::collections::BTreeMap;

use crate::{duration::GoDuration, wire::wire};

wire! {
    /// Where tokens come from and how they are checked. Kind `jwt-provider`.
    pub struct JwtProvider {
        /// The name intentions refer to.
        pub name: String,
        /// The keys.
        #[serde(rename = "JSONWebKeySet")]
        pub json_web_key_set: Option<JsonWebKeySet>,
        /// What `iss` must be.
        pub issuer: String,
        /// One of these must be in `aud`.
        pub audiences: Vec<String>,
        /// Where in a request; none: `Authorization: Bearer` and `access_token` in the query.
        pub locations: Vec<JwtLocation>,
        /// How the service gets to see it.
        pub forwarding: Option<JwtForwarding>,
        /// How far clocks may differ. 0: 30.
        pub clock_skew_seconds: i64,
        /// Of checked tokens.
        pub cache_config: Option<JwtCacheConfig>,
        /// Free-form metadata.
        pub meta: BTreeMap<String, String>,
        /// Enterprise.
        pub namespace: String,
        /// Enterprise.
        pub partition: String,
        /// Consul's own hash of the content. Not written.
        #[serde(skip_serializing)]
        pub hash: u64,
        /// Consul's own counters. Not written.
        #[serde(skip_serializing)]
        pub create_index: u64,
        /// Consul's own counters. Not written.
        #[serde(skip_serializing)]
        pub modify_index: u64,
    }
    + extra
}

wire! {
    /// The keys of a token provider.
    pub struct JsonWebKeySet {
        /// Given here.
        pub local: Option<LocalJwks>,
        /// To be fetched.
        pub remote: Option<RemoteJwks>,
    }
    + extra
}

wire! {
    /// Keys given in the entry.
    pub struct LocalJwks {
        /// A JSON web key set, as Base64.
        #[serde(rename = "JWKS")]
        pub jwks: String,
        /// A file where the data plane runs.
        pub filename: String,
    }
    + extra
}

wire! {
    /// Keys to be fetched.
    pub struct RemoteJwks {
        /// Where.
        #[serde(rename = "URI")]
        pub uri: String,
        /// How long fetching may take.
        pub request_timeout_ms: i64,
        /// For how long they are kept.
        pub cache_duration: GoDuration,
        /// Whether traffic waits for the first fetch.
        pub fetch_asynchronously: bool,
        /// Whether the host is sent as server name.
        #[serde(rename = "UseSNI")]
        pub use_sni: bool,
        /// What if it fails.
        pub retry_policy: Option<JwksRetryPolicy>,
        /// How to connect.
        #[serde(rename = "JWKSCluster")]
        pub jwks_cluster: Option<JwksCluster>,
    }
    + extra
}

wire! {
    /// What if fetching keys fails.
    pub struct JwksRetryPolicy {
        /// How often again.
        pub num_retries: i64,
        /// After how long.
        pub retry_policy_back_off: Option<RetryPolicyBackOff>,
    }
    + extra
}

wire! {
    /// After how long to fetch keys again.
    pub struct RetryPolicyBackOff {
        /// The first time.
        pub base_interval: GoDuration,
        /// At most.
        pub max_interval: GoDuration,
    }
    + extra
}

wire! {
    /// How to connect to where keys are.
    pub struct JwksCluster {
        /// `STATIC`, `STRICT_DNS`, `LOGICAL_DNS`, `EDS`, `ORIGINAL_DST`.
        pub discovery_type: String,
        /// Whom to trust there.
        #[serde(rename = "TLSCertificates")]
        pub tls_certificates: Option<JwksTlsCertificates>,
        /// How long connecting may take.
        pub connect_timeout: GoDuration,
    }
    + extra
}

wire! {
    /// Whom to trust where keys are.
    pub struct JwksTlsCertificates {
        /// What the data plane knows by name.
        pub ca_certificate_provider_instance: Option<CaCertificateProviderInstance>,
        /// Certificates.
        #[serde(rename = "TrustedCA")]
        pub trusted_ca: Option<TrustedCa>,
    }
    + extra
}

wire! {
    /// Certificates the data plane knows by name.
    pub struct CaCertificateProviderInstance {
        /// Its name.
        pub instance_name: String,
        /// The certificate's name.
        pub certificate_name: String,
    }
    + extra
}

wire! {
    /// Certificates: one of these.
    pub struct TrustedCa {
        /// A file where the data plane runs.
        pub filename: String,
        /// A variable of the data plane.
        pub environment_variable: String,
        /// PEM.
        pub inline_string: String,
        /// PEM, as Base64.
        pub inline_bytes: String,
    }
    + extra
}

wire! {
    /// Where in a request a token is: one of these.
    pub struct JwtLocation {
        /// A header.
        pub header: Option<JwtLocationHeader>,
        /// A parameter of the query.
        pub query_param: Option<JwtLocationName>,
        /// A cookie.
        pub cookie: Option<JwtLocationName>,
    }
    + extra
}

wire! {
    /// A header with a token.
    pub struct JwtLocationHeader {
        /// Its name.
        pub name: String,
        /// What stands before the token.
        pub value_prefix: String,
        /// Whether the service gets to see it.
        pub forward: bool,
    }
    + extra
}

wire! {
    /// The name of a parameter or cookie.
    pub struct JwtLocationName {
        /// The name.
        pub name: String,
    }
    + extra
}

wire! {
    /// How the service gets to see a checked token.
    pub struct JwtForwarding {
        /// In which header.
        pub header_name: String,
        /// Whether its Base64 is padded.
        pub pad_forward_payload_header: bool,
    }
    + extra
}

wire! {
    /// Checked tokens that are remembered.
    pub struct JwtCacheConfig {
        /// How many.
        pub size: i64,
    }
    + extra
}
