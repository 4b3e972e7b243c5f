//! The agent: itself, what is registered with it, and what it does for the mesh (`/v1/agent/…`).

use std::{borrow::Cow, collections::BTreeMap};

use http::{Method, StatusCode};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    client::Client,
    connect_ca::{Leaf, Roots},
    health::{HealthCheck, Service, Status},
    read::{Call, Read},
    request::Request,
};

mod local;
mod register_service;
mod registration;

pub use local::{
    Authorization, Coordinate, Member, SelfConfig, SelfInfo, ServiceHealth, Version, Xds, XdsPorts,
};
pub use register_service::RegisterService;
pub use registration::{Check, CheckRegistration, ServiceConnect, ServiceRegistration};

/// The calls of `/v1/agent`: see [`Client::agent`].
#[derive(Clone, Copy, Debug)]
pub struct Agent<'a> {
    client: &'a Client,
}

impl Client {
    /// The agent this client talks to. A server answers too, as the agent of its own node.
    #[must_use]
    pub fn agent(&self) -> Agent<'_> {
        Agent { client: self }
    }
}

/// About itself.
impl Agent<'_> {
    /// What the agent says about itself. Needs `agent:read`. `GET /v1/agent/self`
    pub fn self_(&self) -> Call<SelfInfo> {
        Call::new(self.client, Request::get(["agent", "self"]))
    }

    /// What the agent was built from (Consul 1.12). `GET /v1/agent/version`
    pub fn version(&self) -> Call<Version> {
        Call::new(self.client, Request::get(["agent", "version"]))
    }

    /// The agents it knows of. `GET /v1/agent/members`
    pub fn members(&self) -> Call<Vec<Member>> {
        self.list(["agent", "members"])
    }

    /// Puts the whole node into maintenance, or takes it out. `PUT /v1/agent/maintenance`
    pub fn node_maintenance(&self, enable: bool, reason: impl Into<String>) -> Call<()> {
        self.maintenance(
            vec!["agent".into(), "maintenance".into()],
            enable,
            reason.into(),
        )
    }
}

