//! The state machine against an authority in this process, with the wall clock tied to the paused one.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use futures_core::stream::BoxStream;
use futures_util::{StreamExt, stream};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, SanType,
};
use tokio::{sync::watch, time::Instant};

use super::{Authority, Bundle, Refusal, Settings, Signing, materials};
use crate::Material;
use crate::identity::{
    renewal::Spread,
    source::{SourceError, check::pairs},
};

const HOUR: Duration = Duration::from_secs(3600);

/// An authority whose roots, lifetimes and moods the test sets.
struct FakeCa {
    state: Mutex<State>,
    bundles: watch::Sender<Bundle>,
    now: Arc<dyn Fn() -> SystemTime + Send + Sync>,
}

struct State {
    issuer: Arc<Issuer<'static, KeyPair>>,
    trust_domain: String,
    roots_pem: Vec<String>,
    lifetime: Duration,
    refusals: VecDeque<Refusal>,
    /// How long signing takes.
    signs_within: Duration,
    /// When each request came, and whom it named.
    requests: Vec<(Instant, Vec<String>)>,
}

fn root(trust_domain: &str) -> (Issuer<'static, KeyPair>, String, String) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.distinguished_name.push(
        DnType::CommonName,
        format!("root {:x}", rand::random::<u64>()),
    );
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.subject_alt_names = vec![SanType::URI(
        format!("spiffe://{trust_domain}")
            .try_into()
            .expect("a uri"),
    )];
    params.key_identifier_method = KeyIdMethod::Sha256;
    let pem = params.self_signed(&key).expect("a root").pem();
    let id = params
        .key_identifier(&key)
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect::<Vec<_>>()
        .join(":");
    (Issuer::new(params, key), pem, id)
}

impl FakeCa {
    fn new(trust_domain: &str) -> Arc<Self> {
        let base = (SystemTime::now(), Instant::now());
        let (issuer, pem, id) = root(trust_domain);
        let bundle = Bundle {
            trust_domain: trust_domain.into(),
            roots_pem: vec![pem.clone()],
            signing_key_id: id,
        };
        Arc::new(Self {
            state: Mutex::new(State {
                issuer: Arc::new(issuer),
                trust_domain: trust_domain.into(),
                roots_pem: vec![pem],
                lifetime: 72 * HOUR,
                refusals: VecDeque::new(),
                signs_within: Duration::ZERO,
                requests: Vec::new(),
            }),
            bundles: watch::Sender::new(bundle),
            now: Arc::new(move || base.0 + base.1.elapsed()),
        })
    }

    fn settings(&self, spread: Duration) -> Settings {
        Settings {
            service: "web".parse().expect("a name"),
            datacenter: "dc1".into(),
            spread: Spread(spread),
            now: Arc::clone(&self.now),
        }
    }

    fn follow(self: &Arc<Self>) -> BoxStream<'static, Result<Material, SourceError>> {
        materials(Arc::clone(self), self.settings(Duration::from_secs(30)))
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().expect("no test panicked here"))
    }

    fn requests(&self) -> usize {
        self.with(|state| state.requests.len())
    }

    /// Adds a root that signs from now on.
    fn rotate(&self, trust_domain: &str) {
        let (issuer, pem, id) = root(trust_domain);
        let roots_pem = self.with(|state| {
            state.issuer = Arc::new(issuer);
            if state.trust_domain != trust_domain {
                state.roots_pem.clear();
            }
            state.trust_domain = trust_domain.into();
            state.roots_pem.push(pem);
            state.roots_pem.clone()
        });
        self.bundles.send_replace(Bundle {
            trust_domain: trust_domain.into(),
            roots_pem,
            signing_key_id: id,
        });
    }

    /// Leaves only the root that signs.
    fn prune(&self) {
        let last = self.with(|state| {
            state.roots_pem.drain(..state.roots_pem.len() - 1);
            state.roots_pem.clone()
        });
        self.bundles.send_modify(|bundle| bundle.roots_pem = last);
    }

    fn refuse(&self, rate_limited: bool, permanent: bool) {
        let cause = Arc::new(io::Error::other("not now"));
        self.with(|state| {
            state.refusals.push_back(Refusal {
                rate_limited,
                permanent,
                cause,
            });
        });
    }
}

