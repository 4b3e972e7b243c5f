//! The endpoints: functions from state and request to a reply. No function here waits or locks.

pub(crate) mod acl;
pub(crate) mod agent;
pub(crate) mod agent_checks;
pub(crate) mod agent_connect;
pub(crate) mod agent_register;
pub(crate) mod catalog;
pub(crate) mod chain;
pub(crate) mod config;
pub(crate) mod config_rules;
pub(crate) mod connect;
mod decode;
pub(crate) mod health;
pub(crate) mod intentions;
pub(crate) mod kv;
pub(crate) mod peering;
pub(crate) mod status;

use serde_json::Value;

use crate::filter::Filter;
use crate::http::call::Call;
use crate::http::reply::Problem;

/// What follows the route's prefix, or 400 with the server's words for its absence.
fn required<'a>(call: &'a Call, what: &str) -> Result<&'a str, Problem> {
    if call.rest.is_empty() {
        return Err(Problem::bad_request(format!("Missing {what}")));
    }
    Ok(&call.rest)
}

/// Keeps the items the request's `filter` accepts. `fields` are the valid first words of a selector.
fn filtered(call: &Call, fields: &[&str], mut items: Vec<Value>) -> Result<Vec<Value>, Problem> {
    if let Some(text) = call.query("filter") {
        let filter = filter(text, fields)?;
        items.retain(|item| filter.matches(item));
    }
    Ok(items)
}

fn filter(text: &str, fields: &[&str]) -> Result<Filter, Problem> {
    Filter::parse(text, fields).map_err(|error| {
        Problem::internal(format!(
            "Failed to create boolean expression evaluator: {error}"
        ))
    })
}
