//! A database that can be put back to where it was: what a restored backup and a fail-over look like to the issuer.
#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails where it is")]

use std::fs;
use std::path::{Path, PathBuf};

use sea_orm::{ConnectOptions, ConnectionTrait as _, DatabaseConnection, DbBackend, Statement};
use tempfile::TempDir;
use vouchsafe_tests::{Cluster, DatabaseKind, Snapshot};

/// A database that can be put back to where it was.
pub(crate) enum Timeline {
    /// In this folder, beside its backup.
    File { folder: TempDir },
    /// In a cluster of its own, which is put back whole.
    Cluster {
        cluster: Box<Cluster>,
        url: String,
        snapshot: Option<Snapshot>,
    },
}

impl Timeline {
    /// A new one with a schema, of the kind that this run is about: a file, or a cluster of its own.
    pub(crate) async fn of_this_run() -> Self {
        match DatabaseKind::of_this_run() {
            DatabaseKind::Sqlite => Box::pin(Self::file()).await,
            DatabaseKind::Postgres => Box::pin(Self::cluster()).await,
        }
    }

    async fn file() -> Self {
        let folder = tempfile::tempdir().unwrap();
        DatabaseKind::Sqlite.migrated(folder.path()).await;
        Self::File { folder }
    }

    async fn cluster() -> Self {
        let cluster = Box::new(Cluster::start().await);
        let url = cluster.database().await;
        Self::Cluster {
            cluster,
            url,
            snapshot: None,
        }
    }

    /// The database, as `database.url` names it.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::File { folder } => format!("sqlite:{}", database_in(folder.path()).display()),
            Self::Cluster { url, .. } => url.clone(),
        }
    }

    /// Makes the backup, anew each time.
    pub(crate) async fn remember(&mut self) {
        let url = self.url();
        match self {
            Self::File { folder } => {
                let backup = backup_in(folder.path());
                let _ = fs::remove_file(&backup);
                let connection = connect(&url).await;
                let sql = format!("VACUUM INTO '{}'", backup.display());
                connection.execute_unprepared(&sql).await.unwrap();
                connection.close().await.unwrap();
            }
            Self::Cluster {
                cluster, snapshot, ..
            } => {
                cluster.stop_immediately().await;
                *snapshot = Some(cluster.copy_data().await);
                cluster.start_again().await;
            }
        }
    }

    /// Puts the backup in the place of the database while nobody has it open.
    pub(crate) async fn go_back(&self) {
        match self {
            Self::File { folder } => {
                let file = database_in(folder.path());
                for name in ["vouchsafe.db-wal", "vouchsafe.db-shm"] {
                    let _ = fs::remove_file(folder.path().join(name));
                }
                fs::copy(backup_in(folder.path()), file).unwrap();
            }
            Self::Cluster { .. } => self.go_back_under_way().await,
        }
    }

    /// Puts the backup in the place of the database under running issuers.
    pub(crate) async fn go_back_under_way(&self) {
        match self {
            Self::File { folder } => put_back(&self.url(), &backup_in(folder.path())).await,
            Self::Cluster {
                cluster, snapshot, ..
            } => {
                cluster.stop_immediately().await;
                cluster.restore_data(snapshot.as_ref().unwrap()).await;
                cluster.start_again().await;
            }
        }
    }
}

fn database_in(folder: &Path) -> PathBuf {
    folder.join("vouchsafe.db")
}

fn backup_in(folder: &Path) -> PathBuf {
    folder.join("backup.db")
}

pub(crate) async fn connect(url: &str) -> DatabaseConnection {
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    sea_orm::Database::connect(options).await.unwrap()
}

/// Makes every table what it is in another file, in one transaction.
async fn put_back(url: &str, backup: &Path) {
    let connection = connect(url).await;
    let sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    let tables = connection
        .query_all_raw(Statement::from_string(DbBackend::Sqlite, sql))
        .await
        .unwrap();
    let mut script = format!(
        "ATTACH DATABASE '{}' AS backup; BEGIN IMMEDIATE; ",
        backup.display()
    );
    for table in tables {
        let name: String = table.try_get("", "name").unwrap();
        script.push_str(&format!(
            "DELETE FROM main.\"{name}\"; INSERT INTO main.\"{name}\" SELECT * FROM backup.\"{name}\"; "
        ));
    }
    script.push_str("COMMIT; DETACH DATABASE backup");
    connection.execute_unprepared(&script).await.unwrap();
    connection.close().await.unwrap();
}
