//! Config entries: how services, traffic and the mesh are set up (`/v1/config/…`).
//!
//! Entries that matter to a data plane have types; all others are [`OtherEntry`]. Entries keep what they do not know in `extra`, so
//! that reading, changing and writing one loses nothing a newer Consul has put there.

use std::borrow::Cow;

use http::{Method, StatusCode};

use crate::{
    client::Client,
    read::{Call, Read},
    request::Request,
};

mod defaults;
mod entry;
mod jwt_provider;
mod resolver;
mod security;
mod traffic;

pub use defaults::{
    Destination, InstanceRateLimits, PassiveHealthCheck, ProxyDefaults, RateLimits, RouteRateLimit,
    ServiceDefaults, UpstreamConfig, UpstreamConfiguration, UpstreamLimits,
};
pub use entry::{ConfigEntry, OtherEntry};
pub use jwt_provider::{
    CaCertificateProviderInstance, JsonWebKeySet, JwksCluster, JwksRetryPolicy,
    JwksTlsCertificates, JwtCacheConfig, JwtForwarding, JwtLocation, JwtLocationHeader,
    JwtLocationName, JwtProvider, LocalJwks, RemoteJwks, RetryPolicyBackOff, TrustedCa,
};
pub use resolver::{
    CookieConfig, FailoverPolicy, HashPolicy, LeastRequestConfig, LoadBalancer,
    PrioritizeByLocality, ResolverFailover, ResolverFailoverTarget, ResolverRedirect,
    ResolverSubset, RingHashConfig, ServiceResolver,
};
pub use security::{
    Mesh, MeshHttp, MeshHttpIncoming, MeshPeering, MeshTls, MeshTlsDirection, RequestNormalization,
    ServiceIntentions, SourceIntention, TransparentProxyMesh,
};
pub use traffic::{
    HeaderEdits, RouteDestination, RouteHeaderMatch, RouteHttpMatch, RouteMatch, RouteQueryMatch,
    ServiceRoute, ServiceRouter, ServiceSplit, ServiceSplitter,
};

/// The calls of `/v1/config`: see [`Client::config_entries`].
#[derive(Clone, Copy, Debug)]
pub struct ConfigEntries<'a> {
    client: &'a Client,
}

impl Client {
    /// How services, traffic and the mesh are set up.
    #[must_use]
    pub fn config_entries(&self) -> ConfigEntries<'_> {
        ConfigEntries { client: self }
    }
}

