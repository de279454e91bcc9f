//! The issuer's public keys by `kid`: prepared once from a JWKS document, looked up for each token.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use vouchsafe_jose::{JoseError, PublicJwk, VerifyingKey};

/// The longest JWKS document that is read, in bytes.
const MAX_DOCUMENT_BYTES: usize = 256 * 1024;

/// The most keys in one document.
const MAX_KEYS: usize = 100;

/// Where the verifier finds a key.
pub trait KeySource {
    /// The key that this issuer published under `kid`, unless it must not be used any more.
    ///
    /// A source that fetches does so elsewhere: this call answers from memory.
    fn verifying_key(&self, kid: &str) -> Option<Arc<VerifyingKey>>;
}

/// Why a JWKS document was refused as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// More than 256 KiB.
    #[error("the key set is too large")]
    TooLarge,
    /// Not a JSON object with a list `keys` (RFC 7517 section 5).
    #[error("the key set is malformed")]
    Malformed,
    /// More than 100 keys.
    #[error("the key set has too many keys")]
    TooManyKeys,
    /// A key with private or symmetric members: whoever published it has lost it.
    #[error("the key set contains private members")]
    PrivateMember,
    /// Two usable keys with one `kid`: which of them made a token could not be told.
    #[error("the key set names two keys alike")]
    DuplicateKid,
}

/// The usable keys of one JWKS document.
#[derive(Clone, Debug, Default)]
pub struct KeySet(HashMap<String, Arc<VerifyingKey>>);

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

impl KeySet {
    /// Reads a JWKS document (RFC 7517 section 5) and leaves out what cannot verify a token: keys
    /// of other kinds or uses, too weak ones, those without a `kid`.
    ///
    /// # Errors
    /// [`KeySetError`], when the document as a whole cannot be trusted.
    pub fn from_json(document: &[u8]) -> Result<Self, KeySetError> {
        if document.len() > MAX_DOCUMENT_BYTES {
            return Err(KeySetError::TooLarge);
        }
        let document: Document = serde_json::from_slice(document).map_err(|_| KeySetError::Malformed)?;
        if document.keys.len() > MAX_KEYS {
            return Err(KeySetError::TooManyKeys);
        }
        let mut keys = HashMap::with_capacity(document.keys.len());
        for member in document.keys {
            let Some(key) = usable(member)? else {
                continue;
            };
            match keys.entry(key.kid().to_owned()) {
                Entry::Occupied(_) => return Err(KeySetError::DuplicateKid),
                Entry::Vacant(place) => place.insert(Arc::new(key)),
            };
        }
        Ok(Self(keys))
    }

    /// The number of usable keys.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no key can be used.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl KeySource for KeySet {
    fn verifying_key(&self, kid: &str) -> Option<Arc<VerifyingKey>> {
        self.0.get(kid).cloned()
    }
}

fn usable(member: Value) -> Result<Option<VerifyingKey>, KeySetError> {
    let Value::Object(members) = member else {
        return Ok(None);
    };
    match PublicJwk::try_from(members) {
        Ok(jwk) => Ok(VerifyingKey::from_jwk(&jwk).ok()),
        Err(JoseError::PrivateMember) => Err(KeySetError::PrivateMember),
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// 32 bytes that may stand for an Ed25519 key.
    const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    fn key(kid: &str) -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "x": X, "kid": kid, "alg": "EdDSA", "use": "sig"})
    }

    fn read(keys: Vec<Value>) -> Result<KeySet, KeySetError> {
        KeySet::from_json(json!({"keys": keys}).to_string().as_bytes())
    }

    #[test]
    fn j02_keys_are_found_by_their_kid_only() {
        let keys = read(vec![key("a"), key("b")]).unwrap();
        assert_eq!(keys.len(), 2);
        assert_eq!(keys.verifying_key("b").unwrap().kid(), "b");
        for kid in ["", "A", "a ", "c", "../../etc/passwd"] {
            assert!(keys.verifying_key(kid).is_none(), "{kid}");
        }
    }

    #[test]
    fn keys_that_cannot_be_used_are_left_out() {
        let unusable = vec![
            json!({"kty": "OKP", "crv": "X25519", "x": X, "kid": "c"}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": X, "kid": "d", "use": "enc"}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": X}),
            json!({"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "e", "alg": "RS256"}),
            json!({"kty": "future", "kid": "f"}),
            json!({}),
            json!(7),
            json!(null),
        ];
        assert!(read(unusable.clone()).unwrap().is_empty());
        let mixed = read([unusable, vec![key("a")]].concat()).unwrap();
        assert_eq!(mixed.len(), 1);
    }

    #[test]
    fn m01_private_members_spoil_the_set() {
        for name in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
            let mut leaking = key("b");
            let members = leaking.as_object_mut().unwrap();
            members.insert(name.to_owned(), json!("AQAB"));
            members.insert("kty".to_owned(), json!("future"));
            assert_eq!(
                read(vec![key("a"), leaking]).unwrap_err(),
                KeySetError::PrivateMember
            );
        }
    }

    #[test]
    fn documents_are_bounded_and_of_one_shape() {
        let many = |count: usize| (0..count).map(|n| key(&n.to_string())).collect::<Vec<_>>();
        assert_eq!(read(many(100)).unwrap().len(), 100);
        assert_eq!(read(many(101)).unwrap_err(), KeySetError::TooManyKeys);
        assert_eq!(
            read(vec![key("a"), key("a")]).unwrap_err(),
            KeySetError::DuplicateKid
        );
        let spaces = format!("{{\"keys\":[]{}}}", " ".repeat(MAX_DOCUMENT_BYTES));
        assert_eq!(
            KeySet::from_json(spaces.as_bytes()).unwrap_err(),
            KeySetError::TooLarge
        );
        for text in [
            "",
            "{}",
            "null",
            "{\"keys\":{}}",
            "{\"keys\":null}",
            "{\"keys\":[]}x",
        ] {
            assert_eq!(
                KeySet::from_json(text.as_bytes()).unwrap_err(),
                KeySetError::Malformed,
                "{text}"
            );
        }
    }
}
