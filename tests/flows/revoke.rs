//! Revocation: what was ended is dead at once here and within the second elsewhere, and nothing else is.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it is")]

use std::time::Duration;

use vouchsafe_issuer::{AdminError, ClientDraft};
use vouchsafe_protocol::{ClientId, FamilyId, ResourceUri, RevocationKind, SecretString};
use vouchsafe_tests::{Answer, CLIENT_SECRET, Setup, TestApp, TestClient, claims_of};

const API: &str = "https://api.example/";

/// Two clients of one resource, the server of that resource, and two people.
struct Scene<'a> {
    api: TestClient<'a>,
    web: TestClient<'a>,
    phone: TestClient<'a>,
}

async fn scene(app: &TestApp) -> Scene<'_> {
    let api = app.client("api", "api:own").await;
    let uri = app
        .resource_with(API, "items:read", |resource| {
            resource.server_client_id = Some(ClientId::parse("api").unwrap());
        })
        .await;
    let web = client_of(app, "web", &uri).await;
    let phone = client_of(app, "phone", &uri).await;
    app.user("alice", &[]).await;
    app.user("bob", &[]).await;
    Scene { api, web, phone }
}

async fn client_of<'a>(app: &'a TestApp, id: &str, uri: &ResourceUri) -> TestClient<'a> {
    app.client_with(id, "openid items:read", |draft| {
        draft.resources = Some(vec![uri.clone()]);
    })
    .await
}

fn client_id(id: &str) -> ClientId {
    ClientId::parse(id).unwrap()
}

async fn set_disabled(app: &TestApp, id: &str, disabled: bool) {
    let draft = ClientDraft {
        disabled: Some(disabled),
        ..ClientDraft::default()
    };
    app.inside()
        .update_client(&client_id(id), &draft, &TestApp::operator())
        .await
        .unwrap();
}

/// The family of a grant.
fn sid_of(grant: &Answer) -> FamilyId {
    let claims = grant.claims();
    let sid = claims.get("sid").and_then(|sid| sid.as_str());
    FamilyId::parse(sid.unwrap()).unwrap()
}

/// What the revocation log says, as kind and key.
async fn log(app: &TestApp) -> Vec<(RevocationKind, String)> {
    let entries = app.inside().store().revocations_after(0, 1000).await.unwrap();
    entries.into_iter().map(|entry| (entry.kind, entry.key)).collect()
}

#[tokio::test]
async fn r01_what_is_unknown_garbled_or_over_needs_no_ending() {
    let app = Setup::default()
        .set("tokens.refresh_idle_ttl", "1h")
        .set("tokens.refresh_absolute_ttl", "1h")
        .start()
        .await;
    let Scene { web, .. } = scene(&app).await;
    let stranger = TestApp::start().await;
    let foreign = stranger.client("web", "items:read").await.credentials().await;
    let expired = web.sign_in("alice").await;
    app.advance(Duration::from_secs(3600)).await;
    let kept = web.sign_in("alice").await;
    let (signed, _) = kept.str("refresh_token").rsplit_once('.').unwrap();
    let forged = format!("{signed}.{}", "A".repeat(43));
    for token in [
        "x",
        "a.b.c",
        "eyJhbGciOiJub25lIn0.e30.",
        foreign.str("access_token"),
        expired.str("access_token"),
        expired.str("refresh_token"),
        forged.as_str(),
    ] {
        let answer = web.revoke(token).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, ""), "{token}");
    }
    assert!(web.is_active(kept.str("access_token")).await);
    assert_eq!(web.refresh(kept.str("refresh_token")).await.outcome(), "200");
}

#[tokio::test]
async fn r03_the_current_the_previous_and_any_ancestor_end_the_family() {
    for chosen in 0..4 {
        let app = TestApp::start().await;
        let Scene { api, web, .. } = scene(&app).await;
        let bystander = web.sign_in("alice").await;
        let mut line = vec![web.sign_in("alice").await];
        for _ in 0..3 {
            app.advance(Duration::from_secs(60)).await;
            let next = web.refresh(line.last().unwrap().str("refresh_token")).await;
            line.push(next);
        }
        for grant in &line {
            assert!(api.is_active(grant.str("access_token")).await);
        }
        let answer = web.revoke(line[chosen].str("refresh_token")).await;
        assert_eq!(answer.status, 200, "{chosen}");
        for grant in &line {
            assert!(!api.is_active(grant.str("access_token")).await, "{chosen}");
            assert!(!web.is_active(grant.str("refresh_token")).await, "{chosen}");
            let refreshed = web.refresh(grant.str("refresh_token")).await;
            assert_eq!(refreshed.outcome(), "400 invalid_grant revoked", "{chosen}");
        }
        assert!(api.is_active(bystander.str("access_token")).await);
        assert_eq!(web.refresh(bystander.str("refresh_token")).await.outcome(), "200");
        let sid = sid_of(&line[0]).to_string();
        assert_eq!(log(&app).await, [(RevocationKind::Session, sid)]);
    }
}

