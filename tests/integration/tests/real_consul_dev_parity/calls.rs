//! The calls, in the order in which both servers get them.

use std::fmt;

use serde_json::{Value, json};

/// Whose token a call carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    /// None.
    Anonymous,
    /// All rights.
    Management,
    /// `service "web"` write, nothing else.
    Web,
    /// Reads all services and nodes.
    Reader,
    /// Reads all services, no nodes.
    Nodeless,
    /// A token nobody knows.
    Unknown,
}

/// One request. `{index}` and `{hash}` stand for those of the call before, `{td}` for the trust domain.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) body: String,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    pub(crate) who: Who,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {} as {:?}",
            self.method, self.path, self.body, self.who
        )
    }
}

fn call(method: &'static str, path: &str) -> Call {
    Call {
        method,
        path: path.to_owned(),
        body: String::new(),
        headers: Vec::new(),
        who: Who::Anonymous,
    }
}

fn get(path: &str) -> Call {
    call("GET", path)
}

fn put(path: &str, body: Value) -> Call {
    Call {
        body: if body.is_null() {
            String::new()
        } else {
            body.to_string()
        },
        ..call("PUT", path)
    }
}

fn post(path: &str, body: Value) -> Call {
    Call {
        method: "POST",
        ..put(path, body)
    }
}

fn delete(path: &str) -> Call {
    call("DELETE", path)
}

fn text(method: &'static str, path: &str, body: &str) -> Call {
    Call {
        body: body.to_owned(),
        ..call(method, path)
    }
}

fn entry(body: Value) -> Call {
    put("/v1/config", body)
}

fn intentions(name: &str, sources: Value) -> Call {
    entry(json!({ "Kind": "service-intentions", "Name": name, "Sources": sources }))
}

fn authorize(target: &str, uri: &str) -> Call {
    post(
        "/v1/agent/connect/authorize",
        json!({ "Target": target, "ClientCertURI": uri, "ClientCertSerial": "01" }),
    )
}

impl Call {
    fn by(mut self, who: Who) -> Self {
        self.who = who;
        self
    }

    fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }
}

