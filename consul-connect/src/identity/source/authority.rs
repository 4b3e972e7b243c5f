//! A leaf of our own from an authority that signs requests and streams its roots: the state machine of the gRPC source,
//! without the gRPC.

use std::{
    error::Error as StdError,
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_core::stream::BoxStream;
use futures_util::{StreamExt, stream};
use tokio::time::sleep;

use super::check::{fits, is_permanent};
use super::{SourceError, csr, facts::LeafFacts};
use crate::identity::renewal::{Cause, Spread, wait};
use crate::time::wall_after;
use crate::{KeyPem, Material, ServiceId, ServiceName, TrustDomain};

/// The wall clock is looked at again this often, because the host may be suspended or its clock set.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// Over how long leafs are renewed, at most, when the root that signed them is no longer one.
const WITHDRAWN: Duration = Duration::from_secs(2);

pub(super) type Signing<'a> = Pin<Box<dyn Future<Output = Result<String, Refusal>> + Send + 'a>>;

/// An authority of a mesh.
pub(super) trait Authority: Send + Sync + 'static {
    /// Signs a request. The answer is the chain as PEM, leaf first.
    fn sign(&self, csr_pem: String) -> Signing<'_>;

    /// The roots, now and after each change. Reconnects by itself; never ends.
    fn roots(&self) -> BoxStream<'static, Result<Bundle, Refusal>>;

    /// Where it is, for messages.
    fn place(&self) -> String;
}

/// The trust bundle of an authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bundle {
    pub(super) trust_domain: String,
    pub(super) roots_pem: Vec<String>,
    /// Identifies the key that signs leafs now, in hex.
    pub(super) signing_key_id: String,
}

/// An authority that did not do what was asked.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    /// It asks for fewer requests.
    pub(super) rate_limited: bool,
    /// Waiting does not mend it.
    pub(super) permanent: bool,
    pub(super) cause: Arc<dyn StdError + Send + Sync>,
}

impl From<consul_api::Error> for Refusal {
    fn from(error: consul_api::Error) -> Self {
        Self {
            rate_limited: error.is_rate_limited(),
            permanent: is_permanent(&error),
            cause: Arc::new(error),
        }
    }
}

/// Who asks, and how.
pub(super) struct Settings {
    pub(super) service: ServiceName,
    pub(super) datacenter: String,
    pub(super) spread: Spread,
    /// The wall clock, which tests replace.
    pub(super) now: Arc<dyn Fn() -> SystemTime + Send + Sync>,
}

/// Everything that has been received, what is being asked, and when to ask next.
struct Signed<A> {
    authority: Arc<A>,
    settings: Settings,
    roots: BoxStream<'static, Result<Bundle, Refusal>>,
    bundle: Option<Bundle>,
    /// Counts the bundles there have been.
    bundles: u64,
    leaf: Option<Leaf>,
    /// Kept between items, because an authority may take long and roots must not wait for it.
    asked: Option<Asked>,
    due: Option<SystemTime>,
    /// Attempts in a row that brought no usable leaf.
    errors: u32,
    /// The last item said that the roots cannot be followed.
    lost_roots: bool,
}

/// A request that is on its way.
struct Asked {
    answer: Signing<'static>,
    id: ServiceId,
    key_pem: KeyPem,
    /// Which bundle it was made under.
    bundle: u64,
}

struct Leaf {
    chain_pem: String,
    key_pem: KeyPem,
    trust_domain: TrustDomain,
    facts: LeafFacts,
}

type Item = Result<Material, SourceError>;

/// Follows the authority for ever.
pub(super) fn materials<A: Authority>(
    authority: A,
    settings: Settings,
) -> BoxStream<'static, Item> {
    let roots = authority.roots();
    let state = Signed {
        authority: Arc::new(authority),
        settings,
        roots,
        bundle: None,
        bundles: 0,
        leaf: None,
        asked: None,
        due: None,
        errors: 0,
        lost_roots: false,
    };
    stream::unfold(state, async |mut state| {
        let item = state.next().await;
        Some((item, state))
    })
    .boxed()
}

