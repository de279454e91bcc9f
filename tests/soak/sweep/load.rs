//! Clients that refresh again and again, with a pause in between, so that the machine has time left; and what each
//! refresh took as its client feels it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::client::{Fate, settle};
use crate::family::Family;
use crate::history::Outcome;
use crate::report::percentile;
use crate::requests::Manner;
use crate::rng::Rng;
use crate::world::World;

/// The first actor of this kind in the numbering of random streams.
const STREAM: u64 = 2_100_000;
/// Milliseconds; not the same each time, so that the clients do not march in step.
const PAUSE: (u64, u64) = (15, 35);

/// What the clients have noted so far.
#[derive(Default)]
struct Notes {
    taken: Mutex<Vec<Duration>>,
    unserved: AtomicUsize,
}

/// Clients at work; they stop when it is dropped.
pub(super) struct Load {
    over: Arc<AtomicBool>,
    notes: Arc<Notes>,
    clients: JoinSet<Result<(), String>>,
}

impl Load {
    /// One client for each of the first sessions.
    pub(super) fn start(world: &Arc<World>, sessions: &[Arc<Family>]) -> Self {
        let (over, notes) = (Arc::new(AtomicBool::new(false)), Arc::new(Notes::default()));
        let mut clients = JoinSet::new();
        for session in sessions.iter().take(world.options.clients) {
            clients.spawn(live(
                Arc::clone(world),
                Arc::clone(session),
                Arc::clone(&notes),
                Arc::clone(&over),
            ));
        }
        Self { over, notes, clients }
    }

    /// Leaves out of the measurement what was noted so far.
    pub(super) fn forget(&self) {
        self.notes.take();
    }

    /// Lets every client finish what it began: what it holds then is the newest token of its session.
    ///
    /// # Errors
    /// That a session ended under the load.
    pub(super) async fn end(mut self) -> Result<(), String> {
        self.over.store(true, Ordering::Release);
        while let Some(ended) = self.clients.join_next().await {
            ended.map_err(|error| format!("a client failed: {error}"))??;
        }
        Ok(())
    }
}

async fn live(
    world: Arc<World>,
    session: Arc<Family>,
    notes: Arc<Notes>,
    over: Arc<AtomicBool>,
) -> Result<(), String> {
    let number = u64::try_from(session.number).unwrap_or(0);
    let mut rng = Rng::new(world.options.seed, STREAM.saturating_add(number));
    while !over.load(Ordering::Acquire) {
        let token = session.newest();
        let since = world.now();
        let fate = settle(&world, &session, &token, Manner::default(), &mut rng).await;
        if fate == Fate::Ended {
            return Err(format!(
                "session {number} could not be refreshed after {} times",
                token.id.seq
            ));
        }
        notes.add(&world, since);
        sleep(rng.millis(PAUSE.0, PAUSE.1)).await;
    }
    Ok(())
}

impl Notes {
    /// Notes a refresh that was begun at this instant. The history is not kept: a checker has nothing to find here.
    fn add(&self, world: &World, since: Duration) {
        let took = world.now().saturating_sub(since);
        // What is behind it is a list that is appended to.
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.push(took);
        drop(taken);
        let events = world.history.take().events;
        let unserved = events
            .iter()
            .filter(|event| !matches!(event.outcome, Outcome::Granted(_)));
        self.unserved.fetch_add(unserved.count(), Ordering::AcqRel);
    }

    fn take(&self) -> (Vec<Duration>, usize) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        (
            std::mem::take(&mut *taken),
            self.unserved.swap(0, Ordering::AcqRel),
        )
    }
}

/// Refreshes of one phase.
#[derive(Debug, Default)]
pub(super) struct Served {
    /// What each took until its client had tokens, in order.
    taken: Vec<Duration>,
    /// Answers without tokens and requests without an answer; their clients asked again.
    pub(super) unserved: usize,
}

impl Served {
    /// Adds what the clients have noted since the last time.
    pub(super) fn take_from(&mut self, load: &Load) {
        let (taken, unserved) = load.notes.take();
        self.add(taken, unserved);
    }

    fn add(&mut self, taken: Vec<Duration>, unserved: usize) {
        self.taken.extend(taken);
        self.taken.sort_unstable();
        self.unserved = self.unserved.saturating_add(unserved);
    }

    /// How many were served.
    pub(super) fn count(&self) -> usize {
        self.taken.len()
    }

    /// The time within which so many of a hundred were served.
    pub(super) fn percentile(&self, percent: usize) -> Duration {
        percentile(&self.taken, percent)
    }
}

#[cfg(test)]
impl Served {
    /// Refreshes that took this long.
    pub(super) fn taking(taken: impl IntoIterator<Item = Duration>) -> Self {
        let mut served = Self::default();
        served.add(taken.into_iter().collect(), 0);
        served
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_later_takes_its_place_in_the_order() {
        let mut served = Served::taking((51..=100).rev().map(Duration::from_millis));
        served.add((1..=50).map(Duration::from_millis).collect(), 2);
        assert_eq!((served.count(), served.unserved), (100, 2));
        assert_eq!(served.percentile(50), Duration::from_millis(50));
        assert_eq!(served.percentile(99), Duration::from_millis(99));
    }

    #[test]
    fn notes_are_taken_once() {
        let notes = Notes::default();
        notes.taken.lock().unwrap().push(Duration::from_millis(3));
        notes.unserved.store(1, Ordering::Release);
        assert_eq!(notes.take(), (vec![Duration::from_millis(3)], 1));
        assert_eq!(notes.take(), (Vec::new(), 0));
    }
}
