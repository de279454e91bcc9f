//! A key ring with real keys: it signs by the clock, trusts by the clock, and shows public halves
//! only.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use vouchsafe_jose::UnverifiedJws;
use vouchsafe_keys::{
    KeyAlgorithm, KeyPolicy, KeyRecord, KeyRing, KeysError, MasterKey, Purpose, Step, Urgency, apply,
    generate, plan, plan_revocation, plan_rotation, rewrap,
};
use vouchsafe_protocol::{SigningAlgorithm, Timestamp};

const DAY: i64 = 24 * 60 * 60;
const ES256: SigningAlgorithm = SigningAlgorithm::Es256;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(seconds)
}

struct Issuer {
    records: Vec<KeyRecord>,
    policy: KeyPolicy,
    master: MasterKey,
}

impl Issuer {
    /// Keys of the given algorithms, first planned at 0.
    fn new(algorithms: &[SigningAlgorithm]) -> Self {
        let mut issuer = Self {
            records: Vec::new(),
            policy: KeyPolicy {
                algorithms: algorithms.to_vec(),
                ..KeyPolicy::default()
            },
            master: MasterKey::generate().unwrap(),
        };
        issuer.plan(0);
        issuer
    }

    fn plan(&mut self, now: i64) {
        let steps = plan(&self.records, &self.policy, at(now));
        self.commit(&steps);
    }

    fn rotate(&mut self, now: i64, urgency: Urgency) {
        let (algorithm, purpose) = (KeyAlgorithm::Es256, Purpose::Signing);
        let steps = plan_rotation(&self.records, algorithm, purpose, &self.policy, at(now), urgency);
        self.commit(&steps.unwrap());
    }

    fn revoke(&mut self, kid: &str, now: i64) {
        let record = self.records.iter().find(|record| record.kid.as_str() == kid);
        let kid = record.unwrap().kid.clone();
        let steps = plan_revocation(&self.records, &kid, &self.policy, at(now));
        self.commit(&steps.unwrap());
    }

    fn commit(&mut self, steps: &[Step]) {
        for step in steps {
            let generated = match step {
                Step::Generate {
                    algorithm, purpose, ..
                } => Some(generate(*algorithm, *purpose, &self.master).unwrap()),
                _ => None,
            };
            apply(&mut self.records, step, generated).unwrap();
        }
    }

    fn ring(&self, now: i64) -> KeyRing {
        KeyRing::open(&self.records, &self.master, &self.policy, at(now)).unwrap()
    }
}

fn signing_kid(ring: &KeyRing, now: i64) -> String {
    let signer = ring.signer(ES256, at(now)).unwrap();
    signer.kid().as_str().to_owned()
}

fn token(ring: &KeyRing, now: i64) -> String {
    let signer = ring.signer(ES256, at(now)).unwrap();
    signer.sign("at+jwt", &json!({"iat": now})).unwrap()
}

fn verifies(ring: &KeyRing, token: &str, now: i64) -> bool {
    let token = UnverifiedJws::parse(token).unwrap();
    let key = ring.verifying_key(token.kid().unwrap(), at(now));
    key.is_some_and(|key| token.verify(&key).is_ok())
}

fn published(ring: &KeyRing, now: i64) -> Vec<Value> {
    let set: Value = serde_json::from_slice(&ring.jwks(at(now)).bytes).unwrap();
    set.get("keys").unwrap().as_array().unwrap().clone()
}

fn published_kids(ring: &KeyRing, now: i64) -> Vec<String> {
    let kid = |jwk: &Value| jwk.get("kid").unwrap().as_str().unwrap().to_owned();
    published(ring, now).iter().map(kid).collect()
}

#[test]
fn one_snapshot_changes_keys_by_the_clock() {
    let ring = Issuer::new(&[ES256]).ring(0);
    let (first, second) = (signing_kid(&ring, 0), signing_kid(&ring, 30 * DAY));
    assert_ne!(first, second);
    assert_eq!(signing_kid(&ring, 30 * DAY - 1), first);

    let last = token(&ring, 30 * DAY - 1);
    assert!(verifies(&ring, &last, 30 * DAY));
    assert!(verifies(&ring, &last, 37 * DAY - 1));
    assert!(!verifies(&ring, &last, 37 * DAY));
    assert!(
        verifies(&ring, &token(&ring, 30 * DAY), 0),
        "a replica whose clock is ahead"
    );

    assert_eq!(published_kids(&ring, 0), [second.clone(), first.clone()]);
    assert_eq!(published_kids(&ring, 37 * DAY - 1), [second.clone(), first]);
    assert_eq!(published_kids(&ring, 37 * DAY), [second]);
}

