//! How a database is reached: the one place that knows which database it is.

mod sqlite;

pub use sqlite::Database;
pub(crate) use sqlite::Write;
