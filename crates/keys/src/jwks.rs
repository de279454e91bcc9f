//! The public key set as bytes, made once for each set of keys that the clock will show.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use serde::Serialize;
use vouchsafe_jose::PublicJwk;
use vouchsafe_protocol::Timestamp;

use crate::error::KeysError;
use crate::policy::KeyPolicy;
use crate::record::{KeyAlgorithm, KeyRecord, Purpose};

/// A JWK set (RFC 7517 section 5) with what its HTTP answer needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Jwks {
    /// The JSON document.
    pub bytes: Arc<[u8]>,
    /// A strong entity tag, in its quotes (RFC 9110 section 8.8.3).
    pub etag: String,
    /// For how long the document may be cached; whole seconds.
    pub max_age: Duration,
}

/// All key sets that one snapshot of the records leads to.
pub(crate) struct JwksSchedule {
    first: Edition,
    /// What follows when a key retires, in the order of time.
    later: Vec<Edition>,
    max_age: Duration,
    /// The first moment at which a key may sign that is not in this snapshot.
    known_until: Option<Timestamp>,
}

struct Edition {
    from: Timestamp,
    bytes: Arc<[u8]>,
    etag: String,
}

#[derive(Serialize)]
struct Document<'a> {
    keys: Vec<&'a PublicJwk>,
}

impl JwksSchedule {
    /// Takes every signing key that verifies at `now`; no other can appear later.
    pub(crate) fn build(
        records: &[KeyRecord],
        policy: &KeyPolicy,
        now: Timestamp,
    ) -> Result<Self, KeysError> {
        let mut shown: Vec<&KeyRecord> = records
            .iter()
            .filter(|record| record.purpose == Purpose::Signing)
            .filter(|record| record.state(now, policy).verifies())
            .collect();
        shown.sort_by_key(|record| {
            (
                rank(record.algorithm, policy),
                record.algorithm,
                Reverse(record.activates_at),
                record.kid.clone(),
            )
        });

        let mut changes: Vec<Timestamp> = shown
            .iter()
            .filter_map(|record| record.retired_from(policy))
            .collect();
        changes.sort_unstable();
        changes.dedup();

        let first = Edition::new(Timestamp::from_unix(i64::MIN), &shown)?;
        let mut later = Vec::with_capacity(changes.len());
        for change in changes {
            shown.retain(|record| {
                let until = record.retired_from(policy);
                until.is_none_or(|until| change < until)
            });
            later.push(Edition::new(change, &shown)?);
        }
        Ok(Self {
            first,
            later,
            max_age: policy.jwks_max_age,
            known_until: known_until(records, policy, now),
        })
    }

    /// The set at `now`.
    pub(crate) fn at(&self, now: Timestamp) -> Jwks {
        let edition = self
            .later
            .iter()
            .rfind(|edition| edition.from <= now)
            .unwrap_or(&self.first);
        let max_age = match self.known_until {
            Some(until) => self.max_age.min(until.since(now)),
            None => self.max_age,
        };
        Jwks {
            bytes: Arc::clone(&edition.bytes),
            etag: edition.etag.clone(),
            max_age,
        }
    }
}

impl Edition {
    fn new(from: Timestamp, shown: &[&KeyRecord]) -> Result<Self, KeysError> {
        let keys = shown
            .iter()
            .filter_map(|record| record.public_jwk.as_ref())
            .collect();
        let bytes = serde_json::to_vec(&Document { keys })?;
        let digest = digest::digest(&digest::SHA256, &bytes);
        let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(digest));
        Ok(Self {
            from,
            bytes: bytes.into(),
            etag,
        })
    }
}

/// The place of an algorithm in the configuration; those taken out of it come last.
fn rank(algorithm: KeyAlgorithm, policy: &KeyPolicy) -> usize {
    policy
        .algorithms
        .iter()
        .position(|configured| KeyAlgorithm::from(*configured) == algorithm)
        .unwrap_or(usize::MAX)
}

/// When the first of the configured lines runs out of keys known here; `None` while each has one
/// that signs without an end. A destroyed key is replaced before its time.
fn known_until(records: &[KeyRecord], policy: &KeyPolicy, now: Timestamp) -> Option<Timestamp> {
    policy
        .algorithms
        .iter()
        .filter_map(|algorithm| {
            let ends: Vec<Option<Timestamp>> = records
                .iter()
                .filter(|record| record.purpose == Purpose::Signing)
                .filter(|record| record.algorithm == KeyAlgorithm::from(*algorithm))
                .filter(|record| record.sealed.is_some())
                .filter(|record| record.state(now, policy).verifies())
                .map(|record| record.deactivates_at)
                .collect();
            if ends.contains(&None) {
                return None;
            }
            // Without any key, the first may be made and sign at any moment.
            Some(ends.into_iter().flatten().max().unwrap_or(now))
        })
        .min()
}
