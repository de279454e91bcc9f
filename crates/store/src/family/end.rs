//! The end of families: row and log entry in one transaction, so that a refresh either came before or fails.

use sea_orm::ConnectionTrait;
use vouchsafe_protocol::FamilyId;

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
    let sql = "UPDATE refresh_family SET revoked_at = $2, revoke_reason = $3 WHERE id = $1 AND revoked_at IS NULL";
    let values = [sid.as_str().into(), revocation.at.as_unix().into(), reason.as_str().into()];
    if execute(db, sql, values).await? == 0 {
        return Ok(false);
    }
    append_revocation(db, revocation).await?;
    crate::audit::write(db, audit).await?;
    Ok(true)
}

impl Store {
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
        let ended = end_family(&*write, sid, reason, revocation, audit).await?;
        write.commit().await?;
        Ok(ended)
    }
}
