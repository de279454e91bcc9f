//! One's own account at the pages: making it, getting into it, and ending what is open elsewhere; and nobody else's.
#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails where it is")]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::stream::StreamExt as _;
use ring::digest;
use vouchsafe_issuer::ClientDraft;
use vouchsafe_tests::{Answer, Browser, CALLBACK, Page, Setup, TestApp, TestClient, password_of};

use crate::browser_session::{post_from, who};
use crate::refresh::sid_of;
use crate::sign_in::{all_at_once, crowd, hold_hashes, one_hash_at_a_time, places};

/// Longer than any pause, and than the memory of any limit.
const MINUTES: Duration = Duration::from_secs(121);
const WRONG: &str = "not the password";
const REVOKED: &str = "400 invalid_grant revoked";
/// Two places from which people come.
const HERE: &str = "198.51.100.7";
const THERE: &str = "203.0.113.9";
const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

/// With signing up, behind a proxy that says where people come from.
async fn start() -> TestApp {
    Setup::default()
        .set("accounts.sign_up", "true")
        .set("server.trusted_proxies", "127.0.0.1")
        .start()
        .await
}

/// What the cookie of a browser digests to.
fn session_of(browser: &Browser<'_>) -> String {
    let cookie = browser.cookie().unwrap();
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, cookie.as_bytes()))
}

/// What a page of the account shows, by the attribute that names each.
fn shown(page: &Page, attribute: &str) -> Vec<String> {
    let mark = format!("{attribute}=\"");
    let parts = page.text.split(mark.as_str()).skip(1);
    parts
        .filter_map(|part| part.split('"').next())
        .map(str::to_owned)
        .collect()
}

/// Presses a button on the page of the account that is there.
async fn press(browser: &Browser<'_>, action: &str, (name, value): (&str, &str)) -> Page {
    let page = browser.get("/account").await;
    let button = format!("name=\"{name}\" value=\"{value}\"");
    assert!(page.text.contains(&button), "{button}: {}", page.text);
    post_from(browser, (&page, action), &[(name, value)], &[]).await
}

/// Asserts that a grant lives, or that nothing of it does.
async fn assert_lives(client: &TestClient<'_>, grant: &Answer, lives: bool, what: &str) {
    let active = client.is_active(grant.str("access_token")).await;
    assert_eq!(active, lives, "{what}");
    let refreshed = client.refresh(grant.str("refresh_token")).await;
    assert_eq!(refreshed.outcome(), if lives { "200" } else { REVOKED }, "{what}");
}

#[tokio::test]
async fn a_person_sees_where_they_are_signed_in_and_ends_it_there_or_here() {
    let app = start().await;
    app.user("alice", &[]).await;
    app.user("bob", &[]).await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let (here, there, bobs) = (
        Browser::signed_in(&app, "alice").await,
        Browser::new(&app),
        Browser::signed_in(&app, "bob").await,
    );
    let page = there.get("/sign-in").await;
    let password = password_of("alice");
    let fields = [("username", "alice"), ("password", password.as_str())];
    post_from(&there, (&page, "/sign-in"), &fields, &[("user-agent", FIREFOX)]).await;
    let grant = there.code_grant(&web, &[("scope", "openid")]).await;
    let kept = there
        .code_grant(&web, &[("scope", "openid offline_access")])
        .await;
    let own = here.code_grant(&web, &[("scope", "openid")]).await;

    let page = here.get("/account").await;
    let mut sessions = shown(&page, "data-session");
    sessions.sort();
    let mut wanted = vec![session_of(&here), session_of(&there)];
    wanted.sort();
    assert_eq!(sessions, wanted);
    assert!(page.text.contains("Firefox, Linux") && !page.text.contains("Mozilla"));

    let ended = session_of(&there);
    let done = press(&here, "/account/session", ("session", &ended)).await;
    assert_eq!((done.status, done.location()), (303, "/account?done=session"));
    assert!(here.follow(&done).await.text.contains("role=\"status\""));
    assert_eq!(who(&there).await, None);
    assert_eq!(who(&here).await.as_deref(), Some("alice"));
    assert_eq!(who(&bobs).await.as_deref(), Some("bob"));
    assert_lives(&web, &grant, false, "granted there").await;
    assert_lives(&web, &kept, true, "granted there for good").await;
    assert_lives(&web, &own, true, "granted here").await;
    // From a page of before, it is no error.
    let again = post_from(&here, (&page, "/account/session"), &[("session", &ended)], &[]).await;
    assert_eq!(again.location(), "/account?done=session");

    let own = session_of(&here);
    let done = press(&here, "/account/session", ("session", &own)).await;
    assert_eq!((done.status, done.location()), (303, "/signed-out"));
    assert_eq!((here.cookie(), who(&here).await), (None, None));
    assert_eq!(who(&bobs).await.as_deref(), Some("bob"));
}

