//! One file a grant; each reads as its section of the RFC.

pub(crate) mod authorization_code;
mod client_credentials;
mod device_code;
mod password;
mod refresh_token;

use vouchsafe_protocol::{ErrorCode, Reason};

use crate::Error;

/// What was presented is no grant, for this reason (RFC 6749 5.2).
fn invalid(reason: Reason) -> Error {
    Error::refused(ErrorCode::InvalidGrant, reason)
}