fn registrations() -> Vec<Call> {
    let register = |body| put("/v1/agent/service/register", body);
    vec![
        register(json!({
            "ID": "web-1", "Name": "web", "Port": 9401, "Address": "127.0.0.1",
            "Connect": { "Native": true }, "Tags": ["v1", "blue"], "Meta": { "version": "v1" },
            "Check": { "CheckID": "web-1-ttl", "TTL": "60s", "Status": "critical", "Notes": "n",
                       "DeregisterCriticalServiceAfter": "90m" },
        })),
        get("/v1/health/connect/web"),
        get("/v1/health/connect/web?passing"),
        put("/v1/agent/check/pass/web-1-ttl?note=fine", Value::Null),
        get("/v1/health/connect/web?passing"),
        get("/v1/health/service/web"),
        get("/v1/health/service/web?tag=blue"),
        get("/v1/health/service/web?tag=red"),
        get("/v1/health/service/web?filter=Service.Meta.version%20%3D%3D%20v1"),
        get("/v1/health/service/web?filter=%22blue%22%20in%20Service.Tags"),
        get("/v1/health/service/web?filter=Service.Meta.version%20%3D%3D%20v2"),
        get("/v1/health/service/web?stale"),
        get("/v1/health/service/web?consistent"),
        get("/v1/health/service/web?near=_agent"),
        get("/v1/health/service/web?connect=true"),
        get("/v1/health/connect/web"),
        get("/v1/health/connect/web?index={index}&wait=100ms"),
        get("/v1/health/checks/web"),
        get("/v1/health/node/parity-node"),
        get("/v1/health/state/passing"),
        get("/v1/health/state/critical"),
        get("/v1/health/ingress/web"),
        get("/v1/agent/services"),
        get("/v1/agent/checks"),
        get("/v1/agent/services?filter=Service%20%3D%3D%20%22web%22"),
        get("/v1/agent/service/web-1"),
        get("/v1/agent/service/web-1?hash={hash}&wait=100ms"),
        get("/v1/agent/health/service/id/web-1"),
        get("/v1/agent/health/service/name/web"),
        get("/v1/agent/health/service/id/web-1?format=text"),
        put("/v1/agent/check/warn/web-1-ttl?note=hm", Value::Null),
        get("/v1/agent/health/service/id/web-1"),
        get("/v1/health/connect/web"),
        put(
            "/v1/agent/check/update/web-1-ttl",
            json!({ "Status": "critical", "Output": "down" }),
        ),
        get("/v1/agent/health/service/name/web"),
        get("/v1/health/state/critical"),
        put(
            "/v1/agent/check/update/web-1-ttl",
            json!({ "Status": "passing", "Output": "up" }),
        ),
        get("/v1/health/connect/web?passing"),
        put(
            "/v1/agent/service/maintenance/web-1?enable=true&reason=upgrade",
            Value::Null,
        ),
        get("/v1/health/connect/web"),
        get("/v1/agent/health/service/id/web-1"),
        put(
            "/v1/agent/service/maintenance/web-1?enable=false",
            Value::Null,
        ),
        register(json!({
            "ID": "api-1", "Name": "api", "Port": 8080, "Connect": { "SidecarService": { "Port": 21500 } },
        })),
        get("/v1/agent/service/api-1"),
        get("/v1/agent/service/api-1-sidecar-proxy"),
        get("/v1/health/connect/api"),
        get("/v1/catalog/connect/api"),
        register(json!({ "Name": "plain" })),
        get("/v1/health/service/plain"),
        register(
            json!({ "Name": "sock", "SocketPath": "/run/sock", "Connect": { "Native": true } }),
        ),
        get("/v1/health/connect/sock"),
        get("/v1/catalog/services"),
        get("/v1/catalog/service/web"),
        get("/v1/catalog/service/web?cached"),
        get("/v1/catalog/connect/web"),
        get("/v1/catalog/node-services/parity-node"),
        get("/v1/catalog/nodes"),
        get("/v1/catalog/datacenters"),
        put(
            "/v1/agent/check/register",
            json!({ "ID": "mem", "Name": "memory", "TTL": "1h", "Status": "passing" }),
        ),
        get("/v1/agent/checks"),
        get("/v1/health/service/web"),
        put("/v1/agent/check/deregister/mem", Value::Null),
        put(
            "/v1/catalog/register",
            json!({
                "Node": "ext-1", "Address": "192.0.2.10", "NodeMeta": { "external-node": "true" },
                "Service": { "ID": "pg-1", "Service": "pg", "Port": 5432, "Tags": ["rw"] },
                "Check": { "CheckID": "pg", "Name": "pg", "Status": "passing", "ServiceID": "pg-1" },
            }),
        ),
        get("/v1/health/service/pg?passing"),
        get("/v1/catalog/service/pg"),
        get("/v1/catalog/node/ext-1"),
        get("/v1/catalog/nodes?node-meta=external-node:true"),
        put("/v1/catalog/deregister", json!({ "Node": "ext-1" })),
        get("/v1/health/service/pg"),
        get("/v1/catalog/node/ext-1"),
        put("/v1/catalog/deregister", json!({ "Node": "never-was" })),
        get("/v1/health/service/none"),
        get("/v1/health/connect/none"),
        get("/v1/health/service/web?peer=nobody"),
    ]
}