impl Authority for Arc<FakeCa> {
    fn sign(&self, csr_pem: String) -> Signing<'_> {
        let now = (self.now)();
        let answer = self.with(|state| {
            // Reading it checks that it is signed with the key it is for.
            let mut csr = CertificateSigningRequestParams::from_pem(&csr_pem).expect("a request");
            let names = csr.params.subject_alt_names.iter();
            let names = names.map(|name| match name {
                SanType::URI(uri) => uri.to_string(),
                other => panic!("only URIs are asked for, not {other:?}"),
            });
            state.requests.push((Instant::now(), names.collect()));
            if let Some(refusal) = state.refusals.pop_front() {
                return Err(refusal);
            }
            csr.params.use_authority_key_identifier_extension = true;
            csr.params.not_before = (now - Duration::from_secs(60)).into();
            csr.params.not_after = (now + state.lifetime).into();
            Ok(csr.signed_by(&state.issuer).expect("a leaf").pem())
        });
        let takes = self.with(|state| state.signs_within);
        Box::pin(async move {
            tokio::time::sleep(takes).await;
            answer
        })
    }

    fn roots(&self) -> BoxStream<'static, Result<Bundle, Refusal>> {
        let mut bundles = self.bundles.subscribe();
        bundles.mark_changed();
        stream::unfold(bundles, async |mut bundles| {
            bundles.changed().await.ok()?;
            let bundle = bundles.borrow_and_update().clone();
            // What a test sends to break the stream.
            let item = if bundle.trust_domain.is_empty() {
                let cause = Arc::new(io::Error::other("the stream broke"));
                Err(Refusal {
                    rate_limited: false,
                    permanent: false,
                    cause,
                })
            } else {
                Ok(bundle)
            };
            Some((item, bundles))
        })
        .boxed()
    }

    fn place(&self) -> String {
        "the test's authority".into()
    }
}

async fn next(
    source: &mut BoxStream<'static, Result<Material, SourceError>>,
) -> Result<Material, SourceError> {
    source.next().await.expect("a source never ends")
}

async fn good(source: &mut BoxStream<'static, Result<Material, SourceError>>) -> Material {
    let material = next(source).await.expect("material");
    pairs(&material).expect("the key is the leaf's");
    material
}

#[tokio::test(start_paused = true)]
async fn the_first_leaf_is_asked_for_at_once_with_exactly_one_name() {
    let ca = FakeCa::new("one.consul");
    let begun = Instant::now();
    let material = good(&mut ca.follow()).await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    ca.with(|state| {
        assert_eq!(
            state.requests[0].1,
            ["spiffe://one.consul/ns/default/dc/dc1/svc/web"]
        );
        assert_eq!(material.roots_pem, state.roots_pem);
    });
    assert_eq!(
        material.trust_domain.expect("it is known").as_str(),
        "one.consul"
    );
}

#[tokio::test(start_paused = true)]
async fn a_leaf_is_renewed_in_its_window_with_another_key() {
    let ca = FakeCa::new("one.consul");
    let mut source = ca.follow();
    let first = good(&mut source).await;
    let begun = Instant::now();
    let second = good(&mut source).await;
    let fraction = begun.elapsed().as_secs_f64() / (72.0 * 3600.0);
    assert!(
        (0.59..0.91).contains(&fraction),
        "renewed after {fraction} of its life"
    );
    assert_ne!(first.key_pem.expose(), second.key_pem.expose());
}

