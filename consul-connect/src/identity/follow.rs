//! From what a source delivers to what is published.

mod complaints;

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use futures_core::stream::BoxStream;
use futures_util::StreamExt;
use rustls::{crypto::CryptoProvider, time_provider::TimeProvider};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use tokio::time::{Instant, sleep_until};

use self::complaints::Complaints;
use super::{
    Health, IdentityError, IdentityFault, InvalidMaterial, Material, Shared, Snapshot,
    source::SourceError,
};
use crate::{InvalidPeer, Roots, ServiceName, time::after};

/// Material that is not valid yet is looked at again this often, because clocks are set.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

type Materials = BoxStream<'static, Result<Material, SourceError>>;

/// What a source delivers, and again what came before its time.
pub(super) struct Deliveries {
    stream: Materials,
    ended: bool,
    early: Option<(Material, Instant)>,
    complaints: Complaints,
}

impl Deliveries {
    pub(super) fn new(stream: Materials) -> Self {
        Self {
            stream,
            ended: false,
            early: None,
            complaints: Complaints::default(),
        }
    }

    /// Writes down what is wrong with the last one.
    fn complain(&mut self, fault: &IdentityFault, source: &str) {
        let cause = std::error::Error::source(fault).map(|cause| {
            cause
                .source()
                .map_or_else(|| cause.to_string(), |deeper| format!("{cause}: {deeper}"))
        });
        match self.complaints.due(fault, Instant::now()) {
            Some(kept_back) => {
                tracing::warn!(source, cause, kept_back, "{fault}; the leaf in use is kept");
            }
            None => tracing::debug!(source, cause, "{fault}; the leaf in use is kept"),
        }
    }

    /// The next one; `None` once nothing can come any more.
    async fn next(&mut self) -> Option<Result<Material, SourceError>> {
        loop {
            let due = self.early.as_ref().map(|(_, due)| *due);
            tokio::select! {
                biased;
                item = self.stream.next(), if !self.ended => match item {
                    Some(Ok(newer)) => {
                        self.early = None;
                        return Some(Ok(newer));
                    }
                    Some(Err(cause)) => return Some(Err(cause)),
                    None => self.ended = true,
                },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    return self.early.take().map(|(material, _)| Ok(material));
                }
                else => return None,
            }
        }
    }

    /// Keeps material that was refused for now alone, to deliver it again when its time has come.
    fn keep_if_early(&mut self, material: Material, fault: &InvalidMaterial) {
        if let InvalidMaterial::Leaf(InvalidPeer::NotYetValid { skew }) = fault {
            let wait = skew.saturating_add(Duration::from_secs(1)).min(LOOK_AGAIN);
            self.early = Some((material, after(Instant::now(), wait)));
        }
    }
}

pub(super) struct Validate {
    pub(super) service: Option<ServiceName>,
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) time: Arc<dyn TimeProvider>,
}

impl Validate {
    fn snapshot(&self, material: &Material, generation: u64) -> Result<Snapshot, InvalidMaterial> {
        Snapshot::validate(
            material,
            generation,
            self.service.as_ref(),
            &self.provider,
            &self.time,
        )
    }
}

/// Waits for the first usable material.
pub(super) async fn first(
    deliveries: &mut Deliveries,
    validate: &Validate,
    described: &str,
    last: &mut Option<IdentityFault>,
) -> Result<Snapshot, IdentityError> {
    while let Some(item) = deliveries.next().await {
        let fault = match item {
            Err(cause) if cause.is_permanent() => {
                return Err(IdentityError::Refused {
                    described: described.to_owned(),
                    cause,
                });
            }
            Err(cause) => IdentityFault::Source(cause),
            Ok(material) => match validate.snapshot(&material, 1) {
                Ok(snapshot) => return Ok(snapshot),
                Err(fault) => {
                    deliveries.keep_if_early(material, &fault);
                    IdentityFault::Material(fault)
                }
            },
        };
        deliveries.complain(&fault, described);
        *last = Some(fault);
    }
    Err(IdentityError::Ended {
        described: described.to_owned(),
        last: last.take(),
    })
}

/// Publishes what comes, until nothing can come any more.
pub(super) async fn follow(mut deliveries: Deliveries, validate: Validate, shared: Arc<Shared>) {
    let set = |update: &dyn Fn(&mut Health)| {
        update(&mut shared.health.lock().unwrap_or_else(PoisonError::into_inner));
    };
    while let Some(item) = deliveries.next().await {
        let current = shared.current.load_full();
        let (snapshot, fault) = match item {
            Err(cause) => (None, Some(IdentityFault::Source(cause))),
            Ok(material) => match validate.snapshot(&material, current.generation() + 1) {
                Ok(snapshot) => (Some(snapshot), None),
                Err(fault) => {
                    let snapshot = withdrawn(&material, &fault, &current);
                    deliveries.keep_if_early(material, &fault);
                    (snapshot, Some(IdentityFault::Material(fault)))
                }
            },
        };
        if let Some(fault) = &fault {
            deliveries.complain(fault, &shared.source);
        }
        set(&|health| health.fault.clone_from(&fault));
        if let Some(snapshot) = snapshot {
            publish(&shared, &current, snapshot);
        }
    }
    set(&|health| health.ended = true);
}

/// The leaf in use under roots that no longer anchor it. Trust that was withdrawn must not wait for a leaf of our own.
fn withdrawn(material: &Material, fault: &InvalidMaterial, current: &Snapshot) -> Option<Snapshot> {
    let InvalidMaterial::Leaf(InvalidPeer::UnknownIssuer { .. }) = fault else {
        return None;
    };
    let leaf = CertificateDer::pem_slice_iter(material.chain_pem.as_bytes())
        .next()?
        .ok()?;
    if current.leaf().key().cert.first() != Some(&leaf) {
        return None;
    }
    // Without a name of their own they stand for the trust domain of the leaf, which is the current one.
    let named = material.trust_domain.clone();
    let named = named.unwrap_or_else(|| current.trust_domain().clone());
    let pems = material.roots_pem.iter().map(String::as_str);
    let roots = Roots::from_pem(pems, Some(named)).ok()?;
    (roots.trust_domain() == current.trust_domain())
        .then(|| current.under(roots, current.generation() + 1))
}

fn publish(shared: &Shared, current: &Snapshot, snapshot: Snapshot) {
    if snapshot.same_as(current) {
        return;
    }
    if snapshot.trust_domain() != current.trust_domain() {
        tracing::warn!(
            from = %current.trust_domain(), to = %snapshot.trust_domain(),
            "the mesh has a new trust domain: members that still hold the old one refuse this one until they renew",
        );
    }
    tracing::info!(
        id = %snapshot.id(), generation = snapshot.generation(), serial = snapshot.leaf().serial(),
        roots = snapshot.roots().len(), "identity renewed",
    );
    let generation = snapshot.generation();
    // Store first, notify after: whoever wakes finds the new one.
    shared.current.store(Arc::new(snapshot));
    shared.changes.send_replace(generation);
}