impl<A: Authority> Signed<A> {
    async fn next(&mut self) -> Item {
        loop {
            let due = self.due.filter(|_| self.asked.is_none());
            let now = Arc::clone(&self.settings.now);
            tokio::select! {
                // Roots first: what is signed next may depend on them.
                biased;
                item = self.roots.next() => match item {
                    Some(Ok(bundle)) => {
                        if let Some(item) = self.take_roots(bundle) {
                            return item;
                        }
                    }
                    Some(Err(refusal)) => {
                        self.lost_roots = true;
                        return Err(self.failed("following the roots", refusal));
                    }
                    None => std::future::pending().await,
                },
                answer = answered(&mut self.asked) => {
                    if let Some(item) = self.take_answer(answer) {
                        return item;
                    }
                }
                () = until(due.unwrap_or(SystemTime::UNIX_EPOCH), now), if due.is_some() => self.ask()?,
            }
        }
    }

    /// New roots go out at once with the leaf there is; the leaf follows when its time comes.
    fn take_roots(&mut self, bundle: Bundle) -> Option<Item> {
        let now = (self.settings.now)();
        let lost = std::mem::take(&mut self.lost_roots);
        if self.bundle.as_ref() == Some(&bundle) {
            // Whoever was told of the trouble is told of its end; while no leaf can be had, it has none.
            return self.material().filter(|_| lost && self.errors == 0).map(Ok);
        }
        self.bundles += 1;
        let Some(leaf) = &self.leaf else {
            self.bundle = Some(bundle);
            // A pause after a failure is kept: roots do not make it pass. Nor do they call for a second request beside the
            // one that is on its way.
            if self.asked.is_none() {
                self.due.get_or_insert(now);
            }
            return None;
        };
        if leaf.trust_domain.as_str() != bundle.trust_domain {
            let text = format!(
                "{} is now of trust domain {}, the leaf in use is of {}; asking for a new one",
                self.authority.place(),
                bundle.trust_domain,
                leaf.trust_domain
            );
            self.bundle = Some(bundle);
            self.due = Some(now);
            return Some(Err(SourceError::new(text)));
        }
        self.bundle = Some(bundle);
        let material = self.material()?;
        if let Some(due) = self.due_by_roots(&material) {
            self.due = Some(self.due.map_or(due, |known| known.min(due)));
        }
        Some(Ok(material))
    }

    /// When to ask for a leaf because the roots are not those of the one there is; `None` if they are.
    fn due_by_roots(&self, material: &Material) -> Option<SystemTime> {
        let (leaf, bundle) = (self.leaf.as_ref()?, self.bundle.as_ref()?);
        let now = (self.settings.now)();
        let withdrawn = fits(material).is_err();
        if leaf.facts.is_signed_by(&bundle.signing_key_id) && !withdrawn {
            return None;
        }
        let Spread(spread) = self.settings.spread;
        // Nobody who knows these roots takes a leaf that none of them anchors: there is nothing to wait for but the others
        // who ask as well.
        let spread = Spread(if withdrawn {
            spread.min(WITHDRAWN)
        } else {
            spread
        });
        let delay = wait(
            Some(leaf.facts.validity),
            now,
            rand::random(),
            Cause::RootChanged,
            spread,
        );
        tracing::info!(
            authority = %self.authority.place(), withdrawn, in_ms = delay.as_millis(),
            "another root signs now, a new leaf will be asked for"
        );
        Some(wall_after(now, delay))
    }

    /// What came of a request; `None` if it is of no use any more.
    fn take_answer(&mut self, answer: Result<String, Refusal>) -> Option<Item> {
        let asked = self.asked.take()?;
        let leaf = match self.leaf_of(&asked, answer) {
            Ok((chain_pem, facts)) => Leaf {
                chain_pem,
                key_pem: asked.key_pem,
                trust_domain: asked.id.trust_domain().clone(),
                facts,
            },
            Err(error) => return Some(Err(error)),
        };
        let now = (self.settings.now)();
        let named = self.bundle.as_ref().map(|bundle| &*bundle.trust_domain);
        if named != Some(leaf.trust_domain.as_str()) {
            self.due = Some(now);
            return None;
        }
        let by_age = wait(
            Some(leaf.facts.validity),
            now,
            rand::random(),
            Cause::Age,
            self.settings.spread,
        );
        let mut due = wall_after(now, self.after(by_age, &leaf));
        self.leaf = Some(leaf);
        let Some(material) = self.material() else {
            let early = "signing before the roots are known";
            return Some(Err(SourceError::new(early)));
        };
        // Only if they changed meanwhile: an authority whose leafs never name the key it announces must not be asked without
        // end.
        if asked.bundle != self.bundles
            && let Some(by_roots) = self.due_by_roots(&material)
        {
            due = due.min(by_roots);
        }
        self.due = Some(due);
        Some(Ok(material))
    }

