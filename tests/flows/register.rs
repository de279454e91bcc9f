//! Registration (RFC 7591) and its management (RFC 7592): who may, what a client gets, what it never gets, and how it
//! changes or removes itself.
#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails where it is")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use vouchsafe_issuer::{ApplicationType, Client, ClientOrigin, Rotation};
use vouchsafe_protocol::{ClientId, GrantType};
use vouchsafe_tests::{Answer, Browser, CALLBACK, CLIENT_SECRET, Page, Setup, TestApp, captured_logs};

const SECOND: Duration = Duration::from_secs(1);
/// So far apart, requests of one address stay below the limit.
const PAUSE: Duration = Duration::from_secs(6);
const HOUR: Duration = Duration::from_secs(3600);
/// Requests that one address may make in a minute.
const QUOTA: usize = 20;
const UNKNOWN: &str = "401 invalid_token unknown_token";
const CLOSED: &str = "401 invalid_token registration_closed";
pub(crate) const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

async fn in_mode(mode: &str) -> TestApp {
    Setup::default().set("registration.mode", mode).start().await
}

pub(crate) async fn open() -> TestApp {
    in_mode("open").await
}

/// Asks with a bearer token and a description, where there are any.
async fn ask(app: &TestApp, method: Method, path: &str, token: Option<&str>, said: Option<&Value>) -> Answer {
    let mut request = app.http.request(method, format!("{}{path}", app.base));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if let Some(said) = said {
        request = request.json(said);
    }
    Answer::read(request.send().await.unwrap()).await
}

async fn register(app: &TestApp, said: &Value) -> Answer {
    ask(app, Method::POST, "/register", None, Some(said)).await
}

pub(crate) async fn registered(app: &TestApp, said: &Value) -> Answer {
    let made = register(app, said).await;
    assert_eq!(made.status, 201, "{said} {}", made.text);
    made
}

/// Where a client is read, changed and removed.
fn place(made: &Answer) -> String {
    format!("/register/{}", made.str("client_id"))
}

fn token(made: &Answer) -> Option<&str> {
    Some(made.str("registration_access_token"))
}

pub(crate) async fn read(app: &TestApp, made: &Answer) -> Answer {
    ask(app, Method::GET, &place(made), token(made), None).await
}

pub(crate) async fn put(app: &TestApp, made: &Answer, said: &Value) -> Answer {
    ask(app, Method::PUT, &place(made), token(made), Some(said)).await
}

/// A public client of one place.
pub(crate) fn public(redirect_uri: &str) -> Value {
    json!({"redirect_uris": [redirect_uri], "token_endpoint_auth_method": "none"})
}

async fn stored(app: &TestApp, made: &Answer) -> Client {
    let id = ClientId::parse(made.str("client_id")).unwrap();
    app.inside().show_client(&id).await.unwrap()
}

/// How many clients registered themselves.
async fn strangers(app: &TestApp) -> usize {
    let all = app.inside().list_clients("", 1000).await.unwrap();
    let own = all
        .iter()
        .filter(|client| client.origin == ClientOrigin::Registered);
    own.count()
}

async fn initial_token(app: &TestApp, life: Duration) -> String {
    let made = app
        .inside()
        .create_registration_token(Some("for the partner"), life, &TestApp::operator())
        .await;
    made.unwrap().expose().to_owned()
}

/// Posts a form as a client that shows its secret in the header.
pub(crate) async fn as_client(app: &TestApp, made: &Answer, path: &str, form: &[(&str, &str)]) -> Answer {
    let request = app
        .http
        .post(format!("{}{path}", app.base))
        .basic_auth(made.str("client_id"), Some(made.str("client_secret")))
        .form(form);
    Answer::read(request.send().await.unwrap()).await
}

/// Status and code, whatever the reason.
fn code_of(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.str("error"))
}

pub(crate) fn is_unknown_client(page: &Page) -> bool {
    page.status == 400
        && page.is("error")
        && page.text.contains("unknown_client")
        && page.location().is_empty()
}

