//! The one spelling of a path.
//!
//! Escapes of unreserved characters are decoded, a backslash is a slash, dot segments are resolved, and what must not be in a
//! path is escaped. An escape that stays keeps the case of its digits, and a `%` that begins none stays too: applications may
//! tell them apart. The one exception is a `%` that would begin an escape once others are decoded: it is escaped itself, so that
//! what comes out has no further spelling.

use std::borrow::Cow;

use consul_connect::{EscapedSlashes, RequestNormalization};

use super::escape;

/// A path that is not as it came.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Changed {
    pub(super) path: Vec<u8>,
    /// The caller is to be sent there.
    pub(super) redirect: bool,
}

/// `None` if the path is in its one spelling; an error is a reason to refuse it. `path` begins with `/` and has no query.
pub(super) fn normalize(
    rules: RequestNormalization,
    path: &str,
) -> Result<Option<Changed>, &'static str> {
    let mut path = Cow::Borrowed(path.as_bytes());
    let mut redirect = false;
    if rules.escaped_slashes != EscapedSlashes::KeepUnchanged
        && let Some(unescaped) = unescape_slashes(&path)
    {
        match rules.escaped_slashes {
            EscapedSlashes::UnescapeAndRedirect => redirect = true,
            EscapedSlashes::KeepUnchanged | EscapedSlashes::UnescapeAndForward => {}
            // So is what a later version may ask for: the strictest is never wrong.
            _ => return Err("the path has an escaped slash"),
        }
        path = Cow::Owned(unescaped);
    }
    if !rules.insecure_disable_path_normalization && !is_canonical(&path) {
        path = Cow::Owned(canonical(&path)?);
    }
    if rules.merge_slashes && has_double_slash(&path) && &*path != b"//" {
        path = Cow::Owned(merge_slashes(&path));
    }
    Ok(match path {
        Cow::Borrowed(_) => None,
        Cow::Owned(path) => Some(Changed { path, redirect }),
    })
}

/// Whether [`canonical`] would leave it as it is.
pub(super) fn is_canonical(path: &[u8]) -> bool {
    let mut rest = path;
    let mut after_slash = false;
    while let Some((&byte, after)) = rest.split_first() {
        rest = match byte {
            byte if escape::is_plain(byte) => after,
            b'.' if after_slash && Segment::after_dot(after) != Segment::Name => return false,
            b'.' => after,
            b'%' => match escape::decode(rest) {
                Some((byte, after)) if is_kept_escaped(byte) => after,
                None if !escape::is_nested(after) => after,
                _ => return false,
            },
            _ => return false,
        };
        after_slash = byte == b'/';
    }
    true
}

/// The path in its one spelling, as the canonicalization of browsers makes it (the URL Standard's, with unreserved characters
/// decoded).
pub(super) fn canonical(path: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        if let Some(after_dot) = dot(rest) {
            rest = after_dot;
            let segment = match out.last() {
                Some(b'/') => Segment::after_dot(after_dot),
                _ => Segment::Name,
            };
            match segment {
                Segment::Name => out.push(b'.'),
                Segment::Current(after) => rest = after,
                Segment::Parent(after) => {
                    leave(&mut out);
                    rest = after;
                }
            }
            continue;
        }
        let here = std::mem::replace(&mut rest, after);
        match byte {
            b'\\' => out.push(b'/'),
            b'%' => match escape::decode(here) {
                Some((0, _)) => return Err(NUL),
                Some((byte, after)) if escape::is_unreserved(byte) => {
                    out.push(byte);
                    rest = after;
                }
                Some((_, after)) => {
                    out.extend_from_slice(&here[..3]);
                    rest = after;
                }
                None if escape::is_nested(after) => out.extend_from_slice(&escape::encode(b'%')),
                None => out.push(b'%'),
            },
            0 => return Err(NUL),
            byte if escape::is_plain(byte) => out.push(byte),
            byte => out.extend_from_slice(&escape::encode(byte)),
        }
    }
    Ok(out)
}

const NUL: &str = "the path has a NUL";

/// Drops the last segment of what ends in a slash, as far as there is one.
fn leave(out: &mut Vec<u8>) {
    let segments = out.strip_suffix(b"/").unwrap_or(out);
    let parent = segments.iter().rposition(|byte| *byte == b'/');
    out.truncate(parent.map_or(1, |slash| slash + 1));
}

const fn is_kept_escaped(byte: u8) -> bool {
    byte != 0 && !escape::is_unreserved(byte)
}

/// What follows a dot, plain or escaped.
fn dot(text: &[u8]) -> Option<&[u8]> {
    match text {
        [b'.', rest @ ..] | [b'%', b'2', b'e' | b'E', rest @ ..] => Some(rest),
        _ => None,
    }
}

/// What a dot begins that follows a slash. With what follows the segment and its slash.
#[derive(Debug, PartialEq, Eq)]
enum Segment<'a> {
    Current(&'a [u8]),
    Parent(&'a [u8]),
    Name,
}

impl<'a> Segment<'a> {
    fn after_dot(text: &'a [u8]) -> Self {
        fn ended(text: &[u8]) -> Option<&[u8]> {
            match text {
                [] => Some(text),
                [b'/' | b'\\', rest @ ..] => Some(rest),
                _ => None,
            }
        }
        if let Some(rest) = ended(text) {
            return Self::Current(rest);
        }
        match dot(text).and_then(ended) {
            Some(rest) => Self::Parent(rest),
            None => Self::Name,
        }
    }
}

/// `None` if there is none.
fn unescape_slashes(path: &[u8]) -> Option<Vec<u8>> {
    let slash = |text: &[u8]| match escape::decode(text) {
        Some((byte @ (b'/' | b'\\'), _)) => Some(byte),
        _ => None,
    };
    let first = (0..path.len()).find(|at| slash(&path[*at..]).is_some())?;
    let mut out = path[..first].to_vec();
    let mut at = first;
    while at < path.len() {
        let unescaped = slash(&path[at..]);
        out.push(unescaped.unwrap_or(path[at]));
        at += if unescaped.is_some() { 3 } else { 1 };
    }
    Some(out)
}

fn has_double_slash(path: &[u8]) -> bool {
    path.windows(2).any(|two| two == b"//")
}

/// Nothing but slashes becomes two of them, as it does in Envoy: each end of a path keeps its own.
fn merge_slashes(path: &[u8]) -> Vec<u8> {
    let mut out = path.to_vec();
    out.dedup_by(|next, last| (*next, *last) == (b'/', b'/'));
    if out == b"/" {
        out.push(b'/');
    }
    out
}
