//! Intentions: who may call whom (`/v1/connect/intentions/…`).
//!
//! Types here keep what they do not know in `extra`: whoever evaluates a rule must be able to see that there is more to it than they
//! understand.

use std::collections::BTreeMap;

use http::{Method, StatusCode};

use crate::{
    client::Client,
    read::{Call, Read},
    request::{Reply, Request},
    wire::wire,
};

wire! {
    /// One rule, as the API lists it: a source, a destination, and what is decided between them.
    pub struct Intention {
        /// Only legacy intentions have one.
        #[serde(rename = "ID")]
        pub id: String,
        /// For people.
        pub description: String,
        /// `default` in the Community Edition, or `*`.
        #[serde(rename = "SourceNS")]
        pub source_ns: String,
        /// A service's name, or `*`.
        pub source_name: String,
        /// Enterprise.
        pub source_partition: String,
        /// The cluster peer the source is in; empty: our own cluster.
        pub source_peer: String,
        /// Enterprise.
        pub source_sameness_group: String,
        /// `consul`. Another word is another meaning of the name.
        pub source_type: String,
        /// `default` in the Community Edition, or `*`.
        #[serde(rename = "DestinationNS")]
        pub destination_ns: String,
        /// A service's name, or `*`.
        pub destination_name: String,
        /// Enterprise.
        pub destination_partition: String,
        /// `allow` or `deny`, as sent; none where there are permissions.
        pub action: Option<String>,
        /// Rules about requests; none where there is an action.
        pub permissions: Option<Vec<Permission>>,
        /// Tokens every request must bear. Consul repeats it in every intention of a destination.
        #[serde(rename = "JWT")]
        pub jwt: Option<JwtRequirement>,
        /// Legacy.
        pub default_addr: String,
        /// Legacy.
        pub default_port: u16,
        /// Free-form metadata.
        pub meta: BTreeMap<String, String>,
        /// Higher decides first: 9 for two exact names, down to 5 in the Community Edition.
        pub precedence: i64,
        /// RFC 3339; only legacy intentions have one.
        pub created_at: String,
        /// RFC 3339; only legacy intentions have one.
        pub updated_at: String,
        /// Base64; only legacy intentions have one.
        pub hash: String,
        /// Consul's own counters.
        pub create_index: u64,
        /// Consul's own counters.
        pub modify_index: u64,
    }
    + extra
}

wire! {
    /// A rule about requests. The first whose HTTP part matches decides.
    pub struct Permission {
        /// `allow` or `deny`, as sent.
        pub action: Option<String>,
        /// Which requests.
        #[serde(rename = "HTTP")]
        pub http: Option<HttpPermission>,
        /// Tokens such a request must bear.
        #[serde(rename = "JWT")]
        pub jwt: Option<JwtRequirement>,
    }
    + extra
}

wire! {
    /// Which requests a permission is about: all that is set must match.
    pub struct HttpPermission {
        /// The path is this.
        pub path_exact: String,
        /// The path starts with this.
        pub path_prefix: String,
        /// The whole path matches this RE2 expression. Consul does not check that it is one.
        pub path_regex: String,
        /// All of these match.
        pub header: Vec<HeaderPermission>,
        /// The method is one of these; none: any.
        pub methods: Vec<String>,
    }
    + extra
}

wire! {
    /// What a header must be. One of the matchers is set.
    pub struct HeaderPermission {
        /// The header's name; case does not matter.
        pub name: String,
        /// It is there.
        pub present: bool,
        /// It is this.
        pub exact: String,
        /// It starts with this.
        pub prefix: String,
        /// It ends with this.
        pub suffix: String,
        /// It contains this.
        pub contains: String,
        /// All of it matches this RE2 expression. Consul does not check that it is one.
        pub regex: String,
        /// The opposite of the matcher.
        pub invert: bool,
        /// ASCII case does not matter.
        pub ignore_case: bool,
    }
    + extra
}

wire! {
    /// Tokens a request must bear: one of any of the providers.
    pub struct JwtRequirement {
        /// The providers.
        pub providers: Vec<JwtProviderRequirement>,
    }
    + extra
}

wire! {
    /// What a token of one provider must say.
    pub struct JwtProviderRequirement {
        /// The name of a `jwt-provider` config entry.
        pub name: String,
        /// All of these.
        pub verify_claims: Vec<ClaimRequirement>,
    }
    + extra
}

wire! {
    /// What a claim must be.
    pub struct ClaimRequirement {
        /// The names that lead to it from the token's top level.
        pub path: Vec<String>,
        /// The text it must be.
        pub value: String,
    }
    + extra
}

/// The calls of `/v1/connect/intentions`: see [`Client::intentions`].
#[derive(Clone, Copy, Debug)]
pub struct Intentions<'a> {
    client: &'a Client,
}

impl Client {
    /// Who may call whom.
    #[must_use]
    pub fn intentions(&self) -> Intentions<'_> {
        Intentions { client: self }
    }
}