#[tokio::test]
async fn each_scope_of_an_application_is_named_with_its_own_resource() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let mut resources = Vec::new();
    for (uri, scope) in [("https://a.example", "a:read"), ("https://b.example", "b:read")] {
        resources.push(app.resource(uri, scope).await);
    }
    let web = app.code_client("web", "openid a:read b:read", CALLBACK).await;
    let draft = ClientDraft {
        resources: Some(resources),
        ..ClientDraft::default()
    };
    app.change_client("web", &draft).await;
    let browser = Browser::signed_in(&app, "alice").await;
    let asked = [
        ("resource", "https://a.example"),
        ("resource", "https://b.example"),
    ];
    browser.code_grant(&web, &asked).await;
    let page = browser.get("/account").await;
    for (scope, times) in [
        ("a:read at a.example", 2),
        ("b:read at b.example", 2),
        ("b:read at a", 0),
    ] {
        assert_eq!(page.text.matches(scope).count(), times, "{scope}: {}", page.text);
    }
}

#[tokio::test]
async fn a_person_ends_what_an_application_holds_and_nothing_else() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let web = app.code_client("web", "openid offline_access", CALLBACK).await;
    let phone = app.code_client("phone", "openid", CALLBACK).await;
    let browser = Browser::signed_in(&app, "alice").await;
    let at_web = [
        browser.code_grant(&web, &[]).await,
        browser.code_grant(&web, &[]).await,
    ];
    let at_phone = browser.code_grant(&phone, &[]).await;
    let all = [&at_web[0], &at_web[1], &at_phone];
    let mut sids: Vec<String> = all.iter().map(|grant| sid_of(grant).to_string()).collect();
    let mut apps = shown(&browser.get("/account").await, "data-sid");
    sids.sort();
    apps.sort();
    assert_eq!(apps, sids);

    let sid = sid_of(&at_web[0]);
    let done = press(&browser, "/account/app", ("sid", sid.as_str())).await;
    assert_eq!((done.status, done.location()), (303, "/account?done=app"));
    let page = browser.follow(&done).await;
    assert!(page.text.contains("role=\"status\""));
    assert_eq!(shown(&page, "data-sid").len(), 2);
    assert_lives(&web, &at_web[0], false, "ended").await;
    assert_lives(&web, &at_web[1], true, "another of the same application").await;
    assert_lives(&phone, &at_phone, true, "another application").await;
    // They are still signed in, and what they allowed stays allowed.
    let silent = browser.authorize(&web, &[("prompt", "none")]).await;
    assert!(silent.answer("code").is_some(), "{silent:?}");
}

#[tokio::test]
async fn t46_a_consent_that_is_withdrawn_takes_everything_with_it_that_was_granted_under_it() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    app.user("bob", &[]).await;
    let web = app.code_client("web", "openid offline_access", CALLBACK).await;
    let phone = app.code_client("phone", "openid", CALLBACK).await;
    let (browser, other, bobs) = (
        Browser::signed_in(&app, "alice").await,
        Browser::signed_in(&app, "alice").await,
        Browser::signed_in(&app, "bob").await,
    );
    let here = browser.code_grant(&web, &[("scope", "openid")]).await;
    let kept = browser.code_grant(&web, &[]).await;
    let elsewhere = other.code_grant(&web, &[]).await;
    let at_phone = browser.code_grant(&phone, &[]).await;
    let of_bob = bobs.code_grant(&web, &[]).await;
    let waiting = browser.code(&web, &[]).await;
    let mut clients = shown(&browser.get("/account").await, "data-client");
    clients.sort();
    assert_eq!(clients, ["phone", "web"]);

    let done = press(&browser, "/account/consent", ("client_id", "web")).await;
    assert_eq!((done.status, done.location()), (303, "/account?done=consent"));
    let page = browser.follow(&done).await;
    assert!(page.text.contains("role=\"status\""));
    assert_eq!(shown(&page, "data-client"), ["phone"]);
    for (what, grant) in [("here", &here), ("kept", &kept), ("elsewhere", &elsewhere)] {
        assert_lives(&web, grant, false, what).await;
    }
    assert_lives(&phone, &at_phone, true, "another application").await;
    assert_lives(&web, &of_bob, true, "another person").await;
    assert_eq!(web.redeem(&waiting).await.status, 400);
    assert_eq!(who(&other).await.as_deref(), Some("alice"));
    // It is asked anew.
    let silent = browser.authorize(&web, &[("prompt", "none")]).await;
    assert_eq!(silent.answer("error").as_deref(), Some("consent_required"));
    let asked = browser.follow(&browser.authorize(&web, &[]).await).await;
    assert!(asked.is("consent"), "{asked:?}");
    let silent = bobs.authorize(&web, &[("prompt", "none")]).await;
    assert!(silent.answer("code").is_some(), "{silent:?}");
}

