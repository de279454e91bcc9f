//! PostgreSQL: any number of replicas on one database, each with a few connections for each kind of work.

use std::time::Duration;

use sea_orm::{DatabaseConnection, SqlxPostgresConnector, TransactionOptions};
use sqlx::ConnectOptions;
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use super::dialect::Dialect;
use super::{Database, Pools, driver};
use crate::StoreError;

const ACQUIRE_TIMEOUT: Duration = Duration::from_millis(2500);
/// A connection that was idle for longer is asked for a sign of life before it is used.
const TRUSTED_FOR: Duration = Duration::from_secs(5);
/// A connection that does not answer when it is given back is closed.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

const ROTATIONS: u32 = 4;
const WRITES: u32 = 8;
const READS: u32 = 8;
const QUESTIONS: u32 = 4;
/// One of them listens.
const FOLLOW: u32 = 3;

static DIALECT: Dialect = Dialect {
    begin: TransactionOptions {
        isolation_level: None,
        access_mode: None,
        sqlite_transaction_mode: None,
    },
    for_update: " FOR UPDATE",
    for_share: " FOR SHARE",
    for_update_of_free: " FOR UPDATE SKIP LOCKED",
    gate: Some("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"),
    enter: Some(
        "SELECT (pg_try_advisory_xact_lock_shared(hashtextextended($1, 0)) \
         AND pg_try_advisory_xact_lock_shared(hashtextextended($2, 0))) AS entered",
    ),
    channel: Some("vouchsafe_log"),
    durable: Some(
        "SELECT CAST(CASE WHEN current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on' \
         THEN 1 ELSE 0 END AS BIGINT) AS durable",
    ),
    time: Some("SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT) AS millis"),
};

pub(super) fn is_url(url: &str) -> bool {
    url.starts_with("postgres:") || url.starts_with("postgresql:")
}

pub(super) async fn open(url: &str) -> Result<Database, StoreError> {
    let options: PgConnectOptions = url
        .parse()
        .map_err(|error| StoreError::Setup(format!("database.url cannot be read: {}", bland(&error))))?;
    let options = options
        .application_name("vouchsafe")
        .statement_cache_capacity(256)
        .disable_statement_logging();
    // The database ends what would hold a lock or a session for ever, also after this process is gone.
    let working = options.clone().options([
        ("default_transaction_isolation", "read committed"),
        ("statement_timeout", "5s"),
        ("lock_timeout", "2s"),
        ("idle_in_transaction_session_timeout", "10s"),
    ]);
    let writes = pool(WRITES).connect_with(working.clone()).await.map_err(driver)?;
    let writes = connection(writes);
    check_durability(&writes).await?;
    let lazily = |connections| pool(connections).connect_lazy_with(working.clone());
    // A connection that is replaced would lose the lock that its session holds.
    let schema = pool(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_lazy_with(options);
    Ok(Database {
        pools: Pools {
            rotations: connection(lazily(ROTATIONS)),
            writes,
            reads: connection(lazily(READS)),
            questions: connection(lazily(QUESTIONS)),
            follow: connection(lazily(FOLLOW)),
            schema: connection(schema),
        },
        dialect: &DIALECT,
        file: None,
    })
}

/// What was answered must survive a crash of the server.
async fn check_durability(writes: &DatabaseConnection) -> Result<(), StoreError> {
    #[derive(sea_orm::FromQueryResult)]
    struct Commit {
        synchronous: String,
    }
    let sql = "SELECT current_setting('synchronous_commit') AS synchronous";
    let commit: Option<Commit> = crate::sql::one(writes, sql, []).await?;
    match commit {
        Some(commit) if commit.synchronous != "off" => Ok(()),
        _ => Err(StoreError::Setup(
            "PostgreSQL runs with synchronous_commit = off; an answered revocation could be lost".to_owned(),
        )),
    }
}

fn connection(pool: PgPool) -> DatabaseConnection {
    SqlxPostgresConnector::from_sqlx_postgres_pool(pool)
}

fn pool(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .min_connections(0)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .after_connect(|connection, _| {
            Box::pin(async move {
                // A standby lags: what it lacks would look like a loss.
                let standby = sqlx::query_scalar::<_, bool>("SELECT pg_is_in_recovery()");
                match standby.fetch_one(connection).await? {
                    false => Ok(()),
                    true => Err(sqlx::Error::Protocol("the server is a standby".to_owned())),
                }
            })
        })
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for < TRUSTED_FOR {
                    return Ok(true);
                }
                Ok(answers(connection).await)
            })
        })
        .after_release(|connection, _| {
            Box::pin(async move { Ok(answers(connection).await && !connection.is_in_transaction()) })
        })
}

async fn answers(connection: &mut sqlx::PgConnection) -> bool {
    matches!(
        tokio::time::timeout(RELEASE_TIMEOUT, connection.ping()).await,
        Ok(Ok(()))
    )
}

/// The kind of mistake, without the URL: it may hold a password.
fn bland(error: &sqlx::Error) -> &'static str {
    match error {
        sqlx::Error::Configuration(_) => "want postgres://USER@HOST/NAME",
        _ => "it is no URL of a PostgreSQL database",
    }
}
