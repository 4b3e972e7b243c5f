//! Golden test: what a real Consul 1.22.5 answered, through this crate.
//!
//! The answers were recorded from a development agent (Community Edition, ACLs on, default deny). Each is served over a socket once
//! more, to the call it was the answer to, so that status, headers and body take the way they take in production.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
};

use consul_api::{
    Client, Config, Error, Read, Request, Response, Token,
    acl::AclToken,
    agent::{Authorization, Member, SelfInfo, ServiceHealth, Version},
    catalog::{CatalogNode, CatalogNodeServices, CatalogService, GatewayService, Node},
    config_entry::ConfigEntry,
    connect_ca::{CaConfiguration, Roots},
    discovery_chain::DiscoveryChain,
    duration::GoDuration,
    health::{HealthCheck, Service, ServiceEntry, Status},
    intention::Intention,
    peering::Peering,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// One recorded answer.
struct Vector {
    name: String,
    route: String,
    method: String,
    path: Vec<String>,
    query: BTreeMap<String, String>,
    status: u16,
    headers: Value,
    body: Value,
    body_kind: String,
    request_body: Value,
}

impl Vector {
    fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    fn body_bytes(&self) -> Vec<u8> {
        match (self.body_kind.as_str(), &self.body) {
            ("json", body) => body.to_string().into_bytes(),
            (_, Value::String(text)) => text.clone().into_bytes(),
            _ => Vec::new(),
        }
    }
}

fn vectors() -> Vec<Vector> {
    let bytes: &[u8] = include_bytes!("vectors/responses-1.22.5.jsonl.gz");
    BufReader::new(flate2::read::GzDecoder::new(bytes))
        .lines()
        .map(|line| {
            let value: Value = serde_json::from_str(&line.expect("readable")).expect("JSON");
            let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
            let request = text("request");
            let (path, query) = request.split_once('?').unwrap_or((&request, ""));
            Vector {
                name: format!("{} {request} ({})", text("method"), text("token")),
                route: text("route"),
                method: text("method"),
                path: path.split('/').skip(2).map(decoded).collect(),
                query: query
                    .split('&')
                    .filter(|pair| !pair.is_empty())
                    .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                    .map(|(name, value)| (decoded(name), decoded(value)))
                    .collect(),
                status: u16::try_from(value["status"].as_u64().expect("a status"))
                    .expect("a status"),
                headers: value["headers"].clone(),
                body: value["body"].clone(),
                body_kind: text("body_kind"),
                request_body: value["request_body"].clone(),
            }
        })
        .collect()
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(&text.replace('+', " "))
        .decode_utf8_lossy()
        .into_owned()
}

/// Answers whatever is asked with one recorded answer.
async fn consul_that_answers(vector: &Vector) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let body = vector.body_bytes();
    let mut head = format!(
        "HTTP/1.1 {} Recorded\r\ncontent-length: {}\r\nconnection: close\r\n",
        vector.status,
        body.len()
    );
    for (name, value) in vector.headers.as_object().into_iter().flatten() {
        if let Some(value) = value.as_str()
            && !matches!(
                name.as_str(),
                "content-length" | "connection" | "transfer-encoding"
            )
        {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    head.push_str("\r\n");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 64 * 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(&body).await;
            let _ = stream.shutdown().await;
        }
    });
    let config = Config::new(address.to_string())
        .expect("an address")
        .with_token(Token::new(SECRET));
    Client::new(config).expect("a client")
}

const SECRET: &str = "5ec4e700-1111-2222-3333-444444444444";

/// What became of an answer: its value as JSON again, if it is one that can be written.
type Outcome = Result<Option<Value>, Error>;

async fn of<T: Serialize>(call: impl IntoFuture<Output = Result<Response<T>, Error>>) -> Outcome {
    let value = call.await?.value;
    Ok(Some(serde_json::to_value(value).expect("JSON")))
}

async fn silent<T>(call: impl IntoFuture<Output = Result<Response<T>, Error>>) -> Outcome {
    call.await.map(|_| None)
}

fn filtered<T>(read: Read<T>) -> Read<T> {
    read
}

