//! ID tokens: what they say and who signs them, people under a name of their own at each sector, and a discovery
//! document that promises nothing else.
#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails where it is")]

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use ring::digest::{SHA256, SHA512, digest};
use serde_json::{Value, json};
use vouchsafe_jose::UnverifiedJws;
use vouchsafe_protocol::{ClientAuthMethod, GrantType, SigningAlgorithm};
use vouchsafe_tests::{Answer, Browser, CALLBACK, START, Setup, TestApp, TestClient, claims_of};
use vouchsafe_verifier::{KeySet, KeySource as _};

const OPENID: &str = "/.well-known/openid-configuration";
const OAUTH: &str = "/.well-known/oauth-authorization-server";
const HALF_A_MINUTE: Duration = Duration::from_secs(30);
const MINUTE: Duration = Duration::from_secs(60);
const EVERY: &str = "openid profile email address phone offline_access";

async fn get(app: &TestApp, path: &str) -> Answer {
    let request = app.http.get(format!("{}{path}", app.base));
    Answer::read(request.send().await.unwrap()).await
}

/// What an ID token says, if a published key signed it.
async fn verified(app: &TestApp, token: &str) -> Value {
    let published = get(app, "/.well-known/jwks.json").await;
    let keys = KeySet::from_json(published.text.as_bytes()).unwrap();
    let jws = UnverifiedJws::parse(token).unwrap();
    let key = keys.verifying_key(jws.kid().unwrap()).unwrap();
    jws.verify(&key).unwrap().claims().unwrap()
}

fn header_of(token: &str) -> Value {
    let (header, _) = token.split_once('.').unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap()
}

/// OpenID Connect Core 3.1.3.6.
fn at_hash(algorithm: &str, access_token: &str) -> String {
    let hash = if algorithm == "EdDSA" { &SHA512 } else { &SHA256 };
    let digest = digest(hash, access_token.as_bytes());
    let (left, _) = digest.as_ref().split_at(digest.as_ref().len() / 2);
    URL_SAFE_NO_PAD.encode(left)
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap()
}

fn words<'a>(document: &'a Value, member: &str) -> Vec<&'a str> {
    let list = document.get(member).and_then(Value::as_array).unwrap();
    list.iter().map(|word| word.as_str().unwrap()).collect()
}

#[tokio::test]
async fn an_id_token_says_who_signed_in_when_and_how_and_nothing_else() {
    let app = TestApp::start().await;
    let subject = app.user("alice", &[]).await;
    let web = app.code_client("web", "openid profile email", CALLBACK).await;
    let browser = Browser::signed_in(&app, "alice").await;
    app.advance(HALF_A_MINUTE).await;
    let nonce = "n-0S6_WzA2Mj";
    for asked in [&[("nonce", nonce)][..], &[]] {
        let grant = browser.code_grant(&web, asked).await;
        let (token, access) = (grant.str("id_token"), grant.claims());
        let mut expected = json!({
            "iss": app.issuer,
            "sub": subject,
            "aud": "web",
            "iat": START + 30,
            "exp": START + 330,
            "auth_time": START,
            "nonce": nonce,
            "acr": "1",
            "amr": ["pwd"],
            "at_hash": at_hash("ES256", grant.str("access_token")),
            "sid": access["sid"],
        });
        if asked.is_empty() {
            expected.as_object_mut().unwrap().remove("nonce");
        }
        assert_eq!(verified(&app, token).await, expected);
        let header = header_of(token);
        assert_eq!((&header["alg"], &header["typ"]), (&json!("ES256"), &json!("JWT")));
        for member in ["iss", "sub", "exp", "auth_time", "acr", "amr"] {
            assert_eq!(access[member], expected[member], "{member}");
        }
        assert!(access.get("nonce").is_none());
    }
}

#[tokio::test]
async fn cl10_a_refreshed_id_token_tells_of_the_same_sign_in() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let web = app.code_client("web", EVERY, CALLBACK).await;
    let browser = Browser::signed_in(&app, "alice").await;
    let first = browser.code_grant(&web, &[("nonce", "once")]).await;
    let before = claims_of(first.str("id_token"));
    app.advance(MINUTE).await;
    // Somebody who signs in again begins something else.
    browser.sign_in("alice").await;
    let next = web.refresh(first.str("refresh_token")).await;
    let after = verified(&app, next.str("id_token")).await;
    // OpenID Connect Core 12.2.
    for member in ["iss", "sub", "aud", "auth_time", "acr", "amr", "sid"] {
        assert_eq!(after[member], before[member], "{member}");
    }
    assert_eq!(after["iat"], START + 60);
    assert!(after.get("nonce").is_none());
    assert_eq!(after["at_hash"], at_hash("ES256", next.str("access_token")));
    assert!(next.str("scope").contains("openid"));
    let again = browser.code_grant(&web, &[]).await;
    assert_eq!(claims_of(again.str("id_token"))["auth_time"], START + 60);
    // Without openid there is none.
    let narrow = [
        ("grant_type", "refresh_token"),
        ("refresh_token", next.str("refresh_token")),
        ("scope", "profile"),
    ];
    let narrow = web.token(&narrow).await;
    assert_eq!(narrow.outcome(), "200");
    assert!(narrow.json.get("id_token").is_none());
}

