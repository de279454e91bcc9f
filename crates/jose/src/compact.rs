//! A token as it arrives: taken apart and judged by its shape and header, and turned into a
//! payload only by a signature that verifies.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use crate::error::JoseError;
use crate::jwk::is_plain_kid;
use crate::strict_json;
use crate::verifying_key::VerifyingKey;

/// The longest compact form that is read or made, in bytes.
pub const MAX_COMPACT_BYTES: usize = 16 * 1024;

/// The whole of a header that is accepted. Everything that could bring or fetch a key (`jwk`,
/// `jku`, `x5u`, `x5c`) or change the meaning (`crit`, `b64`, `zip`, `enc`) is an unknown member.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    #[serde(default, deserialize_with = "present")]
    typ: Option<String>,
    #[serde(default, deserialize_with = "present")]
    kid: Option<String>,
    #[serde(default, rename = "cty", deserialize_with = "present")]
    _cty: Option<String>,
}

/// A well-formed compact JWS about whose origin nothing is known.
pub struct UnverifiedJws<'a> {
    signing_input: &'a str,
    algorithm: Algorithm,
    typ: String,
    kid: Option<String>,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl<'a> UnverifiedJws<'a> {
    /// Takes a compact JWS apart (RFC 7515 section 7.1) and checks its header (RFC 8725).
    ///
    /// # Errors
    /// [`JoseError::TooLong`], [`JoseError::Malformed`], [`JoseError::Header`],
    /// [`JoseError::UnsupportedAlgorithm`] and [`JoseError::MissingType`], in this order.
    pub fn parse(compact: &'a str) -> Result<Self, JoseError> {
        if compact.len() > MAX_COMPACT_BYTES {
            return Err(JoseError::TooLong);
        }
        let (signing_input, signature) = compact.rsplit_once('.').ok_or(JoseError::Malformed)?;
        // A fourth part would leave a dot in the payload, which is not of the alphabet.
        let (header, payload) = signing_input.split_once('.').ok_or(JoseError::Malformed)?;
        let header = decode(header)?;
        let payload = decode(payload)?;
        let signature = decode(signature)?;

        let header: Header = strict_json::object(&header).map_err(|_| JoseError::Header)?;
        if header.kid.as_deref().is_some_and(|kid| !is_plain_kid(kid)) {
            return Err(JoseError::Header);
        }
        let algorithm = supported(&header.alg).ok_or(JoseError::UnsupportedAlgorithm)?;
        let typ = header.typ.ok_or(JoseError::MissingType)?;
        Ok(Self {
            signing_input,
            algorithm,
            typ,
            kid: header.kid,
            payload,
            signature,
        })
    }

    /// The `typ` as sent; compare it by [`has_typ`](Self::has_typ).
    pub fn typ(&self) -> &str {
        &self.typ
    }

    /// Whether `typ` is `expected`, a media type without `application/`: case and that prefix make
    /// no difference (RFC 7515 section 4.1.9).
    pub fn has_typ(&self, expected: &str) -> bool {
        bare_type(&self.typ).eq_ignore_ascii_case(expected)
    }

    /// The `kid`, if there is one: 1 to 256 visible ASCII characters.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The algorithm that the header claims.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Checks the signature and gives the payload out.
    ///
    /// # Errors
    /// [`JoseError::AlgorithmMismatch`] when `key` is for another algorithm (RFC 8725 section 3.1),
    /// [`JoseError::BadSignature`] when it did not make this signature.
    pub fn verify(&self, key: &VerifyingKey) -> Result<VerifiedPayload, JoseError> {
        if key.algorithm() != self.algorithm {
            return Err(JoseError::AlgorithmMismatch);
        }
        key.verifier()
            .verify(self.signing_input.as_bytes(), &self.signature)
            .map_err(|_| JoseError::BadSignature)?;
        Ok(VerifiedPayload(self.payload.clone()))
    }
}

impl fmt::Debug for UnverifiedJws<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnverifiedJws")
            .field("algorithm", &self.algorithm)
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

/// The payload of a JWS whose signature verified; nothing else makes one.
pub struct VerifiedPayload(Vec<u8>);

impl VerifiedPayload {
    /// Reads the claims from the payload, a JSON object without duplicate members (RFC 7519
    /// section 4).
    ///
    /// # Errors
    /// [`JoseError::Claims`].
    pub fn claims<T: DeserializeOwned>(&self) -> Result<T, JoseError> {
        strict_json::object(&self.0).map_err(|_| JoseError::Claims)
    }
}

