//! Metadata: what is published is true, cacheable, served from memory, and the same wherever it is looked for.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it is")]

use std::path::Path;
use std::time::Duration;

use reqwest::redirect::Policy;
use serde_json::{Value, json};
use vouchsafe_jose::PublicJwk;
use vouchsafe_protocol::ClientAuthMethod;
use vouchsafe_tests::{Answer, Browser, CALLBACK, CLIENT_SECRET, Setup, TestApp, TestClient};
use vouchsafe_verifier::KeySet;

const JWKS: &str = "/.well-known/jwks.json";
const OPENID: &str = "/.well-known/openid-configuration";
const OAUTH: &str = "/.well-known/oauth-authorization-server";
/// Everything that caches may keep.
const PUBLIC: [&str; 4] = [JWKS, OPENID, OAUTH, "/openapi.json"];

async fn get(app: &TestApp, url: &str) -> Answer {
    get_unless(app, url, None).await
}

/// Asks for a document unless it is the known one; follows no redirect.
async fn get_unless(app: &TestApp, url: &str, known: Option<&str>) -> Answer {
    let url = if url.starts_with('/') {
        format!("{}{url}", app.base)
    } else {
        url.to_owned()
    };
    let client = vouchsafe_tests::http_client().redirect(Policy::none());
    let mut request = client.build().unwrap().get(url);
    if let Some(known) = known {
        request = request.header("if-none-match", known);
    }
    Answer::read(request.send().await.unwrap()).await
}

fn words(list: &Value) -> Vec<&str> {
    let list = list.as_array().unwrap();
    list.iter().map(|word| word.as_str().unwrap()).collect()
}

/// A client that authenticates by the method that discovery names so.
async fn client_by<'a>(app: &'a TestApp, method: &str) -> TestClient<'a> {
    let id = format!("by-{method}");
    match method.parse::<ClientAuthMethod>().unwrap() {
        ClientAuthMethod::None => app.public_client(&id, "openid").await,
        method => {
            app.client_with(&id, "openid", |draft| draft.auth_method = Some(method))
                .await
        }
    }
}

#[tokio::test]
async fn m01_cl4_the_jwks_holds_public_members_only() {
    let app = Setup::default()
        .set("keys.algorithms", "ES256,RS256,EdDSA")
        .start()
        .await;
    let answer = get(&app, JWKS).await;
    assert_eq!(answer.status, 200);
    let mut algorithms = Vec::new();
    for key in answer.json["keys"].as_array().unwrap() {
        let parameters: &[&str] = match key["kty"].as_str().unwrap() {
            "EC" => &["crv", "x", "y"],
            "OKP" => &["crv", "x"],
            "RSA" => &["e", "n"],
            other => panic!("{other} is no public key"),
        };
        let mut wanted = [&["alg", "kid", "kty", "use"][..], parameters].concat();
        wanted.sort_unstable();
        let mut members: Vec<&str> = key.as_object().unwrap().keys().map(String::as_str).collect();
        members.sort_unstable();
        assert_eq!(members, wanted);
        assert_eq!(key["use"], "sig");
        let jwk: PublicJwk = serde_json::from_value(key.clone()).unwrap();
        assert_eq!(key["kid"], jwk.thumbprint());
        algorithms.push(key["alg"].as_str().unwrap());
    }
    // The one that signs and the next one, of each.
    assert_eq!(algorithms, ["ES256", "ES256", "RS256", "RS256", "EdDSA", "EdDSA"]);
    assert_eq!(KeySet::from_json(answer.text.as_bytes()).unwrap().len(), 6);
}

#[tokio::test]
async fn m02_what_is_known_already_is_not_sent_again() {
    let app = TestApp::start().await;
    for path in PUBLIC {
        let first = get(&app, path).await;
        assert_eq!(first.status, 200, "{path}");
        assert_eq!(
            first.header("cache-control"),
            Some("public, max-age=300"),
            "{path}"
        );
        let media_type = first.header("content-type").unwrap();
        assert!(media_type.starts_with("application/json"), "{path} {media_type}");
        let etag = first.header("etag").unwrap();
        assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() > 2);
        assert_eq!(get(&app, path).await.header("etag"), Some(etag), "{path}");
        for known in [
            etag.to_owned(),
            format!("W/{etag}"),
            format!("\"other\", {etag}"),
            "*".to_owned(),
        ] {
            let again = get_unless(&app, path, Some(&known)).await;
            assert_eq!((again.status, again.text.as_str()), (304, ""), "{path} {known}");
            assert_eq!(again.header("etag"), Some(etag), "{path}");
            assert_eq!(
                again.header("cache-control"),
                Some("public, max-age=300"),
                "{path}"
            );
        }
        for unknown in ["\"other\"", "other", "\"\""] {
            let again = get_unless(&app, path, Some(unknown)).await;
            assert_eq!(again.status, 200, "{path} {unknown}");
            assert_eq!(again.text, first.text, "{path}");
        }
    }
}

