//! What comes in before any decision, over real sockets: sizes, slow senders, methods, media types, parameters; and the
//! headers of every answer.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it is")]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use vouchsafe::app::App;
use vouchsafe::http::accept;
use vouchsafe_tests::{Answer, CLIENT_SECRET, Setup, TestApp, captured_logs};

const FORM: &str = "application/x-www-form-urlencoded";
/// Every endpoint that takes a form, a body it reads, and what that comes to for the client `web`.
const FORMS: [(&str, &str, &str); 4] = [
    ("/token", "grant_type=client_credentials", "200"),
    (
        "/refresh",
        "refresh_token=x.y.z",
        "400 invalid_grant malformed_token",
    ),
    ("/introspect", "token=x.y.z", "200"),
    ("/revoke", "token=x.y.z", "200"),
];
/// Every public path and what its `Allow` says.
const PATHS: [(&str, &str); 9] = [
    ("/token", "POST, OPTIONS"),
    ("/refresh", "POST, OPTIONS"),
    ("/introspect", "POST"),
    ("/revoke", "POST, OPTIONS"),
    ("/.well-known/jwks.json", "GET, HEAD, OPTIONS"),
    ("/.well-known/openid-configuration", "GET, HEAD, OPTIONS"),
    ("/.well-known/oauth-authorization-server", "GET, HEAD, OPTIONS"),
    ("/openapi.json", "GET, HEAD, OPTIONS"),
    ("/docs", "GET, HEAD"),
];
/// No answer takes this long; it only ends a test that would hang.
const PATIENCE: Duration = Duration::from_secs(30);
/// The body limit of every endpoint.
const LIMIT: usize = 64 * 1024;

fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

/// Posts a body as the client `web`; without a content type when that is empty.
async fn post(app: &TestApp, path: &str, content_type: &str, body: impl Into<reqwest::Body>) -> Answer {
    let mut request = app
        .http
        .post(format!("{}{path}", app.issuer))
        .header("authorization", basic("web", CLIENT_SECRET))
        .body(body);
    if !content_type.is_empty() {
        request = request.header("content-type", content_type);
    }
    Answer::read(request.send().await.unwrap()).await
}

/// A request without a body from another origin.
async fn ask(app: &TestApp, method: &str, url: &str) -> Answer {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let request = app
        .http
        .request(method, url)
        .header("origin", "https://evil.example")
        .header("access-control-request-method", "POST");
    Answer::read(request.send().await.unwrap()).await
}

async fn connect(app: &TestApp) -> TcpStream {
    let address = app.issuer.strip_prefix("http://").unwrap();
    TcpStream::connect(address).await.unwrap()
}

/// What the other side sends until it closes or `enough` came. A reset takes nothing from what came before it.
async fn receive(stream: &mut (impl AsyncRead + Unpin), enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut received: Vec<u8> = Vec::new();
    let receiving = async {
        while !enough(&received) {
            match stream.read_buf(&mut received).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
    };
    timeout(PATIENCE, receiving).await.unwrap();
    received
}

/// The status line and the headers of an answer.
async fn receive_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let whole = |received: &[u8]| received.windows(4).any(|four| four == b"\r\n\r\n");
    String::from_utf8_lossy(&receive(stream, whole).await).into_owned()
}

/// Sends bytes on a new connection and reads what comes until it closes.
async fn exchange(app: &TestApp, sent: &[u8]) -> Vec<u8> {
    let mut stream = connect(app).await;
    // The other side may have heard enough before the end.
    drop(stream.write_all(sent).await);
    receive(&mut stream, |_| false).await
}

/// A whole token request of the client `web`, as text.
fn token_request() -> String {
    let body = "grant_type=client_credentials";
    format!(
        "POST /token HTTP/1.1\r\nhost: as.example\r\nauthorization: {}\r\ncontent-type: {FORM}\r\n\
         content-length: {}\r\n\r\n{body}",
        basic("web", CLIENT_SECRET),
        body.len()
    )
}

