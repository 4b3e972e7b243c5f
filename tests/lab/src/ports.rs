//! Ports for one program, kept for its whole life, so that it can come back on them.

use std::{
    net::{Ipv4Addr, TcpListener, UdpSocket},
    ops::Range,
};

use crate::{
    Error,
    cache::{self, Lock},
};

/// Below the range from which common systems take the local ports of outgoing connections and of listeners on port 0:
/// nobody gets one of ours by chance while its program is down.
const RANGE: Range<u16> = 20_000..32_000;

/// Each program has this many neighbouring ports; for an agent's see the accessors of [`Ports`].
const BLOCK: u16 = 8;

/// A block of ports nobody else in the lab uses, in this process or another of the same user, until dropped.
#[derive(Debug)]
pub(crate) struct Ports {
    base: u16,
    _lock: Lock,
}

impl Ports {
    /// Finds a free block: locked against other labs, and each port bindable now.
    pub(crate) fn reserve() -> Result<Self, Error> {
        let directory = cache::directory()?.join("ports");
        let blocks = RANGE.len() as u32 / u32::from(BLOCK);
        // A random start keeps many agents from trying the same blocks, and a block that has just failed from being the next one.
        let start = rand::random_range(0..blocks);
        for offset in 0..blocks {
            let block = (start + offset) % blocks;
            let base = RANGE.start + u16::try_from(block).unwrap_or_default() * BLOCK;
            let lock = Lock::attempt(&directory.join(format!("{base}.lock")))
                .map_err(|error| Error::because("locking a block of ports", error))?;
            if let Some(lock) = lock
                && (base..base + BLOCK).all(is_free)
            {
                return Ok(Self { base, _lock: lock });
            }
        }
        Err(Error::new(format!(
            "finding {BLOCK} free neighbouring ports between {} and {}",
            RANGE.start, RANGE.end
        )))
    }

    /// How many ports there are for something else than an agent: [`at`](Self::at) takes less than this.
    pub(crate) const COUNT: u16 = BLOCK;

    /// Any of them by its place.
    pub(crate) fn at(&self, place: u16) -> u16 {
        debug_assert!(place < BLOCK, "a block has {BLOCK} ports");
        self.base + place
    }

    pub(crate) fn http(&self) -> u16 {
        self.base
    }

    pub(crate) fn grpc(&self) -> u16 {
        self.base + 1
    }

    pub(crate) fn grpc_tls(&self) -> u16 {
        self.base + 2
    }

    pub(crate) fn server(&self) -> u16 {
        self.base + 3
    }

    pub(crate) fn serf_lan(&self) -> u16 {
        self.base + 4
    }

    pub(crate) fn serf_wan(&self) -> u16 {
        self.base + 5
    }

    pub(crate) fn https(&self) -> u16 {
        self.base + 6
    }

    pub(crate) fn dns(&self) -> u16 {
        self.base + 7
    }
}

// Gossip and DNS use both protocols.
fn is_free(port: u16) -> bool {
    let address = (Ipv4Addr::LOCALHOST, port);
    TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_blocks_never_overlap() -> Result<(), Error> {
        let blocks = (0..20)
            .map(|_| Ports::reserve())
            .collect::<Result<Vec<_>, _>>()?;
        let mut bases: Vec<_> = blocks.iter().map(Ports::http).collect();
        bases.sort_unstable();
        bases.dedup();
        assert_eq!(bases.len(), blocks.len());
        Ok(())
    }
}
