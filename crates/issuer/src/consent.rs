//! Consent: when a person is asked, when what they allowed before is enough, and taking it back.

use vouchsafe_protocol::{ClientId, RevocationKind, Subject, redirect_uri};
use vouchsafe_store::{Client, Consent};

use crate::audit::{Event, Remark, announce};
use crate::{Actor, Error, Issuer};

/// Whether what was allowed before does not count: nobody vouches for the client, and whoever listens on the person's own
/// machine may be another program than the last time (RFC 8252 8.6).
pub(crate) fn must_be_asked_each_time(client: &Client, redirect_to: &str) -> bool {
    let own_scheme = !redirect_to.starts_with("https:") && !redirect_to.starts_with("http:");
    client.is_stranger() && (own_scheme || redirect_uri::is_loopback(redirect_to))
}

impl Issuer {
    /// Whether a person allowed at least this before.
    pub(crate) async fn is_allowed(&self, asked: &Consent) -> Result<bool, Error> {
        let before = self
            .store
            .consent(&asked.subject, &asked.client_id, &asked.audience)
            .await?;
        Ok(before.is_some_and(|before| asked.scope.is_subset_of(&before.scope)))
    }

    /// Takes back all that a person allowed a client, and ends its sessions for them; says how many ended.
    ///
    /// # Errors
    /// The store's; [`Error::StateRollback`].
    pub async fn withdraw_consent(&self, subject: &Subject, client_id: &ClientId) -> Result<u64, Error> {
        self.must_have_its_past()?;
        let now = self.now();
        let audit = Remark::new(Event::ConsentWithdrawn, &Actor::User(subject.clone()), now)
            .client(client_id)
            .subject(subject)
            .entry();
        // Each family is named by itself.
        let revocation = self.revocation(RevocationKind::Session, "", now);
        let ended = self
            .store
            .withdraw_consent(subject, client_id, &revocation, &audit)
            .await?;
        announce(&audit);
        self.follow().await?;
        Ok(ended)
    }
}