#[tokio::test]
async fn h01_three_hundred_chunked_megabytes_are_refused_before_they_are_sent() {
    const ALL: usize = 300 * 1024 * 1024;
    const CHUNK: usize = 64 * 1024;
    let app = TestApp::start().await;
    for (path, _, _) in FORMS {
        let (mut reader, mut writer) = connect(&app).await.into_split();
        let sending = async {
            let head = format!(
                "POST {path} HTTP/1.1\r\nhost: as.example\r\ncontent-type: {FORM}\r\n\
                 transfer-encoding: chunked\r\n\r\n"
            );
            writer.write_all(head.as_bytes()).await.unwrap();
            let chunk = format!("{CHUNK:x}\r\n{}\r\n", "a".repeat(CHUNK));
            let mut sent = 0;
            while sent < ALL && writer.write_all(chunk.as_bytes()).await.is_ok() {
                sent += CHUNK;
            }
            sent
        };
        let (sent, answer) = tokio::join!(sending, receive_head(&mut reader));
        assert!(answer.starts_with("HTTP/1.1 413 "), "{path} {answer}");
        assert!(answer.contains("connection: close\r\n"), "{path} {answer}");
        // What the refused client may still write is thrown away, and bounded; the rest is in buffers of the kernel.
        assert!(sent < 64 * 1024 * 1024, "{path} took {sent} bytes");
    }
}

#[tokio::test]
async fn h01_a_declared_size_is_refused_before_a_byte_of_it() {
    let app = TestApp::start().await;
    for expect in ["", "expect: 100-continue\r\n"] {
        let mut stream = connect(&app).await;
        let head = format!(
            "POST /token HTTP/1.1\r\nhost: as.example\r\ncontent-type: {FORM}\r\n\
             content-length: 314572800\r\n{expect}\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = receive_head(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{expect} {answer}");
    }
}

#[tokio::test]
async fn h01_the_limit_of_a_body_is_exact_at_every_form_endpoint() {
    let app = TestApp::start().await;
    app.client("web", "items:read").await;
    for (path, body, outcome) in FORMS {
        let padding = LIMIT - body.len() - "&x=".len();
        let longest = format!("{body}&x={}", "a".repeat(padding));
        assert_eq!(longest.len(), LIMIT);
        let answer = post(&app, path, FORM, longest.clone()).await;
        assert_eq!(answer.outcome(), outcome, "{path}");
        let answer = post(&app, path, FORM, format!("{longest}a")).await;
        assert_eq!(answer.outcome(), "413 invalid_request body_too_large", "{path}");
    }
}

#[tokio::test]
async fn h04_h05_half_sent_heads_and_bodies_hold_up_nobody() {
    let app = TestApp::start().await;
    let web = app.client("web", "items:read").await;
    let request = token_request();
    let in_the_head = request.find("nt-length").unwrap();
    let in_the_body = request.len() - 10;
    let mut waiting = Vec::new();
    for _ in 0..40 {
        for place in [in_the_head, in_the_body] {
            let (begun, rest) = request.split_at(place);
            let mut stream = connect(&app).await;
            stream.write_all(begun.as_bytes()).await.unwrap();
            waiting.push((stream, rest));
        }
    }
    for _ in 0..20 {
        assert_eq!(web.credentials().await.outcome(), "200");
    }
    // One byte more on each, and still nobody waits for them.
    for (stream, rest) in &mut waiting {
        let (next, later) = rest.split_at(1);
        stream.write_all(next.as_bytes()).await.unwrap();
        *rest = later;
    }
    assert_eq!(web.credentials().await.outcome(), "200");
    // Slow is not wrong: what is whole before its deadline is answered.
    for (mut stream, rest) in waiting {
        stream.write_all(rest.as_bytes()).await.unwrap();
        let answer = receive_head(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
}

/// One HTTP/2 frame (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, high, middle, low] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [
        [high, middle, low, kind, flags].as_slice(),
        &stream.to_be_bytes(),
        payload,
    ]
    .concat()
}

/// The error codes of the GOAWAY frames in what was received (RFC 9113 section 6.8).
fn farewells(mut received: &[u8]) -> Vec<u32> {
    let mut codes = Vec::new();
    while let Some((head, rest)) = received.split_first_chunk::<9>() {
        let [high, middle, low, kind, ..] = *head;
        let length = usize::try_from(u32::from_be_bytes([0, high, middle, low])).unwrap();
        let Some((payload, rest)) = rest.split_at_checked(length) else {
            break;
        };
        if let (7, Some([_, _, _, _, code @ ..])) = (kind, payload.first_chunk::<8>()) {
            codes.push(u32::from_be_bytes(*code));
        }
        received = rest;
    }
    codes
}

