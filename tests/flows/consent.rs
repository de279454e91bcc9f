//! Consent: asked for all that is new and for nothing else, on a page that is taken once, from the browser and the person
//! that it was shown to. What is granted follows from the request, not from the form.

use futures_util::future::join_all;
use serde_json::json;
use vouchsafe_issuer::ClientDraft;
use vouchsafe_protocol::{ClientId, ResourceUri};
use vouchsafe_tests::{Answer, Browser, CALLBACK, Page, Setup, TestApp, TestClient};

use crate::authorize::{
    ALLOW, LOOPBACK, SECOND, assert_page, error_of, id_claims, in_query, quietly, register, sign_in_at,
};

const DENY: &[(&str, &str)] = &[("decision", "deny")];
const NOTES: &str = "https://notes.example/api";
const FILES: &str = "https://files.example/api";
const OTHER: &str = "https://other.example/api";

/// A decision that comes after another one on the same page.
const DECIDED: (&str, &str) = ("invalid_request", "decided_before");

/// The page that asks for consent.
async fn consent_page(browser: &Browser<'_>, client: &TestClient<'_>, more: &[(&str, &str)]) -> Page {
    let page = browser.follow(&browser.authorize(client, more).await).await;
    assert!(page.is("consent"), "{page:?}");
    page
}

/// Whether somebody is asked for consent, and not answered at once.
async fn is_asked(browser: &Browser<'_>, client: &TestClient<'_>, more: &[(&str, &str)]) -> bool {
    let page = browser.authorize(client, more).await;
    let asked = page.location().starts_with("/consent?");
    assert_ne!(asked, page.answer("code").is_some(), "{page:?}");
    asked
}

fn assert_foreign(page: &Page, what: &str) {
    assert_eq!(page.status, 403, "{what}: {page:?}");
    assert!(page.is("error") && page.location().is_empty(), "{what}: {page:?}");
    assert!(
        page.text.contains("<code>foreign_form</code>"),
        "{what}: {}",
        page.text
    );
}

#[tokio::test]
async fn a_person_may_choose_to_go_on_as_somebody_else() {
    let app = TestApp::start().await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let bob = app.user("bob", &[]).await;
    let browser = app.visitor("alice").await;
    let alice = id_claims(&browser.code_grant(&web, &[]).await)["sub"].clone();
    let choose = [("prompt", "select_account")];
    let asked = browser.authorize(&web, &choose).await;
    assert!(asked.location().starts_with("/select-account?"), "{asked:?}");
    let page = browser.follow(&asked).await;
    assert!(
        page.is("select-account") && page.text.contains("alice"),
        "{}",
        page.text
    );
    let chosen = browser.submit(&page, &[("choice", "current")]).await;
    assert_eq!(chosen.status, 303);
    let answered = browser.go_through(chosen).await;
    let tokens = web.redeem(&answered.answer("code").unwrap()).await;
    assert_eq!(id_claims(&tokens)["sub"], alice);
    // The choice counts for that request alone, and its form is taken from that browser alone.
    let asked = browser.authorize(&web, &choose).await;
    let page = browser.follow(&asked).await;
    let stranger = Browser::signed_in(&app, "bob").await;
    assert_foreign(
        &stranger.submit(&page, &[("choice", "current")]).await,
        "another browser",
    );
    let other = browser.submit(&page, &[("choice", "another")]).await;
    let answered = browser
        .go_through(sign_in_at(&browser, &other, "bob").await)
        .await;
    let tokens = web.redeem(&answered.answer("code").unwrap()).await;
    assert_eq!(id_claims(&tokens)["sub"], bob.as_str());
    // Whoever has just signed in has chosen.
    let fresh = Browser::new(&app);
    let asked = fresh.authorize(&web, &choose).await;
    let done = fresh.follow(&sign_in_at(&fresh, &asked, "bob").await).await;
    assert!(done.answer("code").is_some(), "{done:?}");
}

