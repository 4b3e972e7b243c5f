//! Where measurements go: the recorder of the process, and the one of the admin listener.

use std::{fmt, sync::Arc, time::Duration};

use metrics::{Key, Label, Level, Metadata, Recorder};

static META: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, None);

/// Makes handles. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Sink {
    service: Arc<str>,
    own: Option<Arc<dyn Recorder + Send + Sync>>,
}

/// One handle for the recorder of the process, one for the admin listener's.
type Both<T> = (T, Option<T>);

pub(crate) struct Counter(Both<metrics::Counter>);
pub(crate) struct Gauge(Both<metrics::Gauge>);
pub(crate) struct Histogram(Both<metrics::Histogram>);

impl Sink {
    /// Measurements of `service`, for the recorder that the process has now.
    pub(crate) fn of(service: impl Into<Arc<str>>) -> Self {
        Self::new(service, None)
    }

    /// [`of`](Self::of), and for a recorder of our own.
    pub(crate) fn new(
        service: impl Into<Arc<str>>,
        own: Option<Arc<dyn Recorder + Send + Sync>>,
    ) -> Self {
        let sink = Self {
            service: service.into(),
            own,
        };
        for (name, text) in crate::metrics::TEXTS {
            sink.both(|recorder| {
                let text = metrics::SharedString::const_str(text);
                // The kind only decides under which heading the text is kept.
                if name.ends_with("_total") {
                    recorder.describe_counter(name.into(), None, text);
                } else if name == crate::metrics::REQUEST_SECONDS {
                    recorder.describe_histogram(name.into(), None, text);
                } else {
                    recorder.describe_gauge(name.into(), None, text);
                }
            });
        }
        sink
    }

    pub(crate) fn counter(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Counter {
        let key = self.key(name, labels);
        Counter(self.both(|recorder| recorder.register_counter(&key, &META)))
    }

    pub(crate) fn gauge(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Gauge {
        let key = self.key(name, labels);
        Gauge(self.both(|recorder| recorder.register_gauge(&key, &META)))
    }

    pub(crate) fn histogram(
        &self,
        name: &'static str,
        labels: &[(&'static str, &str)],
    ) -> Histogram {
        let key = self.key(name, labels);
        Histogram(self.both(|recorder| recorder.register_histogram(&key, &META)))
    }

    fn key(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Key {
        let own = Label::new("service", self.service.to_string());
        let others = labels
            .iter()
            .map(|(key, value)| Label::new(*key, (*value).to_owned()));
        Key::from_parts(name, std::iter::once(own).chain(others).collect::<Vec<_>>())
    }

    fn both<T>(&self, make: impl Fn(&dyn Recorder) -> T) -> Both<T> {
        let process = metrics::with_recorder(|recorder| make(recorder));
        (process, self.own.as_ref().map(|own| make(&**own)))
    }
}

impl Counter {
    pub(crate) fn increment(&self) {
        self.0.0.increment(1);
        if let Some(own) = &self.0.1 {
            own.increment(1);
        }
    }

    pub(crate) fn at_least(&self, value: u64) {
        self.0.0.absolute(value);
        if let Some(own) = &self.0.1 {
            own.absolute(value);
        }
    }
}

impl Gauge {
    pub(crate) fn add(&self, amount: f64) {
        self.0.0.increment(amount);
        if let Some(own) = &self.0.1 {
            own.increment(amount);
        }
    }

    pub(crate) fn set(&self, value: f64) {
        self.0.0.set(value);
        if let Some(own) = &self.0.1 {
            own.set(value);
        }
    }
}

impl Histogram {
    pub(crate) fn record(&self, time: Duration) {
        self.0.0.record(time.as_secs_f64());
        if let Some(own) = &self.0.1 {
            own.record(time.as_secs_f64());
        }
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink")
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}
