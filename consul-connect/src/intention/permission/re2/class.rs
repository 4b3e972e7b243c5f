//! Classes in brackets, and the escapes that are classes.

use regex_syntax::hir::ClassUnicode;

use super::{Invalid, cursor::Cursor, named};

/// A class in brackets, the first of which was read.
pub(super) fn bracketed(cursor: &mut Cursor<'_>, fold: bool) -> Result<ClassUnicode, Invalid> {
    let negated = cursor.eat("^");
    let mut class = ClassUnicode::empty();
    let mut first = true;
    // A bracket that comes first is a member.
    while first || cursor.peek() != Some(']') {
        first = false;
        if cursor.peek().is_none() {
            return Err(Invalid::MissingBracket);
        }
        if let Some(named) = posix(cursor, fold)? {
            class.union(&named);
        } else if let Some(named) = escaped(cursor, fold)? {
            class.union(&named);
        } else {
            let low = member(cursor)?;
            let mut high = low;
            // A dash right before the closing bracket is a member.
            if cursor.rest.starts_with('-')
                && !cursor.rest.starts_with("-]")
                && cursor.rest.len() > 1
            {
                cursor.take();
                high = member(cursor)?;
            }
            if high < low {
                return Err(Invalid::Range(low, high));
            }
            class.union(&finish(
                ClassUnicode::new([named::range(low, high)]),
                fold,
                false,
            )?);
        }
    }
    cursor.take();
    // Its members are folded already.
    finish(class, false, negated)
}

/// A class that is an escape: `\d` and its like, `\pL`, `\p{Lu}`. `None`: what comes next is none.
pub(super) fn escaped(
    cursor: &mut Cursor<'_>,
    fold: bool,
) -> Result<Option<ClassUnicode>, Invalid> {
    let mut ahead = *cursor;
    if !ahead.eat("\\") {
        return Ok(None);
    }
    let Some(letter) = ahead.take() else {
        return Ok(None);
    };
    let mut negated = letter.is_ascii_uppercase();
    let class = if matches!(letter, 'p' | 'P') {
        let unknown = |name: &str| Invalid::Class(format!("\\{letter}{name}"));
        let rest = ahead.rest;
        let name = if ahead.eat("{") {
            ahead.until("}").ok_or_else(|| unknown(rest))?
        } else {
            let one = ahead.take().ok_or_else(|| unknown(""))?;
            &rest[..one.len_utf8()]
        };
        let positive = name.strip_prefix('^');
        negated ^= positive.is_some();
        named::unicode(positive.unwrap_or(name)).ok_or_else(|| unknown(&format!("{{{name}}}")))?
    } else {
        match named::perl(letter.to_ascii_lowercase()) {
            Some(class) => class,
            None => return Ok(None),
        }
    };
    *cursor = ahead;
    finish(class, fold, negated).map(Some)
}

/// `[:alpha:]`, `[:^alpha:]`. `None`: it is a bracket like any other.
fn posix(cursor: &mut Cursor<'_>, fold: bool) -> Result<Option<ClassUnicode>, Invalid> {
    let mut ahead = *cursor;
    if !ahead.eat("[:") {
        return Ok(None);
    }
    let Some(name) = ahead.until(":]") else {
        return Ok(None);
    };
    let positive = name.strip_prefix('^');
    let class = named::posix(positive.unwrap_or(name))
        .ok_or_else(|| Invalid::Class(format!("[:{name}:]")))?;
    *cursor = ahead;
    finish(class, fold, positive.is_some()).map(Some)
}

fn member(cursor: &mut Cursor<'_>) -> Result<char, Invalid> {
    match cursor.take() {
        None => Err(Invalid::MissingBracket),
        Some('\\') => cursor.escaped(),
        Some(other) => Ok(other),
    }
}

/// Folds first: what is not `k` is not `K` either when case does not matter.
pub(super) fn finish(
    mut class: ClassUnicode,
    fold: bool,
    negated: bool,
) -> Result<ClassUnicode, Invalid> {
    if fold {
        class
            .try_case_fold_simple()
            .map_err(|error| Invalid::TooLarge(error.to_string()))?;
    }
    if negated {
        class.negate();
    }
    Ok(class)
}
