//! Where the instances of a service are, and how one is chosen. Kind `service-resolver`.

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