#[tokio::test(start_paused = true)]
async fn new_roots_come_at_once_and_the_new_leaf_within_the_spread() {
    let ca = FakeCa::new("one.consul");
    let mut source = ca.follow();
    let first = good(&mut source).await;
    let begun = Instant::now();
    ca.rotate("one.consul");
    let widened = good(&mut source).await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(widened.roots_pem.len(), 2);
    assert_eq!(widened.chain_pem, first.chain_pem);
    let renewed = good(&mut source).await;
    assert!(
        begun.elapsed() <= Duration::from_secs(30),
        "{:?}",
        begun.elapsed()
    );
    assert_ne!(renewed.chain_pem, first.chain_pem);
    assert_eq!(ca.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn roots_under_the_same_signing_key_bring_no_new_leaf() {
    let ca = FakeCa::new("one.consul");
    let mut source = ca.follow();
    let first = good(&mut source).await;
    ca.bundles
        .send_modify(|bundle| bundle.roots_pem.push(root("one.consul").1));
    let widened = good(&mut source).await;
    assert_eq!(
        (widened.roots_pem.len(), &widened.chain_pem),
        (2, &first.chain_pem)
    );
    let begun = Instant::now();
    good(&mut source).await;
    assert!(begun.elapsed() > 40 * HOUR, "renewed by age alone");
}

#[tokio::test(start_paused = true)]
async fn a_withdrawn_root_of_our_own_leaf_is_said_at_once_and_the_new_leaf_asked_for_soon() {
    let ca = FakeCa::new("a.consul");
    let mut source = materials(Arc::clone(&ca), ca.settings(HOUR));
    let first = good(&mut source).await;
    let start = Instant::now();
    ca.rotate("a.consul");
    ca.prune();
    let under_new_roots = good(&mut source).await;
    assert_eq!(under_new_roots.chain_pem, first.chain_pem);
    assert_eq!(under_new_roots.roots_pem.len(), 1);
    assert_eq!(start.elapsed(), Duration::ZERO);
    let signed = good(&mut source).await;
    assert_ne!(signed.chain_pem, first.chain_pem);
    assert!(start.elapsed() <= super::WITHDRAWN, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_same_roots_again_are_no_news() {
    let ca = FakeCa::new("one.consul");
    let mut source = ca.follow();
    good(&mut source).await;
    let begun = Instant::now();
    ca.bundles.send_modify(|_same| {});
    good(&mut source).await;
    assert!(begun.elapsed() > 40 * HOUR);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_trouble_with_the_roots_is_said_also_if_they_are_the_same() {
    let ca = FakeCa::new("one.consul");
    let mut source = ca.follow();
    let before = good(&mut source).await;
    let bundle = ca.bundles.send_replace(Bundle {
        trust_domain: String::new(),
        roots_pem: Vec::new(),
        signing_key_id: String::new(),
    });
    next(&mut source).await.expect_err("the stream broke");
    let begun = Instant::now();
    ca.bundles.send_replace(bundle);
    let after = good(&mut source).await;
    assert_eq!(before.chain_pem, after.chain_pem);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(ca.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn another_trust_domain_is_said_and_then_joined() {
    let ca = FakeCa::new("one.consul");
    let mut source = ca.follow();
    good(&mut source).await;
    let begun = Instant::now();
    ca.rotate("two.consul");
    let error = next(&mut source)
        .await
        .expect_err("the leaf is of the old one");
    assert!(
        error.to_string().contains("one.consul") && error.to_string().contains("two.consul"),
        "{error}"
    );
    let joined = good(&mut source).await;
    assert_eq!(
        joined.trust_domain.expect("it is known").as_str(),
        "two.consul"
    );
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_rate_limited_authority_is_asked_in_growing_windows() {
    let ca = FakeCa::new("one.consul");
    for _ in 0..4 {
        ca.refuse(true, false);
    }
    let mut source = ca.follow();
    for _ in 0..4 {
        let error = next(&mut source).await.expect_err("refused");
        assert!(!error.is_permanent());
    }
    good(&mut source).await;
    ca.with(|state| {
        for (window, pair) in (1_u64..).zip(state.requests.windows(2)) {
            let pause = pair[1].0 - pair[0].0;
            assert!(
                pause >= Duration::from_secs(1) && pause <= Duration::from_secs(30 * window),
                "{pause:?}"
            );
        }
    });
}

#[tokio::test(start_paused = true)]
async fn a_failed_renewal_is_tried_again_long_before_the_leaf_expires() {
    let ca = FakeCa::new("one.consul");
    let mut source = ca.follow();
    good(&mut source).await;
    for _ in 0..20 {
        ca.refuse(false, false);
    }
    let begun = Instant::now();
    for _ in 0..20 {
        next(&mut source).await.expect_err("refused");
    }
    good(&mut source).await;
    assert!(begun.elapsed() < 66 * HOUR);
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_said_to_be_of_no_use_waiting_for() {
    let ca = FakeCa::new("one.consul");
    ca.refuse(false, true);
    let mut source = ca.follow();
    let error = next(&mut source).await.expect_err("refused");
    assert!(error.is_permanent());
    assert!(
        error
            .to_string()
            .contains("svc/web at the test's authority"),
        "{error}"
    );
    good(&mut source).await;
}

#[tokio::test(start_paused = true)]
async fn leafs_that_are_old_when_they_come_are_not_asked_for_without_pause() {
    let ca = FakeCa::new("one.consul");
    // As a clock far ahead of the authority's sees them: expired already.
    ca.with(|state| state.lifetime = Duration::ZERO);
    let mut source = ca.follow();
    let begun = Instant::now();
    for _ in 0..10 {
        good(&mut source).await;
    }
    assert!(
        begun.elapsed() > Duration::from_secs(60),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_leaf_with_seconds_left_is_renewed_before_they_have_passed() {
    let ca = FakeCa::new("one.consul");
    // Valid since a minute ago and for three seconds more: past nine tenths already.
    ca.with(|state| state.lifetime = Duration::from_secs(3));
    let mut source = ca.follow();
    good(&mut source).await;
    for _ in 0..10 {
        let signed = Instant::now();
        good(&mut source).await;
        let pause = signed.elapsed();
        assert!(
            pause >= Duration::from_millis(500) && pause < Duration::from_secs(3),
            "{pause:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_unusable_trust_domain_is_an_error_and_not_a_request() {
    let ca = FakeCa::new("one.consul");
    ca.bundles
        .send_modify(|bundle| bundle.trust_domain = "Not A Domain".into());
    let mut source = ca.follow();
    next(&mut source).await.expect_err("no name to ask for");
    assert_eq!(ca.requests(), 0);
    ca.bundles
        .send_modify(|bundle| bundle.trust_domain = "one.consul".into());
    good(&mut source).await;
}

#[tokio::test(start_paused = true)]
async fn roots_do_not_wait_for_a_leaf_that_is_being_signed() {
    let ca = FakeCa::new("one.consul");
    let mut source = ca.follow();
    let first = good(&mut source).await;
    let slow = Duration::from_secs(10);
    ca.with(|state| state.signs_within = slow);
    ca.rotate("one.consul");
    good(&mut source).await;
    let requests = ca.requests();
    let asked = async {
        while ca.requests() == requests {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        item = next(&mut source) => panic!("nothing has happened yet: {item:?}"),
        () = asked => {}
    }

    let begun = Instant::now();
    ca.prune();
    let withdrawn = good(&mut source).await;
    assert_eq!(begun.elapsed(), Duration::ZERO, "while the leaf is signed");
    assert_eq!(withdrawn.roots_pem.len(), 1);
    assert_eq!(withdrawn.chain_pem, first.chain_pem);
    let signed = good(&mut source).await;
    assert!(begun.elapsed() <= slow, "{:?}", begun.elapsed());
    assert_ne!(signed.chain_pem, first.chain_pem);
    assert_eq!(ca.requests(), requests + 1, "the one on its way was enough");
}

#[tokio::test(start_paused = true)]
async fn a_leaf_signed_by_a_root_that_was_withdrawn_meanwhile_is_asked_for_anew() {
    let ca = FakeCa::new("one.consul");
    let slow = Duration::from_secs(10);
    ca.with(|state| state.signs_within = slow);
    let mut source = ca.follow();
    let asked = async {
        while ca.requests() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        item = next(&mut source) => panic!("nothing has happened yet: {item:?}"),
        () = asked => {}
    }
    ca.rotate("one.consul");
    ca.prune();
    let late = good(&mut source).await;
    let begun = Instant::now();
    let fitting = good(&mut source).await;
    assert_ne!(fitting.chain_pem, late.chain_pem);
    assert!(
        begun.elapsed() <= super::WITHDRAWN + slow,
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(ca.requests(), 2);
}
