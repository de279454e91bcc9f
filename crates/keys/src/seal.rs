//! Private bytes at rest: AES-256-GCM under the master key, bound to kid, algorithm and purpose, so
//! that no row can be passed off as another.

use std::fmt;

use ring::aead::{Aad, NONCE_LEN, Nonce};
use ring::rand::{SecureRandom as _, SystemRandom};
use vouchsafe_protocol::Kid;
use zeroize::Zeroizing;

use crate::error::KeysError;
use crate::master::MasterKey;
use crate::record::{KeyAlgorithm, KeyRecord, Purpose};

/// A private key as the database may hold it.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedKey {
    /// [`MasterKey::id`] of the master key it is sealed under.
    pub master_id: String,
    /// 12 bytes of nonce, then ciphertext and tag.
    pub nonce_and_ciphertext: Vec<u8>,
}

impl fmt::Debug for SealedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedKey")
            .field("master_id", &self.master_id)
            .finish_non_exhaustive()
    }
}

/// Seals the record's private key under another master key.
///
/// # Errors
/// When the record has no private bytes, `old` does not open them, or randomness fails.
pub fn rewrap(record: &KeyRecord, old: &MasterKey, new: &MasterKey) -> Result<SealedKey, KeysError> {
    let private = unseal(record, old)?;
    seal(new, &record.kid, record.algorithm, record.purpose, private)
}

/// Seals `private` for exactly this kid, algorithm and purpose; the plaintext is overwritten.
pub(crate) fn seal(
    master: &MasterKey,
    kid: &Kid,
    algorithm: KeyAlgorithm,
    purpose: Purpose,
    mut private: Zeroizing<Vec<u8>>,
) -> Result<SealedKey, KeysError> {
    let cipher = master.cipher()?;
    let mut nonce = [0_u8; NONCE_LEN];
    SystemRandom::new()
        .fill(&mut nonce)
        .map_err(|_| KeysError::Random)?;
    let tag = cipher
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(binding(kid, algorithm, purpose)),
            private.as_mut_slice(),
        )
        .map_err(|_| KeysError::Cipher)?;
    let nonce_and_ciphertext = [nonce.as_slice(), private.as_slice(), tag.as_ref()].concat();
    Ok(SealedKey {
        master_id: master.id(),
        nonce_and_ciphertext,
    })
}

/// The private bytes of `record`: PKCS#8 in DER, or the 32 bytes of a MAC key.
pub(crate) fn unseal(record: &KeyRecord, master: &MasterKey) -> Result<Zeroizing<Vec<u8>>, KeysError> {
    let kid = &record.kid;
    let broken = || KeysError::BrokenSeal { kid: kid.clone() };
    let sealed = record
        .sealed
        .as_ref()
        .ok_or_else(|| KeysError::Destroyed { kid: kid.clone() })?;
    if sealed.master_id != master.id() {
        return Err(KeysError::WrongMasterKey {
            kid: kid.clone(),
            expected: sealed.master_id.clone(),
            given: master.id(),
        });
    }

    let (nonce, ciphertext) = sealed
        .nonce_and_ciphertext
        .split_at_checked(NONCE_LEN)
        .ok_or_else(broken)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| broken())?;
    let mut private = Zeroizing::new(ciphertext.to_vec());
    let length = master
        .cipher()?
        .open_in_place(
            nonce,
            Aad::from(binding(kid, record.algorithm, record.purpose)),
            private.as_mut_slice(),
        )
        .map_err(|_| broken())?
        .len();
    private.truncate(length);
    Ok(private)
}

/// What the ciphertext is bound to (K11).
fn binding(kid: &Kid, algorithm: KeyAlgorithm, purpose: Purpose) -> String {
    format!("vouchsafe:key:v1:{kid}:{algorithm}:{purpose}")
}

#[cfg(test)]
mod tests {

    use vouchsafe_protocol::Timestamp;

    use super::*;

    const PRIVATE: &[u8] = b"thirty-two bytes of private key!";

