//! Clients that no operator made: those that registered themselves, and those that a document describes.

use sea_orm::FromQueryResult;
use vouchsafe_protocol::Timestamp;

use super::statements::{insert, replace};
use super::{Client, ClientOrigin};
use crate::backend::retrying;
use crate::log::conclude;
use crate::sql::{execute, one};
use crate::{AuditEntry, ChangeKind, Store, StoreError};

/// A token that lets one client register itself (RFC 7591 3).
#[derive(Clone, Debug)]
pub struct NewRegistrationToken {
    /// A digest of it.
    pub hash: String,
    /// What an operator noted.
    pub note: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl Store {
    /// Adds a token that lets one client register itself.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn insert_registration_token(
        &self,
        token: &NewRegistrationToken,
        audit: &AuditEntry,
    ) -> Result<(), StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            let sql = "INSERT INTO registration_token (token, note, created_at, expires_at) VALUES ($1, $2, $3, $4)";
            let values = [
                token.hash.clone().into(),
                token.note.clone().into(),
                token.created_at.as_unix().into(),
                token.expires_at.as_unix().into(),
            ];
            execute(&*write, sql, values).await?;
            crate::audit::write(&*write, audit).await?;
            write.commit().await
        })
        .await
    }

    /// Whether a token would let a client register itself now; only its use decides.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn has_registration_token(&self, token: &str, now: Timestamp) -> Result<bool, StoreError> {
        #[derive(FromQueryResult)]
        struct Found {
            #[expect(dead_code, reason = "that there is a row is all that is asked")]
            token: String,
        }
        let sql =
            "SELECT token FROM registration_token WHERE token = $1 AND used_at IS NULL AND expires_at > $2";
        let found: Option<Found> = one(self.db.reader(), sql, [token.into(), now.as_unix().into()]).await?;
        Ok(found.is_some())
    }

    /// Adds a client that registers itself. With a token, only if that was not used before and has not ended: it is used
    /// up then; else false, and nothing is written.
    ///
    /// # Errors
    /// [`StoreError::Exists`], [`StoreError::Unavailable`].
    pub async fn insert_registered_client(
        &self,
        client: &Client,
        token: Option<&str>,
        audit: &AuditEntry,
    ) -> Result<bool, StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            if let Some(token) = token {
                let sql = "UPDATE registration_token SET used_at = $2 \
                           WHERE token = $1 AND used_at IS NULL AND expires_at > $2";
                let values = [token.into(), client.created_at.as_unix().into()];
                if execute(&*write, sql, values).await? == 0 {
                    return Ok(false);
                }
            }
            insert(&write, client).await?;
            conclude(write, ChangeKind::Client, client.id.as_str(), audit).await?;
            Ok(true)
        })
        .await
    }

    /// Keeps what a document says of its client; one that an operator made is left alone.
    ///
    /// # Errors
    /// [`StoreError::Exists`] for the id of another kind of client; [`StoreError::Unavailable`].
    pub async fn put_document_client(&self, client: &Client, audit: &AuditEntry) -> Result<(), StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            let guard = format!(
                "origin = '{}' AND disabled_at IS NULL",
                ClientOrigin::Document.as_str()
            );
            if !replace(&write, client, &guard).await? {
                // Known anew, it has its time again to lead to a sign-in.
                let made = Client {
                    created_at: client.updated_at,
                    ..client.clone()
                };
                insert(&write, &made).await?;
            }
            conclude(write, ChangeKind::Client, client.id.as_str(), audit).await
        })
        .await
    }
}
