//! What a token request may ask for and what it gets: grants, scopes, audiences, lifetimes, algorithms, and the exact
//! shape of tokens and errors.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it is")]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use vouchsafe_issuer::{AdminError, ClientDraft};
use vouchsafe_jose::{PublicJwk, UnverifiedJws, VerifyingKey};
use vouchsafe_protocol::{ClientAuthMethod, ClientId, GrantType, ResourceUri, ScopeSet, SigningAlgorithm};
use vouchsafe_tests::{Answer, CLIENT_SECRET, START, Setup, TestApp, TestClient, password_of};

use crate::register::DEVICE_CODE;

const FORM: &str = "application/x-www-form-urlencoded";
const API: &str = "https://api.example/";
const FILES: &str = "https://files.example/v1";

/// A client of these audiences.
async fn client_of<'a>(
    app: &'a TestApp,
    id: &str,
    scope: &str,
    resources: &[&ResourceUri],
) -> TestClient<'a> {
    app.client_with(id, scope, |draft| {
        draft.resources = Some(resources.iter().map(|uri| (*uri).clone()).collect());
    })
    .await
}

/// Asks for a token of the client itself, with more parameters.
async fn credentials(client: &TestClient<'_>, more: &[(&str, &str)]) -> Answer {
    let form = [[("grant_type", "client_credentials")].as_slice(), more].concat();
    client.token(&form).await
}

/// Signs `alice` in, with more parameters.
async fn sign_in(client: &TestClient<'_>, more: &[(&str, &str)]) -> Answer {
    let password = password_of("alice");
    let own = [
        ("grant_type", "password"),
        ("username", "alice"),
        ("password", password.as_str()),
    ];
    client.token(&[own.as_slice(), more].concat()).await
}

/// Changes a client.
async fn update(app: &TestApp, id: &str, draft: &ClientDraft) {
    app.inside()
        .update_client(&ClientId::parse(id).unwrap(), draft, &TestApp::operator())
        .await
        .unwrap();
}

async fn disable(app: &TestApp, id: &str, disabled: bool) {
    let draft = ClientDraft {
        disabled: Some(disabled),
        ..ClientDraft::default()
    };
    update(app, id, &draft).await;
}

/// The claims of an access token whose signature verifies with the published keys.
async fn verified(app: &TestApp, token: &str) -> Value {
    let url = format!("{}/.well-known/jwks.json", app.issuer);
    let jwks = Answer::read(app.http.get(url).send().await.unwrap()).await.json;
    let jws = UnverifiedJws::parse(token).unwrap();
    let keys = jwks.get("keys").and_then(Value::as_array).unwrap();
    let named = |key: &&Value| key.get("kid").and_then(Value::as_str) == jws.kid();
    let key: PublicJwk = serde_json::from_value(keys.iter().find(named).unwrap().clone()).unwrap();
    let key = VerifyingKey::from_jwk(&key).unwrap();
    jws.verify(&key).unwrap().claims().unwrap()
}

fn header_of(token: &str) -> Value {
    let header = token.split('.').next().unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap()
}

