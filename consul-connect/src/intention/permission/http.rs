//! The HTTP part of a permission: which requests it is about.

use std::fmt;

use consul_api::intention as wire;

use super::{
    expressions::Expressions,
    fault::{Flaw, refuse_unknown_keys},
    header::HeaderMatch,
    method::Methods,
    path::PathMatch,
    request::Request,
};

/// All of it must match. At least one thing is set.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct HttpPart {
    methods: Methods,
    path: Option<PathMatch>,
    headers: Box<[HeaderMatch]>,
}

impl HttpPart {
    pub(super) fn matches(&self, request: &Request<'_>) -> bool {
        self.methods.matches(request.method())
            && self
                .path
                .as_ref()
                .is_none_or(|path| request.path().is_some_and(|given| path.matches(given)))
            && self.headers.iter().all(|header| header.matches(request))
    }

    /// # Errors
    /// What is wrong with it.
    pub(super) fn compile(
        wire: &wire::HttpPermission,
        expressions: &mut Expressions,
    ) -> Result<Self, Flaw> {
        refuse_unknown_keys(".HTTP", &wire.extra)?;
        let headers = wire
            .header
            .iter()
            .enumerate()
            .map(|(index, header)| {
                HeaderMatch::compile(header, expressions)
                    .map_err(|flaw| Flaw::Header { index, flaw })
            })
            .collect::<Result<_, _>>()?;
        let part = Self {
            methods: Methods::compile(&wire.methods)?,
            path: PathMatch::compile(wire, expressions)?,
            headers,
        };
        if part.methods.is_any() && part.path.is_none() && part.headers.is_empty() {
            return Err(Flaw::EmptyHttp);
        }
        Ok(part)
    }
}

impl fmt::Display for HttpPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.methods)?;
        if let Some(path) = &self.path {
            write!(f, ", path {path}")?;
        }
        for header in &self.headers {
            write!(f, ", header {header}")?;
        }
        Ok(())
    }
}
