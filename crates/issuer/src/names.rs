//! Names of accounts: normalised for looking up, and reduced to what the eye sees, so that look-alikes are one name.

use unicode_normalization::UnicodeNormalization;
use unicode_security::skeleton;
use vouchsafe_protocol::Subject;

const LONGEST: usize = 64;

/// A name that no account may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a user name has 1 to 64 letters, digits or . _ - + @, and begins with a letter or digit")]
pub struct BadName;

/// One name in its three forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountName {
    /// As it was chosen, in Unicode normal form C.
    pub shown: String,
    /// As it is looked up: compatibility-normalised and case-folded.
    pub key: String,
    /// As the eye sees it (UTS 39 4): no two accounts share it.
    pub skeleton: String,
}

impl AccountName {
    /// Checks and normalises a chosen name.
    ///
    /// # Errors
    /// [`BadName`] for a name that no account may have.
    pub fn parse(chosen: &str) -> Result<Self, BadName> {
        let key = lookup_key(chosen);
        let allowed = |c: char| c.is_alphanumeric() || "._-+@".contains(c);
        let length = key.chars().count();
        let good_start = key.chars().next().is_some_and(char::is_alphanumeric);
        // A subject stands for an account wherever its name may.
        let is_subject = Subject::parse(chosen).is_ok();
        if is_subject || length == 0 || length > LONGEST || !good_start || !key.chars().all(allowed) {
            return Err(BadName);
        }
        // The eye sees the letters as they were written: a capital I is an l to it.
        let skeleton = skeleton(&chosen.nfkc().collect::<String>())
            .collect::<String>()
            .to_lowercase();
        Ok(Self {
            shown: chosen.nfc().collect(),
            skeleton,
            key,
        })
    }
}

/// The form in which a typed name is looked up; total, so that a bad name takes the same way as an unknown one.
#[must_use]
pub fn lookup_key(typed: &str) -> String {
    let folded: String = typed.nfkc().flat_map(char::to_lowercase).collect();
    folded.nfkc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn look_alikes_share_a_skeleton_and_spellings_share_a_key() {
        let name = |text: &str| AccountName::parse(text).unwrap();
        assert_eq!(name("Alice").key, name("alice").key);
        assert_eq!(name("ａｌｉｃｅ").key, "alice");
        assert_eq!(name("re\u{301}mi").key, name("r\u{e9}mi").key);
        for (one, other) in [
            ("alice", "\u{430}lice"),
            ("paypal", "paypa1"),
            ("bob", "b0b"),
            ("alice", "aIice"),
        ] {
            assert_eq!(name(one).skeleton, name(other).skeleton, "{one} {other}");
        }
        assert_ne!(name("alice").skeleton, name("alicia").skeleton);
    }

    #[test]
    fn bad_names_are_refused() {
        for bad in [
            "",
            " ",
            "a b",
            "a\u{0}",
            "a\u{202e}b",
            ".a",
            "a\nb",
            "a\u{200d}b",
            &"x".repeat(65),
        ] {
            assert_eq!(AccountName::parse(bad), Err(BadName), "{bad:?}");
        }
    }
}
