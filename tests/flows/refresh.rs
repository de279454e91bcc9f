//! Refresh: one line, never a tree; kind to a retry, final after a reuse.
#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails where it is")]

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::join_all;
use serde::Serialize;
use serde_json::{Map, Value, json};
use vouchsafe::machine::real_machine;
use vouchsafe_issuer::{ClientDraft, Rotation};
use vouchsafe_keys::{KeyAlgorithm, KeyRecord, KeyRing, MasterKey, Purpose, SealedKey, Urgency};
use vouchsafe_protocol::{
    ClientAuthMethod, ClientId, Entropy, FamilyId, GrantType, Jti, RefreshTokenClaims, ResourceUri, RoleName,
    ScopeSet, SecretString, TYP_ACCESS_TOKEN, TYP_REFRESH_TOKEN, Timestamp,
};
use vouchsafe_store::{AuditEntry, Family, KeyRow, NewFamily, Recent, RevokeReason};
use vouchsafe_tests::{Answer, CLIENT_SECRET, Setup, TestApp, TestClient, captured_logs, password_of};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Opens the keys of the applications whose refresh tokens are made here; it guards nothing.
pub(crate) const MASTER_KEY: &str = "G7ueuBZGryjOkzdZabQ78fQQN/k9fBxbPepaluljNjg=";

/// Makes families and refresh tokens with the issuer's own MAC key: as the issuer would, and as it never would. The
/// application must have been set up with [`MASTER_KEY`].
pub(crate) struct Forge {
    issuer: String,
    ring: KeyRing,
    entropy: Arc<dyn Entropy>,
}

impl Forge {
    pub(crate) async fn of(app: &TestApp) -> Self {
        let (rows, _) = app.inside().store().keys().await.unwrap();
        let records: Vec<KeyRecord> = rows
            .into_iter()
            .filter(|row| row.purpose == Purpose::RefreshMac.as_str())
            .map(record)
            .collect();
        let master = MasterKey::parse(MASTER_KEY).unwrap();
        let policy = &app.inside().config().key_policy;
        Self {
            issuer: app.issuer.clone(),
            ring: KeyRing::open(&records, &master, policy, app.now()).unwrap(),
            entropy: real_machine().entropy,
        }
    }

    /// What the live token of a family says.
    fn claims(&self, family: &Family) -> RefreshTokenClaims {
        RefreshTokenClaims {
            iss: self.issuer.clone(),
            aud: self.issuer.clone(),
            client_id: family.client_id.clone(),
            sid: family.id.clone(),
            seq: family.seq,
            jti: family.current_jti.clone(),
            iat: family.rotated_at,
            exp: family.absolute_expires_at,
            scope: family.scope.clone(),
            resource: (!family.audience.is_empty()).then(|| family.audience.clone()),
            cnf: None,
        }
    }

    fn sign(&self, typ: &str, claims: &impl Serialize, now: Timestamp) -> String {
        self.ring.refresh_mac(now).unwrap().sign(typ, claims).unwrap()
    }

    /// The live token of a family.
    pub(crate) fn token(&self, family: &Family) -> String {
        self.sign(TYP_REFRESH_TOKEN, &self.claims(family), family.rotated_at)
    }

    /// Begins another family like that one.
    pub(crate) async fn begin(&self, app: &TestApp, like: &Family) -> Family {
        let now = app.now();
        let family = Family {
            id: FamilyId::random(&*self.entropy),
            auth_time: now,
            seq: 0,
            current_jti: self.jti(),
            previous_jti: None,
            rotated_at: now,
            recent: Recent::default(),
            created_at: now,
            idle_expires_at: now.plus(DAY * 14),
            absolute_expires_at: now.plus(DAY * 90),
            ended: None,
            session_id: None,
            claims: None,
            ..like.clone()
        };
        let audit = AuditEntry {
            at: now,
            event: "family_begun",
            actor_kind: "system",
            actor: None,
            client_id: Some(family.client_id.clone()),
            subject: Some(family.subject.clone()),
            sid: Some(family.id.clone()),
            detail: Map::new(),
        };
        let new = NewFamily {
            family: family.clone(),
            password_hash: None,
        };
        let begun = app.inside().store().begin_family(&new, &audit).await.unwrap();
        assert!(begun, "client and person are there");
        family
    }

    fn jti(&self) -> Jti {
        Jti::random(&*self.entropy)
    }
}

fn record(row: KeyRow) -> KeyRecord {
    let sealed = row.sealed.zip(row.sealed_by);
    KeyRecord {
        kid: row.kid,
        algorithm: row.algorithm.parse().unwrap(),
        purpose: row.purpose.parse().unwrap(),
        public_jwk: None,
        sealed: sealed.map(|(nonce_and_ciphertext, master_id)| SealedKey {
            master_id,
            nonce_and_ciphertext,
        }),
        published_at: row.published_at,
        activates_at: row.activates_at,
        deactivates_at: row.deactivates_at,
        compromised_at: row.compromised_at,
    }
}

/// The family of an answer's refresh token.
pub(crate) fn sid_of(answer: &Answer) -> FamilyId {
    let claims = answer.refresh_claims();
    let sid = claims.get("sid").and_then(Value::as_str).unwrap();
    FamilyId::parse(sid).unwrap()
}

pub(crate) async fn family_of(app: &TestApp, sid: &FamilyId) -> Family {
    app.inside().store().family(sid).await.unwrap().unwrap()
}

/// What the audit tells of a family, newest first.
pub(crate) async fn events_of(app: &TestApp, sid: &FamilyId) -> Vec<String> {
    let tail = app.inside().store().audit_tail(10_000).await.unwrap();
    tail.into_iter()
        .filter(|record| record.sid.as_deref() == Some(sid.as_str()))
        .map(|record| record.event)
        .collect()
}

/// Whether a line of the log names this event and this family. The log must have been captured before the event.
pub(crate) fn is_logged(event: &str, sid: &FamilyId) -> bool {
    captured_logs()
        .lines()
        .any(|line| line.contains(event) && line.contains(sid.as_str()))
}

fn scopes(text: &str) -> Option<ScopeSet> {
    Some(ScopeSet::parse(text).unwrap())
}

async fn refresh_with(client: TestClient<'_>, token: &str, more: &[(&str, &str)]) -> Answer {
    let mut form = vec![("grant_type", "refresh_token"), ("refresh_token", token)];
    form.extend_from_slice(more);
    client.token(&form).await
}

/// Told to come back: the database was needed and is not there.
fn must_wait(answer: &Answer) -> bool {
    let error = answer.json.get("error").and_then(Value::as_str);
    answer.status == 503 && error == Some("temporarily_unavailable") && answer.header("retry-after").is_some()
}

async fn update(app: &TestApp, client: TestClient<'_>, draft: ClientDraft) {
    let id = ClientId::parse(client.id).unwrap();
    let updated = app
        .inside()
        .update_client(&id, &draft, &TestApp::operator())
        .await;
    updated.map(drop).unwrap();
}

/// An application whose clients have half a minute for a retry, also those that authenticate.
async fn with_a_short_window() -> TestApp {
    Setup::default()
        .set("tokens.retry_window_authenticated", "30s")
        .start()
        .await
}

#[tokio::test]
async fn t40_a_refresh_gives_a_new_pair_and_keeps_sid_and_end() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let web = app.client("web", "openid items:read").await;
    let first = web.sign_in("alice").await;
    assert_eq!(first.outcome(), "200");
    app.advance(Duration::from_secs(60)).await;
    let second = web.refresh(first.str("refresh_token")).await;
    assert_eq!(second.outcome(), "200");
    let (a, b) = (first.refresh_claims(), second.refresh_claims());
    assert_eq!(a["sid"], b["sid"]);
    assert_eq!(a["exp"], b["exp"]);
    assert_eq!(b["seq"], 1);
    assert_ne!(a["jti"], b["jti"]);
    assert_ne!(first.claims()["jti"], second.claims()["jti"]);
    assert_eq!(first.claims()["sid"], second.claims()["sid"]);
}

