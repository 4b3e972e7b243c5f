//! The trust bundle as the CA streams it.

use std::time::{Duration, SystemTime};

use super::wire;

/// The roots of the mesh CA: one whole state of the trust bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Roots {
    /// [`Root::id`] of the root that signs now.
    pub active_root_id: String,
    /// The trust domain, without a scheme.
    pub trust_domain: String,
    /// All roots that are to be trusted, in the server's order, which is not that of their age.
    pub roots: Vec<Root>,
}

/// One root certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Root {
    /// The server's name of this root.
    pub id: String,
    /// A name for people.
    pub name: String,
    /// The low 64 bits of the certificate's serial number.
    pub serial_number: u64,
    /// Key identifier of the certificate that signs leafs, in colon-separated hex. In a secondary datacenter it is the
    /// intermediate's.
    pub signing_key_id: String,
    /// PEM of the root certificate.
    pub root_cert: String,
    /// PEM of each certificate between the root and the leafs.
    pub intermediate_certs: Vec<String>,
    /// Whether this root signs now.
    pub active: bool,
    /// When another root took over; `None` for the active one.
    pub rotated_out_at: Option<SystemTime>,
}

impl From<wire::WatchRootsResponse> for Roots {
    fn from(wire: wire::WatchRootsResponse) -> Self {
        Self {
            active_root_id: wire.active_root_id,
            trust_domain: wire.trust_domain,
            roots: wire.roots.into_iter().map(Root::from).collect(),
        }
    }
}

impl From<wire::CaRoot> for Root {
    fn from(wire: wire::CaRoot) -> Self {
        Self {
            id: wire.id,
            name: wire.name,
            serial_number: wire.serial_number,
            signing_key_id: wire.signing_key_id,
            root_cert: wire.root_cert,
            intermediate_certs: wire.intermediate_certs,
            active: wire.active,
            rotated_out_at: wire.rotated_out_at.and_then(rotated_out_at),
        }
    }
}

/// Consul writes Go's zero time, the first second of the year 1, where it means "not at all". Nothing was rotated out
/// before 1970.
fn rotated_out_at(at: wire::Timestamp) -> Option<SystemTime> {
    let seconds = u64::try_from(at.seconds)
        .ok()
        .filter(|&seconds| seconds > 0)?;
    let nanos = u32::try_from(at.nanos)
        .ok()
        .filter(|&nanos| nanos < 1_000_000_000)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanos))
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    fn root(rotated_out_at: Option<(i64, i32)>) -> Root {
        let rotated_out_at =
            rotated_out_at.map(|(seconds, nanos)| wire::Timestamp { seconds, nanos });
        Root::from(wire::CaRoot {
            rotated_out_at,
            ..Default::default()
        })
    }

    #[test]
    fn a_live_root_is_rotated_out_in_the_year_1() {
        assert_eq!(root(Some((-62_135_596_800, 0))).rotated_out_at, None);
        assert_eq!(root(Some((0, 0))).rotated_out_at, None);
        assert_eq!(root(None).rotated_out_at, None);
    }

    #[test]
    fn a_retired_root_says_since_when() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_500);
        assert_eq!(
            root(Some((1_700_000_000, 500_000_000))).rotated_out_at,
            Some(at)
        );
    }

    #[test]
    fn a_time_beyond_reason_is_no_panic() {
        for (seconds, nanos) in [(i64::MAX, i32::MAX), (i64::MIN, i32::MIN), (1, -1)] {
            assert_eq!(root(Some((seconds, nanos))).rotated_out_at, None);
        }
    }

    #[test]
    fn the_numbers_of_the_fields_are_consuls() {
        // Built by hand from the field numbers: 1 id, 3 serial (u64), 7 active, inside field 3 of the response.
        let root = [
            &[0x0a, 0x01, b'r'][..],
            &[
                0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
            ],
            &[0x38, 0x01],
        ]
        .concat();
        let length = u8::try_from(root.len()).unwrap();
        let bytes = [
            &[0x0a, 0x01, b'r', 0x12, 0x02, b't', b'd', 0x1a, length][..],
            &root,
        ]
        .concat();
        let roots = Roots::from(wire::WatchRootsResponse::decode(&bytes[..]).unwrap());
        assert_eq!(
            (roots.active_root_id.as_str(), roots.trust_domain.as_str()),
            ("r", "td")
        );
        assert_eq!(
            (roots.roots[0].serial_number, roots.roots[0].active),
            (u64::MAX, true)
        );
        let signed = wire::SignResponse::decode(&[0x12, 0x01, b'c'][..]).unwrap();
        assert_eq!(signed.cert_pem, "c");
    }
}
