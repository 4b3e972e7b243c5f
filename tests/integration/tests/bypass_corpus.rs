//! No spelling of what is denied reaches the handler behind it, over HTTP/1.1 and h2.
//!
//! Every request goes to a service whose intentions deny `/admin` and what is below, the header `x-role: admin` and the method
//! `DELETE`, and to one that allows all: what is denied must be what would have been reached.

#[path = "bypass_corpus/headers.rs"]
mod headers;
#[path = "bypass_corpus/paths.rs"]
mod paths;
#[path = "bypass_corpus/world.rs"]
mod world;

use std::collections::BTreeSet;

use consul_connect::{EscapedSlashes, RequestNormalization, UnderscoreHeaders};

use headers::{H2, LINES, METHODS};
use paths::{HEADS, PATHS};
use world::{Application, World};

/// A request as it goes over the wire.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Spelling {
    H1(Vec<u8>),
    H2(Vec<(Vec<u8>, Vec<u8>)>),
}

impl Spelling {
    fn h1(method: &str, target: &[u8], headers: &str) -> Self {
        let rest = format!(" HTTP/1.1\r\nhost: api\r\n{headers}connection: close\r\n\r\n");
        Self::H1([method.as_bytes(), b" ", target, rest.as_bytes()].concat())
    }

    fn h2(headers: &[(&[u8], &[u8])]) -> Self {
        let owned = headers
            .iter()
            .map(|(name, value)| (name.to_vec(), value.to_vec()));
        Self::H2(owned.collect())
    }

    fn h2_path(path: &[u8]) -> Self {
        Self::h2(&[
            (b":method", b"GET"),
            (b":scheme", b"https"),
            (b":authority", b"api"),
            (b":path", path),
        ])
    }
}

fn corpus() -> BTreeSet<Spelling> {
    let paths = PATHS
        .iter()
        .flat_map(|path| [Spelling::h1("GET", path, ""), Spelling::h2_path(path)]);
    let heads = HEADS.iter().map(|head| Spelling::H1(head.to_vec()));
    let lines = LINES
        .iter()
        .map(|lines| Spelling::h1("GET", b"/public", lines));
    let methods = METHODS
        .iter()
        .map(|(method, lines)| Spelling::h1(method, b"/public", lines));
    let h2 = H2.iter().map(|headers| Spelling::h2(headers));
    paths
        .chain(heads)
        .chain(lines)
        .chain(methods)
        .chain(h2)
        .collect()
}

/// Every spelling, to a server that denies and to one that does not. How many reach what is denied only where it is not.
async fn nothing_denied_is_reached(
    what: &str,
    application: Application,
    change: impl FnOnce(&mut RequestNormalization),
) {
    let mut rules = RequestNormalization::default();
    change(&mut rules);
    let intentions = world::denying();
    let denying = World::new(application, rules, Some(&intentions)).await;
    let allowing = World::new(application, rules, None).await;
    let corpus = corpus();
    let (mut armed, mut bypasses, mut served) = (0, Vec::new(), 0);
    for spelling in &corpus {
        let (before, public) = (denying.reached(), denying.served());
        denying.send(spelling).await;
        if denying.reached() != before {
            bypasses.push(spelling);
        }
        served += denying.served() - public;
        let before = allowing.reached();
        allowing.send(spelling).await;
        armed += usize::from(allowing.reached() != before);
    }
    denying.is_served().await;
    println!(
        "{what}: {} spellings, of which {armed} reach what is denied when it is not denied, {served} reach something else, and {} \
         get by",
        corpus.len(),
        bypasses.len(),
    );
    for spelling in &bypasses {
        println!("BYPASS {}", world::shown(spelling));
    }
    assert!(bypasses.is_empty());
    assert!(
        corpus.len() >= 250 && armed >= 100,
        "{armed} of {}",
        corpus.len()
    );
    assert!(served > 0);
    denying.end().await;
    allowing.end().await;
}

#[tokio::test]
async fn no_spelling_reaches_a_denied_route_of_a_router() {
    nothing_denied_is_reached("a router, by default", Application::Router, |_| {}).await;
}

#[tokio::test]
async fn no_spelling_reaches_a_denied_route_of_a_router_that_gets_slashes_unescaped_and_merged() {
    nothing_denied_is_reached(
        "a router, slashes unescaped",
        Application::Router,
        |rules| {
            rules.merge_slashes = true;
            rules.escaped_slashes = EscapedSlashes::UnescapeAndForward;
            rules.underscore_headers = UnderscoreHeaders::Drop;
        },
    )
    .await;
}

#[tokio::test]
async fn no_spelling_reaches_what_a_lax_application_takes_for_a_denied_path() {
    for (what, escaped_slashes) in [
        ("lax, escaped slashes refused", EscapedSlashes::Reject),
        (
            "lax, escaped slashes redirected",
            EscapedSlashes::UnescapeAndRedirect,
        ),
        (
            "lax, escaped slashes unescaped",
            EscapedSlashes::UnescapeAndForward,
        ),
    ] {
        nothing_denied_is_reached(what, Application::Lax, |rules| {
            rules.merge_slashes = true;
            rules.escaped_slashes = escaped_slashes;
            rules.underscore_headers = UnderscoreHeaders::Drop;
        })
        .await;
    }
}
