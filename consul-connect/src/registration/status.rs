use std::fmt;

use consul_api::health::Status;

use crate::ServiceName;

/// Where an instance is on its way into the catalog and out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RegistrationState {
    /// Taken out of the catalog.
    Deregistered,
    /// Somebody else registers it.
    External,
    /// The agent has not taken it in yet, or has lost it.
    Pending,
    /// The agent has it.
    Registered,
}

/// What the agent was told last about an instance, and what is wrong.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RegistrationStatus {
    /// The instance's id.
    pub id: String,
    /// Its service.
    pub service: ServiceName,
    /// Who registers it, if not this process.
    pub external: Option<String>,
    /// Where it is.
    pub state: RegistrationState,
    /// The check's status and text as the agent accepted them last.
    pub check: Option<(Status, String)>,
    /// How many calls have failed in a row.
    pub failures: u32,
    /// What the last call failed with, if it did.
    pub last_error: Option<consul_api::Error>,
}

impl fmt::Display for RegistrationStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}: ", self.id, self.service)?;
        match (&self.state, &self.external) {
            (RegistrationState::External, Some(by)) => write!(f, "registered by {by}")?,
            (RegistrationState::External, None) => f.write_str("registered by others")?,
            (RegistrationState::Deregistered, _) => f.write_str("deregistered")?,
            (RegistrationState::Pending, _) => f.write_str("NOT registered")?,
            (RegistrationState::Registered, _) => f.write_str("registered")?,
        }
        if let Some((status, output)) = &self.check {
            write!(f, ", {status}: {output}")?;
        }
        if let Some(error) = &self.last_error {
            write!(
                f,
                "; {} failures in a row, the last: {error}",
                self.failures
            )?;
        }
        Ok(())
    }
}

/// Why an instance is not where it was wanted.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistrationError {
    /// The agent could not be told in time that the instance has ended. It removes it by itself later.
    #[error("the instance {id} could not be deregistered in time; the agent removes it later")]
    NotDeregistered {
        /// The instance.
        id: String,
        /// What the last attempt failed with.
        #[source]
        cause: Option<consul_api::Error>,
    },
    /// The agent does not take the instance in.
    #[error("the agent refuses to register the instance {id}")]
    Refused {
        /// The instance.
        id: String,
        /// What it said.
        #[source]
        cause: consul_api::Error,
    },
}
