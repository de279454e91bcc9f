//! Lets so many log lines a second through and counts the others, so that nobody fills a disk by being refused.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Lines of one kind. Seconds are whole seconds of a monotonic clock.
pub(super) struct Throttle {
    most: u32,
    second: Mutex<Second>,
}

#[derive(Default)]
struct Second {
    number: u64,
    let_through: u32,
    left_out: u64,
}

impl Throttle {
    /// At most `most` lines a second.
    pub(super) fn new(most: u32) -> Self {
        Self {
            most,
            second: Mutex::default(),
        }
    }

    /// Begins the second of `now`, unless it has begun. What the second before left out is told to one caller only.
    pub(super) fn turn(&self, now: Duration) -> u64 {
        let mut second = self.lock();
        if now.as_secs() <= second.number {
            return 0;
        }
        let left_out = second.left_out;
        *second = Second {
            number: now.as_secs(),
            ..Second::default()
        };
        left_out
    }

    /// Whether one more line fits into the second that has begun; else it is counted as left out.
    pub(super) fn lets_through(&self) -> bool {
        let mut second = self.lock();
        let fits = second.let_through < self.most;
        if fits {
            second.let_through = second.let_through.saturating_add(1);
        } else {
            second.left_out = second.left_out.saturating_add(1);
        }
        fits
    }

    /// What was left out and nobody was told of yet.
    pub(super) fn left_out(&self) -> u64 {
        self.lock().left_out
    }

    fn lock(&self) -> MutexGuard<'_, Second> {
        // Three numbers are never half written.
        self.second.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::Throttle;
    use std::time::Duration;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn let_through(throttle: &Throttle, times: usize) -> usize {
        (0..times).filter(|_| throttle.lets_through()).count()
    }

    #[test]
    fn a_second_lets_so_many_through_and_the_next_tells_of_the_others() {
        let throttle = Throttle::new(3);
        assert_eq!(throttle.turn(HOUR), 0);
        assert_eq!(let_through(&throttle, 10), 3);
        assert_eq!(throttle.left_out(), 7);
        assert_eq!(throttle.turn(HOUR + Duration::from_millis(999)), 0);
        assert!(!throttle.lets_through());
        let next = HOUR + Duration::from_secs(1);
        assert_eq!(throttle.turn(next), 8);
        assert_eq!(throttle.turn(next), 0);
        assert_eq!(let_through(&throttle, 10), 3);
    }

    #[test]
    fn a_line_that_began_in_an_earlier_second_changes_nothing() {
        let throttle = Throttle::new(1);
        throttle.turn(HOUR);
        assert_eq!(let_through(&throttle, 2), 1);
        assert_eq!(throttle.turn(HOUR - Duration::from_secs(1)), 0);
        assert!(!throttle.lets_through());
        assert_eq!(throttle.left_out(), 2);
    }
}
