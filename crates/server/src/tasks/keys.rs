//! Advances the keys: the next one is always published, retired ones are erased, and nobody needs to be awake.

use std::sync::Arc;
use std::time::Duration;
use vouchsafe_protocol::Chain;

use vouchsafe_issuer::Issuer;

const EVERY: Duration = Duration::from_secs(1);
const AFTER_FAILURE: Duration = Duration::from_secs(10);

pub(super) async fn tick(issuer: Arc<Issuer>) -> Duration {
    if !issuer.keys_are_due() {
        return EVERY;
    }
    match issuer.advance_keys().await {
        Ok(()) => EVERY,
        Err(error) => {
            tracing::error!(event = "keys_failed", error = %Chain(&error));
            AFTER_FAILURE
        }
    }
}
