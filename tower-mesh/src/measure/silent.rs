//! Handles of a build that measures nothing.

use std::{sync::Arc, time::Duration};

#[derive(Clone, Debug)]
pub(crate) struct Sink;

pub(crate) struct Counter;
pub(crate) struct Gauge;
pub(crate) struct Histogram;

#[expect(clippy::unused_self, reason = "the other one of its kind uses it")]
impl Sink {
    pub(crate) fn of(_service: impl Into<Arc<str>>) -> Self {
        Self
    }

    pub(crate) fn counter(&self, _name: &'static str, _labels: &[(&'static str, &str)]) -> Counter {
        Counter
    }

    pub(crate) fn gauge(&self, _name: &'static str, _labels: &[(&'static str, &str)]) -> Gauge {
        Gauge
    }

    pub(crate) fn histogram(
        &self,
        _name: &'static str,
        _labels: &[(&'static str, &str)],
    ) -> Histogram {
        Histogram
    }
}

#[expect(clippy::unused_self, reason = "the other one of its kind uses it")]
impl Counter {
    pub(crate) fn increment(&self) {}
}

#[expect(clippy::unused_self, reason = "the other one of its kind uses it")]
impl Gauge {
    pub(crate) fn add(&self, _amount: f64) {}
}

#[expect(clippy::unused_self, reason = "the other one of its kind uses it")]
impl Histogram {
    pub(crate) fn record(&self, _time: Duration) {}
}
