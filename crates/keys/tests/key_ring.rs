//! A key ring with real keys: it signs by the clock, trusts by the clock, and shows public halves
//! only.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeSet;
use std::mem::replace;
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

    /// Moves every sealed key to a new master key and says which one it was.
    fn rewrap(&mut self) -> MasterKey {
        let old = replace(&mut self.master, MasterKey::generate().unwrap());
        for record in self.records.iter_mut().filter(|record| record.sealed.is_some()) {
            record.sealed = Some(rewrap(record, &old, &self.master).unwrap());
        }
        old
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

fn is_hint(ring: &KeyRing, token: &str, now: i64) -> bool {
    let token = UnverifiedJws::parse(token).unwrap();
    let key = ring.hint_key(token.kid().unwrap(), at(now));
    key.is_some_and(|key| token.verify(&key).is_ok())
}

#[test]
fn k11_a_retired_key_serves_hints_as_long_as_a_session_may_live_and_nothing_else() {
    let mut issuer = Issuer::new(&[ES256]);
    let early = issuer.ring(0);
    let last = token(&early, 30 * DAY - 1);
    issuer.plan(30 * DAY);
    issuer.plan(37 * DAY);
    let late = issuer.ring(37 * DAY);
    let (followed, closed) = early
        .follow(&issuer.records, &issuer.master, &issuer.policy, at(40 * DAY))
        .unwrap();
    assert!(closed.is_empty(), "{closed:?}");
    // One that saw it retire, one that never saw it alive, one that took over.
    for ring in [&early, &late, &followed] {
        for now in [37 * DAY, 40 * DAY, 121 * DAY - 1] {
            assert!(is_hint(ring, &last, now), "at {now}");
            assert!(!verifies(ring, &last, now), "at {now}");
            let kid = UnverifiedJws::parse(&last).unwrap().kid().unwrap().to_owned();
            assert!(!published_kids(ring, now).contains(&kid), "at {now}");
        }
        assert!(!is_hint(ring, &last, 121 * DAY));
    }
    let forgotten = issuer.ring(121 * DAY);
    assert!(!is_hint(&forgotten, &last, 121 * DAY));

    let live = token(&late, 40 * DAY);
    assert!(is_hint(&late, &live, 40 * DAY) && verifies(&late, &live, 40 * DAY));
    assert!(late.hint_key("unknown", at(40 * DAY)).is_none());
    let mac = late.refresh_mac(at(37 * DAY)).unwrap().kid().as_str();
    assert!(late.hint_key(mac, at(37 * DAY)).is_none());
}

#[test]
fn k4_a_compromised_or_denied_key_serves_no_hint() {
    let mut issuer = Issuer::new(&[ES256]);
    let ring = issuer.ring(0);
    let (kid, hint) = (signing_kid(&ring, 0), token(&ring, 0));
    let whole = issuer.records.clone();
    issuer.plan(30 * DAY);
    issuer.plan(40 * DAY);
    assert!(is_hint(&issuer.ring(40 * DAY), &hint, 40 * DAY));

    for record in issuer
        .records
        .iter_mut()
        .filter(|record| record.kid.as_str() == kid)
    {
        record.compromised_at = Some(at(41 * DAY));
    }
    assert!(!is_hint(&issuer.ring(41 * DAY), &hint, 41 * DAY));

    issuer.records = whole;
    issuer.revoke(&kid, 100);
    assert!(!is_hint(&issuer.ring(100), &hint, 100));

    let names = issuer.records.iter().map(|record| record.kid.clone());
    issuer.policy.denied_kids = names.filter(|name| name.as_str() == kid).collect();
    for record in &mut issuer.records {
        record.compromised_at = None;
    }
    for now in [200, 40 * DAY] {
        assert!(!is_hint(&issuer.ring(now), &hint, now), "at {now}");
    }
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

    issuer.rewrap();
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

    let mut misused = issuer.records.clone();
    misused.first_mut().unwrap().purpose = Purpose::SecretHash;
    assert!(matches!(opened(&misused), Err(KeysError::PurposeMismatch { .. })));
}

#[test]
fn k10_a_ring_under_a_replaced_master_key_follows_every_later_change() {
    let mut issuer = Issuer::new(&[ES256]);
    let (before, policy) = (issuer.ring(0), issuer.policy.clone());
    let (first, second) = (signing_kid(&before, 0), signing_kid(&before, 30 * DAY));
    let mac = before.refresh_mac(at(0)).unwrap().kid().clone();
    let token_of_first = token(&before, 0);

    let old = issuer.rewrap();
    let (ring, closed) = before.follow(&issuer.records, &old, &policy, at(50)).unwrap();
    assert!(closed.is_empty(), "{closed:?}");
    assert_eq!(signing_kid(&ring, 50), first);

    issuer.revoke(&first, 100);
    let restarted = issuer.ring(100);
    let (ring, closed) = ring.follow(&issuer.records, &old, &policy, at(100)).unwrap();
    drop(before);
    assert!(!verifies(&ring, &token_of_first, 100));
    assert_eq!(signing_kid(&ring, 100), second);
    assert!(verifies(&restarted, &token(&ring, 100), 100));
    assert_eq!(ring.refresh_mac(at(100)).unwrap().kid(), &mac);
    assert!(ring.refresh_mac_verifying(mac.as_str(), at(100)).is_some());
    assert!(ring.secret_hash(at(100)).is_some());

    // The key that the restarted process made is shown and trusted, but signs only there.
    let third = signing_kid(&restarted, 31 * DAY);
    assert!(matches!(
        closed.as_slice(),
        [KeysError::WrongMasterKey { kid, expected, given }]
            if kid.as_str() == third && *expected == issuer.master.id() && *given == old.id()
    ));
    assert_eq!(ring.jwks(at(100)), restarted.jwks(at(100)));
    assert!(published_kids(&ring, 100).contains(&third));
    assert!(verifies(&ring, &token(&restarted, 31 * DAY), 31 * DAY));
    assert!(ring.signer(ES256, at(31 * DAY)).is_none());
}

#[test]
fn k10_what_is_open_needs_no_unsealing_and_what_is_not_names_itself() {
    let issuer = Issuer::new(&SigningAlgorithm::ALL);
    let ring = issuer.ring(0);
    let mut records = issuer.records.clone();
    for sealed in records.iter_mut().filter_map(|record| record.sealed.as_mut()) {
        sealed.nonce_and_ciphertext.clear();
    }
    let follow = |ring: &KeyRing| ring.follow(&records, &issuer.master, &issuer.policy, at(0));

    let (next, closed) = follow(&ring).unwrap();
    assert!(closed.is_empty(), "{closed:?}");
    for algorithm in SigningAlgorithm::ALL {
        let (old, new) = (ring.signer(algorithm, at(0)), next.signer(algorithm, at(0)));
        assert_eq!(old.unwrap().kid(), new.unwrap().kid());
    }
    let (old, new) = (ring.secret_hash(at(0)).unwrap(), next.secret_hash(at(0)).unwrap());
    assert!(new.verify(b"secret", &old.mac(b"secret")));

    let empty = KeyRing::open(&[], &issuer.master, &issuer.policy, at(0)).unwrap();
    let (next, closed) = follow(&empty).unwrap();
    assert_eq!(closed.len(), records.len());
    let broken = |error: &KeysError| matches!(error, KeysError::BrokenSeal { .. });
    assert!(closed.iter().all(broken), "{closed:?}");
    assert_eq!(next.jwks(at(0)), ring.jwks(at(0)));
    assert!(verifies(&next, &token(&ring, 0), 0));
    assert!(next.signer(ES256, at(0)).is_none());
    assert!(next.refresh_mac(at(0)).is_none() && next.secret_hash(at(0)).is_none());
}

#[test]
fn k11_a_ring_takes_over_nothing_that_the_record_does_not_describe() {
    let issuer = Issuer::new(&[ES256]);
    let ring = issuer.ring(0);
    let follow = |change: &dyn Fn(&mut KeyRecord), purpose| {
        let mut records = issuer.records.clone();
        let record = records.iter_mut().find(|record| record.purpose == purpose);
        change(record.unwrap());
        ring.follow(&records, &issuer.master, &issuer.policy, at(0))
    };

    let to_hash = |record: &mut KeyRecord| record.purpose = Purpose::SecretHash;
    let (next, closed) = follow(&to_hash, Purpose::RefreshMac).unwrap();
    assert!(matches!(closed.as_slice(), [KeysError::BrokenSeal { .. }]));
    let mac = ring.refresh_mac(at(0)).unwrap().kid().as_str();
    assert!(next.refresh_mac(at(0)).is_none() && next.secret_hash_by(mac).is_none());
    assert!(next.refresh_mac_verifying(mac, at(0)).is_none());

    let misused = follow(&to_hash, Purpose::Signing).unwrap_err();
    assert!(matches!(misused, KeysError::PurposeMismatch { .. }));
    let other = generate(KeyAlgorithm::Es256, Purpose::Signing, &issuer.master).unwrap();
    for public in [None, other.public_jwk] {
        let swap = |record: &mut KeyRecord| record.public_jwk.clone_from(&public);
        let swapped = follow(&swap, Purpose::Signing).unwrap_err();
        assert!(matches!(swapped, KeysError::Damaged { .. }));
    }
}

#[test]
fn f14_a_key_that_a_restore_or_a_clock_brought_back_without_bytes_verifies_only() {
    let mut issuer = Issuer::new(&[ES256]);
    let whole = issuer.ring(0);
    let (erased, last) = (signing_kid(&whole, 0), token(&whole, 0));
    for record in &mut issuer.records {
        record.sealed = None;
    }

    // Neither a start nor a ring that still has the bytes in memory signs with them.
    let opened = issuer.ring(10);
    let followed = whole.follow(&issuer.records, &issuer.master, &issuer.policy, at(10));
    let (followed, closed) = followed.unwrap();
    assert_eq!(closed.len(), issuer.records.len());
    let gone = |error: &KeysError| matches!(error, KeysError::Destroyed { .. });
    assert!(closed.iter().all(gone), "{closed:?}");
    for ring in [&opened, &followed] {
        assert!(ring.signer(ES256, at(10)).is_none() && ring.refresh_mac(at(10)).is_none());
        assert!(ring.secret_hash(at(10)).is_none());
        assert!(verifies(ring, &last, 10));
        assert!(published_kids(ring, 10).contains(&erased));
        assert_eq!(
            ring.jwks(at(10)).max_age,
            Duration::ZERO,
            "a new key comes at once"
        );
    }

    issuer.plan(10);
    let healed = issuer.ring(10);
    for now in [10, 30 * DAY, 31 * DAY] {
        let signs = signing_kid(&healed, now);
        assert!(verifies(&healed, &token(&healed, now), now));
        assert!(published_kids(&healed, 10).contains(&signs));
        assert_ne!(signs, erased);
    }
    assert!(healed.refresh_mac(at(10)).is_some() && healed.secret_hash(at(10)).is_some());
    assert!(verifies(&healed, &last, 7 * DAY + 9));
    assert!(!verifies(&healed, &last, 7 * DAY + 10));
    assert_eq!(healed.jwks(at(10)).max_age, Duration::from_secs(300));
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
