//! Reads: what they depend on, when they wait, and the headers they carry.

use std::time::Duration;

use http::StatusCode;
use rand::Rng as _;
use serde_json::Value;
use tokio::time::Instant;

use super::call::Call;
use super::reply::{Problem, Reply, TEXT};
use crate::go;
use crate::state::acl::Authorizer;
use crate::state::{Shared, State};

/// What a read found.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) value: Value,
    /// At which index it last changed.
    pub(crate) index: u64,
    /// ACLs removed something from it.
    pub(crate) filtered: bool,
    /// 404 with this text and the index all the same.
    pub(crate) missing: Option<String>,
    /// An unchanged value does not end a blocked query, even if its index moved.
    pub(crate) suppress: bool,
    /// The anonymous token was refused inside the servers: 200, but without a leader's word.
    pub(crate) unread: bool,
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl Answer {
    pub(crate) fn new(value: Value, index: u64) -> Self {
        Self {
            value,
            index: index.max(1),
            filtered: false,
            missing: None,
            suppress: false,
            unread: false,
            headers: Vec::new(),
        }
    }

    pub(crate) fn filtered(mut self, filtered: bool) -> Self {
        self.filtered = filtered;
        self
    }

    pub(crate) fn suppressed(mut self) -> Self {
        self.suppress = true;
        self
    }

    pub(crate) fn missing(text: String, index: u64) -> Self {
        let mut answer = Self::new(Value::Null, index);
        answer.missing = Some(text);
        answer
    }
}

/// Which headers a read carries; the real endpoints differ.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    /// `X-Consul-Effective-Consistency`
    pub(crate) consistency: bool,
    /// `X-Consul-Knownleader`, `-Lastcontact` and `-Query-Backend`
    pub(crate) leader: bool,
    /// Served by the streaming backend when blocking or cached.
    pub(crate) streaming: bool,
    /// `X-Cache`: never, only with `?cached`, or always
    pub(crate) cache: Cache,
    /// Refusals by the servers carry index 1.
    pub(crate) error_meta: bool,
    /// The datacenter parameter is ignored, as for leafs.
    pub(crate) local: bool,
    /// An unknown token is no refusal by itself; the route decides.
    pub(crate) open: bool,
    pub(crate) default_wait: Duration,
}

/// When `X-Cache` is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cache {
    /// Never.
    Never,
    /// With `?cached`.
    Asked,
    /// Always; a hit when the answer was at hand.
    Always,
}

pub(crate) const DEFAULT_WAIT: Duration = Duration::from_secs(300);
const MAX_WAIT: Duration = Duration::from_secs(600);

impl Style {
    /// Catalog, health, intention match, discovery chain.
    pub(crate) const FULL: Self = Self {
        consistency: true,
        leader: true,
        streaming: false,
        cache: Cache::Asked,
        error_meta: true,
        local: false,
        open: false,
        default_wait: DEFAULT_WAIT,
    };
    pub(crate) const HEALTH: Self = Self {
        streaming: true,
        error_meta: false,
        ..Self::FULL
    };
    pub(crate) const INGRESS: Self = Self {
        streaming: false,
        ..Self::HEALTH
    };
    pub(crate) const TOKEN: Self = Self {
        error_meta: true,
        open: true,
        ..Self::PLAIN
    };
    pub(crate) const INTENTIONS: Self = Self {
        error_meta: true,
        ..Self::PLAIN
    };
    /// Config entries, roots, intention lists, keys.
    pub(crate) const PLAIN: Self = Self {
        consistency: false,
        cache: Cache::Never,
        error_meta: false,
        ..Self::FULL
    };
    pub(crate) const ROOTS: Self = Self {
        error_meta: true,
        open: true,
        ..Self::PLAIN
    };
    pub(crate) const AGENT_ROOTS: Self = Self {
        cache: Cache::Always,
        open: true,
        ..Self::PLAIN
    };
    pub(crate) const LEAF: Self = Self {
        leader: false,
        cache: Cache::Always,
        local: true,
        open: true,
        default_wait: MAX_WAIT,
        ..Self::PLAIN
    };
}

/// The function of a read: state in, answer out.
pub(crate) type ReadFn = fn(&mut State, &Call, &Authorizer) -> Result<Answer, Problem>;

struct Wait {
    index: u64,
    until: Instant,
}

fn wait_of(call: &Call, style: &Style) -> Result<Wait, Problem> {
    let index = match call.query("index") {
        None => 0,
        Some(text) => text
            .parse::<u64>()
            .map_err(|_reason| Problem::bad_request("Invalid index"))?,
    };
    let wait = match call.query("wait") {
        None => style.default_wait,
        Some(text) => {
            go::parse_duration(text).ok_or_else(|| Problem::bad_request("Invalid wait time"))?
        }
    };
    let wait = match wait.min(MAX_WAIT) {
        Duration::ZERO => style.default_wait,
        wait => wait,
    };
    let jitter = wait.mul_f64(rand::rng().random_range(0.0..1.0) / 16.0);
    Ok(Wait {
        index,
        until: Instant::now() + wait + jitter,
    })
}

