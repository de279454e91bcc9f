//! The view that this process has of the two logs: which tokens are dead, and what its caches must forget.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use tokio::sync::Mutex;
use vouchsafe_protocol::Chain;
use vouchsafe_protocol::{RevocationEntry, Timestamp};
use vouchsafe_store::{ChangeEntry, ChangeKind, LogHeads};
use vouchsafe_verifier::RevocationIndex;

use crate::{Error, Issuer};

/// Younger than this, the view is used as it is.
const FRESH: Duration = Duration::from_secs(1);
/// Older than this, it vouches for nothing.
const LEASE: Duration = Duration::from_secs(5);
const PAGE: u32 = 1000;
/// How often expired entries are dropped.
const SWEEP: Duration = Duration::from_secs(60);

/// What was read of the logs, and when.
pub(crate) struct View {
    revoked: RwLock<RevocationIndex>,
    followed: Mutex<Followed>,
    changes: AtomicI64,
    read: Instant,
    failed: Instant,
    wrote: Instant,
}

struct Followed {
    revocation: i64,
    change: i64,
    swept: Timestamp,
}

/// An instant of the monotonic clock: milliseconds plus one, 0 for never.
#[derive(Default)]
struct Instant(AtomicU64);

impl Instant {
    fn age(&self, now: Duration) -> Option<Duration> {
        match self.0.load(Ordering::Acquire) {
            0 => None,
            at => Some(now.saturating_sub(Duration::from_millis(at - 1))),
        }
    }

    fn mark(&self, at: Duration) {
        let millis = u64::try_from(at.as_millis()).unwrap_or(u64::MAX - 1);
        self.0.fetch_max(millis + 1, Ordering::AcqRel);
    }
}

impl View {
    pub(crate) fn new() -> Self {
        Self {
            revoked: RwLock::new(RevocationIndex::new()),
            followed: Mutex::new(Followed {
                revocation: 0,
                change: 0,
                swept: Timestamp::from_unix(0),
            }),
            changes: AtomicI64::new(0),
            read: Instant::default(),
            failed: Instant::default(),
            wrote: Instant::default(),
        }
    }

    /// The number of the last change followed; caches compare it before and after a reading.
    pub(crate) fn change_number(&self) -> i64 {
        self.changes.load(Ordering::Acquire)
    }

    fn learn(&self, entries: &[RevocationEntry]) {
        let mut index = self.revoked.write().unwrap_or_else(PoisonError::into_inner);
        for entry in entries {
            index.apply(entry);
        }
    }

