//! The device grant: a device asks and waits, a person lets it in or turns it away on a page that says what it is about,
//! and the device gets its tokens once.
#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails where it is")]

use std::time::Duration;

use futures_util::future::join_all;
use vouchsafe_issuer::{ApplicationType, ClientDraft};
use vouchsafe_protocol::{ClientAuthMethod, GrantType, ResourceUri, ScopeSet, Subject};
use vouchsafe_tests::{Answer, Browser, CALLBACK, Page, Setup, TestApp, TestClient};

use crate::authorize::register;
use crate::refresh::{family_of, sid_of};
use crate::register::DEVICE_CODE;

const SECOND: Duration = Duration::from_secs(1);
/// How long a device code is good.
const LIFE: Duration = Duration::from_secs(600);
/// Longer than any limit remembers.
const MINUTES: Duration = Duration::from_secs(121);
const TV: &str = "https://tv.example";

const PENDING: &str = "400 authorization_pending pending";
const TOO_EARLY: &str = "400 slow_down too_soon";
const REUSED: &str = "400 invalid_grant reused";
const OVER: &str = "400 expired_token expired";
const TURNED_AWAY: &str = "400 access_denied denied";

/// A public client for devices.
async fn device_client<'a>(
    app: &'a TestApp,
    id: &str,
    scope: &str,
    resources: &[ResourceUri],
) -> TestClient<'a> {
    let resources = resources.to_vec();
    app.client_with(id, scope, |draft| {
        draft.name = Some("Living Room".to_owned());
        draft.auth_method = Some(ClientAuthMethod::None);
        draft.application_type = Some(ApplicationType::Native);
        draft.grants = Some(vec![GrantType::DeviceCode, GrantType::RefreshToken]);
        draft.resources = Some(resources);
    })
    .await
}

async fn begin(client: TestClient<'_>) -> Answer {
    let begun = client.post("/device_authorization", &[]).await;
    assert_eq!(begun.status, 200, "{}", begun.text);
    begun
}

/// Asks for tokens with what the device was told.
async fn ask(client: TestClient<'_>, begun: &Answer) -> Answer {
    let form = [
        ("grant_type", DEVICE_CODE),
        ("device_code", begun.str("device_code")),
    ];
    client.token(&form).await
}

/// Where a person is asked about the device.
fn question(begun: &Answer) -> String {
    format!("/device/confirm?user_code={}", begun.str("user_code"))
}

/// Decides as whoever is signed in; gives the page that follows.
async fn decide(browser: &Browser<'_>, begun: &Answer, decision: &str) -> Page {
    let page = browser.get(&question(begun)).await;
    assert_eq!(page.status, 200, "{}", page.text);
    browser.submit(&page, &[("decision", decision)]).await
}

async fn lock(app: &TestApp, name: &str, locked: bool) {
    app.inside()
        .set_user_locked(name, locked, &TestApp::operator())
        .await
        .unwrap();
}

async fn count_of(app: &TestApp, event: &str) -> usize {
    let tail = app.inside().store().audit_tail(10_000).await.unwrap();
    tail.iter().filter(|record| record.event == event).count()
}

#[tokio::test]
async fn a_device_is_told_what_to_show_and_when_to_ask() {
    let app = TestApp::start().await;
    let tv = device_client(&app, "tv", "openid", &[]).await;
    let request = app
        .http
        .post(format!("{}/device_authorization", app.base))
        .header("origin", "https://tv.example")
        .form(&[("client_id", "tv")]);
    let begun = Answer::read(request.send().await.unwrap()).await;
    assert_eq!(begun.outcome(), "200");
    assert_eq!(begun.header("cache-control"), Some("no-store"));
    assert_eq!(begun.header("access-control-allow-origin"), Some("*"));
    let page = format!("{}/device", app.issuer);
    let user_code = begun.str("user_code");
    assert_eq!(begun.str("verification_uri"), page);
    assert_eq!(
        begun.str("verification_uri_complete"),
        format!("{page}?user_code={user_code}")
    );
    assert_eq!(begun.json["expires_in"], 600);
    assert_eq!(begun.json["interval"], 5);
    assert_eq!((user_code.len(), user_code.find('-')), (9, Some(4)));
    assert_ne!(begin(tv).await.str("user_code"), user_code);
}

