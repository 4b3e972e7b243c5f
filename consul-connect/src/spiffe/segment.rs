//! One path segment: the characters Consul writes as they are, everything else percent-encoded, and nothing else.

use std::borrow::Cow;

use super::Problem;

/// Written as they are in a path segment by Consul (Go's `url.URL`).
fn is_literal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~$&+,:;=@".contains(&byte)
}

/// What no decoded name may hold: separators, the wildcard, the escape itself, control characters.
pub(super) fn is_forbidden(c: char) -> bool {
    matches!(c, '/' | '*' | '%' | '\\' | '?' | '#') || c.is_control()
}

pub(super) fn encode(value: &str) -> Cow<'_, str> {
    if value.bytes().all(is_literal) {
        return Cow::Borrowed(value);
    }
    let mut out = String::with_capacity(value.len() + 8);
    for byte in value.bytes() {
        if is_literal(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    Cow::Owned(out)
}

pub(super) fn decode(raw: &str) -> Result<Cow<'_, str>, Problem> {
    if matches!(raw, "" | "." | "..") {
        return Err(Problem::DotOrEmptySegment);
    }
    if raw.bytes().all(is_literal) {
        return Ok(Cow::Borrowed(raw));
    }
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        let decoded = match byte {
            b'%' => {
                let hex = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
                let (Some(high), Some(low)) = (hex(rest.next()), hex(rest.next())) else {
                    return Err(Problem::Spelling);
                };
                u8::try_from(high * 16 + low).map_err(|_e| Problem::Spelling)?
            }
            byte => byte,
        };
        bytes.push(decoded);
    }
    let value = String::from_utf8(bytes).map_err(|_e| Problem::Spelling)?;
    // Only the canonical spelling: what was escaped without need, or in lower case, is a second name for the same thing.
    if value.contains(is_forbidden) || encode(&value) != raw {
        return Err(Problem::Spelling);
    }
    Ok(Cow::Owned(value))
}
