//! What the `mesh` entry asks of requests, and that one watch tells all of it.

use std::time::Duration;

use consul_api::{
    Client, Config,
    config_entry::{
        ConfigEntry, Mesh, MeshHttp, MeshHttpIncoming, MeshTls, MeshTlsDirection,
        RequestNormalization as Wire,
    },
};
use consul_connect::{
    EscapedSlashes, Identity, MeshEntry, NormalizationPolicy, NormalizationStatus,
    RequestNormalization, SettingsOrigin, TlsVersion, UnderscoreHeaders, identity::source::Pusher,
    test_util::TestCa,
};
use consul_dev::ConsulDev;
use tokio::time::{Instant, sleep};

async fn identity() -> (Identity, Pusher) {
    let ca = TestCa::new("11111111-2222-3333-4444-555555555555.consul");
    ca.identity("api").await.expect("an identity")
}

fn client(consul: &ConsulDev, token: Option<&str>) -> Client {
    let config = Config::new(consul.http_addr()).expect("an address");
    let config = match token {
        Some(token) => config.with_token(consul_api::Token::new(token)),
        None => config,
    };
    Client::new(config).expect("a client")
}

fn entry(change: impl FnOnce(&mut Wire)) -> Mesh {
    let mut wire = Wire::default();
    change(&mut wire);
    let mut incoming = MeshHttpIncoming::default();
    incoming.request_normalization = Some(wire);
    let mut http = MeshHttp::default();
    http.incoming = Some(incoming);
    let mut mesh = Mesh::default();
    mesh.http = Some(http);
    mesh
}

async fn write(consul: &Client, mesh: Mesh) {
    let entry = ConfigEntry::Mesh(Box::new(mesh));
    consul.config_entries().set(&entry).await.expect("written");
}

async fn until(policy: &NormalizationPolicy, reached: impl Fn(&NormalizationStatus) -> bool) {
    let began = Instant::now();
    while !reached(&policy.status()) {
        let waited = began.elapsed();
        assert!(waited < Duration::from_secs(20), "{}", policy.status());
        sleep(Duration::from_millis(2)).await;
    }
}

#[test]
fn each_action_of_consul_has_its_meaning() {
    let read = |escaped: &str, underscores: &str| {
        let mut wire = Wire::default();
        wire.path_with_escaped_slashes_action = escaped.into();
        wire.headers_with_underscores_action = underscores.into();
        RequestNormalization::try_from(&wire)
    };
    for (action, escaped_slashes) in [
        ("", EscapedSlashes::KeepUnchanged),
        (
            "IMPLEMENTATION_SPECIFIC_DEFAULT",
            EscapedSlashes::KeepUnchanged,
        ),
        ("KEEP_UNCHANGED", EscapedSlashes::KeepUnchanged),
        ("REJECT_REQUEST", EscapedSlashes::Reject),
        ("UNESCAPE_AND_REDIRECT", EscapedSlashes::UnescapeAndRedirect),
        ("UNESCAPE_AND_FORWARD", EscapedSlashes::UnescapeAndForward),
    ] {
        assert_eq!(
            read(action, "").expect(action).escaped_slashes,
            escaped_slashes
        );
    }
    for (action, underscore_headers) in [
        ("", UnderscoreHeaders::Allow),
        ("ALLOW", UnderscoreHeaders::Allow),
        ("REJECT_REQUEST", UnderscoreHeaders::Reject),
        ("DROP_HEADER", UnderscoreHeaders::Drop),
    ] {
        assert_eq!(
            read("", action).expect(action).underscore_headers,
            underscore_headers
        );
    }
    for (escaped, underscores) in [("reject_request", ""), ("DROP_HEADER", ""), ("", "DENY")] {
        let unknown = read(escaped, underscores).expect_err("unknown");
        assert!(unknown.to_string().contains(&unknown.value), "{unknown}");
    }
}

