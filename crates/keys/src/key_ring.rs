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
    verifying: BTreeMap<String, Held<VerifyingKey>>,
    /// Retired, and still good for hints.
    retired: BTreeMap<String, Held<VerifyingKey>>,
    /// In the order in which they take over.
    refresh_mac: Vec<Held<MacKey>>,
    /// In the order in which they take over.
    secret_hash: Vec<Held<SecretHashKey>>,
    jwks: JwksSchedule,
}

/// A parsed key, shared with the rings that follow, and the times of its record, without the sealed
/// bytes.
struct Held<K> {
    record: KeyRecord,
    key: Arc<K>,
}

impl<K> Held<K> {
    fn new(record: &KeyRecord, key: Arc<K>) -> Self {
        let record = KeyRecord {
            sealed: None,
            ..record.clone()
        };
        Self { record, key }
    }

    /// Whether `record` is of the same key, whatever its times.
    fn is_of(&self, record: &KeyRecord) -> bool {
        let held = &self.record;
        held.kid == record.kid
            && held.algorithm == record.algorithm
            && held.purpose == record.purpose
            && held.public_jwk == record.public_jwk
    }
}

/// A refresh MAC key: the same bytes sign and verify.
struct MacKey {
    signing: PrivateKey,
    verifying: VerifyingKey,
}

impl KeyRing {
    /// Opens what the keys' states at `now` ask for: the private halves of signing keys that sign
    /// or will sign, and the MAC keys that still verify. Open a new one when a record changes;
    /// time alone needs none. A key whose private bytes were destroyed early, by a clock that ran
    /// ahead, is no error: it does not sign, and [`plan`](crate::plan()) replaces it.
    ///
    /// # Errors
    /// The first key that does not open or does not match its record. An issuer must not start
    /// without it.
    pub fn open(
        records: &[KeyRecord],
        master: &MasterKey,
        policy: &KeyPolicy,
        now: Timestamp,
    ) -> Result<Self, KeysError> {
        let opener = Opener { before: None, master };
        let (ring, closed) = Self::build(records, &opener, policy, now)?;
        let gone = |error: &KeysError| matches!(error, KeysError::Destroyed { .. });
        match closed.into_iter().find(|error| !gone(error)) {
            Some(error) => Err(error),
            None => Ok(ring),
        }
    }

    /// The ring that takes over from this one when records change in a running process. Keys that
    /// are open already need no unsealing, so that revocations and publications are followed even
    /// under a master key that was replaced meanwhile. What does not open is published and verifies
    /// as its state says, does not sign here, and is named in the list, for the log; a MAC key has
    /// no public half and is left out.
    ///
    /// # Errors
    /// The first record that must not be trusted: its public half is not its own or does not parse,
    /// or its algorithm does not fit its purpose.
    pub fn follow(
        &self,
        records: &[KeyRecord],
        master: &MasterKey,
        policy: &KeyPolicy,
        now: Timestamp,
    ) -> Result<(Self, Vec<KeysError>), KeysError> {
        let before = Some(self);
        Self::build(records, &Opener { before, master }, policy, now)
    }

