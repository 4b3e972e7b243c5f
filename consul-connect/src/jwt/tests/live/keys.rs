//! Keys as they come, are replaced and fail to come.

use super::*;

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
    let none = world.store.authenticate(&request("/", &[]), Duration::ZERO);
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
