//! Signing out: at a client's wish, with the person's word, back to nowhere that was not registered; and every client with
//! a session of that browser is told.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it is")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use vouchsafe_issuer::ClientDraft;
use vouchsafe_jose::UnverifiedJws;
use vouchsafe_protocol::LOGOUT_EVENT;
use vouchsafe_tests::{
    Answer, Browser, CALLBACK, Page, Setup, TestApp, TestClient, captured_logs, claims_of, kid_of,
};
use vouchsafe_verifier::{KeySet, KeySource as _};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const SECOND: Duration = Duration::from_secs(1);
/// Where the client `web` wants people back.
const BYE: &str = "https://web.example/bye";
/// The same for an application on the person's machine.
const LOCAL_BYE: &str = "http://127.0.0.1/bye";

/// Where a client hears of sign-outs.
struct Ear {
    uri: String,
    tokens: mpsc::UnboundedReceiver<String>,
}

impl Ear {
    /// Answers with these statuses in turn, and with the last one from then on.
    async fn answering(statuses: &'static [u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}/backchannel", listener.local_addr().unwrap());
        let (heard, tokens) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut left = statuses.iter().copied();
            let last = *statuses.last().unwrap();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let token = token_in(&request_of(&mut stream).await);
                let status = left.next().unwrap_or(last);
                let answer =
                    format!("HTTP/1.1 {status} So\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
                let _ = heard.send(token);
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Self { uri, tokens }
    }

    /// Where nobody listens.
    async fn deaf() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}/backchannel", listener.local_addr().unwrap())
    }

    /// What was heard since the last time.
    fn heard(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.tokens.try_recv().ok()).collect()
    }
}

async fn request_of(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8(read.clone()).unwrap();
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && body.len() == length_in(head)
        {
            return text;
        }
        assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0, "cut off: {text}");
    }
}

fn length_in(head: &str) -> usize {
    let lower = head.to_ascii_lowercase();
    let length = lower
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    length.unwrap().trim().parse().unwrap()
}

/// The logout token of a request (OpenID Connect Back-Channel Logout 2.5).
fn token_in(request: &str) -> String {
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("post /backchannel http/1.1\r\n"), "{head}");
    assert!(
        head.contains("content-type: application/x-www-form-urlencoded"),
        "{head}"
    );
    let token = body.strip_prefix("logout_token=").unwrap();
    assert!(!token.contains(['&', '%', '+']), "{token}");
    token.to_owned()
}

async fn open_to_loopback() -> TestApp {
    Setup::default()
        .set("outbound.allow_private", "true")
        .start()
        .await
}

/// A client with pages to come back to, and somewhere to hear of sign-outs.
async fn client_at<'a>(app: &'a TestApp, id: &str, scope: &str, ear: Option<&str>) -> TestClient<'a> {
    let client = app.code_client(id, scope, CALLBACK).await;
    let draft = ClientDraft {
        post_logout_redirect_uris: Some(vec![format!("https://{id}.example/bye"), LOCAL_BYE.to_owned()]),
        backchannel_logout_uri: ear.map(str::to_owned),
        ..ClientDraft::default()
    };
    app.change_client(id, &draft).await;
    client
}

fn logout_path(parameters: &[(&str, &str)]) -> String {
    let url = reqwest::Url::parse_with_params("http://issuer.example/logout", parameters).unwrap();
    format!("/logout?{}", url.query().unwrap())
}

/// An address as a page repeats it, in a field of its form.
fn encoded(path: &str) -> String {
    path.replace('&', "&#38;")
}

/// The claims of a logout token, if a published key signed it.
async fn claims_by_key_set(app: &TestApp, token: &str) -> Value {
    let request = app.http.get(format!("{}/.well-known/jwks.json", app.base));
    let published = Answer::read(request.send().await.unwrap()).await;
    let keys = KeySet::from_json(published.text.as_bytes()).unwrap();
    let jws = UnverifiedJws::parse(token).unwrap();
    assert_eq!(jws.typ(), "logout+jwt");
    let key = keys.verifying_key(jws.kid().unwrap()).unwrap();
    jws.verify(&key).unwrap().claims().unwrap()
}

fn text_of(claims: &Value, member: &str) -> String {
    claims.get(member).and_then(Value::as_str).unwrap().to_owned()
}

