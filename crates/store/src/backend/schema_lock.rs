//! The lock around changes of the schema: one process makes them, others wait and find them made.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sea_orm::{DatabaseConnection, FromQueryResult};

use super::Database;
use crate::StoreError;
use crate::sql::{execute, one};

/// What every release locks, among all that a PostgreSQL database may be asked to lock.
const NUMBER: i64 = i64::from_be_bytes(*b"vouchsaf");
const POLL: Duration = Duration::from_millis(50);

/// Held by the one process that may change the schema. A process that dies lets go of it.
#[derive(Debug)]
#[must_use = "dropped, it is held no longer"]
pub struct SchemaLock(Held);

#[derive(Debug)]
enum Held {
    /// A file beside the database: any handle on the database's own, once closed, ends the locks of SQLite on it.
    File { path: PathBuf, _open: File },
    /// The session of the connection that schema changes run on.
    Session(DatabaseConnection),
}

impl Database {
    /// Waits until no other process changes the schema, and keeps others from it until [`SchemaLock::release`].
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; [`StoreError::Setup`] when there can be no file beside the database.
    pub async fn schema_lock(&self) -> Result<SchemaLock, StoreError> {
        let mut waited = false;
        loop {
            let taken = match &self.file {
                Some(database) => take_file(database)?,
                None => take_session(self.schema_connection()).await?,
            };
            if let Some(held) = taken {
                return Ok(SchemaLock(held));
            }
            if !waited {
                tracing::info!(event = "schema_lock_waiting");
            }
            waited = true;
            tokio::time::sleep(POLL).await;
        }
    }
}

impl SchemaLock {
    /// Lets the next one go on.
    pub async fn release(self) {
        if let Held::Session(session) = &self.0 {
            let sql = "SELECT pg_advisory_unlock($1)";
            // A session that cannot unlock is over, and its lock with it.
            let _ = execute(session, sql, [NUMBER.into()]).await;
        }
    }
}

impl Drop for SchemaLock {
    fn drop(&mut self) {
        if let Held::File { path, .. } = &self.0 {
            // Removed while it is locked: afterwards it could be the next one's. Left behind, it locks nothing.
            let _ = std::fs::remove_file(path);
        }
    }
}

async fn take_session(session: &DatabaseConnection) -> Result<Option<Held>, StoreError> {
    #[derive(FromQueryResult)]
    struct Row {
        taken: bool,
    }
    let sql = "SELECT pg_try_advisory_lock($1) AS taken";
    let row: Option<Row> = one(session, sql, [NUMBER.into()]).await?;
    let taken = row.is_some_and(|row| row.taken);
    Ok(taken.then(|| Held::Session(session.clone())))
}

fn take_file(database: &Path) -> Result<Option<Held>, StoreError> {
    let mut path = database.as_os_str().to_owned();
    path.push(".migrating");
    let path = PathBuf::from(path);
    let taken = try_file(&path, database);
    let taken = taken.map_err(|error| {
        StoreError::Setup(format!(
            "the schema cannot be locked by {}: {error}",
            path.display()
        ))
    });
    Ok(taken?.map(|file| Held::File { path, _open: file }))
}

fn try_file(path: &Path, database: &Path) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    let file = options
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    let owner = std::fs::metadata(database)?;
    // As root: whoever owns the database may come next. Others may not give files away, and need not.
    let _ = fchown(&file, Some(owner.uid()), Some(owner.gid()));
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    // The one before removed the file that it had locked; a lock on what has lost its name keeps nobody out.
    let held = file.metadata()?;
    let named = std::fs::metadata(path).ok();
    let is_named = named.is_some_and(|named| (named.dev(), named.ino()) == (held.dev(), held.ino()));
    Ok(is_named.then_some(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f20_one_at_a_time_holds_the_file_and_nothing_is_left_of_it() {
        let folder = std::env::temp_dir().join(format!("vouchsafe-schema-lock-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let database = folder.join("v.db");
        std::fs::write(&database, "").unwrap();
        let lock = |held: Option<Held>| held.map(SchemaLock);
        let first = lock(take_file(&database).unwrap()).unwrap();
        assert!(lock(take_file(&database).unwrap()).is_none());
        drop(first);
        assert!(!folder.join("v.db.migrating").exists());
        let second = lock(take_file(&database).unwrap());
        assert!(second.is_some());
        drop(second);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
