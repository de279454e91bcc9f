//! Scopes as sets of checked tokens (RFC 6749 section 3.3).

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Asks for an ID token (OpenID Connect Core section 3.1.2.1).
pub const OPENID: &str = "openid";
/// Asks for a refresh token (OpenID Connect Core section 11).
pub const OFFLINE_ACCESS: &str = "offline_access";

const MAX_TOKEN_BYTES: usize = 128;

/// The scopes that OpenID Connect Core sections 3.1.2.1, 5.4 and 11 define.
pub const OIDC_SCOPES: [&str; 6] = [OPENID, "profile", "email", "address", "phone", OFFLINE_ACCESS];

/// Whether OpenID Connect Core defines `scope`.
pub fn is_oidc_scope(scope: &str) -> bool {
    OIDC_SCOPES.contains(&scope)
}

/// A scope outside the grammar or the limits; the text itself is not repeated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("malformed or oversized scope")]
pub struct InvalidScope;

/// One scope: 1 to 128 characters of printable ASCII without space, `"` and `\`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(transparent)]
pub struct ScopeToken(String);

impl ScopeToken {
    /// Checks `text` and keeps it as it is.
    ///
    /// # Errors
    /// When `text` is not one scope token of RFC 6749 section 3.3 or is too long.
    pub fn parse(text: &str) -> Result<Self, InvalidScope> {
        let allowed = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
        if (1..=MAX_TOKEN_BYTES).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidScope)
        }
    }

    /// The text as it was given.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl AsRef<str> for ScopeToken {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for ScopeToken {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for ScopeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ScopeToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// A set of scopes in sorted order, written as one text with single spaces between them.
///
/// Reading refuses more than [`Self::MAX_TOKENS`] or [`Self::MAX_BYTES`], and so does writing: what
/// is written can be read. Set operations themselves know no limit.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct ScopeSet(BTreeSet<ScopeToken>);

impl std::str::FromStr for ScopeSet {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, InvalidScope> {
        Self::parse(text)
    }
}

impl ScopeSet {
    /// The most tokens in a text.
    pub const MAX_TOKENS: usize = 100;
    /// The most bytes in a text.
    pub const MAX_BYTES: usize = 4096;

    /// Reads tokens with single spaces between them; the empty text is the empty set and repeated
    /// tokens count once.
    ///
    /// # Errors
    /// When the text is outside the grammar of RFC 6749 section 3.3 or beyond the limits.
    pub fn parse(text: &str) -> Result<Self, InvalidScope> {
        if text.is_empty() {
            return Ok(Self::empty());
        }
        if text.len() > Self::MAX_BYTES || text.split(' ').count() > Self::MAX_TOKENS {
            return Err(InvalidScope);
        }
        text.split(' ').map(ScopeToken::parse).collect()
    }

    /// The empty set.
    pub const fn empty() -> Self {
        Self(BTreeSet::new())
    }

    /// Whether `token` is in the set.
    pub fn contains(&self, token: &str) -> bool {
        self.0.contains(token)
    }

    /// Whether every token is in `other` too.
    pub fn is_subset_of(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }

    /// The tokens in both sets.
    pub fn intersection(&self, other: &Self) -> Self {
        self.0.intersection(&other.0).cloned().collect()
    }

    /// The tokens in either set.
    pub fn union(&self, other: &Self) -> Self {
        self.0.union(&other.0).cloned().collect()
    }

    /// The tokens of this set that are not in `other`.
    pub fn difference(&self, other: &Self) -> Self {
        self.0.difference(&other.0).cloned().collect()
    }

    /// Adds `token`; false when it was there already.
    pub fn insert(&mut self, token: ScopeToken) -> bool {
        self.0.insert(token)
    }

    /// The tokens in sorted order.
    pub fn iter(&self) -> impl Iterator<Item = &ScopeToken> {
        self.0.iter()
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of tokens.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the set can be written and read back.
    pub fn is_within_limits(&self) -> bool {
        let bytes: usize = self.0.iter().map(|token| token.0.len() + 1).sum();
        self.0.len() <= Self::MAX_TOKENS && bytes.saturating_sub(1) <= Self::MAX_BYTES
    }
}

impl FromIterator<ScopeToken> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = ScopeToken>>(tokens: I) -> Self {
        Self(tokens.into_iter().collect())
    }
}

impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, token) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(token.as_str())?;
        }
        Ok(())
    }
}

impl Serialize for ScopeSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_within_limits() {
            serializer.collect_str(self)
        } else {
            Err(serde::ser::Error::custom(InvalidScope))
        }
    }
}