/// Makes the call a vector is the answer to. `None`: a route, or a use of it, that has no call.
async fn replay(vector: &Vector) -> Option<Outcome> {
    let client = consul_that_answers(vector).await;
    let last = vector.path.last().cloned().unwrap_or_default();
    let query = |name: &str| vector.query.get(name).cloned().unwrap_or_default();
    let (agent, catalog, health) = (client.agent(), client.catalog(), client.health());
    let text_format = query("format") == "text";
    let route = (vector.method.as_str(), vector.route.as_str());
    Some(match route {
        ("GET", "/v1/agent/self") => of::<SelfInfo>(agent.self_()).await,
        ("GET", "/v1/agent/version") => of::<Version>(agent.version()).await,
        ("GET", "/v1/agent/members") => of::<Vec<Member>>(agent.members()).await,
        ("GET", "/v1/agent/services") => of(agent.services()).await,
        ("GET", "/v1/agent/service/:service_id") => of::<Service>(agent.service(last)).await,
        ("GET", "/v1/agent/checks") => of(agent.checks()).await,
        ("GET", "/v1/agent/health/service/id/:service_id") if !text_format => {
            of::<Option<ServiceHealth>>(agent.health_by_id(last)).await
        }
        ("GET", "/v1/agent/health/service/name/:service_name") if !text_format => {
            of::<Vec<ServiceHealth>>(agent.health_by_name(last)).await
        }
        ("PUT", "/v1/agent/service/register") => silent(send_raw(&client, vector)).await,
        ("PUT", "/v1/agent/service/deregister/:service_id") => {
            silent(agent.deregister_service(last)).await
        }
        ("PUT", "/v1/agent/service/maintenance/:service_id") => {
            silent(agent.service_maintenance(last, query("enable") == "true", "")).await
        }
        ("PUT", "/v1/agent/maintenance") => silent(agent.node_maintenance(true, "")).await,
        ("PUT", "/v1/agent/check/register") => silent(send_raw(&client, vector)).await,
        ("PUT", "/v1/agent/check/deregister/:check_id") => {
            silent(agent.deregister_check(last)).await
        }
        ("PUT", "/v1/agent/check/pass/:check_id") => silent(agent.pass(last, query("note"))).await,
        ("PUT", "/v1/agent/check/warn/:check_id") => silent(agent.warn(last, query("note"))).await,
        ("PUT", "/v1/agent/check/fail/:check_id") => silent(agent.fail(last, query("note"))).await,
        ("PUT", "/v1/agent/check/update/:check_id") => {
            silent(agent.update_check(last, Status::Passing, "")).await
        }
        ("POST", "/v1/agent/connect/authorize") => {
            of::<Authorization>(agent.connect_authorize("web", "spiffe://x", "0a")).await
        }
        ("GET", "/v1/agent/connect/ca/roots") => of::<Roots>(agent.connect_ca_roots()).await,
        ("GET", "/v1/agent/connect/ca/leaf/:service") => match agent.connect_ca_leaf(last).await {
            Ok(leaf) => {
                let leaf = leaf.value;
                assert!(leaf.private_key_pem.expose().contains("PRIVATE KEY"));
                Ok(Some(json!({
                    "SerialNumber": leaf.serial_number, "CertPEM": leaf.cert_pem, "PrivateKeyPEM": leaf.private_key_pem.expose(),
                    "Service": leaf.service, "ServiceURI": leaf.service_uri, "ValidAfter": leaf.valid_after,
                    "ValidBefore": leaf.valid_before, "CreateIndex": leaf.create_index, "ModifyIndex": leaf.modify_index,
                })))
            }
            Err(error) => Err(error),
        },

        ("GET", "/v1/catalog/datacenters") => of(catalog.datacenters()).await,
        ("GET", "/v1/catalog/nodes") => of::<Vec<Node>>(catalog.nodes()).await,
        ("GET", "/v1/catalog/services") => of(catalog.services()).await,
        ("GET", "/v1/catalog/service/:service") => {
            of::<Vec<CatalogService>>(catalog.service(last)).await
        }
        ("GET", "/v1/catalog/connect/:service") => {
            of::<Vec<CatalogService>>(catalog.connect(last)).await
        }
        ("GET", "/v1/catalog/node/:node") => of::<Option<CatalogNode>>(catalog.node(last)).await,
        ("GET", "/v1/catalog/node-services/:node") => {
            of::<CatalogNodeServices>(catalog.node_services(last)).await
        }
        ("GET", "/v1/catalog/gateway-services/:gateway") => {
            of::<Vec<GatewayService>>(catalog.gateway_services(last)).await
        }
        ("PUT", "/v1/catalog/register") => of(catalog.register(&Default::default())).await,
        ("PUT", "/v1/catalog/deregister") => of(catalog.deregister(&Default::default())).await,

        ("GET", "/v1/health/service/:service") => {
            of::<Vec<ServiceEntry>>(filtered(health.service(last))).await
        }
        ("GET", "/v1/health/connect/:service") => {
            of::<Vec<ServiceEntry>>(health.connect(last)).await
        }
        ("GET", "/v1/health/ingress/:service") => {
            of::<Vec<ServiceEntry>>(health.ingress(last)).await
        }
        ("GET", "/v1/health/node/:node") => of::<Vec<HealthCheck>>(health.node(last)).await,
        ("GET", "/v1/health/checks/:service") => of::<Vec<HealthCheck>>(health.checks(last)).await,
        ("GET", "/v1/health/state/:state") => {
            of::<Vec<HealthCheck>>(health.state(Some(Status::from(last)))).await
        }

        ("GET", "/v1/config/:kind") => {
            of::<Vec<ConfigEntry>>(client.config_entries().list(last)).await
        }
        ("GET", "/v1/config/:kind/:name") => {
            of::<Option<ConfigEntry>>(client.config_entries().get(vector.path.get(1)?, last)).await
        }
        ("PUT", "/v1/config") => silent(send_raw(&client, vector)).await,
        ("DELETE", "/v1/config/:kind/:name") => match vector.query.contains_key("cas") {
            true => {
                of(client
                    .config_entries()
                    .delete_if_unchanged(vector.path.get(1)?, last, 1))
                .await
            }
            false => silent(client.config_entries().delete(vector.path.get(1)?, last)).await,
        },

        ("GET", "/v1/connect/ca/roots") if vector.query.contains_key("pem") => {
            of(client.connect_ca().roots_pem()).await
        }
        ("GET", "/v1/connect/ca/roots") => of::<Roots>(client.connect_ca().roots()).await,
        ("GET", "/v1/connect/ca/configuration") => {
            of::<CaConfiguration>(client.connect_ca().configuration()).await
        }
        ("PUT", "/v1/connect/ca/configuration") => {
            silent(client.connect_ca().set_configuration(&Default::default())).await
        }
        ("GET", "/v1/connect/intentions") => of::<Vec<Intention>>(client.intentions().list()).await,
        ("GET", "/v1/connect/intentions/match") if vector.name.matches("name=").count() == 1 => {
            let list = match query("by").as_str() {
                "source" => client.intentions().match_source(query("name")).await,
                _ => client.intentions().match_destination(query("name")).await,
            };
            list.map(|list| Some(json!({ query("name"): list.value })))
        }
        ("GET", "/v1/connect/intentions/check") => {
            let allowed = client.intentions().check("a", "b").await;
            allowed.map(|allowed| Some(json!({ "Allowed": allowed.value })))
        }
        ("GET", "/v1/connect/intentions/exact") => {
            of::<Option<Intention>>(client.intentions().get("a", "b")).await
        }
        ("PUT", "/v1/connect/intentions/exact") => {
            of(client.intentions().put(&Intention::default())).await
        }
        ("DELETE", "/v1/connect/intentions/exact") => {
            of(client.intentions().delete("a", "b")).await
        }

        ("GET" | "POST", "/v1/discovery-chain/:service") => {
            let chain: Result<Response<DiscoveryChain>, Error> =
                client.discovery_chain().get(last).await;
            chain.map(|chain| Some(json!({ "Chain": chain.value })))
        }

        ("GET", "/v1/peering/:name") => of::<Option<Peering>>(client.peerings().get(last)).await,
        ("GET", "/v1/peerings") => of::<Vec<Peering>>(client.peerings().list()).await,

        ("POST", "/v1/acl/login") => token(client.acl().login(&Default::default()).await),
        ("POST", "/v1/acl/logout") => silent(client.acl().logout()).await,
        ("GET", "/v1/acl/token/self") => token(client.acl().token_self().await),
        ("GET", "/v1/status/leader") => of(client.status().leader()).await,
        ("GET", "/v1/status/peers") => of(client.status().peers()).await,
        _ => return None,
    })
}

