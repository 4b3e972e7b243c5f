//! The few DER structures rcgen does not write.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// PEM with 64 columns and a final newline, as Go writes it.
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = tail;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

/// The contents of the first PEM block of `text`, if it has the given label.
pub(crate) fn first_pem(text: &str, label: &str) -> Option<Vec<u8>> {
    let begin = format!("-----BEGIN {label}-----");
    let end = format!("-----END {label}-----");
    let body = text
        .split_once(begin.as_str())?
        .1
        .split_once(end.as_str())?
        .0;
    let joined: String = body.split_whitespace().collect();
    STANDARD.decode(joined).ok()
}

/// `ECPrivateKey` (SEC1) of a P-256 key with its named curve and public point.
pub(super) fn sec1_p256(scalar: &[u8], point: &[u8]) -> Vec<u8> {
    let mut body = vec![0x02, 0x01, 0x01, 0x04, 0x20];
    // A scalar with leading zero bytes may arrive shorter than the field.
    body.extend(std::iter::repeat_n(
        0,
        32_usize.saturating_sub(scalar.len()),
    ));
    body.extend_from_slice(scalar);
    body.extend_from_slice(&[
        0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
    ]);
    body.extend_from_slice(&[0xa1, 0x44, 0x03, 0x42, 0x00]);
    body.extend_from_slice(point);
    let mut der = vec![0x30];
    push_length(&mut der, body.len());
    der.extend_from_slice(&body);
    der
}

/// A `SEQUENCE` of already encoded parts.
pub(super) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    let length = parts.iter().map(|part| part.len()).sum();
    let mut der = vec![0x30];
    push_length(&mut der, length);
    for part in parts {
        der.extend_from_slice(part);
    }
    der
}

/// A `BIT STRING` without unused bits.
pub(super) fn bit_string(bytes: &[u8]) -> Vec<u8> {
    let mut der = vec![0x03];
    push_length(&mut der, bytes.len() + 1);
    der.push(0);
    der.extend_from_slice(bytes);
    der
}

fn push_length(der: &mut Vec<u8>, length: usize) {
    if length < 0x80 {
        der.push(length as u8);
        return;
    }
    let bytes = length.to_be_bytes();
    let skip = bytes.iter().take_while(|byte| **byte == 0).count();
    der.push(0x80 | (bytes.len() - skip) as u8);
    der.extend_from_slice(&bytes[skip..]);
}

pub(super) fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, bytes).as_ref().to_vec()
}

pub(super) fn sha1(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes)
        .as_ref()
        .to_vec()
}

/// `ab:6b:88`: how Consul shows ids and serial numbers.
pub(super) fn colon_hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .join(":")
}
