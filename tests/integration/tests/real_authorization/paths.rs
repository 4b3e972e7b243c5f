//! Other spellings of a path: some mean the same, some something else, some nothing.

use rand::{Rng as _, rngs::StdRng};

use super::{callers::Protocol, sets::pick};

/// The request's target, respelled before its query.
pub(crate) fn respell(random: &mut StdRng, target: &str, protocol: Protocol) -> String {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let mut path = path.to_owned();
    for _ in 0..random.random_range(1..=2) {
        path = once(random, &path);
    }
    // Only HTTP/1.1 has the absolute form.
    if protocol == Protocol::Http1 && random.random_bool(0.04) {
        path.insert_str(0, "http://lab");
    }
    match query {
        Some(query) => format!("{path}?{query}"),
        None if random.random_bool(0.1) => format!("{path}?x=/../admin"),
        None => path,
    }
}

fn once(random: &mut StdRng, path: &str) -> String {
    // Where a segment begins: behind one of its slashes.
    let slashes: Vec<_> = path.match_indices('/').map(|(index, _)| index).collect();
    let Some(&slash) = slashes.get(random.random_range(0..slashes.len().max(1))) else {
        return path.to_owned();
    };
    let (before, after) = path.split_at(slash + 1);
    let detour = pick(
        random,
        &[
            "./",
            "x/../",
            "../",
            "x/%2e%2e/",
            "%2E/",
            "x/.%2E/",
            "/",
            "x/..;/",
            "x\\..\\",
            ".../",
        ],
    );
    match random.random_range(0..10) {
        0..=2 => format!("{before}{detour}{after}"),
        3 | 4 => encode_one(random, path),
        5 => format!(
            "{}{}{after}",
            &before[..slash],
            pick(random, &["\\", "%2f", "%2F", "%5c"])
        ),
        6 => format!(
            "{path}{}",
            pick(random, &["/", "/.", "/..", ";v=1", "//", "/../"])
        ),
        7 => path.to_ascii_uppercase(),
        8 => format!(
            "{before}{}{after}",
            pick(random, &["%", "%zz", "%00", "%25", "%c3%a9"])
        ),
        _ => format!(
            "{path}{}",
            pick(random, &["|", "\"", "{}", "~", "%7e", "'", "+", "%20"])
        ),
    }
}

/// Percent-encodes one letter or digit.
fn encode_one(random: &mut StdRng, path: &str) -> String {
    let plain: Vec<_> = (path.char_indices())
        .filter(|(_, c)| c.is_ascii_alphanumeric())
        .collect();
    let Some(&(index, c)) = plain.get(random.random_range(0..plain.len().max(1))) else {
        return path.to_owned();
    };
    let code = u32::from(c);
    let code = match random.random_bool(0.5) {
        true => format!("%{code:02x}"),
        false => format!("%{code:02X}"),
    };
    format!("{}{code}{}", &path[..index], &path[index + 1..])
}
