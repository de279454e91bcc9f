//! Client authentication: one method, the registered one; one answer to every failure; secrets that overlap while they
//! rotate.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it is")]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use vouchsafe_issuer::{AdminError, ClientDraft};
use vouchsafe_protocol::{ClientAuthMethod, ClientId, SecretString};
use vouchsafe_tests::{Answer, CLIENT_SECRET, Setup, TestApp};

/// Every endpoint that authenticates clients, with a body that needs no more than that.
const ENDPOINTS: [(&str, &str); 4] = [
    ("/token", "grant_type=client_credentials"),
    ("/refresh", "refresh_token=x.y.z"),
    ("/introspect", "token=x.y.z"),
    ("/revoke", "token=x.y.z"),
];
const TOKEN: (&str, &str) = ENDPOINTS[0];
const JWT_BEARER: &str =
    "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
const WRONG: &str = "not-the-secret-of-any-client-0123456789abc";
const REFUSED: &str = "401 invalid_client bad_credentials";

/// Posts a form with these headers.
async fn post(app: &TestApp, (path, body): (&str, &str), headers: &[(&str, &str)]) -> Answer {
    let mut request = app
        .http
        .post(format!("{}{path}", app.issuer))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body.to_owned());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Answer::read(request.send().await.unwrap()).await
}

fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

/// Asks for a token by Basic, as written.
async fn by_basic(app: &TestApp, id: &str, secret: &str) -> String {
    let header = basic(id, secret);
    post(app, TOKEN, &[("authorization", &header)]).await.outcome()
}

/// Every byte as an escape (RFC 6749 appendix B).
fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

async fn disable(app: &TestApp, id: &str) {
    let draft = ClientDraft {
        disabled: Some(true),
        ..ClientDraft::default()
    };
    app.inside()
        .update_client(&ClientId::parse(id).unwrap(), &draft, &TestApp::operator())
        .await
        .unwrap();
}

/// Gives a client a further secret; `only` ends those before.
async fn give_secret(app: &TestApp, id: &str, secret: &str, only: bool) {
    let imported = Some(SecretString::new(secret.to_owned()));
    app.inside()
        .rotate_client_secret(
            &ClientId::parse(id).unwrap(),
            imported,
            only,
            &TestApp::operator(),
        )
        .await
        .unwrap();
}

/// Status, headers and body, without what differs from second to second.
fn without_date(answer: &Answer) -> (u16, reqwest::header::HeaderMap, String) {
    let mut headers = answer.headers.clone();
    headers.remove("date");
    (answer.status, headers, answer.text.clone())
}

/// One client of each kind, and each again disabled.
async fn clients(app: &TestApp) {
    for id in ["basic", "basic-off"] {
        app.client(id, "items:read").await;
    }
    for id in ["post", "post-off"] {
        app.client_with(id, "items:read", |draft| {
            draft.auth_method = Some(ClientAuthMethod::ClientSecretPost);
        })
        .await;
    }
    for id in ["public", "public-off"] {
        app.public_client(id, "items:read").await;
    }
    for id in ["basic-off", "post-off", "public-off"] {
        disable(app, id).await;
    }
}

#[tokio::test]
async fn t01_t05_cl21_every_failure_by_the_header_reads_the_same() {
    let app = TestApp::start().await;
    clients(&app).await;
    let long = "x".repeat(300);
    for (path, body) in ENDPOINTS {
        let mut first = None;
        for (id, secret) in [
            // Unknown, also as no id can be.
            ("nobody", CLIENT_SECRET),
            ("a%20b", CLIENT_SECRET),
            ("usr_AAAAAAAAAAAAAAAAAAAAAA", CLIENT_SECRET),
            (long.as_str(), CLIENT_SECRET),
            // Wrong secret.
            ("basic", WRONG),
            ("basic", ""),
            ("basic", &CLIENT_SECRET[1..]),
            // Disabled.
            ("basic-off", CLIENT_SECRET),
            ("basic-off", WRONG),
            // Another method than the registered one.
            ("post", CLIENT_SECRET),
            ("public", CLIENT_SECRET),
            ("public", ""),
        ] {
            let header = basic(id, secret);
            let answer = post(&app, (path, body), &[("authorization", &header)]).await;
            assert_eq!(answer.outcome(), REFUSED, "{path} {id}");
            assert_eq!(
                answer.header("www-authenticate"),
                Some("Basic realm=\"vouchsafe\", charset=\"UTF-8\""),
                "{path} {id}"
            );
            let shown = without_date(&answer);
            assert_eq!(*first.get_or_insert_with(|| shown.clone()), shown, "{path} {id}");
        }
    }
}

