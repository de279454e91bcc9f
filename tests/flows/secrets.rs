//! Secrets: shown once to whom they belong, and found nowhere else: not in the log, not in the database, not in what
//! a debugger or an error prints, not in the key set.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it is")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;
use vouchsafe::config::{Config, Settings, Sources};
use vouchsafe_issuer::{ClientDraft, Credentials, MasterKey, UserDraft};
use vouchsafe_jose::UnverifiedJws;
use vouchsafe_protocol::{
    BasicCredentials, ClientAuthMethod, ClientId, Form, GrantType, PostedCredentials, SecretString,
    TokenInquiry, TokenRequest,
};
use vouchsafe_tests::{Answer, CLIENT_SECRET, Cluster, DatabaseKind, Setup, TestApp, captured_logs};

const PASSWORD: &str = "o01 the password of alice \u{e4}";
const NEW_PASSWORD: &str = "o01 the later password of alice";
const MISTYPED: &str = "o01-a-password-mistyped-by-alice";
const IN_THE_WRONG_FIELD: &str = "o01-a-password-typed-as-the-name";
const WRONG_SECRET: &str = "o01-a-client-secret-that-is-not-right";
const GARBAGE: &str = "o01-a-token-that-is-no-token";
const CODE: &str = "o01-an-authorization-code";
const ASSERTION: &str = "o01-a-client-assertion";
const BEARER: &str = "o01-a-bearer-token-in-a-header";
const IN_THE_QUERY: &str = "o01-a-secret-in-the-query";
const IN_THE_PATH: &str = "o01-a-secret-in-the-path";

fn basic(id: &str, secret: &str) -> String {
    STANDARD.encode(format!("{id}:{secret}"))
}

/// Payload and signature of a token, each of which must be found nowhere.
fn parts(token: &str) -> [String; 2] {
    let mut parts = token.split('.').skip(1).map(str::to_owned);
    [parts.next().unwrap(), parts.next().unwrap()]
}

/// The folder of the files that the database consists of.
async fn database_files(app: &TestApp) -> PathBuf {
    match DatabaseKind::of_this_run() {
        DatabaseKind::Sqlite => app.folder().to_owned(),
        DatabaseKind::Postgres => Cluster::shared().await.files_of(app.database_url()).await,
    }
}

/// Every byte of every file in the folder, each as one character.
fn bytes_as_text(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        text.extend(bytes.into_iter().map(char::from));
    }
    text
}