/// Tokens cannot be written; their documented fields are compared one by one.
fn token(answer: Result<Response<AclToken>, Error>) -> Outcome {
    let token = answer?.value;
    assert!(!token.secret_id.is_empty());
    Ok(Some(json!({
        "AccessorID": token.accessor_id, "SecretID": token.secret_id.expose(), "Description": token.description,
        "Policies": token.policies, "Roles": token.roles, "ServiceIdentities": token.service_identities,
        "NodeIdentities": token.node_identities, "TemplatedPolicies": token.templated_policies, "Local": token.local,
        "AuthMethod": token.auth_method, "ExpirationTTL": token.expiration_ttl, "ExpirationTime": token.expiration_time,
        "CreateTime": token.create_time, "Hash": token.hash, "CreateIndex": token.create_index, "ModifyIndex": token.modify_index,
    })))
}

/// The same call with the recorded body, whatever that was.
async fn send_raw(client: &Client, vector: &Vector) -> Result<Response<Option<bool>>, Error> {
    let request: Request<Option<bool>> =
        Request::put(vector.path.clone()).json(&vector.request_body);
    client.send(&request).await
}

/// Every key Consul sent, with its value, is in `ours`. What says nothing may be missing.
fn lost(theirs: &Value, ours: &Value, path: &str, found: &mut Vec<String>) {
    match (theirs, ours) {
        (theirs, _) if is_nothing(theirs) => {}
        (Value::Object(theirs), ours) => {
            for (key, value) in theirs {
                lost(
                    value,
                    ours.get(key).unwrap_or(&Value::Null),
                    &format!("{path}.{key}"),
                    found,
                );
            }
        }
        (Value::Array(theirs), Value::Array(ours)) if theirs.len() == ours.len() => {
            for (n, (theirs, ours)) in theirs.iter().zip(ours).enumerate() {
                lost(theirs, ours, &format!("{path}[{n}]"), found);
            }
        }
        (theirs, ours) if same(theirs, ours) => {}
        _ => found.push(format!("{path}: {theirs} became {ours}")),
    }
}