#[tokio::test]
async fn cl7_the_token_of_a_client_has_exactly_these_claims() {
    let app = TestApp::start().await;
    let api = app.resource(API, "items:read").await;
    let web = client_of(&app, "web", "items:read", &[&api]).await;
    let answer = web.credentials().await;
    let token = answer.str("access_token");
    assert_eq!(
        answer.json,
        json!({
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": 300,
            "scope": "items:read",
        })
    );
    let media_type = answer.header("content-type").unwrap();
    assert_eq!(media_type.split(';').next(), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let claims = verified(&app, token).await;
    let jti = claims["jti"].as_str().unwrap();
    assert_eq!(jti.len(), 22, "128 random bits");
    assert_eq!(
        claims,
        json!({
            "iss": app.issuer,
            "sub": "web",
            "aud": API,
            "client_id": "web",
            "scope": "items:read",
            "iat": START,
            "exp": START + 300,
            "jti": jti,
        })
    );
    let header = header_of(token);
    let kid = header["kid"].as_str().unwrap();
    assert_eq!(header, json!({"typ": "at+jwt", "alg": "ES256", "kid": kid}));
    assert_ne!(web.credentials().await.claims()["jti"], jti);
}

#[tokio::test]
async fn cl7_the_token_of_a_person_has_exactly_these_claims() {
    let app = TestApp::start().await;
    app.role("viewer", "items:read", &[]).await;
    let subject = app.user("alice", &["viewer"]).await;
    let web = app.client("web", "openid items:read").await;
    app.advance(Duration::from_secs(7)).await;
    let answer = web.sign_in("alice").await;
    let (token, refresh_token) = (answer.str("access_token"), answer.str("refresh_token"));
    assert_eq!(
        answer.json,
        json!({
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": 300,
            "scope": "items:read openid",
            "id_token": answer.str("id_token"),
            "refresh_token": refresh_token,
            "refresh_token_expires_in": 14 * 24 * 3600,
        })
    );
    let claims = verified(&app, token).await;
    let (jti, sid) = (
        claims["jti"].as_str().unwrap(),
        answer.refresh_claims()["sid"].clone(),
    );
    assert_eq!(
        claims,
        json!({
            "iss": app.issuer,
            "sub": subject,
            "aud": app.issuer,
            "client_id": "web",
            "scope": "items:read openid",
            "iat": START + 7,
            "exp": START + 307,
            "jti": jti,
            "sid": sid,
            "auth_time": START + 7,
            "amr": ["pwd"],
            "roles": ["viewer"],
        })
    );
    // What the person did then stays as it was.
    app.advance(Duration::from_secs(60)).await;
    let claims = web.refresh(refresh_token).await.claims();
    assert_eq!(claims["iat"], START + 67);
    assert_eq!(claims["auth_time"], START + 7);
    assert_eq!(claims["amr"], json!(["pwd"]));
}

#[tokio::test]
async fn t60_a_public_client_gets_nothing_for_itself() {
    let app = TestApp::start().await;
    let spa = app.public_client("spa", "items:read").await;
    assert_eq!(
        spa.credentials().await.outcome(),
        "400 unauthorized_client grant_not_allowed"
    );
    let draft = ClientDraft {
        auth_method: Some(ClientAuthMethod::None),
        grants: Some(vec![GrantType::ClientCredentials]),
        ..ClientDraft::default()
    };
    let made = app
        .inside()
        .create_client(None, &draft, None, &TestApp::operator())
        .await;
    assert!(matches!(made, Err(AdminError::Invalid(_))), "{made:?}");
    let draft = ClientDraft {
        grants: draft.grants,
        ..ClientDraft::default()
    };
    let id = ClientId::parse("spa").unwrap();
    let updated = app
        .inside()
        .update_client(&id, &draft, &TestApp::operator())
        .await;
    assert!(matches!(updated, Err(AdminError::Invalid(_))), "{updated:?}");
}

#[tokio::test]
async fn t60_a_client_gets_neither_a_refresh_token_nor_scopes_that_need_a_person() {
    let app = TestApp::start().await;
    let web = app.client("web", "openid offline_access items:read").await;
    for scope in [
        "openid",
        "offline_access",
        "openid items:read",
        "items:read offline_access",
    ] {
        let answer = credentials(&web, &[("scope", scope)]).await;
        assert_eq!(answer.outcome(), "400 invalid_scope scope_not_allowed", "{scope}");
    }
    let answer = web.credentials().await;
    assert_eq!(answer.str("scope"), "items:read");
    assert_eq!(answer.json.get("refresh_token"), None);
    assert_eq!(answer.claims().get("sid"), None);
}

#[tokio::test]
async fn t61_a_client_that_was_switched_off_gets_nothing_from_then_on() {
    let app = TestApp::start().await;
    let web = app.client("web", "items:read").await;
    assert_eq!(web.credentials().await.outcome(), "200");
    disable(&app, "web", true).await;
    assert_eq!(
        web.credentials().await.outcome(),
        "401 invalid_client bad_credentials"
    );
    disable(&app, "web", false).await;
    // What ended its tokens covers a few seconds more, so that no replica signs past it.
    app.advance(Duration::from_secs(10)).await;
    let again = web.credentials().await;
    assert_eq!(again.outcome(), "200");
    assert!(web.is_active(again.str("access_token")).await);
}

#[tokio::test]
async fn t62_cl22_a_grant_that_is_unknown_or_not_the_clients_is_refused() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let machine = app
        .client_with("machine", "items:read", |draft| {
            draft.grants = Some(vec![GrantType::ClientCredentials]);
        })
        .await;
    let person = app
        .client_with("person", "items:read", |draft| {
            draft.grants = Some(vec![GrantType::Password]);
        })
        .await;
    let unauthorized = "400 unauthorized_client grant_not_allowed";
    assert_eq!(machine.sign_in("alice").await.outcome(), unauthorized);
    assert_eq!(machine.refresh("x.y.z").await.outcome(), unauthorized);
    let posted = machine.post("/refresh", &[("refresh_token", "x.y.z")]).await;
    assert_eq!(posted.outcome(), unauthorized);
    assert_eq!(person.credentials().await.outcome(), unauthorized);
    let signed_in = person.sign_in("alice").await;
    assert_eq!(signed_in.outcome(), "200");
    assert_eq!(signed_in.json.get("refresh_token"), None);
    let unknown = "400 unsupported_grant_type unknown_grant";
    let missing = "400 invalid_request missing_parameter";
    let not_theirs = "400 unauthorized_client grant_not_allowed";
    type Case<'a> = (&'a TestClient<'a>, &'a [(&'a str, &'a str)], &'a str);
    let cases: [Case<'_>; 6] = [
        (&machine, &[], missing),
        (&machine, &[("grant_type", "implicit")], unknown),
        (&person, &[("grant_type", "Password")], unknown),
        (
            &machine,
            &[("grant_type", "authorization_code"), ("code", "x")],
            not_theirs,
        ),
        (
            &machine,
            &[("grant_type", DEVICE_CODE), ("device_code", "x")],
            not_theirs,
        ),
        (
            &machine,
            &[("grant_type", "client_credentials refresh_token")],
            unknown,
        ),
    ];
    for (client, form, outcome) in cases {
        assert_eq!(client.token(form).await.outcome(), outcome, "{form:?}");
    }
    for grant in ["client_credentials", "password", "other"] {
        let form = [("grant_type", grant), ("refresh_token", "x.y.z")];
        let answer = machine.post("/refresh", &form).await;
        assert_eq!(answer.outcome(), unknown, "{grant}");
    }
}

