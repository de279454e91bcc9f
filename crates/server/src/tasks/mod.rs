//! What the running server does by the clock. A task is a tick that says when it is due again; only its loop sleeps.

mod follow;
mod keys;
mod sweep;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use vouchsafe_issuer::Issuer;

/// Starts every task; they end when `shutdown` turns true.
pub(crate) fn start(issuer: &Arc<Issuer>, shutdown: &watch::Receiver<bool>) {
    run("follow", issuer, shutdown, follow::tick);
    run("keys", issuer, shutdown, keys::tick);
    run("sweep", issuer, shutdown, sweep::tick);
}

/// Runs one tick after the other, each as long after the last as that one said.
fn run<F>(
    name: &'static str,
    issuer: &Arc<Issuer>,
    shutdown: &watch::Receiver<bool>,
    tick: fn(Arc<Issuer>) -> F,
) where
    F: Future<Output = Duration> + Send + 'static,
{
    let (issuer, mut shutdown) = (Arc::clone(issuer), shutdown.clone());
    tokio::spawn(async move {
        loop {
            // A tick of its own task, so that its panic ends this tick only.
            let pause = tokio::spawn(tick(Arc::clone(&issuer))).await.unwrap_or_else(|_| {
                tracing::error!(event = "task_panicked", task = name);
                Duration::from_secs(5)
            });
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = shutdown.wait_for(|down| *down) => return,
            }
        }
    });
}