#[tokio::test]
async fn whoever_asks_for_openid_gets_an_id_token_and_nobody_else() {
    let app = TestApp::start().await;
    let subject = app.user("alice", &[]).await;
    let web = app.client("web", "openid items:read").await;
    let plain = app.client("plain", "items:read").await;
    let by_password = web.sign_in("alice").await;
    let claims = verified(&app, by_password.str("id_token")).await;
    assert_eq!(claims["sub"], subject.as_str());
    assert_eq!(claims["aud"], "web");
    assert_eq!(claims["auth_time"], START);
    assert_eq!(claims["amr"], json!(["pwd"]));
    assert_eq!(
        claims["at_hash"],
        at_hash("ES256", by_password.str("access_token"))
    );
    assert!(claims.get("nonce").is_none());
    for without in [plain.sign_in("alice").await, web.credentials().await] {
        assert_eq!(without.outcome(), "200");
        assert!(without.json.get("id_token").is_none());
    }
}

#[tokio::test]
async fn j03_an_id_token_opens_nothing() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let web = app.client("web", "openid").await;
    let grant = web.sign_in("alice").await;
    let token = grant.str("id_token");
    assert_eq!(web.introspect(token).await.json, json!({"active": false}));
    assert_eq!(
        web.refresh(token).await.outcome(),
        "400 invalid_grant malformed_token"
    );
    // Nor does giving it up end anything.
    assert_eq!(web.revoke(token).await.status, 200);
    assert_eq!(web.refresh(grant.str("refresh_token")).await.outcome(), "200");
}

#[tokio::test]
async fn cl5_each_client_has_its_algorithm_and_rs256_where_it_did_not_choose() {
    let app = Setup::default()
        .set("keys.algorithms", "ES256,RS256,EdDSA")
        .start()
        .await;
    app.user("alice", &[]).await;
    let document = get(&app, OPENID).await.json;
    let listed = words(&document, "id_token_signing_alg_values_supported");
    assert_eq!(listed, ["ES256", "RS256", "EdDSA"]);
    for (id, chosen, expected) in [
        ("plain", None, "RS256"),
        ("es", Some(SigningAlgorithm::Es256), "ES256"),
        ("rs", Some(SigningAlgorithm::Rs256), "RS256"),
        ("ed", Some(SigningAlgorithm::EdDsa), "EdDSA"),
    ] {
        let client = app
            .client_with(id, "openid", |draft| draft.id_token_algorithm = chosen)
            .await;
        let first = client.sign_in("alice").await;
        let next = client.refresh(first.str("refresh_token")).await;
        for grant in [&first, &next] {
            let token = grant.str("id_token");
            assert_eq!(header_of(token)["alg"], expected, "{id}");
            let claims = verified(&app, token).await;
            assert_eq!(
                claims["at_hash"],
                at_hash(expected, grant.str("access_token")),
                "{id}"
            );
        }
    }
}

/// Knows people under names of its own.
async fn pairwise<'a>(app: &'a TestApp, id: &str, redirect_uri: &str) -> TestClient<'a> {
    app.client_with(id, "openid", |draft| {
        draft.grants = Some(vec![GrantType::AuthorizationCode, GrantType::RefreshToken]);
        draft.redirect_uris = Some(vec![redirect_uri.to_owned()]);
        draft.pairwise = Some(true);
    })
    .await
}

/// The code flow of a client that is sent back elsewhere than usual.
async fn grant_at(browser: &Browser<'_>, client: &TestClient<'_>, redirect_uri: &str) -> Answer {
    let to = [("redirect_uri", redirect_uri)];
    let code = browser.code(client, &to).await;
    let grant = client.redeem_with(&code, &to).await;
    assert_eq!(grant.outcome(), "200");
    grant
}

