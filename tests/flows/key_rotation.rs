//! Keys by the clock: what is signed today verifies with the key set that the slowest cache may hold.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it is")]

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use vouchsafe::app::{StartError, open_issuer};
use vouchsafe::config::Config;
use vouchsafe_issuer::{AdminError, MasterKey, Rotation};
use vouchsafe_jose::PublicJwk;
use vouchsafe_keys::{KeyAlgorithm, Purpose, Urgency};
use vouchsafe_protocol::{Kid, Timestamp};
use vouchsafe_store::KeyRow;
use vouchsafe_tests::{Answer, Setup, TestApp, TestClient, claims_of, kid_of};
use vouchsafe_verifier::{ExpectedAudience, KeySet, Rejection, RevocationIndex, UnverifiedToken, Verifier};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
/// How long beyond its `max-age` a cache may go on using a key set.
const MARGIN: Duration = Duration::from_secs(600);
/// `max-age` of the tests' key sets, and that margin.
const CACHED: Duration = Duration::from_secs(900);
/// Refresh MAC keys, which an operator rotates like any other line.
const MAC_LINE: (KeyAlgorithm, Purpose) = (KeyAlgorithm::Hs256, Purpose::RefreshMac);

const NOW: Urgency = Urgency::Now { force: false };
const FORCED: Urgency = Urgency::Now { force: true };

async fn jwks(app: &TestApp) -> Answer {
    let request = app.http.get(format!("{}/.well-known/jwks.json", app.base));
    Answer::read(request.send().await.unwrap()).await
}

fn keys_of(jwks: &Answer) -> Vec<Value> {
    let keys = jwks.json.get("keys").and_then(Value::as_array);
    keys.unwrap().clone()
}

/// The kids of a key set, in its order.
fn kids_of(jwks: &Answer) -> Vec<String> {
    let kid = |key: &Value| key.get("kid").and_then(Value::as_str).unwrap().to_owned();
    keys_of(jwks).iter().map(kid).collect()
}

/// The kid that signs for a client now.
async fn signer(client: &TestClient<'_>) -> Kid {
    kid_of(client.credentials().await.str("access_token"))
}

/// The only key of that purpose and state.
async fn key_in(app: &TestApp, purpose: Purpose, state: &str) -> Kid {
    let views = app.inside().list_keys().await.unwrap();
    let mut kids = views
        .into_iter()
        .filter(|view| view.purpose == purpose && view.state == state);
    let only = kids.next().unwrap();
    assert!(kids.next().is_none(), "two {purpose} keys are {state}");
    only.kid
}

async fn rotate(app: &TestApp, urgency: Urgency) -> Result<usize, AdminError> {
    let issuer = app.inside();
    issuer
        .rotate_keys(&issuer.signing_lines(), urgency, &TestApp::operator())
        .await
}

async fn rotate_mac(app: &TestApp) {
    let operator = TestApp::operator();
    app.inside()
        .rotate_keys(&[MAC_LINE], Urgency::Planned, &operator)
        .await
        .unwrap();
}

async fn rows(app: &TestApp) -> Vec<KeyRow> {
    app.inside().store().keys().await.unwrap().0
}

/// A second replica of the same issuer.
async fn replica(app: &TestApp) -> TestApp {
    Setup::default()
        .beside(app)
        .set("issuer", &app.issuer)
        .start()
        .await
}

fn max_age_of(answer: &Answer) -> Duration {
    let text = answer.header("cache-control").unwrap();
    let seconds = text.strip_prefix("public, max-age=").unwrap();
    Duration::from_secs(seconds.parse().unwrap())
}

/// A key set in some cache, and the last moment at which the cache may use it.
struct Cached {
    keys: KeySet,
    until: Timestamp,
}

async fn fetch(app: &TestApp) -> Cached {
    let answer = jwks(app).await;
    Cached {
        keys: KeySet::from_json(answer.text.as_bytes()).unwrap(),
        until: app.now().plus(max_age_of(&answer)).plus(MARGIN),
    }
}