#[tokio::test]
async fn a22_a23_a24_consent_is_taken_from_the_page_the_browser_and_the_person_that_were_asked() {
    let app = TestApp::start().await;
    let web = app.code_client("web", "openid email", CALLBACK).await;
    let (alice, bob) = (app.visitor("alice").await, app.visitor("bob").await);
    let (elsewhere, stranger) = (Browser::new(&app), Browser::new(&app));
    elsewhere.sign_in("alice").await;
    let scope = [("scope", "openid")];
    let page = consent_page(&alice, &web, &scope).await;
    let (ticket, onward) = (page.hidden("ticket"), page.hidden("continue"));
    let wider = onward.replace("scope=openid", "scope=openid+email");
    assert_ne!(wider, onward);
    let sign_in = alice
        .get(&format!("/sign-in?continue={}", in_query(&onward)))
        .await;
    let other_purpose = sign_in.hidden("ticket");
    let altered = ticket.replacen('.', ".1", 1);
    for (what, ticket, onward) in [
        ("no ticket", "", onward.as_str()),
        ("no ticket of ours", "x.1.y.z", onward.as_str()),
        ("an altered ticket", altered.as_str(), onward.as_str()),
        (
            "a ticket for another form",
            other_purpose.as_str(),
            onward.as_str(),
        ),
        ("another request", ticket.as_str(), wider.as_str()),
    ] {
        let fields = [("ticket", ticket), ("continue", onward), ("decision", "allow")];
        assert_foreign(&alice.post("/consent", &fields).await, what);
    }
    for (what, browser) in [
        ("another person", &bob),
        ("no cookie", &stranger),
        ("another browser", &elsewhere),
    ] {
        assert_foreign(&browser.submit(&page, ALLOW).await, what);
        assert_foreign(&browser.submit(&page, DENY).await, what);
    }
    let fields = [
        ("ticket", ticket.as_str()),
        ("continue", onward.as_str()),
        ("decision", "allow"),
    ];
    for header in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
    ] {
        let posted = alice.post_with("/consent", &fields, &[header]).await;
        assert_foreign(&posted, header.1);
    }
    assert_eq!(quietly(&app, &alice, &web, &scope).await, "consent_required");
    // What is granted is what was asked, whatever else the form says.
    let tampered = [
        ("decision", "allow"),
        ("scope", "openid email admin"),
        ("username", "bob"),
    ];
    let answered = alice.submit(&page, &tampered).await;
    let tokens = web.redeem(&answered.answer("code").unwrap()).await;
    assert_eq!(tokens.str("scope"), "openid");
    let stale = consent_page(&alice, &web, &[("scope", "openid email")]).await;
    app.advance(SECOND * 3_601).await;
    assert_foreign(&alice.submit(&stale, ALLOW).await, "after an hour");
    let fresh = consent_page(&alice, &web, &[("scope", "openid email")]).await;
    alice.sign_in("bob").await;
    assert_foreign(&alice.submit(&fresh, ALLOW).await, "somebody else by now");
}

#[tokio::test]
async fn nothing_is_granted_by_whom_or_to_whom_is_gone_since_the_page_was_shown() {
    let app = TestApp::start().await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let (alice, bob) = (app.visitor("alice").await, app.visitor("bob").await);
    let of_alice = consent_page(&alice, &web, &[]).await;
    let of_bob = consent_page(&bob, &web, &[]).await;
    let operator = TestApp::operator();
    app.inside()
        .set_user_locked("alice", true, &operator)
        .await
        .unwrap();
    let decided = alice.follow(&alice.submit(&of_alice, ALLOW).await).await;
    assert!(decided.location().starts_with("/sign-in?"), "{decided:?}");
    let disabled = ClientDraft {
        disabled: Some(true),
        ..ClientDraft::default()
    };
    app.change_client("web", &disabled).await;
    assert_page(
        &bob.submit(&of_bob, ALLOW).await,
        ("invalid_request", "unknown_client"),
        "disabled",
    );
}

#[tokio::test]
async fn consent_is_remembered_for_what_was_allowed_and_asked_anew_for_more() {
    let app = TestApp::start().await;
    let web = app.code_client("web", "openid email profile", CALLBACK).await;
    let other = app.code_client("other", "openid", CALLBACK).await;
    let own = app.code_client("own", "openid", CALLBACK).await;
    let trusted = ClientDraft {
        skip_consent: Some(true),
        ..ClientDraft::default()
    };
    app.change_client("own", &trusted).await;
    let (alice, bob) = (app.visitor("alice").await, app.visitor("bob").await);
    let (few, more) = ([("scope", "openid")], [("scope", "openid email")]);
    assert!(is_asked(&alice, &web, &few).await);
    alice.code(&web, &few).await;
    assert!(!is_asked(&alice, &web, &few).await);
    let page = consent_page(&alice, &web, &more).await;
    assert!(page.text.contains("See your email address"), "{}", page.text);
    assert!(!page.text.contains("See your name"), "{}", page.text);
    assert!(alice.submit(&page, ALLOW).await.answer("code").is_some());
    assert!(!is_asked(&alice, &web, &more).await);
    assert!(!is_asked(&alice, &web, &few).await);
    assert!(is_asked(&alice, &web, &[("scope", "openid profile")]).await);
    assert!(is_asked(&alice, &web, &[few[0], ("prompt", "consent")]).await);
    let again = alice.code(&web, &[few[0], ("prompt", "consent")]).await;
    assert_eq!(web.redeem(&again).await.outcome(), "200");
    assert!(is_asked(&alice, &other, &few).await);
    assert!(is_asked(&bob, &web, &few).await);
    assert!(!is_asked(&bob, &own, &few).await);
    assert_eq!(quietly(&app, &bob, &own, &few).await, "code");
    assert!(is_asked(&bob, &own, &[few[0], ("prompt", "consent")]).await);
    let subject = app.inside().show_user("alice").await.unwrap().subject;
    let client = ClientId::parse("web").unwrap();
    app.inside().withdraw_consent(&subject, &client).await.unwrap();
    assert!(is_asked(&alice, &web, &few).await);
}

