use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::{Cause, Spread, Validity, wait};

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn leaf(not_before: u64, lifetime: u64) -> Validity {
    Validity {
        not_before: at(not_before),
        not_after: at(not_before + lifetime),
    }
}

const HOUR: u64 = 3600;

#[test]
fn a_three_day_leaf_is_renewed_between_43_and_65_hours() {
    let leaf = leaf(1000, 72 * HOUR);
    let first = wait(Some(leaf), at(1000), 0.0, Cause::Age, Spread::default());
    let last = wait(Some(leaf), at(1000), 1.0, Cause::Age, Spread::default());
    assert_eq!(first.as_secs(), 72 * HOUR * 6 / 10);
    assert_eq!(last.as_secs(), 72 * HOUR * 9 / 10);
}

#[test]
fn a_leaf_past_nine_tenths_is_renewed_at_once() {
    let leaf = leaf(0, 100);
    assert_eq!(
        wait(Some(leaf), at(90), 0.7, Cause::Age, Spread::default()),
        Duration::ZERO
    );
    assert_eq!(
        wait(Some(leaf), at(5000), 0.7, Cause::Age, Spread::default()),
        Duration::ZERO
    );
}

#[test]
fn without_a_leaf_the_first_one_is_asked_for_at_once() {
    assert_eq!(
        wait(None, at(0), 0.5, Cause::Age, Spread::default()),
        Duration::ZERO
    );
    assert_eq!(
        wait(None, at(0), 0.5, Cause::RootChanged, Spread::default()),
        Duration::ZERO
    );
}

#[test]
fn a_root_change_uses_the_whole_spread_and_no_more() {
    let leaf = leaf(0, 72 * HOUR);
    assert_eq!(
        wait(
            Some(leaf),
            at(60),
            1.0,
            Cause::RootChanged,
            Spread::default()
        )
        .as_secs(),
        30
    );
    let narrow = Spread(Duration::from_secs(3));
    assert_eq!(
        wait(Some(leaf), at(60), 1.0, Cause::RootChanged, narrow).as_secs(),
        3
    );
}

#[test]
fn rate_limit_windows_grow_and_stop_growing() {
    let leaf = leaf(0, 720 * HOUR);
    let window = |errors| {
        wait(
            Some(leaf),
            at(0),
            1.0,
            Cause::RateLimited { errors },
            Spread::default(),
        )
        .as_secs()
    };
    assert_eq!((window(1), window(2), window(3)), (30, 60, 90));
    assert_eq!(window(u32::MAX), 300);
}

#[test]
fn an_expired_leaf_is_asked_for_again_without_end() {
    let leaf = leaf(0, 100);
    for errors in [1, 5, 500] {
        let pause = wait(
            Some(leaf),
            at(1000),
            1.0,
            Cause::Failed { errors },
            Spread::default(),
        );
        assert!(pause <= Duration::from_secs(60));
    }
}

fn any_cause() -> impl Strategy<Value = Cause> {
    prop_oneof![
        Just(Cause::Age),
        Just(Cause::RootChanged),
        any::<u32>().prop_map(|errors| Cause::RateLimited { errors }),
        any::<u32>().prop_map(|errors| Cause::Failed { errors }),
    ]
}

proptest! {
    #[test]
    fn renewal_by_age_falls_between_60_and_90_percent_or_at_once(
        lifetime in 10_u64..40_000_000, passed in 0_u64..50_000_000, jitter in 0.0..1.0_f64,
    ) {
        let leaf = leaf(1_000_000, lifetime);
        let now = at(1_000_000 + passed);
        let delay = wait(Some(leaf), now, jitter, Cause::Age, Spread::default());
        let fraction = (passed as f64 + delay.as_secs_f64()) / lifetime as f64;
        if delay.is_zero() {
            prop_assert!(fraction >= 0.6 - 1e-6);
        } else {
            prop_assert!((0.6 - 1e-6..=0.9 + 1e-6).contains(&fraction), "{}", fraction);
        }
    }

    #[test]
    fn a_root_change_never_waits_longer_than_the_spread_or_the_end_of_the_window(
        lifetime in 1_u64..40_000_000, passed in 0_u64..50_000_000, jitter in 0.0..1.0_f64, spread in 0_u64..600,
    ) {
        let leaf = leaf(0, lifetime);
        let delay = wait(Some(leaf), at(passed), jitter, Cause::RootChanged, Spread(Duration::from_secs(spread)));
        prop_assert!(delay <= Duration::from_secs(spread));
        let end = lifetime as f64 * 0.9;
        prop_assert!(delay.is_zero() || passed as f64 + delay.as_secs_f64() <= end + 1e-6);
    }

    #[test]
    fn a_retry_leaves_time_for_another_before_expiry(
        lifetime in 4_u64..40_000_000, passed in 0_u64..40_000_000, jitter in 0.0..1.0_f64, errors in any::<u32>(),
        limited in any::<bool>(),
    ) {
        prop_assume!(passed + 2 < lifetime);
        let leaf = leaf(0, lifetime);
        let cause = if limited { Cause::RateLimited { errors } } else { Cause::Failed { errors } };
        let delay = wait(Some(leaf), at(passed), jitter, cause, Spread::default());
        prop_assert!(delay.as_secs_f64() <= (lifetime - passed) as f64 / 2.0 + 1e-6);
        prop_assert!(delay >= Duration::from_millis(500));
        prop_assert!(delay <= Duration::from_secs(300));
    }

    #[test]
    fn no_validity_and_no_clock_makes_it_fail(
        before in any::<u32>(), after in any::<u32>(), now in any::<u32>(), jitter in any::<f64>(), cause in any_cause(),
    ) {
        let leaf = Validity { not_before: at(before.into()), not_after: at(after.into()) };
        let _ = wait(Some(leaf), at(now.into()), jitter, cause, Spread::default());
        let _ = wait(None, at(now.into()), jitter, cause, Spread::default());
    }
}
