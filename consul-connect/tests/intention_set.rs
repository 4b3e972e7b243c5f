//! Intentions followed on a development Consul that fails on command.

use std::time::Duration;

use consul_api::{Client, Config};
use consul_connect::{
    Authorize, Caller, Identity, IdentityConfig, Intentions, IntentionsConfig, Peer, ServiceId,
    ServiceName, Verdict,
    identity::source::GrpcSource,
    intention::{DefaultOrigin, DefaultPolicy},
};
use consul_dev::{ConsulDev, Fault, FaultRule, Policy};
use serde_json::json;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(30);
const MATCH: &str = "/v1/connect/intentions/match";
const AUTHORIZE: &str = "/v1/agent/connect/authorize";

fn name(name: &str) -> ServiceName {
    name.parse().expect("a service name")
}

fn client(dev: &ConsulDev) -> Client {
    Client::new(Config::new(dev.http_addr()).expect("an address")).expect("a client")
}

fn caller(dev: &ConsulDev, service: &str) -> ServiceId {
    ServiceId::new(
        dev.trust_domain().parse().expect("a trust domain"),
        "dc1",
        name(service),
    )
}

fn follow(dev: &ConsulDev, config: IntentionsConfig) -> Intentions {
    let own: consul_connect::TrustDomain = dev.trust_domain().parse().expect("a trust domain");
    Intentions::watch(&client(dev), name("api"), own, config)
}

