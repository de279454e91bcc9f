//! How far the database has come: numbers that only go up, and beats that each replica knows for its own, so that whoever
//! remembers them notices a database that went back in time; and the acceptance of one that did.

use std::cmp::Ordering;
use std::time::Duration;

use sea_orm::{ConnectionTrait, FromQueryResult};
use vouchsafe_protocol::Timestamp;

use crate::backend::{Write, retrying};
use crate::family::end_of_all;
use crate::key::{apply, key_version, lock_keys};
use crate::log::{append_revocation, conclude};
use crate::sql::{execute, one};
use crate::{AuditEntry, ChangeKind, KeyChange, NewRevocation, Store, StoreError};

/// For how long the row of a beat stays.
pub(crate) const BEATS_KEPT: Duration = Duration::from_secs(48 * 3600);
/// A beat is asked for until it is so old: clearly before its row is swept.
const ASKED_FOR: Duration = Duration::from_secs(36 * 3600);

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

/// One beat, known by its replica for its own: another one may count the same number anew, but not under the same nonce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    /// The epoch it was counted in; in a later one it is not asked for.
    pub epoch: i64,
    /// What it made of the heartbeat.
    pub n: i64,
    /// A random word of its own.
    pub nonce: String,
    /// When it was counted.
    pub at: Timestamp,
}

impl Beat {
    /// True when a database in this epoch must have its row.
    fn is_asked_for(&self, epoch: i64, now: Timestamp) -> bool {
        self.epoch == epoch && now.since(self.at) < ASKED_FOR
    }

    /// True when this one was counted after the other, in one database.
    #[must_use]
    pub fn is_later_than(&self, other: &Self) -> bool {
        (self.epoch, self.n) > (other.epoch, other.n)
    }
}

/// What a database shows to somebody who remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// How far it has come.
    pub mark: Mark,
    /// True when the beat that is remembered is not in it.
    pub beat_missing: bool,
    /// True when a replica noticed that this epoch of it lost something.
    pub disowned: bool,
}

impl Found {
    /// True when it lost something that `known`, the beat, or somebody else saw of it.
    #[must_use]
    pub fn is_behind(&self, known: &Mark) -> bool {
        self.beat_missing || self.disowned || self.mark.is_behind(known)
    }
}

impl From<Mark> for Found {
    /// One in which everybody finds the own beat.
    fn from(mark: Mark) -> Self {
        Self {
            mark,
            beat_missing: false,
            disowned: false,
        }
    }
}

/// What a database that went back is accepted with.
#[derive(Clone, Copy, Debug)]
pub struct Rollback<'a> {
    /// How far it had come.
    pub known: Mark,
    /// The last beat of whoever accepts it.
    pub beat: Option<&'a Beat>,
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
    // Without a beat no instant matters.
    let found = look(db, None, Timestamp::from_unix(0)).await?;
    Ok(found.mark)
}

