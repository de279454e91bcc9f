//! What is said of a person beyond their account: claims for clients to be told.

use vouchsafe_protocol::Subject;

use crate::backend::retrying;
use crate::log::conclude;
use crate::sql::{execute, json};
use crate::{AuditEntry, ChangeKind, Store, StoreError};

/// What is said of a person in the words of OpenID Connect Core 5.1: names of claims and their values.
pub type Profile = serde_json::Map<String, serde_json::Value>;

impl Store {
    /// Replaces what is said of a person.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Unavailable`].
    pub async fn set_profile(
        &self,
        subject: &Subject,
        (email, email_verified): (Option<&str>, bool),
        profile: &Profile,
        audit: &AuditEntry,
    ) -> Result<(), StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            let sql = "UPDATE user_account SET email = $2, email_verified = $3, profile = $4, updated_at = $5 \
                       WHERE subject = $1";
            let values = [
                subject.as_str().into(),
                email.map(str::to_owned).into(),
                i64::from(email_verified).into(),
                json(profile),
                audit.at.as_unix().into(),
            ];
            if execute(&*write, sql, values).await? == 0 {
                return Err(StoreError::NotFound { what: "user" });
            }
            conclude(write, ChangeKind::User, subject.as_str(), audit).await
        })
        .await
    }
}
