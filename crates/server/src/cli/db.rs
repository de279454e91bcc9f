//! `vouchsafe db`: the schema of the database.

use clap::Subcommand;
use serde::Serialize;
use vouchsafe_migrations::Change;
use vouchsafe_store::Database;

use super::failure::{Failure, chain};
use super::globals::{Globals, database_exists};
use super::output::{Output, table};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Make the database if need be, and apply every change of the schema that it lacks
    Migrate,
    /// List the changes of the schema and whether the database has them
    Status,
}

/// One change of the schema, as it is printed.
#[derive(Serialize)]
struct ChangeView {
    name: String,
    applied: bool,
    new: bool,
}

pub(super) async fn run(verb: &Verb, globals: &Globals, out: &mut Output<'_>) -> Result<(), Failure> {
    let url = globals.database_url()?;
    let create = matches!(verb, Verb::Migrate);
    if !create {
        database_exists(&url)?;
    }
    let database = Database::open(url.expose(), create).await?;
    let changes = match verb {
        Verb::Migrate => migrate(&database).await,
        Verb::Status => status(&database).await.map(|changes| views(changes, &[])),
    };
    database.close().await;
    out.show(&changes?, |changes| {
        let state = |change: &ChangeView| match (change.applied, change.new) {
            (true, true) => "applied now",
            (true, false) => "applied",
            (false, _) => "missing",
        };
        table(
            ["CHANGE", "STATE"],
            changes
                .iter()
                .map(|change| [change.name.clone(), state(change).to_owned()]),
        )
    })
}

/// The changes that this binary knows; refused when the database has one more.
pub(super) async fn status(database: &Database) -> Result<Vec<Change>, Failure> {
    let changes = vouchsafe_migrations::status(database.schema_connection()).await;
    changes.map_err(|error| {
        Failure::refused(format!(
            "the schema is not known to this binary: {}",
            chain(&error)
        ))
    })
}

async fn migrate(database: &Database) -> Result<Vec<ChangeView>, Failure> {
    let before = status(database).await?;
    let migrated = vouchsafe_migrations::migrate(database.schema_connection()).await;
    migrated.map_err(|error| Failure::failed(format!("the schema was not changed: {}", chain(&error))))?;
    Ok(views(status(database).await?, &before))
}

/// A change is new when it was missing `before`.
fn views(changes: Vec<Change>, before: &[Change]) -> Vec<ChangeView> {
    let was_missing = |name: &str| before.iter().any(|change| change.name == name && !change.applied);
    changes
        .into_iter()
        .map(|change| ChangeView {
            new: change.applied && was_missing(&change.name),
            applied: change.applied,
            name: change.name,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_missing_and_is_there_now_is_new() {
        let change = |name: &str, applied| Change {
            name: name.to_owned(),
            applied,
        };
        let before = [change("a", true), change("b", false)];
        let after = views(vec![change("a", true), change("b", true)], &before);
        let new: Vec<bool> = after.iter().map(|change| change.new).collect();
        assert_eq!(new, [false, true]);
        assert!(
            views(vec![change("a", true)], &[])
                .iter()
                .all(|change| !change.new)
        );
    }
}
