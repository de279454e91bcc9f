//! What can go wrong with keys, in words for the operator; kids and master key ids are public,
//! key material never appears.

use std::error::Error;
use std::time::Duration;

use vouchsafe_jose::JoseError;
use vouchsafe_protocol::{Kid, Timestamp};

use crate::record::{KeyAlgorithm, Purpose};

/// Why a key could not be made, sealed, opened or used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The key is sealed under another master key than the one given.
    #[error("key {kid} is sealed under master key {expected}, but the one given is {given}")]
    WrongMasterKey {
        /// The key that could not be opened.
        kid: Kid,
        /// [`MasterKey::id`](crate::MasterKey::id) that the key was sealed under.
        expected: String,
        /// [`MasterKey::id`](crate::MasterKey::id) that was given.
        given: String,
    },
    /// The sealed bytes were changed, or belong to another kid, algorithm or purpose.
    #[error("the sealed bytes of key {kid} do not belong to it or were changed")]
    BrokenSeal {
        /// The key that could not be opened.
        kid: Kid,
    },
    /// The record has no sealed bytes although its state needs them.
    #[error("the private bytes of key {kid} are gone")]
    Destroyed {
        /// The key without private bytes.
        kid: Kid,
    },
    /// The key's own bytes, or its record, make no sense.
    #[error("key {kid} is damaged: {what}")]
    Damaged {
        /// The damaged key.
        kid: Kid,
        /// Which part of it.
        what: &'static str,
    },
    /// The cipher refused a key or text of this size.
    #[error("the cipher refused a key or text of this size")]
    Cipher,
    /// Algorithm and purpose do not go together.
    #[error("an {algorithm} key cannot serve as {purpose}")]
    PurposeMismatch {
        /// The algorithm asked for.
        algorithm: KeyAlgorithm,
        /// The purpose asked for.
        purpose: Purpose,
    },
    /// The system's random source failed.
    #[error("the system's random source failed")]
    Random,
    /// A new key could not be made.
    #[error("a new {algorithm} key could not be made")]
    Generate {
        /// The algorithm asked for.
        algorithm: KeyAlgorithm,
        /// What the generator said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A token could not be signed, or a public key not be used.
    #[error(transparent)]
    Jose(#[from] JoseError),
    /// The key set could not be written as JSON.
    #[error("the key set could not be written")]
    Serialise(#[from] serde_json::Error),
}

/// Why a text is not a usable master key. The text itself is not repeated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// Not base64 in the standard or the URL-safe alphabet.
    #[error("the master key is not base64")]
    NotBase64,
    /// Not exactly 32 bytes.
    #[error("the master key has {found} bytes, but must have 32")]
    WrongLength {
        /// Bytes found after decoding.
        found: usize,
    },
    /// Bytes that nobody drew at random, as in an example or an empty file of zeros.
    #[error("the master key is an example, not random bytes")]
    Trivial,
    /// The system's random source failed while making a new one.
    #[error("the system's random source failed")]
    Random,
}

/// Why a key policy is refused at start: a token could outlive its key, or a cache miss one.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PolicyError {
    /// No signing algorithm is configured.
    #[error("no signing algorithm is configured")]
    NoAlgorithm,
    /// A signing algorithm is listed twice.
    #[error("signing algorithm {0} is listed twice")]
    DuplicateAlgorithm(KeyAlgorithm),
    /// An access token could outlive the key that verifies it.
    #[error(
        "retention is {} s, but must be at least max_access_ttl + skew = {} s",
        .retention.as_secs(), .needed.as_secs()
    )]
    RetentionTooShort {
        /// How long a key verifies after it stopped signing.
        retention: Duration,
        /// The least it must be.
        needed: Duration,
    },
    /// A cached JWKS could miss a key that already signs.
    #[error(
        "publish_ahead is {} s, but must be at least jwks_max_age + cache_margin = {} s",
        .publish_ahead.as_secs(), .needed.as_secs()
    )]
    PublishAheadTooShort {
        /// How long a key is published before it signs.
        publish_ahead: Duration,
        /// The least it must be.
        needed: Duration,
    },
    /// A key would have to be replaced before its successor could be published.
    #[error(
        "rotate_every is {} s, but must be at least publish_ahead + jwks_max_age + cache_margin \
         = {} s",
        .rotate_every.as_secs(), .needed.as_secs()
    )]
    RotatesTooOften {
        /// How long a key signs.
        rotate_every: Duration,
        /// The least it must be.
        needed: Duration,
    },
    /// An immediate rotation would be no faster than what caches tolerate anyway.
    #[error(
        "now_delay is {} s, but must be at most cache_margin = {} s",
        .now_delay.as_secs(), .most.as_secs()
    )]
    NowDelayTooLong {
        /// The delay of an immediate rotation.
        now_delay: Duration,
        /// The most it may be.
        most: Duration,
    },
    /// A refresh MAC key would stop verifying before access tokens do.
    #[error(
        "refresh_mac_retention is {} s, but must be at least retention = {} s",
        .refresh_mac_retention.as_secs(), .needed.as_secs()
    )]
    RefreshRetentionTooShort {
        /// How long a refresh MAC key verifies after it stopped signing.
        refresh_mac_retention: Duration,
        /// The least it must be.
        needed: Duration,
    },
}

/// Why a rotation was not planned.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RotateRefused {
    /// A JWKS without the next key may still be cached until then; only force overrides it.
    #[error("a key set without the next key may be cached until {}", .until.as_unix())]
    StillCached {
        /// The first moment at which the switch is safe.
        until: Timestamp,
    },
    /// The policy has no such line of keys.
    #[error("no {algorithm} key serves as {purpose} here")]
    NotConfigured {
        /// The algorithm asked for.
        algorithm: KeyAlgorithm,
        /// The purpose asked for.
        purpose: Purpose,
    },
}

/// Why a revocation was not planned.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RevokeRefused {
    /// No record has this kid.
    #[error("there is no key {kid}")]
    NotFound {
        /// The kid asked for.
        kid: Kid,
    },
    /// The key is compromised already.
    #[error("key {kid} was revoked already, at {}", .at.as_unix())]
    AlreadyRevoked {
        /// The kid asked for.
        kid: Kid,
        /// When it was revoked.
        at: Timestamp,
    },
}

/// Why a step does not fit the records. The plan was made for other records.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ApplyError {
    /// The step asks for a new key and none was handed in.
    #[error("the step needs a newly generated key")]
    MissingKey,
    /// A kid is never used twice.
    #[error("kid {0} is taken")]
    KidTaken(Kid),
    /// No record has this kid.
    #[error("there is no key {0}")]
    NotFound(Kid),
}
