//! Clients that no operator made: those that registered themselves, and those that a document describes.

use sea_orm::FromQueryResult;
use vouchsafe_protocol::Timestamp;

use super::row::{COLUMNS, Row};
use super::statements::{insert, replace};
use super::{Client, ClientOrigin};
use crate::backend::{Gate, Write, retrying};
use crate::code::end_codes;
use crate::device_code::forget_devices;
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

    /// Replaces what a client said of itself. What people allowed it as it was shown before is forgotten if it is shown
    /// otherwise now.
    ///
    /// # Errors
    /// [`StoreError::Stale`] when it was changed or removed since it was read; [`StoreError::Unavailable`],
    /// [`StoreError::Corrupt`].
    pub async fn update_registered_client(
        &self,
        client: &Client,
        read_at: Timestamp,
        audit: &AuditEntry,
    ) -> Result<(), StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            write.close_gate(Gate::Client(client.id.as_str())).await?;
            forget_if_another(&write, client).await?;
            let guard = format!("updated_at = {}", read_at.as_unix());
            if !replace(&write, client, &guard).await? {
                return Err(StoreError::Stale { what: "client" });
            }
            conclude(write, ChangeKind::Client, client.id.as_str(), audit).await
        })
        .await
    }

    /// Keeps what a document says of its client, laid over the row as it was `upon` that change, unless that changed
    /// since; one that an operator made or disabled is left alone. What people allowed it as it was shown before is forgotten if it is shown otherwise now.
    ///
    /// # Errors
    /// [`StoreError::Exists`] where it is left alone; [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn put_document_client(
        &self,
        client: &Client,
        upon: Option<Timestamp>,
        audit: &AuditEntry,
    ) -> Result<(), StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            write.close_gate(Gate::Client(client.id.as_str())).await?;
            forget_if_another(&write, client).await?;
            let replaced = match upon {
                Some(upon) => {
                    let guard = format!(
                        "origin = '{}' AND disabled_at IS NULL AND updated_at = {}",
                        ClientOrigin::Document.as_str(),
                        upon.as_unix()
                    );
                    replace(&write, client, &guard).await?
                }
                None => false,
            };
            if !replaced {
                insert(&write, client).await?;
            }
            conclude(write, ChangeKind::Client, client.id.as_str(), audit).await
        })
        .await
    }
}

/// Whether people are still shown what they were shown of a client, which then stays so until the commit.
pub(crate) async fn is_shown_as_before(write: &Write, client: &Client) -> Result<bool, StoreError> {
    let row = held(write, client.id.as_str(), write.for_share()).await?;
    Ok(row.is_some_and(|row| client.is_shown_as(&row)))
}

/// The row of a client, without its secrets.
async fn held(write: &Write, id: &str, lock: &str) -> Result<Option<Client>, StoreError> {
    let sql = format!("SELECT {} FROM client WHERE id = $1{lock}", COLUMNS.join(", "));
    let row: Option<Row> = one(&**write, &sql, [id.into()]).await?;
    row.map(|row| row.into_client(Vec::new())).transpose()
}

/// Forgets what people allowed a client, and ends what they decided and nobody redeemed yet, if it will be shown otherwise
/// than they saw it. Inside the caller's transaction, which closed the gate.
async fn forget_if_another(write: &Write, client: &Client) -> Result<(), StoreError> {
    let id = client.id.as_str();
    match held(write, id, write.for_update()).await? {
        Some(row) if !client.is_shown_as(&row) => {}
        _ => return Ok(()),
    }
    let sql = "DELETE FROM consent WHERE client_id = $1";
    execute(&**write, sql, [id.into()]).await?;
    let which = [("client_id", id)];
    end_codes(write, &which).await?;
    forget_devices(write, &which).await
}