#[tokio::test]
async fn cl18_c10_a_client_gets_what_it_needs_and_its_secret_once() {
    let app = open().await;
    app.resource("https://mcp.example/mcp", "mcp:tools").await;
    let said = json!({
        "redirect_uris": [CALLBACK],
        "client_name": " Notes ",
        "application_type": "web",
        "response_types": ["code"],
        "contacts": ["someone@app.example"],
        "software_id": "4NRB1-0XZABZI9E6-5SM3R",
        "jwks": {"keys": []},
        "tos_uri": null,
    });
    let made = registered(&app, &said).await;
    let id = made.str("client_id");
    assert_eq!(made.header("cache-control"), Some("no-store"));
    assert_eq!(made.header("access-control-allow-origin"), Some("*"));
    for (member, value) in [
        ("client_id_issued_at", json!(app.now().as_unix())),
        ("client_secret_expires_at", json!(0)),
        (
            "registration_client_uri",
            json!(format!("{}/register/{id}", app.issuer)),
        ),
        ("redirect_uris", json!([CALLBACK])),
        ("token_endpoint_auth_method", json!("client_secret_basic")),
        ("grant_types", json!(["authorization_code", "refresh_token"])),
        ("response_types", json!(["code"])),
        ("application_type", json!("web")),
        ("client_name", json!("Notes")),
        ("subject_type", json!("public")),
        (
            "scope",
            json!("address email mcp:tools offline_access openid phone profile"),
        ),
    ] {
        assert_eq!(made.json[member], value, "{member}");
    }
    assert_eq!(made.str("client_secret").len(), 43);
    assert_eq!(made.str("registration_access_token").len(), 43);
    assert_ne!(made.str("client_secret"), made.str("registration_access_token"));

    let seen = read(&app, &made).await;
    assert_eq!(
        (seen.status, seen.header("cache-control")),
        (200, Some("no-store"))
    );
    let mut expected = made.json.clone();
    expected.as_object_mut().unwrap().remove("client_secret");
    assert_eq!(seen.json, expected);

    // Another one with the same words is another client.
    let other = registered(&app, &said).await;
    assert_ne!(other.str("client_id"), id);
    let public = registered(&app, &public(CALLBACK)).await;
    for member in ["client_secret", "client_secret_expires_at"] {
        assert!(public.json.get(member).is_none(), "{member}");
    }
}

#[tokio::test]
async fn c10_no_secret_of_a_registration_is_logged_or_kept() {
    drop(captured_logs());
    let app = in_mode("token").await;
    let initial = initial_token(&app, HOUR).await;
    let said = json!({"redirect_uris": [CALLBACK]});
    let made = ask(&app, Method::POST, "/register", Some(&initial), Some(&said)).await;
    assert_eq!(made.status, 201);
    read(&app, &made).await;
    let kept = format!("{:?}", stored(&app, &made).await);
    let audit = app.inside().store().audit_tail(100).await.unwrap();
    let told: Vec<&str> = audit.iter().map(|record| record.event.as_str()).collect();
    for event in ["registration_token_created", "client_created"] {
        assert!(told.contains(&event), "{event}");
    }
    let audit = format!("{audit:?}");
    let log = captured_logs();
    for secret in [
        initial.as_str(),
        made.str("client_secret"),
        made.str("registration_access_token"),
    ] {
        assert!(!log.contains(secret) && !audit.contains(secret) && !kept.contains(secret));
    }
}

#[tokio::test]
async fn c02_a06_redirect_targets_that_nobody_may_have_are_refused() {
    let app = open().await;
    let many: Vec<String> = (0..21).map(|n| format!("https://app.example/{n}")).collect();
    let long = format!("https://app.example/{}", "a".repeat(500));
    for uris in [
        json!(null),
        json!([]),
        json!(CALLBACK),
        json!([7]),
        json!(many),
        json!([long]),
        json!(["https://*.app.example/cb"]),
        json!(["https://app.example/*"]),
        json!(["http://app.example/cb"]),
        json!([CALLBACK, "http://10.0.0.1/cb"]),
        json!(["http://127.0.0.1.evil.example/cb"]),
        json!(["https://app.example/cb#"]),
        json!(["https://user@app.example/cb"]),
        json!(["javascript:alert(1)"]),
        json!(["JaVaScript:alert(1)"]),
        json!(["data:text/html,x"]),
        json!(["vbscript:x"]),
        json!(["file:///etc/passwd"]),
        json!(["myapp:/cb"]),
        json!(["HTTPS://app.example/cb"]),
        json!(["https:\\\\app.example\\cb"]),
        json!(["//app.example/cb"]),
        json!(["https://app.example/cb\n"]),
    ] {
        for kind in ["web", "native"] {
            let said = json!({"redirect_uris": uris, "application_type": kind});
            let refused = register(&app, &said).await;
            assert_eq!(code_of(&refused), (400, "invalid_redirect_uri"), "{said}");
            app.clock.advance(PAUSE);
        }
    }
    // A scheme of its own is for an application on the person's machine.
    let own = json!({"redirect_uris": ["com.example.notes:/cb"], "application_type": "web"});
    assert_eq!(
        code_of(&register(&app, &own).await),
        (400, "invalid_redirect_uri")
    );
    assert_eq!(strangers(&app).await, 0);
    app.clock.advance(PAUSE);
    let most = many.get(..20).unwrap();
    for uris in [
        json!(most),
        json!([
            "http://127.0.0.1/cb",
            "http://[::1]:3000/cb",
            "http://localhost/cb"
        ]),
        json!(["com.example.notes:/cb"]),
    ] {
        registered(&app, &json!({"redirect_uris": uris})).await;
    }
    let huge = json!({"redirect_uris": [CALLBACK], "client_name": "x".repeat(10_000_000)});
    assert_eq!(
        register(&app, &huge).await.outcome(),
        "413 invalid_request body_too_large"
    );
}