#[tokio::test]
async fn t01_t05_cl21_every_failure_in_the_body_reads_the_same() {
    let app = TestApp::start().await;
    clients(&app).await;
    for (path, body) in ENDPOINTS {
        let mut first = None;
        for (id, secret) in [
            ("nobody", Some(CLIENT_SECRET)),
            ("nobody", None),
            ("a%20b", Some(CLIENT_SECRET)),
            ("post", Some(WRONG)),
            ("post", Some(&CLIENT_SECRET[1..])),
            ("post-off", Some(CLIENT_SECRET)),
            ("post-off", Some(WRONG)),
            ("public-off", None),
            // Another method than the registered one: a confidential client without its secret among them.
            ("basic", Some(CLIENT_SECRET)),
            ("basic", None),
            ("post", None),
            ("public", Some(CLIENT_SECRET)),
        ] {
            let credentials = match secret {
                Some(secret) => format!("{body}&client_id={id}&client_secret={secret}"),
                None => format!("{body}&client_id={id}"),
            };
            let answer = post(&app, (path, &credentials), &[]).await;
            assert_eq!(answer.outcome(), REFUSED, "{path} {credentials}");
            assert_eq!(answer.header("www-authenticate"), None, "{path} {credentials}");
            let shown = without_date(&answer);
            assert_eq!(
                *first.get_or_insert_with(|| shown.clone()),
                shown,
                "{path} {credentials}"
            );
        }
    }
}

#[tokio::test]
async fn t05_each_client_passes_by_its_own_method() {
    let app = TestApp::start().await;
    clients(&app).await;
    let by_header = basic("basic", CLIENT_SECRET);
    let in_body = format!("&client_id=post&client_secret={CLIENT_SECRET}");
    for (path, body) in ENDPOINTS {
        for (client, credentials, header) in [
            (
                "basic",
                String::new(),
                Some(("authorization", by_header.as_str())),
            ),
            ("post", in_body.clone(), None),
            ("public", "&client_id=public".to_owned(), None),
        ] {
            let body = format!("{body}{credentials}");
            let answer = post(&app, (path, &body), header.as_slice()).await;
            let expected = match (path, client) {
                // These need a secret, whoever the client is.
                ("/token", "public") => "400 unauthorized_client grant_not_allowed",
                ("/introspect", "public") => "401 invalid_client public_client_not_allowed",
                ("/refresh", _) => "400 invalid_grant malformed_token",
                _ => "200",
            };
            assert_eq!(answer.outcome(), expected, "{path} {client}");
        }
    }
}

#[tokio::test]
async fn cl21_the_challenge_is_for_who_used_the_header() {
    let app = TestApp::start().await;
    app.client("basic", "items:read").await;
    for header in [
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic bm9jb2xvbg==",
        &basic("", CLIENT_SECRET),
        &basic("basic", "%00"),
        &basic("basic", "%ff"),
        &basic("basic", "%c0%80"),
        &basic("basic%0d%0aset-cookie:a", CLIENT_SECRET),
    ] {
        let answer = post(&app, TOKEN, &[("authorization", header)]).await;
        assert_eq!(answer.outcome(), REFUSED, "{header}");
        assert!(
            answer.header("www-authenticate").unwrap().starts_with("Basic "),
            "{header}"
        );
    }
    let answer = post(&app, TOKEN, &[]).await;
    assert_eq!(answer.outcome(), REFUSED);
    assert_eq!(answer.header("www-authenticate"), None);
    // Whoever proved who they are is not asked again, whatever else is wrong.
    let header = basic("basic", CLIENT_SECRET);
    for body in [
        "grant_type=implicit",
        "grant_type=client_credentials&scope=other",
        "grant_type=refresh_token&refresh_token=x.y.z",
        "scope=",
    ] {
        let answer = post(&app, ("/token", body), &[("authorization", &header)]).await;
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(answer.header("www-authenticate"), None, "{body}");
    }
}

