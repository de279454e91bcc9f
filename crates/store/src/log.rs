//! Two logs with gapless numbers: the public one of revocations, and the internal one of changes that caches follow.

use std::time::Duration;

use sea_orm::{FromQueryResult, Value};
use vouchsafe_protocol::{RevocationEntry, RevocationKind, Timestamp};

use crate::backend::{Write, retrying};
use crate::sql::{Cell, all, execute, instant, one, tuples};
use crate::{AuditEntry, Store, StoreError};

/// A revocation to be appended.
#[derive(Clone, Debug)]
pub struct NewRevocation {
    /// What the key names.
    pub kind: RevocationKind,
    /// The family, subject, client, jti or kid; empty for `all`.
    pub key: String,
    /// Tokens issued up to and including this second are dead.
    pub not_before: Timestamp,
    /// The entry may be forgotten from here on.
    pub expires: Timestamp,
    /// When it was made.
    pub at: Timestamp,
}

/// What a cache must forget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// A client, by id.
    Client,
    /// A resource, by URI.
    Resource,
    /// A role, by name: every closure may differ.
    Role,
    /// A person, by subject.
    User,
    /// The set of keys.
    Keys,
}

impl ChangeKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Resource => "resource",
            Self::Role => "role",
            Self::User => "user",
            Self::Keys => "keys",
        }
    }
}

impl std::str::FromStr for ChangeKind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Client, Self::Resource, Self::Role, Self::User, Self::Keys]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or(())
    }
}

/// One change that caches follow.
#[derive(Clone, Debug)]
pub struct ChangeEntry {
    /// Its number.
    pub n: i64,
    /// What changed; none for a kind that only a later release knows.
    pub kind: Option<ChangeKind>,
    /// Which one.
    pub key: String,
}

/// The last number of each log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogHeads {
    /// Of the revocation log.
    pub revocation: i64,
    /// Of the change log.
    pub change: i64,
}

/// How many entries one statement appends.
const ENTRIES_AT_ONCE: usize = 500;

#[derive(FromQueryResult)]
struct Number {
    n: i64,
}

/// Takes the next `count` numbers of a log and gives the first of them; sees to it that followers are told. The row lock
/// holds appends in order until the commit, so numbers have no gaps; it is the last lock that a transaction takes.
async fn next_numbers(write: &Write, log: &'static str, count: usize) -> Result<i64, StoreError> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let sql = "UPDATE log_head SET n = n + $2 WHERE name = $1 RETURNING n - $2 + 1 AS n";
    let number: Option<Number> = one(&**write, sql, [log.into(), count.into()]).await?;
    if let Some(channel) = write.channel() {
        execute(&**write, "SELECT pg_notify($1, '')", [channel.into()]).await?;
    }
    number.map(|number| number.n).ok_or(StoreError::Corrupt {
        table: "log_head",
        column: "name",
        id: log.to_owned(),
    })
}

/// A token that a client got for itself after another revocation of the same second carries the next one; this covers
/// it too. Tokens for people fall with their family.
async fn covering(write: &Write, entry: &NewRevocation) -> Result<Timestamp, StoreError> {
    if entry.kind != RevocationKind::Client {
        return Ok(entry.not_before);
    }
    let sql = "SELECT COUNT(*) AS n FROM revocation_log WHERE not_before >= $1 AND kind = $2 AND key = $3";
    let values = [
        entry.at.as_unix().into(),
        entry.kind.as_str().into(),
        entry.key.clone().into(),
    ];
    let earlier: Option<Number> = one(&**write, sql, values).await?;
    let next_second = entry.at.plus(Duration::from_secs(1));
    Ok(match earlier {
        Some(Number { n: 1.. }) => entry.not_before.max(next_second),
        _ => entry.not_before,
    })
}

/// Appends a revocation inside the caller's transaction.
pub(crate) async fn append_revocation(write: &Write, entry: &NewRevocation) -> Result<(), StoreError> {
    append_revocations(write, std::slice::from_ref(entry)).await
}