#[tokio::test]
async fn c02_cl18_what_a_client_says_is_judged_member_by_member() {
    let app = open().await;
    let turned = "x\u{202e}y";
    for (member, value) in [
        ("token_endpoint_auth_method", json!("private_key_jwt")),
        ("token_endpoint_auth_method", json!(7)),
        ("grant_types", json!(["client_credentials"])),
        ("grant_types", json!(["password", "implicit"])),
        ("grant_types", json!("authorization_code")),
        ("response_types", json!(["token"])),
        ("application_type", json!("desktop")),
        ("client_name", json!(["x"])),
        ("client_name", json!(turned)),
        ("client_name", json!("x".repeat(201))),
        ("client_uri", json!(["https://app.example/"])),
        ("logo_uri", json!({"en": "https://app.example/logo"})),
        ("policy_uri", json!(7)),
        ("tos_uri", json!(true)),
        ("scope", json!("a\"b")),
        ("post_logout_redirect_uris", json!(["javascript:alert(1)"])),
        ("post_logout_redirect_uris", json!(["http://app.example/"])),
        ("id_token_signed_response_alg", json!("none")),
        ("id_token_signed_response_alg", json!("HS256")),
        // There is no such key here.
        ("id_token_signed_response_alg", json!("RS256")),
        ("subject_type", json!("secret")),
    ] {
        let mut said = json!({"redirect_uris": [CALLBACK]});
        said[member] = value;
        let refused = register(&app, &said).await;
        assert_eq!(code_of(&refused), (400, "invalid_client_metadata"), "{said}");
        app.clock.advance(PAUSE);
    }
    // A name of its own for each person belongs to one host.
    let two = json!({"redirect_uris": [CALLBACK, "https://other.example/cb"], "subject_type": "pairwise"});
    assert_eq!(
        code_of(&register(&app, &two).await),
        (400, "invalid_client_metadata")
    );
    assert_eq!(strangers(&app).await, 0);
}

#[tokio::test]
async fn cl18_an_address_that_is_not_fit_to_be_shown_is_passed_over() {
    let app = open().await;
    for address in [
        "http://app.example/",
        "http://localhost:3000",
        "javascript:alert(1)",
        "data:text/html,x",
        "https://user@app.example/",
        "https://app.example/#about",
    ] {
        let mut said = json!({"redirect_uris": [CALLBACK], "client_name": "Notes"});
        for member in ["client_uri", "logo_uri", "policy_uri", "tos_uri"] {
            said[member] = json!(address);
        }
        let made = registered(&app, &said).await;
        for member in ["client_uri", "logo_uri", "policy_uri", "tos_uri"] {
            assert!(made.json.get(member).is_none(), "{member}: {}", made.text);
        }
        let kept = stored(&app, &made).await;
        assert!(kept.client_uri.is_none() && kept.logo_uri.is_none(), "{kept:?}");
    }
}

