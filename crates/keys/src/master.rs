//! The key that seals all others: it comes from outside the database, and only its id is public.

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use ring::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use ring::digest;
use ring::rand::{SecureRandom as _, SystemRandom};
use vouchsafe_protocol::SecretString;
use zeroize::Zeroizing;

use crate::error::{KeysError, MasterKeyError};

const MASTER_KEY_BYTES: usize = 32;

/// Half of the digits of a SHA-256 are more than enough to tell two keys apart.
const ID_DIGEST_BYTES: usize = 8;

const ID_CONTEXT: &[u8] = b"vouchsafe master key id";

const ANY_PADDING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const ANY_STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, ANY_PADDING);
const ANY_URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, ANY_PADDING);

/// An AES-256 key under which private keys are sealed; wiped when dropped.
pub struct MasterKey {
    bytes: Zeroizing<[u8; MASTER_KEY_BYTES]>,
    id: String,
}

impl MasterKey {
    /// Reads 32 bytes in base64, in either alphabet, with or without padding; white space around
    /// it is dropped.
    ///
    /// # Errors
    /// When it is anything else, and for keys that are an example and never random.
    pub fn parse(text: &str) -> Result<Self, MasterKeyError> {
        let text = text.trim();
        let engine = if text.contains(['-', '_']) {
            ANY_URL_SAFE
        } else {
            ANY_STANDARD
        };
        let decoded = engine
            .decode(text)
            .map(Zeroizing::new)
            .map_err(|_| MasterKeyError::NotBase64)?;
        let found = decoded.len();
        let mut bytes = Zeroizing::new([0_u8; MASTER_KEY_BYTES]);
        if found != MASTER_KEY_BYTES {
            return Err(MasterKeyError::WrongLength { found });
        }
        bytes.copy_from_slice(decoded.as_slice());
        Self::new(bytes)
    }

    /// Makes a new one from the system's random source.
    ///
    /// # Errors
    /// [`MasterKeyError::Random`] when that source fails.
    pub fn generate() -> Result<Self, MasterKeyError> {
        let mut bytes = Zeroizing::new([0_u8; MASTER_KEY_BYTES]);
        SystemRandom::new()
            .fill(bytes.as_mut_slice())
            .map_err(|_| MasterKeyError::Random)?;
        Self::new(bytes)
    }

    /// The public name of this key: 16 hexadecimal digits of a hash of it.
    pub fn id(&self) -> String {
        self.id.clone()
    }

    /// The form that [`MasterKey::parse`] reads, for the file or credential that will keep it.
    pub fn to_base64(&self) -> SecretString {
        SecretString::new(STANDARD.encode(self.bytes.as_slice()))
    }

    /// The cipher of this key.
    pub(crate) fn cipher(&self) -> Result<LessSafeKey, KeysError> {
        UnboundKey::new(&AES_256_GCM, self.bytes.as_slice())
            .map(LessSafeKey::new)
            .map_err(|_| KeysError::Cipher)
    }

    fn new(bytes: Zeroizing<[u8; MASTER_KEY_BYTES]>) -> Result<Self, MasterKeyError> {
        if is_example(bytes.as_slice()) {
            return Err(MasterKeyError::Trivial);
        }
        let id = fingerprint(bytes.as_slice());
        Ok(Self { bytes, id })
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Whether nobody drew these bytes: half of 32 random ones being repetitions has a chance of about one in 2^45.
fn is_example(bytes: &[u8]) -> bool {
    let distinct: BTreeSet<u8> = bytes.iter().copied().collect();
    let steps: BTreeSet<u8> = bytes
        .iter()
        .zip(bytes.iter().skip(1))
        .map(|(a, b)| b.wrapping_sub(*a))
        .collect();
    distinct.len() <= MASTER_KEY_BYTES / 2 || steps.len() == 1
}

fn fingerprint(key: &[u8]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(ID_CONTEXT);
    context.update(key);
    context
        .finish()
        .as_ref()
        .iter()
        .take(ID_DIGEST_BYTES)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {

    use super::*;

    /// Drawn at random once; it guards nothing.
    const DRAWN: &str = "qalIGrHqXEIEGiHZS0pqUK2HW2ygKvAxGnYrBoWXu2s=";
    /// The bytes 0 to 31.
    const COUNTING: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    #[test]
    fn both_alphabets_and_any_padding_are_read() {
        let id = MasterKey::parse(DRAWN).unwrap().id();
        assert_eq!(id.len(), 16);
        assert!(id.bytes().all(|byte| byte.is_ascii_hexdigit()));
        for text in [format!("  {DRAWN}\r\n"), DRAWN.trim_end_matches('=').to_owned()] {
            assert_eq!(MasterKey::parse(&text).unwrap().id(), id);
        }
        let plus = DRAWN.replacen("qal", "+/l", 1);
        let dash = DRAWN.replacen("qal", "-_l", 1);
        let (plus, dash) = (MasterKey::parse(&plus), MasterKey::parse(&dash));
        assert_eq!(plus.unwrap().id(), dash.unwrap().id());
    }

    #[test]
    fn a_generated_key_survives_its_text() {
        let key = MasterKey::generate().unwrap();
        let again = MasterKey::parse(key.to_base64().expose()).unwrap();
        assert_eq!(key.id(), again.id());
        assert_ne!(key.id(), MasterKey::generate().unwrap().id());
    }

    #[test]
    fn o02_empty_short_and_default_keys_are_refused() {
        let refused = |text: &str| MasterKey::parse(text).unwrap_err();
        assert_eq!(refused(""), MasterKeyError::WrongLength { found: 0 });
        assert_eq!(refused("AAEC"), MasterKeyError::WrongLength { found: 3 });
        let long = STANDARD.encode([1_u8, 2].repeat(17));
        assert_eq!(refused(&long), MasterKeyError::WrongLength { found: 34 });
        for byte in [0x00_u8, 0x01, 0x61, 0xff] {
            let text = STANDARD.encode([byte; 32]);
            assert_eq!(refused(&text), MasterKeyError::Trivial);
        }
        assert_eq!(refused(COUNTING), MasterKeyError::Trivial);
        for text in ["not base64!", "AA EC", "+_AA", "=", "AAE=C"] {
            assert_eq!(refused(text), MasterKeyError::NotBase64, "{text:?}");
        }
    }

    #[test]
    fn o01_debug_shows_the_id_only() {
        let key = MasterKey::parse(DRAWN).unwrap();
        let shown = format!("{key:?}");
        assert_eq!(shown, format!("MasterKey {{ id: \"{}\", .. }}", key.id()));
    }
}
