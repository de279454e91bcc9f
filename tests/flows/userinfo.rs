//! Userinfo: what a live token with `openid` lets be known of its person, and what no other token does.
#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails where it is")]

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Map, Value, json};
use vouchsafe_issuer::{ClientDraft, ProfileDraft};
use vouchsafe_protocol::{ClientId, Subject};
use vouchsafe_store::AuditEntry;
use vouchsafe_tests::{Answer, Browser, CALLBACK, TestApp, TestClient, claims_of};

use crate::refresh::sid_of;

const SECOND: Duration = Duration::from_secs(1);
/// How long an access token lives.
const LIFE: Duration = Duration::from_secs(300);
/// Every scope that lets something be told.
const EVERY: &str = "openid profile email address phone";
const MAIL: &str = "alice@example.org";
const UNUSABLE: &str = "401 invalid_token malformed_token";

fn url(app: &TestApp) -> String {
    format!("{}/userinfo", app.base)
}

async fn ask(app: &TestApp, token: &str) -> Answer {
    let request = app.http.get(url(app)).bearer_auth(token);
    Answer::read(request.send().await.unwrap()).await
}

/// Makes a person of whom much is known.
async fn well_known(app: &TestApp) -> String {
    let subject = app.user("alice", &[]).await;
    let profile = json!({
        "name": "Alice Liddell",
        "given_name": "Alice",
        "family_name": "Liddell",
        "picture": "https://pictures.example/alice.png",
        "phone_number": "+44 1865 276150",
        "phone_number_verified": true,
        "address": {"locality": "Oxford", "country": "GB"},
        // Whatever else is kept is nobody's claim.
        "shoe_size": 36,
    });
    let of_subject = Subject::parse(&subject).unwrap();
    let audit = AuditEntry {
        at: app.now(),
        event: "user_profile_set",
        actor_kind: "system",
        actor: None,
        client_id: None,
        subject: Some(of_subject.clone()),
        sid: None,
        detail: Map::new(),
    };
    let store = app.inside().store();
    let profile = profile.as_object().unwrap();
    store
        .set_profile(&of_subject, (Some(MAIL), true), profile, &audit)
        .await
        .unwrap();
    subject
}

/// The names of what is told.
fn names(told: &Value) -> BTreeSet<&str> {
    told.as_object().unwrap().keys().map(String::as_str).collect()
}

/// A client of the code flow that may ask for everything.
async fn curious(app: &TestApp) -> TestClient<'_> {
    app.code_client("web", EVERY, CALLBACK).await
}

async fn set_disabled(app: &TestApp, id: &str) {
    let draft = ClientDraft {
        disabled: Some(true),
        ..ClientDraft::default()
    };
    let id = ClientId::parse(id).unwrap();
    app.inside()
        .update_client(&id, &draft, &TestApp::operator())
        .await
        .unwrap();
}

#[tokio::test]
async fn cl23_a_token_comes_by_the_header_or_in_a_form() {
    let app = TestApp::start().await;
    let subject = app.user("alice", &[]).await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let browser = Browser::signed_in(&app, "alice").await;
    let grant = browser.code_grant(&web, &[]).await;
    let token = grant.str("access_token");
    let (get, post) = (|| app.http.get(url(&app)), || app.http.post(url(&app)));
    for request in [
        get().bearer_auth(token),
        get().header("authorization", format!("bearer {token}")),
        post().bearer_auth(token),
        post().form(&[("access_token", token)]),
    ] {
        let told = Answer::read(request.send().await.unwrap()).await;
        assert_eq!((told.status, &told.json), (200, &json!({"sub": subject})));
        assert_eq!(told.header("content-type"), Some("application/json"));
        assert_eq!(told.header("cache-control"), Some("no-store"));
        assert_eq!(told.header("access-control-allow-origin"), Some("*"));
    }
    assert_eq!(claims_of(grant.str("id_token"))["sub"], subject.as_str());
}

#[tokio::test]
async fn cl23_who_brings_no_token_is_told_how_to_and_nothing_else() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let web = app.client("web", "openid").await;
    let grant = web.sign_in("alice").await;
    let in_query = format!("{}?access_token={}", url(&app), grant.str("access_token"));
    for request in [
        app.http.get(url(&app)),
        app.http.post(url(&app)),
        // What stands in an address stands in logs (RFC 9700 4.3.2).
        app.http.get(&in_query),
        app.http.post(&in_query),
    ] {
        let refused = Answer::read(request.send().await.unwrap()).await;
        assert_eq!((refused.status, refused.text.as_str()), (401, ""));
        let challenge = refused.header("www-authenticate").unwrap();
        assert_eq!(challenge, "Bearer realm=\"vouchsafe\"");
        assert_eq!(refused.header("access-control-allow-origin"), Some("*"));
    }
}