#[tokio::test]
async fn a06_cl18_redirect_targets_that_any_application_may_claim_are_passed_over() {
    let app = open().await;
    let cursor = json!({
        "client_name": "Cursor",
        "redirect_uris": [
            "cursor://anysphere.cursor-mcp/oauth/callback",
            "https://www.cursor.com/agents/mcp/oauth/callback",
            "http://localhost:8787/callback",
        ],
        "token_endpoint_auth_method": "none",
        "post_logout_redirect_uris": ["cursor://bye", "https://www.cursor.com/bye"],
    });
    let kept = [
        "https://www.cursor.com/agents/mcp/oauth/callback",
        "http://localhost:8787/callback",
    ];
    let made = registered(&app, &cursor).await;
    assert_eq!(made.json["redirect_uris"], json!(kept));
    assert_eq!(
        made.json["post_logout_redirect_uris"],
        json!(["https://www.cursor.com/bye"])
    );
    assert_eq!(stored(&app, &made).await.redirect_uris, kept);
    // The same when it says it again.
    let mut again = cursor.clone();
    again["client_id"] = json!(made.str("client_id"));
    let changed = put(&app, &made, &again).await;
    assert_eq!(
        (changed.status, &changed.json["redirect_uris"]),
        (200, &json!(kept))
    );
    let client = app.stranger(made.str("client_id"));
    let browser = Browser::new(&app);
    for (to, status) in [
        (kept[0], 303),
        (kept[1], 303),
        ("cursor://anysphere.cursor-mcp/oauth/callback", 400),
    ] {
        let page = browser.authorize(&client, &[("redirect_uri", to)]).await;
        assert_eq!(page.status, status, "{to}");
    }
    // What could do harm is a reason to refuse the whole, and so is nothing left.
    for hostile in [
        "javascript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "file:///etc/passwd",
        "http://app.example/cb",
        "https://*.app.example/cb",
        "cursor://*",
    ] {
        let mut said = cursor.clone();
        said["redirect_uris"][0] = json!(hostile);
        assert_eq!(
            code_of(&register(&app, &said).await),
            (400, "invalid_redirect_uri"),
            "{hostile}"
        );
        app.clock.advance(PAUSE);
    }
    for grant in ["authorization_code", DEVICE_CODE] {
        let said = json!({"redirect_uris": ["cursor://x/cb", "vscode:/cb"], "grant_types": [grant]});
        assert_eq!(
            code_of(&register(&app, &said).await),
            (400, "invalid_redirect_uri"),
            "{grant}"
        );
    }
}

#[tokio::test]
async fn c04_by_which_names_a_client_knows_people_is_settled_once() {
    let app = open().await;
    let said = |kind: &str| json!({"redirect_uris": [CALLBACK], "subject_type": kind});
    let device = json!({"grant_types": ["authorization_code", DEVICE_CODE]});
    for (kind, changes, status) in [
        (
            "pairwise",
            json!({"redirect_uris": ["https://app.example/other"]}),
            200,
        ),
        (
            "pairwise",
            json!({"redirect_uris": ["https://app.example/a", "https://app.example/b"]}),
            200,
        ),
        (
            "pairwise",
            json!({"redirect_uris": ["https://other.example/cb"]}),
            400,
        ),
        ("pairwise", json!({"redirect_uris": ["http://127.0.0.1/cb"]}), 400),
        (
            "pairwise",
            json!({"redirect_uris": [CALLBACK, "https://other.example/cb"]}),
            400,
        ),
        ("pairwise", json!({"subject_type": "public"}), 400),
        ("pairwise", json!({"subject_type": null}), 400),
        ("pairwise", device.clone(), 400),
        ("public", json!({"subject_type": "pairwise"}), 400),
        ("public", device, 200),
        (
            "public",
            json!({"redirect_uris": ["https://other.example/cb"]}),
            200,
        ),
    ] {
        let made = registered(&app, &said(kind)).await;
        let before = stored(&app, &made).await;
        let sector = (kind == "pairwise").then_some("app.example");
        assert_eq!(before.sector_identifier.as_deref(), sector);
        let mut other = said(kind);
        other["client_id"] = json!(made.str("client_id"));
        for (member, value) in changes.as_object().unwrap() {
            other[member] = value.clone();
        }
        let answer = put(&app, &made, &other).await;
        assert_eq!(answer.status, status, "{kind} {changes} {}", answer.text);
        if status == 400 {
            assert_eq!(answer.str("error"), "invalid_client_metadata", "{kind} {changes}");
        }
        let after = stored(&app, &made).await;
        assert_eq!(
            (after.pairwise, after.sector_identifier.as_deref()),
            (kind == "pairwise", sector)
        );
        app.clock.advance(PAUSE * 2);
    }
    // Where no host is the client's own, it shares names with nobody.
    for said in [
        json!({"redirect_uris": ["http://127.0.0.1/cb"], "subject_type": "pairwise"}),
        json!({"redirect_uris": ["com.example.notes:/cb"], "subject_type": "pairwise"}),
        json!({"redirect_uris": [CALLBACK], "subject_type": "pairwise", "grant_types": [DEVICE_CODE]}),
    ] {
        let made = registered(&app, &said).await;
        let kept = stored(&app, &made).await;
        assert_eq!(
            kept.sector_identifier.as_deref(),
            Some(made.str("client_id")),
            "{said}"
        );
    }
}