#[tokio::test]
async fn nobody_ends_anything_of_another_person() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    app.user("bob", &[]).await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let (alices, bobs) = (
        Browser::signed_in(&app, "alice").await,
        Browser::signed_in(&app, "bob").await,
    );
    let grant = alices.code_grant(&web, &[]).await;
    let of_bob = bobs.code_grant(&web, &[]).await;
    let (session, sid) = (session_of(&alices), sid_of(&grant).to_string());
    let (hers, his) = (alices.get("/account").await, bobs.get("/account").await);
    let visitor = Browser::new(&app);
    visitor.get("/sign-in").await;
    for (action, field, told) in [
        (
            "/account/session",
            ("session", session.as_str()),
            "/account?done=session",
        ),
        ("/account/app", ("sid", sid.as_str()), "/account?done=app"),
    ] {
        // It reads as if there were no such thing.
        for value in [field.1, "AAAAAAAAAAAAAAAAAAAAAA", "", "x'--"] {
            let done = post_from(&bobs, (&his, action), &[(field.0, value)], &[]).await;
            assert_eq!(done.status, 303, "{action} {value}");
            if !value.is_empty() {
                assert_eq!(done.location(), told, "{action} {value}");
            }
        }
        // With her ticket he gets no further, and without one nobody does.
        for (browser, page) in [(&bobs, &hers), (&visitor, &hers), (&visitor, &his)] {
            let refused = post_from(browser, (page, action), &[field], &[]).await;
            assert!(refused.status == 403 && refused.is("error"), "{action}");
        }
        for browser in [&alices, &bobs, &visitor] {
            for fields in [&[field][..], &[field, ("ticket", "a.1.b.c")]] {
                assert_eq!(browser.post(action, fields).await.status, 403, "{action}");
            }
        }
    }
    for action in ["/account/consent", "/account/sign-out"] {
        let refused = post_from(&bobs, (&hers, action), &[("client_id", "web")], &[]).await;
        assert_eq!(refused.status, 403, "{action}");
        let refused = alices.post(action, &[("client_id", "web")]).await;
        assert_eq!(refused.status, 403, "{action}");
    }
    assert_eq!(who(&bobs).await.as_deref(), Some("bob"));
    // What he withdraws is his own.
    press(&bobs, "/account/consent", ("client_id", "web")).await;
    assert_lives(&web, &of_bob, false, "his").await;
    assert_eq!(who(&alices).await.as_deref(), Some("alice"));
    assert_lives(&web, &grant, true, "hers").await;
    let silent = alices.authorize(&web, &[("prompt", "none")]).await;
    assert!(silent.answer("code").is_some(), "{silent:?}");
}

/// Fills the form of making an account, as somebody who came from this address.
async fn sign_up_from(browser: &Browser<'_>, source: &str, fields: &[(&str, &str)]) -> Page {
    let page = browser.get("/sign-up?continue=%2Faccount%2Fpassword").await;
    let headers = [("x-forwarded-for", source)];
    post_from(browser, (&page, "/sign-up"), fields, &headers).await
}

async fn sign_up(browser: &Browser<'_>, name: &str, password: &str) -> Page {
    let fields = [("username", name), ("password", password)];
    sign_up_from(browser, HERE, &fields).await
}

