//! Pushed authorization requests: a client proves who it is before a browser is sent anywhere, the request is judged when it
//! comes and used for one code, and what is never used is forgotten.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use url::form_urlencoded;
use vouchsafe_issuer::{ApplicationType, ClientDraft};
use vouchsafe_protocol::{ClientAuthMethod, GrantType};
use vouchsafe_tests::{Answer, Browser, CALLBACK, Page, Setup, TestApp, TestClient};

use crate::authorize::{ALLOW, SECOND, assert_page, error_of, id_claims, sign_in_at};

/// How long a request is kept.
const LIFE: Duration = Duration::from_secs(540);
const URN: &str = "urn:ietf:params:oauth:request_uri:";
/// What a client may push in a minute.
const QUOTA: usize = 120;
/// A request that is used up, over, of another client, or none of ours.
const GONE: (&str, &str) = ("invalid_request_uri", "expired");
/// The same, known only when the code was to be issued.
const USED: (&str, &str) = ("invalid_request_uri", "decided_before");

/// The fields of a request with PKCE; an empty one is left out.
fn fields_of(client: &TestClient<'_>, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let query = Browser::request(client, more);
    let fields = form_urlencoded::parse(query.as_bytes()).into_owned();
    fields.filter(|(name, _)| name != "client_id").collect()
}

async fn try_to_push(client: &TestClient<'_>, more: &[(&str, &str)]) -> Answer {
    let fields = fields_of(client, more);
    let fields: Vec<(&str, &str)> = fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    client.post("/par", &fields).await
}

/// Pushes a request; gives the path that a browser is sent to.
async fn push(client: &TestClient<'_>, more: &[(&str, &str)]) -> String {
    let pushed = try_to_push(client, more).await;
    assert_eq!(pushed.status, 201, "{}", pushed.text);
    path_of(client.id, pushed.str("request_uri"))
}

fn path_of(client_id: &str, request_uri: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("client_id", client_id);
    query.append_pair("request_uri", request_uri);
    format!("/authorize?{}", query.finish())
}

/// Goes through the pages of a pushed request to its code.
async fn code_of(browser: &Browser<'_>, path: &str) -> String {
    let page = browser.go_through(browser.get(path).await).await;
    let code = page.answer("code");
    assert!(code.is_some(), "{page:?}");
    code.unwrap_or_default()
}

#[tokio::test]
async fn p01_who_has_a_secret_shows_it_and_who_has_none_may_push_too() {
    let app = TestApp::start().await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let spa = app
        .client_with("spa", "openid", |draft| {
            draft.auth_method = Some(ClientAuthMethod::None);
            draft.application_type = Some(ApplicationType::Web);
            draft.grants = Some(vec![GrantType::AuthorizationCode]);
            draft.redirect_uris = Some(vec![CALLBACK.to_owned()]);
        })
        .await;
    let wrong = "wrong-secret-of-the-tests-0123456789abcdef";
    for credentials in [
        &[("client_id", "web")][..],
        &[("client_id", "web"), ("client_secret", wrong)],
        &[("client_id", "spa"), ("client_secret", wrong)],
        &[("client_id", "nobody")],
        &[],
    ] {
        let mut fields = fields_of(&web, &[]);
        let owned = credentials
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        fields.extend(owned);
        let request = app.http.post(format!("{}/par", app.base)).form(&fields);
        let refused = Answer::read(request.send().await.unwrap()).await;
        assert_eq!(
            refused.outcome(),
            "401 invalid_client bad_credentials",
            "{credentials:?}"
        );
        assert!(refused.json.get("request_uri").is_none(), "{}", refused.text);
    }
    let alice = app.visitor("alice").await;
    for client in [&web, &spa] {
        let code = code_of(&alice, &push(client, &[]).await).await;
        assert_eq!(client.redeem(&code).await.outcome(), "200", "{}", client.id);
    }
}

