use std::collections::VecDeque;

use tokio::io::AsyncWriteExt as _;

use super::*;

/// A stream that keeps each write apart, and takes no more than it is told to.
#[derive(Default)]
struct Log {
    writes: Vec<Vec<u8>>,
    flushes: usize,
    /// What the next writes come to; without one a write is taken whole.
    script: VecDeque<Poll<io::Result<usize>>>,
}

impl AsyncWrite for Log {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let next = self.script.pop_front();
        let taken = ready!(next.unwrap_or(Poll::Ready(Ok(buf.len()))))?;
        self.writes.push(buf[..taken].to_vec());
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flushes += 1;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// hyper's part: in its polls it writes these pieces, turn by turn, and flushes after each.
fn connection(
    mut stream: Gathered<Log>,
    turns: &[&[&'static [u8]]],
) -> impl Future<Output = io::Error> + Unpin + use<> {
    let mut turns: VecDeque<Vec<_>> = turns.iter().map(|turn| turn.to_vec()).collect();
    std::future::poll_fn(move |cx| {
        for piece in turns.pop_front().unwrap_or_default() {
            match Pin::new(&mut stream).poll_write(cx, piece) {
                Poll::Ready(Ok(taken)) => assert_eq!(taken, piece.len()),
                Poll::Ready(Err(error)) => return Poll::Ready(error),
                Poll::Pending => panic!("there is room"),
            }
            assert!(Pin::new(&mut stream).poll_flush(cx).is_ready());
        }
        match Pin::new(&mut stream).poll_flush(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(error),
            _ => Poll::Pending,
        }
    })
}

/// Counts how often somebody is woken.
#[derive(Default)]
struct Wakes(std::sync::atomic::AtomicUsize);

impl std::task::Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

impl Wakes {
    fn count(&self) -> usize {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// A connection with the turns, over a stream with the script.
struct World {
    gathering: Pin<Box<dyn Future<Output = io::Error>>>,
    stream: Writes<Log>,
    wakes: Arc<Wakes>,
}

impl World {
    fn new(
        turns: &[&[&'static [u8]]],
        script: impl Into<VecDeque<Poll<io::Result<usize>>>>,
    ) -> Self {
        let (gathered, writes) = gather(Log {
            script: script.into(),
            ..Log::default()
        });
        let stream = Writes(Arc::clone(&writes.0));
        Self {
            gathering: Box::pin(Gathering::new(connection(gathered, turns), writes)),
            stream,
            wakes: Arc::default(),
        }
    }

    fn poll(&mut self) -> Poll<io::Error> {
        let waker = Arc::clone(&self.wakes).into();
        self.gathering
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
    }

    /// What the stream was given, write by write, and how often it was flushed.
    fn sent(&self) -> (Vec<Vec<u8>>, usize) {
        let shared = self.stream.lock();
        (shared.io.writes.clone(), shared.io.flushes)
    }
}

fn whole(writes: &[&[u8]]) -> Vec<Vec<u8>> {
    writes.iter().map(|write| write.to_vec()).collect()
}

#[test]
fn sends_in_one_write_what_was_written_before_everybody_had_a_turn() {
    let mut world = World::new(&[&[b"one ", b"two "], &[b"three"]], []);
    assert!(world.poll().is_pending());
    assert_eq!(
        world.sent(),
        (Vec::new(), 0),
        "others may be ready to write"
    );
    assert_eq!(world.wakes.count(), 1, "and it waits for nobody else");
    assert!(world.poll().is_pending());
    assert_eq!(world.sent(), (whole(&[b"one two three"]), 1));
    assert_eq!(world.wakes.count(), 1);
}

#[test]
fn does_nothing_when_nothing_was_written() {
    let mut world = World::new(&[], []);
    assert!(world.poll().is_pending());
    assert_eq!(world.sent(), (Vec::new(), 0));
    assert_eq!(world.wakes.count(), 0);
    assert_eq!(world.stream.lock().kept.capacity(), 0);
}

#[test]
fn keeps_no_memory_when_all_is_sent() {
    let mut world = World::new(&[&[b"one"]], []);
    assert!(world.poll().is_pending());
    assert_eq!(world.stream.lock().kept.capacity(), MOST);
    assert!(world.poll().is_pending());
    assert_eq!(world.stream.lock().kept.capacity(), 0);
}

#[test]
fn copies_nothing_that_fills_a_record_and_keeps_the_order() {
    static RECORD: [u8; MOST] = [b'x'; MOST];
    let mut world = World::new(&[&[b"head", &RECORD, b"tail"]], []);
    assert!(world.poll().is_pending());
    assert_eq!(world.sent().0, whole(&[b"head", &RECORD]));
    assert!(world.poll().is_pending());
    assert_eq!(world.sent().0, whole(&[b"head", &RECORD, b"tail"]));
}

#[test]
fn keeps_no_more_than_a_record() {
    static MOST_OF_IT: [u8; MOST - 2] = [b'x'; MOST - 2];
    let mut world = World::new(&[&[&MOST_OF_IT, b"more"]], []);
    assert!(world.poll().is_pending());
    assert_eq!(world.sent().0, whole(&[&MOST_OF_IT]));
}

#[test]
fn sends_the_rest_when_the_stream_takes_it() {
    let script = [Poll::Ready(Ok(2)), Poll::Pending];
    let mut world = World::new(&[&[b"one"]], script);
    assert!(world.poll().is_pending());
    assert!(world.poll().is_pending());
    assert_eq!(world.sent(), (whole(&[b"on"]), 0));
    assert!(world.poll().is_pending());
    assert_eq!(world.sent(), (whole(&[b"on", b"e"]), 1));
    assert_eq!(
        world.wakes.count(),
        1,
        "the stream wakes whoever waits for it"
    );
}

#[test]
fn tells_the_connection_why_nothing_could_be_sent() {
    let script = [Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))];
    let mut world = World::new(&[&[b"one"]], script);
    assert!(world.poll().is_pending());
    assert!(world.poll().is_pending());
    assert_eq!(world.wakes.count(), 2, "it has to hear of it");
    match world.poll() {
        Poll::Ready(error) => assert_eq!(error.kind(), io::ErrorKind::BrokenPipe),
        Poll::Pending => panic!("the connection was not told"),
    }
}

#[tokio::test]
async fn a_shutdown_sends_what_was_kept() {
    let (mut gathered, writes) = gather(Log::default());
    gathered.write_all(b"last words").await.expect("kept");
    assert!(writes.lock().io.writes.is_empty());
    gathered.shutdown().await.expect("shut down");
    assert_eq!(writes.lock().io.writes, whole(&[b"last words"]));
}
