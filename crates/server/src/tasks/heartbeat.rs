//! Beats: every replica counts in the database and remembers outside it how far that has come, so that a database that
//! went back in time is noticed within a second.

use std::sync::Arc;
use std::time::Duration;

use vouchsafe_issuer::Issuer;

use crate::state::Outside;
use vouchsafe_protocol::Chain;

const EVERY: Duration = Duration::from_secs(1);

/// One beat. A database that is away is no rollback: its absence is told by others, and nothing new is known of it.
pub(crate) async fn tick(issuer: Arc<Issuer>, outside: Arc<Outside>) -> Duration {
    match issuer.beat().await {
        Ok(_) => outside.keep(issuer.high_water()).await,
        Err(error) => tracing::warn!(event = "beat_failed", error = %Chain(&error)),
    }
    EVERY
}
