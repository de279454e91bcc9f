//! Sign-ins: what a password is checked against, and how many attempts on a name from one source failed in a row.
//! A name that no account has is counted all the same, so that both cost the same work; what is kept of a name is what
//! the caller made of it, since a password may have been typed there.

use sea_orm::{ConnectionTrait, FromQueryResult};
use vouchsafe_protocol::{SecretString, Subject, Timestamp};

use crate::backend::retrying;
use crate::sql::{Cell, execute, one};
use crate::{Store, StoreError};

/// What a sign-in needs to know before hashing.
#[derive(Clone, Debug)]
pub struct LoginCandidate {
    /// Who it would be.
    pub subject: Subject,
    /// The PHC string to check against.
    pub password_hash: Option<SecretString>,
    /// True when they may not sign in.
    pub locked: bool,
}

/// How failures in a row are slowed.
#[derive(Clone, Copy, Debug)]
pub struct BackOff {
    /// Failures in a row that cost nothing.
    pub free: i64,
    /// The longest pause in seconds; each failure after the free ones doubles it up to here.
    pub longest: i64,
}

impl Store {
    /// What a sign-in under this normalised name would be checked against. The caller does the same work for none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn login_candidate(&self, name_key: &str) -> Result<Option<LoginCandidate>, StoreError> {
        #[derive(FromQueryResult)]
        struct Candidate {
            subject: String,
            password_hash: Option<String>,
            locked_at: Option<i64>,
        }
        let sql = "SELECT subject, password_hash, locked_at FROM user_account WHERE name_key = $1";
        let row: Option<Candidate> = one(self.db.reader(), sql, [name_key.into()]).await?;
        row.map(|row| {
            Ok(LoginCandidate {
                subject: Cell {
                    table: "user_account",
                    column: "subject",
                    id: &row.subject,
                }
                .parse(&row.subject)?,
                password_hash: row.password_hash.map(SecretString::new),
                locked: row.locked_at.is_some(),
            })
        })
        .transpose()
    }

    /// Counts an attempt before its password is hashed, in one guarded statement: false when this source must pause
    /// before it tries this name again.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn count_attempt(
        &self,
        name: &str,
        source: &str,
        now: Timestamp,
        back_off: BackOff,
    ) -> Result<bool, StoreError> {
        let sql = "INSERT INTO sign_in_attempt (name, source, failures, next_attempt_at, updated_at) \
                   VALUES ($1, $2, 1, 0, $3) ON CONFLICT (name, source) DO UPDATE SET \
                   failures = sign_in_attempt.failures + 1, updated_at = $3, next_attempt_at = CASE \
                   WHEN sign_in_attempt.failures < $4 THEN 0 \
                   WHEN sign_in_attempt.failures - $4 > 20 THEN $3 + $5 \
                   WHEN (CAST(1 AS BIGINT) << CAST(sign_in_attempt.failures - $4 AS INTEGER)) > $5 THEN $3 + $5 \
                   ELSE $3 + (CAST(1 AS BIGINT) << CAST(sign_in_attempt.failures - $4 AS INTEGER)) END \
                   WHERE sign_in_attempt.next_attempt_at <= $3 \
                   OR sign_in_attempt.next_attempt_at > $3 + $5";
        retrying(|| async {
            let write = self.db.write().await?;
            let values = [
                name.into(),
                source.into(),
                now.as_unix().into(),
                back_off.free.into(),
                back_off.longest.into(),
            ];
            let counted = execute(&*write, sql, values).await?;
            write.commit().await?;
            Ok(counted == 1)
        })
        .await
    }

    /// Gives the attempts of this source on this name back after a success.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn clear_attempts(&self, name: &str, source: &str) -> Result<(), StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            let sql = "DELETE FROM sign_in_attempt WHERE name = $1 AND source = $2";
            execute(&*write, sql, [name.into(), source.into()]).await?;
            write.commit().await
        })
        .await
    }

    /// Gives one attempt back that was counted but never came to a check.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn return_attempt(&self, name: &str, source: &str) -> Result<(), StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            let sql = "UPDATE sign_in_attempt SET failures = failures - 1, next_attempt_at = 0 \
                       WHERE name = $1 AND source = $2 AND failures > 0";
            execute(&*write, sql, [name.into(), source.into()]).await?;
            write.commit().await
        })
        .await
    }
}

/// Forgets every failure on a name, whoever made it, inside the caller's transaction.
pub(crate) async fn forget_attempts(db: &impl ConnectionTrait, name: &str) -> Result<(), StoreError> {
    execute(db, "DELETE FROM sign_in_attempt WHERE name = $1", [name.into()])
        .await
        .map(drop)
}
