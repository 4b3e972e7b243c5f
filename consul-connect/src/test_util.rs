//! A certificate authority for tests: makes good identities, and bad ones on purpose. And rules about tokens, for any input.

use std::{sync::Mutex, time::Duration};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, SanType,
    SignatureAlgorithm,
};
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::{
    Identity, IdentityConfig, IdentityError, InvalidPeer, Material, Roots, ServiceId, TrustDomain,
    crypto_provider,
    identity::source::{self, Pusher},
    tls::{self, Usage},
};

pub use crate::jwt::probe::{require_jwt, verify_jwt};

/// A certificate authority in the shape of Consul's own.
#[derive(Debug)]
pub struct TestCa {
    trust_domain: TrustDomain,
    root_pem: String,
    /// What a leaf needs between itself and the root.
    intermediates_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// What to put into a leaf. [`LeafSpec::new`] is what Consul would issue; the rest is for tests of refusals.
#[derive(Clone, Debug)]
pub struct LeafSpec {
    uris: Vec<String>,
    valid_from: i64,
    valid_for: Duration,
    ca: bool,
    p384: bool,
    client_only: bool,
}

impl LeafSpec {
    /// A leaf of `id` as Consul issues them: valid since a minute ago, for 72 h.
    pub fn new(id: &ServiceId) -> Self {
        Self {
            uris: vec![id.to_string()],
            valid_from: -60,
            valid_for: Duration::from_secs(72 * 3600),
            ca: false,
            p384: false,
            client_only: false,
        }
    }

    /// Exactly these URI names, whatever they are.
    #[must_use]
    pub fn uris<S: Into<String>>(mut self, uris: impl IntoIterator<Item = S>) -> Self {
        self.uris = uris.into_iter().map(Into::into).collect();
        self
    }

    /// Valid from `from` seconds relative to now, for `length`.
    #[must_use]
    pub fn valid(mut self, from: i64, length: Duration) -> Self {
        (self.valid_from, self.valid_for) = (from, length);
        self
    }

    /// A certificate that may sign others.
    #[must_use]
    pub fn certificate_authority(mut self) -> Self {
        self.ca = true;
        self
    }

    /// With a P-384 key instead of P-256.
    #[must_use]
    pub fn p384(mut self) -> Self {
        self.p384 = true;
        self
    }

    /// Without the server's extended key usage.
    #[must_use]
    pub fn client_only(mut self) -> Self {
        self.client_only = true;
        self
    }
}

impl TestCa {
    /// A new authority with a P-256 key for a trust domain.
    ///
    /// # Panics
    /// If the name is invalid or the machine cannot make keys: it is for tests.
    pub fn new(trust_domain: &str) -> Self {
        Self::with_algorithm(trust_domain, &PKCS_ECDSA_P256_SHA256)
    }

    /// The same with a P-384 key.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    pub fn p384(trust_domain: &str) -> Self {
        Self::with_algorithm(trust_domain, &PKCS_ECDSA_P384_SHA384)
    }

