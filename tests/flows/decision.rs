//! What changes between a person's reading and their answer, and between their answer and what follows from it.
#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails where it is")]

use std::time::Duration;

use futures_util::future::{join, join_all};
use vouchsafe_issuer::ClientDraft;
use vouchsafe_protocol::{ClientId, ScopeSet};
use vouchsafe_store::Resource;
use vouchsafe_tests::{Browser, CALLBACK, Setup, TestApp, password_of};

use crate::authorize::{ALLOW, assert_page, error_of, id_claims, quietly};
use crate::register::{open, public, put, registered};

const DENY: &[(&str, &str)] = &[("decision", "deny")];
const API: &str = "https://api.example";
const NOTES: &str = "https://notes.example/api";
/// Longer than a family that was just begun counts as just begun.
const SECONDS: Duration = Duration::from_secs(3);

fn renamed(name: &str) -> ClientDraft {
    ClientDraft {
        name: Some(name.to_owned()),
        ..ClientDraft::default()
    }
}

fn holding(scope: &str) -> ClientDraft {
    ClientDraft {
        scope: Some(ScopeSet::parse(scope).unwrap()),
        ..ClientDraft::default()
    }
}

#[tokio::test]
async fn a22_what_is_allowed_is_what_was_read() {
    let app = TestApp::start().await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let alice = app.visitor("alice").await;
    // A request that names no scope asks for all that the client holds.
    let all = [("scope", "")];
    for (draft, shown) in [
        (renamed("Another Name"), "Another Name"),
        (holding("openid email"), "See your email address"),
    ] {
        let page = alice.follow(&alice.authorize(&web, &all).await).await;
        assert!(page.is("consent") && !page.text.contains(shown), "{}", page.text);
        app.change_client("web", &draft).await;
        let again = alice.submit(&page, ALLOW).await;
        assert!(again.status == 200 && again.is("consent"), "{again:?}");
        assert!(again.text.contains(shown), "{}", again.text);
        assert_eq!(quietly(&app, &alice, &web, &all).await, "consent_required");
    }
    // A no is one to whatever is asked.
    let page = alice.follow(&alice.authorize(&web, &all).await).await;
    app.change_client("web", &renamed("A Third Name")).await;
    assert_eq!(
        error_of(&app.issuer, &alice.submit(&page, DENY).await),
        "access_denied"
    );
    let page = alice.follow(&alice.authorize(&web, &all).await).await;
    let code = alice.submit(&page, ALLOW).await.answer("code").unwrap();
    assert_eq!(web.redeem(&code).await.str("scope"), "email openid");
}

#[tokio::test]
async fn a_scope_that_waits_for_a_role_is_asked_for_like_any_other() {
    let app = TestApp::start().await;
    app.role("viewer", "items:read", &[]).await;
    let by_role = |resource: &mut Resource| resource.by_role = true;
    let api = app.resource_with(API, "items:read items:write", by_role).await;
    let web = app
        .code_client("web", "openid items:read items:write", CALLBACK)
        .await;
    let draft = ClientDraft {
        resources: Some(vec![api]),
        ..ClientDraft::default()
    };
    app.change_client("web", &draft).await;
    let alice = app.visitor("alice").await;
    let asked = [("resource", API), ("scope", "openid items:read items:write")];
    let page = alice.follow(&alice.authorize(&web, &asked).await).await;
    for scope in ["items:read", "items:write"] {
        assert!(
            page.text.contains(&format!("<code>{scope}</code>")),
            "{}",
            page.text
        );
    }
    let code = alice.submit(&page, ALLOW).await.answer("code").unwrap();
    let tokens = web.redeem(&code).await;
    assert_eq!(tokens.str("scope"), "openid");
    let viewer = vec!["viewer".parse().unwrap()];
    app.inside()
        .set_user_roles("alice", &viewer, &TestApp::operator())
        .await
        .unwrap();
    let refreshed = web.refresh(tokens.str("refresh_token")).await;
    assert_eq!(refreshed.str("scope"), "items:read openid");
}

#[tokio::test]
async fn a15_a_token_for_the_issuer_carries_nothing_of_a_resource_beside_it() {
    let app = TestApp::start().await;
    let notes = app.resource(NOTES, "notes:read").await;
    let web = app.code_client("web", "openid notes:read", CALLBACK).await;
    let draft = ClientDraft {
        resources: Some(vec![notes]),
        ..ClientDraft::default()
    };
    app.change_client("web", &draft).await;
    let alice = app.visitor("alice").await;
    let issuer = app.issuer.as_str();
    let asked = [
        ("resource", NOTES),
        ("resource", issuer),
        ("scope", "openid notes:read"),
    ];
    let tokens = alice.code_grant(&web, &asked).await;
    assert_eq!(tokens.claims()["scope"], "notes:read openid");
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", tokens.str("refresh_token")),
        ("resource", issuer),
    ];
    let refreshed = web.token(&fields).await;
    let claims = refreshed.claims();
    assert_eq!(
        (&claims["aud"], &claims["scope"]),
        (&issuer.into(), &"openid".into())
    );
}