fn same(theirs: &Value, ours: &Value) -> bool {
    let nanoseconds = |value: &Value| match value {
        Value::String(text) => text.parse::<GoDuration>().ok().map(GoDuration::as_nanos),
        Value::Number(number) => number.as_i64(),
        _ => None,
    };
    theirs == ours
        || (nanoseconds(theirs).is_some() && nanoseconds(theirs) == nanoseconds(ours))
        || (theirs.is_number() && theirs.as_f64() == ours.as_f64())
}

/// Nothing, and what a type reads as nothing: an empty duration, weights nobody has set.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty() || text == "0s",
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Array(elements) => elements.is_empty(),
        Value::Object(members) => {
            members.is_empty() || *value == json!({ "Passing": 1, "Warning": 1 })
        }
        Value::Bool(true) => false,
    }
}

/// Known not to be kept, each with its reason.
fn may_lose(vector: &Vector, what: &str) -> bool {
    // Written entries must not carry what only Consul writes.
    (vector.route.starts_with("/v1/config/")
        && [".Hash:", ".CreateIndex:", ".ModifyIndex:"]
            .iter()
            .any(|key| what.contains(key)))
        || (vector.route == "/v1/connect/ca/configuration"
            && (what.contains(".CreateIndex:") || what.contains(".ModifyIndex:")))
}

#[tokio::test]
async fn answers_of_a_real_consul_are_read_without_losing_a_key() {
    let (mut values, mut problems, mut per_route) =
        (0, Vec::new(), BTreeMap::<String, usize>::new());
    let mut without_call = BTreeMap::<String, usize>::new();
    for vector in vectors().iter().filter(|vector| vector.is_success()) {
        let Some(outcome) = replay(vector).await else {
            *without_call
                .entry(format!("{} {}", vector.method, vector.route))
                .or_default() += 1;
            continue;
        };
        values += 1;
        *per_route.entry(vector.route.clone()).or_default() += 1;
        match outcome {
            Ok(Some(ours)) => {
                let mut found = Vec::new();
                lost(&vector.body, &ours, "", &mut found);
                found.retain(|what| !may_lose(vector, what));
                problems.extend(
                    found
                        .into_iter()
                        .map(|what| format!("{}: {what}", vector.name)),
                );
            }
            Ok(None) => {}
            Err(error) => problems.push(format!(
                "{}: {error}: {:?}",
                vector.name,
                std::error::Error::source(&error).map(ToString::to_string)
            )),
        }
    }
    println!(
        "{values} answers of {} routes read; no call for {without_call:#?}",
        per_route.len()
    );
    assert!(
        problems.is_empty(),
        "{} problems:\n{}",
        problems.len(),
        problems.join("\n")
    );
    assert!(values >= 260, "only {values} read");
}

