//! One of several addresses of the same name, in the manner of RFC 8305: an address that does not answer must not use up the
//! time of the others.

use std::{io, net::SocketAddr, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::time::sleep;

/// The pause between two attempts while the earlier one has neither answered nor failed: RFC 8305 §5.
const NEXT: Duration = Duration::from_millis(250);

/// The order to dial in: as resolved, the families by turns.
pub(super) fn by_turns(addresses: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut addresses = addresses.into_iter().peekable();
    let Some(v6) = addresses.peek().map(SocketAddr::is_ipv6) else {
        return Vec::new();
    };
    let (first, second): (Vec<_>, Vec<_>) = addresses.partition(|address| address.is_ipv6() == v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut ordered = Vec::new();
    loop {
        let turn = [first.next(), second.next()];
        if turn == [None, None] {
            return ordered;
        }
        ordered.extend(turn.into_iter().flatten());
    }
}

/// The first address that answers; what the last one failed with if none does; `None` if there is none.
///
/// # Cancel safety
/// Every attempt ends with the future.
pub(super) async fn race<T, F>(
    addresses: Vec<SocketAddr>,
    dial: impl Fn(SocketAddr) -> F,
) -> Option<io::Result<T>>
where
    F: Future<Output = io::Result<T>>,
{
    let mut left = addresses.into_iter();
    let mut attempts = FuturesUnordered::from_iter([dial(left.next()?)]);
    loop {
        tokio::select! {
            biased;
            done = attempts.next() => match done? {
                Ok(connected) => return Some(Ok(connected)),
                Err(error) => match left.next() {
                    Some(address) => attempts.push(dial(address)),
                    None if attempts.is_empty() => return Some(Err(error)),
                    None => {}
                },
            },
            () = sleep(NEXT), if left.len() > 0 => attempts.extend(left.next().map(&dial)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, sync::Mutex};

    use tokio::time::Instant;

    use super::*;

    fn v6(n: u16) -> SocketAddr {
        SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, n], 80))
    }

    fn v4(n: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, n], 80))
    }

    #[derive(Clone, Copy)]
    enum Is {
        Silent,
        Closed,
        Open,
    }

    /// Which address was taken, after how many milliseconds, and when each was dialled.
    async fn dialled(world: &[(SocketAddr, Is)]) -> (Option<SocketAddr>, u128, Vec<u128>) {
        let start = Instant::now();
        let known: HashMap<_, _> = world.iter().copied().collect();
        let starts = Mutex::new(Vec::new());
        let dial = |address| {
            starts
                .lock()
                .expect("no panic")
                .push(start.elapsed().as_millis());
            let is = known[&address];
            async move {
                match is {
                    Is::Silent => std::future::pending().await,
                    Is::Closed => Err(io::ErrorKind::ConnectionRefused.into()),
                    Is::Open => Ok(address),
                }
            }
        };
        let addresses = world.iter().map(|(address, _)| *address).collect();
        let taken = race(addresses, dial).await.and_then(Result::ok);
        let starts = starts.into_inner().expect("no panic");
        (taken, start.elapsed().as_millis(), starts)
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_is_silent_costs_the_next_one_a_quarter_of_a_second() {
        let world = [(v6(1), Is::Silent), (v4(1), Is::Open)];
        assert_eq!(dialled(&world).await, (Some(v4(1)), 250, vec![0, 250]));
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_is_closed_costs_nothing() {
        let world = [(v6(1), Is::Closed), (v6(2), Is::Closed), (v4(1), Is::Open)];
        assert_eq!(dialled(&world).await, (Some(v4(1)), 0, vec![0, 0, 0]));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_taken_if_nobody_answers() {
        let world = [(v6(1), Is::Closed), (v4(1), Is::Closed)];
        assert_eq!(dialled(&world).await, (None, 0, vec![0, 0]));
        assert!(dialled(&[]).await.0.is_none());
    }

    #[test]
    fn families_are_dialled_by_turns_beginning_with_the_resolvers_first() {
        let resolved = [v6(1), v6(2), v6(3), v4(1)];
        assert_eq!(by_turns(resolved), [v6(1), v4(1), v6(2), v6(3)]);
        assert_eq!(by_turns([v4(1), v6(1)]), [v4(1), v6(1)]);
        assert!(by_turns([]).is_empty());
    }
}
