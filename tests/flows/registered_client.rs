//! Clients that registered themselves at work: people are asked before they get anything, they keep people signed in,
//! and one that nobody signs in by is forgotten.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper that cannot go on fails where it is"
)]

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use url::Url;
use vouchsafe_issuer::{
    Asked, ClientDraft, Error, Fetched, Issuer, IssuerConfig, MasterKey, Outbound, OutboundError,
    RegistrationMode,
};
use vouchsafe_protocol::{ClientId, ClientMetadata, ErrorCode, ResourceUri, ScopeSet};
use vouchsafe_tests::{Answer, Browser, CALLBACK, TestApp, VERIFIER, claims_of};

use crate::register::{DEVICE_CODE, as_client, is_unknown_client, open, public, put, read, registered};

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
    let browser = Browser::signed_in(&app, "alice").await;
    let silent = browser.authorize(&notes, &[("prompt", "none")]).await;
    assert_eq!(silent.answer("error").as_deref(), Some("consent_required"));
    let page = browser.follow(&browser.authorize(&notes, &[]).await).await;
    assert!(page.is("consent"), "{page:?}");
    for told in ["from app.example", "continue to app.example"] {
        assert!(page.text.contains(told), "{told}: {}", page.text);
    }
    // A home page is what it says itself.
    assert!(!page.text.contains("notes.example"), "{}", page.text);
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
    let browser = Browser::signed_in(&app, "alice").await;
    for scope in ["openid", "openid offline_access"] {
        let grant = browser.code_grant(&client, &[("scope", scope)]).await;
        assert_eq!(ScopeSet::parse(grant.str("scope")), ScopeSet::parse(scope));
        let next = client.refresh(grant.str("refresh_token")).await;
        assert_eq!(next.outcome(), "200");
        assert_ne!(next.str("refresh_token"), grant.str("refresh_token"));
    }
    let beyond = [("scope", "openid email"), ("prompt", "none")];
    let beyond = browser.authorize(&client, &beyond).await;
    assert_eq!(beyond.answer("error").as_deref(), Some("invalid_scope"));
}

#[tokio::test]
async fn c10_a_client_with_a_secret_redeems_by_it_alone() {
    let app = open().await;
    let subject = app.user("alice", &[]).await;
    let made = registered(&app, &json!({"redirect_uris": [CALLBACK]})).await;
    let client = app.stranger(made.str("client_id"));
    let browser = Browser::signed_in(&app, "alice").await;
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
    let browser = app.visitor("alice").await;
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
    let kept_out = registered(&app, &public(CALLBACK)).await;
    let disabled = ClientDraft {
        disabled: Some(true),
        ..ClientDraft::default()
    };
    let id = ClientId::parse(kept_out.str("client_id")).unwrap();
    let operator = TestApp::operator();
    app.inside()
        .update_client(&id, &disabled, &operator)
        .await
        .unwrap();
    let browser = Browser::signed_in(&app, "alice").await;
    let client = app.stranger(used.str("client_id"));
    let grant = browser.code_grant(&client, &[]).await;
    // A code that was never redeemed is no sign-in.
    browser.code(&app.stranger(begun.str("client_id")), &[]).await;

    app.advance(DAY).await;
    let young = registered(&app, &public(CALLBACK)).await;
    assert_eq!(app.inside().sweep(100).await.unwrap().clients, 0);
    app.advance(SECOND).await;
    // Who is on the way in stays.
    let on_the_way = app.stranger(begun.str("client_id"));
    browser.sign_in("alice").await;
    browser.code(&on_the_way, &[]).await;
    assert_eq!(app.inside().sweep(100).await.unwrap().clients, 1);
    app.advance(SECOND * 61).await;
    assert_eq!(app.inside().sweep(100).await.unwrap().clients, 1);
    assert_eq!(app.inside().sweep(100).await.unwrap().clients, 0);
    assert!(app.inside().show_client(&id).await.is_ok());
    for (made, status) in [(&used, 200), (&young, 200), (&unused, 401), (&begun, 401)] {
        assert_eq!(read(&app, made).await.status, status);
    }
    let gone = app.stranger(unused.str("client_id"));
    assert!(is_unknown_client(&Browser::new(&app).authorize(&gone, &[]).await));
    assert_eq!(client.refresh(grant.str("refresh_token")).await.outcome(), "200");
    let operators = ClientId::parse("operators").unwrap();
    assert!(app.inside().show_client(&operators).await.is_ok());
}

