//! Clients whose id is the address of a document (OAuth Client ID Metadata Document): what the document says holds, as
//! long as it says, and whoever writes one has nothing else of the issuer.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper that cannot go on fails where it is"
)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use url::form_urlencoded;
use vouchsafe_issuer::{ApplicationType, Client, ClientDraft, ClientOrigin};
use vouchsafe_protocol::{ClientAuthMethod, ClientId, GrantType};
use vouchsafe_tests::{Answer, Browser, CLIENT_SECRET, Page, Setup, TestApp, TestClient, claims_of};

use crate::register::DEVICE_CODE;

const SECOND: Duration = Duration::from_secs(1);
/// A document that could not be read is left alone for so long.
const MINUTE: Duration = Duration::from_secs(60);
/// What is read of a document holds at least so long.
const SHORTEST: Duration = Duration::from_secs(300);
/// And at most so long.
const DAY: Duration = Duration::from_secs(86_400);
/// Where the applications with a document are sent back to.
const HERE: &str = "http://127.0.0.1/cb";
const BACK: (&str, &str) = ("redirect_uri", HERE);
const GOOD: &str = "200 OK";
/// Documents of strangers that are read at once.
const AT_ONCE: usize = 20;
/// Documents that are read for one address in a minute.
const QUOTA: usize = 30;

/// What the web server of an application answers, and after how long.
#[derive(Clone)]
struct Reply {
    bytes: String,
    delay: Duration,
}

/// The web server of an application, which counts what it is asked.
struct Site {
    id: String,
    reply: Arc<Mutex<Reply>>,
    asked: Arc<AtomicUsize>,
}

impl Site {
    /// One with a good document.
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let id = format!("http://{}/client.json", listener.local_addr().unwrap());
        let nothing = Reply {
            bytes: String::new(),
            delay: Duration::ZERO,
        };
        let site = Self {
            id,
            reply: Arc::new(Mutex::new(nothing)),
            asked: Arc::default(),
        };
        site.says(GOOD, &site.document().to_string());
        let (reply, asked) = (Arc::clone(&site.reply), Arc::clone(&site.asked));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                asked.fetch_add(1, Ordering::SeqCst);
                let reply = reply.lock().unwrap().clone();
                tokio::spawn(serve(stream, reply));
            }
        });
        site
    }

    /// A good document.
    fn document(&self) -> Value {
        json!({
            "client_id": self.id,
            "client_name": "Notes",
            "redirect_uris": [HERE],
            "token_endpoint_auth_method": "none",
        })
    }

    /// The same with one member changed; null takes it away.
    fn document_with(&self, member: &str, value: Value) -> String {
        let mut document = self.document();
        document.as_object_mut().unwrap().insert(member.to_owned(), value);
        document.to_string()
    }

    /// Answers so from now on. `head` is the status and further lines.
    fn says(&self, head: &str, body: &str) {
        let length = body.len();
        let bytes = format!("HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
        self.reply.lock().unwrap().bytes = bytes;
    }

    /// Takes its time.
    fn waits(&self, delay: Duration) {
        self.reply.lock().unwrap().delay = delay;
    }

    /// How often it was asked.
    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// The client that its document is about.
    fn client<'a>(&self, app: &'a TestApp) -> TestClient<'a> {
        app.stranger(&self.id)
    }
}

async fn serve(mut stream: TcpStream, reply: Reply) {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
            return;
        }
    }
    tokio::time::sleep(reply.delay).await;
    // Whoever has read enough hangs up.
    let _ = stream.write_all(reply.bytes.as_bytes()).await;
}

/// An issuer that anybody's client may use, and that asks this machine.
async fn start() -> TestApp {
    Setup::default()
        .set("registration.mode", "open")
        .set("outbound.allow_private", "true")
        .start()
        .await
}

/// A browser in which Alice is signed in.
async fn alice(app: &TestApp) -> Browser<'_> {
    app.user("alice", &[]).await;
    Browser::signed_in(app, "alice").await
}

/// Begins an authorization request in a browser of nobody.
async fn begin(app: &TestApp, client: &TestClient<'_>) -> Page {
    Browser::new(app).authorize(client, &[BACK]).await
}

/// The person is asked to sign in: the client is known.
fn is_known(page: &Page) -> bool {
    page.status == 303 && page.location().starts_with("/sign-in?")
}

