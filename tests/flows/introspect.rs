//! Introspection: the whole truth to whom it concerns, and exactly `{"active":false}` to everybody else.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it is")]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;
use vouchsafe_issuer::ClientDraft;
use vouchsafe_protocol::ClientId;
use vouchsafe_tests::{Answer, CLIENT_SECRET, Setup, TestApp, TestClient, claims_of};

const API: &str = "https://api.example/";
const INACTIVE: &str = r#"{"active":false}"#;

/// A resource server, a client of that resource, and a client that has to do with neither.
struct Scene<'a> {
    api: TestClient<'a>,
    web: TestClient<'a>,
    other: TestClient<'a>,
}

async fn scene(app: &TestApp) -> Scene<'_> {
    let api = app.client("api", "api:own").await;
    let uri = app
        .resource_with(API, "items:read items:write", |resource| {
            resource.server_client_id = Some(ClientId::parse("api").unwrap());
        })
        .await;
    let web = app
        .client_with("web", "openid items:read", |draft| {
            draft.resources = Some(vec![uri]);
        })
        .await;
    let other = app.client("other", "openid items:read").await;
    app.user("alice", &[]).await;
    Scene { api, web, other }
}

fn assert_inactive(answer: &Answer, what: &str) {
    assert_eq!((answer.status, answer.text.as_str()), (200, INACTIVE), "{what}");
}

/// Asks with credentials of the caller's making.
async fn ask(app: &TestApp, authorization: Option<&str>, form: &[(&str, &str)]) -> Answer {
    let mut request = app.http.post(format!("{}/introspect", app.base)).form(form);
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    Answer::read(request.send().await.unwrap()).await
}

fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

/// A compact form of a header and a payload of nobody's.
fn forged(header: &serde_json::Value) -> String {
    let payload = json!({"iss": "x", "sub": "x", "exp": 9_999_999_999_i64});
    format!(
        "{}.{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(payload.to_string()),
        URL_SAFE_NO_PAD.encode([7; 64])
    )
}

#[tokio::test]
async fn i01_nobody_asks_without_credentials_of_their_own() {
    let app = TestApp::start().await;
    let web = app.client("web", "items:read").await;
    app.public_client("native", "openid").await;
    let token = web.credentials().await.str("access_token").to_owned();
    let bad = "401 invalid_client bad_credentials";
    let bearer = format!("Bearer {token}");
    let right = basic("web", CLIENT_SECRET);
    type Case<'a> = (&'a str, Option<String>, &'a [(&'a str, &'a str)], &'a str);
    let cases: [Case<'_>; 9] = [
        ("nothing", None, &[], bad),
        ("a wrong secret", Some(basic("web", "wrong")), &[], bad),
        (
            "an unknown client",
            Some(basic("nobody", CLIENT_SECRET)),
            &[],
            bad,
        ),
        ("an access token", Some(bearer), &[], bad),
        ("a client id alone", None, &[("client_id", "web")], bad),
        (
            "the method of another client",
            None,
            &[("client_id", "web"), ("client_secret", CLIENT_SECRET)],
            bad,
        ),
        (
            "a secret for a public client",
            Some(basic("native", CLIENT_SECRET)),
            &[],
            bad,
        ),
        (
            "a public client",
            None,
            &[("client_id", "native")],
            "401 invalid_client public_client_not_allowed",
        ),
        (
            "two at once",
            Some(right.clone()),
            &[("client_id", "web"), ("client_secret", CLIENT_SECRET)],
            "400 invalid_request multiple_credentials",
        ),
    ];
    for (what, authorization, fields, outcome) in cases {
        let form = [&[("token", token.as_str())][..], fields].concat();
        let answer = ask(&app, authorization.as_deref(), &form).await;
        assert_eq!(answer.outcome(), outcome, "{what}");
        assert!(answer.json.get("active").is_none(), "{what}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{what}");
        // RFC 6749 5.2: a challenge answers the header, and only the header.
        let challenged = answer
            .header("www-authenticate")
            .is_some_and(|value| value.starts_with("Basic "));
        assert_eq!(
            challenged,
            authorization.is_some() && answer.status == 401,
            "{what}"
        );
    }
    let answer = ask(&app, Some(&right), &[("token", &token)]).await;
    assert_eq!(answer.json["active"], true);
}

