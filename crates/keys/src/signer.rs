//! Private keys parsed once and used many times; nothing else in the workspace holds one.

use std::fmt;

use ring::hmac;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use serde::Serialize;
use vouchsafe_jose::signature::{self, Signer as RawSigner};
use vouchsafe_jose::{Algorithm, JoseError, JwtSigner, PublicJwk};
use vouchsafe_protocol::Kid;

use crate::error::KeysError;
use crate::generate::MAC_KEY_BYTES;
use crate::record::KeyAlgorithm;

/// The bytes are not a private key of the algorithm asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NotAKey;

/// A parsed private key.
pub(crate) enum PrivateKey {
    Es256 {
        pair: Box<EcdsaKeyPair>,
        random: SystemRandom,
    },
    Rs256 {
        pair: Box<RsaKeyPair>,
        random: SystemRandom,
    },
    EdDsa(Box<Ed25519KeyPair>),
    Hs256(Box<hmac::Key>),
}

impl PrivateKey {
    /// Reads PKCS#8 in DER, or the 32 bytes of a MAC key.
    pub(crate) fn parse(algorithm: KeyAlgorithm, private: &[u8]) -> Result<Self, NotAKey> {
        let random = SystemRandom::new();
        match algorithm {
            KeyAlgorithm::Es256 => {
                let curve = &ECDSA_P256_SHA256_FIXED_SIGNING;
                let pair = EcdsaKeyPair::from_pkcs8(curve, private, &random).map_err(|_| NotAKey)?;
                let pair = Box::new(pair);
                Ok(Self::Es256 { pair, random })
            }
            KeyAlgorithm::Rs256 => {
                let pair = Box::new(RsaKeyPair::from_pkcs8(private).map_err(|_| NotAKey)?);
                Ok(Self::Rs256 { pair, random })
            }
            KeyAlgorithm::EdDsa => Ed25519KeyPair::from_pkcs8(private)
                .map(|pair| Self::EdDsa(Box::new(pair)))
                .map_err(|_| NotAKey),
            KeyAlgorithm::Hs256 if private.len() == MAC_KEY_BYTES => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, private);
                Ok(Self::Hs256(Box::new(key)))
            }
            KeyAlgorithm::Hs256 => Err(NotAKey),
        }
    }

    /// The public half, named by its thumbprint; `None` for a MAC key.
    pub(crate) fn public_jwk(&self) -> Result<Option<PublicJwk>, JoseError> {
        match self {
            Self::Es256 { pair, .. } => PublicJwk::ec_p256(pair.public_key().as_ref()).map(Some),
            Self::Rs256 { pair, .. } => {
                let public: PublicKeyComponents<Vec<u8>> = pair.public().into();
                PublicJwk::rsa(&public.n, &public.e).map(Some)
            }
            Self::EdDsa(pair) => PublicJwk::ed25519(pair.public_key().as_ref()).map(Some),
            Self::Hs256(_) => Ok(None),
        }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl RawSigner<Vec<u8>> for PrivateKey {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        match self {
            Self::Es256 { pair, random } => pair
                .sign(random, message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| signature::Error::new()),
            Self::Rs256 { pair, random } => {
                let mut signature = vec![0_u8; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, random, message, &mut signature)
                    .map_err(|_| signature::Error::new())?;
                Ok(signature)
            }
            Self::EdDsa(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Self::Hs256(key) => Ok(hmac::sign(key, message).as_ref().to_vec()),
        }
    }
}

impl JwtSigner for PrivateKey {
    fn algorithm(&self) -> Algorithm {
        match self {
            Self::Es256 { .. } => KeyAlgorithm::Es256.jws(),
            Self::Rs256 { .. } => KeyAlgorithm::Rs256.jws(),
            Self::EdDsa(_) => KeyAlgorithm::EdDsa.jws(),
            Self::Hs256(_) => KeyAlgorithm::Hs256.jws(),
        }
    }
}

/// The key that signs at the moment it was asked for; ask again for each token.
#[derive(Clone, Copy, Debug)]
pub struct Signer<'a> {
    kid: &'a Kid,
    key: &'a PrivateKey,
}

