//! What a person allowed a client, remembered so that they are not asked again.

use sea_orm::{FromQueryResult, Value};
use vouchsafe_protocol::{ClientId, ScopeSet, Subject, Timestamp};

use crate::backend::{Gate, Write, retrying};
use crate::code::end_codes;
use crate::device_code::forget_devices;
use crate::family::end_of_consent;
use crate::sql::{Cell, all, execute, instant, one, values_of};
use crate::{AuditEntry, NewRevocation, Store, StoreError};

/// What a person allowed a client at one audience.
#[derive(Clone, Debug)]
pub struct Consent {
    /// The person.
    pub subject: Subject,
    /// The client.
    pub client_id: ClientId,
    /// The resource; empty for the issuer itself.
    pub audience: String,
    /// The scopes.
    pub scope: ScopeSet,
    /// Since when.
    pub granted_at: Timestamp,
}

#[derive(FromQueryResult)]
struct Row {
    subject: String,
    client_id: String,
    audience: String,
    scope: String,
    granted_at: i64,
}

const COLUMNS: &str = "subject, client_id, audience, scope, granted_at";

impl Row {
    fn into_consent(self) -> Result<Consent, StoreError> {
        let cell = |column| Cell {
            table: "consent",
            column,
            id: &self.subject,
        };
        Ok(Consent {
            subject: cell("subject").parse(&self.subject)?,
            client_id: cell("client_id").parse(&self.client_id)?,
            scope: cell("scope").parse(&self.scope)?,
            audience: self.audience,
            granted_at: instant(self.granted_at),
        })
    }
}

impl Store {
    /// What a person allowed a client at one audience, or none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn consent(
        &self,
        subject: &Subject,
        client_id: &ClientId,
        audience: &str,
    ) -> Result<Option<Consent>, StoreError> {
        let sql =
            format!("SELECT {COLUMNS} FROM consent WHERE subject = $1 AND client_id = $2 AND audience = $3");
        let values = [
            subject.as_str().into(),
            client_id.as_str().into(),
            audience.into(),
        ];
        let row: Option<Row> = one(self.db.reader(), &sql, values).await?;
        row.map(Row::into_consent).transpose()
    }

    /// All that a person allowed, by client.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn consents_of(&self, subject: &Subject, limit: u32) -> Result<Vec<Consent>, StoreError> {
        let sql =
            format!("SELECT {COLUMNS} FROM consent WHERE subject = $1 ORDER BY client_id, audience LIMIT $2");
        let rows: Vec<Row> = all(
            self.db.reader(),
            &sql,
            [subject.as_str().into(), i64::from(limit).into()],
        )
        .await?;
        rows.into_iter().map(Row::into_consent).collect()
    }

    /// Takes back all that a person allowed a client, and ends its families for them; says how many families ended.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn withdraw_consent(
        &self,
        subject: &Subject,
        client_id: &ClientId,
        revocation: &NewRevocation,
        audit: &AuditEntry,
    ) -> Result<u64, StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            // A code that is being redeemed comes before, or finds the family it made ended.
            write.close_gate(Gate::User(subject.as_str())).await?;
            let which = [("subject", subject.as_str()), ("client_id", client_id.as_str())];
            let sql = "DELETE FROM consent WHERE subject = $1 AND client_id = $2";
            execute(&*write, sql, values_of(&which)).await?;
            // What was decided under it and not redeemed yet falls with it.
            end_codes(&write, &which).await?;
            forget_devices(&write, &which).await?;
            let stamp = || self.stamped(revocation);
            let ended = end_of_consent(&write, subject, client_id, stamp).await?;
            crate::audit::write(&*write, audit).await?;
            write.commit().await?;
            Ok(ended)
        })
        .await
    }
}

/// Keeps what a person allowed from being taken back until the commit; false when it is no longer all there.
pub(crate) async fn is_still_allowed(write: &Write, asked: &Consent) -> Result<bool, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM consent WHERE subject = $1 AND client_id = $2 AND audience = $3{}",
        write.for_share()
    );
    let key: [Value; 3] = [
        asked.subject.as_str().into(),
        asked.client_id.as_str().into(),
        asked.audience.as_str().into(),
    ];
    let held: Option<Row> = one(&**write, &sql, key).await?;
    match held {
        Some(held) => Ok(asked.scope.is_subset_of(&held.into_consent()?.scope)),
        None => Ok(false),
    }
}

/// Adds to what a person allowed, inside the caller's transaction.
pub(crate) async fn remember(write: &Write, consent: &Consent) -> Result<(), StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM consent WHERE subject = $1 AND client_id = $2 AND audience = $3{}",
        write.for_update()
    );
    let key: [Value; 3] = [
        consent.subject.as_str().into(),
        consent.client_id.as_str().into(),
        consent.audience.as_str().into(),
    ];
    let before: Option<Row> = one(&**write, &sql, key.clone()).await?;
    let scope = match before {
        Some(before) => before.into_consent()?.scope.union(&consent.scope),
        None => consent.scope.clone(),
    };
    // More than can be written is not remembered; then the person is asked again.
    let scopes = [scope, consent.scope.clone()];
    let Some(scope) = scopes.into_iter().find(ScopeSet::is_within_limits) else {
        return Ok(());
    };
    let sql = "INSERT INTO consent (subject, client_id, audience, scope, granted_at, updated_at) \
               VALUES ($1, $2, $3, $4, $5, $5) \
               ON CONFLICT (subject, client_id, audience) DO UPDATE SET scope = $4, updated_at = $5";
    let values = key
        .into_iter()
        .chain([scope.to_string().into(), consent.granted_at.as_unix().into()]);
    execute(&**write, sql, values).await.map(drop)
}