/// The person is told, and nobody else.
fn is_unknown(page: &Page) -> bool {
    page.status == 400
        && page.is("error")
        && page.text.contains("unknown_client")
        && page.location().is_empty()
}

async fn stored(app: &TestApp, site: &Site) -> Option<Client> {
    let id = ClientId::parse(&site.id).unwrap();
    app.inside().store().client(&id).await.unwrap()
}

#[tokio::test]
async fn a25_cl26_a_client_is_what_its_document_says() {
    let app = start().await;
    app.user("alice", &[]).await;
    let site = Site::start().await;
    let client = site.client(&app);
    let browser = Browser::signed_in(&app, "alice").await;
    for _ in 0..2 {
        let page = browser.follow(&browser.authorize(&client, &[BACK]).await).await;
        assert!(page.is("consent"), "{page:?}");
        for told in ["Notes", "from 127.0.0.1", "an app on this device"] {
            assert!(page.text.contains(told), "{told}: {}", page.text);
        }
        let allowed = browser.submit(&page, &[("decision", "allow")]).await;
        let grant = client
            .redeem_with(&allowed.answer("code").unwrap(), &[BACK])
            .await;
        assert_eq!(grant.outcome(), "200");
        assert_eq!(grant.claims()["client_id"], site.id);
        assert_eq!(claims_of(grant.str("id_token"))["aud"], site.id);
        assert_eq!(client.refresh(grant.str("refresh_token")).await.outcome(), "200");
    }
    assert_eq!(site.asked(), 1);

    let kept = stored(&app, &site).await.unwrap();
    assert_eq!(kept.origin, ClientOrigin::Document);
    assert_eq!(kept.auth_method, ClientAuthMethod::None);
    assert_eq!(kept.redirect_uris, [HERE]);
    let usual = [GrantType::AuthorizationCode, GrantType::RefreshToken];
    assert_eq!(kept.grants, usual);
    let elsewhere = [("redirect_uri", "http://127.0.0.1/other")];
    let refused = browser.authorize(&client, &elsewhere).await;
    assert!(refused.status == 400 && refused.text.contains("unregistered_redirect_uri"));
}

#[tokio::test]
async fn c04_a_document_gives_its_client_nothing_that_only_an_operator_gives() {
    let app = start().await;
    let browser = alice(&app).await;
    app.resource("https://notes.example/api", "notes:read").await;
    app.resource_with("https://inner.example/api", "inner:all", |resource| {
        resource.closed = true
    })
    .await;
    let site = Site::start().await;
    let mut said = site.document();
    said["grant_types"] = json!(["authorization_code", "client_credentials", "password"]);
    said["scope"] = json!("openid notes:read inner:all");
    said["skip_consent"] = json!(true);
    said["pkce_optional"] = json!(true);
    said["access_ttl"] = json!(999_999);
    said["resources"] = json!(["https://inner.example/api"]);
    site.says(GOOD, &said.to_string());
    let client = site.client(&app);
    let code = browser.code(&client, &[BACK]).await;
    let grant = client.redeem_with(&code, &[BACK]).await;
    assert_eq!(grant.str("scope"), "notes:read openid");
    for (name, value, error) in [
        ("scope", "openid inner:all", "invalid_scope"),
        ("scope", "openid email", "invalid_scope"),
        ("resource", "https://inner.example/api", "invalid_target"),
    ] {
        let more = [BACK, (name, value), ("prompt", "none")];
        let refused = browser.authorize(&client, &more).await;
        assert_eq!(refused.answer("error").as_deref(), Some(error), "{value}");
    }
    let kept = stored(&app, &site).await.unwrap();
    assert_eq!(kept.grants, [GrantType::AuthorizationCode]);
    assert!(kept.resources.is_empty());
    assert!(!kept.skip_consent && !kept.pkce_optional && kept.access_ttl.is_none());
}

