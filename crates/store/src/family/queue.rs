//! The queue of rotations: what is waiting commits together, each caller learning its own outcome.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex, Semaphore, mpsc, oneshot};
use vouchsafe_protocol::Chain;
use vouchsafe_protocol::failpoint::reach;
use vouchsafe_protocol::{Clock, Timestamp};

use super::rotate::{self, Done, Moment, RotateJob, RotateOutcome};
use crate::backend::TRIES;
use crate::{Database, Store, StoreError};

const WAITING: usize = 4096;
const BATCH: usize = 64;
/// How many jobs are executed alone at once; fewer than there are connections for rotations.
const ALONE: usize = 3;
/// How many more may wait for that; whoever comes then is told to come again.
const SEATS: usize = 256;
/// Retries that a slow batch held up come within this time of its end.
const STALL_COUNTS: Duration = Duration::from_secs(60);

struct Waiting {
    job: RotateJob,
    answer: oneshot::Sender<Result<RotateOutcome, StoreError>>,
}

/// Hands jobs to the one task that writes rotations.
#[derive(Clone, Debug)]
pub(crate) struct RotationQueue(mpsc::Sender<Waiting>);

impl RotationQueue {
    /// Starts the writing task; it ends when the last handle is dropped, and begins again should it panic.
    pub(crate) fn start(db: Database, clock: Arc<dyn Clock>) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        let writer = Arc::new(Writer {
            db,
            clock,
            receiver: Mutex::new(receiver),
            stall: std::sync::Mutex::new(Stall::default()),
            alone: Semaphore::new(ALONE),
            seats: Arc::new(Semaphore::new(SEATS)),
        });
        tokio::spawn(async move {
            while tokio::spawn(Arc::clone(&writer).write_all()).await.is_err() {
                tracing::error!(event = "rotation_writer_panicked");
            }
        });
        Self(sender)
    }

    /// True when nothing takes jobs any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.is_closed()
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

/// The one task that writes rotations.
struct Writer {
    db: Database,
    clock: Arc<dyn Clock>,
    receiver: Mutex<mpsc::Receiver<Waiting>>,
    stall: std::sync::Mutex<Stall>,
    /// A place for each job that is executed alone.
    alone: Semaphore,
    /// A seat for each that has such a place or waits for one.
    seats: Arc<Semaphore>,
}

/// The longest stall of late: when it ended, on the monotonic clock, and how long it kept the callers waiting.
#[derive(Clone, Copy, Default)]
struct Stall {
    ended: Duration,
    took: Duration,
    /// When the clock was last looked at: monotonic, and what it showed.
    looked: Option<(Duration, Timestamp)>,
}

impl Stall {
    /// How much longer a replaced token may be retried in a batch that begins now.
    fn slack(self, begun: Duration) -> Duration {
        if begun.saturating_sub(self.ended) <= STALL_COUNTS {
            self.took
        } else {
            Duration::ZERO
        }
    }

    /// A clock that stepped ahead since it was last looked at, as when another database server took over, is a stall too:
    /// retries seem to come later than they do.
    fn stepped(self, at: Duration, now: Timestamp) -> Self {
        let step = self.looked.map_or(Duration::ZERO, |(before, showed)| {
            now.since(showed).saturating_sub(at.saturating_sub(before))
        });
        // More is no change of servers but a machine that slept.
        let step = step.min(STALL_COUNTS);
        let looked = Some((at, now));
        // Seconds are whole.
        let stall = if step > Duration::from_secs(1) {
            self.after(at, step)
        } else {
            self
        };
        Self { looked, ..stall }
    }

    /// The stall to remember after a batch; a longer one is kept until its retries have come.
    fn after(self, ended: Duration, took: Duration) -> Self {
        let over = ended.saturating_sub(self.ended) > STALL_COUNTS;
        if took >= self.took || over {
            Self { ended, took, ..self }
        } else {
            self
        }
    }
}

impl Writer {
    async fn write_all(self: Arc<Self>) {
        let mut receiver = self.receiver.lock().await;
        let mut waiting = VecDeque::new();
        loop {
            if waiting.is_empty() {
                let Some(first) = receiver.recv().await else {
                    return;
                };
                waiting.push_back(first);
            }
            // Whoever came meanwhile joins, so that many jobs of one family do not make batches of one.
            while waiting.len() < WAITING
                && let Ok(more) = receiver.try_recv()
            {
                waiting.push_back(more);
            }
            let batch = take_batch(&mut waiting);
            self.write_batch(batch).await;
        }
    }

    async fn write_batch(self: &Arc<Self>, batch: Vec<Waiting>) {
        match self.commit_timed(&batch, false).await {
            Ok(done) => {
                for (waiting, done) in batch.into_iter().zip(done) {
                    match done {
                        // A caller that no longer listens asks again and gets the same successor.
                        Some(outcome) => drop(waiting.answer.send(outcome)),
                        None => self.write_later(waiting),
                    }
                }
            }
            // The database does not work for anyone; whether it committed is unknown, and a retry finds out.
            Err(StoreError::Unavailable(cause)) if StoreError::from(cause.clone()).is_of_everyone() => {
                for waiting in batch {
                    let _ = waiting.answer.send(Err(StoreError::Unavailable(cause.clone())));
                }
            }
            Err(error) => {
                tracing::warn!(
                    event = "rotation_batch_failed",
                    error = %Chain(&error),
                    jobs = batch.len()
                );
                for alone in batch {
                    self.write_later(alone);
                }
            }
        }
    }

