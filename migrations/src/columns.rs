//! The few shapes of columns, tables and indexes that every change uses, so that one SQL text serves every database.

use sea_orm_migration::prelude::{
    ColumnDef, ColumnType, ConnectionTrait, DbErr, Index, IndexCreateStatement, IntoIden, SchemaManager,
    Table, TableAlterStatement, TableCreateStatement,
};
use sea_orm_migration::sea_orm::{DbBackend, Statement};

/// How a text column is declared, so that all text is ordered by its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Text {
    /// The database does so by itself.
    Plain,
    /// PostgreSQL goes by the locale of the database. A newer C library may order that anew, and every index on such
    /// text, also one that keeps names unique, would be broken.
    ByBytes,
}

impl Text {
    /// What the database at hand needs. Engines that only speak like PostgreSQL order by bytes, and may not know the
    /// clause.
    pub(crate) async fn of(manager: &SchemaManager<'_>) -> Result<Self, DbErr> {
        let backend = manager.get_database_backend();
        if backend != DbBackend::Postgres {
            return Ok(Self::Plain);
        }
        let statement = Statement::from_string(backend, "SELECT version() AS version");
        let row = manager.get_connection().query_one_raw(statement).await?;
        let version: Option<String> = row.map(|row| row.try_get("", "version")).transpose()?;
        Ok(match version {
            Some(version) if version.starts_with("PostgreSQL") => Self::ByBytes,
            _ => Self::Plain,
        })
    }

    fn declare(self, column: &mut ColumnDef) {
        let is_text = matches!(column.get_column_type(), Some(ColumnType::Text));
        if is_text && self == Self::ByBytes {
            column.custom("text COLLATE \"C\"");
        }
    }
}

/// A table to be made.
pub(crate) struct NewTable {
    name: &'static str,
    columns: Vec<ColumnDef>,
    key: &'static [&'static str],
}

impl NewTable {
    /// Makes several columns together its primary key.
    pub(crate) fn with_key(mut self, key: &'static [&'static str]) -> Self {
        self.key = key;
        self
    }

    /// The statement that makes it.
    pub(crate) fn statement(self, text: Text) -> TableCreateStatement {
        let mut table = Table::create();
        table.table(self.name);
        for mut column in self.columns {
            text.declare(&mut column);
            table.col(column);
        }
        if !self.key.is_empty() {
            let mut key = Index::create();
            for column in self.key {
                key.col(*column);
            }
            table.primary_key(&mut key);
        }
        table
    }
}

/// A table of these columns.
pub(crate) fn table<const N: usize>(name: &'static str, columns: [ColumnDef; N]) -> NewTable {
    NewTable {
        name,
        columns: columns.into(),
        key: &[],
    }
}

/// The statements that add columns to a table that is there: one each, since not every database takes several.
pub(crate) fn with_columns(
    table: &'static str,
    columns: Vec<ColumnDef>,
    text: Text,
) -> impl Iterator<Item = TableAlterStatement> {
    columns.into_iter().map(move |mut column| {
        text.declare(&mut column);
        Table::alter().table(table).add_column(column).to_owned()
    })
}

/// An index over these columns of a table.
pub(crate) fn index(
    name: &'static str,
    table: &'static str,
    columns: &[&'static str],
) -> IndexCreateStatement {
    let mut index = Index::create();
    index.name(name).table(table);
    for column in columns {
        index.col(*column);
    }
    index
}

/// Text that is always there.
pub(crate) fn text(name: &'static str) -> ColumnDef {
    let mut column = ColumnDef::new(name.into_iden());
    column.text().not_null();
    column
}

/// Text that may be absent.
pub(crate) fn text_null(name: &'static str) -> ColumnDef {
    let mut column = ColumnDef::new(name.into_iden());
    column.text();
    column
}

/// A 64-bit integer: a count, a flag (0 or 1), or an instant in Unix seconds.
pub(crate) fn big(name: &'static str) -> ColumnDef {
    let mut column = ColumnDef::new(name.into_iden());
    column.big_integer().not_null();
    column
}

/// A 64-bit integer that rows from before it take from here.
pub(crate) fn big_or(name: &'static str, default: i64) -> ColumnDef {
    let mut column = big(name);
    column.default(default);
    column
}

/// A 64-bit integer that may be absent.
pub(crate) fn big_null(name: &'static str) -> ColumnDef {
    let mut column = ColumnDef::new(name.into_iden());
    column.big_integer();
    column
}

/// Bytes that may be absent.
pub(crate) fn bytes_null(name: &'static str) -> ColumnDef {
    let mut column = ColumnDef::new(name.into_iden());
    column.blob();
    column
}

/// A text primary key.
pub(crate) fn key(name: &'static str) -> ColumnDef {
    let mut column = text(name);
    column.primary_key();
    column
}

/// A 64-bit integer primary key.
pub(crate) fn number_key(name: &'static str) -> ColumnDef {
    let mut column = big(name);
    column.primary_key();
    column
}

#[cfg(test)]
mod tests {
    use sea_orm_migration::prelude::{PostgresQueryBuilder, SqliteQueryBuilder};

    use super::*;

    #[test]
    fn text_is_ordered_by_its_bytes_wherever_it_is_not_by_itself() {
        let table =
            || table("t", [text("a"), text_null("b"), big("n"), bytes_null("x")]).with_key(&["a", "n"]);
        assert_eq!(
            table().statement(Text::ByBytes).to_string(PostgresQueryBuilder),
            r#"CREATE TABLE "t" ( "a" text COLLATE "C" NOT NULL, "b" text COLLATE "C", "n" bigint NOT NULL, "x" bytea, PRIMARY KEY ("a", "n") )"#
        );
        assert_eq!(
            table().statement(Text::Plain).to_string(SqliteQueryBuilder),
            r#"CREATE TABLE "t" ( "a" text NOT NULL, "b" text, "n" integer NOT NULL, "x" blob, PRIMARY KEY ("a", "n") )"#
        );
    }

    #[test]
    fn a_number_that_counts_itself_does_so_in_both() {
        let table = || table("t", [number_key("id").auto_increment().to_owned()]);
        assert_eq!(
            table().statement(Text::ByBytes).to_string(PostgresQueryBuilder),
            r#"CREATE TABLE "t" ( "id" bigint GENERATED BY DEFAULT AS IDENTITY NOT NULL PRIMARY KEY )"#
        );
        assert_eq!(
            table().statement(Text::Plain).to_string(SqliteQueryBuilder),
            r#"CREATE TABLE "t" ( "id" integer NOT NULL PRIMARY KEY AUTOINCREMENT )"#
        );
    }
}
