//! The bytes of a path and their escapes (RFC 3986 §2).

/// What may be in a path as it is and means nothing by itself; the dot is left out, because it may.
pub(super) const fn is_plain(byte: u8) -> bool {
    PLAIN[byte as usize]
}

static PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        #[expect(clippy::cast_possible_truncation, reason = "less than 128")]
        let is_plain = is_unreserved(byte as u8) && byte as u8 != b'.'
            || matches!(
                byte as u8,
                b'/' | b'!' | b'$' | b'&'..=b',' | b':' | b';' | b'=' | b'@' | b'[' | b']'
            );
        plain[byte] = is_plain;
        byte += 1;
    }
    plain
};

/// What means the same with and without an escape.
pub(super) const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// What the escape at the beginning stands for, and what follows it.
pub(super) fn decode(text: &[u8]) -> Option<(u8, &[u8])> {
    let [b'%', high, low, rest @ ..] = text else {
        return None;
    };
    Some((digit(*high)? << 4 | digit(*low)?, rest))
}

/// The escape of a byte.
pub(super) fn encode(byte: u8) -> [u8; 3] {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |half: u8| DIGITS[usize::from(half & 0xf)];
    [b'%', digit(byte >> 4), digit(byte)]
}

/// Whether a `%` that begins no escape would begin one if what follows were decoded: `%%34%31` would become `%41`.
pub(super) fn is_nested(after_percent: &[u8]) -> bool {
    fn digit_of(text: &[u8]) -> Option<&[u8]> {
        let (byte, rest) =
            decode(text).or_else(|| text.split_first().map(|(b, rest)| (*b, rest)))?;
        digit(byte).map(|_| rest)
    }
    digit_of(after_percent).and_then(digit_of).is_some()
}

fn digit(byte: u8) -> Option<u8> {
    // One of sixteen.
    #[expect(clippy::cast_possible_truncation, reason = "less than 16")]
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}