    /// Beside the other batches: whoever holds the row may take a while. A few at a time, so that the batches keep a
    /// connection.
    fn write_later(self: &Arc<Self>, waiting: Waiting) {
        let Ok(seat) = Arc::clone(&self.seats).try_acquire_owned() else {
            let _ = waiting.answer.send(Err(StoreError::Busy));
            return;
        };
        let writer = Arc::clone(self);
        tokio::spawn(async move {
            let _seat = seat;
            // The semaphore is never closed.
            let _place = writer.alone.acquire().await;
            if waiting.answer.is_closed() {
                return;
            }
            let outcome = writer.write_alone(&waiting).await;
            let _ = waiting.answer.send(outcome);
        });
    }

    async fn write_alone(&self, waiting: &Waiting) -> Result<RotateOutcome, StoreError> {
        let mut tries = 0;
        let done = loop {
            tries += 1;
            match self.commit_timed(std::slice::from_ref(waiting), true).await {
                // Whoever holds the row for two seconds holds it for longer; others are waiting for this place.
                Err(error) if error.is_busy() && !error.is_held() && tries < TRIES => {}
                done => break done?,
            }
        };
        done.into_iter().next().flatten().unwrap_or(Err(StoreError::Busy))
    }

    fn stall(&self) -> MutexGuard<'_, Stall> {
        self.stall.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits, and remembers how long that kept the callers waiting.
    async fn commit_timed(&self, batch: &[Waiting], wait: bool) -> Result<Vec<Done>, StoreError> {
        let (begun, begun_at) = (self.clock.monotonic(), self.clock.now());
        let slack = {
            let mut stall = self.stall();
            *stall = stall.stepped(begun, begun_at);
            stall.slack(begun)
        };
        let outcome = self.commit(batch, slack, wait).await;
        let ended = self.clock.monotonic();
        let took = ended.saturating_sub(begun).max(self.clock.now().since(begun_at));
        let mut stall = self.stall();
        *stall = stall.after(ended, took);
        drop(stall);
        outcome
    }

    /// Executes every job in one transaction; all outcomes are durable, or none is.
    async fn commit(&self, batch: &[Waiting], stall: Duration, wait: bool) -> Result<Vec<Done>, StoreError> {
        let write = self.db.write_rotations().await?;
        let jobs: Vec<&RotateJob> = batch.iter().map(|waiting| &waiting.job).collect();
        let moment = Moment {
            clock: &*self.clock,
            stall,
            wait,
        };
        let done = rotate::execute_batch(&write, &jobs, &moment).await?;
        reach("refresh.before_commit");
        write.commit().await?;
        reach("refresh.after_commit");
        Ok(done)
    }
}

/// Takes out the first job of each family, up to a batch, by family. Two jobs of one family never stand in one batch: the
/// second must see what the first committed.
fn take_batch(waiting: &mut VecDeque<Waiting>) -> Vec<Waiting> {
    let mut families = HashSet::new();
    let (mut batch, mut later) = (Vec::with_capacity(BATCH), VecDeque::new());
    while let Some(next) = waiting.pop_front() {
        if batch.len() < BATCH && families.insert(next.job.sid.clone()) {
            batch.push(next);
        } else {
            later.push_back(next);
        }
    }
    *waiting = later;
    batch.sort_by(|a, b| a.job.sid.cmp(&b.job.sid));
    batch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r8_the_longest_stall_counts_until_its_retries_have_come() {
        let seconds = Duration::from_secs;
        let none = Stall::default();
        assert_eq!(none.slack(seconds(5)), Duration::ZERO);
        let long = none.after(seconds(140), seconds(40));
        // Short batches that come after it, such as those of its own retries, do not make it forgotten.
        let after = long
            .after(seconds(141), seconds(0))
            .after(seconds(150), seconds(1));
        assert_eq!(after.slack(seconds(151)), seconds(40));
        assert_eq!(after.slack(seconds(200)), seconds(40));
        assert_eq!(after.slack(seconds(201)), Duration::ZERO);
        let at = Timestamp::from_unix;
        let stepped = none.stepped(seconds(0), at(1000)).stepped(seconds(10), at(1050));
        assert_eq!(stepped.slack(seconds(11)), seconds(40));
        let even = none.stepped(seconds(0), at(1000)).stepped(seconds(10), at(1011));
        assert_eq!(even.slack(seconds(11)), Duration::ZERO);
        let later = after.after(seconds(201), seconds(1));
        assert_eq!(later.slack(seconds(202)), seconds(1));
        assert_eq!(
            after.after(seconds(160), seconds(50)).slack(seconds(215)),
            seconds(50)
        );
    }
}
