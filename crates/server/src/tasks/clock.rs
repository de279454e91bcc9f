//! Measures the database's clock, which tells the time of all replicas.

use std::sync::Arc;
use std::time::Duration;
use vouchsafe_protocol::Chain;

use vouchsafe_issuer::Issuer;

const EVERY: Duration = Duration::from_secs(2);

pub(super) async fn tick(issuer: Arc<Issuer>) -> Duration {
    if let Err(error) = issuer.measure_clock().await {
        tracing::warn!(
            event = "clock_not_measured",
            error = %Chain(&error)
        );
    }
    EVERY
}
