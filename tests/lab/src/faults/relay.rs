//! One connection through the proxy.

use std::{io, net::SocketAddr, pin::pin, time::Duration};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
    time::{sleep, timeout},
};

use super::Fault;

/// How finely a slow connection is dosed.
const DOSE: Duration = Duration::from_millis(20);

/// What a connection is told: its own fault or the standing one, and to break.
#[derive(Clone)]
pub(super) struct Orders {
    own: Option<Fault>,
    standing: watch::Receiver<Fault>,
    breaks: watch::Receiver<u64>,
}

impl Orders {
    pub(super) fn new(
        own: Option<Fault>,
        standing: watch::Receiver<Fault>,
        breaks: watch::Receiver<u64>,
    ) -> Self {
        Self {
            own,
            standing,
            breaks,
        }
    }

    fn now(&mut self) -> Fault {
        match &self.own {
            Some(own) => own.clone(),
            None => self.standing.borrow_and_update().clone(),
        }
    }

    /// Returns when [`now`](Self::now) may have changed. Without the proxy nothing changes any more.
    async fn changed(&mut self) {
        if self.own.is_some() || self.standing.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Also when a piece is being written that the other side does not take.
    async fn told_to_break(mut self) {
        let mut breaks = self.breaks.clone();
        let broken = async {
            if breaks.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let reset = async {
            while self.now() != Fault::Reset {
                self.changed().await;
            }
        };
        tokio::select! {
            () = broken => {}
            () = reset => {}
        }
    }
}

/// How a connection ends.
enum End {
    /// Both sides have said all they had to.
    Closed,
    Reset,
    Answer(Bytes),
}

pub(super) async fn relay(mut client: TcpStream, target: SocketAddr, mut orders: Orders) {
    // Small pieces must not wait for one another: their timing is what is tested.
    let _ = client.set_nodelay(true);
    let breaking = orders.clone().told_to_break();
    let end = tokio::select! {
        () = breaking => End::Reset,
        end = carry(&mut client, target, &mut orders) => end,
    };
    match end {
        End::Closed => {}
        End::Reset => reset(&client),
        End::Answer(bytes) => {
            // The client may be gone.
            let _ = client.write_all(&bytes).await;
            let _ = client.shutdown().await;
            // What has not been read when a socket is closed makes the kernel send RST, which would overtake the answer.
            let mut rest = [0; 4096];
            let _ = timeout(Duration::from_secs(1), async {
                while client.read(&mut rest).await.is_ok_and(|count| count > 0) {}
            })
            .await;
        }
    }
}

/// Without lingering, closing a socket sends RST instead of what is left and FIN.
fn reset(client: &TcpStream) {
    // It fails only on a socket that is gone already.
    let _ = client.set_zero_linger();
}

async fn carry(client: &mut TcpStream, target: SocketAddr, orders: &mut Orders) -> End {
    // Until something is to go through, the target need not be there.
    loop {
        match orders.now() {
            Fault::Reset => return End::Reset,
            Fault::Blackhole => orders.changed().await,
            Fault::Hang => {
                if let Some(end) = swallow(client, orders, false).await {
                    return end;
                }
            }
            Fault::Answer(bytes) => {
                let mut piece = [0; 16 * 1024];
                tokio::select! {
                    () = orders.changed() => {}
                    read = client.peek(&mut piece) => return match read {
                        Ok(count) if count > 0 => {
                            let _ = client.read(&mut piece).await;
                            End::Answer(bytes)
                        }
                        _ => End::Closed,
                    },
                }
            }
            Fault::Pass | Fault::Delay(_) | Fault::CutAfter(_) | Fault::Slow(_) => break,
        }
    }
    let Ok(mut server) = TcpStream::connect(target).await else {
        return End::Reset;
    };
    let _ = server.set_nodelay(true);
    let end = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let mut up = pin!(pump(from_client, to_server, orders.clone(), Way::Up));
        let mut down = pin!(pump(from_server, to_client, orders.clone(), Way::Down));
        // A direction that has come to its end leaves the other one open.
        tokio::select! {
            end = &mut up => match end {
                Ok(End::Closed) => down.await,
                end => end,
            },
            end = &mut down => match end {
                Ok(End::Closed) => up.await,
                end => end,
            },
        }
    };
    let end = end.unwrap_or(End::Reset);
    if matches!(end, End::Reset) {
        reset(&server);
    }
    end
}

/// Reads and forgets, until the orders change; whoever closes is let go, who lost bytes is reset.
async fn swallow(
    client: &mut (impl AsyncRead + Unpin),
    orders: &mut Orders,
    mut lost: bool,
) -> Option<End> {
    let mut piece = [0; 16 * 1024];
    loop {
        tokio::select! {
            () = orders.changed() => {
                if orders.now() == Fault::Hang {
                    continue;
                }
                return lost.then_some(End::Reset);
            }
            read = client.read(&mut piece) => match read {
                Ok(count) if count > 0 => lost = true,
                _ => return Some(End::Closed),
            },
        }
    }
}

/// From the client to the target, or back.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Up,
    Down,
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut orders: Orders,
    way: Way,
) -> io::Result<End> {
    let mut buffer = vec![0; 16 * 1024];
    let mut gone = 0;
    loop {
        match orders.now() {
            Fault::Reset => return Ok(End::Reset),
            Fault::Blackhole => {
                orders.changed().await;
                continue;
            }
            Fault::Hang => {
                match way {
                    Way::Up => {
                        if swallow(&mut from, &mut orders, false).await.is_some() {
                            return Ok(End::Reset);
                        }
                    }
                    Way::Down => orders.changed().await,
                }
                continue;
            }
            _ => {}
        }
        let count = tokio::select! {
            biased;
            () = orders.changed() => continue,
            read = from.read(&mut buffer) => read?,
        };
        if count == 0 {
            to.shutdown().await?;
            return Ok(End::Closed);
        }
        let mut piece = &buffer[..count];
        // What has been read goes on under the orders of the moment it goes on.
        while !piece.is_empty() {
            let mut size = piece.len();
            let mut cut = false;
            match orders.now() {
                Fault::Pass => {}
                Fault::Delay(time) => sleep(time).await,
                Fault::Slow(rate) => {
                    let dose = f64::from(rate) * DOSE.as_secs_f64();
                    size = size.min((dose as usize).max(1));
                    sleep(Duration::from_secs_f64(
                        size as f64 / f64::from(rate.max(1)),
                    ))
                    .await;
                }
                Fault::CutAfter(limit) => {
                    if way == Way::Down {
                        let left = limit.saturating_sub(gone);
                        cut = left <= size as u64;
                        size = size.min(usize::try_from(left).unwrap_or(usize::MAX));
                    }
                }
                Fault::Blackhole => {
                    orders.changed().await;
                    continue;
                }
                Fault::Hang => {
                    let end = match way {
                        Way::Up => swallow(&mut from, &mut orders, true).await,
                        Way::Down => {
                            orders.changed().await;
                            None
                        }
                    };
                    // What has been read is lost.
                    return Ok(end.unwrap_or(End::Reset));
                }
                Fault::Reset => return Ok(End::Reset),
                Fault::Answer(bytes) => match way {
                    Way::Up => return Ok(End::Answer(bytes)),
                    Way::Down => {} // the answer to what was asked before
                },
            }
            let (now, rest) = piece.split_at(size);
            to.write_all(now).await?;
            gone += size as u64;
            if cut {
                return Ok(End::Reset);
            }
            piece = rest;
        }
    }
}
