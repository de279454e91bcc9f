//! Forgets in small batches what nothing can need any more.

use std::sync::Arc;
use std::time::Duration;

use vouchsafe_issuer::Issuer;

const BATCH: u32 = 500;
const EVERY: Duration = Duration::from_secs(60);
const WHILE_FULL: Duration = Duration::from_millis(100);

pub(super) async fn tick(issuer: Arc<Issuer>) -> Duration {
    match issuer.sweep(BATCH).await {
        Ok(swept) if swept.most() >= u64::from(BATCH) => WHILE_FULL,
        Ok(_) => EVERY,
        Err(error) => {
            tracing::warn!(event = "sweep_failed", error = &error as &dyn std::error::Error);
            EVERY
        }
    }
}