async fn sign_in_from(browser: &Browser<'_>, source: &str, name: &str, password: &str) -> Page {
    let page = browser.get("/sign-in").await;
    let fields = [("username", name), ("password", password)];
    post_from(
        browser,
        (&page, "/sign-in"),
        &fields,
        &[("x-forwarded-for", source)],
    )
    .await
}

/// What a page says, without what differs each time.
fn words(page: &Page, name: &str) -> String {
    let name = format!("value=\"{name}\"");
    page.text.replace(&page.hidden("ticket"), "").replace(&name, "")
}

#[tokio::test]
async fn nobody_makes_an_account_where_that_is_not_switched_on() {
    let app = TestApp::start().await;
    let browser = Browser::new(&app);
    let page = browser.get("/sign-in").await;
    assert!(!page.text.contains("/sign-up"));
    let shown = browser.get("/sign-up").await;
    let ticket = page.hidden("ticket");
    let fields = [
        ("ticket", ticket.as_str()),
        ("username", "carol"),
        ("password", "password of carol"),
    ];
    let posted = browser.post("/sign-up", &fields).await;
    for page in [shown, posted] {
        assert!(page.status == 404 && page.is("error"), "{page:?}");
    }
    assert!(app.inside().show_user("carol").await.is_err());
}

#[tokio::test]
async fn signing_up_tells_nobody_whether_the_name_was_taken() {
    let app = start().await;
    app.user("alice", &[]).await;
    let browser = Browser::new(&app);
    assert!(browser.get("/sign-in").await.text.contains("/sign-up?continue="));
    let fields = [
        ("username", "carol"),
        ("password", "password of carol"),
        ("email", "carol@mail.example"),
    ];
    let mut made = sign_up_from(&browser, HERE, &fields).await;
    let next = "/sign-in?continue=%2Faccount%2Fpassword&created=1";
    assert_eq!((made.status, made.location()), (303, next));
    made.headers.remove("date");
    // The same name, other spellings of it, and a look-alike.
    for name in ["alice", "ALICE", "\u{ff41}lice", "a1ice", "carol"] {
        let mut other = sign_up(&browser, name, "a password of mine").await;
        other.headers.remove("date");
        assert_eq!(
            (other.status, &other.text, &other.headers),
            (made.status, &made.text, &made.headers),
            "{name}"
        );
    }
    let carol = app.inside().show_user("carol").await.unwrap();
    assert_eq!(carol.email.as_deref(), Some("carol@mail.example"));
    assert!(carol.roles.is_empty());
    for (name, password, status) in [
        ("alice", "a password of mine", 400),
        ("carol", "a password of mine", 400),
        ("alice", &password_of("alice"), 303),
        ("carol", "password of carol", 303),
    ] {
        let page = sign_in_from(&Browser::new(&app), HERE, name, password).await;
        assert_eq!(page.status, status, "{name} {password}");
    }
    // From the page that follows, on to where it all began.
    let page = browser.follow(&made).await;
    assert!(page.is("sign-in") && page.text.contains("role=\"status\""));
    let done = browser
        .submit(&page, &[("username", "carol"), ("password", "password of carol")])
        .await;
    assert_eq!((done.status, done.location()), (303, "/account/password"));
    assert_eq!(who(&browser).await.as_deref(), Some("carol"));
}

#[test]
fn l01_signing_up_costs_one_hash_whether_or_not_the_name_is_taken() {
    one_hash_at_a_time().block_on(async {
        let app = start().await;
        let web = app.client("web", "openid").await;
        app.user("alice", &[]).await;
        let browser = Browser::new(&app);
        let names = crowd(&app, places(&app) + 1).await;
        let hold = hold_hashes();
        let mut crowd = all_at_once(web, &names);
        // When one is turned away, every place is taken: who wants a hash gets none, whoever it is.
        let (_, refused) = crowd.next().await.unwrap();
        assert_eq!(refused.outcome(), "503 temporarily_unavailable busy");
        for name in ["alice", "carol"] {
            let page = sign_up(&browser, name, "password of carol").await;
            assert!(page.status == 503 && page.is("sign-up"), "{name}: {}", page.text);
        }
        for (name, password) in [("alice", "short"), ("a b", "password of carol")] {
            let page = sign_up(&browser, name, password).await;
            assert_eq!(page.status, 400, "{name}");
        }
        drop(hold);
        while let Some((_, answer)) = crowd.next().await {
            assert_eq!(answer.outcome(), "200");
        }
        assert!(app.inside().show_user("carol").await.is_err());
    });
}