#[tokio::test]
async fn a25_a_client_that_registered_itself_is_never_let_in_silently() {
    let app = Setup::default().set("registration.mode", "open").start().await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let alice = app.visitor("alice").await;
    for (uri, asked, again) in [
        (CALLBACK, CALLBACK, false),
        // Another program may listen there the next time (RFC 8252 8.6).
        ("http://127.0.0.1/cb", LOOPBACK, true),
        ("com.example.app:/cb", "com.example.app:/cb", true),
    ] {
        let said = json!({
            "redirect_uris": [uri],
            "token_endpoint_auth_method": "none",
            "skip_consent": true,
            "pkce_optional": true,
        });
        let registered = register(&app, &said).await;
        assert_eq!(registered.status, 201, "{}", registered.text);
        let more = [
            ("client_id", registered.str("client_id")),
            ("redirect_uri", asked),
            ("scope", "openid"),
        ];
        let silent = [more[0], more[1], more[2], ("prompt", "none")];
        let refused = alice.authorize(&web, &silent).await;
        assert_eq!(
            refused.answer("error").as_deref(),
            Some("consent_required"),
            "{refused:?}"
        );
        assert!(refused.location().starts_with(asked), "{refused:?}");
        let page = consent_page(&alice, &web, &more).await;
        assert!(page.text.contains("registered itself"), "{}", page.text);
        let answered = alice.submit(&page, ALLOW).await;
        assert!(answered.answer("code").is_some(), "{answered:?}");
        assert_eq!(is_asked(&alice, &web, &more).await, again, "{uri}");
        let refused = alice.authorize(&web, &silent).await;
        assert_eq!(refused.answer("code").is_none(), again, "{refused:?}");
        let bare = [
            more[0],
            more[1],
            ("code_challenge", ""),
            ("code_challenge_method", ""),
            ("nonce", "n"),
        ];
        let refused = alice.authorize(&web, &bare).await;
        assert_page(&refused, ("invalid_request", "pkce_required"), uri);
    }
}

#[tokio::test]
async fn a23_a27_a_page_decides_once_whatever_was_said() {
    let app = TestApp::start().await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let alice = app.visitor("alice").await;
    let page = consent_page(&alice, &web, &[]).await;
    let denied = alice.submit(&page, DENY).await;
    assert_eq!(error_of(&app.issuer, &denied), "access_denied");
    for (again, what) in [(ALLOW, "yes after no"), (DENY, "no after no")] {
        assert_page(&alice.submit(&page, again).await, DECIDED, what);
    }
    assert_eq!(quietly(&app, &alice, &web, &[]).await, "consent_required");
    let page = consent_page(&alice, &web, &[]).await;
    let allowed = alice.submit(&page, ALLOW).await;
    let code = allowed.answer("code").unwrap();
    for (again, what) in [(ALLOW, "yes after yes"), (DENY, "no after yes")] {
        assert_page(&alice.submit(&page, again).await, DECIDED, what);
    }
    assert_eq!(web.redeem(&code).await.outcome(), "200");
    assert_page(&alice.submit(&page, ALLOW).await, DECIDED, "after all");
}

#[tokio::test]
async fn a23_of_many_who_send_one_page_at_once_one_decides_also_between_replicas() {
    let app = TestApp::start().await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let alice = app.visitor("alice").await;
    let other = Setup::default()
        .set("issuer", &app.issuer)
        .beside(&app)
        .start()
        .await;
    let there = Browser::new(&other);
    there.set_cookie(&alice.cookie().unwrap());
    for trial in 0..10 {
        let page = consent_page(&alice, &web, &[("prompt", "consent")]).await;
        // Yes alone in one half of the trials, yes and no in the other.
        let said = |number: usize| {
            if trial % 2 == 1 && number.is_multiple_of(3) {
                DENY
            } else {
                ALLOW
            }
        };
        let page = &page;
        let sent = (0..8).map(|number| {
            let browser = if number % 2 == 0 { &alice } else { &there };
            browser.submit(page, said(number))
        });
        let pages = join_all(sent).await;
        let (decided, rest): (Vec<&Page>, Vec<&Page>) = pages.iter().partition(|page| page.status == 303);
        assert_eq!(decided.len(), 1, "{pages:?}");
        for page in rest {
            assert_page(page, DECIDED, "too late");
        }
        for code in decided.iter().filter_map(|page| page.answer("code")) {
            assert_eq!(web.redeem(&code).await.outcome(), "200");
        }
    }
}