/// The families that logout tokens name.
fn sids_of(tokens: &[String]) -> BTreeSet<String> {
    tokens
        .iter()
        .map(|token| text_of(&claims_of(token), "sid"))
        .collect()
}

/// The family of an ID token.
fn sid_of(grant: &Answer) -> String {
    text_of(&claims_of(grant.str("id_token")), "sid")
}

async fn deliver(app: &TestApp) -> usize {
    app.inside().deliver_logouts().await.unwrap()
}

/// Whether anything waits to be delivered, however late.
async fn waits(app: &TestApp) -> bool {
    let end = app.now().plus(DAY * 365);
    app.inside().store().has_deliveries(end).await.unwrap()
}

/// Asks for a page and posts its form.
async fn press(browser: &Browser<'_>, path: &str, fields: &[(&str, &str)]) -> Page {
    let page = browser.get(path).await;
    browser.submit(&page, fields).await
}

#[tokio::test]
async fn a_sign_out_tells_each_client_of_each_session_that_it_had() {
    let app = open_to_loopback().await;
    let (mut of_web, mut of_phone) = (Ear::answering(&[200]).await, Ear::answering(&[204]).await);
    let web = client_at(&app, "web", "openid", Some(&of_web.uri)).await;
    let phone = client_at(&app, "phone", "openid offline_access", Some(&of_phone.uri)).await;
    let quiet = client_at(&app, "quiet", "openid", None).await;
    let subject = app.user("alice", &[]).await;
    let browser = Browser::signed_in(&app, "alice").await;
    let at_web = [
        browser.code_grant(&web, &[]).await,
        browser.code_grant(&web, &[]).await,
    ];
    let at_phone = browser.code_grant(&phone, &[]).await;
    let at_quiet = browser.code_grant(&quiet, &[]).await;
    // Of another browser.
    let other = Browser::signed_in(&app, "alice").await;
    let elsewhere = other.code_grant(&web, &[]).await;

    let asked = browser.get("/logout").await;
    assert_eq!(asked.status, 200);
    let done = browser.submit(&asked, &[("decision", "sign_out")]).await;
    assert_eq!(done.status, 303);
    assert_eq!(deliver(&app).await, 3);

    let (heard_web, heard_phone) = (of_web.heard(), of_phone.heard());
    assert_eq!(heard_web.len(), 2);
    assert_eq!(sids_of(&heard_web), at_web.iter().map(sid_of).collect());
    assert_eq!(heard_phone.len(), 1);
    assert_eq!(sids_of(&heard_phone), BTreeSet::from([sid_of(&at_phone)]));
    let mut jtis = BTreeSet::new();
    for (client, tokens) in [("web", &heard_web), ("phone", &heard_phone)] {
        for token in tokens {
            let claims = claims_by_key_set(&app, token).await;
            assert_eq!(claims["iss"], app.issuer.as_str());
            assert_eq!(claims["aud"], client);
            assert_eq!(claims["sub"], subject.as_str());
            assert_eq!(claims["iat"], app.now().as_unix());
            assert_eq!(claims["exp"], app.now().as_unix() + 120);
            assert_eq!(claims["events"], json!({ LOGOUT_EVENT: {} }));
            assert!(claims.get("nonce").is_none());
            assert!(jtis.insert(text_of(&claims, "jti")));
        }
    }

    assert_eq!(deliver(&app).await, 0);
    assert!(of_web.heard().is_empty() && !waits(&app).await);
    for (client, grant) in [(&web, &at_web[0]), (&web, &at_web[1]), (&quiet, &at_quiet)] {
        assert_eq!(client.refresh(grant.str("refresh_token")).await.status, 400);
        assert!(!client.is_active(grant.str("access_token")).await);
    }
    // What was granted with offline_access lives on, and so does the other browser.
    for (client, grant) in [(&phone, &at_phone), (&web, &elsewhere)] {
        assert_eq!(client.refresh(grant.str("refresh_token")).await.status, 200);
    }
}

