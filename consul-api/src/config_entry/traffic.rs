//! The entries that direct requests: splitter and router. The compiled discovery chain has the same parts.

use std::collections::BTreeMap;

use crate::{duration::GoDuration, wire::wire};

wire! {
    /// Which shares of the traffic go where. Kind `service-splitter`.
    pub struct ServiceSplitter {
        /// The service.
        pub name: String,
        /// The shares; their weights make 100.
        pub splits: Vec<ServiceSplit>,
        /// Free-form metadata.
        pub meta: BTreeMap<String, String>,
        /// Enterprise.
        pub namespace: String,
        /// Enterprise.
        pub partition: String,
        /// Consul's own hash of the content. Not written.
        #[serde(skip_serializing)]
        pub hash: u64,
        /// Consul's own counters. Not written.
        #[serde(skip_serializing)]
        pub create_index: u64,
        /// Consul's own counters. Not written.
        #[serde(skip_serializing)]
        pub modify_index: u64,
    }
    + extra
}

wire! {
    /// One share of the traffic.
    pub struct ServiceSplit {
        /// In percent, with two decimals.
        pub weight: f64,
        /// Empty: the same service.
        pub service: String,
        /// Its subset.
        pub service_subset: String,
        /// Enterprise.
        pub namespace: String,
        /// Enterprise.
        pub partition: String,
        /// Edits of request headers.
        pub request_headers: Option<HeaderEdits>,
        /// Edits of response headers.
        pub response_headers: Option<HeaderEdits>,
    }
    + extra
}

wire! {
    /// Edits of headers.
    pub struct HeaderEdits {
        /// Appended to what is there.
        pub add: BTreeMap<String, String>,
        /// In the place of what is there.
        pub set: BTreeMap<String, String>,
        /// Taken out.
        pub remove: Vec<String>,
    }
    + extra
}

wire! {
    /// Which requests go where. Kind `service-router`.
    pub struct ServiceRouter {
        /// The service.
        pub name: String,
        /// The first that matches decides. What none matches goes to the service itself.
        pub routes: Vec<ServiceRoute>,
        /// Free-form metadata.
        pub meta: BTreeMap<String, String>,
        /// Enterprise.
        pub namespace: String,
        /// Enterprise.
        pub partition: String,
        /// Consul's own hash of the content. Not written.
        #[serde(skip_serializing)]
        pub hash: u64,
        /// Consul's own counters. Not written.
        #[serde(skip_serializing)]
        pub create_index: u64,
        /// Consul's own counters. Not written.
        #[serde(skip_serializing)]
        pub modify_index: u64,
    }
    + extra
}

wire! {
    /// One route.
    pub struct ServiceRoute {
        /// Which requests; none: all.
        #[serde(rename = "Match")]
        pub matches: Option<RouteMatch>,
        /// Where to and how; none: the service itself.
        pub destination: Option<RouteDestination>,
    }
    + extra
}

wire! {
    /// Which requests a route is for.
    pub struct RouteMatch {
        /// By what HTTP says.
        #[serde(rename = "HTTP")]
        pub http: Option<RouteHttpMatch>,
    }
    + extra
}

wire! {
    /// Which requests a route is for: all that is set must match.
    pub struct RouteHttpMatch {
        /// The path is this.
        pub path_exact: String,
        /// The path starts with this.
        pub path_prefix: String,
        /// The whole path matches this RE2 expression.
        pub path_regex: String,
        /// Case of the path does not matter.
        pub case_insensitive: bool,
        /// All of these match.
        pub header: Vec<RouteHeaderMatch>,
        /// All of these match.
        pub query_param: Vec<RouteQueryMatch>,
        /// The method is one of these; none: any.
        pub methods: Vec<String>,
    }
    + extra
}

wire! {
    /// What a header must be. One of the matchers is set.
    pub struct RouteHeaderMatch {
        /// The header's name.
        pub name: String,
        /// It is there.
        pub present: bool,
        /// It is this.
        pub exact: String,
        /// It starts with this.
        pub prefix: String,
        /// It ends with this.
        pub suffix: String,
        /// All of it matches this RE2 expression.
        pub regex: String,
        /// The opposite of the matcher.
        pub invert: bool,
    }
    + extra
}

wire! {
    /// What a query parameter must be. One of the matchers is set.
    pub struct RouteQueryMatch {
        /// The parameter's name.
        pub name: String,
        /// It is there.
        pub present: bool,
        /// It is this.
        pub exact: String,
        /// All of it matches this RE2 expression.
        pub regex: String,
    }
    + extra
}

wire! {
    /// Where a route leads, and how.
    pub struct RouteDestination {
        /// Empty: the same service.
        pub service: String,
        /// Its subset.
        pub service_subset: String,
        /// Enterprise.
        pub namespace: String,
        /// Enterprise.
        pub partition: String,
        /// What takes the place of the matched path or prefix.
        pub prefix_rewrite: String,
        /// How long a request may take; negative: no limit.
        pub request_timeout: GoDuration,
        /// How long nothing may happen; negative: no limit.
        pub idle_timeout: GoDuration,
        /// How often to try again.
        pub num_retries: u32,
        /// Try again if no connection could be made.
        pub retry_on_connect_failure: bool,
        /// Try again on these conditions, as Envoy names them.
        pub retry_on: Vec<String>,
        /// Try again on these statuses.
        pub retry_on_status_codes: Vec<u32>,
        /// Edits of request headers.
        pub request_headers: Option<HeaderEdits>,
        /// Edits of response headers.
        pub response_headers: Option<HeaderEdits>,
    }
    + extra
}