#[tokio::test]
async fn p02_a_request_is_judged_whole_when_it_comes() {
    let app = TestApp::start().await;
    app.resource("https://other.example", "read").await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let uri = format!("{URN}{}", "A".repeat(43));
    for (name, value, outcome) in [
        (
            "request_uri",
            uri.as_str(),
            "400 invalid_request invalid_parameter",
        ),
        (
            "request_uri",
            "https://app.example/request",
            "400 invalid_request invalid_parameter",
        ),
        (
            "request",
            "eyJhbGciOiJub25lIn0.e30.",
            "400 request_not_supported invalid_parameter",
        ),
        (
            "redirect_uri",
            "https://evil.example/cb",
            "400 invalid_request unregistered_redirect_uri",
        ),
        (
            "redirect_uri",
            "https://app.example/cb/",
            "400 invalid_request unregistered_redirect_uri",
        ),
        (
            "response_type",
            "token",
            "400 unsupported_response_type invalid_parameter",
        ),
        ("response_type", "", "400 invalid_request missing_parameter"),
        (
            "response_mode",
            "fragment",
            "400 invalid_request invalid_parameter",
        ),
        (
            "code_challenge_method",
            "plain",
            "400 invalid_request pkce_required",
        ),
        ("code_challenge", "", "400 invalid_request pkce_required"),
        ("scope", "openid email", "400 invalid_scope scope_not_allowed"),
        ("scope", "\"", "400 invalid_scope invalid_parameter"),
        (
            "resource",
            "https://other.example",
            "400 invalid_target resource_not_allowed",
        ),
        (
            "resource",
            "https://unknown.example",
            "400 invalid_target unknown_resource",
        ),
        ("prompt", "none login", "400 invalid_request invalid_parameter"),
        ("max_age", "-1", "400 invalid_request invalid_parameter"),
        ("claims", "[]", "400 invalid_request invalid_parameter"),
    ] {
        let refused = try_to_push(&web, &[(name, value)]).await;
        assert_eq!(refused.outcome(), outcome, "{name}={value}");
        assert_eq!(
            refused.header("cache-control"),
            Some("no-store"),
            "{name}={value}"
        );
    }
    let twice = try_to_push(&web, &[("state", "one"), ("state", "two")]).await;
    assert_eq!(twice.outcome(), "400 invalid_request duplicate_parameter");
    let machine = app.client("machine", "openid").await;
    let draft = ClientDraft {
        redirect_uris: Some(vec![CALLBACK.to_owned()]),
        ..ClientDraft::default()
    };
    app.change_client("machine", &draft).await;
    let refused = try_to_push(&machine, &[]).await;
    assert_eq!(refused.outcome(), "400 unauthorized_client grant_not_allowed");
}

#[tokio::test]
async fn p02_what_was_pushed_is_what_counts_whatever_the_browser_says() {
    let app = TestApp::start().await;
    let web = app.code_client("web", "openid email", CALLBACK).await;
    let browser = app.visitor("alice").await;
    let pushed = try_to_push(
        &web,
        &[("scope", "openid"), ("nonce", "n0nce"), ("prompt", "login")],
    )
    .await;
    assert_eq!(pushed.status, 201, "{}", pushed.text);
    assert_eq!(pushed.json["expires_in"], LIFE.as_secs());
    assert_eq!(pushed.header("cache-control"), Some("no-store"));
    assert_eq!(pushed.header("access-control-allow-origin"), Some("*"));
    let mut more = form_urlencoded::Serializer::new(path_of("web", pushed.str("request_uri")));
    for (name, value) in [
        ("redirect_uri", "https://evil.example/cb"),
        ("scope", "openid email"),
        ("state", "another"),
        ("nonce", "another"),
        ("prompt", "none"),
        ("response_mode", "form_post"),
    ] {
        more.append_pair(name, value);
    }
    let asked = browser.get(&more.finish()).await;
    let page = browser
        .go_through(sign_in_at(&browser, &asked, "alice").await)
        .await;
    assert!(
        page.location().starts_with("https://app.example/cb?code="),
        "{page:?}"
    );
    assert_eq!(page.answer("state").as_deref(), Some("st4te"));
    assert_eq!(page.answer("iss").as_deref(), Some(app.issuer.as_str()));
    let tokens = web.redeem(&page.answer("code").unwrap()).await;
    assert_eq!(tokens.str("scope"), "openid");
    assert_eq!(id_claims(&tokens)["nonce"], "n0nce");
}

