//! Time as a value: what a token says about when, and the clock that callers hand in.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

/// The last second of the year 9999, the largest number accepted in a claim.
const MAX_NUMBER: i64 = 253_402_300_799;

/// A point in time in whole Unix seconds (RFC 7519 section 2, `NumericDate` without fractions).
///
/// Reading one refuses fractions, negative numbers and everything after the year 9999.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The point `seconds` after 1970-01-01T00:00:00Z.
    pub const fn from_unix(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    pub const fn as_unix(self) -> i64 {
        self.0
    }

    /// Later by the whole seconds of `span`; saturates.
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(whole_seconds(span)))
    }

    /// Earlier by the whole seconds of `span`; saturates.
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(whole_seconds(span)))
    }

    /// The time from `earlier` to `self`; zero when `earlier` is the later one.
    pub fn since(self, earlier: Self) -> Duration {
        let seconds = self.0.saturating_sub(earlier.0);
        Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        bounded_integer(deserializer).map(Self)
    }
}

/// The source of time, handed in by the caller.
pub trait Clock: Send + Sync + 'static {
    /// The time of day.
    fn now(&self) -> Timestamp;

    /// Time since an arbitrary start; never goes back.
    fn monotonic(&self) -> Duration;
}

/// Reads an integer in `0..=253402300799`, the only numbers allowed in claims.
pub(crate) fn bounded_integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let number = i64::deserialize(deserializer)?;
    if (0..=MAX_NUMBER).contains(&number) {
        Ok(number)
    } else {
        Err(serde::de::Error::custom("number out of range"))
    }
}

fn whole_seconds(span: Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn j06_only_integers_up_to_the_year_9999_are_read() {
        for text in ["0", "1", "1790000000", "253402300799"] {
            let read: Timestamp = serde_json::from_str(text).unwrap();
            assert_eq!(read.as_unix().to_string(), text);
            assert_eq!(serde_json::to_string(&read).unwrap(), text);
        }
        for text in [
            "253402300800",
            "9223372036854775807",
            "9223372036854775808",
            "18446744073709551615",
            "18446744073709551616",
            "1e300",
            "1e3",
            "1.0",
            "-1",
            "-0",
            "\"1\"",
            "null",
            "true",
            "[1]",
        ] {
            assert!(
                serde_json::from_str::<Timestamp>(text).is_err(),
                "{text} was accepted"
            );
        }
    }

    #[test]
    fn arithmetic_saturates_and_drops_fractions() {
        let start = Timestamp::from_unix(100);
        assert_eq!(start.plus(Duration::from_millis(2_900)).as_unix(), 102);
        assert_eq!(start.minus(Duration::from_millis(2_900)).as_unix(), 98);
        assert_eq!(start.plus(Duration::MAX).as_unix(), i64::MAX);
        assert_eq!(Timestamp::from_unix(-2).minus(Duration::MAX).as_unix(), i64::MIN);
    }

    #[test]
    fn since_is_zero_when_the_clock_went_back() {
        let (early, late) = (Timestamp::from_unix(10), Timestamp::from_unix(25));
        assert_eq!(late.since(early), Duration::from_secs(15));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(early.since(early), Duration::ZERO);
    }
}
