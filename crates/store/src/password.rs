//! Passwords: kept as hashes; a new one ends what was granted under the one before.

use vouchsafe_protocol::{SecretString, Subject};

use crate::backend::{Gate, Write, retrying};
use crate::family::end_of_subject;
use crate::log::conclude;
use crate::session::hold_session;
use crate::sign_in::forget_attempts;
use crate::sql::execute;
use crate::{AuditEntry, ChangeKind, NewRevocation, RevokeReason, Store, StoreError};

impl Store {
    /// Sets a new password, ends everything that was granted under the old one, and forgets the failed sign-ins counted
    /// under `attempts`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Unavailable`].
    pub async fn set_password(
        &self,
        subject: &Subject,
        hash: &SecretString,
        attempts: &str,
        revocation: &NewRevocation,
        audit: &AuditEntry,
    ) -> Result<(), StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            write.close_gate(Gate::User(subject.as_str())).await?;
            let sql = "UPDATE user_account SET password_hash = $2, updated_at = $3 WHERE subject = $1";
            let values = [
                subject.as_str().into(),
                hash.expose().into(),
                audit.at.as_unix().into(),
            ];
            if execute(&*write, sql, values).await? == 0 {
                return Err(StoreError::NotFound { what: "user" });
            }
            self.conclude_password(write, subject, attempts, revocation, audit)
                .await
        })
        .await
    }

    /// Replaces the password of whoever is signed in and proved the one before: unless it was replaced, the person locked or
    /// the session ended meanwhile, which then holds: false, and nothing is written.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn replace_own_password(
        &self,
        (subject, session_id): (&Subject, &str),
        (old, new): (&SecretString, &SecretString),
        attempts: &str,
        revocation: &NewRevocation,
        audit: &AuditEntry,
    ) -> Result<bool, StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            write.close_gate(Gate::User(subject.as_str())).await?;
            let sql = "UPDATE user_account SET password_hash = $2, updated_at = $3 \
                       WHERE subject = $1 AND password_hash = $4 AND locked_at IS NULL";
            let values = [
                subject.as_str().into(),
                new.expose().into(),
                audit.at.as_unix().into(),
                old.expose().into(),
            ];
            let good = execute(&*write, sql, values).await? == 1
                && hold_session(&write, session_id, audit.at).await?;
            if !good {
                return Ok(false);
            }
            self.conclude_password(write, subject, attempts, revocation, audit)
                .await?;
            Ok(true)
        })
        .await
    }

    /// Ends what was granted under the password before, and commits.
    async fn conclude_password(
        &self,
        write: Write,
        subject: &Subject,
        attempts: &str,
        revocation: &NewRevocation,
        audit: &AuditEntry,
    ) -> Result<(), StoreError> {
        forget_attempts(&*write, attempts).await?;
        let stamp = || self.stamped(revocation);
        end_of_subject(&write, subject, stamp, RevokeReason::PasswordChanged).await?;
        conclude(write, ChangeKind::User, subject.as_str(), audit).await
    }

    /// Replaces a hash by one of the same password at a higher cost, unless it was replaced meanwhile: then
    /// false, and nothing is written.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn rehash_password(
        &self,
        subject: &Subject,
        old: &SecretString,
        new: &SecretString,
    ) -> Result<bool, StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            let sql = "UPDATE user_account SET password_hash = $3 WHERE subject = $1 AND password_hash = $2";
            let values = [subject.as_str().into(), old.expose().into(), new.expose().into()];
            let replaced = execute(&*write, sql, values).await? == 1;
            write.commit().await?;
            Ok(replaced)
        })
        .await
    }
}
