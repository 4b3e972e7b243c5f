//! What the TLS parameters of the mesh mean here, and that the next handshake obeys them.

use std::{sync::Arc, time::Duration};

use consul_api::{
    Client, Config,
    config_entry::{ConfigEntry, Mesh, MeshTls, MeshTlsDirection},
};
use consul_connect::{
    Connector, Destination, Identity, Listener, Negotiated, SettingsOrigin, TlsLimits,
    TlsParameters, TlsPolicy, TlsSideStatus, TlsVersion, authorize, test_util::TestCa,
};
use consul_dev::ConsulDev;
use tokio::time::{Instant, sleep};

const TD: &str = "11111111-2222-3333-4444-555555555555.consul";
const CHACHA: &str = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256";
const CBC: &str = "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA";

fn limits(min: Option<TlsVersion>, max: Option<TlsVersion>, suites: &[&str]) -> TlsLimits {
    let mut limits = TlsLimits::default();
    (limits.min, limits.max) = (min, max);
    limits.cipher_suites = suites.iter().map(ToString::to_string).collect();
    limits
}

/// What these limits leave of what is spoken here.
async fn side(limits: TlsLimits) -> TlsSideStatus {
    let (identity, _pusher) = TestCa::new(TD).identity("web").await.expect("an identity");
    let mut parameters = TlsParameters::default();
    parameters.incoming = limits;
    let status = TlsPolicy::fixed(&identity, &parameters).status();
    assert_eq!(status.origin, SettingsOrigin::Given);
    assert!(status.outgoing.refused.is_none());
    status.incoming
}

use TlsVersion::{V1_0, V1_1, V1_2, V1_3};

#[tokio::test]
async fn versions_bound_what_is_spoken() {
    for (min, max, spoken) in [
        (None, None, &[V1_2, V1_3][..]),
        (Some(V1_2), None, &[V1_2, V1_3]),
        (None, Some(V1_2), &[V1_2]),
        (Some(V1_3), None, &[V1_3]),
        (Some(V1_2), Some(V1_2), &[V1_2]),
        (Some(V1_3), Some(V1_3), &[V1_3]),
    ] {
        let side = side(limits(min, max, &[])).await;
        assert_eq!(side.versions, spoken, "{min:?} {max:?}");
        assert_eq!((side.refused, side.findings), (None, Vec::new()));
    }
}

#[tokio::test]
async fn a_minimum_below_what_is_spoken_means_the_least_and_is_said() {
    for min in [V1_0, V1_1] {
        let side = side(limits(Some(min), None, &[])).await;
        assert_eq!(side.versions, [V1_2, V1_3]);
        assert_eq!(side.findings.len(), 1, "{side:?}");
        assert!(side.findings[0].contains(&min.to_string()), "{side:?}");
    }
}

#[tokio::test]
async fn limits_that_leave_nothing_refuse_every_handshake() {
    for (limits, why) in [
        (limits(None, Some(V1_1), &[]), "the maximum is TLS 1.1"),
        (
            limits(Some(V1_3), Some(V1_2), &[]),
            "the maximum is TLS 1.2 and the minimum TLS 1.3",
        ),
        (
            limits(None, Some(V1_2), &[CBC]),
            "no cipher suite is left for TLS 1.2",
        ),
    ] {
        let side = side(limits).await;
        assert!(side.versions.is_empty());
        assert!(side.refused.expect("refused").starts_with(why));
    }
}

#[tokio::test]
async fn cipher_suites_choose_for_tls_1_2_alone_and_unknown_ones_are_left_out() {
    let one = side(limits(None, None, &[CHACHA, CBC])).await;
    assert_eq!(one.versions, [V1_2, V1_3]);
    assert_eq!(one.cipher_suites, [CHACHA]);
    assert_eq!(one.findings.len(), 1);
    assert!(one.findings[0].contains(CBC), "{one:?}");

    let none = side(limits(None, None, &["TLS_WITH_LOVE"])).await;
    assert_eq!(none.versions, [V1_3], "{none:?}");
    assert_eq!(none.findings.len(), 2, "{none:?}");

    let newer = side(limits(None, Some(V1_2), &["TLS_AES_128_GCM_SHA256"])).await;
    assert!(newer.findings[0].contains("TLS 1.3"), "{newer:?}");
    assert!(newer.refused.is_some(), "{newer:?}");
}