#[tokio::test]
async fn i01_a_disabled_client_asks_no_more() {
    let app = TestApp::start().await;
    let Scene { api, web, .. } = scene(&app).await;
    let token = web.credentials().await.str("access_token").to_owned();
    assert!(api.is_active(&token).await);
    let draft = ClientDraft {
        disabled: Some(true),
        ..ClientDraft::default()
    };
    let id = ClientId::parse("api").unwrap();
    app.inside()
        .update_client(&id, &draft, &TestApp::operator())
        .await
        .unwrap();
    let answer = api.introspect(&token).await;
    assert_eq!(answer.outcome(), "401 invalid_client bad_credentials");
    assert!(web.is_active(&token).await);
}

#[tokio::test]
async fn a_question_needs_a_token() {
    let app = TestApp::start().await;
    let web = app.client("web", "items:read").await;
    let forms: [&[(&str, &str)]; 3] = [&[], &[("token", "")], &[("token_type_hint", "access_token")]];
    for form in forms {
        let answer = web.post("/introspect", form).await;
        assert_eq!(
            answer.outcome(),
            "400 invalid_request missing_parameter",
            "{form:?}"
        );
    }
}

#[tokio::test]
async fn an_access_token_concerns_its_client_and_the_server_of_its_audience() {
    let app = TestApp::start().await;
    let Scene { api, web, other } = scene(&app).await;
    let elsewhere = app.client("elsewhere", "api:own").await;
    app.resource_with("https://elsewhere.example/", "items:read", |resource| {
        resource.server_client_id = Some(ClientId::parse("elsewhere").unwrap());
    })
    .await;
    let of_alice = web.sign_in("alice").await;
    let of_web = web.credentials().await;
    for grant in [&of_alice, &of_web] {
        let token = grant.str("access_token");
        assert_eq!(grant.claims()["aud"], API);
        assert!(web.is_active(token).await);
        assert!(api.is_active(token).await);
        assert_inactive(&other.introspect(token).await, "a client without a part in it");
        assert_inactive(
            &elsewhere.introspect(token).await,
            "the server of another resource",
        );
    }
    // A token for the issuer itself has no server but its client.
    let to_issuer = other.credentials().await;
    assert_eq!(to_issuer.claims()["aud"], app.issuer);
    let token = to_issuer.str("access_token");
    assert!(other.is_active(token).await);
    for stranger in [web, api, elsewhere] {
        assert_inactive(&stranger.introspect(token).await, stranger.id);
    }
}

#[tokio::test]
async fn a_server_that_serves_no_longer_learns_no_more() {
    let app = TestApp::start().await;
    let Scene { api, web, .. } = scene(&app).await;
    let token = web.credentials().await.str("access_token").to_owned();
    assert!(api.is_active(&token).await);
    let resources = app.inside().list_resources().await.unwrap();
    let mut resource = resources.into_iter().next().unwrap();
    resource.server_client_id = None;
    app.inside()
        .update_resource(&resource, &TestApp::operator())
        .await
        .unwrap();
    assert_inactive(&api.introspect(&token).await, "its former server");
    assert!(web.is_active(&token).await);
}

#[tokio::test]
async fn a_refresh_token_concerns_its_own_client_only() {
    let app = TestApp::start().await;
    let Scene { api, web, other } = scene(&app).await;
    let grant = web.sign_in("alice").await;
    let token = grant.str("refresh_token");
    assert_inactive(&api.introspect(token).await, "the server of its audience");
    assert_inactive(&other.introspect(token).await, "another client");
    let answer = web.introspect(token).await;
    let claims = grant.refresh_claims();
    let idle_end = app.now().plus(Duration::from_secs(14 * 86_400)).as_unix();
    assert_eq!(
        answer.json,
        json!({
            "active": true,
            "scope": claims["scope"],
            "client_id": "web",
            "exp": idle_end,
            "iat": claims["iat"],
            "sub": grant.claims()["sub"],
            "iss": app.issuer,
            "jti": claims["jti"],
            "sid": claims["sid"],
        })
    );
}

#[tokio::test]
async fn an_active_access_token_is_told_as_it_was_signed() {
    let app = TestApp::start().await;
    let Scene { api, web, .. } = scene(&app).await;
    for grant in [web.sign_in("alice").await, web.credentials().await] {
        let token = grant.str("access_token");
        let mut told = grant.claims();
        let members = told.as_object_mut().unwrap();
        members.insert("active".to_owned(), json!(true));
        members.insert("token_type".to_owned(), json!("Bearer"));
        let answer = api.introspect(token).await;
        assert_eq!(answer.json, told);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let media_type = answer.header("content-type").unwrap();
        assert!(media_type.starts_with("application/json"), "{media_type}");
    }
}

