//! Which keys signed what the clients got, and whether the key sets of all replicas verify it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vouchsafe_protocol::Timestamp;
use vouchsafe_verifier::{
    ExpectedAudience, KeySet, KeySource as _, RevocationIndex, UnverifiedToken, Verifier,
};

use crate::place::API;
use crate::tokens::AccessToken;

/// Tokens that are kept to be verified.
const SAMPLE: usize = 2_000;

#[derive(Default)]
struct Seen {
    count: usize,
    /// The last expiry of a token by each key, in Unix seconds.
    keys: BTreeMap<String, i64>,
    sample: Vec<(Arc<str>, i64)>,
}

/// The access tokens of a run.
#[derive(Default)]
pub(crate) struct Signatures(Mutex<Seen>);

impl Signatures {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a token that a client got.
    pub(crate) fn saw(&self, token: &AccessToken) {
        let mut seen = self.seen();
        let last = seen.keys.entry(token.kid.clone()).or_default();
        *last = token.expires.max(*last);
        let entry = (Arc::clone(&token.text), token.issued);
        if seen.sample.len() < SAMPLE {
            seen.sample.push(entry);
        } else if seen.count.is_multiple_of(16) {
            // Later tokens take the places of earlier ones, spread over the sample.
            let place = (seen.count / 16).wrapping_mul(7_919) % SAMPLE;
            if let Some(kept) = seen.sample.get_mut(place) {
                *kept = entry;
            }
        }
        seen.count = seen.count.saturating_add(1);
    }

    /// How many keys signed.
    pub(crate) fn keys(&self) -> usize {
        self.seen().keys.len()
    }

    /// How many tokens are kept to be verified.
    pub(crate) fn kept(&self) -> usize {
        self.seen().sample.len()
    }

    /// What the JWKS of one replica lacks at this time (Unix seconds): keys of tokens that live, or whose signatures it
    /// does not verify.
    pub(crate) fn missing_from(&self, jwks: &[u8], issuer: &str, now: i64) -> Vec<String> {
        let keys = match KeySet::from_json(jwks) {
            Ok(keys) => keys,
            Err(error) => return vec![error.to_string()],
        };
        let seen = self.seen();
        let alive = seen.keys.iter().filter(|(_, last)| **last > now);
        let mut faults: Vec<String> = alive
            .filter(|(kid, _)| keys.verifying_key(kid).is_none())
            .map(|(kid, _)| format!("key {kid} signed tokens that live and is not there"))
            .collect();
        let verifier = Verifier::new(issuer, ExpectedAudience::Is(API.to_owned()));
        for (token, issued) in &seen.sample {
            // At the time of its issue, since a run may last longer than a token.
            let at = Timestamp::from_unix(*issued);
            let checked = UnverifiedToken::parse(token)
                .and_then(|token| verifier.check(&token, &keys, &RevocationIndex::new(), at));
            if let Err(rejection) = checked {
                faults.push(format!("a token is rejected: {rejection}"));
                break;
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(kid: &str, expires: i64) -> AccessToken {
        AccessToken {
            text: "x".into(),
            jti: "j".into(),
            kid: kid.to_owned(),
            issued: 100,
            expires,
        }
    }

    #[test]
    fn a_key_that_is_not_published_is_missed_while_its_tokens_live() {
        let signatures = Signatures::default();
        signatures.saw(&token("a", 400));
        signatures.saw(&token("b", 500));
        signatures.saw(&token("b", 450));
        assert_eq!((signatures.keys(), signatures.kept()), (2, 3));
        let empty = br#"{"keys": []}"#;
        let missing = |now| signatures.missing_from(empty, "http://127.0.0.1:1", now);
        assert!(missing(300)[0].contains("key a"));
        assert!(missing(450)[0].contains("key b"));
        assert!(missing(500)[0].contains("rejected"));
        assert!(!signatures.missing_from(b"nothing", "", 0).is_empty());
    }

    #[test]
    fn the_sample_is_bounded() {
        let signatures = Signatures::default();
        for _ in 0..3 * SAMPLE {
            signatures.saw(&token("a", 400));
        }
        assert_eq!(signatures.kept(), SAMPLE);
    }
}
