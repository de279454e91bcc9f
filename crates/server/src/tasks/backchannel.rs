//! Tells clients that sessions of theirs ended; whichever replica comes first does.

use std::sync::Arc;
use std::time::Duration;

use vouchsafe_issuer::{Error, Issuer};
use vouchsafe_protocol::Chain;

const EVERY: Duration = Duration::from_secs(2);
/// While there is something to tell.
const BUSY: Duration = Duration::from_secs(1);

pub(super) async fn tick(issuer: Arc<Issuer>) -> Duration {
    match deliver(&issuer).await {
        Ok(true) => BUSY,
        Ok(false) => EVERY,
        Err(error) => {
            tracing::warn!(event = "backchannel_failed", error = %Chain(&error));
            EVERY
        }
    }
}

/// Delivers what is due; says whether anything was.
async fn deliver(issuer: &Arc<Issuer>) -> Result<bool, Error> {
    // Nothing is told by a database that lost something, and others say so already.
    if !issuer.may_forget() || !issuer.store().has_deliveries(issuer.now()).await? {
        return Ok(false);
    }
    issuer.deliver_logouts().await?;
    Ok(true)
}
