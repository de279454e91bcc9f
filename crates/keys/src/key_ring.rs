//! An immutable snapshot of all keys, which picks by the clock: an old snapshot still changes keys
//! at the right moment, so that rotation needs nobody awake.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use vouchsafe_jose::{PublicJwk, VerifyingKey};
use vouchsafe_protocol::{SecretBytes, SigningAlgorithm, Timestamp};

use crate::error::KeysError;
use crate::jwks::{Jwks, JwksSchedule};
use crate::master::MasterKey;
use crate::plan::succession;
use crate::policy::KeyPolicy;
use crate::record::{KeyAlgorithm, KeyRecord, KeyState, Purpose};
use crate::seal::unseal;
use crate::signer::{PrivateKey, SecretHashKey, Signer};

/// The keys of one moment, parsed once. Purposes are kept apart: no look-up crosses them (K11).
pub struct KeyRing {
    policy: KeyPolicy,
    /// In the order in which they take over.
    signing: Vec<Held<PrivateKey>>,
    verifying: BTreeMap<String, Held<Arc<VerifyingKey>>>,
    /// In the order in which they take over.
    refresh_mac: Vec<Held<PrivateKey>>,
    refresh_mac_verifying: BTreeMap<String, Held<VerifyingKey>>,
    /// In the order in which they take over.
    secret_hash: Vec<Held<SecretHashKey>>,
    jwks: JwksSchedule,
}

/// A parsed key and the times of its record, without the sealed bytes.
struct Held<K> {
    record: KeyRecord,
    key: K,
}

impl<K> Held<K> {
    fn new(record: &KeyRecord, key: K) -> Self {
        let record = KeyRecord {
            sealed: None,
            ..record.clone()
        };
        Self { record, key }
    }
}

impl KeyRing {
    /// Opens what the keys' states at `now` ask for: the private halves of signing keys that sign
    /// or will sign, and the MAC keys that still verify. Open a new one when a record changes;
    /// time alone needs none.
    ///
    /// # Errors
    /// The first key that does not open or does not match its record. An issuer must not run
    /// without it.
    pub fn open(
        records: &[KeyRecord],
        master: &MasterKey,
        policy: &KeyPolicy,
        now: Timestamp,
    ) -> Result<Self, KeysError> {
        let mut trusted: Vec<&KeyRecord> = records
            .iter()
            .filter(|record| record.state(now, policy).verifies())
            .collect();
        trusted.sort_by_key(|record| succession(record));

        let mut ring = Self {
            policy: policy.clone(),
            signing: Vec::new(),
            verifying: BTreeMap::new(),
            refresh_mac: Vec::new(),
            refresh_mac_verifying: BTreeMap::new(),
            secret_hash: Vec::new(),
            jwks: JwksSchedule::build(records, policy, now)?,
        };
        for record in trusted {
            let (algorithm, purpose) = (record.algorithm, record.purpose);
            if !algorithm.fits(purpose) {
                return Err(KeysError::PurposeMismatch { algorithm, purpose });
            }
            match purpose {
                Purpose::Signing => ring.add_signing(record, master, now)?,
                Purpose::RefreshMac => ring.add_refresh_mac(record, master, now)?,
                Purpose::SecretHash => ring.add_secret_hash(record, master)?,
            }
        }
        Ok(ring)
    }

