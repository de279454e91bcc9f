//! What the running server does by the clock. A task is a tick that says when it is due again; only its loop sleeps.

mod clock;
mod follow;
mod heartbeat;
mod keys;
mod sweep;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use vouchsafe_issuer::Issuer;

use crate::state::Outside;
pub(crate) use heartbeat::tick as beat;

/// Starts every task; they end when `shutdown` turns true.
pub(crate) fn start(issuer: &Arc<Issuer>, outside: &Arc<Outside>, shutdown: &watch::Receiver<bool>) {
    follow::run(issuer, shutdown);
    let outside = Arc::clone(outside);
    run("heartbeat", issuer, shutdown, move |issuer| {
        heartbeat::tick(issuer, Arc::clone(&outside))
    });
    run("clock", issuer, shutdown, clock::tick);
    run("keys", issuer, shutdown, keys::tick);
    run("sweep", issuer, shutdown, sweep::tick);
}

/// Runs one tick after the other, each as long after the last as that one said.
fn run<F>(
    name: &'static str,
    issuer: &Arc<Issuer>,
    shutdown: &watch::Receiver<bool>,
    tick: impl Fn(Arc<Issuer>) -> F + Send + 'static,
) where
    F: Future<Output = Duration> + Send + 'static,
{
    let (issuer, mut shutdown) = (Arc::clone(issuer), shutdown.clone());
    tokio::spawn(async move {
        loop {
            let pause = supervised(name, tick(Arc::clone(&issuer))).await;
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = shutdown.wait_for(|down| *down) => return,
            }
        }
    });
}

/// Runs one tick in a task of its own, so that its panic ends this tick only.
async fn supervised(name: &'static str, tick: impl Future<Output = Duration> + Send + 'static) -> Duration {
    let done = tokio::spawn(tick).await;
    done.unwrap_or_else(|_| {
        tracing::error!(event = "task_panicked", task = name);
        Duration::from_secs(5)
    })
}
