//! Who is signed in at a browser: by a cookie that nobody else can have set, make or read, through forms of our own pages
//! only, for as long as was said; and what ends when the session does.
#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails where it is")]

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::timeout;
use url::form_urlencoded;
use vouchsafe_protocol::GrantType;
use vouchsafe_tests::{Answer, Browser, CALLBACK, Page, Setup, TestApp, TestClient, password_of};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HTTPS: &str = "https://id.example";
const NEW_PASSWORD: &str = "another password";
/// Ends an attribute and begins a script.
const MARKUP: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>";

const REVOKED: &str = "400 invalid_grant revoked";

/// Who is signed in at a browser, as the page of the account says.
pub(crate) async fn who(browser: &Browser<'_>) -> Option<String> {
    let page = browser.get("/account").await;
    if page.status == 303 {
        assert_eq!(page.location(), "/sign-in?continue=%2Faccount");
        return None;
    }
    assert!(page.status == 200 && page.is("account"), "{}", page.text);
    let (_, rest) = page.text.split_once("<strong><bdi>").unwrap();
    rest.split('<').next().map(str::to_owned)
}

/// Whether somebody is signed in wherever there is this cookie.
async fn is_alive(app: &TestApp, cookie: &str) -> bool {
    let browser = Browser::new(app);
    browser.set_cookie(cookie);
    who(&browser).await.is_some()
}

/// Posts fields to an address, with the hidden ones of a page's first form and with these headers.
pub(crate) async fn post_from(
    browser: &Browser<'_>,
    (page, action): (&Page, &str),
    fields: &[(&str, &str)],
    headers: &[(&str, &str)],
) -> Page {
    let (_, hidden) = page.form();
    let mut all: Vec<(&str, &str)> = hidden
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    all.extend(fields);
    browser.post_with(action, &all, headers).await
}

/// A text as the value of a parameter.
fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// A page that asks about this authorization request.
fn asking(page: &str, client: &TestClient<'_>) -> String {
    let request = format!("/authorize?{}", Browser::request(client, &[]));
    format!("{page}?continue={}", encoded(&request))
}

/// One that may be https, with signing up.
async fn start_as(issuer: Option<&str>) -> TestApp {
    let setup = Setup::default().set("accounts.sign_up", "true");
    match issuer {
        Some(issuer) => setup.set("issuer", issuer).start().await,
        None => setup.start().await,
    }
}

/// Signs out by the first form of the page of the account.
async fn sign_out(browser: &Browser<'_>) -> Page {
    let page = browser.get("/account").await;
    browser.submit(&page, &[]).await
}

async fn change_password(browser: &Browser<'_>, current: &str, new: &str) -> Page {
    let page = browser.get("/account/password").await;
    let fields = [("current_password", current), ("new_password", new)];
    browser.submit(&page, &fields).await
}

#[tokio::test]
async fn l07_a_sign_in_and_a_new_password_give_a_new_cookie_and_the_old_one_is_dead() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let browser = Browser::new(&app);
    // Somebody else put it there.
    let mut cookies = vec!["A".repeat(43)];
    browser.set_cookie(&cookies[0]);
    browser.sign_in("alice").await;
    cookies.push(browser.cookie().unwrap());
    browser.sign_in("alice").await;
    cookies.push(browser.cookie().unwrap());
    let done = change_password(&browser, &password_of("alice"), NEW_PASSWORD).await;
    assert_eq!(done.location(), "/account?done=password");
    cookies.push(browser.cookie().unwrap());
    // What a page gave before the sign-in.
    let fresh = Browser::new(&app);
    let page = fresh.get("/sign-in").await;
    cookies.push(fresh.cookie().unwrap());
    let fields = [("username", "alice"), ("password", NEW_PASSWORD)];
    assert_eq!(fresh.submit(&page, &fields).await.location(), "/account");
    let last = fresh.cookie().unwrap();

    let alive = cookies.remove(3);
    for cookie in &cookies {
        assert!(!is_alive(&app, cookie).await);
    }
    assert!(is_alive(&app, &alive).await && is_alive(&app, &last).await);
    cookies.extend([alive, last]);
    assert_eq!(cookies.iter().collect::<BTreeSet<_>>().len(), 6);
}

