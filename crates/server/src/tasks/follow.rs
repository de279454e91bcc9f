//! Follows the logs, so that a change made elsewhere takes effect here within a second.

use std::sync::Arc;
use std::time::Duration;

use vouchsafe_issuer::Issuer;

const EVERY: Duration = Duration::from_millis(250);

pub(super) async fn tick(issuer: Arc<Issuer>) -> Duration {
    if let Err(error) = issuer.follow().await {
        tracing::warn!(event = "follow_failed", error = &error as &dyn std::error::Error);
    }
    EVERY
}
