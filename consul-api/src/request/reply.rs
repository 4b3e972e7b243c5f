//! The answer to a call, before it has a type.

use std::borrow::Cow;

use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;

use super::BoxError;

/// What a decoder sees of an answer with an accepted status.
pub(crate) struct Reply<'a> {
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
    /// The parameters of the request that was answered.
    pub(crate) query: &'a [(Cow<'static, str>, String)],
}

impl Reply<'_> {
    /// The body as JSON. An empty body reads as `null`: some writes answer with nothing.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, BoxError> {
        let body = if self.body.is_empty() {
            b"null"
        } else {
            self.body
        };
        Ok(serde_json::from_slice(body)?)
    }

    /// `null` and an empty body read as the default: an empty list.
    pub(crate) fn json_or_default<T: DeserializeOwned + Default>(&self) -> Result<T, BoxError> {
        Ok(self.json::<Option<T>>()?.unwrap_or_default())
    }

    /// Of calls that accept 404: `None` for it.
    pub(crate) fn json_unless_missing<T: DeserializeOwned>(&self) -> Result<Option<T>, BoxError> {
        if self.status != StatusCode::NOT_FOUND {
            return self.json().map(Some);
        }
        // A proxy that does not find the path says nothing about the object.
        if self
            .headers
            .keys()
            .any(|name| name.as_str().starts_with("x-consul-"))
        {
            Ok(None)
        } else {
            Err("this is no answer of Consul".into())
        }
    }
}