#[tokio::test]
async fn r03_a_public_client_ends_its_own_family() {
    let app = TestApp::start().await;
    let Scene { api, .. } = scene(&app).await;
    let native = app.public_client("native", "openid").await;
    let grant = native.sign_in("alice").await;
    assert_eq!(native.revoke(grant.str("refresh_token")).await.status, 200);
    let refreshed = native.refresh(grant.str("refresh_token")).await;
    assert_eq!(refreshed.outcome(), "400 invalid_grant revoked");
    assert!(!api.is_active(grant.str("access_token")).await);
}

#[tokio::test]
async fn r04_an_access_token_ends_itself_and_nothing_else() {
    let app = TestApp::start().await;
    let Scene { api, web, .. } = scene(&app).await;
    let first = web.sign_in("alice").await;
    let second = web.refresh(first.str("refresh_token")).await;
    let of_web = web.credentials().await;
    for ended in [&first, &of_web] {
        assert!(api.is_active(ended.str("access_token")).await);
        assert_eq!(web.revoke(ended.str("access_token")).await.status, 200);
        assert!(!api.is_active(ended.str("access_token")).await);
        assert!(!web.is_active(ended.str("access_token")).await);
    }
    assert!(api.is_active(second.str("access_token")).await);
    assert_eq!(web.refresh(second.str("refresh_token")).await.outcome(), "200");
    assert!(api.is_active(web.credentials().await.str("access_token")).await);
    let jti = |grant: &Answer| grant.claims()["jti"].as_str().unwrap().to_owned();
    assert_eq!(
        log(&app).await,
        [
            (RevocationKind::Jti, jti(&first)),
            (RevocationKind::Jti, jti(&of_web))
        ]
    );
}

#[tokio::test]
async fn r06_without_the_store_nothing_is_said_to_be_revoked() {
    let app = TestApp::start().await;
    let Scene { web, .. } = scene(&app).await;
    let second = Setup::default()
        .beside(&app)
        .set("issuer", &app.issuer)
        .start()
        .await;
    let grant = web.sign_in("alice").await;
    app.inside().store().close().await;
    for token in [grant.str("access_token"), grant.str("refresh_token")] {
        let answer = web.revoke(token).await;
        assert_eq!(answer.outcome(), "503 temporarily_unavailable store_unavailable");
        let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!(wait >= 1);
        assert!(web.at(&second).is_active(token).await);
    }
    // What was refused then is done when it is asked for again.
    let there = web.at(&second);
    assert_eq!(there.revoke(grant.str("refresh_token")).await.status, 200);
    assert!(!there.is_active(grant.str("access_token")).await);
}

#[tokio::test]
async fn r07_nobody_revokes_without_credentials() {
    let app = TestApp::start().await;
    let Scene { web, .. } = scene(&app).await;
    let grant = web.sign_in("alice").await;
    let bad = "401 invalid_client bad_credentials";
    let cases: [(&[(&str, &str)], &str); 4] = [
        (&[], bad),
        (&[("client_id", "web")], bad),
        (&[("client_id", "web"), ("client_secret", "wrong")], bad),
        // The right secret by another method than the registered one.
        (&[("client_id", "web"), ("client_secret", CLIENT_SECRET)], bad),
    ];
    for token in [grant.str("access_token"), grant.str("refresh_token")] {
        for (fields, outcome) in cases {
            let form = [&[("token", token)][..], fields].concat();
            let request = app.http.post(format!("{}/revoke", app.base)).form(&form);
            let answer = Answer::read(request.send().await.unwrap()).await;
            assert_eq!(answer.outcome(), outcome, "{fields:?}");
        }
        assert!(web.is_active(token).await);
    }
    assert!(log(&app).await.is_empty());
}

