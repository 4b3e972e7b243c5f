//! Logging in and out, and what the own token is (`/v1/acl/…`).

use std::{collections::BTreeMap, fmt};

use http::Method;
use serde::{Deserialize, Serialize};

use crate::{
    client::Client,
    duration::GoDuration,
    json::Json,
    read::{Call, Read},
    request::Request,
    secret::Secret,
    wire::{lenient, wire},
};

/// What proves who we are to an auth method.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct LoginRequest {
    /// The auth method's name.
    pub auth_method: String,
    /// A JWT, or for `aws-iam` a signed request as JSON.
    #[serde(serialize_with = "Secret::write")]
    pub bearer_token: Secret,
    /// Free-form; ends in the token's description.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub meta: BTreeMap<String, String>,
}

impl LoginRequest {
    /// A login with an auth method by a bearer token.
    #[must_use]
    pub fn new(auth_method: impl Into<String>, bearer_token: impl Into<Secret>) -> Self {
        Self {
            auth_method: auth_method.into(),
            bearer_token: bearer_token.into(),
            meta: BTreeMap::new(),
        }
    }

    /// Adds to what ends in the token's description.
    #[must_use]
    pub fn meta(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.meta.insert(key.into(), value.into());
        self
    }
}

impl fmt::Debug for LoginRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginRequest")
            .field("auth_method", &self.auth_method)
            .field("bearer_token", &self.bearer_token)
            .field("meta", &self.meta)
            .finish()
    }
}

/// An ACL token. `Debug` does not show its secret; it cannot be serialised.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[non_exhaustive]
pub struct AclToken {
    /// What it is called by; not a secret.
    #[serde(rename = "AccessorID", deserialize_with = "lenient")]
    pub accessor_id: String,
    /// What calls carry: `Token::from(&token.secret_id)`.
    #[serde(rename = "SecretID", deserialize_with = "lenient")]
    pub secret_id: Secret,
    /// For people.
    #[serde(deserialize_with = "lenient")]
    pub description: String,
    /// What it may do.
    #[serde(deserialize_with = "lenient")]
    pub policies: Vec<AclLink>,
    /// What it may do.
    #[serde(deserialize_with = "lenient")]
    pub roles: Vec<AclLink>,
    /// The services it may be.
    #[serde(deserialize_with = "lenient")]
    pub service_identities: Vec<ServiceIdentity>,
    /// The nodes it may be.
    #[serde(deserialize_with = "lenient")]
    pub node_identities: Vec<NodeIdentity>,
    /// What it may do, by template.
    #[serde(deserialize_with = "lenient")]
    pub templated_policies: Vec<TemplatedPolicy>,
    /// Whether it counts in its datacenter alone.
    #[serde(deserialize_with = "lenient")]
    pub local: bool,
    /// The auth method it was got from.
    #[serde(deserialize_with = "lenient")]
    pub auth_method: String,
    /// For how long it was made.
    #[serde(rename = "ExpirationTTL", deserialize_with = "lenient")]
    pub expiration_ttl: GoDuration,
    /// Until when it counts; RFC 3339. Tokens cannot be renewed: log in again before.
    #[serde(deserialize_with = "lenient")]
    pub expiration_time: String,
    /// RFC 3339.
    #[serde(deserialize_with = "lenient")]
    pub create_time: String,
    /// Of the content, as Base64.
    #[serde(deserialize_with = "lenient")]
    pub hash: String,
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

wire! {
    /// A policy or role.
    pub struct AclLink {
        /// A UUID.
        #[serde(rename = "ID")]
        pub id: String,
        /// Its name.
        pub name: String,
    }
}

wire! {
    /// A service a token may be.
    pub struct ServiceIdentity {
        /// The service.
        pub service_name: String,
        /// Where; none: everywhere.
        pub datacenters: Vec<String>,
    }
}

wire! {
    /// A node a token may be.
    pub struct NodeIdentity {
        /// The node.
        pub node_name: String,
        /// Where.
        pub datacenter: String,
    }
}

wire! {
    /// A policy by template.
    pub struct TemplatedPolicy {
        /// `builtin/service`, … .
        pub template_name: String,
        /// A UUID.
        #[serde(rename = "TemplateID")]
        pub template_id: String,
        /// What is filled in.
        pub template_variables: BTreeMap<String, Json>,
        /// Where; none: everywhere.
        pub datacenters: Vec<String>,
    }
}

/// The calls of `/v1/acl`: see [`Client::acl`].
#[derive(Clone, Copy, Debug)]
pub struct Acl<'a> {
    client: &'a Client,
}

impl Client {
    /// Logging in and out.
    #[must_use]
    pub fn acl(&self) -> Acl<'_> {
        Acl { client: self }
    }
}

impl Acl<'_> {
    /// Gets a token from an auth method. `POST /v1/acl/login`
    ///
    /// Right after, a server may not know the token yet: see [`Error::is_unknown_token`](crate::Error::is_unknown_token).
    ///
    /// # Errors
    /// 403 if there is no such method, 500 if the bearer token is not accepted or bound to nothing.
    pub fn login(&self, login: &LoginRequest) -> Call<AclToken> {
        Call::new(self.client, Request::post(["acl", "login"]).json(login))
    }

    /// Deletes the token this client carries, which must have come from a login. `POST /v1/acl/logout`
    pub fn logout(&self) -> Call<()> {
        Call::new(
            self.client,
            Request::with_decoder(Method::POST, ["acl", "logout"], |_| Ok(())),
        )
    }

    /// The token this client carries. `GET /v1/acl/token/self`
    pub fn token_self(&self) -> Read<AclToken> {
        Read::new(self.client, Request::get(["acl", "token", "self"]))
    }
}
