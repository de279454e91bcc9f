//! The time of record: the database's, carried on by this machine's monotonic clock, so that replicas agree on it and a
//! step of a machine's own clock changes nothing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use vouchsafe_protocol::{Clock, Timestamp};
use vouchsafe_store::{Store, StoreError};

use crate::{Error, Issuer};

/// Beyond this difference between the machine and the database the replica is not ready.
const ALARM: Duration = Duration::from_secs(5);
/// Beyond this one it signs nothing.
const LIMIT: Duration = Duration::from_secs(60);
/// A measurement that took longer says too little.
const LONGEST_MEASUREMENT: Duration = Duration::from_secs(2);
/// And once there is one, only those count that are better than half a second.
const QUICK: Duration = Duration::from_millis(500);

/// Tells the database's time between measurements.
pub struct DatabaseClock {
    local: Arc<dyn Clock>,
    measured: Mutex<Option<Measured>>,
}

#[derive(Clone, Copy)]
struct Measured {
    /// The database's time in milliseconds since 1970, when the monotonic clock showed `at`.
    millis: i64,
    at: Duration,
}

impl DatabaseClock {
    /// A clock that shows the machine's own time until the first measurement, and for ever where the database has no
    /// clock of its own.
    #[must_use]
    pub fn new(local: Arc<dyn Clock>) -> Self {
        let measured = Mutex::new(None);
        Self { local, measured }
    }

    fn measured(&self) -> Option<Measured> {
        *self.measured.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in that the database said `millis` to a question asked at `asked` on the monotonic clock and answered just
    /// now. An answer that came too late changes nothing.
    fn correct(&self, millis: i64, asked: Duration) -> bool {
        let answered = self.local.monotonic();
        let took = answered.saturating_sub(asked);
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        let longest = if measured.is_some() {
            QUICK
        } else {
            LONGEST_MEASUREMENT
        };
        let counts = took <= longest;
        if counts {
            let at = asked + took / 2;
            *measured = Some(Measured { millis, at });
        }
        counts
    }

    /// Asks the database for its time, if it has a clock of its own; says whether nothing is left to be measured.
    ///
    /// # Errors
    /// The store's; the clock goes on from the last measurement.
    pub async fn measure(&self, store: &Store) -> Result<bool, StoreError> {
        let asked = self.local.monotonic();
        Ok(match store.time_millis().await? {
            Some(millis) => self.correct(millis, asked),
            None => true,
        })
    }

    /// How far the machine's own clock is from the time told here. A machine that was suspended finds itself far off until
    /// the next measurement: its monotonic clock stood still.
    #[must_use]
    pub fn skew(&self) -> Duration {
        let (own, told) = (self.local.now().as_unix(), self.now().as_unix());
        Duration::from_secs(own.abs_diff(told))
    }
}

impl std::fmt::Debug for DatabaseClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DatabaseClock")
            .field("skew", &self.skew())
            .finish()
    }
}

impl Clock for DatabaseClock {
    fn now(&self) -> Timestamp {
        let Some(measured) = self.measured() else {
            return self.local.now();
        };
        let since = self.local.monotonic().saturating_sub(measured.at).as_millis();
        let millis = measured
            .millis
            .saturating_add(i64::try_from(since).unwrap_or(i64::MAX));
        Timestamp::from_unix(millis.div_euclid(1000))
    }

    fn monotonic(&self) -> Duration {
        self.local.monotonic()
    }
}

impl Issuer {
    /// Measures the database's clock; nothing to do where time is the machine's own.
    ///
    /// # Errors
    /// The store's; the clock goes on from the last measurement.
    pub async fn measure_clock(&self) -> Result<(), Error> {
        let Some(clock) = &self.machine.database_clock else {
            return Ok(());
        };
        clock.measure(&self.store).await?;
        if clock.skew() > ALARM {
            tracing::error!(event = "clock_skew", seconds = clock.skew().as_secs());
        }
        Ok(())
    }

    /// Measures the database's clock, and knows then that it did.
    ///
    /// # Errors
    /// The store's; [`Error::ClockSkew`] when no answer came soon enough to count.
    pub(crate) async fn measure_clock_surely(&self) -> Result<(), Error> {
        let Some(clock) = &self.machine.database_clock else {
            return Ok(());
        };
        for _ in 0..3 {
            if clock.measure(&self.store).await? {
                return Ok(());
            }
        }
        Err(Error::ClockSkew)
    }

    /// True while this machine's clock and the database's agree within five seconds.
    #[must_use]
    pub fn clock_is_right(&self) -> bool {
        self.skew().is_none_or(|skew| skew <= ALARM)
    }

    /// A machine whose clock is a minute off signs nothing: one of the two is wrong, and which one is not known here.
    pub(crate) fn must_agree_on_time(&self) -> Result<(), Error> {
        match self.skew() {
            Some(skew) if skew > LIMIT => Err(Error::ClockSkew),
            _ => Ok(()),
        }
    }

    fn skew(&self) -> Option<Duration> {
        self.machine.database_clock.as_ref().map(|clock| clock.skew())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

    use super::*;

    #[derive(Default)]
    struct Machine {
        now: AtomicI64,
        monotonic: AtomicU64,
    }

    impl Clock for Machine {
        fn now(&self) -> Timestamp {
            Timestamp::from_unix(self.now.load(Ordering::SeqCst))
        }

        fn monotonic(&self) -> Duration {
            Duration::from_millis(self.monotonic.load(Ordering::SeqCst))
        }
    }

    #[test]
    fn f18_a_step_of_the_machine_changes_nothing_but_is_noticed() {
        let machine = Arc::new(Machine::default());
        machine.now.store(1_000_000, Ordering::SeqCst);
        let clock = DatabaseClock::new(Arc::clone(&machine) as _);
        assert_eq!(clock.now().as_unix(), 1_000_000);
        // The answer took 200 ms, so the database is taken to have spoken 100 ms ago.
        machine.monotonic.store(200, Ordering::SeqCst);
        clock.correct(1_000_001_950, Duration::ZERO);
        assert_eq!(clock.now().as_unix(), 1_000_002);
        assert_eq!(clock.skew(), Duration::from_secs(2));
        machine.now.store(1_003_600, Ordering::SeqCst);
        machine.monotonic.store(1_200, Ordering::SeqCst);
        assert_eq!(clock.now().as_unix(), 1_000_003);
        assert_eq!(clock.skew(), Duration::from_secs(3_597));
        machine.monotonic.store(9_000, Ordering::SeqCst);
        clock.correct(5_000_000_000, Duration::from_millis(1_200));
        assert_eq!(
            clock.now().as_unix(),
            1_000_010,
            "an answer that took too long is no measurement"
        );
    }
}