#[tokio::test]
async fn t40_r1_the_new_refresh_token_lives_and_the_old_one_does_not() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let web = app.client("web", "openid items:read").await;
    let first = web.sign_in("alice").await;
    assert!(web.is_active(first.str("refresh_token")).await);
    let second = web.refresh(first.str("refresh_token")).await;
    assert!(!web.is_active(first.str("refresh_token")).await);
    for (answer, token) in [
        (&second, "refresh_token"),
        (&first, "access_token"),
        (&second, "access_token"),
    ] {
        assert!(web.is_active(answer.str(token)).await, "{token}");
    }
    assert_eq!(second.json["token_type"], "Bearer");
    assert_eq!(second.json["scope"], "items:read openid");
    assert_eq!(second.json["expires_in"], 300);
    assert_eq!(second.json["refresh_token_expires_in"], 14 * 24 * 3600);
    assert_eq!(second.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn t40_k11_a_refresh_token_says_what_it_is_and_no_more() {
    let app = Setup::default().set("keys.master_key", MASTER_KEY).start().await;
    app.user("alice", &[]).await;
    let web = app.client("web", "openid items:read").await;
    let first = web.sign_in("alice").await;
    let claims = first.refresh_claims();
    let mut names: Vec<&str> = claims.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "aud",
            "client_id",
            "exp",
            "iat",
            "iss",
            "jti",
            "scope",
            "seq",
            "sid"
        ]
    );
    assert_eq!(claims["iss"], app.issuer.as_str());
    assert_eq!(claims["aud"], app.issuer.as_str());
    assert_eq!(claims["client_id"], "web");
    // The row and the key that is in no JWKS are all it is made from.
    let row = family_of(&app, &sid_of(&first)).await;
    let forge = Forge::of(&app).await;
    assert_eq!(forge.token(&row), first.str("refresh_token"));
    let jwks = format!("{}/.well-known/jwks.json", app.base);
    let jwks = Answer::read(app.http.get(jwks).send().await.unwrap()).await;
    assert!(jwks.text.contains("ES256"));
    assert!(!jwks.text.contains(row.mac_kid.as_str()));
}

#[tokio::test]
async fn t41_r1_r2_r3_sixty_four_at_once_get_one_successor() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let web = app.public_client("web", "openid").await;
    let first = web.sign_in("alice").await;
    let token = first.str("refresh_token").to_owned();
    let racers = (0..64).map(|_| web.refresh(&token));
    let answers = join_all(racers).await;
    let successor = answers[0].str("refresh_token");
    for answer in &answers {
        assert_eq!(answer.outcome(), "200");
        assert_eq!(answer.str("refresh_token"), successor);
    }
    assert_eq!(answers[0].refresh_claims()["seq"], 1);
    assert_eq!(web.refresh(successor).await.refresh_claims()["seq"], 2);
}

#[tokio::test]
async fn t41_t42_r4_r5_the_window_is_kept_to_the_second() {
    // Window of public clients, of authenticated ones, whether this one is public, seconds until the retry.
    for (public_window, window, is_public, after, outcome) in [
        ("30s", "24h", true, 0, "200"),
        ("30s", "24h", true, 30, "200"),
        ("30s", "24h", true, 31, "400 invalid_grant reused"),
        ("0s", "24h", true, 0, "200"),
        ("0s", "24h", true, 1, "400 invalid_grant reused"),
        ("30s", "24h", false, 24 * 3600, "200"),
        ("30s", "24h", false, 24 * 3600 + 1, "400 invalid_grant reused"),
        ("30s", "0s", false, 1, "400 invalid_grant reused"),
    ] {
        let app = Setup::default()
            .set("tokens.retry_window", public_window)
            .set("tokens.retry_window_authenticated", window)
            .start()
            .await;
        app.user("alice", &[]).await;
        let client = if is_public {
            app.public_client("app", "openid").await
        } else {
            app.client("app", "openid").await
        };
        let first = client.sign_in("alice").await;
        let lost = client.refresh(first.str("refresh_token")).await;
        app.advance(SECOND * after).await;
        let retry = client.refresh(first.str("refresh_token")).await;
        assert_eq!(retry.outcome(), outcome, "public: {is_public}, after {after} s");
        let row = family_of(&app, &sid_of(&first)).await;
        if retry.status == 200 {
            assert_eq!(retry.str("refresh_token"), lost.str("refresh_token"));
            assert_ne!(retry.claims()["jti"], lost.claims()["jti"]);
            assert_eq!(row.seq, 1);
        } else {
            assert_eq!(row.ended.unwrap().reason, RevokeReason::Reused);
        }
    }
}

#[tokio::test]
async fn f2_r2_r4_a_lost_answer_comes_again_byte_for_byte_until_the_successor_is_used() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let web = app.client("web", "openid").await;
    let first = web.sign_in("alice").await;
    let token = first.str("refresh_token");
    let lost = web.refresh(token).await;
    for hours in [0, 1, 11, 12] {
        app.advance(HOUR * hours).await;
        let again = web.refresh(token).await;
        assert_eq!(again.outcome(), "200", "{hours} h later");
        assert_eq!(again.str("refresh_token"), lost.str("refresh_token"));
        assert_eq!(again.claims()["iat"], app.now().as_unix());
    }
    assert_eq!(family_of(&app, &sid_of(&first)).await.seq, 1);
    let next = web.refresh(lost.str("refresh_token")).await;
    assert_eq!(next.refresh_claims()["seq"], 2);
    // The holder of the successor has spoken: the first token has no claim to it any more.
    assert_eq!(web.refresh(token).await.outcome(), "400 invalid_grant superseded");
    assert!(web.is_active(next.str("refresh_token")).await);
}

#[tokio::test]
async fn f2_r4_a_retry_gets_the_same_successor_though_the_mac_key_changed_meanwhile() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let web = app.client("web", "openid").await;
    let first = web.sign_in("alice").await;
    let lost = web.refresh(first.str("refresh_token")).await;
    let line = [(KeyAlgorithm::Hs256, Purpose::RefreshMac)];
    let now = Urgency::Now { force: true };
    app.inside()
        .rotate_keys(&line, now, &TestApp::operator())
        .await
        .unwrap();
    app.advance(MINUTE).await;
    let retry = web.refresh(first.str("refresh_token")).await;
    assert_eq!(retry.outcome(), "200");
    assert_eq!(retry.refresh_claims(), lost.refresh_claims());
    // One token, whichever key it was written with.
    assert!(web.is_active(lost.str("refresh_token")).await);
    assert!(web.is_active(retry.str("refresh_token")).await);
    let next = web.refresh(lost.str("refresh_token")).await;
    assert_eq!(next.refresh_claims()["seq"], 2);
    let same = web.refresh(retry.str("refresh_token")).await;
    assert_eq!(same.str("refresh_token"), next.str("refresh_token"));
}

