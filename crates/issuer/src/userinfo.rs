//! Userinfo (OpenID Connect Core 5.3): what an access token with `openid` lets be known of its person.

use serde_json::{Map, Value};
use vouchsafe_protocol::{ErrorCode, OPENID, Reason};
use vouchsafe_verifier::Rejection;

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
            self.check_access(token, &revoked, self.now())
        };
        let verified = verified.map_err(|rejection| invalid(reason_of(rejection)))?;
        let claims = verified.claims();
        if !claims.scope.contains(OPENID) {
            return Err(Error::refused(
                ErrorCode::InsufficientScope,
                Reason::ScopeNotGranted,
            ));
        }
        // One that a client got for itself is of nobody.
        let sid = claims.sid.as_ref().ok_or(invalid(Reason::UnknownToken))?;
        let family = self.store.family(sid).await?;
        let family = family.ok_or(invalid(Reason::UnknownToken))?;
        if family.ended.is_some() {
            return Err(invalid(Reason::Revoked));
        }
        let user = self.store.user(&family.subject).await?;
        let user = user
            .filter(|user| user.locked_at.is_none())
            .ok_or(invalid(Reason::Revoked))?;
        let client = self.client(&family.client_id).await?;
        let client = client.ok_or(invalid(Reason::Revoked))?;
        let by_name = asked_by_name(&family, &self.scope_of_client(&client)).userinfo;
        let mut told = told_of(&user, &claims.scope, &by_name);
        told.insert("sub".to_owned(), Value::from(claims.sub.clone()));
        Ok(told)
    }
}

fn reason_of(rejection: Rejection) -> Reason {
    match rejection {
        Rejection::Revoked => Reason::Revoked,
        Rejection::Expired => Reason::Expired,
        _ => Reason::MalformedToken,
    }
}
