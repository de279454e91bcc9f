//! Proof Key for Code Exchange (RFC 7636): the grammar of challenge and verifier. Only S256 is taken.

use crate::secret::SecretString;

const CHALLENGE_CHARS: usize = 43;
const VERIFIER_CHARS: std::ops::RangeInclusive<usize> = 43..=128;

/// A challenge of method S256: base64url of a SHA-256 digest (RFC 7636 section 4.2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CodeChallenge(String);

impl CodeChallenge {
    /// Checks the form of a challenge; none for a text that no verifier can have led to.
    pub fn parse(text: &str) -> Option<Self> {
        let base64url = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (text.len() == CHALLENGE_CHARS && text.bytes().all(base64url)).then(|| Self(text.to_owned()))
    }

    /// The text as it was sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A verifier as a client presents it: 43 to 128 unreserved characters (RFC 7636 section 4.1).
#[derive(Clone, Debug)]
pub struct CodeVerifier(SecretString);

impl CodeVerifier {
    /// Checks the form of a verifier; none for a text that is none.
    pub fn parse(text: SecretString) -> Option<Self> {
        let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let fits = VERIFIER_CHARS.contains(&text.expose().len()) && text.expose().bytes().all(unreserved);
        fits.then_some(Self(text))
    }

    /// The text itself, to be hashed.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t24_a_verifier_has_43_to_128_unreserved_characters() {
        let verifier = |text: &str| CodeVerifier::parse(SecretString::new(text.to_owned())).is_some();
        assert!(verifier(&"a".repeat(43)));
        assert!(verifier(&"~._-".repeat(32)));
        for bad in [
            &"a".repeat(42),
            &"a".repeat(129),
            &format!("{}+", "a".repeat(50)),
            "",
        ] {
            assert!(!verifier(bad), "{bad}");
        }
    }

    #[test]
    fn a11_a_challenge_is_a_digest() {
        assert!(CodeChallenge::parse("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM").is_some());
        for bad in ["", "plain", &"a".repeat(44), &format!("{}=", "a".repeat(42))] {
            assert!(CodeChallenge::parse(bad).is_none(), "{bad}");
        }
    }
}