#[test]
fn f15_tokens_of_a_rotated_replica_verify_at_one_that_saw_nothing() {
    let mut issuer = Issuer::new(&[ES256]);
    let stale = issuer.ring(0);
    issuer.rotate(2 * DAY, Urgency::Now { force: false });
    issuer.plan(2 * DAY + 5);
    let fresh = issuer.ring(2 * DAY + 5);
    assert_ne!(signing_kid(&stale, 3 * DAY), signing_kid(&fresh, 3 * DAY));
    for now in [2 * DAY + 5, 3 * DAY, 8 * DAY] {
        assert!(verifies(&stale, &token(&fresh, now), now), "at {now}");
        assert!(verifies(&fresh, &token(&stale, now), now), "at {now}");
        assert!(published_kids(&stale, now).contains(&signing_kid(&fresh, now)));
    }
}

#[test]
fn j02_unknown_retired_and_revoked_kids_resolve_to_nothing() {
    let mut issuer = Issuer::new(&[ES256]);
    let ring = issuer.ring(0);
    let revoked = signing_kid(&ring, 0);
    let forged = token(&ring, 100);
    issuer.revoke(&revoked, 100);

    let ring = issuer.ring(100);
    assert!(!verifies(&ring, &forged, 100));
    assert_ne!(signing_kid(&ring, 100), revoked);
    assert!(!published_kids(&ring, 100).contains(&revoked));
    assert_eq!(published_kids(&ring, 100).len(), 2);
    for kid in ["", "unknown", revoked.as_str()] {
        assert!(ring.verifying_key(kid, at(100)).is_none(), "{kid}");
    }

    issuer.plan(30 * DAY);
    let successor = signing_kid(&ring, 100);
    let ring = issuer.ring(60 * DAY);
    assert!(ring.verifying_key(&successor, at(60 * DAY)).is_none());
}

#[test]
fn f14_a_denied_kid_neither_signs_nor_appears_after_a_restore() {
    let mut issuer = Issuer::new(&[ES256]);
    let denied = signing_kid(&issuer.ring(0), 0);
    let restored = issuer.records.clone();
    issuer.revoke(&denied, 100);

    issuer.records = restored;
    let names = issuer.records.iter().map(|record| record.kid.clone());
    issuer.policy.denied_kids = names.filter(|kid| kid.as_str() == denied).collect();
    let before_planning = issuer.ring(200);
    assert!(before_planning.signer(ES256, at(200)).is_none());
    assert!(!published_kids(&before_planning, 200).contains(&denied));
    issuer.plan(200);
    assert_ne!(signing_kid(&issuer.ring(200), 200), denied);
}

#[test]
fn m01_the_jwks_has_public_members_only() {
    let issuer = Issuer::new(&SigningAlgorithm::ALL);
    let ring = issuer.ring(0);
    let keys = published(&ring, 0);
    assert_eq!(keys.len(), 6);
    let allowed = BTreeSet::from(["kty", "use", "alg", "kid", "crv", "x", "y", "n", "e"]);
    for key in &keys {
        for (name, value) in key.as_object().unwrap() {
            assert!(allowed.contains(name.as_str()), "{name}");
            assert!(value.is_string());
        }
        assert_eq!(key.get("use").unwrap(), "sig");
    }
    let algorithms: Vec<&Value> = keys.iter().map(|key| key.get("alg").unwrap()).collect();
    assert_eq!(algorithms, ["ES256", "ES256", "RS256", "RS256", "EdDSA", "EdDSA"]);

    for algorithm in SigningAlgorithm::ALL {
        let signer = ring.signer(algorithm, at(0)).unwrap();
        let token = signer.sign("at+jwt", &json!({})).unwrap();
        assert!(verifies(&ring, &token, 0), "{algorithm}");
    }
}

