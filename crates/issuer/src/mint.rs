//! Minting access tokens (RFC 9068 2): claims, lifetime, algorithm, signature.

use std::sync::atomic::Ordering;
use std::time::Duration;

use vouchsafe_protocol::failpoint::reach;
use vouchsafe_protocol::{
    AccessTokenClaims, Audience, ErrorCode, Jti, OPENID, Reason, ScopeSet, SigningAlgorithm, Subject,
    TYP_ACCESS_TOKEN, Timestamp,
};
use vouchsafe_store::{Client, Family};

use crate::audience::{Target, narrow};
use crate::authority::Authority;
use crate::id_token::IdTokenSpec;
use crate::token::{RefreshGrant, TokenGrant};
use crate::{Error, Issuer, LONGEST_ACCESS_TTL};

/// The person an access token speaks for.
#[derive(Clone, Copy)]
pub(crate) struct Person<'a> {
    pub(crate) family: &'a Family,
    /// As the client knows them.
    pub(crate) sub: &'a Subject,
    pub(crate) authority: &'a Authority,
}

/// Everything that decides an access token.
pub(crate) struct AccessSpec<'a> {
    pub(crate) client: &'a Client,
    pub(crate) target: &'a Target,
    pub(crate) scope: &'a ScopeSet,
    pub(crate) person: Option<Person<'a>>,
    pub(crate) now: Timestamp,
}

/// An access token and its life.
pub(crate) struct Minted {
    pub(crate) token: String,
    pub(crate) issued: Timestamp,
    pub(crate) expires: Timestamp,
    pub(crate) expires_in: Duration,
}

/// What a person granted to a client, as a token endpoint answers it.
pub(crate) struct PersonGrant<'a> {
    pub(crate) client: &'a Client,
    pub(crate) target: &'a Target,
    pub(crate) family: &'a Family,
    pub(crate) authority: &'a Authority,
    /// Fewer scopes than were granted.
    pub(crate) asked: Option<&'a ScopeSet>,
    /// What the ID token repeats of the authorization request.
    pub(crate) nonce: Option<&'a str>,
    pub(crate) now: Timestamp,
}

impl Issuer {
    /// An access token for a person, narrowed by their roles, and the live refresh token of their family.
    pub(crate) async fn grant_to_person(&self, grant: PersonGrant<'_>) -> Result<TokenGrant, Error> {
        let PersonGrant {
            client,
            target,
            family,
            authority,
            asked,
            nonce,
            now,
        } = grant;
        // The row may narrow what the token said, never widen it.
        let bound = asked.map_or_else(|| family.scope.clone(), |asked| asked.intersection(&family.scope));
        let here = match family.audience.as_slice() {
            // What was granted for another audience is no business of this one.
            [_, _, ..] => self.scope_at_target(client, &bound, target),
            _ => bound,
        };
        let scope = narrow(&here, target, authority);
        let sub = &self.sub_for(client, &family.subject).await?;
        let person = Some(Person {
            family,
            sub,
            authority,
        });
        let minted = self
            .mint_access(&AccessSpec {
                client,
                target,
                scope: &scope,
                person,
                now,
            })
            .await?;
        let id_token = self
            .id_token(&IdTokenSpec {
                client,
                family,
                sub,
                scope: &scope,
                nonce,
                beside: &minted,
            })
            .await?;
        let refresh = self.refresh_grant(family, now)?;
        Ok(TokenGrant {
            access_token: minted.token,
            expires_in: minted.expires_in,
            scope,
            id_token,
            refresh,
        })
    }

    /// The refresh token of a family as it stands: the same row gives the same token.
    fn refresh_grant(&self, family: &Family, now: Timestamp) -> Result<Option<RefreshGrant>, Error> {
        if !family.refreshable {
            return Ok(None);
        }
        let token = self.seal_refresh_token(family)?;
        let expires_in = family.ends_at().since(now);
        Ok(Some(RefreshGrant { token, expires_in }))
    }

