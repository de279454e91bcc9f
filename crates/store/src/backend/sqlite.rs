//! SQLite: one writer, several readers, WAL, and every commit on disk before it counts.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sea_orm::{
    DatabaseConnection, DatabaseTransaction, DbErr, SqliteTransactionMode, SqlxSqliteConnector,
    TransactionOptions, TransactionTrait,
};
use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use crate::StoreError;

const READERS: u32 = 4;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
const BUSY_TIMEOUT: Duration = Duration::from_millis(700);
const BEGIN_TRIES: u32 = 4;

/// An open database. Cloning shares the connections.
#[derive(Clone, Debug)]
pub struct Database {
    writer: DatabaseConnection,
    reader: DatabaseConnection,
}

/// An open write transaction; dropped without [`Write::commit`] it is rolled back.
pub(crate) struct Write(DatabaseTransaction);

impl Deref for Write {
    type Target = DatabaseTransaction;

    fn deref(&self) -> &DatabaseTransaction {
        &self.0
    }
}

impl Write {
    /// Makes the transaction durable.
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        Ok(self.0.commit().await?)
    }
}

impl Database {
    /// Opens the database that a `sqlite:PATH` URL names; with `create`, makes the file (mode 0600) if it is missing.
    ///
    /// # Errors
    /// [`StoreError::Setup`] for another kind of URL or a database that is not set up as promised, else the
    /// database's error.
    pub async fn open(url: &str, create: bool) -> Result<Self, StoreError> {
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
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .min_connections(1)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options.clone())
            .await
            .map_err(unavailable)?;
        let reader = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .connect_with(options.pragma("query_only", "ON"))
            .await
            .map_err(unavailable)?;
        let database = Self {
            writer: SqlxSqliteConnector::from_sqlx_sqlite_pool(writer),
            reader: SqlxSqliteConnector::from_sqlx_sqlite_pool(reader),
        };
        database.check_durability().await?;
        Ok(database)
    }

    /// The file that a URL names; none for a database that is no file.
    #[must_use]
    pub fn file_of(url: &str) -> Option<PathBuf> {
        file_of(url).ok()
    }

    /// The connection that schema changes run on.
    #[must_use]
    pub fn schema_connection(&self) -> &DatabaseConnection {
        &self.writer
    }

    /// The connections for reading only.
    pub(crate) fn reader(&self) -> &DatabaseConnection {
        &self.reader
    }

    /// Begins a write transaction, taking the write lock at once, so that nothing later in it can be refused as busy.
    #[expect(
        clippy::disallowed_methods,
        reason = "transactions begin here and nowhere else"
    )]
    pub(crate) async fn write(&self) -> Result<Write, StoreError> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let mut tries = 0;
        loop {
            tries += 1;
            match self
                .writer
                .begin_with_options(options)
                .await
                .map_err(StoreError::from)
            {
                Ok(transaction) => return Ok(Write(transaction)),
                Err(error) if error.is_busy() && tries < BEGIN_TRIES => {
                    tokio::time::sleep(Duration::from_millis(u64::from(tries) * 20)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Closes every connection; what is under way ends first.
    pub async fn close(&self) {
        for connection in [&self.reader, &self.writer] {
            // A pool that is closed already has nothing left to do.
            let _ = connection.clone().close().await;
        }
    }

    async fn check_durability(&self) -> Result<(), StoreError> {
        #[derive(sea_orm::FromQueryResult)]
        struct Pragmas {
            journal_mode: String,
            synchronous: i64,
        }
        let sql = "SELECT (SELECT journal_mode FROM pragma_journal_mode) AS journal_mode, \
                   (SELECT synchronous FROM pragma_synchronous) AS synchronous";
        let found: Option<Pragmas> = crate::sql::one(&self.writer, sql, []).await?;
        match found {
            Some(pragmas) if pragmas.journal_mode == "wal" && pragmas.synchronous >= 2 => Ok(()),
            Some(pragmas) => Err(StoreError::Setup(format!(
                "SQLite runs with journal_mode={} synchronous={}; wal and at least 2 (FULL) are needed",
                pragmas.journal_mode, pragmas.synchronous
            ))),
            None => Err(StoreError::Setup("SQLite does not tell its settings".to_owned())),
        }
    }
}

fn file_of(url: &str) -> Result<PathBuf, StoreError> {
    let path = url
        .strip_prefix("sqlite://")
        .or_else(|| url.strip_prefix("sqlite:"))
        .ok_or_else(|| StoreError::Setup("database.url must begin with `sqlite:`".to_owned()))?;
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

fn unavailable(error: sqlx::Error) -> StoreError {
    StoreError::Unavailable(DbErr::Conn(sea_orm::RuntimeErr::SqlxError(error.into())))
}
