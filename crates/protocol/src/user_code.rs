//! User codes of the device grant (RFC 8628 section 6.1): typed by hand, so few letters that are told apart easily and
//! spell no words, and yet too many codes to guess one.

use std::fmt;

use crate::entropy::Entropy;

const ALPHABET: &[u8] = b"BCDFGHJKLMNPQRSTVWXZ";
const LETTERS: usize = 8;
/// Bytes from here on are thrown away: below it each letter stands for as many.
const FAIR: u8 = 240;

/// What a person types to say which device they mean: eight letters, 20^8 codes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct UserCode(String);

impl UserCode {
    /// A new one, each as likely as any other.
    pub fn random(entropy: &dyn Entropy) -> Self {
        let mut code = String::with_capacity(LETTERS);
        let mut bytes = [0_u8; 2 * LETTERS];
        while code.len() < LETTERS {
            entropy.fill(&mut bytes);
            let missing = LETTERS - code.len();
            let letters = bytes.iter().filter(|byte| **byte < FAIR).filter_map(letter);
            code.extend(letters.take(missing));
        }
        Self(code)
    }

    /// Reads what was typed, in whatever case, with spaces and hyphens anywhere; none for what is no code.
    pub fn parse(typed: &str) -> Option<Self> {
        let mut code = String::with_capacity(LETTERS);
        for typed in typed.chars().filter(|typed| !is_passed_over(*typed)) {
            let letter = typed.to_ascii_uppercase();
            let known = ALPHABET.iter().any(|known| char::from(*known) == letter);
            if !known || code.len() == LETTERS {
                return None;
            }
            code.push(letter);
        }
        (code.len() == LETTERS).then_some(Self(code))
    }

    /// The letters without the hyphen, as they are remembered.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// As it is shown: `XXXX-XXXX`.
impl fmt::Display for UserCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, second) = self.0.split_at(LETTERS / 2);
        write!(f, "{first}-{second}")
    }
}

impl fmt::Debug for UserCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserCode([redacted])")
    }
}

fn letter(byte: &u8) -> Option<char> {
    let place = usize::from(*byte) % ALPHABET.len();
    ALPHABET.get(place).map(|letter| char::from(*letter))
}

/// A keyboard may put another dash in the place of a hyphen.
fn is_passed_over(typed: char) -> bool {
    typed.is_whitespace() || typed == '-' || ('\u{2010}'..='\u{2015}').contains(&typed)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;

    /// Gives every byte in turn.
    #[derive(Default)]
    struct Counting(AtomicU8);

    impl Entropy for Counting {
        fn fill(&self, buf: &mut [u8]) {
            for byte in buf {
                *byte = self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    #[test]
    fn d03_no_letter_is_likelier_than_another() {
        let mut counts = [0_usize; 20];
        for letter in (0..FAIR).filter_map(|byte| letter(&byte)) {
            let place = ALPHABET.iter().position(|known| char::from(*known) == letter);
            counts[place.unwrap()] += 1;
        }
        assert_eq!(counts, [12; 20]);
    }

    #[test]
    fn d03_bytes_that_would_weigh_are_thrown_away() {
        let entropy = Counting(AtomicU8::new(FAIR));
        // 240 to 255 fill the first draw and give nothing.
        assert_eq!(UserCode::random(&entropy).to_string(), "BCDF-GHJK");
        assert_eq!(UserCode::random(&entropy).to_string(), "VWXZ-BCDF");
    }

    #[test]
    fn d03_case_spaces_and_hyphens_make_no_difference() {
        let code = UserCode::random(&Counting::default());
        assert_eq!(code.to_string(), "BCDF-GHJK");
        assert_eq!(code.as_str(), "BCDFGHJK");
        for typed in [
            "BCDF-GHJK",
            "bcdfghjk",
            " bCdF  gHjK\t",
            "b-c-d-f-g-h-j-k",
            "bcdf\u{2013}ghjk",
            "BCDF\u{a0}GHJK",
        ] {
            assert_eq!(UserCode::parse(typed).as_ref(), Some(&code), "{typed}");
        }
        let long = "B".repeat(60_000);
        for typed in [
            "",
            "BCDF-GHJ",
            "BCDF-GHJKL",
            "BCDF-GHJA",
            "BCDF-GHJ0",
            "BCDF_GHJK",
            "BCDF-GHJ\u{212a}",
            long.as_str(),
        ] {
            assert_eq!(UserCode::parse(typed), None, "{typed}");
        }
    }

    #[test]
    fn o01_debug_never_shows_a_code() {
        let code = UserCode::random(&Counting::default());
        assert_eq!(format!("{code:?}"), "UserCode([redacted])");
    }
}
