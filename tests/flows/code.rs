//! Authorization codes at the token endpoint: for whom they were issued to, with what they were issued for, once, and only
//! while everything stands that they were granted under. And which token is good for what.
#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails where it is")]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use ring::digest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use vouchsafe_issuer::{ApplicationType, ClientDraft};
use vouchsafe_protocol::{ClientAuthMethod, ClientId, GrantType, ScopeSet, SecretString, Subject};
use vouchsafe_store::{Family, FamilyFilter, RevokeReason};
use vouchsafe_tests::{
    Answer, Browser, CALLBACK, CHALLENGE, Setup, TestApp, TestClient, captured_logs, claims_of, password_of,
};

use crate::refresh::{events_of, family_of, is_logged, sid_of};

const SECOND: Duration = Duration::from_secs(1);
const OTHER_VERIFIER: &str = "another-verifier-of-the-tests-0123456789-ab";

const REUSED: &str = "400 invalid_grant reused";
const REVOKED: &str = "400 invalid_grant revoked";
const EXPIRED: &str = "400 invalid_grant expired";
const UNKNOWN: &str = "400 invalid_grant unknown_token";
const ANOTHERS: &str = "400 invalid_grant client_mismatch";
const NOT_FOR_THIS: &str = "400 invalid_grant code_mismatch";
const BAD_VERIFIER: &str = "400 invalid_grant bad_verifier";

/// A client of the code flow, and a browser at which alice is signed in.
async fn scene(app: &TestApp) -> (TestClient<'_>, Browser<'_>) {
    let web = app.code_client("web", "openid", CALLBACK).await;
    (web, app.visitor("alice").await)
}

/// A second replica of the same issuer over the same database.
async fn replica(app: &TestApp) -> TestApp {
    Setup::default()
        .set("issuer", &app.issuer)
        .beside(app)
        .start()
        .await
}

/// Every family there is, ended ones too.
async fn families(app: &TestApp) -> Vec<Family> {
    let filter = FamilyFilter {
        ended_too: true,
        ..FamilyFilter::default()
    };
    let store = app.inside().store();
    let found = store.families(&filter, app.now(), 1_000).await.unwrap();
    found.into_iter().map(|summary| summary.family).collect()
}

fn challenge_of(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()))
}

fn outcomes(answers: &[Answer]) -> Vec<String> {
    answers.iter().map(Answer::outcome).collect()
}

/// A code that comes back: after how many seconds, with what, and whether the family lives on.
type Return<'a> = (&'a str, u32, &'a [(&'a str, &'a str)], bool);

