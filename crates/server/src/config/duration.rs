//! Durations as people write them in the configuration: whole seconds with a unit.

use std::time::Duration;

/// The longest duration that is taken, in seconds: ten years, so that no sum of times can overflow.
const LONGEST: u64 = 3650 * 86_400;

/// Units and their seconds, the largest first.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3600), ('m', 60), ('s', 1)];

/// Reads `30s`, `5m`, `24h` or `14d`; anything else is `None`.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let digits = text.strip_suffix(unit)?;
    let (_, seconds) = UNITS.into_iter().find(|(letter, _)| *letter == unit)?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let total = digits.parse::<u64>().ok()?.checked_mul(seconds)?;
    (total <= LONGEST).then(|| Duration::from_secs(total))
}

/// Writes a duration with the largest unit that divides it.
pub(super) fn show(duration: Duration) -> String {
    let total = duration.as_secs();
    let (letter, seconds) = UNITS
        .into_iter()
        .find(|(_, seconds)| total > 0 && total.is_multiple_of(*seconds))
        .unwrap_or(('s', 1));
    format!("{}{letter}", total / seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_seconds_with_a_unit() {
        let cases = [
            ("0s", 0),
            ("30s", 30),
            ("5m", 300),
            ("24h", 86_400),
            ("14d", 1_209_600),
            ("3650d", LONGEST),
        ];
        for (text, seconds) in cases {
            assert_eq!(parse(text), Some(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn f34_other_forms_are_refused() {
        let cases = [
            "",
            "s",
            "5",
            "500ms",
            "-5m",
            "+5m",
            "5 m",
            " 5m",
            "5m ",
            "1.5h",
            "5M",
            "5w",
            "1h30m",
            "5é",
            "٥m",
            "3651d",
            "99999999999999999999d",
            "9999999999999999d",
        ];
        for text in cases {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn shown_as_it_would_be_written() {
        for text in ["0s", "30s", "90s", "5m", "24h", "14d", "25h"] {
            let duration = parse(text).unwrap();
            assert_eq!(parse(&show(duration)), Some(duration), "{text}");
        }
        assert_eq!(show(Duration::from_secs(3600)), "1h");
    }
}