#[tokio::test]
async fn h06_floods_of_http2_frames_end_their_connection_and_no_other() {
    const ENHANCE_YOUR_CALM: u32 = 11;
    const END_HEADERS: u8 = 4;
    const CANCEL: [u8; 4] = [0, 0, 0, 8];
    let (data, headers, reset, settings, continuation) = (0, 1, 3, 4, 9);
    // POST http as.example /token (RFC 7541 sections 6.1 and 6.2.1).
    let block = b"\x83\x86\x44\x06/token\x41\x0aas.example";
    let opened = |id: u32| frame(headers, END_HEADERS, id, block);
    let resets = (0..1_000_u32)
        .map(|n| 2 * n + 1)
        .flat_map(|id| [opened(id), frame(reset, 0, id, &CANCEL)]);
    let endless_head = [frame(headers, 0, 1, block)]
        .into_iter()
        .chain((0..1_000).map(|_| frame(continuation, 0, 1, &[])));
    let empty_data = [opened(1)]
        .into_iter()
        .chain((0..10_000).map(|_| frame(data, 0, 1, &[])));
    let app = TestApp::start().await;
    let web = app.client("web", "items:read").await;
    for (flood, frames) in [
        ("opened and reset", resets.collect::<Vec<_>>()),
        ("head without end", endless_head.collect()),
        ("empty data", empty_data.collect()),
    ] {
        let preface = [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(),
            &frame(settings, 0, 0, &[]),
        ]
        .concat();
        let received = exchange(&app, &[preface, frames.concat()].concat()).await;
        assert!(
            farewells(&received).contains(&ENHANCE_YOUR_CALM),
            "{flood} {:?}",
            farewells(&received)
        );
        assert_eq!(web.credentials().await.outcome(), "200", "{flood}");
    }
}

#[tokio::test]
async fn h07_too_many_headers_and_too_long_ones_are_431() {
    let app = TestApp::start().await;
    let get = |headers: &str| {
        format!(
            "GET /.well-known/jwks.json HTTP/1.1\r\nhost: as.example\r\nconnection: close\r\n{headers}\r\n"
        )
    };
    let numbered = |count: usize| -> String { (0..count).map(|n| format!("x-{n}: 1\r\n")).collect() };
    for (headers, status) in [
        (numbered(90), "200"),
        (numbered(101), "431"),
        (numbered(1_000), "431"),
        ("x-same: 1\r\n".repeat(1_000), "431"),
        (format!("x-long: {}\r\n", "a".repeat(32 * 1024)), "200"),
        (format!("x-long: {}\r\n", "a".repeat(64 * 1024)), "431"),
    ] {
        let answer = exchange(&app, get(&headers).as_bytes()).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{status} {answer:.40}"
        );
    }
}

/// Sends wrong secrets, each with these headers in which `#` is another number, until that is refused. The number of
/// tries, or none when it never was.
async fn tries_until_refused(app: &TestApp, headers: &[(&str, &str)]) -> Option<u32> {
    for n in 1..200_u32 {
        let mut request = app
            .http
            .post(format!("{}/token", app.issuer))
            .header("authorization", basic("web", "wrong"))
            .form(&[("grant_type", "client_credentials")]);
        for (name, value) in headers {
            request = request.header(*name, value.replace('#', &n.to_string()));
        }
        if request.send().await.unwrap().status() == 429 {
            return Some(n);
        }
    }
    None
}

#[tokio::test]
async fn h09_nobody_but_a_trusted_proxy_says_where_a_request_comes_from() {
    let forged = [
        ("x-forwarded-for", "198.51.100.#"),
        ("forwarded", "for=198.51.100.#"),
        ("x-real-ip", "198.51.100.#"),
    ];
    for (proxies, headers) in [
        ("", &forged[..]),
        ("192.0.2.1,10.0.0.0/8", &forged[..]),
        // What a client wrote itself stands left of what the proxy added.
        (
            "127.0.0.1",
            &[("x-forwarded-for", "198.51.100.#, 203.0.113.7")][..],
        ),
        ("127.0.0.1", &forged[1..]),
    ] {
        let app = Setup::default()
            .set("server.trusted_proxies", proxies)
            .start()
            .await;
        app.client("web", "").await;
        let tries = tries_until_refused(&app, headers).await;
        assert!(tries.is_some(), "{proxies} {headers:?}");
    }
    let app = Setup::default()
        .set("server.trusted_proxies", "127.0.0.1")
        .start()
        .await;
    app.client("web", "").await;
    assert_eq!(tries_until_refused(&app, &forged[..1]).await, None);
}

