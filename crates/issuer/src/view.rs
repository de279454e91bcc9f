//! The view that this process has of the two logs: which tokens are dead, and what its caches must forget.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Mutex;
use vouchsafe_store::{ChangeEntry, ChangeKind};
use vouchsafe_verifier::RevocationIndex;

use crate::{Error, Issuer};

/// Younger than this, the view is used as it is.
const FRESH: Duration = Duration::from_secs(1);
/// Older than this, it vouches for nothing.
const LEASE: Duration = Duration::from_secs(5);
const PAGE: u32 = 1000;

/// What was read of the logs, and when.
pub(crate) struct View {
    revoked: ArcSwap<RevocationIndex>,
    followed: Mutex<Followed>,
    changes: AtomicI64,
    /// Milliseconds of the monotonic clock at the last complete reading, plus one; 0 for never.
    read_at: AtomicU64,
}

#[derive(Default)]
struct Followed {
    revocation: i64,
    change: i64,
}

impl View {
    pub(crate) fn new() -> Self {
        Self {
            revoked: ArcSwap::from_pointee(RevocationIndex::new()),
            followed: Mutex::new(Followed::default()),
            changes: AtomicI64::new(0),
            read_at: AtomicU64::new(0),
        }
    }

    /// The number of the last change followed; caches compare it before and after a reading.
    pub(crate) fn change_number(&self) -> i64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Which tokens are dead, as last read.
    pub(crate) fn revoked(&self) -> std::sync::Arc<RevocationIndex> {
        self.revoked.load_full()
    }

    fn age(&self, now: Duration) -> Option<Duration> {
        match self.read_at.load(Ordering::Acquire) {
            0 => None,
            read => Some(now.saturating_sub(Duration::from_millis(read - 1))),
        }
    }

    fn read_now(&self, at: Duration) {
        let millis = u64::try_from(at.as_millis()).unwrap_or(u64::MAX - 1);
        self.read_at.fetch_max(millis + 1, Ordering::AcqRel);
    }
}

impl Issuer {
    /// Reads what was appended to the logs since the last time. After it returned, everything committed before it was
    /// called is in effect in this process.
    ///
    /// # Errors
    /// The store's; the view stays as it was.
    pub async fn follow(&self) -> Result<(), Error> {
        self.follow_unless_younger(Duration::ZERO).await
    }

    /// The same, unless somebody else did it while this waited for its turn.
    async fn follow_unless_younger(&self, limit: Duration) -> Result<(), Error> {
        let mut followed = self.view.followed.lock().await;
        let begun = self.machine.clock.monotonic();
        if self.view.age(begun).is_some_and(|age| age < limit) {
            return Ok(());
        }
        let heads = self.store.log_heads().await?;
        self.follow_revocations(&mut followed, heads.revocation).await?;
        if followed.change != heads.change {
            self.follow_changes(&mut followed, heads.change).await?;
        }
        self.view.read_now(begun);
        Ok(())
    }

    async fn follow_revocations(&self, followed: &mut Followed, head: i64) -> Result<(), Error> {
        if head < followed.revocation {
            // The log went back: keep what is known to be dead, and read again from its start.
            tracing::error!(
                event = "state_rollback",
                known = followed.revocation,
                found = head
            );
            followed.revocation = 0;
        }
        while followed.revocation < head {
            let entries = self.store.revocations_after(followed.revocation, PAGE).await?;
            let Some(last) = entries.last().map(|entry| entry.n) else {
                // What is missing has expired and was swept.
                followed.revocation = head;
                break;
            };
            let mut index = RevocationIndex::clone(&self.view.revoked());
            for entry in &entries {
                index.apply(entry);
            }
            index.sweep(self.now());
            self.view.revoked.store(std::sync::Arc::new(index));
            followed.revocation = last;
        }
        Ok(())
    }

    async fn follow_changes(&self, followed: &mut Followed, head: i64) -> Result<(), Error> {
        let changes = self.store.changes_after(followed.change, PAGE).await?;
        let complete = changes
            .first()
            .is_some_and(|first| first.n == followed.change + 1)
            && changes.last().is_some_and(|last| last.n >= head);
        // The number moves first: a reading that began before it is not cached.
        self.view.changes.store(head, Ordering::Release);
        let forgotten = if complete {
            self.forget(&changes).await
        } else {
            self.forget_all().await
        };
        if forgotten.is_ok() {
            followed.change = head;
        }
        forgotten
    }

    async fn forget(&self, changes: &[ChangeEntry]) -> Result<(), Error> {
        for change in changes.iter().filter(|change| change.kind == ChangeKind::Client) {
            self.clients.forget(&change.key);
        }
        if changes
            .iter()
            .any(|change| matches!(change.kind, ChangeKind::Resource | ChangeKind::Role))
        {
            self.reload_catalog().await?;
        }
        if changes.iter().any(|change| change.kind == ChangeKind::Keys) {
            self.follow_keys().await?;
        }
        Ok(())
    }

    async fn forget_all(&self) -> Result<(), Error> {
        self.clients.forget_all();
        self.reload_catalog().await?;
        self.follow_keys().await
    }

    /// Keys that this master key does not open (they were sealed under another meanwhile) leave the ring in use as it
    /// is: it signs by the clock and verifies, and readiness tells.
    async fn follow_keys(&self) -> Result<(), Error> {
        match self.reload_keys().await {
            Err(error @ Error::Keys(_)) => {
                tracing::error!(
                    event = "keys_unreadable",
                    error = &error as &dyn std::error::Error
                );
                Ok(())
            }
            other => other,
        }
    }

    /// Which tokens are dead, no staler than the lease: read from memory, and from the database only when the task
    /// that follows the log has fallen behind.
    pub(crate) async fn revoked(&self) -> Result<std::sync::Arc<RevocationIndex>, Error> {
        let age = self.view.age(self.machine.clock.monotonic());
        let older_than = |limit| age.is_none_or(|age| age > limit);
        if !older_than(FRESH) {
            return Ok(self.view.revoked());
        }
        match self.follow_unless_younger(FRESH).await {
            Err(error) if older_than(LEASE) => {
                tracing::warn!(event = "view_is_stale", error = &error as &dyn std::error::Error);
                return Err(Error::StaleView);
            }
            Ok(()) | Err(_) => {}
        }
        Ok(self.view.revoked())
    }

    /// True while the view of the logs is inside its lease.
    #[must_use]
    pub fn view_is_current(&self) -> bool {
        self.view
            .age(self.machine.clock.monotonic())
            .is_some_and(|age| age <= LEASE)
    }
}