#[tokio::test]
async fn what_a_device_may_not_have_is_refused_at_once() {
    let app = TestApp::start().await;
    app.resource("https://other.example", "read").await;
    let tv = device_client(&app, "tv", "openid", &[]).await;
    let web = app.client("web", "openid").await;
    let path = "/device_authorization";
    let refused = web.post(path, &[]).await;
    assert_eq!(refused.outcome(), "400 unauthorized_client grant_not_allowed");
    for (field, value, outcome) in [
        ("scope", "email", "400 invalid_scope scope_not_allowed"),
        ("scope", "\"", "400 invalid_scope invalid_parameter"),
        ("resource", "mcp", "400 invalid_target unknown_resource"),
        (
            "resource",
            "https://gone.example",
            "400 invalid_target unknown_resource",
        ),
        (
            "resource",
            "https://other.example",
            "400 invalid_target resource_not_allowed",
        ),
    ] {
        let refused = tv.post(path, &[(field, value)]).await;
        assert_eq!(refused.outcome(), outcome, "{field}={value}");
    }
    let form = [("client_id", "nobody")];
    let request = app.http.post(format!("{}{path}", app.base)).form(&form);
    let unknown = Answer::read(request.send().await.unwrap()).await;
    assert_eq!(unknown.outcome(), "401 invalid_client bad_credentials");
}

#[tokio::test]
async fn a_client_begins_sixty_times_a_minute_from_one_address() {
    let app = TestApp::start().await;
    let tv = device_client(&app, "tv", "openid", &[]).await;
    let radio = device_client(&app, "radio", "openid", &[]).await;
    for _ in 0..60 {
        begin(tv).await;
    }
    let refused = tv.post("/device_authorization", &[]).await;
    assert_eq!(refused.outcome(), "429 temporarily_unavailable too_many_attempts");
    assert!(refused.header("retry-after").is_some());
    begin(radio).await;
    app.advance(MINUTES).await;
    begin(tv).await;
}

#[tokio::test]
async fn d01_a_device_that_asks_too_early_waits_longer_each_time() {
    let app = TestApp::start().await;
    let tv = device_client(&app, "tv", "openid", &[]).await;
    let begun = begin(tv).await;
    for (later, outcome) in [
        (0, PENDING),
        (5, PENDING),
        (2, TOO_EARLY),
        (5, TOO_EARLY),
        (15, PENDING),
        (10, TOO_EARLY),
        (20, PENDING),
    ] {
        app.advance(SECOND * later).await;
        assert_eq!(ask(tv, &begun).await.outcome(), outcome, "{later} s later");
    }
    // What the device has to wait is the database's to say: another replica knows it.
    app.advance(SECOND * 10).await;
    let other = Setup::default()
        .set("issuer", &app.issuer)
        .beside(&app)
        .start()
        .await;
    assert_eq!(ask(tv.at(&other), &begun).await.outcome(), TOO_EARLY);
}

#[tokio::test]
async fn d01_a_device_that_asks_without_end_waits_a_minute_at_most() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let tv = device_client(&app, "tv", "openid", &[]).await;
    let begun = begin(tv).await;
    assert_eq!(ask(tv, &begun).await.outcome(), PENDING);
    for _ in 0..30 {
        assert_eq!(ask(tv, &begun).await.outcome(), TOO_EARLY);
    }
    app.advance(SECOND * 50).await;
    assert_eq!(ask(tv, &begun).await.outcome(), TOO_EARLY);
    app.advance(SECOND * 60).await;
    assert_eq!(ask(tv, &begun).await.outcome(), PENDING);
    // Once it is let in, nothing is too early.
    let browser = Browser::signed_in(&app, "alice").await;
    decide(&browser, &begun, "allow").await;
    assert_eq!(ask(tv, &begun).await.outcome(), "200");
}

