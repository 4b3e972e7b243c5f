//! Cluster peers followed on a development Consul that fails on command.

use std::time::Duration;

use consul_api::{Client, Config, Token};
use consul_connect::{
    Authorize, Caller, ClusterPeer, ClusterPeerFault, ClusterPeerStatus, ClusterPeers, Intentions,
    IntentionsConfig, Peer, Roots, ServiceName, TrustDomain, Verdict, intention::DefaultPolicy,
    test_util::TestCa,
};
use consul_dev::{ConsulDev, Fault, FaultRule, Policy};
use serde_json::json;
use tokio::time::{sleep, timeout};

const LONG: Duration = Duration::from_secs(60);
const EAST: &str = "22222222.consul";

fn client(dev: &ConsulDev, token: Option<&str>) -> Client {
    let config = Config::new(dev.http_addr()).expect("an address");
    let config = match token {
        Some(token) => config.with_token(Token::new(token)),
        None => config,
    };
    Client::new(config).expect("a client")
}

fn own() -> TrustDomain {
    "11111111.consul".parse().expect("a trust domain")
}

fn status(peers: &ClusterPeers, name: &str) -> ClusterPeerStatus {
    let all = peers.status(&own()).peers;
    let found = all.into_iter().find(|peer| peer.name == name);
    found.unwrap_or_else(|| panic!("{name} is not there"))
}