#[tokio::test]
async fn h10_cl22_only_a_json_object_registers() {
    let app = open().await;
    let good = json!({"redirect_uris": [CALLBACK]}).to_string();
    let form = "application/x-www-form-urlencoded";
    let of_json = "application/json";
    for (path, media_type, body, outcome) in [
        (
            "/register",
            "",
            good.as_str(),
            "400 invalid_request unsupported_media_type",
        ),
        (
            "/register",
            form,
            good.as_str(),
            "400 invalid_request unsupported_media_type",
        ),
        (
            "/register",
            "text/plain",
            good.as_str(),
            "400 invalid_request unsupported_media_type",
        ),
        (
            "/register?scope=openid",
            of_json,
            good.as_str(),
            "400 invalid_request parameters_in_query",
        ),
        (
            "/register",
            of_json,
            "",
            "400 invalid_client_metadata malformed_body",
        ),
        (
            "/register",
            of_json,
            "[]",
            "400 invalid_client_metadata malformed_body",
        ),
        (
            "/register",
            of_json,
            "{",
            "400 invalid_client_metadata malformed_body",
        ),
        (
            "/register",
            of_json,
            r#"{"redirect_uris": ["https://app.example/cb"], "scope": "openid", "scop\u0065": "email"}"#,
            "400 invalid_client_metadata duplicate_parameter",
        ),
    ] {
        let mut request = app.http.post(format!("{}{path}", app.base)).body(body.to_owned());
        if !media_type.is_empty() {
            request = request.header("content-type", media_type);
        }
        let refused = Answer::read(request.send().await.unwrap()).await;
        assert_eq!(refused.outcome(), outcome, "{media_type} {body}");
    }
    assert_eq!(strangers(&app).await, 0);
}

#[tokio::test]
async fn c04_a_client_gets_nothing_that_only_an_operator_gives() {
    let app = open().await;
    app.client("web", "openid").await;
    app.resource("https://notes.example/api", "notes:read").await;
    app.resource_with("https://inner.example/api", "inner:all", |resource| {
        resource.closed = true
    })
    .await;
    let mut said = json!({
        "redirect_uris": [CALLBACK],
        "grant_types": [
            "authorization_code", "refresh_token", "client_credentials", "password", "implicit", DEVICE_CODE,
        ],
        "scope": "openid notes:read inner:all admin",
        "client_id": "web",
        "client_secret": CLIENT_SECRET,
        "skip_consent": true,
        "pkce_optional": true,
        "origin": "operator",
        "resources": ["https://inner.example/api"],
        "rotation": "never",
        "signing_algorithm": "EdDSA",
        "access_ttl": 999_999,
        "refresh_idle_ttl": 999_999_999,
        "refresh_absolute_ttl": 999_999_999,
        "brand_color": "#ff0000",
        "roles": ["admin"],
    });
    let made = registered(&app, &said).await;
    assert_ne!(made.str("client_id"), "web");
    assert_ne!(made.str("client_secret"), CLIENT_SECRET);
    assert_eq!(made.str("scope"), "notes:read openid");
    assert_as_a_stranger(&stored(&app, &made).await);
    // Nor later.
    said["client_id"] = json!(made.str("client_id"));
    said["client_secret"] = json!(made.str("client_secret"));
    let changed = put(&app, &made, &said).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert_eq!(changed.str("scope"), "notes:read openid");
    assert_as_a_stranger(&stored(&app, &made).await);
    for form in [
        &[("grant_type", "client_credentials")][..],
        &[
            ("grant_type", "password"),
            ("username", "alice"),
            ("password", "x"),
        ],
    ] {
        let refused = as_client(&app, &made, "/token", form).await;
        assert_eq!(refused.outcome(), "400 unauthorized_client grant_not_allowed");
    }
}

fn assert_as_a_stranger(client: &Client) {
    assert_eq!(client.origin, ClientOrigin::Registered);
    assert!(!client.skip_consent && !client.pkce_optional && client.brand_color.is_none());
    assert_eq!(client.rotation, Rotation::Always);
    assert_eq!(client.application_type, ApplicationType::Web);
    assert_eq!(
        client.grants,
        [
            GrantType::AuthorizationCode,
            GrantType::RefreshToken,
            GrantType::DeviceCode
        ]
    );
    // What is open to it is found when it asks.
    assert!(client.resources.is_empty());
    assert!(client.signing_algorithm.is_none());
    let lives = [
        client.access_ttl,
        client.refresh_idle_ttl,
        client.refresh_absolute_ttl,
    ];
    assert_eq!(lives, [None; 3]);
}

/// Counts who connects.
async fn doorman() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, came) = (
        listener.local_addr().unwrap().port(),
        Arc::<AtomicUsize>::default(),
    );
    let counted = Arc::clone(&came);
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    (port, came)
}

