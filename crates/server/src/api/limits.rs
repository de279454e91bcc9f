//! Failures by address and client, counted in memory: a guesser is slowed, the true client elsewhere is not.

use std::net::IpAddr;
use std::time::Duration;

use http::StatusCode;
use vouchsafe_protocol::{ErrorCode, Reason, Refusal, Timestamp};

use super::error::ApiError;
use crate::http::rate_limit::{FailureLimiter, RetryAfter, address_key};

const WINDOW: Duration = Duration::from_secs(60);
/// Wrong secrets of one client from one address.
const SECRETS: u32 = 30;
/// Wrong passwords from one address.
const PASSWORDS: u32 = 60;

/// The two limits.
pub(super) struct FailureLimits {
    secrets: FailureLimiter,
    passwords: FailureLimiter,
}

/// What a failure is counted under.
pub(super) struct Source {
    address: String,
    client: String,
}

impl Source {
    pub(super) fn new(address: Option<IpAddr>, client_id: &str) -> Self {
        let address = address.map(address_key).unwrap_or_default();
        // A client id is bounded before it becomes a key.
        let client = client_id.chars().take(200).collect::<String>();
        Self {
            client: format!("{address}|{client}"),
            address,
        }
    }
}

impl FailureLimits {
    pub(super) fn new() -> Self {
        Self {
            secrets: FailureLimiter::new(SECRETS, WINDOW),
            passwords: FailureLimiter::new(PASSWORDS, WINDOW),
        }
    }

    pub(super) fn check(&self, source: &Source, now: Timestamp) -> Result<(), ApiError> {
        let secrets = self.secrets.check(&source.client, now);
        secrets
            .and(self.passwords.check(&source.address, now))
            .map_err(|RetryAfter(wait)| {
                let refusal = Refusal::new(ErrorCode::TemporarilyUnavailable, Reason::TooManyAttempts);
                ApiError::new(StatusCode::TOO_MANY_REQUESTS, refusal).retry_after(wait)
            })
    }

    /// Counts a refused authentication; other refusals are no guesses.
    pub(super) fn record(&self, source: &Source, refusal: Refusal, now: Timestamp) {
        match refusal.reason {
            Reason::BadCredentials => self.secrets.record_failure(&source.client, now),
            Reason::BadPassword => self.passwords.record_failure(&source.address, now),
            _ => {}
        }
    }
}
