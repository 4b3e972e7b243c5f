//! The part of Consul's filter language that services use: comparisons, `in`, `contains`, `is empty`,
//! `and`, `or`, `not` and parentheses. `matches` is not supported and is refused like a syntax error.

use serde_json::Value;

/// A parsed expression.
#[derive(Debug)]
pub(crate) enum Filter {
    And(Box<Filter>, Box<Filter>),
    Or(Box<Filter>, Box<Filter>),
    Not(Box<Filter>),
    Equal(Vec<String>, String),
    Contains(Vec<String>, String),
    Empty(Vec<String>),
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Symbol(&'static str),
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let chars: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let next = chars.get(at + 1).copied();
        match c {
            ' ' | '\t' | '\r' | '\n' => at += 1,
            '(' | ')' | '[' | ']' => {
                found.push(Token::Symbol(match c {
                    '(' => "(",
                    ')' => ")",
                    '[' => "[",
                    _ => "]",
                }));
                at += 1;
            }
            '=' if next == Some('=') => {
                found.push(Token::Symbol("=="));
                at += 2;
            }
            '!' if next == Some('=') => {
                found.push(Token::Symbol("!="));
                at += 2;
            }
            '"' | '`' => {
                let mut value = String::new();
                at += 1;
                loop {
                    match chars.get(at) {
                        None => return Err(syntax(at)),
                        Some(end) if *end == c => break,
                        Some('\\') if c == '"' => {
                            at += 1;
                            value.push(*chars.get(at).ok_or_else(|| syntax(at))?);
                        }
                        Some(other) => value.push(*other),
                    }
                    at += 1;
                }
                at += 1;
                found.push(Token::Text(value));
            }
            c if c.is_alphanumeric() || "-_./:*".contains(c) => {
                let start = at;
                while chars
                    .get(at)
                    .is_some_and(|c| c.is_alphanumeric() || "-_./:*".contains(*c))
                {
                    at += 1;
                }
                found.push(Token::Word(chars[start..at].iter().collect()));
            }
            _ => return Err(syntax(at)),
        }
    }
    Ok(found)
}

fn syntax(at: usize) -> String {
    format!("1:{} ({at}): no match found", at + 1)
}

