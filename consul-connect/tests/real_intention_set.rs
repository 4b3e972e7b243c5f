//! Intentions followed on a real Consul, and the default policy as its agents decide it.

use std::time::Duration;

use consul_api::{Client, Config, Token};
use consul_connect::{
    Authorize, Intentions, IntentionsConfig, ServiceId, ServiceName, TrustDomain, Verdict,
    intention::{DefaultOrigin, DefaultPolicy},
};
use http::Request;
use mesh_lab::{Agent, DefaultPolicy as AclPolicy, Error, Version};
use serde_json::json;
use tokio::time::{Instant, timeout};

const LONG: Duration = Duration::from_secs(60);

fn name(name: &str) -> ServiceName {
    name.parse().expect("a service name")
}

fn domain() -> TrustDomain {
    "11111111.consul".parse().expect("a trust domain")
}

fn caller(service: &str) -> ServiceId {
    ServiceId::new(domain(), "dc1", name(service))
}

fn follow(agent: &Agent, token: Option<&str>, config: IntentionsConfig) -> Intentions {
    let token = token.map_or_else(Token::anonymous, Token::new);
    let config_ = Config::new(agent.http_addr().to_string())
        .expect("an address")
        .with_token(token);
    let client = Client::new(config_).expect("a client");
    Intentions::watch(&client, name("api"), domain(), config)
}