async fn until(intentions: &Intentions, done: impl Fn(&Intentions) -> bool) {
    let mut changes = intentions.changes();
    timeout(LONG, async {
        while !done(intentions) {
            changes.changed().await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("not within {LONG:?}: {}", intentions.status()));
}

fn denied_by(intentions: &Intentions, caller: &ServiceId) -> &'static str {
    match intentions.decide(caller) {
        Verdict::Deny(reason) => reason.code(),
        other => panic!("expected a denial, got {other:?}"),
    }
}

#[tokio::test]
async fn before_the_first_answer_everybody_is_denied_whatever_the_default() {
    let dev = ConsulDev::start().await.expect("a Consul");
    dev.set_intention("web", "api", true).expect("an intention");
    dev.fault(FaultRule::new(MATCH, Fault::no_leader()));
    let intentions = follow(
        &dev,
        IntentionsConfig::default().default_policy(DefaultPolicy::Allow),
    );
    assert_eq!(
        denied_by(&intentions, &caller(&dev, "web")),
        "no_intentions"
    );
    timeout(LONG, async {
        while intentions.status().last_error.is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("the error is told");
    assert_eq!(
        denied_by(&intentions, &caller(&dev, "web")),
        "no_intentions"
    );
    dev.clear_faults();
    timeout(LONG, intentions.ready())
        .await
        .expect("in time")
        .expect("readable");
    assert!(intentions.decide(&caller(&dev, "web")).is_allow());
    assert!(
        intentions.decide(&caller(&dev, "unnamed")).is_allow(),
        "the default"
    );
}

#[tokio::test]
async fn no_error_of_consul_empties_the_set() {
    for fault in [
        Fault::no_leader(),
        Fault::Reset,
        Fault::Garbage,
        Fault::Truncate,
        Fault::status(403, "Permission denied"),
        Fault::status(404, "not here"),
        Fault::status(200, "{}"),
        Fault::status(200, r#"{"other": null}"#),
    ] {
        let dev = ConsulDev::start().await.expect("a Consul");
        dev.set_intention("bad", "api", false)
            .expect("an intention");
        let intentions = follow(
            &dev,
            IntentionsConfig::default().default_policy(DefaultPolicy::Allow),
        );
        intentions.ready().await.expect("readable");
        assert_eq!(denied_by(&intentions, &caller(&dev, "bad")), "intention");
        let generation = intentions.status().generation;
        dev.fault(FaultRule::new(MATCH, fault.clone()));
        timeout(LONG, async {
            // An error is no generation; it is looked at until it is there.
            while intentions.status().last_error.is_none() {
                dev.interrupt();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("{fault:?} is no error"));
        assert_eq!(
            denied_by(&intentions, &caller(&dev, "bad")),
            "intention",
            "{fault:?}"
        );
        assert_eq!(intentions.status().generation, generation, "{fault:?}");
        dev.clear_faults();
        dev.set_intention("bad", "api", true).expect("an intention");
        until(&intentions, |set| {
            set.decide(&caller(&dev, "bad")).is_allow()
        })
        .await;
    }
}

#[tokio::test]
async fn the_default_is_what_the_agent_decides_about_a_source_nobody_names() {
    let dev = ConsulDev::builder()
        .default_intention_allow(false)
        .start()
        .await
        .expect("a Consul");
    let intentions = follow(&dev, IntentionsConfig::default());
    intentions.ready().await.expect("readable");
    until(&intentions, |set| {
        set.status().default.origin() == &DefaultOrigin::AgentIntentionPolicy
    })
    .await;
    assert_eq!(denied_by(&intentions, &caller(&dev, "web")), "default");
    let explained = intentions.explain_service(&name("web"), None).to_string();
    assert!(
        explained.contains("default intention policy"),
        "{explained}"
    );
}

#[tokio::test]
async fn a_default_nobody_says_is_deny_and_says_what_was_tried() {
    let dev = ConsulDev::start().await.expect("a Consul");
    dev.fault(FaultRule::new(
        AUTHORIZE,
        Fault::status(403, "Permission denied"),
    ));
    dev.fault(FaultRule::new(
        "/v1/agent/self",
        Fault::status(403, "Permission denied"),
    ));
    let intentions = follow(&dev, IntentionsConfig::default());
    intentions.ready().await.expect("readable");
    until(&intentions, |set| {
        set.status().default.to_string().contains("403")
    })
    .await;
    assert_eq!(intentions.status().default.policy(), DefaultPolicy::Deny);
    assert_eq!(denied_by(&intentions, &caller(&dev, "web")), "default");
    dev.clear_faults();
    until(&intentions, |set| {
        set.decide(&caller(&dev, "web")).is_allow()
    })
    .await;
}

#[tokio::test]
async fn is_ready_when_the_default_is_known_too() {
    let dev = ConsulDev::start().await.expect("a Consul");
    dev.fault(FaultRule::new(
        AUTHORIZE,
        Fault::Delay(Duration::from_millis(300)),
    ));
    let intentions = follow(&dev, IntentionsConfig::default());
    intentions.ready().await.expect("readable");
    assert!(intentions.decide(&caller(&dev, "web")).is_allow());
    assert_eq!(
        intentions.status().default.origin(),
        &DefaultOrigin::AgentAclPolicy
    );
}

#[tokio::test]
async fn is_ready_with_the_default_when_the_agent_comes_back_after_the_first_question() {
    let dev = ConsulDev::start().await.expect("a Consul");
    for path in [MATCH, AUTHORIZE, "/v1/agent/self"] {
        dev.fault(FaultRule::new(path, Fault::no_leader()));
    }
    let intentions = follow(&dev, IntentionsConfig::default());
    until(&intentions, |set| {
        set.status().default.to_string().contains("500")
    })
    .await;
    dev.clear_faults();
    dev.fault(FaultRule::new(
        AUTHORIZE,
        Fault::Delay(Duration::from_millis(300)),
    ));
    intentions.ready().await.expect("readable");
    assert!(intentions.decide(&caller(&dev, "web")).is_allow());
}

#[tokio::test]
async fn is_ready_though_the_agent_never_says_the_default() {
    let dev = ConsulDev::start().await.expect("a Consul");
    dev.set_intention("web", "api", true).expect("an intention");
    dev.fault(FaultRule::new(AUTHORIZE, Fault::Hang));
    let intentions = follow(&dev, IntentionsConfig::default());
    timeout(LONG, intentions.ready())
        .await
        .expect("it does not wait for ever")
        .expect("readable");
    assert!(intentions.decide(&caller(&dev, "web")).is_allow());
    assert_eq!(denied_by(&intentions, &caller(&dev, "other")), "default");
    timeout(Duration::ZERO, intentions.ready())
        .await
        .expect("it has waited once")
        .expect("readable");
}

#[tokio::test]
async fn a_default_that_is_given_asks_no_agent() {
    let dev = ConsulDev::start().await.expect("a Consul");
    let intentions = follow(
        &dev,
        IntentionsConfig::default().default_policy(DefaultPolicy::Deny),
    );
    intentions.ready().await.expect("readable");
    assert_eq!(denied_by(&intentions, &caller(&dev, "web")), "default");
    assert_eq!(dev.request_count("/v1/agent/*"), 0);
}

#[tokio::test]
async fn a_foreign_trust_domain_is_denied_with_both_names_and_ours_is_followed() {
    let dev = ConsulDev::start().await.expect("a Consul");
    dev.set_intention("*", "api", true).expect("an intention");
    let client = client(&dev);
    let source = GrpcSource::new(
        client.grpc_at(dev.grpc_addr()).expect("gRPC"),
        name("api"),
        "dc1",
    )
    .rotation_spread(Duration::from_millis(10));
    let identity = Identity::connect(source, IdentityConfig::default())
        .await
        .expect("an identity");
    let intentions =
        Intentions::watch(&client, name("api"), &identity, IntentionsConfig::default());
    intentions.ready().await.expect("readable");
    let old = caller(&dev, "web");
    assert!(intentions.decide(&old).is_allow());

    dev.new_trust_domain().expect("a new authority");
    let new = caller(&dev, "web");
    let Verdict::Deny(reason) = intentions.decide(&new) else {
        panic!("not ours yet")
    };
    let text = reason.to_string();
    assert!(
        text.contains(old.trust_domain().as_str()) && text.contains(new.trust_domain().as_str()),
        "{text}"
    );
    let mut changes = identity.changes();
    timeout(LONG, async {
        while !intentions.decide(&new).is_allow() {
            changes.changed().await.expect("the identity lives");
        }
    })
    .await
    .expect("the new one is joined");
    assert_eq!(denied_by(&intentions, &old), "foreign_trust_domain");
}

#[tokio::test]
async fn what_cannot_be_carried_out_is_in_the_status_and_denies() {
    let dev = ConsulDev::start().await.expect("a Consul");
    dev.set_protocol("api", "http").expect("a protocol");
    dev.upsert_intention(
        "api",
        &json!({"Name": "web", "Permissions": [{"Action": "allow", "HTTP": {"PathRegex": "("}}]}),
    )
    .expect("an intention");
    let intentions = follow(&dev, IntentionsConfig::default());
    intentions.ready().await.expect("readable");
    assert_eq!(
        denied_by(&intentions, &caller(&dev, "web")),
        "intention_unknown"
    );
    let status = intentions.status();
    assert!(
        status.findings.iter().any(|finding| finding.denies),
        "{status}"
    );
    assert!(
        status
            .to_string()
            .contains("DENIES: web => api (precedence 9)"),
        "{status}"
    );
}

#[tokio::test]
async fn a_token_that_is_given_the_right_later_lets_callers_in() {
    let dev = ConsulDev::builder()
        .acl(true)
        .start()
        .await
        .expect("a Consul");
    dev.set_intention("web", "api", true).expect("an intention");
    let intentions = follow(&dev, IntentionsConfig::default());
    timeout(LONG, intentions.ready())
        .await
        .expect("at once")
        .expect_err("the anonymous token may not");
    dev.set_anonymous_policy(Policy::management());
    until(&intentions, |set| {
        set.decide(&caller(&dev, "web")).is_allow()
    })
    .await;
    intentions.ready().await.expect("readable by now");
    intentions.shutdown().await;
    assert!(
        intentions.decide(&caller(&dev, "web")).is_allow(),
        "what was received stays in force"
    );
}

#[tokio::test]
async fn connections_and_requests_are_decided_alike_and_nobody_unverified_gets_in() {
    let dev = ConsulDev::start().await.expect("a Consul");
    dev.set_intention("web", "api", true).expect("an intention");
    let config = IntentionsConfig::default().default_policy(DefaultPolicy::Deny);
    let intentions = follow(&dev, config);
    intentions.ready().await.expect("readable");
    let (head, ()) = http::Request::new(()).into_parts();
    for (service, allowed) in [("web", true), ("other", false)] {
        let peer = Peer::for_test(caller(&dev, service));
        let verdict = intentions.connection(Caller::Peer(&peer));
        assert_eq!(matches!(verdict, Verdict::Allow(_)), allowed, "{verdict:?}");
        let decision = intentions.request(Caller::Peer(&peer), &head);
        assert_eq!(decision.is_allow(), allowed, "{decision:?}");
    }
    let allow = IntentionsConfig::default().default_policy(DefaultPolicy::Allow);
    let open = follow(&dev, allow);
    open.ready().await.expect("readable");
    let verdict = open.connection(Caller::Unauthenticated);
    assert!(matches!(verdict, Verdict::Deny(_)), "{verdict:?}");
    assert!(!open.request(Caller::Unauthenticated, &head).is_allow());
}

#[tokio::test]
async fn where_the_default_allows_the_lower_denial_is_explained_as_what_decides() {
    let dev = ConsulDev::start().await.expect("a Consul");
    dev.set_intention("*", "api", true).expect("an intention");
    dev.set_intention("web", "*", false).expect("an intention");
    let config = IntentionsConfig::default().default_policy(DefaultPolicy::Allow);
    let intentions = follow(&dev, config);
    intentions.ready().await.expect("readable");
    let explained = intentions.explain(&caller(&dev, "web"), None);
    assert!(!explained.verdict.is_allow(), "{explained}");
    let applied: Vec<_> = explained.matches.iter().map(|one| one.applied).collect();
    assert_eq!(applied, [false, true], "{explained}");
    let text = explained.to_string();
    assert!(text.contains("decides: web => * (precedence 6)"), "{text}");
    assert!(
        text.contains("does not stand against it: * => api"),
        "{text}"
    );
}