#[tokio::test]
async fn a_client_that_fails_is_told_later_with_a_new_token_and_no_log_holds_one() {
    drop(captured_logs());
    let app = open_to_loopback().await;
    let mut ear = Ear::answering(&[500, 302, 200]).await;
    let web = client_at(&app, "web", "openid", Some(&ear.uri)).await;
    let browser = app.visitor("alice").await;
    let sid = sid_of(&browser.code_grant(&web, &[]).await);
    press(&browser, "/logout", &[("decision", "sign_out")]).await;

    let mut tokens = Vec::new();
    // How many seconds later, how many were told by then, and whether it was tried.
    for (seconds, told, tried) in [
        (0, 0, true),
        (0, 0, false),
        (4, 0, false),
        (1, 0, true),
        (9, 0, false),
        (1, 1, true),
        (100, 0, false),
    ] {
        app.clock.advance(SECOND * seconds);
        assert_eq!(deliver(&app).await, told);
        let heard = ear.heard();
        assert_eq!(heard.len(), usize::from(tried));
        for token in &heard {
            let claims = claims_by_key_set(&app, token).await;
            assert_eq!(claims["iat"], app.now().as_unix());
        }
        tokens.extend(heard);
    }
    assert_eq!(sids_of(&tokens), BTreeSet::from([sid.clone()]));
    let jtis: BTreeSet<String> = tokens
        .iter()
        .map(|token| text_of(&claims_of(token), "jti"))
        .collect();
    assert_eq!(jtis.len(), 3);

    let log = captured_logs();
    for event in ["backchannel_logout_failed", "backchannel_logout_delivered"] {
        assert!(
            log.lines()
                .any(|line| line.contains(event) && line.contains(&sid)),
            "{event}"
        );
    }
    for token in &tokens {
        assert!(!log.contains(token.as_str()));
    }
}

#[tokio::test]
async fn a_client_that_never_answers_well_is_given_up_after_a_day() {
    let app = open_to_loopback().await;
    let mut ear = Ear::answering(&[503]).await;
    let web = client_at(&app, "web", "openid", Some(&ear.uri)).await;
    let browser = app.visitor("alice").await;
    browser.code_grant(&web, &[]).await;
    press(&browser, "/logout", &[("decision", "sign_out")]).await;
    for hour in 0..24 {
        assert_eq!(deliver(&app).await, 0);
        assert_eq!(ear.heard().len(), 1, "hour {hour}");
        assert!(waits(&app).await, "hour {hour}");
        app.clock.advance(HOUR);
    }
    assert_eq!(deliver(&app).await, 0);
    assert_eq!(ear.heard().len(), 1);
    assert!(!waits(&app).await);
}

#[tokio::test]
async fn a_client_that_refuses_moved_or_left_is_not_asked_again() {
    let app = open_to_loopback().await;
    let (mut refusing, mut old, mut new) = (
        Ear::answering(&[400]).await,
        Ear::answering(&[200]).await,
        Ear::answering(&[200]).await,
    );
    let browser = app.visitor("alice").await;
    for (id, uri) in [
        ("refusing", &refusing.uri),
        ("moved", &old.uri),
        ("left", &old.uri),
    ] {
        let client = client_at(&app, id, "openid", Some(uri)).await;
        browser.code_grant(&client, &[]).await;
    }
    press(&browser, "/logout", &[("decision", "sign_out")]).await;
    let moved = ClientDraft {
        backchannel_logout_uri: Some(new.uri.clone()),
        ..ClientDraft::default()
    };
    app.change_client("moved", &moved).await;
    let left = ClientDraft {
        disabled: Some(true),
        ..ClientDraft::default()
    };
    app.change_client("left", &left).await;

    assert_eq!(deliver(&app).await, 1);
    assert_eq!((refusing.heard().len(), new.heard().len()), (1, 1));
    assert!(old.heard().is_empty());
    assert!(!waits(&app).await);
}

#[tokio::test]
async fn a_client_that_does_not_answer_keeps_no_other_waiting() {
    let app = open_to_loopback().await;
    let mut ear = Ear::answering(&[200]).await;
    let deaf = client_at(&app, "deaf", "openid", Some(&Ear::deaf().await)).await;
    let web = client_at(&app, "web", "openid", Some(&ear.uri)).await;
    let browser = app.visitor("alice").await;
    for _ in 0..10 {
        browser.code_grant(&deaf, &[]).await;
    }
    browser.code_grant(&web, &[]).await;
    press(&browser, "/logout", &[("decision", "sign_out")]).await;
    assert_eq!(deliver(&app).await, 1);
    assert_eq!(ear.heard().len(), 1);
    assert!(waits(&app).await);
}