/// Appends revocations inside the caller's transaction, many with one statement: nobody else appends meanwhile.
pub(crate) async fn append_revocations(write: &Write, entries: &[NewRevocation]) -> Result<(), StoreError> {
    const WIDTH: usize = 6;
    if entries.is_empty() {
        return Ok(());
    }
    let first = next_numbers(write, "revocation", entries.len()).await?;
    let mut numbers = first..;
    for chunk in entries.chunks(ENTRIES_AT_ONCE) {
        let mut values: Vec<Value> = Vec::with_capacity(chunk.len() * WIDTH);
        for (entry, n) in chunk.iter().zip(&mut numbers) {
            let not_before = covering(write, entry).await?;
            values.extend::<[Value; WIDTH]>([
                n.into(),
                entry.kind.as_str().into(),
                entry.key.clone().into(),
                not_before.as_unix().into(),
                entry.expires.as_unix().into(),
                entry.at.as_unix().into(),
            ]);
        }
        let sql = format!(
            "INSERT INTO revocation_log (n, kind, key, not_before, expires, at) VALUES {}",
            tuples(1, WIDTH, chunk.len())
        );
        execute(&**write, &sql, values).await?;
    }
    Ok(())
}

/// Appends changes of one kind inside the caller's transaction.
pub(crate) async fn append_changes(
    write: &Write,
    kind: ChangeKind,
    keys: &[&str],
    at: Timestamp,
) -> Result<(), StoreError> {
    if keys.is_empty() {
        return Ok(());
    }
    let first = next_numbers(write, "change", keys.len()).await?;
    for (n, key) in (first..).zip(keys) {
        let sql = "INSERT INTO change_log (n, kind, key, at) VALUES ($1, $2, $3, $4)";
        let values = [n.into(), kind.as_str().into(), (*key).into(), at.as_unix().into()];
        execute(&**write, sql, values).await?;
    }
    Ok(())
}

/// Ends a change that caches follow: change log entry, audit row, commit.
pub(crate) async fn conclude(
    write: Write,
    kind: ChangeKind,
    key: &str,
    audit: &AuditEntry,
) -> Result<(), StoreError> {
    append_changes(&write, kind, &[key], audit.at).await?;
    crate::audit::write(&*write, audit).await?;
    write.commit().await
}

impl Store {
    /// The last number of each log: one cheap read that tells whether anything happened.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn log_heads(&self) -> Result<LogHeads, StoreError> {
        #[derive(FromQueryResult)]
        struct Heads {
            revocation: i64,
            change: i64,
        }
        let sql = "SELECT (SELECT n FROM log_head WHERE name = 'revocation') AS revocation, \
                   (SELECT n FROM log_head WHERE name = 'change') AS change";
        let heads: Option<Heads> = one(self.db.follower(), sql, []).await?;
        heads
            .map(|heads| LogHeads {
                revocation: heads.revocation,
                change: heads.change,
            })
            .ok_or(StoreError::Corrupt {
                table: "log_head",
                column: "n",
                id: String::new(),
            })
    }

    /// Revocations after number `after`, oldest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn revocations_after(
        &self,
        after: i64,
        limit: u32,
    ) -> Result<Vec<RevocationEntry>, StoreError> {
        #[derive(FromQueryResult)]
        struct Row {
            n: i64,
            kind: String,
            key: String,
            not_before: i64,
            expires: i64,
        }
        let sql =
            "SELECT n, kind, key, not_before, expires FROM revocation_log WHERE n > $1 ORDER BY n LIMIT $2";
        let rows: Vec<Row> = all(self.db.follower(), sql, [after.into(), i64::from(limit).into()]).await?;
        rows.into_iter()
            .map(|row| {
                let cell = Cell {
                    table: "revocation_log",
                    column: "kind",
                    id: &row.n.to_string(),
                };
                Ok(RevocationEntry {
                    n: row.n,
                    kind: cell.parse(&row.kind)?,
                    key: row.key,
                    not_before: instant(row.not_before),
                    expires: instant(row.expires),
                })
            })
            .collect()
    }

    /// Changes after number `after`, oldest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn changes_after(&self, after: i64, limit: u32) -> Result<Vec<ChangeEntry>, StoreError> {
        #[derive(FromQueryResult)]
        struct Row {
            n: i64,
            kind: String,
            key: String,
        }
        let sql = "SELECT n, kind, key FROM change_log WHERE n > $1 ORDER BY n LIMIT $2";
        let rows: Vec<Row> = all(self.db.follower(), sql, [after.into(), i64::from(limit).into()]).await?;
        Ok(rows
            .into_iter()
            .map(|row| ChangeEntry {
                n: row.n,
                kind: row.kind.parse().ok(),
                key: row.key,
            })
            .collect())
    }

    /// Ends one access token by its `jti`: log entry and audit row together.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn revoke_by_log(&self, entry: &NewRevocation, audit: &AuditEntry) -> Result<(), StoreError> {
        retrying(|| async {
            let write = self.db.write().await?;
            append_revocation(&write, entry).await?;
            crate::audit::write(&*write, audit).await?;
            write.commit().await
        })
        .await
    }
}
