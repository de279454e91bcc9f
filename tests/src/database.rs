//! Which database the tests of this run use, and new databases of that kind.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::sync::OnceCell;
use vouchsafe_store::Database;

use crate::Cluster;

/// A kind of database that the issuer runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseKind {
    /// A file of its own for each application.
    Sqlite,
    /// A database of its own in [`Cluster::shared`] for each application.
    Postgres,
}

impl DatabaseKind {
    /// The kind that `VOUCHSAFE_TEST_DATABASE` names; SQLite when it names none.
    pub fn of_this_run() -> Self {
        let name = std::env::var("VOUCHSAFE_TEST_DATABASE").unwrap_or_default();
        Self::named(&name).unwrap_or_else(|| {
            panic!("VOUCHSAFE_TEST_DATABASE is `{name}`; sqlite and postgres are the databases there are")
        })
    }

    fn named(name: &str) -> Option<Self> {
        match name {
            "" | "sqlite" => Some(Self::Sqlite),
            "postgres" => Some(Self::Postgres),
            _ => None,
        }
    }

    /// The URL of a new migrated database without a row; one that is a file is made in the folder.
    pub async fn migrated(self, folder: &Path) -> String {
        match self {
            Self::Sqlite => {
                let file = folder.join("vouchsafe.db");
                std::fs::copy(template().await, &file).unwrap();
                format!("sqlite:{}", file.display())
            }
            Self::Postgres => Cluster::shared().await.database().await,
        }
    }
}

/// A migrated SQLite database without a row, made once.
async fn template() -> PathBuf {
    static TEMPLATE: OnceCell<(TempDir, PathBuf)> = OnceCell::const_new();
    let (_, path) = TEMPLATE
        .get_or_init(|| async {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("template.db");
            let database = Database::open(&format!("sqlite:{}", path.display()), true)
                .await
                .unwrap();
            vouchsafe_migrations::migrate(database.schema_connection())
                .await
                .unwrap();
            database.close().await;
            (dir, path)
        })
        .await;
    path.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_without_a_choice_is_one_on_sqlite() {
        assert_eq!(DatabaseKind::named(""), Some(DatabaseKind::Sqlite));
        assert_eq!(DatabaseKind::named("sqlite"), Some(DatabaseKind::Sqlite));
        assert_eq!(DatabaseKind::named("postgres"), Some(DatabaseKind::Postgres));
        assert_eq!(DatabaseKind::named("postgresql"), None);
    }
}