    fn sealed_record(master: &MasterKey) -> KeyRecord {
        let kid = Kid::parse("k1").unwrap();
        let (algorithm, purpose) = (KeyAlgorithm::Hs256, Purpose::RefreshMac);
        let private = Zeroizing::new(PRIVATE.to_vec());
        let sealed = seal(master, &kid, algorithm, purpose, private).unwrap();
        KeyRecord {
            kid,
            algorithm,
            purpose,
            public_jwk: None,
            sealed: Some(sealed),
            published_at: Timestamp::from_unix(0),
            activates_at: Timestamp::from_unix(0),
            deactivates_at: None,
            compromised_at: None,
        }
    }

    #[test]
    fn what_was_sealed_opens_and_is_not_seen_outside() {
        let master = MasterKey::generate().unwrap();
        let record = sealed_record(&master);
        assert_eq!(unseal(&record, &master).unwrap().as_slice(), PRIVATE);
        let sealed = record.sealed.unwrap();
        assert_eq!(sealed.nonce_and_ciphertext.len(), 12 + PRIVATE.len() + 16);
        let mut windows = sealed.nonce_and_ciphertext.windows(8);
        assert!(windows.all(|window| !PRIVATE.windows(8).any(|word| word == window)));
        assert_eq!(
            format!("{sealed:?}"),
            format!("SealedKey {{ master_id: \"{}\", .. }}", master.id())
        );
    }

    #[test]
    fn each_sealing_takes_a_nonce_of_its_own() {
        let master = MasterKey::generate().unwrap();
        let first = sealed_record(&master).sealed.unwrap();
        let second = sealed_record(&master).sealed.unwrap();
        assert_ne!(first.nonce_and_ciphertext, second.nonce_and_ciphertext);
    }

    #[test]
    fn the_wrong_master_key_is_named() {
        let (right, wrong) = (MasterKey::generate().unwrap(), MasterKey::generate().unwrap());
        let refused = unseal(&sealed_record(&right), &wrong).unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!(
                "key k1 is sealed under master key {}, but the one given is {}",
                right.id(),
                wrong.id()
            )
        );
    }

    #[test]
    fn k11_the_seal_is_bound_to_kid_algorithm_and_purpose() {
        let master = MasterKey::generate().unwrap();
        let record = sealed_record(&master);
        let mut others = [record.clone(), record.clone(), record];
        let [kid, algorithm, purpose] = &mut others;
        kid.kid = Kid::parse("k2").unwrap();
        algorithm.algorithm = KeyAlgorithm::Es256;
        purpose.purpose = Purpose::SecretHash;
        for other in &others {
            let refused = unseal(other, &master).unwrap_err();
            assert!(matches!(refused, KeysError::BrokenSeal { .. }));
        }
    }

    #[test]
    fn every_changed_bit_and_every_cut_breaks_the_seal() {
        let master = MasterKey::generate().unwrap();
        let record = sealed_record(&master);
        let whole = record.sealed.clone().unwrap().nonce_and_ciphertext;
        let broken = |bytes: Vec<u8>| {
            let mut record = record.clone();
            if let Some(sealed) = &mut record.sealed {
                sealed.nonce_and_ciphertext = bytes;
            }
            matches!(unseal(&record, &master), Err(KeysError::BrokenSeal { .. }))
        };
        for position in 0..whole.len() {
            let mut changed = whole.clone();
            *changed.get_mut(position).unwrap() ^= 1;
            assert!(broken(changed), "byte {position}");
            let cut = whole.iter().take(position).copied().collect();
            assert!(broken(cut), "cut at {position}");
        }
    }

    #[test]
    fn rewrapping_moves_the_key_to_the_new_master_key() {
        let (old, new) = (MasterKey::generate().unwrap(), MasterKey::generate().unwrap());
        let mut record = sealed_record(&old);
        record.sealed = Some(rewrap(&record, &old, &new).unwrap());
        assert_eq!(unseal(&record, &new).unwrap().as_slice(), PRIVATE);
        assert!(unseal(&record, &old).is_err());

        record.sealed = None;
        let refused = rewrap(&record, &new, &old).unwrap_err();
        assert!(matches!(refused, KeysError::Destroyed { .. }));
    }
}