/// Checks a token as a resource server with this key set does.
fn check(app: &TestApp, cached: &Cached, token: &str) -> Result<(), Rejection> {
    let verifier = Verifier::new(app.issuer.as_str(), ExpectedAudience::Is(app.issuer.clone()));
    let token = UnverifiedToken::parse(token)?;
    let none = RevocationIndex::new();
    verifier.check(&token, &cached.keys, &none, app.now()).map(drop)
}

fn expires(token: &str) -> i64 {
    let claims = claims_of(token);
    claims.get("exp").and_then(Value::as_i64).unwrap()
}

/// Lets time go by in steps of hours with a token minted at each, and asks all caches about all live tokens. Says which
/// keys signed, in their order.
async fn walk(app: &TestApp, length: Duration) -> Vec<Kid> {
    let web = app.client("web", "items:read").await;
    let end = app.now().plus(length);
    let mut caches = vec![fetch(app).await];
    let mut live: Vec<String> = Vec::new();
    let mut signed_by: Vec<Kid> = Vec::new();
    for hours in [1_u32, 5, 9, 13, 22].into_iter().cycle() {
        if app.now() >= end {
            break;
        }
        app.advance(HOUR * hours - CACHED).await;
        caches.push(fetch(app).await);
        // The slowest cache got its key set just so long ago, and no key task has run since.
        app.clock.advance(CACHED);
        let token = web.credentials().await.str("access_token").to_owned();
        let kid = kid_of(&token);
        if signed_by.last() != Some(&kid) {
            assert!(!signed_by.contains(&kid), "{kid} signs again");
            signed_by.push(kid);
        }
        live.push(token);
        caches.push(fetch(app).await);
        let now = app.now();
        live.retain(|token| now.as_unix() < expires(token));
        caches.retain(|cached| now <= cached.until);
        assert!(caches.len() >= 2 && !live.is_empty());
        for cached in &caches {
            for token in &live {
                assert_eq!(check(app, cached, token), Ok(()), "at {}", now.as_unix());
            }
        }
    }
    signed_by
}

#[tokio::test]
async fn k1_to_k5_a_hundred_days_pass_and_every_token_verifies_in_every_cache() {
    let app = Setup::default()
        .set("tokens.access_ttl", "24h")
        .set("tokens.max_access_ttl", "24h")
        .start()
        .await;
    let signed_by = walk(&app, DAY * 100).await;
    assert_eq!(signed_by.len(), 4);
    app.advance(Duration::ZERO).await;
    // Days 90 to 120: the fourth key signs, the fifth is next, the third retired on day 97.
    let shown = kids_of(&jwks(&app).await);
    let next = key_in(&app, Purpose::Signing, "next").await;
    assert_eq!(shown, [next.as_str(), signed_by[3].as_str()]);
    for row in rows(&app).await.iter().filter(|row| row.purpose == "signing") {
        let kept = shown.iter().any(|kid| kid == row.kid.as_str());
        assert_eq!(row.sealed.is_some(), kept, "{}", row.kid);
        assert!(row.public_jwk.is_some());
    }
}

#[tokio::test]
async fn k1_to_k5_the_tightest_lifetimes_hold_as_well() {
    let app = Setup::default()
        .set("keys.rotate_every", "26h")
        .set("keys.publish_ahead", "15m")
        .set("keys.retention", "1441m")
        .set("tokens.access_ttl", "24h")
        .set("tokens.max_access_ttl", "24h")
        .start()
        .await;
    let signed_by = walk(&app, DAY * 12).await;
    assert!(signed_by.len() >= 10, "{}", signed_by.len());
}

