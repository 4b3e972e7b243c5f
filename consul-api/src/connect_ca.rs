//! The mesh's certificate authority (`/v1/connect/ca/…`); leafs come from the [agent](crate::agent) or by gRPC.

use std::{collections::BTreeMap, fmt};

use http::Method;
use serde::{Deserialize, Serialize};

use crate::{
    client::Client,
    json::Json,
    read::{Call, Read},
    request::Request,
    secret::Secret,
    wire::{lenient, wire},
};

wire! {
    /// Whom the mesh trusts.
    pub struct Roots {
        /// Which root signs new leafs.
        #[serde(rename = "ActiveRootID")]
        pub active_root_id: String,
        /// `<cluster id>.consul`. Empty: the authority is not set up yet.
        pub trust_domain: String,
        /// Every root that is trusted, in no order of age. During a rotation the old ones stay listed.
        pub roots: Vec<Root>,
    }
}

wire! {
    /// A root certificate.
    pub struct Root {
        /// SHA-1 of the certificate, as hexadecimal bytes with colons.
        #[serde(rename = "ID")]
        pub id: String,
        /// For people.
        pub name: String,
        /// The low 64 bits of the serial number.
        pub serial_number: u64,
        /// Which key signs leafs under this root: the subject key id of the signer, of an intermediate in secondary datacenters.
        #[serde(rename = "SigningKeyID")]
        pub signing_key_id: String,
        /// Informational.
        pub external_trust_domain: String,
        /// RFC 3339.
        pub not_before: String,
        /// RFC 3339.
        pub not_after: String,
        /// The certificate to trust, as PEM.
        pub root_cert: String,
        /// Certificates that are appended to leafs, as PEM. Not to be trusted by themselves.
        pub intermediate_certs: Vec<String>,
        /// Whether it signs new leafs. One root does.
        pub active: bool,
        /// `ec` or `rsa`.
        pub private_key_type: String,
        /// The key's size.
        pub private_key_bits: u32,
        /// Consul's own counters.
        pub create_index: u64,
        /// Consul's own counters.
        pub modify_index: u64,
    }
}

/// A leaf certificate with its private key, which the agent has made.
///
/// It cannot be serialised, and `Debug` does not show the key.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[non_exhaustive]
pub struct Leaf {
    /// The serial number as hexadecimal bytes with colons.
    #[serde(deserialize_with = "lenient")]
    pub serial_number: String,
    /// The leaf and what leads from it to the roots, as PEM. The leaf first, the others in no order.
    #[serde(rename = "CertPEM", deserialize_with = "lenient")]
    pub cert_pem: String,
    /// The private key as PEM: SEC1, EC P-256, whatever key the authority has.
    #[serde(rename = "PrivateKeyPEM", deserialize_with = "lenient")]
    pub private_key_pem: Secret,
    /// The service's name.
    #[serde(deserialize_with = "lenient")]
    pub service: String,
    /// The SPIFFE id in the certificate.
    #[serde(rename = "ServiceURI", deserialize_with = "lenient")]
    pub service_uri: String,
    /// RFC 3339.
    #[serde(deserialize_with = "lenient")]
    pub valid_after: String,
    /// RFC 3339.
    #[serde(deserialize_with = "lenient")]
    pub valid_before: String,
    /// Enterprise.
    #[serde(deserialize_with = "lenient")]
    pub namespace: String,
    /// Enterprise.
    #[serde(deserialize_with = "lenient")]
    pub partition: String,
    /// Consul's own counters.
    #[serde(deserialize_with = "lenient")]
    pub create_index: u64,
    /// Consul's own counters.
    #[serde(deserialize_with = "lenient")]
    pub modify_index: u64,
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaf")
            .field("serial_number", &self.serial_number)
            .field("service_uri", &self.service_uri)
            .field("valid_after", &self.valid_after)
            .field("valid_before", &self.valid_before)
            .field("private_key_pem", &self.private_key_pem)
            .finish_non_exhaustive()
    }
}

/// The authority's configuration. Read and written whole; with a permission to write, it may hold the authority's private key.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[non_exhaustive]
pub struct CaConfiguration {
    /// `consul`, `vault` or `aws-pca`.
    #[serde(deserialize_with = "lenient")]
    pub provider: String,
    /// Settings, the provider's own among them: `LeafCertTTL`, `PrivateKeyType`, … .
    #[serde(deserialize_with = "lenient")]
    pub config: BTreeMap<String, Json>,
    /// What the provider keeps.
    #[serde(
        deserialize_with = "lenient",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub state: BTreeMap<String, String>,
    /// Rotates even where the old root cannot sign the new one.
    #[serde(
        deserialize_with = "lenient",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub force_without_cross_signing: bool,
    /// Consul's own counters.
    #[serde(deserialize_with = "lenient", skip_serializing)]
    pub create_index: u64,
    /// Consul's own counters.
    #[serde(deserialize_with = "lenient", skip_serializing)]
    pub modify_index: u64,
}

impl fmt::Debug for CaConfiguration {
    /// Without the values of the settings: `PrivateKey` and providers' tokens are among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CaConfiguration")
            .field("provider", &self.provider)
            .field("config", &self.config.keys().collect::<Vec<_>>())
            .field(
                "force_without_cross_signing",
                &self.force_without_cross_signing,
            )
            .finish_non_exhaustive()
    }
}

/// The calls of `/v1/connect/ca`: see [`Client::connect_ca`].
#[derive(Clone, Copy, Debug)]
pub struct ConnectCa<'a> {
    client: &'a Client,
}

impl Client {
    /// The mesh's certificate authority.
    #[must_use]
    pub fn connect_ca(&self) -> ConnectCa<'_> {
        ConnectCa { client: self }
    }
}

impl ConnectCa<'_> {
    /// Whom the mesh trusts, as the servers know it. `GET /v1/connect/ca/roots`
    ///
    /// Needs no permission.
    pub fn roots(&self) -> Read<Roots> {
        Read::new(
            self.client,
            Request::get(["connect", "ca", "roots"]).sensitive(),
        )
    }

    /// Roots and intermediates as one PEM text. `GET /v1/connect/ca/roots?pem=true`
    pub fn roots_pem(&self) -> Call<String> {
        let request = Request::with_decoder(Method::GET, ["connect", "ca", "roots"], |reply| {
            Ok(String::from_utf8(reply.body.to_vec())?)
        });
        Call::new(self.client, request.query("pem", "true").sensitive())
    }

    /// The authority's configuration. `GET /v1/connect/ca/configuration`
    ///
    /// Needs `operator:read`; with `operator:write` the private key is in it.
    pub fn configuration(&self) -> Call<CaConfiguration> {
        Call::new(
            self.client,
            Request::get(["connect", "ca", "configuration"]).sensitive(),
        )
    }

    /// Replaces the authority's configuration; a change of key or provider rotates the root. `PUT /v1/connect/ca/configuration`
    ///
    /// Needs `operator:write`.
    pub fn set_configuration(&self, configuration: &CaConfiguration) -> Call<()> {
        let request =
            Request::with_decoder(Method::PUT, ["connect", "ca", "configuration"], |_| Ok(()));
        Call::new(self.client, request.json(configuration).sensitive())
    }
}
