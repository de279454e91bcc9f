//! Sessions: the refresh-token families of people, listed and ended by family, person or client.

use vouchsafe_protocol::{ClientId, FamilyId, RevocationKind};
use vouchsafe_store::{FamilyFilter, FamilySummary, RevokeReason};

use super::AdminError;
use crate::audit::{Event, Remark};
use crate::{Actor, Issuer};

/// Which families are meant.
#[derive(Clone, Debug, Default)]
pub struct SessionQuery {
    /// Those of this person, by name or subject.
    pub user: Option<String>,
    /// Those of this client.
    pub client_id: Option<ClientId>,
    /// Also those that ended.
    pub ended_too: bool,
}

impl Issuer {
    /// The newest `limit` families, newest first.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn list_sessions(
        &self,
        query: &SessionQuery,
        limit: u32,
    ) -> Result<Vec<FamilySummary>, AdminError> {
        let subject = match &query.user {
            Some(name) => Some(self.show_user(name).await?.subject),
            None => None,
        };
        let filter = FamilyFilter {
            subject,
            client_id: query.client_id.clone(),
            ended_too: query.ended_too,
        };
        Ok(self.store.families(&filter, self.now(), limit).await?)
    }

    /// Ends one family and its access tokens.
    ///
    /// # Errors
    /// [`AdminError::NotFound`] when there is none alive; [`AdminError::Failed`].
    pub async fn revoke_session(&self, sid: &FamilyId, actor: &Actor) -> Result<(), AdminError> {
        if self.end_family(sid, RevokeReason::Operator, actor, None).await? {
            Ok(())
        } else {
            Err(AdminError::not_found("live session", sid))
        }
    }

    /// Ends every family of a person and every access token issued to them up to now; says how many families.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn revoke_sessions_of_user(&self, name: &str, actor: &Actor) -> Result<u64, AdminError> {
        let now = self.now();
        let subject = self.show_user(name).await?.subject;
        let revocation = self.revocation(RevocationKind::Subject, subject.as_str(), now);
        let audit = Remark::new(Event::FamilyRevoked, actor, now)
            .subject(&subject)
            .entry();
        let ended = self.store.revoke_subject(&subject, &revocation, &audit).await?;
        self.concluded(&audit).await?;
        Ok(ended)
    }

    /// Ends every family of a client and every access token issued to it up to now; says how many families.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn revoke_sessions_of_client(&self, id: &ClientId, actor: &Actor) -> Result<u64, AdminError> {
        let now = self.now();
        self.show_client(id).await?;
        let revocation = self.revocation(RevocationKind::Client, id.as_str(), now);
        let audit = Remark::new(Event::FamilyRevoked, actor, now).client(id).entry();
        let ended = self.store.revoke_client(id, &revocation, &audit).await?;
        self.concluded(&audit).await?;
        Ok(ended)
    }
}
