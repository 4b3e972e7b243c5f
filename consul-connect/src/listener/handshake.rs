use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::OwnedSemaphorePermit,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::{Accepted, Counters, Refused, builder::OnRefused};
use crate::{
    Alpn, ConnectionGuard, InvalidPeer, MeshStream, Remote, TlsPolicy,
    live::{Facts, LiveSet, Rules, Warden, admit},
    stream::{Transport, tune},
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
        io: Transport,
        remote_addr: SocketAddr,
        live: &Arc<LiveSet>,
        warden: &Arc<Warden>,
        permit: OwnedSemaphorePermit,
    ) -> Result<Accepted, Refused> {
        let trust = self.rules.trust();
        let snapshot = Arc::clone(&trust.identity);
        if let Some(since) = snapshot.expired_since() {
            return Err(Refused::OwnLeafExpired { since });
        }
        if let Transport::Tcp(tcp) = &io {
            // A socket that cannot be set is about to fail anyway.
            let _ = tune(tcp);
        }
        let common = snapshot.common();
        let known = trust.cluster_peers.generation();
        let cluster_peers = self.rules.cluster_peers.clone();
        let verifier = ServerSide::new(trust, self.rules.admits, cluster_peers);
        let config = server_config(
            common,
            Arc::clone(&verifier),
            &self.tls.current().incoming,
            &self.alpn,
        )
        .map_err(|e| Refused::Tls {
            problem: e.to_string(),
        })?;
        let accepting = TlsAcceptor::from(config).accept(io).into_fallible();
        let tls = match timeout(self.limit, accepting).await {
            Ok(Ok(tls)) => tls,
            Ok(Err((e, io))) => {
                return Err(match cause_of(&e) {
                    Cause::Peer(refusal) => {
                        last_word(io).await;
                        Refused::Peer(refusal)
                    }
                    Cause::Alert(alert) => Refused::ByPeer { alert },
                    Cause::OldTls => Refused::OldTls,
                    Cause::Protocol(problem) => Refused::Tls { problem },
                    Cause::Io => Refused::Io {
                        problem: e.to_string(),
                    },
                });
            }
            Err(_elapsed) => return Err(Refused::Timeout { limit: self.limit }),
        };
        let remote = verifier
            .remote()
            .ok_or(Refused::Peer(InvalidPeer::NoCertificate))?;
        let alpn = tls.get_ref().1.alpn_protocol().map(Alpn::from);
        let not_after = std::cmp::min(snapshot.leaf().not_after(), remote.not_after());
        let facts = Facts {
            remote: remote.clone(),
            generation: snapshot.generation(),
            cluster_peers: known,
            not_after,
        };
        let member = live.enter(facts, Some(permit), warden);
        let permit =
            admit(live, member.live(), &self.rules).map_err(|reason| match remote.clone() {
                Remote::Peer(caller) => Refused::Denied { caller, reason },
                Remote::MeshGateway(gateway) => Refused::Gateway { gateway, reason },
            })?;
        let guard = ConnectionGuard::new(Arc::clone(member.live()));
        self.counters.accepted();
        Ok(Accepted {
            stream: MeshStream::new(tls.into(), member),
            remote,
            alpn,
            guard,
            permit,
            remote_addr,
        })
    }

    pub(super) fn refuse(&self, remote_addr: SocketAddr, refused: &Refused) {
        self.counters.refused();
        tracing::debug!(%remote_addr, reason = refused.code(), "connection refused: {refused}");
        if let Some(observe) = &self.on_refused {
            observe(remote_addr, refused);
        }
    }
}

/// Lets the alert arrive that says why. A socket that is closed with bytes unread takes back what was sent last, and a
/// caller under TLS 1.3 has sent its first request by now.
async fn last_word(mut io: Transport) {
    let heard = async {
        io.shutdown().await?;
        let mut unread = [0; 1024];
        let mut left = LAST_WORD_BYTES;
        while left > 0 {
            match io.read(&mut unread).await? {
                0 => break,
                some => left = left.saturating_sub(some),
            }
        }
        std::io::Result::Ok(())
    };
    // However it ends: it was refused.
    let _ = timeout(LAST_WORD, heard).await;
}

/// A round trip to anywhere in a datacenter, many times over. It counts as a handshake in progress.
const LAST_WORD: Duration = Duration::from_millis(100);
const LAST_WORD_BYTES: usize = 64 * 1024;
