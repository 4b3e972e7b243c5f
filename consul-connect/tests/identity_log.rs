//! What an identity writes in the log.
//!
//! A process of its own: tracing asks the subscriber once about each place that logs, and another test's thread may be the one it asks.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use consul_connect::{
    Identity, IdentityConfig,
    identity::source::{SourceError, channel},
    test_util::TestCa,
};
use tracing_subscriber::util::SubscriberInitExt as _;

const DOMAIN: &str = "11111111-2222-3333-4444-555555555555.consul";

/// Takes what the subscriber writes.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut text = self.0.lock().expect("no panic");
        text.push_str(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_each_second_is_in_the_log_once_a_minute() {
    let log = Log::default();
    let lines = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .with_ansi(false)
        .with_writer(move || lines.clone())
        .finish();
    subscriber.init();
    let ca = TestCa::new(DOMAIN);
    let (pusher, source) = channel();
    pusher.push(Ok(ca.material("web")));
    let identity = Identity::connect(source, IdentityConfig::default())
        .await
        .expect("an identity");
    for second in 0..150 {
        pusher.push(Err(SourceError::new("following the roots").with_cause(
            std::io::Error::other(format!("refused in second {second}")),
        )));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let fault = identity.status().to_string();
    assert!(fault.ends_with("refused in second 149"), "{fault}");
    let log = log.0.lock().expect("no panic");
    let said: Vec<&str> = log.lines().collect();
    assert_eq!(said.len(), 3, "{log}");
    assert!(said[0].contains("refused in second 0"), "{log}");
    assert!(said[1].contains("kept_back=59"), "{log}");
}