#[tokio::test]
async fn claims_asked_for_by_name_end_with_what_the_client_may_ask_for() {
    let app = TestApp::start().await;
    let web = app.code_client("web", "openid profile", CALLBACK).await;
    let alice = app.visitor("alice").await;
    let named = r#"{"id_token":{"preferred_username":null}}"#;
    let tokens = alice
        .code_grant(&web, &[("scope", "openid"), ("claims", named)])
        .await;
    assert_eq!(id_claims(&tokens)["preferred_username"], "alice");
    app.change_client("web", &holding("openid")).await;
    let refreshed = web.refresh(tokens.str("refresh_token")).await;
    assert_eq!(id_claims(&refreshed).get("preferred_username"), None);
}

#[tokio::test]
async fn a23_a_page_that_decided_decides_nothing_when_what_it_led_to_was_taken_back() {
    let app = TestApp::start().await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let alice = app.visitor("alice").await;
    let page = alice.follow(&alice.authorize(&web, &[]).await).await;
    let code = alice.submit(&page, ALLOW).await.answer("code").unwrap();
    let subject = app.inside().show_user("alice").await.unwrap().subject;
    let client = ClientId::parse("web").unwrap();
    app.inside().withdraw_consent(&subject, &client).await.unwrap();
    for said in [ALLOW, DENY] {
        assert_page(
            &alice.submit(&page, said).await,
            ("invalid_request", "decided_before"),
            "after it was taken back",
        );
    }
    assert_eq!(web.redeem(&code).await.outcome(), "400 invalid_grant expired");
    assert_eq!(quietly(&app, &alice, &web, &[]).await, "consent_required");
}

#[tokio::test]
async fn t29_of_a_withdrawal_and_a_silent_request_at_once_the_withdrawal_wins() {
    let app = TestApp::start().await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let alice = app.visitor("alice").await;
    let subject = app.inside().show_user("alice").await.unwrap().subject;
    let client = ClientId::parse("web").unwrap();
    for _ in 0..20 {
        alice.code(&web, &[]).await;
        let silent = join_all((0..4).map(|_| alice.authorize(&web, &[("prompt", "none")])));
        let withdrawn = app.inside().withdraw_consent(&subject, &client);
        let (answers, withdrawn) = join(silent, withdrawn).await;
        withdrawn.unwrap();
        for code in answers.iter().filter_map(|answer| answer.answer("code")) {
            let refused = web.redeem(&code).await;
            assert_eq!(refused.status, 400, "{}", refused.text);
        }
        assert_eq!(quietly(&app, &alice, &web, &[]).await, "consent_required");
        app.advance(SECONDS).await;
    }
}

#[tokio::test]
async fn of_two_new_passwords_at_once_one_is_set() {
    let app = TestApp::start().await;
    let alice = app.visitor("alice").await;
    let elsewhere = Browser::signed_in(&app, "alice").await;
    let mut current = password_of("alice");
    for trial in 0..3 {
        let new = [format!("one password {trial}"), format!("other password {trial}")];
        let browsers = [&alice, &elsewhere];
        let sent = browsers.iter().zip(&new).map(async |(browser, new)| {
            let page = browser.get("/account/password").await;
            let fields = [("current_password", current.as_str()), ("new_password", new)];
            browser.submit(&page, &fields).await.status
        });
        let statuses = join_all(sent).await;
        let set: Vec<usize> = (0..2).filter(|place| statuses[*place] == 303).collect();
        assert_eq!(set.len(), 1, "{statuses:?}");
        current.clone_from(&new[set[0]]);
        app.advance(SECONDS).await;
        for browser in browsers {
            let page = browser.get("/sign-in").await;
            let fields = [("username", "alice"), ("password", current.as_str())];
            assert_eq!(browser.submit(&page, &fields).await.status, 303);
        }
    }
}