    /// The ring, and why private halves that belong to it are missing.
    fn build(
        records: &[KeyRecord],
        opener: &Opener<'_>,
        policy: &KeyPolicy,
        now: Timestamp,
    ) -> Result<(Self, Vec<KeysError>), KeysError> {
        let mut trusted: Vec<&KeyRecord> = records
            .iter()
            .filter(|record| record.state(now, policy).verifies())
            .collect();
        trusted.sort_by_key(|record| succession(record));

        let mut ring = Self {
            policy: policy.clone(),
            signing: Vec::new(),
            verifying: BTreeMap::new(),
            retired: retired(records, policy, now),
            refresh_mac: Vec::new(),
            secret_hash: Vec::new(),
            jwks: JwksSchedule::build(records, policy, now)?,
        };
        let mut closed = Vec::new();
        for record in trusted {
            let (algorithm, purpose) = (record.algorithm, record.purpose);
            if !algorithm.fits(purpose) {
                return Err(KeysError::PurposeMismatch { algorithm, purpose });
            }
            if purpose == Purpose::Signing {
                ring.add_public(record)?;
            }
            if let Err(error) = ring.add_private(record, opener, now) {
                closed.push(error);
            }
        }
        Ok((ring, closed))
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

    /// The public key that `kid` names, when an ID token by it may come back as a hint at `now`: one that is to be trusted,
    /// or retired no longer than a session may live. It proves nothing else.
    pub fn hint_key(&self, kid: &str, now: Timestamp) -> Option<Arc<VerifyingKey>> {
        self.verifying
            .get(kid)
            .or_else(|| self.retired.get(kid))
            .filter(|held| serves_hints(&held.record, &self.policy, now))
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
            .map(|held| Signer::new(&held.record.kid, &held.key.signing))
    }

    /// The refresh MAC key that `kid` names, when it is to be trusted at `now`.
    pub fn refresh_mac_verifying(&self, kid: &str, now: Timestamp) -> Option<&VerifyingKey> {
        self.refresh_mac
            .iter()
            .find(|held| held.record.kid.as_str() == kid)
            .filter(|held| held.record.state(now, &self.policy).verifies())
            .map(|held| &held.key.verifying)
    }

    /// The key under which new client secrets are stored at `now`.
    pub fn secret_hash(&self, now: Timestamp) -> Option<&SecretHashKey> {
        self.secret_hash
            .iter()
            .rfind(|held| held.record.is_active(now, &self.policy))
            .map(|held| &*held.key)
    }

    /// The key under which a client secret was stored; these never expire.
    pub fn secret_hash_by(&self, kid: &str) -> Option<&SecretHashKey> {
        self.secret_hash
            .iter()
            .find(|held| held.record.kid.as_str() == kid)
            .map(|held| &*held.key)
    }

    /// Takes in what verifies.
    fn add_public(&mut self, record: &KeyRecord) -> Result<(), KeysError> {
        let verifying = VerifyingKey::from_jwk(public_half(record)?)?;
        let name = record.kid.as_str().to_owned();
        self.verifying
            .insert(name, Held::new(record, Arc::new(verifying)));
        Ok(())
    }

    /// Takes in what signs or MACs.
    fn add_private(
        &mut self,
        record: &KeyRecord,
        opener: &Opener<'_>,
        now: Timestamp,
    ) -> Result<(), KeysError> {
        match record.purpose {
            Purpose::Signing if may_sign(record, &self.policy, now) => {
                let key = opener.signing(record)?;
                self.signing.push(Held::new(record, key));
            }
            Purpose::Signing => {}
            Purpose::RefreshMac => {
                let key = opener.refresh_mac(record)?;
                self.refresh_mac.push(Held::new(record, key));
            }
            Purpose::SecretHash => {
                let key = opener.secret_hash(record)?;
                self.secret_hash.push(Held::new(record, key));
            }
        }
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

/// Where private halves come from: the ring before, or the master key.
struct Opener<'a> {
    before: Option<&'a KeyRing>,
    master: &'a MasterKey,
}

impl Opener<'_> {
    fn signing(&self, record: &KeyRecord) -> Result<Arc<PrivateKey>, KeysError> {
        let held = self.before.map(|ring| ring.signing.as_slice());
        self.open(record, held.unwrap_or_default(), |private| {
            let key = parse(record, private)?;
            if key.public_jwk()? != record.public_jwk {
                return Err(damaged(record, "its halves are of two keys"));
            }
            Ok(key)
        })
    }

    fn refresh_mac(&self, record: &KeyRecord) -> Result<Arc<MacKey>, KeysError> {
        let held = self.before.map(|ring| ring.refresh_mac.as_slice());
        self.open(record, held.unwrap_or_default(), |private| {
            let signing = parse(record, private)?;
            let secret = SecretBytes::new(private.to_vec());
            let verifying = VerifyingKey::hmac_sha256(record.kid.as_str(), &secret);
            Ok(MacKey { signing, verifying })
        })
    }

    fn secret_hash(&self, record: &KeyRecord) -> Result<Arc<SecretHashKey>, KeysError> {
        let held = self.before.map(|ring| ring.secret_hash.as_slice());
        self.open(record, held.unwrap_or_default(), |private| {
            SecretHashKey::new(record.kid.clone(), private).map_err(|_| not_a_key(record))
        })
    }

    /// The key that is held already, or what `parse` makes of the private bytes. A destroyed key is
    /// not kept, since a restart would not find it either (K4, K7).
    fn open<K>(
        &self,
        record: &KeyRecord,
        held: &[Held<K>],
        parse: impl FnOnce(&[u8]) -> Result<K, KeysError>,
    ) -> Result<Arc<K>, KeysError> {
        match held.iter().find(|held| held.is_of(record)) {
            Some(held) if record.sealed.is_some() => Ok(Arc::clone(&held.key)),
            _ => Ok(Arc::new(parse(&unseal(record, self.master)?)?)),
        }
    }
}

/// Whether the key signs at `now` or will later; one that left that state is not even opened (K4).
fn may_sign(record: &KeyRecord, policy: &KeyPolicy, now: Timestamp) -> bool {
    matches!(
        record.state(now, policy),
        KeyState::Next { .. } | KeyState::Active { .. }
    )
}

/// Whether an ID token by this signing key may come back as a hint.
fn serves_hints(record: &KeyRecord, policy: &KeyPolicy, now: Timestamp) -> bool {
    match record.state(now, policy) {
        KeyState::Retired => record
            .deactivates_at
            .is_some_and(|end| now < end.plus(policy.refresh_mac_retention)),
        state => state.verifies(),
    }
}

/// The public halves of retired keys that still serve hints. A damaged one is left out: nothing rests on it.
fn retired(
    records: &[KeyRecord],
    policy: &KeyPolicy,
    now: Timestamp,
) -> BTreeMap<String, Held<VerifyingKey>> {
    records
        .iter()
        .filter(|record| record.purpose == Purpose::Signing)
        .filter(|record| record.state(now, policy) == KeyState::Retired && serves_hints(record, policy, now))
        .filter_map(|record| {
            let key = VerifyingKey::from_jwk(public_half(record).ok()?).ok()?;
            Some((record.kid.as_str().to_owned(), Held::new(record, Arc::new(key))))
        })
        .collect()
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
    PrivateKey::parse(record.algorithm, private).map_err(|_| not_a_key(record))
}

fn not_a_key(record: &KeyRecord) -> KeysError {
    damaged(record, "its private half is no key of this algorithm")
}

fn damaged(record: &KeyRecord, what: &'static str) -> KeysError {
    let kid = record.kid.clone();
    KeysError::Damaged { kid, what }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::generate::generate;
    use crate::seal::seal;

    #[test]
    fn k8_a_private_half_under_another_kid_does_not_sign() {
        let (master, policy, now) = (
            MasterKey::generate().unwrap(),
            KeyPolicy::default(),
            Timestamp::from_unix(0),
        );
        let [mut record, other] = [(); 2].map(|()| {
            let made = generate(KeyAlgorithm::Es256, Purpose::Signing, &master).unwrap();
            KeyRecord {
                kid: made.kid,
                algorithm: KeyAlgorithm::Es256,
                purpose: Purpose::Signing,
                public_jwk: made.public_jwk,
                sealed: Some(made.sealed),
                published_at: now,
                activates_at: now,
                deactivates_at: None,
                compromised_at: None,
            }
        });
        let private = unseal(&other, &master).unwrap();
        let sealed = seal(&master, &record.kid, record.algorithm, record.purpose, private);
        record.sealed = Some(sealed.unwrap());
        let records = [record];

        let refused = KeyRing::open(&records, &master, &policy, now).unwrap_err();
        assert!(matches!(refused, KeysError::Damaged { .. }));
        let empty = KeyRing::open(&[], &master, &policy, now).unwrap();
        let (ring, closed) = empty.follow(&records, &master, &policy, now).unwrap();
        assert!(matches!(closed.as_slice(), [KeysError::Damaged { .. }]));
        assert!(ring.signer(SigningAlgorithm::Es256, now).is_none());
        assert!(ring.verifying_key(records[0].kid.as_str(), now).is_some());
    }
}
