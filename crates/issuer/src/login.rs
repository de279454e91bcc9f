//! Signing a person in by name and password: the same answer and the same work for an unknown name, a wrong password
//! and a locked account.

use std::sync::Arc;

use moka::sync::Cache;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use vouchsafe_protocol::{ErrorCode, Reason, SecretString, Subject};

use crate::names::lookup_key;
use crate::password::LONGEST_PASSWORD;
use crate::{Error, HashError, Issuer};

/// Failures in a row that cost nothing.
const FREE_FAILURES: i64 = 10;
/// The longest pause in seconds: long enough against guessing, too short to lock anybody out for good.
const LONGEST_PAUSE: i64 = 60;
/// Attempts of one name under way at once; the next ones wait, they are not refused.
const AT_ONCE: usize = 4;
const NAMES: u64 = 50_000;

/// A person whose password was checked just now.
pub(crate) struct SignedIn {
    pub(crate) subject: Subject,
    /// The hash it was checked against; still in force when a family begins, or none begins.
    pub(crate) password_hash: SecretString,
}

/// Attempts under way, by name, whether or not an account has it.
pub(crate) struct SignInLimits(Cache<String, Arc<Semaphore>>);

impl SignInLimits {
    pub(crate) fn new() -> Self {
        Self(Cache::new(NAMES))
    }

    async fn wait(&self, key: &str) -> Result<OwnedSemaphorePermit, Error> {
        let places = self.0.get_with_by_ref(key, || Arc::new(Semaphore::new(AT_ONCE)));
        places
            .acquire_owned()
            .await
            .map_err(|_| Error::Internal("sign-in places are closed"))
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

impl Issuer {
    /// Checks a name and a password. Two statements and one hash, whatever the outcome; the attempt is counted before
    /// the hash and given back after a success.
    pub(crate) async fn sign_in(&self, username: &str, password: &SecretString) -> Result<SignedIn, Error> {
        let refused = Error::refused(ErrorCode::InvalidGrant, Reason::BadPassword);
        if password.expose().len() > LONGEST_PASSWORD {
            return Err(refused);
        }
        let key = lookup_key(username);
        let _place = self.sign_ins.wait(&key).await?;
        let candidate = self.store.login_candidate(&key).await?;
        let counted = self
            .store
            .count_attempt(&key, self.now(), FREE_FAILURES, LONGEST_PAUSE)
            .await?;
        let hash = candidate
            .as_ref()
            .and_then(|candidate| candidate.password_hash.as_ref());
        let checked = self.hasher.check(password, hash, self.entropy()).await?;
        match candidate {
            Some(candidate) if checked.matches && counted && !candidate.locked => {
                let password_hash = candidate
                    .password_hash
                    .ok_or(Error::Internal("a password without a hash"))?;
                self.store.clear_attempts(&candidate.subject).await?;
                let password_hash = if checked.outdated {
                    self.raise_cost(&candidate.subject, password, password_hash)
                        .await?
                } else {
                    password_hash
                };
                Ok(SignedIn {
                    subject: candidate.subject,
                    password_hash,
                })
            }
            _ => {
                tracing::info!(event = "sign_in_failed", counted);
                Err(refused)
            }
        }
    }

    /// Hashes the password again at the present cost; a busy hasher leaves it for the next time.
    async fn raise_cost(
        &self,
        subject: &Subject,
        password: &SecretString,
        old: SecretString,
    ) -> Result<SecretString, Error> {
        match self.hasher.hash(password, self.entropy()).await {
            Ok(new) => {
                self.store.rehash_password(subject, &old, &new).await?;
                Ok(new)
            }
            Err(HashError::Busy | HashError::BadLength) => Ok(old),
            Err(error) => Err(error.into()),
        }
    }
}
