//! Reading access tokens of ours, with the verifier that strangers use.

use std::time::Duration;

use vouchsafe_protocol::Timestamp;
use vouchsafe_verifier::{
    ExpectedAudience, KeySource, Rejection, RevocationIndex, UnverifiedToken, VerifiedToken, Verifier,
};

use crate::config::SKEW;
use crate::{Issuer, LONGEST_ACCESS_TTL};

impl Issuer {
    /// Checks an access token of ours for whatever audience, to the second.
    pub(crate) fn verify_access(
        &self,
        token: &str,
        revoked: &RevocationIndex,
        now: Timestamp,
    ) -> Option<VerifiedToken> {
        self.check_access(token, revoked, now).ok()
    }

    /// The same with why not.
    pub(crate) fn check_access(
        &self,
        token: &str,
        revoked: &RevocationIndex,
        now: Timestamp,
    ) -> Result<VerifiedToken, Rejection> {
        self.check_access_within(Duration::ZERO, token, revoked, now)
    }

    /// Reads an access token of ours that somebody may accept, so that it can be ended: clocks may differ, and a
    /// resource server bears some seconds.
    pub(crate) fn verify_to_revoke(&self, token: &str, now: Timestamp) -> Option<VerifiedToken> {
        let verified = self
            .check_access_within(LONGEST_ACCESS_TTL, token, &RevocationIndex::new(), now)
            .ok()?;
        (now <= verified.claims().exp.plus(SKEW)).then_some(verified)
    }

    fn check_access_within(
        &self,
        leeway: Duration,
        token: &str,
        revoked: &RevocationIndex,
        now: Timestamp,
    ) -> Result<VerifiedToken, Rejection> {
        let token = UnverifiedToken::parse(token)?;
        let verifier = Verifier::new(self.config.issuer.as_str(), ExpectedAudience::AnyAudienceOfIssuer)
            .with_leeway(leeway)
            .with_max_lifetime(LONGEST_ACCESS_TTL);
        let keys = RingKeys {
            ring: &self.keys.load(),
            now,
        };
        verifier.check(&token, &keys, revoked, now)
    }
}

/// The verifying keys of a ring at one instant.
struct RingKeys<'a> {
    ring: &'a vouchsafe_keys::KeyRing,
    now: Timestamp,
}

impl KeySource for RingKeys<'_> {
    fn verifying_key(&self, kid: &str) -> Option<std::sync::Arc<vouchsafe_jose::VerifyingKey>> {
        self.ring.verifying_key(kid, self.now)
    }
}