/// A document that breaks one rule, and why.
fn bad_documents(site: &Site) -> Vec<(&'static str, String)> {
    let with = |member, value| site.document_with(member, value);
    let padding = "x".repeat(64 * 1024);
    let good = site.document().to_string();
    vec![
        ("no client_id", with("client_id", json!(null))),
        (
            "another client_id",
            with("client_id", json!("https://app.example/client.json")),
        ),
        (
            "nearly its client_id",
            with("client_id", json!(format!("{}/", site.id))),
        ),
        ("no redirect target", with("redirect_uris", json!([]))),
        (
            "redirect targets of other origins alone",
            with(
                "redirect_uris",
                json!(["https://evil.example/cb", "com.example.notes:/cb"]),
            ),
        ),
        (
            "a public secret",
            with("token_endpoint_auth_method", json!("client_secret_basic")),
        ),
        ("the secret itself", with("client_secret", json!("in public"))),
        (
            "what only the issuer says",
            with("registration_access_token", json!("x")),
        ),
        ("a member of the wrong kind", with("client_name", json!(7))),
        (
            "no grant for it",
            with("grant_types", json!(["client_credentials"])),
        ),
        ("too long", with("padding", json!(padding))),
        ("no object", format!("[{good}]")),
        ("a page", "<!doctype html><title>Not found</title>".to_owned()),
        ("nothing", String::new()),
        ("two documents", format!("{good}{good}")),
        (
            "a member twice",
            good.replacen('{', &format!("{{\"client_id\":\"{}\",", site.id), 1),
        ),
    ]
}

#[tokio::test]
async fn c02_c04_a_document_that_breaks_a_rule_makes_no_client() {
    let app = start().await;
    let sites = bad_documents(&Site::start().await).len();
    for number in 0..sites {
        let site = Site::start().await;
        let (why, body) = bad_documents(&site).swap_remove(number);
        site.says(GOOD, &body);
        // It is not asked for again at once.
        for _ in 0..2 {
            let page = begin(&app, &site.client(&app)).await;
            assert!(is_unknown(&page), "{why}: {page:?}");
            assert_eq!(site.asked(), 1, "{why}");
        }
        assert!(stored(&app, &site).await.is_none(), "{why}");
    }
}

#[tokio::test]
async fn c02_cl26_a_document_keeps_what_leads_home_and_drops_the_rest() {
    let app = start().await;
    let browser = alice(&app).await;
    let site = Site::start().await;
    let elsewhere = [
        "https://evil.example/cb",
        "com.example.notes:/cb",
        "cursor://notes/cb",
        "javascript:alert(1)",
    ];
    let mut said = site.document();
    said["redirect_uris"] = json!([elsewhere[0], HERE, elsewhere[1], elsewhere[2], elsewhere[3]]);
    said["post_logout_redirect_uris"] = json!(["https://evil.example/bye", "http://127.0.0.1/bye"]);
    site.says(GOOD, &said.to_string());
    let client = site.client(&app);
    for to in elsewhere {
        let refused = browser.authorize(&client, &[("redirect_uri", to)]).await;
        assert!(
            refused.status == 400 && refused.text.contains("unregistered_redirect_uri"),
            "{to} {refused:?}"
        );
    }
    browser.code(&client, &[BACK]).await;
    let kept = stored(&app, &site).await.unwrap();
    assert_eq!(kept.redirect_uris, [HERE]);
    assert_eq!(kept.post_logout_redirect_uris, ["http://127.0.0.1/bye"]);
}

#[tokio::test]
async fn c03_only_a_plain_answer_is_a_document_and_no_redirect_is_followed() {
    let app = start().await;
    let other = Site::start().await;
    let moved = |status: &str| format!("{status}\r\nLocation: {}", other.id);
    for head in [
        "201 Created".to_owned(),
        "204 No Content".to_owned(),
        "400 Bad Request".to_owned(),
        "404 Not Found".to_owned(),
        "410 Gone".to_owned(),
        "500 Internal Server Error".to_owned(),
        "503 Service Unavailable".to_owned(),
        moved("301 Moved Permanently"),
        moved("302 Found"),
        moved("303 See Other"),
        moved("307 Temporary Redirect"),
        moved("308 Permanent Redirect"),
    ] {
        let site = Site::start().await;
        let body = site.document().to_string();
        // Wherever it leads, the client would be the one that was asked for.
        other.says(GOOD, &body);
        site.says(&head, if head.starts_with("204") { "" } else { &body });
        let page = begin(&app, &site.client(&app)).await;
        assert!(is_unknown(&page), "{head}: {page:?}");
        assert_eq!(site.asked(), 1, "{head}");
        assert!(stored(&app, &site).await.is_none(), "{head}");
    }
    assert_eq!(other.asked(), 0);
    // Nobody there.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let free = format!("http://{}/client.json", listener.local_addr().unwrap());
    drop(listener);
    assert!(is_unknown(&begin(&app, &app.stranger(&free)).await));
}