#[tokio::test]
async fn k1_a_next_key_is_published_from_the_first_second_and_signs_when_its_time_comes() {
    let app = TestApp::start().await;
    let web = app.client("web", "items:read").await;
    let (first, next) = (
        key_in(&app, Purpose::Signing, "active").await,
        key_in(&app, Purpose::Signing, "next").await,
    );
    assert_eq!(kids_of(&jwks(&app).await), [next.as_str(), first.as_str()]);
    assert_eq!(signer(&web).await, first);
    // Nobody is awake: no task runs, only the clock.
    app.clock.advance(DAY * 30 - Duration::from_secs(1));
    assert_eq!(signer(&web).await, first);
    app.clock.advance(Duration::from_secs(1));
    assert_eq!(signer(&web).await, next);
    // The task, late by three hours, publishes the one after it.
    app.advance(HOUR * 3).await;
    let shown = kids_of(&jwks(&app).await);
    let after = key_in(&app, Purpose::Signing, "next").await;
    assert_eq!(shown, [after.as_str(), next.as_str(), first.as_str()]);
}

#[tokio::test]
async fn k3_one_key_signs_and_k8_a_kid_is_its_thumbprint_and_never_taken_twice() {
    let app = Setup::default()
        .set("keys.algorithms", "ES256,EdDSA")
        .start()
        .await;
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for _ in 0..4 {
        let views = app.inside().list_keys().await.unwrap();
        let states = |algorithm: KeyAlgorithm, purpose: Purpose| {
            let of_line = views
                .iter()
                .filter(move |view| view.algorithm == algorithm && view.purpose == purpose);
            let mut states: Vec<&str> = of_line.map(|view| view.state).collect();
            states.retain(|state| ["active", "next"].contains(state));
            states
        };
        for algorithm in [KeyAlgorithm::Es256, KeyAlgorithm::EdDsa] {
            assert_eq!(states(algorithm, Purpose::Signing), ["active", "next"]);
        }
        for purpose in [Purpose::RefreshMac, Purpose::SecretHash] {
            let states = states(KeyAlgorithm::Hs256, purpose);
            let active = states.iter().filter(|state| **state == "active").count();
            assert_eq!(active, 1, "{purpose}");
        }
        let rows = rows(&app).await;
        let kids: BTreeSet<String> = rows.iter().map(|row| row.kid.to_string()).collect();
        assert_eq!(kids.len(), rows.len());
        assert!(kids.is_superset(&seen), "a row is gone");
        seen = kids;
        for key in keys_of(&jwks(&app).await) {
            let jwk: PublicJwk = serde_json::from_value(key.clone()).unwrap();
            assert_eq!(key["kid"], jwk.thumbprint());
        }
        app.advance(DAY * 30).await;
    }
}

#[tokio::test]
async fn k7_a_key_is_erased_when_it_is_retired_and_not_before() {
    let app = TestApp::start().await;
    let first = key_in(&app, Purpose::Signing, "active").await;
    let sealed = async || {
        let rows = rows(&app).await;
        let row = rows.iter().find(|row| row.kid == first).unwrap();
        assert!(row.public_jwk.is_some());
        row.sealed.is_some()
    };
    let shown = async || kids_of(&jwks(&app).await).iter().any(|kid| kid == first.as_str());
    app.advance(DAY * 30).await;
    assert!(sealed().await && shown().await);
    app.advance(DAY * 7 - Duration::from_secs(1)).await;
    assert!(sealed().await && shown().await);
    app.advance(Duration::from_secs(1)).await;
    assert!(!sealed().await && !shown().await);
    let row = rows(&app).await.into_iter().find(|row| row.kid == first).unwrap();
    assert_eq!((row.sealed, row.sealed_by), (None, None));
}

#[tokio::test]
async fn k11_mac_keys_are_in_no_key_set_and_sign_no_access_token() {
    let app = TestApp::start().await;
    let web = app.client("web", "openid items:read").await;
    app.user("alice", &[]).await;
    let grant = web.sign_in("alice").await;
    let signing = key_in(&app, Purpose::Signing, "active").await;
    let mac = key_in(&app, Purpose::RefreshMac, "active").await;
    let secrets = key_in(&app, Purpose::SecretHash, "active").await;
    assert_eq!(kid_of(grant.str("access_token")), signing);
    assert_eq!(kid_of(grant.str("refresh_token")), mac);
    assert_ne!(mac, secrets);
    let shown = jwks(&app).await;
    for key in keys_of(&shown) {
        assert_eq!(key["kty"], "EC");
        assert_eq!(key["alg"], "ES256");
    }
    for kid in [&mac, &secrets] {
        assert!(!shown.text.contains(kid.as_str()));
    }
    for row in rows(&app).await {
        assert_eq!(row.public_jwk.is_some(), row.purpose == "signing");
    }
}

