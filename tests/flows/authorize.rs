//! The authorization endpoint: an answer goes to a registered address, names its issuer, and comes of a person who proved
//! who they are as lately as the client asks for.
#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails where it is")]

use std::net::TcpListener;
use std::time::Duration;

use serde_json::{Value, json};
use url::form_urlencoded;
use vouchsafe_issuer::{AdminError, ApplicationType, ClientDraft};
use vouchsafe_protocol::{ClientAuthMethod, GrantType};
use vouchsafe_tests::{
    Answer, Browser, CALLBACK, Page, START, Setup, TestApp, TestClient, claims_of, password_of,
};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const ALLOW: &[(&str, &str)] = &[("decision", "allow")];
/// On the person's own machine, at a port that the system gives to nobody here.
pub(crate) const LOOPBACK: &str = "http://127.0.0.1:4711/cb";

const UNREGISTERED: (&str, &str) = ("invalid_request", "unregistered_redirect_uri");
const OTHER: &str = "https://other.example/api";

/// A public client of the code flow.
async fn public<'a>(app: &'a TestApp, id: &str, kind: ApplicationType, redirect_uri: &str) -> TestClient<'a> {
    app.client_with(id, "openid", |draft| {
        draft.auth_method = Some(ClientAuthMethod::None);
        draft.application_type = Some(kind);
        draft.grants = Some(vec![GrantType::AuthorizationCode, GrantType::RefreshToken]);
        draft.redirect_uris = Some(vec![redirect_uri.to_owned()]);
    })
    .await
}

pub(crate) async fn register(app: &TestApp, metadata: &Value) -> Answer {
    let request = app.http.post(format!("{}/register", app.base)).json(metadata);
    Answer::read(request.send().await.unwrap()).await
}

/// Signs in on the page that a redirect leads to; gives the redirect after it.
pub(crate) async fn sign_in_at(browser: &Browser<'_>, asked: &Page, name: &str) -> Page {
    assert!(asked.location().starts_with("/sign-in?"), "{asked:?}");
    let form = browser.follow(asked).await;
    let password = password_of(name);
    let fields = [("username", name), ("password", password.as_str())];
    let done = browser.submit(&form, &fields).await;
    assert_eq!(done.status, 303, "{}", done.text);
    done
}

/// What comes of a request that may ask nothing: `code`, or an error.
pub(crate) async fn quietly(
    app: &TestApp,
    browser: &Browser<'_>,
    client: &TestClient<'_>,
    more: &[(&str, &str)],
) -> String {
    let mut all = vec![("prompt", "none")];
    all.extend(more);
    let page = browser.authorize(client, &all).await;
    match page.answer("code") {
        Some(_) => "code".to_owned(),
        None => error_of(&app.issuer, &page),
    }
}

/// The error that a client is told, by an answer that names its issuer and repeats the state.
pub(crate) fn error_of(issuer: &str, page: &Page) -> String {
    assert_eq!(page.status, 303, "{page:?}");
    assert!(
        page.location().starts_with("https://app.example/cb?error="),
        "{page:?}"
    );
    assert_eq!(page.answer("iss").as_deref(), Some(issuer), "{page:?}");
    assert_eq!(page.answer("state").as_deref(), Some("st4te"), "{page:?}");
    assert!(page.answer("code").is_none(), "{page:?}");
    page.answer("error").unwrap_or_default()
}

/// Asserts that a person is told, with this code and this reason, and sent nowhere.
pub(crate) fn assert_page(page: &Page, (code, reason): (&str, &str), what: &str) {
    assert_eq!(page.status, 400, "{what}: {page:?}");
    assert!(page.is("error") && page.location().is_empty(), "{what}: {page:?}");
    let said = format!("<code>{code}</code> / <code>{reason}</code>");
    assert!(page.text.contains(&said), "{what}: {}", page.text);
}