#[tokio::test]
async fn t02_two_methods_at_once_are_refused_even_when_both_are_right() {
    let app = TestApp::start().await;
    clients(&app).await;
    let header = basic("basic", CLIENT_SECRET);
    let secret = format!("client_secret={CLIENT_SECRET}");
    let assertion = format!("{JWT_BEARER}&client_assertion=e30.e30.e30");
    for (path, body) in ENDPOINTS {
        let by_header = Some(header.as_str());
        for (authorization, more) in [
            (by_header, secret.clone()),
            (by_header, format!("client_id=basic&{secret}")),
            (by_header, "client_id=post".to_owned()),
            (by_header, assertion.clone()),
            (by_header, format!("client_id=basic&{assertion}")),
            (
                by_header,
                "client_id=basic&client_assertion=e30.e30.e30".to_owned(),
            ),
            (Some("Bearer e30.e30.e30"), format!("client_id=post&{secret}")),
            (None, format!("client_id=post&{secret}&{assertion}")),
        ] {
            let headers = authorization.map(|value| ("authorization", value));
            let body = format!("{body}&{more}");
            let answer = post(&app, (path, &body), headers.as_slice()).await;
            assert_eq!(
                answer.outcome(),
                "400 invalid_request multiple_credentials",
                "{path} {authorization:?} {more}"
            );
        }
        // Naming oneself again is no second method.
        let same = format!("{body}&client_id=basic");
        let answer = post(&app, (path, &same), &[("authorization", &header)]).await;
        let expected = if path == "/refresh" {
            "400 invalid_grant malformed_token"
        } else {
            "200"
        };
        assert_eq!(answer.outcome(), expected, "{path}");
        // Two headers say nothing clear.
        let twice = [("authorization", header.as_str()), ("authorization", &header)];
        let answer = post(&app, (path, body), &twice).await;
        assert_eq!(answer.outcome(), REFUSED, "{path}");
    }
}

#[tokio::test]
async fn t15_tokens_of_this_issuer_are_no_credentials() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let web = app.client("web", "openid items:read").await;
    app.client_with("post", "items:read", |draft| {
        draft.auth_method = Some(ClientAuthMethod::ClientSecretPost);
    })
    .await;
    let signed_in = web.sign_in("alice").await;
    let own = web.credentials().await;
    for token in [
        own.str("access_token"),
        signed_in.str("access_token"),
        signed_in.str("refresh_token"),
    ] {
        assert!(web.is_active(token).await);
        for (path, body) in ENDPOINTS {
            for credentials in [
                format!("{JWT_BEARER}&client_assertion={token}"),
                format!("client_id=web&{JWT_BEARER}&client_assertion={token}"),
                format!("client_id=post&client_assertion={token}"),
                format!("client_id=web&{JWT_BEARER}"),
                format!("client_id=post&client_secret={token}"),
            ] {
                let body = format!("{body}&{credentials}");
                let answer = post(&app, (path, &body), &[]).await;
                assert_eq!(answer.outcome(), REFUSED, "{path} {credentials}");
            }
            let bearer = format!("Bearer {token}");
            for body in [body.to_owned(), format!("{body}&client_id=web")] {
                let answer = post(&app, (path, &body), &[("authorization", &bearer)]).await;
                assert_eq!(answer.outcome(), REFUSED, "{path} {bearer}");
            }
        }
    }
    // Nor is an access token a refresh token or the subject of an exchange.
    let access = own.str("access_token");
    assert_eq!(
        web.refresh(access).await.outcome(),
        "400 invalid_grant malformed_token"
    );
    let exchange = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", access),
        (
            "subject_token_type",
            "urn:ietf:params:oauth:token-type:access_token",
        ),
    ];
    assert_eq!(
        web.token(&exchange).await.outcome(),
        "400 unsupported_grant_type unknown_grant"
    );
}

