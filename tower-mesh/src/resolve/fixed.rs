//! A set of instances that never changes.

use super::{Instance, Resolution, Resolve, Target};

/// The same instances for every target: see [`fixed`].
#[derive(Clone, Debug)]
pub struct Fixed(Vec<Instance>);

/// Resolves every target to the same instances, for tests and for places without Consul.
pub fn fixed(instances: impl IntoIterator<Item = Instance>) -> Fixed {
    Fixed(instances.into_iter().collect())
}

impl Resolve for Fixed {
    fn resolve(&self, _target: &Target) -> Resolution {
        let instances = self.0.clone();
        Box::pin(futures_util::stream::once(async move { Ok(instances) }))
    }
}