#[tokio::test]
async fn curves_that_are_not_known_are_left_out_and_none_at_all_refuses() {
    let mut limits = TlsLimits::default();
    limits.curves = vec!["P-256".into(), "curve of mine".into()];
    let some = side(limits.clone()).await;
    assert_eq!(some.versions, [V1_2, V1_3]);
    assert!(some.findings[0].contains("curve of mine"), "{some:?}");
    limits.curves.remove(0);
    assert!(side(limits).await.refused.is_some());
}

/// `web` calls `api`; each holds to a policy of its own.
struct World {
    ca: TestCa,
    web: Identity,
    api: Identity,
    _pushers: [consul_connect::identity::source::Pusher; 2],
}

impl World {
    async fn new() -> Self {
        let ca = TestCa::new(TD);
        let (web, one) = ca.identity("web").await.expect("an identity");
        let (api, two) = ca.identity("api").await.expect("an identity");
        Self {
            ca,
            web,
            api,
            _pushers: [one, two],
        }
    }

    async fn listener(&self, tls: &TlsPolicy) -> Listener {
        let allow = Arc::new(authorize::dangerously_allow_all());
        Listener::builder(self.api.clone(), allow)
            .tls(tls.clone())
            .bind("127.0.0.1:0")
            .await
            .expect("a listener")
    }

    /// What both sides of a new connection agree on, or why there is none.
    async fn connect(
        &self,
        listener: &mut Listener,
        tls: &TlsPolicy,
    ) -> Result<Negotiated, String> {
        let connector = Connector::new(self.web.clone()).tls(tls.clone());
        let destination = Destination::new(listener.local_addr(), self.ca.id("api"));
        let (connect, accept) = (connector.connect(&destination), listener.accept());
        tokio::pin!(connect, accept);
        let refused = |error: consul_connect::ConnectError| format!("{error:?}");
        let (connection, accepted) = tokio::select! {
            made = &mut connect => (made.map_err(refused)?, accept.await),
            accepted = &mut accept => (connect.await.map_err(refused)?, accepted),
        };
        let negotiated = connection.stream.negotiated();
        let accepted = accepted.expect("an accepted connection");
        assert_eq!(negotiated, accepted.stream.negotiated());
        Ok(negotiated)
    }
}

fn client(consul: &ConsulDev, token: Option<&str>) -> Client {
    let config = Config::new(consul.http_addr()).expect("an address");
    let config = match token {
        Some(token) => config.with_token(consul_api::Token::new(token)),
        None => config,
    };
    Client::new(config).expect("a client")
}

async fn write(consul: &Client, change: impl FnOnce(&mut MeshTlsDirection, &mut MeshTlsDirection)) {
    let (mut incoming, mut outgoing) = <(MeshTlsDirection, MeshTlsDirection)>::default();
    change(&mut incoming, &mut outgoing);
    let mut tls = MeshTls::default();
    (tls.incoming, tls.outgoing) = (Some(incoming), Some(outgoing));
    let mut mesh = Mesh::default();
    mesh.tls = Some(tls);
    let entry = ConfigEntry::Mesh(Box::new(mesh));
    consul.config_entries().set(&entry).await.expect("written");
}

