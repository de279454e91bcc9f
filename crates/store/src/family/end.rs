//! The end of families: row and log entry in one transaction, so that a refresh either came before or fails.

use sea_orm::{ConnectionTrait, FromQueryResult};
use vouchsafe_protocol::{ClientId, FamilyId, Kid, RevocationKind, Subject, Timestamp};

use super::model::RevokeReason;
use crate::backend::Write;
use crate::log::append_revocation;
use crate::sql::{all, execute};
use crate::{AuditEntry, NewRevocation, Store, StoreError};

/// Ends one family inside the caller's transaction; says whether it was alive.
pub(super) async fn end_family(
    db: &impl ConnectionTrait,
    sid: &FamilyId,
    reason: RevokeReason,
    revocation: &NewRevocation,
    audit: &AuditEntry,
) -> Result<bool, StoreError> {
    let sql =
        "UPDATE refresh_family SET revoked_at = $2, revoke_reason = $3 WHERE id = $1 AND revoked_at IS NULL";
    let values = [
        sid.as_str().into(),
        revocation.at.as_unix().into(),
        reason.as_str().into(),
    ];
    if execute(db, sql, values).await? == 0 {
        return Ok(false);
    }
    append_revocation(db, revocation).await?;
    crate::audit::write(db, audit).await?;
    Ok(true)
}

/// Ends every family of a person and every access token issued to them up to now, inside the caller's transaction.
pub(crate) async fn end_of_subject(
    db: &impl ConnectionTrait,
    subject: &Subject,
    revocation: &NewRevocation,
    reason: RevokeReason,
) -> Result<u64, StoreError> {
    // Every family is named: a person has few, and a clock that stepped back spares none of their tokens.
    let since = Timestamp::from_unix(0);
    end_where(db, ("subject", subject.as_str()), since, revocation, reason).await
}

/// Ends every family of a client and every access token issued to it up to now, inside the caller's transaction.
pub(crate) async fn end_of_client(
    db: &impl ConnectionTrait,
    client_id: &ClientId,
    revocation: &NewRevocation,
    reason: RevokeReason,
) -> Result<u64, StoreError> {
    // A family born in this second, after another revocation, has tokens that carry the next one: it is named itself.
    end_where(
        db,
        ("client_id", client_id.as_str()),
        revocation.at,
        revocation,
        reason,
    )
    .await
}

/// Ends every family whose live token was made with this MAC key, inside the caller's transaction. Each is named in the
/// log: nothing else in its access tokens tells which key their refresh token had.
pub(crate) async fn end_of_mac_key(
    db: &impl ConnectionTrait,
    kid: &Kid,
    revocation: &NewRevocation,
) -> Result<u64, StoreError> {
    let sql = "UPDATE refresh_family SET revoked_at = $2, revoke_reason = $3 WHERE mac_kid = $1 AND revoked_at IS NULL \
               RETURNING id";
    let reason = RevokeReason::MacKeyRevoked.as_str();
    let values = [kid.as_str().into(), revocation.at.as_unix().into(), reason.into()];
    let ended: Vec<Id> = all(db, sql, values).await?;
    append_each(db, &ended, revocation).await?;
    Ok(ended.len() as u64)
}

#[derive(FromQueryResult)]
struct Id {
    id: String,
}

/// Names each family in the log.
async fn append_each(
    db: &impl ConnectionTrait,
    families: &[Id],
    revocation: &NewRevocation,
) -> Result<(), StoreError> {
    for family in families {
        let (kind, key) = (RevocationKind::Session, family.id.clone());
        append_revocation(
            db,
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

async fn end_where(
    db: &impl ConnectionTrait,
    (column, value): (&'static str, &str),
    named_since: Timestamp,
    revocation: &NewRevocation,
    reason: RevokeReason,
) -> Result<u64, StoreError> {
    let sql = format!(
        "SELECT id FROM refresh_family WHERE {column} = $1 AND revoked_at IS NULL AND created_at >= $2"
    );
    let named: Vec<Id> = all(db, &sql, [value.into(), named_since.as_unix().into()]).await?;
    let sql = format!(
        "UPDATE refresh_family SET revoked_at = $2, revoke_reason = $3 WHERE {column} = $1 AND revoked_at IS NULL"
    );
    let values = [
        value.into(),
        revocation.at.as_unix().into(),
        reason.as_str().into(),
    ];
    let ended = execute(db, &sql, values).await?;
    append_revocation(db, revocation).await?;
    append_each(db, &named, revocation).await?;
    Ok(ended)
}

/// Ends a transaction that ended families: audit row, commit.
async fn conclude_end(write: Write, audit: &AuditEntry) -> Result<(), StoreError> {
    crate::audit::write(&*write, audit).await?;
    write.commit().await
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
        let write = self.db.write().await?;
        let ended = end_of_subject(
            &*write,
            subject,
            &self.stamped(revocation),
            RevokeReason::Operator,
        )
        .await?;
        conclude_end(write, audit).await?;
        Ok(ended)
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
        let write = self.db.write().await?;
        let ended = end_of_client(
            &*write,
            client_id,
            &self.stamped(revocation),
            RevokeReason::Operator,
        )
        .await?;
        conclude_end(write, audit).await?;
        Ok(ended)
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
        let write = self.db.write().await?;
        let ended = end_family(&*write, sid, reason, &self.stamped(revocation), audit).await?;
        write.commit().await?;
        Ok(ended)
    }
}