#[tokio::test]
async fn p03_a_request_of_another_client_is_none_and_stays_good_for_its_own() {
    let app = TestApp::start().await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let other = app.code_client("other", "openid", CALLBACK).await;
    let alice = app.visitor("alice").await;
    alice.code(&other, &[]).await;
    let path = push(&web, &[]).await;
    let stolen = path.replace("client_id=web", "client_id=other");
    assert_ne!(stolen, path);
    for _ in 0..2 {
        assert_page(&alice.get(&stolen).await, GONE, "another client");
    }
    let unnamed = path.replace("client_id=web&", "");
    let unknown = ("invalid_request", "unknown_client");
    assert_page(&alice.get(&unnamed).await, unknown, "no client");
    let code = code_of(&alice, &path).await;
    assert_eq!(
        other.redeem(&code).await.outcome(),
        "400 invalid_grant client_mismatch"
    );
    assert_eq!(web.redeem(&code).await.outcome(), "200");
}

#[tokio::test]
async fn p04_a_request_leads_to_one_code_however_it_is_asked_again() {
    let app = TestApp::start().await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let alice = app.visitor("alice").await;
    // What is shown on the way to the code uses nothing up.
    let path = push(&web, &[]).await;
    for _ in 0..2 {
        let page = alice.follow(&alice.get(&path).await).await;
        assert!(page.is("consent"), "{page:?}");
    }
    code_of(&alice, &path).await;
    let other = Browser::signed_in(&app, "alice").await;
    let stranger = Browser::new(&app);
    for more in ["", "&prompt=none", "&state=another"] {
        for browser in [&alice, &other, &stranger] {
            assert_page(&browser.get(&format!("{path}{more}")).await, GONE, more);
        }
    }
    // Where nobody is asked any more, one address is still one code.
    for more in [("prompt", "none"), ("state", "st4te")] {
        let path = push(&web, &[more]).await;
        let first = alice.get(&path).await;
        let code = first.answer("code").unwrap();
        assert_page(&alice.get(&path).await, GONE, more.1);
        assert_eq!(web.redeem(&code).await.outcome(), "200");
        assert_page(&alice.get(&path).await, GONE, more.1);
    }
    // A failure is no use.
    let path = push(&web, &[("prompt", "none")]).await;
    assert_eq!(
        error_of(&app.issuer, &stranger.get(&path).await),
        "login_required"
    );
    assert!(alice.get(&path).await.answer("code").is_some());
}

#[tokio::test]
async fn p04_two_pages_of_one_request_allow_one_code() {
    let app = TestApp::start().await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let alice = app.visitor("alice").await;
    let path = push(&web, &[("prompt", "consent")]).await;
    let first = alice.follow(&alice.get(&path).await).await;
    let second = alice.follow(&alice.get(&path).await).await;
    assert_ne!(first.hidden("ticket"), second.hidden("ticket"));
    assert!(alice.submit(&first, ALLOW).await.answer("code").is_some());
    assert_page(&alice.submit(&second, ALLOW).await, GONE, "the other page");
    assert_page(&alice.submit(&first, ALLOW).await, GONE, "the same page");
}