fn refusals() -> Vec<Call> {
    let register = |body| put("/v1/agent/service/register", body);
    vec![
        register(json!({})),
        register(json!({ "Name": "x", "Nope": 1 })),
        register(json!({ "Name": "x", "Port": "80" })),
        register(json!({ "Name": "x", "Tags": "y" })),
        register(json!({ "Name": "x", "Namespace": "default" })),
        register(json!({ "Name": "x", "Address": "0.0.0.0" })),
        register(json!({ "Name": "x", "Connect": { "Native": true } })),
        register(json!({ "Name": "x", "Connect": { "Native": true, "SidecarService": {} } })),
        register(json!({ "Name": "x", "Kind": "connect-proxy", "Port": 1 })),
        register(json!({ "Name": "x", "Check": { "TTL": "abc" } })),
        register(json!({ "Name": "x", "Check": { "Interval": "10s" } })),
        register(json!({ "Name": "x", "Check": { "TTL": "10s", "Interval": "3s" } })),
        register(json!({ "Name": "x", "Check": { "TTL": "10s", "Status": "bogus" } })),
        register(json!({ "Name": "x", "Check": { "Args": ["true"], "Interval": "10s" } })),
        register(json!({ "Name": "x", "Weights": { "Passing": 0, "Warning": 1 } })),
        text("PUT", "/v1/agent/service/register", "{bad"),
        get("/v1/agent/service/register"),
        get("/v1/agent/service/none"),
        put("/v1/agent/service/deregister/none", Value::Null),
        put(
            "/v1/agent/service/maintenance/none?enable=true",
            Value::Null,
        ),
        put("/v1/agent/service/maintenance/web-1", Value::Null),
        put("/v1/agent/check/pass/none", Value::Null),
        put("/v1/agent/check/deregister/none", Value::Null),
        put(
            "/v1/agent/check/update/web-1-ttl",
            json!({ "Status": "bogus" }),
        ),
        get("/v1/agent/health/service/id/none"),
        get("/v1/agent/health/service/name/none?format=text"),
        get("/v1/health/service/"),
        get("/v1/health/service/web?index=abc"),
        get("/v1/health/service/web?index=-1"),
        get("/v1/health/service/web?wait=abc"),
        get("/v1/health/service/web?stale&consistent"),
        get("/v1/health/service/web?cached&consistent"),
        get("/v1/health/service/web?max_stale=abc"),
        get("/v1/health/service/web?cached").header("Cache-Control", "max-age=abc"),
        get("/v1/health/service/web?passing=maybe"),
        get("/v1/health/service/web?filter=Nope%20%3D%3D%20%22x%22"),
        get("/v1/health/service/web?filter=bad("),
        get("/v1/health/service/web?ns=default"),
        get("/v1/health/service/web?ns="),
        get("/v1/health/service/web?partition=default"),
        get("/v1/health/service/web").header("X-Consul-Namespace", "default"),
        get("/v1/health/service/web?dc=nowhere"),
        get("/v1/health/service/web?peer=a&sameness-group=b"),
        get("/v1/health/service/web?sg=b"),
        post("/v1/health/service/web", Value::Null),
        get("/v1/catalog/nodes?dc=nowhere"),
        get("/v1/catalog/node/"),
        get("/v1/catalog/node/none"),
        get("/v1/catalog/node-services/none"),
        put("/v1/catalog/register", json!({ "Node": "x", "Nope": 1 })),
        put("/v1/catalog/register", json!({ "Node": "x" })),
        call("DELETE", "/v1/catalog/nodes"),
        get("/v1/nope"),
        get("/"),
        get("/v1/status/leader?dc=nowhere"),
        put("/v1/status/leader", Value::Null),
    ]
}