#[tokio::test]
async fn a15_cl8_several_resources_are_asked_for_at_once_and_each_has_tokens_of_its_own() {
    let app = TestApp::start().await;
    let mut resources: Vec<ResourceUri> = Vec::new();
    for (uri, scope) in [
        (NOTES, "notes:read notes:write"),
        (FILES, "files:read"),
        (OTHER, "other:read"),
    ] {
        resources.push(app.resource(uri, scope).await);
    }
    let scope = "openid notes:read notes:write files:read other:read";
    let web = app.code_client("web", scope, CALLBACK).await;
    let draft = ClientDraft {
        resources: Some(resources),
        ..ClientDraft::default()
    };
    app.change_client("web", &draft).await;
    let alice = app.visitor("alice").await;
    let asked = [
        ("resource", NOTES),
        ("resource", FILES),
        ("scope", "openid notes:read files:read"),
    ];
    let page = consent_page(&alice, &web, &asked).await;
    for (shown, is_there) in [
        ("<code>notes:read</code> at notes.example", true),
        ("<code>files:read</code> at files.example", true),
        ("notes:write", false),
        ("other:read", false),
    ] {
        let list = page.text.split("<form").next().unwrap();
        assert_eq!(list.contains(shown), is_there, "{shown}: {}", page.text);
    }
    let code = alice.submit(&page, ALLOW).await.answer("code").unwrap();
    // Without a word it is the first; a resource that was not granted costs nothing.
    for (resource, outcome) in [
        (OTHER, "400 invalid_target resource_not_granted"),
        (
            "https://unknown.example",
            "400 invalid_target resource_not_granted",
        ),
        ("api", "400 invalid_target unknown_resource"),
    ] {
        let refused = web.redeem_with(&code, &[("resource", resource)]).await;
        assert_eq!(refused.outcome(), outcome, "{resource}");
    }
    let mut tokens = web.redeem(&code).await;
    assert_for(&tokens, NOTES, "notes:read openid");
    for (resource, scope) in [
        (FILES, "files:read openid"),
        (NOTES, "notes:read openid"),
        ("", "notes:read openid"),
    ] {
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", tokens.str("refresh_token")),
            ("resource", resource),
        ];
        let refreshed = web.token(&fields).await;
        assert_for(
            &refreshed,
            if resource.is_empty() { NOTES } else { resource },
            scope,
        );
        tokens = refreshed;
    }
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", tokens.str("refresh_token")),
        ("resource", OTHER),
    ];
    let refused = web.token(&fields).await;
    assert_eq!(refused.outcome(), "400 invalid_target resource_not_granted");
    assert_eq!(web.refresh(tokens.str("refresh_token")).await.outcome(), "200");
    // It is remembered of both, and the first is the one that is named first.
    let code = alice.authorize(&web, &asked).await.answer("code").unwrap();
    let at_files = web.redeem_with(&code, &[("resource", FILES)]).await;
    assert_for(&at_files, FILES, "files:read openid");
    let turned = [asked[1], asked[0], asked[2]];
    let code = alice.authorize(&web, &turned).await.answer("code").unwrap();
    assert_for(&web.redeem(&code).await, FILES, "files:read openid");
    let notes = [("resource", NOTES), ("scope", "openid notes:read")];
    assert!(!is_asked(&alice, &web, &notes).await);
    for more in [
        [("resource", NOTES), ("scope", "openid notes:write")],
        [("resource", OTHER), ("scope", "openid other:read")],
    ] {
        assert!(is_asked(&alice, &web, &more).await, "{more:?}");
    }
    // A scope is known at its own resource alone.
    let page = alice
        .authorize(&web, &[("resource", NOTES), ("scope", "openid files:read")])
        .await;
    assert_eq!(error_of(&app.issuer, &page), "invalid_scope");
}

/// Asserts for whom an access token is and what it may do, and that the answer says the same.
fn assert_for(tokens: &Answer, resource: &str, scope: &str) {
    assert_eq!(tokens.outcome(), "200", "{}", tokens.text);
    let claims = tokens.claims();
    assert_eq!(claims.get("aud"), Some(&resource.into()), "{}", tokens.text);
    assert_eq!(claims.get("scope"), Some(&scope.into()));
    assert_eq!(tokens.str("scope"), scope);
}
