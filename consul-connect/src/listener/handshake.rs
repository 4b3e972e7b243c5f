use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpStream, sync::OwnedSemaphorePermit, time::timeout};
use tokio_rustls::TlsAcceptor;

use super::{Accepted, Counters, Refused, builder::OnRefused};
use crate::{
    Alpn, ConnectionGuard, InvalidPeer, MeshStream, TlsPolicy,
    live::{Facts, LiveSet, Rules, Warden, admit},
    stream::Transport,
    tls::{Cause, ServerSide, cause_of, server_config},
};

/// What every handshake of a listener has in common.
pub(super) struct Handshake {
    pub(super) rules: Rules,
    pub(super) tls: TlsPolicy,
    pub(super) alpn: Vec<Vec<u8>>,
    pub(super) limit: Duration,
    pub(super) counters: Counters,
    pub(super) on_refused: Option<OnRefused>,
}

impl Handshake {
    pub(super) async fn run(
        &self,
        tcp: TcpStream,
        remote_addr: SocketAddr,
        live: &Arc<LiveSet>,
        warden: &Arc<Warden>,
        permit: OwnedSemaphorePermit,
    ) -> Result<Accepted, Refused> {
        let snapshot = self.rules.identity.current();
        if let Some(since) = snapshot.expired_since() {
            return Err(Refused::OwnLeafExpired { since });
        }
        // Small replies must not wait for more; a socket that cannot be set is about to fail anyway.
        let _ = tcp.set_nodelay(true);
        let common = snapshot.common();
        let verifier = ServerSide::new(&common.provider, Arc::clone(snapshot.roots()));
        let config = server_config(
            common,
            Arc::clone(&verifier),
            &self.tls.current().incoming,
            &self.alpn,
        )
        .map_err(|e| Refused::Tls {
            problem: e.to_string(),
        })?;
        let tls = match timeout(
            self.limit,
            TlsAcceptor::from(config).accept(Transport::Tcp(tcp)),
        )
        .await
        {
            Ok(Ok(tls)) => tls,
            Ok(Err(e)) => {
                return Err(match cause_of(&e) {
                    Cause::Peer(refusal) => Refused::Peer(refusal),
                    Cause::Alert(alert) => Refused::ByPeer { alert },
                    Cause::Protocol(problem) => Refused::Tls { problem },
                    Cause::Io => Refused::Io {
                        problem: e.to_string(),
                    },
                });
            }
            Err(_elapsed) => return Err(Refused::Timeout { limit: self.limit }),
        };
        let peer = verifier
            .peer()
            .ok_or(Refused::Peer(InvalidPeer::NoCertificate))?;
        let alpn = tls.get_ref().1.alpn_protocol().map(Alpn::from);
        let not_after = std::cmp::min(snapshot.leaf().not_after(), peer.not_after());
        let facts = Facts {
            peer: peer.clone(),
            generation: snapshot.generation(),
            not_after,
        };
        let member = live.enter(facts, Some(permit), warden);
        let permit = admit(live, member.live(), &self.rules).map_err(|reason| Refused::Denied {
            caller: peer.clone(),
            reason,
        })?;
        let guard = ConnectionGuard::new(Arc::clone(member.live()));
        self.counters.accepted();
        Ok(Accepted {
            stream: MeshStream::new(tls.into(), member),
            peer,
            alpn,
            guard,
            permit,
            remote_addr,
        })
    }

    pub(super) fn refuse(&self, remote_addr: SocketAddr, refused: Refused) {
        self.counters.refused();
        tracing::debug!(%remote_addr, reason = refused.code(), "connection refused: {refused}");
        if let Some(observe) = &self.on_refused {
            observe(remote_addr, &refused);
        }
    }
}