#[tokio::test]
async fn c03_a_slow_document_is_not_waited_for_and_keeps_nobody_else_waiting() {
    let app = start().await;
    let (slow, quick) = (Site::start().await, Site::start().await);
    slow.waits(MINUTE);
    let (client, other) = (slow.client(&app), quick.client(&app));
    let mut waiting = Box::pin(begin(&app, &client));
    tokio::select! {
        page = &mut waiting => panic!("before the quick one: {page:?}"),
        page = begin(&app, &other) => assert!(is_known(&page), "{page:?}"),
    }
    let page = waiting.await;
    assert!(is_unknown(&page), "{page:?}");
    // And it is not waited for again.
    assert!(is_unknown(&begin(&app, &client).await));
    assert_eq!((slow.asked(), quick.asked()), (1, 1));
}

#[tokio::test]
async fn a_document_that_could_not_be_read_is_tried_again_after_a_minute() {
    let app = start().await;
    let site = Site::start().await;
    let client = site.client(&app);
    site.says("503 Service Unavailable", "");
    assert!(is_unknown(&begin(&app, &client).await));
    site.says(GOOD, &site.document().to_string());
    app.advance(MINUTE - SECOND).await;
    assert!(is_unknown(&begin(&app, &client).await));
    assert_eq!(site.asked(), 1);
    app.advance(SECOND).await;
    assert!(is_known(&begin(&app, &client).await));
    assert_eq!(site.asked(), 2);
}

#[tokio::test]
async fn what_a_document_said_holds_as_long_as_it_says_within_bounds() {
    let app = start().await;
    for (said, holds) in [
        ("", SHORTEST),
        ("Cache-Control: max-age=1", SHORTEST),
        ("Cache-Control: no-store", SHORTEST),
        ("Cache-Control: public, max-age=600", SHORTEST * 2),
        ("Cache-Control: max-age=600, no-cache", SHORTEST),
        ("Cache-Control: max-age=31536000", DAY),
    ] {
        let site = Site::start().await;
        let client = site.client(&app);
        let head = if said.is_empty() {
            GOOD.to_owned()
        } else {
            format!("{GOOD}\r\n{said}")
        };
        site.says(&head, &site.document().to_string());
        // How much later, and how often it was asked by then.
        for (later, asked) in [
            (Duration::ZERO, 1),
            (Duration::ZERO, 1),
            (holds - SECOND, 1),
            (SECOND, 2),
            (holds - SECOND, 2),
            (SECOND, 3),
        ] {
            app.advance(later).await;
            assert!(is_known(&begin(&app, &client).await), "{said}");
            assert_eq!(site.asked(), asked, "{said} {later:?}");
        }
    }
}

#[tokio::test]
async fn a02_a_document_that_changed_changes_its_client() {
    let app = start().await;
    let site = Site::start().await;
    let client = site.client(&app);
    assert!(is_known(&begin(&app, &client).await));
    let moved = "http://127.0.0.1/new";
    site.says(GOOD, &site.document_with("redirect_uris", json!([moved])));
    assert!(is_known(&begin(&app, &client).await));
    app.advance(SHORTEST).await;
    let refused = begin(&app, &client).await;
    assert!(refused.status == 400 && refused.text.contains("unregistered_redirect_uri"));
    let browser = Browser::new(&app);
    assert!(is_known(
        &browser.authorize(&client, &[("redirect_uri", moved)]).await
    ));
    assert_eq!(site.asked(), 2);
    // Where somebody signed in by it, what is written down changes too.
    app.user("alice", &[]).await;
    browser.sign_in("alice").await;
    browser.code(&client, &[("redirect_uri", moved)]).await;
    assert_eq!(stored(&app, &site).await.unwrap().redirect_uris, [moved]);
    site.says(GOOD, &site.document().to_string());
    app.advance(SHORTEST).await;
    let refused = browser.authorize(&client, &[("redirect_uri", moved)]).await;
    assert!(refused.status == 400 && refused.text.contains("unregistered_redirect_uri"));
    assert_eq!(stored(&app, &site).await.unwrap().redirect_uris, [HERE]);
}

