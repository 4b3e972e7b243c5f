//! What a token says.

use serde_json::{Map, Value};

use super::{InvalidToken, invalid::Part};

/// The claims of a token. `Debug` does not show them: they are about a person.
pub(super) struct Claims(Map<String, Value>);

impl Claims {
    /// # Errors
    /// If it is no JSON object, or if one of the registered claims (RFC 7519 section 4.1) has a type that it cannot have.
    pub(super) fn parse(json: &[u8]) -> Result<Self, InvalidToken> {
        let malformed = || InvalidToken::Malformed(Part::Claims);
        let Ok(Value::Object(claims)) = serde_json::from_slice(json) else {
            return Err(malformed());
        };
        let texts = ["iss", "sub", "jti"].iter();
        let texts = texts
            .filter_map(|name| claims.get(*name))
            .all(Value::is_string);
        let dates = ["exp", "nbf", "iat"].iter();
        let dates = dates
            .filter_map(|name| claims.get(*name))
            .all(|date| seconds(date).is_some());
        let audience = match claims.get("aud") {
            None | Some(Value::String(_)) => true,
            Some(Value::Array(several)) => several.iter().all(Value::is_string),
            Some(_) => false,
        };
        if texts && dates && audience {
            Ok(Self(claims))
        } else {
            Err(malformed())
        }
    }

    /// The text at the end of a path of names. Lists are not looked into, and what is no text is no text.
    pub(super) fn text(&self, path: &[Box<str>]) -> Option<&str> {
        let (last, above) = path.split_last()?;
        let mut object = &self.0;
        for name in above {
            object = object.get(&**name)?.as_object()?;
        }
        object.get(&**last)?.as_str()
    }

    pub(super) fn issuer(&self) -> Option<&str> {
        self.0.get("iss")?.as_str()
    }

    pub(super) fn audiences(&self) -> impl Iterator<Item = &str> {
        let audience = self.0.get("aud");
        let one = audience.and_then(Value::as_str);
        let several = audience.and_then(Value::as_array);
        one.into_iter()
            .chain(several.into_iter().flatten().filter_map(Value::as_str))
    }

    /// Whether the token is valid at `now`, in seconds since the Unix epoch.
    ///
    /// # Errors
    /// [`InvalidToken::Expired`], [`InvalidToken::NotYetValid`].
    pub(super) fn valid_at(&self, now: u64, skew: u64) -> Result<(), InvalidToken> {
        if let Some(from) = self.date("nbf")
            && now.saturating_add(skew) < from
        {
            return Err(InvalidToken::NotYetValid {
                seconds: from.saturating_sub(now),
            });
        }
        match self.date("exp") {
            Some(until) if now > until.saturating_add(skew) => Err(InvalidToken::Expired {
                seconds: now.saturating_sub(until),
            }),
            _ => Ok(()),
        }
    }

    fn date(&self, name: &str) -> Option<u64> {
        seconds(self.0.get(name)?)
    }
}

/// A date as RFC 7519 has it: seconds, perhaps with a fraction, which is cut off.
fn seconds(value: &Value) -> Option<u64> {
    if let Some(whole) = value.as_u64() {
        return Some(whole);
    }
    let number = value.as_f64()?;
    // Both bounds are exact in an f64, so the cast stays inside the range. NaN is not JSON.
    (0.0..18_446_744_073_709_551_616.0)
        .contains(&number)
        .then_some(number as u64)
}