#[tokio::test]
async fn l08_nobody_is_signed_in_by_a_form_of_another_browser_purpose_or_hour() {
    let app = TestApp::start().await;
    for name in ["alice", "mallory"] {
        app.user(name, &[]).await;
    }
    let attacker = Browser::signed_in(&app, "mallory").await;
    let (nobody, visited, alice) = (
        Browser::new(&app),
        Browser::new(&app),
        Browser::signed_in(&app, "alice").await,
    );
    let old = alice.get("/sign-in").await.hidden("ticket");
    app.advance(MINUTE * 60 + SECOND).await;
    let theirs = attacker.get("/sign-in").await.hidden("ticket");
    let for_device = visited.get("/device").await.hidden("ticket");
    let bent = format!("{}A", visited.get("/sign-in").await.hidden("ticket"));
    let password = password_of("mallory");
    for (browser, who_is_there) in [(&nobody, None), (&visited, None), (&alice, Some("alice"))] {
        for ticket in ["", "x", "a.1.b.c", &theirs, &for_device, &old, &bent] {
            let fields = [
                ("ticket", ticket),
                ("continue", "/account"),
                ("username", "mallory"),
                ("password", password.as_str()),
            ];
            let refused = browser.post("/sign-in", &fields).await;
            assert_eq!(refused.status, 403, "{ticket}");
            assert_eq!(who(browser).await.as_deref(), who_is_there, "{ticket}");
        }
    }
    // A good ticket is good for where it was shown to lead, and no longer than an hour.
    let ticket = visited.get("/sign-in").await.hidden("ticket");
    let fields = |continue_to| {
        [
            ("ticket", ticket.as_str()),
            ("continue", continue_to),
            ("username", "mallory"),
            ("password", password.as_str()),
        ]
    };
    assert_eq!(visited.post("/sign-in", &fields("/device")).await.status, 403);
    app.advance(MINUTE * 60).await;
    let done = visited.post("/sign-in", &fields("/account")).await;
    assert_eq!((done.status, done.location()), (303, "/account"));
}

/// A form: the page that shows it, where it goes, and what is typed.
type Form<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

#[tokio::test]
async fn l08_a_form_from_elsewhere_is_refused_by_what_the_browser_says_of_it() {
    let app = start_as(None).await;
    app.user("alice", &[]).await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let browser = Browser::signed_in(&app, "alice").await;
    let (select, consent) = (asking("/select-account", &web), asking("/consent", &web));
    let password = password_of("alice");
    let forms: [Form<'_>; 11] = [
        (
            "/sign-in",
            "/sign-in",
            &[("username", "alice"), ("password", &password)],
        ),
        (
            "/sign-up",
            "/sign-up",
            &[("username", "bob"), ("password", "password of bob")],
        ),
        (&select, "/select-account", &[("choice", "current")]),
        (&consent, "/consent", &[("decision", "deny")]),
        ("/device", "/device", &[("user_code", "BCDF-GHJK")]),
        ("/account", "/account/session", &[("session", "x")]),
        ("/account", "/account/app", &[("sid", "x")]),
        ("/account", "/account/consent", &[("client_id", "x")]),
        (
            "/account/password",
            "/account/password",
            &[("current_password", &password), ("new_password", NEW_PASSWORD)],
        ),
        ("/logout", "/sign-out", &[("decision", "sign_out")]),
        ("/account", "/account/sign-out", &[]),
    ];
    let origin = app.issuer.as_str();
    // A browser says one or the other, or both.
    let ours = [[("sec-fetch-site", "same-origin")], [("origin", origin)]];
    for (number, (shown, action, fields)) in forms.into_iter().enumerate() {
        if who(&browser).await.is_none() {
            let page = browser.get("/sign-in").await;
            let again = [("username", "alice"), ("password", NEW_PASSWORD)];
            browser.submit(&page, &again).await;
        }
        let page = browser.get(shown).await;
        assert_eq!(page.status, 200, "{shown}");
        let cookie = browser.cookie();
        for headers in [
            &[("sec-fetch-site", "cross-site")][..],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "none")],
            &[("sec-fetch-site", "cross-site"), ("origin", origin)],
            &[("origin", "https://evil.example")],
            &[("origin", "null")],
            &[("origin", "http://127.0.0.1")],
        ] {
            let refused = post_from(&browser, (&page, action), fields, headers).await;
            assert!(
                refused.status == 403 && refused.is("error"),
                "{action} {headers:?}"
            );
            assert_eq!(refused.header("set-cookie"), None, "{action} {headers:?}");
        }
        assert_eq!(browser.cookie(), cookie, "{action}");
        assert_eq!(who(&browser).await.as_deref(), Some("alice"), "{action}");
        let taken = post_from(&browser, (&page, action), fields, &ours[number % 2]).await;
        assert_eq!(taken.status, 303, "{action}: {}", taken.text);
    }
}