#[test]
fn the_etag_names_the_document_and_its_life_follows_the_plan() {
    let mut issuer = Issuer::new(&[ES256]);
    let ring = issuer.ring(0);
    let (first, last) = (ring.jwks(at(0)), ring.jwks(at(37 * DAY)));
    assert_eq!(first, ring.jwks(at(30 * DAY)));
    assert_eq!(first, issuer.ring(30 * DAY).jwks(at(30 * DAY)));
    assert_ne!(first.etag, last.etag);
    assert_eq!(first.etag.len(), 45);
    assert!(first.etag.starts_with('"') && first.etag.ends_with('"'));
    assert_eq!(first.max_age, Duration::from_secs(300));

    // The successor is lost: whoever reads this set must come back before another one signs.
    issuer.records.retain(|record| record.activates_at == at(0));
    let ring = issuer.ring(0);
    assert_eq!(ring.jwks(at(0)).max_age, Duration::from_secs(300));
    assert_eq!(ring.jwks(at(30 * DAY - 100)).max_age, Duration::from_secs(100));
    assert_eq!(ring.jwks(at(30 * DAY)).max_age, Duration::ZERO);

    issuer.records.clear();
    let empty = issuer.ring(0).jwks(at(0));
    assert_eq!(&*empty.bytes, br#"{"keys":[]}"#);
    assert_eq!(empty.max_age, Duration::ZERO);
}

#[test]
fn k11_refresh_keys_verify_refresh_tokens_and_nothing_else() {
    let mut issuer = Issuer::new(&[ES256]);
    let ring = issuer.ring(0);
    let signer = ring.refresh_mac(at(0)).unwrap();
    let kid = signer.kid().as_str();
    let token = signer.sign("rt+jwt", &json!({"seq": 1})).unwrap();
    let token = UnverifiedJws::parse(&token).unwrap();
    assert!(token.has_typ("rt+jwt"));
    let key = ring.refresh_mac_verifying(kid, at(0)).unwrap();
    assert!(token.verify(key).is_ok());

    assert!(ring.verifying_key(kid, at(0)).is_none());
    assert!(ring.secret_hash_by(kid).is_none());
    assert!(!published_kids(&ring, 0).contains(&kid.to_owned()));
    let signing = signing_kid(&ring, 0);
    assert!(ring.refresh_mac_verifying(&signing, at(0)).is_none());

    // The old key verifies as long as a family under it may live.
    issuer.plan(30 * DAY);
    let later = issuer.ring(31 * DAY);
    assert_ne!(later.refresh_mac(at(31 * DAY)).unwrap().kid().as_str(), kid);
    assert!(later.refresh_mac_verifying(kid, at(121 * DAY)).is_some());
    assert!(later.refresh_mac_verifying(kid, at(121 * DAY + 5)).is_none());
}

#[test]
fn secret_hash_keys_are_found_by_name_for_ever() {
    let mut issuer = Issuer::new(&[ES256]);
    let ring = issuer.ring(0);
    let old = ring.secret_hash(at(0)).unwrap();
    let mac = old.mac(b"secret");
    let steps = plan_rotation(
        &issuer.records,
        KeyAlgorithm::Hs256,
        Purpose::SecretHash,
        &issuer.policy,
        at(100),
        Urgency::Planned,
    );
    issuer.commit(&steps.unwrap());

    let century = 100 * 365 * DAY;
    let ring = issuer.ring(century);
    let new = ring.secret_hash(at(century)).unwrap();
    assert_ne!(new.kid(), old.kid());
    assert!(!new.verify(b"secret", &mac));
    let found = ring.secret_hash_by(old.kid().as_str()).unwrap();
    assert!(found.verify(b"secret", &mac));
}

#[test]
fn the_wrong_master_key_opens_nothing_and_is_named() {
    let mut issuer = Issuer::new(&[ES256]);
    let other = MasterKey::generate().unwrap();
    let refused = KeyRing::open(&issuer.records, &other, &issuer.policy, at(0)).unwrap_err();
    assert!(matches!(
        refused,
        KeysError::WrongMasterKey { expected, given, .. }
            if expected == issuer.master.id() && given == other.id()
    ));

    for record in &mut issuer.records {
        record.sealed = Some(rewrap(record, &issuer.master, &other).unwrap());
    }
    issuer.master = other;
    assert!(issuer.ring(0).signer(ES256, at(0)).is_some());
}

#[test]
fn a_record_with_the_halves_of_two_keys_is_not_opened() {
    let issuer = Issuer::new(&[ES256]);
    let opened = |records: &[KeyRecord]| KeyRing::open(records, &issuer.master, &issuer.policy, at(0));

    let mut swapped = issuer.records.clone();
    let other = generate(KeyAlgorithm::Es256, Purpose::Signing, &issuer.master).unwrap();
    swapped.first_mut().unwrap().public_jwk = other.public_jwk;
    assert!(matches!(opened(&swapped), Err(KeysError::Damaged { .. })));

    let mut erased = issuer.records.clone();
    erased.first_mut().unwrap().sealed = None;
    assert!(matches!(opened(&erased), Err(KeysError::Destroyed { .. })));

    let mut misused = issuer.records.clone();
    misused.first_mut().unwrap().purpose = Purpose::SecretHash;
    assert!(matches!(opened(&misused), Err(KeysError::PurposeMismatch { .. })));
}

#[test]
fn k9_nothing_printable_holds_private_bytes() {
    fn assert_shareable<T: Send + Sync>(_: &T) {}

    let issuer = Issuer::new(&[ES256]);
    let ring = issuer.ring(0);
    assert_shareable(&ring);
    let shown = format!("{ring:?} {:?} {:?}", issuer.records, issuer.master);
    assert!(!shown.contains(issuer.master.to_base64().expose()));
    for record in &issuer.records {
        let sealed = record.sealed.as_ref().unwrap();
        assert!(!shown.contains(&format!("{:?}", sealed.nonce_and_ciphertext)));
    }
}
