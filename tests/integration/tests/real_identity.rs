//! Identity from a real Consul: both sources, every rotation, and what is refused.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use consul_connect::{
    ConnectFailure, Connector, Destination, Identity, IdentityConfig, InvalidPeer, Listener,
    Refused, ServiceId, ServiceName, authorize,
    identity::source::{AgentSource, GrpcSource},
    test_util::{LeafSpec, TestCa},
};
use mesh_lab::{Agent, Consul, OwnCa, Version};
use mesh_tests::{
    raw_client, raw_server,
    real::{client, eventually},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::watch,
};

fn name(service: &str) -> ServiceName {
    service.parse().unwrap()
}

async fn over_grpc(agent: &Agent, service: &str) -> Identity {
    let grpc = client(agent, None).grpc().unwrap();
    let source =
        GrpcSource::new(grpc, name(service), "dc1").rotation_spread(Duration::from_secs(3));
    Identity::connect(source, IdentityConfig::default().service(name(service)))
        .await
        .unwrap()
}

async fn from_agent(agent: &Agent, service: &str) -> Identity {
    let source = AgentSource::new(client(agent, None), name(service));
    Identity::connect(source, IdentityConfig::default().service(name(service)))
        .await
        .unwrap()
}

fn id(identity: &Identity, service: &str) -> ServiceId {
    ServiceId::new(
        identity.current().trust_domain().clone(),
        "dc1",
        name(service),
    )
}

/// An echo server as `identity`. Serves until the handle is aborted.
async fn echo(identity: Identity) -> (std::net::SocketAddr, tokio::task::JoinHandle<()>) {
    let mut listener = Listener::builder(identity, Arc::new(authorize::dangerously_allow_all()))
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let address = listener.local_addr();
    let serve = tokio::spawn(async move {
        while let Some(mut accepted) = listener.accept().await {
            tokio::spawn(async move {
                let mut byte = [0];
                while accepted.stream.read_exact(&mut byte).await.is_ok() {
                    let _ = accepted.stream.write_all(&byte).await;
                    let _ = accepted.stream.flush().await;
                }
            });
        }
    });
    (address, serve)
}

async fn one_byte(stream: &mut consul_connect::MeshStream) -> std::io::Result<()> {
    stream.write_all(b"x").await?;
    stream.flush().await?;
    stream.read_exact(&mut [0]).await.map(drop)
}