#[tokio::test]
async fn t62_a_grant_taken_from_the_client_is_gone_at_once() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let web = app.client("web", "openid").await;
    let signed_in = web.sign_in("alice").await;
    let draft = ClientDraft {
        grants: Some(vec![GrantType::ClientCredentials]),
        ..ClientDraft::default()
    };
    update(&app, "web", &draft).await;
    let unauthorized = "400 unauthorized_client grant_not_allowed";
    assert_eq!(
        web.refresh(signed_in.str("refresh_token")).await.outcome(),
        unauthorized
    );
    assert_eq!(web.sign_in("alice").await.outcome(), unauthorized);
    assert_eq!(web.credentials().await.outcome(), "200");
}

#[tokio::test]
async fn cl10_cl19_the_answer_repeats_every_granted_scope() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let web = app
        .client("web", "openid offline_access items:read items:write")
        .await;
    let asked = "openid offline_access items:read";
    let first = sign_in(&web, &[("scope", asked)]).await;
    assert_eq!(first.str("scope"), "items:read offline_access openid");
    let second = web.refresh(first.str("refresh_token")).await;
    assert_eq!(second.str("scope"), "items:read offline_access openid");
    let narrower = web
        .token(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", second.str("refresh_token")),
            ("scope", "openid"),
        ])
        .await;
    assert_eq!(narrower.str("scope"), "openid");
    for answer in [&first, &second, &narrower] {
        assert_eq!(answer.claims()["scope"], answer.str("scope"));
    }
    // The grant decides whether there is a refresh token, not `offline_access`.
    let plain = sign_in(&web, &[("scope", "items:read")]).await;
    assert_eq!(plain.str("scope"), "items:read");
    assert_eq!(web.refresh(plain.str("refresh_token")).await.outcome(), "200");
}

