//! Revocation (RFC 7009): an access token ends itself, a refresh token its family. Once this answered, the token is
//! dead here at once and at every process of the issuer within a second.

use std::sync::atomic::Ordering;
use std::time::Duration;

use vouchsafe_jose::UnverifiedJws;
use vouchsafe_protocol::{
    AccessTokenClaims, ErrorCode, FamilyId, Reason, RevocationKind, SecretString, TYP_ACCESS_TOKEN,
    TYP_REFRESH_TOKEN, Timestamp,
};
use vouchsafe_store::{NewRevocation, RevokeReason};

use crate::audit::{Event, Remark, announce};
use crate::config::SKEW;
use crate::{Actor, Authenticated, Error, Issuer, LONGEST_ACCESS_TTL};

impl Issuer {
    /// Ends a token of the caller; says whether that was written. What is unknown, garbled or over already needs no ending
    /// and is no error.
    ///
    /// # Errors
    /// `invalid_grant` for a token that was issued to another client (RFC 7009 2.1); the store's, never swallowed.
    pub async fn revoke(&self, caller: &Authenticated, token: &SecretString) -> Result<bool, Error> {
        let Ok(jws) = UnverifiedJws::parse(token.expose()) else {
            return Ok(false);
        };
        if jws.has_typ(TYP_ACCESS_TOKEN) {
            self.revoke_access(caller, token.expose()).await
        } else if jws.has_typ(TYP_REFRESH_TOKEN) {
            self.revoke_refresh(caller, token.expose()).await
        } else {
            Ok(false)
        }
    }

    async fn revoke_access(&self, caller: &Authenticated, token: &str) -> Result<bool, Error> {
        let now = self.now();
        let Some(verified) = self.verify_to_revoke(token, now) else {
            return Ok(false);
        };
        let claims = verified.claims();
        owned(caller, &claims.client_id)?;
        self.must_be_current().await?;
        if self.view.index().is_revoked(claims, verified.kid()) {
            return Ok(false);
        }
        self.end_access_token(claims, &Actor::Client(caller.id.clone()))
            .await?;
        Ok(true)
    }

    /// Ends one access token by its `jti`.
    pub(crate) async fn end_access_token(
        &self,
        claims: &AccessTokenClaims,
        actor: &Actor,
    ) -> Result<(), Error> {
        let now = self.now();
        let audit = Remark::new(Event::AccessTokenRevoked, actor, now)
            .client(&claims.client_id)
            .with("jti", claims.jti.as_str())
            .entry();
        let entry = self.revocation(RevocationKind::Jti, claims.jti.as_str(), now);
        self.store.revoke_by_log(&entry, &audit).await?;
        announce(&audit);
        self.follow().await
    }

    async fn revoke_refresh(&self, caller: &Authenticated, token: &str) -> Result<bool, Error> {
        let Some(claims) = self.read_refresh_token(token) else {
            return Ok(false);
        };
        owned(caller, &claims.client_id)?;
        let actor = Actor::Client(caller.id.clone());
        self.end_family(&claims.sid, RevokeReason::Revoked, &actor, Some(&caller.id))
            .await
    }

    /// Ends a family and its access tokens; says whether it was alive.
    pub(crate) async fn end_family(
        &self,
        sid: &FamilyId,
        reason: RevokeReason,
        actor: &Actor,
        client_id: Option<&vouchsafe_protocol::ClientId>,
    ) -> Result<bool, Error> {
        // What is written to a database that went back may be gone with it.
        self.must_have_its_past()?;
        let now = self.now();
        let mut audit = Remark::new(Event::FamilyRevoked, actor, now)
            .family(sid)
            .with("reason", reason.as_str());
        if let Some(client_id) = client_id {
            audit = audit.client(client_id);
        }
        let audit = audit.entry();
        let ended = self
            .store
            .revoke_family(sid, reason, &self.session_revocation(sid, now), &audit)
            .await?;
        if ended {
            announce(&audit);
        }
        self.follow().await?;
        Ok(ended)
    }

    /// The log entry that ends every access token of a family.
    pub(crate) fn session_revocation(&self, sid: &FamilyId, now: Timestamp) -> NewRevocation {
        self.revocation(RevocationKind::Session, sid.as_str(), now)
    }

    /// A log entry that lives until nothing it covers can.
    pub(crate) fn revocation(&self, kind: RevocationKind, key: &str, now: Timestamp) -> NewRevocation {
        let newest = Timestamp::from_unix(self.newest_iat.load(Ordering::Acquire));
        // More than the second that a token may be ahead means that the clock stepped back.
        let ahead = now.plus(Duration::from_secs(1));
        let not_before = if newest > ahead { newest } else { now };
        let expires = not_before.plus(LONGEST_ACCESS_TTL).plus(SKEW);
        NewRevocation {
            kind,
            key: key.to_owned(),
            not_before,
            expires,
            at: now,
        }
    }
}

fn owned(caller: &Authenticated, owner: &vouchsafe_protocol::ClientId) -> Result<(), Error> {
    if caller.id == *owner {
        Ok(())
    } else {
        Err(Error::refused(ErrorCode::InvalidGrant, Reason::ClientMismatch))
    }
}
