//! Clients that registered themselves at work: people are asked before they get anything, they keep people signed in,
//! and one that nobody signs in by is forgotten.

use std::time::Duration;

use serde_json::json;
use vouchsafe_protocol::{ClientId, ScopeSet};
use vouchsafe_tests::{Browser, CALLBACK, VERIFIER, claims_of};

use crate::register::{as_client, is_unknown_client, open, public, read, registered};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn a25_a_client_that_registered_itself_is_let_in_by_a_person_who_was_told_whose_it_is() {
    let app = open().await;
    app.user("alice", &[]).await;
    let said = json!({
        "redirect_uris": [CALLBACK],
        "token_endpoint_auth_method": "none",
        "client_name": "Notes <b>",
        "client_uri": "https://notes.example/",
        "logo_uri": "https://pictures.example/logo.png",
        "scope": "openid",
    });
    let notes = app.stranger(registered(&app, &said).await.str("client_id"));
    let browser = Browser::new(&app);
    browser.sign_in("alice").await;
    let silent = browser.authorize(&notes, &[("prompt", "none")]).await;
    assert_eq!(silent.answer("error").as_deref(), Some("consent_required"));
    let page = browser.follow(&browser.authorize(&notes, &[]).await).await;
    assert!(page.is("consent"), "{page:?}");
    for told in ["from notes.example", "continue to app.example"] {
        assert!(page.text.contains(told), "{told}: {}", page.text);
    }
    // Nobody vouches for its face.
    let policy = page.header("content-security-policy").unwrap();
    assert!(!page.text.contains("pictures.example") && !policy.contains("pictures.example"));
    assert!(!page.text.contains("<b>"));
    let denied = browser.submit(&page, &[("decision", "deny")]).await;
    assert_eq!(denied.answer("error").as_deref(), Some("access_denied"));

    let page = browser.follow(&browser.authorize(&notes, &[]).await).await;
    let allowed = browser.submit(&page, &[("decision", "allow")]).await;
    let grant = notes.redeem(&allowed.answer("code").unwrap()).await;
    assert_eq!(grant.outcome(), "200");
    // What leads to a host is remembered.
    let silent = browser.authorize(&notes, &[("prompt", "none")]).await;
    assert!(silent.answer("code").is_some(), "{silent:?}");
}

#[tokio::test]
async fn cl18_cl19_a_client_keeps_people_signed_in_whether_or_not_it_knows_how_to_ask() {
    let app = open().await;
    app.user("alice", &[]).await;
    let mut said = public(CALLBACK);
    said["scope"] = json!("openid");
    let client = app.stranger(registered(&app, &said).await.str("client_id"));
    let browser = Browser::new(&app);
    browser.sign_in("alice").await;
    for scope in ["openid", "openid offline_access"] {
        let grant = browser.code_grant(&client, &[("scope", scope)]).await;
        assert_eq!(ScopeSet::parse(grant.str("scope")), ScopeSet::parse(scope));
        let next = client.refresh(grant.str("refresh_token")).await;
        assert_eq!(next.outcome(), "200");
        assert_ne!(next.str("refresh_token"), grant.str("refresh_token"));
    }
    let beyond = browser.authorize(&client, &[("scope", "openid email")]).await;
    assert_eq!(beyond.answer("error").as_deref(), Some("invalid_scope"));
}

#[tokio::test]
async fn c10_a_client_with_a_secret_redeems_by_it_alone() {
    let app = open().await;
    let subject = app.user("alice", &[]).await;
    let made = registered(&app, &json!({"redirect_uris": [CALLBACK]})).await;
    let client = app.stranger(made.str("client_id"));
    let browser = Browser::new(&app);
    browser.sign_in("alice").await;
    let code = browser.code(&client, &[]).await;
    let without = client.redeem(&code).await;
    assert_eq!(without.outcome(), "401 invalid_client bad_credentials");
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    let grant = as_client(&app, &made, "/token", &form).await;
    assert_eq!(grant.outcome(), "200");
    assert_eq!(grant.claims()["client_id"], client.id);
    assert_eq!(claims_of(grant.str("id_token"))["sub"], subject.as_str());
    let asked = as_client(
        &app,
        &made,
        "/introspect",
        &[("token", grant.str("access_token"))],
    )
    .await;
    assert_eq!(asked.json["active"], true);
}

#[tokio::test]
async fn a25_who_listens_on_the_persons_own_machine_is_asked_about_each_time() {
    let app = open().await;
    app.user("alice", &[]).await;
    let browser = Browser::new(&app);
    browser.sign_in("alice").await;
    for (of_client, asked) in [
        ("http://127.0.0.1/cb", "http://127.0.0.1:51004/cb"),
        ("http://[::1]/cb", "http://[::1]:51004/cb"),
        ("http://localhost/cb", "http://localhost:51004/cb"),
        ("com.example.notes:/cb", "com.example.notes:/cb"),
    ] {
        let client = app.stranger(registered(&app, &public(of_client)).await.str("client_id"));
        let to = [("redirect_uri", asked)];
        for _ in 0..2 {
            let page = browser.follow(&browser.authorize(&client, &to).await).await;
            assert!(page.is("consent"), "{asked} {page:?}");
            assert!(page.text.contains("an app on this device"), "{}", page.text);
            let allowed = browser.submit(&page, &[("decision", "allow")]).await;
            assert!(allowed.location().starts_with(asked), "{allowed:?}");
            let grant = client.redeem_with(&allowed.answer("code").unwrap(), &to).await;
            assert_eq!(grant.outcome(), "200", "{asked}");
        }
        let silent = [("redirect_uri", asked), ("prompt", "none")];
        let silent = browser.authorize(&client, &silent).await;
        assert_eq!(
            silent.answer("error").as_deref(),
            Some("consent_required"),
            "{asked}"
        );
    }
}

#[tokio::test]
async fn a_client_that_nobody_signed_in_by_is_gone_after_a_day_and_the_others_stay() {
    let app = open().await;
    app.user("alice", &[]).await;
    app.public_client("operators", "openid").await;
    let used = registered(&app, &public(CALLBACK)).await;
    let unused = registered(&app, &public(CALLBACK)).await;
    let begun = registered(&app, &public(CALLBACK)).await;
    let browser = Browser::new(&app);
    browser.sign_in("alice").await;
    let client = app.stranger(used.str("client_id"));
    let grant = browser.code_grant(&client, &[]).await;
    // A code that was never redeemed is no sign-in.
    browser.code(&app.stranger(begun.str("client_id")), &[]).await;

    app.advance(DAY).await;
    let young = registered(&app, &public(CALLBACK)).await;
    assert_eq!(app.inside().sweep(100).await.unwrap().clients, 0);
    app.advance(SECOND).await;
    assert_eq!(app.inside().sweep(100).await.unwrap().clients, 2);
    assert_eq!(app.inside().sweep(100).await.unwrap().clients, 0);
    for (made, status) in [(&used, 200), (&young, 200), (&unused, 401), (&begun, 401)] {
        assert_eq!(read(&app, made).await.status, status);
    }
    let gone = app.stranger(unused.str("client_id"));
    assert!(is_unknown_client(&Browser::new(&app).authorize(&gone, &[]).await));
    assert_eq!(client.refresh(grant.str("refresh_token")).await.outcome(), "200");
    let operators = ClientId::parse("operators").unwrap();
    assert!(app.inside().show_client(&operators).await.is_ok());
}
