//! The limits the issuer keeps, typed and checked.

use std::time::Duration;

use vouchsafe_keys::KeyPolicy;
use vouchsafe_protocol::{IssuerUrl, SigningAlgorithm};

/// No access token ever lives longer than this, whatever is configured: a revocation is remembered this long.
pub const LONGEST_ACCESS_TTL: Duration = Duration::from_secs(24 * 3600);

/// A code that is so much younger than now comes from before a clock stepped back.
pub(crate) const CLOCKS_APART: Duration = Duration::from_secs(2);

/// How far clocks of resource servers may be apart from ours.
pub(crate) const SKEW: Duration = Duration::from_secs(60);

/// What hashing one password costs (RFC 9106).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordCost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub iterations: u32,
    /// Lanes.
    pub parallelism: u32,
    /// How many hashes run at once.
    pub permits: usize,
    /// How many more may wait for one.
    pub queue: usize,
}

/// Which clients may register themselves (RFC 7591 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistrationMode {
    /// Anyone's.
    Open,
    /// Those with a token of an operator, one each.
    Token,
    /// None.
    Closed,
}

/// The limits of one issuer.
#[derive(Clone, Debug)]
pub struct IssuerConfig {
    /// The issuer, the exact string in every token.
    pub issuer: IssuerUrl,
    /// Lifetime of an access token, unless client or resource say otherwise.
    pub access_ttl: Duration,
    /// The longest lifetime that client or resource may say.
    pub max_access_ttl: Duration,
    /// How long a family lives on from a use.
    pub refresh_idle_ttl: Duration,
    /// How long a family lives at most.
    pub refresh_absolute_ttl: Duration,
    /// How long a public client may retry a replaced refresh token.
    pub retry_window: Duration,
    /// How long a client that authenticates may.
    pub retry_window_authenticated: Duration,
    /// How long a browser session lives on from a use.
    pub session_idle_ttl: Duration,
    /// How long a browser session lives at most.
    pub session_absolute_ttl: Duration,
    /// Whether people may make accounts for themselves.
    pub sign_up: bool,
    /// Which clients may register themselves.
    pub registration: RegistrationMode,
    /// Whether clients of this machine's own network are fetched from and told of.
    pub allow_private: bool,
    /// Signs access tokens, unless client or resource say otherwise.
    pub default_algorithm: SigningAlgorithm,
    /// How long a row of the audit is kept.
    pub audit_retention: Duration,
    /// When keys are made, published, used and retired.
    pub key_policy: KeyPolicy,
    /// What hashing a password costs.
    pub password_cost: PasswordCost,
}
