//! The database schema: one file a change, each applied in one transaction, none ever edited after release.

use sea_orm_migration::prelude::*;
use sea_orm_migration::{MigrationStatus, sea_orm::DatabaseConnection};

mod columns;
mod m0001_first_light;

/// Applies and lists the changes of the schema in their order.
struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(m0001_first_light::Migration)]
    }
}

/// One change of the schema and whether the database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The name of the change, as recorded in the database.
    pub name: String,
    /// True when the database has it.
    pub applied: bool,
}

/// Applies every change that the database does not have yet.
///
/// # Errors
/// The database's error; the change it hit is rolled back whole.
pub async fn migrate(db: &DatabaseConnection) -> Result<(), DbErr> {
    Migrator::up(db, None).await
}

/// Lists every change known to this binary, without writing anything.
///
/// # Errors
/// The database's error, and a refusal when the database has a change that this binary does not know.
pub async fn status(db: &DatabaseConnection) -> Result<Vec<Change>, DbErr> {
    let known = Migrator::get_migration_with_status_read_only(db).await?;
    Ok(known
        .iter()
        .map(|change| Change {
            name: change.name().to_owned(),
            applied: change.status() == MigrationStatus::Applied,
        })
        .collect())
}
