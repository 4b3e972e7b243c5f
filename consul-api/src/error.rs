//! The one error of this crate.

use std::{error::Error as StdError, fmt, sync::Arc};

use http::StatusCode;

type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// How much of the server's own text is kept: enough for every message Consul writes, not for a page of a proxy.
const MESSAGE_LIMIT: usize = 2_000;

/// What went wrong while talking to Consul.
///
/// `Display` says what was being done and, when the server answered, what it said. The cause is only in
/// [`source`](StdError::source). No output of this type contains a token or a key.
///
/// The kinds are asked for with the `is_…` methods, so that a new kind is not a breaking change.
///
/// Cloning shares it: all subscribers of a watch are told of the same error.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: Kind,
    operation: String,
    status: Option<StatusCode>,
    message: Option<String>,
    source: Option<Arc<dyn StdError + Send + Sync + 'static>>,
}

/// The kinds of [`Error`]. Private to the crate: users ask the predicates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The configuration cannot be used.
    Config,
    /// The call itself cannot be made into a request: an empty name, a body that does not serialise.
    Request,
    /// Decision to not send or ask for secrets in the clear.
    Plaintext,
    /// No connection: refused, unreachable, name not resolved, TLS handshake failed.
    Connect,
    /// No answer in time.
    Timeout,
    /// The connection broke while the answer was awaited or read.
    Transport,
    /// The answer is larger than the configured cap.
    TooLarge,
    /// Consul answered with an error status.
    Api,
    /// Consul's answer does not have the documented form.
    Decode,
}

impl Error {
    /// An error of `kind` met while doing `operation` (a participle phrase: "reading /v1/…").
    pub(crate) fn new(kind: Kind, operation: impl Into<String>) -> Self {
        Self(Arc::new(Inner {
            kind,
            operation: operation.into(),
            status: None,
            message: None,
            source: None,
        }))
    }

    pub(crate) fn config(problem: impl Into<String>) -> Self {
        Self::new(Kind::Config, problem)
    }