async fn until(policy: &TlsPolicy, what: &str, reached: impl Fn(&TlsPolicy) -> bool) {
    let began = Instant::now();
    while !reached(policy) {
        let status = policy.status();
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "{what}: {status}"
        );
        sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn the_next_handshake_obeys_the_mesh_entry_in_both_directions() {
    let consul = ConsulDev::start().await.expect("a Consul");
    let consul = client(&consul, None);
    let world = World::new().await;
    let free = |identity| TlsPolicy::fixed(identity, &TlsParameters::default());
    let (free_web, free_api) = (free(&world.web), free(&world.api));
    let web = TlsPolicy::watch(&consul, &world.web);
    let api = TlsPolicy::watch(&consul, &world.api);
    web.ready().await;
    api.ready().await;
    assert_eq!(api.status().origin, SettingsOrigin::NoMeshEntry);
    let mut ours = world.listener(&api).await;
    let mut theirs = world.listener(&free_api).await;
    let version = |made: Result<Negotiated, String>| made.expect("a connection").version;
    assert_eq!(version(world.connect(&mut ours, &web).await), V1_3);

    write(&consul, |incoming, _| {
        incoming.tls_max_version = "TLSv1_2".into();
        incoming.cipher_suites = vec![CHACHA.into()];
    })
    .await;
    until(&api, "at most 1.2 for callers", |policy| {
        policy.status().incoming.versions == [V1_2]
    })
    .await;
    let made = world.connect(&mut ours, &free_web).await.expect("made");
    assert_eq!((made.version, made.cipher_suite), (V1_2, CHACHA));
    assert_eq!(version(world.connect(&mut theirs, &web).await), V1_3);

    write(&consul, |_, outgoing| {
        outgoing.tls_max_version = "TLSv1_2".into();
        outgoing.cipher_suites = vec![CHACHA.into()];
    })
    .await;
    until(&web, "at most 1.2 for calls", |policy| {
        policy.status().outgoing.versions == [V1_2]
    })
    .await;
    let made = world.connect(&mut theirs, &web).await.expect("made");
    assert_eq!((made.version, made.cipher_suite), (V1_2, CHACHA));

    write(&consul, |incoming, _| {
        incoming.tls_min_version = "TLSv1_3".into();
    })
    .await;
    until(&api, "at least 1.3 for callers", |policy| {
        policy.status().incoming.versions == [V1_3]
    })
    .await;
    let mut old = TlsParameters::default();
    old.outgoing.max = Some(V1_2);
    let old = TlsPolicy::fixed(&world.web, &old);
    world.connect(&mut ours, &old).await.expect_err("too old");
    assert_eq!(version(world.connect(&mut ours, &free_web).await), V1_3);

    consul
        .config_entries()
        .delete("mesh", "mesh")
        .await
        .expect("deleted");
    until(&api, "no entry", |policy| {
        policy.status().origin == SettingsOrigin::NoMeshEntry
    })
    .await;
    assert_eq!(version(world.connect(&mut ours, &old).await), V1_2);
}

#[tokio::test]
async fn a_version_nobody_knows_refuses_handshakes_in_its_direction_alone() {
    let consul = ConsulDev::start().await.expect("a Consul");
    let consul = client(&consul, None);
    let world = World::new().await;
    write(&consul, |incoming, _| {
        incoming.tls_min_version = "TLSv1_9".into();
    })
    .await;
    let api = TlsPolicy::watch(&consul, &world.api);
    api.ready().await;
    let status = api.status();
    assert!(!status.is_usable());
    assert!(status.outgoing.refused.is_none());
    assert!(status.to_string().contains("`TLSv1_9`"), "{status}");
    let free = TlsPolicy::fixed(&world.web, &TlsParameters::default());
    let mut listener = world.listener(&api).await;
    world
        .connect(&mut listener, &free)
        .await
        .expect_err("refused");

    let mut closed = TlsParameters::default();
    closed.outgoing.max = Some(V1_0);
    let closed = TlsPolicy::fixed(&world.web, &closed);
    let mut open = world.listener(&free).await;
    let connector = Connector::new(world.web.clone()).tls(closed);
    let destination = Destination::new(open.local_addr(), world.ca.id("api"));
    let refused = tokio::select! {
        refused = connector.connect(&destination) => refused.expect_err("refused"),
        accepted = open.accept() => panic!("accepted {accepted:?}"),
    };
    let cause = std::error::Error::source(&refused)
        .expect("a cause")
        .to_string();
    assert!(cause.contains("TLS 1.0"), "{cause}");
}

#[tokio::test]
async fn a_token_that_may_not_read_the_entry_gets_the_defaults_and_a_note() {
    let consul = ConsulDev::builder()
        .acl(true)
        .start()
        .await
        .expect("a Consul");
    let world = World::new().await;
    let policy = TlsPolicy::watch(&client(&consul, Some("nobody's")), &world.web);
    policy.ready().await;
    let status = policy.status();
    assert_eq!(status.origin, SettingsOrigin::NotPermitted);
    assert!(
        status.is_usable() && status.last_error.is_some(),
        "{status}"
    );
    assert_eq!(status.incoming.versions, [V1_2, V1_3]);
}

#[tokio::test]
async fn while_consul_is_away_what_it_said_last_stays() {
    let consul = ConsulDev::start().await.expect("a Consul");
    let world = World::new().await;
    let consul_client = client(&consul, None);
    write(&consul_client, |incoming, _| {
        incoming.tls_min_version = "TLSv1_3".into();
    })
    .await;
    let policy = TlsPolicy::watch(&consul_client, &world.api);
    policy.ready().await;
    drop(consul);
    until(&policy, "away", |policy| {
        policy.status().failing_for.is_some()
    })
    .await;
    assert_eq!(policy.status().incoming.versions, [V1_3]);
}