#[tokio::test]
async fn many_deliver_at_once_and_each_session_is_told_once() {
    let app = open_to_loopback().await;
    let mut ear = Ear::answering(&[200]).await;
    let web = client_at(&app, "web", "openid", Some(&ear.uri)).await;
    let browser = app.visitor("alice").await;
    let mut sids = BTreeSet::new();
    for _ in 0..6 {
        sids.insert(sid_of(&browser.code_grant(&web, &[]).await));
    }
    press(&browser, "/logout", &[("decision", "sign_out")]).await;
    let mut racers = JoinSet::new();
    for _ in 0..8 {
        let issuer = Arc::clone(app.inside());
        racers.spawn(async move { issuer.deliver_logouts().await.unwrap() });
    }
    let told: usize = racers.join_all().await.into_iter().sum();
    assert_eq!(told, 6);
    let heard = ear.heard();
    assert_eq!(heard.len(), 6);
    assert_eq!(sids_of(&heard), sids);
}

#[tokio::test]
async fn a_server_delivers_by_itself() {
    let app = Setup::default()
        .set("outbound.allow_private", "true")
        .with_tasks()
        .start()
        .await;
    let mut ear = Ear::answering(&[200]).await;
    let web = client_at(&app, "web", "openid", Some(&ear.uri)).await;
    let browser = app.visitor("alice").await;
    let sid = sid_of(&browser.code_grant(&web, &[]).await);
    press(&browser, "/logout", &[("decision", "sign_out")]).await;
    let heard = tokio::time::timeout(SECOND * 20, ear.tokens.recv()).await;
    assert_eq!(sids_of(&[heard.unwrap().unwrap()]), BTreeSet::from([sid]));
}

#[tokio::test]
async fn c03_cl26_a_private_address_is_not_asked_unless_that_is_allowed() {
    let app = TestApp::start().await;
    let mut ear = Ear::answering(&[200]).await;
    let web = client_at(&app, "web", "openid", Some(&ear.uri)).await;
    let browser = app.visitor("alice").await;
    browser.code_grant(&web, &[]).await;
    press(&browser, "/logout", &[("decision", "sign_out")]).await;
    assert_eq!(deliver(&app).await, 0);
    assert!(ear.heard().is_empty());
    assert!(!waits(&app).await);
}

#[tokio::test]
async fn l12_the_browser_goes_back_to_what_was_registered_and_only_with_the_persons_word() {
    let app = TestApp::start().await;
    let web = client_at(&app, "web", "openid", None).await;
    let browser = app.visitor("alice").await;
    let grant = browser.code_grant(&web, &[]).await;
    let hint = grant.str("id_token");
    let on_any_port = "http://127.0.0.1:51004/bye";
    for (parameters, target) in [
        (vec![("id_token_hint", hint)], None),
        (
            vec![("client_id", "web"), ("post_logout_redirect_uri", BYE)],
            Some(BYE.to_owned()),
        ),
        (
            vec![
                ("id_token_hint", hint),
                ("client_id", "web"),
                ("post_logout_redirect_uri", BYE),
                ("state", "a&b=c"),
                ("logout_hint", "somebody"),
                ("ui_locales", "de en"),
            ],
            Some(format!("{BYE}?state=a%26b%3Dc")),
        ),
        (
            vec![("id_token_hint", hint), ("post_logout_redirect_uri", on_any_port)],
            Some(on_any_port.to_owned()),
        ),
    ] {
        browser.sign_in("alice").await;
        let path = logout_path(&parameters);
        let asked = browser.get(&path).await;
        assert_eq!(asked.status, 200, "{path}");
        browser.submit(&asked, &[("decision", "stay")]).await;
        assert_eq!(browser.get("/account").await.status, 200, "{path}");

        let done = press(&browser, &path, &[("decision", "sign_out")]).await;
        assert_eq!(done.status, 303, "{path}");
        match target {
            Some(target) => assert_eq!(done.location(), target, "{path}"),
            None => assert!(done.location().contains("/signed-out"), "{path}"),
        }
        assert_eq!(browser.get("/account").await.status, 303, "{path}");
    }
}