    /// Signs an access token. A view of revocations beyond its lease signs nothing (K10).
    pub(crate) async fn mint_access(&self, spec: &AccessSpec<'_>) -> Result<Minted, Error> {
        let subject = spec.person.map(|person| person.family.subject.as_str());
        let issued = self.issue_instant(spec, subject).await?;
        self.newest_iat.fetch_max(issued.as_unix(), Ordering::AcqRel);
        let expires = self.access_end(spec, issued);
        let family = spec.person.map(|person| person.family);
        let claims = AccessTokenClaims {
            iss: self.config.issuer.to_string(),
            sub: match spec.person {
                Some(person) => person.sub.to_string(),
                None => spec.client.id.to_string(),
            },
            aud: Audience::One(match spec.target.resource() {
                Some(resource) => resource.uri.to_string(),
                None => self.config.issuer.to_string(),
            }),
            client_id: spec.client.id.clone(),
            scope: spec.scope.clone(),
            iat: issued,
            exp: expires,
            jti: Jti::random(self.entropy()),
            sid: family.map(|family| family.id.clone()),
            auth_time: family.map(|family| family.auth_time),
            acr: family.and_then(|family| family.acr.clone()),
            amr: family.map(|family| family.amr.clone()),
            roles: spec
                .person
                .map(|person| person.authority.roles.iter().map(ToString::to_string).collect()),
        };
        let ring = self.keys.load();
        let signer = ring
            .signer(self.algorithm_of(spec.client, spec.target), self.now())
            .ok_or(Error::NoSigningKey)?;
        reach("token.before_sign");
        let token = signer.sign(TYP_ACCESS_TOKEN, &claims)?;
        Ok(Minted {
            token,
            issued,
            expires,
            expires_in: expires.since(spec.now),
        })
    }

    /// Now, or the second after a revocation that covers this one, so that a token is not born dead. Whom such a
    /// revocation covers is looked up again: what it ended must not slip past it.
    async fn issue_instant(&self, spec: &AccessSpec<'_>, subject: Option<&str>) -> Result<Timestamp, Error> {
        self.must_be_current().await?;
        self.must_agree_on_time()?;
        let earliest = self.view.index().earliest_iat(subject, spec.client.id.as_str());
        let Some(later) = earliest.filter(|earliest| *earliest > spec.now) else {
            return Ok(spec.now);
        };
        let client = self.store.client(&spec.client.id).await?;
        if client.is_none_or(|client| client.disabled_at.is_some()) {
            return Err(Error::refused(ErrorCode::InvalidClient, Reason::BadCredentials));
        }
        if let Some(person) = spec.person {
            let family = self.store.family(&person.family.id).await?;
            if family.is_none_or(|family| family.ended.is_some()) {
                return Err(Error::refused(ErrorCode::InvalidGrant, Reason::Revoked));
            }
        }
        // A second ahead is what verifiers bear; a client that was let in again just now waits for more.
        if later > spec.now.plus(Duration::from_secs(1)) {
            Err(Error::TooSoon)
        } else {
            Ok(later)
        }
    }

    /// Refuses before anything changes what could not be signed after it.
    pub(crate) async fn must_be_able_to_grant(
        &self,
        client: &Client,
        target: &Target,
        scope: &ScopeSet,
    ) -> Result<(), Error> {
        self.must_be_current().await?;
        self.must_agree_on_time()?;
        self.active_mac_kid()?;
        let (ring, now) = (self.keys.load(), self.now());
        let mut needed = vec![self.algorithm_of(client, target)];
        if scope.contains(OPENID) {
            needed.push(self.id_token_algorithm_of(client));
        }
        let can_sign = |algorithm: &SigningAlgorithm| ring.signer(*algorithm, now).is_some();
        needed
            .iter()
            .all(can_sign)
            .then_some(())
            .ok_or(Error::NoSigningKey)
    }

    /// The shorter of what client and resource say, never beyond the maximum nor beyond the family's end.
    fn access_end(&self, spec: &AccessSpec<'_>, issued: Timestamp) -> Timestamp {
        let own = [
            spec.client.access_ttl,
            spec.target.resource().and_then(|resource| resource.access_ttl),
        ];
        let shortest = own
            .into_iter()
            .flatten()
            .filter_map(|ttl| u64::try_from(ttl).ok())
            .min();
        let ttl = shortest
            .map_or(self.config.access_ttl, Duration::from_secs)
            .min(self.config.max_access_ttl)
            .min(LONGEST_ACCESS_TTL);
        let end = issued.plus(ttl);
        spec.person
            .map_or(end, |person| end.min(person.family.absolute_expires_at))
    }

    fn algorithm_of(&self, client: &Client, target: &Target) -> SigningAlgorithm {
        let of_resource = target.resource().and_then(|resource| resource.signing_algorithm);
        of_resource
            .or(client.signing_algorithm)
            .unwrap_or(self.config.default_algorithm)
    }
}