#[tokio::test]
async fn cl3_basic_credentials_are_form_decoded() {
    const SECRET: &str = "dots.dashes-under_scores~tildes.0123456789";
    let app = TestApp::start().await;
    app.client("web-app_1.2~x", "").await;
    give_secret(&app, "web-app_1.2~x", SECRET, true).await;
    // Raw, with every byte escaped, and as client libraries do, with the marks escaped.
    let marks_escaped = |text: &str| -> String {
        text.chars()
            .map(|c| match c {
                '-' | '.' | '_' | '~' => format!("%{:02x}", u32::from(c)),
                plain => plain.to_string(),
            })
            .collect()
    };
    let (id, secret) = ("web-app_1.2~x", SECRET);
    for (id, secret) in [
        (id.to_owned(), secret.to_owned()),
        (escaped(id), escaped(secret)),
        (escaped(id), secret.to_owned()),
        (id.to_owned(), escaped(secret)),
        (marks_escaped(id), marks_escaped(secret)),
    ] {
        assert_eq!(by_basic(&app, &id, &secret).await, "200", "{id} {secret}");
        let pair = format!("{id}:{secret}");
        for header in [
            format!("basic {}", STANDARD.encode(&pair)),
            format!("BASIC {}", STANDARD.encode(&pair)),
            format!("Basic  {}", STANDARD.encode(&pair)),
            format!("Basic {}", STANDARD_NO_PAD.encode(&pair)),
        ] {
            let answer = post(&app, TOKEN, &[("authorization", &header)]).await;
            assert_eq!(answer.outcome(), "200", "{header}");
        }
    }
    assert_eq!(by_basic(&app, &escaped(&escaped(id)), secret).await, REFUSED);
}

#[tokio::test]
async fn cl3_only_the_first_colon_divides_and_other_marks_need_no_escape() {
    const ID: &str = "web/app@example=1&2;3";
    const SECRET: &str = "half:and/half=and&the;rest,of!it?0123456789";
    let app = TestApp::start().await;
    app.client(ID, "").await;
    give_secret(&app, ID, SECRET, true).await;
    for id in [ID.to_owned(), escaped(ID)] {
        for secret in [SECRET.to_owned(), escaped(SECRET)] {
            assert_eq!(by_basic(&app, &id, &secret).await, "200", "{id} {secret}");
        }
    }
    // A raw `+` is a space and a raw `%33` is `3`, in the header too.
    assert_eq!(by_basic(&app, ID, &format!("{SECRET}+")).await, REFUSED);
    assert_eq!(
        by_basic(&app, "web/app@example=1&2;%33%33", SECRET).await,
        REFUSED
    );
    assert_eq!(by_basic(&app, "web/app@example=1&2;%33", SECRET).await, "200");
}

#[tokio::test]
async fn cl3_what_a_raw_header_cannot_carry_is_not_given_to_a_client_that_uses_it() {
    const AWKWARD: &str = "half%41+space:and=the&rest/of.it?0123456789";
    let app = TestApp::start().await;
    app.client("basic", "").await;
    let operator = TestApp::operator();
    for secret in [
        AWKWARD,
        "a-percent-%-in-a-secret-0123456789",
        "a-plus-+-in-a-secret-0123456789abc",
    ] {
        let imported = Some(SecretString::new(secret.to_owned()));
        let given = app
            .inside()
            .rotate_client_secret(&ClientId::parse("basic").unwrap(), imported, true, &operator)
            .await;
        assert!(matches!(given, Err(AdminError::Invalid(_))), "{secret}");
    }
    let id = ClientId::parse("urn:app:1").unwrap();
    let draft = ClientDraft {
        auth_method: Some(ClientAuthMethod::ClientSecretBasic),
        ..ClientDraft::default()
    };
    let made = app
        .inside()
        .create_client(Some(id), &draft, None, &operator)
        .await;
    assert!(matches!(made, Err(AdminError::Invalid(_))), "{made:?}");
    assert_eq!(by_basic(&app, "basic", CLIENT_SECRET).await, "200");
    // A body is always encoded.
    app.client_with("urn:app:1", "", |draft| {
        draft.auth_method = Some(ClientAuthMethod::ClientSecretPost);
    })
    .await;
    give_secret(&app, "urn:app:1", AWKWARD, true).await;
    let body = |id: &str, secret: &str| {
        format!("grant_type=client_credentials&client_id={id}&client_secret={secret}")
    };
    for (id, secret, outcome) in [
        (escaped("urn:app:1"), escaped(AWKWARD), "200"),
        ("urn:app:1".to_owned(), escaped(AWKWARD), "200"),
        (
            escaped("urn:app:1"),
            escaped(&AWKWARD.replace("%41", "A")),
            REFUSED,
        ),
        (escaped("urn:app:1"), escaped(&AWKWARD.replace('+', " ")), REFUSED),
    ] {
        let answer = post(&app, ("/token", &body(&id, &secret)), &[]).await;
        assert_eq!(answer.outcome(), outcome, "{id} {secret}");
    }
}

