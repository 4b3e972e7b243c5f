//! The bytes a class stands for.
//!
//! RE2 reads UTF-8, but not as strictly as Rust does: where a class has everything beyond ASCII, as `.` has, overlong forms and
//! numbers beyond Unicode pass, and where one goes across the gap of the surrogates, so do those. An expression that is to deny
//! must see through what is no text just as Envoy's does.

use regex_syntax::hir::{Class, ClassBytes, ClassBytesRange, ClassUnicode, Hir};

use super::named::range;

pub(super) fn encode(class: ClassUnicode) -> Hir {
    let last = class.ranges().last().copied();
    let mut also = Vec::new();
    let mut strict = class;
    if last.is_some_and(|last| last.start() <= '\u{80}' && last.end() == char::MAX) {
        strict.intersect(&ClassUnicode::new([range('\0', '\x7F')]));
        also.push(sequence(&[(0xC2, 0xDF), (0x80, 0xBF)]));
        also.push(sequence(&[(0xE0, 0xEF), (0x80, 0xBF), (0x80, 0xBF)]));
        also.push(sequence(&[
            (0xF0, 0xF4),
            (0x80, 0xBF),
            (0x80, 0xBF),
            (0x80, 0xBF),
        ]));
    } else if strict
        .iter()
        .any(|range| range.start() <= '\u{D7FF}' && range.end() >= '\u{E000}')
    {
        also.push(sequence(&[(0xED, 0xED), (0xA0, 0xBF), (0x80, 0xBF)]));
    }
    also.insert(0, Hir::class(Class::Unicode(strict)));
    Hir::alternation(also)
}

fn sequence(bytes: &[(u8, u8)]) -> Hir {
    Hir::concat(
        bytes
            .iter()
            .map(|&(low, high)| {
                let class = ClassBytes::new([ClassBytesRange::new(low, high)]);
                Hir::class(Class::Bytes(class))
            })
            .collect(),
    )
}