#[tokio::test]
async fn k1_k5_rotate_now_is_refused_while_a_key_set_without_the_next_key_may_be_cached() {
    let app = TestApp::start().await;
    let web = app.client("web", "items:read").await;
    let (old, next) = (
        key_in(&app, Purpose::Signing, "active").await,
        key_in(&app, Purpose::Signing, "next").await,
    );
    app.advance(CACHED - Duration::from_secs(1)).await;
    let refused = rotate(&app, NOW).await;
    assert!(matches!(refused, Err(AdminError::Refused(_))), "{refused:?}");
    app.advance(Duration::from_secs(60)).await;
    assert_eq!(signer(&web).await, old);
    let cached = fetch(&app).await;
    assert_eq!(rotate(&app, NOW).await.unwrap(), 4);
    app.clock.advance(Duration::from_secs(4));
    assert_eq!(signer(&web).await, old);
    app.clock.advance(Duration::from_secs(1));
    let token = web.credentials().await;
    assert_eq!(kid_of(token.str("access_token")), next);
    assert_eq!(check(&app, &cached, token.str("access_token")), Ok(()));
    // The one after it has only just been published.
    app.advance(Duration::ZERO).await;
    let newest = key_in(&app, Purpose::Signing, "next").await;
    assert_ne!(newest, old);
    let refused = rotate(&app, NOW).await;
    assert!(matches!(refused, Err(AdminError::Refused(_))), "{refused:?}");
    // What the refusal is for: that cache does not know it.
    assert_eq!(rotate(&app, FORCED).await.unwrap(), 4);
    app.advance(Duration::from_secs(5)).await;
    let token = web.credentials().await;
    assert_eq!(kid_of(token.str("access_token")), newest);
    assert!(check(&app, &cached, token.str("access_token")).is_err());
    assert_eq!(check(&app, &fetch(&app).await, token.str("access_token")), Ok(()));
}

#[tokio::test]
async fn k1_a_forced_rotation_is_on_record() {
    let app = TestApp::start().await;
    let refused = rotate(&app, NOW).await;
    assert!(matches!(refused, Err(AdminError::Refused(_))), "{refused:?}");
    let store = app.inside().store();
    let rotations = async || {
        let mut tail = store.audit_tail(100).await.unwrap();
        tail.retain(|record| record.event == "keys_rotated");
        tail
    };
    assert!(rotations().await.is_empty());
    rotate(&app, FORCED).await.unwrap();
    let rotations = rotations().await;
    assert_eq!(rotations.len(), 1);
    let detail: Value = serde_json::from_str(&rotations[0].detail).unwrap();
    assert_eq!(detail["now"], true);
    assert_eq!(detail["forced"], true);
    assert_eq!(rotations[0].actor_kind, "operator");
}

#[tokio::test]
async fn k1_a_planned_rotation_waits_until_the_next_key_is_known_everywhere() {
    let app = TestApp::start().await;
    let web = app.client("web", "items:read").await;
    let (old, next) = (
        key_in(&app, Purpose::Signing, "active").await,
        key_in(&app, Purpose::Signing, "next").await,
    );
    app.advance(HOUR).await;
    // Two instants of two keys, and the key after the next, published in the same commit with its own instant.
    assert_eq!(rotate(&app, Urgency::Planned).await.unwrap(), 4);
    app.advance(HOUR * 23 - Duration::from_secs(1)).await;
    assert_eq!(signer(&web).await, old);
    app.advance(Duration::from_secs(1)).await;
    assert_eq!(signer(&web).await, next);
    // Planned again when nothing can be sooner, it changes nothing; published for long, it takes five seconds.
    app.advance(HOUR * 25).await;
    assert_eq!(rotate(&app, Urgency::Planned).await.unwrap(), 4);
    assert_eq!(rotate(&app, Urgency::Planned).await.unwrap(), 0);
    assert_eq!(signer(&web).await, next);
    app.advance(Duration::from_secs(5)).await;
    assert_ne!(signer(&web).await, next);
}