#[tokio::test]
async fn without_resource_the_only_one_is_the_audience_else_the_issuer() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let api = app.resource(API, "items:read shared").await;
    let files = app.resource(FILES, "files:read shared").await;
    let scope = "openid items:read files:read shared local";
    let none = client_of(&app, "none", scope, &[]).await;
    let one = client_of(&app, "one", scope, &[&api]).await;
    let two = client_of(&app, "two", scope, &[&api, &files]).await;
    let issuer = app.issuer.as_str();
    // A scope that a resource knows is held there only; one that several know, at each of them.
    for (client, resource, audience, own, of_a_person) in [
        (&none, None, issuer, "local", "local openid"),
        (&none, Some(issuer), issuer, "local", "local openid"),
        (&one, None, API, "items:read shared", "items:read openid shared"),
        (
            &one,
            Some(API),
            API,
            "items:read shared",
            "items:read openid shared",
        ),
        (&one, Some(issuer), issuer, "local", "local openid"),
        (&two, None, issuer, "local", "local openid"),
        (
            &two,
            Some(API),
            API,
            "items:read shared",
            "items:read openid shared",
        ),
        (
            &two,
            Some(FILES),
            FILES,
            "files:read shared",
            "files:read openid shared",
        ),
    ] {
        let asked = resource.map(|uri| ("resource", uri));
        let about = format!("{} {resource:?}", client.id);
        for (answer, scope) in [
            (credentials(client, asked.as_slice()).await, own),
            (sign_in(client, asked.as_slice()).await, of_a_person),
        ] {
            assert_eq!(answer.outcome(), "200", "{about}");
            // One audience is one string.
            assert_eq!(answer.claims()["aud"], audience, "{about}");
            assert_eq!(answer.claims()["scope"], scope, "{about}");
            assert_eq!(answer.str("scope"), scope, "{about}");
        }
    }
}

#[tokio::test]
async fn cl8_a_resource_is_known_allowed_and_spelled_as_registered() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let api = app.resource(API, "items:read").await;
    app.resource(FILES, "files:read").await;
    let web = client_of(&app, "web", "openid items:read files:read", &[&api]).await;
    let long = format!("https://api.example/{}", "a".repeat(500));
    for (resource, reason) in [
        ("https://unknown.example/", "unknown_resource"),
        ("https://api.example", "unknown_resource"),
        ("https://API.example/", "unknown_resource"),
        ("https://api.example:443/", "unknown_resource"),
        ("https://api.example/?", "unknown_resource"),
        ("http://api.example/", "unknown_resource"),
        ("https://api.example/#top", "unknown_resource"),
        ("//api.example/", "unknown_resource"),
        ("items", "unknown_resource"),
        (
            "https://api.example/ https://files.example/v1",
            "unknown_resource",
        ),
        (long.as_str(), "unknown_resource"),
        (FILES, "resource_not_allowed"),
    ] {
        let asked = [("resource", resource)];
        for answer in [credentials(&web, &asked).await, sign_in(&web, &asked).await] {
            assert_eq!(
                answer.outcome(),
                format!("400 invalid_target {reason}"),
                "{resource}"
            );
        }
    }
    // One that is gone is unknown, and its client is left with the issuer.
    app.inside()
        .delete_resource(&api, &TestApp::operator())
        .await
        .unwrap();
    assert_eq!(
        credentials(&web, &[("resource", API)]).await.outcome(),
        "400 invalid_target unknown_resource"
    );
    assert_eq!(web.credentials().await.claims()["aud"], app.issuer);
}

