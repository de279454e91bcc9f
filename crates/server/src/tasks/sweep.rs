//! Forgets in small batches what nothing can need any more.

use std::sync::Arc;
use std::time::Duration;

use vouchsafe_issuer::Issuer;

const BATCH: u32 = 500;
const EVERY: Duration = Duration::from_secs(60);
const WHILE_FULL: Duration = Duration::from_millis(100);

pub(super) async fn tick(issuer: Arc<Issuer>) -> Duration {
    match issuer.store().sweep(issuer.now(), BATCH).await {
        Ok(swept) => {
            let most = swept
                .families
                .max(swept.revocations)
                .max(swept.changes)
                .max(swept.secrets)
                .max(swept.attempts);
            if most >= u64::from(BATCH) {
                WHILE_FULL
            } else {
                EVERY
            }
        }
        Err(error) => {
            tracing::warn!(event = "sweep_failed", error = &error as &dyn std::error::Error);
            EVERY
        }
    }
}