impl fmt::Debug for VerifiedPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerifiedPayload([redacted])")
    }
}

fn decode(part: &str) -> Result<Vec<u8>, JoseError> {
    if part.is_empty() {
        return Err(JoseError::Malformed);
    }
    URL_SAFE_NO_PAD.decode(part).map_err(|_| JoseError::Malformed)
}

/// The algorithms by their exact names; `none` is not one, however it is written.
fn supported(name: &str) -> Option<Algorithm> {
    match name {
        "RS256" => Some(Algorithm::RS256),
        "PS256" => Some(Algorithm::PS256),
        "ES256" => Some(Algorithm::ES256),
        "ES384" => Some(Algorithm::ES384),
        "EdDSA" => Some(Algorithm::EdDSA),
        "HS256" => Some(Algorithm::HS256),
        _ => None,
    }
}

fn bare_type(typ: &str) -> &str {
    const PREFIX: &str = "application/";
    match typ.split_at_checked(PREFIX.len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX) && !rest.contains('/') => rest,
        _ => typ,
    }
}

/// A member that may be absent but, when present, is a string and not `null`.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    String::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::EncodingKey;
    use jsonwebtoken::crypto::JwtSigner;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
    use serde_json::{Value, json};
    use vouchsafe_protocol::SecretBytes;

    use super::*;
    use crate::{PublicJwk, provider, sign};

    fn es256() -> (Box<dyn JwtSigner>, PublicJwk) {
        let rng = SystemRandom::new();
        let curve = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(curve, &rng).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(curve, pkcs8.as_ref(), &rng).unwrap();
        let key = EncodingKey::from_ec_der(pkcs8.as_ref());
        let signer = (provider().signer_factory)(&Algorithm::ES256, &key).unwrap();
        (signer, PublicJwk::ec_p256(pair.public_key().as_ref()).unwrap())
    }

    /// A compact form of exactly these parts.
    fn compact(header: &str, payload: &str, signature: &[u8]) -> String {
        format!(
            "{}.{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(payload),
            URL_SAFE_NO_PAD.encode(signature)
        )
    }

    fn header_error(header: &str) -> JoseError {
        UnverifiedJws::parse(&compact(header, "{}", &[1; 64])).unwrap_err()
    }

    #[test]
    fn a_signed_token_comes_back() {
        let (signer, jwk) = es256();
        let key = VerifyingKey::from_jwk(&jwk).unwrap();
        let token = sign(signer.as_ref(), "at+jwt", jwk.kid(), &json!({"a": 1})).unwrap();
        let jws = UnverifiedJws::parse(&token).unwrap();
        assert_eq!(jws.typ(), "at+jwt");
        assert_eq!(jws.kid(), Some(jwk.kid()));
        assert_eq!(jws.algorithm(), Algorithm::ES256);
        let claims: Value = jws.verify(&key).unwrap().claims().unwrap();
        assert_eq!(claims, json!({"a": 1}));
    }

    #[test]
    fn o01_debug_shows_neither_payload_nor_signature() {
        let token = compact(
            r#"{"typ":"at+jwt","alg":"ES256","kid":"k"}"#,
            r#"{"sub":"alice"}"#,
            &[1; 64],
        );
        let jws = UnverifiedJws::parse(&token).unwrap();
        assert_eq!(
            format!("{jws:?} {:?}", VerifiedPayload(b"alice".to_vec())),
            "UnverifiedJws { algorithm: ES256, kid: Some(\"k\"), .. } VerifiedPayload([redacted])"
        );
    }

    #[test]
    fn typ_is_compared_as_a_media_type() {
        for (typ, equal) in [
            ("at+jwt", true),
            ("AT+JWT", true),
            ("application/at+jwt", true),
            ("APPLICATION/At+Jwt", true),
            ("at+jwt ", false),
            ("jwt", false),
            ("", false),
            ("rt+jwt", false),
            ("text/at+jwt", false),
            ("application/application/at+jwt", false),
            ("application/", false),
            ("applicätion/at+jwt", false),
        ] {
            let header = json!({"typ": typ, "alg": "ES256"}).to_string();
            let token = compact(&header, "{}", &[1; 64]);
            let jws = UnverifiedJws::parse(&token).unwrap();
            assert_eq!(jws.has_typ("at+jwt"), equal, "{typ}");
        }
    }

    #[test]
    fn only_three_canonical_parts_are_a_compact_jws() {
        let header = URL_SAFE_NO_PAD.encode(r#"{"typ":"at+jwt","alg":"ES256"}"#);
        assert!(UnverifiedJws::parse(&format!("{header}.e30.AQ")).is_ok());
        for token in [
            String::new(),
            ".".to_owned(),
            "..".to_owned(),
            header.clone(),
            format!("{header}.e30"),
            format!("{header}.e30."),
            format!("{header}..AQ"),
            format!(".{header}.AQ"),
            format!("{header}.e30.AQ.AQ"),
            format!("{header}.e30.AQ."),
            format!("{header}.e30.A"),
            // Bits set behind the last byte, padding, the other alphabet, white space.
            format!("{header}.e31.AQ"),
            format!("{header}.e30.AR"),
            format!("{header}.e30=.AQ"),
            format!("{header}.e30.AQ=="),
            format!("{header}.e30.+/8"),
            format!(" {header}.e30.AQ"),
            format!("{header}.e30.AQ\n"),
            format!("{header}.e3\u{e9}.AQ"),
        ] {
            let error = UnverifiedJws::parse(&token).unwrap_err();
            assert!(matches!(error, JoseError::Malformed), "{token:?}");
        }
        let filler = "A".repeat(MAX_COMPACT_BYTES);
        let error = UnverifiedJws::parse(&format!("{header}.e30.{filler}")).unwrap_err();
        assert!(matches!(error, JoseError::TooLong));
    }

    #[test]
    fn t12_headers_that_bring_a_key_or_change_the_meaning_are_refused() {
        for member in [
            r#""crit":["exp"]"#,
            r#""crit":[]"#,
            r#""crit":["b64"],"b64":false"#,
            r#""b64":false"#,
            r#""b64":true"#,
            r#""jwk":{}"#,
            r#""jku":"https://example.org/jwks""#,
            r#""x5u":"https://example.org/cert""#,
            r#""x5c":["MIIB"]"#,
            r#""x5t":"AQAB""#,
            r#""zip":"DEF""#,
            r#""enc":"A256GCM""#,
            r#""nonce":"n""#,
            r#""Alg":"none""#,
            r#""kid ":"k""#,
        ] {
            let header = format!(r#"{{"typ":"at+jwt","alg":"ES256","kid":"k",{member}}}"#);
            assert!(matches!(header_error(&header), JoseError::Header), "{member}");
        }
    }

    #[test]
    fn headers_of_another_shape_are_refused() {
        for header in [
            "",
            "null",
            "[]",
            "\"ES256\"",
            "{}",
            r#"{"typ":"at+jwt"}"#,
            r#"["ES256","at+jwt"]"#,
            r#"{"typ":"at+jwt","alg":null}"#,
            r#"{"typ":"at+jwt","alg":256}"#,
            r#"{"typ":"at+jwt","alg":["ES256"]}"#,
            r#"{"typ":null,"alg":"ES256"}"#,
            r#"{"typ":5,"alg":"ES256"}"#,
            r#"{"typ":"at+jwt","alg":"ES256","kid":null}"#,
            r#"{"typ":"at+jwt","alg":"ES256","kid":""}"#,
            r#"{"typ":"at+jwt","alg":"ES256","kid":"a b"}"#,
            r#"{"typ":"at+jwt","alg":"ES256","kid":"a\u0000"}"#,
            r#"{"typ":"at+jwt","alg":"ES256","kid":["k"]}"#,
            r#"{"typ":"at+jwt","alg":"ES256","cty":null}"#,
            r#"{"typ":"at+jwt","alg":"ES256","alg":"ES256"}"#,
            r#"{"typ":"at+jwt","alg":"ES256","\u0061lg":"none"}"#,
            r#"{"typ":"at+jwt","alg":"ES256"} "x""#,
        ] {
            let error = UnverifiedJws::parse(&compact(header, "{}", &[1; 64])).unwrap_err();
            let malformed = matches!(error, JoseError::Malformed) && header.is_empty();
            assert!(malformed || matches!(error, JoseError::Header), "{header}");
        }
        let long_kid = json!({"typ": "at+jwt", "alg": "ES256", "kid": "k".repeat(257)});
        assert!(matches!(header_error(&long_kid.to_string()), JoseError::Header));
        assert!(matches!(
            header_error(r#"{"alg":"ES256","kid":"k"}"#),
            JoseError::MissingType
        ));
    }

    #[test]
    fn j01_none_and_unsupported_algorithms_are_refused() {
        for alg in [
            "none", "None", "nOnE", "NONE", " none", "", "es256", "ES256 ", "ES512", "ES256K", "HS384",
            "HS512", "RS384", "RS512", "PS384", "PS512", "Ed25519", "RSA1_5", "dir",
        ] {
            let header = json!({"typ": "at+jwt", "alg": alg, "kid": "k"}).to_string();
            assert!(
                matches!(header_error(&header), JoseError::UnsupportedAlgorithm),
                "{alg}"
            );
        }
    }

    #[test]
    fn j01_empty_and_zero_signatures_are_refused() {
        let (_, jwk) = es256();
        let key = VerifyingKey::from_jwk(&jwk).unwrap();
        let header = r#"{"typ":"at+jwt","alg":"ES256","kid":"k"}"#;
        for length in [1, 63, 64, 65, 72] {
            let token = compact(header, "{}", &vec![0; length]);
            let error = UnverifiedJws::parse(&token).unwrap().verify(&key).unwrap_err();
            assert!(matches!(error, JoseError::BadSignature), "{length}");
        }
        assert!(matches!(
            UnverifiedJws::parse(&compact(header, "{}", &[])),
            Err(JoseError::Malformed)
        ));
    }

    #[test]
    fn t11_a_public_key_is_no_mac_key() {
        let (_, jwk) = es256();
        let public = VerifyingKey::from_jwk(&jwk).unwrap();
        let text = serde_json::to_vec(&jwk).unwrap();
        let mac = (provider().signer_factory)(&Algorithm::HS256, &EncodingKey::from_secret(&text));
        let token = sign(mac.unwrap().as_ref(), "at+jwt", jwk.kid(), &json!({})).unwrap();
        let jws = UnverifiedJws::parse(&token).unwrap();
        assert!(matches!(jws.verify(&public), Err(JoseError::AlgorithmMismatch)));
        let mac_key = VerifyingKey::hmac_sha256(jwk.kid(), &SecretBytes::new(text));
        assert!(jws.verify(&mac_key).is_ok());
    }

    #[test]
    fn t11_a_header_of_another_algorithm_does_not_move_the_key() {
        let (signer, jwk) = es256();
        let key = VerifyingKey::from_jwk(&jwk).unwrap();
        for alg in ["ES384", "RS256", "PS256", "EdDSA", "HS256"] {
            let header = json!({"typ": "at+jwt", "alg": alg, "kid": jwk.kid()}).to_string();
            let input = compact(&header, "{}", &[]);
            let signature = signer.try_sign(input.trim_end_matches('.').as_bytes()).unwrap();
            let token = compact(&header, "{}", &signature);
            let error = UnverifiedJws::parse(&token).unwrap().verify(&key).unwrap_err();
            assert!(matches!(error, JoseError::AlgorithmMismatch), "{alg}");
        }
    }

    #[test]
    fn j01_any_changed_character_is_noticed() {
        let (signer, jwk) = es256();
        let key = VerifyingKey::from_jwk(&jwk).unwrap();
        let claims = json!({"iss": "https://issuer.example", "exp": 1});
        let token = sign(signer.as_ref(), "at+jwt", jwk.kid(), &claims).unwrap();
        for (index, old) in token.char_indices() {
            let mut changed = token.clone();
            changed.replace_range(index..=index, if old == 'A' { "B" } else { "A" });
            let accepted = UnverifiedJws::parse(&changed).and_then(|jws| jws.verify(&key));
            assert!(accepted.is_err(), "position {index}");
        }
        let (_, other) = es256();
        let other = VerifyingKey::from_jwk(&other).unwrap();
        let accepted = UnverifiedJws::parse(&token).and_then(|jws| jws.verify(&other));
        assert!(accepted.is_err());
    }

    #[test]
    fn j04_duplicate_claims_are_refused_even_when_signed() {
        let (signer, jwk) = es256();
        let key = VerifyingKey::from_jwk(&jwk).unwrap();
        let header = json!({"typ": "at+jwt", "alg": "ES256", "kid": jwk.kid()}).to_string();
        for payload in [
            r#"{"aud":"a","aud":"b"}"#,
            r#"{"aud":"a","\u0061ud":"b"}"#,
            "[]",
            "null",
            "{",
            "{}{}",
        ] {
            let input = compact(&header, payload, &[]);
            let signature = signer.try_sign(input.trim_end_matches('.').as_bytes()).unwrap();
            let token = compact(&header, payload, &signature);
            let verified = UnverifiedJws::parse(&token).unwrap().verify(&key).unwrap();
            assert!(
                matches!(verified.claims::<Value>(), Err(JoseError::Claims)),
                "{payload}"
            );
        }
    }
}