#[tokio::test]
async fn t46_no_token_is_for_a_resource_whose_server_is_switched_off() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    app.client("server", "").await;
    let api = app
        .resource_with(API, "items:read", |resource| {
            resource.server_client_id = Some(ClientId::parse("server").unwrap());
        })
        .await;
    let files = app.resource(FILES, "items:read").await;
    let one = client_of(&app, "one", "items:read", &[&api]).await;
    let two = client_of(&app, "two", "items:read", &[&api, &files]).await;
    for (disabled, outcome) in [
        (false, "200"),
        (true, "400 invalid_target resource_not_allowed"),
        (false, "200"),
    ] {
        disable(&app, "server", disabled).await;
        let asked = [("resource", API)];
        assert_eq!(one.credentials().await.outcome(), outcome);
        assert_eq!(one.sign_in("alice").await.outcome(), outcome);
        assert_eq!(credentials(&two, &asked).await.outcome(), outcome);
        assert_eq!(sign_in(&two, &asked).await.outcome(), outcome);
        let elsewhere = credentials(&two, &[("resource", FILES)]).await;
        assert_eq!(elsewhere.outcome(), "200");
    }
}

#[tokio::test]
async fn cl18_whoever_may_refresh_may_ask_for_offline_access() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let web = app.client("web", "openid").await;
    let once = app
        .client_with("once", "openid", |draft| {
            draft.grants = Some(vec![GrantType::Password]);
        })
        .await;
    let asked = [("scope", "openid offline_access")];
    let first = sign_in(&web, &asked).await;
    assert_eq!(first.str("scope"), "offline_access openid");
    let second = web.refresh(first.str("refresh_token")).await;
    assert_eq!(second.str("scope"), "offline_access openid");
    assert_eq!(web.sign_in("alice").await.str("scope"), "openid");
    let refused = "400 invalid_scope scope_not_allowed";
    assert_eq!(sign_in(&once, &asked).await.outcome(), refused);
    assert_eq!(credentials(&web, &asked).await.outcome(), refused);
}

#[tokio::test]
async fn a14_a_scope_must_be_held_at_the_audience() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let api = app.resource(API, "items:read items:write").await;
    let files = app.resource(FILES, "files:read").await;
    let scope = "openid items:read files:read local";
    let web = client_of(&app, "web", scope, &[&api, &files]).await;
    let refused = "400 invalid_scope scope_not_allowed";
    for (resource, scope, outcome) in [
        (Some(API), "items:read", "200"),
        (Some(FILES), "files:read", "200"),
        (None, "local", "200"),
        // Known there, but not the client's.
        (Some(API), "items:write", refused),
        // The client's, but of another audience.
        (Some(API), "files:read", refused),
        (Some(API), "items:read local", refused),
        (None, "items:read", refused),
        // Nobody's.
        (None, "other", refused),
        (None, "LOCAL", refused),
    ] {
        let asked: Vec<_> = resource
            .map(|uri| ("resource", uri))
            .into_iter()
            .chain([("scope", scope)])
            .collect();
        for answer in [credentials(&web, &asked).await, sign_in(&web, &asked).await] {
            assert_eq!(answer.outcome(), outcome, "{asked:?}");
            if outcome == "200" {
                assert_eq!(answer.str("scope"), scope);
            }
        }
    }
}

#[tokio::test]
async fn a13_a_malformed_scope_is_refused() {
    let app = TestApp::start().await;
    let web = app.client("web", "items:read").await;
    let many = (0..5_000).map(|n| format!("s{n}")).collect::<Vec<_>>().join(" ");
    let long = "x".repeat(10 * 1024);
    for scope in [
        " ",
        " items:read",
        "items:read ",
        "items:read  items:read",
        "items:\"read\"",
        "items:\\read",
        "items:r\u{e9}ad",
        many.as_str(),
        long.as_str(),
    ] {
        let answer = credentials(&web, &[("scope", scope)]).await;
        assert_eq!(
            answer.outcome(),
            "400 invalid_scope invalid_parameter",
            "{scope:.40}"
        );
    }
    let twice = credentials(&web, &[("scope", "items:read items:read")]).await;
    assert_eq!(twice.str("scope"), "items:read");
}

