//! Every call of `consul-api`, once, on a real Consul: newest and oldest.

use std::{collections::BTreeMap, time::Duration};

use consul_api::{
    AclPolicy, Client, Error, Json, Token,
    acl::LoginRequest,
    agent::{Check, CheckRegistration, ServiceConnect, ServiceRegistration},
    catalog::{CatalogCheck, CatalogDeregistration, CatalogRegistration},
    config_entry::{
        ConfigEntry, HeaderEdits, JsonWebKeySet, JwtProvider, LoadBalancer, LocalJwks, Mesh,
        MeshHttp, MeshHttpIncoming, OtherEntry, ProxyDefaults, RequestNormalization,
        ResolverSubset, RouteDestination, RouteHttpMatch, RouteMatch, ServiceDefaults,
        ServiceIntentions, ServiceResolver, ServiceRoute, ServiceRouter, ServiceSplit,
        ServiceSplitter, SourceIntention,
    },
    discovery_chain::{NodeType, Overrides},
    health::{Service, Status, Weights},
    intention::{HttpPermission, Intention, Permission},
};
use mesh_lab::{Agent, Consul, DefaultPolicy, Version};
use mesh_tests::real::{client, eventually};

async fn start(version: Version) -> Option<Agent> {
    let consul: Consul = mesh_lab::consul(version)?;
    Some(consul.acl(DefaultPolicy::Deny).start().await.unwrap())
}

/// One call that must succeed.
macro_rules! ok {
    ($call:expr) => {
        $call
            .await
            .unwrap_or_else(|error| panic!("{}: {error}", stringify!($call)))
            .value
    };
}