/// Polls a request so often and then hangs up.
async fn hang_up_after(polls: usize, request: impl Future<Output = Answer>) {
    let mut request = pin!(request);
    for _ in 0..polls {
        let done = poll_fn(|context| Poll::Ready(request.as_mut().poll(context).is_ready())).await;
        if done {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f2_f9_r7_r8_a_client_that_hangs_up_is_rotated_once_or_not_at_all() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let web = app.public_client("web", "openid").await;
    let first = web.sign_in("alice").await;
    let token = first.str("refresh_token");
    for polls in (0..120).step_by(4) {
        hang_up_after(polls, web.refresh(token)).await;
    }
    let answer = web.refresh(token).await;
    assert_eq!(answer.outcome(), "200");
    assert_eq!(answer.refresh_claims()["seq"], 1);
    assert_eq!(family_of(&app, &sid_of(&first)).await.seq, 1);
}

#[tokio::test]
async fn t42_r5_r6_a_reuse_ends_the_family_and_its_access_tokens_and_nothing_else() {
    drop(captured_logs());
    let app = with_a_short_window().await;
    app.user("alice", &[]).await;
    let web = app.client("web", "openid").await;
    let (first, other) = (web.sign_in("alice").await, web.sign_in("alice").await);
    let second = web.refresh(first.str("refresh_token")).await;
    let third = web.refresh(second.str("refresh_token")).await;
    app.advance(SECOND * 31).await;
    let answers = [&first, &second, &third];
    for answer in answers {
        assert!(web.is_active(answer.str("access_token")).await);
    }
    let thief = web.refresh(second.str("refresh_token")).await;
    assert_eq!(thief.outcome(), "400 invalid_grant reused");
    for answer in answers {
        assert!(!web.is_active(answer.str("access_token")).await);
        assert!(!web.is_active(answer.str("refresh_token")).await);
        let refused = web.refresh(answer.str("refresh_token")).await;
        assert_eq!(refused.outcome(), "400 invalid_grant reused");
    }
    let sid = sid_of(&first);
    assert_eq!(
        events_of(&app, &sid).await,
        ["refresh_reuse_detected", "family_begun"]
    );
    assert!(is_logged("refresh_reuse_detected", &sid));
    let ended = family_of(&app, &sid).await.ended.unwrap();
    assert_eq!((ended.reason, ended.at), (RevokeReason::Reused, app.now()));
    assert!(web.is_active(other.str("access_token")).await);
    assert_eq!(web.refresh(other.str("refresh_token")).await.outcome(), "200");
}

#[tokio::test]
async fn t42_r9_of_a_thief_and_a_victim_neither_lives_on() {
    for both_hold_the_successor in [false, true] {
        let app = with_a_short_window().await;
        app.user("alice", &[]).await;
        let web = app.client("web", "openid").await;
        let first = web.sign_in("alice").await;
        let mut stolen = web.refresh(first.str("refresh_token")).await;
        if both_hold_the_successor {
            // Inside the window the retry cannot be told from the theft: both get one and the same token.
            let one = web.refresh(stolen.str("refresh_token")).await;
            let other = web.refresh(stolen.str("refresh_token")).await;
            assert_eq!(one.str("refresh_token"), other.str("refresh_token"));
            stolen = other;
        }
        let ahead = web.refresh(stolen.str("refresh_token")).await;
        app.advance(MINUTE).await;
        let ahead = web.refresh(ahead.str("refresh_token")).await;
        assert_eq!(ahead.outcome(), "200");
        app.advance(MINUTE).await;
        for answer in [&stolen, &ahead, &stolen] {
            let refused = web.refresh(answer.str("refresh_token")).await;
            assert_eq!(refused.outcome(), "400 invalid_grant reused");
        }
        assert!(!web.is_active(ahead.str("access_token")).await);
    }
}

#[tokio::test]
async fn r8_an_older_token_inside_the_window_is_superseded_and_nothing_changes() {
    drop(captured_logs());
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let native = app.public_client("native", "openid").await;
    let mut line = vec![native.sign_in("alice").await];
    for _ in 0..4 {
        let next = native.refresh(line[line.len() - 1].str("refresh_token")).await;
        line.push(next);
    }
    let sid = sid_of(&line[0]);
    let before = family_of(&app, &sid).await;
    app.advance(SECOND * 30).await;
    for old in &line[..3] {
        let outcome = native.refresh(old.str("refresh_token")).await.outcome();
        assert_eq!(outcome, "400 invalid_grant superseded");
    }
    assert_eq!(family_of(&app, &sid).await, before);
    assert_eq!(events_of(&app, &sid).await, ["family_begun"]);
    assert!(is_logged("refresh_superseded", &sid));
    let newest = native.refresh(line[4].str("refresh_token")).await;
    assert_eq!(newest.refresh_claims()["seq"], 5);
    // The window of the older ones is over; the newest was replaced just now.
    app.advance(SECOND).await;
    let outcome = native.refresh(line[2].str("refresh_token")).await.outcome();
    assert_eq!(outcome, "400 invalid_grant reused");
    let outcome = native.refresh(newest.str("refresh_token")).await.outcome();
    assert_eq!(outcome, "400 invalid_grant reused");
}

#[tokio::test]
async fn r13_t42_ancestors_of_any_age_are_recognised_at_constant_size() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let web = app.client("web", "openid").await;
    let mut line = vec![web.sign_in("alice").await];
    for _ in 0..40 {
        let next = web.refresh(line[line.len() - 1].str("refresh_token")).await;
        line.push(next);
    }
    // Of the sixteen rotations that are remembered one made the live token: its forerunner may be retried.
    for old in &line[24..39] {
        let outcome = web.refresh(old.str("refresh_token")).await.outcome();
        assert_eq!(outcome, "400 invalid_grant superseded");
    }
    let retry = web.refresh(line[39].str("refresh_token")).await;
    assert_eq!(retry.str("refresh_token"), line[40].str("refresh_token"));
    let ancient = web.refresh(line[23].str("refresh_token")).await;
    assert_eq!(ancient.outcome(), "400 invalid_grant reused");
    let newest = web.refresh(line[40].str("refresh_token")).await;
    assert_eq!(newest.outcome(), "400 invalid_grant reused");
}

#[tokio::test]
async fn t43_r11_anothers_refresh_token_changes_nothing() {
    drop(captured_logs());
    let app = with_a_short_window().await;
    app.user("alice", &[]).await;
    let web = app.client("web", "openid").await;
    let rival = app.client("rival", "openid").await;
    let native = app.public_client("native", "openid").await;
    let first = web.sign_in("alice").await;
    let second = web.refresh(first.str("refresh_token")).await;
    let sid = sid_of(&first);
    let before = family_of(&app, &sid).await;
    // By now its own client could end the family with the first one.
    app.advance(SECOND * 31).await;
    for answer in [&first, &second] {
        for client in [rival, native] {
            let outcome = client.refresh(answer.str("refresh_token")).await.outcome();
            assert_eq!(outcome, "400 invalid_grant client_mismatch");
        }
        let outcome = rival.revoke(answer.str("refresh_token")).await.outcome();
        assert_eq!(outcome, "400 invalid_grant client_mismatch");
        assert!(!rival.is_active(answer.str("refresh_token")).await);
    }
    assert_eq!(family_of(&app, &sid).await, before);
    assert_eq!(events_of(&app, &sid).await, ["family_begun"]);
    assert!(is_logged("refresh_client_mismatch", &sid));
    assert!(web.is_active(second.str("access_token")).await);
    assert_eq!(web.refresh(second.str("refresh_token")).await.outcome(), "200");
}

#[tokio::test]
async fn t45_r10_cl9_cl10_wider_is_refused_without_using_the_token_and_narrower_keeps_the_grant() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let api = app
        .resource("https://api.example/", "items:read items:write")
        .await;
    let other = app.resource("https://other.example/", "items:read").await;
    let issuer = app.issuer.as_str();
    let web = app
        .client_with("web", "openid profile items:read items:write", |draft| {
            draft.resources = Some(vec![api.clone(), other.clone()]);
        })
        .await;
    let password = password_of("alice");
    let first = web
        .token(&[
            ("grant_type", "password"),
            ("username", "alice"),
            ("password", &password),
            ("resource", api.as_str()),
            ("scope", "openid items:read items:write"),
        ])
        .await;
    let token = first.str("refresh_token");
    for (more, outcome) in [
        (
            vec![("scope", "openid profile")],
            "400 invalid_scope scope_not_granted",
        ),
        (
            vec![("scope", "items:delete")],
            "400 invalid_scope scope_not_granted",
        ),
        (vec![("scope", "a\"b")], "400 invalid_scope invalid_parameter"),
        (
            vec![("resource", other.as_str())],
            "400 invalid_target resource_not_granted",
        ),
        (
            vec![("resource", issuer)],
            "400 invalid_target resource_not_granted",
        ),
        (
            vec![("resource", "api.example")],
            "400 invalid_target unknown_resource",
        ),
        (
            vec![("resource", api.as_str()), ("resource", other.as_str())],
            "400 invalid_target duplicate_parameter",
        ),
    ] {
        assert_eq!(
            refresh_with(web, token, &more).await.outcome(),
            outcome,
            "{more:?}"
        );
    }
    assert_eq!(family_of(&app, &sid_of(&first)).await.seq, 0);
    let narrow = refresh_with(web, token, &[("scope", "items:read"), ("resource", api.as_str())]).await;
    assert_eq!(narrow.json["scope"], "items:read");
    assert_eq!(narrow.claims()["scope"], "items:read");
    assert_eq!(narrow.claims()["aud"], api.as_str());
    assert_eq!(narrow.refresh_claims()["scope"], first.refresh_claims()["scope"]);
    let whole = web.refresh(narrow.str("refresh_token")).await;
    assert_eq!(whole.claims()["scope"], "items:read items:write openid");
    assert_eq!(whole.claims()["aud"], api.as_str());
}

