//! Entries of the revocation log: which tokens are dead, in one line each.

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::wire::wire_names;

/// What the key of a revocation names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RevocationKind {
    /// Every token of one refresh-token family (`sid`).
    Session,
    /// Every token of one person (`sub`) issued up to the instant.
    Subject,
    /// Every token of one client (`client_id`) issued up to the instant.
    Client,
    /// One token.
    Jti,
    /// Every token signed by one key.
    Kid,
    /// Every token issued up to the instant.
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

wire_names!(RevocationKind, "revocation kind");

/// One entry of the revocation log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevocationEntry {
    /// Its number; numbers have no gaps.
    pub n: i64,
    /// What the key names.
    pub kind: RevocationKind,
    /// The family, subject, client, jti or kid; empty for `all`.
    pub key: String,
    /// Tokens issued up to and including this second are dead.
    pub not_before: Timestamp,
    /// From here on the entry may be forgotten.
    pub expires: Timestamp,
}
