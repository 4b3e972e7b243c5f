//! A plaintext listener for operators.
//!
//! It only reads. What it says has no secrets, but tells who calls whom, so it is on loopback unless
//! somebody says otherwise.

mod json;

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CONTENT_TYPE},
};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics::Recorder;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use tokio::{
    net::TcpListener,
    task::JoinSet,
    time::{interval, sleep},
};

use super::inner::Inner;
use crate::{Error, ErrorKind, Status, metrics::REQUEST_SECONDS};

/// The bounds of the histogram, in seconds.
const SECONDS: [f64; 14] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// How long a client may take for its request.
const HEAD: Duration = Duration::from_secs(10);

/// Clients at the same time. They are a scraper, probes and a person.
const CLIENTS: usize = 64;

/// How often the recorder folds what it was told into its buckets, scraped or not.
const UPKEEP: Duration = Duration::from_secs(5);

/// The listener, bound, and the recorder it tells of.
pub(super) struct Admin {
    tcp: TcpListener,
    local_addr: SocketAddr,
    recorder: Arc<PrometheusRecorder>,
    metrics: PrometheusHandle,
}

impl Admin {
    /// # Errors
    ///
    /// [`ErrorKind::Config`] and [`ErrorKind::Listen`] about the address.
    pub(super) async fn bind(address: &str) -> Result<Self, Error> {
        let port = address.strip_prefix(':').unwrap_or(address).parse::<u16>();
        let bound = match port {
            Ok(port) => TcpListener::bind((IpAddr::from([127, 0, 0, 1]), port)).await,
            Err(_not_a_port) => TcpListener::bind(address).await,
        };
        let failed = |error| {
            let context = format!("binding the admin listener to `{address}`");
            Error::with_source(ErrorKind::Listen, context, error)
        };
        let tcp = bound.map_err(failed)?;
        let local_addr = tcp.local_addr().map_err(failed)?;
        if !local_addr.ip().is_loopback() {
            tracing::warn!(
                address = %local_addr,
                "the admin listener is not on loopback: others can read who calls whom"
            );
        }
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(
                metrics_exporter_prometheus::Matcher::Full(REQUEST_SECONDS.to_owned()),
                &SECONDS,
            )
            .map_err(|error| {
                Error::with_source(ErrorKind::Config, "making the recorder of metrics", error)
            })?
            .build_recorder();
        Ok(Self {
            tcp,
            local_addr,
            metrics: recorder.handle(),
            recorder: Arc::new(recorder),
        })
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    pub(super) fn recorder(&self) -> Arc<dyn Recorder + Send + Sync> {
        Arc::clone(&self.recorder) as _
    }

    /// Answers until it is dropped.
    pub(super) async fn serve(self, member: Weak<Inner>) {
        tracing::info!(address = %self.local_addr, "the admin listener answers");
        let mut clients = JoinSet::new();
        let mut upkeep = interval(UPKEEP);
        loop {
            tokio::select! {
                _ = upkeep.tick() => self.metrics.run_upkeep(),
                Some(_ended) = clients.join_next() => {}
                accepted = self.tcp.accept(), if clients.len() < CLIENTS => match accepted {
                    Ok((tcp, _)) => {
                        let (member, metrics) = (member.clone(), self.metrics.clone());
                        let service = service_fn(move |request| {
                            let answer = answer(&request, &member, &metrics);
                            std::future::ready(Ok::<_, Infallible>(answer))
                        });
                        let mut http = http1::Builder::new();
                        http.timer(TokioTimer::new()).header_read_timeout(HEAD);
                        clients.spawn(async move {
                            if let Err(error) = http.serve_connection(TokioIo::new(tcp), service).await {
                                tracing::debug!(%error, "a client of the admin listener");
                            }
                        });
                    }
                    // Most likely there are no file descriptors left.
                    Err(error) => {
                        tracing::warn!(%error, "accepting on the admin listener");
                        sleep(Duration::from_secs(1)).await;
                    }
                },
            }
        }
    }
}

/// What is shown as text.
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Prometheus' own version of its text format.
const EXPOSITION: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4");

fn answer(
    request: &Request<Incoming>,
    member: &Weak<Inner>,
    metrics: &PrometheusHandle,
) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut answer = say(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD\n");
        answer
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    let status = || member.upgrade().map(|member| member.status());
    match request.uri().path() {
        "/live" => say(StatusCode::OK, TEXT, "live\n"),
        "/ready" => ready(status()),
        "/metrics" => say(StatusCode::OK, EXPOSITION, metrics.render()),
        "/status" => {
            let as_json = request.uri().query() == Some("format=json");
            match status() {
                Some(status) if as_json => say(StatusCode::OK, JSON, json::of(&status)),
                Some(status) => say(StatusCode::OK, TEXT, format!("{status}\n")),
                None => ready(None),
            }
        }
        _ => say(
            StatusCode::NOT_FOUND,
            TEXT,
            "/live /metrics /ready /status /status?format=json\n",
        ),
    }
}

fn ready(status: Option<Status>) -> Response<Full<Bytes>> {
    match status {
        Some(status) if status.is_ready() => say(StatusCode::OK, TEXT, "ready\n"),
        Some(status) => say(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{status}\n")),
        None => say(StatusCode::SERVICE_UNAVAILABLE, TEXT, "left\n"),
    }
}

fn say(status: StatusCode, kind: HeaderValue, words: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(words.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}
