//! Tokens that let one client each register itself (RFC 7591 3): made here, shown once, kept as a digest.

use std::time::Duration;

use vouchsafe_protocol::SecretString;
use vouchsafe_store::NewRegistrationToken;

use super::AdminError;
use crate::audit::{Event, Remark, announce};
use crate::opaque::Opaque;
use crate::{Actor, Issuer};

const LONGEST_NOTE: usize = 200;

impl Issuer {
    /// Makes a token that lets one client register itself within `life`.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn create_registration_token(
        &self,
        note: Option<&str>,
        life: Duration,
        actor: &Actor,
    ) -> Result<SecretString, AdminError> {
        if note.is_some_and(|note| note.len() > LONGEST_NOTE) {
            return Err(AdminError::invalid("a note has 200 characters at most"));
        }
        let Opaque { token, hash } = Opaque::random(self.entropy());
        let now = self.now();
        let kept = NewRegistrationToken {
            hash,
            note: note.map(str::to_owned),
            created_at: now,
            expires_at: now.plus(life),
        };
        let audit = Remark::new(Event::RegistrationTokenCreated, actor, now)
            .with("seconds", life.as_secs())
            .entry();
        self.store.insert_registration_token(&kept, &audit).await?;
        announce(&audit);
        Ok(token)
    }
}