#[tokio::test]
async fn m02_the_age_is_as_configured_and_the_tag_follows_the_keys() {
    let app = Setup::default().set("keys.jwks_max_age", "2m").start().await;
    let first = get(&app, JWKS).await;
    assert_eq!(first.header("cache-control"), Some("public, max-age=120"));
    let etag = first.header("etag").unwrap();
    app.advance(Duration::from_secs(30 * 86_400)).await;
    let second = get_unless(&app, JWKS, Some(etag)).await;
    assert_eq!(second.status, 200);
    assert_ne!(second.header("etag"), Some(etag));
    assert_ne!(second.text, first.text);
}

#[tokio::test]
async fn f7_m02_metadata_goes_on_without_the_store() {
    let app = TestApp::start().await;
    let mut before = Vec::new();
    for path in PUBLIC {
        before.push(get(&app, path).await.text);
    }
    app.inside().store().close().await;
    app.clock.advance(Duration::from_secs(3600));
    for (path, before) in PUBLIC.iter().zip(before) {
        let answer = get(&app, path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.text, before, "{path}");
    }
    // And a token endpoint that must ask the store says so.
    let form = [("grant_type", "client_credentials"), ("client_id", "unknown")];
    let request = app.http.post(format!("{}/token", app.base)).form(&form);
    let answer = Answer::read(request.send().await.unwrap()).await;
    assert_eq!(answer.outcome(), "503 temporarily_unavailable stale_view");
    assert!(answer.header("retry-after").is_some());
}

#[tokio::test]
async fn cl1_cl2_both_discovery_documents_are_one() {
    let app = TestApp::start().await;
    let (openid, oauth) = (get(&app, OPENID).await, get(&app, OAUTH).await);
    assert_eq!((openid.status, oauth.status), (200, 200));
    assert_eq!(openid.text, oauth.text);
    assert_eq!(openid.json["issuer"], app.issuer);
    let web = app.client("web", "items:read").await;
    assert_eq!(web.credentials().await.claims()["iss"], app.issuer);
}

#[tokio::test]
async fn m04_every_listed_endpoint_answers() {
    let app = TestApp::start().await;
    let document = get(&app, OPENID).await.json;
    let mut endpoints = 0;
    for (name, value) in document.as_object().unwrap() {
        // These are for browsers; what they answer is shown where their flows are.
        if ["authorization_endpoint", "end_session_endpoint"].contains(&name.as_str()) {
            let answer = get(&app, value.as_str().unwrap()).await;
            assert!(answer.status != 404 && answer.status < 500, "{name}");
            continue;
        }
        if name == "userinfo_endpoint" {
            let answer = get(&app, value.as_str().unwrap()).await;
            assert_eq!(answer.status, 401, "{name}");
            continue;
        }
        if name.ends_with("_uri") {
            let answer = get(&app, value.as_str().unwrap()).await;
            assert_eq!(answer.status, 200, "{name}");
        }
        if name.ends_with("_endpoint") {
            endpoints += 1;
            let form: [(&str, &str); 0] = [];
            let request = app.http.post(value.as_str().unwrap()).form(&form);
            let answer = Answer::read(request.send().await.unwrap()).await;
            assert_eq!(answer.outcome(), "401 invalid_client bad_credentials", "{name}");
        }
    }
    assert!(endpoints >= 3);
    for name in [
        "token_endpoint",
        "introspection_endpoint",
        "revocation_endpoint",
        "jwks_uri",
    ] {
        let url = document[name].as_str().unwrap();
        assert!(url.starts_with(&format!("{}/", app.issuer)), "{name}");
    }
}

/// A device that somebody lets in.
async fn let_in(browser: &Browser<'_>, client: &TestClient<'_>) -> Answer {
    let begun = client.post("/device_authorization", &[]).await;
    let confirm = format!("/device/confirm?user_code={}", begun.str("user_code"));
    let page = browser.get(&confirm).await;
    let done = browser.submit(&page, &[("decision", "allow")]).await;
    assert_eq!(done.location(), "/device/done?outcome=allowed");
    let grant = ("grant_type", "urn:ietf:params:oauth:grant-type:device_code");
    client
        .token(&[grant, ("device_code", begun.str("device_code"))])
        .await
}