#[tokio::test]
async fn t20_a_code_that_comes_back_ends_what_it_led_to_unless_its_client_lost_the_answer() {
    drop(captured_logs());
    let app = TestApp::start().await;
    let (web, browser) = scene(&app).await;
    let phone = app.code_client("phone", "openid", CALLBACK).await;
    let cases: [Return<'_>; 7] = [
        ("at once", 0, &[], true),
        ("after twenty seconds", 20, &[], true),
        ("too late", 21, &[], false),
        ("after its own life", 3600, &[], false),
        ("without the verifier", 0, &[("code_verifier", "")], false),
        (
            "with another verifier",
            5,
            &[("code_verifier", OTHER_VERIFIER)],
            false,
        ),
        (
            "with another address",
            5,
            &[("redirect_uri", "https://app.example/other")],
            false,
        ),
    ];
    for (what, later, with, lives) in cases {
        let code = browser.code(&web, &[]).await;
        let first = web.redeem(&code).await;
        assert_eq!(first.outcome(), "200", "{what}");
        let sid = sid_of(&first);
        app.advance(SECOND * later).await;
        // The try of another client changes nothing.
        assert_eq!(phone.redeem(&code).await.outcome(), ANOTHERS, "{what}");
        assert_eq!(family_of(&app, &sid).await.ended, None, "{what}");
        for _ in 0..2 {
            let again = web.redeem_with(&code, with).await;
            assert_eq!(again.outcome(), REUSED, "{what}");
        }
        let ended = family_of(&app, &sid).await.ended;
        let reason = (!lives).then_some(RevokeReason::CodeReused);
        assert_eq!(ended.map(|ended| ended.reason), reason, "{what}");
        assert_eq!(web.is_active(first.str("access_token")).await, lives, "{what}");
        let refreshed = web.refresh(first.str("refresh_token")).await;
        assert_eq!(refreshed.outcome(), if lives { "200" } else { REVOKED }, "{what}");
        assert!(is_logged("code_reuse_detected", &sid), "{what}");
        let events = events_of(&app, &sid).await;
        assert_eq!(
            events.iter().any(|event| event == "family_revoked"),
            !lives,
            "{what}"
        );
    }
    assert_eq!(families(&app).await.len(), cases.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t21_fifty_at_once_at_two_replicas_make_one_family() {
    let app = TestApp::start().await;
    let (web, browser) = scene(&app).await;
    let other = replica(&app).await;
    let doors = [web, web.at(&other)];
    for round in 1..=4 {
        let code = browser.code(&web, &[]).await;
        let answers = join_all((0..50).map(|n| doors[n % 2].redeem(&code))).await;
        let won: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 200).collect();
        assert_eq!(won.len(), 1, "{:?}", outcomes(&answers));
        for answer in answers.iter().filter(|answer| answer.status != 200) {
            assert_eq!(answer.outcome(), REUSED);
        }
        assert_eq!(families(&app).await.len(), round);
        // They came at once, so nobody is taken for a thief.
        let refreshed = doors[round % 2].refresh(won[0].str("refresh_token")).await;
        assert_eq!(refreshed.outcome(), "200");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t20_t21_a_thief_without_the_verifier_among_them_never_makes_a_second_family() {
    let app = TestApp::start().await;
    let (web, browser) = scene(&app).await;
    let other = replica(&app).await;
    let doors = [web, web.at(&other)];
    for round in 1..=3 {
        let code = browser.code(&web, &[]).await;
        let (code, honest, thief) = (code.as_str(), [], [("code_verifier", OTHER_VERIFIER)]);
        let asked = (0..50).map(|n| {
            let with: &[(&str, &str)] = if n % 4 < 2 { &honest } else { &thief };
            doors[n % 2].redeem_with(code, with)
        });
        let answers = join_all(asked).await;
        let won = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!(won, 1, "{:?}", outcomes(&answers));
        for answer in answers.iter().filter(|answer| answer.status != 200) {
            assert!(
                [REUSED, BAD_VERIFIER].contains(&answer.outcome().as_str()),
                "{}",
                answer.outcome()
            );
        }
        let made = families(&app).await;
        assert_eq!(made.len(), round);
        // Now that it is redeemed, a wrong verifier ends it, whatever came of the others.
        assert_eq!(web.redeem_with(code, &thief).await.outcome(), REUSED);
        assert!(families(&app).await.iter().all(|family| family.ended.is_some()));
    }
}

#[tokio::test]
async fn t22_a_code_of_another_client_is_refused_and_stays_good() {
    drop(captured_logs());
    let app = TestApp::start().await;
    let (web, browser) = scene(&app).await;
    let confidential = app.code_client("thief-with-a-secret", "openid", CALLBACK).await;
    let public = app
        .client_with("thief-without-one", "openid", |draft| {
            draft.auth_method = Some(ClientAuthMethod::None);
            draft.application_type = Some(ApplicationType::Native);
            draft.grants = Some(vec![GrantType::AuthorizationCode, GrantType::RefreshToken]);
            draft.redirect_uris = Some(vec![CALLBACK.to_owned()]);
        })
        .await;
    for (round, thief) in [confidential, public].into_iter().enumerate() {
        let code = browser.code(&web, &[]).await;
        for with in [&[][..], &[("code_verifier", "")], &[("redirect_uri", "")]] {
            assert_eq!(thief.redeem_with(&code, with).await.outcome(), ANOTHERS);
        }
        assert_eq!(families(&app).await.len(), round);
        assert_eq!(web.redeem(&code).await.outcome(), "200");
        let seen = captured_logs()
            .lines()
            .any(|line| line.contains("code_client_mismatch") && line.contains(thief.id));
        assert!(seen, "{}", thief.id);
    }
}

#[tokio::test]
async fn t23_the_address_is_that_of_the_request() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let other = "https://app.example/other";
    let two = app
        .client_with("two", "openid", |draft| {
            draft.grants = Some(vec![GrantType::AuthorizationCode]);
            draft.redirect_uris = Some(vec![CALLBACK.to_owned(), other.to_owned()]);
        })
        .await;
    let one = app.code_client("one", "openid", CALLBACK).await;
    let browser = Browser::signed_in(&app, "alice").await;

    let code = browser.code(&two, &[]).await;
    for wrong in [
        "",
        other,
        "https://app.example/cb/",
        "https://app.example/cb?",
        "https://app.example:443/cb",
        "https://APP.example/cb",
        "https://app.example/%63b",
    ] {
        let refused = two.redeem_with(&code, &[("redirect_uri", wrong)]).await;
        assert_eq!(refused.outcome(), NOT_FOR_THIS, "{wrong}");
    }
    assert!(families(&app).await.is_empty());
    assert_eq!(two.redeem(&code).await.outcome(), "200");

    // Where the request left the only one out, so may the client here.
    for (redirect_uri, outcome) in [
        ("", "200"),
        (CALLBACK, "200"),
        (other, NOT_FOR_THIS),
        ("https://app.example/cb/", NOT_FOR_THIS),
    ] {
        let code = browser.code(&one, &[("redirect_uri", "")]).await;
        let answer = one.redeem_with(&code, &[("redirect_uri", redirect_uri)]).await;
        assert_eq!(answer.outcome(), outcome, "{redirect_uri}");
    }
}

#[tokio::test]
async fn t24_a26_a_code_needs_the_verifier_of_its_challenge() {
    let app = TestApp::start().await;
    let (web, browser) = scene(&app).await;
    let code = browser.code(&web, &[]).await;
    for wrong in ["", OTHER_VERIFIER, CHALLENGE, "short"] {
        let refused = web.redeem_with(&code, &[("code_verifier", wrong)]).await;
        assert_eq!(refused.outcome(), BAD_VERIFIER, "{wrong}");
    }
    assert!(families(&app).await.is_empty());
    assert_eq!(web.redeem(&code).await.outcome(), "200", "it was not used up");

    // The challenge fits each of them.
    for (verifier, outcome) in [
        ("a".repeat(42), BAD_VERIFIER),
        ("a".repeat(43), "200"),
        ("~._-".repeat(32), "200"),
        ("a".repeat(129), BAD_VERIFIER),
        (format!("{}+/", "a".repeat(50)), BAD_VERIFIER),
    ] {
        let code = browser
            .code(&web, &[("code_challenge", &challenge_of(&verifier))])
            .await;
        let answer = web.redeem_with(&code, &[("code_verifier", &verifier)]).await;
        assert_eq!(answer.outcome(), outcome, "{verifier}");
    }
}

#[tokio::test]
async fn t25_a_verifier_without_a_challenge_is_refused() {
    let app = TestApp::start().await;
    let browser = app.visitor("alice").await;
    let lenient = app
        .client_with("lenient", "openid", |draft| {
            draft.grants = Some(vec![GrantType::AuthorizationCode]);
            draft.redirect_uris = Some(vec![CALLBACK.to_owned()]);
            draft.pkce_optional = Some(true);
        })
        .await;
    let bare = [
        ("code_challenge", ""),
        ("code_challenge_method", ""),
        ("nonce", "n-0S6_WzA2Mj"),
    ];
    let code = browser.code(&lenient, &bare).await;
    assert_eq!(lenient.redeem(&code).await.outcome(), BAD_VERIFIER);
    let answer = lenient.redeem_with(&code, &[("code_verifier", "")]).await;
    assert_eq!(answer.outcome(), "200");
    assert_eq!(claims_of(answer.str("id_token"))["nonce"], "n-0S6_WzA2Mj");
    // Who may leave it out and does not is held to it.
    let code = browser.code(&lenient, &[("nonce", "n")]).await;
    let refused = lenient.redeem_with(&code, &[("code_verifier", "")]).await;
    assert_eq!(refused.outcome(), BAD_VERIFIER);
}

#[tokio::test]
async fn t27_a_code_is_good_for_a_minute_and_a_clock_that_steps_back_revives_none() {
    let app = TestApp::start().await;
    let (web, browser) = scene(&app).await;
    for (later, outcome) in [(59, "200"), (60, EXPIRED)] {
        let code = browser.code(&web, &[]).await;
        app.advance(SECOND * later).await;
        assert_eq!(web.redeem(&code).await.outcome(), outcome, "{later}");
    }
    let asked = browser.code(&web, &[]).await;
    let unasked = browser.code(&web, &[]).await;
    app.advance(SECOND * 61).await;
    assert_eq!(web.redeem(&asked).await.outcome(), EXPIRED);
    app.clock.step_back(SECOND * 120);
    for code in [asked, unasked] {
        let refused = web.redeem(&code).await;
        assert!(
            refused.outcome().starts_with("400 invalid_grant "),
            "{}",
            refused.outcome()
        );
    }
    assert_eq!(families(&app).await.len(), 1);
}

/// What may happen between the answer to the browser and the token request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Between {
    Nothing,
    Locked,
    LockedForAMoment,
    Deleted,
    PasswordSet,
    PasswordChanged,
    SignedOut,
    SignedOutElsewhere,
    OtherPerson,
    ConsentWithdrawn,
    RevokedByOperator,
}

async fn happen(app: &TestApp, what: Between, (browser, name, subject): (&Browser<'_>, &str, &str)) {
    let (inside, operator) = (app.inside(), TestApp::operator());
    match what {
        Between::Nothing => {}
        Between::Locked => inside.set_user_locked(name, true, &operator).await.unwrap(),
        Between::LockedForAMoment => {
            inside.set_user_locked(name, true, &operator).await.unwrap();
            inside.set_user_locked(name, false, &operator).await.unwrap();
        }
        Between::Deleted => inside.delete_user(name, &operator).await.unwrap(),
        Between::PasswordSet => {
            let password = SecretString::new("another password".to_owned());
            inside
                .set_user_password(name, &password, &operator)
                .await
                .unwrap();
        }
        Between::PasswordChanged => {
            let page = browser.get("/account/password").await;
            let current = password_of(name);
            let fields = [
                ("current_password", current.as_str()),
                ("new_password", "another password"),
            ];
            assert_eq!(browser.submit(&page, &fields).await.status, 303);
        }
        Between::SignedOut => {
            let page = browser.get("/account").await;
            assert_eq!(browser.submit(&page, &[]).await.location(), "/signed-out");
        }
        Between::SignedOutElsewhere => {
            let elsewhere = Browser::signed_in(app, name).await;
            let id = digest::digest(&digest::SHA256, browser.cookie().unwrap().as_bytes());
            let id = URL_SAFE_NO_PAD.encode(id);
            let ticket = elsewhere.get("/account").await.hidden("ticket");
            let fields = [("ticket", ticket.as_str()), ("session", id.as_str())];
            let done = elsewhere.post("/account/session", &fields).await;
            assert_eq!(done.location(), "/account?done=session");
        }
        Between::OtherPerson => browser.sign_in("bob").await,
        Between::ConsentWithdrawn => {
            let (subject, client) = (Subject::parse(subject).unwrap(), ClientId::parse("web").unwrap());
            inside.withdraw_consent(&subject, &client).await.unwrap();
        }
        Between::RevokedByOperator => {
            inside.revoke_sessions_of_user(name, &operator).await.unwrap();
        }
    }
}

#[tokio::test]
async fn t29_t53_what_was_granted_under_something_ends_with_it() {
    let app = TestApp::start().await;
    let web = app.code_client("web", "openid offline_access", CALLBACK).await;
    app.user("bob", &[]).await;
    for (what, outcome) in [
        (Between::Nothing, "200"),
        (Between::Locked, REVOKED),
        (Between::LockedForAMoment, REVOKED),
        (Between::Deleted, REVOKED),
        (Between::PasswordSet, REVOKED),
        (Between::PasswordChanged, REVOKED),
        (Between::SignedOut, REVOKED),
        (Between::SignedOutElsewhere, REVOKED),
        (Between::OtherPerson, REVOKED),
        (Between::ConsentWithdrawn, EXPIRED),
        (Between::RevokedByOperator, REVOKED),
    ] {
        let name = format!("{what:?}").to_lowercase();
        let browser = app.visitor(&name).await;
        let subject = app.inside().show_user(&name).await.unwrap().subject.to_string();
        let code = browser.code(&web, &[]).await;
        happen(&app, what, (&browser, &name, &subject)).await;
        app.advance(SECOND * 2).await;
        assert_eq!(web.redeem(&code).await.outcome(), outcome, "{what:?}");
        assert_eq!(web.redeem(&code).await.status, 400, "{what:?}");
    }
    assert_eq!(families(&app).await.len(), 1);
}

#[tokio::test]
async fn t30_a_client_that_may_no_longer_gets_nothing() {
    let app = TestApp::start().await;
    let browser = app.visitor("alice").await;
    let disabled = ClientDraft {
        disabled: Some(true),
        ..ClientDraft::default()
    };
    let without_grant = ClientDraft {
        grants: Some(vec![GrantType::RefreshToken]),
        ..ClientDraft::default()
    };
    let without_scope = ClientDraft {
        scope: Some(ScopeSet::parse("email").unwrap()),
        ..ClientDraft::default()
    };
    for (id, draft, outcome) in [
        ("disabled", Some(disabled), "401 invalid_client bad_credentials"),
        (
            "without-grant",
            Some(without_grant),
            "400 unauthorized_client grant_not_allowed",
        ),
        (
            "without-scope",
            Some(without_scope),
            "400 invalid_grant scope_not_allowed",
        ),
        ("deleted", None, "401 invalid_client bad_credentials"),
    ] {
        let client = app.code_client(id, "openid", CALLBACK).await;
        let code = browser.code(&client, &[]).await;
        match draft {
            Some(draft) => app.change_client(id, &draft).await,
            None => {
                let gone = ClientId::parse(id).unwrap();
                app.inside()
                    .delete_client(&gone, &TestApp::operator())
                    .await
                    .unwrap();
            }
        }
        assert_eq!(client.redeem(&code).await.outcome(), outcome, "{id}");
    }
    assert!(families(&app).await.is_empty());
}

#[tokio::test]
async fn t29_t30_what_waits_to_be_redeemed_ends_with_all_else_of_its_client() {
    let app = TestApp::start().await;
    let browser = app.visitor("alice").await;
    let operator = TestApp::operator();
    for id in ["revoked", "off-and-on"] {
        let client = app.code_client(id, "openid", CALLBACK).await;
        let code = browser.code(&client, &[]).await;
        if id == "revoked" {
            let id = ClientId::parse(id).unwrap();
            app.inside()
                .revoke_sessions_of_client(&id, &operator)
                .await
                .unwrap();
        } else {
            for disabled in [true, false] {
                let draft = ClientDraft {
                    disabled: Some(disabled),
                    ..ClientDraft::default()
                };
                app.change_client(id, &draft).await;
            }
        }
        app.advance(SECOND * 30).await;
        let refused = client.redeem(&code).await;
        assert!(
            refused.outcome().starts_with("400 invalid_grant "),
            "{id}: {}",
            refused.outcome()
        );
    }
    assert!(families(&app).await.is_empty());
}

#[tokio::test]
async fn cl19_a_client_that_may_refresh_gets_a_refresh_token_without_offline_access() {
    let app = TestApp::start().await;
    let (web, browser) = scene(&app).await;
    let plain = app
        .client_with("plain", "openid", |draft| {
            draft.grants = Some(vec![GrantType::AuthorizationCode]);
            draft.redirect_uris = Some(vec![CALLBACK.to_owned()]);
        })
        .await;
    let granted = browser.code_grant(&web, &[("scope", "openid")]).await;
    assert_eq!(granted.str("scope"), "openid");
    app.advance(SECOND * 3600).await;
    let refreshed = web.refresh(granted.str("refresh_token")).await;
    assert_eq!(refreshed.outcome(), "200");
    assert!(web.is_active(refreshed.str("access_token")).await);
    let granted = browser.code_grant(&plain, &[]).await;
    assert_eq!(granted.outcome(), "200");
    assert!(granted.json.get("refresh_token").is_none(), "{}", granted.text);
}

/// The logout token of the one request that comes (OpenID Connect Back-Channel Logout 2.5).
async fn heard(listener: TcpListener) -> String {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut read = Vec::new();
    loop {
        assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0, "cut off");
        let text = String::from_utf8_lossy(&read).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let head = head.to_ascii_lowercase();
        let mut lengths = head
            .lines()
            .filter_map(|line| line.strip_prefix("content-length:"));
        let length: usize = lengths.next().unwrap().trim().parse().unwrap();
        if body.len() == length {
            let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer).await.unwrap();
            return body.strip_prefix("logout_token=").unwrap().to_owned();
        }
    }
}

