//! Secrets of clients, each kept as a MAC; its key is named, never stored beside it.

use std::time::Duration;

use sea_orm::{ConnectionTrait, FromQueryResult};
use vouchsafe_protocol::{ClientId, Kid, Timestamp};

use crate::backend::retrying;
use crate::log::conclude;
use crate::sql::{Cell, all, execute, instant};
use crate::{AuditEntry, ChangeKind, Store, StoreError};

/// One live secret, as a MAC.
#[derive(Clone)]
pub struct ClientSecret {
    /// Names the secret; no part of it.
    pub id: String,
    /// The key of the MAC.
    pub mac_kid: Kid,
    /// HMAC-SHA-256 of the secret.
    pub mac: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
}

impl std::fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientSecret")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// A secret to be stored.
pub type NewSecret = ClientSecret;

#[derive(FromQueryResult)]
struct SecretRow {
    id: String,
    mac_kid: String,
    mac: Vec<u8>,
    created_at: i64,
    expires_at: Option<i64>,
}

impl SecretRow {
    fn into_secret(self) -> Result<ClientSecret, StoreError> {
        Ok(ClientSecret {
            mac_kid: Cell {
                table: "client_secret",
                column: "mac_kid",
                id: &self.id,
            }
            .parse(&self.mac_kid)?,
            id: self.id,
            mac: self.mac,
            created_at: instant(self.created_at),
            expires_at: self.expires_at.map(instant),
        })
    }
}

/// The live secrets of a client, newest first, inside the caller's transaction.
pub(crate) async fn secrets_of(
    db: &impl ConnectionTrait,
    id: &ClientId,
) -> Result<Vec<ClientSecret>, StoreError> {
    let sql = "SELECT id, mac_kid, mac, created_at, expires_at FROM client_secret WHERE client_id = $1 \
               ORDER BY created_at DESC, id";
    let rows: Vec<SecretRow> = all(db, sql, [id.as_str().into()]).await?;
    rows.into_iter().map(SecretRow::into_secret).collect()
}

/// Adds a secret inside the caller's transaction.
pub(crate) async fn insert_secret(
    db: &impl ConnectionTrait,
    id: &ClientId,
    secret: &NewSecret,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO client_secret (id, client_id, mac_kid, mac, created_at, expires_at) \
               VALUES ($1, $2, $3, $4, $5, $6)";
    let values = [
        secret.id.clone().into(),
        id.as_str().into(),
        secret.mac_kid.as_str().into(),
        secret.mac.clone().into(),
        secret.created_at.as_unix().into(),
        secret.expires_at.map(Timestamp::as_unix).into(),
    ];
    execute(db, sql, values).await.map(drop)
}

impl Store {
    /// Adds a secret; of the older ones the newest `keep_older` stay, the others stop working at once.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Unavailable`].
    pub async fn rotate_client_secret(
        &self,
        id: &ClientId,
        secret: &NewSecret,
        keep_older: usize,
        audit: &AuditEntry,
    ) -> Result<(), StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            let sql = "UPDATE client SET updated_at = updated_at WHERE id = $1";
            if execute(&*write, sql, [id.as_str().into()]).await? == 0 {
                return Err(StoreError::NotFound { what: "client" });
            }
            let before = secrets_of(&*write, id).await?;
            // Two secrets of one second still have an order.
            let newest = before
                .first()
                .map(|newest| newest.created_at.plus(Duration::from_secs(1)));
            let created_at = newest.map_or(secret.created_at, |after| secret.created_at.max(after));
            let secret = &NewSecret {
                created_at,
                ..secret.clone()
            };
            for older in before.iter().skip(keep_older) {
                execute(
                    &*write,
                    "DELETE FROM client_secret WHERE id = $1",
                    [older.id.clone().into()],
                )
                .await?;
            }
            insert_secret(&*write, id, secret).await?;
            conclude(write, ChangeKind::Client, id.as_str(), audit).await
        })
        .await
    }
}