async fn every_call(version: Version) {
    let Some(agent) = start(version).await else {
        return;
    };
    let consul = client(&agent, None);
    about_the_agent(&consul, &agent).await;
    registration(&consul).await;
    odd_names(&consul).await;
    catalog_and_health(&consul).await;
    config_entries(&consul).await;
    intentions(&consul).await;
    discovery_chain(&consul).await;
    authority(&consul).await;
    logins(&consul).await;
    refusals(&consul, &agent).await;
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn every_call_is_understood_by_the_newest_consul() {
    every_call(Version::Newest).await;
}

#[tokio::test]
async fn every_call_is_understood_by_the_oldest_consul() {
    every_call(Version::Oldest).await;
}

async fn about_the_agent(consul: &Client, agent: &Agent) {
    assert!(ok!(consul.status().leader()).contains(':'));
    assert_eq!(ok!(consul.status().peers()).len(), 1);
    let answer = consul.agent().self_().await.unwrap();
    assert_eq!(answer.meta.default_acl_policy, Some(AclPolicy::Deny));
    let info = answer.value;
    assert_eq!(
        (
            info.config.node_name.clone(),
            info.config.datacenter.as_str()
        ),
        (agent.node_name(), "dc1")
    );
    assert_eq!(info.member.addr, "127.0.0.1");
    assert_eq!(
        (
            info.default_intention_policy(),
            info.acl_default_policy(),
            info.acls_enabled()
        ),
        (None, Some("deny"), Some(true))
    );
    let ports = info.xds.expect("a mesh").ports;
    assert_eq!(ports.plaintext, i32::from(agent.grpc_addr().port()));
    assert!(
        ok!(consul.agent().version())
            .human_version
            .starts_with("1.")
    );
    assert_eq!(ok!(consul.agent().members()).len(), 1);
    assert_eq!(ok!(consul.agent().members().wan()).len(), 1);
    ok!(consul.agent().node_maintenance(true, "tests & more"));
    assert!(ok!(consul.agent().checks()).contains_key("_node_maintenance"));
    ok!(consul.agent().node_maintenance(false, ""));
}

async fn registration(consul: &Client) {
    let agent = consul.agent();
    let mut registration = ServiceRegistration::new("web");
    registration.id = "web-1".to_owned();
    registration.port = 8443;
    registration.address = "127.0.0.1".to_owned();
    registration.tags = vec!["v1".to_owned()];
    registration.meta = BTreeMap::from([("version".to_owned(), "1".to_owned())]);
    registration.weights = Some(Weights::new(10, 0));
    registration.connect = Some(ServiceConnect::native());
    let mut ttl = Check::ttl(Duration::from_secs(60));
    ttl.check_id = "web-ttl".to_owned();
    ttl.deregister_critical_service_after = Duration::from_secs(3_600).into();
    let mut probe = Check::http("http://127.0.0.1:1/", Duration::from_secs(3_600));
    probe.check_id = "web-http".to_owned();
    probe.header = BTreeMap::from([("x-probe".to_owned(), vec!["a".to_owned()])]);
    probe.timeout = Duration::from_millis(1_500).into();
    registration.checks = vec![ttl.clone(), probe];
    ok!(agent.register_service(&registration));
    assert_eq!(ok!(agent.checks()).len(), 2);
    registration.checks = vec![ttl];
    ok!(agent
        .register_service(&registration)
        .replace_existing_checks());
    assert_eq!(ok!(agent.checks().filter("Name != \"\"")).len(), 1);

    let answer = agent.service("web-1").await.unwrap();
    assert!(answer.value.connect.native && answer.value.weights == Weights::new(10, 0));
    let hash = answer.meta.content_hash.expect("a hash");
    assert_eq!(hash, answer.value.content_hash);
    // Blocks for as long as nothing changes, then says the same.
    let again = agent
        .service("web-1")
        .hash(hash.clone())
        .wait(Duration::from_millis(50))
        .await
        .unwrap();
    assert_eq!(again.meta.content_hash, Some(hash));
    assert_eq!(ok!(agent.services().filter("Service == web")).len(), 1);

    let health = ok!(agent.health_by_id("web-1")).expect("registered");
    assert_eq!(health.aggregated_status, Status::Critical);
    ok!(agent.pass("web-ttl", "all good"));
    assert_eq!(
        ok!(agent.health_by_id("web-1"))
            .expect("registered")
            .aggregated_status,
        Status::Passing
    );
    ok!(agent.warn("web-ttl", "hm"));
    assert_eq!(
        ok!(agent.health_by_name("web"))[0].aggregated_status,
        Status::Warning
    );
    ok!(agent.fail("web-ttl", "no"));
    ok!(agent.update_check("web-ttl", Status::Passing, "line 1\nline 2"));
    assert_eq!(ok!(agent.checks())["web-ttl"].output, "line 1\nline 2");
    assert!(ok!(agent.health_by_id("none")).is_none());
    assert!(ok!(agent.health_by_name("none")).is_empty());

    ok!(agent.service_maintenance("web-1", true, "upgrade"));
    assert_eq!(
        ok!(agent.health_by_id("web-1"))
            .expect("registered")
            .aggregated_status,
        Status::Maintenance
    );
    ok!(agent.service_maintenance("web-1", false, ""));

    let mut check = CheckRegistration::new("of the node", Check::ttl(Duration::from_secs(60)));
    check.id = "node-check".to_owned();
    ok!(agent.register_check(&check));
    ok!(agent.deregister_check("node-check"));

    // A sidecar beside an instance that has several kinds of checks.
    let mut api = ServiceRegistration::new("api");
    api.port = 9090;
    api.connect = Some(ServiceConnect::sidecar(ServiceRegistration::default()));
    let mut grpc = Check::default();
    grpc.grpc = "127.0.0.1:1/api".to_owned();
    grpc.interval = Duration::from_secs(3_600).into();
    let mut alias = Check::default();
    alias.alias_service = "web-1".to_owned();
    let mut h2 = Check::default();
    h2.h2ping = "127.0.0.1:1".to_owned();
    h2.h2ping_use_tls = Some(false);
    h2.interval = Duration::from_secs(3_600).into();
    api.checks = vec![
        Check::tcp("127.0.0.1:1", Duration::from_secs(3_600)),
        grpc,
        alias,
        h2,
    ];
    ok!(agent.register_service(&api));
    let sidecar = ok!(agent.service("api-sidecar-proxy"));
    assert_eq!(
        (
            sidecar.kind.as_str(),
            sidecar.proxy.destination_service_name.as_str()
        ),
        ("connect-proxy", "api")
    );
}

/// Names with every character that means something in a path.
async fn odd_names(consul: &Client) {
    for id in ["a/b", "a b", "a%2Fb", "a?b#c&d=e", "ö~", "x+y"] {
        let mut registration = ServiceRegistration::new("odd");
        registration.id = id.to_owned();
        ok!(consul.agent().register_service(&registration));
        assert_eq!(ok!(consul.agent().service(id)).id, id);
        ok!(consul.agent().deregister_service(id));
        assert!(
            consul
                .agent()
                .service(id)
                .await
                .expect_err("gone")
                .is_not_found()
        );
    }
}

async fn catalog_and_health(consul: &Client) {
    let (catalog, health) = (consul.catalog(), consul.health());
    assert_eq!(ok!(catalog.datacenters()), ["dc1"]);

    let mut external = CatalogRegistration::default();
    external.node = "ext-1".to_owned();
    external.address = "192.0.2.10".to_owned();
    external.node_meta = BTreeMap::from([("rack".to_owned(), "r-7".to_owned())]);
    let mut service = Service::default();
    service.service = "pg".to_owned();
    service.id = "pg-1".to_owned();
    service.port = 5432;
    service.tags = vec!["rw".to_owned()];
    external.service = Some(service);
    let mut check = CatalogCheck::default();
    check.node = "ext-1".to_owned();
    check.check_id = "pg-check".to_owned();
    check.name = "by hand".to_owned();
    check.service_id = "pg-1".to_owned();
    check.status = Some(Status::Warning);
    external.check = Some(check);
    assert!(ok!(catalog.register(&external)));

    assert_eq!(ok!(catalog.nodes().filter("Meta.rack == \"r-7\"")).len(), 1);
    assert_eq!(ok!(catalog.services())["pg"], ["rw"]);
    let pg = ok!(catalog.service("pg").tag("rw").node_meta("rack", "r-7"));
    assert_eq!((pg[0].service_port, pg[0].node.as_str()), (5432, "ext-1"));
    assert!(ok!(catalog.service("pg").tag("none")).is_empty());
    let node = ok!(catalog.node("ext-1")).expect("a node");
    assert_eq!(node.services["pg-1"].port, 5432);
    assert!(ok!(catalog.node("none")).is_none());
    assert_eq!(ok!(catalog.node_services("ext-1")).services.len(), 1);
    assert!(ok!(catalog.gateway_services("none")).is_empty());
    assert_eq!(ok!(health.checks("pg"))[0].status, Status::Warning);
    assert_eq!(ok!(health.node("ext-1")).len(), 1);
    assert_eq!(
        ok!(health.state(Some(Status::Warning)).node_meta("rack", "r-7")).len(),
        1
    );
    assert!(ok!(health.state(None)).len() > 2);

    // The agent's own registrations reach the catalog a moment later.
    eventually("web is in the catalog", async || {
        (!ok!(catalog.connect("web")).is_empty()).then_some(())
    })
    .await;
    eventually("web passes", async || {
        (ok!(health.connect("web").passing()).len() == 1).then_some(())
    })
    .await;
    let web = ok!(health
        .connect("web")
        .datacenter("dc1")
        .near("_agent")
        .stale()
        .tag("v1")
        .filter("Service.Meta.version == 1"));
    assert_eq!((web.len(), web[0].status()), (1, Status::Passing));
    assert_eq!(
        ok!(health.connect("api"))[0]
            .service
            .proxy
            .destination_service_name,
        "api"
    );
    assert_eq!(ok!(health.service("web").consistent()).len(), 1);
    assert_eq!(
        ok!(health.service("api-sidecar-proxy").merge_central_config()).len(),
        1
    );
    assert!(ok!(health.ingress("web")).is_empty());
    assert!(ok!(health.connect("none")).is_empty());
    let cached = health
        .connect("web")
        .cached_within(Some(Duration::from_secs(5)), Some(Duration::from_secs(60)))
        .await
        .unwrap();
    assert!(cached.meta.cache_hit.is_some());

    let answer = health.service("web").await.unwrap();
    let index = answer.meta.index.expect("an index");
    let started = tokio::time::Instant::now();
    let again = health
        .service("web")
        .index(index)
        .wait(Duration::from_millis(300))
        .await
        .unwrap();
    assert!(again.meta.index == Some(index) && started.elapsed() >= Duration::from_millis(250));

    let mut deregistration = CatalogDeregistration::default();
    deregistration.node = "ext-1".to_owned();
    assert!(ok!(catalog.deregister(&deregistration)));
    assert!(ok!(catalog.service("pg")).is_empty());
}

async fn config_entries(consul: &Client) {
    let entries = consul.config_entries();
    assert!(ok!(entries.mesh()).is_none() && ok!(entries.proxy_defaults()).is_none());

    let mut defaults = ProxyDefaults::default();
    defaults.name = "global".to_owned();
    defaults.config = BTreeMap::from([("protocol".to_owned(), Json::from("http"))]);
    assert!(ok!(entries.set(&defaults.into())));
    assert_eq!(
        ok!(entries.proxy_defaults()).expect("written").config["protocol"].as_str(),
        Some("http")
    );

    let mut mesh = Mesh::default();
    let mut normalization = RequestNormalization::default();
    normalization.merge_slashes = true;
    normalization.path_with_escaped_slashes_action = "REJECT_REQUEST".to_owned();
    let mut incoming = MeshHttpIncoming::default();
    incoming.request_normalization = Some(normalization);
    let mut http = MeshHttp::default();
    http.sanitize_x_forwarded_client_cert = true;
    http.incoming = Some(incoming);
    mesh.http = Some(http);
    assert!(ok!(entries.set(&mesh.clone().into())));
    let read = ok!(entries.mesh()).expect("written");
    assert_eq!((read.http.clone(), read.extra.len()), (mesh.http, 0));
    // What was read can be written back as it is.
    assert!(ok!(
        entries.set_if_unchanged(&read.clone().into(), read.modify_index)
    ));
    let mut changed = read;
    changed.validate_clusters = true;
    assert!(!ok!(entries.set_if_unchanged(&changed.into(), 1)));

    let mut web = ServiceDefaults::default();
    web.name = "web".to_owned();
    web.protocol = "http".to_owned();
    assert!(ok!(entries.set(&web.into())));
    assert_eq!(
        ok!(entries.service_defaults("web"))
            .expect("written")
            .protocol,
        "http"
    );

    let mut resolver = ServiceResolver::default();
    resolver.name = "web".to_owned();
    resolver.default_subset = "v1".to_owned();
    let mut subset = ResolverSubset::default();
    subset.filter = "Service.Meta.version == 1".to_owned();
    resolver.subsets =
        BTreeMap::from([("v1".to_owned(), subset.clone()), ("v2".to_owned(), subset)]);
    resolver.connect_timeout = Duration::from_millis(1_500).into();
    resolver.request_timeout = Duration::from_secs(9).into();
    let mut balancer = LoadBalancer::default();
    balancer.policy = "least_request".to_owned();
    resolver.load_balancer = Some(balancer);
    assert!(ok!(entries.set(&resolver.clone().into())));
    assert_eq!(
        ok!(entries.service_resolver("web"))
            .expect("written")
            .connect_timeout,
        resolver.connect_timeout
    );

    let mut splitter = ServiceSplitter::default();
    splitter.name = "web".to_owned();
    splitter.splits = [("v1", 99.5), ("v2", 0.5)]
        .map(|(subset, weight)| {
            let mut split = ServiceSplit::default();
            split.service_subset = subset.to_owned();
            split.weight = weight;
            split
        })
        .to_vec();
    assert!(ok!(entries.set(&splitter.into())));
    assert_eq!(
        ok!(entries.service_splitter("web"))
            .expect("written")
            .splits[0]
            .weight,
        99.5
    );

    let mut matched = RouteHttpMatch::default();
    matched.path_prefix = "/admin".to_owned();
    matched.methods = vec!["GET".to_owned()];
    let mut matches = RouteMatch::default();
    matches.http = Some(matched);
    let mut destination = RouteDestination::default();
    destination.service = "admin".to_owned();
    destination.request_timeout = "-1s".parse().unwrap();
    destination.num_retries = 3;
    destination.retry_on = vec!["reset".to_owned()];
    let mut edits = HeaderEdits::default();
    edits.add = BTreeMap::from([("x-a".to_owned(), "1".to_owned())]);
    destination.request_headers = Some(edits);
    let mut route = ServiceRoute::default();
    route.matches = Some(matches);
    route.destination = Some(destination);
    let mut router = ServiceRouter::default();
    router.name = "web".to_owned();
    router.routes = vec![route];
    assert!(ok!(entries.set(&router.clone().into())));
    let read = ok!(entries.service_router("web")).expect("written");
    assert_eq!(read.routes, router.routes);

    let mut provider = JwtProvider::default();
    provider.name = "okta".to_owned();
    provider.issuer = "https://issuer.example".to_owned();
    let mut local = LocalJwks::default();
    local.jwks = "eyJrZXlzIjpbXX0=".to_owned();
    let mut keys = JsonWebKeySet::default();
    keys.local = Some(local);
    provider.json_web_key_set = Some(keys);
    assert!(ok!(entries.set(&provider.into())));
    assert_eq!(
        ok!(entries.jwt_provider("okta")).expect("written").issuer,
        "https://issuer.example"
    );

    let mut gateway = OtherEntry::new("terminating-gateway", "term");
    gateway.fields.insert(
        "Services".to_owned(),
        Json::from_value(&[BTreeMap::from([("Name", "pg")])]).unwrap(),
    );
    assert!(ok!(entries.set(&gateway.into())));
    let Some(ConfigEntry::Other(gateway)) = ok!(entries.get("terminating-gateway", "term")) else {
        panic!("another kind");
    };
    assert_eq!(gateway.kind, "terminating-gateway");
    assert!(ok!(entries.delete_if_unchanged(
        "terminating-gateway",
        "term",
        gateway.fields["ModifyIndex"].as_u64().unwrap()
    )));
    ok!(entries.delete("terminating-gateway", "term"));

    assert_eq!(ok!(entries.list("service-defaults")).len(), 1);
    assert!(ok!(entries.list("ingress-gateway")).is_empty());
    let unknown = entries
        .get("no-such-kind", "x")
        .await
        .expect_err("no such kind");
    assert!(
        unknown
            .server_message()
            .is_some_and(|words| words.contains("invalid config entry kind")),
        "{unknown}"
    );
}

async fn intentions(consul: &Client) {
    let intentions = consul.intentions();
    assert!(ok!(intentions.match_destination("web")).is_empty());
    let mut allow = Intention::default();
    allow.source_name = "api".to_owned();
    allow.destination_name = "web".to_owned();
    allow.action = Some("allow".to_owned());
    assert!(ok!(intentions.put(&allow)));
    let mut from_peer = allow.clone();
    from_peer.source_peer = "peer-east".to_owned();
    from_peer.action = Some("deny".to_owned());
    let error = intentions
        .put(&from_peer)
        .await
        .expect_err("only config entries know peers");
    assert!(
        error
            .server_message()
            .is_some_and(|words| words.contains("Use config entries")),
        "{error}"
    );
    let read = ok!(intentions.get("api", "web")).expect("written");
    assert_eq!(
        (read.action.as_deref(), read.precedence),
        (Some("allow"), 9)
    );
    // What was read can be written back as it is.
    assert!(ok!(intentions.put(&read)));
    assert!(ok!(intentions.get("a", "b")).is_none());
    assert!(ok!(intentions.check("api", "web")) && !ok!(intentions.check("other", "web")));
    assert_eq!(
        ok!(intentions.match_source("api"))[0].destination_name,
        "web"
    );

    let mut http = HttpPermission::default();
    http.path_prefix = "/v1".to_owned();
    http.methods = vec!["get".to_owned()];
    let mut permission = Permission::default();
    permission.action = Some("allow".to_owned());
    permission.http = Some(http);
    let mut source = SourceIntention::default();
    source.name = "*".to_owned();
    source.permissions = Some(vec![permission]);
    let mut entry = ServiceIntentions::default();
    entry.name = "web".to_owned();
    let mut peer = SourceIntention::default();
    peer.name = "remote".to_owned();
    peer.peer = "dc-east".to_owned();
    peer.action = Some("deny".to_owned());
    entry.sources = vec![source, peer];
    assert!(ok!(consul.config_entries().set(&entry.into())));
    let matched = ok!(intentions.match_destination("web"));
    let of_peer = matched
        .iter()
        .find(|intention| intention.source_peer == "dc-east")
        .expect("listed");
    assert_eq!(
        (of_peer.source_name.as_str(), of_peer.action.as_deref()),
        ("remote", Some("deny"))
    );
    let with_permissions = matched
        .iter()
        .find(|intention| intention.permissions.is_some())
        .expect("listed");
    let permission = &with_permissions.permissions.as_ref().expect("permissions")[0];
    assert_eq!(permission.http.as_ref().expect("http").methods, ["GET"]);
    assert!(
        with_permissions.action.is_none()
            && with_permissions.extra.is_empty()
            && permission.extra.is_empty()
    );
    assert_eq!(
        ok!(consul.config_entries().service_intentions("web"))
            .expect("written")
            .sources
            .len(),
        2
    );
    assert_eq!(ok!(intentions.list()).len(), 2);
    assert!(ok!(intentions.delete("*", "web")) && ok!(intentions.delete("*", "web")));
}

async fn discovery_chain(consul: &Client) {
    let chain = ok!(consul.discovery_chain().get("web"));
    assert_eq!(chain.protocol, "http");
    let router = &chain.nodes[&chain.start_node];
    assert_eq!((&router.kind, router.routes.len()), (&NodeType::Router, 2));
    let definition = router.routes[0]
        .definition
        .as_ref()
        .and_then(|route| route.destination.as_ref())
        .expect("a destination");
    assert!(definition.request_timeout.is_negative() && definition.num_retries == 3);
    let target = &chain.targets["v1.web.default.default.dc1"];
    assert!(
        target.sni.starts_with("v1.web.default.dc1.internal.")
            && target.connect_timeout.as_nanos() == 1_500_000_000
    );
    let resolver = chain.nodes["resolver:v1.web.default.default.dc1"]
        .resolver
        .as_ref()
        .expect("a resolver");
    assert_eq!(resolver.request_timeout.as_nanos(), 9_000_000_000);

    let mut overrides = Overrides::default();
    overrides.override_protocol = "grpc".to_owned();
    overrides.override_connect_timeout = Duration::from_secs(7).into();
    let overridden = ok!(consul
        .discovery_chain()
        .get("none")
        .compile_in("dc1")
        .overrides(&overrides));
    assert_eq!(overridden.protocol, "grpc");
    assert_eq!(
        overridden.targets["none.default.default.dc1"]
            .connect_timeout
            .to_string(),
        "7s"
    );
    assert_eq!(
        ok!(consul
            .discovery_chain()
            .get("none")
            .override_protocol("http2"))
        .protocol,
        "http2"
    );
}

async fn authority(consul: &Client) {
    let roots = ok!(consul.connect_ca().roots());
    assert_eq!(
        ok!(consul.agent().connect_ca_roots()).active_root_id,
        roots.active_root_id
    );
    assert!(
        roots.trust_domain.ends_with(".consul")
            && roots.roots[0].active
            && roots.roots[0].serial_number > 0
    );
    assert!(ok!(consul.connect_ca().roots_pem()).contains("BEGIN CERTIFICATE"));
    let leaf = consul.agent().connect_ca_leaf("web").await.unwrap();
    assert!(leaf.meta.index.is_some() && leaf.meta.last_contact.is_none());
    let leaf = leaf.value;
    assert!(
        leaf.private_key_pem.expose().contains("EC PRIVATE KEY")
            && leaf.service_uri.ends_with("/svc/web")
    );
    assert!(!format!("{leaf:?}").contains("PRIVATE"));
    let authorization = ok!(consul.agent().connect_authorize(
        "web",
        leaf.service_uri.as_str(),
        leaf.serial_number.as_str()
    ));
    assert!(
        !authorization.authorized && authorization.reason == "Default behavior configured by ACLs"
    );

    let mut configuration = ok!(consul.connect_ca().configuration());
    assert_eq!(configuration.provider, "consul");
    configuration
        .config
        .insert("LeafCertTTL".to_owned(), Json::from("48h"));
    ok!(consul.connect_ca().set_configuration(&configuration));
    assert_eq!(
        ok!(consul.connect_ca().configuration()).config["LeafCertTTL"].as_str(),
        Some("48h")
    );
}

async fn logins(consul: &Client) {
    let token = ok!(consul.acl().token_self());
    assert!(Token::from(&token.secret_id) == consul.token());
    let error = consul
        .acl()
        .login(&LoginRequest::new("nope", "e30.e30.e30").meta("pod", "a/b"))
        .await
        .expect_err("no such method");
    assert!(
        error.is_permission_denied() && !error.is_unknown_token(),
        "{error}"
    );
    let error = consul.acl().logout().await.expect_err("not from a login");
    assert!(error.is_permission_denied(), "{error}");
}

async fn refusals(consul: &Client, agent: &Agent) {
    let unknown = consul.with_token(Token::new("11111111-2222-3333-4444-555555555555"));
    let error = unknown.health().connect("web").await.expect_err("unknown");
    assert!(
        error.is_unknown_token() && !error.is_permission_denied() && !error.is_retryable(),
        "{error}"
    );
    let error = unknown.acl().token_self().await.expect_err("unknown");
    assert!(error.is_unknown_token(), "{error}");
    let error = unknown.acl().logout().await.expect_err("unknown");
    assert!(error.is_unknown_token(), "{error}");

    // Without a token nothing tells an empty answer from one that was filtered.
    let anonymous = consul.with_token(Token::anonymous());
    let answer = anonymous.health().service("web").await.unwrap();
    assert!(answer.value.is_empty() && !answer.meta.filtered_by_acls);
    let weak = agent
        .http()
        .put(
            "/v1/acl/token",
            &serde_json::json!({"Description": "may nothing"}),
        )
        .await
        .unwrap();
    let weak = weak.ok().unwrap()["SecretID"].as_str().unwrap().to_owned();
    let weak = consul.with_token(Token::new(weak));
    let answer = weak.health().service("web").await.unwrap();
    assert!(answer.value.is_empty() && answer.meta.filtered_by_acls);
    let error = weak.health().connect("web").await.expect_err("denied");
    assert!(error.is_permission_denied(), "{error}");
    let error = weak
        .intentions()
        .match_destination("web")
        .await
        .expect_err("denied");
    assert!(
        error.is_permission_denied()
            && error
                .server_message()
                .is_some_and(|words| words.contains("web")),
        "{error}"
    );

    let error = consul
        .health()
        .service("web")
        .namespace("default")
        .await
        .expect_err("Enterprise");
    assert!(
        error.is_enterprise_only() && !error.is_retryable(),
        "{error}"
    );
    let error = consul
        .agent()
        .pass("nope", "")
        .await
        .expect_err("no such check");
    assert!(error.is_not_found(), "{error}");
    let error: Error = consul.health().service("").await.expect_err("no name");
    assert!(error.is_invalid_request(), "{error}");
    let error = consul
        .health()
        .service("web")
        .filter("bad(")
        .await
        .expect_err("no filter");
    assert_eq!(
        error.status().map(|status| status.as_u16() >= 400),
        Some(true)
    );
    let error = consul
        .catalog()
        .nodes()
        .datacenter("dc9")
        .await
        .expect_err("no such datacenter");
    assert!(
        error
            .server_message()
            .is_some_and(|words| words.contains("No path to datacenter")),
        "{error}"
    );
}