impl<'de> Deserialize<'de> for ScopeSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    fn set(text: &str) -> ScopeSet {
        ScopeSet::parse(text).unwrap()
    }

    fn numbered(count: usize) -> String {
        let words: Vec<String> = (0..count).map(|number| format!("s{number}")).collect();
        words.join(" ")
    }

    #[test]
    fn a13_text_outside_the_grammar_is_refused() {
        for text in [
            " ", " a", "a ", "a  b", "a\tb", "a\nb", "a\u{0}", "a\u{7f}", "a\"b", "a\\b", "\u{e4}",
        ] {
            assert_eq!(ScopeSet::parse(text), Err(InvalidScope), "{text:?}");
        }
        for byte in (0x21u8..=0x7e).filter(|byte| !matches!(byte, b'"' | b'\\')) {
            let text = char::from(byte).to_string();
            assert_eq!(ScopeToken::parse(&text).unwrap().as_str(), text);
        }
        assert_eq!(ScopeToken::parse("a b"), Err(InvalidScope));
        assert_eq!(ScopeToken::parse(""), Err(InvalidScope));
    }

    #[test]
    fn a13_oversized_scopes_are_refused() {
        let repeated = ["a"; 101].join(" ");
        let long = |count: usize, last: usize| {
            let mut words: Vec<String> = (0..count).map(|number| format!("{number:0>127}")).collect();
            words.push("x".repeat(last));
            words.join(" ")
        };
        for (text, accepted) in [
            ("x".repeat(128), true),
            ("x".repeat(129), false),
            (numbered(100), true),
            (numbered(101), false),
            (numbered(5_000), false),
            (repeated, false),
            (long(31, 128), true),
            (long(32, 1), false),
        ] {
            assert_eq!(ScopeSet::parse(&text).is_ok(), accepted, "{text}");
        }
        assert_eq!(long(31, 128).len(), 4096);
        assert_eq!(long(32, 1).len(), 4097);
    }

    #[test]
    fn cl10_a_set_repeats_every_token_once() {
        let scopes = set("write openid read openid");
        assert_eq!(scopes.to_string(), "openid read write");
        assert_eq!(scopes.len(), 3);
        assert!(scopes.contains("read") && !scopes.contains("rea"));
        assert_eq!(serde_json::to_string(&scopes).unwrap(), "\"openid read write\"");
        let words: Vec<&str> = scopes.iter().map(ScopeToken::as_str).collect();
        assert_eq!(words, ["openid", "read", "write"]);
    }

    #[test]
    fn cl7_the_empty_set_is_the_empty_text() {
        assert_eq!(set(""), ScopeSet::empty());
        assert!(ScopeSet::empty().is_empty());
        assert_eq!(serde_json::to_string(&ScopeSet::empty()).unwrap(), "\"\"");
        assert_eq!(
            serde_json::from_str::<ScopeSet>("\"\"").unwrap(),
            ScopeSet::empty()
        );
        assert!(serde_json::from_str::<ScopeSet>("\"a  b\"").is_err());
        assert!(serde_json::from_str::<ScopeSet>("[\"a\"]").is_err());
    }

    #[test]
    fn a14_set_operations_never_invent_a_token() {
        for (left, right, both, either, only_left, subset) in [
            ("a b", "b c", "b", "a b c", "a", false),
            ("a", "a b", "a", "a b", "", true),
            ("", "a", "", "a", "", true),
            ("a", "", "", "a", "a", false),
        ] {
            let (left, right) = (set(left), set(right));
            assert_eq!(left.intersection(&right), set(both));
            assert_eq!(left.union(&right), set(either));
            assert_eq!(left.difference(&right), set(only_left));
            assert_eq!(left.is_subset_of(&right), subset);
        }
        let mut grown = set("a");
        assert!(grown.insert(ScopeToken::parse("b").unwrap()));
        assert!(!grown.insert(ScopeToken::parse("b").unwrap()));
        assert_eq!(grown, set("a b"));
    }

    #[test]
    fn a13_what_cannot_be_read_back_is_not_written() {
        let tokens = |text: &str| -> ScopeSet {
            text.split(' ')
                .map(|word| ScopeToken::parse(word).unwrap())
                .collect()
        };
        let full = tokens(&numbered(100));
        assert!(serde_json::to_string(&full).is_ok());
        let over = full.union(&set("one-more"));
        assert!(!over.is_within_limits());
        assert!(serde_json::to_string(&over).is_err());
        let wide: Vec<String> = (0..33).map(|number| format!("{number:0>128}")).collect();
        assert!(serde_json::to_string(&tokens(&wide.join(" "))).is_err());
    }

    #[test]
    fn t60_scopes_of_openid_connect_are_known() {
        for (scope, known) in [
            (OPENID, true),
            (OFFLINE_ACCESS, true),
            ("profile", true),
            ("email", true),
            ("address", true),
            ("phone", true),
            ("read", false),
            ("OpenID", false),
            ("", false),
        ] {
            assert_eq!(is_oidc_scope(scope), known, "{scope}");
        }
    }
}