#[tokio::test]
async fn d02_a_device_code_is_redeemed_once_and_its_family_is_no_browsers() {
    let app = TestApp::start().await;
    let alice = Subject::parse(&app.user("alice", &[]).await).unwrap();
    let tv = device_client(&app, "tv", "openid", &[]).await;
    let browser = Browser::signed_in(&app, "alice").await;
    let signed_in_at = app.now().as_unix();
    app.advance(SECOND * 30).await;
    let begun = begin(tv).await;
    let done = decide(&browser, &begun, "allow").await;
    assert_eq!(done.status, 303);
    assert!(done.location().ends_with("/device/done?outcome=allowed"));

    let granted = ask(tv, &begun).await;
    assert_eq!(granted.outcome(), "200");
    let claims = granted.claims();
    assert_eq!(claims["auth_time"], signed_in_at);
    assert_eq!(claims["acr"], "1");
    assert_eq!(claims["amr"], serde_json::json!(["pwd"]));
    assert_eq!(ask(tv, &begun).await.outcome(), REUSED);
    app.advance(LIFE).await;
    assert_eq!(ask(tv, &begun).await.outcome(), REUSED);

    let store = app.inside().store();
    assert_eq!(family_of(&app, &sid_of(&granted)).await.session_id, None);
    assert!(store.consents_of(&alice, 10).await.unwrap().is_empty());
    for session in store.sessions_of(&alice, app.now(), 10).await.unwrap() {
        app.inside().end_session(&session).await.unwrap().unwrap();
    }
    let refreshed = tv.refresh(granted.str("refresh_token")).await;
    assert_eq!(refreshed.outcome(), "200");
}

#[tokio::test]
async fn d02_anothers_device_code_changes_nothing() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let tv = device_client(&app, "tv", "openid", &[]).await;
    let radio = device_client(&app, "radio", "openid", &[]).await;
    let begun = begin(tv).await;
    let mismatch = "400 invalid_grant client_mismatch";
    assert_eq!(ask(radio, &begun).await.outcome(), mismatch);
    // That was no question of the device.
    assert_eq!(ask(tv, &begun).await.outcome(), PENDING);
    let browser = Browser::signed_in(&app, "alice").await;
    decide(&browser, &begun, "allow").await;
    assert_eq!(ask(radio, &begun).await.outcome(), mismatch);
    assert_eq!(ask(tv, &begun).await.outcome(), "200");
    let made_up = [("grant_type", DEVICE_CODE), ("device_code", "made-up")];
    assert_eq!(
        tv.token(&made_up).await.outcome(),
        "400 invalid_grant unknown_token"
    );
}

#[tokio::test]
async fn d02_a_device_code_ends_after_ten_minutes_decided_or_not() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let tv = device_client(&app, "tv", "openid", &[]).await;
    let (undecided, allowed) = (begin(tv).await, begin(tv).await);
    let browser = Browser::signed_in(&app, "alice").await;
    let late = browser.get(&question(&undecided)).await;
    decide(&browser, &allowed, "allow").await;
    app.advance(LIFE - SECOND).await;
    assert_eq!(ask(tv, &undecided).await.outcome(), PENDING);
    app.advance(SECOND).await;
    assert_eq!(ask(tv, &undecided).await.outcome(), OVER);
    assert_eq!(ask(tv, &allowed).await.outcome(), OVER);
    let too_late = browser.submit(&late, &[("decision", "allow")]).await;
    assert!(!too_late.location().contains("/device/done"));
    assert_eq!(ask(tv, &undecided).await.outcome(), OVER);
    assert_eq!(browser.get(&question(&undecided)).await.status, 400);
    assert_eq!(count_of(&app, "family_begun").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d02_fifty_racers_with_one_device_code_make_one_family() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let tv = device_client(&app, "tv", "openid", &[]).await;
    let begun = begin(tv).await;
    let browser = Browser::signed_in(&app, "alice").await;
    decide(&browser, &begun, "allow").await;
    let answers = join_all((0..50).map(|_| ask(tv, &begun))).await;
    let mut outcomes: Vec<String> = answers.iter().map(Answer::outcome).collect();
    outcomes.sort_unstable();
    assert_eq!(outcomes.remove(0), "200");
    assert_eq!(outcomes, vec![REUSED; 49]);
    assert_eq!(count_of(&app, "family_begun").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d02_of_a_yes_and_a_no_at_once_one_holds() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let tv = device_client(&app, "tv", "openid", &[]).await;
    let browser = Browser::signed_in(&app, "alice").await;
    for _ in 0..10 {
        let begun = begin(tv).await;
        let page = browser.get(&question(&begun)).await;
        let (yes, no) = tokio::join!(
            browser.submit(&page, &[("decision", "allow")]),
            browser.submit(&page, &[("decision", "deny")])
        );
        let yes = yes.location().ends_with("/device/done?outcome=allowed");
        let no = no.location().ends_with("/device/done?outcome=denied");
        assert!(yes != no, "{yes} {no}");
        let outcome = if yes { "200" } else { TURNED_AWAY };
        assert_eq!(ask(tv, &begun).await.outcome(), outcome);
        // What was decided stays so.
        let again = browser.submit(&page, &[("decision", "allow")]).await;
        assert!(!again.location().contains("/device/done"));
    }
    assert_eq!(count_of(&app, "device_decided").await, 10);
}

#[tokio::test]
async fn d03_whoever_guesses_user_codes_is_stopped() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    app.user("bob", &[]).await;
    let tv = device_client(&app, "tv", "openid", &[]).await;
    let begun = begin(tv).await;
    let (alice, bob) = (Browser::new(&app), Browser::new(&app));
    alice.sign_in("alice").await;
    bob.sign_in("bob").await;
    let wrong = "/device/confirm?user_code=BBBB-BBBB";
    let mut heard = 0;
    for _ in 0..40 {
        match alice.get(wrong).await.status {
            400 => heard += 1,
            status => assert_eq!(status, 429),
        }
    }
    assert!((1..=10).contains(&heard), "{heard}");
    // Then the right one is not heard either, but that of somebody else is.
    assert_eq!(alice.get(&question(&begun)).await.status, 429);
    assert_eq!(bob.get(&question(&begun)).await.status, 200);
    app.advance(MINUTES).await;
    assert_eq!(alice.get(&question(&begun)).await.status, 200);
}

