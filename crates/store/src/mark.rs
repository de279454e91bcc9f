//! How far the database has come: numbers that only go up, so that whoever remembers them notices a database that went
//! back in time; and the acceptance of one that did.

use std::cmp::Ordering;

use sea_orm::{ConnectionTrait, FromQueryResult};
use vouchsafe_protocol::Timestamp;

use crate::backend::{Write, retrying};
use crate::family::RevokeReason;
use crate::key::{apply, key_version, lock_keys};
use crate::log::{append_revocation, conclude};
use crate::sql::{all, execute, one};
use crate::{AuditEntry, ChangeKind, KeyChange, NewRevocation, Store, StoreError};

/// Families that one statement ends: few enough for the time that a statement has.
const BATCH: usize = 5000;

/// How far a database has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// The line of history, from 1 on; a new one begins when a database that went back is accepted. 0 knows nothing.
    pub epoch: i64,
    /// The beats of all replicas together.
    pub heartbeat: i64,
    /// The last number of the revocation log.
    pub revocation: i64,
    /// The last number of the change log.
    pub change: i64,
}

impl Mark {
    /// True when a database that stands here lost something that `known` saw of it.
    #[must_use]
    pub fn is_behind(&self, known: &Self) -> bool {
        match self.epoch.cmp(&known.epoch) {
            Ordering::Less => true,
            Ordering::Greater => false,
            Ordering::Equal => {
                self.heartbeat < known.heartbeat
                    || self.revocation < known.revocation
                    || self.change < known.change
            }
        }
    }

    /// The furthest that two views of one database saw: the later epoch whole, within one epoch the higher numbers.
    #[must_use]
    pub fn furthest(self, other: Self) -> Self {
        match self.epoch.cmp(&other.epoch) {
            Ordering::Less => other,
            Ordering::Greater => self,
            Ordering::Equal => Self {
                epoch: self.epoch,
                heartbeat: self.heartbeat.max(other.heartbeat),
                revocation: self.revocation.max(other.revocation),
                change: self.change.max(other.change),
            },
        }
    }

    /// The first mark of the epoch after two lines: beyond every number of either, so that none is given out twice, and
    /// with a hole in each log, which tells whoever follows it that something is missing.
    fn after(self, other: Self) -> Self {
        Self {
            epoch: self.epoch.max(other.epoch) + 1,
            heartbeat: self.heartbeat.max(other.heartbeat) + 1,
            revocation: self.revocation.max(other.revocation) + 1,
            change: self.change.max(other.change) + 1,
        }
    }
}

/// What a database that went back is accepted with.
#[derive(Clone, Copy, Debug)]
pub struct Rollback<'a> {
    /// How far it had come.
    pub known: Mark,
    /// The version of the set of keys that `keys` was decided on.
    pub version: i64,
    /// What the database forgot of keys: compromises, and ends.
    pub keys: &'a [KeyChange],
    /// The end of every access token issued so far.
    pub revocation: &'a NewRevocation,
    /// The audit entry; the number of families is added to it.
    pub audit: &'a AuditEntry,
}

/// What accepting it came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// How many families were alive and are ended.
    pub families: u64,
    /// Where the database stands now.
    pub mark: Mark,
}

async fn read(db: &impl ConnectionTrait) -> Result<Mark, StoreError> {
    #[derive(FromQueryResult)]
    struct Row {
        epoch: Option<i64>,
        heartbeat: Option<i64>,
        revocation: Option<i64>,
        change: Option<i64>,
    }
    let sql = "SELECT (SELECT n FROM counter WHERE name = 'epoch') AS epoch, \
               (SELECT n FROM counter WHERE name = 'heartbeat') AS heartbeat, \
               (SELECT n FROM log_head WHERE name = 'revocation') AS revocation, \
               (SELECT n FROM log_head WHERE name = 'change') AS change";
    let row: Option<Row> = one(db, sql, []).await?;
    let mark = row.and_then(|row| {
        Some(Mark {
            epoch: row.epoch?,
            heartbeat: row.heartbeat?,
            revocation: row.revocation?,
            change: row.change?,
        })
    });
    mark.ok_or(StoreError::Corrupt {
        table: "counter",
        column: "name",
        id: "epoch, heartbeat".to_owned(),
    })
}

impl Store {
    /// How far the database has come.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn mark(&self) -> Result<Mark, StoreError> {
        read(self.db.follower()).await
    }

    /// Counts one heartbeat and says how far the database has come with it. One that is behind `known` is told as it is
    /// and not touched: with every beat it would look more like the one that was lost.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn beat(&self, known: &Mark) -> Result<Mark, StoreError> {
        retrying(async || {
            let write = self.db.write().await?;
            execute(
                &*write,
                "UPDATE counter SET n = n + 1 WHERE name = 'heartbeat'",
                [],
            )
            .await?;
            let after = read(&*write).await?;
            let before = Mark {
                heartbeat: after.heartbeat - 1,
                ..after
            };
            if before.is_behind(known) {
                return Ok(before);
            }
            write.commit().await?;
            Ok(after)
        })
        .await
    }

    /// How many families are alive.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn living_families(&self, now: Timestamp) -> Result<u64, StoreError> {
        #[derive(FromQueryResult)]
        struct Count {
            n: i64,
        }
        let sql = "SELECT COUNT(*) AS n FROM refresh_family \
                   WHERE revoked_at IS NULL AND idle_expires_at > $1 AND absolute_expires_at > $1";
        let count: Option<Count> = one(self.db.reader(), sql, [now.as_unix().into()]).await?;
        Ok(count.map_or(0, |count| u64::try_from(count.n).unwrap_or(0)))
    }

    /// Begins a new epoch on a database that lost something: ends every family and every access token issued so far, and
    /// writes down again what it forgot of keys. None when it is not behind any more, since somebody was faster; then
    /// nothing is written.
    ///
    /// # Errors
    /// [`StoreError::Stale`] when the set of keys is another one by now; [`StoreError::Unavailable`],
    /// [`StoreError::Corrupt`].
    pub async fn accept_rollback(&self, rollback: &Rollback<'_>) -> Result<Option<Accepted>, StoreError> {
        retrying(async || {
            let write = self.db.write().await?;
            let families = end_every_family(&write, self.now()).await?;
            lock_marks(&write).await?;
            let before = read(&*write).await?;
            if !before.is_behind(&rollback.known) {
                return Ok(None);
            }
            if key_version(&*write).await? != rollback.version {
                return Err(StoreError::Stale { what: "set of keys" });
            }
            let begun = before.after(rollback.known);
            set_marks(&write, &begun).await?;
            for change in rollback.keys {
                apply(&*write, change, self.now()).await?;
            }
            append_revocation(&write, &self.stamped(rollback.revocation)).await?;
            let mut audit = rollback.audit.clone();
            audit.detail.insert("families".to_owned(), families.into());
            // The last number of the change log is the one that follows.
            let mark = read(&*write).await?;
            let mark = Mark {
                change: mark.change + 1,
                ..mark
            };
            conclude(write, ChangeKind::Keys, "", &audit).await?;
            Ok(Some(Accepted { families, mark }))
        })
        .await
    }
}

