//! Why the issuer did not do what was asked: a refusal for the wire, or a cause for the log.

use std::time::Duration;

use vouchsafe_keys::KeysError;
use vouchsafe_protocol::{ErrorCode, Reason, Refusal};
use vouchsafe_store::StoreError;

use crate::HashError;

/// A request that got no token and no answer of its own.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request was refused; what the wire may know of it.
    #[error("refused: {}", .0.reason.as_str())]
    Refused(Refusal),
    /// The database failed; never an `invalid_grant`, never a token.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// A key could not be used.
    #[error("the keys failed")]
    Keys(#[from] KeysError),
    /// The keys are sealed under another master key than this process has.
    #[error("the keys are sealed under another master key; restart with that one")]
    OtherMasterKey,
    /// No key may sign now.
    #[error("no key may sign now")]
    NoSigningKey,
    /// What was ended may begin again in a moment.
    #[error("it was ended just now")]
    TooSoon,
    /// The view of revocations is too old to vouch for a token.
    #[error("the view of revocations is stale")]
    StaleView,
    /// This machine's clock and the database's are too far apart to sign.
    #[error("the clocks of this machine and of the database are too far apart")]
    ClockSkew,
    /// The database went back in time, and nobody accepted that yet.
    #[error("the database lost what this process knows of it")]
    StateRollback,
    /// Too many passwords wait to be hashed.
    #[error("too many passwords wait to be hashed")]
    Busy,
    /// Something that cannot happen.
    #[error("internal: {0}")]
    Internal(&'static str),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<HashError> for Error {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Busy => Self::Busy,
            HashError::BadLength => Self::refused(ErrorCode::InvalidGrant, Reason::BadPassword),
            HashError::Unusable => Self::Internal("a password hash cannot be computed"),
        }
    }
}

impl Error {
    /// A refusal from its code and reason.
    pub(crate) fn refused(code: ErrorCode, reason: Reason) -> Self {
        Self::Refused(Refusal::new(code, reason))
    }

    /// What the wire learns.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        let unavailable = |reason| Refusal::new(ErrorCode::TemporarilyUnavailable, reason);
        match self {
            Self::Refused(refusal) => *refusal,
            Self::Store(StoreError::Busy) | Self::Busy | Self::TooSoon => unavailable(Reason::Busy),
            Self::Store(StoreError::Corrupt { .. })
            | Self::Keys(_)
            | Self::OtherMasterKey
            | Self::Internal(_) => Refusal::new(ErrorCode::ServerError, Reason::Internal),
            Self::Store(_) => unavailable(Reason::StoreUnavailable),
            Self::NoSigningKey => unavailable(Reason::NoSigningKey),
            Self::StaleView => unavailable(Reason::StaleView),
            Self::ClockSkew => unavailable(Reason::ClockSkew),
            Self::StateRollback => unavailable(Reason::StateRollback),
        }
    }

    /// When it is worth asking again.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        (self.refusal().code == ErrorCode::TemporarilyUnavailable).then_some(Duration::from_secs(1))
    }
}
