//! Checks access tokens of a Vouchsafe issuer (RFC 9068) inside other people's services, and
//! inside the issuer itself: no I/O, no clock, no global; keys, revocations and the time come from
//! the caller.

mod key_set;
mod rejection;
mod revocation_index;
mod token;
mod verifier;

pub use crate::key_set::{KeySet, KeySetError, KeySource};
pub use crate::rejection::Rejection;
pub use crate::revocation_index::RevocationIndex;
pub use crate::token::{UnverifiedToken, VerifiedToken};
pub use crate::verifier::{ExpectedAudience, Verifier};
pub use vouchsafe_protocol::{RevocationEntry, RevocationKind};