#[tokio::test]
async fn cl23_j03_what_is_no_access_token_of_this_issuer_tells_nothing() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let web = app.client("web", "openid").await;
    let grant = web.sign_in("alice").await;
    let token = grant.str("access_token");
    let stranger = TestApp::start().await;
    stranger.user("alice", &[]).await;
    let foreign = stranger.client("web", "openid").await.sign_in("alice").await;
    let (head, _) = token.rsplit_once('.').unwrap();
    let (_, signature) = foreign.str("access_token").rsplit_once('.').unwrap();
    let long = "x".repeat(16 * 1024 + 1);
    for bad in [
        "x",
        long.as_str(),
        "x.y.z",
        grant.str("id_token"),
        grant.str("refresh_token"),
        foreign.str("access_token"),
        &format!("{head}."),
        &format!("{head}.{signature}"),
        &format!("{token} {token}"),
    ] {
        let refused = ask(&app, bad).await;
        assert_eq!(refused.outcome(), UNUSABLE, "{bad}");
        let challenge = refused.header("www-authenticate").unwrap();
        assert_eq!(challenge, "Bearer realm=\"vouchsafe\", error=\"invalid_token\"");
        let form = app.http.post(url(&app)).form(&[("access_token", bad)]);
        let refused = Answer::read(form.send().await.unwrap()).await;
        assert_eq!(refused.outcome(), UNUSABLE, "{bad}");
    }
    let basic = app.http.get(url(&app)).basic_auth("web", Some(token));
    let refused = Answer::read(basic.send().await.unwrap()).await;
    assert_eq!((refused.status, refused.text.as_str()), (401, ""));
    let challenge = refused.header("www-authenticate").unwrap();
    assert_eq!(challenge, "Bearer realm=\"vouchsafe\"");
}

#[tokio::test]
async fn h10_one_token_is_brought_once() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let web = app.client("web", "openid").await;
    let grant = web.sign_in("alice").await;
    let token = grant.str("access_token");
    let post = || app.http.post(url(&app));
    let several = "400 invalid_request multiple_credentials";
    let twice = [("access_token", token), ("access_token", token)];
    for (request, outcome) in [
        (post().bearer_auth(token).bearer_auth(token), several),
        (
            post().bearer_auth(token).form(&[("access_token", token)]),
            several,
        ),
        (post().form(&twice), "400 invalid_request duplicate_parameter"),
    ] {
        let refused = Answer::read(request.send().await.unwrap()).await;
        assert_eq!(refused.outcome(), outcome);
        let challenge = refused.header("www-authenticate").unwrap();
        assert_eq!(challenge, "Bearer realm=\"vouchsafe\", error=\"invalid_request\"");
    }
}

#[tokio::test]
async fn each_scope_lets_its_claims_be_told() {
    let app = TestApp::start().await;
    let subject = well_known(&app).await;
    let web = curious(&app).await;
    let browser = Browser::signed_in(&app, "alice").await;
    let profile = [
        "name",
        "given_name",
        "family_name",
        "picture",
        "preferred_username",
        "updated_at",
    ];
    for (scope, claims) in [
        ("openid", &[][..]),
        ("openid profile", &profile[..]),
        ("openid email", &["email", "email_verified"]),
        ("openid phone", &["phone_number", "phone_number_verified"]),
        ("openid address", &["address"]),
    ] {
        let grant = browser.code_grant(&web, &[("scope", scope)]).await;
        let told = ask(&app, grant.str("access_token")).await;
        let mut expected: BTreeSet<&str> = claims.iter().copied().collect();
        expected.insert("sub");
        assert_eq!(names(&told.json), expected, "{scope}");
        // It is asked for here, not carried in tokens.
        let in_tokens = claims_of(grant.str("id_token"));
        assert!(
            claims.iter().all(|claim| in_tokens.get(claim).is_none()),
            "{scope}"
        );
    }
    let grant = browser.code_grant(&web, &[("scope", EVERY)]).await;
    let told = ask(&app, grant.str("access_token")).await.json;
    for (claim, value) in [
        ("sub", json!(subject)),
        ("preferred_username", json!("alice")),
        ("name", json!("Alice Liddell")),
        ("email", json!(MAIL)),
        ("email_verified", json!(true)),
        ("phone_number_verified", json!(true)),
        ("address", json!({"locality": "Oxford", "country": "GB"})),
        ("updated_at", json!(app.now().as_unix())),
    ] {
        assert_eq!(told[claim], value, "{claim}");
    }
    assert!(told.get("shoe_size").is_none());
    // A token with less tells less.
    let narrow = [
        ("grant_type", "refresh_token"),
        ("refresh_token", grant.str("refresh_token")),
        ("scope", "openid"),
    ];
    let narrow = web.token(&narrow).await;
    let told = ask(&app, narrow.str("access_token")).await;
    assert_eq!(told.json, json!({"sub": subject}));
}

