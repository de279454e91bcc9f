//! A key prepared for verification: parsed and judged once, so that the request path only uses it.

use std::fmt;

use jsonwebtoken::crypto::JwtVerifier;
use jsonwebtoken::{Algorithm, DecodingKey};
use vouchsafe_protocol::SecretBytes;

use crate::error::JoseError;
use crate::jwk::{Material, PublicJwk};
use crate::provider::RingVerifier;

/// A key that verifies one algorithm under one `kid`.
pub struct VerifyingKey {
    kid: String,
    verifier: RingVerifier,
}

impl VerifyingKey {
    /// Prepares a public key.
    ///
    /// # Errors
    /// [`JoseError::Key`] when the key does not fit its algorithm.
    pub fn from_jwk(jwk: &PublicJwk) -> Result<Self, JoseError> {
        let key = match jwk.material() {
            Material::P256 { x, y } | Material::P384 { x, y } => {
                let mut point = vec![0x04];
                point.extend_from_slice(x);
                point.extend_from_slice(y);
                DecodingKey::from_ec_der(&point)
            }
            Material::Rsa { n, e } => DecodingKey::from_rsa_raw_components(n, e),
            Material::Ed25519 { x } => DecodingKey::from_ed_der(x),
        };
        let verifier = RingVerifier::new(jwk.algorithm(), &key).map_err(|_| JoseError::Key)?;
        Ok(Self {
            kid: jwk.kid().to_owned(),
            verifier,
        })
    }

    /// Prepares an HS256 key; the caller gives at least 32 random bytes (RFC 7518 section 3.2).
    pub fn hmac_sha256(kid: &str, secret: &SecretBytes) -> Self {
        Self {
            kid: kid.to_owned(),
            verifier: RingVerifier::hmac_sha256(secret.expose()),
        }
    }

    /// The `kid` under which tokens name this key.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The only algorithm this key verifies (RFC 8725 section 3.1).
    pub fn algorithm(&self) -> Algorithm {
        self.verifier.algorithm()
    }

    pub(crate) fn verifier(&self) -> &dyn JwtVerifier {
        &self.verifier
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_shareable<T: Send + Sync>(_: &T) {}

    #[test]
    fn o01_debug_shows_no_key_bytes() {
        let secret = SecretBytes::new(vec![0xab; 32]);
        let key = VerifyingKey::hmac_sha256("k1", &secret);
        assert_shareable(&key);
        assert_eq!(
            format!("{key:?}"),
            "VerifyingKey { kid: \"k1\", algorithm: HS256, .. }"
        );
    }

    #[test]
    fn a_public_key_keeps_its_name_and_algorithm() {
        let jwk = PublicJwk::ed25519(&[9; 32]).unwrap();
        let key = VerifyingKey::from_jwk(&jwk).unwrap();
        assert_eq!(key.kid(), jwk.kid());
        assert_eq!(key.algorithm(), Algorithm::EdDSA);
    }
}