#[tokio::test]
async fn f15_replicas_change_at_once_and_each_verifies_what_the_other_signs() {
    let app = TestApp::start().await;
    let second = replica(&app).await;
    let web = app.client("web", "items:read").await;
    let there = web.at(&second);
    let (old, next) = (
        key_in(&app, Purpose::Signing, "active").await,
        key_in(&app, Purpose::Signing, "next").await,
    );
    app.advance(HOUR).await;
    rotate(&app, NOW).await.unwrap();
    second.inside().follow().await.unwrap();
    for (passed, kid) in [(4, &old), (1, &next)] {
        app.clock.advance(Duration::from_secs(passed));
        assert_eq!(signer(&web).await, *kid);
        assert_eq!(signer(&there).await, *kid);
    }
    // One tick at the first makes a key; what the first signs from now on, the second knows already.
    app.advance(Duration::ZERO).await;
    let token = web.credentials().await.str("access_token").to_owned();
    assert_eq!(check(&app, &fetch(&second).await, &token), Ok(()));
    assert!(there.is_active(&token).await);
    second.inside().follow().await.unwrap();
    assert_eq!(jwks(&app).await.text, jwks(&second).await.text);
}

#[tokio::test]
async fn k10_a_replica_that_cannot_see_the_log_signs_no_more() {
    let app = TestApp::start().await;
    let web = app.client("web", "items:read").await;
    assert_eq!(web.credentials().await.status, 200);
    app.inside().store().close().await;
    app.clock.advance(Duration::from_secs(6));
    let refused = web.credentials().await;
    assert_eq!(refused.outcome(), "503 temporarily_unavailable stale_view");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(jwks(&app).await.status, 200);
}

#[tokio::test]
async fn k12_replicas_that_advance_at_once_make_one_set_of_keys() {
    let app = TestApp::start().await;
    let second = replica(&app).await;
    for passed in [30, 7, 23, 7] {
        app.clock.advance(DAY * passed);
        let (here, there) = tokio::join!(app.inside().advance_keys(), second.inside().advance_keys());
        here.and(there).unwrap();
        app.inside().follow().await.unwrap();
        second.inside().follow().await.unwrap();
        key_in(&app, Purpose::Signing, "active").await;
        key_in(&app, Purpose::Signing, "next").await;
        key_in(&app, Purpose::SecretHash, "active").await;
        assert_eq!(jwks(&app).await.text, jwks(&second).await.text);
    }
    let count = |rows: &[KeyRow], purpose: &str| rows.iter().filter(|row| row.purpose == purpose).count();
    let rows = rows(&app).await;
    // Signing: two at birth, one on day 30, one on day 60. MAC: one at birth, one on day 30, one by day 67.
    assert_eq!(count(&rows, "signing"), 4);
    assert_eq!(count(&rows, "refresh_mac"), 3);
    assert_eq!(count(&rows, "secret_hash"), 1);
}