/// Waits until `done`, woken by each generation, and says how long that took.
async fn until(intentions: &Intentions, done: impl Fn(&Intentions) -> bool) -> Duration {
    let begun = Instant::now();
    let mut changes = intentions.changes();
    timeout(LONG, async {
        while !done(intentions) {
            changes.changed().await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("not within {LONG:?}: {}", intentions.status()));
    begun.elapsed()
}

fn allows(intentions: &Intentions, service: &str) -> bool {
    intentions.decide(&caller(service)).is_allow()
}

#[tokio::test]
async fn a_flipped_intention_is_in_force_at_once_and_every_generation_is_told() -> Result<(), Error>
{
    for version in Version::ALL {
        let Some(consul) = mesh_lab::consul(version) else {
            continue;
        };
        let agent = consul.acl(AclPolicy::Deny).start().await?;
        let token = agent.service_token("api").await?;
        let intentions = follow(&agent, Some(&token), IntentionsConfig::default());
        intentions.ready().await.expect("the token may read them");
        assert!(
            !allows(&intentions, "web"),
            "{}",
            intentions.explain(&caller("web"), None)
        );

        agent.set_intention("web", "api", "allow").await?;
        let allowed = until(&intentions, |set| allows(set, "web")).await;
        agent.set_intention("web", "api", "deny").await?;
        let denied = until(&intentions, |set| !allows(set, "web")).await;
        println!("{version}: allowed after {allowed:?}, denied after {denied:?}");
        let Verdict::Deny(reason) = intentions.decide(&caller("web")) else {
            panic!("denied")
        };
        assert_eq!(
            reason.to_string(),
            "the intention web => api (precedence 9) denies it"
        );

        agent.set_intention("*", "api", "allow").await?;
        until(&intentions, |set| allows(set, "other")).await;
        assert!(
            !allows(&intentions, "web"),
            "the exact one goes before the wildcard"
        );
        agent.remove_intention("web", "api").await?;
        until(&intentions, |set| allows(set, "web")).await;
    }
    Ok(())
}

#[tokio::test]
async fn rules_about_requests_are_decided_by_the_request_and_explained() -> Result<(), Error> {
    let Some(consul) = mesh_lab::consul(Version::Newest) else {
        return Ok(());
    };
    let agent = consul.start().await?;
    agent
        .write_config_entry(&json!({"Kind": "service-defaults", "Name": "api", "Protocol": "http"}))
        .await?;
    agent
        .write_config_entry(
            &json!({"Kind": "service-intentions", "Name": "api", "Sources": [
                {"Name": "web", "Permissions": [
                    {"Action": "deny", "HTTP": {"PathPrefix": "/admin", "Methods": ["put", "POST"]}},
                    {"Action": "allow", "HTTP": {"PathPrefix": "/"}},
                ]},
                {"Name": "broken", "Permissions": [{"Action": "allow", "HTTP": {"PathRegex": "("}}]},
                {"Name": "admin", "Action": "allow"},
            ]}),
        )
        .await?;
    let intentions = follow(&agent, None, IntentionsConfig::default());
    intentions.ready().await.expect("readable");
    until(&intentions, |set| {
        set.status().default.origin() == &DefaultOrigin::AgentAclPolicy
    })
    .await;
    assert!(allows(&intentions, "admin") && allows(&intentions, "unnamed"));
    assert!(matches!(
        intentions.decide(&caller("web")),
        Verdict::PerRequest
    ));
    let decide = |method: &str| {
        let head = Request::builder().method(method).uri("/admin/users");
        let (head, ()) = head.body(()).expect("a request").into_parts();
        let explained = intentions.explain(&caller("web"), Some(&head)).to_string();
        println!("{explained}");
        let decision = intentions.decide_request(&caller("web"), &head);
        (decision.is_allow(), explained)
    };
    let (allowed, explained) = decide("GET");
    assert!(allowed && explained.contains("permission 1) allows it"));
    let (allowed, explained) = decide("PUT");
    assert!(!allowed && explained.contains("permission 0) denies it"));
    // Consul stores an expression that is none.
    let status = intentions.status();
    println!("{status}");
    assert!(status.findings[0].denies && status.findings[0].text.contains("PathRegex"));
    assert!(!allows(&intentions, "broken"));
    Ok(())
}

#[tokio::test]
async fn the_default_policy_is_what_the_agent_decides_even_where_a_wildcard_matches_everybody()
-> Result<(), Error> {
    use DefaultOrigin::{AgentAclPolicy, AgentIntentionPolicy};
    use DefaultPolicy::{Allow, Deny};
    for version in Version::ALL {
        let set_ups = [
            (None, None, Allow, AgentAclPolicy),
            (Some(AclPolicy::Deny), None, Deny, AgentAclPolicy),
            (
                Some(AclPolicy::Deny),
                Some("deny"),
                Deny,
                AgentIntentionPolicy,
            ),
            (
                Some(AclPolicy::Deny),
                Some("allow"),
                Allow,
                AgentIntentionPolicy,
            ),
        ];
        for (acl, intention, policy, origin) in set_ups {
            let Some(mut consul) = mesh_lab::consul(version) else {
                continue;
            };
            if let Some(acl) = acl {
                consul = consul.acl(acl);
            }
            if let Some(intention) = intention {
                consul = consul.default_intention_policy(intention);
            }
            let agent = consul.start().await?;
            agent.set_intention("*", "api", "deny").await?;
            let token = match acl {
                Some(_) => Some(agent.service_token("api").await?),
                None => None,
            };
            let intentions = follow(&agent, token.as_deref(), IntentionsConfig::default());
            let took = until(&intentions, |set| set.status().default.origin() == &origin).await;
            println!(
                "{version}, ACL {acl:?}, intentions {intention:?}: {} after {took:?}",
                intentions.status().default
            );
            assert_eq!(intentions.status().default.policy(), policy);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_token_without_permission_is_refused_and_nobody_gets_in() -> Result<(), Error> {
    let Some(consul) = mesh_lab::consul(Version::Newest) else {
        return Ok(());
    };
    let agent = consul.acl(AclPolicy::Deny).start().await?;
    let token = agent
        .token_with_rules(r#"service "web" { policy = "write" }"#)
        .await?;
    let intentions = follow(
        &agent,
        Some(&token),
        IntentionsConfig::default().default_policy(DefaultPolicy::Allow),
    );
    let error = timeout(LONG, intentions.ready())
        .await
        .expect("at once")
        .expect_err("another service's token");
    println!("{error}");
    let Verdict::Deny(reason) = intentions.decide(&caller("web")) else {
        panic!("denied")
    };
    assert_eq!(reason.code(), "no_intentions");
    Ok(())
}

#[tokio::test]
async fn without_consul_the_last_set_stays_and_its_age_can_deny() -> Result<(), Error> {
    let Some(consul) = mesh_lab::consul(Version::Newest) else {
        return Ok(());
    };
    let agent = consul.start().await?;
    agent.set_intention("web", "api", "allow").await?;
    let patient = follow(&agent, None, IntentionsConfig::default());
    let strict = follow(
        &agent,
        None,
        IntentionsConfig::default().max_staleness(Duration::from_secs(10)),
    );
    for intentions in [&patient, &strict] {
        intentions.ready().await.expect("readable");
        assert!(allows(intentions, "web"));
    }
    agent.kill().await?;
    let took = until(&strict, |set| !allows(set, "web")).await;
    println!("too old after {took:?}: {}", strict.status());
    let Verdict::Deny(reason) = strict.decide(&caller("web")) else {
        panic!("denied")
    };
    assert_eq!(reason.code(), "intentions_stale");
    assert!(allows(&patient, "web"), "{}", patient.status());
    assert!(patient.status().failing_for.is_some());
    Ok(())
}

#[tokio::test]
async fn an_entry_about_a_name_in_another_case_is_about_the_service() -> Result<(), Error> {
    for version in Version::ALL {
        let Some(consul) = mesh_lab::consul(version) else {
            continue;
        };
        let agent = consul.default_intention_policy("allow").start().await?;
        agent
            .write_config_entry(
                &json!({"Kind": "service-intentions", "Name": "Api", "Sources": [{"Name": "web", "Action": "deny"}]}),
            )
            .await?;
        let intentions = follow(&agent, None, IntentionsConfig::default());
        intentions.ready().await.expect("readable");
        assert!(allows(&intentions, "other"));
        assert!(
            !allows(&intentions, "web"),
            "{version}: {}",
            intentions.explain(&caller("web"), None)
        );
        assert!(intentions.status().findings.is_empty());
    }
    Ok(())
}
