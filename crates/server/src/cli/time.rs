//! Instants and spans as people read them.

use std::cmp::Ordering;
use std::time::Duration;

use vouchsafe_protocol::Timestamp;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const SECONDS_A_DAY: i64 = 86_400;

/// `2026-11-23 05:54:12Z`.
pub(crate) fn utc(at: Timestamp) -> String {
    let (days, second) = (
        at.as_unix().div_euclid(SECONDS_A_DAY),
        at.as_unix().rem_euclid(SECONDS_A_DAY),
    );
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z")
}

/// The same, or nothing.
pub(super) fn utc_or_empty(at: Option<Timestamp>) -> String {
    at.map(utc).unwrap_or_default()
}

/// `in 23 h`, `now`, `3 d ago`.
pub(super) fn relative(at: Timestamp, now: Timestamp) -> String {
    match at.cmp(&now) {
        Ordering::Greater => format!("in {}", span(at.since(now))),
        Ordering::Equal => "now".to_owned(),
        Ordering::Less => format!("{} ago", span(now.since(at))),
    }
}

/// A span in the largest unit that leaves a number of two or more: `90 s`, `5 min`, `23 h`, `30 d`.
pub(super) fn span(length: Duration) -> String {
    match length.as_secs() {
        seconds if seconds < 2 * MINUTE => format!("{seconds} s"),
        seconds if seconds < 2 * HOUR => format!("{} min", seconds / MINUTE),
        seconds if seconds < 2 * DAY => format!("{} h", seconds / HOUR),
        seconds => format!("{} d", seconds / DAY),
    }
}

/// A lifetime in seconds, or nothing.
pub(super) fn lifetime(seconds: Option<i64>) -> String {
    seconds
        .map(|seconds| span(Duration::from_secs(u64::try_from(seconds).unwrap_or(0))))
        .unwrap_or_default()
}

/// Year, month and day of a number of days since 1970, in the proleptic Gregorian calendar. Years begin in March here,
/// so that a leap day is the last of its year.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let months_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * months_from_march + 2) / 5 + 1;
    let month = if months_from_march < 10 {
        months_from_march + 3
    } else {
        months_from_march - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_shown_in_utc() {
        let cases = [
            (0, "1970-01-01 00:00:00Z"),
            (-1, "1969-12-31 23:59:59Z"),
            (951_782_399, "2000-02-28 23:59:59Z"),
            (951_782_400, "2000-02-29 00:00:00Z"),
            (1_709_210_096, "2024-02-29 12:34:56Z"),
            (1_795_413_252, "2026-11-23 05:54:12Z"),
            (4_107_542_400, "2100-03-01 00:00:00Z"),
            (253_402_300_799, "9999-12-31 23:59:59Z"),
        ];
        for (seconds, text) in cases {
            assert_eq!(utc(Timestamp::from_unix(seconds)), text);
        }
        utc(Timestamp::from_unix(i64::MAX));
        utc(Timestamp::from_unix(i64::MIN));
    }

    #[test]
    fn spans_use_the_unit_that_says_enough() {
        let cases = [
            (0, "0 s"),
            (119, "119 s"),
            (120, "2 min"),
            (7199, "119 min"),
            (7200, "2 h"),
            (86_399, "23 h"),
            (172_800, "2 d"),
            (2_592_000, "30 d"),
        ];
        for (seconds, text) in cases {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
        let at = Timestamp::from_unix;
        assert_eq!(relative(at(86_399), at(0)), "in 23 h");
        assert_eq!(relative(at(0), at(300)), "5 min ago");
        assert_eq!(relative(at(7), at(7)), "now");
        assert_eq!(lifetime(Some(300)), "5 min");
        assert_eq!(lifetime(None), "");
    }
}