#[tokio::test]
async fn revoking_the_active_key_kills_its_tokens_at_once_and_the_next_key_signs() {
    let app = TestApp::start().await;
    let web = app.client("web", "openid items:read").await;
    app.user("alice", &[]).await;
    let (of_alice, of_web) = (web.sign_in("alice").await, web.credentials().await);
    let (bad, next) = (
        key_in(&app, Purpose::Signing, "active").await,
        key_in(&app, Purpose::Signing, "next").await,
    );
    let before = jwks(&app).await;
    let ended = app.inside().revoke_key(&bad, &TestApp::operator()).await;
    assert_eq!(ended.unwrap(), 0);
    for grant in [&of_alice, &of_web] {
        assert!(!web.is_active(grant.str("access_token")).await);
    }
    // In the same second, and nobody signs in again.
    let refreshed = web.refresh(of_alice.str("refresh_token")).await;
    for token in [
        refreshed.str("access_token"),
        web.credentials().await.str("access_token"),
    ] {
        assert_eq!(kid_of(token), next);
        assert!(web.is_active(token).await);
    }
    let after = jwks(&app).await;
    assert!(!after.text.contains(bad.as_str()));
    assert_ne!(before.header("etag"), after.header("etag"));
    let newest = key_in(&app, Purpose::Signing, "next").await;
    assert_eq!(kids_of(&after), [newest.as_str(), next.as_str()]);
    let row = rows(&app).await.into_iter().find(|row| row.kid == bad).unwrap();
    assert_eq!((row.sealed, row.compromised_at), (None, Some(app.now())));
}

#[tokio::test]
async fn k4_a_revoked_key_never_returns_and_is_revoked_once() {
    let app = TestApp::start().await;
    let web = app.client("web", "items:read").await;
    let (issuer, operator) = (app.inside(), TestApp::operator());
    // One that signs and one that never did.
    let active = key_in(&app, Purpose::Signing, "active").await;
    issuer.revoke_key(&active, &operator).await.unwrap();
    let next = key_in(&app, Purpose::Signing, "next").await;
    issuer.revoke_key(&next, &operator).await.unwrap();
    for bad in [&active, &next] {
        let again = issuer.revoke_key(bad, &operator).await;
        assert!(matches!(again, Err(AdminError::Refused(_))), "{again:?}");
    }
    let unknown = Kid::parse("unknown").unwrap();
    let refused = issuer.revoke_key(&unknown, &operator).await;
    assert!(matches!(refused, Err(AdminError::NotFound { .. })), "{refused:?}");
    for _ in 0..10 {
        let (signs, shown) = (signer(&web).await, jwks(&app).await);
        for bad in [&active, &next] {
            assert_ne!(signs, *bad);
            assert!(!shown.text.contains(bad.as_str()));
        }
        app.advance(DAY * 7).await;
    }
}

#[tokio::test]
async fn revoking_a_key_that_no_longer_signs_kills_what_it_signed() {
    let app = TestApp::start().await;
    let web = app.client("web", "items:read").await;
    app.advance(HOUR).await;
    let old = web.credentials().await.str("access_token").to_owned();
    rotate(&app, NOW).await.unwrap();
    app.advance(Duration::from_secs(5)).await;
    let new = web.credentials().await.str("access_token").to_owned();
    assert!(web.is_active(&old).await && web.is_active(&new).await);
    let bad = key_in(&app, Purpose::Signing, "verify_only").await;
    assert_eq!(kid_of(&old), bad);
    app.inside().revoke_key(&bad, &TestApp::operator()).await.unwrap();
    assert!(!web.is_active(&old).await);
    assert!(web.is_active(&new).await);
    assert_eq!(signer(&web).await, kid_of(&new));
}

