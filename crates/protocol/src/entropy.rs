//! Randomness as an argument, so that every random name can be traced to one trusted source.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

/// A cryptographically secure source of random bytes, handed in by the caller.
pub trait Entropy: Send + Sync + 'static {
    /// Fills all of `buf`. An implementation that cannot deliver aborts the process, since a weak
    /// token is worse than none.
    fn fill(&self, buf: &mut [u8]);
}

/// A random word of `bytes` bytes of entropy in base64url without padding (RFC 4648 section 5).
pub fn random_token(entropy: &dyn Entropy, bytes: usize) -> String {
    let mut buf = Zeroizing::new(vec![0u8; bytes]);
    entropy.fill(buf.as_mut_slice());
    URL_SAFE_NO_PAD.encode(buf.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(u8);

    impl Entropy for Fixed {
        fn fill(&self, buf: &mut [u8]) {
            buf.fill(self.0);
        }
    }

    #[test]
    fn j09_every_byte_comes_from_the_source() {
        for (byte, bytes, expected) in [
            (0x00, 3, "AAAA"),
            (0xff, 3, "____"),
            (0xfb, 3, "-_v7"),
            (0xff, 16, "_____________________w"),
            (0x00, 0, ""),
        ] {
            assert_eq!(random_token(&Fixed(byte), bytes), expected);
        }
    }
}
