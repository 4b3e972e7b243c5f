//! Reading an expression from left to right, and the escapes that stand for one character.

use super::Invalid;

#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'p> {
    pub(super) rest: &'p str,
}

impl<'p> Cursor<'p> {
    pub(super) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    pub(super) fn take(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.rest = &self.rest[next.len_utf8()..];
        Some(next)
    }

    /// Goes past `token` if it is what comes next.
    pub(super) fn eat(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Everything before `end`, and goes past `end`; `None` if it does not come.
    pub(super) fn until(&mut self, end: &str) -> Option<&'p str> {
        let (before, after) = self.rest.split_once(end)?;
        self.rest = after;
        Some(before)
    }

    /// The character an escape stands for. The backslash was read.
    pub(super) fn escaped(&mut self) -> Result<char, Invalid> {
        let start = self.rest;
        let Some(first) = self.take() else {
            return Err(Invalid::TrailingBackslash);
        };
        let code = match first {
            'a' => Some(0x07),
            'f' => Some(0x0C),
            'n' => Some(0x0A),
            'r' => Some(0x0D),
            't' => Some(0x09),
            'v' => Some(0x0B),
            'x' => self.hex(),
            // One digit alone would refer to a group.
            '1'..='7' if !self.peek().is_some_and(is_octal) => None,
            '0'..='7' => Some(self.octal(first)),
            _ if first.is_ascii() && !first.is_ascii_alphanumeric() => Some(u32::from(first)),
            _ => None,
        };
        code.and_then(char::from_u32).ok_or_else(|| {
            let length = start.len() - self.rest.len();
            Invalid::Escape(start[..length].to_owned())
        })
    }

    /// Up to three octal digits, the first of which was read.
    fn octal(&mut self, first: char) -> u32 {
        let mut code = first.to_digit(8).unwrap_or_default();
        for _ in 0..2 {
            let Some(digit) = self.peek().and_then(|next| next.to_digit(8)) else {
                break;
            };
            self.take();
            code = code * 8 + digit;
        }
        code
    }

    fn hex(&mut self) -> Option<u32> {
        if !self.eat("{") {
            let high = self.take()?.to_digit(16)?;
            let low = self.take()?.to_digit(16)?;
            return Some(high * 16 + low);
        }
        let digits = self.until("}")?;
        // More digits than eight are fine as long as they are leading zeros.
        digits.chars().try_fold(None, |code: Option<u32>, digit| {
            let code = code.unwrap_or_default();
            let code = code.checked_mul(16)?.checked_add(digit.to_digit(16)?)?;
            (code <= u32::from(char::MAX)).then_some(Some(code))
        })?
    }

    /// `{n}`, `{n,}` or `{n,m}`; anything else that begins with a brace is text.
    pub(super) fn counts(&mut self) -> Option<(u32, Option<u32>)> {
        let mut ahead = *self;
        if !ahead.eat("{") {
            return None;
        }
        let min = ahead.count()?;
        let max = if !ahead.eat(",") {
            Some(min)
        } else if ahead.peek() == Some('}') {
            None
        } else {
            Some(ahead.count()?)
        };
        if !ahead.eat("}") {
            return None;
        }
        *self = ahead;
        Some((min, max))
    }

    fn count(&mut self) -> Option<u32> {
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        if digits.len() > 1 && digits.starts_with('0') {
            return None;
        }
        let count = digits
            .parse()
            .ok()
            .filter(|&count: &u32| count < 1_000_000_000)?;
        self.rest = rest;
        Some(count)
    }
}

fn is_octal(c: char) -> bool {
    c.is_digit(8)
}