#[tokio::test]
async fn r10_what_the_client_gains_later_is_not_in_an_older_grant() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let web = app.client("web", "openid").await;
    let first = web.sign_in("alice").await;
    let draft = ClientDraft {
        scope: scopes("openid profile items:read"),
        ..ClientDraft::default()
    };
    update(&app, web, draft).await;
    let token = first.str("refresh_token");
    let wider = refresh_with(web, token, &[("scope", "openid profile")]).await;
    assert_eq!(wider.outcome(), "400 invalid_scope scope_not_granted");
    let second = web.refresh(token).await;
    assert_eq!(second.claims()["scope"], "openid");
    assert_eq!(second.refresh_claims()["scope"], "openid");
}

#[tokio::test]
async fn r10_the_row_narrows_what_the_token_says_and_never_the_other_way() {
    let app = Setup::default().set("keys.master_key", MASTER_KEY).start().await;
    app.user("alice", &[]).await;
    let web = app.client("web", "openid profile items:read").await;
    let first = web.sign_in("alice").await;
    let wide = family_of(&app, &sid_of(&first)).await;
    let forge = Forge::of(&app).await;
    for asked in [None, Some("items:read openid"), Some("items:read")] {
        let narrow = Family {
            scope: ScopeSet::parse("openid").unwrap(),
            ..wide.clone()
        };
        let row = forge.begin(&app, &narrow).await;
        let token = forge.token(&Family {
            scope: wide.scope.clone(),
            ..row.clone()
        });
        let more: Vec<(&str, &str)> = asked.map(|scope| ("scope", scope)).into_iter().collect();
        let answer = refresh_with(web, &token, &more).await;
        let got = ScopeSet::parse(answer.json["scope"].as_str().unwrap_or_default()).unwrap();
        assert!(
            got.is_subset_of(&row.scope),
            "asked for {asked:?}, got {}",
            answer.text
        );
    }
}

#[tokio::test]
async fn r10_roles_narrow_each_access_token_and_leave_the_bound_alone() {
    let app = TestApp::start().await;
    let api = app
        .resource_with("https://api.example/", "items:read items:write", |resource| {
            resource.by_role = true;
        })
        .await;
    app.role("viewer", "items:read", &[]).await;
    app.role("editor", "items:write items:delete", &["viewer"]).await;
    app.user("alice", &["editor"]).await;
    let web = app
        .client_with("web", "openid items:read items:write", |draft| {
            draft.resources = Some(vec![api]);
        })
        .await;
    let mut answer = web.sign_in("alice").await;
    let bound = answer.refresh_claims()["scope"].clone();
    for (role, scope) in [
        ("viewer", "items:read openid"),
        ("editor", "items:read items:write openid"),
    ] {
        let roles = [RoleName::parse(role).unwrap()];
        app.inside()
            .set_user_roles("alice", &roles, &TestApp::operator())
            .await
            .unwrap();
        answer = web.refresh(answer.str("refresh_token")).await;
        assert_eq!(answer.claims()["scope"], scope);
        assert_eq!(answer.refresh_claims()["scope"], bound);
    }
}

/// What may befall a grant between two refreshes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Blow {
    UserLocked,
    UserDeleted,
    PasswordChanged,
    SessionRevoked,
    SessionsOfUser,
    SessionsOfClient,
    ClientDisabled,
    ClientDeleted,
    ResourceDeleted,
    ServerDisabled,
    ResourceTaken,
    ScopeTaken,
    GrantTaken,
}

/// A person, a client, a resource and its server for each blow.
struct Place<'a> {
    app: &'a TestApp,
    user: String,
    web: TestClient<'a>,
    resource: ResourceUri,
    server: TestClient<'a>,
}

impl<'a> Place<'a> {
    async fn new(app: &'a TestApp, n: usize) -> Self {
        let user = format!("user{n}");
        app.user(&user, &[]).await;
        let server = app.client(&format!("api{n}"), "openid").await;
        let uri = format!("https://api{n}.example/");
        let resource = app
            .resource_with(&uri, "items:read", |resource| {
                resource.server_client_id = Some(ClientId::parse(server.id).unwrap());
            })
            .await;
        let web = app
            .client_with(&format!("web{n}"), "openid items:read", |draft| {
                draft.resources = Some(vec![resource.clone()]);
            })
            .await;
        Self {
            app,
            user,
            web,
            resource,
            server,
        }
    }

    async fn strike(&self, blow: Blow, sid: &FamilyId) {
        let (inside, actor, user) = (self.app.inside(), TestApp::operator(), &self.user);
        let id = ClientId::parse(self.web.id).unwrap();
        let new = SecretString::new("another password".to_owned());
        match blow {
            Blow::UserLocked => inside.set_user_locked(user, true, &actor).await.unwrap(),
            Blow::UserDeleted => inside.delete_user(user, &actor).await.unwrap(),
            Blow::PasswordChanged => inside.set_user_password(user, &new, &actor).await.unwrap(),
            Blow::SessionRevoked => inside.revoke_session(sid, &actor).await.unwrap(),
            Blow::SessionsOfUser => {
                let ended = inside.revoke_sessions_of_user(user, &actor).await.unwrap();
                assert_eq!(ended, 1);
            }
            Blow::SessionsOfClient => {
                let ended = inside.revoke_sessions_of_client(&id, &actor).await.unwrap();
                assert_eq!(ended, 1);
            }
            Blow::ClientDeleted => inside.delete_client(&id, &actor).await.unwrap(),
            Blow::ResourceDeleted => inside.delete_resource(&self.resource, &actor).await.unwrap(),
            Blow::ServerDisabled => update(self.app, self.server, taken(Blow::ClientDisabled)).await,
            Blow::ClientDisabled | Blow::ResourceTaken | Blow::ScopeTaken | Blow::GrantTaken => {
                update(self.app, self.web, taken(blow)).await;
            }
        }
    }

    /// Undoes what can be undone.
    async fn undo(&self, blow: Blow) {
        let back = ClientDraft {
            disabled: Some(false),
            resources: Some(vec![self.resource.clone()]),
            scope: scopes("openid items:read"),
            grants: Some(vec![GrantType::Password, GrantType::RefreshToken]),
            ..ClientDraft::default()
        };
        match blow {
            Blow::UserLocked => {
                let (inside, actor) = (self.app.inside(), TestApp::operator());
                inside.set_user_locked(&self.user, false, &actor).await.unwrap();
            }
            Blow::ServerDisabled => {
                let enabled = ClientDraft {
                    disabled: Some(false),
                    ..ClientDraft::default()
                };
                update(self.app, self.server, enabled).await;
            }
            Blow::ResourceDeleted => {
                self.app.resource(self.resource.as_str(), "items:read").await;
            }
            _ => update(self.app, self.web, back).await,
        }
    }
}

