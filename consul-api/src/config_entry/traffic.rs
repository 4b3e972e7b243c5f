//! The entries that shape traffic: resolver, splitter, router. The compiled discovery chain has the same parts.

use std::collections::BTreeMap;

use crate::{duration::GoDuration, wire::wire};

wire! {
    /// How a service's name becomes instances: subsets, redirects, failover, balancing. Kind `service-resolver`.
    pub struct ServiceResolver {
        /// The service.
        pub name: String,
        /// The subset meant where none is named.
        pub default_subset: String,
        /// Named parts of the instances.
        pub subsets: BTreeMap<String, ResolverSubset>,
        /// Another service to use in its place.
        pub redirect: Option<ResolverRedirect>,
        /// What to use when there is no healthy instance, by subset; `*`: any.
        pub failover: BTreeMap<String, ResolverFailover>,
        /// How long connecting may take.
        pub connect_timeout: GoDuration,
        /// How long a request may take.
        pub request_timeout: GoDuration,
        /// Whether near instances come first. Enterprise.
        pub prioritize_by_locality: Option<PrioritizeByLocality>,
        /// How requests are spread.
        pub load_balancer: Option<LoadBalancer>,
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
    /// A named part of a service's instances.
    pub struct ResolverSubset {
        /// An expression of Consul's filter language.
        pub filter: String,
        /// Whether warnings take an instance out, too.
        pub only_passing: bool,
    }
    + extra
}

wire! {
    /// Another service to use in the place of this one. What is empty stays as it is.
    pub struct ResolverRedirect {
        /// The service.
        pub service: String,
        /// Its subset.
        pub service_subset: String,
        /// Enterprise.
        pub namespace: String,
        /// Enterprise.
        pub partition: String,
        /// The datacenter.
        pub datacenter: String,
        /// The cluster peer.
        pub peer: String,
        /// Enterprise.
        pub sameness_group: String,
    }
    + extra
}

wire! {
    /// What to use when there is no healthy instance.
    pub struct ResolverFailover {
        /// Another service.
        pub service: String,
        /// Its subset.
        pub service_subset: String,
        /// Enterprise.
        pub namespace: String,
        /// These datacenters, in order.
        pub datacenters: Vec<String>,
        /// These targets, in order.
        pub targets: Vec<ResolverFailoverTarget>,
        /// In which order.
        pub policy: Option<FailoverPolicy>,
        /// Enterprise.
        pub sameness_group: String,
    }
    + extra
}

wire! {
    /// One of the targets of a failover.
    pub struct ResolverFailoverTarget {
        /// The service.
        pub service: String,
        /// Its subset.
        pub service_subset: String,
        /// Enterprise.
        pub partition: String,
        /// Enterprise.
        pub namespace: String,
        /// The datacenter.
        pub datacenter: String,
        /// The cluster peer.
        pub peer: String,
    }
    + extra
}

wire! {
    /// In which order failover targets are used.
    pub struct FailoverPolicy {
        /// Empty or `sequential`: as listed. `order-by-locality`: Enterprise.
        pub mode: String,
        /// The regions that come first, in order.
        pub regions: Vec<String>,
    }
    + extra
}

wire! {
    /// Whether near instances come first. Enterprise.
    pub struct PrioritizeByLocality {
        /// `none` or `failover`.
        pub mode: String,
    }
    + extra
}

wire! {
    /// How requests are spread over instances.
    pub struct LoadBalancer {
        /// `round_robin` (also if empty), `random`, `least_request`, `ring_hash`, `maglev`.
        pub policy: String,
        /// Of `ring_hash`.
        pub ring_hash_config: Option<RingHashConfig>,
        /// Of `least_request`.
        pub least_request_config: Option<LeastRequestConfig>,
        /// What is hashed, in order.
        pub hash_policies: Vec<HashPolicy>,
    }
    + extra
}

wire! {
    /// Settings of `ring_hash`.
    pub struct RingHashConfig {
        /// 0: 1024.
        pub minimum_ring_size: u64,
        /// 0: 8 M.
        pub maximum_ring_size: u64,
    }
    + extra
}

wire! {
    /// Settings of `least_request`.
    pub struct LeastRequestConfig {
        /// Out of how many the least busy is taken. 0: 2.
        pub choice_count: u32,
    }
    + extra
}

wire! {
    /// One thing that is hashed.
    pub struct HashPolicy {
        /// `header`, `cookie` or `query_parameter`.
        pub field: String,
        /// Its name.
        pub field_value: String,
        /// Of cookies.
        pub cookie_config: Option<CookieConfig>,
        /// The caller's address, instead of a field.
        #[serde(rename = "SourceIP")]
        pub source_ip: bool,
        /// Later policies do not count if this gave a hash.
        pub terminal: bool,
    }
    + extra
}

wire! {
    /// A cookie that is made if there is none.
    pub struct CookieConfig {
        /// Without an end.
        pub session: bool,
        /// How long it lives.
        #[serde(rename = "TTL")]
        pub ttl: GoDuration,
        /// For which paths.
        pub path: String,
    }
    + extra
}

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
