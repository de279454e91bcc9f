//! Values that must not be shown: wiped when dropped, redacted in debug output, never compared by
//! `==`.

use std::fmt;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

const REDACTED: &str = "[redacted]";

/// A text that is wiped when dropped and never shown.
#[derive(Clone)]
pub struct SecretString(Zeroizing<String>);

impl SecretString {
    /// Takes over `value` without copying it.
    pub fn new(value: String) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The text itself; each caller answers for what becomes of it.
    pub fn expose(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Debug for SecretString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

/// Bytes that are wiped when dropped and never shown.
#[derive(Clone)]
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Takes over `value` without copying it.
    pub fn new(value: Vec<u8>) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The bytes themselves; each caller answers for what becomes of them.
    pub fn expose(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// Whether `other` holds the same bytes; takes the same time wherever they differ (the length
    /// is no secret).
    pub fn ct_eq(&self, other: &[u8]) -> bool {
        self.0.as_slice().ct_eq(other).into()
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o01_debug_never_shows_a_secret() {
        let text = SecretString::new("correct horse".to_owned());
        let bytes = SecretBytes::new(b"correct horse".to_vec());
        assert_eq!(format!("{text:?} {bytes:?}"), "[redacted] [redacted]");
        assert_eq!(format!("{:#?}", Some(text)), "Some(\n    [redacted],\n)");
    }

    #[test]
    fn t06_comparison_needs_every_byte_and_the_length() {
        let secret = SecretBytes::new(b"abcd".to_vec());
        for (other, equal) in [
            ("abcd", true),
            ("abce", false),
            ("xbcd", false),
            ("abc", false),
            ("abcde", false),
            ("", false),
        ] {
            assert_eq!(secret.ct_eq(other.as_bytes()), equal, "{other}");
        }
    }
}