    /// A leaf that is due for renewal the moment it is signed (a wrong clock, a lifetime of seconds) must not make us ask
    /// without pause.
    fn after(&mut self, by_age: Duration, leaf: &Leaf) -> Duration {
        if !by_age.is_zero() {
            self.errors = 0;
            return by_age;
        }
        self.errors = self.errors.saturating_add(1);
        tracing::warn!(
            authority = %self.authority.place(), validity = ?leaf.facts.validity,
            "the new leaf is already due for renewal: compare the clocks of this host and of Consul's servers"
        );
        let now = (self.settings.now)();
        wait(
            Some(leaf.facts.validity),
            now,
            rand::random(),
            Cause::Failed {
                errors: self.errors,
            },
            self.settings.spread,
        )
    }

    /// Sends a request. Its answer comes to [`take_answer`](Self::take_answer).
    fn ask(&mut self) -> Result<(), SourceError> {
        let named = self
            .bundle
            .as_ref()
            .map(|bundle| bundle.trust_domain.clone())
            .unwrap_or_default();
        let trust_domain: TrustDomain = match named.parse() {
            Ok(trust_domain) => trust_domain,
            Err(cause) => {
                self.pause(false);
                let text = format!("{} names no usable trust domain", self.authority.place());
                return Err(SourceError::new(text).with_cause(cause));
            }
        };
        let Settings {
            datacenter,
            service,
            ..
        } = &self.settings;
        // The key is made anew for each leaf, so that one that leaked ends with its leaf.
        let id = ServiceId::new(trust_domain, datacenter, service.clone());
        let request = match csr::request(&id) {
            Ok(request) => request,
            Err(cause) => {
                self.pause(false);
                return Err(SourceError::new("preparing a certificate request")
                    .with_cause(cause)
                    .permanent());
            }
        };
        let authority = Arc::clone(&self.authority);
        self.due = None;
        self.asked = Some(Asked {
            answer: Box::pin(async move { authority.sign(request.csr_pem).await }),
            id,
            key_pem: request.key_pem,
            bundle: self.bundles,
        });
        Ok(())
    }

    fn leaf_of(
        &mut self,
        asked: &Asked,
        answer: Result<String, Refusal>,
    ) -> Result<(String, LeafFacts), SourceError> {
        match answer {
            Ok(chain_pem) => match LeafFacts::read(&chain_pem) {
                Some(facts) => Ok((chain_pem, facts)),
                None => {
                    self.pause(false);
                    let text = format!(
                        "{} signed something that is no certificate",
                        self.authority.place()
                    );
                    Err(SourceError::new(text))
                }
            },
            Err(refusal) => {
                self.pause(refusal.rate_limited);
                Err(self.failed(&format!("signing a leaf for {}", asked.id), refusal))
            }
        }
    }

    fn pause(&mut self, rate_limited: bool) {
        self.errors = self.errors.saturating_add(1);
        let errors = self.errors;
        let cause = if rate_limited {
            Cause::RateLimited { errors }
        } else {
            Cause::Failed { errors }
        };
        let now = (self.settings.now)();
        let validity = self.leaf.as_ref().map(|leaf| leaf.facts.validity);
        let delay = wait(validity, now, rand::random(), cause, self.settings.spread);
        self.due = Some(wall_after(now, delay));
    }

    fn failed(&self, doing: &str, refusal: Refusal) -> SourceError {
        let permanent = refusal.permanent;
        let error = SourceError::new(format!("{doing} at {}", self.authority.place()))
            .with_cause(refusal.cause);
        if permanent { error.permanent() } else { error }
    }

    fn material(&self) -> Option<Material> {
        let (leaf, bundle) = (self.leaf.as_ref()?, self.bundle.as_ref()?);
        let roots = bundle.roots_pem.clone();
        Some(
            Material::new(leaf.chain_pem.clone(), leaf.key_pem.clone(), roots)
                .with_trust_domain(leaf.trust_domain.clone()),
        )
    }
}

/// The answer to what was asked; pends for ever while nothing is.
async fn answered(asked: &mut Option<Asked>) -> Result<String, Refusal> {
    match asked {
        Some(asked) => asked.answer.as_mut().await,
        None => std::future::pending().await,
    }
}

async fn until(due: SystemTime, now: Arc<dyn Fn() -> SystemTime + Send + Sync>) {
    while let Ok(left) = due.duration_since(now()) {
        if left.is_zero() {
            return;
        }
        sleep(left.min(LOOK_AGAIN)).await;
    }
}

#[cfg(test)]
mod tests;