/// A document that may also be used by devices.
fn with_devices(site: &Site) -> Value {
    let mut said = site.document();
    said["grant_types"] = json!(["authorization_code", "refresh_token", DEVICE_CODE]);
    said
}

#[tokio::test]
async fn a25_c04_a_document_that_shows_another_takes_back_what_was_asked_for() {
    let app = start().await;
    let (gone, waits) = (
        "400 invalid_grant unknown_token",
        "400 authorization_pending pending",
    );
    for (member, value, outcome) in [
        ("client_name", json!("Your Bank"), gone),
        ("redirect_uris", json!([HERE, "http://127.0.0.1/other"]), gone),
        ("policy_uri", json!("https://app.example/policy"), waits),
    ] {
        let site = Site::start().await;
        let mut said = with_devices(&site);
        site.says(GOOD, &said.to_string());
        let client = site.client(&app);
        assert!(is_known(&begin(&app, &client).await));
        app.advance(SHORTEST - SECOND).await;
        let begun = client.post("/device_authorization", &[]).await;
        assert_eq!(begun.outcome(), "200", "{}", begun.text);
        said[member] = value;
        site.says(GOOD, &said.to_string());
        app.advance(SECOND).await;
        assert!(is_known(&begin(&app, &client).await));
        assert_eq!(site.asked(), 2);
        let form = [
            ("grant_type", DEVICE_CODE),
            ("device_code", begun.str("device_code")),
        ];
        assert_eq!(client.token(&form).await.outcome(), outcome, "{member}");
    }
}

#[tokio::test]
async fn a_document_that_is_away_for_a_while_stops_nobody_and_one_that_is_gone_does() {
    let app = start().await;
    let site = Site::start().await;
    let client = site.client(&app);
    assert!(is_known(&begin(&app, &client).await));
    site.says("404 Not Found", "");
    app.advance(SHORTEST).await;
    for _ in 0..2 {
        assert!(is_known(&begin(&app, &client).await));
        assert_eq!(site.asked(), 2);
    }
    app.advance(DAY - SECOND).await;
    assert!(is_known(&begin(&app, &client).await));
    assert_eq!(site.asked(), 3);
    app.advance(SECOND).await;
    assert!(is_unknown(&begin(&app, &client).await));
    app.advance(MINUTE).await;
    assert!(is_unknown(&begin(&app, &client).await));
    site.says(GOOD, &site.document().to_string());
    app.advance(MINUTE).await;
    assert!(is_known(&begin(&app, &client).await));
}

#[tokio::test]
async fn twenty_requests_at_once_read_one_document() {
    let app = start().await;
    for head in [GOOD, "404 Not Found"] {
        let site = Site::start().await;
        site.says(head, &site.document().to_string());
        site.waits(Duration::from_millis(300));
        let client = site.client(&app);
        let pages = join_all((0..20).map(|_| begin(&app, &client))).await;
        for page in &pages {
            let expected = if head == GOOD {
                is_known(page)
            } else {
                is_unknown(page)
            };
            assert!(expected, "{head}: {page:?}");
        }
        assert_eq!(site.asked(), 1, "{head}");
        // The same when it has grown old.
        app.advance(SHORTEST).await;
        join_all((0..20).map(|_| begin(&app, &client))).await;
        assert_eq!(site.asked(), 2, "{head}");
        app.advance(MINUTE * 2).await;
    }
}

#[tokio::test]
async fn c03_strangers_do_not_make_the_issuer_ask_without_end() {
    let app = start().await;
    let mut sites = Vec::new();
    for _ in 0..=AT_ONCE {
        let site = Site::start().await;
        site.waits(SECOND);
        sites.push(site);
    }
    let pages = join_all(sites.iter().map(|site| {
        let client = site.client(&app);
        let app = &app;
        async move { begin(app, &client).await }
    }))
    .await;
    let known = pages.iter().filter(|page| is_known(page)).count();
    assert_eq!(known, AT_ONCE);
    let busy = pages.iter().find(|page| !is_known(page)).unwrap();
    assert!(busy.status == 503 && busy.is("error"), "{busy:?}");
    assert!(busy.header("retry-after").is_some());
    assert_eq!(sites.iter().map(Site::asked).sum::<usize>(), AT_ONCE);
    // Whoever was turned away is no failure that is remembered.
    for site in &sites {
        site.waits(Duration::ZERO);
        assert!(is_known(&begin(&app, &site.client(&app)).await));
    }
}

