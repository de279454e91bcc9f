//! Reading access tokens of ours, with the verifier that strangers use.

use vouchsafe_protocol::Timestamp;
use vouchsafe_verifier::{
    ExpectedAudience, KeySource, RevocationIndex, UnverifiedToken, VerifiedToken, Verifier,
};

use crate::Issuer;

impl Issuer {
    /// Checks an access token of ours for whatever audience.
    pub(crate) fn verify_access(
        &self,
        token: &str,
        revoked: &RevocationIndex,
        now: Timestamp,
    ) -> Option<VerifiedToken> {
        let token = UnverifiedToken::parse(token).ok()?;
        let verifier = Verifier::new(self.config.issuer.as_str(), ExpectedAudience::AnyAudienceOfIssuer)
            .with_leeway(std::time::Duration::ZERO)
            .with_max_lifetime(crate::LONGEST_ACCESS_TTL);
        let keys = RingKeys {
            ring: &self.keys.load(),
            now,
        };
        verifier.check(&token, &keys, revoked, now).ok()
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
