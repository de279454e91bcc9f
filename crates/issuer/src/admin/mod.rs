//! What operators do: one function a verb, each with an [`Actor`](crate::Actor), each writing row, audit and log
//! entry in one transaction.

pub mod apply;
pub(crate) mod client;
pub(crate) mod client_rules;
mod desired;
pub(crate) mod keys;
pub(crate) mod profile;
pub(crate) mod registration_token;
pub(crate) mod resource;
pub(crate) mod role;
pub(crate) mod rollback;
pub(crate) mod session;
pub(crate) mod token;
pub(crate) mod user;

use vouchsafe_store::{AuditEntry, StoreError};

use crate::audit::announce;
use crate::{Error, HashError, Issuer};

/// Why a verb was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// What was named does not exist.
    #[error("there is no {what} {name}")]
    NotFound {
        /// What it is, in one word.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// What was asked breaks a rule.
    #[error("{0}")]
    Invalid(String),
    /// The state of things forbids it.
    #[error("{0}")]
    Refused(String),
    /// Somebody else changed it at the same time.
    #[error("the {what} changed meanwhile; try again")]
    Changed {
        /// What it is.
        what: &'static str,
    },
    /// It failed.
    #[error(transparent)]
    Failed(Error),
}

impl From<Error> for AdminError {
    fn from(error: Error) -> Self {
        match error {
            Error::Store(StoreError::Exists { what }) => Self::Refused(format!("this {what} exists already")),
            Error::Store(StoreError::Stale { what }) => Self::Changed { what },
            error => Self::Failed(error),
        }
    }
}

impl From<StoreError> for AdminError {
    fn from(error: StoreError) -> Self {
        Error::from(error).into()
    }
}

impl From<HashError> for AdminError {
    fn from(error: HashError) -> Self {
        match error {
            HashError::BadLength => Self::Invalid(error.to_string()),
            HashError::Busy | HashError::Unusable => Self::Failed(error.into()),
        }
    }
}

impl AdminError {
    pub(crate) fn not_found(what: &'static str, name: impl ToString) -> Self {
        Self::NotFound {
            what,
            name: name.to_string(),
        }
    }

    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(text.into())
    }
}

/// Names what a guarded write did not find.
pub(crate) fn or_not_found<T>(
    result: Result<T, StoreError>,
    what: &'static str,
    name: impl ToString,
) -> Result<T, AdminError> {
    match result {
        Err(StoreError::NotFound { what: "role" }) if what != "role" => Err(AdminError::Refused(
            "one of these roles does not exist".to_owned(),
        )),
        Err(StoreError::NotFound { .. }) => Err(AdminError::not_found(what, name)),
        other => Ok(other?),
    }
}

impl Issuer {
    /// Writes the log line of a committed change and brings this process up to it.
    pub(crate) async fn concluded(&self, audit: &AuditEntry) -> Result<(), AdminError> {
        announce(audit);
        Ok(self.follow().await?)
    }
}