/// Who a grant is about: every token and every answer says the same.
async fn sub_of(app: &TestApp, client: &TestClient<'_>, grant: &Answer) -> String {
    let (access, refresh) = (grant.str("access_token"), grant.str("refresh_token"));
    let request = app.http.get(format!("{}/userinfo", app.base)).bearer_auth(access);
    let userinfo = Answer::read(request.send().await.unwrap()).await;
    let said = [
        ("access token", grant.claims()),
        ("ID token", claims_of(grant.str("id_token"))),
        ("userinfo", userinfo.json),
        ("introspection", client.introspect(access).await.json),
        (
            "introspection of the refresh token",
            client.introspect(refresh).await.json,
        ),
    ];
    let (_, first) = said.first().unwrap();
    let sub = text(first, "sub").to_owned();
    for (what, value) in &said {
        assert_eq!(text(value, "sub"), sub, "{what}");
    }
    sub
}

#[tokio::test]
async fn each_sector_knows_a_person_under_another_name_for_good() {
    let app = TestApp::start().await;
    let alice = app.user("alice", &[]).await;
    let bob = app.user("bob", &[]).await;
    let (one, same, other) = (
        "https://one.example/cb",
        "https://one.example:8443/other",
        "https://two.example/cb",
    );
    let clients = [
        (pairwise(&app, "one", one).await, one),
        (pairwise(&app, "same", same).await, same),
        (pairwise(&app, "other", other).await, other),
    ];
    let public = app.code_client("public", "openid", CALLBACK).await;
    let mut names = Vec::new();
    for person in ["alice", "bob", "alice"] {
        let browser = Browser::signed_in(&app, person).await;
        let mut of_person = Vec::new();
        for (client, to) in &clients {
            let grant = grant_at(&browser, client, to).await;
            of_person.push(sub_of(&app, client, &grant).await);
            let next = client.refresh(grant.str("refresh_token")).await;
            of_person.push(sub_of(&app, client, &next).await);
            // What others know them by is in no token.
            let said = [
                next.claims(),
                next.refresh_claims(),
                claims_of(next.str("id_token")),
            ];
            for claims in said.map(|claims| claims.to_string()) {
                assert!(!claims.contains(&alice) && !claims.contains(&bob), "{claims}");
            }
        }
        names.push(of_person);
        let grant = browser.code_grant(&public, &[]).await;
        let subject = if person == "alice" { &alice } else { &bob };
        assert_eq!(&sub_of(&app, &public, &grant).await, subject);
        app.advance(MINUTE).await;
    }
    let of_alice = &names[0];
    // A refresh, a client of the same host and a later sign-in change nothing.
    assert!(of_alice[..4].iter().all(|name| *name == of_alice[0]));
    assert_eq!(of_alice[4], of_alice[5]);
    assert_eq!(of_alice, &names[2]);
    let different: BTreeSet<&str> = [
        &alice,
        &bob,
        &of_alice[0],
        &of_alice[4],
        &names[1][0],
        &names[1][4],
    ]
    .map(String::as_str)
    .into();
    assert_eq!(different.len(), 6);
}

#[tokio::test]
async fn people_who_come_at_once_for_the_first_time_get_one_name() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let client = app
        .client_with("web", "openid", |draft| draft.pairwise = Some(true))
        .await;
    let grants = join_all((0..8).map(|_| client.sign_in("alice"))).await;
    let names: BTreeSet<String> = grants
        .iter()
        .map(|grant| text(&grant.claims(), "sub").to_owned())
        .collect();
    assert_eq!(names.len(), 1);
}

#[tokio::test]
async fn r01_what_ends_a_persons_tokens_ends_those_under_another_name_too() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let to = "https://one.example/cb";
    let client = pairwise(&app, "one", to).await;
    let operator = TestApp::operator();
    for ending in ["sessions", "lock", "removal"] {
        let browser = Browser::signed_in(&app, "alice").await;
        let grant = grant_at(&browser, &client, to).await;
        let access = grant.str("access_token");
        assert!(client.is_active(access).await);
        match ending {
            "sessions" => {
                let ended = app.inside().revoke_sessions_of_user("alice", &operator).await;
                assert_eq!(ended.unwrap(), 1);
            }
            "lock" => {
                for locked in [true, false] {
                    let set = app.inside().set_user_locked("alice", locked, &operator);
                    set.await.unwrap();
                }
            }
            _ => app.inside().delete_user("alice", &operator).await.unwrap(),
        }
        assert!(!client.is_active(access).await, "{ending}");
        let request = app.http.get(format!("{}/userinfo", app.base)).bearer_auth(access);
        assert_eq!(request.send().await.unwrap().status(), 401, "{ending}");
        let refused = client.refresh(grant.str("refresh_token")).await;
        assert_eq!(refused.outcome(), "400 invalid_grant revoked", "{ending}");
        app.advance(MINUTE).await;
    }
}