/// Guesses the secret of a client from an address until that is refused, and says after how many tries.
async fn guess(app: &TestApp, from: &str, id: &str) -> (u32, Answer) {
    let header = basic(id, WRONG);
    for tries in 1..10_000 {
        let answer = post(
            app,
            TOKEN,
            &[("authorization", &header), ("x-forwarded-for", from)],
        )
        .await;
        if answer.status == 429 {
            return (tries, answer);
        }
        assert_eq!(answer.outcome(), REFUSED, "{tries}");
    }
    unreachable!("ten thousand guesses were heard")
}

async fn behind_a_proxy() -> TestApp {
    Setup::default()
        .set("server.trusted_proxies", "127.0.0.1")
        .start()
        .await
}

/// The token request of a client with its own secret, from an address.
async fn honest(app: &TestApp, from: &str, id: &str) -> Answer {
    let header = basic(id, CLIENT_SECRET);
    post(
        app,
        TOKEN,
        &[("authorization", &header), ("x-forwarded-for", from)],
    )
    .await
}

#[tokio::test]
async fn t06_guessing_is_slowed_and_the_true_client_is_not_locked_out() {
    let app = behind_a_proxy().await;
    app.client("web", "items:read").await;
    app.client("other", "items:read").await;
    let (guesser, elsewhere) = ("198.51.100.1", "203.0.113.9");
    let (tries, refused) = guess(&app, guesser, "web").await;
    assert!((5..=100).contains(&tries), "{tries}");
    assert_eq!(refused.outcome(), "429 temporarily_unavailable too_many_attempts");
    assert_eq!(refused.header("cache-control"), Some("no-store"));
    assert_eq!(refused.header("www-authenticate"), None);
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=3600).contains(&wait), "{wait}");
    // The right guess is not heard either, at no endpoint.
    for (path, body) in ENDPOINTS {
        let header = basic("web", CLIENT_SECRET);
        let headers = [("authorization", header.as_str()), ("x-forwarded-for", guesser)];
        let answer = post(&app, (path, body), &headers).await;
        assert_eq!(
            answer.outcome(),
            "429 temporarily_unavailable too_many_attempts",
            "{path}"
        );
    }
    assert_eq!(honest(&app, elsewhere, "web").await.outcome(), "200");
    assert_eq!(honest(&app, guesser, "other").await.outcome(), "200");
    // `Retry-After` is the truth.
    app.advance(Duration::from_secs(wait - 1)).await;
    assert_eq!(honest(&app, guesser, "web").await.status, 429);
    app.advance(Duration::from_secs(1)).await;
    assert_eq!(honest(&app, guesser, "web").await.outcome(), "200");
}

#[tokio::test]
async fn t01_t06_the_limit_does_not_tell_who_exists() {
    let app = behind_a_proxy().await;
    app.client("web", "items:read").await;
    app.client("off", "items:read").await;
    disable(&app, "off").await;
    let (tries, known) = guess(&app, "198.51.100.1", "web").await;
    for id in ["nobody", "off"] {
        let (unknown_tries, unknown) = guess(&app, "198.51.100.1", id).await;
        assert_eq!(unknown_tries, tries, "{id}");
        assert_eq!(without_date(&unknown), without_date(&known), "{id}");
    }
}

#[tokio::test]
async fn t06_h18_trying_one_client_after_the_other_is_slowed_too() {
    let app = behind_a_proxy().await;
    app.client("web", "items:read").await;
    app.public_client("spa", "items:read").await;
    let (guesser, elsewhere) = ("198.51.100.1", "203.0.113.9");
    let mut refused = None;
    for n in 0..5_000 {
        let header = basic(&format!("nobody-{n}"), WRONG);
        let headers = [("authorization", header.as_str()), ("x-forwarded-for", guesser)];
        let answer = post(&app, TOKEN, &headers).await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.outcome(), REFUSED, "{n}");
    }
    assert_eq!(
        refused.unwrap().outcome(),
        "429 temporarily_unavailable too_many_attempts"
    );
    assert_eq!(honest(&app, elsewhere, "web").await.outcome(), "200");
    // Whoever brings no secret guesses none.
    let body = ("/refresh", "client_id=spa&refresh_token=x.y.z");
    let answer = post(&app, body, &[("x-forwarded-for", guesser)]).await;
    assert_eq!(answer.outcome(), "400 invalid_grant malformed_token");
}