#[tokio::test]
async fn the_granted_scope_may_be_empty() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let api = app.resource(API, "items:read").await;
    let web = client_of(&app, "web", "", &[&api]).await;
    for answer in [web.credentials().await, web.sign_in("alice").await] {
        assert_eq!(answer.outcome(), "200");
        assert_eq!(answer.str("scope"), "");
        assert_eq!(answer.claims()["scope"], "");
        assert_eq!(answer.claims()["aud"], API);
        assert!(web.is_active(answer.str("access_token")).await);
    }
}

#[tokio::test]
async fn the_shorter_lifetime_of_client_and_resource_counts_up_to_the_maximum() {
    let app = Setup::default()
        .set("tokens.access_ttl", "5m")
        .set("tokens.max_access_ttl", "15m")
        .start()
        .await;
    app.user("alice", &[]).await;
    for (n, (of_client, of_resource, expected)) in [
        (None, None, 300),
        (Some(60), None, 60),
        (None, Some(120), 120),
        (Some(600), Some(120), 120),
        (Some(120), Some(600), 120),
        // Longer than the default is allowed, longer than the maximum is cut.
        (Some(600), None, 600),
        (None, Some(601), 601),
        (Some(900), Some(901), 900),
        (Some(7_200), None, 900),
        (None, Some(10 * 24 * 3_600), 900),
        (Some(i64::MAX), Some(i64::MAX), 900),
    ]
    .into_iter()
    .enumerate()
    {
        let uri = format!("https://api-{n}.example/");
        let api = app
            .resource_with(&uri, "items:read", |resource| resource.access_ttl = of_resource)
            .await;
        let client = app
            .client_with(&format!("client-{n}"), "items:read", |draft| {
                draft.access_ttl = of_client;
                draft.resources = Some(vec![api]);
            })
            .await;
        for answer in [client.credentials().await, client.sign_in("alice").await] {
            let about = format!("{of_client:?} {of_resource:?}");
            assert_eq!(answer.json["expires_in"], expected, "{about}");
            let claims = answer.claims();
            assert_eq!(claims["iat"], START, "{about}");
            assert_eq!(claims["exp"], START + expected, "{about}");
        }
    }
}

#[tokio::test]
async fn an_access_token_ends_no_later_than_its_family() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let web = app
        .client_with("web", "openid", |draft| draft.refresh_absolute_ttl = Some(400))
        .await;
    let first = web.sign_in("alice").await;
    assert_eq!(first.json["expires_in"], 300);
    assert_eq!(first.json["refresh_token_expires_in"], 400);
    app.advance(Duration::from_secs(250)).await;
    let second = web.refresh(first.str("refresh_token")).await;
    assert_eq!(second.json["expires_in"], 150);
    assert_eq!(second.json["refresh_token_expires_in"], 150);
    assert_eq!(second.claims()["exp"], START + 400);
}

#[tokio::test]
async fn cl5_resource_then_client_then_default_choose_the_algorithm() {
    use SigningAlgorithm::{EdDsa, Es256, Rs256};
    let app = Setup::default()
        .set("keys.algorithms", "ES256,RS256,EdDSA")
        .start()
        .await;
    app.user("alice", &[]).await;
    for (n, (of_client, of_resource, expected)) in [
        (None, None, Es256),
        (Some(Rs256), None, Rs256),
        (None, Some(Rs256), Rs256),
        (None, Some(EdDsa), EdDsa),
        (Some(Rs256), Some(EdDsa), EdDsa),
        (Some(EdDsa), Some(Es256), Es256),
    ]
    .into_iter()
    .enumerate()
    {
        let uri = format!("https://api-{n}.example/");
        let api = app
            .resource_with(&uri, "items:read", |resource| {
                resource.signing_algorithm = of_resource;
            })
            .await;
        let client = app
            .client_with(&format!("client-{n}"), "items:read", |draft| {
                draft.signing_algorithm = of_client;
                draft.resources = Some(vec![api]);
            })
            .await;
        for answer in [client.credentials().await, client.sign_in("alice").await] {
            let token = answer.str("access_token");
            let header = header_of(token);
            assert_eq!(header["alg"], expected.as_str(), "{of_client:?} {of_resource:?}");
            assert_eq!(header["typ"], "at+jwt");
            assert_eq!(verified(&app, token).await, answer.claims());
            assert!(client.is_active(token).await);
        }
    }
}

