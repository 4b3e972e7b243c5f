//! Cluster peers: clusters that services are exported to and imported from (`/v1/peering…`).

use std::{borrow::Cow, collections::BTreeMap};

use http::{Method, StatusCode};

use crate::{
    client::Client,
    read::Read,
    request::Request,
    wire::{wire, words},
};

wire! {
    /// One cluster peer, as our own cluster sees it.
    pub struct Peering {
        /// Made by Consul.
        #[serde(rename = "ID")]
        pub id: String,
        /// What our own cluster calls the peer. Intentions name it as their `SourcePeer`.
        pub name: String,
        /// Enterprise.
        pub partition: String,
        /// Set while it is being deleted. RFC 3339.
        pub deleted_at: Option<String>,
        /// Free-form metadata.
        pub meta: BTreeMap<String, String>,
        /// How far the peering is.
        pub state: PeeringState,
        /// What the peer calls itself. Only on the side that dialled.
        #[serde(rename = "PeerID")]
        pub peer_id: String,
        /// The roots of the peer's mesh, as PEM, once the peering is active; before, on the side that dialled, the authorities of
        /// its servers.
        #[serde(rename = "PeerCAPems")]
        pub peer_ca_pems: Vec<String>,
        /// The name the peer's servers answer to. Only on the side that dialled.
        pub peer_server_name: String,
        /// Where the peer's servers are. Only on the side that dialled.
        pub peer_server_addresses: Vec<String>,
        /// How the exchange with the peer goes.
        pub stream_status: PeeringStreamStatus,
        /// Where the peer is.
        pub remote: PeeringRemote,
        /// Consul's own counters.
        pub create_index: u64,
        /// Consul's own counters.
        pub modify_index: u64,
    }
}

wire! {
    /// How the exchange with a cluster peer goes.
    pub struct PeeringStreamStatus {
        /// The services we import.
        pub imported_services: Vec<String>,
        /// The services we export.
        pub exported_services: Vec<String>,
        /// RFC 3339.
        pub last_heartbeat: Option<String>,
        /// RFC 3339.
        pub last_receive: Option<String>,
        /// RFC 3339.
        pub last_send: Option<String>,
    }
}

wire! {
    /// Where a cluster peer is.
    pub struct PeeringRemote {
        /// The admin partition it exports from. Empty: the default one.
        pub partition: String,
        /// Its datacenter. Empty until it has said so.
        pub datacenter: String,
    }
}

words! {
    /// How far a peering is.
    pub enum PeeringState {
        /// The exchange works.
        Active = "ACTIVE",
        /// It is being deleted here.
        Deleting = "DELETING",
        /// The other side's token was taken, nothing was heard yet.
        Establishing = "ESTABLISHING",
        /// The exchange worked and does not now.
        Failing = "FAILING",
        /// A token was made, and nobody came with it yet.
        Pending = "PENDING",
        /// The other side has deleted it.
        Terminated = "TERMINATED",
        /// None was said.
        Undefined = "UNDEFINED",
    }
}

/// The calls of `/v1/peering`: see [`Client::peerings`].
#[derive(Clone, Copy, Debug)]
pub struct Peerings<'a> {
    client: &'a Client,
}

impl Client {
    /// The cluster peers.
    #[must_use]
    pub fn peerings(&self) -> Peerings<'_> {
        Peerings { client: self }
    }
}

impl Peerings<'_> {
    /// A cluster peer by the name our cluster gave it; `None`: there is none. `GET /v1/peering/:name`
    ///
    /// Needs `peering:read`, which `operator:read` implies.
    pub fn get(&self, name: impl Into<String>) -> Read<Option<Peering>> {
        let path = [Cow::from("peering"), name.into().into()];
        let request = Request::with_decoder(Method::GET, path, |reply| {
            match reply.json_unless_missing::<Peering>()? {
                // `[]` and `{}` can be read as one; neither says that the cluster peer is gone.
                Some(peering) if peering.name.is_empty() => {
                    Err("the answer is about no cluster peer".into())
                }
                peering => Ok(peering),
            }
        })
        .accept(&[StatusCode::NOT_FOUND]);
        Read::new(self.client, request.sensitive())
    }

    /// All cluster peers. `GET /v1/peerings`
    ///
    /// Needs `peering:read`, which `operator:read` implies.
    pub fn list(&self) -> Read<Vec<Peering>> {
        let request =
            Request::with_decoder(Method::GET, ["peerings"], |reply| reply.json_or_default());
        Read::new(self.client, request.sensitive())
    }
}
