//! Expired rows as years of use leave them: copies of the sessions that live, under ids of their own.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use sea_orm::{ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection, Statement};

use crate::options::Backend;

/// Rows of one transaction.
const CHUNK: u64 = 500_000;
const DAY: i64 = 24 * 3600;
/// The rows expired over so long, in the order of their births; sessions of different lengths mix within a day.
const SPREAD: i64 = 90 * DAY;
/// The youngest expired so long ago.
const AGE: i64 = 60;
/// Rotations that a row remembers at most.
const REMEMBERED: i64 = 16;

const COLUMNS: &str = "id, client_id, subject, scope, audience, auth_time, acr, amr, refreshable, seq, current_jti, \
    previous_jti, mac_kid, rotated_at, recent, created_at, idle_expires_at, absolute_expires_at, revoked_at, \
    revoke_reason";

/// The rows of a database, seen past its servers.
pub(super) struct Rows {
    connection: DatabaseConnection,
    backend: Backend,
}

impl Rows {
    /// Connects.
    ///
    /// # Errors
    /// Why that fails.
    pub(super) async fn open(url: &str, backend: Backend) -> Result<Self, String> {
        let mut options = ConnectOptions::new(url);
        options
            .max_connections(1)
            .idle_timeout(None::<Duration>)
            .max_lifetime(None::<Duration>)
            .sqlx_logging(false);
        let connection = Database::connect(options).await.map_err(told)?;
        Ok(Self { connection, backend })
    }

    /// Adds rows that have expired by `now`, and leaves the database as if they had been there for long.
    ///
    /// # Errors
    /// Why that fails.
    pub(super) async fn seed(&self, rows: u64, now: i64) -> Result<(), String> {
        self.seed_by(CHUNK, rows, now).await?;
        for statement in settling(self.backend) {
            self.connection
                .execute_unprepared(statement)
                .await
                .map_err(told)?;
        }
        Ok(())
    }

    async fn seed_by(&self, chunk: u64, rows: u64, now: i64) -> Result<(), String> {
        if let Some(statement) = preparing(self.backend) {
            self.connection
                .execute_unprepared(statement)
                .await
                .map_err(told)?;
        }
        let (sql, recent) = (insertion(self.backend), recent(now));
        for numbers in chunks(rows, chunk) {
            let wanted = numbers.end().saturating_sub(*numbers.start()).saturating_add(1);
            let values = [
                number(*numbers.start()).into(),
                number(*numbers.end()).into(),
                now.saturating_sub(AGE).into(),
                number(rows).into(),
                recent.clone().into(),
            ];
            let backend = self.connection.get_database_backend();
            let statement = Statement::from_sql_and_values(backend, &sql, values);
            let done = self.connection.execute_raw(statement).await.map_err(told)?;
            if done.rows_affected() != wanted {
                return Err(format!("{} rows were seeded, not {wanted}", done.rows_affected()));
            }
            eprintln!("sweep: {} of {rows} rows are seeded", numbers.end());
        }
        Ok(())
    }

    /// How many rows have expired by `now`, counted up to `most`. From the youngest on: a sweep begins with the oldest,
    /// and what it left behind in the index is not to be tidied up by whoever counts.
    ///
    /// # Errors
    /// Why they cannot be counted.
    pub(super) async fn expired(&self, now: i64, most: u64) -> Result<u64, String> {
        let sql = "SELECT COUNT(*) AS n FROM (SELECT absolute_expires_at FROM refresh_family \
                   WHERE absolute_expires_at < $1 ORDER BY absolute_expires_at DESC LIMIT $2) AS expired";
        let backend = self.connection.get_database_backend();
        let statement = Statement::from_sql_and_values(backend, sql, [now.into(), number(most).into()]);
        let row = self.connection.query_one_raw(statement).await.map_err(told)?;
        let count: i64 = row.ok_or("no count")?.try_get("", "n").map_err(told)?;
        Ok(u64::try_from(count).unwrap_or(0))
    }
}

