//! The database schema: one file a change, each applied in one transaction, none ever edited after release.
//!
//! Binaries of two releases work on one database while it is upgraded, so a change only adds: tables, indexes, columns
//! that may be absent or have a default. What no release needs any more is taken away by a later change, which also
//! raises `schema_floor` in the table `counter` to the number of the newest change that every binary must know from
//! then on.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{DatabaseConnection, Statement};

mod columns;
mod m0001_first_light;
mod m0002_replicas;
mod m0003_sign_in;
mod standing;

pub use standing::{Change, Schema, Standing, State};

/// Applies the changes of the schema in their order.
struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_first_light::Migration),
            Box::new(m0002_replicas::Migration),
            Box::new(m0003_sign_in::Migration),
        ]
    }
}

/// Where the names of applied changes are kept.
const RECORD: &str = "seaql_migrations";

/// The floor of a database from before there was one.
const FIRST_FLOOR: i64 = 1;

/// Applies every change that the database does not have yet. One process does this at a time.
///
/// # Errors
/// The database's error; the change it hit is rolled back whole. [`DbErr::Migration`] for a schema that this binary
/// must not work on; nothing is written then.
pub async fn migrate(db: &DatabaseConnection) -> Result<(), DbErr> {
    migrate_to(db, known().len()).await
}

/// Applies what is missing of the first `newest` changes, as the release that ended with them did: for tests, which
/// begin with an older schema.
///
/// # Errors
/// As [`migrate`].
pub async fn migrate_to(db: &DatabaseConnection, newest: usize) -> Result<(), DbErr> {
    let schema = status(db).await?;
    match schema.standing() {
        Standing::Current => Ok(()),
        Standing::Behind(_) => {
            let missing = newest.saturating_sub(schema.count(State::Applied));
            Migrator::up(
                db,
                Some(<u32 as TryFrom<usize>>::try_from(missing).unwrap_or(u32::MAX)),
            )
            .await
        }
        standing => Err(DbErr::Migration(standing.to_string())),
    }
}

/// Compares the schema of the database with the changes known to this binary, without writing anything.
///
/// # Errors
/// The database's error.
pub async fn status(db: &DatabaseConnection) -> Result<Schema, DbErr> {
    let applied = applied(db).await?;
    let has_floor = applied
        .iter()
        .any(|name| name == m0002_replicas::Migration.name());
    let floor = if has_floor { floor(db).await? } else { FIRST_FLOOR };
    Ok(Schema::of(&known(), &applied, floor))
}

/// The names of the changes that this binary knows.
fn known() -> Vec<String> {
    let changes = Migrator::migrations();
    changes.iter().map(|change| change.name().to_owned()).collect()
}

/// The names of the changes that the database has; none for an empty one.
async fn applied(db: &DatabaseConnection) -> Result<Vec<String>, DbErr> {
    if !SchemaManager::new(db).has_table(RECORD).await? {
        return Ok(Vec::new());
    }
    let sql = format!("SELECT version FROM {RECORD}");
    let statement = Statement::from_string(db.get_database_backend(), sql);
    let rows = db.query_all_raw(statement).await?;
    rows.iter().map(|row| row.try_get("", "version")).collect()
}

async fn floor(db: &DatabaseConnection) -> Result<i64, DbErr> {
    let sql = "SELECT n FROM counter WHERE name = 'schema_floor'";
    let statement = Statement::from_string(db.get_database_backend(), sql);
    match db.query_one_raw(statement).await? {
        Some(row) => row.try_get("", "n"),
        None => Err(DbErr::RecordNotFound("counter schema_floor".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_numbered_from_one_without_a_gap() {
        for (place, name) in (1..).zip(known()) {
            assert_eq!(standing::number_of(&name), Some(place), "{name}");
        }
    }
}