/// Answers a read: at once, or when its index has passed the one asked for, or when its time is up.
pub(crate) async fn read(shared: &Shared, call: &Call, run: ReadFn, style: &Style) -> Reply {
    match try_read(shared, call, run, style).await {
        Ok(reply) => reply,
        Err(problem) => {
            let by_servers = !problem.early;
            let reply = Reply::from(problem);
            if by_servers && style.error_meta {
                leader_headers(reply.with("X-Consul-Index", "1"), false, "blocking-query")
            } else {
                reply
            }
        }
    }
}

async fn try_read(
    shared: &Shared,
    call: &Call,
    run: ReadFn,
    style: &Style,
) -> Result<Reply, Problem> {
    let wait = wait_of(call, style)?;
    let consistency = call.consistency()?;
    call.refuse_tenancy()?;
    let mut changed = shared.subscribe();
    let authorize = || {
        shared.with(|state| {
            state
                .authorizer(call.secret())
                .map_err(|_reason| Problem::unknown_token())
        })
    };
    let (interruptions, foreign) = shared.with(|state| {
        (
            state.interruptions,
            call.foreign_datacenter(&state.facts.datacenter),
        )
    });
    if foreign && !style.local {
        return Err(Problem::internal("No path to datacenter"));
    }
    let mut authorizer = match authorize() {
        Ok(authorizer) => authorizer,
        // Leafs in the cache and the roots are given to any caller.
        Err(_) if style.open => Authorizer::unknown(),
        Err(refusal) => return Err(refusal),
    };
    let mut first: Option<Value> = None;
    let mut waited = false;
    loop {
        let (answer, interrupted) = shared.with(|state| {
            let answer = run(state, call, &authorizer);
            (answer, state.interruptions != interruptions)
        });
        let answer = answer?;
        let fresh = answer.index > wait.index
            && !(answer.suppress && first.as_ref() == Some(&answer.value));
        if wait.index == 0 || fresh || interrupted || Instant::now() >= wait.until {
            return Ok(finish(
                call,
                &answer,
                style,
                consistency,
                wait.index,
                waited,
            ));
        }
        first.get_or_insert(answer.value);
        waited = true;
        tokio::select! {
            moved = changed.changed() => if moved.is_err() {
                return Err(Problem::internal("the server is stopping"));
            },
            () = tokio::time::sleep_until(wait.until) => {}
        }
        if style.streaming {
            authorizer = authorize()?;
        }
    }
}

fn finish(
    call: &Call,
    answer: &Answer,
    style: &Style,
    consistency: &str,
    asked_index: u64,
    waited: bool,
) -> Reply {
    let mut reply = match &answer.missing {
        Some(text) => Reply::text(StatusCode::NOT_FOUND, text.clone()).content_type(
            // A missing key has no body and no type.
            (!text.is_empty()).then_some(TEXT),
        ),
        None => match answer.value.as_str().filter(|_| call.has("raw")) {
            Some(raw) => Reply::text(StatusCode::OK, raw)
                .with("X-Content-Type-Options", "nosniff")
                .with("Content-Security-Policy", "sandbox"),
            None => Reply::json(&answer.value, call.pretty()),
        },
    };
    reply = reply.with("X-Consul-Index", answer.index.to_string());
    let cached = call.has("cached");
    let streaming = style.streaming && (asked_index > 0 || cached) && !call.has("near");
    if style.leader {
        let backend = if streaming {
            "streaming"
        } else {
            "blocking-query"
        };
        reply = leader_headers(reply, !streaming && !answer.unread, backend);
    }
    if style.consistency {
        reply = reply.with("X-Consul-Effective-Consistency", consistency);
    }
    // The real one's streaming backend hides without saying so.
    if answer.filtered && !streaming {
        reply = reply.with("X-Consul-Results-Filtered-By-Acls", "true");
    }
    if style.cache == Cache::Always || style.cache == Cache::Asked && cached {
        // A leaf is a hit only when a lower index is asked for.
        let hit = !waited && (style.leader || asked_index > 0);
        if hit {
            reply = reply.with("X-Cache", "HIT").with("Age", "0");
        } else {
            reply = reply.with("X-Cache", "MISS");
        }
    }
    for (name, value) in &answer.headers {
        reply = reply.with(name, value.clone());
    }
    reply
}

fn leader_headers(reply: Reply, known: bool, backend: &str) -> Reply {
    reply
        .with("X-Consul-Knownleader", known.to_string())
        .with("X-Consul-Lastcontact", "0")
        .with("X-Consul-Query-Backend", backend)
}
