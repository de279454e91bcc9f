//! Clients that registered themselves and came to nothing: nobody signed in by way of them.

use sea_orm::{FromQueryResult, Value};
use vouchsafe_protocol::{ClientId, Timestamp};

use crate::backend::{Write, retrying};
use crate::log::append_changes;
use crate::sql::{Cell, all, execute, placeholders};
use crate::{ChangeKind, Store, StoreError};

/// What one look came to.
#[derive(Clone, Debug, Default)]
pub struct UnusedClients {
    /// The clients that were removed.
    pub removed: Vec<ClientId>,
    /// Where the next look goes on; none at the end.
    pub next: Option<Timestamp>,
}

#[derive(FromQueryResult)]
struct Candidate {
    id: String,
    created_at: i64,
}

impl Store {
    /// Looks at up to `limit` self-registered clients, by age from `from` on, that were made before an instant, and removes
    /// those that no family that is still remembered belongs to, and that nobody signs in by just now. What an operator disabled stays, or it would come back.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn remove_unused_clients(
        &self,
        (from, before): (Timestamp, Timestamp),
        limit: u32,
        now: Timestamp,
    ) -> Result<UnusedClients, StoreError> {
        // Most looks find nobody: that costs no write lock.
        let sql = "SELECT id, created_at FROM client WHERE origin IS NOT NULL AND disabled_at IS NULL \
                   AND created_at >= $1 AND created_at < $2 LIMIT 1";
        let span = [from.as_unix().into(), before.as_unix().into()];
        let some: Vec<Candidate> = all(self.db.reader(), sql, span).await?;
        if some.is_empty() {
            return Ok(UnusedClients::default());
        }
        retrying(|| async {
            let write = self.db.write().await?;
            // Held first: whoever signs in meanwhile waits, and finds the client gone, or came before and is seen.
            let sql = format!(
                "SELECT id, created_at FROM client WHERE origin IS NOT NULL AND disabled_at IS NULL \
                 AND created_at >= $1 AND created_at < $2 ORDER BY created_at LIMIT $3{}",
                write.for_update_of_free()
            );
            let values = [
                from.as_unix().into(),
                before.as_unix().into(),
                i64::from(limit).into(),
            ];
            let held: Vec<Candidate> = all(&*write, &sql, values).await?;
            let full = held.len() as u64 >= u64::from(limit);
            let last = held.last().map(|last| last.created_at);
            let removed = remove(&write, held, now).await?;
            let names: Vec<&str> = removed.iter().map(ClientId::as_str).collect();
            append_changes(&write, ChangeKind::Client, &names, now).await?;
            write.commit().await?;
            // A second with more clients than fit into a look is not stayed in for ever.
            let stuck = last == Some(from.as_unix()) && removed.is_empty();
            let next = last.filter(|_| full).map(|last| last + i64::from(stuck));
            Ok(UnusedClients {
                removed,
                next: next.map(Timestamp::from_unix),
            })
        })
        .await
    }
}

async fn remove(write: &Write, held: Vec<Candidate>, now: Timestamp) -> Result<Vec<ClientId>, StoreError> {
    if held.is_empty() {
        return Ok(Vec::new());
    }
    let mut values: Vec<Value> = held.iter().map(|held| Value::from(held.id.as_str())).collect();
    let of = |table: &str| format!("SELECT 1 FROM {table} WHERE {table}.client_id = client.id");
    let sql = format!(
        "DELETE FROM client WHERE id IN ({}) \
         AND NOT EXISTS ({}) AND NOT EXISTS ({} AND expires_at > ${now_at}) \
         AND NOT EXISTS ({} AND status = 'approved' AND expires_at > ${now_at}) RETURNING id, created_at",
        placeholders(1, values.len()),
        of("refresh_family"),
        of("authorization_code"),
        of("device_code"),
        now_at = values.len() + 1
    );
    values.push(now.as_unix().into());
    let gone: Vec<Candidate> = all(&**write, &sql, values).await?;
    let mut removed = Vec::with_capacity(gone.len());
    for client in gone {
        for table in ["client_secret", "consent"] {
            let sql = format!("DELETE FROM {table} WHERE client_id = $1");
            execute(&**write, &sql, [client.id.as_str().into()]).await?;
        }
        let cell = Cell {
            table: "client",
            column: "id",
            id: &client.id,
        };
        removed.push(cell.parse(&client.id)?);
    }
    Ok(removed)
}