/// Takes something from a client.
fn taken(blow: Blow) -> ClientDraft {
    let nothing = ClientDraft::default();
    match blow {
        Blow::ClientDisabled => ClientDraft {
            disabled: Some(true),
            ..nothing
        },
        Blow::ResourceTaken => ClientDraft {
            resources: Some(Vec::new()),
            ..nothing
        },
        Blow::ScopeTaken => ClientDraft {
            scope: scopes("openid"),
            ..nothing
        },
        Blow::GrantTaken => ClientDraft {
            grants: Some(vec![GrantType::Password]),
            ..nothing
        },
        _ => nothing,
    }
}

#[tokio::test]
async fn t46_r6_r14_what_befalls_user_client_or_resource_ends_the_refresh_and_the_retry_too() {
    let app = TestApp::start().await;
    // Blow, answer, why the family ended if it did, what its tokens get when the blow is undone.
    for (n, (blow, outcome, ended, undone)) in [
        (
            Blow::UserLocked,
            "400 invalid_grant revoked",
            Some(RevokeReason::UserLocked),
            Some("400 invalid_grant revoked"),
        ),
        (
            Blow::UserDeleted,
            "400 invalid_grant revoked",
            Some(RevokeReason::UserDeleted),
            None,
        ),
        (
            Blow::PasswordChanged,
            "400 invalid_grant revoked",
            Some(RevokeReason::PasswordChanged),
            None,
        ),
        (
            Blow::SessionRevoked,
            "400 invalid_grant revoked",
            Some(RevokeReason::Operator),
            None,
        ),
        (
            Blow::SessionsOfUser,
            "400 invalid_grant revoked",
            Some(RevokeReason::Operator),
            None,
        ),
        (
            Blow::SessionsOfClient,
            "400 invalid_grant revoked",
            Some(RevokeReason::Operator),
            None,
        ),
        (
            Blow::ClientDisabled,
            "401 invalid_client bad_credentials",
            Some(RevokeReason::ClientDisabled),
            Some("400 invalid_grant revoked"),
        ),
        (
            Blow::ClientDeleted,
            "401 invalid_client bad_credentials",
            Some(RevokeReason::ClientDeleted),
            None,
        ),
        (
            Blow::ResourceDeleted,
            "400 invalid_grant resource_not_allowed",
            None,
            Some("200"),
        ),
        (
            Blow::ServerDisabled,
            "400 invalid_grant resource_not_allowed",
            None,
            Some("200"),
        ),
        (
            Blow::ResourceTaken,
            "400 invalid_grant resource_not_allowed",
            None,
            Some("200"),
        ),
        (
            Blow::ScopeTaken,
            "400 invalid_grant scope_not_allowed",
            None,
            Some("200"),
        ),
        (
            Blow::GrantTaken,
            "400 unauthorized_client grant_not_allowed",
            None,
            Some("200"),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let place = Place::new(&app, n).await;
        let web = place.web;
        let client_is_gone = [Blow::ClientDisabled, Blow::ClientDeleted].contains(&blow);
        let witness = if client_is_gone { place.server } else { web };
        let first = web.sign_in(&place.user).await;
        let second = web.refresh(first.str("refresh_token")).await;
        let sid = sid_of(&first);
        assert!(
            witness.is_active(second.str("access_token")).await,
            "before {blow:?}"
        );
        place.strike(blow, &sid).await;
        for answer in [&first, &second] {
            let refused = web.refresh(answer.str("refresh_token")).await;
            assert_eq!(refused.outcome(), outcome, "{blow:?}");
            let lives = witness.is_active(answer.str("access_token")).await;
            assert_eq!(lives, ended.is_none(), "{blow:?}");
        }
        let row = family_of(&app, &sid).await;
        assert_eq!(row.ended.map(|ended| ended.reason), ended, "{blow:?}");
        if let Some(outcome) = undone {
            place.undo(blow).await;
            let again = web.refresh(second.str("refresh_token")).await;
            assert_eq!(again.outcome(), outcome, "{blow:?} undone");
            let seq = family_of(&app, &sid).await.seq;
            assert_eq!(seq, if outcome == "200" { 2 } else { 1 }, "{blow:?} undone");
        }
    }
}

#[tokio::test]
async fn t46_r6_a_second_blow_in_the_same_second_ends_what_came_between() {
    for blow in [
        Blow::UserLocked,
        Blow::PasswordChanged,
        Blow::SessionsOfUser,
        Blow::SessionsOfClient,
    ] {
        let app = TestApp::start().await;
        let place = Place::new(&app, 0).await;
        let web = place.web;
        let first = web.sign_in(&place.user).await;
        place.strike(blow, &sid_of(&first)).await;
        if blow == Blow::UserLocked {
            place.undo(blow).await;
        }
        let between = if blow == Blow::PasswordChanged {
            web.token(&[
                ("grant_type", "password"),
                ("username", place.user.as_str()),
                ("password", "another password"),
            ])
            .await
        } else {
            web.sign_in(&place.user).await
        };
        assert!(web.is_active(between.str("access_token")).await, "{blow:?}");
        place.strike(blow, &sid_of(&between)).await;
        app.advance(SECOND * 2).await;
        assert!(!web.is_active(between.str("access_token")).await, "{blow:?}");
        assert_eq!(
            web.refresh(between.str("refresh_token")).await.outcome(),
            "400 invalid_grant revoked"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t46_r6_a_password_change_ends_what_was_issued_while_the_new_one_was_hashed() {
    let app = Setup::default()
        .set("passwords.memory_kib", "65536")
        .set("passwords.iterations", "4")
        .start()
        .await;
    app.user("alice", &[]).await;
    let web = app.client("web", "openid").await;
    let first = web.sign_in("alice").await;
    let inside = Arc::clone(app.inside());
    let changing = tokio::spawn(async move {
        let new = SecretString::new("another password".to_owned());
        inside
            .set_user_password("alice", &new, &TestApp::operator())
            .await
    });
    // The change has begun and hashes; meanwhile the clock strikes and the session goes on.
    tokio::time::sleep(Duration::from_millis(10)).await;
    app.clock.advance(SECOND);
    let between = web.refresh(first.str("refresh_token")).await;
    changing.await.unwrap().unwrap();
    app.advance(SECOND * 2).await;
    if between.status == 200 {
        assert!(!web.is_active(between.str("access_token")).await);
        assert!(!web.is_active(between.str("refresh_token")).await);
    } else {
        assert_eq!(between.outcome(), "400 invalid_grant revoked");
    }
}

#[tokio::test]
async fn t46_k4_a_revoked_mac_key_ends_its_families() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let web = app.client("web", "openid").await;
    let first = web.sign_in("alice").await;
    let sid = sid_of(&first);
    let kid = family_of(&app, &sid).await.mac_kid;
    let ended = app.inside().revoke_key(&kid, &TestApp::operator()).await.unwrap();
    assert_eq!(ended, 1);
    let refused = web.refresh(first.str("refresh_token")).await;
    assert_eq!(refused.outcome(), "400 invalid_grant malformed_token");
    assert!(!web.is_active(first.str("access_token")).await);
    assert!(!web.is_active(first.str("refresh_token")).await);
    let reason = family_of(&app, &sid).await.ended.unwrap().reason;
    assert_eq!(reason, RevokeReason::MacKeyRevoked);
    app.advance(MINUTE).await;
    let anew = web.sign_in("alice").await;
    assert_eq!(web.refresh(anew.str("refresh_token")).await.outcome(), "200");
}

#[tokio::test]
async fn t47_r6_a_revoked_family_stays_dead_whichever_of_its_tokens_was_revoked() {
    for revoked in 0..3 {
        let app = TestApp::start().await;
        app.user("alice", &[]).await;
        let web = app.client("web", "openid").await;
        let mut line = vec![web.sign_in("alice").await];
        for _ in 0..2 {
            let next = web.refresh(line[line.len() - 1].str("refresh_token")).await;
            line.push(next);
        }
        let answer = web.revoke(line[revoked].str("refresh_token")).await;
        assert_eq!(answer.outcome(), "200");
        for wait in [Duration::ZERO, MINUTE, DAY] {
            app.advance(wait).await;
            for answer in &line {
                let refused = web.refresh(answer.str("refresh_token")).await;
                assert_eq!(refused.outcome(), "400 invalid_grant revoked");
                assert!(!web.is_active(answer.str("refresh_token")).await);
                assert!(!web.is_active(answer.str("access_token")).await);
            }
        }
        assert_eq!(
            events_of(&app, &sid_of(&line[0])).await,
            ["family_revoked", "family_begun"]
        );
    }
}

#[tokio::test]
async fn t49_a_family_that_idles_too_long_is_over_and_not_revoked() {
    let app = Setup::default()
        .set("tokens.refresh_idle_ttl", "1h")
        .set("tokens.refresh_absolute_ttl", "3h")
        .start()
        .await;
    app.user("alice", &[]).await;
    let web = app.client("web", "openid").await;
    let first = web.sign_in("alice").await;
    assert_eq!(first.json["refresh_token_expires_in"], 3600);
    app.advance(HOUR - SECOND).await;
    let second = web.refresh(first.str("refresh_token")).await;
    assert_eq!(second.json["refresh_token_expires_in"], 3600);
    app.advance(HOUR - SECOND).await;
    assert!(web.is_active(second.str("refresh_token")).await);
    app.advance(SECOND).await;
    assert!(!web.is_active(second.str("refresh_token")).await);
    // The one before it too: nobody is called a thief once it is over.
    for answer in [&second, &first] {
        let refused = web.refresh(answer.str("refresh_token")).await;
        assert_eq!(refused.outcome(), "400 invalid_grant expired");
    }
    let sid = sid_of(&first);
    assert_eq!(family_of(&app, &sid).await.ended, None);
    assert_eq!(events_of(&app, &sid).await, ["family_begun"]);
}

#[tokio::test]
async fn t49_no_rotation_extends_the_absolute_end() {
    for rotation in [Rotation::Always, Rotation::Never] {
        let app = Setup::default()
            .set("tokens.refresh_idle_ttl", "1h")
            .set("tokens.refresh_absolute_ttl", "3h")
            .start()
            .await;
        app.user("alice", &[]).await;
        let web = app
            .client_with("web", "openid", |draft| draft.rotation = Some(rotation))
            .await;
        let first = web.sign_in("alice").await;
        let end = app.now().plus(HOUR * 3).as_unix();
        let mut newest = first.str("refresh_token").to_owned();
        for left in [9000_u64, 7200, 5400, 3600, 1800] {
            app.advance(MINUTE * 30).await;
            let answer = web.refresh(&newest).await;
            assert_eq!(answer.refresh_claims()["exp"], end);
            assert_eq!(answer.json["refresh_token_expires_in"], left.min(3600));
            newest = answer.str("refresh_token").to_owned();
        }
        app.advance(MINUTE * 30 - SECOND).await;
        let last = web.refresh(&newest).await;
        assert_eq!(last.json["refresh_token_expires_in"], 1);
        assert_eq!(last.claims()["exp"], end);
        app.advance(SECOND).await;
        for token in [newest.as_str(), last.str("refresh_token")] {
            let refused = web.refresh(token).await;
            assert_eq!(refused.outcome(), "400 invalid_grant expired", "{rotation:?}");
            assert!(!web.is_active(token).await);
        }
        let sid = sid_of(&first);
        assert_eq!(family_of(&app, &sid).await.ended, None);
        assert_eq!(events_of(&app, &sid).await, ["family_begun"]);
    }
}

#[tokio::test]
async fn t49_a_client_may_have_shorter_lives_than_the_issuer_and_no_longer_ones() {
    let app = Setup::default()
        .set("tokens.refresh_idle_ttl", "1h")
        .set("tokens.refresh_absolute_ttl", "3h")
        .start()
        .await;
    app.user("alice", &[]).await;
    for (id, idle, absolute, idle_left, absolute_left) in
        [("short", 60, 90, 60, 90), ("long", 7200, 36_000, 3600, 10_800)]
    {
        let client = app
            .client_with(id, "openid", |draft| {
                draft.refresh_idle_ttl = Some(idle);
                draft.refresh_absolute_ttl = Some(absolute);
            })
            .await;
        let first = client.sign_in("alice").await;
        let second = client.refresh(first.str("refresh_token")).await;
        assert_eq!(second.json["refresh_token_expires_in"], idle_left, "{id}");
        let end = app.now().as_unix() + absolute_left;
        assert_eq!(second.refresh_claims()["exp"], end, "{id}");
    }
}

#[tokio::test]
async fn f18_a_clock_that_steps_back_punishes_nobody() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let native = app.public_client("native", "openid").await;
    let first = native.sign_in("alice").await;
    app.advance(HOUR).await;
    let second = native.refresh(first.str("refresh_token")).await;
    app.clock.step_back(MINUTE * 30);
    let retry = native.refresh(first.str("refresh_token")).await;
    assert_eq!(retry.outcome(), "200");
    assert_eq!(retry.str("refresh_token"), second.str("refresh_token"));
    let third = native.refresh(second.str("refresh_token")).await;
    assert_eq!(third.outcome(), "200");
    assert_eq!(native.refresh(third.str("refresh_token")).await.outcome(), "200");
}

/// The token with one bit of one of its characters flipped, whenever that is a character of base64url again.
fn with_a_flipped_bit(token: &str, position: usize, bit: u32) -> Option<String> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = token.as_bytes().to_vec();
    let byte = bytes.get_mut(position)?;
    let value = ALPHABET.iter().position(|known| known == byte)?;
    *byte = *ALPHABET.get(value ^ (1 << bit))?;
    String::from_utf8(bytes).ok()
}

fn tampered(token: &str) -> Vec<String> {
    let signature = token.rfind('.').unwrap();
    let mut all: Vec<String> = (0..token.len())
        .flat_map(|position| (0..6).map(move |bit| (position, bit)))
        // Every bit of the MAC, and one of each other character.
        .filter(|(position, bit)| *position > signature || position % 6 == *bit as usize)
        .filter_map(|(position, bit)| with_a_flipped_bit(token, position, bit))
        .collect();
    all.extend(
        token
            .match_indices('.')
            .map(|(dot, _)| token.split_at(dot).0.to_owned()),
    );
    all.push(format!("{token}="));
    all.push(format!("{token}.{token}"));
    all.push(format!("{token} "));
    all
}

#[tokio::test]
async fn t50_r14_a_forged_token_costs_no_query_and_a_genuine_one_waits_for_the_database() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let web = app.client("web", "openid").await;
    let native = app.public_client("native", "openid").await;
    let elsewhere = TestApp::start().await;
    elsewhere.user("alice", &[]).await;
    let foreign = elsewhere.client("web", "openid").await.sign_in("alice").await;
    let first = web.sign_in("alice").await;
    let second = web.refresh(first.str("refresh_token")).await;
    let third = web.refresh(second.str("refresh_token")).await;
    let mobile = native.sign_in("alice").await;
    // The clients are in memory by now. From here on every query fails, and a forged token does not notice.
    app.inside().store().close().await;
    let mut forged = tampered(third.str("refresh_token"));
    assert!(forged.len() > 500, "only {}", forged.len());
    let (_, payload_and_mac) = third.str("refresh_token").split_once('.').unwrap();
    for header in [
        "eyJ0eXAiOiJydCtqd3QiLCJhbGciOiJub25lIn0",
        "eyJ0eXAiOiJydCtqd3QiLCJhbGciOiJIUzI1NiJ9",
    ] {
        let (payload, _) = payload_and_mac.rsplit_once('.').unwrap();
        forged.push(format!("{header}.{payload_and_mac}"));
        forged.push(format!("{header}.{payload}."));
    }
    forged.push(foreign.str("refresh_token").to_owned());
    forged.push(third.str("access_token").to_owned());
    forged.push("x".repeat(40_000));
    for some in forged.chunks(32) {
        for answer in join_all(some.iter().map(|token| web.refresh(token))).await {
            assert_eq!(answer.outcome(), "400 invalid_grant malformed_token");
        }
    }
    for (client, answer) in [(web, &first), (web, &second), (web, &third), (native, &mobile)] {
        let genuine = client.refresh(answer.str("refresh_token")).await;
        assert!(must_wait(&genuine), "{} {}", genuine.status, genuine.text);
    }
    // A revocation that was not written down is not confirmed, and what is not known is not called live.
    for path in ["/revoke", "/introspect"] {
        let genuine = web.post(path, &[("token", third.str("refresh_token"))]).await;
        assert!(must_wait(&genuine), "{path}: {} {}", genuine.status, genuine.text);
    }
}