/// Asks until it is so: a change takes a poll to arrive.
async fn until(peers: &ClusterPeers, name: &str, so: impl Fn(&ClusterPeerStatus) -> bool) {
    let waiting = async {
        while !so(&status(peers, name)) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    let in_time = timeout(LONG, waiting).await;
    in_time.unwrap_or_else(|_| panic!("not within {LONG:?}: {}", status(peers, name)));
}

async fn watching(dev: &ConsulDev, token: Option<&str>, names: &[&str]) -> ClusterPeers {
    let peers = ClusterPeers::watch(&client(dev, token));
    peers.set_names(names.iter().map(|&name| name.to_owned()));
    timeout(LONG, peers.ready()).await.expect("an answer");
    peers
}

#[tokio::test]
async fn what_consul_says_of_a_peering_is_followed_until_it_is_deleted() {
    let dev = ConsulDev::start().await.expect("a Consul");
    let (ca, newer) = (TestCa::new(EAST), TestCa::new(EAST));
    dev.set_peering("east", "PENDING", [""; 0]);
    let peers = watching(&dev, None, &["east"]).await;
    let known = status(&peers, "east");
    assert!(!known.usable, "{known}");
    assert!(
        matches!(&known.fault, Some(ClusterPeerFault::NotActive { state }) if state == "PENDING"),
        "{known}"
    );

    dev.set_peering("east", "ACTIVE", [ca.root_pem()]);
    until(&peers, "east", |east| east.usable && east.fault.is_none()).await;
    assert_eq!(
        status(&peers, "east").trust_domain.expect("known").as_str(),
        EAST
    );
    dev.set_peering("east", "ACTIVE", [ca.root_pem(), newer.root_pem()]);
    until(&peers, "east", |east| east.roots == 2).await;
    dev.set_peering("east", "FAILING", [ca.root_pem()]);
    until(&peers, "east", |east| east.usable && east.roots == 1).await;
    dev.set_peering("east", "TERMINATED", [ca.root_pem()]);
    until(&peers, "east", |east| !east.usable).await;

    dev.set_peering("east", "ACTIVE", [ca.root_pem()]);
    until(&peers, "east", |east| east.usable).await;
    dev.delete_peering("east");
    until(&peers, "east", |east| {
        !east.usable && matches!(east.fault, Some(ClusterPeerFault::Unknown))
    })
    .await;
}

#[tokio::test]
async fn without_the_permission_the_status_names_it_and_a_right_token_mends_it() {
    let dev = ConsulDev::builder()
        .acl(true)
        .start()
        .await
        .expect("a Consul");
    let ca = TestCa::new(EAST);
    dev.set_peering("east", "ACTIVE", [ca.root_pem()]);
    let service = dev.create_token(Policy::service_identity("api")).secret_id;
    let consul = client(&dev, Some(&service));
    let peers = ClusterPeers::watch(&consul);
    peers.set_names(["east".to_owned()]);
    timeout(LONG, peers.ready()).await.expect("an answer");
    let refused = status(&peers, "east");
    assert!(
        !refused.usable && refused.to_string().contains("`peering:read`"),
        "{refused}"
    );
    let reader = dev.create_token(Policy::new().peering_read()).secret_id;
    consul.replace_token(Token::new(reader));
    until(&peers, "east", |east| east.usable && east.fault.is_none()).await;
}

#[tokio::test]
async fn no_error_of_consul_takes_away_what_is_known() {
    for fault in [
        Fault::no_leader(),
        Fault::Reset,
        Fault::Garbage,
        Fault::status(403, "Permission denied"),
        Fault::status(500, "rpc error: no such peer"),
        Fault::status(200, "[]"),
    ] {
        let dev = ConsulDev::start().await.expect("a Consul");
        let ca = TestCa::new(EAST);
        dev.set_peering("east", "ACTIVE", [ca.root_pem()]);
        let peers = watching(&dev, None, &["east"]).await;
        dev.fault(FaultRule::new("/v1/peering/*", fault.clone()));
        dev.set_peering("east", "ACTIVE", [ca.root_pem(), ca.root_pem()]);
        until(&peers, "east", |east| east.last_error.is_some()).await;
        assert!(status(&peers, "east").usable, "{fault:?}");
    }
}

#[tokio::test]
async fn roots_that_cannot_be_read_leave_those_of_the_same_peering_in_force_and_no_others() {
    let dev = ConsulDev::start().await.expect("a Consul");
    let ca = TestCa::new(EAST);
    dev.set_peering("east", "ACTIVE", [ca.root_pem()]);
    let peers = watching(&dev, None, &["east"]).await;
    dev.set_peering("east", "ACTIVE", ["no certificate"]);
    until(&peers, "east", |east| east.fault.is_some()).await;
    let known = status(&peers, "east");
    assert!(
        known.usable && matches!(known.fault, Some(ClusterPeerFault::Roots(_))),
        "{known}"
    );
    // Another peering under the same name.
    dev.delete_peering("east");
    dev.set_peering("east", "ACTIVE", ["no certificate"]);
    until(&peers, "east", |east| !east.usable).await;
}

#[tokio::test]
async fn of_two_with_one_trust_domain_neither_may_call_until_one_is_gone() {
    let dev = ConsulDev::start().await.expect("a Consul");
    let ca = TestCa::new(EAST);
    for name in ["east", "orient"] {
        dev.set_peering(name, "ACTIVE", [ca.root_pem()]);
    }
    let peers = watching(&dev, None, &["east", "orient"]).await;
    for (name, other) in [("east", "orient"), ("orient", "east")] {
        let twin = status(&peers, name);
        assert!(!twin.usable, "{twin}");
        assert!(
            matches!(&twin.fault, Some(ClusterPeerFault::SharedTrustDomain { with, .. }) if with == other),
            "{twin}"
        );
    }
    dev.delete_peering("orient");
    until(&peers, "east", |east| east.usable && east.fault.is_none()).await;
}

#[tokio::test]
async fn what_the_program_gives_goes_before_what_consul_says() {
    let dev = ConsulDev::start().await.expect("a Consul");
    let (given, other) = (TestCa::new(EAST), TestCa::new("33333333.consul"));
    dev.set_peering("east", "ACTIVE", [other.root_pem()]);
    let peers = watching(&dev, None, &["east"]).await;
    assert_eq!(
        status(&peers, "east").trust_domain.as_ref(),
        Some(other.trust_domain())
    );
    let roots = Roots::from_pem([given.root_pem()], None).expect("roots");
    peers.give(ClusterPeer::new("east", roots)).expect("alone");
    let known = status(&peers, "east");
    assert!(
        known.given && known.trust_domain.as_ref() == Some(given.trust_domain()),
        "{known}"
    );
    // Also after Consul has said something new.
    dev.set_peering("east", "ACTIVE", [other.root_pem(), other.root_pem()]);
    peers.set_names(["east".to_owned()]);
    assert!(status(&peers, "east").given);
}

/// A destination whose intentions name a cluster peer.
#[tokio::test]
async fn intentions_say_which_cluster_peers_are_known_and_decide_about_their_callers() {
    let dev = ConsulDev::start().await.expect("a Consul");
    let east = TestCa::new(EAST);
    dev.set_peering("east", "ACTIVE", [east.root_pem()]);
    let name = |name: &str| -> ServiceName { name.parse().expect("a service name") };
    let peers = ClusterPeers::watch(&client(&dev, None));
    let own: TrustDomain = dev.trust_domain().parse().expect("a trust domain");
    let config = IntentionsConfig::default()
        .default_policy(DefaultPolicy::Deny)
        .cluster_peers(peers.clone());
    let intentions = Intentions::watch(&client(&dev, None), name("api"), own.clone(), config);
    timeout(LONG, intentions.ready())
        .await
        .expect("in time")
        .expect("readable");
    assert!(peers.status(&own).peers.is_empty());
    let web = east.id("web");
    let Verdict::Deny(reason) = intentions.decide(&web) else {
        panic!("allowed");
    };
    assert_eq!(reason.code(), "foreign_trust_domain");

    let settled = async |allowed: bool| {
        let decided = async {
            while intentions.decide(&web).is_allow() != allowed {
                sleep(Duration::from_millis(10)).await;
            }
        };
        let in_time = timeout(LONG, decided).await;
        in_time.unwrap_or_else(|_| panic!("{}", intentions.explain(&web, None)));
    };
    let rule = |action: &str| json!({ "Name": "web", "Peer": "east", "Action": action });
    dev.upsert_intention("api", &rule("allow"))
        .expect("an intention");
    settled(true).await;
    // The service of ours that is called the same is another.
    let ours = consul_connect::ServiceId::new(own.clone(), "dc1", name("web"));
    assert!(!intentions.decide(&ours).is_allow());
    let text = intentions.explain(&web, None).to_string();
    assert!(text.contains("peer:east/web => api"), "{text}");

    let roots = Roots::from_pem([east.root_pem()], None).expect("roots");
    let caller = Peer::for_test_of(web.clone(), Some(ClusterPeer::new("east", roots.clone())));
    let verdict = intentions.connection(Caller::Peer(&caller));
    assert!(matches!(verdict, Verdict::Allow(_)), "{verdict:?}");
    // One that was verified when the cluster was known by another name.
    let stale = Peer::for_test_of(web.clone(), Some(ClusterPeer::new("orient", roots)));
    let Verdict::Deny(reason) = intentions.connection(Caller::Peer(&stale)) else {
        panic!("allowed");
    };
    assert_eq!(reason.code(), "foreign_trust_domain");

    dev.upsert_intention("api", &rule("deny"))
        .expect("an intention");
    settled(false).await;
    dev.upsert_intention("api", &rule("allow"))
        .expect("an intention");
    settled(true).await;
    dev.delete_peering("east");
    settled(false).await;
}