#[tokio::test]
async fn the_default_algorithm_is_a_setting_and_others_need_a_key() {
    let app = Setup::default()
        .set("keys.algorithms", "EdDSA")
        .set("tokens.default_algorithm", "EdDSA")
        .start()
        .await;
    let web = app.client("web", "items:read").await;
    let answer = web.credentials().await;
    let token = answer.str("access_token");
    assert_eq!(header_of(token)["alg"], "EdDSA");
    assert_eq!(verified(&app, token).await, answer.claims());
    let draft = ClientDraft {
        signing_algorithm: Some(SigningAlgorithm::Rs256),
        ..ClientDraft::default()
    };
    let id = ClientId::parse("web").unwrap();
    let updated = app
        .inside()
        .update_client(&id, &draft, &TestApp::operator())
        .await;
    assert!(matches!(updated, Err(AdminError::Invalid(_))), "{updated:?}");
}

/// Posts a body as it is, with HTTP Basic unless the header is empty.
async fn post(app: &TestApp, path: &str, authorization: &str, content_type: &str, body: String) -> Answer {
    let mut request = app
        .http
        .post(format!("{}{path}", app.issuer))
        .header("content-type", content_type)
        .body(body);
    if !authorization.is_empty() {
        request = request.header("authorization", authorization);
    }
    Answer::read(request.send().await.unwrap()).await
}

