//! Failures by address, counted in memory: a guesser is slowed, the true client elsewhere is not, and whoever guesses
//! nothing is never asked. And the revocations of each client, which share one log.

use std::net::IpAddr;
use std::time::Duration;

use http::StatusCode;
use vouchsafe_issuer::lookup_key;
use vouchsafe_protocol::{ErrorCode, Reason, Refusal, Timestamp};

use super::error::ApiError;
use crate::http::rate_limit::{FailureLimiter, RetryAfter, address_key};

const WINDOW: Duration = Duration::from_secs(60);
/// Wrong secrets of one client from one address.
const SECRETS: u32 = 30;
/// Wrong secrets and unknown clients from one address.
const CLIENTS: u32 = 300;
/// Wrong passwords from one address.
const PASSWORDS: u32 = 60;
/// Revocations of one client: each takes its turn at the head of the log.
const REVOCATIONS: u32 = 30_000;
/// Registrations, and what follows them, from one address.
const REGISTRATIONS: u32 = 20;
/// Pushed requests of one client from one address.
const PUSHED: u32 = 120;
/// Pushed requests from one address, whichever client they are of.
const PUSHED_HERE: u32 = 600;
/// Devices that begin to wait, of one client from one address.
const DEVICES: u32 = 60;
/// Devices from one address, whichever client they run.
const DEVICES_HERE: u32 = 300;
/// Documents of clients that are read for one address.
const DOCUMENTS: u32 = 30;
/// Wrong user codes from one address.
const USER_CODES: u32 = 30;
/// Wrong user codes of one person.
const USER_CODES_OF_ONE: u32 = 10;
/// Accounts made from one address.
const SIGN_UPS: u32 = 10;
/// Wrong passwords for one name through one client that authenticates: its address is that of all its users.
const PASSWORDS_OF_ONE: u32 = 20;

/// The limits.
pub(crate) struct FailureLimits {
    secrets: FailureLimiter,
    clients: FailureLimiter,
    passwords: FailureLimiter,
    passwords_of_one: FailureLimiter,
    revocations: FailureLimiter,
    registrations: FailureLimiter,
    pushed: FailureLimiter,
    pushed_here: FailureLimiter,
    sign_ups: FailureLimiter,
    devices: FailureLimiter,
    devices_here: FailureLimiter,
    documents: FailureLimiter,
    user_codes: FailureLimiter,
    user_codes_of_one: FailureLimiter,
}

/// Where a request comes from.
pub(crate) struct Source {
    /// The address, IPv6 by its network.
    pub(crate) address: String,
    client: String,
}

impl Source {
    pub(crate) fn new(address: Option<IpAddr>, client_id: &str) -> Self {
        let address = address.map(address_key).unwrap_or_default();
        Self {
            client: bounded(&address, client_id),
            address,
        }
    }
}

/// A name that an attacker chooses is cut before it becomes a key.
fn bounded(address: &str, name: &str) -> String {
    format!("{address}|{}", name.chars().take(200).collect::<String>())
}

impl FailureLimits {
    pub(super) fn new() -> Self {
        Self {
            secrets: FailureLimiter::new(SECRETS, WINDOW),
            clients: FailureLimiter::new(CLIENTS, WINDOW),
            passwords: FailureLimiter::new(PASSWORDS, WINDOW),
            passwords_of_one: FailureLimiter::new(PASSWORDS_OF_ONE, WINDOW),
            revocations: FailureLimiter::new(REVOCATIONS, WINDOW),
            registrations: FailureLimiter::new(REGISTRATIONS, WINDOW),
            pushed: FailureLimiter::new(PUSHED, WINDOW),
            pushed_here: FailureLimiter::new(PUSHED_HERE, WINDOW),
            sign_ups: FailureLimiter::new(SIGN_UPS, WINDOW),
            devices: FailureLimiter::new(DEVICES, WINDOW),
            devices_here: FailureLimiter::new(DEVICES_HERE, WINDOW),
            documents: FailureLimiter::new(DOCUMENTS, WINDOW),
            user_codes: FailureLimiter::new(USER_CODES, WINDOW),
            user_codes_of_one: FailureLimiter::new(USER_CODES_OF_ONE, WINDOW),
        }
    }

    /// Asked before a secret is compared.
    pub(super) fn may_try_secret(&self, source: &Source, now: Timestamp) -> Result<(), ApiError> {
        let here = self.secrets.check(&source.client, now);
        here.and(self.clients.check(&source.address, now))
            .map_err(too_many)
    }

    pub(super) fn wrong_secret(&self, source: &Source, now: Timestamp) {
        self.secrets.record_failure(&source.client, now);
        self.clients.record_failure(&source.address, now);
    }

    /// Asked before a password is checked.
    pub(crate) fn may_try_password(
        &self,
        source: &Source,
        confidential: bool,
        username: &str,
        now: Timestamp,
    ) -> Result<(), ApiError> {
        let (limiter, key) = self.password_limit(source, confidential, username);
        limiter.check(&key, now).map_err(too_many)
    }

