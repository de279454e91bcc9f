//! The real machine: its clock and its randomness.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ring::rand::{SecureRandom as _, SystemRandom};
use vouchsafe_issuer::{DatabaseClock, Machine};
use vouchsafe_protocol::{Clock, Entropy, Timestamp};

struct SystemClock {
    start: Instant,
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_unix(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

struct SystemEntropy(SystemRandom);

impl Entropy for SystemEntropy {
    fn fill(&self, buf: &mut [u8]) {
        if self.0.fill(buf).is_err() {
            // Weak tokens are worse than no process.
            tracing::error!(event = "entropy_failed");
            std::process::abort();
        }
    }
}

/// The clock of the operating system, until the database tells the time, and its randomness.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn real_machine() -> Machine {
    let clock = Arc::new(DatabaseClock::new(Arc::new(SystemClock {
        start: Instant::now(),
    })));
    Machine {
        clock: Arc::clone(&clock) as _,
        entropy: Arc::new(SystemEntropy(SystemRandom::new())),
        database_clock: Some(clock),
    }
}