#[tokio::test]
async fn cl21_cl22_every_error_is_one_json_object_that_nobody_stores() {
    let app = TestApp::start().await;
    app.client_with("web", "items:read", |draft| {
        draft.grants = Some(vec![GrantType::ClientCredentials, GrantType::RefreshToken]);
    })
    .await;
    let pair = STANDARD.encode(format!("web:{CLIENT_SECRET}"));
    let web = format!("Basic {pair}");
    let web = web.as_str();
    let own = "grant_type=client_credentials";
    let of_form = async |authorization: &str, body: &str| {
        post(&app, "/token", authorization, FORM, body.to_owned()).await
    };
    let get = async |path: &str| {
        let request = app.http.get(format!("{}{path}", app.issuer));
        Answer::read(request.send().await.unwrap()).await
    };
    let three_megabytes = format!("{own}&x={}", "a".repeat(3_000_000));
    for (answer, status, error, reason, description) in [
        (
            of_form(web, "").await,
            400,
            "invalid_request",
            "missing_parameter",
            "A required parameter is missing.",
        ),
        (
            of_form(web, &format!("{own}&{own}")).await,
            400,
            "invalid_request",
            "duplicate_parameter",
            "A parameter is given more than once.",
        ),
        (
            of_form(web, "grant_type=%00").await,
            400,
            "invalid_request",
            "malformed_body",
            "The request body is malformed.",
        ),
        (
            of_form(web, &format!("{own}&client_id=other")).await,
            400,
            "invalid_request",
            "multiple_credentials",
            "More than one client authentication method is used.",
        ),
        (
            post(&app, "/token", web, "application/json", "{}".to_owned()).await,
            400,
            "invalid_request",
            "unsupported_media_type",
            "The content type is not one that this address takes.",
        ),
        (
            post(&app, &format!("/token?{own}"), web, FORM, String::new()).await,
            400,
            "invalid_request",
            "parameters_in_query",
            "Parameters belong in the request body.",
        ),
        (
            post(&app, "/token", web, FORM, three_megabytes).await,
            413,
            "invalid_request",
            "body_too_large",
            "The request body is too large.",
        ),
        (
            get("/token").await,
            405,
            "invalid_request",
            "method_not_allowed",
            "The request method is not allowed here.",
        ),
        (
            get("/oauth/token").await,
            404,
            "invalid_request",
            "not_found",
            "There is nothing at this address.",
        ),
        (
            of_form("", own).await,
            401,
            "invalid_client",
            "bad_credentials",
            "Client authentication failed.",
        ),
        (
            of_form(web, "grant_type=refresh_token&refresh_token=x.y.z").await,
            400,
            "invalid_grant",
            "malformed_token",
            "The grant is not valid.",
        ),
        (
            of_form(web, "grant_type=password&username=a&password=b").await,
            400,
            "unauthorized_client",
            "grant_not_allowed",
            "The client may not use this grant type.",
        ),
        (
            of_form(web, "grant_type=implicit").await,
            400,
            "unsupported_grant_type",
            "unknown_grant",
            "The grant type is not supported.",
        ),
        (
            of_form(web, &format!("{own}&scope=other")).await,
            400,
            "invalid_scope",
            "scope_not_allowed",
            "A requested scope may not be granted.",
        ),
        (
            of_form(web, &format!("{own}&scope=%22")).await,
            400,
            "invalid_scope",
            "invalid_parameter",
            "The scope is not valid.",
        ),
        (
            of_form(web, &format!("{own}&resource=urn:x")).await,
            400,
            "invalid_target",
            "unknown_resource",
            "The resource is not valid for this request.",
        ),
    ] {
        let expected = json!({"error": error, "error_description": description, "reason": reason});
        assert_eq!(answer.json, expected, "{}", answer.text);
        assert_eq!(answer.status, status, "{reason}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/json"),
            "{reason}"
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{reason}");
        assert_eq!(
            answer.header("x-content-type-options"),
            Some("nosniff"),
            "{reason}"
        );
    }
}

#[tokio::test]
async fn h22_an_error_never_repeats_what_was_sent() {
    const MARK: &str = "h22<b>marker";
    let app = TestApp::start().await;
    let web = app.client("web", "items:read").await;
    let spa = app.public_client("spa", "items:read").await;
    let uri = format!("https://{MARK}.example/");
    for form in [
        vec![("grant_type", MARK)],
        vec![("grant_type", "client_credentials"), ("scope", MARK)],
        vec![("grant_type", "client_credentials"), ("resource", uri.as_str())],
        vec![("grant_type", "refresh_token"), ("refresh_token", MARK)],
        vec![("grant_type", "password"), ("username", MARK), ("password", MARK)],
        vec![("grant_type", "client_credentials"), ("client_id", MARK)],
        vec![("grant_type", "client_credentials"), ("client_secret", MARK)],
    ] {
        for client in [&web, &spa] {
            let answer = client.token(&form).await;
            assert!((400..500).contains(&answer.status), "{form:?} {}", answer.status);
            assert!(!answer.text.contains("marker"), "{form:?} {}", answer.text);
            let in_a_header = answer
                .headers
                .values()
                .any(|value| String::from_utf8_lossy(value.as_bytes()).contains("marker"));
            assert!(!in_a_header, "{form:?}");
        }
    }
}

#[tokio::test]
async fn a_scope_taken_from_the_client_is_gone_at_once() {
    let app = TestApp::start().await;
    let web = app.client("web", "items:read items:write").await;
    assert_eq!(web.credentials().await.str("scope"), "items:read items:write");
    let draft = ClientDraft {
        scope: Some(ScopeSet::parse("items:read").unwrap()),
        ..ClientDraft::default()
    };
    update(&app, "web", &draft).await;
    assert_eq!(web.credentials().await.str("scope"), "items:read");
    let answer = credentials(&web, &[("scope", "items:write")]).await;
    assert_eq!(answer.outcome(), "400 invalid_scope scope_not_allowed");
}
