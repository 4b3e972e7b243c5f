//! In what we differ from Envoy, and in nothing else.

use mesh_tests::raw_http::RawAnswer;

use crate::world::Both;

pub(crate) enum Comparison {
    Same,
    /// It is known that we differ in this.
    Named(&'static str),
    Wrong,
}

pub(crate) fn compare(target: &[u8], both: &Both<RawAnswer>) -> Comparison {
    let Both { envoy, ours } = both;
    let goes_on = |answer: &RawAnswer| matches!(answer.status, 200 | 307);
    match (goes_on(envoy), goes_on(ours)) {
        // The body is what the application saw.
        (true, true) if envoy == ours => Comparison::Same,
        (false, false) if envoy.status == ours.status => Comparison::Same,
        // 404 for a target without a path, and over h2 an end of the stream in place of a 400.
        (false, false) => Comparison::Named("both refuse, by another status"),
        (true, false) if has_stray_byte(target) => {
            Comparison::Named("we refuse a byte that no URI has (RFC 3986)")
        }
        // hyper cuts a fragment off before anybody sees it: rules and application judge by the rest alike.
        (false, true) if target.contains(&b'#') && !ours.body.contains('#') => {
            Comparison::Named("Envoy refuses a fragment, which we never see")
        }
        _ => Comparison::Wrong,
    }
}

/// What the `http` crate takes for no part of a path or of a query.
fn has_stray_byte(target: &[u8]) -> bool {
    let query = target.iter().position(|byte| *byte == b'?');
    let (path, query) = target.split_at(query.unwrap_or(target.len()));
    let is_stray = |byte: &u8| *byte <= b' ' || b"<>\x7f".contains(byte);
    target.iter().any(is_stray)
        || path.contains(&b'`')
        || query.contains(&b'"')
        || std::str::from_utf8(target).is_err()
}
