//! Tokens: what one says and is worth, and the end of one, without being its client.

use serde_json::{Value, json};
use vouchsafe_jose::UnverifiedJws;
use vouchsafe_protocol::{SecretString, TYP_ACCESS_TOKEN, TYP_REFRESH_TOKEN};
use vouchsafe_verifier::RevocationIndex;

use super::AdminError;
use crate::{Actor, Issuer};

/// What an operator learns of a token.
#[derive(Clone, Debug)]
pub struct TokenReport {
    /// `access_token`, `refresh_token` or `unknown`.
    pub kind: &'static str,
    /// True when it would be accepted now.
    pub active: bool,
    /// Why not, or how it stands.
    pub state: String,
    /// Its claims, when its signature or MAC holds.
    pub claims: Value,
}

impl TokenReport {
    fn unknown() -> Self {
        Self {
            kind: "unknown",
            active: false,
            state: "not a token of this issuer".to_owned(),
            claims: Value::Null,
        }
    }
}

impl Issuer {
    /// Reads a token of ours. The token itself is neither stored nor logged.
    ///
    /// # Errors
    /// [`AdminError::Failed`].
    pub async fn inspect_token(&self, token: &SecretString) -> Result<TokenReport, AdminError> {
        let Ok(jws) = UnverifiedJws::parse(token.expose()) else {
            return Ok(TokenReport::unknown());
        };
        if jws.has_typ(TYP_ACCESS_TOKEN) {
            return self.inspect_access(token).await;
        }
        let Some(claims) = self
            .read_refresh_token(token.expose())
            .filter(|_| jws.has_typ(TYP_REFRESH_TOKEN))
        else {
            return Ok(TokenReport::unknown());
        };
        let family = self.store.family(&claims.sid).await?;
        let now = self.now();
        let state = match &family {
            None => "its family is gone".to_owned(),
            Some(family) => match family.ended {
                Some(ended) => format!("ended: {}", ended.reason.as_str()),
                None if family.is_over(now) => "expired".to_owned(),
                None if family.is_head(claims.seq, &claims.jti) => "live".to_owned(),
                None if claims.seq < family.seq => {
                    format!("replaced: the live token is number {}", family.seq)
                }
                // The store never made it: it lost a line.
                None => "ahead of the store".to_owned(),
            },
        };
        let claims = serde_json::to_value(&claims).unwrap_or(Value::Null);
        Ok(TokenReport {
            kind: "refresh_token",
            active: state == "live",
            state,
            claims,
        })
    }

    async fn inspect_access(&self, token: &SecretString) -> Result<TokenReport, AdminError> {
        self.must_be_current().await?;
        let (kind, now) = ("access_token", self.now());
        let live = self.verify_access(token.expose(), &self.view.index(), now);
        if let Some(verified) = live {
            let claims = serde_json::to_value(verified.claims()).unwrap_or(Value::Null);
            return Ok(TokenReport {
                kind,
                active: true,
                state: "live".to_owned(),
                claims,
            });
        }
        match self.verify_access(token.expose(), &RevocationIndex::new(), now) {
            Some(verified) => {
                let claims = serde_json::to_value(verified.claims()).unwrap_or(Value::Null);
                Ok(TokenReport {
                    kind,
                    active: false,
                    state: "revoked".to_owned(),
                    claims,
                })
            }
            None => Ok(TokenReport {
                kind,
                active: false,
                state: "expired or not ours".to_owned(),
                claims: json!(null),
            }),
        }
    }

    /// Ends a token: an access token itself, a refresh token its family. Says what was ended.
    ///
    /// # Errors
    /// [`AdminError::NotFound`] for what is no live token of ours; [`AdminError::Failed`].
    pub async fn revoke_token(
        &self,
        token: &SecretString,
        actor: &Actor,
    ) -> Result<&'static str, AdminError> {
        let now = self.now();
        if let Some(claims) = self.read_refresh_token(token.expose()) {
            self.revoke_session(&claims.sid, actor).await?;
            return Ok("refresh_token");
        }
        let verified = self.verify_to_revoke(token.expose(), now);
        let verified = verified.ok_or_else(|| AdminError::not_found("live token", "of this issuer"))?;
        self.must_be_current().await?;
        if self.view.index().is_revoked(verified.claims(), verified.kid()) {
            return Err(AdminError::not_found("live token", "of this issuer"));
        }
        self.end_access_token(verified.claims(), actor).await?;
        Ok("access_token")
    }
}