#[tokio::test]
async fn revoking_a_refresh_mac_key_ends_the_families_under_it_and_says_how_many() {
    let app = TestApp::start().await;
    let web = app.client("web", "openid").await;
    app.user("alice", &[]).await;
    let (over, first, moved_on) = (
        web.sign_in("alice").await,
        web.sign_in("alice").await,
        web.sign_in("alice").await,
    );
    assert_eq!(web.revoke(over.str("refresh_token")).await.status, 200);
    let bad = key_in(&app, Purpose::RefreshMac, "active").await;
    rotate_mac(&app).await;
    app.advance(Duration::from_secs(5)).await;
    let moved_on = web.refresh(moved_on.str("refresh_token")).await;
    let second = web.sign_in("alice").await;
    let newer = key_in(&app, Purpose::RefreshMac, "active").await;
    for grant in [&moved_on, &second] {
        assert_eq!(kid_of(grant.str("refresh_token")), newer);
    }
    let ended = app.inside().revoke_key(&bad, &TestApp::operator()).await;
    assert_eq!(ended.unwrap(), 1);
    let refreshed = web.refresh(first.str("refresh_token")).await;
    assert_eq!(refreshed.status, 400);
    assert_eq!(refreshed.json["error"], "invalid_grant");
    assert!(!web.is_active(first.str("refresh_token")).await);
    assert!(!web.is_active(first.str("access_token")).await);
    for grant in [&moved_on, &second] {
        assert!(web.is_active(grant.str("access_token")).await);
        assert_eq!(web.refresh(grant.str("refresh_token")).await.outcome(), "200");
    }
}

#[tokio::test]
async fn revoking_the_active_refresh_mac_key_leaves_an_issuer_that_signs_in() {
    let app = TestApp::start().await;
    let web = app.client("web", "openid").await;
    app.user("alice", &[]).await;
    let grants = [web.sign_in("alice").await, web.sign_in("alice").await];
    let of_web = web.credentials().await;
    let bad = key_in(&app, Purpose::RefreshMac, "active").await;
    let ended = app.inside().revoke_key(&bad, &TestApp::operator()).await;
    assert_eq!(ended.unwrap(), 2);
    for grant in &grants {
        let refreshed = web.refresh(grant.str("refresh_token")).await;
        assert_eq!(refreshed.status, 400);
        assert_eq!(refreshed.json["error"], "invalid_grant");
        assert!(!web.is_active(grant.str("access_token")).await);
    }
    assert!(web.is_active(of_web.str("access_token")).await);
    let new = web.sign_in("alice").await;
    assert_ne!(kid_of(new.str("refresh_token")), bad);
    assert_eq!(web.refresh(new.str("refresh_token")).await.outcome(), "200");
}

/// Revokes the MAC key of the newest refresh token that a client got, which must end its family.
async fn assert_ends_with_its_mac_key(app: &TestApp, client: &TestClient<'_>, newest: &Answer) {
    let kid = kid_of(newest.str("refresh_token"));
    let ended = app.inside().revoke_key(&kid, &TestApp::operator()).await;
    assert_eq!(ended.unwrap(), 1);
    assert!(!client.is_active(newest.str("access_token")).await);
    let refreshed = client.refresh(newest.str("refresh_token")).await;
    assert_eq!(refreshed.status, 400);
}

#[tokio::test]
async fn a_family_that_does_not_rotate_hangs_on_the_mac_key_of_its_newest_token() {
    let app = TestApp::start().await;
    let web = app
        .client_with("web", "openid", |draft| draft.rotation = Some(Rotation::Never))
        .await;
    app.user("alice", &[]).await;
    let first = web.sign_in("alice").await;
    rotate_mac(&app).await;
    app.advance(Duration::from_secs(5)).await;
    let newest = web.refresh(first.str("refresh_token")).await;
    assert_ends_with_its_mac_key(&app, &web, &newest).await;
}

#[tokio::test]
async fn a_family_that_was_retried_hangs_on_the_mac_key_of_its_newest_token() {
    let app = TestApp::start().await;
    let web = app.client("web", "openid").await;
    app.user("alice", &[]).await;
    let first = web.sign_in("alice").await;
    web.refresh(first.str("refresh_token")).await;
    rotate_mac(&app).await;
    app.advance(Duration::from_secs(5)).await;
    let newest = web.refresh(first.str("refresh_token")).await;
    assert_eq!(newest.refresh_claims()["seq"], 1);
    assert_ends_with_its_mac_key(&app, &web, &newest).await;
}

