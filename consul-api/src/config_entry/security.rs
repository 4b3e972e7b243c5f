//! The entries that decide about security: intentions and the mesh's own settings.

use std::collections::BTreeMap;

use crate::{
    intention::{JwtRequirement, Permission},
    wire::wire,
};

wire! {
    /// Who may call one service. Kind `service-intentions`.
    pub struct ServiceIntentions {
        /// The destination, or `*`.
        pub name: String,
        /// Whom the rules are about.
        pub sources: Vec<SourceIntention>,
        /// Tokens every request must bear.
        #[serde(rename = "JWT")]
        pub jwt: Option<JwtRequirement>,
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
    /// What one source may do: an action, or permissions.
    pub struct SourceIntention {
        /// The source, or `*`.
        pub name: String,
        /// Enterprise.
        pub namespace: String,
        /// Enterprise.
        pub partition: String,
        /// The cluster peer it is in.
        pub peer: String,
        /// Enterprise.
        pub sameness_group: String,
        /// `allow` or `deny`.
        pub action: Option<String>,
        /// Rules about requests.
        pub permissions: Option<Vec<Permission>>,
        /// Consul's own: what decides first.
        pub precedence: i64,
        /// `consul`
        #[serde(rename = "Type")]
        pub kind: String,
        /// For people.
        pub description: String,
        /// Of intentions made by the old API.
        #[serde(rename = "LegacyID")]
        pub legacy_id: String,
        /// Of intentions made by the old API.
        pub legacy_meta: BTreeMap<String, String>,
        /// Of intentions made by the old API. RFC 3339.
        pub legacy_create_time: String,
        /// Of intentions made by the old API. RFC 3339.
        pub legacy_update_time: String,
    }
    + extra
}

wire! {
    /// Settings of the whole mesh. Kind `mesh`, there is one.
    pub struct Mesh {
        /// Of transparent proxies.
        pub transparent_proxy: TransparentProxyMesh,
        /// Whether services may accept what is not mesh TLS.
        #[serde(rename = "AllowEnablingPermissiveMutualTLS")]
        pub allow_enabling_permissive_mutual_tls: bool,
        /// Whether Envoy checks that clusters exist.
        pub validate_clusters: bool,
        /// Limits of mesh TLS.
        #[serde(rename = "TLS")]
        pub tls: Option<MeshTls>,
        /// How requests are read.
        #[serde(rename = "HTTP")]
        pub http: Option<MeshHttp>,
        /// Between clusters.
        pub peering: Option<MeshPeering>,
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
    /// Of transparent proxies.
    pub struct TransparentProxyMesh {
        /// Whether they refuse what is outside the mesh.
        pub mesh_destinations_only: bool,
    }
    + extra
}

wire! {
    /// Limits of mesh TLS.
    pub struct MeshTls {
        /// Of servers.
        pub incoming: Option<MeshTlsDirection>,
        /// Of clients.
        pub outgoing: Option<MeshTlsDirection>,
    }
    + extra
}

wire! {
    /// Limits of mesh TLS on one side.
    pub struct MeshTlsDirection {
        /// `TLS_AUTO`, `TLSv1_0` … `TLSv1_3`; empty: the data plane's own.
        #[serde(rename = "TLSMinVersion")]
        pub tls_min_version: String,
        /// As the minimum.
        #[serde(rename = "TLSMaxVersion")]
        pub tls_max_version: String,
        /// For TLS up to 1.2, as IANA names them.
        pub cipher_suites: Vec<String>,
        /// Key exchange curves (Consul 2.1).
        #[serde(rename = "ECDHCurves")]
        pub ecdh_curves: Vec<String>,
    }
    + extra
}

wire! {
    /// How requests are read.
    pub struct MeshHttp {
        /// Whether what a caller says of its own identity is taken out of requests.
        pub sanitize_x_forwarded_client_cert: bool,
        /// Of servers.
        pub incoming: Option<MeshHttpIncoming>,
    }
    + extra
}

wire! {
    /// How servers read requests.
    pub struct MeshHttpIncoming {
        /// What is done to them before rules are asked (Consul 1.20.1).
        pub request_normalization: Option<RequestNormalization>,
    }
    + extra
}

wire! {
    /// What is done to requests before rules are asked (Consul 1.20.1).
    pub struct RequestNormalization {
        /// Leaves dot segments and escapes in paths, so that rules about paths can be got around.
        pub insecure_disable_path_normalization: bool,
        /// `//` becomes `/`.
        pub merge_slashes: bool,
        /// `KEEP_UNCHANGED`, `REJECT_REQUEST`, `UNESCAPE_AND_REDIRECT`, `UNESCAPE_AND_FORWARD`; empty: keep.
        pub path_with_escaped_slashes_action: String,
        /// `ALLOW`, `REJECT_REQUEST`, `DROP_HEADER`; empty: allow.
        pub headers_with_underscores_action: String,
    }
    + extra
}

wire! {
    /// Between clusters.
    pub struct MeshPeering {
        /// Whether peering itself goes through mesh gateways.
        pub peer_through_mesh_gateways: bool,
    }
    + extra
}