#[tokio::test]
async fn h10_a_parameter_comes_once_and_in_the_body() {
    let app = TestApp::start().await;
    app.client("web", "items:read").await;
    for (path, body, outcome) in FORMS {
        assert_eq!(
            post(&app, path, FORM, body).await.outcome(),
            outcome,
            "{path} {body}"
        );
        let (name, _) = body.split_once('=').unwrap();
        let escaped = format!("%{:02X}{}", name.as_bytes()[0], &name[1..]);
        for doubled in [
            format!("{body}&{body}"),
            format!("{body}&{name}"),
            format!("{body}&{name}="),
            format!("{name}=&{body}"),
            format!("{body}&{escaped}=other"),
            format!("{body}&client_id=web&client_id=web"),
            format!("{body}&scope=items%3Aread&scope=items%3Aread"),
            format!("{body}&unknown=1&unknown=2"),
        ] {
            let answer = post(&app, path, FORM, doubled.clone()).await;
            assert_eq!(
                answer.outcome(),
                "400 invalid_request duplicate_parameter",
                "{path} {doubled}"
            );
        }
        let resources =
            format!("{body}&resource=https%3A%2F%2Fa.example%2F&resource=https%3A%2F%2Fb.example%2F");
        let answer = post(&app, path, FORM, resources).await;
        assert_eq!(
            answer.outcome(),
            "400 invalid_target duplicate_parameter",
            "{path}"
        );
    }
}

#[tokio::test]
async fn h10_h11_parameters_in_the_query_are_refused() {
    let app = TestApp::start().await;
    app.client("web", "items:read").await;
    let credentials = format!("client_id=web&client_secret={CLIENT_SECRET}");
    for (path, body, outcome) in FORMS {
        for (query, sent) in [
            (body, ""),
            (body, body),
            ("unknown=1", body),
            ("resource=https%3A%2F%2Fa.example%2F", body),
            (credentials.as_str(), body),
        ] {
            let answer = post(&app, &format!("{path}?{query}"), FORM, sent.to_owned()).await;
            assert_eq!(
                answer.outcome(),
                "400 invalid_request parameters_in_query",
                "{path}?{query} {sent}"
            );
        }
        let answer = post(&app, &format!("{path}?"), FORM, body).await;
        assert_eq!(answer.outcome(), outcome, "{path}?");
    }
}

#[tokio::test]
async fn h12_other_methods_are_405_with_allow_everywhere() {
    let app = TestApp::start().await;
    let management = [("/livez", "GET, HEAD"), ("/readyz", "GET, HEAD")];
    let public = PATHS.map(|(path, allow)| (format!("{}{path}", app.issuer), allow));
    let management = management.map(|(path, allow)| (format!("{}{path}", app.management), allow));
    for (url, allow) in public.iter().chain(&management) {
        for method in [
            "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND",
        ] {
            let answer = ask(&app, method, url).await;
            if allow.split(", ").any(|allowed| allowed == method) {
                assert_ne!(answer.status, 405, "{method} {url}");
                continue;
            }
            assert_eq!(answer.status, 405, "{method} {url}");
            assert_eq!(answer.header("allow"), Some(*allow), "{method} {url}");
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{method} {url}");
            if method == "HEAD" {
                assert_eq!(answer.text, "", "{url}");
            } else {
                assert_eq!(answer.outcome(), "405 invalid_request method_not_allowed");
                assert_eq!(answer.header("content-type"), Some("application/json"));
            }
        }
    }
}

