//! The end of families: row and log entry in one transaction, so that a refresh either came before or fails.

use sea_orm::FromQueryResult;
use vouchsafe_protocol::failpoint::reach;
use vouchsafe_protocol::{ClientId, FamilyId, Kid, RevocationKind, Subject, Timestamp};

use super::model::RevokeReason;
use crate::backend::{Write, retrying};
use crate::log::append_revocation;
use crate::sql::{all, execute};
use crate::{AuditEntry, NewRevocation, Store, StoreError};

#[derive(FromQueryResult)]
struct Id {
    id: String,
}

/// Ends one family inside the caller's transaction; says whether it was alive. `revocation` is asked for once the row is
/// ours, so that it covers what was issued while we waited.
pub(super) async fn end_family(
    write: &Write,
    sid: &FamilyId,
    reason: RevokeReason,
    revocation: impl FnOnce() -> NewRevocation,
    audit: &AuditEntry,
) -> Result<bool, StoreError> {
    if lock(write, ("id", sid.as_str())).await?.is_empty() {
        return Ok(false);
    }
    let revocation = revocation();
    end_where(write, ("id", sid.as_str()), &revocation, reason).await?;
    append_revocation(write, &revocation).await?;
    crate::audit::write(&**write, audit).await?;
    Ok(true)
}

/// Ends every family of a person and every access token issued to them up to now, inside the caller's transaction, which
/// holds the person's row, so that none is born meanwhile.
pub(crate) async fn end_of_subject(
    write: &Write,
    subject: &Subject,
    revocation: impl FnOnce() -> NewRevocation,
    reason: RevokeReason,
) -> Result<u64, StoreError> {
    // Every family is named: a person has few, and a clock that stepped back spares none of their tokens.
    let since = Timestamp::from_unix(0);
    end_all(
        write,
        ("subject", subject.as_str()),
        Some(since),
        revocation,
        reason,
    )
    .await
}

/// Ends every family of a client and every access token issued to it up to now, inside the caller's transaction, which
/// holds the client's row, so that none is born meanwhile.
pub(crate) async fn end_of_client(
    write: &Write,
    client_id: &ClientId,
    revocation: impl FnOnce() -> NewRevocation,
    reason: RevokeReason,
) -> Result<u64, StoreError> {
    end_all(write, ("client_id", client_id.as_str()), None, revocation, reason).await
}

/// Ends every family whose live token was made with this MAC key, inside the caller's transaction. Each is named in the
/// log: nothing else in its access tokens tells which key their refresh token had.
pub(crate) async fn end_of_mac_key(
    write: &Write,
    kid: &Kid,
    revocation: &NewRevocation,
) -> Result<u64, StoreError> {
    let named = lock(write, ("mac_kid", kid.as_str())).await?;
    let reason = RevokeReason::MacKeyRevoked;
    let ended = end_where(write, ("mac_kid", kid.as_str()), revocation, reason).await?;
    append_each(write, &named, revocation).await?;
    Ok(ended)
}

/// Ends what is alive, appends the revocation, and names in the log each family that began at or after `named_since`; with
/// none, those that began in the second of the revocation: their tokens may carry the next one.
async fn end_all(
    write: &Write,
    which: (&'static str, &str),
    named_since: Option<Timestamp>,
    revocation: impl FnOnce() -> NewRevocation,
    reason: RevokeReason,
) -> Result<u64, StoreError> {
    lock(write, which).await?;
    let revocation = revocation();
    let (column, value) = which;
    let sql = format!(
        "SELECT id FROM refresh_family WHERE {column} = $1 AND revoked_at IS NULL AND created_at >= $2 ORDER BY id"
    );
    let since = named_since.unwrap_or(revocation.at).as_unix();
    let named: Vec<Id> = all(&**write, &sql, [value.into(), since.into()]).await?;
    let ended = end_where(write, which, &revocation, reason).await?;
    append_revocation(write, &revocation).await?;
    append_each(write, &named, &revocation).await?;
    Ok(ended)
}

/// Takes the living families in the order that everyone takes them.
async fn lock(write: &Write, (column, value): (&'static str, &str)) -> Result<Vec<Id>, StoreError> {
    let sql = format!(
        "SELECT id FROM refresh_family WHERE {column} = $1 AND revoked_at IS NULL ORDER BY id{}",
        write.for_update()
    );
    all(&**write, &sql, [value.into()]).await
}

async fn end_where(
    write: &Write,
    (column, value): (&'static str, &str),
    revocation: &NewRevocation,
    reason: RevokeReason,
) -> Result<u64, StoreError> {
    let sql = format!(
        "UPDATE refresh_family SET revoked_at = $2, revoke_reason = $3 WHERE {column} = $1 AND revoked_at IS NULL"
    );
    let at = revocation.at.as_unix();
    execute(&**write, &sql, [value.into(), at.into(), reason.as_str().into()]).await
}

/// Names each family in the log.
async fn append_each(write: &Write, families: &[Id], revocation: &NewRevocation) -> Result<(), StoreError> {
    for family in families {
        let (kind, key) = (RevocationKind::Session, family.id.clone());
        append_revocation(
            write,
            &NewRevocation {
                kind,
                key,
                ..revocation.clone()
            },
        )
        .await?;
    }
    Ok(())
}

/// Ends a transaction that ended families: audit row, commit.
async fn conclude_end(write: Write, audit: &AuditEntry) -> Result<(), StoreError> {
    crate::audit::write(&*write, audit).await?;
    write.commit().await
}

/// Keeps families of this person or client from being born until the commit.
async fn hold(write: &Write, table: &'static str, column: &'static str, id: &str) -> Result<(), StoreError> {
    let sql = format!(
        "SELECT {column} AS id FROM {table} WHERE {column} = $1{}",
        write.for_update()
    );
    let _held: Vec<Id> = all(&**write, &sql, [id.into()]).await?;
    Ok(())
}

impl Store {
    /// Ends every family of a person and every access token issued to them up to now; says how many families.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn revoke_subject(
        &self,
        subject: &Subject,
        revocation: &NewRevocation,
        audit: &AuditEntry,
    ) -> Result<u64, StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            hold(&write, "user_account", "subject", subject.as_str()).await?;
            let stamp = || self.stamped(revocation);
            let ended = end_of_subject(&write, subject, stamp, RevokeReason::Operator).await?;
            conclude_end(write, audit).await?;
            Ok(ended)
        })
        .await
    }

    /// Ends every family of a client and every access token issued to it up to now; says how many families.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn revoke_client(
        &self,
        client_id: &ClientId,
        revocation: &NewRevocation,
        audit: &AuditEntry,
    ) -> Result<u64, StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            hold(&write, "client", "id", client_id.as_str()).await?;
            let stamp = || self.stamped(revocation);
            let ended = end_of_client(&write, client_id, stamp, RevokeReason::Operator).await?;
            conclude_end(write, audit).await?;
            Ok(ended)
        })
        .await
    }

    /// Ends one family and its access tokens; says whether it was alive. Once this returned, no token of the family
    /// is accepted again.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn revoke_family(
        &self,
        sid: &FamilyId,
        reason: RevokeReason,
        revocation: &NewRevocation,
        audit: &AuditEntry,
    ) -> Result<bool, StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            let ended = end_family(&write, sid, reason, || self.stamped(revocation), audit).await?;
            reach("revoke.before_commit");
            write.commit().await?;
            reach("revoke.after_commit");
            Ok(ended)
        })
        .await
    }
}