#[tokio::test]
async fn t50_t15_k11_a_right_mac_over_anything_else_is_refused_without_a_query() {
    let app = Setup::default().set("keys.master_key", MASTER_KEY).start().await;
    app.user("alice", &[]).await;
    let web = app.client("web", "openid").await;
    let first = web.sign_in("alice").await;
    let row = family_of(&app, &sid_of(&first)).await;
    let forge = Forge::of(&app).await;
    let claims = serde_json::to_value(forge.claims(&row)).unwrap();
    let now = app.now();
    app.inside().store().close().await;
    for typ in [TYP_ACCESS_TOKEN, "jwt", "refresh", "", "rt+jwt+x"] {
        let answer = web.refresh(&forge.sign(typ, &claims, now)).await;
        assert_eq!(answer.outcome(), "400 invalid_grant malformed_token", "typ {typ}");
    }
    let malformed = "400 invalid_grant malformed_token";
    for (name, value, outcome) in [
        ("iss", json!("https://id.example"), malformed),
        ("iss", json!(format!("{}/", app.issuer)), malformed),
        ("aud", json!("https://api.example/"), malformed),
        ("aud", json!([app.issuer]), malformed),
        ("aud", Value::Null, malformed),
        ("seq", json!(-1), malformed),
        ("seq", json!("0"), malformed),
        ("seq", json!(0.5), malformed),
        ("seq", Value::Null, malformed),
        ("jti", json!("short"), malformed),
        ("sid", json!(""), malformed),
        ("exp", json!("tomorrow"), malformed),
        ("exp", json!(now.as_unix()), "400 invalid_grant expired"),
        ("exp", json!(0), "400 invalid_grant expired"),
        ("client_id", json!("rival"), "400 invalid_grant client_mismatch"),
        (
            "scope",
            json!("openid items:read"),
            "400 invalid_grant scope_not_allowed",
        ),
        (
            "resource",
            json!(["https://api.example/"]),
            "400 invalid_grant resource_not_allowed",
        ),
    ] {
        let mut changed = claims.clone();
        changed[name] = value.clone();
        let token = forge.sign(TYP_REFRESH_TOKEN, &changed, now);
        assert_eq!(web.refresh(&token).await.outcome(), outcome, "{name}: {value}");
    }
    // Unchanged it is taken to the database.
    let genuine = web.refresh(&forge.sign(TYP_REFRESH_TOKEN, &claims, now)).await;
    assert!(must_wait(&genuine), "{} {}", genuine.status, genuine.text);
}