#[tokio::test]
async fn l12_t15_what_was_not_registered_or_is_no_hint_leads_to_a_page_and_nowhere_else() {
    let app = TestApp::start().await;
    let web = client_at(&app, "web", "openid", None).await;
    client_at(&app, "phone", "openid", None).await;
    let browser = app.visitor("alice").await;
    let grant = browser.code_grant(&web, &[]).await;
    let hint = grant.str("id_token");
    let (rest, signature) = hint.rsplit_once('.').unwrap();
    let forged = format!("{rest}.{}", signature.chars().rev().collect::<String>());
    for parameters in [
        vec![
            ("client_id", "web"),
            ("post_logout_redirect_uri", "https://evil.example/"),
        ],
        vec![
            ("client_id", "web"),
            ("post_logout_redirect_uri", "https://web.example/bye/"),
        ],
        vec![
            ("client_id", "web"),
            ("post_logout_redirect_uri", "https://web.example/bye?x=1"),
        ],
        vec![
            ("client_id", "web"),
            ("post_logout_redirect_uri", "https://web.example/cb"),
        ],
        vec![
            ("client_id", "web"),
            ("post_logout_redirect_uri", "javascript:alert(1)"),
        ],
        vec![
            ("id_token_hint", hint),
            ("post_logout_redirect_uri", "https://phone.example/bye"),
        ],
        vec![("post_logout_redirect_uri", BYE)],
        vec![("client_id", "nobody")],
        vec![("client_id", "not a client")],
        vec![("id_token_hint", "x.y.z")],
        vec![("id_token_hint", forged.as_str())],
        vec![("id_token_hint", grant.str("access_token"))],
        vec![("id_token_hint", grant.str("refresh_token"))],
        vec![
            ("id_token_hint", "x.y.z"),
            ("client_id", "web"),
            ("post_logout_redirect_uri", BYE),
        ],
    ] {
        let path = logout_path(&parameters);
        browser.sign_in("alice").await;
        let page = browser.get(&path).await;
        assert!(page.status == 200 && page.is("logout"), "{path}: {page:?}");
        assert!(
            page.text.contains("This signs you out of this browser."),
            "{path}"
        );
        for elsewhere in [
            "evil.example",
            "phone.example",
            "javascript:",
            "asks to sign you out",
        ] {
            assert!(
                !page.text.replace(&encoded(&path), "").contains(elsewhere),
                "{path}"
            );
        }
        assert_eq!(browser.get("/account").await.status, 200, "{path}");
        let done = browser.submit(&page, &[("decision", "sign_out")]).await;
        assert_eq!(done.location(), "/signed-out", "{path}");
        // Where nobody is signed in, it leads there at once.
        let sent = browser.get(&path).await;
        assert_eq!((sent.status, sent.location()), (303, "/signed-out"), "{path}");
    }
    browser.sign_in("alice").await;
    let long = "s".repeat(8_193);
    for parameters in [
        vec![("client_id", "phone"), ("id_token_hint", hint)],
        vec![("client_id", "not a client"), ("id_token_hint", hint)],
        vec![("client_id", "web"), ("state", long.as_str())],
    ] {
        let path = logout_path(&parameters);
        let page = browser.get(&path).await;
        assert!(page.status == 400 && page.is("error"), "{path}");
        assert_eq!(browser.get("/account").await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn l12_where_nobody_is_signed_in_only_an_id_token_sends_a_browser_on() {
    let app = TestApp::start().await;
    let web = client_at(&app, "web", "openid", None).await;
    let browser = app.visitor("alice").await;
    let hint = browser.code_grant(&web, &[]).await.str("id_token").to_owned();
    press(&browser, "/logout", &[("decision", "sign_out")]).await;
    let onward = [("post_logout_redirect_uri", BYE), ("state", "see-you")];
    let target = format!("{BYE}?state=see-you");
    for browser in [&browser, &Browser::new(&app)] {
        let path = logout_path(&[("id_token_hint", hint.as_str()), onward[0], onward[1]]);
        let sent = browser.get(&path).await;
        assert_eq!((sent.status, sent.location()), (303, target.as_str()));
        let path = logout_path(&[("client_id", "web"), onward[0], onward[1]]);
        let page = browser.get(&path).await;
        assert!(page.status == 200 && page.is("signed-out"), "{page:?}");
        assert!(page.text.contains(&format!("href=\"{target}\"")), "{}", page.text);
        assert!(page.text.contains("Back to web"), "{}", page.text);
        let sent = browser.get("/logout?client_id=web").await;
        assert_eq!((sent.status, sent.location()), (303, "/signed-out"));
    }
}

#[tokio::test]
async fn l12_what_outlived_its_browser_session_ends_when_its_client_signs_out() {
    let app = Setup::default().set("sessions.idle_ttl", "1h").start().await;
    let web = client_at(&app, "web", "openid offline_access", None).await;
    let browser = app.visitor("alice").await;
    let only_openid = [("scope", "openid")];
    let (at_once, confirmed) = (
        browser.code_grant(&web, &only_openid).await,
        browser.code_grant(&web, &only_openid).await,
    );
    let offline = browser.code_grant(&web, &[]).await;
    app.advance(HOUR * 2).await;
    let there = Browser::signed_in(&app, "alice").await;
    let alive = there.code_grant(&web, &only_openid).await;
    for grant in [&at_once, &confirmed, &offline, &alive] {
        assert!(web.is_active(grant.str("refresh_token")).await);
    }

    let path = |grant: &Answer| logout_path(&[("id_token_hint", grant.str("id_token"))]);
    // Nobody is signed in here any more.
    for grant in [&at_once, &offline, &alive] {
        assert_eq!(browser.get(&path(grant)).await.location(), "/signed-out");
    }
    assert!(!web.is_active(at_once.str("refresh_token")).await);
    let asked = there.get(&path(&confirmed)).await;
    there.submit(&asked, &[("decision", "stay")]).await;
    for grant in [&confirmed, &offline, &alive] {
        assert!(web.is_active(grant.str("refresh_token")).await);
    }
    there.submit(&asked, &[("decision", "sign_out")]).await;
    for (grant, lives) in [(&confirmed, false), (&offline, true), (&alive, false)] {
        assert_eq!(web.is_active(grant.str("refresh_token")).await, lives);
    }
}

#[tokio::test]
async fn l12_a_hint_may_be_old_and_its_key_retired_but_not_compromised() {
    let app = TestApp::start().await;
    let web = client_at(&app, "web", "openid", None).await;
    let browser = app.visitor("alice").await;
    let hint = browser.code_grant(&web, &[]).await.str("id_token").to_owned();
    let kid = kid_of(&hint);
    let path = logout_path(&[("id_token_hint", &hint), ("post_logout_redirect_uri", BYE)]);

    app.advance(HOUR * 3).await;
    assert!(claims_of(&hint)["exp"].as_i64().unwrap() < app.now().as_unix());
    assert_eq!(browser.get(&path).await.status, 200);

    app.advance(DAY * 40).await;
    let keys = app.inside().list_keys().await.unwrap();
    let key = keys.iter().find(|key| key.kid == kid).unwrap();
    assert_eq!(key.state, "retired");
    let browser = Browser::signed_in(&app, "alice").await;
    let done = press(&browser, &path, &[("decision", "sign_out")]).await;
    assert_eq!(done.location(), BYE);

    let browser = Browser::signed_in(&app, "alice").await;
    let hint = browser.code_grant(&web, &[]).await.str("id_token").to_owned();
    let path = logout_path(&[("id_token_hint", &hint), ("post_logout_redirect_uri", BYE)]);
    assert_eq!(browser.get(&path).await.status, 200);
    let operator = TestApp::operator();
    app.inside().revoke_key(&kid_of(&hint), &operator).await.unwrap();
    // Then it is no hint, and says of nobody where they come from.
    let done = press(&browser, &path, &[("decision", "sign_out")]).await;
    assert_eq!(done.location(), "/signed-out");
}

#[tokio::test]
async fn l12_anothers_hint_signs_nobody_out_without_their_word() {
    let app = TestApp::start().await;
    let web = client_at(&app, "web", "openid", None).await;
    app.user("alice", &[]).await;
    app.user("bob", &[]).await;
    let (of_alice, of_bob) = (Browser::new(&app), Browser::new(&app));
    of_alice.sign_in("alice").await;
    of_bob.sign_in("bob").await;
    let hint = of_alice.code_grant(&web, &[]).await.str("id_token").to_owned();
    let path = logout_path(&[("id_token_hint", &hint), ("post_logout_redirect_uri", BYE)]);

    let asked = of_bob.get(&path).await;
    assert_eq!(asked.status, 200);
    for browser in [&of_alice, &of_bob] {
        assert_eq!(browser.get("/account").await.status, 200);
    }
    let done = of_bob.submit(&asked, &[("decision", "sign_out")]).await;
    assert_eq!(done.location(), BYE);
    assert_eq!(of_bob.get("/account").await.status, 303);
    assert_eq!(of_alice.get("/account").await.status, 200);
}
