use consul_api::intention as wire;
use consul_connect::{
    Decision, ServiceId, ServiceName, Verdict,
    intention::{Compiled, DefaultPolicy},
    jwt::Tokens,
};

use super::request::head;

/// The head of a request, an empty line, and the intentions as Consul lists them.
///
/// # Panics
/// When what is said about a connection does not hold for the request, when a denial lets somebody in, or when one that cannot be
/// read does not deny.
pub fn intentions(data: &[u8]) {
    let (head, json) = head(data);
    let Ok(mut wire) = serde_json::from_slice::<Vec<wire::Intention>>(json) else {
        return;
    };
    let service = ServiceName::try_from("api").expect("a name");
    let set = Compiled::new(&service, &wire);
    for finding in set.findings() {
        assert!(!finding.text.is_empty() && !finding.rule.to_string().is_empty());
    }
    wire.push(denial());
    let denied = Compiled::new(&service, &wire);
    let tokens = Tokens::default();
    for default in [DefaultPolicy::Deny, DefaultPolicy::Allow] {
        let passes =
            |set: &Compiled, name| match set.request(&caller(name), &head, &tokens, default) {
                Some(Decision::Allow(_)) => true,
                Some(Decision::Deny(reason)) => {
                    assert!(!reason.to_string().is_empty());
                    false
                }
                Some(other) => panic!("neither allowed nor denied: {other:?}"),
                None => default == DefaultPolicy::Allow,
            };
        for name in ["web", "nobody"] {
            let may = passes(&set, name);
            match set.connection(&caller(name), default) {
                Some(Verdict::Allow(_)) => assert!(may, "its connection is allowed"),
                Some(Verdict::Deny(_)) => assert!(!may, "its connection is denied"),
                Some(Verdict::PerRequest) => {}
                Some(other) => panic!("an unknown verdict: {other:?}"),
                None => assert_eq!(may, default == DefaultPolicy::Allow),
            }
            assert!(may || !passes(&denied, name), "a denial lets {name} in");
        }
        assert!(!passes(&denied, "web"), "a denial of web does not deny it");
    }
}

fn denial() -> wire::Intention {
    let mut denial = wire::Intention::default();
    denial.source_name = "web".to_owned();
    denial.destination_name = "api".to_owned();
    denial.action = Some("deny".to_owned());
    denial
}

fn caller(name: &str) -> ServiceId {
    let trust_domain = "11111111.consul".parse().expect("a trust domain");
    ServiceId::new(
        trust_domain,
        "dc1",
        ServiceName::try_from(name).expect("a name"),
    )
}
