//! One entry of the public revocation log, as issuer and resource servers exchange it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use vouchsafe_protocol::Timestamp;

/// What the key of a revocation names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevocationKind {
    /// A refresh-token family, the `sid`: every token of it.
    Session,
    /// A `sub`: its tokens issued up to and including `not_before`.
    Subject,
    /// A `client_id`: its tokens issued up to and including `not_before`.
    Client,
    /// One token.
    Jti,
    /// A signing key: every token it signed.
    Kid,
    /// Every token of the issuer issued up to and including `not_before`; the key is empty.
    All,
}

impl RevocationKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Session,
        Self::Subject,
        Self::Client,
        Self::Jti,
        Self::Kid,
        Self::All,
    ];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Subject => "subject",
            Self::Client => "client",
            Self::Jti => "jti",
            Self::Kid => "kid",
            Self::All => "all",
        }
    }
}

impl fmt::Display for RevocationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that is none of a [`RevocationKind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a kind of revocation")]
pub struct UnknownRevocationKind;

impl FromStr for RevocationKind {
    type Err = UnknownRevocationKind;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == name)
            .ok_or(UnknownRevocationKind)
    }
}

/// An entry of the revocation log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevocationEntry {
    /// Its number in the log: gapless and rising within one epoch.
    pub n: i64,
    /// What `key` names.
    pub kind: RevocationKind,
    /// The family, subject, client, token or key; empty for [`RevocationKind::All`].
    pub key: String,
    /// The last second of issue that a subject, client or issuer-wide entry covers.
    pub not_before: Timestamp,
    /// The last second in which a token that the entry covers could still be valid.
    pub expires: Timestamp,
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn names_are_the_same_in_text_and_json() {
        for kind in RevocationKind::ALL {
            let json = serde_json::to_string(&kind).unwrap();
            assert_eq!(json, format!("\"{kind}\""));
            assert_eq!(
                serde_json::from_str::<RevocationKind>(&json).unwrap(),
                kind
            );
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        assert_eq!("Jti".parse::<RevocationKind>(), Err(UnknownRevocationKind));
        assert!(serde_json::from_str::<RevocationKind>("\"Jti\"").is_err());
    }

    #[test]
    fn an_entry_has_these_members() {
        let text = r#"{"n":7,"kind":"subject","key":"usr_x","not_before":10,"expires":20}"#;
        let entry: RevocationEntry = serde_json::from_str(text).unwrap();
        assert_eq!(entry.kind, RevocationKind::Subject);
        assert_eq!(serde_json::to_string(&entry).unwrap(), text);
    }
}
