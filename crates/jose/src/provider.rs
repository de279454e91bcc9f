//! The cryptography behind the traits of `jsonwebtoken`, on ring: keys are parsed once, when a
//! signer or verifier is made, and nothing is installed for the whole process.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{self, Signer, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED,
    ECDSA_P384_SHA384_FIXED_SIGNING, ED25519, ED25519_PUBLIC_KEY_LEN, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RSA_PSS_2048_8192_SHA256, RSA_PSS_SHA256,
    RsaEncoding, RsaKeyPair, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};

/// The bytes of an uncompressed point on P-256 (SEC 1 section 2.3.3).
pub(crate) const P256_POINT_BYTES: usize = 65;

/// The bytes of an uncompressed point on P-384.
pub(crate) const P384_POINT_BYTES: usize = 97;

/// An HS256 key must have at least the size of the hash (RFC 7518 section 3.2).
const MIN_HMAC_KEY_BYTES: usize = 32;

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: new_signer,
    verifier_factory: new_verifier,
    // Nothing here uses the library's own JWK type; these refuse where its defaults would panic.
    key_utils: KeyUtils {
        rsa_pub_components_from_private_key: |_| Err(unsupported()),
        rsa_pub_components_from_public_key: |_| Err(unsupported()),
        ec_pub_components_from_private_key: |_, _| Err(unsupported()),
        ed_pub_components_from_private_key: |_, _| Err(unsupported()),
        compute_digest: |_, _| Err(unsupported()),
    },
};

/// The provider for RS256, PS256, ES256, ES384, EdDSA and HS256.
///
/// Call its factories; it is never installed as the default of the process, because a library must
/// not decide for its host. EC private keys are PKCS#8, RSA ones PKCS#8 or PKCS#1, EC public keys
/// uncompressed points, Ed25519 public keys their 32 bytes. RSA keys below 2048 bits and HMAC keys
/// below 32 bytes are refused.
pub fn provider() -> &'static CryptoProvider {
    &PROVIDER
}

fn new_signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    Ok(Box::new(RingSigner::new(*algorithm, key)?))
}

fn new_verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    Ok(Box::new(RingVerifier::new(*algorithm, key)?))
}

fn unsupported() -> Error {
    ErrorKind::UnsupportedAlgorithm.into()
}

fn bad_key() -> Error {
    ErrorKind::InvalidKeyFormat.into()
}

/// A parsed private key with the algorithm it signs by.
enum RingSigner {
    Ecdsa {
        algorithm: Algorithm,
        key: EcdsaKeyPair,
    },
    Rsa {
        algorithm: Algorithm,
        encoding: &'static dyn RsaEncoding,
        key: RsaKeyPair,
    },
    Ed25519(Ed25519KeyPair),
    Hmac(hmac::Key),
}

impl RingSigner {
    fn new(algorithm: Algorithm, key: &EncodingKey) -> Result<Self, Error> {
        if key.family() != algorithm.family() {
            return Err(bad_key());
        }
        let bytes = key.as_bytes();
        match algorithm {
            Algorithm::ES256 => Self::ecdsa(algorithm, &ECDSA_P256_SHA256_FIXED_SIGNING, bytes),
            Algorithm::ES384 => Self::ecdsa(algorithm, &ECDSA_P384_SHA384_FIXED_SIGNING, bytes),
            Algorithm::RS256 => Self::rsa(algorithm, &RSA_PKCS1_SHA256, bytes),
            Algorithm::PS256 => Self::rsa(algorithm, &RSA_PSS_SHA256, bytes),
            Algorithm::EdDSA => Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes)
                .map(Self::Ed25519)
                .map_err(|_| bad_key()),
            Algorithm::HS256 => hmac_key(bytes).map(Self::Hmac),
            _ => Err(unsupported()),
        }
    }

    fn ecdsa(
        algorithm: Algorithm,
        curve: &'static EcdsaSigningAlgorithm,
        pkcs8: &[u8],
    ) -> Result<Self, Error> {
        EcdsaKeyPair::from_pkcs8(curve, pkcs8, &SystemRandom::new())
            .map(|key| Self::Ecdsa { algorithm, key })
            .map_err(|_| bad_key())
    }

    fn rsa(algorithm: Algorithm, encoding: &'static dyn RsaEncoding, der: &[u8]) -> Result<Self, Error> {
        RsaKeyPair::from_pkcs8(der)
            .or_else(|_| RsaKeyPair::from_der(der))
            .map(|key| Self::Rsa {
                algorithm,
                encoding,
                key,
            })
            .map_err(|_| bad_key())
    }
}

