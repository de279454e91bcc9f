//! The store itself: an open database and the queue of rotations.

use crate::family::RotationQueue;
use crate::{Database, StoreError};

/// Everything that outlives a process. Cloning shares the connections and the queue.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) db: Database,
    pub(crate) rotations: RotationQueue,
}

impl Store {
    /// Takes an open database whose schema is current and starts the writer of rotations on the present runtime.
    #[must_use]
    pub fn new(db: Database) -> Self {
        let rotations = RotationQueue::start(db.clone());
        Self { db, rotations }
    }

    /// Asks the database for a sign of life.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it gives none.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.log_heads().await.map(drop)
    }

    /// Closes the connections; what is under way ends first.
    pub async fn close(&self) {
        self.db.close().await;
    }
}