#[tokio::test]
async fn t06_one_caller_has_a_whole_ipv6_network() {
    let app = behind_a_proxy().await;
    app.client("web", "items:read").await;
    let (tries, _) = guess(&app, "198.51.100.1", "web").await;
    let header = basic("web", WRONG);
    for n in 1..tries {
        let from = format!("2001:db8:0:7::{n:x}");
        let headers = [
            ("authorization", header.as_str()),
            ("x-forwarded-for", from.as_str()),
        ];
        assert_eq!(post(&app, TOKEN, &headers).await.outcome(), REFUSED, "{n}");
    }
    assert_eq!(honest(&app, "2001:db8:0:7:ffff::1", "web").await.status, 429);
    assert_eq!(honest(&app, "2001:db8:0:8::1", "web").await.outcome(), "200");
}

/// A secret of its own for each number.
fn numbered(n: u32) -> String {
    format!("secret-number-{n}-0123456789-0123456789-abcdef")
}

#[tokio::test]
async fn two_secrets_live_while_they_rotate_and_a_third_ends_the_oldest() {
    let app = TestApp::start().await;
    app.client("web", "items:read").await;
    give_secret(&app, "web", &numbered(1), true).await;
    for n in 2..6 {
        app.advance(Duration::from_secs(10)).await;
        give_secret(&app, "web", &numbered(n), false).await;
        assert_eq!(
            by_basic(&app, "web", &numbered(n)).await,
            "200",
            "{n}, the newest"
        );
        assert_eq!(
            by_basic(&app, "web", &numbered(n - 1)).await,
            "200",
            "{n}, the one before"
        );
        for older in 1..n - 1 {
            assert_eq!(
                by_basic(&app, "web", &numbered(older)).await,
                REFUSED,
                "{n} {older}"
            );
        }
    }
    assert_eq!(by_basic(&app, "web", CLIENT_SECRET).await, REFUSED);
    // The one before has no end of its own: whoever rotates ends it when nobody uses it any more.
    app.advance(Duration::from_secs(10 * 24 * 3600)).await;
    assert_eq!(by_basic(&app, "web", &numbered(4)).await, "200");
    give_secret(&app, "web", &numbered(6), true).await;
    assert_eq!(by_basic(&app, "web", &numbered(6)).await, "200");
    for ended in [4, 5] {
        assert_eq!(by_basic(&app, "web", &numbered(ended)).await, REFUSED, "{ended}");
    }
}

#[tokio::test]
async fn two_rotations_within_one_second_end_the_oldest_too() {
    let app = TestApp::start().await;
    // The clock stands still; several clients, so that no order of ids is right by chance.
    for client in 0..12 {
        let id = format!("web-{client}");
        app.client(&id, "items:read").await;
        give_secret(&app, &id, &numbered(1), false).await;
        give_secret(&app, &id, &numbered(2), false).await;
        assert_eq!(by_basic(&app, &id, &numbered(2)).await, "200", "{id}");
        assert_eq!(by_basic(&app, &id, &numbered(1)).await, "200", "{id}");
        assert_eq!(by_basic(&app, &id, CLIENT_SECRET).await, REFUSED, "{id}");
    }
}

#[tokio::test]
async fn c10_a_made_secret_is_plain_and_told_once() {
    let app = TestApp::start().await;
    app.client("web", "items:read").await;
    let id = ClientId::parse("web").unwrap();
    let made = app
        .inside()
        .rotate_client_secret(&id, None, true, &TestApp::operator())
        .await
        .unwrap();
    let secret = made.secret.unwrap();
    // 256 random bits in characters that no encoding changes.
    assert_eq!(secret.expose().len(), 43);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    assert!(secret.expose().bytes().all(plain));
    assert_eq!(by_basic(&app, "web", secret.expose()).await, "200");
    let shown = format!("{:?}", app.inside().show_client(&id).await.unwrap());
    assert!(!shown.contains(secret.expose()));
}