/// One token of each kind that was made for alice and `web`.
struct Kinds {
    access: String,
    id: String,
    refresh: String,
    logout: String,
}

/// The tokens of one browser, and the logout token about another.
async fn one_of_each(app: &TestApp) -> (TestClient<'_>, Browser<'_>, Kinds) {
    let ear = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/heard", ear.local_addr().unwrap());
    let (web, browser) = scene(app).await;
    let draft = ClientDraft {
        backchannel_logout_uri: Some(uri),
        ..ClientDraft::default()
    };
    app.change_client("web", &draft).await;
    let elsewhere = Browser::signed_in(app, "alice").await;
    elsewhere.code_grant(&web, &[]).await;
    let page = elsewhere.get("/account").await;
    assert_eq!(elsewhere.submit(&page, &[]).await.status, 303);
    let (delivered, logout) = tokio::join!(app.inside().deliver_logouts(), heard(ear));
    assert_eq!(delivered.unwrap(), 1);
    let grant = browser.code_grant(&web, &[]).await;
    let kinds = Kinds {
        access: grant.str("access_token").to_owned(),
        id: grant.str("id_token").to_owned(),
        refresh: grant.str("refresh_token").to_owned(),
        logout,
    };
    (web, browser, kinds)
}

async fn userinfo(app: &TestApp, token: &str) -> Answer {
    let request = app.http.get(format!("{}/userinfo", app.base));
    Answer::read(request.bearer_auth(token).send().await.unwrap()).await
}

