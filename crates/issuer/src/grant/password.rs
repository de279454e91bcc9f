//! The password grant (RFC 6749 4.3), for clients that have it switched on; RFC 9700 2.4 says why it is off.

use vouchsafe_protocol::{ErrorCode, FamilyId, Reason, ResourceUri, ScopeSet, SecretString};
use vouchsafe_store::{Family, NewFamily};

use crate::audience::Target;
use crate::audit::{Event, Remark, announce};
use crate::login::SignedIn;
use crate::mint::{Birth, PersonGrant};
use crate::session::AMR_PASSWORD;
use crate::{Actor, Authenticated, Error, Issuer, TokenGrant};

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
        let now = self.now();
        let birth = Birth {
            id: FamilyId::random(self.entropy()),
            subject: person.subject.clone(),
            scope,
            audience: target.audience(),
            auth_time: now,
            acr: None,
            amr: vec![AMR_PASSWORD.to_owned()],
            session_id: None,
            claims: None,
        };
        let family = self.unborn_family(client, birth, now)?;
        let audit = Remark::new(Event::FamilyBegun, &Actor::User(person.subject.clone()), now)
            .client(&client.id)
            .subject(&person.subject)
            .family(&family.id)
            .with("amr", AMR_PASSWORD)
            .entry();
        let new = NewFamily {
            family,
            password_hash: Some(person.password_hash.clone()),
        };
        if !self.store.begin_family(&new, &audit).await? {
            return Err(Error::refused(ErrorCode::InvalidGrant, Reason::BadPassword));
        }
        announce(&audit);
        Ok(new.family)
    }
}
