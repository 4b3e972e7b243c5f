//! The call that registers a service, with what may be added to it.

use crate::{read::Call, request::Request};

/// A registration of a service: see [`Agent::register_service`](super::Agent::register_service).
#[derive(Clone, Debug)]
#[must_use = "nothing is sent until this is awaited"]
pub struct RegisterService {
    pub(super) call: Call<()>,
}

impl RegisterService {
    /// Removes the checks that an earlier registration had and this one has not.
    pub fn replace_existing_checks(self) -> Self {
        Self {
            call: self
                .call
                .map_request(|request| request.set_query("replace-existing-checks", "true")),
        }
    }

    /// Registers in a namespace. Enterprise.
    pub fn namespace(self, name: impl Into<String>) -> Self {
        Self {
            call: self.call.namespace(name),
        }
    }

    /// Registers in an admin partition. Enterprise.
    pub fn partition(self, name: impl Into<String>) -> Self {
        Self {
            call: self.call.partition(name),
        }
    }

    /// The request as a value, as it would be sent.
    pub fn request(&self) -> &Request<()> {
        self.call.request()
    }
}

impl IntoFuture for RegisterService {
    type Output = <Call<()> as IntoFuture>::Output;
    type IntoFuture = <Call<()> as IntoFuture>::IntoFuture;

    fn into_future(self) -> Self::IntoFuture {
        self.call.into_future()
    }
}