#[tokio::test]
async fn of_whom_little_is_known_little_is_told() {
    let app = TestApp::start().await;
    app.user("bob", &[]).await;
    let web = curious(&app).await;
    let browser = Browser::signed_in(&app, "bob").await;
    let grant = browser.code_grant(&web, &[("scope", EVERY)]).await;
    let told = ask(&app, grant.str("access_token")).await;
    // Nothing is told as null or empty (OpenID Connect Core 5.3.2), and no address is verified that is not there.
    let expected = BTreeSet::from(["sub", "preferred_username", "updated_at"]);
    assert_eq!(names(&told.json), expected);
}

#[tokio::test]
async fn what_is_asked_for_by_name_is_told_where_it_is_asked_for() {
    let app = TestApp::start().await;
    let subject = well_known(&app).await;
    let web = curious(&app).await;
    let browser = Browser::signed_in(&app, "alice").await;
    let claims = json!({
        "userinfo": {"given_name": null, "email": {"essential": true}, "shoe_size": null, "roles": null},
        "id_token": {"name": null, "email_verified": {"essential": true}, "shoe_size": null,
            "iss": {"value": "https://evil.example"}, "exp": {"value": 1}, "aud": {"values": ["other"]}},
    })
    .to_string();
    let asked = [("scope", "openid"), ("claims", claims.as_str())];
    let mut grant = browser.code_grant(&web, &asked).await;
    // Also after a refresh.
    for _ in 0..2 {
        let told = ask(&app, grant.str("access_token")).await;
        assert_eq!(
            told.json,
            json!({"sub": subject, "given_name": "Alice", "email": MAIL})
        );
        let in_token = claims_of(grant.str("id_token"));
        assert_eq!(in_token["name"], "Alice Liddell");
        assert_eq!(in_token["email_verified"], true);
        for claim in ["given_name", "email", "shoe_size"] {
            assert!(in_token.get(claim).is_none(), "{claim}");
        }
        assert_eq!(in_token["iss"], app.issuer);
        assert_eq!(in_token["aud"], "web");
        assert_eq!(in_token["exp"], grant.claims()["exp"]);
        grant = web.refresh(grant.str("refresh_token")).await;
    }
    // Another request asks for itself.
    let plain = browser.code_grant(&web, &[("scope", "openid")]).await;
    let told = ask(&app, plain.str("access_token")).await;
    assert_eq!(told.json, json!({"sub": subject}));
}

#[tokio::test]
async fn a_token_for_whatever_audience_asks() {
    let app = TestApp::start().await;
    let subject = app.user("alice", &[]).await;
    let api = app.resource("https://api.example/", "items:read").await;
    let web = app
        .client_with("web", "openid items:read", |draft| {
            draft.resources = Some(vec![api])
        })
        .await;
    let grant = web.sign_in("alice").await;
    assert_eq!(grant.claims()["aud"], "https://api.example/");
    let told = ask(&app, grant.str("access_token")).await;
    assert_eq!(told.json, json!({"sub": subject}));
}

#[tokio::test]
async fn without_openid_nothing_is_told() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let web = app.client("web", "openid profile items:read").await;
    let form = [
        ("grant_type", "password"),
        ("username", "alice"),
        ("password", "password of alice"),
        ("scope", "profile items:read"),
    ];
    for grant in [web.token(&form).await, web.credentials().await] {
        let refused = ask(&app, grant.str("access_token")).await;
        assert_eq!(refused.outcome(), "403 insufficient_scope scope_not_granted");
        let challenge = refused.header("www-authenticate").unwrap();
        assert_eq!(
            challenge,
            "Bearer realm=\"vouchsafe\", error=\"insufficient_scope\", scope=\"openid\""
        );
    }
}