async fn look(db: &impl ConnectionTrait, own: Option<&Beat>, now: Timestamp) -> Result<Found, StoreError> {
    #[derive(FromQueryResult)]
    struct Row {
        epoch: Option<i64>,
        heartbeat: Option<i64>,
        revocation: Option<i64>,
        change: Option<i64>,
        lost: Option<i64>,
        nonce: Option<String>,
    }
    let sql = "SELECT (SELECT n FROM counter WHERE name = 'epoch') AS epoch, \
               (SELECT n FROM counter WHERE name = 'heartbeat') AS heartbeat, \
               (SELECT n FROM log_head WHERE name = 'revocation') AS revocation, \
               (SELECT n FROM log_head WHERE name = 'change') AS change, \
               (SELECT n FROM counter WHERE name = 'lost') AS lost, \
               (SELECT nonce FROM beat WHERE n = $1) AS nonce";
    // No beat has the number 0.
    let number = own.map_or(0, |own| own.n);
    let row: Option<Row> = one(db, sql, [number.into()]).await?;
    let found = row.and_then(|row| {
        let mark = Mark {
            epoch: row.epoch?,
            heartbeat: row.heartbeat?,
            revocation: row.revocation?,
            change: row.change?,
        };
        let is_missing = |own: &Beat| {
            own.is_asked_for(mark.epoch, now) && row.nonce.as_deref() != Some(own.nonce.as_str())
        };
        Some(Found {
            mark,
            beat_missing: own.is_some_and(is_missing),
            disowned: row.lost? >= mark.epoch,
        })
    });
    found.ok_or(StoreError::Corrupt {
        table: "counter",
        column: "name",
        id: "epoch, heartbeat, lost".to_owned(),
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

    /// What the database shows to a replica that remembers a beat.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn look(&self, own: Option<&Beat>) -> Result<Found, StoreError> {
        look(self.db.follower(), own, self.now()).await
    }

    /// Counts one heartbeat under a nonce and says how far the database has come with it. One that is behind `known`, or
    /// without the own last beat, is told as it is and not touched: with every beat it would look more like the one that
    /// was lost. Then there is no new beat.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn beat(
        &self,
        known: &Mark,
        own: Option<&Beat>,
        nonce: &str,
        now: Timestamp,
    ) -> Result<(Found, Option<Beat>), StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            execute(
                &*write,
                "UPDATE counter SET n = n + 1 WHERE name = 'heartbeat'",
                [],
            )
            .await?;
            let after = look(&*write, own, now).await?;
            let before = Found {
                mark: Mark {
                    heartbeat: after.mark.heartbeat - 1,
                    ..after.mark
                },
                ..after
            };
            if before.is_behind(known) {
                return Ok((before, None));
            }
            let beat = Beat {
                epoch: after.mark.epoch,
                n: after.mark.heartbeat,
                nonce: nonce.to_owned(),
                at: now,
            };
            let sql = "INSERT INTO beat (n, nonce, at) VALUES ($1, $2, $3)";
            let values = [beat.n.into(), nonce.into(), now.as_unix().into()];
            execute(&*write, sql, values).await?;
            write.commit().await?;
            Ok((after, Some(beat)))
        })
        .await
    }

    /// Tells every other replica that an epoch lost something: one whose own beats are all there would go on.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn disown(&self, epoch: i64) -> Result<(), StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            let sql = "UPDATE counter SET n = $1 WHERE name = 'lost' AND n < $1";
            execute(&*write, sql, [epoch.into()]).await?;
            write.commit().await
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
        retrying(|| async {
            let write = self.db.write().await?;
            // Before families, as whoever revokes a MAC key takes them.
            lock_keys(&write).await?;
            let families = end_of_all(&write, self.now()).await?;
            lock_marks(&write).await?;
            let before = look(&*write, rollback.beat, self.now()).await?;
            if !before.is_behind(&rollback.known) {
                return Ok(None);
            }
            if key_version(&*write).await? != rollback.version {
                return Err(StoreError::Stale { what: "set of keys" });
            }
            let begun = before.mark.after(rollback.known);
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

/// Keeps every number that a mark is made of as it is until the commit.
async fn lock_marks(write: &Write) -> Result<(), StoreError> {
    for name in ["epoch", "heartbeat"] {
        execute(
            &**write,
            "UPDATE counter SET n = n WHERE name = $1",
            [name.into()],
        )
        .await?;
    }
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
    fn f10_a_beat_is_asked_for_in_its_epoch_until_it_is_old() {
        let at = Timestamp::from_unix(1_000_000);
        let beat = Beat {
            epoch: 2,
            n: 100,
            nonce: "one".to_owned(),
            at,
        };
        let almost = at.plus(ASKED_FOR).minus(Duration::from_secs(1));
        for (epoch, now, asked) in [
            (2, at, true),
            (2, almost, true),
            (2, at.plus(ASKED_FOR), false),
            // A clock that stepped back makes no beat older.
            (2, at.minus(ASKED_FOR), true),
            (1, at, false),
            (3, at, false),
        ] {
            assert_eq!(beat.is_asked_for(epoch, now), asked, "{epoch} {now:?}");
        }
        assert_eq!(ASKED_FOR.cmp(&BEATS_KEPT), Ordering::Less);
        let later = |epoch, n| Beat {
            epoch,
            n,
            ..beat.clone()
        };
        assert!(later(2, 101).is_later_than(&beat) && later(3, 1).is_later_than(&beat));
        assert!(!beat.is_later_than(&beat) && !later(1, 500).is_later_than(&beat));
    }

    #[test]
    fn f10_a_missing_beat_and_a_notice_of_somebody_else_count_like_a_lower_number() {
        let known = mark(2, 100, 10, 20);
        let whole = Found::from(mark(2, 150, 12, 25));
        assert!(!whole.is_behind(&known));
        for found in [
            Found {
                beat_missing: true,
                ..whole
            },
            Found {
                disowned: true,
                ..whole
            },
            Found::from(mark(2, 99, 10, 20)),
        ] {
            assert!(found.is_behind(&known), "{found:?}");
        }
        let disowned = Found {
            disowned: true,
            ..whole
        };
        assert!(
            disowned.is_behind(&Mark::default()),
            "also for whoever knows nothing"
        );
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