#[tokio::test]
async fn i03_a_rotated_refresh_token_is_inactive() {
    let app = TestApp::start().await;
    let Scene { web, .. } = scene(&app).await;
    let first = web.sign_in("alice").await;
    let second = web.refresh(first.str("refresh_token")).await;
    assert_inactive(
        &web.introspect(first.str("refresh_token")).await,
        "inside its retry window",
    );
    assert!(web.is_active(second.str("refresh_token")).await);
    // Asking changed nothing: the honest retry still gets its successor.
    let again = web.refresh(first.str("refresh_token")).await;
    assert_eq!(again.str("refresh_token"), second.str("refresh_token"));
}

#[tokio::test]
async fn i03_revoked_tokens_are_inactive() {
    let app = TestApp::start().await;
    let Scene { api, web, .. } = scene(&app).await;
    let kept = web.sign_in("alice").await;
    let ended = web.sign_in("alice").await;
    let alone = web.credentials().await;
    assert_eq!(web.revoke(ended.str("refresh_token")).await.status, 200);
    assert_eq!(web.revoke(alone.str("access_token")).await.status, 200);
    for (token, asker) in [
        (ended.str("refresh_token"), web),
        (ended.str("access_token"), web),
        (ended.str("access_token"), api),
        (alone.str("access_token"), web),
        (alone.str("access_token"), api),
    ] {
        assert_inactive(&asker.introspect(token).await, asker.id);
    }
    assert!(web.is_active(kept.str("refresh_token")).await);
    assert!(web.is_active(kept.str("access_token")).await);
}

#[tokio::test]
async fn i03_expired_tokens_are_inactive_from_their_last_second_on() {
    let app = Setup::default()
        .set("tokens.access_ttl", "5m")
        .set("tokens.refresh_idle_ttl", "1h")
        .set("tokens.refresh_absolute_ttl", "90m")
        .start()
        .await;
    let Scene { web, .. } = scene(&app).await;
    let first = web.sign_in("alice").await;
    app.advance(Duration::from_secs(299)).await;
    assert!(web.is_active(first.str("access_token")).await);
    app.advance(Duration::from_secs(1)).await;
    assert_inactive(&web.introspect(first.str("access_token")).await, "after 5 min");
    // The idle end, then, moved on by a use, the absolute end.
    app.advance(Duration::from_secs(3299)).await;
    assert!(web.is_active(first.str("refresh_token")).await);
    let second = web.refresh(first.str("refresh_token")).await;
    app.advance(Duration::from_secs(1)).await;
    assert!(web.is_active(second.str("refresh_token")).await);
    app.advance(Duration::from_secs(1799)).await;
    assert!(web.is_active(second.str("refresh_token")).await);
    app.advance(Duration::from_secs(1)).await;
    assert_inactive(&web.introspect(second.str("refresh_token")).await, "after 90 min");
    let idle = web.sign_in("alice").await;
    app.advance(Duration::from_secs(3600)).await;
    assert_inactive(&web.introspect(idle.str("refresh_token")).await, "unused for 1 h");
}

#[tokio::test]
async fn i03_what_a_locked_person_or_a_disabled_client_holds_is_inactive() {
    let app = TestApp::start().await;
    let Scene { api, web, .. } = scene(&app).await;
    let of_alice = web.sign_in("alice").await;
    let of_web = web.credentials().await;
    let operator = TestApp::operator();
    app.inside()
        .set_user_locked("alice", true, &operator)
        .await
        .unwrap();
    assert_inactive(&api.introspect(of_alice.str("access_token")).await, "locked");
    assert_inactive(&web.introspect(of_alice.str("refresh_token")).await, "locked");
    assert!(api.is_active(of_web.str("access_token")).await);
    let draft = ClientDraft {
        disabled: Some(true),
        ..ClientDraft::default()
    };
    let id = ClientId::parse("web").unwrap();
    app.inside().update_client(&id, &draft, &operator).await.unwrap();
    assert_inactive(&api.introspect(of_web.str("access_token")).await, "disabled");
}

#[tokio::test]
async fn i03_a_token_of_another_issuer_is_inactive_even_under_the_same_keys() {
    let app = TestApp::start().await;
    let Scene { web, .. } = scene(&app).await;
    // The same database and keys, but its own issuer string.
    let other = Setup::default().beside(&app).start().await;
    assert_ne!(app.issuer, other.issuer);
    let grant = web.at(&other).sign_in("alice").await;
    for token in [grant.str("access_token"), grant.str("refresh_token")] {
        assert_eq!(claims_of(token)["iss"], other.issuer);
        assert!(web.at(&other).is_active(token).await);
        assert_inactive(&web.introspect(token).await, "another issuer");
    }
}

