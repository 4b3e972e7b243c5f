//! Which path leads where.

use http::StatusCode;

use super::blocking::{ReadFn, Style, read};
use super::call::Call;
use super::reply::{Problem, Reply};
use crate::api::{
    acl, agent, agent_checks, agent_connect, agent_register, catalog, chain, config, connect,
    health, intentions, kv, peering, status,
};
use crate::state::acl::Authorizer;
use crate::state::{Shared, State};

/// A write, or a read that never blocks.
pub(crate) type PlainFn = fn(&mut State, &Call, &Authorizer) -> Result<Reply, Problem>;

#[derive(Clone, Copy)]
enum Handle {
    /// May block.
    Read(ReadFn, Style),
    Plain(PlainFn),
    /// Checks the token itself, or needs none.
    Open(PlainFn),
    /// `/v1/agent/service/:id`, which blocks by content hash.
    Hash,
}

/// A path and its methods; one that ends in `/` is a prefix.
struct Route {
    path: &'static str,
    methods: &'static [(&'static str, Handle)],
}

const fn get(path: &'static str, methods: &'static [(&'static str, Handle)]) -> Route {
    Route { path, methods }
}

macro_rules! route {
    ($path:literal, $($method:literal => $handle:expr),+ $(,)?) => {
        get($path, &[$(($method, $handle)),+])
    };
}

use Handle::{Hash, Open, Plain, Read};

static ROUTES: &[Route] = &[
    route!("/v1/agent/self", "GET" => Plain(agent::self_)),
    route!("/v1/agent/services", "GET" => Plain(agent::services)),
    route!("/v1/agent/service/", "GET" => Hash),
    route!("/v1/agent/checks", "GET" => Plain(agent::checks)),
    route!("/v1/agent/service/register", "PUT" => Plain(agent_register::register)),
    route!("/v1/agent/service/deregister/", "PUT" => Plain(agent_register::deregister)),
    route!("/v1/agent/service/maintenance/", "PUT" => Plain(agent_checks::service_maintenance)),
    route!("/v1/agent/maintenance", "PUT" => Plain(agent_checks::node_maintenance)),
    route!("/v1/agent/check/register", "PUT" => Plain(agent_checks::register)),
    route!("/v1/agent/check/deregister/", "PUT" => Plain(agent_checks::deregister)),
    route!("/v1/agent/check/pass/", "PUT" => Plain(agent_checks::pass)),
    route!("/v1/agent/check/warn/", "PUT" => Plain(agent_checks::warn)),
    route!("/v1/agent/check/fail/", "PUT" => Plain(agent_checks::fail)),
    route!("/v1/agent/check/update/", "PUT" => Plain(agent_checks::update)),
    route!("/v1/agent/health/service/id/", "GET" => Plain(agent::health_by_id)),
    route!("/v1/agent/health/service/name/", "GET" => Plain(agent::health_by_name)),
    route!("/v1/agent/connect/authorize", "POST" => Open(agent_connect::authorize)),
    route!("/v1/agent/connect/ca/leaf/", "GET" => Read(agent_connect::leaf, Style::LEAF)),
    route!("/v1/agent/connect/ca/roots", "GET" => Read(connect::roots, Style::AGENT_ROOTS)),
    route!("/v1/catalog/register", "PUT" => Plain(catalog::register)),
    route!("/v1/catalog/deregister", "PUT" => Plain(catalog::deregister)),
    route!("/v1/catalog/datacenters", "GET" => Open(catalog::datacenters)),
    route!("/v1/catalog/nodes", "GET" => Read(catalog::nodes, Style::FULL)),
    route!("/v1/catalog/services", "GET" => Read(catalog::services, Style::FULL)),
    route!("/v1/catalog/service/", "GET" => Read(catalog::service, Style::FULL)),
    route!("/v1/catalog/connect/", "GET" => Read(catalog::connect, Style::FULL)),
    route!("/v1/catalog/node/", "GET" => Read(catalog::node, Style::FULL)),
    route!("/v1/catalog/node-services/", "GET" => Read(catalog::node_services, Style::FULL)),
    route!("/v1/health/service/", "GET" => Read(health::service, Style::HEALTH)),
    route!("/v1/health/connect/", "GET" => Read(health::connect, Style::HEALTH)),
    route!("/v1/health/ingress/", "GET" => Read(health::ingress, Style::INGRESS)),
    route!("/v1/health/checks/", "GET" => Read(health::checks, Style::FULL)),
    route!("/v1/health/node/", "GET" => Read(health::node, Style::FULL)),
    route!("/v1/health/state/", "GET" => Read(health::state, Style::FULL)),
    route!("/v1/connect/ca/roots", "GET" => Read(connect::roots, Style::ROOTS)),
    route!("/v1/connect/ca/configuration",
        "GET" => Plain(connect::configuration), "PUT" => Plain(connect::configure)),
    route!("/v1/connect/intentions", "GET" => Read(intentions::list, Style::INTENTIONS)),
    route!("/v1/connect/intentions/match", "GET" => Read(intentions::matching, Style::FULL)),
    route!("/v1/connect/intentions/check", "GET" => Plain(intentions::check)),
    route!("/v1/connect/intentions/exact",
        "GET" => Plain(intentions::exact),
        "PUT" => Plain(intentions::put_exact),
        "DELETE" => Plain(intentions::delete_exact)),
    route!("/v1/config", "PUT" => Plain(config::put)),
    route!("/v1/config/",
        "GET" => Read(config::read, Style::PLAIN), "DELETE" => Plain(config::delete)),
    route!("/v1/discovery-chain/",
        "GET" => Read(chain::read, Style::FULL), "POST" => Read(chain::read, Style::FULL)),
    route!("/v1/acl/login", "POST" => Open(acl::login)),
    route!("/v1/acl/logout", "POST" => Open(acl::logout)),
    route!("/v1/acl/token/self", "GET" => Read(acl::token_self, Style::TOKEN)),
    route!("/v1/internal/acl/authorize", "POST" => Plain(acl::authorize)),
    route!("/v1/peering/", "GET" => Read(peering::read, Style::PLAIN)),
    route!("/v1/peerings", "GET" => Read(peering::list, Style::PLAIN)),
    route!("/v1/status/leader", "GET" => Open(status::leader)),
    route!("/v1/status/peers", "GET" => Open(status::peers)),
    route!("/v1/kv/",
        "GET" => Read(kv::get, Style::PLAIN),
        "PUT" => Plain(kv::put),
        "DELETE" => Plain(kv::delete)),
];

/// Answers a request.
pub(crate) async fn route(shared: &Shared, mut call: Call) -> Reply {
    if call.path == "/" {
        return Reply::text(
            StatusCode::MOVED_PERMANENTLY,
            "<a href=\"/ui/\">Moved Permanently</a>.\n\n",
        )
        .content_type(Some("text/html; charset=utf-8"))
        .with("Location", "/ui/")
        .bare();
    }
    let Some(route) = find(&call.path) else {
        let text = "Invalid URL path: not a recognized HTTP API endpoint\n";
        return Reply::text(StatusCode::NOT_FOUND, text).bare();
    };
    let method = call.method.as_str();
    let Some((_, handle)) = route.methods.iter().find(|(name, _)| *name == method) else {
        return wrong_method(route, method);
    };
    call.set_rest(route.path.len());
    let plain = |run: PlainFn, open: bool| {
        let result = call.refuse_tenancy().and_then(|()| {
            shared.with(|state| {
                let authorizer = match state.authorizer(call.secret()) {
                    Ok(authorizer) => authorizer,
                    Err(_) if open => Authorizer::unknown(),
                    Err(_) => return Err(Problem::unknown_token()),
                };
                run(state, &call, &authorizer)
            })
        });
        result.unwrap_or_else(Reply::from)
    };
    match handle {
        Plain(run) => plain(*run, false),
        Open(run) => plain(*run, true),
        // The PEM form is another answer altogether, with no index.
        Read(..) if route.path == "/v1/connect/ca/roots" && call.query("pem") == Some("true") => {
            plain(connect::roots_pem, true)
        }
        Read(run, style) => read(shared, &call, *run, style).await,
        Hash => agent::service_by_hash(shared, &call).await,
    }
}

/// The exact path, else the longest prefix.
fn find(path: &str) -> Option<&'static Route> {
    let exact = ROUTES.iter().find(|route| route.path == path);
    exact.or_else(|| {
        ROUTES
            .iter()
            .filter(|route| route.path.ends_with('/') && path.starts_with(route.path))
            .max_by_key(|route| route.path.len())
    })
}

fn wrong_method(route: &Route, method: &str) -> Reply {
    let mut allow = String::from("OPTIONS");
    for (name, _) in route.methods {
        allow.push(',');
        allow.push_str(name);
    }
    if method == "OPTIONS" {
        return Reply::done().content_type(None).with("Allow", allow);
    }
    Reply::text(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("method {method} not allowed"),
    )
    .with("Allow", allow)
}