#[tokio::test]
async fn the_token_of_another_client_is_refused_and_lives() {
    let app = TestApp::start().await;
    let Scene { api, web, phone } = scene(&app).await;
    let native = app.public_client("native", "openid").await;
    let grant = web.sign_in("alice").await;
    // The server of the audience may ask about the token, not end it.
    for stranger in [phone, native, api] {
        for token in [grant.str("access_token"), grant.str("refresh_token")] {
            let answer = stranger.revoke(token).await;
            assert_eq!(
                answer.outcome(),
                "400 invalid_grant client_mismatch",
                "{}",
                stranger.id
            );
        }
    }
    assert!(web.is_active(grant.str("access_token")).await);
    assert_eq!(web.refresh(grant.str("refresh_token")).await.outcome(), "200");
    assert!(log(&app).await.is_empty());
}

#[tokio::test]
async fn cl14_success_is_an_empty_body_without_a_type() {
    let app = TestApp::start().await;
    let Scene { web, .. } = scene(&app).await;
    let grant = web.sign_in("alice").await;
    // Twice: what is over already is no error.
    for token in [
        grant.str("access_token"),
        grant.str("access_token"),
        grant.str("refresh_token"),
        grant.str("refresh_token"),
        "unknown",
    ] {
        let answer = web.revoke(token).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, ""));
        assert_eq!(answer.header("content-type"), None);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
}

#[tokio::test]
async fn cl25_a_wrong_hint_saves_nothing() {
    for hint in ["access_token", "refresh_token", "nonsense"] {
        let app = TestApp::start().await;
        let Scene { web, .. } = scene(&app).await;
        let first = web.sign_in("alice").await;
        let second = web.sign_in("alice").await;
        for token in [first.str("access_token"), second.str("refresh_token")] {
            let form = [("token", token), ("token_type_hint", hint)];
            assert_eq!(web.post("/revoke", &form).await.status, 200);
            assert!(!web.is_active(token).await, "{hint}");
        }
    }
}

#[tokio::test]
async fn i04_another_replica_learns_of_it_by_following_the_log() {
    let app = TestApp::start().await;
    let Scene { web, .. } = scene(&app).await;
    let second = Setup::default()
        .beside(&app)
        .set("issuer", &app.issuer)
        .start()
        .await;
    let there = web.at(&second);
    let (ended, alone, kept) = (
        web.sign_in("alice").await,
        web.credentials().await,
        web.sign_in("alice").await,
    );
    assert!(there.is_active(kept.str("access_token")).await);
    assert_eq!(web.revoke(ended.str("refresh_token")).await.status, 200);
    assert_eq!(web.revoke(alone.str("access_token")).await.status, 200);
    second.inside().follow().await.unwrap();
    // From memory alone: its store is gone, its view is fresh.
    second.inside().store().close().await;
    assert!(!there.is_active(ended.str("access_token")).await);
    assert!(!there.is_active(alone.str("access_token")).await);
    assert!(there.is_active(kept.str("access_token")).await);
}

#[tokio::test]
async fn a_token_of_the_second_of_a_revocation_is_born_after_it() {
    let app = TestApp::start().await;
    let Scene { api, web, phone } = scene(&app).await;
    let operator = TestApp::operator();
    let older = web.sign_in("alice").await;
    assert_eq!(older.claims()["iat"], app.now().as_unix());
    app.inside()
        .revoke_sessions_of_user("alice", &operator)
        .await
        .unwrap();
    let younger = web.sign_in("alice").await;
    assert_eq!(younger.claims()["iat"], app.now().as_unix() + 1);
    let refreshed = web.refresh(younger.str("refresh_token")).await;
    let bystander = web.sign_in("bob").await;
    assert_eq!(bystander.claims()["iat"], app.now().as_unix());
    // The same for a client, whoever its tokens speak for.
    let older_of_phone = phone.credentials().await;
    app.inside()
        .revoke_sessions_of_client(&client_id("phone"), &operator)
        .await
        .unwrap();
    let younger_of_phone = phone.credentials().await;
    let bob_on_phone = phone.sign_in("bob").await;
    for _ in 0..2 {
        for dead in [&older, &older_of_phone] {
            assert!(!api.is_active(dead.str("access_token")).await);
        }
        for live in [&younger, &refreshed, &bystander, &younger_of_phone, &bob_on_phone] {
            assert!(api.is_active(live.str("access_token")).await);
        }
        app.advance(Duration::from_secs(1)).await;
    }
    // From the next second on tokens carry their own second again.
    let later = web.sign_in("alice").await;
    assert_eq!(later.claims()["iat"], app.now().as_unix());
}