/// Services and checks.
impl Agent<'_> {
    /// The instances registered with this agent, by id. `GET /v1/agent/services`
    pub fn services(&self) -> Call<BTreeMap<String, Service>> {
        self.list(["agent", "services"])
    }

    /// One instance. Blocks by content hash, so a watch sees each change of the registration. `GET /v1/agent/service/:id`
    ///
    /// # Errors
    /// 404 if there is none.
    pub fn service(&self, id: impl Into<String>) -> Read<Service> {
        Read::new(
            self.client,
            Request::get([Cow::from("agent"), "service".into(), id.into().into()]),
        )
        .by_hash()
    }

    /// The checks of this agent, by id. `GET /v1/agent/checks`
    pub fn checks(&self) -> Call<BTreeMap<String, HealthCheck>> {
        self.list(["agent", "checks"])
    }

    /// How one instance is, as the agent itself knows; `None`: there is none. A state other than passing is a value too.
    /// `GET /v1/agent/health/service/id/:id`
    pub fn health_by_id(&self, id: impl Into<String>) -> Call<Option<ServiceHealth>> {
        let path = [
            Cow::from("agent"),
            "health".into(),
            "service".into(),
            "id".into(),
            id.into().into(),
        ];
        let request = Request::with_decoder(Method::GET, path, |reply| {
            let health: ServiceHealth = reply.json()?;
            Ok(health.service.is_some().then_some(health))
        });
        Call::new(self.client, request.query("format", "json").accept(STATES))
    }

    /// How the instances of a service are, as the agent itself knows. A state other than passing is a value too.
    /// `GET /v1/agent/health/service/name/:name`
    pub fn health_by_name(&self, service: impl Into<String>) -> Call<Vec<ServiceHealth>> {
        let path = [
            Cow::from("agent"),
            "health".into(),
            "service".into(),
            "name".into(),
            service.into().into(),
        ];
        let request = Request::with_decoder(Method::GET, path, |reply| reply.json_or_default());
        Call::new(self.client, request.query("format", "json").accept(STATES))
    }

    /// Registers an instance, in the place of an earlier one with its id. The agent keeps it across restarts and carries it to the
    /// catalog. Needs `service:write`. `PUT /v1/agent/service/register`
    ///
    /// Checks that an earlier registration had and this one has not stay, unless
    /// [`replace_existing_checks`](RegisterService::replace_existing_checks) is said.
    pub fn register_service(&self, registration: &ServiceRegistration) -> RegisterService {
        RegisterService {
            call: self.write(vec!["service".into(), "register".into()], |request| {
                request.set_json(registration);
            }),
        }
    }

    /// Removes an instance and its checks. `PUT /v1/agent/service/deregister/:id`
    ///
    /// # Errors
    /// 404 if there is none.
    pub fn deregister_service(&self, id: impl Into<String>) -> Call<()> {
        self.write(
            vec!["service".into(), "deregister".into(), id.into().into()],
            |_| {},
        )
    }

    /// Puts an instance into maintenance, or takes it out. `PUT /v1/agent/service/maintenance/:id`
    pub fn service_maintenance(
        &self,
        id: impl Into<String>,
        enable: bool,
        reason: impl Into<String>,
    ) -> Call<()> {
        let path = vec![
            "agent".into(),
            "service".into(),
            "maintenance".into(),
            id.into().into(),
        ];
        self.maintenance(path, enable, reason.into())
    }

    /// Registers a check by itself. `PUT /v1/agent/check/register`
    pub fn register_check(&self, registration: &CheckRegistration) -> Call<()> {
        self.write(vec!["check".into(), "register".into()], |request| {
            request.set_json(registration);
        })
    }

    /// Removes a check. `PUT /v1/agent/check/deregister/:id`
    ///
    /// # Errors
    /// 404 if there is none.
    pub fn deregister_check(&self, check_id: impl Into<String>) -> Call<()> {
        self.write(
            vec!["check".into(), "deregister".into(), check_id.into().into()],
            |_| {},
        )
    }

    /// Says how a TTL check is. `PUT /v1/agent/check/update/:id`
    ///
    /// # Errors
    /// 404 if there is no such check: register again, the agent may have lost its state.
    pub fn update_check(
        &self,
        check_id: impl Into<String>,
        status: Status,
        output: impl Into<String>,
    ) -> Call<()> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Update {
            status: Status,
            output: String,
        }
        let update = Update {
            status,
            output: output.into(),
        };
        self.write(
            vec!["check".into(), "update".into(), check_id.into().into()],
            |request| request.set_json(&update),
        )
    }

    /// Says that a TTL check passes. `PUT /v1/agent/check/pass/:id`
    ///
    /// # Errors
    /// As [`update_check`](Self::update_check).
    pub fn pass(&self, check_id: impl Into<String>, note: impl Into<String>) -> Call<()> {
        self.note("pass", check_id.into(), note.into())
    }

    /// Says that a TTL check warns. `PUT /v1/agent/check/warn/:id`
    ///
    /// # Errors
    /// As [`update_check`](Self::update_check).
    pub fn warn(&self, check_id: impl Into<String>, note: impl Into<String>) -> Call<()> {
        self.note("warn", check_id.into(), note.into())
    }

    /// Says that a TTL check is critical. `PUT /v1/agent/check/fail/:id`
    ///
    /// # Errors
    /// As [`update_check`](Self::update_check).
    pub fn fail(&self, check_id: impl Into<String>, note: impl Into<String>) -> Call<()> {
        self.note("fail", check_id.into(), note.into())
    }
}