#[tokio::test]
async fn h12_h16_o04_c06_other_paths_are_404_and_each_listener_has_its_own() {
    let app = TestApp::start().await;
    let public = [
        "/",
        "/token/",
        "/Token",
        "/%74oken",
        "//token",
        "/token%00",
        "/token%0d%0ax-evil:%201",
        "/docs/index.html",
        "/livez",
        "/readyz",
        "/metrics",
        "/admin/v1/clients",
    ]
    .map(|path| format!("{}{path}", app.issuer));
    let management =
        ["/", "/token", "/docs", "/.well-known/jwks.json"].map(|path| format!("{}{path}", app.management));
    for url in public.iter().chain(&management) {
        for method in ["GET", "POST", "OPTIONS"] {
            let answer = ask(&app, method, url).await;
            assert_eq!(
                answer.outcome(),
                "404 invalid_request not_found",
                "{method} {url}"
            );
            assert_eq!(answer.header("content-type"), Some("application/json"));
            assert_eq!(answer.header("x-evil"), None, "{url}");
        }
    }
}

#[tokio::test]
async fn h13_a_form_endpoint_takes_a_form_and_nothing_else() {
    let app = TestApp::start().await;
    app.client("web", "items:read").await;
    let twice = |path: &str, body: &'static str| {
        let request = app
            .http
            .post(format!("{}{path}", app.issuer))
            .header("authorization", basic("web", CLIENT_SECRET))
            .header("content-type", FORM)
            .header("content-type", FORM)
            .body(body);
        async move { Answer::read(request.send().await.unwrap()).await }
    };
    for (path, body, outcome) in FORMS {
        for known in [
            FORM,
            "application/x-www-form-urlencoded; charset=UTF-8",
            "Application/X-WWW-Form-Urlencoded;charset=utf-8",
        ] {
            let answer = post(&app, path, known, body).await;
            assert_eq!(answer.outcome(), outcome, "{path} {known}");
        }
        for unknown in [
            "",
            "text/plain",
            "text/html; charset=utf-8",
            "multipart/form-data; boundary=x",
            "application/x-www-form-urlencoded, text/plain",
            "application/x-www-form-urlencodedx",
            "application",
            ";",
        ] {
            let answer = post(&app, path, unknown, body).await;
            assert_eq!(
                answer.outcome(),
                "400 invalid_request unsupported_media_type",
                "{path} {unknown:?}"
            );
            assert_eq!(answer.header("content-type"), Some("application/json"), "{path}");
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        }
        let answer = twice(path, body).await;
        assert_eq!(
            answer.outcome(),
            "400 invalid_request unsupported_media_type",
            "{path} twice"
        );
        let json = r#"{"grant_type": "client_credentials", "token": "x.y.z", "refresh_token": "x.y.z"}"#;
        let answer = post(&app, path, "application/json", json).await;
        let read = if path == "/refresh" {
            // The one endpoint that speaks JSON too; this is another grant there.
            "400 unsupported_grant_type unknown_grant"
        } else {
            "400 invalid_request unsupported_media_type"
        };
        assert_eq!(answer.outcome(), read, "{path} json");
    }
}

#[tokio::test]
async fn h15_an_empty_value_counts_as_omitted() {
    let app = TestApp::start().await;
    app.client("web", "items:read").await;
    app.public_client("spa", "items:read").await;
    let missing = "400 invalid_request missing_parameter";
    for (path, body, outcome) in [
        (
            "/token",
            "grant_type=client_credentials&scope=&resource=&client_id=&client_secret=&client_assertion=",
            "200",
        ),
        ("/token", "grant_type=client_credentials&scope&resource", "200"),
        ("/token", "grant_type=", missing),
        ("/token", "grant_type=refresh_token&refresh_token=", missing),
        ("/token", "grant_type=password&username=&password=x", missing),
        ("/token", "grant_type=password&username=x&password=", missing),
        ("/refresh", "refresh_token=", missing),
        ("/introspect", "token=", missing),
        ("/introspect", "token=x.y.z&token_type_hint=", "200"),
        ("/revoke", "token=", missing),
    ] {
        let answer = post(&app, path, FORM, body).await;
        assert_eq!(answer.outcome(), outcome, "{path} {body}");
    }
    let answer = post(&app, "/token", FORM, "grant_type=client_credentials&scope=").await;
    assert_eq!(answer.str("scope"), "items:read");
    let json = r#"{"refresh_token": "", "scope": ""}"#;
    let answer = post(&app, "/refresh", "application/json", json).await;
    assert_eq!(answer.outcome(), missing);
    // An empty secret is none, so a public client is not taken for one that authenticates.
    let form = [
        ("client_id", "spa"),
        ("client_secret", ""),
        ("refresh_token", "x.y.z"),
    ];
    let request = app.http.post(format!("{}/refresh", app.issuer)).form(&form);
    let answer = Answer::read(request.send().await.unwrap()).await;
    assert_eq!(answer.outcome(), "400 invalid_grant malformed_token");
}

