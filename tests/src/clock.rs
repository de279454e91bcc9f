//! A clock that tests move.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use vouchsafe_protocol::{Clock, Timestamp};

/// Where every test begins: 2026-01-01T00:00:00Z.
pub const START: i64 = 1_767_225_600;

/// Stands still until it is moved; its monotonic part goes on with real time.
#[derive(Debug)]
pub struct TestClock {
    now: AtomicI64,
    moved: AtomicI64,
    started: Instant,
}

impl Default for TestClock {
    #[expect(clippy::disallowed_methods, reason = "this is a clock")]
    fn default() -> Self {
        Self {
            now: AtomicI64::new(START),
            moved: AtomicI64::new(0),
            started: Instant::now(),
        }
    }
}

impl TestClock {
    /// One that begins at this instant.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self {
            now: AtomicI64::new(now.as_unix()),
            ..Self::default()
        }
    }

    /// Moves on.
    pub fn advance(&self, by: Duration) {
        let seconds = i64::try_from(by.as_secs()).unwrap_or(i64::MAX);
        self.now.fetch_add(seconds, Ordering::SeqCst);
        self.moved.fetch_add(seconds, Ordering::SeqCst);
    }

    /// Steps back, as a machine's clock may; monotonic time does not.
    pub fn step_back(&self, by: Duration) {
        self.now
            .fetch_sub(i64::try_from(by.as_secs()).unwrap_or(0), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix(self.now.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        let moved = u64::try_from(self.moved.load(Ordering::SeqCst)).unwrap_or(0);
        self.started.elapsed() + Duration::from_secs(moved)
    }
}