#[tokio::test]
async fn c03_cl26_nothing_that_a_client_names_leads_inside() {
    let app = open().await;
    let (port, came) = doorman().await;
    for host in [
        format!("https://127.0.0.1:{port}"),
        format!("https://localhost:{port}"),
        format!("https://[::1]:{port}"),
        format!("https://[::ffff:127.0.0.1]:{port}"),
        format!("https://127.1:{port}"),
        format!("https://2130706433:{port}"),
        format!("http://127.0.0.1:{port}"),
        "https://10.0.0.1".to_owned(),
        "https://192.168.1.1".to_owned(),
        "https://172.16.0.1".to_owned(),
        "https://169.254.169.254".to_owned(),
        "https://[fd00::1]".to_owned(),
        "https://[fe80::1]".to_owned(),
        "file://".to_owned(),
        "gopher://127.0.0.1".to_owned(),
    ] {
        for (member, kind) in [
            ("backchannel_logout_uri", "public"),
            ("sector_identifier_uri", "pairwise"),
        ] {
            let mut said = json!({"redirect_uris": [CALLBACK], "subject_type": kind});
            said[member] = json!(format!("{host}/inside"));
            let refused = register(&app, &said).await;
            assert_eq!(code_of(&refused), (400, "invalid_client_metadata"), "{said}");
            app.clock.advance(PAUSE);
        }
    }
    // What is shown or passed over is not asked for either.
    let inside = format!("https://127.0.0.1:{port}/inside");
    let said =
        json!({"redirect_uris": [CALLBACK], "logo_uri": inside, "jwks_uri": inside, "client_uri": inside});
    let made = registered(&app, &said).await;
    let changed = json!({
        "client_id": made.str("client_id"),
        "redirect_uris": [CALLBACK],
        "backchannel_logout_uri": inside,
    });
    assert_eq!(
        code_of(&put(&app, &made, &changed).await),
        (400, "invalid_client_metadata")
    );
    assert_eq!((strangers(&app).await, came.load(Ordering::SeqCst)), (1, 0));
}

/// Whoever shows nothing is asked for a token and told of no error (RFC 6750 3.1).
fn assert_challenged(refused: &Answer, bearer: Option<&str>) {
    let challenge = refused.header("www-authenticate").unwrap();
    match bearer {
        None => assert_eq!(challenge, "Bearer realm=\"vouchsafe\""),
        Some(_) => assert!(challenge.contains("error=\"invalid_token\""), "{challenge}"),
    }
}

#[tokio::test]
async fn c01_a_closed_door_stays_closed_whatever_one_brings() {
    let app = TestApp::start().await;
    let initial = initial_token(&app, HOUR).await;
    for bearer in [None, Some("x"), Some(initial.as_str())] {
        let refused = ask(&app, Method::POST, "/register", bearer, Some(&public(CALLBACK))).await;
        assert_eq!(refused.outcome(), CLOSED);
        assert_challenged(&refused, bearer);
        assert_eq!(refused.header("access-control-allow-origin"), Some("*"));
    }
    assert_eq!(strangers(&app).await, 0);
}

#[tokio::test]
async fn c01_who_came_while_the_door_was_open_goes_on_behind_it() {
    let app = open().await;
    let made = registered(&app, &public(CALLBACK)).await;
    let closed = Setup::default()
        .beside(&app)
        .set("issuer", &app.issuer)
        .start()
        .await;
    let refused = register(&closed, &public(CALLBACK)).await;
    assert_eq!(refused.outcome(), CLOSED);
    assert_eq!(read(&closed, &made).await.status, 200);
    let gone = ask(&closed, Method::DELETE, &place(&made), token(&made), None).await;
    assert_eq!(gone.status, 204);
}

#[tokio::test]
async fn c01_a_token_lets_one_client_in_also_when_several_come_at_once() {
    let app = in_mode("token").await;
    let other = Setup::default()
        .beside(&app)
        .set("issuer", &app.issuer)
        .set("registration.mode", "token")
        .start()
        .await;
    let initial = initial_token(&app, HOUR).await;
    let said = json!({"redirect_uris": [CALLBACK]});
    for bearer in [None, Some("x"), Some(&initial[1..])] {
        let refused = ask(&app, Method::POST, "/register", bearer, Some(&said)).await;
        assert_eq!(refused.outcome(), UNKNOWN, "{bearer:?}");
        assert_challenged(&refused, bearer);
    }
    // What is refused for its words takes nothing.
    let bad = json!({"redirect_uris": ["http://app.example/cb"]});
    let refused = ask(&app, Method::POST, "/register", Some(&initial), Some(&bad)).await;
    assert_eq!(code_of(&refused), (400, "invalid_redirect_uri"));

    let racers = (0..10).map(|number| {
        let at = if number % 2 == 0 { &app } else { &other };
        ask(at, Method::POST, "/register", Some(&initial), Some(&said))
    });
    let answers = join_all(racers).await;
    let let_in = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(let_in, 1);
    for turned_away in answers.iter().filter(|answer| answer.status != 201) {
        assert_eq!(turned_away.outcome(), UNKNOWN);
    }
    let again = ask(&app, Method::POST, "/register", Some(&initial), Some(&said)).await;
    assert_eq!((again.outcome().as_str(), strangers(&app).await), (UNKNOWN, 1));
}

