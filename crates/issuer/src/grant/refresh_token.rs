//! The refresh token grant (RFC 6749 6, RFC 9700 4.14). Every check that needs no database comes first, so that a
//! forged token costs no query and a refused one changes nothing.

use vouchsafe_protocol::{
    ErrorCode, Jti, Reason, RefreshTokenClaims, ResourceUri, ScopeSet, SecretString, Timestamp,
};
use vouchsafe_store::{Family, RevokeReason, RotateJob, RotateOutcome, Rotation};

use crate::audit::{Event, Remark, announce};
use crate::mint::PersonGrant;
use crate::{Actor, Authenticated, Error, Issuer, TokenGrant};

impl Issuer {
    pub(crate) async fn refresh(
        &self,
        client: &Authenticated,
        presented: &SecretString,
        scope: Option<&ScopeSet>,
        resource: Option<&ResourceUri>,
    ) -> Result<TokenGrant, Error> {
        let now = self.now();
        let claims = self.open_refresh_token(presented)?;
        bound_to(client, &claims)?;
        not_expired(&claims, now)?;
        let audience = claims.resource.as_deref().unwrap_or_default();
        let target = self.target_of_grant(client, audience, resource).await?;
        self.still_held(client, audience, &claims.scope)?;
        let asked = within(scope, &claims)?;
        self.must_be_able_to_grant(client, &target, &claims.scope).await?;
        let (family, authority) = self.advance(client, &claims, now).await?;
        self.grant_to_person(PersonGrant {
            client,
            target: &target,
            family: &family,
            authority: &authority,
            asked,
            nonce: None,
            now,
        })
        .await
    }

    /// Moves the family on, or says why not.
    async fn advance(
        &self,
        client: &Authenticated,
        claims: &RefreshTokenClaims,
        now: Timestamp,
    ) -> Result<(Family, crate::authority::Authority), Error> {
        let job = self.rotate_job(client, claims, now)?;
        let audit = job.audit.clone();
        let invalid = |reason| Error::refused(ErrorCode::InvalidGrant, reason);
        match self.store.rotate(job).await? {
            RotateOutcome::Advanced(family, roles) | RotateOutcome::Retried(family, roles) => {
                let authority = self.catalog.load().authority(&roles);
                Ok((family, authority))
            }
            RotateOutcome::Superseded => {
                tracing::info!(
                    event = "refresh_superseded",
                    sid = claims.sid.as_str(),
                    seq = claims.seq
                );
                Err(invalid(Reason::Superseded))
            }
            RotateOutcome::Reused => {
                announce(&audit);
                self.follow().await?;
                Err(invalid(Reason::Reused))
            }
            RotateOutcome::Ended(RevokeReason::Reused) => Err(invalid(Reason::Reused)),
            RotateOutcome::Ended(_) => Err(invalid(Reason::Revoked)),
            RotateOutcome::Expired => Err(invalid(Reason::Expired)),
            RotateOutcome::ClientMismatch => Err(invalid(Reason::ClientMismatch)),
            RotateOutcome::Rollback(known) => {
                tracing::error!(
                    event = "state_rollback",
                    sid = claims.sid.as_str(),
                    presented = claims.seq,
                    known
                );
                Err(invalid(Reason::StateRollback))
            }
        }
    }

    fn rotate_job(
        &self,
        client: &Authenticated,
        claims: &RefreshTokenClaims,
        now: Timestamp,
    ) -> Result<RotateJob, Error> {
        let confidential = client.is_confidential();
        let audit = Remark::new(
            Event::RefreshReuseDetected,
            &Actor::Client(client.id.clone()),
            now,
        )
        .client(&client.id)
        .family(&claims.sid)
        .with("seq", claims.seq)
        .entry();
        Ok(RotateJob {
            sid: claims.sid.clone(),
            client_id: client.id.clone(),
            seq: claims.seq,
            jti: claims.jti.clone(),
            new_jti: Jti::random(self.entropy()),
            new_mac_kid: self.active_mac_kid()?,
            // A public client without a bound key always rotates (RFC 9700 4.14.2).
            rotate: client.rotation == Rotation::Always || !confidential,
            idle_ttl: self.refresh_life(client).idle,
            window: if confidential {
                self.config.retry_window_authenticated
            } else {
                self.config.retry_window
            },
            asked_at: now,
            ending: self.session_revocation(&claims.sid, now),
            audit,
        })
    }
}

fn bound_to(client: &Authenticated, claims: &RefreshTokenClaims) -> Result<(), Error> {
    if claims.client_id == client.id {
        return Ok(());
    }
    tracing::warn!(
        event = "refresh_client_mismatch",
        client_id = client.id.as_str(),
        sid = claims.sid.as_str()
    );
    Err(Error::refused(ErrorCode::InvalidGrant, Reason::ClientMismatch))
}

fn not_expired(claims: &RefreshTokenClaims, now: Timestamp) -> Result<(), Error> {
    if now < claims.exp {
        Ok(())
    } else {
        Err(Error::refused(ErrorCode::InvalidGrant, Reason::Expired))
    }
}

/// A refresh may ask for less than was granted, never for more (RFC 6749 6).
fn within<'a>(
    asked: Option<&'a ScopeSet>,
    claims: &RefreshTokenClaims,
) -> Result<Option<&'a ScopeSet>, Error> {
    match asked {
        Some(asked) if !asked.is_subset_of(&claims.scope) => {
            Err(Error::refused(ErrorCode::InvalidScope, Reason::ScopeNotGranted))
        }
        asked => Ok(asked),
    }
}