pub(crate) fn in_query(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

pub(crate) fn id_claims(tokens: &Answer) -> Value {
    claims_of(tokens.str("id_token"))
}

#[tokio::test]
async fn a01_a07_h10_what_no_address_can_be_trusted_with_is_told_on_a_page() {
    let app = TestApp::start().await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    for id in ["two", "gone"] {
        app.code_client(id, "openid", CALLBACK).await;
    }
    let two = ClientDraft {
        redirect_uris: Some(vec![CALLBACK.to_owned(), "https://app.example/other".to_owned()]),
        ..ClientDraft::default()
    };
    app.change_client("two", &two).await;
    let gone = ClientDraft {
        disabled: Some(true),
        ..ClientDraft::default()
    };
    app.change_client("gone", &gone).await;
    let (stranger, alice) = (Browser::new(&app), app.visitor("alice").await);
    let long = "s".repeat(8_193);
    let table: &[(&[(&str, &str)], &str)] = &[
        (&[("client_id", "nobody")], "unknown_client"),
        (&[("client_id", "")], "unknown_client"),
        (&[("client_id", "a b")], "unknown_client"),
        (&[("client_id", "gone")], "unknown_client"),
        (
            &[("client_id", "two"), ("redirect_uri", "")],
            "unregistered_redirect_uri",
        ),
        (&[("state", "one"), ("state", "two")], "duplicate_parameter"),
        (
            &[("redirect_uri", CALLBACK), ("redirect_uri", CALLBACK)],
            "duplicate_parameter",
        ),
        (&[("scope", "openid\u{0}")], "malformed_body"),
        (&[("state", "a\r\nSet-Cookie: x=y")], "malformed_body"),
        (&[("state", long.as_str())], "invalid_parameter"),
    ];
    for &(more, reason) in table {
        for browser in [&stranger, &alice] {
            let page = browser.authorize(&web, more).await;
            let what = format!("{more:?}");
            assert_page(&page, ("invalid_request", reason), &what);
            assert!(!page.text.contains("app.example"), "{what}: {}", page.text);
        }
    }
}

#[tokio::test]
async fn a02_cl16_only_a_registered_address_is_gone_to_byte_for_byte() {
    let app = TestApp::start().await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let alice = app.visitor("alice").await;
    alice.code(&web, &[]).await;
    for asked in [
        "https://app.example/cb/",
        "https://app.example/cb/x",
        "https://app.example/cb?x=1",
        "https://app.example/cb?",
        "https://app.example/cb#x",
        "https://app.example/CB",
        "https://APP.example/cb",
        "HTTPS://app.example/cb",
        "https://app.example:443/cb",
        "https://app.example/x/../cb",
        "https://app.example/%63b",
        "https://app.example/cb%2e%2e",
        "https://app.example/cb/..;/",
        "https://user@app.example/cb",
        "https://app.example\\@evil.example/cb",
        "https://app.example.evil.example/cb",
        "https://evil.example/cb",
        "http://app.example/cb",
        "//app.example/cb",
        "/cb",
        " https://app.example/cb",
    ] {
        for more in [("state", "st4te"), ("prompt", "none"), ("response_type", "token")] {
            let page = alice.authorize(&web, &[("redirect_uri", asked), more]).await;
            assert_page(&page, UNREGISTERED, asked);
        }
    }
    // A query of its own stays as it is.
    let tenant = "https://app.example/cb?tenant=1";
    let other = app.code_client("other", "openid", tenant).await;
    let page = alice
        .go_through(alice.authorize(&other, &[("redirect_uri", tenant)]).await)
        .await;
    assert!(
        page.location()
            .starts_with("https://app.example/cb?tenant=1&code="),
        "{page:?}"
    );
    let code = page.answer("code").unwrap();
    assert_eq!(
        other.redeem(&code).await.outcome(),
        "400 invalid_grant code_mismatch"
    );
    assert_eq!(
        other
            .redeem_with(&code, &[("redirect_uri", tenant)])
            .await
            .outcome(),
        "200"
    );
    let page = alice.authorize(&other, &[]).await;
    assert_page(&page, UNREGISTERED, "without its query");
    // The only one may be left out, here and there.
    let page = alice.authorize(&web, &[("redirect_uri", "")]).await;
    assert!(
        page.location().starts_with("https://app.example/cb?code="),
        "{page:?}"
    );
    let code = page.answer("code").unwrap();
    assert_eq!(
        web.redeem_with(&code, &[("redirect_uri", "")]).await.outcome(),
        "200"
    );
}

#[tokio::test]
async fn a05_cl16_the_port_of_a_loopback_address_may_vary_and_nothing_else() {
    let app = TestApp::start().await;
    let native = ApplicationType::Native;
    let literal = public(&app, "literal", native, "http://127.0.0.1/cb").await;
    let named = public(&app, "named", native, "http://localhost/cb").await;
    let web = public(&app, "web", ApplicationType::Web, "http://localhost/cb").await;
    let alice = app.visitor("alice").await;
    for (client, asked, good) in [
        (&literal, LOOPBACK, true),
        (&literal, "http://127.0.0.1/cb", true),
        (&literal, "http://127.0.0.1:4711/other", false),
        (&literal, "http://127.0.0.1:4711/cb?x=1", false),
        (&literal, "http://localhost:4711/cb", false),
        (&literal, "http://127.0.0.2:4711/cb", false),
        (&literal, "https://127.0.0.1:4711/cb", false),
        (&named, "http://localhost:4711/cb", true),
        (&named, LOOPBACK, false),
        (&web, "http://localhost/cb", true),
        (&web, "http://localhost:4711/cb", false),
    ] {
        let begun = alice.authorize(client, &[("redirect_uri", asked)]).await;
        let page = alice.go_through(begun).await;
        if !good {
            assert_page(&page, UNREGISTERED, asked);
            continue;
        }
        assert!(page.location().starts_with(&format!("{asked}?code=")), "{page:?}");
        let code = page.answer("code").unwrap();
        let elsewhere = client
            .redeem_with(&code, &[("redirect_uri", "http://127.0.0.1:4712/cb")])
            .await;
        assert_eq!(elsewhere.outcome(), "400 invalid_grant code_mismatch", "{asked}");
        let redeemed = client.redeem_with(&code, &[("redirect_uri", asked)]).await;
        assert_eq!(redeemed.outcome(), "200", "{asked}");
    }
}

#[tokio::test]
async fn a06_an_address_that_could_run_something_is_refused_at_registration_and_at_use() {
    let app = Setup::default().set("registration.mode", "open").start().await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let alice = app.visitor("alice").await;
    for uri in [
        "javascript:alert(1)",
        "JaVaScript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "myapp:/cb",
        "http://app.example/cb",
        "https://app.example/cb#x",
    ] {
        let draft = ClientDraft {
            auth_method: Some(ClientAuthMethod::None),
            application_type: Some(ApplicationType::Native),
            grants: Some(vec![GrantType::AuthorizationCode]),
            redirect_uris: Some(vec![uri.to_owned()]),
            ..ClientDraft::default()
        };
        let operator = TestApp::operator();
        let made = app.inside().create_client(None, &draft, None, &operator).await;
        assert!(matches!(made, Err(AdminError::Invalid(_))), "{uri}");
        let said = json!({"redirect_uris": [uri], "application_type": "native"});
        let registered = register(&app, &said).await;
        assert_eq!(
            registered.outcome(),
            "400 invalid_redirect_uri invalid_parameter",
            "{uri}"
        );
        let page = alice.authorize(&web, &[("redirect_uri", uri)]).await;
        assert_page(&page, UNREGISTERED, uri);
    }
}

#[tokio::test]
async fn a08_a09_a11_a13_a14_a15_a18_a20_a27_what_is_wrong_with_a_request_is_told_to_its_client() {
    let app = TestApp::start().await;
    app.resource(OTHER, "read").await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let (stranger, alice) = (Browser::new(&app), app.visitor("alice").await);
    let (long, many) = ("x".repeat(10_240), "a ".repeat(5_000));
    let (nonce, hint, few) = ("n".repeat(2_049), "h".repeat(256), ["a"; 101].join(" "));
    for (name, value, error) in [
        ("response_type", "token", "unsupported_response_type"),
        ("response_type", "id_token", "unsupported_response_type"),
        ("response_type", "code token", "unsupported_response_type"),
        ("response_type", "code id_token", "unsupported_response_type"),
        ("response_type", "none", "unsupported_response_type"),
        ("response_type", "", "invalid_request"),
        ("response_mode", "fragment", "invalid_request"),
        ("response_mode", "query.jwt", "invalid_request"),
        ("response_mode", "form_post.jwt", "invalid_request"),
        ("response_mode", "web_message", "invalid_request"),
        ("code_challenge_method", "plain", "invalid_request"),
        ("code_challenge_method", "s256", "invalid_request"),
        ("code_challenge_method", "S512", "invalid_request"),
        ("code_challenge_method", "", "invalid_request"),
        ("code_challenge", "", "invalid_request"),
        ("code_challenge", "short", "invalid_request"),
        ("scope", "openid \"", "invalid_scope"),
        ("scope", "openid \\", "invalid_scope"),
        ("scope", "openid  openid", "invalid_scope"),
        ("scope", "\u{e9}", "invalid_scope"),
        ("scope", long.as_str(), "invalid_scope"),
        ("scope", many.as_str(), "invalid_scope"),
        ("scope", few.as_str(), "invalid_scope"),
        ("scope", "openid email", "invalid_scope"),
        ("scope", "openid admin", "invalid_scope"),
        ("scope", "read", "invalid_scope"),
        ("resource", OTHER, "invalid_target"),
        ("resource", "https://unknown.example", "invalid_target"),
        ("resource", "/api", "invalid_target"),
        ("resource", "https://other.example/api#x", "invalid_target"),
        ("prompt", "none login", "invalid_request"),
        ("prompt", "consent none", "invalid_request"),
        ("prompt", "create", "invalid_request"),
        ("max_age", "-1", "invalid_request"),
        ("max_age", "abc", "invalid_request"),
        ("max_age", "99999999999999999999", "invalid_request"),
        ("request", "eyJhbGciOiJub25lIn0.e30.", "request_not_supported"),
        ("registration", "{}", "registration_not_supported"),
        ("claims", "[]", "invalid_request"),
        ("claims", "{", "invalid_request"),
        ("nonce", nonce.as_str(), "invalid_request"),
        ("login_hint", hint.as_str(), "invalid_request"),
    ] {
        for browser in [&stranger, &alice] {
            let page = browser.authorize(&web, &[(name, value)]).await;
            let shown: String = value.chars().take(40).collect();
            assert_eq!(error_of(&app.issuer, &page), error, "{name}={shown}");
        }
    }
    let machine = app
        .client_with("machine", "openid", |draft| {
            draft.grants = Some(vec![GrantType::ClientCredentials]);
            draft.redirect_uris = Some(vec![CALLBACK.to_owned()]);
        })
        .await;
    let page = alice.authorize(&machine, &[]).await;
    assert_eq!(error_of(&app.issuer, &page), "unauthorized_client");
}

#[tokio::test]
async fn a09_a27_form_post_answers_come_as_a_form_that_needs_no_foreign_script() {
    let app = TestApp::start().await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let alice = app.visitor("alice").await;
    let state = "\"><script>x</script>";
    let more = [("response_mode", "form_post"), ("state", state)];
    let page = alice.go_through(alice.authorize(&web, &more).await).await;
    assert_eq!(page.status, 200);
    assert!(page.is("form-post") && page.location().is_empty(), "{page:?}");
    assert!(!page.text.contains("<script>x"), "{}", page.text);
    let (action, fields) = page.form();
    let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((action.as_str(), names), (CALLBACK, vec!["code", "state", "iss"]));
    assert_eq!(page.hidden("state"), state);
    assert_eq!(page.hidden("iss"), app.issuer);
    let policy = page.header("content-security-policy").unwrap();
    assert!(
        policy.contains("script-src 'self'") && !policy.contains("form-action"),
        "{policy}"
    );
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(web.redeem(&page.hidden("code")).await.outcome(), "200");
    let refused = alice
        .authorize(&web, &[("response_mode", "form_post"), ("scope", "email")])
        .await;
    assert!(refused.is("form-post"), "{refused:?}");
    assert_eq!(refused.hidden("error"), "invalid_scope");
    assert_eq!(
        (refused.hidden("state"), refused.hidden("iss")),
        ("st4te".to_owned(), app.issuer.clone())
    );
}

#[tokio::test]
async fn a10_cl17_pkce_is_left_out_only_by_whom_an_operator_let_and_with_a_nonce() {
    let app = TestApp::start().await;
    let spa = public(&app, "spa", ApplicationType::Web, CALLBACK).await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let old = app.code_client("old", "openid", CALLBACK).await;
    let lenient = ClientDraft {
        pkce_optional: Some(true),
        ..ClientDraft::default()
    };
    app.change_client("old", &lenient).await;
    let alice = app.visitor("alice").await;
    let without = [("code_challenge", ""), ("code_challenge_method", "")];
    let with_nonce = [without[0], without[1], ("nonce", "n0nce")];
    for (client, more) in [
        (&spa, &without[..]),
        (&spa, &with_nonce[..]),
        (&web, &without[..]),
        (&web, &with_nonce[..]),
        (&old, &without[..]),
    ] {
        let page = alice.authorize(client, more).await;
        assert_eq!(
            error_of(&app.issuer, &page),
            "invalid_request",
            "{} {more:?}",
            client.id
        );
    }
    let no_verifier = [("code_verifier", "")];
    let code = alice.code(&old, &with_nonce).await;
    let tokens = old.redeem_with(&code, &no_verifier).await;
    assert_eq!(tokens.outcome(), "200");
    assert_eq!(id_claims(&tokens)["nonce"], "n0nce");
    // A verifier without a challenge is somebody else's code, and so is a challenge without its verifier.
    let code = alice.code(&old, &with_nonce).await;
    assert_eq!(
        old.redeem(&code).await.outcome(),
        "400 invalid_grant bad_verifier"
    );
    for client in [&spa, &web, &old] {
        let code = alice.code(client, &[("nonce", "n0nce")]).await;
        let refused = client.redeem_with(&code, &no_verifier).await;
        assert_eq!(
            refused.outcome(),
            "400 invalid_grant bad_verifier",
            "{}",
            client.id
        );
        assert_eq!(client.redeem(&code).await.outcome(), "200", "{}", client.id);
    }
}

#[tokio::test]
async fn a17_cl24_where_nobody_may_be_asked_there_is_an_answer_at_once() {
    let app = TestApp::start().await;
    let web = app.code_client("web", "openid email", CALLBACK).await;
    app.user("alice", &[]).await;
    let browser = Browser::new(&app);
    let (few, more) = ([("scope", "openid")], [("scope", "openid email")]);
    assert_eq!(quietly(&app, &browser, &web, &few).await, "login_required");
    browser.sign_in("alice").await;
    assert_eq!(quietly(&app, &browser, &web, &few).await, "consent_required");
    browser.code(&web, &few).await;
    assert_eq!(quietly(&app, &browser, &web, &few).await, "code");
    assert_eq!(quietly(&app, &browser, &web, &more).await, "consent_required");
    app.advance(HOUR * 25).await;
    let page = browser.authorize(&web, &[("prompt", "none")]).await;
    assert_eq!(error_of(&app.issuer, &page), "login_required");
}

#[tokio::test]
async fn a18_cl24_whoever_must_prove_it_again_does_and_auth_time_says_when() {
    let app = TestApp::start().await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let browser = app.visitor("alice").await;
    browser.code(&web, &[]).await;
    app.advance(SECOND * 100).await;
    let page = browser.authorize(&web, &[("max_age", "100")]).await;
    let tokens = web.redeem(&page.answer("code").unwrap()).await;
    assert_eq!(id_claims(&tokens)["auth_time"], START);
    for more in [("max_age", "99"), ("max_age", "0"), ("prompt", "login")] {
        let asked = browser.authorize(&web, &[more]).await;
        let answered = browser
            .go_through(sign_in_at(&browser, &asked, "alice").await)
            .await;
        let tokens = web.redeem(&answered.answer("code").unwrap()).await;
        assert_eq!(id_claims(&tokens)["auth_time"], app.now().as_unix(), "{more:?}");
        app.advance(SECOND * 100).await;
    }
    assert_eq!(
        quietly(&app, &browser, &web, &[("max_age", "99")]).await,
        "login_required"
    );
    assert_eq!(
        quietly(&app, &browser, &web, &[("max_age", "0")]).await,
        "login_required"
    );
    assert_eq!(quietly(&app, &browser, &web, &[("max_age", "100")]).await, "code");
}

#[tokio::test]
async fn a18_proof_of_having_signed_in_is_for_one_request_one_browser_and_ten_minutes() {
    let app = TestApp::start().await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let browser = app.visitor("alice").await;
    browser.code(&web, &[]).await;
    let elsewhere = Browser::signed_in(&app, "alice").await;
    let asked = browser.authorize(&web, &[("prompt", "login")]).await;
    let proven = sign_in_at(&browser, &asked, "alice").await;
    let (_, ticket) = proven.location().split_once("&signed_in=").unwrap();
    let asks = |page: Page| page.location().starts_with("/sign-in?");
    let another = Browser::request(&web, &[("prompt", "login"), ("state", "other")]);
    let another = format!("/authorize?{another}&signed_in={ticket}");
    assert!(asks(browser.get(&another).await), "another request");
    assert!(asks(elsewhere.get(proven.location()).await), "another browser");
    assert!(browser.get(proven.location()).await.answer("code").is_some());
    app.advance(SECOND * 601).await;
    assert!(asks(browser.get(proven.location()).await), "too late");
}

#[tokio::test]
async fn the_person_whom_a_client_expects_answers_it_or_nobody_does() {
    let app = TestApp::start().await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let (alice, bob) = (app.visitor("alice").await, app.visitor("bob").await);
    let tokens = alice.code_grant(&web, &[]).await;
    let (hint, access) = (tokens.str("id_token"), tokens.str("access_token"));
    let sub = id_claims(&tokens)["sub"].clone();
    bob.code(&web, &[]).await;
    let wanted = json!({"id_token": {"sub": {"value": sub}}}).to_string();
    for more in [("id_token_hint", hint), ("claims", wanted.as_str())] {
        assert_eq!(quietly(&app, &alice, &web, &[more]).await, "code", "{more:?}");
        assert_eq!(
            quietly(&app, &bob, &web, &[more]).await,
            "login_required",
            "{more:?}"
        );
        let browser = Browser::signed_in(&app, "bob").await;
        // It is asked for once; the wrong person again is the answer.
        let asked = browser.authorize(&web, &[more]).await;
        let wrong = browser
            .go_through(sign_in_at(&browser, &asked, "bob").await)
            .await;
        assert_eq!(error_of(&app.issuer, &wrong), "login_required", "{more:?}");
        let asked = browser.authorize(&web, &[more]).await;
        let right = browser
            .go_through(sign_in_at(&browser, &asked, "alice").await)
            .await;
        let tokens = web.redeem(&right.answer("code").unwrap()).await;
        assert_eq!(id_claims(&tokens)["sub"], sub, "{more:?}");
    }
    let (signed, _) = hint.rsplit_once('.').unwrap();
    let (_, signature) = access.rsplit_once('.').unwrap();
    let forged = format!("{signed}.{signature}");
    for bad in ["x", forged.as_str(), access] {
        assert_eq!(
            quietly(&app, &alice, &web, &[("id_token_hint", bad)]).await,
            "invalid_request",
            "{bad}"
        );
    }
    // A hint that is past its time still says who (OpenID Connect Core 3.1.2.1).
    app.advance(HOUR * 2).await;
    assert!(claims_of(hint)["exp"].as_i64().unwrap() < app.now().as_unix());
    assert_eq!(
        quietly(&app, &alice, &web, &[("id_token_hint", hint)]).await,
        "code"
    );
    assert_eq!(
        quietly(&app, &bob, &web, &[("id_token_hint", hint)]).await,
        "login_required"
    );
}

#[tokio::test]
async fn an_essential_context_that_nobody_here_can_have_is_a_no() {
    let app = TestApp::start().await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let (stranger, alice) = (Browser::new(&app), app.visitor("alice").await);
    for claims in [
        r#"{"id_token":{"acr":{"essential":true,"values":["2","gold"]}}}"#,
        r#"{"id_token":{"acr":{"essential":true,"value":"2"}}}"#,
    ] {
        for browser in [&stranger, &alice] {
            let page = browser.authorize(&web, &[("claims", claims)]).await;
            assert_eq!(error_of(&app.issuer, &page), "access_denied", "{claims}");
        }
    }
    for more in [
        (
            "claims",
            r#"{"id_token":{"acr":{"essential":true,"values":["2","1"]}}}"#,
        ),
        ("claims", r#"{"id_token":{"acr":{"essential":true}}}"#),
        ("claims", r#"{"id_token":{"acr":{"values":["2"]}}}"#),
        ("acr_values", "2 gold"),
    ] {
        let tokens = alice.code_grant(&web, &[more]).await;
        assert_eq!(id_claims(&tokens)["acr"], "1", "{more:?}");
    }
}

#[tokio::test]
async fn pages_speak_the_language_and_know_the_name_that_a_client_asks_for() {
    let app = TestApp::start().await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let (stranger, alice) = (Browser::new(&app), app.visitor("alice").await);
    for (locales, lang) in [("de", "de"), ("fr de-CH en", "de"), ("fr", "en"), ("en de", "en")] {
        let html = format!("<html lang=\"{lang}\">");
        for browser in [&stranger, &alice] {
            let asked = browser.authorize(&web, &[("ui_locales", locales)]).await;
            let page = browser.follow(&asked).await;
            assert_eq!(page.status, 200, "{locales}");
            assert!(page.text.contains(&html), "{locales}: {}", page.text);
        }
        let more = [("ui_locales", locales), ("client_id", "nobody")];
        let page = stranger.authorize(&web, &more).await;
        assert!(page.text.contains(&html), "{locales}: {}", page.text);
    }
    let more = [("login_hint", "carol"), ("ui_locales", "de")];
    let form = stranger.follow(&stranger.authorize(&web, &more).await).await;
    assert!(
        form.text.contains("name=\"username\" value=\"carol\""),
        "{}",
        form.text
    );
    let again = stranger
        .submit(&form, &[("username", "carol"), ("password", "wrong")])
        .await;
    assert_eq!(again.status, 400);
    assert!(again.text.contains("<html lang=\"de\">"), "{}", again.text);
    let hostile = [("login_hint", "\"><script>x</script>")];
    let form = stranger.follow(&stranger.authorize(&web, &hostile).await).await;
    assert!(
        form.is("sign-in") && !form.text.contains("<script"),
        "{}",
        form.text
    );
}

#[tokio::test]
async fn a21_no_request_is_fetched_from_anywhere() {
    let app = Setup::default()
        .set("outbound.allow_private", "true")
        .start()
        .await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let alice = app.visitor("alice").await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let near = format!("http://{}/request", listener.local_addr().unwrap());
    for uri in [
        "https://169.254.169.254/latest",
        &near,
        "file:///etc/passwd",
        "urn:example:request",
    ] {
        let page = alice.authorize(&web, &[("request_uri", uri)]).await;
        assert_eq!(error_of(&app.issuer, &page), "request_uri_not_supported", "{uri}");
    }
    assert!(listener.accept().is_err());
}

#[tokio::test]
async fn a26_a_code_from_another_browser_does_not_fit() {
    let app = TestApp::start().await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let mallory = app.visitor("mallory").await;
    let challenge = "a".repeat(43);
    let injected = mallory.code(&web, &[("code_challenge", &challenge)]).await;
    assert_eq!(
        web.redeem(&injected).await.outcome(),
        "400 invalid_grant bad_verifier"
    );
}

#[tokio::test]
async fn a27_cl12_an_answer_names_the_issuer_as_its_metadata_does() {
    let app = TestApp::start().await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let alice = app.visitor("alice").await;
    let address = format!("{}/.well-known/openid-configuration", app.base);
    let metadata = Answer::read(app.http.get(address).send().await.unwrap()).await;
    assert_eq!(
        metadata.json["authorization_response_iss_parameter_supported"],
        true
    );
    assert_eq!(metadata.json["code_challenge_methods_supported"], json!(["S256"]));
    let issuer = metadata.str("issuer");
    let page = alice.go_through(alice.authorize(&web, &[]).await).await;
    assert_eq!(page.answer("iss").as_deref(), Some(issuer));
    assert_eq!(page.answer("state").as_deref(), Some("st4te"));
    let tokens = web.redeem(&page.answer("code").unwrap()).await;
    assert_eq!(id_claims(&tokens)["iss"], issuer);
    let page = alice.authorize(&web, &[("scope", "email")]).await;
    assert_eq!(error_of(issuer, &page), "invalid_scope");
    // No state is made up, and whatever came comes back.
    let page = alice.authorize(&web, &[("state", "")]).await;
    assert!(
        page.answer("code").is_some() && page.answer("state").is_none(),
        "{page:?}"
    );
    let odd = "a b&c=d#e%20+\u{e4}\"<>";
    let page = alice.authorize(&web, &[("state", odd)]).await;
    assert_eq!(page.answer("state").as_deref(), Some(odd));
}

#[tokio::test]
async fn a_long_state_comes_back_whole_by_way_of_every_page() {
    let app = TestApp::start().await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    app.user("alice", &[]).await;
    // As many bytes as may be, each of them escaped.
    let state = "\u{e4}".repeat(4_096);
    let browser = Browser::new(&app);
    let asked = browser.authorize(&web, &[("state", &state)]).await;
    let signed_in = sign_in_at(&browser, &asked, "alice").await;
    let asked = browser.follow(&signed_in).await;
    let decided = browser.submit(&browser.follow(&asked).await, ALLOW).await;
    assert!(decided.answer("code").is_some(), "{decided:?}");
    assert_eq!(decided.answer("state"), Some(state));
}

#[tokio::test]
async fn a07_a_refusal_is_sent_to_a_client_that_nobody_vouches_for_only_if_the_person_wants_that() {
    let app = Setup::default().set("registration.mode", "open").start().await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let said = json!({"redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none"});
    let stranger = register(&app, &said).await;
    let stranger = stranger.str("client_id");
    let (nobody, alice) = (Browser::new(&app), app.visitor("alice").await);
    let bad = [("client_id", stranger), ("scope", "openid \"")];
    for browser in [&nobody, &alice] {
        let page = browser.authorize(&web, &bad).await;
        assert_page(&page, ("invalid_scope", "invalid_parameter"), "a stranger");
        let text = page.text.replace("&#38;", "&");
        let link = format!("<a class=\"button\" href=\"{CALLBACK}?error=invalid_scope&");
        assert!(
            text.contains(&link) && text.contains("&state=st4te&iss="),
            "{text}"
        );
        assert!(text.contains("Back to app.example"), "{text}");

        let more = [bad[0], bad[1], ("response_mode", "form_post")];
        let page = browser.authorize(&web, &more).await;
        assert_page(
            &page,
            ("invalid_scope", "invalid_parameter"),
            "a stranger, by a form",
        );
        assert_eq!(page.form().0, CALLBACK);
        assert_eq!(page.hidden("error"), "invalid_scope");
        assert!(!page.text.contains("<script"), "{}", page.text);

        // A hidden frame shows no page.
        let more = [bad[0], bad[1], ("prompt", "none")];
        let page = browser.authorize(&web, &more).await;
        assert_eq!(error_of(&app.issuer, &page), "invalid_scope");
        // An operator vouches for this one.
        let page = browser.authorize(&web, &bad[1..]).await;
        assert_eq!(error_of(&app.issuer, &page), "invalid_scope");
    }
}

#[tokio::test]
async fn h12_a_step_is_not_taken_by_head() {
    let app = Setup::default().set("accounts.sign_up", "true").start().await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let request = format!("/authorize?{}", Browser::request(&web, &[]));
    let onward = in_query(&request);
    let head = async |path: &str| {
        let address = format!("{}{path}", app.base);
        let request = app.http.request(reqwest::Method::HEAD, address);
        Answer::read(request.send().await.unwrap()).await
    };
    for path in [
        request.clone(),
        format!("/consent?continue={onward}"),
        format!("/select-account?continue={onward}"),
        "/device/confirm?user_code=BCDF-GHJK".to_owned(),
        "/logout".to_owned(),
    ] {
        let refused = head(&path).await;
        assert_eq!(refused.status, 405, "{path}");
        assert_eq!(refused.header("allow"), Some("GET, POST"), "{path}");
    }
    let refused = head("/account/session").await;
    assert_eq!((refused.status, refused.header("allow")), (405, Some("POST")));
    for path in ["/sign-in", "/sign-up", "/device", "/signed-out", "/account"] {
        let shown = head(path).await;
        assert_eq!((shown.status, shown.text.as_str()), (200, ""), "{path}");
    }
}

#[tokio::test]
async fn a28_every_form_is_followed_by_a_303() {
    let app = TestApp::start().await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    app.user("alice", &[]).await;
    let browser = Browser::new(&app);
    let query = Browser::request(&web, &[("scope", "openid")]);
    let fields: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let fields: Vec<(&str, &str)> = fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    // A client may send its request as a form (OpenID Connect Core 3.1.2.1), from where it is.
    let headers = [
        ("origin", "https://app.example"),
        ("sec-fetch-site", "cross-site"),
    ];
    let posted = browser.post_with("/authorize", &fields, &headers).await;
    assert_eq!(
        (posted.status, posted.location()),
        (303, format!("/authorize?{query}").as_str())
    );
    let asked = browser.follow(&posted).await;
    let signed_in = sign_in_at(&browser, &asked, "alice").await;
    let asked = browser.follow(&signed_in).await;
    assert_eq!(asked.status, 303);
    let decided = browser.submit(&browser.follow(&asked).await, ALLOW).await;
    assert_eq!(decided.status, 303);
    assert!(decided.answer("code").is_some(), "{decided:?}");
    let both = browser.post("/authorize?scope=openid", &fields).await;
    assert_page(
        &both,
        ("invalid_request", "parameters_in_query"),
        "in both places",
    );
}

#[tokio::test]
async fn cl13_no_script_of_another_origin_reads_a_page() {
    let app = Setup::default().set("accounts.sign_up", "true").start().await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let alice = app.visitor("alice").await;
    let request = format!("/authorize?{}", Browser::request(&web, &[]));
    let onward = in_query(&request);
    let (sign_in, consent) = (
        format!("/sign-in?continue={onward}"),
        format!("/consent?continue={onward}"),
    );
    let select = format!("/select-account?continue={onward}");
    for path in [
        request.as_str(),
        &sign_in,
        &consent,
        &select,
        "/authorize",
        "/device",
        "/device/confirm",
        "/device/done",
        "/sign-up",
        "/account",
        "/account/password",
        "/logout",
        "/signed-out",
        "/authorize/nothing",
    ] {
        let page = alice.get_with(path, &[("origin", "https://evil.example")]).await;
        let preflight = app
            .http
            .request(reqwest::Method::OPTIONS, format!("{}{path}", app.base))
            .header("origin", "https://evil.example")
            .header("access-control-request-method", "GET");
        let preflight = Answer::read(preflight.send().await.unwrap()).await;
        assert!(preflight.status >= 400, "{path}: {}", preflight.status);
        for headers in [&page.headers, &preflight.headers] {
            let told = headers
                .keys()
                .any(|name| name.as_str().starts_with("access-control-"));
            assert!(!told, "{path}: {headers:?}");
        }
    }
}

#[tokio::test]
async fn a_removed_or_unknown_person_is_nobody_to_a_cookie() {
    let app = TestApp::start().await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let alice = app.visitor("alice").await;
    alice.code(&web, &[]).await;
    app.inside()
        .delete_user("alice", &TestApp::operator())
        .await
        .unwrap();
    assert_eq!(quietly(&app, &alice, &web, &[]).await, "login_required");
    let made_up = Browser::new(&app);
    made_up.set_cookie(&"A".repeat(43));
    assert_eq!(quietly(&app, &made_up, &web, &[]).await, "login_required");
    made_up.set_cookie("no cookie of ours");
    assert_eq!(quietly(&app, &made_up, &web, &[]).await, "login_required");
}
