//! Everything the server knows, behind one lock, with one counter that wakes whoever waits.

pub(crate) mod acl;
pub(crate) mod catalog;
pub(crate) mod checks;
pub(crate) mod config;
pub(crate) mod intentions;
pub(crate) mod leafs;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::ca::{Authority, CaError, KeyKind};
use crate::faults::Faults;
use crate::go;

/// What a read depends on. A blocking query waits for the index of its topics.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Topic {
    /// Nodes of the catalog.
    Nodes,
    /// Any instance or check of the catalog.
    Services,
    /// Instances and checks of one service name.
    Service(String),
    /// Services and checks of one node.
    Node(String),
    /// Config entries of every kind, intentions among them.
    Config,
    /// Roots of the authority.
    Roots,
    /// Keys and values.
    Kv,
    /// Cluster peers.
    Peerings,
    /// Tokens.
    Acl,
}

/// Fixed facts of the pretended agent.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) datacenter: String,
    pub(crate) node: String,
    pub(crate) node_id: String,
    pub(crate) acl: bool,
    /// `allow` or `deny`; applies to what no rule names when ACLs are on.
    pub(crate) acl_default: &'static str,
    /// `None` leaves it to the ACL default, as an unset option of the real agent does.
    pub(crate) intention_default: Option<bool>,
    pub(crate) http_port: u16,
    pub(crate) grpc_port: u16,
}

/// The state proper.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) facts: Facts,
    index: u64,
    topics: HashMap<Topic, u64>,
    /// Bumped to make every blocked query answer at once, as a stopping server does.
    pub(crate) interruptions: u64,
    pub(crate) catalog: catalog::Catalog,
    pub(crate) agent: catalog::Agent,
    pub(crate) config: config::Entries,
    pub(crate) acl: acl::Tokens,
    pub(crate) kv: BTreeMap<String, Value>,
    /// By name; each value is what a read returns.
    pub(crate) peerings: BTreeMap<String, Value>,
    pub(crate) ca: Authority,
    pub(crate) ca_config: CaConfig,
    pub(crate) leafs: leafs::Leafs,
}

/// What `GET /v1/connect/ca/configuration` shows.
#[derive(Debug)]
pub(crate) struct CaConfig {
    pub(crate) config: Value,
    pub(crate) modify_index: u64,
}

impl State {
    fn new(facts: Facts, settings: &Settings) -> Result<Self, CaError> {
        let mut state = Self {
            index: 9,
            topics: HashMap::new(),
            interruptions: 0,
            catalog: catalog::Catalog::default(),
            agent: catalog::Agent::default(),
            config: config::Entries::default(),
            acl: acl::Tokens::default(),
            kv: BTreeMap::new(),
            peerings: BTreeMap::new(),
            ca: Authority::new(
                settings.trust_domain.clone(),
                settings.ca_key,
                settings.leaf_ttl,
                9,
            )?,
            ca_config: CaConfig {
                config: serde_json::json!({
                    "IntermediateCertTTL": "8760h",
                    "LeafCertTTL": go::format_duration(settings.leaf_ttl).trim_end_matches("0s").trim_end_matches("0m"),
                    "RootCertTTL": "87600h",
                }),
                modify_index: 9,
            },
            leafs: leafs::Leafs::new(settings.leaf_jitter),
            facts,
        };
        state.topics.insert(Topic::Roots, 9);
        if state.facts.acl {
            state.acl.insert_anonymous();
        }
        state.register_self();
        Ok(state)
    }

    /// Takes the next index and stamps the topics with it.
    pub(crate) fn bump(&mut self, topics: &[Topic]) -> u64 {
        self.index += 1;
        for topic in topics {
            self.topics.insert(topic.clone(), self.index);
        }
        self.index
    }

    /// The index at which any of the topics last changed; never 0.
    pub(crate) fn index_of(&self, topics: &[Topic]) -> u64 {
        topics
            .iter()
            .filter_map(|topic| self.topics.get(topic))
            .copied()
            .max()
            .unwrap_or(1)
            .max(1)
    }

    pub(crate) fn index(&self) -> u64 {
        self.index
    }

    /// The index of one service, or of the whole catalog when the name was never seen.
    pub(crate) fn service_index(&self, name: &str) -> u64 {
        let topic = Topic::Service(name.to_owned());
        match self.topics.get(&topic) {
            Some(index) => *index,
            None => self.index_of(&[Topic::Services]),
        }
    }

    /// Takes every index back to at most `to`, as a restored snapshot does.
    pub(crate) fn rewind(&mut self, to: u64) {
        self.index = self.index.min(to.max(1));
        for index in self.topics.values_mut() {
            *index = (*index).min(to.max(1));
        }
    }

    /// The earliest moment at which something happens by itself.
    pub(crate) fn next_event(&self) -> Option<Instant> {
        let leaf = self.leafs.next_due();
        let check = self.agent.next_due();
        match (leaf, check) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Lets happen what is due: leafs re-issued, TTLs expired, instances reaped.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.expire_checks(now);
        self.reissue_leafs(now);
    }
}

/// What the builder decides about a state.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) trust_domain: String,
    pub(crate) ca_key: KeyKind,
    pub(crate) leaf_ttl: Duration,
    pub(crate) leaf_jitter: Duration,
}

/// The state, its lock and its wake-up counter; shared by the handle, the listeners and the tasks.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    pub(crate) faults: Mutex<Faults>,
    changed: watch::Sender<u64>,
}

impl Shared {
    pub(crate) fn new(facts: Facts, settings: &Settings) -> Result<Self, CaError> {
        Ok(Self {
            state: Mutex::new(State::new(facts, settings)?),
            faults: Mutex::new(Faults::default()),
            changed: watch::Sender::new(0),
        })
    }

    /// Reads or writes the state; wakes the blocked queries if its index or its timers moved.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let before = (state.index, state.interruptions, state.next_event());
        let result = work(&mut state);
        let after = (state.index, state.interruptions, state.next_event());
        drop(state);
        if before != after {
            self.changed.send_modify(|version| *version += 1);
        }
        result
    }

    /// Wakes once for each change after this call.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs for the life of the server: lets timed things happen when they are due.
    pub(crate) async fn run_timers(self: std::sync::Arc<Self>) {
        let mut changed = self.subscribe();
        loop {
            let due = self.with(|state| state.next_event());
            let sleep = async {
                match due {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = sleep => self.with(|state| state.tick(Instant::now())),
                moved = changed.changed() => if moved.is_err() { return },
            }
        }
    }
}
