//! The one ASN.1 form in which tokens and TLS differ: two integers. JOSE writes them as plain bytes.

const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;

/// `SEQUENCE { INTEGER, INTEGER }` of two big-endian numbers: an RSA public key (RFC 8017 A.1.1) of modulus and exponent, or an
/// ECDSA signature (RFC 3279 2.2.3) of r and s.
pub(super) fn two_integers(first: &[u8], second: &[u8]) -> Vec<u8> {
    let mut content = Vec::with_capacity(first.len() + second.len() + 10);
    integer(&mut content, first);
    integer(&mut content, second);
    let mut sequence = Vec::with_capacity(content.len() + 5);
    sequence.push(SEQUENCE);
    length(&mut sequence, content.len());
    sequence.extend_from_slice(&content);
    sequence
}

/// Shortest form: no leading zeros, but one where the first bit would make the number negative.
fn integer(out: &mut Vec<u8>, number: &[u8]) {
    let digits = without_leading_zeros(number);
    let pad = digits.first().is_none_or(|first| *first >= 0x80);
    out.push(INTEGER);
    length(out, digits.len() + usize::from(pad));
    if pad {
        out.push(0);
    }
    out.extend_from_slice(digits);
}

pub(super) fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|digit| **digit == 0).count();
    &number[zeros..]
}

fn length(out: &mut Vec<u8>, length: usize) {
    match u8::try_from(length) {
        Ok(short @ ..=0x7f) => out.push(short),
        _ => {
            let bytes = length.to_be_bytes();
            let digits = without_leading_zeros(&bytes);
            // A `usize` has at most eight of them.
            out.push(0x80 | digits.len() as u8);
            out.extend_from_slice(digits);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_short_as_they_can_be_and_never_negative() {
        let cases: [(&[u8], &[u8], &[u8]); 4] = [
            (&[1], &[2], &[0x30, 6, 2, 1, 1, 2, 1, 2]),
            (
                &[0, 0, 0x7f],
                &[0x80],
                &[0x30, 7, 2, 1, 0x7f, 2, 2, 0, 0x80],
            ),
            (&[], &[0, 0], &[0x30, 6, 2, 1, 0, 2, 1, 0]),
            (&[0, 0xff], &[1, 0], &[0x30, 8, 2, 2, 0, 0xff, 2, 2, 1, 0]),
        ];
        for (first, second, expected) in cases {
            assert_eq!(
                two_integers(first, second),
                expected,
                "{first:?} {second:?}"
            );
        }
    }

    #[test]
    fn lengths_from_128_on_have_their_own_length() {
        let of_127 = two_integers(&[1; 127], &[1]);
        assert_eq!(of_127[..5], [0x30, 0x81, 132, 2, 127]);
        let of_128 = two_integers(&[1; 128], &[1]);
        assert_eq!(of_128[..6], [0x30, 0x81, 134, 2, 0x81, 128]);
        let of_1024 = two_integers(&[1; 1024], &[1]);
        assert_eq!(of_1024[..8], [0x30, 0x82, 4, 7, 2, 0x82, 4, 0]);
    }
}