#[tokio::test]
async fn c03_cl26_an_issuer_for_the_world_asks_no_private_address() {
    let app = Setup::default().set("registration.mode", "open").start().await;
    let site = Site::start().await;
    let rest = site.id.strip_prefix("http://127.0.0.1:").unwrap();
    for id in [
        site.id.clone(),
        format!("http://localhost:{rest}"),
        format!("https://127.0.0.1:{rest}"),
        format!("https://localhost:{rest}"),
        format!("https://[::1]:{rest}"),
        format!("https://[::ffff:7f00:1]:{rest}"),
        "https://10.0.0.1/client.json".to_owned(),
        "https://169.254.169.254/client.json".to_owned(),
    ] {
        let page = begin(&app, &app.stranger(&id)).await;
        assert!(is_unknown(&page), "{id}: {page:?}");
    }
    assert_eq!(site.asked(), 0);
}

#[tokio::test]
async fn what_is_no_canonical_address_is_not_asked() {
    let app = start().await;
    let site = Site::start().await;
    let root = site.id.strip_suffix("client.json").unwrap();
    for id in [
        root.to_owned(),
        root.trim_end_matches('/').to_owned(),
        format!("{}?v=1", site.id),
        format!("{}#x", site.id),
        format!("{root}x/../client.json"),
        format!("{root}./client.json"),
        site.id.replace("http://", "http://user@"),
        site.id.replace("http://", "HTTP://"),
        site.id.replace("127.0.0.1", "127.1"),
    ] {
        let page = begin(&app, &app.stranger(&id)).await;
        assert!(is_unknown(&page), "{id}: {page:?}");
    }
    assert_eq!(site.asked(), 0);
}

#[tokio::test]
async fn c03_no_document_is_read_where_nobody_begins_to_sign_in() {
    let app = start().await;
    let unknown = Site::start().await;
    let stranger = unknown.client(&app);
    for (path, form) in [
        ("/token", ("grant_type", "client_credentials")),
        ("/token", ("grant_type", "refresh_token")),
        ("/revoke", ("token", "x.y.z")),
        ("/introspect", ("token", "x.y.z")),
    ] {
        let refused = stranger.post(path, &[form]).await;
        assert_eq!(refused.outcome(), "401 invalid_client bad_credentials", "{path}");
    }
    // Whoever shows a secret is nobody that a document could be about.
    for path in ["/par", "/device_authorization"] {
        let request = app.http.post(format!("{}{path}", app.base));
        let posted = [
            ("client_id", unknown.id.as_str()),
            ("client_secret", CLIENT_SECRET),
        ];
        let by_header = [("client_id", unknown.id.as_str()), ("scope", "openid")];
        let encoded: String = form_urlencoded::byte_serialize(unknown.id.as_bytes()).collect();
        for request in [
            request.try_clone().unwrap().form(&posted),
            request.basic_auth(encoded, Some(CLIENT_SECRET)).form(&by_header),
        ] {
            let refused = Answer::read(request.send().await.unwrap()).await;
            assert_eq!(refused.outcome(), "401 invalid_client bad_credentials", "{path}");
        }
    }
    assert_eq!(unknown.asked(), 0);

    // A client that is known lives on from its refresh tokens, however old its document and whatever became of it.
    let site = Site::start().await;
    let client = site.client(&app);
    let browser = alice(&app).await;
    let code = browser.code(&client, &[BACK]).await;
    let mut grant = client.redeem_with(&code, &[BACK]).await;
    site.says("404 Not Found", "");
    for _ in 0..3 {
        app.advance(DAY).await;
        grant = client.refresh(grant.str("refresh_token")).await;
        assert_eq!(grant.outcome(), "200");
    }
    assert_eq!(client.revoke(grant.str("refresh_token")).await.status, 200);
    assert_eq!(site.asked(), 1);
}

