//! Makes a compact JWS with a given signer: the header is always ours, never the caller's.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use jsonwebtoken::crypto::JwtSigner;
use serde::Serialize;

use crate::compact::MAX_COMPACT_BYTES;
use crate::error::JoseError;

/// The protected header; the order of the fields is the order on the wire.
#[derive(Serialize)]
struct Header<'a> {
    typ: &'a str,
    alg: Algorithm,
    kid: &'a str,
}

/// Signs `claims` as a compact JWS with the header `{"typ", "alg", "kid"}` (RFC 7515 section 3.1).
///
/// The result is not verified again; a caller whose signer is not in process does that.
///
/// # Errors
/// [`JoseError::Serialise`] when the claims have no JSON form, [`JoseError::Sign`] when the signer
/// fails, [`JoseError::TooLong`] when no reader of ours would accept the result.
pub fn sign(
    signer: &dyn JwtSigner,
    typ: &str,
    kid: &str,
    claims: &(impl Serialize + ?Sized),
) -> Result<String, JoseError> {
    let header = Header {
        typ,
        alg: signer.algorithm(),
        kid,
    };
    let header = serde_json::to_vec(&header).map_err(JoseError::Serialise)?;
    let claims = serde_json::to_vec(claims).map_err(JoseError::Serialise)?;

    // Room for both parts and an RSA signature of 4096 bits, so that the text grows once.
    let mut token = String::with_capacity((header.len() + claims.len()) * 4 / 3 + 700);
    URL_SAFE_NO_PAD.encode_string(header, &mut token);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut token);
    let signature = signer.try_sign(token.as_bytes()).map_err(JoseError::Sign)?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);

    if token.len() > MAX_COMPACT_BYTES {
        return Err(JoseError::TooLong);
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::EncodingKey;
    use jsonwebtoken::signature::{self, Signer};
    use serde_json::json;

    use super::*;
    use crate::provider::provider;

    struct Broken;

    impl Signer<Vec<u8>> for Broken {
        fn try_sign(&self, _: &[u8]) -> Result<Vec<u8>, signature::Error> {
            Err(signature::Error::new())
        }
    }

    impl JwtSigner for Broken {
        fn algorithm(&self) -> Algorithm {
            Algorithm::ES256
        }
    }

    fn hmac_signer() -> Box<dyn JwtSigner> {
        let key = EncodingKey::from_secret(&[7; 32]);
        (provider().signer_factory)(&Algorithm::HS256, &key).unwrap()
    }

    #[test]
    fn the_header_is_typ_alg_kid_in_this_order() {
        let token = sign(hmac_signer().as_ref(), "rt+jwt", "k1", &json!({"a": 1})).unwrap();
        let mut parts = token.split('.');
        let header = URL_SAFE_NO_PAD.decode(parts.next().unwrap()).unwrap();
        let payload = URL_SAFE_NO_PAD.decode(parts.next().unwrap()).unwrap();
        let signature = URL_SAFE_NO_PAD.decode(parts.next().unwrap()).unwrap();
        assert_eq!(header, br#"{"typ":"rt+jwt","alg":"HS256","kid":"k1"}"#);
        assert_eq!(payload, br#"{"a":1}"#);
        assert_eq!(signature.len(), 32);
        assert_eq!(parts.next(), None);
    }

    #[test]
    fn failures_are_told_apart() {
        let claims = json!({});
        assert!(matches!(
            sign(&Broken, "at+jwt", "k1", &claims),
            Err(JoseError::Sign(_))
        ));
        let long = json!({"a": "x".repeat(MAX_COMPACT_BYTES)});
        assert!(matches!(
            sign(hmac_signer().as_ref(), "at+jwt", "k1", &long),
            Err(JoseError::TooLong)
        ));
    }
}
