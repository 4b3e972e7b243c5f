//! What an answer carries: who allowed it, or why not.

use std::{fmt, sync::Arc};

use crate::jwt::RequestEdits;

/// Evidence that somebody was allowed. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Permit {
    rule: Option<Arc<Rule>>,
    overruled: Option<Reason>,
    edits: RequestEdits,
}

impl Permit {
    /// Allowed by a named rule.
    pub fn by_rule(rule: Arc<Rule>) -> Self {
        Self {
            rule: Some(rule),
            ..Self::by_default()
        }
    }

    /// Allowed although no rule names the caller: by the default policy, or by a closure.
    pub fn by_default() -> Self {
        Self {
            rule: None,
            overruled: None,
            edits: RequestEdits::default(),
        }
    }

    /// Denied by the rules, and let through all the same because they are only being tried out.
    pub fn overruling(denial: Reason) -> Self {
        Self {
            overruled: Some(denial),
            ..Self::by_default()
        }
    }

    /// Both permits as one. The rule is that of the first that has one.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            rule: self.rule.or(other.rule),
            overruled: self.overruled.or(other.overruled),
            edits: self.edits.and(other.edits),
        }
    }

    /// With these edits too.
    pub(crate) fn edited(mut self, edits: RequestEdits) -> Self {
        self.edits = self.edits.and(edits);
        self
    }

    /// What is to be done to the request before the application sees it: tokens are taken out, what they say is put in.
    ///
    /// # Security
    /// Whoever asks a policy about a request must carry this out; [`AuthorizeLayer`] and the servers of `tower-mesh` do.
    ///
    /// [`AuthorizeLayer`]: https://docs.rs/tower-mesh/latest/tower_mesh/authorize/struct.AuthorizeLayer.html
    pub fn edits(&self) -> &RequestEdits {
        &self.edits
    }

    /// The rule that allowed it; `None` if the default did, or nothing.
    pub fn rule(&self) -> Option<&Rule> {
        self.rule.as_deref()
    }

    /// Why it would have been denied, if the rules were enforced. `None`: they allow it.
    pub fn overruled(&self) -> Option<&Reason> {
        self.overruled.as_ref()
    }
}

/// Why somebody was denied. `Display` is a sentence a person can act on. Cheap to clone.
#[derive(Clone)]
pub struct Reason {
    code: &'static str,
    text: Text,
    rule: Option<Arc<Rule>>,
}

#[derive(Clone)]
enum Text {
    Fixed(&'static str),
    Shared(Arc<str>),
}

impl Reason {
    /// A reason in words that were made beforehand; `code` is a short metric label such as `intention` or `default`.
    pub fn new(code: &'static str, text: impl Into<Arc<str>>) -> Self {
        Self {
            code,
            text: Text::Shared(text.into()),
            rule: None,
        }
    }

    /// A reason that is always the same sentence.
    pub const fn fixed(code: &'static str, text: &'static str) -> Self {
        Self {
            code,
            text: Text::Fixed(text),
            rule: None,
        }
    }

    /// Names the rule that decided.
    #[must_use]
    pub fn with_rule(mut self, rule: Arc<Rule>) -> Self {
        self.rule = Some(rule);
        self
    }

    /// A short, stable word for metrics and logs.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The rule that denied it; `None` if the default or a fault did.
    pub fn rule(&self) -> Option<&Rule> {
        self.rule.as_deref()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.text {
            Text::Fixed(text) => text,
            Text::Shared(text) => text,
        })
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reason({}: {self})", self.code)
    }
}

/// The rule behind an answer, for logs and `explain`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rule {
    /// The source it names, `*` for any.
    pub source: String,
    /// The destination it names, `*` for any.
    pub destination: String,
    /// Consul's precedence, 1 to 9; 9 is the most specific.
    pub precedence: u32,
    /// Which of its permissions decided, counted from 0.
    pub permission: Option<usize>,
}

impl Rule {
    /// A rule about a whole source.
    pub fn new(source: impl Into<String>, destination: impl Into<String>, precedence: u32) -> Self {
        Self {
            source: source.into(),
            destination: destination.into(),
            precedence,
            permission: None,
        }
    }

    /// Whether it is this intention, or a permission of it.
    pub(crate) fn is_of(&self, intention: &Self) -> bool {
        (&self.source, &self.destination, self.precedence)
            == (
                &intention.source,
                &intention.destination,
                intention.precedence,
            )
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} => {} (precedence {}",
            self.source, self.destination, self.precedence
        )?;
        if let Some(permission) = self.permission {
            write!(f, ", permission {permission}")?;
        }
        f.write_str(")")
    }
}
