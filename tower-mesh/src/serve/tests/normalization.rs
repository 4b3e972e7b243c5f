use consul_connect::{
    EscapedSlashes, NormalizationPolicy, RequestNormalization, UnderscoreHeaders,
};
use http::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::authorize::{Decision, Permit, Reason, from_fn};

/// Serves an application that tells what it sees, under a policy that denies `/admin` and below, and the header `x-role`.
fn serve_normalizing(change: impl FnOnce(&mut RequestNormalization)) -> (DuplexStream, Served) {
    let app = tower::service_fn(|request: Request<Incoming>| async move {
        let names = request.headers().keys().filter(|name| *name != "host");
        let mut names = names.map(ToString::to_string).collect::<Vec<_>>();
        names.sort();
        let target = request.uri().path_and_query().expect("a path");
        Ok::<_, Infallible>(reply(format!("{target} {}", names.join(" "))))
    });
    let policy = from_fn(|_caller, head| match head {
        Some(head)
            if head.uri.path().starts_with("/admin") || head.headers.contains_key("x_role") =>
        {
            Decision::Deny(Reason::fixed("test", "an administrator's"))
        }
        _ => Decision::Allow(Permit::by_default()),
    });
    let mut rules = RequestNormalization::default();
    change(&mut rules);
    let admission = Admission {
        authorize: Arc::new(policy),
        normalization: NormalizationPolicy::fixed(rules),
        ..Admission::default()
    };
    let callers = Callers::One(web(), exchanges());
    let open = Arc::new(open::Requests::new(None, Duration::ZERO));
    let requests = Requests::new(app, Arc::new(admission), callers, open);
    serve_requests(Limits::default(), requests, None)
}

/// The answer to these bytes, to its end.
async fn raw(io: &mut DuplexStream, target: &str, headers: &str) -> String {
    let request =
        format!("GET {target} HTTP/1.1\r\nhost: api\r\n{headers}connection: close\r\n\r\n");
    io.write_all(request.as_bytes()).await.expect("written");
    let mut answer = Vec::new();
    io.read_to_end(&mut answer).await.expect("an answer");
    String::from_utf8(answer).expect("text")
}

#[tokio::test(start_paused = true)]
async fn the_policy_and_the_application_see_the_one_spelling() {
    for (target, becomes) in [
        ("/public/../a%62c?q=/../%61", "/abc?q=/../%61 "),
        ("/a\\b", "/a/b "),
        ("http://api/x/%2e%2e/y", "/y "),
    ] {
        let (mut io, _served) = serve_normalizing(|_| {});
        let answer = raw(&mut io, target, "").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with(&format!("\r\n\r\n{becomes}")), "{answer}");
    }
    for target in [
        "/admin",
        "/public/../admin",
        "/public/%2e%2E/%61dmin",
        "/public\\..\\admin",
        "/.//../admin",
        "http://api/./admin",
    ] {
        let (mut io, _served) = serve_normalizing(|_| {});
        let answer = raw(&mut io, target, "").await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{target}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_no_one_spelling_is_a_bad_request_in_the_callers_protocol() {
    for target in ["/a%00", "/ä", "admin", "*"] {
        let (mut io, _served) = serve_normalizing(|_| {});
        let answer = raw(&mut io, target, "").await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{target}: {answer}");
    }
    let (io, _served) = serve_normalizing(|_| {});
    let response = h2(io).await.send_request(grpc("/p.S%00/M")).await;
    let response = response.expect("a response");
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["grpc-status"], "13");
    assert_eq!(response.headers()["grpc-message"], "bad request");
}

#[tokio::test(start_paused = true)]
async fn an_escaped_slash_is_redirected_to_where_rules_can_follow() {
    let redirect = |rules: &mut RequestNormalization| {
        rules.escaped_slashes = EscapedSlashes::UnescapeAndRedirect;
    };
    let (mut io, _served) = serve_normalizing(redirect);
    let answer = raw(&mut io, "/public/..%2fadmin?x=%2f", "").await;
    assert!(answer.starts_with("HTTP/1.1 307 "), "{answer}");
    assert!(
        answer.contains("\r\nlocation: /admin?x=%2f\r\n"),
        "{answer}"
    );

    let (io, _served) = serve_normalizing(redirect);
    let mut client = h2(io).await;
    let response = client.send_request(get("/a%2Fb")).await;
    let response = response.expect("a response");
    assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(response.headers()["location"], "/a/b");
    let response = client.send_request(grpc("/a%2Fb")).await;
    let response = response.expect("a response");
    assert_eq!(response.headers()["grpc-status"], "13");
}

#[tokio::test(start_paused = true)]
async fn headers_with_underscores_are_gone_before_the_policy_is_asked() {
    let headers = "x_role: admin\r\nx-other: a\r\n";
    let (mut io, _served) = serve_normalizing(|_| {});
    let answer = raw(&mut io, "/", headers).await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");

    let drop =
        |rules: &mut RequestNormalization| rules.underscore_headers = UnderscoreHeaders::Drop;
    let (mut io, _served) = serve_normalizing(drop);
    let answer = raw(&mut io, "/", headers).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.ends_with("/ x-other"), "{answer}");

    let reject =
        |rules: &mut RequestNormalization| rules.underscore_headers = UnderscoreHeaders::Reject;
    let (mut io, _served) = serve_normalizing(reject);
    let answer = raw(&mut io, "/", headers).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn what_connection_names_is_gone_before_the_policy_is_asked() {
    let headers = "connection: X_Role\r\nx_role: admin\r\nx-other: a\r\n";
    let (mut io, _served) = serve_normalizing(|_| {});
    let answer = raw(&mut io, "/", headers).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.ends_with("/ x-other"), "{answer}");

    let (mut io, _served) = serve_normalizing(|_| {});
    let answer = raw(&mut io, "/", "connection: host\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}