#[tokio::test]
async fn r12_a_token_that_the_database_never_made_is_a_rollback_and_ends_nothing() {
    drop(captured_logs());
    let app = Setup::default().set("keys.master_key", MASTER_KEY).start().await;
    app.user("alice", &[]).await;
    let web = app.client("web", "openid").await;
    let mut newest = web.sign_in("alice").await;
    for _ in 0..3 {
        newest = web.refresh(newest.str("refresh_token")).await;
    }
    let sid = sid_of(&newest);
    let row = family_of(&app, &sid).await;
    let forge = Forge::of(&app).await;
    let other = |seq| Family {
        seq,
        current_jti: forge.jti(),
        ..row.clone()
    };
    let unknown = Family {
        id: FamilyId::random(&*forge.entropy),
        ..row.clone()
    };
    for lost in [other(4), other(1000), other(3), other(2), unknown] {
        let refused = web.refresh(&forge.token(&lost)).await;
        assert_eq!(
            refused.outcome(),
            "400 invalid_grant state_rollback",
            "seq {}",
            lost.seq
        );
        assert!(!web.is_active(&forge.token(&lost)).await);
        assert!(is_logged("state_rollback", &lost.id));
    }
    assert_eq!(family_of(&app, &sid).await, row);
    assert_eq!(events_of(&app, &sid).await, ["family_begun"]);
    assert!(web.is_active(newest.str("access_token")).await);
    let next = web.refresh(newest.str("refresh_token")).await;
    assert_eq!(next.refresh_claims()["seq"], 4);
}

#[tokio::test]
async fn r3_a_client_without_rotation_keeps_its_token() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let web = app
        .client_with("web", "openid", |draft| draft.rotation = Some(Rotation::Never))
        .await;
    let first = web.sign_in("alice").await;
    let token = first.str("refresh_token").to_owned();
    for _ in 0..3 {
        app.advance(DAY * 10).await;
        let answers = join_all((0..8).map(|_| web.refresh(&token))).await;
        for answer in answers {
            assert_eq!(answer.outcome(), "200");
            // Idle for ten days of fourteen again and again: each use pushes the end away.
            assert_eq!(answer.json["refresh_token_expires_in"], 14 * 24 * 3600);
            assert_eq!(answer.refresh_claims(), first.refresh_claims());
        }
    }
    assert_eq!(family_of(&app, &sid_of(&first)).await.seq, 0);
    let draft = ClientDraft {
        rotation: Some(Rotation::Always),
        ..ClientDraft::default()
    };
    update(&app, web, draft).await;
    let rotated = web.refresh(&token).await;
    assert_eq!(rotated.refresh_claims()["seq"], 1);
    assert_eq!(web.revoke(&token).await.outcome(), "200");
    for token in [token.as_str(), rotated.str("refresh_token")] {
        let refused = web.refresh(token).await;
        assert_eq!(refused.outcome(), "400 invalid_grant revoked");
    }
}

#[tokio::test]
async fn r1_cl9_a_public_client_always_rotates() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let native = app.public_client("native", "openid").await;
    let id = ClientId::parse("native").unwrap();
    let (inside, actor) = (app.inside(), TestApp::operator());
    let never = ClientDraft {
        rotation: Some(Rotation::Never),
        ..ClientDraft::default()
    };
    let changed = inside.update_client(&id, &never, &actor).await;
    assert!(changed.unwrap_err().to_string().contains("always rotate"));
    let new = ClientDraft {
        auth_method: Some(ClientAuthMethod::None),
        grants: Some(vec![GrantType::Password, GrantType::RefreshToken]),
        ..never
    };
    let made = inside.create_client(None, &new, None, &actor).await;
    assert!(made.unwrap_err().to_string().contains("always rotate"));
    let first = native.sign_in("alice").await;
    let second = native.refresh(first.str("refresh_token")).await;
    assert_eq!(second.refresh_claims()["seq"], 1);
}

#[tokio::test]
async fn t40_a_client_without_the_grant_gets_no_refresh_token() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let web = app
        .client_with("web", "openid", |draft| {
            draft.grants = Some(vec![GrantType::Password]);
        })
        .await;
    let first = web.sign_in("alice").await;
    assert_eq!(first.outcome(), "200");
    assert!(first.json.get("refresh_token").is_none());
    assert!(first.json.get("refresh_token_expires_in").is_none());
}