#[tokio::test]
async fn r01_a_token_that_ended_tells_nothing() {
    let app = TestApp::start().await;
    let operator = TestApp::operator();
    let inside = app.inside();
    for name in ["alice", "bob", "carol", "dave"] {
        app.user(name, &[]).await;
    }
    let web = app.client("web", "openid").await;
    let gone = app.client("gone", "openid").await;
    let pages = app.code_client("pages", "openid", CALLBACK).await;
    let browser = Browser::signed_in(&app, "dave").await;

    let by_token = web.sign_in("alice").await;
    let by_family = web.sign_in("alice").await;
    let by_operator = web.sign_in("alice").await;
    let by_lock = web.sign_in("bob").await;
    let by_removal = web.sign_in("carol").await;
    let by_client = gone.sign_in("alice").await;
    let by_sign_out = browser.code_grant(&pages, &[("scope", "openid")]).await;
    let alive = web.sign_in("alice").await;
    let ended = [
        &by_token,
        &by_family,
        &by_operator,
        &by_lock,
        &by_removal,
        &by_client,
        &by_sign_out,
    ];
    for grant in ended {
        assert_eq!(ask(&app, grant.str("access_token")).await.status, 200);
    }
    web.revoke(by_token.str("access_token")).await;
    web.revoke(by_family.str("refresh_token")).await;
    inside
        .revoke_session(&sid_of(&by_operator), &operator)
        .await
        .unwrap();
    inside.set_user_locked("bob", true, &operator).await.unwrap();
    inside.delete_user("carol", &operator).await.unwrap();
    set_disabled(&app, "gone").await;
    let page = browser.get("/logout").await;
    browser.submit(&page, &[("decision", "sign_out")]).await;
    for (number, grant) in ended.into_iter().enumerate() {
        let refused = ask(&app, grant.str("access_token")).await;
        assert_eq!(refused.outcome(), "401 invalid_token revoked", "{number}");
        assert!(refused.json.get("sub").is_none());
    }
    assert_eq!(ask(&app, alive.str("access_token")).await.status, 200);
    // What ended stays so.
    inside.set_user_locked("bob", false, &operator).await.unwrap();
    assert_eq!(ask(&app, by_lock.str("access_token")).await.status, 401);
}

#[tokio::test]
async fn a_token_tells_something_to_its_last_second() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let web = app.client("web", "openid").await;
    let grant = web.sign_in("alice").await;
    app.advance(LIFE - SECOND).await;
    assert_eq!(ask(&app, grant.str("access_token")).await.status, 200);
    app.advance(SECOND).await;
    let refused = ask(&app, grant.str("access_token")).await;
    assert_eq!(refused.outcome(), "401 invalid_token expired");
}

#[tokio::test]
async fn f7_without_the_store_nobody_is_told_anything() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let web = app.client("web", "openid").await;
    let grant = web.sign_in("alice").await;
    app.inside().store().close().await;
    let answer = ask(&app, grant.str("access_token")).await;
    answer.assert_must_wait("userinfo");
    assert!(answer.json.get("sub").is_none());
}

#[tokio::test]
async fn h19_cl13_applications_in_browsers_may_ask() {
    let app = TestApp::start().await;
    let preflight = app
        .http
        .request(Method::OPTIONS, url(&app))
        .header("origin", "https://app.example")
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "authorization");
    let answer = Answer::read(preflight.send().await.unwrap()).await;
    assert_eq!(answer.status, 204);
    let methods = answer.header("access-control-allow-methods").unwrap();
    for method in ["GET", "POST"] {
        assert!(methods.split(", ").any(|allowed| allowed == method), "{methods}");
    }
    let headers = answer.header("access-control-allow-headers").unwrap();
    for header in ["Authorization", "MCP-Protocol-Version"] {
        assert!(headers.split(", ").any(|allowed| allowed == header), "{headers}");
    }
    for token in ["x", "x.y.z"] {
        let refused = ask(&app, token).await;
        assert_eq!(refused.header("access-control-allow-origin"), Some("*"));
        assert_eq!(refused.header("access-control-allow-credentials"), None);
        let exposed = refused.header("access-control-expose-headers").unwrap();
        assert!(exposed.contains("WWW-Authenticate"), "{exposed}");
    }
}

#[tokio::test]
async fn a_new_number_is_one_that_nobody_made_sure_of() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let web = app.code_client("web", "openid phone", CALLBACK).await;
    let browser = Browser::signed_in(&app, "alice").await;
    let grant = browser.code_grant(&web, &[]).await;
    for (number, sure, told) in [
        (
            "+49 30 1",
            Some(true),
            json!({"phone_number": "+49 30 1", "phone_number_verified": true}),
        ),
        ("+49 30 2", None, json!({"phone_number": "+49 30 2"})),
        ("", Some(true), json!({})),
    ] {
        let draft = ProfileDraft {
            texts: vec![("phone_number", number.to_owned())],
            phone_number_verified: sure,
            ..ProfileDraft::default()
        };
        let operator = TestApp::operator();
        app.inside()
            .set_user_profile("alice", &draft, &operator)
            .await
            .unwrap();
        let mut found = ask(&app, grant.str("access_token")).await.json;
        found.as_object_mut().unwrap().remove("sub");
        assert_eq!(found, told);
    }
}