#[tokio::test]
async fn h16_controls_and_broken_text_are_refused_in_every_parameter_and_never_repeated() {
    const MARK: &str = "h16marker";
    let hostile: [&[u8]; 21] = [
        b"%00",
        b"%0d%0aset-cookie:%20evil=1",
        b"%0A",
        b"%09",
        b"%1B%5B2J",
        b"%7F",
        b"%FF",
        b"%C3",
        b"%C0%80",
        b"%C0%AF",
        b"%E0%80%AF",
        b"%F0%80%80%AF",
        b"%ED%A0%80",
        b"%F4%90%80%80",
        b"%",
        b"%4",
        b"%zz",
        b"\x00",
        b"\xff",
        b"\xc0\x80",
        b"\r\nset-cookie: evil=1",
    ];
    let own: [(&str, &[&str]); 4] = [
        (
            "/token",
            &[
                "grant_type",
                "scope",
                "resource",
                "username",
                "password",
                "refresh_token",
            ],
        ),
        ("/refresh", &["refresh_token", "scope", "resource"]),
        ("/introspect", &["token", "token_type_hint"]),
        ("/revoke", &["token", "token_type_hint"]),
    ];
    captured_logs();
    let app = TestApp::start().await;
    app.client("web", "items:read").await;
    for ((path, body, _), (_, names)) in FORMS.into_iter().zip(own) {
        let shared = ["client_id", "client_secret", "client_assertion", "unknown"];
        for name in names.iter().copied().chain(shared) {
            for evil in hostile {
                let mut pairs = vec![[name.as_bytes(), b"=", MARK.as_bytes(), evil].concat()];
                if name == "unknown" {
                    pairs.push([MARK.as_bytes(), evil, b"=1"].concat());
                }
                for pair in pairs {
                    let sent = [body.as_bytes(), b"&", &pair].concat();
                    let answer = post(&app, path, FORM, sent).await;
                    let about = format!("{path} {}", String::from_utf8_lossy(&pair));
                    assert_eq!(answer.outcome(), "400 invalid_request malformed_body", "{about}");
                    assert!(!answer.text.contains(MARK), "{about}");
                    assert_eq!(answer.header("set-cookie"), None, "{about}");
                    assert_eq!(answer.header("cache-control"), Some("no-store"), "{about}");
                }
            }
        }
    }
    let logs = captured_logs();
    assert!(
        logs.contains("\"route\":\"/introspect\""),
        "the log was not captured"
    );
    assert!(!logs.contains(MARK));
}