impl Intentions<'_> {
    /// All intentions the token may read. `GET /v1/connect/intentions`
    pub fn list(&self) -> Read<Vec<Intention>> {
        let request = Request::with_decoder(Method::GET, ["connect", "intentions"], |reply| {
            reply.json_or_default()
        });
        Read::new(self.client, request.sensitive())
    }

    /// Every intention that can decide about calls *to* a service, those with wildcards among them, by precedence.
    /// `GET /v1/connect/intentions/match?by=destination`
    ///
    /// Needs `intentions:read` on the service, which `service:write` implies; 403 without.
    pub fn match_destination(&self, service: impl Into<String>) -> Read<Vec<Intention>> {
        self.matching("destination", service)
    }

    /// Every intention that can decide about calls *of* a service, by precedence. `GET /v1/connect/intentions/match?by=source`
    pub fn match_source(&self, service: impl Into<String>) -> Read<Vec<Intention>> {
        self.matching("source", service)
    }

    /// Whether a connection would be allowed. `GET /v1/connect/intentions/check`
    ///
    /// A rough answer of Consul's: false for any rule about requests, blind to JWT requirements and to the default intention
    /// policy. Not for deciding about real connections.
    pub fn check(&self, source: impl Into<String>, destination: impl Into<String>) -> Call<bool> {
        let request =
            Request::with_decoder(Method::GET, ["connect", "intentions", "check"], |reply| {
                #[derive(serde::Deserialize)]
                #[serde(rename_all = "PascalCase")]
                struct Allowed {
                    allowed: bool,
                }
                Ok(reply.json::<Allowed>()?.allowed)
            });
        Call::new(
            self.client,
            request
                .query("source", source)
                .query("destination", destination)
                .sensitive(),
        )
    }

    /// The intention from exactly this source to exactly this destination; `None`: there is none.
    /// `GET /v1/connect/intentions/exact`
    ///
    /// Names may be qualified as Consul does: `namespace/name`, `partition/namespace/name`.
    pub fn get(
        &self,
        source: impl Into<String>,
        destination: impl Into<String>,
    ) -> Read<Option<Intention>> {
        let request =
            Request::with_decoder(Method::GET, EXACT, |reply| reply.json_unless_missing());
        Read::new(
            self.client,
            request
                .accept(&[StatusCode::NOT_FOUND])
                .query("source", source)
                .query("destination", destination)
                .sensitive(),
        )
    }

    /// Writes an intention, in the place of an earlier one between the same two. `PUT /v1/connect/intentions/exact`
    ///
    /// Source and destination are the intention's own. For several sources at once, and for sources in cluster peers, which Consul
    /// refuses here, write the `service-intentions` [config entry](crate::config_entry::ServiceIntentions).
    pub fn put(&self, intention: &Intention) -> Call<bool> {
        let qualified = |partition: &str, namespace: &str, name: &str| match (partition, namespace)
        {
            ("", "" | "default") => name.to_owned(),
            ("", namespace) => format!("{namespace}/{name}"),
            (partition, "") => format!("{partition}/default/{name}"),
            (partition, namespace) => format!("{partition}/{namespace}/{name}"),
        };
        let source = qualified(
            &intention.source_partition,
            &intention.source_ns,
            &intention.source_name,
        );
        let destination = qualified(
            &intention.destination_partition,
            &intention.destination_ns,
            &intention.destination_name,
        );
        Call::new(
            self.client,
            Request::put(EXACT)
                .query("source", source)
                .query("destination", destination)
                .json(intention)
                .sensitive(),
        )
    }

    /// Removes the intention from exactly this source to exactly this destination. `DELETE /v1/connect/intentions/exact`
    ///
    /// No error if there is none.
    pub fn delete(&self, source: impl Into<String>, destination: impl Into<String>) -> Call<bool> {
        Call::new(
            self.client,
            Request::delete(EXACT)
                .query("source", source)
                .query("destination", destination)
                .sensitive(),
        )
    }

    fn matching(&self, by: &'static str, service: impl Into<String>) -> Read<Vec<Intention>> {
        let request =
            Request::with_decoder(Method::GET, ["connect", "intentions", "match"], matched);
        Read::new(
            self.client,
            request.query("by", by).query("name", service).sensitive(),
        )
    }
}

const EXACT: [&str; 3] = ["connect", "intentions", "exact"];

/// The answer is an object with the list, or `null`, under the name that was asked for.
///
/// Anything else is no answer to the question and must not read as "no intentions": that would be "the default decides".
fn matched(reply: &Reply<'_>) -> Result<Vec<Intention>, Box<dyn std::error::Error + Send + Sync>> {
    let mut lists: BTreeMap<String, Option<Vec<Intention>>> = reply.json()?;
    let name = reply
        .query
        .iter()
        .find(|(name, _)| name == "name")
        .map(|(_, value)| value.as_str());
    match name.and_then(|name| lists.remove(name)) {
        Some(list) => Ok(list.unwrap_or_default()),
        None => Err("the answer does not name the service that was asked for".into()),
    }
}
