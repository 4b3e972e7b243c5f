//! Strict decoding: what a body may contain, and the server's words for what it may not.

mod shapes;

use serde_json::Value;

pub(crate) use shapes::{CATALOG, CHECK, SERVICE};

use crate::go::json_kind;
use crate::http::reply::Problem;

/// The type of a field.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Anything.
    Any,
    /// A string.
    Text,
    /// A whole number.
    Int,
    /// `true` or `false`.
    Bool,
    /// A list of strings.
    Texts,
    /// A map of strings.
    Map,
    /// A map of anything.
    Dict,
    /// An object with exactly these keys allowed.
    Object(&'static [(&'static str, Kind)]),
    /// A list of such objects.
    List(&'static [(&'static str, Kind)]),
    /// A map to such objects.
    Objects(&'static [(&'static str, Kind)]),
}

impl Kind {
    fn go(self) -> &'static str {
        match self {
            Self::Any => "interface {}",
            Self::Text => "string",
            Self::Int => "int",
            Self::Bool => "bool",
            Self::Texts => "[]string",
            Self::Map => "map[string]string",
            Self::Dict => "map[string]interface {}",
            Self::Object(_) => "structs",
            Self::List(_) => "[]structs",
            Self::Objects(_) => "map[string]structs",
        }
    }

    fn accepts(self, value: &Value) -> bool {
        match self {
            Self::Any => true,
            Self::Text => value.is_string(),
            Self::Int => value.is_i64() || value.is_u64(),
            Self::Bool => value.is_boolean(),
            Self::Texts => value
                .as_array()
                .is_some_and(|items| items.iter().all(Value::is_string)),
            Self::Map => value
                .as_object()
                .is_some_and(|map| map.values().all(Value::is_string)),
            Self::Object(_) | Self::Objects(_) => value.is_object(),
            Self::List(_) => value
                .as_array()
                .is_some_and(|items| items.iter().all(Value::is_object)),
            Self::Dict => value.is_object(),
        }
    }
}

/// What is wrong with a body.
#[derive(Debug)]
pub(crate) enum Wrong {
    /// A key nobody knows, with its path.
    Unknown(String),
    /// A value of the wrong type.
    Type {
        /// What JSON it is.
        found: &'static str,
        /// Path of the field.
        path: String,
        /// What Go expected.
        expected: &'static str,
    },
}

/// Checks an object against the keys it may have. `null` is fine anywhere, as for Go.
pub(crate) fn check(value: &Value, fields: &'static [(&'static str, Kind)]) -> Result<(), Wrong> {
    walk(value, fields, "")
}

fn walk(value: &Value, fields: &'static [(&'static str, Kind)], path: &str) -> Result<(), Wrong> {
    let Some(object) = value.as_object() else {
        return Ok(());
    };
    for (key, value) in object {
        let here = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        let Some((_, kind)) = fields
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(key))
        else {
            return Err(Wrong::Unknown(here));
        };
        if value.is_null() {
            continue;
        }
        if !kind.accepts(value) {
            return Err(Wrong::Type {
                found: json_kind(value),
                path: here,
                expected: kind.go(),
            });
        }
        match (kind, value) {
            (Kind::Object(inner), value) => walk(value, inner, &here)?,
            (Kind::List(inner), Value::Array(items)) => {
                for (at, item) in items.iter().enumerate() {
                    walk(item, inner, &format!("{here}[{at}]"))?;
                }
            }
            (Kind::Objects(inner), Value::Object(items)) => {
                for (name, item) in items {
                    walk(item, inner, &format!("{here}[{name}]"))?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The refusal of the agent's and the catalog's endpoints.
pub(crate) fn refusal(wrong: Wrong, label: &str) -> Problem {
    match wrong {
        Wrong::Unknown(path) => {
            let key = path.rsplit('.').next().unwrap_or_default();
            Problem::bad_request(format!("{label}: json: unknown field {key:?}"))
        }
        Wrong::Type {
            found,
            path,
            expected,
        } => Problem::bad_request(format!(
            "{label}: json: cannot unmarshal {found} into Go struct field .Alias.{path} of type {expected}"
        )),
    }
}