#[tokio::test]
async fn a_hint_is_understood_by_the_name_that_its_client_knows() {
    let app = TestApp::start().await;
    for name in ["alice", "bob"] {
        app.user(name, &[]).await;
    }
    let to = "https://one.example/cb";
    let client = pairwise(&app, "one", to).await;
    let (of_alice, of_bob) = (Browser::new(&app), Browser::new(&app));
    of_alice.sign_in("alice").await;
    of_bob.sign_in("bob").await;
    let grant = grant_at(&of_alice, &client, to).await;
    grant_at(&of_bob, &client, to).await;
    let asked = [
        ("redirect_uri", to),
        ("prompt", "none"),
        ("id_token_hint", grant.str("id_token")),
    ];
    let same = of_alice.authorize(&client, &asked).await;
    assert!(same.answer("code").is_some(), "{same:?}");
    let other = of_bob.authorize(&client, &asked).await;
    assert_eq!(other.answer("error").as_deref(), Some("login_required"));
}

#[tokio::test]
async fn cl1_cl2_cl12_the_issuer_is_one_text_everywhere() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let web = app.code_client("web", "openid", CALLBACK).await;
    let (openid, oauth) = (get(&app, OPENID).await, get(&app, OAUTH).await);
    assert_eq!((openid.status, oauth.status), (200, 200));
    assert_eq!(openid.text, oauth.text);
    let browser = Browser::new(&app);
    let refused = browser.authorize(&web, &[("prompt", "none")]).await;
    browser.sign_in("alice").await;
    let answered = browser.go_through(browser.authorize(&web, &[]).await).await;
    let grant = web.redeem(&answered.answer("code").unwrap()).await;
    let (access, id) = (grant.claims(), claims_of(grant.str("id_token")));
    for said in [
        openid.str("issuer"),
        text(&access, "iss"),
        text(&id, "iss"),
        &refused.answer("iss").unwrap(),
        &answered.answer("iss").unwrap(),
    ] {
        assert_eq!(said, app.issuer);
    }
    assert!(refused.answer("error").is_some());
    for (name, value) in openid.json.as_object().unwrap() {
        if name.ends_with("_endpoint") || name.ends_with("_uri") {
            let place = value.as_str().unwrap();
            assert!(place.starts_with(&format!("{}/", app.issuer)), "{name}: {place}");
        }
    }
}

#[tokio::test]
async fn m04_cl11_cl12_what_discovery_lists_is_taken_and_nothing_else_is() {
    let app = TestApp::start().await;
    let web = app.code_client("web", EVERY, CALLBACK).await;
    let document = get(&app, OPENID).await.json;
    for (member, listed) in [
        ("response_types_supported", json!(["code"])),
        ("response_modes_supported", json!(["query", "form_post"])),
        ("code_challenge_methods_supported", json!(["S256"])),
        (
            "prompt_values_supported",
            json!(["none", "login", "consent", "select_account"]),
        ),
        ("subject_types_supported", json!(["public", "pairwise"])),
        ("id_token_signing_alg_values_supported", json!(["ES256"])),
        ("acr_values_supported", json!(["1"])),
        ("authorization_response_iss_parameter_supported", json!(true)),
        ("claims_parameter_supported", json!(true)),
        ("request_parameter_supported", json!(false)),
        ("request_uri_parameter_supported", json!(false)),
    ] {
        assert_eq!(document[member], listed, "{member}");
    }
    assert!(words(&document, "token_endpoint_auth_methods_supported").contains(&"none"));
    assert!(!words(&document, "grant_types_supported").contains(&"implicit"));

    let browser = Browser::new(&app);
    for (parameter, value, error) in [
        ("response_type", "token", "unsupported_response_type"),
        ("response_type", "id_token", "unsupported_response_type"),
        ("response_type", "code id_token", "unsupported_response_type"),
        ("response_mode", "fragment", "invalid_request"),
        ("response_mode", "web_message", "invalid_request"),
        ("code_challenge_method", "plain", "invalid_request"),
        ("prompt", "create", "invalid_request"),
        ("request", "e30.e30.", "request_not_supported"),
        (
            "request_uri",
            "https://app.example/request",
            "request_uri_not_supported",
        ),
        ("scope", "everything", "invalid_scope"),
    ] {
        let refused = browser.authorize(&web, &[(parameter, value)]).await;
        assert!(
            refused.location().starts_with("https://app.example/cb?"),
            "{value}"
        );
        assert_eq!(refused.answer("error").as_deref(), Some(error), "{value}");
        assert_eq!(
            refused.answer("iss").as_deref(),
            Some(app.issuer.as_str()),
            "{value}"
        );
    }
    let lists = [
        ("scope", "scopes_supported"),
        ("prompt", "prompt_values_supported"),
        ("response_mode", "response_modes_supported"),
        ("acr_values", "acr_values_supported"),
        ("response_type", "response_types_supported"),
    ];
    for (parameter, list) in lists {
        for word in words(&document, list) {
            let begun = browser.authorize(&web, &[(parameter, word)]).await;
            assert_eq!(begun.status, 303, "{parameter}={word}");
            let error = begun.answer("error");
            // Nobody is signed in: who may ask nothing is told just that.
            let expected = (word == "none").then_some("login_required");
            assert_eq!(error.as_deref(), expected, "{parameter}={word}");
        }
    }
}