fn mesh() -> Vec<Call> {
    let uri = |service: &str| format!("spiffe://{{td}}/ns/default/dc/dc1/svc/{service}");
    let mut calls = vec![
        get("/v1/agent/connect/ca/roots"),
        get("/v1/agent/connect/ca/roots"),
        get("/v1/agent/connect/ca/roots?index={index}&wait=100ms"),
        get("/v1/connect/ca/roots"),
        get("/v1/connect/ca/roots?dc=nowhere"),
        get("/v1/connect/ca/roots?cached"),
        get("/v1/connect/ca/configuration"),
        get("/v1/agent/connect/ca/leaf/web"),
        get("/v1/agent/connect/ca/leaf/web"),
        get("/v1/agent/connect/ca/leaf/web?index={index}&wait=100ms"),
        get("/v1/agent/connect/ca/leaf/web?index=1"),
        get("/v1/agent/connect/ca/leaf/web?dc=nowhere"),
        get("/v1/agent/connect/ca/leaf/"),
        authorize("web", &uri("api")),
        authorize("", &uri("api")),
        authorize("web", "http://x"),
        authorize("web", "spiffe://x"),
        authorize("web", "spiffe://{td}/agent/client/dc/dc1/id/n"),
        authorize("web", "spiffe://{td}/ap/foo/ns/default/dc/dc1/svc/api"),
        authorize("web", "spiffe://{td}/ns/foo/dc/dc1/svc/api"),
        post(
            "/v1/agent/connect/authorize",
            json!({ "Target": "web", "Nope": 1 }),
        ),
        get("/v1/agent/connect/authorize"),
        get("/v1/connect/intentions"),
        get("/v1/connect/intentions/match?by=destination&name=web"),
        intentions(
            "web",
            json!([
                { "Name": "api", "Action": "allow", "Description": "d" },
                { "Name": "bad", "Action": "deny" },
                { "Name": "remote", "Peer": "east", "Action": "allow" },
                { "Name": "*", "Action": "deny" },
            ]),
        ),
        intentions(
            "*",
            json!([{ "Name": "*", "Action": "deny" }, { "Name": "monitor", "Action": "allow" }]),
        ),
        get("/v1/connect/intentions/match?by=destination&name=web"),
        get("/v1/connect/intentions/match?by=destination&name=web&index={index}&wait=100ms"),
        get("/v1/connect/intentions/match?by=destination&name=web&cached"),
        get("/v1/connect/intentions/match?by=destination&name=default/web&name=none"),
        get("/v1/connect/intentions/match?by=source&name=api"),
        get("/v1/connect/intentions/match?by=destination&name=foo/web"),
        get("/v1/connect/intentions/match?by=destination&name=peer:x/web"),
        get("/v1/connect/intentions/match?by=destination&name=web&ns=foo"),
        get("/v1/connect/intentions/match?name=web"),
        get("/v1/connect/intentions/match?by=destination"),
        get("/v1/connect/intentions/match?by=bogus&name=web"),
        get("/v1/connect/intentions"),
        get("/v1/config/service-intentions/web"),
        get("/v1/config/service-intentions/web?index={index}&wait=100ms"),
        get("/v1/config/service-intentions"),
        get("/v1/connect/intentions/check?source=api&destination=web"),
        get("/v1/connect/intentions/check?source=bad&destination=web"),
        get("/v1/connect/intentions/check?source=a"),
        get("/v1/connect/intentions/exact?source=api&destination=web"),
        get("/v1/connect/intentions/exact?source=a&destination=b"),
        get("/v1/connect/intentions/exact?source=a"),
        put(
            "/v1/connect/intentions/exact?source=new&destination=web",
            json!({ "Action": "allow" }),
        ),
        put(
            "/v1/connect/intentions/exact?source=new&destination=web",
            json!({ "Nope": 1 }),
        ),
        put(
            "/v1/connect/intentions/exact?source=new&destination=web",
            json!({ "Permissions": [{ "Action": "allow", "HTTP": { "PathPrefix": "/" } }] }),
        ),
        get("/v1/connect/intentions/match?by=destination&name=web"),
        delete("/v1/connect/intentions/exact?source=new&destination=web"),
        delete("/v1/connect/intentions/exact?source=new&destination=web"),
        get("/v1/config/service-intentions/web"),
    ];
    for source in ["api", "bad", "remote", "other", "monitor"] {
        calls.push(authorize("web", &uri(source)));
    }
    calls.extend([
        authorize("web", "spiffe://other.consul/ns/default/dc/dc1/svc/api"),
        authorize("web", "spiffe://{td}/ns/default/dc/dc9/svc/%61pi"),
        entry(json!({ "Kind": "service-defaults", "Name": "l7", "Protocol": "HTTP" })),
        get("/v1/config/service-defaults/l7"),
        entry(json!({ "Kind": "jwt-provider", "Name": "okta", "Issuer": "https://i",
            "JSONWebKeySet": { "Local": { "JWKS": "eyJrZXlzIjpbXX0=" } } })),
        get("/v1/config/jwt-provider/okta"),
        entry(json!({ "Kind": "service-intentions", "Name": "l7",
            "JWT": { "Providers": [{ "Name": "okta" }] },
            "Sources": [{ "Name": "web", "Permissions": [
                { "Action": "allow", "HTTP": { "PathPrefix": "/v1", "Methods": ["get", "POST"],
                  "Header": [{ "Name": "a", "Present": true }, { "Name": "b", "Exact": "1", "IgnoreCase": true },
                             { "Name": "c", "Regex": "r.*", "Invert": true }] },
                  "JWT": { "Providers": [{ "Name": "okta", "VerifyClaims": [{ "Path": ["a", "b"], "Value": "x" }] }] } },
                { "Action": "deny", "HTTP": { "PathRegex": "(" } },
            ] }, { "Name": "api", "Action": "allow" }] })),
        get("/v1/connect/intentions/match?by=destination&name=l7"),
        get("/v1/config/service-intentions/l7"),
        authorize("l7", &uri("web")),
        get("/v1/connect/intentions/check?source=web&destination=l7"),
        entry(json!({ "Kind": "service-defaults", "Name": "l7", "Protocol": "tcp" })),
        delete("/v1/config/service-defaults/l7"),
        entry(json!({ "Kind": "mesh", "TLS": { "Incoming": { "TLSMinVersion": "TLSv1_2" } },
            "HTTP": { "Incoming": { "RequestNormalization": { "MergeSlashes": true } } } })),
        get("/v1/config/mesh/mesh"),
        get("/v1/config/mesh"),
        delete("/v1/config/mesh/mesh"),
        get("/v1/config/mesh/mesh"),
        get("/v1/config/mesh/mesh?index={index}&wait=100ms"),
        entry(json!({ "Kind": "proxy-defaults", "Name": "global", "Config": { "protocol": "http" } })),
        get("/v1/config/proxy-defaults/global"),
        get("/v1/discovery-chain/api"),
        get("/v1/discovery-chain/none"),
        delete("/v1/config/proxy-defaults/global"),
        get("/v1/discovery-chain/web"),
        get("/v1/discovery-chain/web?index={index}&wait=100ms"),
        post("/v1/discovery-chain/web", json!({ "OverrideProtocol": "http", "OverrideConnectTimeout": "7s" })),
        entry(json!({ "Kind": "service-resolver", "Name": "old-web", "Redirect": { "Service": "web" } })),
        get("/v1/discovery-chain/old-web"),
        entry(json!({ "Kind": "service-resolver", "Name": "web", "ConnectTimeout": "1500ms", "DefaultSubset": "v1",
            "Subsets": { "v1": { "Filter": "Service.Meta.version == v1", "OnlyPassing": true } } })),
        get("/v1/config/service-resolver/web"),
        get("/v1/discovery-chain/web"),
        delete("/v1/config/service-resolver/old-web"),
        delete("/v1/config/service-resolver/web"),
        entry(json!({ "Kind": "service-defaults", "Name": "d", "Protocol": "http" })),
        put("/v1/config?cas=1", json!({ "Kind": "service-defaults", "Name": "d", "Protocol": "grpc" })),
        delete("/v1/config/service-defaults/d?cas=1"),
        delete("/v1/config/service-defaults/d"),
        delete("/v1/config/service-defaults/d"),
        get("/v1/config/service-defaults/d"),
        get("/v1/config/nope"),
        get("/v1/config/nope/x"),
        get("/v1/config/service-defaults"),
        get("/v1/config/sameness-group"),
        entry(json!({ "Name": "x" })),
        entry(json!({ "Kind": "nope", "Name": "x" })),
        entry(json!({ "Kind": "service-defaults", "Name": "x", "Nope": 1 })),
        entry(json!({ "Kind": "service-defaults", "Name": "x", "Namespace": "x" })),
        text("PUT", "/v1/config", "{bad"),
        entry(json!({ "Kind": "service-splitter", "Name": "web", "Splits": [{ "Weight": 100 }] })),
        entry(json!({ "Kind": "sameness-group", "Name": "sg", "Members": [{ "Peer": "p" }] })),
        intentions("web", json!([])),
        intentions("web", json!([{ "Name": "a" }])),
        intentions("web", json!([{ "Action": "allow" }])),
        intentions("web", json!([{ "Name": "a", "Action": "maybe" }])),
        intentions("web", json!([{ "Name": "a", "Action": "allow" }, { "Name": "a", "Action": "deny" }])),
        intentions("web", json!([{ "Name": "a", "Action": "allow", "Nope": 1 }])),
        intentions("web", json!([{ "Name": "a", "Action": "allow", "Namespace": "default" }])),
        intentions("web", json!([{ "Name": "a", "Action": "allow", "Partition": "default" }])),
        intentions("web", json!([{ "Name": "a", "Action": "allow", "SamenessGroup": "g" }])),
        intentions("web", json!([{ "Name": "a", "Permissions": [{ "Action": "allow", "HTTP": { "PathPrefix": "/" } }] }])),
        intentions("*", json!([{ "Name": "a", "Permissions": [{ "Action": "allow", "HTTP": { "PathPrefix": "/" } }] }])),
        intentions("l7", json!([{ "Name": "a", "Permissions": [{ "Action": "allow" }] }])),
        intentions("l7", json!([{ "Name": "a", "Permissions": [{ "Action": "allow", "HTTP": {} }] }])),
        intentions("l7", json!([{ "Name": "a", "Permissions": [{ "Action": "allow", "HTTP": { "PathPrefix": "x" } }] }])),
        intentions("l7", json!([{ "Name": "a", "Permissions": [{ "Action": "allow", "HTTP": { "PathPrefix": "/", "PathExact": "/" } }] }])),
        intentions("l7", json!([{ "Name": "a", "Permissions": [{ "Action": "allow", "HTTP": { "Methods": ["NOPE"] } }] }])),
        intentions("l7", json!([{ "Name": "a", "Permissions": [{ "Action": "allow", "HTTP": { "Header": [{ "Name": "h" }] } }] }])),
        intentions("l7", json!([{ "Name": "a", "Action": "allow", "Permissions": [{ "Action": "allow", "HTTP": { "PathPrefix": "/" } }] }])),
        entry(json!({ "Kind": "service-intentions", "Name": "web", "JWT": { "Providers": [{ "Name": "nobody" }] },
            "Sources": [{ "Name": "a", "Action": "allow" }] })),
        put("/v1/connect/ca/configuration", json!({ "Provider": "nope", "Config": {} })),
        put("/v1/connect/ca/configuration", json!({ "Provider": "consul", "Config": { "PrivateKeyType": "ec", "PrivateKeyBits": 384 } })),
        get("/v1/connect/ca/configuration"),
        get("/v1/connect/ca/roots"),
        get("/v1/status/peers?none"),
        post("/v1/internal/acl/authorize", json!([{ "Resource": "service", "Access": "write", "Segment": "web" }])),
    ]);
    calls
}

