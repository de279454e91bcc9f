//! What is remembered of a key, and the state that follows from its timestamps alone.

use std::fmt;
use std::str::FromStr;

use vouchsafe_jose::{Algorithm, PublicJwk};
use vouchsafe_protocol::{Kid, SigningAlgorithm, Timestamp};

use crate::policy::KeyPolicy;
use crate::seal::SealedKey;

/// A stored word that names no algorithm or purpose of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a known {kind}")]
pub struct UnknownKeyWord {
    kind: &'static str,
}

/// What a key is for; a key never serves two purposes (K11).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Purpose {
    /// Signs what others verify; its public half is in the JWKS.
    Signing,
    /// MACs refresh tokens, which only we read.
    RefreshMac,
    /// MACs client secrets and API keys for storage.
    SecretHash,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 3] = [Self::Signing, Self::RefreshMac, Self::SecretHash];

    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Signing => "signing",
            Self::RefreshMac => "refresh_mac",
            Self::SecretHash => "secret_hash",
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Purpose {
    type Err = UnknownKeyWord;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|known| known.as_str() == word)
            .ok_or(UnknownKeyWord { kind: "key purpose" })
    }
}

/// The JWS algorithm of a key (RFC 7518 section 3.1, RFC 8037 section 3.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum KeyAlgorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// Ed25519.
    EdDsa,
    /// HMAC with SHA-256.
    Hs256,
}

impl KeyAlgorithm {
    /// Every algorithm.
    pub const ALL: [Self; 4] = [Self::Es256, Self::Rs256, Self::EdDsa, Self::Hs256];

    /// The value of `alg` on the wire, and the stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
            Self::EdDsa => "EdDSA",
            Self::Hs256 => "HS256",
        }
    }

    /// The same algorithm in the words of the signing library.
    pub(crate) const fn jws(self) -> Algorithm {
        match self {
            Self::Es256 => Algorithm::ES256,
            Self::Rs256 => Algorithm::RS256,
            Self::EdDsa => Algorithm::EdDSA,
            Self::Hs256 => Algorithm::HS256,
        }
    }

    /// Whether a key of this algorithm can serve that purpose at all.
    pub(crate) const fn fits(self, purpose: Purpose) -> bool {
        match purpose {
            Purpose::Signing => !matches!(self, Self::Hs256),
            Purpose::RefreshMac | Purpose::SecretHash => matches!(self, Self::Hs256),
        }
    }
}

impl From<SigningAlgorithm> for KeyAlgorithm {
    fn from(algorithm: SigningAlgorithm) -> Self {
        match algorithm {
            SigningAlgorithm::Es256 => Self::Es256,
            SigningAlgorithm::Rs256 => Self::Rs256,
            SigningAlgorithm::EdDsa => Self::EdDsa,
        }
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for KeyAlgorithm {
    type Err = UnknownKeyWord;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|known| known.as_str() == word)
            .ok_or(UnknownKeyWord {
                kind: "key algorithm",
            })
    }
}

/// One key as it is stored. The row stays for ever, so that its kid is never used again (K8).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyRecord {
    /// The name of the key in token headers.
    pub kid: Kid,
    /// What it signs by.
    pub algorithm: KeyAlgorithm,
    /// What it is for.
    pub purpose: Purpose,
    /// The public half; `None` for MAC keys.
    pub public_jwk: Option<PublicJwk>,
    /// The private half; `None` once destroyed.
    pub sealed: Option<SealedKey>,
    /// Since when caches can know it.
    pub published_at: Timestamp,
    /// The first moment at which it signs.
    pub activates_at: Timestamp,
    /// The first moment at which it does not sign any more; `None` while no successor is known.
    pub deactivates_at: Option<Timestamp>,
    /// When it was found to be in wrong hands; it is never trusted again.
    pub compromised_at: Option<Timestamp>,
}

/// Where a key stands at a given moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyState {
    /// Published, not signing.
    Next {
        /// When it begins to sign.
        activates_at: Timestamp,
    },
    /// Signing.
    Active {
        /// Since when.
        since: Timestamp,
        /// When its successor takes over, once that is known.
        deactivates_at: Option<Timestamp>,
    },
    /// No longer signing, still trusted.
    VerifyOnly {
        /// The first moment at which it is not trusted any more; `None` is never.
        until: Option<Timestamp>,
    },
    /// Neither signing nor trusted; its private bytes may be erased (K7).
    Retired,
    /// Never trusted again.
    Compromised {
        /// Since when.
        at: Timestamp,
    },
}

impl KeyState {
    /// Whether what this key signed is to be trusted: also for a next key, since a replica whose
    /// clock is ahead may sign with it already.
    pub fn verifies(self) -> bool {
        match self {
            Self::Next { .. } | Self::Active { .. } | Self::VerifyOnly { .. } => true,
            Self::Retired | Self::Compromised { .. } => false,
        }
    }
}