/// What operators do that ends something.
#[derive(Clone, Copy, Debug)]
enum Verb {
    RevokeSession,
    RevokeSessionsOfUser,
    RevokeSessionsOfClient,
    LockUser,
    SetPassword,
    DeleteUser,
    DisableClient,
    DeleteClient,
}

/// Does it to the person `alice`, the client `web`, or the session that they share.
async fn carry_out(verb: Verb, app: &TestApp, shared: &FamilyId) {
    let (issuer, operator) = (app.inside(), TestApp::operator());
    let new_password = SecretString::new("another password of alice".to_owned());
    match verb {
        Verb::RevokeSession => issuer.revoke_session(shared, &operator).await.unwrap(),
        Verb::RevokeSessionsOfUser => {
            let ended = issuer.revoke_sessions_of_user("alice", &operator).await;
            assert_eq!(ended.unwrap(), 2);
        }
        Verb::RevokeSessionsOfClient => {
            let id = client_id("web");
            let ended = issuer.revoke_sessions_of_client(&id, &operator).await;
            assert_eq!(ended.unwrap(), 2);
        }
        Verb::LockUser => issuer.set_user_locked("alice", true, &operator).await.unwrap(),
        Verb::SetPassword => {
            let set = issuer.set_user_password("alice", &new_password, &operator);
            set.await.unwrap();
        }
        Verb::DeleteUser => issuer.delete_user("alice", &operator).await.unwrap(),
        Verb::DisableClient => set_disabled(app, "web", true).await,
        Verb::DeleteClient => issuer.delete_client(&client_id("web"), &operator).await.unwrap(),
    }
}

#[tokio::test]
async fn each_verb_of_an_operator_ends_exactly_what_it_should() {
    let revoked = "400 invalid_grant revoked";
    let gone = "401 invalid_client bad_credentials";
    let fine = "200";
    // alice on web, alice on phone, bob on web, web for itself: the access token; then the three refresh tokens.
    let cases = [
        (
            Verb::RevokeSession,
            [false, true, true, true],
            [revoked, fine, fine],
        ),
        (
            Verb::RevokeSessionsOfUser,
            [false, false, true, true],
            [revoked, revoked, fine],
        ),
        (
            Verb::LockUser,
            [false, false, true, true],
            [revoked, revoked, fine],
        ),
        (
            Verb::SetPassword,
            [false, false, true, true],
            [revoked, revoked, fine],
        ),
        (
            Verb::DeleteUser,
            [false, false, true, true],
            [revoked, revoked, fine],
        ),
        (
            Verb::RevokeSessionsOfClient,
            [false, true, false, false],
            [revoked, fine, revoked],
        ),
        (
            Verb::DisableClient,
            [false, true, false, false],
            [gone, fine, gone],
        ),
        (
            Verb::DeleteClient,
            [false, true, false, false],
            [gone, fine, gone],
        ),
    ];
    for (verb, lives, refreshes) in cases {
        let app = TestApp::start().await;
        let Scene { api, web, phone } = scene(&app).await;
        let grants = [
            web.sign_in("alice").await,
            phone.sign_in("alice").await,
            web.sign_in("bob").await,
            web.credentials().await,
        ];
        carry_out(verb, &app, &sid_of(&grants[0])).await;
        for _ in 0..2 {
            let mut found = Vec::new();
            for grant in &grants {
                found.push(api.is_active(grant.str("access_token")).await);
            }
            assert_eq!(found, lives, "{verb:?}");
            app.advance(Duration::from_secs(1)).await;
        }
        for ((client, grant), outcome) in [web, phone, web].iter().zip(&grants).zip(refreshes) {
            let refreshed = client.refresh(grant.str("refresh_token")).await;
            assert_eq!(refreshed.outcome(), outcome, "{verb:?}");
        }
    }
}

