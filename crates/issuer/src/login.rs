//! Signing a person in by name and password: the same answer and the same work for an unknown name, a wrong password
//! and a locked account.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use moka::sync::Cache;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use vouchsafe_protocol::{ErrorCode, Reason, SecretString, Subject};
use vouchsafe_store::BackOff;

use crate::names::lookup_key;
use crate::password::{LONGEST_PASSWORD, Place};
use crate::{Error, HashError, Issuer};

/// Of one name from one source: long enough a pause against guessing, too short to lock anybody out for good.
const BACK_OFF: BackOff = BackOff {
    free: 10,
    longest: 60,
};
/// Attempts of one name under way at once; the next ones wait, they are not refused.
const AT_ONCE: usize = 4;
/// How many wait before the next one is told to come back.
const WAITING: usize = 28;
const NAMES: u64 = 50_000;
/// More bytes than any account name is written with.
const LONGEST_NAME: usize = 1024;

/// A person whose password was checked just now.
pub(crate) struct SignedIn {
    pub(crate) subject: Subject,
    /// The hash it was checked against; still in force when a family begins, or none begins.
    pub(crate) password_hash: SecretString,
}

/// Attempts under way, by name, whether or not an account has it.
pub(crate) struct SignInLimits(Cache<String, Gate>);

#[derive(Clone)]
struct Gate {
    running: Arc<Semaphore>,
    entered: Arc<Semaphore>,
}

/// Leave to try one name.
struct Turn {
    _running: OwnedSemaphorePermit,
    _entered: OwnedSemaphorePermit,
}

impl SignInLimits {
    pub(crate) fn new() -> Self {
        Self(Cache::new(NAMES))
    }

    async fn turn(&self, key: &str) -> Result<Turn, Error> {
        let gate = self.0.get_with_by_ref(key, || Gate {
            running: Arc::new(Semaphore::new(AT_ONCE)),
            entered: Arc::new(Semaphore::new(AT_ONCE + WAITING)),
        });
        let entered = gate.entered.try_acquire_owned().map_err(|_| Error::Busy)?;
        let running = gate.running.acquire_owned().await;
        let running = running.map_err(|_| Error::Internal("sign-in places are closed"))?;
        Ok(Turn {
            _running: running,
            _entered: entered,
        })
    }
}

impl Issuer {
    /// Checks a name and a password. One read, one guarded write and one hash, whatever the outcome; the attempt is
    /// counted before the hash and given back after a success.
    pub(crate) async fn sign_in(
        &self,
        username: &str,
        password: &SecretString,
        source: &str,
    ) -> Result<SignedIn, Error> {
        let refused = Error::refused(ErrorCode::InvalidGrant, Reason::BadPassword);
        if username.len() > LONGEST_NAME || password.expose().len() > LONGEST_PASSWORD {
            return Err(refused);
        }
        let key = lookup_key(username);
        // A place comes first: who gets none was not counted.
        let place = self.hasher.place()?;
        let _turn = self.sign_ins.turn(&key).await?;
        let candidate = self.store.login_candidate(&key).await?;
        let attempts = self.attempts_of(&key)?;
        let counted = self
            .store
            .count_attempt(&attempts, source, self.now(), BACK_OFF)
            .await?;
        let hash = candidate
            .as_ref()
            .and_then(|candidate| candidate.password_hash.as_ref());
        let checked = match self.hasher.check(place, password, hash, self.entropy()).await {
            Ok(checked) => checked,
            Err(error) => {
                self.store.return_attempt(&attempts, source).await?;
                return Err(error.into());
            }
        };
        match candidate {
            Some(candidate) if checked.matches && counted && !candidate.locked => {
                let password_hash = candidate
                    .password_hash
                    .ok_or(Error::Internal("a password without a hash"))?;
                self.store.clear_attempts(&attempts, source).await?;
                let signed_in = SignedIn {
                    subject: candidate.subject,
                    password_hash,
                };
                if checked.outdated {
                    self.raise_cost(&key, password, signed_in).await
                } else {
                    Ok(signed_in)
                }
            }
            _ => {
                tracing::info!(event = "sign_in_failed", counted);
                Err(refused)
            }
        }
    }

    /// What attempts on a name are counted under: a MAC, since a password may have been typed as the name.
    pub(crate) fn attempts_of(&self, key: &str) -> Result<String, Error> {
        let ring = self.keys.load();
        let mac = ring
            .secret_hash(self.now())
            .ok_or(Error::NoSigningKey)?
            .mac(key.as_bytes());
        Ok(URL_SAFE_NO_PAD.encode(mac))
    }

    /// Hashes the password again at the present cost; a busy hasher leaves it for the next time. Whoever finds that
    /// another sign-in did the same meanwhile checks against what that one wrote.
    async fn raise_cost(&self, key: &str, password: &SecretString, old: SignedIn) -> Result<SignedIn, Error> {
        let new = match self.hasher.hash(password, self.entropy()).await {
            Ok(new) => new,
            Err(HashError::Busy | HashError::BadLength) => return Ok(old),
            Err(error) => return Err(error.into()),
        };
        if self
            .store
            .rehash_password(&old.subject, &old.password_hash, &new)
            .await?
        {
            return Ok(SignedIn {
                password_hash: new,
                ..old
            });
        }
        let refused = Error::refused(ErrorCode::InvalidGrant, Reason::BadPassword);
        let place: Place = self.hasher.place()?;
        let now = self
            .store
            .login_candidate(key)
            .await?
            .and_then(|candidate| candidate.password_hash);
        let now = now.ok_or(refused)?;
        let checked = self
            .hasher
            .check(place, password, Some(&now), self.entropy())
            .await?;
        if checked.matches {
            Ok(SignedIn {
                password_hash: now,
                ..old
            })
        } else {
            Err(Error::refused(ErrorCode::InvalidGrant, Reason::BadPassword))
        }
    }
}
