use futures_util::future::select_all;
use tokio::sync::watch;

/// Tells when the rules of an [`Authorize`](super::Authorize) changed, so that what is open is decided again.
///
/// Made from the receiving end of a channel whose value counts the generations, or of several.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    generations: Vec<watch::Receiver<u64>>,
}

impl Changes {
    /// The rules stay as they are.
    pub fn never() -> Self {
        Self::default()
    }

    /// Tells of the changes of both.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.generations.extend(other.generations);
        self
    }

    /// Waits for the next change, for ever if there will be none. One that happened between two calls is not missed.
    ///
    /// # Cancel safety
    /// Safe: nothing is lost.
    pub async fn changed(&mut self) {
        loop {
            // A closed channel says that nothing will change any more, never that something has.
            let gone = match &mut self.generations[..] {
                [] => return std::future::pending().await,
                [one] => match one.changed().await {
                    Ok(()) => return,
                    Err(_closed) => 0,
                },
                several => {
                    let waiting = several.iter_mut().map(|one| Box::pin(one.changed()));
                    match select_all(waiting).await {
                        (Ok(()), ..) => return,
                        (Err(_closed), gone, _others) => gone,
                    }
                }
            };
            self.generations.swap_remove(gone);
        }
    }
}

impl From<watch::Receiver<u64>> for Changes {
    fn from(generation: watch::Receiver<u64>) -> Self {
        Self {
            generations: vec![generation],
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn tells_of_the_changes_of_each_and_outlives_those_that_end() {
        let (one, other) = (watch::Sender::new(0), watch::Sender::new(0));
        let mut changes = Changes::from(one.subscribe()).and(other.subscribe().into());
        assert!(changes.changed().now_or_never().is_none());
        other.send_replace(1);
        assert!(changes.changed().now_or_never().is_some());
        assert!(changes.changed().now_or_never().is_none());
        drop(other);
        assert!(changes.changed().now_or_never().is_none());
        one.send_replace(1);
        assert!(changes.changed().now_or_never().is_some());
        drop(one);
        assert!(changes.changed().now_or_never().is_none());
    }
}
