//! The application behind both: it answers everything, and remembers what it saw.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{Router, extract::Request, routing::any};
use http::{HeaderMap, HeaderName, header::COOKIE};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    task::JoinSet,
};

/// Numbers the requests; neither Envoy nor we touch it.
pub(crate) const PROBE: HeaderName = HeaderName::from_static("x-probe");

/// What belongs to the hop or is Envoy's own, so that no application behind either relies on it.
const OF_THE_HOP: [&str; 8] = [
    "content-length",
    "host",
    "transfer-encoding",
    "x-envoy-expected-rq-timeout-ms",
    "x-forwarded-client-cert",
    "x-forwarded-proto",
    "x-probe",
    "x-request-id",
];

/// A request as the application saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// The lines of a repeated header as one: Envoy joins some of them, and both ways mean the same.
    pub(crate) headers: BTreeMap<String, String>,
}

/// What one application saw, by the number of the request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record(Arc<Mutex<HashMap<u64, Seen>>>);

impl Record {
    pub(crate) fn take(&self, probe: u64) -> Option<Seen> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.remove(&probe)
    }

    fn note(&self, request: &Request) {
        let probe = request.headers().get(PROBE);
        let Some(probe) = probe.and_then(|value| value.to_str().ok()?.parse().ok()) else {
            return;
        };
        let uri = request.uri();
        let seen = Seen {
            method: request.method().to_string(),
            target: uri
                .path_and_query()
                .map_or("", |target| target.as_str())
                .to_owned(),
            headers: headers(request.headers()),
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(probe, seen);
    }

    /// The application itself.
    pub(crate) fn application(&self) -> Router {
        let record = self.clone();
        Router::new().fallback(any(async move |request: Request| record.note(&request)))
    }

    /// The same in plaintext on loopback, as a sidecar wants it.
    pub(crate) async fn serve(&self, tasks: &mut JoinSet<()>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let address = listener.local_addr().expect("an address");
        let application = self.application();
        tasks.spawn(async move { axum::serve(listener, application).await.expect("served") });
        address
    }
}

/// Sends back whatever comes, in plaintext on loopback.
pub(crate) async fn serve_echo(tasks: &mut JoinSet<()>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let address = listener.local_addr().expect("an address");
    tasks.spawn(async move {
        let mut open = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            open.spawn(echo(stream));
        }
    });
    address
}

async fn echo(stream: impl AsyncRead + AsyncWrite) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    // The caller may go at any time.
    let _ = tokio::io::copy(&mut reader, &mut writer).await;
}

fn headers(map: &HeaderMap) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in map {
        if OF_THE_HOP.contains(&name.as_str()) {
            continue;
        }
        let value = String::from_utf8_lossy(value.as_bytes());
        let mut add = |separator: &str, part: &str| match all.get_mut(name.as_str()) {
            // Nor do empty lines in a list.
            Some(lines) if lines.is_empty() => part.clone_into(lines),
            Some(_) if part.is_empty() => {}
            Some(lines) => lines.extend([separator, part]),
            None => drop(all.insert(name.to_string(), part.to_owned())),
        };
        match name == COOKIE {
            // Its empty parts say nothing, and Envoy's HTTP/2 leaves some of them out.
            true => (value
                .split(';')
                .map(str::trim)
                .filter(|part| !part.is_empty()))
            .for_each(|part| add("; ", part)),
            false => add(",", &value),
        }
    }
    all
}