#[tokio::test]
async fn l08_forms_of_clients_may_come_from_elsewhere_since_they_only_ask() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let browser = Browser::signed_in(&app, "alice").await;
    let headers = [
        ("sec-fetch-site", "cross-site"),
        ("origin", "https://app.example"),
    ];
    let query = Browser::request(&web, &[]);
    let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let fields: Vec<(&str, &str)> = pairs
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let asked = browser.post_with("/authorize", &fields, &headers).await;
    assert_eq!(asked.status, 303);
    assert!(
        asked.location().starts_with("/authorize?"),
        "{}",
        asked.location()
    );
    let page = browser.follow(&browser.follow(&asked).await).await;
    assert!(page.is("consent"), "{page:?}");
    let asked = browser
        .post_with("/logout", &[("client_id", "web")], &headers)
        .await;
    assert_eq!((asked.status, asked.location()), (303, "/logout?client_id=web"));
    assert_eq!(who(&browser).await.as_deref(), Some("alice"));
}

#[tokio::test]
async fn l09_the_cookie_is_for_this_host_and_for_no_script() {
    for (issuer, name, other) in [
        (None, "vouchsafe", "__Host-vouchsafe"),
        (Some(HTTPS), "__Host-vouchsafe", "vouchsafe"),
    ] {
        let app = start_as(issuer).await;
        app.user("alice", &[]).await;
        let browser = Browser::new(&app);
        let page = browser.get("/sign-in").await;
        let password = password_of("alice");
        let fields = [("username", "alice"), ("password", password.as_str())];
        let done = browser.submit(&page, &fields).await;
        let value = browser.cookie().unwrap();
        let account = browser.get("/account").await;
        let out = sign_out(&browser).await;
        let mut values = BTreeSet::new();
        for (answer, life) in [
            (&page, "Max-Age=2592000"),
            (&done, "Max-Age=2592000"),
            (&out, "Max-Age=0"),
        ] {
            let mut lines = answer.headers.get_all("set-cookie").iter();
            let line = lines.next().unwrap().to_str().unwrap();
            assert!(lines.next().is_none());
            let mut parts: Vec<&str> = line.split("; ").collect();
            let (set, value) = parts.remove(0).split_once('=').unwrap();
            assert_eq!(set, name);
            assert_eq!(value.len(), if life == "Max-Age=0" { 0 } else { 43 });
            assert!(values.insert(value.to_owned()));
            parts.sort_unstable();
            let mut wanted = vec!["HttpOnly", life, "Path=/", "SameSite=Lax"];
            wanted.extend(issuer.map(|_| "Secure"));
            assert_eq!(parts, wanted);
        }
        // What a page shows is no way back to it.
        assert!(!account.text.contains(&value));
        browser.sign_in("alice").await;
        let value = browser.cookie().unwrap();
        let account = browser.get("/account").await;
        let (_, rest) = account.text.split_once("data-session=\"").unwrap();
        let id = &rest[..43];
        let ticket = account.hidden("ticket");
        for (name, value, status) in [
            (name, value.as_str(), 200),
            (other, &value, 303),
            (name, id, 303),
            (name, &ticket[..43], 303),
            (name, &value[1..], 303),
            (name, &value.to_ascii_lowercase(), 303),
        ] {
            let cookie = format!("theme=dark; {name}={value}");
            let answer = Browser::new(&app)
                .get_with("/account", &[("cookie", &cookie)])
                .await;
            assert_eq!(answer.status, status, "{cookie}");
        }
    }
}