fn keys() -> Vec<Call> {
    vec![
        get("/v1/kv/a/b"),
        text("PUT", "/v1/kv/a/b?flags=42", "hello"),
        get("/v1/kv/a/b"),
        get("/v1/kv/a/b?index={index}&wait=100ms"),
        get("/v1/kv/a/b?raw"),
        get("/v1/kv/a?keys"),
        get("/v1/kv/a?recurse"),
        text("PUT", "/v1/kv/a/b?cas=1", "other"),
        delete("/v1/kv/a?recurse"),
        get("/v1/kv/a/b"),
    ]
}

/// Everything, ACLs off.
pub(crate) fn without_acls() -> Vec<Call> {
    let mut calls = vec![
        get("/v1/agent/self"),
        get("/v1/acl/token/self"),
        post("/v1/acl/login", json!({})),
        post("/v1/acl/logout", Value::Null),
        get("/v1/health/service/none").by(Who::Unknown),
        get("/v1/peerings"),
        get("/v1/peering/none"),
        get("/v1/peering/"),
        get("/v1/peering/none?index=1&wait=1s"),
    ];
    calls.extend(registrations());
    calls.extend(refusals());
    calls.extend(mesh());
    calls.extend(keys());
    calls
}

/// Who may do what, ACLs on with default deny.
pub(crate) fn with_acls() -> Vec<Call> {
    let mut calls = vec![
        put("/v1/agent/service/register", json!({
            "ID": "web-1", "Name": "web", "Port": 9401, "Address": "127.0.0.1", "Connect": { "Native": true },
            "Check": { "CheckID": "web-1-ttl", "TTL": "60s", "Status": "passing" },
        }))
        .by(Who::Web),
        put("/v1/agent/service/register", json!({ "ID": "api-1", "Name": "api", "Port": 9402, "Connect": { "Native": true } }))
            .by(Who::Management),
        entry(json!({ "Kind": "service-intentions", "Name": "web", "Sources": [{ "Name": "api", "Action": "allow" }] }))
            .by(Who::Management),
        entry(json!({ "Kind": "jwt-provider", "Name": "okta", "Issuer": "https://i",
            "JSONWebKeySet": { "Local": { "JWKS": "eyJrZXlzIjpbXX0=" } } }))
        .by(Who::Management),
        get("/v1/health/connect/web").by(Who::Management),
    ];
    let paths = [
        "/v1/agent/services",
        "/v1/agent/checks",
        "/v1/agent/service/web-1",
        "/v1/agent/health/service/id/web-1",
        "/v1/agent/health/service/name/web",
        "/v1/health/service/web",
        "/v1/health/service/api",
        "/v1/health/connect/web",
        "/v1/health/connect/api",
        "/v1/health/checks/web",
        "/v1/health/state/passing",
        "/v1/health/ingress/web",
        "/v1/catalog/services",
        "/v1/catalog/service/web",
        "/v1/catalog/connect/web",
        "/v1/catalog/nodes",
        "/v1/catalog/node/parity-node",
        "/v1/catalog/datacenters",
        "/v1/connect/ca/roots",
        "/v1/agent/connect/ca/roots",
        "/v1/connect/ca/configuration",
        "/v1/peering/none",
        "/v1/peerings",
        "/v1/connect/intentions",
        "/v1/connect/intentions/match?by=destination&name=web",
        "/v1/connect/intentions/match?by=destination&name=api",
        "/v1/connect/intentions/match?by=source&name=web",
        "/v1/connect/intentions/check?source=api&destination=web",
        "/v1/connect/intentions/exact?source=api&destination=web",
        "/v1/config/service-intentions/web",
        "/v1/config/service-intentions",
        "/v1/config/service-defaults/web",
        "/v1/config/mesh/mesh",
        "/v1/config/proxy-defaults/global",
        "/v1/config/jwt-provider/okta",
        "/v1/discovery-chain/web",
        "/v1/discovery-chain/api",
        "/v1/status/leader",
        "/v1/kv/a",
    ];
    for who in [
        Who::Web,
        Who::Reader,
        Who::Nodeless,
        Who::Anonymous,
        Who::Unknown,
    ] {
        calls.extend(paths.iter().map(|path| get(path).by(who)));
    }
    for who in [Who::Reader, Who::Anonymous, Who::Unknown, Who::Web] {
        calls.extend([
            get("/v1/agent/self").by(who),
            get("/v1/agent/connect/ca/leaf/web").by(who),
            get("/v1/agent/connect/ca/leaf/api").by(who),
            authorize("web", "spiffe://{td}/ns/default/dc/dc1/svc/api").by(who),
            authorize("web", "spiffe://{td}/ns/default/dc/dc1/svc/other").by(who),
            put(
                "/v1/agent/service/register",
                json!({ "ID": "api-1", "Name": "web", "Port": 1 }),
            )
            .by(who),
            put("/v1/agent/check/pass/web-1-ttl", Value::Null).by(who),
            put("/v1/agent/service/deregister/api-1", Value::Null).by(who),
            entry(json!({ "Kind": "mesh" })).by(who),
            entry(json!({ "Kind": "service-defaults", "Name": "api", "Protocol": "http" })).by(who),
            delete("/v1/config/service-defaults/api").by(who),
            intentions("api", json!([{ "Name": "*", "Action": "allow" }])).by(who),
            put(
                "/v1/connect/intentions/exact?source=x&destination=api",
                json!({ "Action": "allow" }),
            )
            .by(who),
            put(
                "/v1/catalog/register",
                json!({ "Node": "n", "Address": "192.0.2.1" }),
            )
            .by(who),
            put(
                "/v1/connect/ca/configuration",
                json!({ "Provider": "consul", "Config": {} }),
            )
            .by(who),
            text("PUT", "/v1/kv/a", "b").by(who),
            post(
                "/v1/internal/acl/authorize",
                json!([{ "Resource": "service", "Access": "write", "Segment": "web" }]),
            )
            .by(who),
        ]);
    }
    calls.extend([
        // Once cached, a leaf is given to whoever asks.
        get("/v1/agent/connect/ca/leaf/web").by(Who::Anonymous),
        get("/v1/agent/connect/ca/leaf/web").by(Who::Unknown),
        post(
            "/v1/acl/login",
            json!({ "AuthMethod": "none", "BearerToken": "x" }),
        ),
        text("POST", "/v1/acl/login", "{bad"),
        get("/v1/acl/login"),
        post("/v1/acl/logout", Value::Null),
        post("/v1/acl/logout", Value::Null).by(Who::Unknown),
        post("/v1/acl/logout", Value::Null).by(Who::Web),
        get("/v1/acl/token/self").by(Who::Unknown),
        get("/v1/acl/token/self").by(Who::Web),
        get("/v1/health/service/web?token=00000000-1111-4222-8333-444444444445")
            .by(Who::Management),
        get("/v1/agent/self").by(Who::Management),
    ]);
    calls
}