#[tokio::test]
async fn d03_a_user_code_is_typed_in_any_case_with_spaces_and_hyphens() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let tv = device_client(&app, "tv", "openid", &[]).await;
    let begun = begin(tv).await;
    let browser = Browser::signed_in(&app, "alice").await;
    let typed = format!("+{}", begun.str("user_code").to_lowercase().replace('-', "++"));
    let page = browser.get(&format!("/device/confirm?user_code={typed}")).await;
    assert_eq!(page.status, 200, "{}", page.text);
    assert!(page.text.contains(begun.str("user_code")), "{}", page.text);
    browser.submit(&page, &[("decision", "allow")]).await;
    assert_eq!(ask(tv, &begun).await.outcome(), "200");
}

#[tokio::test]
async fn d04_a_decision_from_elsewhere_is_none() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    app.user("mallory", &[]).await;
    let tv = device_client(&app, "tv", "openid", &[]).await;
    let (begun, other) = (begin(tv).await, begin(tv).await);
    let (alice, mallory) = (Browser::new(&app), Browser::new(&app));
    alice.sign_in("alice").await;
    mallory.sign_in("mallory").await;
    let of_mallory = mallory.get(&question(&begun)).await.hidden("ticket");
    let of_other = alice.get(&question(&other)).await.hidden("ticket");
    let of_form = alice.get("/device").await.hidden("ticket");
    let user_code = begun.str("user_code");
    let tickets = [
        of_mallory.as_str(),
        of_other.as_str(),
        of_form.as_str(),
        "",
        "a.b.c.d",
    ];
    for ticket in tickets {
        for decision in ["allow", "deny"] {
            let form = [
                ("user_code", user_code),
                ("ticket", ticket),
                ("decision", decision),
            ];
            let answer = alice.post("/device/confirm", &form).await;
            assert_eq!(answer.status, 403, "{ticket} {decision}");
        }
    }
    // Whoever is not signed in decides nothing.
    let nobody = Browser::new(&app);
    let sent = nobody.get(&question(&begun)).await;
    assert_eq!(sent.status, 303);
    assert!(
        sent.location().contains("/sign-in?continue="),
        "{}",
        sent.location()
    );
    let form = [
        ("user_code", user_code),
        ("ticket", of_mallory.as_str()),
        ("decision", "allow"),
    ];
    let sent = nobody.post("/device/confirm", &form).await;
    assert!(!sent.location().contains("/device/done"), "{}", sent.location());
    assert_eq!(ask(tv, &begun).await.outcome(), PENDING);
    assert_eq!(count_of(&app, "device_decided").await, 0);
    // What mallory was shown, mallory may decide.
    decide(&mallory, &begun, "deny").await;
    assert_eq!(ask(tv, &begun).await.outcome(), TURNED_AWAY);
}