#[tokio::test]
async fn l13_what_a_client_calls_itself_is_text_and_its_picture_is_not_fetched() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let pictures = format!("https://{}", listener.local_addr().unwrap());
    let web = app
        .client_with("web", "openid <b>bold</b>", |draft| {
            draft.name = Some(format!("Notes{MARKUP}"));
            draft.grants = Some(vec![GrantType::AuthorizationCode]);
            draft.redirect_uris = Some(vec![CALLBACK.to_owned()]);
            draft.logo_uri = Some(format!("{pictures}/logo.png"));
            draft.policy_uri = Some("https://app.example/privacy".to_owned());
        })
        .await;
    let browser = Browser::signed_in(&app, "alice").await;
    for path in [
        asking("/sign-in", &web),
        asking("/select-account", &web),
        asking("/consent", &web),
        "/logout?client_id=web".to_owned(),
    ] {
        let page = browser.get(&path).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(page.text.contains("Notes"), "{path}");
        assert_harmless(&page);
        assert!(!page.text.contains("<b>"), "{path}");
        assert!(page.text.contains(&format!("<img src=\"{pictures}/logo.png\"")));
        let policy = page.header("content-security-policy").unwrap();
        let images = policy.split("; ").find(|part| part.starts_with("img-src"));
        assert_eq!(
            images,
            Some(format!("img-src 'self' {pictures}").as_str()),
            "{path}"
        );
    }
    browser.code(&web, &[]).await;
    let account = browser.get("/account").await;
    assert!(account.text.contains("Notes"));
    assert_harmless(&account);
    let fetched = timeout(Duration::from_millis(300), listener.accept()).await;
    assert!(fetched.is_err(), "the server fetched a picture");
}

/// Nothing of [`MARKUP`] is markup on the page.
fn assert_harmless(page: &Page) {
    for markup in ["<script>", "<img src=x", "\"'>", "</script><"] {
        assert!(
            !page.text.contains(markup),
            "{}: {markup}: {}",
            page.address,
            page.text
        );
    }
}

#[tokio::test]
async fn l14_the_second_person_at_a_browser_gets_nothing_of_the_first() {
    let app = TestApp::start().await;
    let alice = app.user("alice", &[]).await;
    let bob = app.user("bob", &[]).await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let away = app.code_client("away", "openid offline_access", CALLBACK).await;
    let browser = Browser::signed_in(&app, "alice").await;
    let first = browser.code_grant(&web, &[]).await;
    assert_eq!(first.claims()["sub"], alice.as_str());
    let kept = browser.code_grant(&away, &[]).await;
    let waiting = browser.code(&web, &[]).await;
    let again = browser.authorize(&away, &[("prompt", "consent")]).await;
    let question = browser.follow(&again).await;
    assert!(question.is("consent"), "{question:?}");
    let cookie = browser.cookie().unwrap();

    browser.sign_in("bob").await;
    assert_eq!(who(&browser).await.as_deref(), Some("bob"));
    assert!(!is_alive(&app, &cookie).await);
    // What was on its way or on the screen is of another session.
    assert_eq!(web.redeem(&waiting).await.outcome(), REVOKED);
    let decided = browser.submit(&question, &[("decision", "allow")]).await;
    assert_eq!(decided.status, 403);
    let account = browser.get("/account").await;
    assert!(!account.text.contains("alice") && !account.text.contains("data-sid"));
    // What she allowed is not allowed by him.
    let asked = browser.follow(&browser.authorize(&web, &[]).await).await;
    assert!(asked.is("consent"), "{asked:?}");
    let second = browser.code_grant(&web, &[]).await;
    assert_eq!(second.claims()["sub"], bob.as_str());
    // Hers ended as if she had signed out.
    assert!(!web.is_active(first.str("access_token")).await);
    let refused = web.refresh(first.str("refresh_token")).await;
    assert_eq!(refused.outcome(), REVOKED);
    let refreshed = away.refresh(kept.str("refresh_token")).await;
    assert_eq!(refreshed.claims()["sub"], alice.as_str());
}