impl KeyRecord {
    /// The state at `now`; follows from timestamps and policy only.
    pub fn state(&self, now: Timestamp, policy: &KeyPolicy) -> KeyState {
        if let Some(at) = self.compromised_at {
            return KeyState::Compromised { at };
        }
        if policy.denied_kids.contains(&self.kid) {
            let at = self.published_at;
            return KeyState::Compromised { at };
        }
        if now < self.activates_at {
            let activates_at = self.activates_at;
            return KeyState::Next { activates_at };
        }
        if self.deactivates_at.is_none_or(|end| now < end) {
            return KeyState::Active {
                since: self.activates_at,
                deactivates_at: self.deactivates_at,
            };
        }
        match self.retired_from(policy) {
            Some(until) if until <= now => KeyState::Retired,
            until => KeyState::VerifyOnly { until },
        }
    }

    /// The first moment at which the key is retired; `None` when none is in sight.
    pub fn retired_from(&self, policy: &KeyPolicy) -> Option<Timestamp> {
        let retention = policy.retention_of(self.purpose)?;
        self.deactivates_at.map(|end| end.plus(retention))
    }

    /// Whether the key signs at `now`.
    pub(crate) fn is_active(&self, now: Timestamp, policy: &KeyPolicy) -> bool {
        matches!(self.state(now, policy), KeyState::Active { .. })
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds)
    }

    fn record(purpose: Purpose, deactivates_at: Option<i64>) -> KeyRecord {
        KeyRecord {
            kid: Kid::parse("k1").unwrap(),
            algorithm: KeyAlgorithm::Es256,
            purpose,
            public_jwk: None,
            sealed: None,
            published_at: at(0),
            activates_at: at(100),
            deactivates_at: deactivates_at.map(at),
            compromised_at: None,
        }
    }

    #[test]
    fn the_state_follows_the_clock() {
        let policy = KeyPolicy::default();
        let week = 7 * 24 * 60 * 60;
        let key = record(Purpose::Signing, Some(200));
        let active = KeyState::Active {
            since: at(100),
            deactivates_at: Some(at(200)),
        };
        let verify_only = KeyState::VerifyOnly {
            until: Some(at(200 + week)),
        };
        for (now, state) in [
            (
                -5,
                KeyState::Next {
                    activates_at: at(100),
                },
            ),
            (
                99,
                KeyState::Next {
                    activates_at: at(100),
                },
            ),
            (100, active),
            (199, active),
            (200, verify_only),
            (199 + week, verify_only),
            (200 + week, KeyState::Retired),
            (i64::MAX, KeyState::Retired),
        ] {
            assert_eq!(key.state(at(now), &policy), state, "at {now}");
        }
    }

    #[test]
    fn retention_depends_on_the_purpose() {
        let policy = KeyPolicy::default();
        let long_after = at(200 + 30 * 24 * 60 * 60);
        let state = |purpose| record(purpose, Some(200)).state(long_after, &policy);
        assert_eq!(state(Purpose::Signing), KeyState::Retired);
        let until = Some(at(200 + 91 * 24 * 60 * 60));
        assert_eq!(state(Purpose::RefreshMac), KeyState::VerifyOnly { until });
        let until = None;
        assert_eq!(state(Purpose::SecretHash), KeyState::VerifyOnly { until });
    }

    #[test]
    fn k4_compromised_outranks_every_other_state() {
        let mut key = record(Purpose::Signing, None);
        key.compromised_at = Some(at(150));
        for now in [0, 100, 149, 150, i64::MAX] {
            let state = key.state(at(now), &KeyPolicy::default());
            assert_eq!(state, KeyState::Compromised { at: at(150) });
        }
    }

    #[test]
    fn f14_a_denied_kid_is_compromised_whatever_the_row_says() {
        let key = record(Purpose::Signing, None);
        let mut policy = KeyPolicy::default();
        policy.denied_kids.insert(key.kid.clone());
        let state = key.state(at(150), &policy);
        assert_eq!(state, KeyState::Compromised { at: at(0) });
    }

    #[test]
    fn stored_words_read_back_and_others_do_not() {
        for purpose in Purpose::ALL {
            assert_eq!(purpose.as_str().parse::<Purpose>(), Ok(purpose));
        }
        for algorithm in KeyAlgorithm::ALL {
            assert_eq!(algorithm.as_str().parse::<KeyAlgorithm>(), Ok(algorithm));
        }
        assert!("Signing".parse::<Purpose>().is_err());
        assert!("none".parse::<KeyAlgorithm>().is_err());
    }
}