#[tokio::test]
async fn requests_are_refused_until_consul_has_answered_and_then_follow_the_entry() {
    let consul = ConsulDev::start().await.expect("a Consul");
    let consul = client(&consul, None);
    let (identity, _pusher) = identity().await;
    let followed = MeshEntry::watch(&consul, &identity);
    let policy = followed.normalization();
    // Nothing was awaited, so nothing can have been answered.
    let refused = policy.current().expect_err("unknown");
    assert_eq!(refused.code(), "normalization");
    assert_eq!(policy.status().origin, SettingsOrigin::Unknown);

    followed.ready().await;
    assert_eq!(
        policy.current().expect("known"),
        RequestNormalization::default()
    );
    assert_eq!(policy.status().origin, SettingsOrigin::NoMeshEntry);

    let merging = entry(|wire| {
        wire.merge_slashes = true;
        wire.headers_with_underscores_action = "DROP_HEADER".into();
    });
    write(&consul, merging).await;
    until(&policy, |status| status.origin == SettingsOrigin::MeshEntry).await;
    let rules = policy.current().expect("known");
    assert!(rules.merge_slashes && rules.underscore_headers == UnderscoreHeaders::Drop);
    assert_eq!(followed.tls().status().origin, SettingsOrigin::MeshEntry);

    let deleted = consul.config_entries().delete("mesh", "mesh").await;
    deleted.expect("deleted");
    until(&policy, |status| {
        status.origin == SettingsOrigin::NoMeshEntry
    })
    .await;
    assert_eq!(
        policy.current().expect("known"),
        RequestNormalization::default()
    );
}

#[tokio::test]
async fn an_action_nobody_knows_refuses_requests_and_leaves_handshakes_alone() {
    // A real Consul takes no action it does not know itself. A later one may know more than we do.
    let consul = ConsulDev::start().await.expect("a Consul");
    let (identity, _pusher) = identity().await;
    let consul_client = client(&consul, None);
    let mut unknown = entry(|wire| wire.path_with_escaped_slashes_action = "EAT".into());
    let mut incoming = MeshTlsDirection::default();
    incoming.tls_min_version = "TLSv1_3".into();
    let mut tls = MeshTls::default();
    tls.incoming = Some(incoming);
    unknown.tls = Some(tls);
    write(&consul_client, unknown).await;
    let followed = MeshEntry::watch(&consul_client, &identity);
    followed.ready().await;
    let status = followed.normalization().status();
    let why = status.refused.clone().expect("refused");
    assert!(
        why.contains("`EAT`") && why.contains("PathWithEscapedSlashesAction"),
        "{why}"
    );
    assert!(status.to_string().contains(&why), "{status}");
    followed.normalization().current().expect_err("refused");
    let tls = followed.tls().status();
    assert!(tls.is_usable());
    assert_eq!(tls.incoming.versions, [TlsVersion::V1_3]);
}

#[tokio::test]
async fn a_token_that_may_not_read_the_entry_gets_the_defaults_and_a_note() {
    let consul = ConsulDev::builder()
        .acl(true)
        .start()
        .await
        .expect("a Consul");
    let (identity, _pusher) = identity().await;
    let followed = MeshEntry::watch(&client(&consul, Some("nobody's")), &identity);
    followed.ready().await;
    let status = followed.normalization().status();
    assert_eq!(status.origin, SettingsOrigin::NotPermitted);
    assert_eq!(status.rules, Some(RequestNormalization::default()));
    assert!(status.last_error.is_some());
}

#[tokio::test]
async fn while_consul_is_away_what_it_said_last_stays() {
    let consul = ConsulDev::start().await.expect("a Consul");
    let consul_client = client(&consul, None);
    let (identity, _pusher) = identity().await;
    write(&consul_client, entry(|wire| wire.merge_slashes = true)).await;
    let policy = {
        let followed = MeshEntry::watch(&consul_client, &identity);
        followed.ready().await;
        followed.normalization()
    };
    drop(consul);
    until(&policy, |status| status.failing_for.is_some()).await;
    assert!(policy.current().expect("known").merge_slashes);
}
