//! Raw calls on an agent: what goes out and comes back is JSON, untyped, so that it cannot agree with a mistake of ours.

use std::{fmt, net::SocketAddr, time::Duration};

use ::http::{HeaderMap, Method, Request, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};

use crate::Error;

/// Longer than the longest blocking query (10 minutes, and a sixteenth of jitter).
const LIMIT: Duration = Duration::from_secs(640);

/// Calls to one agent with one token. Every call is a connection of its own, so nothing is pooled over a restart.
#[derive(Clone)]
pub struct Http {
    address: SocketAddr,
    token: Option<String>,
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The headers as they came.
    pub headers: HeaderMap,
    /// The body as text.
    pub text: String,
    /// The body as JSON; `Null` when it is empty or is not JSON.
    pub json: Value,
    call: String,
}

impl Http {
    pub(crate) fn new(address: SocketAddr, token: Option<String>) -> Self {
        Self { address, token }
    }

    /// Calls to whatever else speaks plain HTTP there.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        Self::new(address, None)
    }

    /// `GET`, the path with its query: `/v1/health/connect/web?passing`.
    ///
    /// # Errors
    /// When no whole answer came; a status is not an error here.
    pub async fn get(&self, path: &str) -> Result<Reply, Error> {
        self.send(Method::GET, path, Bytes::new()).await
    }

    /// `PUT` with a JSON body; `Null` sends none.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn put(&self, path: &str, body: &Value) -> Result<Reply, Error> {
        self.send(Method::PUT, path, encode(body)).await
    }

    /// `POST` with a JSON body; `Null` sends none.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn post(&self, path: &str, body: &Value) -> Result<Reply, Error> {
        self.send(Method::POST, path, encode(body)).await
    }

    /// `DELETE`.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn delete(&self, path: &str) -> Result<Reply, Error> {
        self.send(Method::DELETE, path, Bytes::new()).await
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Reply, Error> {
        let call = format!("{method} {path} on {}", self.address);
        match timeout(LIMIT, self.exchange(method, path, body)).await {
            Ok(Ok((status, headers, text))) => {
                let json = serde_json::from_str(&text).unwrap_or_default();
                Ok(Reply {
                    status,
                    headers,
                    text,
                    json,
                    call,
                })
            }
            Ok(Err(error)) => Err(Error::because(call, error)),
            Err(elapsed) => Err(Error::because(call, elapsed)),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(u16, HeaderMap, String), Box<dyn std::error::Error + Send + Sync>> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.address.to_string());
        if let Some(token) = &self.token {
            request = request.header("x-consul-token", token);
        }
        let request = request.body(Full::new(body))?;
        let stream = TcpStream::connect(self.address).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let exchange = async {
            let (head, body) = sender.send_request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok((
                head.status.as_u16(),
                head.headers,
                String::from_utf8_lossy(&body).into_owned(),
            ))
        };
        // The connection is driven here rather than in a task, so that dropping the call closes it.
        tokio::pin!(exchange, connection);
        tokio::select! {
            biased;
            answer = &mut exchange => answer,
            ended = &mut connection => {
                ended?;
                exchange.await
            }
        }
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Reply {
    /// The JSON of a 2xx answer.
    ///
    /// # Errors
    /// On any other status, with the server's text.
    pub fn ok(self) -> Result<Value, Error> {
        if (200..300).contains(&self.status) {
            Ok(self.json)
        } else {
            Err(Error::new(format!(
                "{}: {} {}",
                self.call,
                self.status,
                self.text.trim()
            )))
        }
    }

    /// A header as text, if it is there.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

fn encode(body: &Value) -> Bytes {
    if body.is_null() {
        Bytes::new()
    } else {
        Bytes::from(body.to_string())
    }
}
