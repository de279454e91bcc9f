//! The queue of rotations: what is waiting commits together, each caller learning its own outcome.

use std::collections::HashSet;

use tokio::sync::{mpsc, oneshot};

use super::rotate::{self, RotateJob, RotateOutcome};
use crate::{Database, Store, StoreError};

const WAITING: usize = 4096;
const BATCH: usize = 64;

struct Waiting {
    job: RotateJob,
    answer: oneshot::Sender<Result<RotateOutcome, StoreError>>,
}

/// Hands jobs to the one task that writes rotations.
#[derive(Clone, Debug)]
pub(crate) struct RotationQueue(mpsc::Sender<Waiting>);

impl RotationQueue {
    /// Starts the writing task; it ends when the last handle is dropped.
    pub(crate) fn start(db: Database) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        tokio::spawn(write_all(db, receiver));
        Self(sender)
    }
}

impl Store {
    /// Uses a refresh token: rotates its family, or says why not. A crash at any point leaves the family before or
    /// after the rotation; a caller that got no answer may ask again with the same token.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when too many wait; [`StoreError::Unavailable`] when the outcome is unknown.
    pub async fn rotate(&self, job: RotateJob) -> Result<RotateOutcome, StoreError> {
        let (answer, outcome) = oneshot::channel();
        self.rotations
            .0
            .try_send(Waiting { job, answer })
            .map_err(|_| StoreError::Busy)?;
        outcome.await.map_err(|_| StoreError::Busy)?
    }
}

async fn write_all(db: Database, mut receiver: mpsc::Receiver<Waiting>) {
    let mut waiting = Vec::with_capacity(BATCH);
    loop {
        if waiting.is_empty() && receiver.recv_many(&mut waiting, BATCH).await == 0 {
            return;
        }
        let (batch, later) = split(std::mem::take(&mut waiting));
        write_batch(&db, batch).await;
        waiting = later;
    }
}

/// Two jobs of one family never stand in one batch: the second must see what the first committed.
fn split(waiting: Vec<Waiting>) -> (Vec<Waiting>, Vec<Waiting>) {
    let mut families = HashSet::new();
    let (mut batch, later): (Vec<Waiting>, Vec<Waiting>) = waiting
        .into_iter()
        .partition(|waiting| families.insert(waiting.job.sid.clone()));
    batch.sort_by(|a, b| a.job.sid.cmp(&b.job.sid));
    (batch, later)
}

async fn write_batch(db: &Database, batch: Vec<Waiting>) {
    match commit_together(db, &batch).await {
        Ok(outcomes) => {
            for (waiting, outcome) in batch.into_iter().zip(outcomes) {
                // A caller that no longer listens asks again and gets the same successor.
                let _ = waiting.answer.send(Ok(outcome));
            }
        }
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                jobs = batch.len(),
                "rotation_batch_failed"
            );
            for waiting in batch {
                let outcome = commit_alone(db, &waiting.job).await;
                let _ = waiting.answer.send(outcome);
            }
        }
    }
}

async fn commit_together(db: &Database, batch: &[Waiting]) -> Result<Vec<RotateOutcome>, StoreError> {
    let write = db.write().await?;
    let mut outcomes = Vec::with_capacity(batch.len());
    for waiting in batch {
        outcomes.push(rotate::execute(&*write, &waiting.job).await?);
    }
    write.commit().await?;
    Ok(outcomes)
}

async fn commit_alone(db: &Database, job: &RotateJob) -> Result<RotateOutcome, StoreError> {
    let write = db.write().await?;
    let outcome = rotate::execute(&*write, job).await?;
    write.commit().await?;
    Ok(outcome)
}
