//! Random choices that a seed repeats: one stream for each actor.

use std::time::Duration;

/// SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    /// The stream of one actor of a run.
    pub(crate) fn new(seed: u64, actor: u64) -> Self {
        let mut rng = Self(seed ^ actor.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        rng.word();
        rng
    }

    /// A stream that goes its own way from here.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.word())
    }

    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }

    /// A number below `limit`; 0 when there is none.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.word() % limit).unwrap_or(0)
    }

    /// True in so many of a hundred cases.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// A time from `least` to `most` milliseconds.
    pub(crate) fn millis(&mut self, least: u64, most: u64) -> Duration {
        let span = most.saturating_sub(least).saturating_add(1);
        Duration::from_millis(least.saturating_add(self.word() % span))
    }

    /// One of a list.
    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_choices_and_actors_differ() {
        let choices = |seed, actor| {
            let mut rng = Rng::new(seed, actor);
            [(); 20].map(|()| rng.below(1_000))
        };
        assert_eq!(choices(7, 1), choices(7, 1));
        assert_ne!(choices(7, 1), choices(7, 2));
        assert_ne!(choices(7, 1), choices(8, 1));
    }

    #[test]
    fn choices_stay_inside_their_bounds() {
        let mut rng = Rng::new(1, 1);
        for _ in 0..1_000 {
            assert!(rng.below(3) < 3);
            let pause = rng.millis(20, 25);
            assert!((20..=25).contains(&pause.as_millis()));
        }
        assert_eq!(rng.below(0), 0);
        assert_eq!(rng.pick::<u8>(&[]), None);
    }
}