impl Signer<Vec<u8>> for RingSigner {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        match self {
            Self::Ecdsa { key, .. } => key
                .sign(&SystemRandom::new(), message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| signature::Error::new()),
            Self::Rsa { encoding, key, .. } => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(*encoding, &SystemRandom::new(), message, &mut signature)
                    .map_err(|_| signature::Error::new())?;
                Ok(signature)
            }
            Self::Ed25519(key) => Ok(key.sign(message).as_ref().to_vec()),
            Self::Hmac(key) => Ok(hmac::sign(key, message).as_ref().to_vec()),
        }
    }
}

impl JwtSigner for RingSigner {
    fn algorithm(&self) -> Algorithm {
        match self {
            Self::Ecdsa { algorithm, .. } | Self::Rsa { algorithm, .. } => *algorithm,
            Self::Ed25519(_) => Algorithm::EdDSA,
            Self::Hmac(_) => Algorithm::HS256,
        }
    }
}

/// A public key or MAC key with the algorithm it verifies by.
pub(crate) enum RingVerifier {
    /// ring parses such a key on each use; the bytes are owned and of the right length.
    Public {
        algorithm: Algorithm,
        key: UnparsedPublicKey<Vec<u8>>,
    },
    RsaComponents {
        algorithm: Algorithm,
        parameters: &'static RsaParameters,
        key: RsaPublicKeyComponents<Vec<u8>>,
    },
    Hmac(hmac::Key),
}

impl RingVerifier {
    /// Refuses a key of another family or size than `algorithm` needs.
    pub(crate) fn new(algorithm: Algorithm, key: &DecodingKey) -> Result<Self, Error> {
        if key.family() != algorithm.family() {
            return Err(bad_key());
        }
        let kind = key.kind();
        match algorithm {
            Algorithm::ES256 => Self::fixed(algorithm, &ECDSA_P256_SHA256_FIXED, kind, P256_POINT_BYTES),
            Algorithm::ES384 => Self::fixed(algorithm, &ECDSA_P384_SHA384_FIXED, kind, P384_POINT_BYTES),
            Algorithm::EdDSA => Self::fixed(algorithm, &ED25519, kind, ED25519_PUBLIC_KEY_LEN),
            Algorithm::RS256 => Ok(Self::rsa(algorithm, &RSA_PKCS1_2048_8192_SHA256, kind)),
            Algorithm::PS256 => Ok(Self::rsa(algorithm, &RSA_PSS_2048_8192_SHA256, kind)),
            Algorithm::HS256 => hmac_key(key.try_get_as_bytes()?).map(Self::Hmac),
            _ => Err(unsupported()),
        }
    }

    /// A MAC key whose size the caller answers for.
    pub(crate) fn hmac_sha256(secret: &[u8]) -> Self {
        Self::Hmac(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    fn fixed(
        algorithm: Algorithm,
        verification: &'static dyn VerificationAlgorithm,
        kind: &DecodingKeyKind,
        length: usize,
    ) -> Result<Self, Error> {
        match kind {
            DecodingKeyKind::SecretOrDer(bytes) if bytes.len() == length => Ok(Self::Public {
                algorithm,
                key: UnparsedPublicKey::new(verification, bytes.clone()),
            }),
            _ => Err(bad_key()),
        }
    }

    fn rsa(algorithm: Algorithm, parameters: &'static RsaParameters, kind: &DecodingKeyKind) -> Self {
        match kind {
            DecodingKeyKind::SecretOrDer(der) => Self::Public {
                algorithm,
                key: UnparsedPublicKey::new(parameters, der.clone()),
            },
            DecodingKeyKind::RsaModulusExponent { n, e } => Self::RsaComponents {
                algorithm,
                parameters,
                key: RsaPublicKeyComponents {
                    n: n.clone(),
                    e: e.clone(),
                },
            },
        }
    }
}

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        match self {
            Self::Public { key, .. } => key.verify(message, signature),
            Self::RsaComponents { parameters, key, .. } => key.verify(parameters, message, signature),
            Self::Hmac(key) => hmac::verify(key, message, signature),
        }
        .map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        match self {
            Self::Public { algorithm, .. } | Self::RsaComponents { algorithm, .. } => *algorithm,
            Self::Hmac(_) => Algorithm::HS256,
        }
    }
}

