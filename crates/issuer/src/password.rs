//! Passwords that people chose: argon2id, as many at once as there are cores, a bounded queue, and the same work for
//! an account that does not exist.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use vouchsafe_protocol::{Entropy, SecretString};

use crate::PasswordCost;

/// The longest password in bytes; none is ever cut.
pub(crate) const LONGEST_PASSWORD: usize = 1024;
const SHORTEST_PASSWORD: usize = 8;
const SALT: usize = 16;
const OUTPUT: usize = 32;

/// Why a password was not hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// Too many wait already.
    #[error("too many passwords wait to be hashed")]
    Busy,
    /// Shorter than 8 or longer than 1,024 bytes.
    #[error("a password has 8 to 1,024 bytes")]
    BadLength,
    /// The cost is not one that argon2 knows, or the hash is not one of ours.
    #[error("the password hash cannot be computed")]
    Unusable,
}

/// What checking a password came to.
pub(crate) struct Checked {
    pub(crate) matches: bool,
    /// True when the stored hash was made at another cost than the present one.
    pub(crate) outdated: bool,
}

/// A place in the queue of hashes.
pub(crate) struct Place(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

/// Whether a new password may be this long.
pub(crate) fn is_good_length(password: &SecretString) -> bool {
    (SHORTEST_PASSWORD..=LONGEST_PASSWORD).contains(&password.expose().len())
}

/// Hashes passwords; cloning shares the permits.
#[derive(Clone, Debug)]
pub struct PasswordHasher {
    cost: PasswordCost,
    permits: Arc<Semaphore>,
    queue: Arc<Semaphore>,
}

impl PasswordHasher {
    /// A hasher of this cost.
    #[must_use]
    pub fn new(cost: PasswordCost) -> Self {
        Self {
            cost,
            permits: Arc::new(Semaphore::new(cost.permits.max(1))),
            queue: Arc::new(Semaphore::new(cost.permits.max(1) + cost.queue)),
        }
    }

    /// Hashes a new password to a PHC string.
    ///
    /// # Errors
    /// [`HashError`].
    pub async fn hash(
        &self,
        password: &SecretString,
        entropy: &dyn Entropy,
    ) -> Result<SecretString, HashError> {
        if !is_good_length(password) {
            return Err(HashError::BadLength);
        }
        let mut salt = [0_u8; SALT];
        entropy.fill(&mut salt);
        let (argon2, password) = (self.argon2()?, password.clone());
        self.run(self.place()?, move || {
            let hash = argon2.hash_password_with_salt(password.expose().as_bytes(), &salt);
            hash.map(|hash| SecretString::new(hash.to_string()))
                .map_err(|_| HashError::Unusable)
        })
        .await?
    }

    /// A place in the queue, taken before anything is counted or waited for.
    ///
    /// # Errors
    /// [`HashError::Busy`] when the queue is full.
    pub(crate) fn place(&self) -> Result<Place, HashError> {
        let place = Arc::clone(&self.queue).try_acquire_owned();
        place.map(Place).map_err(|error| match error {
            TryAcquireError::NoPermits | TryAcquireError::Closed => HashError::Busy,
        })
    }

    /// Checks a password against a PHC string; without one, does the same work and says no.
    pub(crate) async fn check(
        &self,
        place: Place,
        password: &SecretString,
        hash: Option<&SecretString>,
        entropy: &dyn Entropy,
    ) -> Result<Checked, HashError> {
        let argon2 = self.argon2()?;
        let stand_in = hash.is_none();
        let phc = match hash {
            Some(hash) => hash.clone(),
            None => self.nobody(entropy)?,
        };
        let password = password.clone();
        let params = argon2.params().clone();
        self.run(place, move || {
            let parsed = PasswordHash::new(phc.expose()).map_err(|_| HashError::Unusable)?;
            let outdated = Params::try_from(&parsed).is_ok_and(|made_at| {
                made_at.m_cost() != params.m_cost()
                    || made_at.t_cost() != params.t_cost()
                    || made_at.p_cost() != params.p_cost()
            });
            let matches = argon2
                .verify_password(password.expose().as_bytes(), &parsed)
                .is_ok();
            Ok(Checked {
                matches: matches && !stand_in,
                outdated,
            })
        })
        .await?
    }

    /// A PHC string of the present cost that no password matches.
    fn nobody(&self, entropy: &dyn Entropy) -> Result<SecretString, HashError> {
        use base64::Engine as _;
        let mut bytes = [0_u8; SALT + OUTPUT];
        entropy.fill(&mut bytes);
        let (salt, output) = bytes.split_at(SALT);
        let b64 = |bytes: &[u8]| base64::engine::general_purpose::STANDARD_NO_PAD.encode(bytes);
        let cost = self.cost;
        Ok(SecretString::new(format!(
            "$argon2id$v=19$m={},t={},p={}${}${}",
            cost.memory_kib,
            cost.iterations,
            cost.parallelism,
            b64(salt),
            b64(output)
        )))
    }

    fn argon2(&self) -> Result<Argon2<'static>, HashError> {
        let cost = self.cost;
        let params = Params::new(cost.memory_kib, cost.iterations, cost.parallelism, Some(OUTPUT));
        Ok(Argon2::new(
            Algorithm::Argon2id,
            Version::V0x13,
            params.map_err(|_| HashError::Unusable)?,
        ))
    }

    /// Runs one hash off the runtime; the permit goes with it, so that a caller who leaves frees nothing early.
    async fn run<T: Send + 'static>(
        &self,
        place: Place,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, HashError> {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|_| HashError::Busy)?;
        tokio::task::spawn_blocking(move || {
            let done = work();
            drop((permit, place));
            done
        })
        .await
        .map_err(|_| HashError::Unusable)
    }
}