#[tokio::test]
async fn c01_a_token_ends_by_itself_and_is_swept() {
    let app = in_mode("token").await;
    let (early, late) = (initial_token(&app, HOUR).await, initial_token(&app, HOUR).await);
    app.advance(HOUR - SECOND).await;
    let made = ask(
        &app,
        Method::POST,
        "/register",
        Some(&early),
        Some(&public(CALLBACK)),
    )
    .await;
    assert_eq!(made.status, 201, "{}", made.text);
    app.advance(SECOND).await;
    let refused = ask(
        &app,
        Method::POST,
        "/register",
        Some(&late),
        Some(&public(CALLBACK)),
    )
    .await;
    assert_eq!(refused.outcome(), UNKNOWN);
    app.advance(SECOND).await;
    assert_eq!(app.inside().sweep(100).await.unwrap().registrations, 2);
}

#[tokio::test]
async fn c01_no_client_is_read_changed_or_removed_by_another() {
    let app = open().await;
    app.client("web", "openid").await;
    let one = registered(&app, &public(CALLBACK)).await;
    let other = registered(&app, &public("https://other.example/cb")).await;
    let initial = initial_token(&app, HOUR).await;
    let mut first: Option<Answer> = None;
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        for (id, bearer) in [
            (other.str("client_id"), token(&one)),
            (other.str("client_id"), None),
            (other.str("client_id"), Some("x")),
            (other.str("client_id"), Some(initial.as_str())),
            ("nobody", token(&one)),
            ("web", token(&one)),
            ("web", Some(CLIENT_SECRET)),
        ] {
            let said = json!({"client_id": id, "redirect_uris": [CALLBACK]});
            let body = (method == Method::PUT).then_some(&said);
            let mut refused = ask(&app, method.clone(), &format!("/register/{id}"), bearer, body).await;
            refused.headers.remove("date");
            assert_eq!(refused.outcome(), UNKNOWN, "{method} {id} {bearer:?}");
            // Whoever shows nothing is told of no error (RFC 6750 3.1).
            let challenge = refused.headers.remove("www-authenticate").unwrap();
            let told_of = challenge.to_str().unwrap().contains("error=");
            assert_eq!(told_of, bearer.is_some(), "{challenge:?}");
            if let Some(first) = &first {
                assert_eq!((&refused.text, &refused.headers), (&first.text, &first.headers));
            }
            first.get_or_insert(refused);
            app.clock.advance(PAUSE);
        }
    }
    for made in [&one, &other] {
        assert_eq!(read(&app, made).await.status, 200);
    }
    assert_eq!(
        stored(&app, &other).await.redirect_uris,
        ["https://other.example/cb"]
    );
}

#[tokio::test]
async fn a_client_replaces_what_it_said() {
    let app = open().await;
    let made = registered(
        &app,
        &json!({
            "redirect_uris": [CALLBACK],
            "client_name": "Notes",
            "policy_uri": "https://app.example/policy",
            "scope": "openid email",
        }),
    )
    .await;
    let moved = "https://new.example/cb";
    let changed = put(
        &app,
        &made,
        &json!({
            "client_id": made.str("client_id"),
            "client_secret": made.str("client_secret"),
            "redirect_uris": [moved],
            "client_name": "Better Notes",
            "scope": "openid",
        }),
    )
    .await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    let mut expected = made.json.clone();
    expected["redirect_uris"] = json!([moved]);
    expected["client_name"] = json!("Better Notes");
    expected["scope"] = json!("openid");
    for member in ["client_secret", "policy_uri"] {
        expected.as_object_mut().unwrap().remove(member);
    }
    assert_eq!(changed.json, expected);
    assert_eq!(read(&app, &made).await.json, expected);
    // It holds at once, and the secret is the one it was.
    let client = app.stranger(made.str("client_id"));
    let browser = Browser::new(&app);
    let old = browser.authorize(&client, &[]).await;
    assert!(old.status == 400 && old.text.contains("unregistered_redirect_uri"));
    let new = browser.authorize(&client, &[("redirect_uri", moved)]).await;
    assert_eq!(new.status, 303);
    let known = as_client(&app, &made, "/revoke", &[("token", "x.y.z")]).await;
    assert_eq!(known.status, 200);
}

