use std::{fmt, time::Duration};

/// How a provider of tokens is doing: a `jwt-provider` config entry that the intentions name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JwtProviderStatus {
    /// Its name.
    pub name: String,
    /// Why no token of it is accepted; `None` if they are verified.
    pub fault: Option<String>,
    /// How many keys its tokens are verified with.
    pub keys: usize,
    /// How long ago these were last read or fetched, or found unchanged. For keys in the entry itself: since it came.
    pub keys_age: Option<Duration>,
    /// What the last attempt to read the entry or to get the keys failed with, if it did. What there was before is still in
    /// force.
    pub last_error: Option<String>,
    /// Keys that are not used, and why.
    pub notes: Vec<String>,
}

impl fmt::Display for JwtProviderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "provider `{}`: ", self.name)?;
        match &self.fault {
            Some(fault) => write!(f, "DENIES: {fault}")?,
            None => write!(f, "{} keys", self.keys)?,
        }
        if let (None, Some(age)) = (&self.fault, self.keys_age) {
            write!(f, ", {} s old", age.as_secs())?;
        }
        if let Some(error) = &self.last_error {
            write!(f, "; the last attempt failed: {error}")?;
        }
        for note in &self.notes {
            write!(f, "\n  note: {note}")?;
        }
        Ok(())
    }
}
