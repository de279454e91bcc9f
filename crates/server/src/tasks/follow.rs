//! Follows the logs, so that a change made elsewhere takes effect here within a second.

use std::sync::Arc;
use vouchsafe_protocol::Chain;

use tokio::sync::watch;
use vouchsafe_issuer::Issuer;

/// Reads the logs whenever the database tells of an append, and by the poll behind it, until `shutdown` turns true.
pub(super) fn run(issuer: &Arc<Issuer>, shutdown: &watch::Receiver<bool>) {
    let (issuer, mut shutdown) = (Arc::clone(issuer), shutdown.clone());
    tokio::spawn(async move {
        let wake = issuer.store().wake();
        loop {
            super::supervised("follow", follow(Arc::clone(&issuer))).await;
            tokio::select! {
                () = wake.wait() => {}
                _ = shutdown.wait_for(|down| *down) => return,
            }
        }
    });
}

async fn follow(issuer: Arc<Issuer>) {
    if let Err(error) = issuer.follow().await {
        tracing::warn!(event = "follow_failed", error = %Chain(&error));
    }
}