#[tokio::test]
async fn t15_a_token_of_one_kind_is_good_for_nothing_else() {
    let app = Setup::default()
        .set("outbound.allow_private", "true")
        .start()
        .await;
    let (web, browser, kinds) = one_of_each(&app).await;
    let Kinds {
        access,
        id,
        refresh,
        logout,
    } = &kinds;
    let assertion_type = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    for (kind, token) in [
        ("access", access),
        ("id", id),
        ("refresh", refresh),
        ("logout", logout),
    ] {
        let token = token.as_str();
        // As an access token.
        let told = userinfo(&app, token).await;
        if kind == "access" {
            assert_eq!(told.outcome(), "200");
        } else {
            assert_eq!(told.outcome(), "401 invalid_token malformed_token", "{kind}");
            let challenge = told.header("www-authenticate").unwrap();
            assert!(challenge.contains("error=\"invalid_token\""), "{kind}");
        }
        // At introspection.
        let known = web.introspect(token).await;
        if ["access", "refresh"].contains(&kind) {
            assert_eq!(known.json["active"], true, "{kind}");
        } else {
            assert_eq!(known.text, r#"{"active":false}"#, "{kind}");
        }
        // As a refresh token, and as a code.
        if kind != "refresh" {
            let refused = web.refresh(token).await;
            assert_eq!(refused.outcome(), "400 invalid_grant malformed_token", "{kind}");
        }
        assert_eq!(web.redeem(token).await.outcome(), UNKNOWN, "{kind}");
        // As a credential of a client.
        let form = [
            ("grant_type", "authorization_code"),
            ("code", "x"),
            ("client_id", "web"),
            ("client_assertion_type", assertion_type),
            ("client_assertion", token),
        ];
        let request = app.http.post(format!("{}/token", app.base)).form(&form);
        let refused = Answer::read(request.send().await.unwrap()).await;
        assert_eq!(refused.outcome(), "401 invalid_client bad_credentials", "{kind}");
        // As a hint at who is signed in.
        let hint = [("prompt", "none"), ("id_token_hint", token)];
        let answer = browser.authorize(&web, &hint).await;
        if kind == "id" {
            assert!(answer.answer("code").is_some(), "{answer:?}");
        } else {
            let error = answer.answer("error");
            assert_eq!(error.as_deref(), Some("invalid_request"), "{kind}");
            assert_eq!(answer.answer("code"), None, "{kind}");
        }
        let page = browser.get(&format!("/logout?id_token_hint={token}")).await;
        let names_the_client = page.text.contains("web asks to sign you out");
        assert!(page.is("logout"), "{kind}: {}", page.text);
        assert_eq!(names_the_client, kind == "id", "{kind}: {}", page.text);
    }
    // What is none of the two kinds that can be revoked takes nothing with it.
    for token in [id, logout] {
        assert_eq!(web.revoke(token).await.outcome(), "200");
    }
    assert!(web.is_active(access).await);
    assert!(web.is_active(refresh).await);
}
