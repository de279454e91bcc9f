//! How a database is reached: the one place that knows which database it is.

mod dialect;
mod patience;
mod postgres;
mod schema_lock;
mod sqlite;
mod wake;

use std::ops::Deref;
use std::path::PathBuf;
use std::time::Duration;

use sea_orm::{DatabaseConnection, DatabaseTransaction, DbErr, RuntimeErr, TransactionTrait};

use crate::StoreError;
use crate::sql::{execute, one};

use dialect::Dialect;
pub(crate) use patience::{BROKEN, TRIES, patient, retrying};
use patience::{pause, unavailable};
pub use schema_lock::SchemaLock;
pub use wake::Wake;

/// How long the last work may hold up the end.
const CLOSING: Duration = Duration::from_secs(3);

/// An open database. Cloning shares the connections.
#[derive(Clone, Debug)]
pub struct Database {
    pools: Pools,
    dialect: &'static Dialect,
    /// Where it is, for a database that is a file.
    file: Option<PathBuf>,
}

/// Connections by what they are for, so that no kind of work takes those of another.
#[derive(Clone, Debug)]
struct Pools {
    /// The writer of rotations.
    rotations: DatabaseConnection,
    /// Every other write.
    writes: DatabaseConnection,
    /// What requests and operators read.
    reads: DatabaseConnection,
    /// Introspection of refresh tokens: many may ask, and nobody's refresh waits for them.
    questions: DatabaseConnection,
    /// What keeps the view current: the logs, the keys, the time.
    follow: DatabaseConnection,
    /// Changes of the schema: one connection, so that a lock of the session holds.
    schema: DatabaseConnection,
}

/// An open write transaction; dropped without [`Write::commit`] it is rolled back.
pub(crate) struct Write {
    transaction: DatabaseTransaction,
    dialect: &'static Dialect,
}

/// What a family is born of.
#[derive(Clone, Copy)]
pub(crate) enum Gate<'a> {
    /// The client, by id.
    Client(&'a str),
    /// The person, by subject.
    User(&'a str),
}

impl Gate<'_> {
    fn name(self) -> String {
        match self {
            Self::Client(id) => format!("client {id}"),
            Self::User(subject) => format!("user {subject}"),
        }
    }
}

impl Deref for Write {
    type Target = DatabaseTransaction;

    fn deref(&self) -> &DatabaseTransaction {
        &self.transaction
    }
}

impl Write {
    /// Makes the transaction durable. After an error the outcome is unknown.
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        patient(self.transaction.commit()).await
    }

    /// Ends a SELECT that takes its rows for itself until the commit.
    pub(crate) fn for_update(&self) -> &'static str {
        self.dialect.for_update
    }

    /// Ends a SELECT that keeps its rows from being changed until the commit.
    pub(crate) fn for_share(&self) -> &'static str {
        self.dialect.for_share
    }

    /// Ends a SELECT that takes those of its rows that nobody else holds.
    pub(crate) fn for_update_of_free(&self) -> &'static str {
        self.dialect.for_update_of_free
    }

    /// Keeps families of this person or client from being born until the commit. Row locks alone would not do: births share
    /// them and can keep whoever wants the row alone waiting for ever.
    pub(crate) async fn close_gate(&self, gate: Gate<'_>) -> Result<(), StoreError> {
        if let Some(sql) = self.dialect.gate {
            execute(&**self, sql, [gate.name().into()]).await?;
        }
        Ok(())
    }

    /// Enters both gates beside others that do.
    ///
    /// # Errors
    /// [`StoreError::Busy`] while somebody closes one.
    pub(crate) async fn enter_gates(&self, gates: [Gate<'_>; 2]) -> Result<(), StoreError> {
        #[derive(sea_orm::FromQueryResult)]
        struct Entry {
            entered: bool,
        }
        let Some(sql) = self.dialect.enter else {
            return Ok(());
        };
        let entry: Option<Entry> = one(&**self, sql, gates.map(|gate| gate.name().into())).await?;
        match entry {
            Some(Entry { entered: true }) => Ok(()),
            _ => Err(StoreError::Busy),
        }
    }

    /// The channel that whoever follows the logs listens on, and is told by once this is committed.
    pub(crate) fn channel(&self) -> Option<&'static str> {
        self.dialect.channel
    }
}

impl Database {
    /// Opens the database that a `sqlite:PATH` or `postgres://...` URL names; with `create`, makes the file (mode
    /// 0600) of a SQLite database if it is missing.
    ///
    /// # Errors
    /// [`StoreError::Setup`] for another kind of URL or a database that is not set up as promised, else the
    /// database's error.
    pub async fn open(url: &str, create: bool) -> Result<Self, StoreError> {
        if postgres::is_url(url) {
            postgres::open(url).await
        } else {
            sqlite::open(url, create).await
        }
    }

