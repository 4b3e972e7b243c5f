use std::time::Duration;

use consul_api::health::Status;
use proptest::prelude::*;
use tokio::time::Instant;

use super::{Action, Desired, Observed, Outcome, Presence, REFRESH, Report, next};
use crate::registration::HealthState;

const INTERVAL: Duration = Duration::from_secs(5);

fn passing() -> Report {
    Report::new(&HealthState::Passing, false, false)
}

fn present(report: Report) -> Desired {
    Desired {
        presence: Presence::Present,
        report,
    }
}

/// A registration in its steady state.
fn settled(now: Instant) -> Observed {
    Observed {
        registered: Some(now),
        reported: Some((passing(), now)),
        ..Observed::default()
    }
}

fn enter(observed: &mut Observed, action: &Action, outcome: Outcome, now: Instant) {
    observed.enter(action, &outcome, passing(), now, 1.0, INTERVAL);
}

#[test]
fn a_new_instance_is_registered_reported_and_then_left_alone_for_a_third_of_the_ttl() {
    let now = Instant::now();
    let mut observed = Observed::default();
    let desired = present(passing());
    for expected in [Action::Register, Action::Report] {
        assert_eq!(next(&desired, &observed, now, INTERVAL), expected);
        enter(&mut observed, &expected, Outcome::Done, now);
    }
    assert_eq!(
        next(&desired, &observed, now, INTERVAL),
        Action::Wait(now + INTERVAL)
    );
    assert_eq!(
        next(&desired, &observed, now + INTERVAL, INTERVAL),
        Action::Report
    );
}

#[test]
fn an_agent_that_answers_again_is_told_at_once_whatever_the_pause() {
    let now = Instant::now();
    let mut observed = settled(now);
    enter(&mut observed, &Action::Report, Outcome::Failed, now);
    assert!(matches!(
        next(&present(passing()), &observed, now, INTERVAL),
        Action::Wait(_)
    ));
    observed.doubt();
    assert_eq!(
        next(&present(passing()), &observed, now, INTERVAL),
        Action::Report
    );
    enter(&mut observed, &Action::Report, Outcome::Unknown, now);
    assert_eq!(
        next(&present(passing()), &observed, now, INTERVAL),
        Action::Register
    );
    let mut observed = settled(now);
    observed.doubt();
    enter(&mut observed, &Action::Report, Outcome::Done, now);
    assert_eq!(
        next(&present(passing()), &observed, now, INTERVAL),
        Action::Wait(now + INTERVAL)
    );
}

#[test]
fn another_state_is_reported_at_once() {
    let now = Instant::now();
    let critical = Report::new(&HealthState::Critical("no database".into()), false, false);
    assert_eq!(
        next(&present(critical), &settled(now), now, INTERVAL),
        Action::Report
    );
}

#[test]
fn what_the_agent_has_lost_is_registered_again_at_once() {
    let now = Instant::now();
    let mut observed = settled(now);
    enter(&mut observed, &Action::Report, Outcome::Unknown, now);
    assert_eq!(
        next(&present(passing()), &observed, now, INTERVAL),
        Action::Register
    );
}

#[test]
fn what_is_lost_as_soon_as_it_is_taken_is_not_registered_in_a_tight_loop() {
    let now = Instant::now();
    let mut observed = Observed::default();
    enter(&mut observed, &Action::Register, Outcome::Done, now);
    enter(&mut observed, &Action::Report, Outcome::Unknown, now);
    assert!(
        matches!(next(&present(passing()), &observed, now, INTERVAL), Action::Wait(at) if at > now)
    );
}

#[test]
fn pauses_after_failures_grow_up_to_a_report_interval_and_end_with_a_success() {
    let now = Instant::now();
    let mut observed = settled(now);
    let mut pauses = Vec::new();
    for _ in 0..10 {
        enter(&mut observed, &Action::Report, Outcome::Failed, now);
        let Action::Wait(at) = next(&present(passing()), &observed, now, INTERVAL) else {
            panic!("a pause")
        };
        pauses.push(at - now);
    }
    assert!(
        pauses.is_sorted() && pauses[0] < Duration::from_secs(1),
        "{pauses:?}"
    );
    assert_eq!(pauses[9], INTERVAL);
    assert!(
        observed.registered.is_some(),
        "an agent that is away has not lost the instance"
    );
    enter(&mut observed, &Action::Report, Outcome::Done, now);
    assert_eq!(observed.failures, 0);
    assert_eq!(
        next(&present(passing()), &observed, now, INTERVAL),
        Action::Wait(now + INTERVAL)
    );
}