/// What a client said, with one member changed, as it says it in an update.
fn changed(made: &Answer, said: &Value, member: &str, value: Value) -> Value {
    let mut said = said.clone();
    said["client_id"] = json!(made.str("client_id"));
    said[member] = value;
    said
}

#[tokio::test]
async fn a25_c04_a_client_that_shows_itself_otherwise_asks_everybody_anew() {
    let app = open().await;
    let browser = app.visitor("alice").await;
    let mut said = public(CALLBACK);
    said["client_name"] = json!("Notes");
    for (member, value) in [
        ("client_name", json!("Your Bank")),
        ("client_name", json!(null)),
        ("redirect_uris", json!([CALLBACK, "https://elsewhere.example/cb"])),
    ] {
        let made = registered(&app, &said).await;
        let client = app.stranger(made.str("client_id"));
        let grant = browser.code_grant(&client, &[]).await;
        assert_eq!(grant.outcome(), "200");
        // What nobody is shown may change.
        let same = changed(&made, &said, "policy_uri", json!("https://app.example/policy"));
        assert_eq!(put(&app, &made, &same).await.status, 200);
        let silent = [("prompt", "none")];
        let unspent = browser.authorize(&client, &silent).await.answer("code").unwrap();

        let other = changed(&made, &said, member, value);
        assert_eq!(put(&app, &made, &other).await.status, 200);
        let refused = browser.authorize(&client, &silent).await;
        assert_eq!(
            refused.answer("error").as_deref(),
            Some("consent_required"),
            "{other}"
        );
        let refused = client.redeem(&unspent).await;
        assert_eq!(refused.outcome(), "400 invalid_grant expired", "{other}");
        // Whoever is signed in stays so.
        assert_eq!(client.refresh(grant.str("refresh_token")).await.outcome(), "200");
    }
}

#[tokio::test]
async fn a25_c04_a_device_that_waits_is_not_let_in_under_another_name() {
    let app = open().await;
    let said = json!({
        "token_endpoint_auth_method": "none",
        "client_name": "Living Room",
        "grant_types": [DEVICE_CODE],
    });
    let made = registered(&app, &said).await;
    let client = app.stranger(made.str("client_id"));
    let begun = client.post("/device_authorization", &[]).await;
    assert_eq!(begun.outcome(), "200");
    let form = [
        ("grant_type", DEVICE_CODE),
        ("device_code", begun.str("device_code")),
    ];
    let waits = client.token(&form).await;
    assert_eq!(waits.outcome(), "400 authorization_pending pending");
    let other = changed(&made, &said, "client_name", json!("Your Bank"));
    assert_eq!(put(&app, &made, &other).await.status, 200);
    let gone = client.token(&form).await;
    assert_eq!(gone.outcome(), "400 invalid_grant unknown_token");
}

async fn set_closed(app: &TestApp, uri: &ResourceUri, closed: bool) {
    let all = app.inside().list_resources().await.unwrap();
    let mut resource = all.into_iter().find(|resource| resource.uri == *uri).unwrap();
    resource.closed = closed;
    let operator = TestApp::operator();
    app.inside().update_resource(&resource, &operator).await.unwrap();
}

/// Whether discovery lists a scope.
async fn is_listed(app: &TestApp, scope: &str) -> bool {
    let address = format!("{}/.well-known/openid-configuration", app.base);
    let document = Answer::read(app.http.get(address).send().await.unwrap()).await;
    let listed = document.json["scopes_supported"].as_array().unwrap();
    listed.iter().any(|listed| listed == scope)
}

