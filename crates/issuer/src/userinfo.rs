//! Userinfo (OpenID Connect Core 5.3): what an access token with `openid` lets be known of its person.

use serde_json::{Map, Value};
use vouchsafe_protocol::{ErrorCode, OPENID, Reason};

use crate::person_claims::{asked_by_name, told_of};
use crate::{Error, Issuer};

impl Issuer {
    /// What is told to whoever holds a live access token of ours, for whatever audience.
    ///
    /// # Errors
    /// `invalid_token`, `insufficient_scope`; [`Error::StaleView`] rather than an answer that may be wrong; the store's.
    pub async fn userinfo(&self, token: &str) -> Result<Map<String, Value>, Error> {
        let invalid = |reason| Error::refused(ErrorCode::InvalidToken, reason);
        self.must_be_current().await?;
        let verified = {
            let revoked = self.view.index();
            self.verify_access(token, &revoked, self.now())
        };
        let verified = verified.ok_or(invalid(Reason::MalformedToken))?;
        let claims = verified.claims();
        if !claims.scope.contains(OPENID) {
            return Err(Error::refused(
                ErrorCode::InsufficientScope,
                Reason::ScopeNotGranted,
            ));
        }
        let sid = claims.sid.as_ref().ok_or(invalid(Reason::MalformedToken))?;
        let family = self.store.family(sid).await?;
        let family = family
            .filter(|family| family.ended.is_none())
            .ok_or(invalid(Reason::Revoked))?;
        let user = self.store.user(&family.subject).await?;
        let user = user
            .filter(|user| user.locked_at.is_none())
            .ok_or(invalid(Reason::Revoked))?;
        let mut told = told_of(&user, &claims.scope, &asked_by_name(&family).userinfo);
        told.insert("sub".to_owned(), Value::from(claims.sub.clone()));
        Ok(told)
    }
}