#[tokio::test]
async fn d05_the_page_says_who_asks_for_what_from_where_and_an_address_alone_decides_nothing() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let uri = app.resource(TV, "watch record").await;
    let tv = device_client(&app, "tv", "openid watch", &[uri]).await;
    let begun = begin(tv).await;
    let user_code = begun.str("user_code");
    let browser = Browser::signed_in(&app, "alice").await;
    let complete = begun.str("verification_uri_complete");
    let form = browser.get(complete.strip_prefix(&app.issuer).unwrap()).await;
    assert_eq!(form.status, 200);
    assert!(
        form.text.contains(&format!("value=\"{user_code}\"")),
        "{}",
        form.text
    );
    let sent = browser.submit(&form, &[("user_code", user_code)]).await;
    assert_eq!(sent.status, 303);
    assert!(
        sent.location().ends_with(&question(&begun)),
        "{}",
        sent.location()
    );
    let page = browser.get(&question(&begun)).await;
    for said in [
        "On another device, Living Room asks",
        user_code,
        "127.0.0.1",
        "watch",
        "tv.example",
        "alice",
    ] {
        assert!(page.text.contains(said), "{said}: {}", page.text);
    }
    assert!(!page.text.contains("record"), "{}", page.text);
    assert_eq!(ask(tv, &begun).await.outcome(), PENDING);
}

#[tokio::test]
async fn d05_a_client_that_nobody_vouches_for_is_named_as_such_and_not_by_what_it_says() {
    let app = Setup::default().set("registration.mode", "open").start().await;
    app.user("alice", &[]).await;
    let said = serde_json::json!({
        "client_name": "Living Room",
        "client_uri": "https://bank.example/",
        "redirect_uris": [CALLBACK],
        "grant_types": ["authorization_code", DEVICE_CODE],
        "token_endpoint_auth_method": "none",
    });
    let registered = register(&app, &said).await;
    assert_eq!(registered.status, 201, "{}", registered.text);
    let begun = begin(app.stranger(registered.str("client_id"))).await;
    let browser = Browser::signed_in(&app, "alice").await;
    let page = browser.get(&question(&begun)).await;
    for told in ["Living Room registered itself", "Nobody here has checked it"] {
        assert!(page.text.contains(told), "{told}: {}", page.text);
    }
    for claimed in ["bank.example", "app.example"] {
        assert!(!page.text.contains(claimed), "{claimed}: {}", page.text);
    }
}

#[tokio::test]
async fn d07_a_person_who_was_locked_out_lets_no_device_in() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let tv = device_client(&app, "tv", "openid", &[]).await;
    let begun = begin(tv).await;
    let browser = Browser::signed_in(&app, "alice").await;
    decide(&browser, &begun, "allow").await;
    lock(&app, "alice", true).await;
    let refused = ask(tv, &begun).await;
    assert_eq!((refused.status, refused.str("error")), (400, "invalid_grant"));
    // Being let in again lets in no device.
    lock(&app, "alice", false).await;
    let refused = ask(tv, &begun).await;
    assert_eq!((refused.status, refused.str("error")), (400, "invalid_grant"));
    assert_eq!(count_of(&app, "family_begun").await, 0);
}

#[tokio::test]
async fn d07_roles_narrow_what_a_device_gets_and_the_page_says_what_they_may_come_to_permit() {
    let app = TestApp::start().await;
    let uri = app
        .resource_with(TV, "watch record", |resource| resource.by_role = true)
        .await;
    app.role("viewer", "watch", &[]).await;
    app.user("alice", &["viewer"]).await;
    let tv = device_client(&app, "tv", "watch record", &[uri]).await;
    let begun = begin(tv).await;
    let browser = Browser::signed_in(&app, "alice").await;
    let page = browser.get(&question(&begun)).await;
    for scope in ["watch", "record"] {
        assert!(page.text.contains(scope), "{scope}: {}", page.text);
    }
    browser.submit(&page, &[("decision", "allow")]).await;
    let granted = ask(tv, &begun).await;
    assert_eq!(granted.str("scope"), "watch");
    assert_eq!(granted.claims()["aud"], TV);
}