/// For the mesh. Deprecated since Consul 1.16 and still served.
impl Agent<'_> {
    /// Whom the mesh trusts, from the agent's cache: answered with the servers away, too. Needs no permission.
    /// `GET /v1/agent/connect/ca/roots`
    pub fn connect_ca_roots(&self) -> Read<Roots> {
        Read::new(
            self.client,
            Request::get(["agent", "connect", "ca", "roots"]).sensitive(),
        )
    }

    /// A leaf certificate and its key for a service, which need not be registered. The agent makes the key, renews before the
    /// end and after rotations, and answers from its cache. `GET /v1/agent/connect/ca/leaf/:service`
    ///
    /// # Security
    /// Needs `service:write` on the name, but agents up to 2.0 give a leaf *and its key* that is in their cache to any caller
    /// (Consul 1.22.5: seen). Keep the agent's API local, or use gRPC, where the key never leaves this process.
    pub fn connect_ca_leaf(&self, service: impl Into<String>) -> Read<Leaf> {
        let path = [
            Cow::from("agent"),
            "connect".into(),
            "ca".into(),
            "leaf".into(),
            service.into().into(),
        ];
        Read::new(self.client, Request::get(path).sensitive())
    }

    /// What the agent would decide about one connection to `target`. `POST /v1/agent/connect/authorize`
    ///
    /// A rough answer: false for any rule about requests, blind to trust domains, cluster peers, JWT requirements, and revocation.
    /// Needs `service:write` on the target.
    pub fn connect_authorize(
        &self,
        target: impl Into<String>,
        client_cert_uri: impl Into<String>,
        client_cert_serial: impl Into<String>,
    ) -> Call<Authorization> {
        #[derive(Serialize)]
        struct Question {
            #[serde(rename = "Target")]
            target: String,
            #[serde(rename = "ClientCertURI")]
            client_cert_uri: String,
            #[serde(rename = "ClientCertSerial")]
            client_cert_serial: String,
        }
        let question = Question {
            target: target.into(),
            client_cert_uri: client_cert_uri.into(),
            client_cert_serial: client_cert_serial.into(),
        };
        Call::new(
            self.client,
            Request::post(["agent", "connect", "authorize"])
                .json(&question)
                .sensitive(),
        )
    }
}

/// The statuses by which the agent tells the state of a service: warning, critical, unknown.
const STATES: &[StatusCode] = &[
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::SERVICE_UNAVAILABLE,
    StatusCode::NOT_FOUND,
];

impl Agent<'_> {
    fn list<T: DeserializeOwned + Default>(&self, path: [&'static str; 2]) -> Call<T> {
        Call::new(
            self.client,
            Request::with_decoder(Method::GET, path, |reply| reply.json_or_default()),
        )
    }

    fn write(&self, tail: Vec<Cow<'static, str>>, f: impl FnOnce(&mut Request<()>)) -> Call<()> {
        let path = std::iter::once(Cow::from("agent")).chain(tail);
        Call::new(
            self.client,
            Request::with_decoder(Method::PUT, path, |_| Ok(())),
        )
        .map_request(f)
    }

    fn note(&self, verb: &'static str, check_id: String, note: String) -> Call<()> {
        self.write(
            vec!["check".into(), verb.into(), check_id.into()],
            |request| request.set_query("note", note),
        )
    }

    fn maintenance(&self, path: Vec<Cow<'static, str>>, enable: bool, reason: String) -> Call<()> {
        Call::new(
            self.client,
            Request::with_decoder(Method::PUT, path, |_| Ok(())),
        )
        .map_request(|request| {
            request.set_query("enable", enable.to_string());
            if enable {
                request.set_query("reason", reason);
            }
        })
    }
}

impl Call<BTreeMap<String, Service>> {
    /// Keeps what matches an expression of Consul's filter language.
    pub fn filter(self, expression: impl Into<String>) -> Self {
        self.map_request(|request| request.set_query("filter", expression))
    }
}

impl Call<BTreeMap<String, HealthCheck>> {
    /// Keeps what matches an expression of Consul's filter language.
    pub fn filter(self, expression: impl Into<String>) -> Self {
        self.map_request(|request| request.set_query("filter", expression))
    }
}

impl Call<Vec<Member>> {
    /// The servers of all datacenters instead of the agents of this one.
    pub fn wan(self) -> Self {
        self.map_request(|request| request.set_query("wan", "1"))
    }

    /// Keeps what matches an expression of Consul's filter language.
    pub fn filter(self, expression: impl Into<String>) -> Self {
        self.map_request(|request| request.set_query("filter", expression))
    }

    /// The agents of a network segment; `_all`: of all of them. Enterprise.
    pub fn segment(self, name: impl Into<String>) -> Self {
        self.map_request(|request| request.set_query("segment", name))
    }
}

impl Read<Service> {
    /// Holds the answer back until the registration differs from this content hash, which came with an earlier answer.
    pub fn hash(self, hash: impl Into<String>) -> Self {
        self.map_request(|request| {
            request.set_cursor(Some(crate::request::Cursor::Hash(hash.into())));
        })
    }
}