/// What every page says to browsers.
fn assert_guarded(page: &Page, name: &str, https: bool) {
    assert!(page.is(name), "{name}: {} {}", page.status, page.text);
    let mut policy = BTreeSet::from([
        "default-src 'none'",
        "style-src 'self'",
        "img-src 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]);
    // No form-action: it would hold the redirect to the client, too.
    if name == "form-post" {
        policy.insert("script-src 'self'");
    }
    let said = page.header("content-security-policy").unwrap();
    assert_eq!(said.split("; ").collect::<BTreeSet<_>>(), policy, "{name}");
    for (header, value) in [
        ("x-frame-options", "DENY"),
        ("referrer-policy", "same-origin"),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-store"),
        ("content-type", "text/html; charset=utf-8"),
    ] {
        assert_eq!(page.header(header), Some(value), "{name}");
    }
    let hsts = page.header("strict-transport-security");
    assert_eq!(hsts.is_some(), https, "{name}");
    assert_eq!(page.header("access-control-allow-origin"), None, "{name}");
    assert_eq!(page.header("access-control-allow-credentials"), None, "{name}");
    for inline in [
        "<style",
        " style=",
        " onload=",
        " onclick=",
        "<script>",
        "javascript:",
    ] {
        assert!(!page.text.contains(inline), "{name}: {inline}");
    }
    let scripts = page.text.matches("<script").count();
    assert_eq!(scripts, usize::from(name == "form-post"), "{name}");
    for whole in ["<html lang=\"", "<main>", "<h1>"] {
        assert_eq!(page.text.matches(whole).count(), 1, "{name}: {whole}");
    }
}

#[tokio::test]
async fn h19_h20_every_page_is_guarded_by_its_headers() {
    for issuer in [None, Some(HTTPS)] {
        let app = start_as(issuer).await;
        app.user("alice", &[]).await;
        let web = app.code_client("web", "openid", CALLBACK).await;
        let browser = Browser::signed_in(&app, "alice").await;
        let elsewhere = [("origin", "https://evil.example")];
        for (name, path) in [
            ("sign-in", "/sign-in"),
            ("sign-in", &asking("/sign-in", &web)),
            ("sign-up", "/sign-up"),
            ("select-account", &asking("/select-account", &web)),
            ("consent", &asking("/consent", &web)),
            ("device", "/device"),
            ("device", "/device/confirm?user_code=BCDF-GHJK"),
            ("device-done", "/device/done?outcome=allowed"),
            ("account", "/account"),
            ("password", "/account/password"),
            ("logout", "/logout"),
            ("signed-out", "/signed-out"),
            ("error", "/authorize?client_id=nobody"),
            ("error", "/sign-in?continue=https://evil.example/"),
        ] {
            let page = browser.get_with(path, &elsewhere).await;
            assert_guarded(&page, name, issuer.is_some());
        }
        let foreign = browser.post_with("/sign-in", &[], &elsewhere).await;
        assert_guarded(&foreign, "error", issuer.is_some());
        let wrong = browser.get("/sign-in").await;
        let wrong = browser
            .submit(&wrong, &[("username", "alice"), ("password", "wrong")])
            .await;
        assert_guarded(&wrong, "sign-in", issuer.is_some());
        browser.code(&web, &[]).await;
        let form = browser.authorize(&web, &[("response_mode", "form_post")]).await;
        assert_guarded(&form, "form-post", issuer.is_some());
        assert_eq!(form.form().0, CALLBACK);
        // What nobody looked at is a page too.
        assert_guarded(&browser.get("/account/session").await, "error", issuer.is_some());
        // A redirect is as much a secret as a page.
        let redirect = browser.authorize(&web, &[]).await;
        assert_eq!(
            (redirect.status, redirect.header("cache-control")),
            (303, Some("no-store"))
        );
        assert_eq!(redirect.header("referrer-policy"), Some("same-origin"));
    }
}

#[tokio::test]
async fn h12_h13_people_are_told_by_a_page_what_is_refused_before_it() {
    let app = start_as(None).await;
    let browser = Browser::new(&app);
    let long = "a".repeat(70_000);
    let german = [("accept-language", "de")];
    let too_long = browser
        .post_with("/sign-in", &[("username", &long)], &german)
        .await;
    let not_here = browser.get_with("/account/session?ui_locales=de", &[]).await;
    for (page, status, reason) in [
        (&too_long, 413, "body_too_large"),
        (&not_here, 405, "method_not_allowed"),
    ] {
        assert_eq!(page.status, status, "{page:?}");
        assert!(
            page.is("error") && page.text.contains("lang=\"de\""),
            "{}",
            page.text
        );
        let said = format!("<code>invalid_request</code> / <code>{reason}</code>");
        assert!(page.text.contains(&said), "{}", page.text);
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    }
    assert_eq!(not_here.header("allow"), Some("POST"));
    // Programs are told as before.
    let request = app.http.get(format!("{}/token", app.base));
    let refused = Answer::read(request.send().await.unwrap()).await;
    assert_eq!(refused.outcome(), "405 invalid_request method_not_allowed");
}

#[tokio::test]
async fn h22_text_of_others_is_never_markup_on_a_page() {
    let app = start_as(None).await;
    app.user("alice", &[]).await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let (stranger, alice) = (Browser::new(&app), Browser::signed_in(&app, "alice").await);
    let markup = encoded(MARKUP);
    let request = |more: &[(&str, &str)]| format!("/authorize?{}", Browser::request(&web, more));
    for path in [
        format!("/authorize?client_id={markup}"),
        format!("/authorize?error=x&error_description={markup}&error_hint={markup}"),
        request(&[("redirect_uri", MARKUP)]),
        format!("/sign-in?continue={markup}"),
        format!("/sign-in?ui_locales={markup}&created={markup}&signed_in={markup}"),
        format!(
            "/sign-in?continue={}",
            encoded(&request(&[("login_hint", MARKUP)]))
        ),
        format!("/sign-in?continue={}", encoded(&request(&[("state", MARKUP)]))),
        format!("/sign-up?continue={markup}"),
        format!("/consent?continue={markup}"),
        format!("/select-account?continue={markup}"),
        format!("/device?user_code={markup}"),
        format!("/device?error={markup}&user_code={markup}"),
        format!("/device/confirm?user_code={markup}"),
        format!("/device/done?outcome={markup}"),
        format!("/account?done={markup}"),
        format!("/logout?client_id={markup}"),
        format!("/logout?id_token_hint={markup}&state={markup}"),
        format!("/logout?client_id=web&post_logout_redirect_uri={markup}"),
    ] {
        for browser in [&stranger, &alice] {
            let page = browser.get(&path).await;
            assert!([200, 303, 400].contains(&page.status), "{path}: {}", page.status);
            assert!(!page.leaves(&app.base) || page.status != 303, "{path}");
            assert_harmless(&page);
        }
    }
    for (path, fields) in [
        ("/sign-in", [("username", MARKUP), ("password", "wrong")]),
        ("/sign-up", [("username", MARKUP), ("email", MARKUP)]),
        ("/device", [("user_code", MARKUP), ("x", MARKUP)]),
    ] {
        let page = stranger.get(path).await;
        let page = stranger.submit(&page, &fields).await;
        let page = if page.status == 303 {
            stranger.follow(&page).await
        } else {
            page
        };
        assert_harmless(&page);
    }
    // What the client is told arrives as it was.
    alice.code(&web, &[]).await;
    let more = [("response_mode", "form_post"), ("state", MARKUP)];
    let page = alice.authorize(&web, &more).await;
    assert_harmless(&page);
    assert_eq!(page.hidden("state"), MARKUP);
}

#[tokio::test]
async fn a_session_ends_when_it_is_not_used_and_in_the_end_whatever_is_done() {
    let app = Setup::default()
        .set("sessions.idle_ttl", "1h")
        .set("sessions.absolute_ttl", "3h")
        .start()
        .await;
    app.user("alice", &[]).await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let used = Browser::signed_in(&app, "alice").await;
    let grant = used.code_grant(&web, &[]).await;
    let left = Browser::signed_in(&app, "alice").await;
    app.advance(MINUTE * 59).await;
    assert!(who(&used).await.is_some() && who(&left).await.is_some());
    app.advance(MINUTE * 60 - SECOND).await;
    assert!(who(&used).await.is_some());
    app.advance(SECOND).await;
    assert_eq!(who(&left).await, None);
    app.advance(MINUTE * 59).await;
    assert!(who(&used).await.is_some());
    app.advance(SECOND * 119).await;
    let page = used.get("/account").await;
    assert_eq!(page.status, 200, "a second before three hours");
    let cookie = used.cookie();
    app.advance(SECOND).await;
    assert_eq!(who(&used).await, None);
    // Neither a page from before nor a silent request brings it back.
    assert_eq!(used.submit(&page, &[]).await.status, 403);
    let silent = used.authorize(&web, &[("prompt", "none")]).await;
    assert_eq!(silent.answer("error").as_deref(), Some("login_required"));
    assert_eq!(used.cookie(), cookie);
    // A session that ran out signs nobody out of an application.
    let refreshed = web.refresh(grant.str("refresh_token")).await;
    assert_eq!(refreshed.outcome(), "200");
}

#[tokio::test]
async fn a_sign_out_ends_what_was_granted_without_offline_access_and_keeps_the_rest() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let browser = Browser::signed_in(&app, "alice").await;
    let other = Browser::signed_in(&app, "alice").await;
    let here = browser.code_grant(&web, &[("scope", "openid")]).await;
    let kept = browser
        .code_grant(&web, &[("scope", "openid offline_access")])
        .await;
    let there = other.code_grant(&web, &[("scope", "openid")]).await;
    // It ends with the session whatever was asked for.
    let waiting = browser.code(&web, &[("scope", "openid offline_access")]).await;
    let (page, cookie) = (browser.get("/account").await, browser.cookie().unwrap());

    let done = sign_out(&browser).await;
    assert_eq!((done.status, done.location()), (303, "/signed-out"));
    assert_eq!(browser.cookie(), None);
    assert!(browser.follow(&done).await.is("signed-out"));
    assert!(!is_alive(&app, &cookie).await);
    assert_eq!(who(&browser).await, None);
    assert_eq!(who(&other).await.as_deref(), Some("alice"));

    for (what, grant, lives) in [
        ("here", &here, false),
        ("kept", &kept, true),
        ("there", &there, true),
    ] {
        let active = web.is_active(grant.str("access_token")).await;
        assert_eq!(active, lives, "{what}");
        let active = web.is_active(grant.str("refresh_token")).await;
        assert_eq!(active, lives, "{what}");
        let refreshed = web.refresh(grant.str("refresh_token")).await;
        assert_eq!(refreshed.outcome(), if lives { "200" } else { REVOKED }, "{what}");
        if lives {
            assert!(web.is_active(refreshed.str("access_token")).await, "{what}");
        }
    }
    assert_eq!(web.redeem(&waiting).await.outcome(), REVOKED);
    // A page of before, with the cookie of before.
    browser.set_cookie(&cookie);
    assert_eq!(browser.submit(&page, &[]).await.status, 403);
    let silent = browser.authorize(&web, &[("prompt", "none")]).await;
    assert_eq!(silent.answer("error").as_deref(), Some("login_required"));
}

#[tokio::test]
async fn a_sign_in_of_the_same_person_at_the_same_browser_takes_what_was_granted_along() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let browser = Browser::signed_in(&app, "alice").await;
    let grant = browser.code_grant(&web, &[]).await;
    browser.sign_in("alice").await;
    let refreshed = web.refresh(grant.str("refresh_token")).await;
    assert_eq!(refreshed.outcome(), "200");
    sign_out(&browser).await;
    assert!(!web.is_active(refreshed.str("access_token")).await);
    let refused = web.refresh(refreshed.str("refresh_token")).await;
    assert_eq!(refused.outcome(), REVOKED);
}

