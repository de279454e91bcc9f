//! Clients in the database: read, added, changed, removed.

use vouchsafe_protocol::{ClientId, Timestamp};

use super::Client;
use super::row::{COLUMNS, Row, values_of};
use crate::backend::{Gate, Write, retrying};
use crate::client_secret::{insert_secret, secrets_of};
use crate::family::end_of_client;
use crate::log::conclude;
use crate::sql::{all, execute, one, placeholders};
use crate::{AuditEntry, ChangeKind, NewRevocation, RevokeReason, Store, StoreError};

/// Adds the row and its secrets inside the caller's transaction.
pub(super) async fn insert(write: &Write, client: &Client) -> Result<(), StoreError> {
    let sql = format!(
        "INSERT INTO client ({}) VALUES ({})",
        COLUMNS.join(", "),
        placeholders(1, COLUMNS.len())
    );
    execute(&**write, &sql, values_of(client))
        .await
        .map_err(|error| error.or_exists("client"))?;
    for secret in &client.secrets {
        insert_secret(&**write, &client.id, secret).await?;
    }
    Ok(())
}

/// Replaces every column of the row that `guard` lets through, inside the caller's transaction; says whether it did.
pub(super) async fn replace(write: &Write, client: &Client, guard: &str) -> Result<bool, StoreError> {
    let set: Vec<String> = (2..)
        .zip(COLUMNS.iter().skip(1))
        .map(|(number, column)| format!("{column} = ${number}"))
        .collect();
    let sql = format!("UPDATE client SET {} WHERE id = $1 AND {guard}", set.join(", "));
    Ok(execute(&**write, &sql, values_of(client)).await? == 1)
}

impl Store {
    /// One client with its secrets, or none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn client(&self, id: &ClientId) -> Result<Option<Client>, StoreError> {
        let sql = format!("SELECT {} FROM client WHERE id = $1", COLUMNS.join(", "));
        let row: Option<Row> = one(self.db.reader(), &sql, [id.as_str().into()]).await?;
        match row {
            Some(row) => Ok(Some(row.into_client(secrets_of(self.db.reader(), id).await?)?)),
            None => Ok(None),
        }
    }

    /// At most `limit` clients after the id `after`, by id, without their secrets.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn clients(&self, after: &str, limit: u32) -> Result<Vec<Client>, StoreError> {
        let sql = format!(
            "SELECT {} FROM client WHERE id > $1 ORDER BY id LIMIT $2",
            COLUMNS.join(", ")
        );
        let rows: Vec<Row> = all(self.db.reader(), &sql, [after.into(), i64::from(limit).into()]).await?;
        rows.into_iter().map(|row| row.into_client(Vec::new())).collect()
    }

    /// Adds a client with its secrets.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when the id is taken; [`StoreError::Unavailable`].
    pub async fn insert_client(&self, client: &Client, audit: &AuditEntry) -> Result<(), StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            insert(&write, client).await?;
            conclude(write, ChangeKind::Client, client.id.as_str(), audit).await
        })
        .await
    }

    /// Replaces every property of a client except its secrets. When it becomes disabled, `ending` carries the
    /// revocation that ends its families and tokens.
    ///
    /// # Errors
    /// [`StoreError::Stale`] when it was changed or removed since it was read;
    /// [`StoreError::Unavailable`].
    pub async fn update_client(
        &self,
        client: &Client,
        read_at: Timestamp,
        ending: Option<&NewRevocation>,
        audit: &AuditEntry,
    ) -> Result<(), StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            write.close_gate(Gate::Client(client.id.as_str())).await?;
            // A number of ours: what is compared is the row as it was read.
            let guard = format!("updated_at = {}", read_at.as_unix());
            if !replace(&write, client, &guard).await? {
                return Err(StoreError::Stale { what: "client" });
            }
            if let Some(revocation) = ending {
                end_of_client(
                    &write,
                    &client.id,
                    || self.stamped(revocation),
                    RevokeReason::ClientDisabled,
                )
                .await?;
            }
            conclude(write, ChangeKind::Client, client.id.as_str(), audit).await
        })
        .await
    }

    /// Removes a client and its secrets, and ends its families and tokens.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Unavailable`].
    pub async fn delete_client(
        &self,
        id: &ClientId,
        revocation: &NewRevocation,
        audit: &AuditEntry,
    ) -> Result<(), StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            write.close_gate(Gate::Client(id.as_str())).await?;
            if execute(&*write, "DELETE FROM client WHERE id = $1", [id.as_str().into()]).await? == 0 {
                return Err(StoreError::NotFound { what: "client" });
            }
            for table in ["client_secret", "consent"] {
                let sql = format!("DELETE FROM {table} WHERE client_id = $1");
                execute(&*write, &sql, [id.as_str().into()]).await?;
            }
            end_of_client(
                &write,
                id,
                || self.stamped(revocation),
                RevokeReason::ClientDeleted,
            )
            .await?;
            conclude(write, ChangeKind::Client, id.as_str(), audit).await
        })
        .await
    }
}