    /// The same failure of another call.
    pub(crate) fn with_operation(mut self, operation: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.0).operation = operation.into();
        self
    }

    pub(crate) fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        Arc::make_mut(&mut self.0).source = Some(Arc::from(source.into()));
        self
    }

    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        Arc::make_mut(&mut self.0).status = Some(status);
        self
    }

    /// Keeps the server's text, trimmed and capped; an empty one is dropped.
    pub(crate) fn with_message(mut self, message: &str) -> Self {
        let message = message.trim();
        let mut end = message.len().min(MESSAGE_LIMIT);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        Arc::make_mut(&mut self.0).message = (end > 0).then(|| {
            message[..end]
                .chars()
                // A terminal must not be driven by what a server, or whoever answers for it, wrote.
                .map(|c| {
                    if c.is_control() && !matches!(c, '\n' | '\t') {
                        ' '
                    } else {
                        c
                    }
                })
                .collect()
        });
        self
    }

    /// The status of Consul's answer, if it answered. For gRPC calls: the HTTP status of the same meaning.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        self.0.status
    }

    /// Consul's own words, if it said any: trimmed, and cut after 2,000 bytes.
    #[must_use]
    pub fn server_message(&self) -> Option<&str> {
        self.0.message.as_deref()
    }

    /// What is asked for does not exist (404).
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.has_status(StatusCode::NOT_FOUND)
    }

    /// The token is known and lacks a permission, or the endpoint is blocked (403, except an unknown token).
    #[must_use]
    pub fn is_permission_denied(&self) -> bool {
        self.has_status(StatusCode::FORBIDDEN) && !self.is_unknown_token()
    }

    /// Consul does not know the token: never created, deleted, expired, or not yet replicated to this server.
    ///
    /// Right after a login this may be so for some 100 ms: a call may then be tried again.
    #[must_use]
    pub fn is_unknown_token(&self) -> bool {
        if self.has_status(StatusCode::UNAUTHORIZED) {
            return true;
        }
        // The words may stand behind those of the agent that passed them on.
        self.has_status(StatusCode::FORBIDDEN)
            && self.message_contains("ACL not found")
            // Logging in with a method that does not exist says so, too, and so does reading another token.
            && !self.message_contains("auth method")
            && (!self.message_contains("token does not exist") || self.0.operation.ends_with("/acl/token/self"))
    }

    /// Consul asks for fewer requests: its own limits (429, or 503 for operations of the leader), or the limit of the CA.
    #[must_use]
    pub fn is_rate_limited(&self) -> bool {
        self.has_status(StatusCode::TOO_MANY_REQUESTS)
            || (self.has_status(StatusCode::SERVICE_UNAVAILABLE)
                && self.message_contains("rate limit"))
    }

    /// The call names something only the Enterprise edition has, such as a namespace (400 of the Community Edition).
    #[must_use]
    pub fn is_enterprise_only(&self) -> bool {
        self.0.kind == Kind::Api
            && self.server_message().is_some_and(|text| {
                text.to_ascii_lowercase()
                    .contains("consul enterprise feature")
            })
    }

    /// No answer within the time allowed. Whether Consul acted on the request is not known.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.0.kind == Kind::Timeout
    }

    /// No connection to Consul could be made. The request was not sent.
    #[must_use]
    pub fn is_connect(&self) -> bool {
        self.0.kind == Kind::Connect
    }

    /// Consul's answer could not be understood, or is larger than [`Config::with_max_reply_bytes`](crate::Config::with_max_reply_bytes) allows.
    #[must_use]
    pub fn is_decode(&self) -> bool {
        matches!(self.0.kind, Kind::Decode | Kind::TooLarge)
    }

    /// The configuration cannot be used: the text names the variable, file or address.
    #[must_use]
    pub fn is_config(&self) -> bool {
        self.0.kind == Kind::Config
    }

    /// The call cannot be made into a request: an empty name, or a body that does not serialise. Nothing was sent.
    #[must_use]
    pub fn is_invalid_request(&self) -> bool {
        self.0.kind == Kind::Request
    }

    /// The answer would hold secrets or decide who may call, and the connection to Consul is plaintext to another host.
    /// See [`Config::allow_plaintext_consul`](crate::Config::allow_plaintext_consul).
    #[must_use]
    pub fn is_plaintext_refused(&self) -> bool {
        self.0.kind == Kind::Plaintext
    }

    /// The same call may succeed later without anybody changing anything: Consul away, overloaded, without a leader.
    ///
    /// Consul answers 500 to nearly everything that goes wrong, some of it lasting. So this is a hint for a loop with backoff,
    /// not a promise. Whether a *write* may be repeated is for the caller to know.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self.0.kind {
            Kind::Connect | Kind::Timeout | Kind::Transport => true,
            Kind::Api => {
                self.is_rate_limited()
                    || (self.status().is_some_and(|status| status.is_server_error())
                        && !self.is_enterprise_only())
            }
            Kind::Config | Kind::Request | Kind::Plaintext | Kind::TooLarge | Kind::Decode => false,
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.0.kind
    }

    fn has_status(&self, status: StatusCode) -> bool {
        self.0.status == Some(status)
    }

    fn message_contains(&self, words: &str) -> bool {
        self.server_message()
            .is_some_and(|message| message.contains(words))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.operation)?;
        match self.0.kind {
            // These say in `operation` all there is to say.
            Kind::Config | Kind::Request | Kind::Plaintext => {}
            Kind::Connect => f.write_str(": no connection to Consul")?,
            Kind::Timeout => f.write_str(": no answer in time")?,
            Kind::Transport => f.write_str(": the connection broke")?,
            Kind::TooLarge => f.write_str(": the answer is larger than the configured limit")?,
            Kind::Decode => f.write_str(": the answer was not understood")?,
            Kind::Api => match self.0.status {
                Some(status) => write!(f, ": Consul answered {}", status.as_u16())?,
                None => f.write_str(": Consul answered with an error")?,
            },
        }
        match &self.0.message {
            Some(message) => write!(f, ": {message}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Error");
        debug.field("kind", &self.kind());
        debug.field("operation", &self.0.operation);
        if let Some(status) = self.0.status {
            debug.field("status", &status.as_u16());
        }
        if let Some(message) = &self.0.message {
            debug.field("message", message);
        }
        if let Some(source) = &self.0.source {
            debug.field("source", source);
        }
        debug.finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(status: u16, message: &str) -> Error {
        Error::new(Kind::Api, "reading /v1/x")
            .with_status(StatusCode::from_u16(status).expect("a status"))
            .with_message(message)
    }

    #[test]
    fn tells_an_unknown_token_from_a_missing_permission() {
        assert!(api(403, "ACL not found").is_unknown_token());
        assert!(!api(403, "ACL not found").is_permission_denied());
        assert!(api(403, "Permission denied: token lacks …").is_permission_denied());
        let login = api(403, "ACL not found: auth method \"nope\" not found");
        assert!(!login.is_unknown_token() && login.is_permission_denied());
        assert!(api(403, "rpc error making call: ACL not found").is_unknown_token());
        assert!(!api(403, "token does not exist: ACL not found").is_unknown_token());
    }

    #[test]
    fn knows_all_forms_of_a_rate_limit() {
        assert!(api(429, "").is_rate_limited());
        assert!(
            api(
                503,
                "rate limit exceeded for operation that can only be performed by the leader"
            )
            .is_rate_limited()
        );
        assert!(!api(503, "error reading from server: EOF").is_rate_limited());
    }

    #[test]
    fn display_names_the_operation_and_the_servers_words() {
        assert_eq!(
            api(500, " No cluster leader\n").to_string(),
            "reading /v1/x: Consul answered 500: No cluster leader"
        );
    }

    #[test]
    fn message_is_capped_at_a_character_boundary() {
        let error = api(500, &"é".repeat(3_000));
        assert!(
            error
                .server_message()
                .is_some_and(|message| message.len() <= MESSAGE_LIMIT)
        );
    }
}
