//! A request out of bytes that a fuzzer changes.

use http::{HeaderName, HeaderValue, Request, Version, request::Parts};

/// Reads what looks like the head of an HTTP/1.1 request, and gives the rest. What cannot be a part of a head is left out.
pub(super) fn head(data: &[u8]) -> (Parts, &[u8]) {
    let (head, rest) = block(data);
    let mut lines = head.split(|&byte| byte == b'\n');
    let mut words = lines.next().unwrap_or_default().split(|&byte| byte == b' ');
    let method = words.next().unwrap_or_default();
    let target = words.next().unwrap_or_default();
    let mut request = Request::builder().method(method).uri(target).body(());
    if request.is_err() {
        request = Request::builder().uri("/").body(());
    }
    let mut parts = request
        .expect("a path and nothing else is a request")
        .into_parts()
        .0;
    if words.next() == Some(b"h2") {
        parts.version = Version::HTTP_2;
    }
    for line in lines {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            parts.headers.append(name, value);
        }
    }
    (parts, rest)
}

/// What is between empty lines; all the rest is in the last one.
pub(super) fn blocks<const N: usize>(data: &[u8]) -> [&[u8]; N] {
    let mut blocks = [&[][..]; N];
    let mut rest = data;
    if let Some((last, others)) = blocks.split_last_mut() {
        for other in others {
            (*other, rest) = block(rest);
        }
        *last = rest;
    }
    blocks
}

fn block(data: &[u8]) -> (&[u8], &[u8]) {
    match data.windows(2).position(|two| two == b"\n\n") {
        Some(end) => (&data[..end], &data[end + 2..]),
        None => (data, &[]),
    }
}
