//! Many watches of one client whose rate is limited.

use std::sync::atomic::AtomicBool;

use super::*;

/// A server without changes that limits the rate of everything while it is told to.
#[derive(Clone, Debug, Default)]
struct Limiting {
    refuses: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Ask for Limiting {
    type Value = u32;

    fn path(&self) -> String {
        "/v1/limited".to_owned()
    }

    fn wait(&self) -> Duration {
        Duration::from_secs(300)
    }

    fn basis(&self) -> Basis {
        Basis::Index
    }

    async fn ask(&mut self, position: &Position, wait: Duration) -> Result<Response<u32>, Error> {
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        let _open = Open(&self.open);
        self.most.fetch_max(open, Ordering::Relaxed);
        self.asked.fetch_add(1, Ordering::Relaxed);
        sleep(Duration::from_millis(3)).await;
        if self.refuses.load(Ordering::Relaxed) {
            return Err(status(429));
        }
        if position.blocks() {
            sleep(wait + wait / 16).await;
        }
        let meta = Meta {
            index: Some(10),
            ..Meta::default()
        };
        Ok(Response { value: 1, meta })
    }

    async fn token_changed(&mut self) {
        std::future::pending::<()>().await;
    }
}

#[tokio::test(start_paused = true)]
async fn three_hundred_watches_honour_a_limit_and_are_live_two_seconds_after_it() {
    let script = Script::new(32);
    let server = Limiting::default();
    let watches: Vec<_> = (0..300)
        .map(|number| {
            let key = Key::new::<u32>(number.to_string(), &script.cell);
            Watch::new(script.hub.entry(key, || server.clone()))
        })
        .collect();
    sleep(Duration::from_secs(60)).await;
    let mut returns = script.hub.returns();
    for limited in [1, 10, 60] {
        let seen = |what: &str| {
            let failing = watches
                .iter()
                .filter(|watch| watch.status().failing_for.is_some())
                .count();
            println!("{what}: {failing} failing");
            failing
        };
        server.refuses.store(true, Ordering::Relaxed);
        // A poll that is open is answered; who asks next is refused.
        sleep(Duration::from_secs(10)).await;
        assert_eq!(seen("limited"), 300);
        let before = server.asked.load(Ordering::Relaxed);
        sleep(Duration::from_secs(limited)).await;
        let asked = server.asked.load(Ordering::Relaxed) - before;
        println!("{asked} requests in {limited} s");
        assert!(asked as u64 <= limited * 4 / 3 + 1, "{asked}");
        server.refuses.store(false, Ordering::Relaxed);
        returns.mark_unchanged();
        let told = *returns.borrow();
        sleep(Duration::from_secs(2)).await;
        assert_eq!(seen("over"), 0);
        assert_eq!(*returns.borrow(), told + 1, "one return of the server");
        sleep(Duration::from_secs(20)).await;
    }
    let most = server.most.load(Ordering::Relaxed);
    assert!(most <= 32, "{most} requests at once");
}

#[tokio::test(start_paused = true)]
async fn a_watch_alone_is_live_two_seconds_after_a_limit_too() {
    let script = Script::new(32);
    let server = Limiting::default();
    server.refuses.store(true, Ordering::Relaxed);
    let key = Key::new::<u32>("a".to_owned(), &script.cell);
    let mut watch = Watch::new(script.hub.entry(key, || server.clone()));
    sleep(Duration::from_secs(3600)).await;
    server.refuses.store(false, Ordering::Relaxed);
    let over = Instant::now();
    item(&mut watch).await.expect_err("it was refused");
    item(&mut watch).await.expect("it is answered");
    assert!(
        over.elapsed() < Duration::from_secs(2),
        "{:?}",
        over.elapsed()
    );
}
