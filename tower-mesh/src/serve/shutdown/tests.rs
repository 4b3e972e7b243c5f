use std::{convert::Infallible, sync::Mutex};

use super::{
    super::stage::{Stage, reached},
    *,
};

const TIMING: Timing = Timing {
    grace: Duration::from_secs(5),
    drain: Duration::from_secs(10),
};

/// Follows `events` and returns each state's name with what it demanded.
fn walk(events: &[Event]) -> Vec<(State, Option<Action>)> {
    let now = Instant::now();
    let mut state = State::Serving;
    events
        .iter()
        .map(|event| {
            let (next, action) = state.on(*event, now, TIMING);
            state = next;
            (next, action)
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn tells_lingers_drains_departs() {
    use Event::{Asked, Departed, Due, Idle, Told};
    let now = Instant::now();
    assert_eq!(
        walk(&[Asked, Told, Due, Idle, Departed]),
        [
            (
                State::Announcing {
                    until: now + TELL_WITHIN
                },
                Some(Action::Announce)
            ),
            (
                State::Lingering {
                    until: now + TIMING.grace
                },
                None
            ),
            (
                State::Draining {
                    until: now + TIMING.drain
                },
                Some(Action::Drain)
            ),
            (State::Departing, Some(Action::Depart)),
            (State::Gone, None),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_catalog_that_does_not_answer_holds_nothing_up() {
    use Event::{Asked, Due, Told};
    let now = Instant::now();
    let states = walk(&[Asked, Due, Told]);
    assert_eq!(
        states[1].0,
        State::Lingering {
            until: now + TIMING.grace
        }
    );
    assert_eq!(states[2], (states[1].0, None), "told late");
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_a_drain_cuts_and_then_departs() {
    use Event::{Asked, Due, Idle, Told};
    let states = walk(&[Asked, Told, Due, Due, Due, Idle]);
    assert_eq!(states[3], (State::Cutting, Some(Action::Cut)));
    assert_eq!(
        states[4],
        (State::Cutting, None),
        "waits for the last connection"
    );
    assert_eq!(states[5], (State::Departing, Some(Action::Depart)));
}

#[tokio::test(start_paused = true)]
async fn asking_twice_cuts_wherever_it_is() {
    use Event::{Asked, Due, Told};
    for before in [&[Asked][..], &[Asked, Told], &[Asked, Told, Due]] {
        let states = walk(&[before, &[Asked]].concat());
        assert_eq!(states.last(), Some(&(State::Cutting, Some(Action::Cut))));
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_stray_moves_it() {
    use Event::{Departed, Due, Idle, Told};
    assert_eq!(walk(&[Told, Due, Departed]), [(State::Serving, None); 3]);
    assert_eq!(walk(&[Idle, Idle, Departed, Idle])[3], (State::Gone, None));
}

/// A catalog that writes down what it is told, and when.
struct Diary {
    began: Instant,
    entries: Mutex<Vec<(u64, &'static str)>>,
    answers: bool,
    /// What was in it when leaving began.
    left: std::sync::OnceLock<Vec<(u64, &'static str)>>,
}

impl Diary {
    fn new(answers: bool) -> Self {
        Self {
            began: Instant::now(),
            entries: Mutex::default(),
            answers,
            left: std::sync::OnceLock::new(),
        }
    }

    fn write(&self, what: &'static str) {
        let when = self.began.elapsed().as_secs();
        self.entries
            .lock()
            .expect("not poisoned")
            .push((when, what));
    }

    fn read(&self) -> Vec<(u64, &'static str)> {
        self.entries.lock().expect("not poisoned").clone()
    }
}

impl Place for Diary {
    fn leave(&self) {
        self.left.set(self.read()).expect("it leaves once");
    }

    async fn announce(&self) {
        self.write("announced");
        if !self.answers {
            pending::<Infallible>().await;
        }
    }

    async fn depart(&self) {
        self.write("departed");
    }
}

/// A server whose last connection ends `after` it is told to drain.
async fn server(handle: ServerHandle, diary: &Diary, after: Duration) {
    let mut stages = handle.subscribe();
    reached(Stage::Draining, &mut stages).await;
    diary.write("drains");
    tokio::select! {
        () = tokio::time::sleep(after) => diary.write("idle"),
        () = reached(Stage::Cut, &mut stages) => diary.write("cut"),
    }
}

/// Conducts a server that is asked to leave at each of `asks` seconds.
async fn conducted(
    diary: Diary,
    after: Duration,
    asks: &'static [u64],
) -> Vec<(u64, &'static str)> {
    let handle = ServerHandle::new();
    let began = Instant::now();
    let asks = stream::iter(asks).then(|at| sleep_until(began + Duration::from_secs(*at)));
    let server = server(handle.clone(), &diary, after);
    conduct(server, handle, &diary, TIMING, asks).await;
    assert_eq!(diary.left.get(), Some(&vec![]), "readiness goes first");
    diary.read()
}

#[tokio::test(start_paused = true)]
async fn goes_on_accepting_for_the_grace_and_departs_when_idle() {
    let diary = conducted(Diary::new(true), Duration::from_secs(3), &[1]).await;
    assert_eq!(
        diary,
        [
            (1, "announced"),
            (6, "drains"),
            (9, "idle"),
            (9, "departed")
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_silent_catalog_costs_two_seconds() {
    let diary = conducted(Diary::new(false), Duration::ZERO, &[1]).await;
    assert_eq!(
        diary,
        [
            (1, "announced"),
            (8, "drains"),
            (8, "idle"),
            (8, "departed")
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn what_does_not_end_is_cut_at_the_deadline() {
    let diary = conducted(Diary::new(true), Duration::from_secs(60), &[1]).await;
    assert_eq!(
        diary,
        [
            (1, "announced"),
            (6, "drains"),
            (16, "cut"),
            (16, "departed")
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_second_signal_does_not_wait() {
    let diary = conducted(Diary::new(true), Duration::from_secs(60), &[1, 2]).await;
    assert_eq!(
        diary,
        [(1, "announced"), (2, "drains"), (2, "cut"), (2, "departed")]
    );
}

#[tokio::test(start_paused = true)]
async fn a_grace_or_drain_without_an_end_lasts_until_it_is_asked_again() {
    let (now, never) = (Instant::now(), Duration::MAX);
    let timing = Timing {
        grace: never,
        drain: never,
    };
    let mut state = State::Serving;
    for event in [Event::Asked, Event::Told] {
        state = state.on(event, now, timing).0;
    }
    assert!(state.due().expect("a time") > now + Duration::from_secs(1 << 29));
    let (draining, _) = state.on(Event::Due, now, timing);
    assert!(draining.due().expect("a time") > now + Duration::from_secs(1 << 29));
}