/// Calls over one long connection and over a new one each time, until told to stop. Returns how many, and the failures.
async fn traffic(
    connector: Connector,
    destination: Destination,
    mut stop: watch::Receiver<bool>,
) -> (usize, Vec<String>) {
    let mut failures = Vec::new();
    let calls = AtomicUsize::new(0);
    let mut long = connector.connect(&destination).await.unwrap();
    while !*stop.borrow_and_update() {
        if let Err(e) = one_byte(&mut long.stream).await {
            failures.push(format!("on the open connection: {e}"));
            break;
        }
        match connector.connect(&destination).await {
            Err(e) => failures.push(e.to_string()),
            Ok(mut new) => {
                if let Err(e) = one_byte(&mut new.stream).await {
                    failures.push(format!("on a new connection: {e}"));
                }
            }
        }
        calls.fetch_add(2, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (calls.into_inner(), failures)
}

async fn every_rotation_is_taken_over(consul: Consul) {
    let version = consul.found().version.clone();
    let agent = consul.start().await.unwrap();
    let api = over_grpc(&agent, "api").await;
    let web = from_agent(&agent, "web").await;
    let (address, _serve) = echo(api.clone()).await;
    let (stop, stopped) = watch::channel(false);
    let destination = Destination::new(address, id(&web, "api"));
    let load = tokio::spawn(traffic(Connector::new(web.clone()), destination, stopped));

    for (kind, force) in [
        (
            json!({ "PrivateKeyType": "ec", "PrivateKeyBits": 384 }),
            false,
        ),
        (
            json!({ "PrivateKeyType": "rsa", "PrivateKeyBits": 2048 }),
            false,
        ),
        (
            json!({ "PrivateKeyType": "ec", "PrivateKeyBits": 256 }),
            true,
        ),
    ] {
        let before = (api.status().leaf_serial, web.status().leaf_serial);
        let roots = api.status().roots;
        match force {
            false => agent.configure_ca(&kind).await.unwrap(),
            true => agent
                .configure_ca_without_cross_signing(&kind)
                .await
                .unwrap(),
        }
        let (_, roots_after) = eventually("the new root is trusted", async || {
            (api.status().roots > roots && web.status().roots > roots).then_some(())
        })
        .await;
        let (_, leafs_after) = eventually("both hold leafs under the new root", async || {
            (api.status().leaf_serial != before.0 && web.status().leaf_serial != before.1)
                .then_some(())
        })
        .await;
        println!(
            "{} to {kind}{}: trusted after {roots_after:?}, new leafs after {leafs_after:?} more; {} -> {}, {} -> {}",
            version,
            if force { " without cross-signing" } else { "" },
            before.0,
            api.status().leaf_serial,
            before.1,
            web.status().leaf_serial,
        );
    }
    stop.send(true).unwrap();
    let (calls, failures) = load.await.unwrap();
    println!("{version}: {calls} calls, {} failed", failures.len());
    assert!(failures.is_empty(), "{failures:?}");
    assert!(calls > 200);
}

#[tokio::test]
async fn every_rotation_is_taken_over_by_both_sources_without_a_failed_call() {
    let Some(consul) = mesh_lab::consul(Version::Newest) else {
        return;
    };
    every_rotation_is_taken_over(consul).await;
}

#[tokio::test]
async fn every_rotation_of_the_oldest_consul_is_taken_over_by_both_sources_without_a_failed_call() {
    let Some(consul) = mesh_lab::consul(Version::Oldest) else {
        return;
    };
    every_rotation_is_taken_over(consul).await;
}

const CLUSTER: &str = "0a0b0c0d-1111-2222-3333-444455556666";

/// A real Consul that signs with an authority the test holds too, so that the test can mint what Consul would not.
async fn with_own_authority() -> Option<(Agent, TestCa)> {
    let ca = TestCa::new(&format!("{CLUSTER}.consul"));
    let consul = mesh_lab::consul(Version::Newest)?;
    let own = OwnCa::new(ca.key_pem(), ca.root_pem());
    Some((
        consul.ca(&own).cluster_id(CLUSTER).start().await.unwrap(),
        ca,
    ))
}

/// Whether a refusal is the right one.
type Expected = fn(&InvalidPeer) -> bool;

/// What may not pass, in either direction: the material, and what must be said of it.
fn impostors(ca: &TestCa, service: &str) -> Vec<(LeafSpec, Expected)> {
    let id = ca.id(service);
    let hour = Duration::from_secs(3600);
    vec![
        (
            LeafSpec::new(&id).uris([id.to_string(), ca.id("admin").to_string()]),
            |p| matches!(p, InvalidPeer::UriNames { count: 2 }),
        ),
        (LeafSpec::new(&id).valid(-7200, hour), |p| {
            matches!(p, InvalidPeer::Expired { .. })
        }),
        (
            LeafSpec::new(&id).valid(600, hour),
            |p| matches!(p, InvalidPeer::NotYetValid { skew } if skew.as_secs() > 500),
        ),
        (
            LeafSpec::new(&TestCa::new("other.consul").id(service)),
            |p| matches!(p, InvalidPeer::ForeignTrustDomain { theirs, .. } if theirs.as_str() == "other.consul"),
        ),
        (LeafSpec::new(&id).certificate_authority(), |p| {
            matches!(p, InvalidPeer::CertificateAuthority)
        }),
        (
            LeafSpec::new(&id).uris([format!("spiffe://{CLUSTER}.consul/gateway/mesh/dc/dc1")]),
            |p| matches!(p, InvalidPeer::NotAService { .. }),
        ),
    ]
}

#[tokio::test]
async fn a_caller_that_is_not_a_member_is_refused_each_with_its_own_error() {
    let Some((agent, ca)) = with_own_authority().await else {
        return;
    };
    let (sender, mut refused) = tokio::sync::mpsc::unbounded_channel();
    let mut listener = Listener::builder(
        over_grpc(&agent, "api").await,
        Arc::new(authorize::dangerously_allow_all()),
    )
    .on_refused(move |_, why| drop(sender.send(why.clone())))
    .bind("127.0.0.1:0")
    .await
    .unwrap();
    let address = listener.local_addr();
    let mut next = async |material| {
        raw_client(address, material, &mut listener).await;
        match refused.recv().await.unwrap() {
            Refused::Peer(refusal) => refusal,
            other => panic!("{other}"),
        }
    };
    assert_eq!(next(None).await, InvalidPeer::NoCertificate);
    // A foreign authority that claims our trust domain.
    let foreign = TestCa::new(&format!("{CLUSTER}.consul"));
    assert!(matches!(
        next(Some(foreign.material("web"))).await,
        InvalidPeer::UnknownIssuer { .. }
    ));
    for (spec, expected) in impostors(&ca, "web") {
        let refusal = next(Some(ca.issue(&spec))).await;
        println!("a caller is refused: {refusal}");
        assert!(expected(&refusal), "{refusal:?}");
    }
    // And what Consul itself issues passes.
    let connector = Connector::new(from_agent(&agent, "web").await);
    let destination = Destination::new(address, ca.id("api"));
    let (called, accepted) = tokio::join!(connector.connect(&destination), listener.accept());
    let accepted = accepted.unwrap();
    assert_eq!(accepted.peer().unwrap().id(), &ca.id("web"));
    called.unwrap();
}

#[tokio::test]
async fn a_server_that_is_not_the_service_is_refused_each_with_its_own_error() {
    let Some((agent, ca)) = with_own_authority().await else {
        return;
    };
    let connector = Connector::new(over_grpc(&agent, "web").await);
    let call = async |address| match connector
        .connect(&Destination::new(address, ca.id("api")))
        .await
        .map(drop)
    {
        Err(e) => match e.failure() {
            ConnectFailure::Peer(refusal) => refusal.clone(),
            other => panic!("{other}"),
        },
        Ok(()) => panic!("connected"),
    };
    let foreign = TestCa::new(&format!("{CLUSTER}.consul"));
    let refusal = call(raw_server(&foreign.material("api")).await).await;
    assert!(
        matches!(refusal, InvalidPeer::UnknownIssuer { .. }),
        "{refusal:?}"
    );
    for (spec, expected) in impostors(&ca, "api") {
        let refusal = call(raw_server(&ca.issue(&spec)).await).await;
        println!("a server is refused: {refusal}");
        assert!(expected(&refusal), "{refusal:?}");
    }
    // A member in good standing, but another one: with a leaf Consul itself gave to `billing`.
    let (billing, _serve) = echo(from_agent(&agent, "billing").await).await;
    let refusal = call(billing).await;
    assert!(
        matches!(&refusal, InvalidPeer::WrongIdentity { found, .. } if found.service().as_str() == "billing"),
        "{refusal:?}"
    );
    let (api, _serve) = echo(from_agent(&agent, "api").await).await;
    connector
        .connect(&Destination::new(api, ca.id("api")))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_new_trust_domain_is_refused_with_both_named_and_recovers_once_identities_are_renewed() {
    let Some(consul) = mesh_lab::consul(Version::Newest) else {
        return;
    };
    let agent = consul.start().await.unwrap();
    let web = from_agent(&agent, "web").await;
    let api = over_grpc(&agent, "api").await;
    let (address, _serve) = echo(api.clone()).await;
    let old = web.current().trust_domain().clone();
    let connector = Connector::new(web.clone());
    connector
        .connect(&Destination::new(address, id(&web, "api")))
        .await
        .unwrap();

    // A development server keeps nothing: after a restart it is another mesh on the same ports.
    agent.kill().await.unwrap();
    // One member cannot follow yet, and stays what it was.
    web.shutdown().await;
    agent.restart().await.unwrap();
    let (new, after) = eventually("the API has the new trust domain", async || {
        let now = api.current().trust_domain().clone();
        (now != old).then_some(now)
    })
    .await;
    let error = connector
        .connect(&Destination::new(address, id(&web, "api")))
        .await
        .unwrap_err();
    println!("new trust domain after {after:?}; {error}");
    assert!(
        error.to_string().contains(old.as_str()) && error.to_string().contains(new.as_str()),
        "{error}"
    );

    let renewed = from_agent(&agent, "web").await;
    let connector = Connector::new(renewed.clone());
    let mut connection = connector
        .connect(&Destination::new(address, id(&renewed, "api")))
        .await
        .unwrap();
    one_byte(&mut connection.stream).await.unwrap();
}