#[tokio::test]
async fn cl25_a_wrong_hint_hides_nothing() {
    let app = TestApp::start().await;
    let Scene { web, .. } = scene(&app).await;
    let grant = web.sign_in("alice").await;
    for token in [grant.str("access_token"), grant.str("refresh_token")] {
        let plain = web.introspect(token).await;
        assert_eq!(plain.json["active"], true);
        for hint in ["access_token", "refresh_token", "id_token", "nonsense", ""] {
            let form = [("token", token), ("token_type_hint", hint)];
            let hinted = web.post("/introspect", &form).await;
            assert_eq!(hinted.json, plain.json, "{hint}");
        }
    }
    for hint in ["access_token", "refresh_token"] {
        let form = [("token", "unknown"), ("token_type_hint", hint)];
        assert_inactive(&web.post("/introspect", &form).await, hint);
    }
}

#[tokio::test]
async fn i04_another_replica_learns_of_a_revocation_within_its_bound() {
    let app = TestApp::start().await;
    let Scene { web, .. } = scene(&app).await;
    let second = Setup::default()
        .beside(&app)
        .set("issuer", &app.issuer)
        .start()
        .await;
    let there = web.at(&second);
    let ended = web.sign_in("alice").await;
    let kept = web.sign_in("alice").await;
    assert!(there.is_active(ended.str("access_token")).await);
    assert_eq!(web.revoke(ended.str("refresh_token")).await.status, 200);
    // The row is read for each question; the index of access tokens is at most a second old.
    assert_inactive(
        &there.introspect(ended.str("refresh_token")).await,
        "the refresh token",
    );
    second.clock.advance(Duration::from_secs(2));
    assert_inactive(
        &there.introspect(ended.str("access_token")).await,
        "the access token",
    );
    assert!(there.is_active(kept.str("access_token")).await);
    assert!(there.is_active(kept.str("refresh_token")).await);
}

#[tokio::test]
async fn f7_a_view_past_its_lease_vouches_for_nothing() {
    let app = TestApp::start().await;
    let Scene { api, web, .. } = scene(&app).await;
    let grant = web.sign_in("alice").await;
    let access = grant.str("access_token");
    app.advance(Duration::ZERO).await;
    assert!(api.is_active(access).await);
    app.inside().store().close().await;
    // Inside the lease an outage of the database goes unnoticed here.
    assert!(api.is_active(access).await);
    app.clock.advance(Duration::from_secs(6));
    let cases = [
        (api, access, "503 temporarily_unavailable stale_view"),
        (web, access, "503 temporarily_unavailable stale_view"),
        (
            web,
            grant.str("refresh_token"),
            "503 temporarily_unavailable stale_view",
        ),
    ];
    for (asker, token, outcome) in cases {
        let answer = asker.introspect(token).await;
        assert_eq!(answer.outcome(), outcome);
        let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!(wait >= 1);
        assert!(answer.json.get("active").is_none());
    }
}

#[tokio::test]
async fn i06_what_nobody_signed_is_answered_without_the_store() {
    let app = TestApp::start().await;
    let Scene { web, .. } = scene(&app).await;
    let grant = web.sign_in("alice").await;
    let broken = |token: &str| {
        let (signed, _) = token.rsplit_once('.').unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode([7; 64]))
    };
    let long = "x".repeat(20_000);
    let tokens = [
        "x".to_owned(),
        "a.b.c".to_owned(),
        "....".to_owned(),
        "usr_AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
        long.clone(),
        format!("{long}.{long}"),
        forged(&json!({"typ": "JWT", "alg": "ES256", "kid": "unknown"})),
        forged(&json!({"typ": "at+jwt", "alg": "none"})),
        forged(&json!({"typ": "at+jwt", "alg": "ES256"})),
        forged(&json!({"typ": "at+jwt", "alg": "ES256", "kid": "unknown"})),
        forged(&json!({"typ": "rt+jwt", "alg": "HS256", "kid": "unknown"})),
        forged(&json!({"typ": "rt+jwt", "alg": "HS256"})),
        broken(grant.str("access_token")),
        broken(grant.str("refresh_token")),
    ];
    app.inside().store().close().await;
    // What asks the store is told so.
    let live = web.introspect(grant.str("refresh_token")).await;
    assert_eq!(live.status, 503);
    for token in &tokens {
        let shown: String = token.chars().take(60).collect();
        assert_inactive(&web.introspect(token).await, &shown);
    }
}