    pub(crate) fn wrong_password(&self, source: &Source, confidential: bool, username: &str, now: Timestamp) {
        let (limiter, key) = self.password_limit(source, confidential, username);
        limiter.record_failure(&key, now);
    }

    /// Asked before a token of a client is ended.
    pub(super) fn may_revoke(&self, client_id: &str, now: Timestamp) -> Result<(), ApiError> {
        self.revocations.check(client_id, now).map_err(too_many)
    }

    /// Counts one that was written; what was no token took no turn.
    pub(super) fn revoked(&self, client_id: &str, now: Timestamp) {
        self.revocations.record_failure(client_id, now);
    }

    /// Counts a registration; each may become a row.
    pub(super) fn may_register(&self, source: &Source, now: Timestamp) -> Result<(), ApiError> {
        counted(&self.registrations, &source.address, now)
    }

    /// Counts a pushed request; each becomes a row.
    pub(super) fn may_push(&self, source: &Source, now: Timestamp) -> Result<(), ApiError> {
        counted(&self.pushed, &source.client, now)?;
        counted(&self.pushed_here, &source.address, now)
    }

    /// Counts a device that begins to wait; each becomes a row.
    pub(super) fn may_begin_device(&self, source: &Source, now: Timestamp) -> Result<(), ApiError> {
        counted(&self.devices, &source.client, now)?;
        counted(&self.devices_here, &source.address, now)
    }

    /// Counts a document that is to be read; each is a call to a host that a stranger names.
    pub(crate) fn may_fetch_document(&self, source: &Source, now: Timestamp) -> Result<(), ApiError> {
        counted(&self.documents, &source.address, now)
    }

    /// Asked before a user code is looked up.
    pub(crate) fn may_try_user_code(
        &self,
        source: &Source,
        person: &str,
        now: Timestamp,
    ) -> Result<(), ApiError> {
        let here = self.user_codes.check(&source.address, now);
        here.and(self.user_codes_of_one.check(person, now))
            .map_err(too_many)
    }

    pub(crate) fn wrong_user_code(&self, source: &Source, person: &str, now: Timestamp) {
        self.user_codes.record_failure(&source.address, now);
        self.user_codes_of_one.record_failure(person, now);
    }

    /// Counts an account to be made.
    pub(crate) fn may_sign_up(&self, source: &Source, now: Timestamp) -> Result<(), ApiError> {
        counted(&self.sign_ups, &source.address, now)
    }

    fn password_limit(
        &self,
        source: &Source,
        confidential: bool,
        username: &str,
    ) -> (&FailureLimiter, String) {
        if confidential {
            (
                &self.passwords_of_one,
                bounded(&source.address, &lookup_key(username)),
            )
        } else {
            (&self.passwords, source.address.clone())
        }
    }
}

/// Asks and counts at once: what is limited is not failure but number.
fn counted(limiter: &FailureLimiter, key: &str, now: Timestamp) -> Result<(), ApiError> {
    limiter.check(key, now).map_err(too_many)?;
    limiter.record_failure(key, now);
    Ok(())
}

fn too_many(RetryAfter(wait): RetryAfter) -> ApiError {
    let refusal = Refusal::new(ErrorCode::TemporarilyUnavailable, Reason::TooManyAttempts);
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, refusal).retry_after(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revocations_that_were_written_are_counted_by_client() {
        let (limits, now) = (FailureLimits::new(), Timestamp::from_unix(1_000_000));
        for _ in 0..REVOCATIONS {
            assert!(limits.may_revoke("web", now).is_ok());
            limits.revoked("web", now);
        }
        assert!(limits.may_revoke("web", now).is_err());
        assert!(limits.may_revoke("other", now).is_ok());
        assert!(limits.may_revoke("web", now.plus(WINDOW * 2)).is_ok());
    }

    #[test]
    fn c01_p07_what_becomes_a_row_is_counted_by_address_whichever_client_it_is_of() {
        let now = Timestamp::from_unix(1_000_000);
        let from = |address: u8, client: u32| {
            Source::new(
                Some(IpAddr::from([198, 51, 100, address])),
                &format!("client-{client}"),
            )
        };
        type Limit = fn(&FailureLimits, &Source, Timestamp) -> Result<(), ApiError>;
        let limits: [(Limit, u32); 3] = [
            (FailureLimits::may_push, PUSHED_HERE),
            (FailureLimits::may_begin_device, DEVICES_HERE),
            (FailureLimits::may_fetch_document, DOCUMENTS),
        ];
        for (may, most) in limits {
            let limits = FailureLimits::new();
            for client in 0..most {
                assert!(may(&limits, &from(1, client), now).is_ok(), "{client}");
            }
            assert!(may(&limits, &from(1, most), now).is_err());
            assert!(may(&limits, &from(2, 0), now).is_ok());
            assert!(may(&limits, &from(1, most), now.plus(WINDOW * 2)).is_ok());
        }
    }
}
