//! Only material that a peer would accept is published; what is in use stays until its own expiry.

use std::{sync::Arc, time::Duration};

use consul_connect::{
    ConnectFailure, Connector, Destination, Identity, IdentityConfig, IdentityError, IdentityFault,
    InvalidMaterial, InvalidPeer, Listener, Material, Refused, SourceError, authorize,
    identity::source,
    test_util::{LeafSpec, TestCa, TestClock},
};
use mesh_tests::TD;

async fn connect(material: Material) -> Result<Identity, IdentityError> {
    Identity::connect(source::fixed(material), IdentityConfig::default()).await
}

/// The refusal of a fixed source's only material.
async fn refusal(material: Material) -> InvalidMaterial {
    match connect(material).await {
        // A leaf whose time has not come is waited for, up to the deadline.
        Err(
            IdentityError::Ended {
                last: Some(IdentityFault::Material(refusal)),
                ..
            }
            | IdentityError::TimedOut {
                last: Some(IdentityFault::Material(refusal)),
                ..
            },
        ) => refusal,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn each_defect_has_its_own_refusal() {
    let ca = TestCa::new(TD);
    let id = ca.id("web");
    let hour = Duration::from_secs(3600);
    let leaf = |spec: LeafSpec| refusal(ca.issue(&spec));

    let two = LeafSpec::new(&id).uris([id.to_string(), ca.id("admin").to_string()]);
    assert_eq!(
        leaf(two).await,
        InvalidMaterial::Leaf(InvalidPeer::UriNames { count: 2 })
    );
    let none = LeafSpec::new(&id).uris(Vec::<String>::new());
    assert_eq!(
        leaf(none).await,
        InvalidMaterial::Leaf(InvalidPeer::UriNames { count: 0 })
    );
    let expired = LeafSpec::new(&id).valid(-7200, hour);
    assert!(
        matches!(leaf(expired).await, InvalidMaterial::Leaf(InvalidPeer::Expired { since }) if since.as_secs().abs_diff(3600) < 60)
    );
    let early = LeafSpec::new(&id).valid(600, hour);
    let early = leaf(early).await;
    assert!(
        matches!(&early, InvalidMaterial::Leaf(InvalidPeer::NotYetValid { skew }) if skew.as_secs().abs_diff(600) < 60)
    );
    let signing = LeafSpec::new(&id).certificate_authority();
    assert_eq!(
        leaf(signing).await,
        InvalidMaterial::Leaf(InvalidPeer::CertificateAuthority)
    );
    let client_only = LeafSpec::new(&id).client_only();
    assert!(matches!(
        leaf(client_only).await,
        InvalidMaterial::Leaf(InvalidPeer::Chain(_))
    ));
    let gateway = LeafSpec::new(&id).uris([format!("spiffe://{TD}/gateway/mesh/dc/dc1")]);
    assert!(matches!(
        leaf(gateway).await,
        InvalidMaterial::Leaf(InvalidPeer::NotAService { .. })
    ));
    let odd = LeafSpec::new(&id).uris([format!("spiffe://{TD}/ns/default/dc/dc1/svc/%77eb")]);
    assert!(matches!(
        leaf(odd).await,
        InvalidMaterial::Leaf(InvalidPeer::InvalidId(_))
    ));
    let foreign = LeafSpec::new(&TestCa::new("other.consul").id("web"));
    assert!(matches!(
        leaf(foreign).await,
        InvalidMaterial::Leaf(InvalidPeer::ForeignTrustDomain { .. })
    ));
}

#[tokio::test]
async fn parts_that_do_not_belong_together_are_refused() {
    let (ca, other) = (TestCa::new(TD), TestCa::new(TD));
    let (a, b) = (ca.material("web"), ca.material("web"));
    let crossed = Material::new(a.chain_pem.clone(), b.key_pem.clone(), a.roots_pem.clone());
    assert_eq!(refusal(crossed).await, InvalidMaterial::KeyMismatch);
    let wrong_root = Material::new(
        a.chain_pem.clone(),
        a.key_pem.clone(),
        vec![other.root_pem().to_owned()],
    );
    assert!(matches!(
        refusal(wrong_root).await,
        InvalidMaterial::Leaf(InvalidPeer::UnknownIssuer { roots: 1, .. })
    ));
    let no_root = Material::new(a.chain_pem.clone(), a.key_pem.clone(), vec![]);
    assert!(matches!(refusal(no_root).await, InvalidMaterial::Roots(_)));
    let no_chain = Material::new("", a.key_pem.clone(), a.roots_pem.clone());
    assert!(matches!(refusal(no_chain).await, InvalidMaterial::Chain(_)));
    let no_key = Material::new(a.chain_pem.clone(), "garbage", a.roots_pem.clone());
    assert!(matches!(refusal(no_key).await, InvalidMaterial::Key(_)));
}

#[tokio::test]
async fn another_service_s_leaf_is_refused_by_a_process_that_says_who_it_is() {
    let config = IdentityConfig::default().service("web".parse().unwrap());
    let error = Identity::connect(source::fixed(TestCa::new(TD).material("api")), config)
        .await
        .unwrap_err();
    assert!(
        matches!(
            &error,
            IdentityError::Ended {
                last: Some(IdentityFault::Material(
                    InvalidMaterial::OtherService { .. }
                )),
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_p384_authority_and_key_are_fine() {
    let ca = TestCa::p384(TD);
    let identity = connect(ca.issue(&LeafSpec::new(&ca.id("web")).p384()))
        .await
        .unwrap();
    assert_eq!(identity.current().id(), &ca.id("web"));
}

fn under_wrong_roots(material: &Material) -> Material {
    let roots = vec![TestCa::new(TD).root_pem().to_owned()];
    Material::new(material.chain_pem.clone(), material.key_pem.clone(), roots)
}

#[tokio::test]
async fn a_new_trust_domain_is_followed_when_leaf_and_roots_agree_on_it() {
    let (pusher, source) = source::channel();
    pusher.push(Ok(TestCa::new(TD).material("web")));
    let identity = Identity::connect(source, IdentityConfig::default())
        .await
        .unwrap();
    let mut changes = identity.changes();
    pusher.push(Ok(TestCa::new("other.consul").material("web")));
    changes.changed().await.unwrap();
    assert_eq!(identity.status().trust_domain.as_str(), "other.consul");
}

#[tokio::test]
async fn bad_material_never_replaces_good_and_an_unchanged_one_is_not_news() {
    let ca = TestCa::new(TD);
    let good = ca.material("web");
    let (pusher, source) = source::channel();
    pusher.push(Ok(good.clone()));
    let identity = Identity::connect(source, IdentityConfig::default())
        .await
        .unwrap();
    let mut changes = identity.changes();
    let serial = identity.current().leaf().serial().to_owned();

    pusher.push(Ok(under_wrong_roots(&ca.material("web"))));
    pusher.push(Err(SourceError::new("asking nobody")));
    pusher.push(Ok(good));
    pusher.push(Ok(ca.issue(
        &LeafSpec::new(&ca.id("web")).valid(-7200, Duration::from_secs(60)),
    )));
    let newer = ca.material("web");
    pusher.push(Ok(newer));
    changes.changed().await.unwrap();
    assert_eq!(*changes.borrow_and_update(), 2);
    assert_ne!(identity.current().leaf().serial(), serial);
    assert!(identity.status().fault.is_none());
}

#[tokio::test]
async fn the_status_says_what_failed_while_the_old_material_serves() {
    let ca = TestCa::new(TD);
    let (pusher, source) = source::channel();
    pusher.push(Ok(ca.material("web")));
    let identity = Identity::connect(source, IdentityConfig::default())
        .await
        .unwrap();
    pusher.push(Ok(under_wrong_roots(&ca.material("web"))));
    drop(pusher);
    let status = loop {
        let status = identity.status();
        if status.ended {
            break status;
        }
        tokio::task::yield_now().await;
    };
    assert!(status.is_usable());
    assert!(
        matches!(status.fault, Some(IdentityFault::Material(_))),
        "{status}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_start_without_material_ends_at_its_deadline_with_the_last_fault() {
    let (pusher, source) = source::channel();
    pusher.push(Err(SourceError::new("signing a leaf at 127.0.0.1:8502")));
    let config = IdentityConfig::default().ready_within(Duration::from_secs(30));
    let error = Identity::connect(source, config).await.unwrap_err();
    assert!(matches!(
        error,
        IdentityError::TimedOut {
            last: Some(IdentityFault::Source(_)),
            ..
        }
    ));

    let (pusher, source) = source::channel();
    pusher.push(Err(
        SourceError::new("signing a leaf: permission denied").permanent()
    ));
    let error = Identity::connect(source, IdentityConfig::default())
        .await
        .unwrap_err();
    assert!(matches!(error, IdentityError::Refused { .. }), "it waited");
}

#[tokio::test]
async fn an_expired_leaf_refuses_new_connections_on_both_sides_and_says_since_when() {
    let ca = TestCa::new(TD);
    let clock = Arc::new(TestClock::shifted(0));
    let (pusher, source) = source::channel();
    pusher.push(Ok(ca.issue(
        &LeafSpec::new(&ca.id("web")).valid(-60, Duration::from_secs(120)),
    )));
    let config = IdentityConfig::default().time_provider(clock.clone());
    let short = Identity::connect(source, config).await.unwrap();
    let (api, _api) = ca.identity("api").await.unwrap();
    let mut refused = tokio::sync::mpsc::unbounded_channel();
    let mut listener =
        Listener::builder(short.clone(), Arc::new(authorize::dangerously_allow_all()))
            .on_refused(move |_, why| drop(refused.0.send(why.clone())))
            .bind("127.0.0.1:0")
            .await
            .unwrap();

    clock.shift(300);
    assert!(!short.status().is_usable());
    let destination = Destination::new(listener.local_addr(), ca.id("web"));
    let error = Connector::new(short.clone())
        .connect(&destination)
        .await
        .unwrap_err();
    let ConnectFailure::OwnLeafExpired { since } = error.failure() else {
        panic!("{error}")
    };
    assert!(since.as_secs().abs_diff(240) < 30);
    let caller = Connector::new(api);
    tokio::select! {
        result = caller.connect(&destination) => assert!(result.is_err()),
        _ = listener.accept() => panic!("accepted with an expired leaf"),
    }
    assert!(matches!(
        refused.1.recv().await,
        Some(Refused::OwnLeafExpired { .. })
    ));

    // The same clock, a newer leaf: back by itself.
    let mut changes = short.changes();
    pusher.push(Ok(ca.material("web")));
    changes.changed().await.unwrap();
    let (client, accepted) = tokio::join!(caller.connect(&destination), listener.accept());
    assert!(client.is_ok() && accepted.is_some());
}