#[tokio::test]
async fn c04_an_update_that_breaks_a_rule_changes_nothing() {
    let app = open().await;
    let made = registered(
        &app,
        &json!({"redirect_uris": [CALLBACK], "client_name": "Notes"}),
    )
    .await;
    let before = read(&app, &made).await;
    let id = made.str("client_id");
    let invalid = "invalid_client_metadata";
    for (member, value, code) in [
        // RFC 7592 2.2: the id is there, and right; what only the server says is not.
        ("client_id", json!(null), invalid),
        ("client_id", json!("web"), invalid),
        ("client_secret", json!(CLIENT_SECRET), invalid),
        (
            "registration_access_token",
            json!(made.str("registration_access_token")),
            invalid,
        ),
        (
            "registration_client_uri",
            json!(made.str("registration_client_uri")),
            invalid,
        ),
        ("client_id_issued_at", json!(0), invalid),
        ("client_secret_expires_at", json!(0), invalid),
        ("token_endpoint_auth_method", json!("none"), invalid),
        ("grant_types", json!(["client_credentials"]), invalid),
        ("redirect_uris", json!([]), "invalid_redirect_uri"),
        (
            "redirect_uris",
            json!(["http://app.example/cb"]),
            "invalid_redirect_uri",
        ),
    ] {
        let mut said = json!({"client_id": id, "redirect_uris": [CALLBACK], "client_name": "Other"});
        said[member] = value;
        let refused = put(&app, &made, &said).await;
        assert_eq!(code_of(&refused), (400, code), "{said}");
        app.clock.advance(PAUSE);
    }
    assert_eq!(read(&app, &made).await.json, before.json);
}

#[tokio::test]
async fn c01_one_address_registers_so_often_in_a_minute_whatever_becomes_of_it() {
    let app = Setup::default()
        .set("registration.mode", "open")
        .set("server.trusted_proxies", "127.0.0.1")
        .start()
        .await;
    let (good, bad) = (public(CALLBACK), public("http://app.example/cb"));
    let from = |address: &str, said: Option<&Value>| {
        let request = match said {
            Some(said) => app.http.post(format!("{}/register", app.base)).json(said),
            None => app.http.get(format!("{}/register/nobody", app.base)),
        };
        let request = request.header("x-forwarded-for", address);
        async move { Answer::read(request.send().await.unwrap()).await }
    };
    let (one, other) = ("198.51.100.1", "198.51.100.2");
    for number in 0..QUOTA {
        let (said, status) = match number % 3 {
            0 => (Some(&good), 201),
            1 => (Some(&bad), 400),
            _ => (None, 401),
        };
        assert_eq!(from(one, said).await.status, status, "{number}");
    }
    let refused = from(one, Some(&good)).await;
    assert_eq!(refused.outcome(), "429 temporarily_unavailable too_many_attempts");
    let wait: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert_eq!(from(one, None).await.status, 429);
    assert_eq!(from(other, Some(&good)).await.status, 201);
    app.clock.advance(SECOND * wait);
    assert_eq!(from(one, Some(&good)).await.status, 201);
}

#[tokio::test]
async fn a_client_that_removes_itself_takes_all_it_was_granted_along() {
    let app = open().await;
    app.user("alice", &[]).await;
    let made = registered(&app, &public(CALLBACK)).await;
    let client = app.stranger(made.str("client_id"));
    let browser = Browser::signed_in(&app, "alice").await;
    let grant = browser.code_grant(&client, &[]).await;
    assert_eq!(grant.outcome(), "200");
    let unspent = browser.code(&client, &[]).await;
    let userinfo = format!("{}/userinfo", app.base);
    let holder = app.http.get(&userinfo).bearer_auth(grant.str("access_token"));
    assert_eq!(holder.send().await.unwrap().status(), 200);

    let gone = ask(&app, Method::DELETE, &place(&made), token(&made), None).await;
    assert_eq!((gone.status, gone.text.as_str()), (204, ""));
    let holder = app.http.get(&userinfo).bearer_auth(grant.str("access_token"));
    assert_eq!(holder.send().await.unwrap().status(), 401);
    for refused in [
        client.refresh(grant.str("refresh_token")).await,
        client.redeem(&unspent).await,
    ] {
        assert_eq!(refused.outcome(), "401 invalid_client bad_credentials");
    }
    assert!(is_unknown_client(&browser.authorize(&client, &[]).await));
    for method in [Method::GET, Method::DELETE] {
        let refused = ask(&app, method, &place(&made), token(&made), None).await;
        assert_eq!(refused.outcome(), UNKNOWN);
    }
}
