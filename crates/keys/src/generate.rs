//! Makes new keys: the private half leaves this file sealed, the public half as a JWK.

use std::error::Error;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use rsa::RsaPrivateKey;
use rsa::pkcs8::EncodePrivateKey as _;
use rsa::rand_core::OsRng;
use vouchsafe_jose::PublicJwk;
use vouchsafe_protocol::Kid;
use zeroize::Zeroizing;

use crate::error::KeysError;
use crate::master::MasterKey;
use crate::record::{KeyAlgorithm, Purpose};
use crate::seal::{SealedKey, seal};
use crate::signer::PrivateKey;

const RSA_BITS: usize = 2048;

/// The size of the hash (RFC 7518 section 3.2).
pub(crate) const MAC_KEY_BYTES: usize = 32;

/// 128 bits, so that a MAC key's kid is never drawn twice.
const MAC_KID_BYTES: usize = 16;

/// A new key, ready to be stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GeneratedKey {
    /// The RFC 7638 thumbprint; 16 random bytes in base64url for a MAC key.
    pub kid: Kid,
    /// The public half; `None` for MAC keys.
    pub public_jwk: Option<PublicJwk>,
    /// The private half.
    pub sealed: SealedKey,
}

/// Makes a key and seals it. An RSA key takes around 0.1 s of CPU, so asynchronous callers move
/// this to a blocking thread.
///
/// # Errors
/// [`KeysError::PurposeMismatch`] for a pair that cannot be, [`KeysError::Random`] and
/// [`KeysError::Generate`] when the system fails.
pub fn generate(
    algorithm: KeyAlgorithm,
    purpose: Purpose,
    master: &MasterKey,
) -> Result<GeneratedKey, KeysError> {
    if !algorithm.fits(purpose) {
        return Err(KeysError::PurposeMismatch { algorithm, purpose });
    }
    let private = private_bytes(algorithm)?;
    let public_jwk = PrivateKey::parse(algorithm, &private)
        .map_err(|_| failed(algorithm, "the new key does not parse".into()))?
        .public_jwk()?;
    let name = match &public_jwk {
        Some(jwk) => jwk.thumbprint(),
        None => random_name()?,
    };
    let kid = Kid::parse(&name).map_err(|error| failed(algorithm, error.into()))?;
    let sealed = seal(master, &kid, algorithm, purpose, private)?;
    Ok(GeneratedKey {
        kid,
        public_jwk,
        sealed,
    })
}

/// New private bytes: PKCS#8 in DER, or those of a MAC key. ring hands its documents out in memory
/// that cannot be wiped; the copies kept here can.
fn private_bytes(algorithm: KeyAlgorithm) -> Result<Zeroizing<Vec<u8>>, KeysError> {
    let random = SystemRandom::new();
    match algorithm {
        KeyAlgorithm::Es256 => {
            let curve = &ECDSA_P256_SHA256_FIXED_SIGNING;
            let document = EcdsaKeyPair::generate_pkcs8(curve, &random).map_err(|_| KeysError::Random)?;
            Ok(Zeroizing::new(document.as_ref().to_vec()))
        }
        KeyAlgorithm::EdDsa => {
            let document = Ed25519KeyPair::generate_pkcs8(&random).map_err(|_| KeysError::Random)?;
            Ok(Zeroizing::new(document.as_ref().to_vec()))
        }
        KeyAlgorithm::Rs256 => {
            let key =
                RsaPrivateKey::new(&mut OsRng, RSA_BITS).map_err(|error| failed(algorithm, error.into()))?;
            let document = key
                .to_pkcs8_der()
                .map_err(|error| failed(algorithm, error.into()))?;
            Ok(Zeroizing::new(document.as_bytes().to_vec()))
        }
        KeyAlgorithm::Hs256 => {
            let mut bytes = Zeroizing::new(vec![0_u8; MAC_KEY_BYTES]);
            random.fill(bytes.as_mut_slice()).map_err(|_| KeysError::Random)?;
            Ok(bytes)
        }
    }
}

fn random_name() -> Result<String, KeysError> {
    let mut bytes = [0_u8; MAC_KID_BYTES];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| KeysError::Random)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

fn failed(algorithm: KeyAlgorithm, source: Box<dyn Error + Send + Sync>) -> KeysError {
    KeysError::Generate { algorithm, source }
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn k8_kids_are_thumbprints_or_random_and_never_repeat() {
        let master = MasterKey::generate().unwrap();
        for (algorithm, purpose, length) in [
            (KeyAlgorithm::Es256, Purpose::Signing, 43),
            (KeyAlgorithm::EdDsa, Purpose::Signing, 43),
            (KeyAlgorithm::Hs256, Purpose::RefreshMac, 22),
            (KeyAlgorithm::Hs256, Purpose::SecretHash, 22),
        ] {
            let key = generate(algorithm, purpose, &master).unwrap();
            assert_eq!(key.kid.as_str().len(), length);
            assert_eq!(key.sealed.master_id, master.id());
            assert_eq!(key.public_jwk.is_some(), algorithm.fits(Purpose::Signing));
            if let Some(jwk) = &key.public_jwk {
                assert_eq!(jwk.thumbprint(), key.kid.as_str());
                assert_eq!(jwk.kid(), key.kid.as_str());
                assert_eq!(jwk.algorithm(), algorithm.jws());
            }
            let other = generate(algorithm, purpose, &master).unwrap();
            assert_ne!(key.kid, other.kid);
        }
    }

    #[test]
    fn rsa_keys_of_the_generator_are_accepted_by_the_signer() {
        let master = MasterKey::generate().unwrap();
        let key = generate(KeyAlgorithm::Rs256, Purpose::Signing, &master).unwrap();
        let jwk = key.public_jwk.unwrap();
        assert_eq!(jwk.algorithm(), KeyAlgorithm::Rs256.jws());
        assert_eq!(jwk.thumbprint(), key.kid.as_str());
    }

    #[test]
    fn k11_pairs_that_cannot_be_are_refused() {
        let master = MasterKey::generate().unwrap();
        for (algorithm, purpose) in [
            (KeyAlgorithm::Hs256, Purpose::Signing),
            (KeyAlgorithm::Es256, Purpose::RefreshMac),
            (KeyAlgorithm::Rs256, Purpose::SecretHash),
        ] {
            let refused = generate(algorithm, purpose, &master).unwrap_err();
            assert!(matches!(refused, KeysError::PurposeMismatch { .. }));
        }
    }
}