#[tokio::test]
async fn refresh_tokens_outlive_their_mac_key() {
    let app = TestApp::start().await;
    let web = app.client("web", "openid").await;
    app.user("alice", &[]).await;
    // The key of the token in hand may have signed its last by the time it is used.
    let mut grant = web.sign_in("alice").await;
    let mut kids = BTreeSet::new();
    for _ in 0..8 {
        app.advance(DAY * 10).await;
        grant = web.refresh(grant.str("refresh_token")).await;
        kids.insert(kid_of(grant.str("refresh_token")));
    }
    assert_eq!(kids.len(), 3);
}

/// Everything needed to open the issuer of a test with another master key.
fn config_with(app: &TestApp, master: &MasterKey) -> Config {
    app.config(&[("keys.master_key", master.to_base64().expose())])
}

#[tokio::test]
async fn rewrapped_keys_open_with_the_new_master_key_only() {
    let (first, second, stranger) = (
        MasterKey::generate().unwrap(),
        MasterKey::generate().unwrap(),
        MasterKey::generate().unwrap(),
    );
    let app = Setup::default()
        .set("keys.master_key", first.to_base64().expose())
        .start()
        .await;
    let web = app.client("web", "openid items:read").await;
    app.user("alice", &[]).await;
    let grant = web.sign_in("alice").await;
    let refused = open_issuer(&config_with(&app, &stranger), app.machine()).await;
    assert!(matches!(refused, Err(StartError::Issuer(_))), "{refused:?}");
    let sealed = rows(&app).await.iter().filter(|row| row.sealed.is_some()).count();
    let rewrapped = app.inside().rewrap_keys(&second, &TestApp::operator()).await;
    assert_eq!(rewrapped.unwrap(), sealed);
    for row in rows(&app).await {
        assert_eq!(row.sealed_by, row.sealed.is_some().then(|| second.id()));
    }
    let refused = open_issuer(&config_with(&app, &first), app.machine()).await;
    assert!(matches!(refused, Err(StartError::Issuer(_))), "{refused:?}");
    // The same issuer again: its tokens, its clients' secrets, its keys.
    let again = Setup::default()
        .beside(&app)
        .set("issuer", &app.issuer)
        .set("keys.master_key", second.to_base64().expose())
        .start()
        .await;
    let there = web.at(&again);
    assert!(there.is_active(grant.str("access_token")).await);
    let refreshed = there.refresh(grant.str("refresh_token")).await;
    assert_eq!(
        kid_of(refreshed.str("refresh_token")),
        kid_of(grant.str("refresh_token"))
    );
    assert_eq!(signer(&there).await, kid_of(grant.str("access_token")));
    assert_eq!(jwks(&again).await.text, jwks(&app).await.text);
}

#[tokio::test]
async fn rewrapping_does_not_stop_a_server_that_runs() {
    let app = TestApp::start().await;
    let web = app.client("web", "items:read").await;
    let token = web.credentials().await.str("access_token").to_owned();
    let new = MasterKey::generate().unwrap();
    app.inside()
        .rewrap_keys(&new, &TestApp::operator())
        .await
        .unwrap();
    // Longer than the lease of its view: the keys it has open are still the issuer's.
    app.clock.advance(Duration::from_secs(6));
    assert_eq!(web.introspect(&token).await.json["active"], true);
    assert_eq!(web.revoke(&token).await.status, 200);
    assert_eq!(web.introspect(&token).await.json["active"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k12_operators_who_meet_each_other_or_the_clock_both_get_done() {
    let app = TestApp::start().await;
    let second = replica(&app).await;
    let operator = TestApp::operator();
    for _ in 0..8 {
        app.clock.advance(DAY * 30);
        let now = Urgency::Now { force: true };
        let (here, there) = (app.inside(), second.inside());
        let lines = here.signing_lines();
        let (one, other, tick) = tokio::join!(
            here.rotate_keys(&lines, now, &operator),
            there.rotate_keys(&lines, now, &operator),
            there.advance_keys(),
        );
        assert!(
            one.is_ok() && other.is_ok() && tick.is_ok(),
            "{one:?} {other:?} {tick:?}"
        );
        here.follow().await.unwrap();
    }
}
