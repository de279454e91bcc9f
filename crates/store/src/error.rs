//! Everything that can go wrong in the store, told apart by what the caller must do.

use sea_orm::{DbErr, RuntimeErr, SqlErr};

/// Why the store did not do what was asked. Nothing of a failed call is kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database did not answer, refused to write, or the outcome is unknown. The wire gets 503.
    #[error("the database is unavailable")]
    Unavailable(#[source] DbErr),
    /// Too much is waiting to be written, or somebody is in the way for longer. The wire gets 503.
    #[error("too much is waiting to be written")]
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

    /// True when another transaction stood in the way: a lock, a deadlock, a serialisation failure. The same may pass
    /// when it is done again.
    pub(crate) fn is_busy(&self) -> bool {
        const IN_THE_WAY: [&str; 3] = ["40001", "40P01", "55P03"];
        match self {
            Self::Busy => true,
            Self::Unavailable(_) if self.code().is_some_and(|code| IN_THE_WAY.contains(&&*code)) => true,
            Self::Unavailable(error) => {
                let text = error.to_string();
                text.contains("database is locked") || text.contains("database table is locked")
            }
            _ => false,
        }
    }

    /// True when a lock was waited for as long as the database lets anyone wait.
    pub(crate) fn is_held(&self) -> bool {
        self.code().is_some_and(|code| code == "55P03")
    }

    /// True when the connection broke, as each of a pool does once after the database restarted.
    pub(crate) fn is_broken(&self) -> bool {
        match self.driver() {
            Some(sqlx::Error::Io(_) | sqlx::Error::Protocol(_)) => true,
            // Class 57P: the server shuts down or was restarted.
            Some(_) => self.code().is_some_and(|code| code.starts_with("57P")),
            None => false,
        }
    }

    /// True when the database fails whoever asks, and not because of one statement: its data, a constraint, something in
    /// its way.
    pub(crate) fn is_of_everyone(&self) -> bool {
        let of_the_statement = |code: &str| {
            let refused = ["21", "22", "23", "42"]
                .iter()
                .any(|class| code.starts_with(class));
            refused && code.len() == 5
        };
        matches!(self, Self::Unavailable(_))
            && !self.is_busy()
            && !self.code().is_some_and(|code| of_the_statement(&code))
    }

    fn driver(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Unavailable(
                DbErr::Conn(RuntimeErr::SqlxError(error))
                | DbErr::Exec(RuntimeErr::SqlxError(error))
                | DbErr::Query(RuntimeErr::SqlxError(error)),
            ) => Some(error),
            _ => None,
        }
    }

    /// The SQLSTATE, or the result code of SQLite.
    fn code(&self) -> Option<String> {
        let error = self.driver()?.as_database_error()?;
        error.code().map(|code| code.into_owned())
    }
}
