//! The authorization code grant (RFC 6749 4.1.3, RFC 7636 4.6): a code for whom it was issued to, with what it was issued
//! for, once.

use std::time::Duration;

use vouchsafe_protocol::{CodeVerifier, Reason, ResourceUri, SecretString};
use vouchsafe_store::{Code, Family, FoundCode, RevokeReason};

use super::invalid;
use crate::birth::Birth;
use crate::config::CLOCKS_APART;
use crate::mint::PersonGrant;
use crate::opaque::hash_of;
use crate::{Actor, Authenticated, Error, Issuer, TokenGrant};

/// A client that lost the answer may ask again within this long and is not taken for a thief; it gets no second answer.
const LOST_ANSWER: Duration = Duration::from_secs(20);

/// What a client presents.
#[derive(Clone, Copy)]
pub(crate) struct PresentedCode<'a> {
    pub(crate) code: &'a SecretString,
    pub(crate) redirect_uri: Option<&'a str>,
    pub(crate) verifier: Option<&'a SecretString>,
    pub(crate) resource: Option<&'a ResourceUri>,
}

impl Issuer {
    pub(crate) async fn authorization_code(
        &self,
        client: &Authenticated,
        presented: PresentedCode<'_>,
    ) -> Result<TokenGrant, Error> {
        let found = self.store.code(&hash_of(presented.code.expose())).await?;
        let found = found.ok_or(invalid(Reason::UnknownToken))?;
        issued_to(client, &found.code)?;
        self.not_redeemed(client, &found, presented).await?;
        let code = &found.code;
        self.not_expired(code).await?;
        same_redirect_uri(client, code, presented.redirect_uri)?;
        proves_the_key(code, presented.verifier)?;
        let target = self
            .target_of_grant(client, &code.audience, presented.resource)
            .await?;
        self.still_held(client, &code.audience, &code.scope)?;
        self.must_be_able_to_grant(client, &target, &code.scope).await?;
        let authority = self.authority_of(&code.subject).await?;
        let family = self.redeem(client, code).await?;
        let now = family.created_at;
        self.grant_to_person(PersonGrant {
            client,
            target: &target,
            family: &family,
            authority: &authority,
            asked: None,
            nonce: code.nonce.as_deref(),
            now,
        })
        .await
    }

    /// A code that comes back ends what it led to (RFC 6749 4.1.2), unless its own client just lost the answer.
    async fn not_redeemed(
        &self,
        client: &Authenticated,
        found: &FoundCode,
        presented: PresentedCode<'_>,
    ) -> Result<(), Error> {
        let Some((at, family)) = &found.redeemed else {
            return Ok(());
        };
        let fits = same_redirect_uri(client, &found.code, presented.redirect_uri).is_ok()
            && proves_the_key(&found.code, presented.verifier).is_ok();
        let just_now = self.now().since(*at) <= LOST_ANSWER;
        tracing::warn!(
            event = "code_reuse_detected",
            client_id = client.id.as_str(),
            sid = family.as_str(),
            lost_answer = fits && just_now
        );
        if !(fits && just_now) {
            self.end_family(
                family,
                RevokeReason::CodeReused,
                &Actor::Client(client.id.clone()),
                Some(&client.id),
            )
            .await?;
        }
        Err(invalid(Reason::Reused))
    }

    /// A code that came late never holds again, also when the clock steps back.
    async fn not_expired(&self, code: &Code) -> Result<(), Error> {
        let now = self.now();
        if now >= code.expires_at {
            // Once: whoever asks on costs no writes.
            if code.expires_at > code.created_at {
                self.store.end_code(&code.hash).await?;
            }
            return Err(invalid(Reason::Expired));
        }
        if now.plus(CLOCKS_APART) < code.created_at {
            return Err(invalid(Reason::Expired));
        }
        Ok(())
    }

    async fn redeem(&self, client: &Authenticated, code: &Code) -> Result<Family, Error> {
        let unborn = self.unborn(
            client,
            Birth {
                subject: code.subject.clone(),
                scope: code.scope.clone(),
                audience: code.audience.clone(),
                auth_time: code.auth_time,
                acr: code.acr.clone(),
                amr: code.amr.clone(),
                session_id: Some(code.session_id.clone()),
                claims: code.claims.clone(),
                password_hash: None,
                noted: ("grant", "authorization_code"),
            },
        )?;
        let redeemed = self.store.redeem_code(code, &unborn.new, &unborn.audit).await?;
        unborn.redeemed(redeemed)
    }
}

fn issued_to(client: &Authenticated, code: &Code) -> Result<(), Error> {
    if code.client_id == client.id {
        return Ok(());
    }
    tracing::warn!(event = "code_client_mismatch", client_id = client.id.as_str());
    Err(invalid(Reason::ClientMismatch))
}

/// The redirect URI of the request, byte for byte; where the request left it out, it may be left out here too.
fn same_redirect_uri(client: &Authenticated, code: &Code, presented: Option<&str>) -> Result<(), Error> {
    let same = match (&code.redirect_uri, presented) {
        (Some(named), Some(presented)) => named == presented,
        (Some(_), None) => false,
        (None, None) => true,
        (None, Some(presented)) => client.redirect_uris.iter().any(|uri| uri == presented),
    };
    if same {
        Ok(())
    } else {
        Err(invalid(Reason::CodeMismatch))
    }
}

/// PKCE: a verifier where there is a challenge, and none where there is none (RFC 9700 2.1.1).
fn proves_the_key(code: &Code, verifier: Option<&SecretString>) -> Result<(), Error> {
    let proves = match (&code.code_challenge, verifier) {
        (Some(challenge), Some(verifier)) => CodeVerifier::parse(verifier.clone())
            .is_some_and(|verifier| hash_of(verifier.expose()) == *challenge),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    if proves {
        Ok(())
    } else {
        Err(invalid(Reason::BadVerifier))
    }
}
