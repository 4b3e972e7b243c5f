use std::sync::Mutex;

use tokio::{sync::mpsc, time::Instant};

use super::*;

struct Agent {
    /// What it answers next; the last answer is repeated.
    answers: mpsc::UnboundedSender<Result<ResolvedDefault, String>>,
    asked: mpsc::UnboundedReceiver<Instant>,
    set: Arc<Mutex<Vec<ResolvedDefault>>>,
    acl: watch::Sender<Option<AclPolicy>>,
    _task: crate::task::Task,
}

fn agent() -> Agent {
    agent_within(None)
}

fn agent_within(max_staleness: Option<Duration>) -> Agent {
    let (answers, mut queue) = mpsc::unbounded_channel();
    let (told, asked) = mpsc::unbounded_channel();
    let (acl, changes) = watch::channel(None);
    let set = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&set);
    let _task = crate::task::Task::spawn(async move {
        let mut last = Err("not asked yet".to_owned());
        let ask = move || {
            told.send(Instant::now()).expect("the test listens");
            if let Ok(answer) = queue.try_recv() {
                last = answer;
            }
            std::future::ready(last.clone())
        };
        repeat(
            ask,
            |default| seen.lock().expect("no panic").push(default),
            changes,
            max_staleness,
        )
        .await;
    });
    Agent {
        answers,
        asked,
        set,
        acl,
        _task,
    }
}

fn allow() -> ResolvedDefault {
    ResolvedDefault::new(DefaultPolicy::Allow, DefaultOrigin::AgentAclPolicy)
}

fn deny() -> ResolvedDefault {
    ResolvedDefault::new(DefaultPolicy::Deny, DefaultOrigin::AgentIntentionPolicy)
}

impl Agent {
    async fn asked(&mut self) -> Instant {
        self.asked.recv().await.expect("it is asked for ever")
    }

    fn in_force(&self) -> Option<ResolvedDefault> {
        self.set.lock().expect("no panic").last().cloned()
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_asked_for_again_each_minute_and_a_change_taken_over() {
    let mut agent = agent();
    agent.answers.send(Ok(allow())).expect("queued");
    agent.answers.send(Ok(deny())).expect("queued");
    let first = agent.asked().await;
    let second = agent.asked().await;
    assert_eq!(second - first, INTERVAL);
    agent.asked().await;
    assert_eq!(agent.in_force(), Some(deny()));
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_acl_default_asks_at_once_and_the_first_header_does_not() {
    let mut agent = agent();
    agent.answers.send(Ok(allow())).expect("queued");
    let first = agent.asked().await;
    tokio::task::yield_now().await;
    agent.acl.send_replace(Some(AclPolicy::Allow));
    let second = agent.asked().await;
    assert_eq!(second - first, INTERVAL);
    tokio::task::yield_now().await;
    agent.answers.send(Ok(deny())).expect("queued");
    agent.acl.send_replace(Some(AclPolicy::Deny));
    assert_eq!(agent.asked().await, second);
    agent.asked().await;
    assert_eq!(agent.in_force(), Some(deny()));
}

#[tokio::test(start_paused = true)]
async fn without_an_answer_it_is_deny_and_asked_for_with_growing_pauses() {
    let mut agent = agent();
    let mut last = agent.asked().await;
    for expected in [1, 2, 4, 8, 16, 32, 60, 60] {
        let next = agent.asked().await;
        assert_eq!((next - last).as_secs(), expected);
        last = next;
    }
    assert_eq!(
        agent.in_force(),
        Some(ResolvedDefault::unknown("not asked yet"))
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_kept_when_a_later_question_fails() {
    let mut agent = agent();
    agent.answers.send(Ok(allow())).expect("queued");
    agent
        .answers
        .send(Err("the agent is away".to_owned()))
        .expect("queued");
    for _ in 0..4 {
        agent.asked().await;
    }
    assert_eq!(agent.in_force(), Some(allow()));
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_allow_ends_when_the_acl_default_changes_and_the_agent_cannot_be_asked() {
    let mut agent = agent();
    agent.answers.send(Ok(allow())).expect("queued");
    agent.asked().await;
    agent.acl.send_replace(Some(AclPolicy::Allow));
    tokio::task::yield_now().await;
    assert_eq!(agent.in_force(), Some(allow()), "the first header agrees");
    agent
        .answers
        .send(Err("the agent is away".to_owned()))
        .expect("queued");
    agent.acl.send_replace(Some(AclPolicy::Deny));
    for _ in 0..3 {
        agent.asked().await;
        let default = agent.in_force().expect("one is in force");
        assert_eq!(default.policy(), DefaultPolicy::Deny, "{default}");
    }
    agent.answers.send(Ok(allow())).expect("queued");
    agent.asked().await;
    agent.asked().await;
    assert_eq!(agent.in_force(), Some(allow()), "confirmed");
}

#[tokio::test(start_paused = true)]
async fn a_first_header_that_speaks_against_the_answer_ends_it() {
    let mut agent = agent();
    agent.answers.send(Ok(allow())).expect("queued");
    let first = agent.asked().await;
    agent
        .answers
        .send(Err("the agent is away".to_owned()))
        .expect("queued");
    tokio::task::yield_now().await;
    agent.acl.send_replace(Some(AclPolicy::Deny));
    assert_eq!(agent.asked().await, first, "at once");
    let default = agent.in_force().expect("one is in force");
    assert_eq!(default.policy(), DefaultPolicy::Deny, "{default}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_allow_that_nothing_confirms_ends_when_intentions_would() {
    for (answer, kept) in [(allow(), false), (deny(), true)] {
        let mut agent = agent_within(Some(Duration::from_secs(30)));
        agent.answers.send(Ok(answer.clone())).expect("queued");
        let away = Err("the agent is away".to_owned());
        agent.answers.send(away).expect("queued");
        let first = agent.asked().await;
        let mut last = agent.asked().await;
        assert_eq!((last - first).as_secs(), 15);
        while last - first < Duration::from_secs(29) {
            assert_eq!(agent.in_force(), Some(answer.clone()));
            last = agent.asked().await;
        }
        agent.asked().await;
        assert_eq!(agent.in_force() == Some(answer), kept);
    }
}
