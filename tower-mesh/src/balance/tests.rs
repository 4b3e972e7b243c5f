use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::*;

const MS: Duration = Duration::from_millis(1);

proptest! {
    #[test]
    fn draws_each_index_in_proportion_to_its_weight(weights in prop::collection::vec(1u32..=128, 1..60)) {
        let total: u32 = weights.iter().sum();
        let drawn = Sampler::new(&weights).probabilities();
        for (index, weight) in weights.iter().enumerate() {
            let expected = f64::from(*weight) / f64::from(total);
            prop_assert!((drawn[index] - expected).abs() < 1e-6, "{index}: {} for {expected}", drawn[index]);
        }
    }

    #[test]
    fn draws_two_different_indexes_when_weights_are_even(count in 2usize..5000, bits in any::<u64>()) {
        let (one, other) = Sampler::new(&vec![7; count]).draw_two(bits).expect("endpoints");
        prop_assert!(one < count && other < count && one != other);
    }

    #[test]
    fn any_bits_draw_a_valid_index(weights in prop::collection::vec(1u32..=128, 1..50), bits in any::<u64>()) {
        let (one, other) = Sampler::new(&weights).draw_two(bits).expect("endpoints");
        prop_assert!(one < weights.len() && other < weights.len());
    }

    /// The literal model: draw, compare, take the cheaper and the first of equals.
    #[test]
    fn picks_the_cheaper_of_the_two_drawn(
        endpoints in prop::collection::vec((1u32..=10, 0u8..5), 1..40),
        bits in any::<u64>(),
    ) {
        let weights: Vec<u32> = endpoints.iter().map(|(weight, _)| *weight).collect();
        let sampler = Sampler::new(&weights);
        let cost = |index: usize| f64::from(endpoints[index].1);
        let (one, other) = sampler.draw_two(bits).expect("endpoints");
        let mut model = [one, other];
        model.sort_by(|a, b| cost(*a).total_cmp(&cost(*b)));
        prop_assert_eq!(least_cost(&sampler, bits, cost), Some(model[0]));
    }

    /// The literal model of the average, in plain floating point over a list of samples.
    #[test]
    fn the_average_follows_peaks_at_once_and_wears_down_by_half_lives(
        samples in prop::collection::vec((0u64..10_000, 1u64..5_000), 1..40),
    ) {
        let load = Load::new();
        let mut now = Instant::now();
        let mut model: f64 = 0.0;
        for (pause, latency) in samples {
            now += Duration::from_millis(pause);
            load.answered(now, Duration::from_millis(latency));
            let (latency, old) = (latency as f64 * 1e6, (-(pause as f64) / 3000.0).exp2());
            model = if latency >= model { latency } else { model * old + latency * (1.0 - old) };
            prop_assert!((load.cost(now, 1.0) - model).abs() / model < 1e-3);
        }
    }
}

#[test]
fn picks_nothing_from_nothing() {
    assert_eq!(least_cost(&Sampler::new(&[]), 7, |_| 0.0), None);
}

#[test]
fn shares_follow_weights_while_costs_are_equal() {
    let sampler = Sampler::new(&[1, 3]);
    let heavy = (0..40_000)
        .filter(|_| least_cost(&sampler, random(), |_| 1.0) == Some(1))
        .count();
    assert!((29_000..31_000).contains(&heavy), "{heavy} of 40000");
}

#[test]
fn twice_the_weight_carries_twice_the_requests_at_the_same_cost() {
    let (light, heavy, now) = (Load::new(), Load::new(), Instant::now());
    for load in [&light, &heavy] {
        load.answered(now, MS);
    }
    (0..2).for_each(|_| light.begin());
    (0..4).for_each(|_| heavy.begin());
    assert!((light.cost(now, 0.5) - heavy.cost(now, 1.0)).abs() < 1.0);
}

#[test]
fn a_failure_makes_an_endpoint_dear_and_time_makes_it_cheap_again() {
    let (good, bad, now) = (Load::new(), Load::new(), Instant::now());
    for load in [&good, &bad] {
        load.answered(now, MS);
    }
    bad.failed(now);
    assert!(bad.cost(now, 1.0) > 500.0 * good.cost(now, 1.0));
    let later = now + Duration::from_secs(60);
    assert!(bad.cost(later, 1.0) <= good.cost(later, 1.0));
}

#[test]
fn a_new_endpoint_is_tried_at_once_but_not_flooded() {
    let (proven, new, now) = (Load::new(), Load::new(), Instant::now());
    proven.answered(now, MS);
    assert!(new.cost(now, 1.0) < proven.cost(now, 1.0));
    (0..20).for_each(|_| new.begin());
    assert!(new.cost(now, 1.0) > proven.cost(now, 1.0));
}

#[test]
fn only_a_slow_request_that_is_given_up_counts() {
    let (load, now) = (Load::new(), Instant::now());
    load.answered(now, 10 * MS);
    let before = load.cost(now, 1.0);
    load.abandoned(now, MS);
    assert!((load.cost(now, 1.0) - before).abs() < f64::EPSILON);
    load.abandoned(now, 500 * MS);
    assert!(load.cost(now, 1.0) > 40.0 * before);
}
