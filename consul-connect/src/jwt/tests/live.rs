//! Providers followed on a development Consul, with keys on a server that fails on command.

mod server;

use std::sync::Mutex;

use consul_api::{Client, Config};
use consul_dev::{ConsulDev, Policy};
use serde_json::{Value, json};
use tokio::time::timeout;

use self::server::{Answer, KeyServer};
use super::{
    super::{JwtConfig, JwtProviderStatus, JwtProviders},
    *,
};
use crate::test_util::TestClock;

/// Long enough for a machine that is busy with something else.
const LONG: Duration = Duration::from_secs(60);

struct World {
    dev: ConsulDev,
    store: JwtProviders,
}

async fn world(config: JwtConfig) -> World {
    world_of(ConsulDev::start().await.expect("a Consul"), config, None)
}

fn world_of(dev: ConsulDev, config: JwtConfig, token: Option<&str>) -> World {
    let mut of_client = Config::new(dev.http_addr()).expect("an address");
    if let Some(token) = token {
        of_client = of_client.with_token(consul_api::Token::new(token));
    }
    let client = Client::new(of_client).expect("a client");
    let config = config.time_provider(Arc::new(TestClock::fixed(NOW)));
    let store = JwtProviders::new(client, config);
    World { dev, store }
}

impl World {
    fn put(&self, entry: &Value) {
        self.dev.put_config(entry).expect("a valid entry");
    }

    /// Why this token is refused now; `None`: it is not.
    fn refused(&self, token: &str) -> Option<String> {
        refused(&self.store.authenticate(&bearer(token), None), "okta")
    }