#[tokio::test]
async fn c04_cl18_a_client_may_ask_for_what_is_open_when_it_asks() {
    let app = open().await;
    let browser = app.visitor("alice").await;
    let free = registered(&app, &public(CALLBACK)).await;
    let mut said = public(CALLBACK);
    said["scope"] = json!("openid notes:read inner:all");
    let held = registered(&app, &said).await;
    assert_eq!(
        free.str("scope"),
        "address email offline_access openid phone profile"
    );
    assert_eq!(held.str("scope"), "openid");

    // Both were there before the resource.
    let notes = app
        .resource("https://notes.example/api", "notes:read notes:write")
        .await;
    app.resource_with("https://inner.example/api", "inner:all", |resource| {
        resource.closed = true
    })
    .await;
    let all = "address email notes:read notes:write offline_access openid phone profile";
    assert_eq!(read(&app, &free).await.str("scope"), all);
    assert_eq!(read(&app, &held).await.str("scope"), "notes:read openid");
    assert!(is_listed(&app, "notes:write").await && !is_listed(&app, "inner:all").await);
    let asks = [("scope", "openid notes:read"), ("resource", notes.as_str())];
    let mut grants = Vec::new();
    for made in [&free, &held] {
        let client = app.stranger(made.str("client_id"));
        let grant = browser.code_grant(&client, &asks).await;
        assert_eq!(grant.claims()["aud"], notes.as_str());
        grants.push(client.refresh(grant.str("refresh_token")).await);
        for (scope, resource, error) in [
            ("openid inner:all", notes.as_str(), "invalid_scope"),
            ("openid", "https://inner.example/api", "invalid_target"),
        ] {
            let more = [("scope", scope), ("resource", resource), ("prompt", "none")];
            let refused = browser.authorize(&client, &more).await;
            assert_eq!(
                refused.answer("error").as_deref(),
                Some(error),
                "{scope} {resource}"
            );
        }
    }
    // It is held to what it said.
    let beyond = [
        ("scope", "openid notes:write"),
        ("resource", notes.as_str()),
        ("prompt", "none"),
    ];
    let refused = browser
        .authorize(&app.stranger(held.str("client_id")), &beyond)
        .await;
    assert_eq!(refused.answer("error").as_deref(), Some("invalid_scope"));

    set_closed(&app, &notes, true).await;
    assert!(!is_listed(&app, "notes:write").await);
    assert_eq!(read(&app, &held).await.str("scope"), "openid");
    for (made, grant) in [&free, &held].into_iter().zip(&grants) {
        assert_eq!(grant.outcome(), "200");
        let client = app.stranger(made.str("client_id"));
        let silent = [asks[0], asks[1], ("prompt", "none")];
        let refused = browser.authorize(&client, &silent).await;
        assert_eq!(refused.answer("error").as_deref(), Some("invalid_target"));
        let refused = client.refresh(grant.str("refresh_token")).await;
        assert_eq!((refused.status, refused.str("error")), (400, "invalid_grant"));
    }
}

/// The world as one host, which lists these redirect URIs of a sector.
struct Listing([&'static str; 2]);

impl Outbound for Listing {
    fn allows_private(&self) -> bool {
        false
    }

    fn judge<'a>(&'a self, _: &'a Url) -> Asked<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn get<'a>(&'a self, _: &'a Url) -> Asked<'a, Fetched> {
        let body = json!(self.0).to_string().into_bytes();
        Box::pin(async move {
            Ok(Fetched {
                status: 200,
                body,
                cache_for: None,
            })
        })
    }

    fn post_form<'a>(&'a self, _: &'a Url, _: &'a [(&'a str, &'a str)]) -> Asked<'a, Fetched> {
        Box::pin(async { Err(OutboundError::TooSlow) })
    }
}

#[tokio::test]
async fn several_hosts_are_one_sector_where_a_document_lists_all_of_them() {
    let app = TestApp::start().await;
    let hosts = [CALLBACK, "https://other.example/cb"];
    let config = IssuerConfig {
        registration: RegistrationMode::Open,
        ..app.inside().config().clone()
    };
    let master = MasterKey::parse(app.config(&[]).keys.master_key.expose()).unwrap();
    let (store, world) = (app.inside().store().clone(), Arc::new(Listing(hosts)));
    let issuer = Issuer::open(config, store, app.machine(), master, world)
        .await
        .unwrap();
    let sector = "https://sector.example/uris.json";
    for (uris, sector, settled) in [
        (json!(hosts), Some(sector), Some("sector.example")),
        (json!([CALLBACK]), Some(sector), Some("sector.example")),
        (json!([CALLBACK, "https://third.example/cb"]), Some(sector), None),
        (json!(hosts), None, None),
        (json!([CALLBACK]), None, Some("app.example")),
    ] {
        let said = json!({
            "redirect_uris": uris,
            "subject_type": "pairwise",
            "sector_identifier_uri": sector,
        });
        let said = ClientMetadata::parse(said.to_string().as_bytes()).unwrap();
        match (issuer.register_client(&said, None, app.now()).await, settled) {
            (Ok(made), Some(settled)) => {
                assert_eq!(made.client.sector_identifier.as_deref(), Some(settled), "{uris}");
            }
            (Err(Error::Refused(refusal)), None) => {
                assert_eq!(refusal.code, ErrorCode::InvalidClientMetadata, "{uris}");
            }
            (answer, _) => panic!("{uris} {sector:?}: {answer:?}"),
        }
    }
}
