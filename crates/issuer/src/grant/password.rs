//! The password grant (RFC 6749 4.3), for clients that have it switched on; RFC 9700 2.4 says why it is off.

use vouchsafe_protocol::{ErrorCode, Reason, ResourceUri, ScopeSet, SecretString};
use vouchsafe_store::Family;

use crate::audience::Target;
use crate::birth::Birth;
use crate::login::SignedIn;
use crate::mint::PersonGrant;
use crate::session::AMR_PASSWORD;
use crate::{Authenticated, Error, Issuer, TokenGrant};

impl Issuer {
    pub(crate) async fn password(
        &self,
        client: &Authenticated,
        (username, password): (&str, &SecretString),
        source: &str,
        scope: Option<&ScopeSet>,
        resource: Option<&ResourceUri>,
    ) -> Result<TokenGrant, Error> {
        let target = self.target(client, resource).await?;
        // What the client may not have is refused before a password is looked at.
        let bound = self.scope_for_person(client, &target, scope)?;
        self.must_be_able_to_grant(client, &target, &bound).await?;
        let person = self.sign_in(username, password, source).await?;
        let authority = self.authority_of(&person.subject).await?;
        let family = self.begin(client, &person, &target, bound).await?;
        let now = family.created_at;
        self.grant_to_person(PersonGrant {
            client,
            target: &target,
            family: &family,
            authority: &authority,
            asked: None,
            nonce: None,
            now,
        })
        .await
    }

    async fn begin(
        &self,
        client: &Authenticated,
        person: &SignedIn,
        target: &Target,
        scope: ScopeSet,
    ) -> Result<Family, Error> {
        let unborn = self.unborn(
            client,
            Birth {
                subject: person.subject.clone(),
                scope,
                audience: target.audience(),
                auth_time: self.now(),
                acr: None,
                amr: vec![AMR_PASSWORD.to_owned()],
                session_id: None,
                claims: None,
                password_hash: Some(person.password_hash.clone()),
                noted: ("amr", AMR_PASSWORD),
            },
        )?;
        if !self.store.begin_family(&unborn.new, &unborn.audit).await? {
            return Err(Error::refused(ErrorCode::InvalidGrant, Reason::BadPassword));
        }
        Ok(unborn.born())
    }
}