    fn status(&self) -> JwtProviderStatus {
        let mut all = self.store.status();
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    /// Waits until it is so; every report of a task is looked at.
    async fn until(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let mut reports = self.store.reports();
        timeout(LONG, async {
            while !done(self) {
                reports.changed().await.expect("they live");
            }
        })
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {LONG:?}: {:?}", self.store.status()));
    }

    async fn accepted(&self, token: &str) {
        self.until("accepted", |world| world.refused(token).is_none())
            .await;
    }

    async fn refused_as(&self, token: &str, text: &str) {
        let told = |world: &Self| world.refused(token).is_some_and(|why| why.contains(text));
        self.until(text, told).await;
    }
}

/// An entry whose keys are on a server.
fn remote(uri: &str, more: Value) -> Value {
    let mut set = json!({ "URI": uri, "CacheDuration": "1s" });
    let members = set.as_object_mut().expect("an object");
    members.extend(more.as_object().expect("an object").clone());
    with(
        entry("okta", &[]),
        "JSONWebKeySet",
        json!({ "Remote": set }),
    )
}

fn trusting(pem: &str) -> Value {
    json!({ "JWKSCluster": { "TLSCertificates": { "TrustedCA": { "InlineString": pem } } } })
}

fn set(signers: &[&Signer]) -> String {
    let keys: Vec<&Value> = signers.iter().map(|signer| &signer.jwk).collect();
    json!({ "keys": keys }).to_string()
}

#[tokio::test]
async fn follows_the_entry_of_a_provider_as_it_changes() {
    let world = world(JwtConfig::default()).await;
    let (first, second) = (Signer::es256(), Signer::new(Algorithm::EdDsa, "2"));
    let token = first.token(&claims());
    world.store.set_names(["okta"]);
    world
        .refused_as(&token, "no config entry `jwt-provider`")
        .await;

    world.put(&entry("okta", std::slice::from_ref(&first.jwk)));
    world.accepted(&token).await;
    assert_eq!((world.status().fault, world.status().keys), (None, 1));

    world.put(&entry("okta", std::slice::from_ref(&second.jwk)));
    world.refused_as(&token, "no key with its key id").await;
    world.accepted(&second.token(&claims())).await;

    let moved = with(
        entry("okta", std::slice::from_ref(&first.jwk)),
        "Issuer",
        json!("https://new"),
    );
    world.put(&moved);
    world.refused_as(&token, "issuer").await;
    world
        .accepted(&first.token(&claims_with(&json!({ "iss": "https://new" }))))
        .await;

    world.dev.delete_config("jwt-provider", "okta");
    world
        .refused_as(&token, "no config entry `jwt-provider`")
        .await;
    let fault = world.status().fault.expect("a fault");
    assert!(fault.contains("no config entry"), "{fault}");
}

#[tokio::test]
async fn an_entry_that_cannot_be_carried_out_accepts_nothing_until_it_is_mended() {
    let world = world(JwtConfig::default()).await;
    let signer = Signer::es256();
    let good = entry("okta", std::slice::from_ref(&signer.jwk));
    let token = signer.token(&claims());
    world.put(&good);
    world.store.set_names(["okta"]);
    world.accepted(&token).await;

    world.put(&with(good.clone(), "ClockSkewSeconds", json!(-5)));
    world.refused_as(&token, "clock skew of -5 s").await;
    world.put(&with(
        good.clone(),
        "JSONWebKeySet",
        json!({ "Local": { "JWKS": "e30=" } }),
    ));
    world.refused_as(&token, "no JSON web key set").await;
    world.put(&good);
    world.accepted(&token).await;
    assert_eq!(world.status().fault, None);
}

#[tokio::test]
async fn only_the_named_providers_are_followed_and_a_new_name_begins_anew() {
    let world = world(JwtConfig::default()).await;
    let signer = Signer::es256();
    let token = signer.token(&claims());
    world.put(&entry("okta", std::slice::from_ref(&signer.jwk)));
    assert_eq!(
        world.refused(&token).as_deref(),
        Some("nothing is known yet")
    );
    assert!(
        world
            .store
            .authenticate(&bearer(&token), None)
            .edits()
            .is_empty()
    );

    world.store.set_names(["okta", "okta"]);
    world.accepted(&token).await;
    let generation = *world.store.changes().borrow();
    world.store.set_names(["okta"]);
    assert_eq!(
        *world.store.changes().borrow(),
        generation,
        "nothing has changed"
    );

    world.store.set_names(["okta", "other"]);
    assert_eq!(world.refused(&token), None, "the others go on undisturbed");
    let names: Vec<String> = world
        .store
        .status()
        .into_iter()
        .map(|one| one.name)
        .collect();
    assert_eq!(names, ["okta", "other"]);

    world.store.set_names([]);
    assert_eq!(
        world.refused(&token).as_deref(),
        Some("nothing is known yet")
    );
    world.store.set_names(["okta"]);
    world.accepted(&token).await;
    world.store.shutdown().await;
    assert_eq!(world.refused(&token), None, "what is known stays in force");
}

#[tokio::test]
async fn what_was_known_stays_in_force_while_consul_is_away() {
    let world = world(JwtConfig::default()).await;
    let signer = Signer::es256();
    let token = signer.token(&claims());
    world.put(&entry("okta", std::slice::from_ref(&signer.jwk)));
    world.store.set_names(["okta"]);
    world.accepted(&token).await;
    world.dev.down().await.expect("down");
    world
        .until("a failure", |world| world.status().last_error.is_some())
        .await;
    assert_eq!(world.refused(&token), None);
    world.dev.up().await.expect("up");
    world.put(&with(
        entry("okta", std::slice::from_ref(&signer.jwk)),
        "Issuer",
        json!("https://new"),
    ));
    world.refused_as(&token, "issuer").await;
    assert_eq!(world.status().last_error, None);
}

#[tokio::test]
async fn a_token_of_consul_that_may_not_read_the_entry_is_told() {
    let dev = ConsulDev::builder()
        .acl(true)
        .acl_default_allow(false)
        .start()
        .await
        .expect("a Consul");
    let signer = Signer::es256();
    dev.put_config(&entry("okta", std::slice::from_ref(&signer.jwk)))
        .expect("an entry");
    let may_not = dev.create_token(Policy::default());
    let world = world_of(dev, JwtConfig::default(), Some(&may_not.secret_id));
    world.store.set_names(["okta"]);
    let token = signer.token(&claims());
    world.refused_as(&token, "403").await;
}

#[tokio::test]
async fn keys_are_fetched_again_and_a_removed_one_is_gone() {
    let [first, second] = ["1", "2"].map(|id| Signer::new(Algorithm::Es256, id));
    let server = KeyServer::https(Answer::Keys(set(&[&first]))).await;
    let world = world(JwtConfig::default()).await;
    world.put(&remote(&server.url(), trusting(server.root())));
    world.store.set_names(["okta"]);
    let [old, new] = [&first, &second].map(|signer| signer.token(&claims()));
    world.accepted(&old).await;
    assert_eq!(
        world.refused(&new).as_deref(),
        Some("the token was refused: the provider has no key with its key id and algorithm")
    );

    server.answer(Answer::Keys(set(&[&first, &second])));
    world.accepted(&new).await;
    assert_eq!(world.refused(&old), None);
    server.answer(Answer::Keys(set(&[&second])));
    world.refused_as(&old, "no key with its key id").await;
    assert_eq!(world.refused(&new), None);
}

#[tokio::test]
async fn the_same_keys_again_change_nothing() {
    let signer = Signer::es256();
    let server = KeyServer::https(Answer::Keys(set(&[&signer]))).await;
    let world = world(JwtConfig::default()).await;
    world.put(&remote(&server.url(), trusting(server.root())));
    world.store.set_names(["okta"]);
    world.accepted(&signer.token(&claims())).await;
    let generation = *world.store.changes().borrow();
    server.asked(3).await;
    assert_eq!(*world.store.changes().borrow(), generation);
}

#[tokio::test]
async fn keys_are_kept_when_they_cannot_be_fetched_again() {
    let signer = Signer::es256();
    let server = KeyServer::https(Answer::Keys(set(&[&signer]))).await;
    let world = world(JwtConfig::default()).await;
    world.put(&remote(&server.url(), trusting(server.root())));
    world.store.set_names(["okta"]);
    let token = signer.token(&claims());
    world.accepted(&token).await;
    let bad = [
        (Answer::Status("500 Internal Server Error"), "500"),
        (Answer::Redirect, "302"),
        (Answer::Keys("<html>".to_owned()), "no JSON web key set"),
        (Answer::Keys(r#"{"keys":[]}"#.to_owned()), "empty"),
        (Answer::Huge, "longer than"),
        (Answer::Cut, "asking the server"),
    ];
    for (answer, text) in bad {
        server.answer(answer);
        let told = |world: &World| {
            let error = world.status().last_error;
            error.is_some_and(|error| error.contains(text))
        };
        world.until(text, told).await;
        assert_eq!(world.refused(&token), None, "{text}");
        let status = world.status();
        assert_eq!((status.fault, status.keys), (None, 1), "{text}");
    }
    server.answer(Answer::Keys(set(&[&signer])));
    world
        .until("mended", |world| world.status().last_error.is_none())
        .await;
}

#[tokio::test]
async fn before_the_first_keys_every_token_is_refused_and_the_reason_told() {
    let signer = Signer::es256();
    let server = KeyServer::https(Answer::Silence).await;
    let world = world(JwtConfig::default()).await;
    let patient = json!({ "RequestTimeoutMs": 60_000 });
    let mut trust = trusting(server.root());
    trust
        .as_object_mut()
        .expect("an object")
        .extend(patient.as_object().expect("one").clone());
    world.put(&remote(&server.url(), trust));
    world.store.set_names(["okta"]);
    let token = signer.token(&claims());
    world
        .refused_as(&token, "its keys have not been fetched yet")
        .await;
    let none = world.store.authenticate(&request("/", &[]), None);
    assert_eq!(
        refused(&none, "okta").as_deref(),
        Some("there is no token in the request")
    );

    // The same server, asked with less patience.
    let mut trust = trusting(server.root());
    trust["RequestTimeoutMs"] = json!(50);
    world.put(&remote(&server.url(), trust));
    world.refused_as(&token, "not answered within 50 ms").await;
    server.answer(Answer::Keys(set(&[&signer])));
    let mut trust = trusting(server.root());
    trust["RequestTimeoutMs"] = json!(60_000);
    world.put(&remote(&server.url(), trust));
    world.accepted(&token).await;
}

#[tokio::test]
async fn a_server_whose_certificate_is_not_trusted_gives_no_keys() {
    let signer = Signer::es256();
    let server = KeyServer::https(Answer::Keys(set(&[&signer]))).await;
    let stranger = KeyServer::https(Answer::Silence).await;
    let world = world(JwtConfig::default()).await;
    let token = signer.token(&claims());
    world.store.set_names(["okta"]);

    world.put(&remote(&server.url(), trusting(stranger.root())));
    world.refused_as(&token, "asking the server").await;
    world.put(&remote(&server.url(), json!({})));
    world.refused_as(&token, "asking the server").await;
    world.put(&remote(&server.url(), trusting("no PEM")));
    world.refused_as(&token, "no certificate in the PEM").await;
    let unset = json!({ "EnvironmentVariable": "CONSUL_CONNECT_TEST_THAT_NOBODY_SETS" });
    world.put(&remote(
        &server.url(),
        json!({ "JWKSCluster": { "TLSCertificates": { "TrustedCA": unset } } }),
    ));
    world
        .refused_as(&token, "CONSUL_CONNECT_TEST_THAT_NOBODY_SETS")
        .await;
    assert_eq!(
        server.requests(),
        0,
        "nothing is asked of whom one does not trust"
    );

    // By another name than the one in its certificate.
    let other_name = server.url().replace("127.0.0.1", "localhost");
    world.put(&remote(&other_name, trusting(server.root())));
    world.refused_as(&token, "asking the server").await;
    assert_eq!(server.requests(), 0);
    world.put(&remote(&server.url(), trusting(server.root())));
    world.accepted(&token).await;
}

#[tokio::test]
async fn roots_come_from_the_entry_a_file_or_the_configuration() {
    let signer = Signer::es256();
    let token = signer.token(&claims());
    let server = KeyServer::https(Answer::Keys(set(&[&signer]))).await;

    let configured = JwtConfig::default().trusted_certificates(server.root());
    let world_configured = world(configured).await;
    world_configured.put(&remote(&server.url(), json!({})));
    world_configured.store.set_names(["okta"]);
    world_configured.accepted(&token).await;

    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("ca.pem");
    let world_file = world(JwtConfig::default()).await;
    let filename = json!({ "Filename": file });
    world_file.put(&remote(
        &server.url(),
        json!({ "JWKSCluster": { "TLSCertificates": { "TrustedCA": filename } } }),
    ));
    world_file.store.set_names(["okta"]);
    world_file
        .refused_as(&token, "reading the certificates in")
        .await;
    std::fs::write(&file, server.root()).expect("written");
    world_file.accepted(&token).await;

    let world_bytes = world(JwtConfig::default()).await;
    let bytes = json!({ "InlineBytes": STANDARD.encode(server.root()) });
    world_bytes.put(&remote(
        &server.url(),
        json!({ "JWKSCluster": { "TLSCertificates": { "TrustedCA": bytes } } }),
    ));
    world_bytes.store.set_names(["okta"]);
    world_bytes.accepted(&token).await;
}

#[tokio::test]
async fn keys_in_plaintext_come_from_this_host_or_by_a_loud_choice() {
    let signer = Signer::es256();
    let token = signer.token(&claims());
    let server = KeyServer::http(Answer::Keys(set(&[&signer]))).await;
    let here = world(JwtConfig::default()).await;
    here.put(&remote(&server.url(), json!({})));
    here.store.set_names(["okta"]);
    here.accepted(&token).await;

    here.put(&remote("http://keys.example/jwks?key=secret", json!({})));
    here.refused_as(&token, "at http://keys.example/jwks, where anybody")
        .await;

    let loud = world(JwtConfig::default().dangerously_allow_plaintext_keys()).await;
    loud.put(&remote("http://keys.invalid/jwks", json!({})));
    loud.store.set_names(["okta"]);
    loud.refused_as(&token, "asking the server").await;
}

#[tokio::test]
async fn a_file_with_keys_is_read_again_when_it_changes() {
    let [first, second] = ["1", "2"].map(|id| Signer::new(Algorithm::Es256, id));
    let [old, new] = [&first, &second].map(|signer| signer.token(&claims()));
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("jwks.json");
    let world = world(JwtConfig::default()).await;
    world.put(&with(
        entry("okta", &[]),
        "JSONWebKeySet",
        json!({ "Local": { "Filename": file } }),
    ));
    world.store.set_names(["okta"]);
    world.refused_as(&old, "jwks.json").await;
    std::fs::write(&file, set(&[&first])).expect("written");
    world.accepted(&old).await;
    std::fs::write(&file, set(&[&second])).expect("written");
    world.accepted(&new).await;
    assert!(world.refused(&old).is_some());
    std::fs::write(&file, "").expect("written");
    world
        .until("a failure", |world| world.status().last_error.is_some())
        .await;
    assert_eq!(world.refused(&new), None);
    std::fs::remove_file(&file).expect("removed");
    let gone = |world: &World| {
        let error = world.status().last_error;
        error.is_some_and(|error| error.contains("reading"))
    };
    world.until("gone", gone).await;
    assert_eq!(world.refused(&new), None);
}

#[tokio::test]
async fn an_entry_with_other_rules_and_the_same_source_keeps_its_keys() {
    let signer = Signer::es256();
    let server = KeyServer::https(Answer::Keys(set(&[&signer]))).await;
    let world = world(JwtConfig::default()).await;
    let base = remote(&server.url(), trusting(server.root()));
    world.put(&base);
    world.store.set_names(["okta"]);
    let token = signer.token(&claims());
    world.accepted(&token).await;
    server.answer(Answer::Silence);
    let refusals = Arc::new(Mutex::new(Vec::new()));
    world.put(&with(base, "Audiences", json!(["billing"])));
    world
        .until("the new audience", |world| {
            let why = world.refused(&token);
            let done = why.as_ref().is_some_and(|why| why.contains("audience"));
            refusals.lock().expect("no panic").extend(why);
            done
        })
        .await;
    let refusals = refusals.lock().expect("no panic").clone();
    assert!(
        refusals.iter().all(|why| why.contains("audience")),
        "{refusals:?}"
    );
}

#[tokio::test]
async fn many_requests_while_keys_rotate_see_one_set_or_the_other() {
    let [first, second] = ["1", "2"].map(|id| Signer::new(Algorithm::Es256, id));
    let world = Arc::new(world(JwtConfig::default()).await);
    let entries = [&first, &second].map(|signer| entry("okta", std::slice::from_ref(&signer.jwk)));
    world.put(&entries[0]);
    world.store.set_names(["okta"]);
    let tokens = [&first, &second].map(|signer| signer.token(&claims()));
    world.accepted(&tokens[0]).await;
    for turn in 1..10 {
        let now = turn % 2;
        world.put(&entries[now]);
        world.accepted(&tokens[now]).await;
        let other = world.refused(&tokens[1 - now]).expect("of the other set");
        assert!(other.contains("no key with its key id"), "{other}");
    }
}
