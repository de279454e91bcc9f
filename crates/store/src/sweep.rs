//! Forgetting in small batches what nothing can need any more.

use std::time::Duration;

use vouchsafe_protocol::Timestamp;

use crate::sql::execute;
use crate::{Store, StoreError};

/// How many rows one sweep removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Families past their absolute end.
    pub families: u64,
    /// Entries of the revocation log that no token can fall under.
    pub revocations: u64,
    /// Entries of the change log that every cache has followed.
    pub changes: u64,
    /// Expired client secrets.
    pub secrets: u64,
    /// Failed sign-ins that were long ago.
    pub attempts: u64,
}

const CHANGES_KEPT: Duration = Duration::from_secs(24 * 3600);
const ATTEMPTS_KEPT: Duration = Duration::from_secs(24 * 3600);

impl Store {
    /// Removes at most `batch` rows of each kind in one short transaction.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn sweep(&self, now: Timestamp, batch: u32) -> Result<Swept, StoreError> {
        let write = self.db.write().await?;
        let limit = i64::from(batch);
        let mut swept = Swept::default();
        let sql = "DELETE FROM refresh_family WHERE id IN \
                   (SELECT id FROM refresh_family WHERE absolute_expires_at < $1 LIMIT $2)";
        swept.families = execute(&*write, sql, [now.as_unix().into(), limit.into()]).await?;
        let sql = "DELETE FROM revocation_log WHERE n IN (SELECT n FROM revocation_log WHERE expires < $1 LIMIT $2)";
        swept.revocations = execute(&*write, sql, [now.as_unix().into(), limit.into()]).await?;
        // The newest entry about keys stays: it is the version that guards their next change.
        let sql = "DELETE FROM change_log WHERE n IN (SELECT n FROM change_log WHERE at < $1 \
                   AND n <> (SELECT COALESCE(MAX(n), 0) FROM change_log WHERE kind = 'keys') LIMIT $2)";
        let before = now.minus(CHANGES_KEPT).as_unix();
        swept.changes = execute(&*write, sql, [before.into(), limit.into()]).await?;
        let sql = "DELETE FROM client_secret WHERE id IN (SELECT id FROM client_secret WHERE expires_at < $1 LIMIT $2)";
        swept.secrets = execute(&*write, sql, [now.as_unix().into(), limit.into()]).await?;
        let sql = "DELETE FROM sign_in_attempt WHERE (name, source) IN \
                   (SELECT name, source FROM sign_in_attempt WHERE updated_at < $1 LIMIT $2)";
        let before = now.minus(ATTEMPTS_KEPT).as_unix();
        swept.attempts = execute(&*write, sql, [before.into(), limit.into()]).await?;
        write.commit().await?;
        Ok(swept)
    }
}
