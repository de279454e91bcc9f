//! The schema of the database: judged before anything works on it, and changed by one process at a time.

use vouchsafe_migrations::{Schema, Standing, State};
use vouchsafe_store::{Database, StoreError};

use crate::app::StartError;

/// A schema that was brought up to date.
#[derive(Clone, Debug)]
pub struct Migrated {
    /// How it stands now.
    pub schema: Schema,
    /// The names of the changes that were applied just now; none when another process was faster.
    pub applied: Vec<String>,
}

/// Reads how the schema stands to this binary.
///
/// # Errors
/// [`StartError::Store`] when the database does not tell.
pub async fn read(database: &Database) -> Result<Schema, StartError> {
    let schema = vouchsafe_migrations::status(database.schema_connection()).await;
    Ok(schema.map_err(StoreError::from)?)
}

/// Refuses a schema that this binary must not work on. A later one passes as long as its floor allows.
///
/// # Errors
/// [`StartError::Schema`] with the reason; [`StartError::Store`].
pub(crate) async fn check(database: &Database) -> Result<(), StartError> {
    match read(database).await?.standing() {
        Standing::Current => Ok(()),
        standing => Err(refused(&standing)),
    }
}

/// Applies every change that the database lacks. While another process does so this waits, and then finds it done.
///
/// # Errors
/// [`StartError::Schema`] for a schema that this binary must not work on; [`StartError::Store`] when a change failed,
/// of which nothing is kept.
pub async fn migrate(database: &Database) -> Result<Migrated, StartError> {
    let lock = database.schema_lock().await?;
    let migrated = migrate_alone(database).await;
    lock.release().await;
    migrated
}

async fn migrate_alone(database: &Database) -> Result<Migrated, StartError> {
    let before = read(database).await?;
    match before.standing() {
        Standing::Current | Standing::Behind(_) => {}
        standing => return Err(refused(&standing)),
    }
    let migrated = vouchsafe_migrations::migrate(database.schema_connection()).await;
    migrated.map_err(|error| StoreError::Setup(format!("the schema was not changed: {error}")))?;
    let missing = before.changes.into_iter();
    let missing = missing.filter(|change| change.state == State::Missing);
    Ok(Migrated {
        applied: missing.map(|change| change.name).collect(),
        schema: read(database).await?,
    })
}

fn refused(standing: &Standing) -> StartError {
    StartError::Schema(match standing {
        Standing::Behind(_) => format!("{standing}; run `vouchsafe db migrate`"),
        _ => standing.to_string(),
    })
}
