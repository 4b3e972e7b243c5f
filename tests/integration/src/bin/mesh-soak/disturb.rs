//! What happens to the mesh meanwhile. Each kind goes on by itself, so that each can be had alone.

use std::{cell::Cell, time::Duration};

use consul_connect::test_util::TestCa;
use mesh_lab::{Agent, OwnCa};
use mesh_tests::real_mesh::{Source, member, serving};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tower_mesh::Mesh;

use crate::{app, options::Options};

/// The trust domain is the cluster's, and both roots are made for it.
pub(crate) const CLUSTER: &str = "6d657368-736f-616b-0000-000000000001";

/// How often each has happened.
#[derive(Debug, Default)]
pub(crate) struct Happened {
    rotations: Cell<u64>,
    rules: Cell<u64>,
    instances: Cell<u64>,
}

/// The two roots that take turns. Consul lists a root for hours after it was replaced, so with a new one each time its list,
/// and everybody's memory of it, would grow with every rotation.
pub(crate) fn roots() -> [OwnCa; 2] {
    [(); 2].map(|()| {
        let ca = TestCa::new(&format!("{CLUSTER}.consul"));
        OwnCa::new(ca.key_pem(), ca.root_pem())
    })
}

/// Goes on for ever. `roots[0]` is in force at first.
pub(crate) async fn disturb(
    agent: &Agent,
    roots: &[OwnCa; 2],
    options: Options,
    happened: &Happened,
) {
    let rotate = each(options.rotate, &happened.rotations, async |round| {
        let next = &roots[usize::from(round.is_multiple_of(2))];
        said("rotating", agent.rotate_to(next).await);
    });
    let intend = each(options.intend, &happened.rules, async |round| {
        let nobody = format!("nobody-{}", round % 3);
        for action in ["deny", "allow"] {
            let written = agent.set_intention(&nobody, "api", action).await;
            said("writing an intention", written);
            sleep(options.intend / 4).await;
        }
    });
    let churn = each(options.churn, &happened.instances, async |_| {
        let passing = joined(agent, "api").await;
        let served = serving(&passing, app()).await;
        sleep(options.churn / 4).await;
        passing.shutdown().await;
        if let Ok(served) = served.await {
            said("an instance that came and went", served);
        }
    });
    tokio::join!(rotate, intend, churn);
}

pub(crate) async fn joined(agent: &Agent, service: &str) -> Mesh {
    let builder = member(agent, service, Source::Grpc, None).drain_grace(Duration::from_secs(2));
    builder.join().await.expect("joined")
}

async fn each(period: Duration, count: &Cell<u64>, happen: impl AsyncFn(u64)) {
    if period.is_zero() {
        return std::future::pending().await;
    }
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        happen(count.get()).await;
        count.set(count.get() + 1);
    }
}

fn said<E: std::fmt::Debug>(what: &str, done: Result<(), E>) {
    if let Err(error) = done {
        println!("{what}: {error:?}");
    }
}

impl std::fmt::Display for Happened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} rotations, {} changes of a rule, {} instances that came and went",
            self.rotations.get(),
            self.rules.get(),
            self.instances.get()
        )
    }
}
