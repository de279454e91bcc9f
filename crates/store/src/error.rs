//! Everything that can go wrong in the store, told apart by what the caller must do.

use sea_orm::{DbErr, SqlErr};

/// Why the store did not do what was asked. Nothing of a failed call is kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database did not answer, refused to write, or the outcome is unknown. The wire gets 503.
    #[error("the database is unavailable")]
    Unavailable(#[source] DbErr),
    /// Too much is waiting to be written. The wire gets 503.
    #[error("the write queue is full")]
    Busy,
    /// The row exists already.
    #[error("{what} exists already")]
    Exists {
        /// What it is, in one word.
        what: &'static str,
    },
    /// The row does not exist.
    #[error("no such {what}")]
    NotFound {
        /// What it is, in one word.
        what: &'static str,
    },
    /// A guarded write found the world changed; the caller reads again and decides anew.
    #[error("{what} changed meanwhile")]
    Stale {
        /// What changed.
        what: &'static str,
    },
    /// A row holds what this program never writes.
    #[error("{table}.{column} of {id} is not readable")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The primary key.
        id: String,
    },
    /// The database is not set up as promised (journal mode, synchronous, schema).
    #[error("{0}")]
    Setup(String),
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        Self::Unavailable(error)
    }
}

impl StoreError {
    /// Turns a violated unique constraint into [`StoreError::Exists`].
    pub(crate) fn or_exists(self, what: &'static str) -> Self {
        match &self {
            Self::Unavailable(error)
                if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) =>
            {
                Self::Exists { what }
            }
            _ => self,
        }
    }

    /// True when the database was locked by another process.
    pub(crate) fn is_busy(&self) -> bool {
        match self {
            Self::Unavailable(error) => {
                let text = error.to_string();
                text.contains("database is locked") || text.contains("database table is locked")
            }
            _ => false,
        }
    }
}