#[tokio::test]
async fn an_account_needs_a_name_a_password_and_no_address_or_a_good_one() {
    let app = start().await;
    let browser = Browser::new(&app);
    let (long_name, long_password) = ("x".repeat(65), "x".repeat(1_025));
    let long_email = format!("{}@mail.example", "x".repeat(254));
    let good = "password of carol";
    for (name, password, email) in [
        ("", good, ""),
        ("a b", good, ""),
        (".carol", good, ""),
        ("car\u{202e}ol", good, ""),
        (&long_name, good, ""),
        ("carol", "", ""),
        ("carol", "1234567", ""),
        ("carol", &long_password, ""),
        ("carol", good, "carol"),
        ("carol", good, "carol@"),
        ("carol", good, "@mail.example"),
        ("carol", good, "carol@mail@example"),
        ("carol", good, "carol of@mail.example"),
        ("carol", good, &long_email),
    ] {
        app.advance(MINUTES).await;
        let fields = [("username", name), ("password", password), ("email", email)];
        let page = sign_up_from(&browser, HERE, &fields).await;
        let what = format!("{name:?} {password:?} {email:?}");
        assert!(
            page.status == 400 && page.is("sign-up"),
            "{what}: {}",
            page.status
        );
        assert!(page.text.contains("role=\"alert\""), "{what}");
        assert!(password.is_empty() || !page.text.contains(password), "{what}");
    }
    assert!(app.inside().show_user("carol").await.is_err());
    // What was typed stays but for the password.
    let fields = [
        ("username", "carol"),
        ("password", "short"),
        ("email", "c@mail.example"),
    ];
    let page = sign_up_from(&browser, HERE, &fields).await;
    assert!(page.text.contains("value=\"carol\"") && page.text.contains("value=\"c@mail.example\""));
    app.advance(MINUTES).await;
    assert_eq!(sign_up(&browser, "carol", &"x".repeat(8)).await.status, 303);
    assert!(app.inside().show_user("carol").await.unwrap().email.is_none());
}

#[tokio::test]
async fn ten_accounts_a_minute_are_made_from_one_address() {
    let app = start().await;
    let browser = Browser::new(&app);
    // Forms that nobody showed do not count.
    for _ in 0..20 {
        let fields = [("username", "carol"), ("password", "password of carol")];
        assert_eq!(browser.post("/sign-up", &fields).await.status, 403);
    }
    for number in 0..10 {
        let page = sign_up(&browser, &format!("person{number}"), "a good password").await;
        assert_eq!(page.status, 303, "{number}");
    }
    for name in ["person10", "person0"] {
        let page = sign_up(&browser, name, "a good password").await;
        assert!(page.status == 429 && page.is("sign-up"), "{name}");
        assert!(page.text.contains("role=\"alert\""), "{name}");
    }
    assert!(app.inside().show_user("person10").await.is_err());
    let fields = [("username", "person11"), ("password", "a good password")];
    assert_eq!(sign_up_from(&browser, THERE, &fields).await.status, 303);
    app.advance(MINUTES).await;
    let page = sign_up(&browser, "person10", "a good password").await;
    assert_eq!(page.status, 303);
    assert!(app.inside().show_user("person10").await.is_ok());
}

#[tokio::test]
async fn l01_every_failed_sign_in_at_the_page_reads_the_same() {
    let app = start().await;
    for name in ["alice", "locked"] {
        app.user(name, &[]).await;
    }
    app.inside()
        .set_user_locked("locked", true, &TestApp::operator())
        .await
        .unwrap();
    let browser = Browser::new(&app);
    let mut wrong = sign_in_from(&browser, HERE, "alice", WRONG).await;
    assert!(wrong.status == 400 && wrong.text.contains("role=\"alert\""));
    wrong.headers.remove("date");
    wrong.headers.remove("content-length");
    for (name, password) in [
        ("nobody", WRONG),
        ("locked", WRONG),
        ("locked", &password_of("locked")),
        ("alice", ""),
        ("alice", &"x".repeat(1_025)),
    ] {
        let mut other = sign_in_from(&browser, HERE, name, password).await;
        other.headers.remove("date");
        other.headers.remove("content-length");
        assert_eq!(
            (other.status, words(&other, name), &other.headers),
            (wrong.status, words(&wrong, "alice"), &wrong.headers),
            "{name}"
        );
        assert_eq!(who(&browser).await, None, "{name}");
    }
}