impl<'a> Signer<'a> {
    pub(crate) fn new(kid: &'a Kid, key: &'a PrivateKey) -> Self {
        Self { kid, key }
    }

    /// The name of the key, as it will be in the header.
    pub fn kid(&self) -> &'a Kid {
        self.kid
    }

    /// The value of `alg` in the header.
    pub fn algorithm(&self) -> Algorithm {
        self.key.algorithm()
    }

    /// Signs `claims` as a compact JWS of type `typ` (RFC 7515 section 3.1, RFC 8725 section
    /// 3.11).
    ///
    /// # Errors
    /// [`KeysError::Jose`] when the claims cannot be written or the key cannot sign.
    pub fn sign(&self, typ: &str, claims: &(impl Serialize + ?Sized)) -> Result<String, KeysError> {
        Ok(vouchsafe_jose::sign(self.key, typ, self.kid.as_str(), claims)?)
    }
}

/// A key under which client secrets and API keys are stored.
pub struct SecretHashKey {
    kid: Kid,
    key: hmac::Key,
}

impl SecretHashKey {
    /// Prepares the 32 bytes of a key.
    pub(crate) fn new(kid: Kid, private: &[u8]) -> Result<Self, NotAKey> {
        if private.len() != MAC_KEY_BYTES {
            return Err(NotAKey);
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, private);
        Ok(Self { kid, key })
    }

    /// The name to store beside the MAC, so that it is found again.
    pub fn kid(&self) -> &Kid {
        &self.kid
    }

    /// HMAC-SHA-256 of `secret` (RFC 2104).
    pub fn mac(&self, secret: &[u8]) -> [u8; 32] {
        let mut mac = [0; 32];
        mac.copy_from_slice(hmac::sign(&self.key, secret).as_ref());
        mac
    }

    /// Whether `mac` is that of `secret`; takes the same time wherever they differ.
    pub fn verify(&self, secret: &[u8], mac: &[u8]) -> bool {
        hmac::verify(&self.key, secret, mac).is_ok()
    }
}

impl fmt::Debug for SecretHashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretHashKey")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn bytes_of_another_kind_or_length_are_no_key() {
        for algorithm in KeyAlgorithm::ALL {
            for length in [0, 1, 31, 33, 64] {
                let parsed = PrivateKey::parse(algorithm, &vec![7_u8; length]);
                assert!(parsed.is_err(), "{algorithm} of {length} bytes");
            }
        }
        let kid = Kid::parse("k1").unwrap();
        assert!(SecretHashKey::new(kid, &[7; 31]).is_err());
    }

    #[test]
    fn o01_debug_shows_no_key_bytes() {
        let key = PrivateKey::parse(KeyAlgorithm::Hs256, &[0xab; 32]).unwrap();
        let kid = Kid::parse("k1").unwrap();
        let signer = Signer::new(&kid, &key);
        assert_eq!(
            format!("{signer:?}"),
            "Signer { kid: Kid(\"k1\"), key: [redacted] }"
        );
        let hasher = SecretHashKey::new(kid, &[0xab; 32]).unwrap();
        assert_eq!(format!("{hasher:?}"), "SecretHashKey { kid: Kid(\"k1\"), .. }");
    }

    #[test]
    fn the_secret_hash_is_hmac_sha_256() {
        // RFC 4231 section 4.2 has a key of 20 bytes; zeros up to the block give the same HMAC.
        let mut key = [0; 32];
        key.iter_mut().take(20).for_each(|byte| *byte = 0x0b);
        let hasher = SecretHashKey::new(Kid::parse("k1").unwrap(), &key).unwrap();
        let mac = hasher.mac(b"Hi There");
        let hex: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
        assert!(hasher.verify(b"Hi There", &mac));
        assert!(!hasher.verify(b"Hi there", &mac));
        assert!(!hasher.verify(b"Hi There", &[]));
    }
}
