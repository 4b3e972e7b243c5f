//! Entries of providers as they come, change and go.

use super::*;

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
            .authenticate(&bearer(&token), Duration::ZERO)
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