#[tokio::test]
async fn a_new_password_ends_everything_but_a_new_session_here() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    app.user("bob", &[]).await;
    let web = app.code_client("web", "openid offline_access", CALLBACK).await;
    let (browser, other, bobs) = (
        Browser::signed_in(&app, "alice").await,
        Browser::signed_in(&app, "alice").await,
        Browser::signed_in(&app, "bob").await,
    );
    let grants = [
        browser.code_grant(&web, &[("scope", "openid")]).await,
        browser.code_grant(&web, &[]).await,
        other.code_grant(&web, &[]).await,
    ];
    let of_bob = bobs.code_grant(&web, &[]).await;
    let before = browser.cookie().unwrap();
    let old = password_of("alice");

    // What is refused changes nothing.
    let longest = "x".repeat(1_025);
    for (current, new) in [
        ("not the password", NEW_PASSWORD),
        ("", NEW_PASSWORD),
        (old.as_str(), "short"),
        (&old, ""),
        (&old, &longest),
    ] {
        let refused = change_password(&browser, current, new).await;
        assert!(refused.status == 400 && refused.is("password"), "{current} {new}");
        assert!(refused.text.contains("role=\"alert\""));
        assert_eq!(browser.cookie().as_ref(), Some(&before));
    }
    let page = other.get("/account/password").await;
    let fields = [("current_password", old.as_str()), ("new_password", NEW_PASSWORD)];
    let foreign = post_from(&browser, (&page, "/account/password"), &fields, &[]).await;
    assert_eq!(foreign.status, 403);
    assert!(is_alive(&app, &before).await);
    assert!(web.is_active(grants[0].str("access_token")).await);

    let done = change_password(&browser, &old, NEW_PASSWORD).await;
    assert_eq!((done.status, done.location()), (303, "/account?done=password"));
    assert_eq!(who(&browser).await.as_deref(), Some("alice"));
    assert!(!is_alive(&app, &before).await);
    assert_eq!(who(&other).await, None);
    for grant in &grants {
        assert!(!web.is_active(grant.str("access_token")).await);
        let refused = web.refresh(grant.str("refresh_token")).await;
        assert_eq!(refused.outcome(), REVOKED);
    }
    assert_eq!(who(&bobs).await.as_deref(), Some("bob"));
    assert!(web.is_active(of_bob.str("access_token")).await);
    let fresh = Browser::new(&app);
    for (password, status) in [(old.as_str(), 400), (NEW_PASSWORD, 303)] {
        let page = fresh.get("/sign-in").await;
        let fields = [("username", "alice"), ("password", password)];
        assert_eq!(fresh.submit(&page, &fields).await.status, status);
    }
    // What begins now is not covered by what ended.
    app.advance(SECOND * 2).await;
    let again = browser.code_grant(&web, &[]).await;
    assert!(web.is_active(again.str("access_token")).await);
}