    /// The same with a P-256 key and a root that expires `left` from now.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    pub fn expiring(trust_domain: &str, left: Duration) -> Self {
        let end = now().saturating_add(left.as_secs());
        Self::make(trust_domain, &PKCS_ECDSA_P256_SHA256, Some(end))
    }

    fn with_algorithm(trust_domain: &str, algorithm: &'static SignatureAlgorithm) -> Self {
        Self::make(trust_domain, algorithm, None)
    }

    fn make(
        trust_domain: &str,
        algorithm: &'static SignatureAlgorithm,
        not_after: Option<u64>,
    ) -> Self {
        let trust_domain: TrustDomain = trust_domain.parse().expect("a valid trust domain");
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(
            DnType::CommonName,
            format!("test authority of {trust_domain}"),
        );
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.subject_alt_names = vec![uri(&format!("spiffe://{trust_domain}"))];
        if let Some(end) = not_after {
            params.not_after = date(end);
        }
        let root = params.self_signed(&key).expect("a root");
        Self {
            trust_domain,
            root_pem: root.pem(),
            intermediates_pem: String::new(),
            issuer: Issuer::new(params, key),
        }
    }

    /// An authority under this one, as a secondary datacenter or Vault has it: its subject is empty, and so is the issuer
    /// of its leafs, which come with its certificate.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    pub fn subordinate(&self) -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.subject_alt_names = vec![uri(&format!("spiffe://{}", self.trust_domain))];
        let certificate = params
            .signed_by(&key, &self.issuer)
            .expect("an intermediate");
        Self {
            trust_domain: self.trust_domain.clone(),
            root_pem: self.root_pem.clone(),
            intermediates_pem: format!("{}{}", certificate.pem(), self.intermediates_pem),
            issuer: Issuer::new(params, key),
        }
    }

    /// The trust domain it vouches for.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The key it signs with, as PKCS#8 PEM: for giving the same authority to a real Consul.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Its root, as PEM.
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// The id of a service in datacenter `dc1`.
    ///
    /// # Panics
    /// If the name is invalid.
    pub fn id(&self, service: &str) -> ServiceId {
        ServiceId::new(
            self.trust_domain.clone(),
            "dc1",
            service.parse().expect("a valid service name"),
        )
    }

    /// A leaf with its key, and this authority's root.
    ///
    /// # Panics
    /// If what was asked for cannot be signed.
    pub fn issue(&self, spec: &LeafSpec) -> Material {
        let algorithm = if spec.p384 {
            &PKCS_ECDSA_P384_SHA384
        } else {
            &PKCS_ECDSA_P256_SHA256
        };
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = spec.uris.iter().map(|u| uri(u)).collect();
        params.is_ca = if spec.ca {
            IsCa::Ca(BasicConstraints::Unconstrained)
        } else {
            IsCa::NoCa
        };
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
        ];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if !spec.client_only {
            params
                .extended_key_usages
                .push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        let from = now().saturating_add_signed(spec.valid_from);
        params.not_before = date(from);
        params.not_after = date(from + spec.valid_for.as_secs());
        let leaf = params.signed_by(&key, &self.issuer).expect("a leaf");
        let chain = leaf.pem() + &self.intermediates_pem;
        Material::new(chain, key.serialize_pem(), vec![self.root_pem.clone()])
    }

    /// What Consul would issue to a service.
    ///
    /// # Panics
    /// If the name is invalid.
    pub fn material(&self, service: &str) -> Material {
        self.issue(&LeafSpec::new(&self.id(service)))
    }

    /// A live identity of a service, and the hand that can give it newer material.
    ///
    /// # Errors
    /// As [`Identity::connect`].
    pub async fn identity(&self, service: &str) -> Result<(Identity, Pusher), IdentityError> {
        let (pusher, source) = source::channel();
        pusher.push(Ok(self.material(service)));
        Ok((
            Identity::connect(source, IdentityConfig::default()).await?,
            pusher,
        ))
    }
}

fn uri(uri: &str) -> SanType {
    SanType::URI(uri.try_into().expect("an ASCII URI"))
}

fn now() -> u64 {
    let now = DefaultTimeProvider.current_time();
    now.expect("a clock").as_secs()
}

fn date(unix: u64) -> time::OffsetDateTime {
    let seconds = i64::try_from(unix).expect("a date in range");
    time::OffsetDateTime::from_unix_timestamp(seconds).expect("a date in range")
}

/// The part the owner of a chain plays in a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// It has called.
    Caller,
    /// It was called.
    Called,
}

/// Whose a chain is, decided as in a handshake, at a time given in seconds since the Unix epoch.
///
/// # Errors
/// Why it is nobody's. The path to the roots is looked at before the names in the leaf: a refusal because of the names
/// says that the path holds.
///
/// # Panics
/// If there is no cryptography.
pub fn verify_chain(
    chain: &[CertificateDer<'_>],
    roots: &Roots,
    part: Part,
    now: u64,
) -> Result<ServiceId, InvalidPeer> {
    let provider = crypto_provider().expect("a provider");
    let usage = match part {
        Part::Caller => Usage::Client,
        Part::Called => Usage::Server,
    };
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
    let algorithms = &provider.signature_verification_algorithms;
    tls::verify(chain, roots, algorithms, usage, now).map(|verified| verified.id)
}

/// A wall clock that a test moves.
#[derive(Debug)]
pub struct TestClock(Mutex<Time>);

#[derive(Clone, Copy, Debug)]
enum Time {
    Shifted(i64),
    Fixed(u64),
}

impl TestClock {
    /// The system's time, shifted by `seconds`.
    pub fn shifted(seconds: i64) -> Self {
        Self(Mutex::new(Time::Shifted(seconds)))
    }

    /// A clock that stands still at `seconds` since the Unix epoch.
    pub fn fixed(seconds: u64) -> Self {
        Self(Mutex::new(Time::Fixed(seconds)))
    }

    /// Shifts it anew, relative to the system's time.
    pub fn shift(&self, seconds: i64) {
        *self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = Time::Shifted(seconds);
    }
}

impl TimeProvider for TestClock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = match *self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
        {
            Time::Fixed(seconds) => seconds,
            Time::Shifted(by) => DefaultTimeProvider
                .current_time()?
                .as_secs()
                .saturating_add_signed(by),
        };
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}