#[tokio::test]
async fn h10_h16_a_json_body_is_one_flat_object_of_plain_strings() {
    let app = TestApp::start().await;
    app.client("web", "items:read").await;
    let nested = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let cases: [&[u8]; 14] = [
        b"",
        b"{",
        b"[]",
        b"\"refresh_token\"",
        nested.as_bytes(),
        br#"{"refresh_token": "x.y.z"} {}"#,
        br#"{"refresh_token": "x.y.z", "scope": ["items:read"]}"#,
        br#"{"refresh_token": 1}"#,
        br#"{"refresh_token": null}"#,
        br#"{"refresh_token": "x\u0000"}"#,
        br#"{"refresh_token": "x\r\nset-cookie: evil=1"}"#,
        br#"{"refresh_token": "x\ud800"}"#,
        b"{\"refresh_token\": \"x\xff\"}",
        br#"{"refresh_token": "x.y.z", "": "1"}"#,
    ];
    for body in cases {
        let answer = post(&app, "/refresh", "application/json", body.to_vec()).await;
        let about = String::from_utf8_lossy(body);
        assert_eq!(
            answer.outcome(),
            "400 invalid_request malformed_body",
            "{about:.80}"
        );
        assert_eq!(answer.header("set-cookie"), None);
    }
    for name in [
        "refresh_token",
        r"refresh_toke\u006e",
        r#"client_id": "web", "client_id"#,
    ] {
        let body = format!(r#"{{"refresh_token": "x.y.z", "{name}": ""}}"#);
        let answer = post(&app, "/refresh", "application/json", body.clone()).await;
        assert_eq!(
            answer.outcome(),
            "400 invalid_request duplicate_parameter",
            "{body}"
        );
    }
    let body = r#"{"refresh_token": "x.y.z", "unknown": "1"}"#;
    let answer = post(&app, "/refresh", "application/json; charset=utf-8", body).await;
    assert_eq!(answer.outcome(), "400 invalid_grant malformed_token");
}

#[tokio::test]
async fn h19_cl13_open_routes_answer_any_origin_without_credentials() {
    let app = TestApp::start().await;
    for (path, allow) in PATHS.into_iter().filter(|(_, allow)| allow.contains("OPTIONS")) {
        let url = format!("{}{path}", app.issuer);
        let preflight = ask(&app, "OPTIONS", &url).await;
        assert_eq!(preflight.status, 204, "{path}");
        assert_eq!(preflight.text, "", "{path}");
        assert_eq!(
            preflight.header("access-control-allow-methods"),
            Some(allow),
            "{path}"
        );
        let asked = preflight.header("access-control-allow-headers").unwrap();
        for name in ["Authorization", "Content-Type", "DPoP", "MCP-Protocol-Version"] {
            assert!(asked.split(", ").any(|allowed| allowed == name), "{path} {name}");
        }
        // Successes and errors alike.
        for method in ["OPTIONS", "GET", "POST", "DELETE"] {
            let answer = ask(&app, method, &url).await;
            assert_eq!(
                answer.header("access-control-allow-origin"),
                Some("*"),
                "{method} {path}"
            );
            assert_eq!(
                answer.header("access-control-allow-credentials"),
                None,
                "{method} {path}"
            );
            let exposed = answer.header("access-control-expose-headers").unwrap();
            for name in ["WWW-Authenticate", "DPoP-Nonce"] {
                assert!(
                    exposed.split(", ").any(|shown| shown == name),
                    "{method} {path} {name}"
                );
            }
        }
    }
}

#[tokio::test]
async fn h19_other_routes_never_send_cors_headers() {
    let app = TestApp::start().await;
    app.client("web", "items:read").await;
    let closed = [
        format!("{}/introspect", app.issuer),
        format!("{}/docs", app.issuer),
        format!("{}/nothing", app.issuer),
        format!("{}/livez", app.management),
        format!("{}/readyz", app.management),
    ];
    let mut answers = vec![post(&app, "/introspect", FORM, "token=x.y.z").await];
    for url in &closed {
        for method in ["OPTIONS", "GET", "POST"] {
            answers.push(ask(&app, method, url).await);
        }
    }
    for answer in answers {
        let names = answer.headers.keys().map(|name| name.as_str());
        let cors: Vec<&str> = names.filter(|name| name.starts_with("access-control-")).collect();
        assert!(cors.is_empty(), "{cors:?} {} {}", answer.status, answer.text);
    }
}

#[tokio::test]
async fn h20_the_page_cannot_be_framed_and_loads_nothing_from_elsewhere() {
    let app = TestApp::start().await;
    let page = ask(&app, "GET", &format!("{}/docs", app.issuer)).await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").unwrap();
    for directive in [
        "default-src 'none'",
        "connect-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
    ] {
        assert!(
            policy.split("; ").any(|part| part == directive),
            "{directive} in {policy}"
        );
    }
    assert_eq!(page.header("x-frame-options"), Some("DENY"));
    assert_eq!(page.header("referrer-policy"), Some("same-origin"));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    // A loopback issuer has no https that a browser could insist on.
    assert_eq!(page.header("strict-transport-security"), None);
}

#[tokio::test]
async fn h20_an_https_issuer_insists_on_https() {
    let app = TestApp::start().await;
    let config = app.config(&[("issuer", "https://id.example")]);
    let behind_a_proxy = App::open(config, app.machine()).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_running, shutdown) = watch::channel(false);
    tokio::spawn(accept::serve(
        listener,
        None,
        behind_a_proxy.public().unwrap(),
        shutdown,
    ));
    for path in ["/docs", "/token", "/.well-known/jwks.json"] {
        let answer = ask(&app, "GET", &format!("http://{address}{path}")).await;
        assert_eq!(
            answer.header("strict-transport-security"),
            Some("max-age=31536000"),
            "{path}"
        );
    }
}