#[tokio::test]
async fn cl26_a_client_by_document_pushes_its_request_and_lets_devices_wait() {
    let app = start().await;
    let browser = alice(&app).await;
    let site = Site::start().await;
    site.says(GOOD, &with_devices(&site).to_string());
    let client = site.client(&app);
    let query = Browser::request(&client, &[BACK]);
    let fields: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .filter(|(name, _)| name != "client_id")
        .collect();
    let fields: Vec<(&str, &str)> = fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let pushed = client.post("/par", &fields).await;
    assert_eq!(pushed.status, 201, "{}", pushed.text);
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("client_id", client.id);
    query.append_pair("request_uri", pushed.str("request_uri"));
    let begun = browser.get(&format!("/authorize?{}", query.finish())).await;
    // A pushed request that came to nothing yet writes no client down.
    assert!(stored(&app, &site).await.is_none());
    let code = browser.go_through(begun).await.answer("code").unwrap();
    assert_eq!(client.redeem_with(&code, &[BACK]).await.outcome(), "200");

    let begun = client.post("/device_authorization", &[]).await;
    assert_eq!(begun.outcome(), "200", "{}", begun.text);
    let question = format!("/device/confirm?user_code={}", begun.str("user_code"));
    let page = browser.get(&question).await;
    assert!(page.text.contains("Notes"), "{page:?}");
    browser.submit(&page, &[("decision", "allow")]).await;
    let form = [
        ("grant_type", DEVICE_CODE),
        ("device_code", begun.str("device_code")),
    ];
    assert_eq!(client.token(&form).await.outcome(), "200");
    assert_eq!(site.asked(), 1);
    // One that cannot be read is nobody.
    let gone = Site::start().await;
    gone.says("404 Not Found", "");
    for path in ["/par", "/device_authorization"] {
        let refused = gone.client(&app).post(path, &[("scope", "openid")]).await;
        assert_eq!(refused.outcome(), "401 invalid_client bad_credentials", "{path}");
    }
    assert_eq!(gone.asked(), 1);
}

#[tokio::test]
async fn c03_one_address_has_so_many_documents_read_in_a_minute() {
    let app = start().await;
    let site = Site::start().await;
    let other = |number: usize| site.id.replace("client.json", &format!("{number}.json"));
    for number in 0..QUOTA {
        let id = other(number);
        let stranger = app.stranger(&id);
        // Whichever way it is asked for.
        if number % 2 == 0 {
            assert!(is_unknown(&begin(&app, &stranger).await), "{number}");
        } else {
            let refused = stranger.post("/par", &[("scope", "openid")]).await;
            assert_eq!(
                refused.outcome(),
                "401 invalid_client bad_credentials",
                "{number}"
            );
        }
        assert_eq!(site.asked(), number + 1);
    }
    let client = site.client(&app);
    for path in ["/par", "/device_authorization"] {
        let refused = client.post(path, &[("scope", "openid")]).await;
        assert_eq!(
            refused.outcome(),
            "429 temporarily_unavailable too_many_attempts",
            "{path}"
        );
        assert!(refused.header("retry-after").is_some());
    }
    let page = begin(&app, &client).await;
    assert!(!is_known(&page), "{page:?}");
    assert_eq!(site.asked(), QUOTA);
    app.advance(MINUTE * 2).await;
    assert!(is_known(&begin(&app, &client).await));
    // What was read is not counted again.
    for _ in 0..QUOTA {
        assert!(is_known(&begin(&app, &client).await));
    }
    assert_eq!(site.asked(), QUOTA + 1);
}

#[tokio::test]
async fn c01_cl26_a_document_opens_no_door_that_is_not_open() {
    let app = start().await;
    let browser = alice(&app).await;
    let site = Site::start().await;
    site.says(GOOD, &with_devices(&site).to_string());
    let code = browser.code(&site.client(&app), &[BACK]).await;
    let mut grant = site.client(&app).redeem_with(&code, &[BACK]).await;
    let lists = async |app: &TestApp| {
        let address = format!("{}/.well-known/oauth-authorization-server", app.base);
        let document = Answer::read(app.http.get(address).send().await.unwrap()).await;
        document
            .json
            .get("client_id_metadata_document_supported")
            .cloned()
    };
    assert_eq!(lists(&app).await, Some(json!(true)));
    for mode in ["token", "closed"] {
        let behind = Setup::default()
            .beside(&app)
            .set("issuer", &app.issuer)
            .set("registration.mode", mode)
            .set("outbound.allow_private", "true")
            .start()
            .await;
        assert_eq!(lists(&behind).await, None, "{mode}");
        let unknown = Site::start().await;
        for client in [site.client(&behind), unknown.client(&behind)] {
            assert!(is_unknown(&begin(&behind, &client).await), "{mode} {}", client.id);
            for path in ["/par", "/device_authorization"] {
                let refused = client.post(path, &[("scope", "openid")]).await;
                assert_eq!(
                    refused.outcome(),
                    "401 invalid_client bad_credentials",
                    "{mode} {path}"
                );
            }
        }
        assert_eq!(unknown.asked(), 0, "{mode}");
        // Who came while the door was open goes on behind it.
        grant = site.client(&behind).refresh(grant.str("refresh_token")).await;
        assert_eq!(grant.outcome(), "200", "{mode}");
    }
    assert_eq!(site.asked(), 1);
}

