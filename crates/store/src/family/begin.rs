//! The birth of a family: its user and client are checked again in the statement that makes the row.

use super::model::{COLUMNS, Family, NewFamily};
use crate::sql::{execute, json};
use crate::{AuditEntry, Store, StoreError};

impl Store {
    /// Makes the row, unless the person was locked, removed or given another password, or the client disabled or
    /// removed, since they were checked: then false, and nothing is written.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn begin_family(&self, new: &NewFamily, audit: &AuditEntry) -> Result<bool, StoreError> {
        let write = self.db.write().await?;
        let sql = format!(
            "INSERT INTO refresh_family ({COLUMNS}) \
             SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, NULL, $12, $13, '', $14, $15, $16, NULL, NULL \
             WHERE EXISTS (SELECT 1 FROM client WHERE id = $2 AND disabled_at IS NULL) \
             AND EXISTS (SELECT 1 FROM user_account WHERE subject = $3 AND locked_at IS NULL \
             AND ($17 IS NULL OR password_hash = $17))"
        );
        if execute(&*write, &sql, values_of(new)).await? == 0 {
            return Ok(false);
        }
        crate::audit::write(&*write, audit).await?;
        write.commit().await?;
        Ok(true)
    }
}

fn values_of(new: &NewFamily) -> [sea_orm::Value; 17] {
    let family: &Family = &new.family;
    [
        family.id.as_str().into(),
        family.client_id.as_str().into(),
        family.subject.as_str().into(),
        family.scope.to_string().into(),
        json(&family.audience),
        family.auth_time.as_unix().into(),
        family.acr.clone().into(),
        json(&family.amr),
        i64::from(family.refreshable).into(),
        family.seq.into(),
        family.current_jti.as_str().into(),
        family.mac_kid.as_str().into(),
        family.rotated_at.as_unix().into(),
        family.created_at.as_unix().into(),
        family.idle_expires_at.as_unix().into(),
        family.absolute_expires_at.as_unix().into(),
        new.password_hash
            .as_ref()
            .map(|hash| hash.expose().to_owned())
            .into(),
    ]
}