#[tokio::test]
async fn m04_every_listed_grant_is_accepted_and_no_other() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let web = app.client("web", "openid items:read").await;
    let site = app.code_client("site", "openid", CALLBACK).await;
    let browser = Browser::signed_in(&app, "alice").await;
    let document = get(&app, OPENID).await.json;
    let listed = words(&document["grant_types_supported"]);
    assert!(!listed.is_empty());
    for grant in &listed {
        let answer = match *grant {
            "client_credentials" => web.credentials().await,
            "authorization_code" => browser.code_grant(&site, &[]).await,
            "urn:ietf:params:oauth:grant-type:device_code" => let_in(&browser, &site).await,
            "password" => web.sign_in("alice").await,
            "refresh_token" => {
                let first = web.sign_in("alice").await;
                web.refresh(first.str("refresh_token")).await
            }
            other => panic!("{other} is listed: show here that it is accepted"),
        };
        assert_eq!(answer.outcome(), "200", "{grant}");
    }
    for grant in [
        "implicit",
        "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "urn:ietf:params:oauth:grant-type:token-exchange",
    ] {
        assert!(!listed.contains(&grant), "{grant}");
        let answer = web.token(&[("grant_type", grant)]).await;
        assert_eq!(
            answer.outcome(),
            "400 unsupported_grant_type unknown_grant",
            "{grant}"
        );
    }
}

#[tokio::test]
async fn m04_every_listed_authentication_method_is_accepted_and_no_other() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let document = get(&app, OPENID).await.json;
    let listed = |endpoint: &str| words(&document[format!("{endpoint}_endpoint_auth_methods_supported")]);
    let at_token = listed("token");
    assert_eq!(at_token, ["client_secret_basic", "client_secret_post", "none"]);
    for method in at_token {
        let client = client_by(&app, method).await;
        let grant = client.sign_in("alice").await;
        assert_eq!(grant.outcome(), "200", "{method}");
        let asked = client.introspect(grant.str("access_token")).await;
        let may_ask = listed("introspection").contains(&method);
        assert_eq!(asked.status, if may_ask { 200 } else { 401 }, "{method}");
        let revoked = client.revoke(grant.str("refresh_token")).await;
        let may_revoke = listed("revocation").contains(&method);
        assert_eq!(revoked.status, if may_revoke { 200 } else { 401 }, "{method}");
    }
    // What nobody lists is no way in.
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", "by-client_secret_basic"),
        (
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        ),
        ("client_assertion", "eyJhbGciOiJub25lIn0.e30."),
    ];
    let request = app.http.post(format!("{}/token", app.base)).form(&form);
    let answer = Answer::read(request.send().await.unwrap()).await;
    assert_eq!(answer.outcome(), "401 invalid_client bad_credentials");
}

#[tokio::test]
async fn cl2_an_issuer_with_a_path_is_found_where_both_standards_look() {
    let issuer = "http://127.0.0.1:1/tenant";
    let app = Setup::default().set("issuer", issuer).start().await;
    assert_eq!(app.issuer, issuer);
    let appended = get(&app, "/tenant/.well-known/openid-configuration").await;
    let inserted = get(&app, "/.well-known/oauth-authorization-server/tenant").await;
    for found in [&appended, &inserted] {
        assert_eq!(found.status, 200);
        let media_type = found.header("content-type").unwrap();
        assert!(media_type.starts_with("application/json"), "{media_type}");
        assert_eq!(found.json["issuer"], issuer);
        assert_eq!(found.json["token_endpoint"], format!("{issuer}/token"));
        assert_eq!(found.json["jwks_uri"], format!("{issuer}{JWKS}"));
    }
    assert_eq!(appended.text, inserted.text);
    assert_eq!(appended.header("etag"), inserted.header("etag"));
    let known = appended.header("etag").unwrap();
    let again = get_unless(
        &app,
        "/.well-known/oauth-authorization-server/tenant",
        Some(known),
    )
    .await;
    assert_eq!(again.status, 304);
    // Nothing is where an issuer without a path would have it.
    for path in [JWKS, OPENID, OAUTH, "/openapi.json", "/docs"] {
        assert_eq!(get(&app, path).await.status, 404, "{path}");
        if path != OAUTH {
            assert_eq!(get(&app, &format!("/tenant{path}")).await.status, 200, "{path}");
        }
    }
    let web = app.client("web", "items:read").await;
    let form = [("grant_type", "client_credentials")];
    assert_eq!(web.post("/token", &form).await.status, 404);
    let grant = web.post("/tenant/token", &form).await;
    assert_eq!(grant.claims()["iss"], issuer);
    let form = [("token", grant.str("access_token"))];
    assert_eq!(web.post("/tenant/introspect", &form).await.json["active"], true);
}

