//! What operators see of a member: gauges read from its status, and the admin listener.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use consul_connect::ServiceName;
use tokio::time::interval;
use tokio_util::task::AbortOnDropHandle;

use super::inner::Inner;
use crate::{
    Error,
    measure::{Sampler, Sink},
};

/// How often the status is read for the gauges.
const EVERY: Duration = Duration::from_secs(5);

/// Made before the member, because what it counts needs to know where to.
pub(super) struct Observer {
    sink: Sink,
    #[cfg(feature = "admin")]
    admin: Option<super::admin::Admin>,
}

impl Observer {
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) and
    /// [`ErrorKind::Listen`](crate::ErrorKind::Listen) about the address of the admin listener.
    #[cfg(feature = "admin")]
    pub(super) async fn new(service: &ServiceName, admin: Option<&str>) -> Result<Self, Error> {
        let Some(address) = admin else {
            return Ok(Self {
                sink: Sink::of(service.as_str()),
                admin: None,
            });
        };
        let admin = super::admin::Admin::bind(address).await?;
        Ok(Self {
            sink: Sink::new(service.as_str(), Some(admin.recorder())),
            admin: Some(admin),
        })
    }

    #[cfg(not(feature = "admin"))]
    #[expect(clippy::unused_async, reason = "with an admin listener it binds")]
    pub(super) async fn new(service: &ServiceName, _admin: Option<&str>) -> Result<Self, Error> {
        Ok(Self {
            sink: Sink::of(service.as_str()),
        })
    }

    pub(super) fn sink(&self) -> Sink {
        self.sink.clone()
    }

    #[cfg(feature = "admin")]
    pub(super) fn admin_addr(&self) -> Option<std::net::SocketAddr> {
        self.admin.as_ref().map(super::admin::Admin::local_addr)
    }

    /// Observes the member until its last handle is dropped.
    pub(super) fn begin(self, member: &Arc<Inner>) {
        let sampled = sample(Sampler::new(self.sink), Arc::downgrade(member));
        #[cfg(feature = "admin")]
        let task = {
            let (admin, member) = (self.admin, Arc::downgrade(member));
            tokio::spawn(async move {
                match admin {
                    Some(admin) => {
                        tokio::join!(sampled, admin.serve(member));
                    }
                    None => sampled.await,
                }
            })
        };
        #[cfg(not(feature = "admin"))]
        let task = tokio::spawn(sampled);
        // It is set once, here.
        let _ = member.observing.set(AbortOnDropHandle::new(task));
    }
}

/// Weak: the task does not keep what owns it.
async fn sample(mut sampler: Sampler, member: Weak<Inner>) {
    let mut ticks = interval(EVERY);
    loop {
        ticks.tick().await;
        match member.upgrade() {
            Some(member) => sampler.sample(&member.status()),
            None => return,
        }
    }
}