#[tokio::test]
async fn config_entries_know_every_key_a_real_consul_sends() {
    let mut known = 0;
    for vector in vectors().iter().filter(|vector| {
        vector.is_success() && vector.method == "GET" && vector.route.starts_with("/v1/config/")
    }) {
        let entries: Vec<Value> = match &vector.body {
            Value::Array(entries) => entries.clone(),
            entry => vec![entry.clone()],
        };
        for entry in entries {
            let entry: ConfigEntry = serde_json::from_value(entry).expect("an entry");
            if !matches!(entry, ConfigEntry::Other(_)) {
                known += 1;
                // A map that is not empty opens a quote.
                assert!(
                    !format!("{entry:?}").contains("extra: {\""),
                    "{}: {entry:#?}",
                    vector.name
                );
            }
        }
    }
    println!("{known} typed entries");
    assert!(known >= 25, "only {known} entries");
}

#[tokio::test]
async fn intentions_know_every_key_a_real_consul_sends() {
    let mut known = 0;
    for vector in vectors()
        .iter()
        .filter(|vector| vector.is_success() && vector.route == "/v1/connect/intentions/match")
    {
        for list in vector
            .body
            .as_object()
            .expect("an object")
            .values()
            .filter(|list| list.is_array())
        {
            for intention in serde_json::from_value::<Vec<Intention>>(list.clone()).expect("a list")
            {
                known += 1;
                assert!(
                    !format!("{intention:?}").contains("extra: {\""),
                    "{}: {intention:#?}",
                    vector.name
                );
            }
        }
    }
    println!("{known} intentions");
    assert!(known >= 20, "only {known} intentions");
}

#[tokio::test]
async fn refusals_of_a_real_consul_become_errors_with_its_words() {
    let mut seen = BTreeMap::<u16, usize>::new();
    let (mut unknown_token, mut denied, mut enterprise) = (0, 0, 0);
    for vector in vectors().iter().filter(|vector| !vector.is_success()) {
        let Some(outcome) = replay(vector).await else {
            continue;
        };
        let error = match outcome {
            Err(error) => error,
            // What is documented to be a value in spite of its status.
            Ok(value) => {
                assert!(
                    matches!(vector.status, 404 | 429 | 503),
                    "{}: {value:?}",
                    vector.name
                );
                continue;
            }
        };
        if vector.path.iter().any(String::is_empty) {
            assert!(
                error.is_invalid_request(),
                "{}: an empty name is refused before it is sent",
                vector.name
            );
            continue;
        }
        *seen.entry(vector.status).or_default() += 1;
        assert_eq!(
            error.status().map(|status| status.as_u16()),
            Some(vector.status),
            "{}",
            vector.name
        );
        let words = String::from_utf8(vector.body_bytes()).expect("text");
        // Long ones are cut.
        let kept = error.server_message().unwrap_or_default();
        assert!(
            words.trim().starts_with(kept) && (kept == words.trim() || kept.len() > 1_900),
            "{}: {kept}",
            vector.name
        );
        assert_eq!(
            error.is_not_found(),
            vector.status == 404,
            "{}",
            vector.name
        );
        assert!(!format!("{error} {error:?}").contains(SECRET));
        unknown_token += usize::from(error.is_unknown_token());
        denied += usize::from(error.is_permission_denied());
        enterprise += usize::from(error.is_enterprise_only());
        if vector.status == 403 {
            assert_eq!(
                error.is_unknown_token(),
                words.contains("ACL not found") && !words.contains("auth method"),
                "{}",
                vector.name
            );
        }
        assert_eq!(
            error.is_enterprise_only(),
            words.to_lowercase().contains("enterprise feature"),
            "{}",
            vector.name
        );
    }
    println!(
        "errors by status: {seen:?}; unknown token {unknown_token}, denied {denied}, enterprise {enterprise}"
    );
    assert!(seen.values().sum::<usize>() >= 80, "only {seen:?}");
    assert!(unknown_token >= 1 && denied >= 5 && enterprise >= 1);
}

fn decodes<T: DeserializeOwned>(json: &str) -> T {
    serde_json::from_str(json).expect(json)
}

#[test]
fn lists_and_objects_may_be_null() {
    let entry: ServiceEntry = decodes(
        r#"{"Node":{"Meta":null,"TaggedAddresses":null},"Service":{"Tags":null,"Weights":null,"Proxy":null,"Connect":null},"Checks":null}"#,
    );
    assert_eq!(entry, ServiceEntry::default());
    let roots: Roots =
        decodes(r#"{"Roots":[{"IntermediateCerts":null,"SerialNumber":18446744073709551615}]}"#);
    assert_eq!(roots.roots[0].serial_number, u64::MAX);
}