#[tokio::test]
async fn o04_health_is_on_the_management_listener_only() {
    let app = TestApp::start().await;
    app.advance(Duration::ZERO).await;
    let url = |path: &str| format!("{}{path}", app.management);
    let live = get(&app, &url("/livez")).await;
    assert_eq!((live.status, &live.json), (200, &json!({"status": "live"})));
    let ready = get(&app, &url("/readyz")).await;
    assert_eq!(ready.status, 200);
    // Words about the process, none about a client or a person.
    assert_eq!(
        ready.json,
        json!({"status": "ready", "checks": {"database": true, "revocations": true, "keys": true, "clock": true, "writes": true, "past": true}})
    );
    for answer in [&live, &ready] {
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    for path in ["/livez", "/readyz", "/metrics", "/health", "/admin/v1"] {
        assert_eq!(get(&app, path).await.status, 404, "{path}");
    }
    for path in PUBLIC {
        assert_eq!(get(&app, &url(path)).await.status, 404, "{path}");
    }
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", "web"),
        ("client_secret", CLIENT_SECRET),
    ];
    let request = app.http.post(url("/token")).form(&form);
    assert_eq!(request.send().await.unwrap().status().as_u16(), 404);
}

#[tokio::test]
async fn f7_readiness_ends_with_the_store_and_with_the_view() {
    let app = TestApp::start().await;
    let url = |path: &str| format!("{}{path}", app.management);
    app.clock.advance(Duration::from_secs(6));
    let stale = get(&app, &url("/readyz")).await;
    assert_eq!(stale.status, 503);
    assert_eq!(
        stale.json["checks"],
        json!({"database": true, "revocations": false, "keys": true, "clock": true, "writes": false, "past": true})
    );
    app.advance(Duration::ZERO).await;
    app.inside().beat().await.unwrap();
    assert_eq!(get(&app, &url("/readyz")).await.status, 200);
    app.inside().store().close().await;
    let closed = get(&app, &url("/readyz")).await;
    assert_eq!(closed.status, 503);
    assert_eq!(closed.json["status"], "not ready");
    assert_eq!(closed.json["checks"]["database"], false);
    // The process itself is well: restarting it would help nobody.
    assert_eq!(get(&app, &url("/livez")).await.status, 200);
}

/// A description without the one member that differs from issuer to issuer.
fn without_servers(text: &str) -> Value {
    let mut description: Value = serde_json::from_str(text).unwrap();
    description.as_object_mut().unwrap().remove("servers");
    description
}

#[tokio::test]
async fn the_description_is_the_checked_in_one() {
    let app = TestApp::start().await;
    let served = get(&app, "/openapi.json").await;
    assert_eq!(served.json["servers"][0]["url"], app.issuer);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../openapi/openapi.json");
    let kept = std::fs::read_to_string(&path).unwrap();
    assert!(
        without_servers(&served.text) == without_servers(&kept),
        "openapi/openapi.json is out of date: run `cargo xtask openapi`"
    );
    assert!(kept == vouchsafe::api::description());
}

#[tokio::test]
async fn what_is_described_is_served() {
    let app = TestApp::start().await;
    let description = get(&app, "/openapi.json").await.json;
    let paths = description["paths"].as_object().unwrap();
    for (path, methods) in paths {
        for method in methods.as_object().unwrap().keys() {
            let method = method.to_ascii_uppercase();
            let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
            let request = app.http.request(method.clone(), format!("{}{path}", app.base));
            let status = request.send().await.unwrap().status().as_u16();
            assert!(![404, 405].contains(&status), "{method} {path}");
        }
    }
    for path in [
        "/token",
        "/refresh",
        "/introspect",
        "/revoke",
        JWKS,
        OPENID,
        OAUTH,
    ] {
        assert!(paths.contains_key(path), "{path}");
    }
    let page = get(&app, "/docs").await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
}