#[tokio::test]
async fn l05_guessing_at_the_page_is_slowed_by_name_and_source_and_the_true_person_passes() {
    let app = start().await;
    for name in ["alice", "bob"] {
        app.user(name, &[]).await;
    }
    let browser = Browser::new(&app);
    let (of_alice, of_bob) = (password_of("alice"), password_of("bob"));
    // Who mistypes a few times does not even notice.
    for _ in 0..5 {
        assert_eq!(sign_in_from(&browser, HERE, "alice", WRONG).await.status, 400);
    }
    assert_eq!(sign_in_from(&browser, HERE, "alice", &of_alice).await.status, 303);
    let guesser = Browser::new(&app);
    let mut wrong = String::new();
    for _ in 0..12 {
        let page = sign_in_from(&guesser, HERE, "alice", WRONG).await;
        assert_eq!(page.status, 400);
        wrong = words(&page, "alice");
    }
    // In the pause the right password reads like a wrong one, in whatever browser.
    for browser in [&guesser, &browser, &Browser::new(&app)] {
        let paused = sign_in_from(browser, HERE, "alice", &of_alice).await;
        assert_eq!((paused.status, words(&paused, "alice")), (400, wrong.clone()));
    }
    assert_eq!(who(&guesser).await, None);
    // It is about this name from there, and signs nobody out.
    assert_eq!(
        sign_in_from(&Browser::new(&app), HERE, "bob", &of_bob)
            .await
            .status,
        303
    );
    assert_eq!(
        sign_in_from(&Browser::new(&app), THERE, "alice", &of_alice)
            .await
            .status,
        303
    );
    assert_eq!(who(&browser).await.as_deref(), Some("alice"));
    app.advance(MINUTES).await;
    assert_eq!(sign_in_from(&guesser, HERE, "alice", &of_alice).await.status, 303);
    assert_eq!(who(&guesser).await.as_deref(), Some("alice"));
}

#[tokio::test]
async fn l05_guesses_at_many_names_from_one_address_are_slowed() {
    let app = start().await;
    app.user("alice", &[]).await;
    let browser = Browser::new(&app);
    let mut tries = 0;
    let slowed = loop {
        let page = sign_in_from(&browser, HERE, &format!("name{tries}"), WRONG).await;
        if page.status == 429 {
            break page;
        }
        assert_eq!(page.status, 400);
        tries += 1;
        assert!(tries < 200, "never slowed");
    };
    assert!(tries >= 20, "people behind one address mistype too");
    assert!(slowed.is("sign-in") && slowed.text.contains("role=\"alert\""));
    let password = password_of("alice");
    assert_eq!(sign_in_from(&browser, HERE, "alice", &password).await.status, 429);
    assert_eq!(
        sign_in_from(&browser, THERE, "alice", &password).await.status,
        303
    );
    app.advance(MINUTES).await;
    let fresh = Browser::new(&app);
    assert_eq!(sign_in_from(&fresh, HERE, "alice", &password).await.status, 303);
}

#[tokio::test]
async fn l05_whoever_sits_at_an_open_browser_cannot_guess_the_password_there() {
    let app = start().await;
    app.user("alice", &[]).await;
    let browser = Browser::signed_in(&app, "alice").await;
    let change = async |current: &str| {
        let page = browser.get("/account/password").await;
        let fields = [
            ("current_password", current),
            ("new_password", "another password"),
        ];
        browser.submit(&page, &fields).await
    };
    for _ in 0..12 {
        assert_eq!(change(WRONG).await.status, 400);
    }
    let paused = change(&password_of("alice")).await;
    assert!(paused.status == 400 && paused.is("password"));
    assert_eq!(who(&browser).await.as_deref(), Some("alice"));
    app.advance(MINUTES).await;
    let done = change(&password_of("alice")).await;
    assert_eq!((done.status, done.location()), (303, "/account?done=password"));
}