/// Ends every family, in the order in which everyone takes them; says how many were alive.
async fn end_every_family(write: &Write, now: Timestamp) -> Result<u64, StoreError> {
    #[derive(FromQueryResult)]
    struct Found {
        id: String,
        ends_at: i64,
    }
    let (mut alive, mut after) = (0, String::new());
    loop {
        let sql = format!(
            "SELECT id, CASE WHEN idle_expires_at < absolute_expires_at THEN idle_expires_at \
             ELSE absolute_expires_at END AS ends_at FROM refresh_family \
             WHERE id > $1 AND revoked_at IS NULL ORDER BY id LIMIT {BATCH}{}",
            write.for_update()
        );
        let batch: Vec<Found> = all(&**write, &sql, [after.as_str().into()]).await?;
        let Some(last) = batch.last() else {
            return Ok(alive);
        };
        alive += batch.iter().filter(|found| found.ends_at > now.as_unix()).count() as u64;
        let sql = "UPDATE refresh_family SET revoked_at = $3, revoke_reason = $4 \
                   WHERE id > $1 AND id <= $2 AND revoked_at IS NULL";
        let values = [
            after.as_str().into(),
            last.id.as_str().into(),
            now.as_unix().into(),
            RevokeReason::Rollback.as_str().into(),
        ];
        execute(&**write, sql, values).await?;
        after.clone_from(&last.id);
    }
}

/// Keeps every number that a mark is made of, and the set of keys, as they are until the commit.
async fn lock_marks(write: &Write) -> Result<(), StoreError> {
    for name in ["epoch", "heartbeat"] {
        execute(
            &**write,
            "UPDATE counter SET n = n WHERE name = $1",
            [name.into()],
        )
        .await?;
    }
    lock_keys(write).await?;
    for name in ["revocation", "change"] {
        execute(
            &**write,
            "UPDATE log_head SET n = n WHERE name = $1",
            [name.into()],
        )
        .await?;
    }
    Ok(())
}

async fn set_marks(write: &Write, mark: &Mark) -> Result<(), StoreError> {
    for (name, n) in [("epoch", mark.epoch), ("heartbeat", mark.heartbeat)] {
        let sql = "UPDATE counter SET n = $2 WHERE name = $1";
        execute(&**write, sql, [name.into(), n.into()]).await?;
    }
    for (name, n) in [("revocation", mark.revocation), ("change", mark.change)] {
        let sql = "UPDATE log_head SET n = $2 WHERE name = $1";
        execute(&**write, sql, [name.into(), n.into()]).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(epoch: i64, heartbeat: i64, revocation: i64, change: i64) -> Mark {
        Mark {
            epoch,
            heartbeat,
            revocation,
            change,
        }
    }

    #[test]
    fn f13_any_number_that_went_back_within_an_epoch_is_noticed() {
        let known = mark(2, 100, 10, 20);
        for (found, behind) in [
            (known, false),
            (mark(2, 101, 10, 20), false),
            (mark(2, 101, 11, 21), false),
            (mark(2, 99, 10, 20), true),
            (mark(2, 100, 9, 20), true),
            (mark(2, 100, 10, 19), true),
            (mark(2, 5000, 9, 20), true),
            (mark(1, 5000, 5000, 5000), true),
            (mark(3, 0, 0, 0), false),
        ] {
            assert_eq!(found.is_behind(&known), behind, "{found:?}");
        }
        assert!(!mark(1, 0, 0, 0).is_behind(&Mark::default()));
    }

    #[test]
    fn two_views_of_one_database_are_one_view() {
        let one = mark(2, 100, 10, 20);
        assert_eq!(one.furthest(mark(2, 90, 12, 20)), mark(2, 100, 12, 20));
        for later in [mark(3, 1, 2, 3), mark(3, 500, 2, 300)] {
            assert_eq!(one.furthest(later), later);
            assert_eq!(later.furthest(one), later);
        }
    }

    #[test]
    fn f13_no_number_of_either_line_is_given_out_again() {
        let (known, found) = (mark(4, 100, 10, 20), mark(3, 400, 12, 15));
        let begun = found.after(known);
        assert_eq!(begun, mark(5, 401, 13, 21));
        assert_eq!(known.after(found), begun);
        for line in [known, found] {
            assert!(line.is_behind(&begun) && !begun.is_behind(&line));
        }
    }
}
