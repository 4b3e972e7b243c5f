//! `x-forwarded-client-cert`: whom a proxy says it has verified.
//!
//! The header is a list of elements joined by commas, one for each proxy the request came through; an element is a list of
//! `key=value` pairs joined by semicolons. A value that holds a comma, a semicolon or an equals sign is in double quotes, in
//! which a double quote is written `\"`. Keys are case-insensitive. Source: Envoy's documentation of its HTTP headers.
//!
//! Reading is strict, because two readers who disagree about where a value ends disagree about who calls: what is not exactly
//! of this form is refused whole, also behind the element that is looked at.

use std::borrow::Cow;

/// One element: what one proxy says about its caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element<'a>(Vec<(&'a str, Cow<'a, str>)>);

/// Not a well-formed header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// A key is not a word.
    #[error("a key is not a word, or has no value")]
    Key,
    /// A quoted value has no end, or something after it.
    #[error("a quoted value does not end where it should")]
    Quotes,
    /// A value that is not quoted has a quote in it.
    #[error("a quote inside a value that is not quoted")]
    StrayQuote,
    /// A key that may be there once is there more often.
    #[error("`{0}` is there more than once")]
    Twice(&'static str),
}

impl<'a> Element<'a> {
    /// The value of a key that may be there once.
    ///
    /// # Errors
    ///
    /// [`Malformed::Twice`] if it is there more often.
    pub fn only(&self, key: &'static str) -> Result<Option<&str>, Malformed> {
        let mut values = self
            .0
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(key));
        let first = values.next().map(|(_, value)| &**value);
        match values.next() {
            None => Ok(first),
            Some(_) => Err(Malformed::Twice(key)),
        }
    }

    /// All pairs, in order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (*key, &**value))
    }
}

/// The elements of a header, that of the proxy farthest away first. There is one at least.
///
/// # Errors
///
/// [`Malformed`] says what is wrong with any of them.
pub fn parse(header: &str) -> Result<Vec<Element<'_>>, Malformed> {
    let mut elements = Vec::new();
    let mut rest = header;
    loop {
        let mut pairs = Vec::new();
        let end = loop {
            let (pair, after) = pair(rest)?;
            pairs.push(pair);
            match after.split_at_checked(1) {
                None => break None,
                Some((",", after)) => break Some(after),
                // `pair` stops at nothing else.
                Some((_, after)) => rest = after,
            }
        };
        elements.push(Element(pairs));
        match end {
            None => return Ok(elements),
            Some(after) => rest = after,
        }
    }
}

type Pair<'a> = (&'a str, Cow<'a, str>);

/// One pair, and what follows it: nothing, or what begins with a comma or a semicolon.
fn pair(text: &str) -> Result<(Pair<'_>, &str), Malformed> {
    let (key, text) = text.split_once('=').ok_or(Malformed::Key)?;
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Malformed::Key);
    }
    if let Some(text) = text.strip_prefix('"') {
        let (value, after) = quoted(text)?;
        return Ok(((key, value), after));
    }
    let (value, after) = text.split_at(text.find([',', ';']).unwrap_or(text.len()));
    if value.contains('"') {
        return Err(Malformed::StrayQuote);
    }
    Ok(((key, value.into()), after))
}

/// The value up to the closing quote, and what follows that.
fn quoted(text: &str) -> Result<(Cow<'_, str>, &str), Malformed> {
    let mut escaped = false;
    let end = text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    let (value, after) = text.split_at(end.ok_or(Malformed::Quotes)?);
    let after = after.strip_prefix('"').unwrap_or(after);
    if !(after.is_empty() || after.starts_with([',', ';'])) {
        return Err(Malformed::Quotes);
    }
    Ok((unescaped(value), after))
}

/// Other escapes, as the names of certificates have them, stay as they are.
fn unescaped(value: &str) -> Cow<'_, str> {
    if !value.contains('\\') {
        return value.into();
    }
    let mut plain = String::with_capacity(value.len());
    let mut chars = value.chars().peekable();
    while let Some(char) = chars.next() {
        match (char, chars.peek()) {
            ('\\', Some(&next @ ('"' | '\\'))) => {
                plain.push(next);
                chars.next();
            }
            _ => plain.push(char),
        }
    }
    plain.into()
}

#[cfg(test)]
mod tests;
