//! Introspection (RFC 7662): access tokens from memory, refresh tokens from the store, and only to whom they concern.

use vouchsafe_jose::UnverifiedJws;
use vouchsafe_protocol::{
    AccessTokenClaims, ErrorCode, Reason, RefreshTokenClaims, SecretString, TYP_ACCESS_TOKEN,
    TYP_REFRESH_TOKEN, Timestamp,
};
use vouchsafe_store::Family;
use vouchsafe_verifier::RevocationIndex;

use crate::{Authenticated, Error, Issuer};

/// What the caller learns.
#[derive(Clone, Debug)]
pub enum Introspection {
    /// Nothing but that.
    Inactive,
    /// The token lives, and the caller may know it.
    Active(Box<ActiveToken>),
}

/// What is said of a live token (RFC 7662 2.2).
#[derive(Clone, Debug)]
pub enum ActiveToken {
    /// An access token.
    Access(AccessTokenClaims),
    /// A refresh token, and when it ends unless it is used.
    Refresh {
        /// Its claims.
        claims: RefreshTokenClaims,
        /// The person.
        subject: String,
        /// When it ends unless it is used.
        expires: Timestamp,
    },
}

impl Issuer {
    /// Answers what a token is worth now. The caller must hold a secret.
    ///
    /// # Errors
    /// `invalid_client` for a public client; [`Error::StaleView`] rather than an answer that may be wrong; the store's.
    pub async fn introspect(
        &self,
        caller: &Authenticated,
        token: &SecretString,
    ) -> Result<Introspection, Error> {
        if !caller.is_confidential() {
            return Err(Error::refused(
                ErrorCode::InvalidClient,
                Reason::PublicClientNotAllowed,
            ));
        }
        let Ok(jws) = UnverifiedJws::parse(token.expose()) else {
            return Ok(Introspection::Inactive);
        };
        if jws.has_typ(TYP_ACCESS_TOKEN) {
            self.introspect_access(caller, token.expose()).await
        } else if jws.has_typ(TYP_REFRESH_TOKEN) {
            self.introspect_refresh(caller, token.expose()).await
        } else {
            Ok(Introspection::Inactive)
        }
    }

    async fn introspect_access(&self, caller: &Authenticated, token: &str) -> Result<Introspection, Error> {
        // What nobody signed, or what is not the caller's affair, costs no look at the log.
        let Some(verified) = self.verify_access(token, &RevocationIndex::new(), self.now()) else {
            return Ok(Introspection::Inactive);
        };
        let claims = verified.claims();
        if claims.client_id != caller.id && !self.serves(caller, claims) {
            return Ok(Introspection::Inactive);
        }
        self.must_be_current().await?;
        if self.view.index().is_revoked(claims, verified.kid()) {
            return Ok(Introspection::Inactive);
        }
        Ok(Introspection::Active(Box::new(ActiveToken::Access(
            claims.clone(),
        ))))
    }

    /// True when the caller is the resource server of the token's audience.
    fn serves(&self, caller: &Authenticated, claims: &AccessTokenClaims) -> bool {
        let catalog = self.catalog.load();
        claims.aud.iter().any(|audience| {
            let server = catalog
                .resource(audience)
                .and_then(|resource| resource.server_client_id.as_ref());
            server == Some(&caller.id)
        })
    }

    async fn introspect_refresh(&self, caller: &Authenticated, token: &str) -> Result<Introspection, Error> {
        let Some(claims) = self
            .read_refresh_token(token)
            .filter(|claims| claims.client_id == caller.id)
        else {
            return Ok(Introspection::Inactive);
        };
        self.must_have_its_past()?;
        let now = self.now();
        let family = self.store.family(&claims.sid).await?;
        let Some(family) = family.filter(|family| is_live(family, &claims, now)) else {
            return Ok(Introspection::Inactive);
        };
        Ok(Introspection::Active(Box::new(ActiveToken::Refresh {
            claims,
            subject: self.sub_for(caller, &family.subject).await?.to_string(),
            expires: family.ends_at(),
        })))
    }
}

/// True when the token is the live head of its family.
fn is_live(family: &Family, claims: &RefreshTokenClaims, now: Timestamp) -> bool {
    family.client_id == claims.client_id
        && family.ended.is_none()
        && family.is_head(claims.seq, &claims.jti)
        && !family.is_over(now)
}
