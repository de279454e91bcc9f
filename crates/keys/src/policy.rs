//! How long keys live in each state, and the check that no token outlives its key (K6).

use std::collections::BTreeSet;
use std::time::Duration;

use vouchsafe_protocol::{Kid, SigningAlgorithm};

use crate::error::PolicyError;
use crate::record::{KeyAlgorithm, Purpose};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// The rules of key life. Only whole seconds count.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyPolicy {
    /// The algorithms that sign, in the order of the JWKS; one line of keys each.
    pub algorithms: Vec<SigningAlgorithm>,
    /// How long a key signs; 30 days by default. Keys of [`Purpose::SecretHash`] are exempt.
    pub rotate_every: Duration,
    /// How long a signing key is published before it signs; 24 h by default.
    pub publish_ahead: Duration,
    /// `max-age` of the JWKS; 300 s by default.
    pub jwks_max_age: Duration,
    /// What caches get on top of `jwks_max_age` before they count as stale; 10 min by default.
    pub cache_margin: Duration,
    /// How long a signing key verifies after it stopped signing; 7 days by default.
    pub retention: Duration,
    /// How long a refresh MAC key verifies after it stopped signing: the longest life of a refresh
    /// token family and a day; 91 days by default.
    pub refresh_mac_retention: Duration,
    /// How far ahead an immediate switch is set, so that all replicas change at once; 5 s by
    /// default.
    pub now_delay: Duration,
    /// The longest lifetime of an access token; 1 h by default.
    pub max_access_ttl: Duration,
    /// The clock difference that verifiers tolerate; 60 s by default.
    pub skew: Duration,
    /// Kids that count as compromised whatever the database says, so that a restored backup cannot
    /// bring a revoked key back (K4). Empty by default.
    pub denied_kids: BTreeSet<Kid>,
}

impl Default for KeyPolicy {
    fn default() -> Self {
        Self {
            algorithms: vec![SigningAlgorithm::Es256],
            rotate_every: Duration::from_secs(30 * DAY),
            publish_ahead: Duration::from_secs(DAY),
            jwks_max_age: Duration::from_secs(5 * MINUTE),
            cache_margin: Duration::from_secs(10 * MINUTE),
            retention: Duration::from_secs(7 * DAY),
            refresh_mac_retention: Duration::from_secs(91 * DAY),
            now_delay: Duration::from_secs(5),
            max_access_ttl: Duration::from_secs(HOUR),
            skew: Duration::from_secs(MINUTE),
            denied_kids: BTreeSet::new(),
        }
    }
}

impl KeyPolicy {
    /// Checks the lifetimes against each other (K6).
    ///
    /// # Errors
    /// The first rule that is broken, with both values.
    pub fn check(&self) -> Result<(), PolicyError> {
        self.check_algorithms()?;
        let needed = self.max_access_ttl.saturating_add(self.skew);
        if self.retention < needed {
            let retention = self.retention;
            return Err(PolicyError::RetentionTooShort { retention, needed });
        }
        let needed = self.cached_for();
        if self.publish_ahead < needed {
            let publish_ahead = self.publish_ahead;
            return Err(PolicyError::PublishAheadTooShort {
                publish_ahead,
                needed,
            });
        }
        let needed = self.publish_ahead.saturating_add(self.cached_for());
        if self.rotate_every < needed || self.rotate_every.as_secs() == 0 {
            let rotate_every = self.rotate_every;
            return Err(PolicyError::RotatesTooOften { rotate_every, needed });
        }
        if self.now_delay > self.cache_margin {
            return Err(PolicyError::NowDelayTooLong {
                now_delay: self.now_delay,
                most: self.cache_margin,
            });
        }
        if self.refresh_mac_retention < self.retention {
            return Err(PolicyError::RefreshRetentionTooShort {
                refresh_mac_retention: self.refresh_mac_retention,
                needed: self.retention,
            });
        }
        Ok(())
    }

    fn check_algorithms(&self) -> Result<(), PolicyError> {
        let mut seen = BTreeSet::new();
        for algorithm in &self.algorithms {
            if !seen.insert(*algorithm) {
                return Err(PolicyError::DuplicateAlgorithm((*algorithm).into()));
            }
        }
        if seen.is_empty() {
            return Err(PolicyError::NoAlgorithm);
        }
        Ok(())
    }

    /// How long a key verifies after it stopped signing; `None` is for ever, since client secrets
    /// live as long as their clients.
    pub fn retention_of(&self, purpose: Purpose) -> Option<Duration> {
        match purpose {
            Purpose::Signing => Some(self.retention),
            Purpose::RefreshMac => Some(self.refresh_mac_retention),
            Purpose::SecretHash => None,
        }
    }

    /// How long after its making a JWKS may still be in some cache.
    pub(crate) fn cached_for(&self) -> Duration {
        self.jwks_max_age.saturating_add(self.cache_margin)
    }

    /// Whether this policy keeps keys of that algorithm for that purpose.
    pub(crate) fn wants(&self, algorithm: KeyAlgorithm, purpose: Purpose) -> bool {
        match purpose {
            Purpose::Signing => self
                .algorithms
                .iter()
                .any(|wanted| KeyAlgorithm::from(*wanted) == algorithm),
            Purpose::RefreshMac | Purpose::SecretHash => algorithm == KeyAlgorithm::Hs256,
        }
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    fn refused(change: impl FnOnce(&mut KeyPolicy)) -> String {
        let mut policy = KeyPolicy::default();
        change(&mut policy);
        policy.check().unwrap_err().to_string()
    }

    #[test]
    fn k6_the_defaults_are_accepted() {
        assert_eq!(KeyPolicy::default().check(), Ok(()));
    }

    #[test]
    fn k6_lifetimes_that_contradict_each_other_are_refused_with_both_values() {
        let day = Duration::from_secs(DAY);
        assert_eq!(
            refused(|policy| policy.max_access_ttl = day * 7),
            "retention is 604800 s, but must be at least max_access_ttl + skew = 604860 s"
        );
        assert_eq!(
            refused(|policy| policy.publish_ahead = Duration::from_secs(899)),
            "publish_ahead is 899 s, but must be at least jwks_max_age + cache_margin = 900 s"
        );
        assert_eq!(
            refused(|policy| policy.rotate_every = day),
            "rotate_every is 86400 s, but must be at least publish_ahead + jwks_max_age + \
             cache_margin = 87300 s"
        );
        assert_eq!(
            refused(|policy| policy.now_delay = Duration::from_secs(601)),
            "now_delay is 601 s, but must be at most cache_margin = 600 s"
        );
        assert_eq!(
            refused(|policy| policy.refresh_mac_retention = day),
            "refresh_mac_retention is 86400 s, but must be at least retention = 604800 s"
        );
    }

    #[test]
    fn k6_the_algorithms_are_a_set_with_a_member() {
        assert_eq!(
            refused(|policy| policy.algorithms.clear()),
            "no signing algorithm is configured"
        );
        assert_eq!(
            refused(|policy| policy.algorithms.push(SigningAlgorithm::Es256)),
            "signing algorithm ES256 is listed twice"
        );
    }

    #[test]
    fn k6_absurd_durations_do_not_overflow() {
        refused(|policy| policy.max_access_ttl = Duration::MAX);
        refused(|policy| policy.jwks_max_age = Duration::MAX);
        refused(|policy| policy.publish_ahead = Duration::MAX);
    }
}