    /// True for a URL of a kind that [`Database::open`] knows.
    #[must_use]
    pub fn knows(url: &str) -> bool {
        postgres::is_url(url) || url.starts_with("sqlite:")
    }

    /// The file that a URL names; none for a database that is no file.
    #[must_use]
    pub fn file_of(url: &str) -> Option<PathBuf> {
        sqlite::file_of(url).ok()
    }

    /// The connection that schema changes run on: a pool of one, so that what is locked stays locked.
    #[must_use]
    pub fn schema_connection(&self) -> &DatabaseConnection {
        &self.pools.schema
    }

    /// The connections for reading only.
    pub(crate) fn reader(&self) -> &DatabaseConnection {
        &self.pools.reads
    }

    /// The connections for questions about single families.
    pub(crate) fn questions(&self) -> &DatabaseConnection {
        &self.pools.questions
    }

    /// The connections that keep the view current, which no request can use up.
    pub(crate) fn follower(&self) -> &DatabaseConnection {
        &self.pools.follow
    }

    /// Begins a write transaction. On SQLite it holds the write lock from here on; on PostgreSQL it reads what is
    /// committed statement by statement, so a decision must lock what it rests on, in this order: gates, people, clients
    /// and roles, sessions, codes and consent, the counter of the keys, families by id, the other counters, the logs'
    /// heads last.
    pub(crate) async fn write(&self) -> Result<Write, StoreError> {
        self.begin(&self.pools.writes).await
    }

    /// Begins the write transaction of a batch of rotations, on connections of its own.
    pub(crate) async fn write_rotations(&self) -> Result<Write, StoreError> {
        self.begin(&self.pools.rotations).await
    }

    async fn begin(&self, pool: &DatabaseConnection) -> Result<Write, StoreError> {
        let (mut busy, mut broken) = (0, 0);
        loop {
            match self.begin_once(pool).await {
                Err(error) if error.is_busy() && busy + 1 < TRIES => {
                    busy += 1;
                    pause(busy).await;
                }
                // After a restart of the database each connection of a pool is found broken once.
                Err(error) if error.is_broken() && broken < BROKEN => broken += 1,
                outcome => return outcome,
            }
        }
    }

    /// In a task of its own, which nobody cancels: a pooled session could be left inside a transaction. One that was given
    /// up for want of an answer is closed when it is given back; answers it just then, it begins and commits like any
    /// other, and the database ends what it left open.
    #[expect(
        clippy::disallowed_methods,
        reason = "transactions begin here and nowhere else"
    )]
    async fn begin_once(&self, pool: &DatabaseConnection) -> Result<Write, StoreError> {
        let (pool, dialect) = (pool.clone(), self.dialect);
        let begun = tokio::spawn(async move { patient(pool.begin_with_options(dialect.begin)).await });
        match begun.await {
            Ok(begun) => begun.map(|transaction| Write { transaction, dialect }),
            Err(_) => Err(unavailable("the transaction did not begin")),
        }
    }

    /// Whether the server writes to disk what it says is committed.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn is_durable(&self) -> Result<bool, StoreError> {
        #[derive(sea_orm::FromQueryResult)]
        struct Durable {
            durable: i64,
        }
        let Some(sql) = self.dialect.durable else {
            return Ok(true);
        };
        let durable: Option<Durable> = one(self.reader(), sql, []).await?;
        Ok(durable.is_some_and(|durable| durable.durable == 1))
    }

    /// The database's own clock in milliseconds since 1970; none for a database that has no clock of its own.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(crate) async fn time_millis(&self) -> Result<Option<i64>, StoreError> {
        #[derive(sea_orm::FromQueryResult)]
        struct Time {
            millis: i64,
        }
        let Some(sql) = self.dialect.time else {
            return Ok(None);
        };
        let time: Option<Time> = one(self.follower(), sql, []).await?;
        Ok(time.map(|time| time.millis))
    }

    /// Closes every connection; what is under way ends first, unless the database is silent.
    pub async fn close(&self) {
        // Whoever waits no longer leaves the rest to the end of the process.
        let _ = tokio::time::timeout(CLOSING, self.close_all()).await;
    }

    async fn close_all(&self) {
        let pools = &self.pools;
        for pool in [
            &pools.reads,
            &pools.questions,
            &pools.follow,
            &pools.rotations,
            &pools.writes,
            &pools.schema,
        ] {
            // A pool that is closed already has nothing left to do.
            let _ = pool.clone().close().await;
        }
    }
}

/// What the driver reports while it connects.
fn driver(error: sqlx::Error) -> StoreError {
    StoreError::Unavailable(DbErr::Conn(RuntimeErr::SqlxError(error.into())))
}