impl ConfigEntries<'_> {
    /// An entry of any kind; `None`: there is none. `GET /v1/config/:kind/:name`
    ///
    /// What is needed differs by kind: `service:read` on the name for those of services, nothing for `mesh` and `proxy-defaults`.
    pub fn get(
        &self,
        kind: impl Into<String>,
        name: impl Into<String>,
    ) -> Read<Option<ConfigEntry>> {
        self.read(kind.into().into(), name.into().into())
    }

    /// All entries of a kind that the token may read. `GET /v1/config/:kind`
    pub fn list(&self, kind: impl Into<String>) -> Read<Vec<ConfigEntry>> {
        let kind = kind.into();
        let decides = decides_trust(&kind);
        let request =
            Request::with_decoder(Method::GET, [Cow::from("config"), kind.into()], |reply| {
                reply.json_or_default()
            });
        Read::new(
            self.client,
            if decides {
                request.sensitive()
            } else {
                request
            },
        )
    }

    /// Settings of the whole mesh; `None`: all defaults. Needs no permission. `GET /v1/config/mesh/mesh`
    pub fn mesh(&self) -> Read<Option<Mesh>> {
        self.read("mesh".into(), "mesh".into())
    }

    /// Defaults of all proxies. Needs no permission. `GET /v1/config/proxy-defaults/global`
    pub fn proxy_defaults(&self) -> Read<Option<ProxyDefaults>> {
        self.read("proxy-defaults".into(), "global".into())
    }

    /// Defaults of one service. `GET /v1/config/service-defaults/:name`
    pub fn service_defaults(&self, service: impl Into<String>) -> Read<Option<ServiceDefaults>> {
        self.read("service-defaults".into(), service.into().into())
    }

    /// How a service's name becomes instances. `GET /v1/config/service-resolver/:name`
    pub fn service_resolver(&self, service: impl Into<String>) -> Read<Option<ServiceResolver>> {
        self.read("service-resolver".into(), service.into().into())
    }

    /// Which shares of a service's traffic go where. `GET /v1/config/service-splitter/:name`
    pub fn service_splitter(&self, service: impl Into<String>) -> Read<Option<ServiceSplitter>> {
        self.read("service-splitter".into(), service.into().into())
    }

    /// Which requests to a service go where. `GET /v1/config/service-router/:name`
    pub fn service_router(&self, service: impl Into<String>) -> Read<Option<ServiceRouter>> {
        self.read("service-router".into(), service.into().into())
    }

    /// Who may call a service, as written. What is in force is told by
    /// [`match_destination`](crate::intention::Intentions::match_destination). `GET /v1/config/service-intentions/:name`
    pub fn service_intentions(
        &self,
        service: impl Into<String>,
    ) -> Read<Option<ServiceIntentions>> {
        self.read("service-intentions".into(), service.into().into())
    }

    /// Where tokens come from and how they are checked. Needs `service:write` on any service. `GET /v1/config/jwt-provider/:name`
    pub fn jwt_provider(&self, name: impl Into<String>) -> Read<Option<JwtProvider>> {
        self.read("jwt-provider".into(), name.into().into())
    }

    /// Writes an entry, in the place of an earlier one. `PUT /v1/config`
    pub fn set(&self, entry: &ConfigEntry) -> Call<bool> {
        Call::new(self.client, Request::put(["config"]).json(entry))
    }

    /// Writes an entry if the one that is there still has this `modify_index`; 0: if there is none. The answer is whether it was
    /// written; also `true` if the entry is there just so, whatever its index. `PUT /v1/config?cas=`
    pub fn set_if_unchanged(&self, entry: &ConfigEntry, modify_index: u64) -> Call<bool> {
        self.set(entry)
            .map_request(|request| request.set_query("cas", modify_index.to_string()))
    }

    /// Removes an entry; no error if there is none. `DELETE /v1/config/:kind/:name`
    pub fn delete(&self, kind: impl Into<String>, name: impl Into<String>) -> Call<()> {
        let path = [Cow::from("config"), kind.into().into(), name.into().into()];
        Call::new(
            self.client,
            Request::with_decoder(Method::DELETE, path, |_| Ok(())),
        )
    }

    /// Removes an entry if it still has this `modify_index`. The answer is whether it was removed. `DELETE /v1/config/:kind/:name?cas=`
    pub fn delete_if_unchanged(
        &self,
        kind: impl Into<String>,
        name: impl Into<String>,
        modify_index: u64,
    ) -> Call<bool> {
        let path = [Cow::from("config"), kind.into().into(), name.into().into()];
        Call::new(
            self.client,
            Request::delete(path).query("cas", modify_index.to_string()),
        )
    }

    fn read<T: TryFrom<ConfigEntry>>(
        &self,
        kind: Cow<'static, str>,
        name: Cow<'static, str>,
    ) -> Read<Option<T>> {
        let decides = decides_trust(&kind);
        // By way of the entry of any kind: that tells the kind, which is then neither unknown nor taken for granted.
        let request =
            Request::with_decoder(
                Method::GET,
                ["config".into(), kind, name],
                |reply| match reply.json_unless_missing::<ConfigEntry>()?.map(T::try_from) {
                    None => Ok(None),
                    Some(Ok(entry)) => Ok(Some(entry)),
                    Some(Err(_)) => Err("the answer is an entry of another kind".into()),
                },
            )
            .accept(&[StatusCode::NOT_FOUND]);
        Read::new(
            self.client,
            if decides {
                request.sensitive()
            } else {
                request
            },
        )
    }
}

/// Who may change the answer decides whose calls are accepted.
fn decides_trust(kind: &str) -> bool {
    matches!(kind, "service-intentions" | "jwt-provider")
}
