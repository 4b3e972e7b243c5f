//! Which faults of an identity are worth a warning: one of a kind a minute, however often it happens.

use std::{mem::Discriminant, time::Duration};

use tokio::time::Instant;

use crate::identity::{IdentityFault, InvalidMaterial};

/// Between two warnings of one kind.
const EVERY: Duration = Duration::from_secs(60);

/// Kinds remembered. A source may word each of its failures differently; then the one that was complained of longest ago
/// is news again.
const KINDS: usize = 8;

/// What was complained of.
#[derive(Debug, Default)]
pub(super) struct Complaints(Vec<Complaint>);

#[derive(Debug)]
struct Complaint {
    kind: Kind,
    said: Instant,
    kept_back: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    /// What the source was doing.
    Source(String),
    Material(Discriminant<InvalidMaterial>),
}

impl Kind {
    fn of(fault: &IdentityFault) -> Self {
        match fault {
            IdentityFault::Source(error) => Self::Source(error.to_string()),
            IdentityFault::Material(invalid) => Self::Material(std::mem::discriminant(invalid)),
        }
    }
}

impl Complaints {
    /// If there is to be a warning of this fault now: how many of its kind have been kept back since the last one.
    pub(super) fn due(&mut self, fault: &IdentityFault, now: Instant) -> Option<u64> {
        let kind = Kind::of(fault);
        if let Some(known) = self.0.iter_mut().find(|known| known.kind == kind) {
            if now.saturating_duration_since(known.said) < EVERY {
                known.kept_back += 1;
                return None;
            }
            known.said = now;
            return Some(std::mem::take(&mut known.kept_back));
        }
        if self.0.len() == KINDS
            && let Some((oldest, _)) = self.0.iter().enumerate().min_by_key(|(_, one)| one.said)
        {
            self.0.swap_remove(oldest);
        }
        self.0.push(Complaint {
            kind,
            said: now,
            kept_back: 0,
        });
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::source::SourceError;

    fn source(doing: &str) -> IdentityFault {
        IdentityFault::Source(SourceError::new(doing))
    }

    #[test]
    fn one_warning_of_a_kind_a_minute_counts_what_it_keeps_back() {
        let mut complaints = Complaints::default();
        let began = Instant::now();
        let fault = source("signing a leaf");
        let said: Vec<(u64, u64)> = (0..150)
            .filter_map(|second| {
                let now = began + Duration::from_secs(second);
                Some((second, complaints.due(&fault, now)?))
            })
            .collect();
        assert_eq!(said, [(0, 0), (60, 59), (120, 59)]);
    }

    #[test]
    fn another_kind_is_news_at_once() {
        let mut complaints = Complaints::default();
        let now = Instant::now();
        let material = |invalid| IdentityFault::Material(invalid);
        let faults = [
            source("signing a leaf"),
            source("following the roots"),
            material(InvalidMaterial::KeyMismatch),
            material(InvalidMaterial::Chain("no PEM".to_owned())),
        ];
        for fault in &faults {
            assert_eq!(complaints.due(fault, now), Some(0), "{fault}");
        }
        for fault in &faults {
            assert_eq!(complaints.due(fault, now), None, "{fault}");
        }
        let same = material(InvalidMaterial::Chain("other words".to_owned()));
        assert_eq!(complaints.due(&same, now), None);
    }

    #[test]
    fn a_source_with_new_words_each_time_does_not_grow_the_memory() {
        let mut complaints = Complaints::default();
        let now = Instant::now();
        for number in 0..1000 {
            complaints.due(&source(&format!("attempt {number}")), now);
        }
        assert_eq!(complaints.0.len(), KINDS);
    }
}