#[tokio::test]
async fn p06_a_request_that_is_over_or_guessed_is_none() {
    let app = TestApp::start().await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let alice = app.visitor("alice").await;
    let mut seen = BTreeSet::new();
    for _ in 0..20 {
        let pushed = try_to_push(&web, &[]).await;
        let random = pushed.str("request_uri").strip_prefix(URN).unwrap().to_owned();
        // 256 bits in base64url.
        assert_eq!(random.len(), 43);
        assert!(seen.insert(random));
    }
    let known = seen.first().unwrap();
    let (shorter, longer) = (known.get(1..).unwrap(), format!("{known}A"));
    for guess in [
        "",
        "1",
        "../x",
        "%",
        "A".repeat(43).as_str(),
        shorter,
        longer.as_str(),
    ] {
        let path = path_of("web", &format!("{URN}{guess}"));
        assert_page(&alice.get(&path).await, GONE, guess);
    }
    let (late, later) = (push(&web, &[]).await, push(&web, &[("prompt", "consent")]).await);
    app.advance(LIFE - SECOND).await;
    code_of(&alice, &late).await;
    let page = alice.follow(&alice.get(&later).await).await;
    assert!(page.is("consent"), "{page:?}");
    app.advance(SECOND).await;
    assert_page(&alice.submit(&page, ALLOW).await, GONE, "over while it was read");
    assert_page(&alice.get(&later).await, GONE, "over");
}

#[tokio::test]
async fn p07_requests_that_are_never_used_are_few_and_forgotten() {
    let app = TestApp::start().await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let other = app.code_client("other", "openid", CALLBACK).await;
    for _ in 0..QUOTA {
        push(&web, &[]).await;
    }
    let refused = try_to_push(&web, &[]).await;
    assert_eq!(refused.outcome(), "429 temporarily_unavailable too_many_attempts");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=120).contains(&wait), "{wait}");
    push(&other, &[]).await;
    app.advance(SECOND * 121).await;
    push(&web, &[]).await;
    // Nothing that could still be used goes.
    assert_eq!(app.inside().sweep(1_000).await.unwrap().requests, 0);
    app.advance(LIFE).await;
    assert_eq!(app.inside().sweep(1_000).await.unwrap().requests, 121);
    app.advance(SECOND * 121).await;
    assert_eq!(app.inside().sweep(1_000).await.unwrap().requests, 1);
    assert_eq!(app.inside().sweep(1_000).await.unwrap().requests, 0);
}

#[tokio::test]
async fn p04_of_many_who_bring_one_request_at_once_one_gets_a_code_also_between_replicas() {
    let app = TestApp::start().await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let alice = app.visitor("alice").await;
    alice.code(&web, &[]).await;
    let elsewhere = Browser::signed_in(&app, "alice").await;
    let replica = Setup::default()
        .set("issuer", &app.issuer)
        .beside(&app)
        .start()
        .await;
    let there = Browser::new(&replica);
    there.set_cookie(&alice.cookie().unwrap());
    let browsers = [&alice, &elsewhere, &there];
    for _ in 0..10 {
        let path = push(&web, &[]).await;
        let asked = browsers.iter().cycle().take(9).map(|browser| browser.get(&path));
        let pages: Vec<Page> = join_all(asked).await;
        let (won, lost): (Vec<&Page>, Vec<&Page>) = pages.iter().partition(|page| page.status == 303);
        assert_eq!(won.len(), 1, "{pages:?}");
        for page in lost {
            // Some read it before it was used.
            let reason = if page.text.contains(USED.1) { USED } else { GONE };
            assert_page(page, reason, "too late");
        }
        for page in won {
            let code = page.answer("code").unwrap();
            assert_eq!(web.redeem(&code).await.outcome(), "200");
        }
    }
}

#[tokio::test]
async fn p02_a_request_that_is_too_long_to_keep_is_refused() {
    let app = TestApp::start().await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let fits = "x".repeat(15 * 1024);
    push(&web, &[("padding", &fits)]).await;
    for padding in ["x".repeat(16 * 1024), "\u{e4}".repeat(3 * 1024)] {
        let refused = try_to_push(&web, &[("padding", &padding)]).await;
        assert_eq!(refused.outcome(), "413 invalid_request body_too_large");
    }
}