#[tokio::test]
async fn m04_an_answer_goes_back_as_listed_and_tells_no_claim_that_is_not() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let web = app.code_client("web", EVERY, CALLBACK).await;
    let document = get(&app, OPENID).await.json;
    let browser = Browser::signed_in(&app, "alice").await;
    let asked = [("response_mode", "form_post"), ("nonce", "n")];
    let page = browser.go_through(browser.authorize(&web, &asked).await).await;
    assert!(page.is("form-post"), "{page:?}");
    assert_eq!(page.form().0, CALLBACK);
    assert_eq!(
        (page.hidden("iss"), page.hidden("state")),
        (app.issuer.clone(), "st4te".to_owned())
    );
    let grant = web.redeem(&page.hidden("code")).await;
    assert_eq!(grant.outcome(), "200");
    let listed = words(&document, "claims_supported");
    let in_token = claims_of(grant.str("id_token"));
    let request = app.http.get(format!("{}/userinfo", app.base));
    let request = request.bearer_auth(grant.str("access_token"));
    let userinfo = Answer::read(request.send().await.unwrap()).await.json;
    for told in [&in_token, &userinfo] {
        for claim in told.as_object().unwrap().keys() {
            assert!(listed.contains(&claim.as_str()), "{claim}");
        }
    }
    assert!(words(&document, "acr_values_supported").contains(&text(&in_token, "acr")));
    for lang in words(&document, "ui_locales_supported") {
        let page = browser.get(&format!("/sign-in?ui_locales={lang}")).await;
        assert!(page.text.contains(&format!("<html lang=\"{lang}\"")), "{lang}");
    }
}

#[tokio::test]
async fn m04_registration_is_listed_where_somebody_may_register_and_takes_what_is_listed() {
    for (mode, listed) in [("closed", false), ("token", true), ("open", true)] {
        let app = Setup::default().set("registration.mode", mode).start().await;
        let document = get(&app, OPENID).await.json;
        let endpoint = listed.then(|| json!(format!("{}/register", app.issuer)));
        assert_eq!(document.get("registration_endpoint"), endpoint.as_ref(), "{mode}");
    }
    let app = Setup::default().set("registration.mode", "open").start().await;
    let document = get(&app, OPENID).await.json;
    for (member, list) in [
        (
            "token_endpoint_auth_method",
            "token_endpoint_auth_methods_supported",
        ),
        ("subject_type", "subject_types_supported"),
        (
            "id_token_signed_response_alg",
            "id_token_signing_alg_values_supported",
        ),
    ] {
        for (word, status) in words(&document, list)
            .into_iter()
            .map(|word| (word, 201))
            .chain([("tls_client_auth", 400)])
        {
            let mut said = json!({"redirect_uris": [CALLBACK]});
            said[member] = json!(word);
            let request = app.http.post(format!("{}/register", app.base)).json(&said);
            let answer = Answer::read(request.send().await.unwrap()).await;
            assert_eq!(answer.status, status, "{said} {}", answer.text);
            if status == 201 {
                assert_eq!(answer.json[member], word);
            }
        }
    }
}

#[tokio::test]
async fn a_public_client_gets_an_id_token_like_any_other() {
    let app = TestApp::start().await;
    let subject = app.user("alice", &[]).await;
    let spa = app
        .client_with("spa", "openid", |draft| {
            draft.auth_method = Some(ClientAuthMethod::None);
            draft.grants = Some(vec![GrantType::AuthorizationCode, GrantType::RefreshToken]);
            draft.redirect_uris = Some(vec![CALLBACK.to_owned()]);
        })
        .await;
    let browser = Browser::signed_in(&app, "alice").await;
    let grant = browser.code_grant(&spa, &[]).await;
    let claims = verified(&app, grant.str("id_token")).await;
    assert_eq!((&claims["sub"], &claims["aud"]), (&json!(subject), &json!("spa")));
}
