//! `vouchsafe db`: the schema of the database.

use clap::Subcommand;
use serde::Serialize;
use vouchsafe_migrations::{Schema, Standing, State};
use vouchsafe_store::Database;

use super::failure::Failure;
use super::globals::{Globals, database_exists};
use super::output::{Output, table};
use crate::schema::{self, Migrated};

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
    newer: bool,
}

pub(super) async fn run(verb: &Verb, globals: &Globals, out: &mut Output<'_>) -> Result<(), Failure> {
    let url = globals.database_url()?;
    let create = matches!(verb, Verb::Migrate);
    if !create {
        database_exists(&url)?;
    }
    let database = Database::open(url.expose(), create).await?;
    let told = match verb {
        Verb::Migrate => schema::migrate(&database).await,
        Verb::Status => schema::read(&database).await.map(|schema| Migrated {
            schema,
            applied: Vec::new(),
        }),
    };
    database.close().await;
    let Migrated { schema, applied } = told?;
    out.show(&views(&schema, &applied), |changes| {
        let state = |change: &ChangeView| match change {
            ChangeView { newer: true, .. } => "newer",
            ChangeView { new: true, .. } => "applied now",
            ChangeView { applied: true, .. } => "applied",
            _ => "missing",
        };
        table(
            ["CHANGE", "STATE"],
            changes
                .iter()
                .map(|change| [change.name.clone(), state(change).to_owned()]),
        )
    })?;
    match schema.standing() {
        Standing::Current | Standing::Behind(_) => Ok(()),
        standing => Err(Failure::refused(standing.to_string())),
    }
}

/// A change is new when it was applied just now, and newer when this binary does not know it.
fn views(schema: &Schema, new: &[String]) -> Vec<ChangeView> {
    let changes = schema.changes.iter();
    changes
        .map(|change| ChangeView {
            name: change.name.clone(),
            applied: change.state != State::Missing,
            new: new.contains(&change.name),
            newer: matches!(change.state, State::Newer | State::Unknown),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use vouchsafe_migrations::Change;

    use super::*;

    #[test]
    fn what_was_applied_now_is_new_and_what_nobody_here_knows_is_newer() {
        let change = |name: &str, state| Change {
            name: name.to_owned(),
            state,
        };
        let schema = Schema {
            changes: vec![
                change("a", State::Applied),
                change("b", State::Applied),
                change("c", State::Newer),
            ],
            floor: 1,
        };
        let after = views(&schema, &["b".to_owned()]);
        let flags: Vec<_> = after
            .iter()
            .map(|view| (view.applied, view.new, view.newer))
            .collect();
        assert_eq!(
            flags,
            [(true, false, false), (true, true, false), (true, false, true)]
        );
    }
}
