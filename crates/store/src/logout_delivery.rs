//! The out-box of back-channel logout (OpenID Connect Back-Channel Logout 1.0): whoever ends a family writes here, in the
//! same transaction, which client is to hear of it; a task of any replica delivers it and comes back until it is heard.

use std::time::Duration;

use sea_orm::{FromQueryResult, Value};
use vouchsafe_protocol::{ClientId, FamilyId, Subject, Timestamp};

use crate::backend::{Write, retrying};
use crate::family::RevokeReason;
use crate::sql::{Cell, all, execute, instant};
use crate::{Store, StoreError};

/// Why clients are not told: they did it themselves, or the database may know less than they do.
const UNTOLD: [RevokeReason; 2] = [RevokeReason::Revoked, RevokeReason::Rollback];

/// One client to be told that a session of it ended.
#[derive(Clone, Debug)]
pub struct LogoutDelivery {
    /// The family.
    pub sid: FamilyId,
    /// The client.
    pub client_id: ClientId,
    /// The person.
    pub subject: Subject,
    /// Since when it waits.
    pub created_at: Timestamp,
    /// How often it was tried before.
    pub attempts: i64,
}

#[derive(FromQueryResult)]
struct Row {
    sid: String,
    client_id: String,
    subject: String,
    created_at: i64,
    attempts: i64,
}

impl Row {
    fn into_delivery(self) -> Result<LogoutDelivery, StoreError> {
        let cell = |column| Cell {
            table: "logout_delivery",
            column,
            id: &self.sid,
        };
        Ok(LogoutDelivery {
            sid: cell("sid").parse(&self.sid)?,
            client_id: cell("client_id").parse(&self.client_id)?,
            subject: cell("subject").parse(&self.subject)?,
            created_at: instant(self.created_at),
            attempts: self.attempts,
        })
    }
}

const FROM_FAMILIES: &str = "INSERT INTO logout_delivery (sid, client_id, subject, created_at, next_attempt_at, attempts) \
    SELECT f.id, f.client_id, f.subject, $1, $1, 0 \
    FROM refresh_family AS f JOIN client AS c ON c.id = f.client_id \
    WHERE c.backchannel_logout_uri IS NOT NULL AND c.disabled_at IS NULL";

/// Has the client of one family told, inside the caller's transaction.
pub(crate) async fn tell(
    write: &Write,
    sid: &str,
    (at, reason): (Timestamp, RevokeReason),
) -> Result<(), StoreError> {
    if UNTOLD.contains(&reason) {
        return Ok(());
    }
    let sql = format!("{FROM_FAMILIES} AND f.id = $2 ON CONFLICT (sid) DO NOTHING");
    execute(&**write, &sql, [at.as_unix().into(), sid.into()])
        .await
        .map(drop)
}

/// Has the clients of the families told that the caller's transaction just ended between two ids, the first excluded.
pub(crate) async fn tell_of(
    write: &Write,
    (after, last): (&str, &str),
    (at, reason): (Timestamp, RevokeReason),
) -> Result<(), StoreError> {
    if UNTOLD.contains(&reason) {
        return Ok(());
    }
    let sql = format!(
        "{FROM_FAMILIES} AND f.id > $2 AND f.id <= $3 AND f.revoked_at = $1 AND f.revoke_reason = $4 \
         ON CONFLICT (sid) DO NOTHING"
    );
    let values: [Value; 4] = [
        at.as_unix().into(),
        after.into(),
        last.into(),
        reason.as_str().into(),
    ];
    execute(&**write, &sql, values).await.map(drop)
}

impl Store {
    /// Takes up to `limit` deliveries that are due; nobody else takes them for as long as `lease`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn take_deliveries(
        &self,
        now: Timestamp,
        lease: Duration,
        limit: u32,
    ) -> Result<Vec<LogoutDelivery>, StoreError> {
        let rows: Vec<Row> = retrying(|| async {
            let write = self.db.write().await?;
            let sql = format!(
                "UPDATE logout_delivery SET next_attempt_at = $2, attempts = attempts + 1 WHERE sid IN \
                 (SELECT sid FROM logout_delivery WHERE next_attempt_at <= $1 ORDER BY next_attempt_at LIMIT $3{}) \
                 RETURNING sid, client_id, subject, created_at, attempts - 1 AS attempts",
                write.for_update_of_free()
            );
            let values = [
                now.as_unix().into(),
                now.plus(lease).as_unix().into(),
                i64::from(limit).into(),
            ];
            let rows = all(&*write, &sql, values).await?;
            write.commit().await?;
            Ok(rows)
        })
        .await?;
        rows.into_iter().map(Row::into_delivery).collect()
    }

    /// True when a delivery is due: a look that costs no write lock.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn has_deliveries(&self, now: Timestamp) -> Result<bool, StoreError> {
        #[derive(FromQueryResult)]
        struct Due {
            #[expect(dead_code, reason = "that there is a row is all that is asked")]
            sid: String,
        }
        let sql = "SELECT sid FROM logout_delivery WHERE next_attempt_at <= $1 LIMIT 1";
        let due: Vec<Due> = all(self.db.reader(), sql, [now.as_unix().into()]).await?;
        Ok(!due.is_empty())
    }

    /// Notes how a delivery went: done with, or to be tried again at an instant.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn conclude_delivery(
        &self,
        sid: &FamilyId,
        again: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            match again {
                None => {
                    let sql = "DELETE FROM logout_delivery WHERE sid = $1";
                    execute(&*write, sql, [sid.as_str().into()]).await?;
                }
                Some(at) => {
                    let sql = "UPDATE logout_delivery SET next_attempt_at = $2 WHERE sid = $1";
                    execute(&*write, sql, [sid.as_str().into(), at.as_unix().into()]).await?;
                }
            }
            write.commit().await
        })
        .await
    }
}