#[tokio::test]
async fn an_operators_word_stands_above_a_document() {
    let app = start().await;
    // One that an operator turned away.
    let site = Site::start().await;
    let client = site.client(&app);
    alice(&app).await.code(&client, &[BACK]).await;
    let disabled = ClientDraft {
        disabled: Some(true),
        ..ClientDraft::default()
    };
    let id = ClientId::parse(&site.id).unwrap();
    app.inside()
        .update_client(&id, &disabled, &TestApp::operator())
        .await
        .unwrap();
    for later in [Duration::ZERO, SHORTEST, DAY * 2] {
        app.advance(later).await;
        assert!(is_unknown(&begin(&app, &client).await));
    }
    assert_eq!(site.asked(), 1);
    // One that an operator made.
    let site = Site::start().await;
    let client = app
        .client_with(&site.id, "openid", |draft| {
            draft.auth_method = Some(ClientAuthMethod::None);
            draft.grants = Some(vec![GrantType::AuthorizationCode]);
            draft.application_type = Some(ApplicationType::Native);
            draft.redirect_uris = Some(vec![HERE.to_owned()]);
        })
        .await;
    app.advance(DAY).await;
    assert!(is_known(&begin(&app, &client).await));
    assert_eq!(site.asked(), 0);
    assert_eq!(stored(&app, &site).await.unwrap().origin, ClientOrigin::Operator);
}

#[tokio::test]
async fn c03_a_document_is_written_down_when_somebody_signs_in_by_it_and_not_before() {
    let app = start().await;
    let browser = alice(&app).await;
    let site = Site::start().await;
    let client = site.client(&app);
    let audited = async || {
        let tail = app.inside().store().audit_tail(1_000).await.unwrap();
        let about = tail.iter().filter(|record| record.event.starts_with("client_"));
        about.count()
    };
    assert!(is_known(&begin(&app, &client).await));
    let page = browser.follow(&browser.authorize(&client, &[BACK]).await).await;
    assert!(page.is("consent"), "{page:?}");
    assert!(stored(&app, &site).await.is_none());
    assert_eq!(audited().await, 0);
    // Old enough to be swept, had it been written down when it was read.
    site.says(GOOD, &site.document().to_string());
    app.advance(DAY + SECOND).await;
    assert!(is_known(&begin(&app, &client).await));
    assert_eq!(site.asked(), 2);
    browser.sign_in("alice").await;
    let code = browser.code(&client, &[BACK]).await;
    assert_eq!(app.inside().sweep(100).await.unwrap().clients, 0);
    assert_eq!(client.redeem_with(&code, &[BACK]).await.outcome(), "200");
    assert_eq!(stored(&app, &site).await.unwrap().created_at, app.now());
    browser.code(&client, &[BACK]).await;
    assert_eq!(audited().await, 1);
}

#[tokio::test]
async fn a_document_that_nobody_signed_in_by_is_forgotten_and_read_again_when_it_is_needed() {
    let app = start().await;
    let site = Site::start().await;
    let client = site.client(&app);
    // A code that was never redeemed is no sign-in.
    alice(&app).await.code(&client, &[BACK]).await;
    assert!(stored(&app, &site).await.is_some());
    app.advance(DAY + SECOND).await;
    assert_eq!(app.inside().sweep(100).await.unwrap().clients, 1);
    assert!(stored(&app, &site).await.is_none());
    assert!(is_known(&begin(&app, &client).await));
    assert_eq!(site.asked(), 2);
}