#[tokio::test]
async fn a_session_is_revoked_once_and_an_unknown_one_not_at_all() {
    let app = TestApp::start().await;
    let Scene { web, .. } = scene(&app).await;
    let sid = sid_of(&web.sign_in("alice").await);
    let unknown = FamilyId::parse("AAAAAAAAAAAAAAAAAAAAAA").unwrap();
    let (issuer, operator) = (app.inside(), TestApp::operator());
    issuer.revoke_session(&sid, &operator).await.unwrap();
    for nothing in [&sid, &unknown] {
        let refused = issuer.revoke_session(nothing, &operator).await;
        assert!(matches!(refused, Err(AdminError::NotFound { .. })), "{refused:?}");
    }
    let refused = issuer.revoke_sessions_of_user("nobody", &operator).await;
    assert!(matches!(refused, Err(AdminError::NotFound { .. })), "{refused:?}");
    let refused = issuer
        .revoke_sessions_of_client(&client_id("nobody"), &operator)
        .await;
    assert!(matches!(refused, Err(AdminError::NotFound { .. })), "{refused:?}");
    assert_eq!(log(&app).await, [(RevocationKind::Session, sid.to_string())]);
}

#[tokio::test]
async fn a_locked_person_stays_out_until_unlocked_and_the_old_tokens_stay_dead() {
    let app = TestApp::start().await;
    let Scene { api, web, .. } = scene(&app).await;
    let (issuer, operator) = (app.inside(), TestApp::operator());
    let old = web.sign_in("alice").await;
    issuer.set_user_locked("alice", true, &operator).await.unwrap();
    let locked = web.sign_in("alice").await;
    assert_eq!(locked.outcome(), "400 invalid_grant bad_password");
    issuer.set_user_locked("alice", false, &operator).await.unwrap();
    // In the same second still.
    let new = web.sign_in("alice").await;
    assert!(api.is_active(new.str("access_token")).await);
    assert!(!api.is_active(old.str("access_token")).await);
    let refreshed = web.refresh(old.str("refresh_token")).await;
    assert_eq!(refreshed.outcome(), "400 invalid_grant revoked");
    assert_eq!(web.refresh(new.str("refresh_token")).await.outcome(), "200");
}

#[tokio::test]
async fn a_new_password_ends_what_the_old_one_opened() {
    let app = TestApp::start().await;
    let Scene { api, web, .. } = scene(&app).await;
    let old = web.sign_in("alice").await;
    carry_out(Verb::SetPassword, &app, &sid_of(&old)).await;
    assert_eq!(
        web.sign_in("alice").await.outcome(),
        "400 invalid_grant bad_password"
    );
    let form = [
        ("grant_type", "password"),
        ("username", "alice"),
        ("password", "another password of alice"),
    ];
    let new = web.token(&form).await;
    assert!(api.is_active(new.str("access_token")).await);
    assert!(!api.is_active(old.str("access_token")).await);
    assert_eq!(web.refresh(new.str("refresh_token")).await.outcome(), "200");
}

#[tokio::test]
async fn a_removed_person_comes_back_as_somebody_else() {
    let app = TestApp::start().await;
    let Scene { api, web, .. } = scene(&app).await;
    let old = web.sign_in("alice").await;
    carry_out(Verb::DeleteUser, &app, &sid_of(&old)).await;
    assert_eq!(
        web.sign_in("alice").await.outcome(),
        "400 invalid_grant bad_password"
    );
    let subject = app.user("alice", &[]).await;
    let new = web.sign_in("alice").await;
    assert_eq!(new.claims()["sub"], subject);
    assert_ne!(old.claims()["sub"], subject);
    assert!(api.is_active(new.str("access_token")).await);
    assert!(!api.is_active(old.str("access_token")).await);
}

#[tokio::test]
async fn a_client_that_is_enabled_again_begins_anew() {
    let app = TestApp::start().await;
    let Scene { api, web, .. } = scene(&app).await;
    let (old, old_of_web) = (web.sign_in("alice").await, web.credentials().await);
    set_disabled(&app, "web", true).await;
    let refused = "401 invalid_client bad_credentials";
    assert_eq!(web.credentials().await.outcome(), refused);
    assert_eq!(web.sign_in("alice").await.outcome(), refused);
    assert_eq!(web.revoke("unknown").await.outcome(), refused);
    set_disabled(&app, "web", false).await;
    // The end of a client also covers what a replica signs before it hears of it.
    app.advance(Duration::from_secs(10)).await;
    let refreshed = web.refresh(old.str("refresh_token")).await;
    assert_eq!(refreshed.outcome(), "400 invalid_grant revoked");
    let (new, new_of_web) = (web.sign_in("alice").await, web.credentials().await);
    for dead in [&old, &old_of_web] {
        assert!(!api.is_active(dead.str("access_token")).await);
    }
    for live in [&new, &new_of_web] {
        assert!(api.is_active(live.str("access_token")).await);
    }
}

