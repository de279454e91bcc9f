//! What the running server does by the clock. A task is a tick that says when it is due again; only its loop sleeps.

mod backchannel;
mod clock;
mod follow;
mod heartbeat;
mod keys;
mod sweep;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use vouchsafe_issuer::Issuer;

use crate::state::Outside;
pub(crate) use heartbeat::tick as beat;

/// How long a task rests that panicked.
const AFTER_PANIC: Duration = Duration::from_secs(5);

/// Starts every task; they end when `shutdown` turns true.
pub(crate) fn start(issuer: &Arc<Issuer>, outside: &Arc<Outside>, shutdown: &watch::Receiver<bool>) {
    follow::run(issuer, shutdown);
    let outside = Arc::clone(outside);
    run("heartbeat", issuer, shutdown, move |issuer| {
        heartbeat::tick(issuer, Arc::clone(&outside))
    });
    run("backchannel", issuer, shutdown, backchannel::tick);
    run("clock", issuer, shutdown, clock::tick);
    run("keys", issuer, shutdown, keys::tick);
    let pace = Arc::new(Mutex::new(sweep::Pace::default()));
    run("sweep", issuer, shutdown, move |issuer| {
        sweep::tick(issuer, Arc::clone(&pace))
    });
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
            let pause = pause.unwrap_or(AFTER_PANIC);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = shutdown.wait_for(|down| *down) => return,
            }
        }
    });
}

/// Runs one piece of work in a task of its own, so that its panic ends that piece only: then none.
async fn supervised<T: Send + 'static>(
    name: &'static str,
    work: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    let done = tokio::spawn(work).await;
    if done.is_err() {
        tracing::error!(event = "task_panicked", task = name);
    }
    done.ok()
}
