//! A root anchors nobody after its own end.

use std::{sync::Arc, time::Duration};

use consul_connect::{
    Authorize, Closing, Connector, Destination, Identity, IdentityConfig, InvalidMaterial,
    InvalidPeer, Listener, Material, authorize,
    identity::source::{Pusher, channel},
    test_util::{TestCa, TestClock},
};

const DOMAIN: &str = "11111111-2222-3333-4444-555555555555.consul";
const HOUR: Duration = Duration::from_secs(3600);

async fn identity(material: Material, clock: &Arc<TestClock>) -> (Identity, Pusher) {
    let (pusher, source) = channel();
    pusher.push(Ok(material));
    let config = IdentityConfig::default().time_provider(Arc::clone(clock) as _);
    let identity = Identity::connect(source, config).await;
    (identity.expect("an identity"), pusher)
}

fn trusting(material: &Material, roots: &[&TestCa]) -> Material {
    let roots = roots.iter().map(|ca| ca.root_pem().to_owned()).collect();
    Material::new(material.chain_pem.clone(), material.key_pem.clone(), roots)
}

fn allow_all() -> Arc<dyn Authorize> {
    Arc::new(authorize::dangerously_allow_all())
}

#[tokio::test]
async fn a_leaf_under_an_expired_root_is_refused_and_the_root_is_named() {
    let ca = TestCa::expiring(DOMAIN, HOUR);
    let clock = Arc::new(TestClock::shifted(7200));
    let (pusher, source) = channel();
    pusher.push(Ok(ca.material("web")));
    drop(pusher);
    let config = IdentityConfig::default().time_provider(clock);
    let error = Identity::connect(source, config)
        .await
        .expect_err("the root has expired");
    let mut causes = std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source());
    let Some(InvalidMaterial::Leaf(refusal @ InvalidPeer::RootExpired { root, since })) =
        causes.find_map(|cause| cause.downcast_ref())
    else {
        panic!("{error:?}");
    };
    assert!(root.contains("test authority"), "{root}");
    assert!((3599..=3610).contains(&since.as_secs()), "{since:?}");
    assert_eq!(refusal.code(), "root_expired");
}

#[tokio::test]
async fn a_caller_under_an_expired_root_is_refused_while_another_root_is_good() {
    let (old, new) = (TestCa::expiring(DOMAIN, HOUR), TestCa::new(DOMAIN));
    let (slow, ours) = (
        Arc::new(TestClock::shifted(0)),
        Arc::new(TestClock::shifted(7200)),
    );
    let (web, _web) = identity(trusting(&old.material("web"), &[&old, &new]), &slow).await;
    let (api, _api) = identity(trusting(&new.material("api"), &[&old, &new]), &ours).await;
    let (sender, mut refused) = tokio::sync::mpsc::unbounded_channel();
    let mut listener = Listener::builder(api, allow_all())
        .on_refused(move |_from, refused| {
            let _ = sender.send(refused.code());
        })
        .bind("127.0.0.1:0")
        .await
        .expect("a listener");
    let to = Destination::new(listener.local_addr(), new.id("api"));
    let connector = Connector::new(web);
    let dialling = async {
        let _ = connector.connect(&to).await;
        refused.recv().await
    };
    tokio::select! {
        code = dialling => assert_eq!(code, Some("root_expired")),
        accepted = listener.accept() => panic!("{accepted:?}"),
    }
}

#[tokio::test]
async fn what_hangs_on_a_root_is_cut_when_it_expires_and_the_rest_stays() {
    let (old, new) = (TestCa::expiring(DOMAIN, HOUR), TestCa::new(DOMAIN));
    let clock = Arc::new(TestClock::shifted(0));
    let both = [&old, &new];
    let (api, _api) = identity(trusting(&new.material("api"), &both), &clock).await;
    let (web, _web) = identity(trusting(&old.material("web"), &both), &clock).await;
    let (job, _job) = identity(trusting(&new.material("job"), &both), &clock).await;
    let mut listener = Listener::builder(api, allow_all())
        .bind("127.0.0.1:0")
        .await
        .expect("a listener");
    let to = Destination::new(listener.local_addr(), new.id("api"));
    let mut guards = Vec::new();
    let mut streams = Vec::new();
    for caller in [web, job] {
        let connector = Connector::new(caller);
        let (out, accepted) = tokio::join!(connector.connect(&to), listener.accept());
        let accepted = accepted.expect("a connection");
        streams.push((out.expect("a connection").stream, accepted.stream));
        guards.push(accepted.guard);
    }
    clock.shift(3605);
    // The warden looks at its connections each minute at least.
    tokio::time::pause();
    let Closing::Cut { reason } = guards[0].closing().await else {
        panic!("drained");
    };
    assert!(reason.to_string().contains("test authority"), "{reason}");
    assert!(!guards[1].is_closing());
}