#[tokio::test]
async fn a_client_id_that_is_taken_again_inherits_nothing() {
    let app = TestApp::start().await;
    let Scene { api, web, .. } = scene(&app).await;
    let (old, old_of_web) = (web.sign_in("alice").await, web.credentials().await);
    let operator = TestApp::operator();
    let deleted = app.inside().delete_client(&client_id("web"), &operator).await;
    deleted.unwrap();
    let web = client_of(&app, "web", &ResourceUri::parse(API).unwrap()).await;
    app.advance(Duration::from_secs(10)).await;
    let refreshed = web.refresh(old.str("refresh_token")).await;
    assert_eq!(refreshed.outcome(), "400 invalid_grant revoked");
    for dead in [&old, &old_of_web] {
        assert!(!api.is_active(dead.str("access_token")).await);
    }
    assert!(api.is_active(web.credentials().await.str("access_token")).await);
}

#[tokio::test]
async fn an_operator_ends_a_token_without_being_its_client() {
    let app = TestApp::start().await;
    let Scene { api, web, .. } = scene(&app).await;
    let (issuer, operator) = (app.inside(), TestApp::operator());
    let (first, second) = (web.sign_in("alice").await, web.sign_in("alice").await);
    let secret = |token: &str| SecretString::new(token.to_owned());
    let ended = issuer
        .revoke_token(&secret(first.str("access_token")), &operator)
        .await;
    assert_eq!(ended.unwrap(), "access_token");
    let ended = issuer
        .revoke_token(&secret(second.str("refresh_token")), &operator)
        .await;
    assert_eq!(ended.unwrap(), "refresh_token");
    for grant in [&first, &second] {
        assert!(!api.is_active(grant.str("access_token")).await);
    }
    assert_eq!(web.refresh(first.str("refresh_token")).await.outcome(), "200");
    let refreshed = web.refresh(second.str("refresh_token")).await;
    assert_eq!(refreshed.outcome(), "400 invalid_grant revoked");
    for nothing in ["unknown", second.str("refresh_token")] {
        let refused = issuer.revoke_token(&secret(nothing), &operator).await;
        assert!(matches!(refused, Err(AdminError::NotFound { .. })), "{refused:?}");
    }
    // What was ended keeps its name in the log, never the token.
    let jti = claims_of(first.str("access_token"))["jti"]
        .as_str()
        .unwrap()
        .to_owned();
    let sid = sid_of(&second).to_string();
    assert_eq!(
        log(&app).await,
        [(RevocationKind::Jti, jti), (RevocationKind::Session, sid)]
    );
}

#[tokio::test]
async fn f18_r04_a_token_that_is_ahead_of_the_clock_is_ended_all_the_same() {
    let app = TestApp::start().await;
    let web = app.client("web", "openid").await;
    let ahead = web.credentials().await;
    app.clock.step_back(Duration::from_secs(30));
    assert_eq!(web.revoke(ahead.str("access_token")).await.outcome(), "200");
    app.advance(Duration::from_secs(30)).await;
    assert!(!web.is_active(ahead.str("access_token")).await);
}

#[tokio::test]
async fn f18_r6_a_mass_revocation_covers_what_was_minted_before_the_clock_stepped_back() {
    for whole_client in [false, true] {
        let app = TestApp::start().await;
        let web = app.client("web", "openid").await;
        app.user("alice", &[]).await;
        let first = web.sign_in("alice").await;
        app.advance(Duration::from_secs(3600)).await;
        let ahead = web.refresh(first.str("refresh_token")).await;
        let machine = web.credentials().await;
        app.clock.step_back(Duration::from_secs(60));
        let operator = TestApp::operator();
        if whole_client {
            let id = client_id("web");
            app.inside()
                .revoke_sessions_of_client(&id, &operator)
                .await
                .unwrap();
        } else {
            app.inside()
                .set_user_locked("alice", true, &operator)
                .await
                .unwrap();
        }
        app.advance(Duration::from_secs(62)).await;
        assert!(!web.is_active(ahead.str("access_token")).await, "{whole_client}");
        assert_eq!(web.is_active(machine.str("access_token")).await, !whole_client);
    }
}
