//! The three ways a statement is run, and the reading of typed columns.

use sea_orm::{ConnectionTrait, FromQueryResult, Statement, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;
use vouchsafe_protocol::Timestamp;

use crate::StoreError;
use crate::backend::{BROKEN, patient};

/// Runs a statement and says how many rows it touched.
pub(crate) async fn execute(
    db: &impl ConnectionTrait,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<u64, StoreError> {
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    Ok(patient(db.execute_raw(statement)).await?.rows_affected())
}

/// Reads at most one row.
pub(crate) async fn one<R: FromQueryResult>(
    db: &impl ConnectionTrait,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<Option<R>, StoreError> {
    Ok(all(db, sql, values).await?.into_iter().next())
}

/// Reads every row.
pub(crate) async fn all<R: FromQueryResult>(
    db: &impl ConnectionTrait,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<Vec<R>, StoreError> {
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    let mut tries = 0;
    let rows = loop {
        tries += 1;
        match patient(db.query_all_raw(statement.clone())).await {
            // After a restart of the database each connection of a pool is found broken once. Inside a transaction the
            // next try finds the same.
            Err(error) if error.is_broken() && tries <= BROKEN => {}
            rows => break rows?,
        }
    };
    rows.iter()
        .map(|row| R::from_query_result(row, "").map_err(StoreError::from))
        .collect()
}

/// The placeholders `$first, $first+1, ..` for `count` values.
pub(crate) fn placeholders(first: usize, count: usize) -> String {
    let placeholders: Vec<String> = (first..first + count).map(|n| format!("${n}")).collect();
    placeholders.join(", ")
}

/// The rows with these values in these columns; all, if there are none.
pub(crate) type Which<'a> = &'a [(&'static str, &'a str)];

/// The condition of [`Which`], its placeholders from `$1` on, each part followed by ` AND `.
pub(crate) fn filter_of(which: Which<'_>) -> String {
    let parts = (1..).zip(which);
    parts
        .map(|(number, (column, _))| format!("{column} = ${number} AND "))
        .collect()
}

/// The values of [`Which`].
pub(crate) fn values_of<'a>(which: Which<'a>) -> impl Iterator<Item = Value> + 'a {
    which.iter().map(|(_, value)| Value::from(*value))
}

/// The rows of a VALUES list: `count` tuples of `width` placeholders, the first of them `$first`.
pub(crate) fn tuples(first: usize, width: usize, count: usize) -> String {
    let tuples: Vec<String> = (0..count)
        .map(|nth| format!("({})", placeholders(first + nth * width, width)))
        .collect();
    tuples.join(", ")
}

/// Names a cell for the error that an unreadable one gives.
#[derive(Clone, Copy)]
pub(crate) struct Cell<'a> {
    pub(crate) table: &'static str,
    pub(crate) column: &'static str,
    pub(crate) id: &'a str,
}

impl Cell<'_> {
    /// The error for this cell.
    pub(crate) fn corrupt(self) -> StoreError {
        StoreError::Corrupt {
            table: self.table,
            column: self.column,
            id: self.id.to_owned(),
        }
    }

    /// Reads a value that has a checked text form.
    pub(crate) fn parse<T: std::str::FromStr>(self, text: &str) -> Result<T, StoreError> {
        text.parse().map_err(|_| self.corrupt())
    }

    /// Reads a value that is kept as JSON.
    pub(crate) fn json<T: DeserializeOwned>(self, text: &str) -> Result<T, StoreError> {
        serde_json::from_str(text).map_err(|_| self.corrupt())
    }
}

/// Writes a list as JSON text.
pub(crate) fn json<T: Serialize>(value: &T) -> Value {
    // Lists of strings and string-keyed maps always serialise.
    Value::from(serde_json::to_string(value).unwrap_or_default())
}

/// Reads an instant.
pub(crate) fn instant(seconds: i64) -> Timestamp {
    Timestamp::from_unix(seconds)
}
