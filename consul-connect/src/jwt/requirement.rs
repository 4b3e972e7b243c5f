//! What an intention demands of a request's tokens.

use std::fmt;

use consul_api::intention as wire;

use super::tokens::{NoToken, Tokens};

/// The tokens an intention, or one of its permissions, requires: one of any of the providers it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Requirement {
    providers: Box<[ProviderRequirement]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct ProviderRequirement {
    name: Box<str>,
    claims: Box<[Claim]>,
}

/// A claim, and the text it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Claim {
    path: Box<[Box<str>]>,
    value: Box<str>,
}

/// Why a requirement cannot be carried out, and so cannot be met.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidRequirement {
    #[error("its JWT requirement has keys this version does not know: `{0}`")]
    UnknownKeys(String),
    #[error("its JWT requirement names no provider")]
    NoProvider,
    #[error("its JWT requirement names a provider without a name")]
    NoName,
    #[error("its JWT requirement has a claim without a path")]
    NoPath,
}

/// Why a request does not meet a [`Requirement`]. `Display` is a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unmet {
    code: &'static str,
    text: String,
}

impl Requirement {
    /// # Errors
    /// What this version does not understand of it.
    pub(crate) fn compile(wire: &wire::JwtRequirement) -> Result<Self, InvalidRequirement> {
        let mut unknown: Vec<&str> = wire.extra.keys().map(String::as_str).collect();
        for provider in &wire.providers {
            unknown.extend(provider.extra.keys().map(String::as_str));
            let claims = provider.verify_claims.iter();
            unknown.extend(claims.flat_map(|claim| claim.extra.keys().map(String::as_str)));
        }
        if !unknown.is_empty() {
            return Err(InvalidRequirement::UnknownKeys(unknown.join("`, `")));
        }
        if wire.providers.is_empty() {
            return Err(InvalidRequirement::NoProvider);
        }
        let providers: Result<_, _> = wire
            .providers
            .iter()
            .map(ProviderRequirement::compile)
            .collect();
        Ok(Self {
            providers: providers?,
        })
    }

    /// Whether one of the request's verified tokens is of a provider named here and says all that is demanded of it.
    ///
    /// # Errors
    /// [`Unmet`], which says of each provider what is missing.
    pub(crate) fn is_met(&self, tokens: &Tokens) -> Result<(), Unmet> {
        if self
            .providers
            .iter()
            .any(|provider| provider.lacks(tokens).is_none())
        {
            return Ok(());
        }
        let lacks = self.providers.iter().filter_map(|provider| {
            let lack = provider.lacks(tokens)?;
            Some((
                lack.code(),
                format!("of the provider `{}` {lack}", provider.name),
            ))
        });
        let (codes, texts): (Vec<&'static str>, Vec<String>) = lacks.unzip();
        // A caller with a bad token should not be told that it has none because another provider would have done, too.
        let telling = codes
            .iter()
            .find(|code| **code != MISSING)
            .unwrap_or(&MISSING);
        Err(Unmet {
            code: telling,
            text: texts.join("; "),
        })
    }
}

impl ProviderRequirement {
    fn compile(wire: &wire::JwtProviderRequirement) -> Result<Self, InvalidRequirement> {
        if wire.name.is_empty() {
            return Err(InvalidRequirement::NoName);
        }
        let claims = wire.verify_claims.iter().map(|claim| {
            if claim.path.is_empty() {
                return Err(InvalidRequirement::NoPath);
            }
            Ok(Claim {
                path: claim.path.iter().map(|name| name.as_str().into()).collect(),
                value: claim.value.as_str().into(),
            })
        });
        Ok(Self {
            name: wire.name.as_str().into(),
            claims: claims.collect::<Result<_, _>>()?,
        })
    }

    /// What keeps it from being met.
    fn lacks<'a>(&'a self, tokens: &'a Tokens) -> Option<Lack<'a>> {
        match tokens.of(&self.name) {
            Err(why) => Some(Lack::Token(why)),
            Ok(token) => {
                let wrong = self.claims.iter();
                let wrong = wrong.filter(|claim| token.text(&claim.path) != Some(&*claim.value));
                wrong.map(Lack::Claim).next()
            }
        }
    }
}

const MISSING: &str = "jwt_missing";

enum Lack<'a> {
    Token(&'a NoToken),
    Claim(&'a Claim),
}

impl Lack<'_> {
    fn code(&self) -> &'static str {
        match self {
            Self::Claim(_) => "jwt_claim",
            Self::Token(NoToken::Missing) => MISSING,
            Self::Token(
                NoToken::Invalid(_) | NoToken::Several(_) | NoToken::Stray | NoToken::TooMany,
            ) => "jwt_invalid",
            Self::Token(NoToken::Unknown | NoToken::Provider(_)) => "jwt_provider",
        }
    }
}

impl fmt::Display for Lack<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(why) => why.fmt(f),
            // What the rule says, and nothing of what the token says.
            Self::Claim(Claim { path, value }) => {
                write!(f, "the token's claim `{}` is not {value:?}", path.join("."))
            }
        }
    }
}

impl Unmet {
    /// A short word for metrics: `jwt_missing`, `jwt_invalid`, `jwt_claim` or `jwt_provider`.
    pub(crate) fn code(&self) -> &'static str {
        self.code
    }
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What is asked for, as part of a sentence.
impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a token of ")?;
        for (at, provider) in self.providers.iter().enumerate() {
            let joined = if at == 0 { "" } else { " or " };
            write!(f, "{joined}`{}`", provider.name)?;
            for Claim { path, value } in &provider.claims {
                write!(f, " with {} = {value:?}", path.join("."))?;
            }
        }
        Ok(())
    }
}
