//! The store itself: an open database and the queue of rotations.

use std::sync::Arc;

use vouchsafe_protocol::{Clock, Timestamp};

use crate::family::RotationQueue;
use crate::sweep::Positions;
use crate::{Database, NewRevocation, StoreError, Wake};

/// Everything that outlives a process. Cloning shares the connections and the queue.
#[derive(Clone)]
pub struct Store {
    pub(crate) db: Database,
    clock: Arc<dyn Clock>,
    pub(crate) rotations: RotationQueue,
    pub(crate) swept: Arc<Positions>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl Store {
    /// Takes an open database whose schema is current and starts the writer of rotations on the present runtime.
    #[must_use]
    pub fn new(db: Database, clock: Arc<dyn Clock>) -> Self {
        let rotations = RotationQueue::start(db.clone(), Arc::clone(&clock));
        Self {
            db,
            clock,
            rotations,
            swept: Arc::default(),
        }
    }

    /// The present instant, for what must be stamped after its transaction began.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The revocation as of now: whoever waited for the write lock covers also what was issued meanwhile.
    pub(crate) fn stamped(&self, revocation: &NewRevocation) -> NewRevocation {
        let now = self.now();
        let waited = now.since(revocation.at);
        NewRevocation {
            not_before: revocation.not_before.plus(waited).max(now),
            expires: revocation.expires.plus(waited),
            at: now,
            ..revocation.clone()
        }
    }

    /// Begins to wait for appends to the logs, by whichever process.
    #[must_use]
    pub fn wake(&self) -> Wake {
        self.db.wake()
    }

    /// The database's own clock in milliseconds since 1970; none for a database that has no clock of its own.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn time_millis(&self) -> Result<Option<i64>, StoreError> {
        self.db.time_millis().await
    }

    /// Asks the database for a sign of life.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it gives none.
    pub async fn ping(&self) -> Result<(), StoreError> {
        if self.rotations.is_closed() {
            return Err(StoreError::Busy);
        }
        self.log_heads().await.map(drop)
    }

    /// Closes the connections; what is under way ends first.
    pub async fn close(&self) {
        self.db.close().await;
    }
}