    /// Which tokens are dead, as last read.
    pub(crate) fn index(&self) -> RwLockReadGuard<'_, RevocationIndex> {
        self.revoked.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Issuer {
    /// Reads what was appended to the logs since the last time. After it returned, everything committed before it was
    /// called is in effect in this process.
    ///
    /// # Errors
    /// The store's; the view stays as it was.
    pub async fn follow(&self) -> Result<(), Error> {
        let mut followed = self.view.followed.lock().await;
        self.follow_marked(&mut followed).await
    }

    /// Reads both logs from their start, beside what is known to be dead, and forgets every cache: the database began a
    /// new epoch, and what was read of the one before may never have been.
    pub(crate) async fn follow_anew(&self) -> Result<(), Error> {
        let mut followed = self.view.followed.lock().await;
        followed.revocation = 0;
        followed.change = 0;
        self.follow_marked(&mut followed).await?;
        self.forget_all().await
    }

    /// Follows, and marks when it was done or failed.
    async fn follow_marked(&self, followed: &mut Followed) -> Result<(), Error> {
        let begun = self.machine.clock.monotonic();
        let outcome = self.follow_from(followed).await;
        match outcome {
            Ok(()) => self.view.read.mark(begun),
            Err(_) => self.view.failed.mark(self.machine.clock.monotonic()),
        }
        outcome
    }

    async fn follow_from(&self, followed: &mut Followed) -> Result<(), Error> {
        let heads = self.store.log_heads().await?;
        let before = LogHeads {
            revocation: followed.revocation,
            change: followed.change,
        };
        if heads.revocation < before.revocation || heads.change < before.change {
            self.lose_logs(before, heads);
            // Nothing of the other line gets into the caches.
            return Err(Error::StateRollback);
        }
        self.follow_revocations(followed, heads.revocation).await?;
        if followed.change != heads.change {
            self.follow_changes(followed, heads.change).await?;
        }
        Ok(())
    }

    async fn follow_revocations(&self, followed: &mut Followed, head: i64) -> Result<(), Error> {
        if head < followed.revocation {
            // The log went back: keep what is known to be dead, and read again from its start.
            followed.revocation = 0;
        }
        while followed.revocation < head {
            let entries = self.store.revocations_after(followed.revocation, PAGE).await?;
            let Some(last) = entries.last().map(|entry| entry.n) else {
                // What is missing has expired and was swept.
                followed.revocation = head;
                break;
            };
            self.view.learn(&entries);
            followed.revocation = last;
        }
        let now = self.now();
        if now.since(followed.swept) >= SWEEP && self.may_forget() {
            self.view
                .revoked
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .sweep(now);
            followed.swept = now;
        }
        Ok(())
    }

    async fn follow_changes(&self, followed: &mut Followed, head: i64) -> Result<(), Error> {
        let changes = self.store.changes_after(followed.change, PAGE).await?;
        let complete = changes
            .first()
            .is_some_and(|first| first.n == followed.change + 1)
            && changes.last().is_some_and(|last| last.n >= head)
            && changes.iter().all(|change| change.kind.is_some());
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
        for change in changes
            .iter()
            .filter(|change| change.kind == Some(ChangeKind::Client))
        {
            self.clients.forget(&change.key);
        }
        if changes
            .iter()
            .any(|change| matches!(change.kind, Some(ChangeKind::Resource | ChangeKind::Role)))
        {
            self.reload_catalog().await?;
        }
        if changes.iter().any(|change| change.kind == Some(ChangeKind::Keys)) {
            self.reload_keys().await?;
        }
        Ok(())
    }

    async fn forget_all(&self) -> Result<(), Error> {
        self.clients.forget_all();
        self.reload_catalog().await?;
        self.reload_keys().await
    }

    /// Makes sure that the view is inside its lease: by a look at the clock, and at the database only when the task
    /// that follows the log has fallen behind.
    ///
    /// # Errors
    /// [`Error::StaleView`]; [`Error::StateRollback`] when the database went back in time.
    pub(crate) async fn must_be_current(&self) -> Result<(), Error> {
        self.must_have_its_past()?;
        let younger = |instant: &Instant, limit| {
            instant
                .age(self.machine.clock.monotonic())
                .is_some_and(|age| age <= limit)
        };
        // Whoever waited behind somebody else's reading or failure shares it.
        let needed = || !younger(&self.view.read, FRESH) && !younger(&self.view.failed, FRESH);
        if needed() {
            let mut followed = self.view.followed.lock().await;
            if needed()
                && let Err(error) = self.follow_marked(&mut followed).await
            {
                tracing::warn!(event = "follow_failed", error = %Chain(&error));
            }
        }
        if younger(&self.view.read, LEASE) {
            Ok(())
        } else {
            Err(Error::StaleView)
        }
    }

    /// True while the last write that a heartbeat made is no older than the lease.
    #[must_use]
    pub fn writes_are_current(&self) -> bool {
        let age = self.view.wrote.age(self.machine.clock.monotonic());
        age.is_some_and(|age| age <= LEASE)
    }

    /// Marks that a write went through.
    pub(crate) fn wrote(&self) {
        self.view.wrote.mark(self.machine.clock.monotonic());
    }

    /// True while the view of the logs is inside its lease, and of a database that lost nothing.
    #[must_use]
    pub fn view_is_current(&self) -> bool {
        let age = self.view.read.age(self.machine.clock.monotonic());
        age.is_some_and(|age| age <= LEASE) && !self.has_lost_its_past()
    }
}