async fn post_refresh(app: &TestApp, content_type: &str, body: impl Into<Vec<u8>>) -> Answer {
    let mut request = app.http.post(format!("{}/refresh", app.base)).body(body.into());
    if !content_type.is_empty() {
        request = request.header("content-type", content_type);
    }
    Answer::read(request.send().await.unwrap()).await
}

#[tokio::test]
async fn t40_cl19_refresh_speaks_json_and_form_by_every_way_to_authenticate() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let web = app.client("web", "openid items:read").await;
    let native = app.public_client("native", "openid items:read").await;
    let poster = app
        .client_with("poster", "openid items:read", |draft| {
            draft.auth_method = Some(ClientAuthMethod::ClientSecretPost);
        })
        .await;
    for (client, content_type) in [
        (native, "application/json"),
        (native, "Application/JSON; charset=utf-8"),
        (poster, "application/json"),
    ] {
        let first = client.sign_in("alice").await;
        let mut body = json!({
            "refresh_token": first.str("refresh_token"),
            "client_id": client.id,
            "scope": "items:read",
            "grant_type": "refresh_token",
            "unknown": "ignored",
        });
        if client.id == "poster" {
            body["client_secret"] = json!(CLIENT_SECRET);
        }
        let answer = post_refresh(&app, content_type, body.to_string()).await;
        assert_eq!(answer.outcome(), "200", "{} {content_type}", client.id);
        assert_eq!(answer.refresh_claims()["seq"], 1);
        assert_eq!(answer.json["scope"], "items:read");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    // By the header, in JSON and in a form; and the same token at both endpoints is one token.
    let first = web.sign_in("alice").await;
    let token = first.str("refresh_token");
    let by_json = app
        .http
        .post(format!("{}/refresh", app.base))
        .basic_auth(web.id, Some(CLIENT_SECRET))
        .json(&json!({ "refresh_token": token }))
        .send()
        .await
        .unwrap();
    let by_json = Answer::read(by_json).await;
    let by_form = web.post("/refresh", &[("refresh_token", token)]).await;
    let at_token = web.refresh(token).await;
    for answer in [&by_json, &by_form, &at_token] {
        assert_eq!(answer.outcome(), "200");
        assert_eq!(answer.str("refresh_token"), by_json.str("refresh_token"));
    }
}

#[tokio::test]
async fn h10_h13_h15_h16_cl22_refresh_refuses_what_is_not_a_flat_object_of_strings() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let native = app.public_client("native", "openid").await;
    let first = native.sign_in("alice").await;
    let token = first.str("refresh_token");
    let malformed = "400 invalid_request malformed_body";
    // `@` stands for these members, which would be enough.
    let enough = format!(r#""client_id":"native","refresh_token":"{token}""#);
    for (body, outcome) in [
        ("", malformed),
        ("null", malformed),
        ("[]", malformed),
        (r#""@""#, malformed),
        ("[{@}]", malformed),
        ("{@", malformed),
        ("{@}x", malformed),
        ("{@}{@}", malformed),
        (r#"{@,"scope":null}"#, malformed),
        (r#"{@,"scope":1}"#, malformed),
        (r#"{@,"scope":true}"#, malformed),
        (r#"{@,"scope":["openid"]}"#, malformed),
        (r#"{@,"unknown":{"a":"b"}}"#, malformed),
        (r#"{@,"unknown":[[[[[]]]]]}"#, malformed),
        (
            r#"{@,"refresh_token":"x"}"#,
            "400 invalid_request duplicate_parameter",
        ),
        (
            r#"{@,"refresh\u005ftoken":"x"}"#,
            "400 invalid_request duplicate_parameter",
        ),
        (
            r#"{@,"unknown":"1","unknown":"1"}"#,
            "400 invalid_request duplicate_parameter",
        ),
        (r#"{@,"scope":"a\u0000b"}"#, malformed),
        (r#"{@,"scope":"a\r\nb"}"#, malformed),
        (r#"{@,"scope":"\ud800"}"#, malformed),
        (r#"{@,"":"x"}"#, malformed),
        (r#"{"client_id":"native","refresh_token":{"a":"b"}}"#, malformed),
        (r#"{"client_id":["native"],"refresh_token":"x"}"#, malformed),
        ("{}", "401 invalid_client bad_credentials"),
        (
            r#"{"client_id":"native"}"#,
            "400 invalid_request missing_parameter",
        ),
        (
            r#"{"client_id":"native","refresh_token":""}"#,
            "400 invalid_request missing_parameter",
        ),
        (
            r#"{@,"grant_type":"password"}"#,
            "400 unsupported_grant_type unknown_grant",
        ),
        (
            r#"{@,"grant_type":"client_credentials"}"#,
            "400 unsupported_grant_type unknown_grant",
        ),
        (r#"{@,"scope":"a  b"}"#, "400 invalid_scope invalid_parameter"),
        (
            r#"{@,"resource":"/items"}"#,
            "400 invalid_target unknown_resource",
        ),
        (r#"{@,"client_secret":"x"}"#, "401 invalid_client bad_credentials"),
    ] {
        let answer = post_refresh(&app, "application/json", body.replace('@', &enough)).await;
        assert_eq!(answer.outcome(), outcome, "{body}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{body}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{body}");
        assert!(!answer.text.contains(token), "{body}");
    }
    let mut bytes = format!("{{{enough},\"scope\":\"").into_bytes();
    bytes.extend_from_slice(b"\xc3\x28\"}");
    let answer = post_refresh(&app, "application/json", bytes).await;
    assert_eq!(answer.outcome(), malformed);
    // Nothing of all that used the token.
    let answer = post_refresh(&app, "application/json", format!("{{{enough}}}")).await;
    assert_eq!(answer.refresh_claims()["seq"], 1);
}

#[tokio::test]
async fn h10_h11_h12_h13_cl22_refresh_takes_two_media_types_a_clean_address_and_post() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let native = app.public_client("native", "openid").await;
    let first = native.sign_in("alice").await;
    let token = first.str("refresh_token");
    let object = json!({ "client_id": "native", "refresh_token": token }).to_string();
    let form = format!("client_id=native&refresh_token={token}");
    let unsupported = "400 invalid_request unsupported_media_type";
    let urlencoded = "application/x-www-form-urlencoded";
    for (content_type, body, outcome) in [
        ("", object.clone(), unsupported),
        ("", form.clone(), unsupported),
        ("text/plain", object.clone(), unsupported),
        ("text/json", object.clone(), unsupported),
        ("application/json5", object.clone(), unsupported),
        ("application/json, text/plain", object.clone(), unsupported),
        ("multipart/form-data; boundary=x", form.clone(), unsupported),
        (
            "application/json",
            form.clone(),
            "400 invalid_request malformed_body",
        ),
        (
            urlencoded,
            format!("{form}&refresh_token={token}"),
            "400 invalid_request duplicate_parameter",
        ),
        (
            urlencoded,
            format!("{form}&scope=%00"),
            "400 invalid_request malformed_body",
        ),
        (
            urlencoded,
            format!("{form}&scope=%ff"),
            "400 invalid_request malformed_body",
        ),
    ] {
        let answer = post_refresh(&app, content_type, body).await;
        assert_eq!(answer.outcome(), outcome, "{content_type}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    let address = format!("{}/refresh", app.base);
    let in_query = app
        .http
        .post(format!("{address}?refresh_token={token}"))
        .header("content-type", urlencoded)
        .body("client_id=native");
    let answer = Answer::read(in_query.send().await.unwrap()).await;
    assert_eq!(answer.outcome(), "400 invalid_request parameters_in_query");
    let answer = Answer::read(app.http.get(&address).send().await.unwrap()).await;
    assert_eq!(answer.outcome(), "405 invalid_request method_not_allowed");
    assert!(answer.header("allow").unwrap().contains("POST"));
    let answer = post_refresh(&app, urlencoded, form).await;
    assert_eq!(answer.refresh_claims()["seq"], 1);
}