#[tokio::test]
async fn d07_what_was_taken_from_the_client_since_is_not_granted() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let tv = device_client(&app, "tv", "openid email", &[]).await;
    let (begun, waiting) = (begin(tv).await, begin(tv).await);
    let browser = Browser::signed_in(&app, "alice").await;
    decide(&browser, &begun, "allow").await;
    let less = ClientDraft {
        scope: Some(ScopeSet::parse("openid").unwrap()),
        ..ClientDraft::default()
    };
    app.change_client("tv", &less).await;
    let refused = ask(tv, &begun).await;
    assert_eq!(refused.outcome(), "400 invalid_grant scope_not_allowed");
    let disabled = ClientDraft {
        disabled: Some(true),
        ..ClientDraft::default()
    };
    app.change_client("tv", &disabled).await;
    assert_eq!(
        ask(tv, &begun).await.outcome(),
        "401 invalid_client bad_credentials"
    );
    // Nobody is asked about a client that may do nothing.
    assert_eq!(browser.get(&question(&waiting)).await.status, 400);
}

#[tokio::test]
async fn d07_what_a_client_gave_up_meanwhile_is_let_in_by_nobody() {
    let app = TestApp::start().await;
    let tv = device_client(&app, "tv", "openid email", &[]).await;
    let alice = app.visitor("alice").await;
    let holding = |scope: &str| ClientDraft {
        scope: Some(ScopeSet::parse(scope).unwrap()),
        ..ClientDraft::default()
    };
    let (unread, read) = (begin(tv).await, begin(tv).await);
    let page = alice.get(&question(&read)).await;
    assert!(page.text.contains("See your email address"), "{}", page.text);
    app.change_client("tv", &holding("openid")).await;
    let asked = alice.get(&question(&unread)).await;
    assert!(!asked.is("device-confirm"), "{}", asked.text);
    let refused = alice.submit(&page, &[("decision", "allow")]).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    app.change_client("tv", &holding("openid email")).await;
    for begun in [&unread, &read] {
        assert_eq!(ask(tv, begun).await.outcome(), PENDING);
    }
}

#[tokio::test]
async fn a_page_that_is_sent_twice_says_that_it_was_decided() {
    let app = TestApp::start().await;
    let tv = device_client(&app, "tv", "openid", &[]).await;
    let alice = app.visitor("alice").await;
    let begun = begin(tv).await;
    let page = alice.get(&question(&begun)).await;
    let first = alice.submit(&page, &[("decision", "allow")]).await;
    assert_eq!(first.location(), "/device/done?outcome=allowed");
    let second = alice.submit(&page, &[("decision", "allow")]).await;
    assert_eq!(second.status, 400);
    assert!(
        second.text.contains("<code>decided_before</code>"),
        "{}",
        second.text
    );
    assert_eq!(ask(tv, &begun).await.outcome(), "200");
}

#[tokio::test]
async fn a_device_that_did_not_ask_yet_goes_with_whoever_let_it_in() {
    let app = TestApp::start().await;
    let tv = device_client(&app, "tv", "openid", &[]).await;
    for name in ["alice", "bob"] {
        app.user(name, &[]).await;
    }
    let browser = Browser::signed_in(&app, "alice").await;
    let begun = begin(tv).await;
    decide(&browser, &begun, "allow").await;
    browser.sign_in("bob").await;
    assert_eq!(ask(tv, &begun).await.outcome(), "400 invalid_grant unknown_token");
}

#[tokio::test]
async fn a_device_code_that_was_over_stays_over_when_a_clock_steps_back() {
    let app = TestApp::start().await;
    let tv = device_client(&app, "tv", "openid", &[]).await;
    let alice = app.visitor("alice").await;
    for asked_late in [true, false] {
        let begun = begin(tv).await;
        decide(&alice, &begun, "allow").await;
        if asked_late {
            app.advance(LIFE).await;
            assert_eq!(ask(tv, &begun).await.outcome(), OVER);
            app.clock.step_back(SECOND * 60);
        } else {
            app.clock.step_back(SECOND * 10);
        }
        assert_eq!(ask(tv, &begun).await.outcome(), OVER, "{asked_late}");
    }
    assert_eq!(count_of(&app, "family_begun").await, 0);
}
