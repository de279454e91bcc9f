//! The audit table: who changed what, written in the transaction of the change itself.

use sea_orm::{ConnectionTrait, FromQueryResult};
use serde::Serialize;
use vouchsafe_protocol::{ClientId, FamilyId, Subject, Timestamp};

use crate::sql::{all, execute, instant, json};
use crate::{Store, StoreError};

/// One event to remember. `detail` holds names and counts, never a secret.
#[derive(Clone, Debug)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// The stable name of the event.
    pub event: &'static str,
    /// Which kind of actor: `operator`, `client`, `user`, `system`.
    pub actor_kind: &'static str,
    /// Who: operating-system user and host, a client id, a subject.
    pub actor: Option<String>,
    /// The client concerned.
    pub client_id: Option<ClientId>,
    /// The person concerned.
    pub subject: Option<Subject>,
    /// The family concerned.
    pub sid: Option<FamilyId>,
    /// What else a reader needs.
    pub detail: serde_json::Map<String, serde_json::Value>,
}

/// One event as it was remembered.
#[derive(Clone, Debug, Serialize)]
pub struct AuditRecord {
    /// Its number.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// The stable name of the event.
    pub event: String,
    /// Which kind of actor.
    pub actor_kind: String,
    /// Who.
    pub actor: Option<String>,
    /// The client concerned.
    pub client_id: Option<String>,
    /// The person concerned.
    pub subject: Option<String>,
    /// The family concerned.
    pub sid: Option<String>,
    /// What else a reader needs, as JSON.
    pub detail: String,
}

#[derive(FromQueryResult)]
struct Row {
    id: i64,
    at: i64,
    event: String,
    actor_kind: String,
    actor: Option<String>,
    client_id: Option<String>,
    subject: Option<String>,
    sid: Option<String>,
    detail: String,
}

/// Writes the entry inside the caller's transaction.
pub(crate) async fn write(db: &impl ConnectionTrait, entry: &AuditEntry) -> Result<(), StoreError> {
    let sql = "INSERT INTO audit (at, event, actor_kind, actor, client_id, subject, sid, detail) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let values = [
        entry.at.as_unix().into(),
        entry.event.into(),
        entry.actor_kind.into(),
        entry.actor.clone().into(),
        entry.client_id.as_ref().map(ToString::to_string).into(),
        entry.subject.as_ref().map(ToString::to_string).into(),
        entry.sid.as_ref().map(ToString::to_string).into(),
        json(&entry.detail),
    ];
    execute(db, sql, values).await.map(drop)
}

impl Store {
    /// The newest `limit` events, newest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn audit_tail(&self, limit: u32) -> Result<Vec<AuditRecord>, StoreError> {
        let sql = "SELECT id, at, event, actor_kind, actor, client_id, subject, sid, detail FROM audit \
                   ORDER BY id DESC LIMIT $1";
        let rows: Vec<Row> = all(self.db.reader(), sql, [i64::from(limit).into()]).await?;
        Ok(rows
            .into_iter()
            .map(|row| AuditRecord {
                id: row.id,
                at: instant(row.at),
                event: row.event,
                actor_kind: row.actor_kind,
                actor: row.actor,
                client_id: row.client_id,
                subject: row.subject,
                sid: row.sid,
                detail: row.detail,
            })
            .collect())
    }
}
