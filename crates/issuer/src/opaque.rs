//! Words that stand for something: 256 random bits to whoever holds one, and only their digest in the database.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use vouchsafe_protocol::{Entropy, SecretString, random_token};

const BYTES: usize = 32;

/// A new word and its digest.
pub(crate) struct Opaque {
    pub(crate) token: SecretString,
    pub(crate) hash: String,
}

impl Opaque {
    pub(crate) fn random(entropy: &dyn Entropy) -> Self {
        let token = SecretString::new(random_token(entropy, BYTES));
        let hash = hash_of(token.expose());
        Self { token, hash }
    }
}

/// SHA-256 in base64url without padding: what the database knows of a word, and what S256 makes of a verifier (RFC 7636
/// section 4.6).
pub(crate) fn hash_of(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::hash_of;

    #[test]
    fn a_digest_is_that_of_rfc_7636() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(hash_of(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }
}