/// The same form for what is looked for.
fn as_text(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// Sends what clients and strangers should not send, secrets where they do not belong.
async fn misuse(app: &TestApp) {
    let token = format!("{}/token", app.base);
    let form = |fields: &[(&str, &str)]| app.http.post(&token).form(fields);
    let requests = [
        form(&[
            ("grant_type", "client_credentials"),
            ("client_id", "web"),
            ("client_secret", WRONG_SECRET),
        ]),
        form(&[("grant_type", "client_credentials")])
            .header("authorization", format!("Basic {}", basic("web", WRONG_SECRET))),
        form(&[("grant_type", "client_credentials")]).bearer_auth(BEARER),
        form(&[
            ("grant_type", "client_credentials"),
            ("client_assertion", ASSERTION),
        ]),
        form(&[
            ("grant_type", "authorization_code"),
            ("client_id", "browser"),
            ("code", CODE),
        ]),
        form(&[
            ("grant_type", GARBAGE),
            ("client_id", IN_THE_WRONG_FIELD),
            (CODE, "x"),
        ]),
        form(&[("client_secret", WRONG_SECRET), ("client_secret", CLIENT_SECRET)]),
        app.http
            .post(format!("{token}?client_secret={IN_THE_QUERY}"))
            .form(&[("grant_type", "client_credentials")]),
        app.http.post(&token).body(format!("\"{CLIENT_SECRET}\"")),
        app.http.get(format!("{}/{IN_THE_PATH}", app.base)),
        app.http
            .post(format!("{}/refresh", app.base))
            .header("content-type", "application/json")
            .body(format!(
                "{{\"refresh_token\":\"{GARBAGE}\",\"client_id\":\"browser\""
            )),
    ];
    for request in requests {
        let answer = Answer::read(request.send().await.unwrap()).await;
        assert!(
            (400..500).contains(&answer.status),
            "{} {}",
            answer.status,
            answer.text
        );
        for sent in [
            WRONG_SECRET,
            CLIENT_SECRET,
            GARBAGE,
            CODE,
            BEARER,
            ASSERTION,
            IN_THE_QUERY,
            IN_THE_PATH,
        ] {
            assert!(!answer.text.contains(sent), "{sent} comes back");
        }
    }
}

/// Uses every secret there is, rightly and wrongly; gives the session and every part of every token.
async fn use_everything(app: &TestApp) -> (String, Vec<String>) {
    let (inside, operator) = (app.inside(), TestApp::operator());
    let web = app.client("web", "openid").await;
    let posting = app
        .client_with("posting", "openid", |draft| {
            draft.auth_method = Some(ClientAuthMethod::ClientSecretPost);
        })
        .await;
    app.public_client("browser", "openid").await;
    let alice = UserDraft {
        username: "alice".to_owned(),
        email: None,
        password: Some(SecretString::new(PASSWORD.to_owned())),
        roles: Vec::new(),
    };
    inside.create_user(&alice, &operator).await.unwrap();

    let mut tokens = Vec::new();
    let mut sid = String::new();
    for client in [web, posting] {
        let form = [
            ("grant_type", "password"),
            ("username", "alice"),
            ("password", PASSWORD),
        ];
        let first = client.token(&form).await;
        assert_eq!(first.outcome(), "200");
        let second = client.refresh(first.str("refresh_token")).await;
        assert_eq!(second.outcome(), "200");
        let own = client.credentials().await;
        for answer in [&first, &second, &own] {
            tokens.extend(parts(answer.str("access_token")));
            client.introspect(answer.str("access_token")).await;
        }
        for answer in [&first, &second] {
            tokens.extend(parts(answer.str("refresh_token")));
            client.introspect(answer.str("refresh_token")).await;
        }
        sid = first
            .refresh_claims()
            .get("sid")
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned();
        for (name, password) in [("alice", MISTYPED), (IN_THE_WRONG_FIELD, "x")] {
            let form = [
                ("grant_type", "password"),
                ("username", name),
                ("password", password),
            ];
            assert_eq!(client.token(&form).await.status, 400);
        }
        client.refresh(GARBAGE).await;
        client.introspect(GARBAGE).await;
        client.revoke(GARBAGE).await;
        client.revoke(own.str("access_token")).await;
        client.revoke(second.str("refresh_token")).await;
        client.refresh(second.str("refresh_token")).await;
    }
    misuse(app).await;
    let password = SecretString::new(NEW_PASSWORD.to_owned());
    inside
        .set_user_password("alice", &password, &operator)
        .await
        .unwrap();
    (sid, tokens)
}

#[tokio::test]
async fn o01_no_secret_is_in_the_log_or_in_the_database() {
    captured_logs();
    let master = MasterKey::generate().unwrap().to_base64().expose().to_owned();
    let app = Setup::default().set("keys.master_key", &master).start().await;
    let (sid, tokens) = use_everything(&app).await;
    let machine = app
        .inside()
        .create_client(None, &ClientDraft::default(), None, &TestApp::operator())
        .await
        .unwrap();
    let made = machine.secret.unwrap();
    let (log, database) = (captured_logs(), bytes_as_text(&database_files(&app).await));
    // Both were written, and this is where to look.
    assert!(log.contains(&sid));
    assert!(log.contains("sign_in_failed"));
    assert!(database.contains(&sid));
    assert!(database.contains("$argon2id$"));
    assert!(!log.contains("$argon2"));

    let mut secrets: Vec<String> = [
        CLIENT_SECRET,
        PASSWORD,
        NEW_PASSWORD,
        MISTYPED,
        IN_THE_WRONG_FIELD,
        WRONG_SECRET,
        GARBAGE,
        CODE,
        ASSERTION,
        BEARER,
        IN_THE_QUERY,
        IN_THE_PATH,
        &basic("web", CLIENT_SECRET),
        &basic("web", WRONG_SECRET),
        &master,
        made.expose(),
    ]
    .map(str::to_owned)
    .to_vec();
    secrets.extend(tokens);
    for secret in secrets {
        assert!(!log.contains(&secret), "{secret} is in the log");
        let text = as_text(secret.as_bytes());
        assert!(!database.contains(&text), "{secret} is in the database");
    }
    let raw = STANDARD.decode(&master).unwrap();
    assert!(!database.contains(&as_text(&raw)), "the master key");
    // The head of a P-256 private key in PKCS#8; public ones are kept as JSON.
    let head = [0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    assert!(!database.contains(&as_text(&head)), "a private key in the clear");
}

#[tokio::test]
async fn o01_nothing_that_can_be_printed_prints_a_secret() {
    let app = TestApp::start().await;
    let inside = app.inside();
    let web = app.client("web", "openid").await;
    app.user("alice", &[]).await;
    let password = vouchsafe_tests::password_of("alice");
    let credentials = Credentials {
        client_id: web.id.to_owned(),
        secret: Some(SecretString::new(CLIENT_SECRET.to_owned())),
        method: ClientAuthMethod::ClientSecretBasic,
    };
    let authenticated = inside.authenticate(&credentials).await.unwrap();
    let body = format!(
        "grant_type=password&username=alice&password={}&client_id=web&client_secret={CLIENT_SECRET}",
        password.replace(' ', "+")
    );
    let form = || Form::parse(body.as_bytes()).unwrap();
    let request = TokenRequest::parse(&mut form()).unwrap();
    let granted = inside.token(&authenticated, &request, "here").await.unwrap();
    let refresh = granted.refresh.as_ref().unwrap().token.clone();
    let inquiry = format!("token={refresh}");
    let draft = UserDraft {
        username: "bob".to_owned(),
        email: None,
        password: Some(SecretString::new(password.clone())),
        roles: Vec::new(),
    };
    let wrong = Form::parse(b"grant_type=password&username=alice&password=o01-mistyped");
    let wrong = TokenRequest::parse(&mut wrong.unwrap()).unwrap();
    let header = format!("Basic {}", basic("web", CLIENT_SECRET));
    let id = ClientId::parse("machine").unwrap();
    let created = inside
        .create_client(Some(id), &ClientDraft::default(), None, &TestApp::operator())
        .await
        .unwrap();
    let shown = [
        format!("{:#?}", inside.show_client(&authenticated.id).await.unwrap()),
        format!("{credentials:#?} {authenticated:?}"),
        format!("{request:#?} {:?}", PostedCredentials::take(&mut form())),
        format!("{:#?}", form()),
        format!(
            "{:#?}",
            TokenInquiry::parse(&mut Form::parse(inquiry.as_bytes()).unwrap())
        ),
        format!("{:#?}", BasicCredentials::parse(header.as_bytes())),
        format!("{:#?}", UnverifiedJws::parse(&refresh)),
        format!("{granted:#?}"),
        format!("{draft:#?}"),
        format!("{created:#?}"),
        format!("{:#?}", inside.store().login_candidate("alice").await.unwrap()),
        format!("{inside:#?} {:?}", inside.store()),
        format!("{:#?}", inside.token(&authenticated, &wrong, "here").await),
        format!(
            "{:#?}",
            inside.inspect_token(&SecretString::new(refresh.clone())).await
        ),
    ];
    let mut secrets = vec![
        CLIENT_SECRET.to_owned(),
        basic("web", CLIENT_SECRET),
        password,
        "o01-mistyped".to_owned(),
        "$argon2".to_owned(),
        created.secret.unwrap().expose().to_owned(),
    ];
    secrets.extend(parts(&refresh));
    secrets.extend(parts(&granted.access_token));
    for text in shown {
        for secret in &secrets {
            assert!(!text.contains(secret.as_str()), "{secret} in {text}");
        }
    }
}

#[test]
fn o01_a_configuration_prints_without_its_secrets() {
    let master = MasterKey::generate().unwrap();
    let text = master.to_base64();
    let given = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let sources = |master: &str| {
        Sources::new(
            None,
            vec![("VOUCHSAFE_KEYS__MASTER_KEY".to_owned(), master.to_owned())],
            vec![
                given("issuer", "https://id.example"),
                given("database.url", "sqlite:/srv/hunter22/vouchsafe.db"),
            ],
        )
    };
    let good = sources(text.expose());
    let config = Config::load(&good).unwrap();
    assert_eq!(config.keys.master_key.expose(), text.expose());
    let settings = Settings::load(&good);
    let bad = Config::load(&sources("not-a-master-key-but-secret")).unwrap_err();
    let raw = STANDARD.decode(text.expose()).unwrap();
    for shown in [
        format!("{config:#?}"),
        format!("{settings:#?}"),
        settings.show(),
        format!("{:?}", settings.rows()),
        format!("{master:#?}"),
        format!("{bad:#?} {bad}"),
    ] {
        for secret in [text.expose(), "hunter22", "not-a-master-key-but-secret"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(!shown.contains(&format!("{raw:?}")));
    }
}

#[tokio::test]
async fn c10_a_client_secret_is_shown_once() {
    let app = TestApp::start().await;
    let (inside, operator) = (app.inside(), TestApp::operator());
    let id = ClientId::parse("machine").unwrap();
    let draft = ClientDraft {
        grants: Some(vec![GrantType::ClientCredentials]),
        ..ClientDraft::default()
    };
    let created = inside
        .create_client(Some(id.clone()), &draft, None, &operator)
        .await
        .unwrap();
    let rotated = inside
        .rotate_client_secret(&id, None, false, &operator)
        .await
        .unwrap();
    let (first, second) = (created.secret.unwrap(), rotated.secret.unwrap());
    assert_ne!(first.expose(), second.expose());
    // Both work, and have the 256 bits that a plain MAC of them is safe with.
    for secret in [&first, &second] {
        let credentials = Credentials {
            client_id: "machine".to_owned(),
            secret: Some(secret.clone()),
            method: ClientAuthMethod::ClientSecretBasic,
        };
        assert!(inside.authenticate(&credentials).await.is_ok());
        assert_eq!(URL_SAFE_NO_PAD.decode(secret.expose()).unwrap().len(), 32);
    }
    let renamed = ClientDraft {
        name: Some("Machine".to_owned()),
        ..ClientDraft::default()
    };
    let updated = inside.update_client(&id, &renamed, &operator).await.unwrap();
    // A list does not even know that there are secrets.
    let listed = inside.list_clients("", 10).await.unwrap();
    assert!(listed.len() == 1 && listed[0].secrets.is_empty());
    for client in [updated, inside.show_client(&id).await.unwrap()] {
        assert_eq!(client.secrets.len(), 2);
        for known in &client.secrets {
            for secret in [&first, &second] {
                assert_ne!(known.mac, secret.expose().as_bytes());
                assert_ne!(known.mac, URL_SAFE_NO_PAD.decode(secret.expose()).unwrap());
                assert!(!secret.expose().contains(&known.id));
            }
        }
    }
}

#[tokio::test]
async fn m01_the_key_set_has_no_private_member() {
    let app = Setup::default()
        .set("keys.algorithms", "ES256,RS256,EdDSA")
        .start()
        .await;
    let address = format!("{}/.well-known/jwks.json", app.base);
    let answer = Answer::read(app.http.get(address).send().await.unwrap()).await;
    let keys = answer.json["keys"].as_array().unwrap();
    let mut kinds = BTreeSet::new();
    for key in keys {
        let kind = key["kty"].as_str().unwrap();
        let own: &[&str] = match kind {
            "EC" => &["crv", "x", "y"],
            "RSA" => &["n", "e"],
            "OKP" => &["crv", "x"],
            other => panic!("{other}"),
        };
        let members: BTreeSet<&str> = key.as_object().unwrap().keys().map(String::as_str).collect();
        let allowed: BTreeSet<&str> = ["kty", "kid", "use", "alg"].iter().chain(own).copied().collect();
        assert_eq!(members, allowed);
        assert!(key.as_object().unwrap().values().all(Value::is_string));
        kinds.insert(kind);
    }
    // Of each algorithm the key that signs and the next one; MAC keys are not there.
    assert_eq!(kinds, BTreeSet::from(["EC", "OKP", "RSA"]));
    assert_eq!(keys.len(), 6);
}