struct Parser<'a> {
    tokens: Vec<Token>,
    at: usize,
    fields: &'a [&'a str],
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Result<Token, String> {
        let token = self.peek().cloned().ok_or_else(|| syntax(self.at))?;
        self.at += 1;
        Ok(token)
    }

    fn word(&mut self, word: &str) -> bool {
        let hit = matches!(self.peek(), Some(Token::Word(found)) if found == word);
        self.at += usize::from(hit);
        hit
    }

    fn symbol(&mut self, symbol: &str) -> bool {
        let hit = matches!(self.peek(), Some(Token::Symbol(found)) if *found == symbol);
        self.at += usize::from(hit);
        hit
    }

    fn or(&mut self) -> Result<Filter, String> {
        let mut left = self.and()?;
        while self.word("or") {
            left = Filter::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Filter, String> {
        let mut left = self.term()?;
        while self.word("and") {
            left = Filter::And(Box::new(left), Box::new(self.term()?));
        }
        Ok(left)
    }

    fn term(&mut self) -> Result<Filter, String> {
        if self.word("not") {
            return Ok(Filter::Not(Box::new(self.term()?)));
        }
        if self.symbol("(") {
            let inner = self.or()?;
            return if self.symbol(")") {
                Ok(inner)
            } else {
                Err(syntax(self.at))
            };
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Filter, String> {
        // `value in selector` begins with a value, everything else with a selector.
        let start = self.at;
        let first = self.next()?;
        let negated = self.word("not");
        if self.word("in") {
            let selector = self.selector()?;
            let value = match first {
                Token::Word(text) | Token::Text(text) => text,
                Token::Symbol(_) => return Err(syntax(start)),
            };
            return Ok(negate(negated, Filter::Contains(selector, value)));
        }
        self.at = start;
        let selector = self.selector()?;
        if self.symbol("==") {
            return Ok(Filter::Equal(selector, self.value()?));
        }
        if self.symbol("!=") {
            let equal = Filter::Equal(selector, self.value()?);
            return Ok(negate(true, equal));
        }
        if self.word("is") {
            let negated = self.word("not");
            return if self.word("empty") {
                Ok(negate(negated, Filter::Empty(selector)))
            } else {
                Err(syntax(self.at))
            };
        }
        let negated = self.word("not");
        if self.word("contains") {
            return Ok(negate(negated, Filter::Contains(selector, self.value()?)));
        }
        Err(syntax(self.at))
    }

    fn value(&mut self) -> Result<String, String> {
        match self.next()? {
            Token::Word(text) | Token::Text(text) => Ok(text),
            Token::Symbol(_) => Err(syntax(self.at)),
        }
    }

    fn selector(&mut self) -> Result<Vec<String>, String> {
        let Token::Word(word) = self.next()? else {
            return Err(syntax(self.at));
        };
        let mut path: Vec<String> = word.split('.').map(str::to_owned).collect();
        while self.symbol("[") {
            path.push(self.value()?);
            if !self.symbol("]") {
                return Err(syntax(self.at));
            }
        }
        let known = path
            .first()
            .is_some_and(|first| self.fields.contains(&first.as_str()));
        if known {
            Ok(path)
        } else {
            Err(format!("Selector {word:?} is not valid"))
        }
    }
}

fn negate(negated: bool, filter: Filter) -> Filter {
    if negated {
        Filter::Not(Box::new(filter))
    } else {
        filter
    }
}

impl Filter {
    /// Parses an expression whose selectors begin with one of `fields`.
    pub(crate) fn parse(text: &str, fields: &[&str]) -> Result<Self, String> {
        let mut parser = Parser {
            tokens: tokens(text)?,
            at: 0,
            fields,
        };
        let filter = parser.or()?;
        if parser.peek().is_some() {
            return Err(syntax(parser.at));
        }
        Ok(filter)
    }

    /// Whether a JSON value passes.
    pub(crate) fn matches(&self, value: &Value) -> bool {
        match self {
            Self::And(a, b) => a.matches(value) && b.matches(value),
            Self::Or(a, b) => a.matches(value) || b.matches(value),
            Self::Not(inner) => !inner.matches(value),
            Self::Equal(path, text) => any(value, path, &|found| equals(found, text)),
            Self::Contains(path, text) => any(value, path, &|found| match found {
                Value::Array(items) => items.iter().any(|item| equals(item, text)),
                Value::Object(map) => map.contains_key(text),
                Value::String(whole) => whole.contains(text),
                _ => false,
            }),
            Self::Empty(path) => !any(value, path, &|found| match found {
                Value::Null => false,
                Value::Array(items) => !items.is_empty(),
                Value::Object(map) => !map.is_empty(),
                Value::String(text) => !text.is_empty(),
                _ => true,
            }),
        }
    }
}

fn equals(found: &Value, text: &str) -> bool {
    match found {
        Value::String(found) => found == text,
        Value::Null => text.is_empty(),
        Value::Bool(found) => text.parse() == Ok(*found),
        Value::Number(found) => text
            .parse::<serde_json::Number>()
            .is_ok_and(|number| number == *found),
        Value::Array(_) | Value::Object(_) => false,
    }
}

/// Follows a path; a list on the way matches if any of its items does.
fn any(value: &Value, path: &[String], test: &dyn Fn(&Value) -> bool) -> bool {
    let Some((first, rest)) = path.split_first() else {
        return test(value);
    };
    match value {
        Value::Array(items) => items.iter().any(|item| any(item, path, test)),
        Value::Object(map) => match map.get(first) {
            Some(inner) => any(inner, rest, test),
            None => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_services_filter_by_works() {
        let entry = json!({
            "Service": { "Meta": { "version": "v2", "a-b": "x" }, "Tags": ["v1", "blue"], "Port": 80 },
            "Checks": [{ "Status": "passing" }, { "Status": "warning" }],
        });
        let fields = ["Service", "Checks"];
        for (text, expected) in [
            ("Service.Meta.version == v2", true),
            ("Service.Meta.version != \"v2\"", false),
            ("Service.Meta[\"a-b\"] == `x`", true),
            ("\"blue\" in Service.Tags", true),
            ("red not in Service.Tags", true),
            ("Service.Tags contains v1 and not Service.Port == 81", true),
            ("Checks.Status == warning", true),
            ("Service.Meta.none is empty or Service.Port == 1", true),
            (
                "(Service.Port == 80) and Service.Meta.version is not empty",
                true,
            ),
        ] {
            let filter = Filter::parse(text, &fields).map_err(|error| format!("{text}: {error}"));
            assert_eq!(
                filter.map(|filter| filter.matches(&entry)),
                Ok(expected),
                "{text}"
            );
        }
        for text in ["nope ==", "bad(", "Nope == \"x\"", "Service.Port matches 8"] {
            assert!(Filter::parse(text, &fields).is_err(), "{text}");
        }
    }
}