    /// The key of that algorithm that signs at `now`.
    pub fn signer(&self, algorithm: SigningAlgorithm, now: Timestamp) -> Option<Signer<'_>> {
        let algorithm = KeyAlgorithm::from(algorithm);
        self.signing
            .iter()
            .filter(|held| held.record.algorithm == algorithm)
            .rfind(|held| held.record.is_active(now, &self.policy))
            .map(|held| Signer::new(&held.record.kid, &held.key))
    }

    /// The public key that `kid` names, when it is to be trusted at `now`: active, verify-only, or
    /// next, since a replica whose clock is ahead may sign with that already.
    pub fn verifying_key(&self, kid: &str, now: Timestamp) -> Option<Arc<VerifyingKey>> {
        self.verifying
            .get(kid)
            .filter(|held| held.record.state(now, &self.policy).verifies())
            .map(|held| Arc::clone(&held.key))
    }

    /// The key set to publish at `now`.
    pub fn jwks(&self, now: Timestamp) -> Jwks {
        self.jwks.at(now)
    }

    /// The key that MACs refresh tokens at `now`.
    pub fn refresh_mac(&self, now: Timestamp) -> Option<Signer<'_>> {
        self.refresh_mac
            .iter()
            .rfind(|held| held.record.is_active(now, &self.policy))
            .map(|held| Signer::new(&held.record.kid, &held.key))
    }

    /// The refresh MAC key that `kid` names, when it is to be trusted at `now`.
    pub fn refresh_mac_verifying(&self, kid: &str, now: Timestamp) -> Option<&VerifyingKey> {
        self.refresh_mac_verifying
            .get(kid)
            .filter(|held| held.record.state(now, &self.policy).verifies())
            .map(|held| &held.key)
    }

    /// The key under which new client secrets are stored at `now`.
    pub fn secret_hash(&self, now: Timestamp) -> Option<&SecretHashKey> {
        self.secret_hash
            .iter()
            .rfind(|held| held.record.is_active(now, &self.policy))
            .map(|held| &held.key)
    }

    /// The key under which a client secret was stored; these never expire.
    pub fn secret_hash_by(&self, kid: &str) -> Option<&SecretHashKey> {
        self.secret_hash
            .iter()
            .find(|held| held.record.kid.as_str() == kid)
            .map(|held| &held.key)
    }

    fn add_signing(
        &mut self,
        record: &KeyRecord,
        master: &MasterKey,
        now: Timestamp,
    ) -> Result<(), KeysError> {
        let public = public_half(record)?;
        let verifying = Arc::new(VerifyingKey::from_jwk(public)?);
        let name = record.kid.as_str().to_owned();
        self.verifying.insert(name, Held::new(record, verifying));

        if may_sign(record, &self.policy, now) {
            let private = unseal(record, master)?;
            let key = parse(record, &private)?;
            if key.public_jwk()?.as_ref() != Some(public) {
                return Err(damaged(record, "its halves are of two keys"));
            }
            self.signing.push(Held::new(record, key));
        }
        Ok(())
    }

    fn add_refresh_mac(
        &mut self,
        record: &KeyRecord,
        master: &MasterKey,
        now: Timestamp,
    ) -> Result<(), KeysError> {
        let private = unseal(record, master)?;
        let key = parse(record, &private)?;
        let secret = SecretBytes::new(private.to_vec());
        let name = record.kid.as_str();
        let verifying = VerifyingKey::hmac_sha256(name, &secret);
        self.refresh_mac_verifying
            .insert(name.to_owned(), Held::new(record, verifying));

        if may_sign(record, &self.policy, now) {
            self.refresh_mac.push(Held::new(record, key));
        }
        Ok(())
    }

    fn add_secret_hash(&mut self, record: &KeyRecord, master: &MasterKey) -> Result<(), KeysError> {
        let private = unseal(record, master)?;
        let key = SecretHashKey::new(record.kid.clone(), &private)
            .map_err(|_| damaged(record, "its private half is no key of this algorithm"))?;
        self.secret_hash.push(Held::new(record, key));
        Ok(())
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing")
            .field("verifying", &self.verifying.keys())
            .finish_non_exhaustive()
    }
}

/// Whether the key signs at `now` or will later; one that left that state is not even opened (K4).
fn may_sign(record: &KeyRecord, policy: &KeyPolicy, now: Timestamp) -> bool {
    matches!(
        record.state(now, policy),
        KeyState::Next { .. } | KeyState::Active { .. }
    )
}

/// The public half, which must be what the record says it is.
fn public_half(record: &KeyRecord) -> Result<&PublicJwk, KeysError> {
    let public = record
        .public_jwk
        .as_ref()
        .ok_or_else(|| damaged(record, "it has no public half"))?;
    let kid = record.kid.as_str();
    let named = public.kid() == kid && public.thumbprint() == kid;
    if !named || public.algorithm() != record.algorithm.jws() {
        return Err(damaged(record, "its public half is of another key"));
    }
    Ok(public)
}

fn parse(record: &KeyRecord, private: &[u8]) -> Result<PrivateKey, KeysError> {
    PrivateKey::parse(record.algorithm, private)
        .map_err(|_| damaged(record, "its private half is no key of this algorithm"))
}

fn damaged(record: &KeyRecord, what: &'static str) -> KeysError {
    let kid = record.kid.clone();
    KeysError::Damaged { kid, what }
}
