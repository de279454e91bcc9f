//! SQLite: one writer, several readers, WAL, and every commit on disk before it counts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sea_orm::{DatabaseConnection, SqliteTransactionMode, SqlxSqliteConnector, TransactionOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection as _};

use super::dialect::Dialect;
use super::{Database, Pools, driver, retrying};
use crate::StoreError;

const READERS: u32 = 4;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
const BUSY_TIMEOUT: Duration = Duration::from_millis(700);

static DIALECT: Dialect = Dialect {
    // The write lock is taken at once, so that nothing later in the transaction can be refused as busy.
    begin: TransactionOptions {
        isolation_level: None,
        access_mode: None,
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
    },
    for_update: "",
    for_share: "",
    for_update_of_free: "",
    gate: None,
    enter: None,
    channel: None,
    durable: None,
    time: None,
};

pub(super) async fn open(url: &str, create: bool) -> Result<Database, StoreError> {
    let path = file_of(url)?;
    if create {
        create_private(&path)?;
    }
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
        .disable_statement_logging();
    // Two processes that turn a new file to WAL stand in each other's way, whatever the busy timeout.
    let writer = retrying(|| async {
        let one = pool(1).min_connections(1).idle_timeout(None).max_lifetime(None);
        one.connect_with(options.clone()).await.map_err(driver)
    })
    .await?;
    let reading = options.pragma("query_only", "ON");
    let reader = pool(READERS)
        .connect_with(reading.clone())
        .await
        .map_err(driver)?;
    let follower = pool(1).connect_lazy_with(reading);
    let writer = connection(writer);
    check_durability(&writer).await?;
    Ok(Database {
        pools: Pools {
            rotations: writer.clone(),
            writes: writer.clone(),
            reads: connection(reader.clone()),
            questions: connection(reader),
            follow: connection(follower),
            schema: writer,
        },
        dialect: &DIALECT,
        file: Some(path),
    })
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .after_release(|connection, _| {
            Box::pin(async move {
                // Behind the rollback that the end of a transaction has queued.
                connection.ping().await?;
                // What the database rolled back by itself, on a full disk, the driver still takes for open.
                Ok(!connection.is_in_transaction())
            })
        })
}

fn connection(pool: SqlitePool) -> DatabaseConnection {
    SqlxSqliteConnector::from_sqlx_sqlite_pool(pool)
}

async fn check_durability(writer: &DatabaseConnection) -> Result<(), StoreError> {
    #[derive(sea_orm::FromQueryResult)]
    struct Pragmas {
        journal_mode: String,
        synchronous: i64,
    }
    let sql = "SELECT (SELECT journal_mode FROM pragma_journal_mode) AS journal_mode, \
               (SELECT synchronous FROM pragma_synchronous) AS synchronous";
    let found: Option<Pragmas> = crate::sql::one(writer, sql, []).await?;
    match found {
        Some(pragmas) if pragmas.journal_mode == "wal" && pragmas.synchronous >= 2 => Ok(()),
        Some(pragmas) => Err(StoreError::Setup(format!(
            "SQLite runs with journal_mode={} synchronous={}; wal and at least 2 (FULL) are needed",
            pragmas.journal_mode, pragmas.synchronous
        ))),
        None => Err(StoreError::Setup("SQLite does not tell its settings".to_owned())),
    }
}

pub(super) fn file_of(url: &str) -> Result<PathBuf, StoreError> {
    let path = url
        .strip_prefix("sqlite://")
        .or_else(|| url.strip_prefix("sqlite:"))
        .ok_or_else(|| {
            StoreError::Setup("database.url must begin with `sqlite:` or `postgres:`".to_owned())
        })?;
    let path = path.split('?').next().unwrap_or(path);
    if path.is_empty() || path == ":memory:" {
        return Err(StoreError::Setup("database.url must name a file".to_owned()));
    }
    Ok(PathBuf::from(path))
}

fn create_private(path: &Path) -> Result<(), StoreError> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(path)
        .map(drop)
        .map_err(|error| StoreError::Setup(format!("cannot create {}: {error}", path.display())))
}
