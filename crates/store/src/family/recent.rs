//! The last rotations of a family in fixed width, so that a late retry is told from a theft at constant cost.

use vouchsafe_protocol::Timestamp;

const KEPT: usize = 16;
const SEQ_DIGITS: usize = 10;
const TIME_DIGITS: usize = 11;
const ENTRY: usize = SEQ_DIGITS + TIME_DIGITS;

/// Sequence number and instant of the last 16 rotations, newest first; a seventeenth pushes out the oldest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recent(String);

impl Recent {
    /// The width in characters at which the column is cut.
    pub(crate) const WIDTH: i64 = (KEPT * ENTRY) as i64;

    /// The text that says: the token of this number was replaced at this instant.
    pub(crate) fn entry(seq: i64, at: Timestamp) -> String {
        format!(
            "{seq:0width$}{at:0digits$}",
            width = SEQ_DIGITS,
            at = at.as_unix(),
            digits = TIME_DIGITS
        )
    }

    /// Reads the column; none when it is not what [`Recent::entry`] writes.
    pub(crate) fn parse(text: String) -> Option<Self> {
        let whole = text.len().is_multiple_of(ENTRY) && text.len() <= KEPT * ENTRY;
        (whole && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(Self(text))
    }

    /// When the token of this number was replaced, if that is among the last 16.
    #[must_use]
    pub fn replaced_at(&self, seq: i64) -> Option<Timestamp> {
        self.0.as_bytes().chunks_exact(ENTRY).find_map(|entry| {
            let (number, instant) = std::str::from_utf8(entry).ok()?.split_at_checked(SEQ_DIGITS)?;
            (number.parse::<i64>().ok()? == seq).then(|| instant.parse().ok().map(Timestamp::from_unix))?
        })
    }

    /// The column after one more rotation, as the statement computes it.
    #[must_use]
    pub fn after(&self, seq: i64, at: Timestamp) -> Self {
        let mut text = Self::entry(seq, at);
        text.push_str(&self.0);
        text.truncate(KEPT * ENTRY);
        Self(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r13_sixteen_are_kept_at_constant_size() {
        let mut recent = Recent::default();
        for seq in 0..40 {
            recent = recent.after(seq, Timestamp::from_unix(1_000 + seq));
        }
        assert_eq!(recent.0.len(), KEPT * ENTRY);
        assert_eq!(recent.replaced_at(39), Some(Timestamp::from_unix(1_039)));
        assert_eq!(recent.replaced_at(24), Some(Timestamp::from_unix(1_024)));
        assert_eq!(recent.replaced_at(23), None);
        assert_eq!(Recent::parse(recent.0.clone()), Some(recent));
        assert_eq!(Recent::parse("12".to_owned()), None);
        assert_eq!(Recent::parse("x".repeat(ENTRY)), None);
    }
}