fn hmac_key(secret: &[u8]) -> Result<hmac::Key, Error> {
    if secret.len() < MIN_HMAC_KEY_BYTES {
        return Err(bad_key());
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, secret))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use ring::signature::KeyPair as _;
    use rsa::pkcs8::EncodePrivateKey as _;
    use rsa::traits::PublicKeyParts as _;

    use super::*;

    fn ecdsa(curve: &'static EcdsaSigningAlgorithm) -> (EncodingKey, DecodingKey) {
        let rng = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(curve, &rng).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(curve, pkcs8.as_ref(), &rng).unwrap();
        (
            EncodingKey::from_ec_der(pkcs8.as_ref()),
            DecodingKey::from_ec_der(pair.public_key().as_ref()),
        )
    }

    fn ed25519() -> (EncodingKey, DecodingKey) {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        (
            EncodingKey::from_ed_der(pkcs8.as_ref()),
            DecodingKey::from_ed_der(pair.public_key().as_ref()),
        )
    }

    fn rsa_2048() -> (EncodingKey, DecodingKey) {
        let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap();
        let der = key.to_pkcs8_der().unwrap();
        (
            EncodingKey::from_rsa_der(der.as_bytes()),
            DecodingKey::from_rsa_raw_components(&key.n().to_bytes_be(), &key.e().to_bytes_be()),
        )
    }

    fn hmac_pair(length: usize) -> (EncodingKey, DecodingKey) {
        let secret = vec![7; length];
        (
            EncodingKey::from_secret(&secret),
            DecodingKey::from_secret(&secret),
        )
    }

    #[test]
    fn every_algorithm_signs_what_it_verifies() {
        let (rsa_private, rsa_public) = rsa_2048();
        let cases = [
            (Algorithm::ES256, ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING), 64),
            (Algorithm::ES384, ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING), 96),
            (Algorithm::EdDSA, ed25519(), 64),
            (Algorithm::RS256, (rsa_private.clone(), rsa_public.clone()), 256),
            (Algorithm::PS256, (rsa_private, rsa_public), 256),
            (Algorithm::HS256, hmac_pair(32), 32),
        ];
        for (algorithm, (private, public), length) in cases {
            let signer = (provider().signer_factory)(&algorithm, &private).unwrap();
            let verifier = (provider().verifier_factory)(&algorithm, &public).unwrap();
            assert_eq!(signer.algorithm(), algorithm);
            assert_eq!(verifier.algorithm(), algorithm);

            let signature = signer.try_sign(b"vouchsafe").unwrap();
            assert_eq!(signature.len(), length, "{algorithm:?}");
            assert!(verifier.verify(b"vouchsafe", &signature).is_ok());
            assert!(verifier.verify(b"Vouchsafe", &signature).is_err());
            assert!(verifier.verify(b"vouchsafe", &vec![0; length]).is_err());
            assert!(verifier.verify(b"vouchsafe", &Vec::new()).is_err());
            let longer = [signature.as_slice(), &[0_u8]].concat();
            assert!(verifier.verify(b"vouchsafe", &longer).is_err());
        }
    }

    #[test]
    fn signatures_of_other_implementations_verify() {
        // RFC 7515 appendix A.3, RFC 8037 appendix A.4, and OpenSSL for RSA.
        let ec = DecodingKey::from_ec_components(
            "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        )
        .unwrap();
        let ed = DecodingKey::from_ed_components("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
        let rsa = DecodingKey::from_rsa_components(RSA_MODULUS, "AQAB").unwrap();
        let cases = [
            (Algorithm::ES256, &ec, RFC_7515_INPUT, RFC_7515_SIGNATURE),
            (Algorithm::EdDSA, &ed, RFC_8037_INPUT, RFC_8037_SIGNATURE),
            (Algorithm::RS256, &rsa, "vouchsafe", RS256_SIGNATURE),
            (Algorithm::PS256, &rsa, "vouchsafe", PS256_SIGNATURE),
        ];
        for (algorithm, key, message, signature) in cases {
            let verifier = (provider().verifier_factory)(&algorithm, key).unwrap();
            let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
            assert!(
                verifier.verify(message.as_bytes(), &signature).is_ok(),
                "{algorithm:?}"
            );
        }
    }

    #[test]
    fn t11_padding_schemes_are_not_interchangeable() {
        let key = DecodingKey::from_rsa_components(RSA_MODULUS, "AQAB").unwrap();
        for (algorithm, signature) in [
            (Algorithm::PS256, RS256_SIGNATURE),
            (Algorithm::RS256, PS256_SIGNATURE),
        ] {
            let verifier = (provider().verifier_factory)(&algorithm, &key).unwrap();
            let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
            assert!(verifier.verify(b"vouchsafe", &signature).is_err());
        }
    }

    #[test]
    fn t11_a_key_of_another_family_or_size_is_refused() {
        let (ec_private, ec_public) = ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING);
        for algorithm in [
            Algorithm::HS256,
            Algorithm::RS256,
            Algorithm::PS256,
            Algorithm::EdDSA,
            Algorithm::ES384,
        ] {
            assert!((provider().signer_factory)(&algorithm, &ec_private).is_err());
            assert!((provider().verifier_factory)(&algorithm, &ec_public).is_err());
        }
        let (short_private, short_public) = hmac_pair(31);
        assert!((provider().signer_factory)(&Algorithm::HS256, &short_private).is_err());
        assert!((provider().verifier_factory)(&Algorithm::HS256, &short_public).is_err());
    }

    #[test]
    fn unsupported_algorithms_are_refused() {
        let (private, public) = hmac_pair(64);
        for algorithm in [Algorithm::HS384, Algorithm::HS512] {
            assert!((provider().signer_factory)(&algorithm, &private).is_err());
            assert!((provider().verifier_factory)(&algorithm, &public).is_err());
        }
        assert!((provider().key_utils.rsa_pub_components_from_public_key)(&[]).is_err());
    }

    const RFC_7515_INPUT: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    const RFC_7515_SIGNATURE: &str =
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    const RFC_8037_INPUT: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    const RFC_8037_SIGNATURE: &str =
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    const RSA_MODULUS: &str = "tRDbw-iGQUpFUiI2xZiZdMDPtJro20ALie399Ru8-Ly9Zkuj-ooKKQ65Pap7j_cQnUsrMfl4FMhrhUaPCiWyVnIxgcb_t22y4B3TDyLK7H1bQoKn-xpvIWhRhteZBFKo7jTdmQTmVzDQ9fJBV9tAhVloGdyA8Ao4THGtHBssdpe8222v2eTQtjk4Y0Bq4CUU8r05Jckiv92mDlmy0jtJzTWBQT44N1WXgKlS5xaW-ZQ8QeA79LV8fjZmLfHwydmugjrBi6vJVEtVD823uZbG3d7n406Bczb6fv98_Juf5KhX9Iaenl01q-FKgq-gyjmAMMW8jsQ_VO4Rkd9xvMkSRw";
    const RS256_SIGNATURE: &str = "GdkQoaxsgodFygdVavf_NA3XCPYLt2ysRSK5Xtdcz7R3Je74_tW57nv7Hkw2yYc5UwGeaigQkZJBnHjK5p--DtJxLbqQsie4PreQyFfR6FMbolooMJumNUzGNb0A-OEEQPOS0C848S6kXVsrp6KMVXunnhB2VJO14mMynRjt6kPUGxQVsoz9pI--HkVm6lfIL-RVVwIzSkt0_xzPq0uRgsJMxRfoM8b5w5-CN8V7Z_knnPOnmqPXI6jpJAn849yY1M04RmVU3MH1Tbtgd92whr8dbDzFN6fYVOjsjkxbsW7KO9nynjBW18VXO6p50KoDUw_nqAJKjElBNbsy2ADDPw";
    const PS256_SIGNATURE: &str = "UeU8KmwOMzHmO0Z-Go23oCNcOayfv-EKTd1Is8Ukql6iZPruLjFd39dQlzIdET5yim_9QBprdFEDB3K5s61_PaxZxvXcz2ZPga3q5-y0r2OpTANpTH3vdY9RGXaJiKCVHM8MFji8okGTULJP-JvFATnPETK2_bzMZwpppVPBcMFSEhIO9bWzSvPF-TjShJBC9JsEVb5VxSv0ohdJ4R9-5iibg9wO8Q72ti7PgZd0WRxsAouz-cH-eo4GS-aFdRD5IAyR-zj7naJd8Ej1zunGc7rsmCogeCdT3dX4FcexvdBPPO-RHn7JSVV_dhJvElaGsCnciYst3D8A2SZZcs3OqQ";
}