fn told(error: impl Display) -> String {
    format!("the rows: {error}")
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The numbers of all rows, so many at a time; they begin with 1.
fn chunks(rows: u64, chunk: u64) -> impl Iterator<Item = RangeInclusive<u64>> {
    let mut done: u64 = 0;
    std::iter::from_fn(move || {
        let first = done + 1;
        done = rows.min(done.saturating_add(chunk));
        (first <= done).then_some(first..=done)
    })
}

/// A memory of rotations at its full width; rows take as much of it as they had rotations.
fn recent(now: i64) -> String {
    let at = now.saturating_sub(SPREAD);
    (0..REMEMBERED)
        .rev()
        .map(|seq| format!("{seq:010}{at:011}"))
        .collect()
}

/// $1 and $2 are the numbers of the first and the last row, $3 the instant at which the youngest expired, $4 the number of
/// all rows, $5 the text that `recent` is cut from. Sessions that live beyond $3 are what is copied.
fn insertion(backend: Backend) -> String {
    let series = match backend {
        Backend::Sqlite => {
            "SELECT CAST($1 AS BIGINT) UNION ALL SELECT n + 1 FROM series WHERE n < CAST($2 AS BIGINT)"
        }
        Backend::Postgres => {
            "SELECT number FROM generate_series(CAST($1 AS BIGINT), CAST($2 AS BIGINT)) AS number"
        }
    };
    let [id, subject, current, previous] =
        ["id", "subject", "current", "previous"].map(|word| random(backend, word));
    let entry = 10 + 11;
    let kinds = REMEMBERED + 1;
    let mixed = SPREAD - DAY;
    format!(
        "WITH RECURSIVE series(n) AS ({series}), \
         past AS (SELECT n, n % {kinds} AS rotations, \
         $3 - ($4 - n) * {mixed} / $4 - n * 7919 % {DAY} AS expires FROM series), \
         living AS (SELECT f.*, ROW_NUMBER() OVER (ORDER BY f.id) - 1 AS place FROM refresh_family AS f \
         WHERE f.absolute_expires_at > $3), \
         line AS (SELECT past.n, past.rotations, past.expires, living.*, \
         past.expires - (living.absolute_expires_at - living.created_at) AS born \
         FROM past JOIN living ON living.place = past.n % (SELECT COUNT(*) FROM living)) \
         INSERT INTO refresh_family ({COLUMNS}) \
         SELECT {id}, client_id, 'usr_' || {subject}, scope, audience, born, acr, amr, refreshable, rotations, \
         {current}, CASE WHEN rotations = 0 THEN NULL ELSE {previous} END, mac_kid, born + rotations * 900, \
         SUBSTR(CAST($5 AS TEXT), 1, CAST(rotations * {entry} AS INTEGER)), born, \
         born + rotations * 900 + idle_expires_at - rotated_at, expires, \
         CASE WHEN n % 10 = 0 THEN born + rotations * 900 END, CASE WHEN n % 10 = 0 THEN 'revoked' END FROM line"
    )
}

/// 22 characters of base64url, which have nothing to do with the order of the rows.
fn random(backend: Backend, word: &str) -> String {
    match backend {
        Backend::Sqlite => "SUBSTR(HEX(RANDOMBLOB(11)), 1, 21) || 'A'".to_owned(),
        Backend::Postgres => format!("SUBSTR(MD5('{word}' || CAST(n AS TEXT)), 1, 21) || 'A'"),
    }
}

/// What makes many rows at a time quicker for this connection alone.
const fn preparing(backend: Backend) -> Option<&'static str> {
    match backend {
        Backend::Sqlite => Some("PRAGMA cache_size = -262144"),
        Backend::Postgres => None,
    }
}

/// What the database would do by itself sooner or later, and not in the middle of the measurement. SQLite makes no
/// statistics by itself.
const fn settling(backend: Backend) -> &'static [&'static str] {
    match backend {
        Backend::Sqlite => &["PRAGMA wal_checkpoint(TRUNCATE)"],
        Backend::Postgres => &["VACUUM (ANALYZE) refresh_family", "CHECKPOINT"],
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use vouchsafe_protocol::Timestamp;
    use vouchsafe_store::{FamilyFilter, Store};
    use vouchsafe_tests::{DatabaseKind, START, TestClock};

    use super::*;

    const LIVING: &str = "INSERT INTO refresh_family (id, client_id, subject, scope, audience, auth_time, acr, amr, \
        refreshable, seq, current_jti, previous_jti, mac_kid, rotated_at, recent, created_at, idle_expires_at, \
        absolute_expires_at, revoked_at, revoke_reason) VALUES ('AAAAAAAAAAAAAAAAAAAAAA', 'web', \
        'usr_AAAAAAAAAAAAAAAAAAAAAA', 'openid', '[]', 1767225600, NULL, '[\"pwd\"]', 1, 0, \
        'BBBBBBBBBBBBBBBBBBBBBB', NULL, 'mac', 1767225600, '', 1767225600, 1768435200, 1775001600, NULL, NULL)";

    #[test]
    fn chunks_cover_every_row_once() {
        let all = |rows, chunk| chunks(rows, chunk).collect::<Vec<_>>();
        assert_eq!(all(5, 2), [1..=2, 3..=4, 5..=5]);
        assert_eq!(all(4, 2), [1..=2, 3..=4]);
        assert!(all(0, 2).is_empty());
    }

    #[tokio::test]
    async fn the_rows_are_sessions_that_expired_and_the_sweep_takes_them_alone() {
        for (kind, backend) in [
            (DatabaseKind::Sqlite, Backend::Sqlite),
            (DatabaseKind::Postgres, Backend::Postgres),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let url = kind.migrated(folder.path()).await;
            let rows = Rows::open(&url, backend).await.unwrap();
            assert!(rows.seed_by(10, 20, START).await.is_err(), "nothing to copy");
            rows.connection.execute_unprepared(LIVING).await.unwrap();
            rows.seed_by(300, 1_000, START).await.unwrap();
            for statement in settling(backend) {
                rows.connection.execute_unprepared(statement).await.unwrap();
            }
            assert_eq!(rows.expired(START, 5_000).await.unwrap(), 1_000);
            assert_eq!(rows.expired(START, 700).await.unwrap(), 700);
            assert_eq!(rows.expired(START - SPREAD - AGE, 5_000).await.unwrap(), 0);
            assert!(rows.expired(START - SPREAD / 2, 5_000).await.unwrap() > 400);

            let database = vouchsafe_store::Database::open(&url, false).await.unwrap();
            let store = Store::new(database, Arc::new(TestClock::default()));
            let now = Timestamp::from_unix(START);
            let all = FamilyFilter {
                ended_too: true,
                ..FamilyFilter::default()
            };
            let families = store.families(&all, now, 5_000).await.unwrap();
            assert_eq!(families.len(), 1_001);
            let ended = families.iter().filter(|found| found.family.ended.is_some());
            assert_eq!(ended.count(), 100);
            let (mut swept, kept) = (0, Duration::from_secs(1));
            for _ in 0..20 {
                swept += store.sweep(now, kept, 100).await.unwrap().families;
            }
            assert_eq!((swept, rows.expired(START, 5_000).await.unwrap()), (1_000, 0));
            assert_eq!(rows.expired(i64::MAX, 5_000).await.unwrap(), 1);
            store.close().await;
        }
    }
}
