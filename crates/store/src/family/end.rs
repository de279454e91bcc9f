//! The end of families: row and log entry in one transaction, so that a refresh either came before or fails.

use sea_orm::ConnectionTrait;
use vouchsafe_protocol::{ClientId, FamilyId, Subject};

use super::model::RevokeReason;
use crate::log::append_revocation;
use crate::sql::execute;
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
    let sql = "UPDATE refresh_family SET revoked_at = $2, revoke_reason = $3 WHERE subject = $1 AND revoked_at IS NULL";
    let values = [
        subject.as_str().into(),
        revocation.at.as_unix().into(),
        reason.as_str().into(),
    ];
    let ended = execute(db, sql, values).await?;
    append_revocation(db, revocation).await?;
    Ok(ended)
}

/// Ends every family of a client and every access token issued to it up to now, inside the caller's transaction.
pub(crate) async fn end_of_client(
    db: &impl ConnectionTrait,
    client_id: &ClientId,
    revocation: &NewRevocation,
    reason: RevokeReason,
) -> Result<u64, StoreError> {
    let sql = "UPDATE refresh_family SET revoked_at = $2, revoke_reason = $3 WHERE client_id = $1 AND revoked_at IS NULL";
    let values = [
        client_id.as_str().into(),
        revocation.at.as_unix().into(),
        reason.as_str().into(),
    ];
    let ended = execute(db, sql, values).await?;
    append_revocation(db, revocation).await?;
    Ok(ended)
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
        crate::audit::write(&*write, audit).await?;
        write.commit().await?;
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
        crate::audit::write(&*write, audit).await?;
        write.commit().await?;
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
