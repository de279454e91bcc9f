//! ID tokens (OpenID Connect Core 2): made beside an access token for a person, and read again when they come back as a
//! hint.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use vouchsafe_jose::UnverifiedJws;
use vouchsafe_protocol::{
    IdTokenClaims, IdTokenHint, OPENID, ScopeSet, SigningAlgorithm, Subject, TYP_ID_TOKEN,
};
use vouchsafe_store::{Client, Family};

use crate::mint::Minted;
use crate::person_claims::{asked_by_name, told_of};
use crate::{Error, Issuer};

/// Everything that decides an ID token.
pub(crate) struct IdTokenSpec<'a> {
    pub(crate) client: &'a Client,
    pub(crate) family: &'a Family,
    pub(crate) sub: &'a Subject,
    /// What the access token beside it may do.
    pub(crate) scope: &'a ScopeSet,
    pub(crate) nonce: Option<&'a str>,
    pub(crate) beside: &'a Minted,
}

impl Issuer {
    /// An ID token, where `openid` was granted.
    pub(crate) async fn id_token(&self, spec: &IdTokenSpec<'_>) -> Result<Option<String>, Error> {
        if !spec.scope.contains(OPENID) {
            return Ok(None);
        }
        let algorithm = self.id_token_algorithm_of(spec.client);
        let asked = asked_by_name(spec.family, &self.scope_of_client(spec.client)).id_token;
        let more = if asked.is_empty() {
            serde_json::Map::new()
        } else {
            let user = self.store.user(&spec.family.subject).await?;
            user.map(|user| told_of(&user, &ScopeSet::empty(), &asked))
                .unwrap_or_default()
        };
        let claims = IdTokenClaims {
            iss: self.config.issuer.to_string(),
            sub: spec.sub.to_string(),
            aud: spec.client.id.clone(),
            iat: spec.beside.issued,
            exp: spec.beside.expires,
            auth_time: spec.family.auth_time,
            nonce: spec.nonce.map(str::to_owned),
            acr: spec.family.acr.clone(),
            amr: spec.family.amr.clone(),
            at_hash: at_hash(algorithm, &spec.beside.token),
            sid: spec.family.id.clone(),
            more,
        };
        let ring = self.keys.load();
        let signer = ring.signer(algorithm, self.now()).ok_or(Error::NoSigningKey)?;
        Ok(Some(signer.sign(TYP_ID_TOKEN, &claims)?))
    }

    /// What the client registered; RS256 where it did not, as OpenID Connect Registration 2 says, if there is a key for it.
    pub(crate) fn id_token_algorithm_of(&self, client: &Client) -> SigningAlgorithm {
        let kept = |algorithm: &SigningAlgorithm| self.config.key_policy.algorithms.contains(algorithm);
        client
            .id_token_algorithm
            .filter(kept)
            .or(Some(SigningAlgorithm::Rs256).filter(kept))
            .unwrap_or(self.config.default_algorithm)
    }

    /// Reads an ID token of ours that comes back: its time may be over, and its key retired, but never compromised.
    pub(crate) fn read_id_token_hint(&self, token: &str) -> Option<IdTokenHint> {
        let jws = UnverifiedJws::parse(token).ok()?;
        if !jws.has_typ(TYP_ID_TOKEN) {
            return None;
        }
        let key = self.keys.load().hint_key(jws.kid()?, self.now())?;
        let hint: IdTokenHint = jws.verify(&key).ok()?.claims().ok()?;
        (hint.iss == self.config.issuer.as_str()).then_some(hint)
    }
}

/// The left half of a digest of the access token, by the hash of the algorithm (OpenID Connect Core 3.1.3.6); for Ed25519
/// that is SHA-512.
fn at_hash(algorithm: SigningAlgorithm, access_token: &str) -> String {
    let hash = match algorithm {
        SigningAlgorithm::Es256 | SigningAlgorithm::Rs256 => &digest::SHA256,
        SigningAlgorithm::EdDsa => &digest::SHA512,
    };
    let whole = digest::digest(hash, access_token.as_bytes());
    let (half, _) = whole.as_ref().split_at(whole.as_ref().len() / 2);
    URL_SAFE_NO_PAD.encode(half)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_hash_is_that_of_the_standard() {
        // OpenID Connect Core, appendix A.3.
        let token = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";
        assert_eq!(at_hash(SigningAlgorithm::Rs256, token), "77QmUPtjPfzWtF2AnpK9RQ");
    }
}
