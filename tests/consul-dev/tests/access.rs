//! Access control: 403 in the server's words, filtered lists with their mark, logins.

#[path = "support/http.rs"]
mod support;

use consul_dev::{ConsulDev, Policy};
use serde_json::json;
use support::{get, get_as, put_as, try_call};

const FILTERED: &str = "x-consul-results-filtered-by-acls";

async fn started() -> ConsulDev {
    let dev = ConsulDev::builder()
        .acl(true)
        .start()
        .await
        .expect("starts");
    let body = json!({ "ID": "web-1", "Name": "web", "Port": 1, "Connect": { "Native": true } });
    let token = dev.management_token().to_owned();
    assert_eq!(
        put_as(&dev, "/v1/agent/service/register", body, &token)
            .await
            .status,
        200
    );
    dev
}

#[tokio::test]
async fn without_rights_there_is_403_or_an_empty_list() {
    let dev = started().await;
    assert_eq!(get(&dev, "/v1/health/connect/web").await.status, 403);
    let list = get(&dev, "/v1/health/service/web").await;
    assert_eq!((list.status, list.body.as_str()), (200, "[]"));
    assert_eq!(list.header(FILTERED), "", "not for the anonymous token");
    assert_eq!(list.header("x-consul-default-acl-policy"), "deny");
    let unknown = get_as(&dev, "/v1/health/service/web", "nobody").await;
    assert_eq!(
        (unknown.status, unknown.body.as_str()),
        (403, "ACL not found")
    );
}

#[tokio::test]
async fn service_read_without_node_read_is_filtered_and_says_so() {
    let dev = started().await;
    let token = dev
        .create_token(Policy::new().service_prefix_read(""))
        .secret_id;
    for path in [
        "/v1/health/connect/web",
        "/v1/health/service/web",
        "/v1/catalog/service/web",
    ] {
        let answer = get_as(&dev, path, &token).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "[]"), "{path}");
        assert_eq!(answer.header(FILTERED), "true", "{path}");
    }
    let whole = dev.create_token(Policy::service_identity("api")).secret_id;
    let answer = get_as(&dev, "/v1/health/connect/web", &whole).await;
    assert_eq!(answer.json().as_array().map(Vec::len), Some(1));
    assert_eq!(answer.header(FILTERED), "");
}

#[tokio::test]
async fn a_leaf_needs_write_until_someone_had_it() {
    let dev = started().await;
    let reader = dev
        .create_token(Policy::new().service_prefix_read(""))
        .secret_id;
    let refused = get_as(&dev, "/v1/agent/connect/ca/leaf/web", &reader).await;
    assert_eq!(refused.status, 403);
    assert!(
        refused
            .body
            .contains("lacks permission 'service:write' on \"web\""),
        "{}",
        refused.body
    );
    let writer = dev
        .create_token(Policy::new().service_write("web"))
        .secret_id;
    assert_eq!(
        get_as(&dev, "/v1/agent/connect/ca/leaf/web", &writer)
            .await
            .status,
        200
    );
    assert_eq!(
        get(&dev, "/v1/agent/connect/ca/leaf/web").await.status,
        200,
        "cached by the agent"
    );
}

#[tokio::test]
async fn a_deny_rule_beats_a_prefix() {
    let dev = started().await;
    let policy = Policy::new()
        .service_prefix_write("")
        .service_deny("web")
        .node_prefix_read("");
    let token = dev.create_token(policy).secret_id;
    assert_eq!(
        get_as(&dev, "/v1/health/connect/web", &token).await.status,
        403
    );
    assert_eq!(
        get_as(&dev, "/v1/health/connect/api", &token).await.status,
        200
    );
}

#[tokio::test]
async fn a_login_makes_a_token_that_a_logout_ends() {
    let dev = started().await;
    dev.allow_login("minikube", "jwt", Policy::service_identity("web"));
    let login = |bearer: &str| {
        let body =
            json!({ "AuthMethod": "minikube", "BearerToken": bearer, "Meta": { "pod": "a" } });
        try_call(&dev, "POST", "/v1/acl/login", "", body.to_string())
    };
    assert_eq!(login("wrong").await.expect("a reply").status, 500);
    let token = login("jwt").await.expect("a reply").json();
    let secret = token["SecretID"].as_str().expect("a secret");
    assert_eq!(token["AuthMethod"], "minikube");
    let own = get_as(&dev, "/v1/acl/token/self", secret).await.json();
    assert_eq!(own["AccessorID"], token["AccessorID"]);
    let logout = try_call(&dev, "POST", "/v1/acl/logout", secret, String::new())
        .await
        .expect("a reply");
    assert_eq!((logout.status, logout.body.as_str()), (200, "true"));
    assert_eq!(get_as(&dev, "/v1/acl/token/self", secret).await.status, 403);
}

#[tokio::test]
async fn the_default_intention_policy_and_the_acl_default_decide_in_this_order() {
    for (acl, intention, allowed, reason) in [
        (false, None, true, "Default behavior configured by ACLs"),
        (true, None, false, "Default behavior configured by ACLs"),
        (true, Some(true), true, "Default intention policy"),
        (false, Some(false), false, "Default intention policy"),
    ] {
        let mut builder = ConsulDev::builder().acl(acl);
        if let Some(allow) = intention {
            builder = builder.default_intention_allow(allow);
        }
        let dev = builder.start().await.expect("starts");
        let body = json!({ "Target": "web", "ClientCertURI": dev.service_uri("api") });
        let token = if acl { dev.management_token() } else { "" };
        let answer = try_call(
            &dev,
            "POST",
            "/v1/agent/connect/authorize",
            token,
            body.to_string(),
        )
        .await
        .expect("a reply")
        .json();
        assert_eq!(answer, json!({ "Authorized": allowed, "Reason": reason }));
    }
}
