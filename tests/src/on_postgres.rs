//! What only PostgreSQL has: the tests of it run in one of the two runs.

use crate::DatabaseKind;

/// True in the run on PostgreSQL. The suite runs once on each database; a test of what only PostgreSQL can suffer returns
/// at once in the run on SQLite, because it does its work in the other one.
pub fn on_postgres() -> bool {
    DatabaseKind::of_this_run() == DatabaseKind::Postgres
}