#[test]
fn a_registration_in_place_is_sent_again_now_and_then_and_its_check_is_not_disturbed() {
    let now = Instant::now();
    let mut observed = settled(now);
    let later = now + REFRESH;
    observed.reported = Some((passing(), later));
    assert_eq!(
        next(&present(passing()), &observed, later, INTERVAL),
        Action::Register
    );
    enter(&mut observed, &Action::Register, Outcome::Done, later);
    assert_eq!(
        next(&present(passing()), &observed, later, INTERVAL),
        Action::Wait(later + INTERVAL)
    );
}

#[test]
fn an_instance_wished_away_is_deregistered_once_and_stays_away() {
    let now = Instant::now();
    let absent = Desired {
        presence: Presence::Absent,
        report: passing(),
    };
    for outcome in [Outcome::Done, Outcome::Unknown] {
        let mut observed = settled(now);
        assert_eq!(next(&absent, &observed, now, INTERVAL), Action::Deregister);
        enter(&mut observed, &Action::Deregister, outcome, now);
        assert_eq!(next(&absent, &observed, now, INTERVAL), Action::Done);
        assert_eq!(
            next(&present(passing()), &observed, now, INTERVAL),
            Action::Done
        );
    }
}

#[test]
fn the_check_is_as_bad_as_the_worst_of_application_certificate_and_draining() {
    let warning = HealthState::Warning("slow disk".into());
    let report = Report::new(&warning, false, false);
    assert_eq!(
        (report.status, report.output.as_str()),
        (
            Status::Warning,
            "application warning: slow disk; certificate valid"
        )
    );
    let report = Report::new(&HealthState::Passing, true, false);
    assert_eq!(
        (report.status, report.output.as_str()),
        (Status::Critical, "application passing; certificate expired")
    );
    let report = Report::new(&HealthState::Passing, false, true);
    assert_eq!(
        (report.status, report.output.as_str()),
        (
            Status::Critical,
            "draining; application passing; certificate valid"
        )
    );
}

proptest! {
    /// Whatever happened before, an agent that works again has the right state after at most a pause and three calls.
    #[test]
    fn it_converges_from_any_history(
        history in prop::collection::vec((0..3_u8, any::<bool>()), 0..30), wants_presence in any::<bool>(),
    ) {
        let mut now = Instant::now();
        let mut observed = Observed::default();
        for (outcome, present) in history {
            let presence = if present { Presence::Present } else { Presence::Absent };
            let action = next(&Desired { presence, report: passing() }, &observed, now, INTERVAL);
            if let Action::Wait(until) = action {
                now = until;
            }
            let outcome = [Outcome::Done, Outcome::Unknown, Outcome::Failed][usize::from(outcome)].clone();
            enter(&mut observed, &action, outcome, now);
        }
        let presence = if wants_presence { Presence::Present } else { Presence::Absent };
        let desired = Desired { presence, report: passing() };
        let gone = observed.deregistered;
        let mut calls = 0;
        now += INTERVAL;
        loop {
            match next(&desired, &observed, now, INTERVAL) {
                Action::Done => {
                    prop_assert!(gone || !wants_presence);
                    break;
                }
                Action::Wait(until) => {
                    prop_assert!(until > now && wants_presence && observed.registered.is_some());
                    break;
                }
                action => {
                    calls += 1;
                    prop_assert!(calls <= 3);
                    enter(&mut observed, &action, Outcome::Done, now);
                }
            }
        }
    }
}

#[test]
fn leaving_does_not_wait_for_a_pause_and_has_short_ones_of_its_own() {
    let now = Instant::now();
    let mut observed = Observed::default();
    for _ in 0..10 {
        enter(&mut observed, &Action::Register, Outcome::Failed, now);
    }
    let absent = Desired {
        presence: Presence::Absent,
        ..present(passing())
    };
    assert_eq!(next(&absent, &observed, now, INTERVAL), Action::Deregister);
    for pause in [250, 500, 500, 500] {
        enter(&mut observed, &Action::Deregister, Outcome::Failed, now);
        let retry = now + Duration::from_millis(pause);
        assert_eq!(next(&absent, &observed, now, INTERVAL), Action::Wait(retry));
        assert_eq!(
            next(&absent, &observed, retry, INTERVAL),
            Action::Deregister
        );
    }
}

#[test]
fn a_ttl_that_no_clock_can_hold_is_one_that_never_ends() {
    let now = Instant::now();
    let Action::Wait(until) = next(&present(passing()), &settled(now), now, Duration::MAX) else {
        panic!("there is nothing to do");
    };
    assert_eq!(until, now + REFRESH);
}
