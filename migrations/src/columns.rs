//! The few column shapes that every table uses, so that one SQL text serves every database.

use sea_orm_migration::prelude::{ColumnDef, IntoIden};

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
