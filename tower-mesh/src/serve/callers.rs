//! Who calls on one connection: the same caller by every request, or whomever a mesh gateway names.

use std::{borrow::Cow, sync::Arc};

use arc_swap::ArcSwapOption;
use consul_connect::{MeshGateway, Remote};
use http::{HeaderMap, HeaderName};

use super::xfcc;
use crate::{
    Peer,
    authorize::Reason,
    measure::{Exchanges, Inbound},
};

/// Who a proxy says the caller is. Only a mesh gateway may say it, and nobody else ever sees it.
pub(super) const XFCC: HeaderName = HeaderName::from_static("x-forwarded-client-cert");

/// Who calls on one connection.
pub(crate) enum Callers {
    /// Whoever is at its other end.
    One(Peer, Arc<Exchanges>),
    /// Those a mesh gateway speaks for.
    Behind(Behind),
    /// Nobody: what is at the other end is of a kind this crate does not know.
    Nobody(Arc<Exchanges>),
}

/// The callers behind a gateway.
pub(crate) struct Behind {
    gateway: MeshGateway,
    inbound: Arc<Inbound>,
    /// The requests that nobody could be found for.
    nameless: Arc<Exchanges>,
    /// Who called last, because requests of one caller come in rows.
    last: ArcSwapOption<(Peer, Arc<Exchanges>)>,
}

/// Who makes a request, and where it is counted.
pub(super) struct Found<'a> {
    pub(super) caller: Result<Cow<'a, Peer>, Reason>,
    pub(super) exchanges: Cow<'a, Arc<Exchanges>>,
}

impl Callers {
    pub(super) fn new(remote: Remote, inbound: &Arc<Inbound>) -> Self {
        match remote {
            Remote::Peer(peer) => {
                let exchanges = inbound.caller(&peer);
                Self::One(peer, exchanges)
            }
            Remote::MeshGateway(gateway) => Self::Behind(Behind {
                gateway,
                nameless: inbound.gateway(),
                inbound: Arc::clone(inbound),
                last: ArcSwapOption::empty(),
            }),
            _ => Self::Nobody(inbound.gateway()),
        }
    }

    /// The caller of every request, if there is one.
    pub(super) fn one(&self) -> Option<&Peer> {
        match self {
            Self::One(peer, _) => Some(peer),
            Self::Behind(_) | Self::Nobody(_) => None,
        }
    }

    /// Who makes the request with these headers.
    pub(super) fn of(&self, headers: &HeaderMap) -> Found<'_> {
        match self {
            Self::One(peer, exchanges) => Found {
                caller: Ok(Cow::Borrowed(peer)),
                exchanges: Cow::Borrowed(exchanges),
            },
            Self::Nobody(exchanges) => Found {
                caller: Err(NOT_SAID),
                exchanges: Cow::Borrowed(exchanges),
            },
            Self::Behind(behind) => match named(&behind.gateway, headers) {
                Ok(peer) => Found {
                    exchanges: Cow::Owned(behind.exchanges(&peer)),
                    caller: Ok(Cow::Owned(peer)),
                },
                Err(reason) => Found {
                    caller: Err(reason),
                    exchanges: Cow::Borrowed(&behind.nameless),
                },
            },
        }
    }
}

impl Behind {
    fn exchanges(&self, peer: &Peer) -> Arc<Exchanges> {
        if let Some(last) = &*self.last.load()
            && last.0.id() == peer.id()
        {
            return Arc::clone(&last.1);
        }
        let exchanges = self.inbound.caller(peer);
        let last = (peer.clone(), Arc::clone(&exchanges));
        self.last.store(Some(Arc::new(last)));
        exchanges
    }
}

/// Whom the gateway says it has verified: the first element of the one header there is.
fn named(gateway: &MeshGateway, headers: &HeaderMap) -> Result<Peer, Reason> {
    let mut all = headers.get_all(XFCC).iter();
    let (Some(header), None) = (all.next(), all.next()) else {
        return Err(NOT_SAID);
    };
    let refused = |why: String| {
        let text = format!("what the mesh gateway says of its caller is refused: {why}");
        Reason::new("gateway_caller", text)
    };
    let header = header.to_str().map_err(|e| refused(e.to_string()))?;
    let elements = xfcc::parse(header).map_err(|e| refused(e.to_string()))?;
    let first = elements.first().ok_or(NOT_SAID)?;
    let only = |key| first.only(key).map_err(|e| refused(e.to_string()));
    // An element that another proxy wrote is passed on from whoever that let in.
    if let Some(by) = only("By")?
        && by != gateway.id().to_string()
    {
        return Err(refused(format!("{by} says it, and not the gateway")));
    }
    gateway.caller(only("URI")?.ok_or(NOT_SAID)?)
}

const NOT_SAID: Reason = Reason::fixed(
    "gateway_caller",
    "the mesh gateway does not say, or not once, whom it has verified",
);
