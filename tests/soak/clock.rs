//! Real time: the soak is about what happens in it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The time since a run began, on the monotonic clock that all processes of the machine share.
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "a history is of real time")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// The time of day in Unix seconds.
#[expect(clippy::disallowed_methods, reason = "servers stamp their tokens with it")]
pub(crate) fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
