//! Where the databases differ in words. All other statements are one text for both.

use sea_orm::TransactionOptions;

/// The words of one database.
#[derive(Debug)]
pub(super) struct Dialect {
    /// How a write transaction begins.
    pub(super) begin: TransactionOptions,
    /// Ends a SELECT that takes its rows for itself.
    pub(super) for_update: &'static str,
    /// Ends a SELECT that keeps its rows from being changed.
    pub(super) for_share: &'static str,
    /// Ends a SELECT that takes those of its rows that nobody else holds.
    pub(super) for_update_of_free: &'static str,
    /// Waits for the gate of `$1` until the commit, in turn: whoever comes later waits too.
    pub(super) gate: Option<&'static str>,
    /// Enters the gates of `$1` and `$2` beside others that enter, or tells in `entered` that somebody holds or awaits one.
    pub(super) enter: Option<&'static str>,
    /// Where whoever follows the logs is told of appends, at their commit.
    pub(super) channel: Option<&'static str>,
    /// Reads as `durable` (1 or 0) whether the server writes to disk what it says is committed; none where that was made
    /// sure of when the database was opened.
    pub(super) durable: Option<&'static str>,
    /// Reads the database's own clock as `millis`.
    pub(super) time: Option<&'static str>,
}