#[tokio::test]
async fn a_form_of_signing_in_that_is_sent_twice_leaves_one_session() {
    let app = TestApp::start().await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let alice = app.visitor("alice").await;
    let grant = alice.code_grant(&web, &[]).await;
    let subject = app.inside().show_user("alice").await.unwrap().subject;
    let page = alice.get("/sign-in").await;
    let password = password_of("alice");
    let fields = [("username", "alice"), ("password", password.as_str())];
    let sent = join_all((0..3).map(|_| alice.submit(&page, &fields))).await;
    assert!(sent.iter().all(|page| page.status == 303), "{sent:?}");
    let account = app.inside().account(&subject).await.unwrap().unwrap();
    assert_eq!(account.sessions.len(), 1);
    assert!(web.is_active(grant.str("access_token")).await);
    // What was granted went along, and ends with it.
    let last = &account.sessions[0];
    app.inside().end_session(last).await.unwrap();
    assert!(!web.is_active(grant.str("access_token")).await);
}

#[tokio::test]
async fn whoever_was_allowed_nothing_does_not_learn_who_it_is() {
    let app = TestApp::start().await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let bob = app.user("bob", &[]).await;
    let alice = app.visitor("alice").await;
    let subject = app.inside().show_user("alice").await.unwrap().subject;
    let expecting = |sub: &str| format!(r#"{{"id_token":{{"sub":{{"value":"{sub}"}}}}}}"#);
    let (hers, his) = (expecting(subject.as_str()), expecting(&bob));
    for claims in [&hers, &his] {
        let answer = quietly(&app, &alice, &web, &[("claims", claims)]).await;
        assert_eq!(answer, "consent_required");
    }
    alice.code(&web, &[]).await;
    assert_eq!(quietly(&app, &alice, &web, &[("claims", &hers)]).await, "code");
    let answer = quietly(&app, &alice, &web, &[("claims", &his)]).await;
    assert_eq!(answer, "login_required");
}

#[tokio::test]
async fn a25_leave_to_ask_nobody_ends_when_a_client_becomes_another() {
    let app = open().await;
    let made = registered(&app, &public(CALLBACK)).await;
    let id = ClientId::parse(made.str("client_id")).unwrap();
    let trusted = ClientDraft {
        skip_consent: Some(true),
        ..ClientDraft::default()
    };
    app.change_client(id.as_str(), &trusted).await;
    for (redirect_uri, kept) in [(CALLBACK, true), ("https://other.example/cb", false)] {
        let mut said = public(redirect_uri);
        said["client_id"] = id.as_str().into();
        assert_eq!(put(&app, &made, &said).await.status, 200);
        let client = app.inside().show_client(&id).await.unwrap();
        assert_eq!(client.skip_consent, kept, "{redirect_uri}");
    }
}

#[tokio::test]
async fn more_than_can_be_written_is_asked_for_again_and_breaks_nothing() {
    let app = open().await;
    let many: Vec<String> = (0..99).map(|number| format!("notes:{number}")).collect();
    app.resource(NOTES, &many.join(" ")).await;
    let made = registered(&app, &public(CALLBACK)).await;
    let client = app.stranger(made.str("client_id"));
    let alice = app.visitor("alice").await;
    let scope = format!("openid {}", many.join(" "));
    let claims = r#"{"userinfo":{"email":null,"phone_number":null}}"#;
    let asked = [("resource", NOTES), ("scope", &scope), ("claims", claims)];
    for _ in 0..2 {
        let page = alice.follow(&alice.authorize(&client, &asked).await).await;
        assert!(page.is("consent"), "{page:?}");
        assert!(alice.submit(&page, ALLOW).await.answer("code").is_some());
        assert_eq!(alice.get("/account").await.status, 200);
    }
}

#[tokio::test]
async fn a25_of_a_client_that_became_another_elsewhere_nothing_is_allowed_or_remembered() {
    let app = open().await;
    let other = Setup::default()
        .set("issuer", &app.issuer)
        .set("registration.mode", "open")
        .beside(&app)
        .start()
        .await;
    let made = registered(&app, &public(CALLBACK)).await;
    let (here, there) = (
        app.stranger(made.str("client_id")),
        other.stranger(made.str("client_id")),
    );
    app.user("alice", &[]).await;
    let alice = Browser::signed_in(&other, "alice").await;
    let page = alice.follow(&alice.authorize(&there, &[]).await).await;
    let mut said = public("https://elsewhere.example/cb");
    said["client_id"] = made.str("client_id").into();
    assert_eq!(put(&app, &made, &said).await.status, 200);
    // The other replica does not know it yet.
    let refused = alice.submit(&page, ALLOW).await;
    assert!(
        refused.status == 503 && refused.location().is_empty(),
        "{refused:?}"
    );
    assert_page(
        &alice.authorize(&there, &[]).await,
        ("invalid_request", "unregistered_redirect_uri"),
        "as it was",
    );
    let moved = [("redirect_uri", "https://elsewhere.example/cb")];
    let alice = Browser::signed_in(&app, "alice").await;
    let asked = alice.follow(&alice.authorize(&here, &moved).await).await;
    assert!(asked.is("consent"), "{asked:?}");
}
