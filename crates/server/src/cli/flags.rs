//! What flags of several commands have in common: words of closed sets, lifetimes, sets of scopes, and the care that
//! destruction asks for.

use std::error::Error;
use std::str::FromStr;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use vouchsafe_protocol::{ScopeSet, SigningAlgorithm};

/// The longest lifetime that is taken: ten years, as in the configuration.
const LONGEST: i64 = 3650 * 86_400;

/// How carefully something is destroyed.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Care {
    /// Only say what would be done
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Do it without asking
    #[arg(long)]
    pub(super) yes: bool,
}

/// A word of a closed set; the help and the error for another one list them all.
pub(super) fn words<T>(known: impl IntoIterator<Item = &'static str>) -> impl TypedValueParser<Value = T>
where
    T: FromStr + Clone + Send + Sync + 'static,
    T::Err: Into<Box<dyn Error + Send + Sync + 'static>>,
{
    PossibleValuesParser::new(known).try_map(|word| word.parse::<T>())
}

/// The name of an algorithm that signs access tokens.
pub(super) fn signing_algorithm() -> impl TypedValueParser<Value = SigningAlgorithm> {
    words(SigningAlgorithm::ALL.map(SigningAlgorithm::as_str))
}

/// A lifetime in whole seconds, one or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seconds(pub(super) i64);

impl FromStr for Seconds {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wanted = "want whole seconds with a unit (s, m, h, d), such as 5m";
        let unit = text.chars().next_back().ok_or(wanted)?;
        let digits = text.strip_suffix(unit).ok_or(wanted)?;
        let factor = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return Err(wanted),
        };
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wanted);
        }
        let seconds = digits
            .parse::<i64>()
            .ok()
            .and_then(|number| number.checked_mul(factor));
        match seconds {
            Some(seconds @ 1..=LONGEST) => Ok(Self(seconds)),
            _ => Err("want 1s to 3650d"),
        }
    }
}

/// A flag that repeats, or nothing when it was not given.
pub(super) fn said<T>(values: Vec<T>) -> Option<Vec<T>> {
    (!values.is_empty()).then_some(values)
}

/// The union of a flag that repeats, or nothing when it was not given.
pub(super) fn union(sets: Vec<ScopeSet>) -> Option<ScopeSet> {
    sets.into_iter().reduce(|all, set| all.union(&set))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_have_a_unit() {
        for (text, seconds) in [
            ("1s", 1),
            ("5m", 300),
            ("24h", 86_400),
            ("14d", 1_209_600),
            ("3650d", LONGEST),
        ] {
            assert_eq!(text.parse::<Seconds>(), Ok(Seconds(seconds)), "{text}");
        }
        for text in [
            "",
            "s",
            "5",
            "0s",
            "-5m",
            "+5m",
            "5 m",
            "1.5h",
            "5é",
            "3651d",
            "99999999999999999999d",
        ] {
            assert!(text.parse::<Seconds>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_flag_that_was_not_given_says_nothing() {
        assert_eq!(union(Vec::new()), None);
        assert_eq!(said(Vec::<u8>::new()), None);
        let set = |text: &str| ScopeSet::parse(text).unwrap();
        assert_eq!(union(vec![set("b a"), set("c")]), Some(set("a b c")));
        assert_eq!(union(vec![set("")]), Some(ScopeSet::empty()));
    }
}