#[tokio::test]
async fn a_person_who_is_locked_out_or_removed_is_signed_out_everywhere_and_for_good() {
    let app = TestApp::start().await;
    let operator = TestApp::operator();
    let web = app.code_client("web", "openid offline_access", CALLBACK).await;
    for name in ["locked", "removed"] {
        app.user(name, &[]).await;
        let browsers = [
            Browser::signed_in(&app, name).await,
            Browser::signed_in(&app, name).await,
        ];
        let grant = browsers[0].code_grant(&web, &[]).await;
        let (page, inside) = (browsers[1].get("/account").await, app.inside());
        if name == "locked" {
            inside.set_user_locked(name, true, &operator).await.unwrap();
        } else {
            inside.delete_user(name, &operator).await.unwrap();
        }
        for browser in &browsers {
            assert_eq!(who(browser).await, None, "{name}");
        }
        assert_eq!(browsers[1].submit(&page, &[]).await.status, 403, "{name}");
        assert!(!web.is_active(grant.str("access_token")).await, "{name}");
        let refused = web.refresh(grant.str("refresh_token")).await;
        assert_eq!(refused.outcome(), REVOKED, "{name}");
        let page = browsers[0].get("/sign-in").await;
        let password = password_of(name);
        let fields = [("username", name), ("password", password.as_str())];
        let refused = browsers[0].submit(&page, &fields).await;
        assert_eq!(refused.status, 400, "{name}");
        assert_eq!(who(&browsers[0]).await, None, "{name}");
    }
    app.inside()
        .set_user_locked("locked", false, &operator)
        .await
        .unwrap();
    let browser = Browser::signed_in(&app, "locked").await;
    assert_eq!(who(&browser).await.as_deref(), Some("locked"));
}
