//! A process that dies at a named step, whatever it was doing: it leaves the state before a commit or the state after it,
//! never something between, and the next process goes on from there.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that cannot go on fails where it is"
)]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use serde_json::{Map, Value};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use vouchsafe::app::open_issuer;
use vouchsafe::config::{Config, Sources};
use vouchsafe::machine::real_machine;
use vouchsafe_issuer::{ClientDraft, Issuer, KeyView, Rotation, UserDraft};
use vouchsafe_keys::Purpose;
use vouchsafe_protocol::{ClientAuthMethod, ClientId, FamilyId, GrantType, Jti, Kid, ScopeSet, SecretString};
use vouchsafe_store::{AuditEntry, Family, FamilyFilter, NewFamily, Recent};
use vouchsafe_tests::process::{self, CAN_DIE, USUAL, soon};
use vouchsafe_tests::{Answer, CLIENT_SECRET, DatabaseKind, TestApp, kid_of};

use crate::refresh::sid_of;

const DAY: Duration = Duration::from_secs(24 * 3600);
const REQUEST_LIMIT: Duration = Duration::from_secs(15);
/// The signal by which a process ends at a failpoint.
const SIGABRT: i32 = 6;

const CONFIG: &str = r#"issuer = "http://127.0.0.1:8080"

[database]
url = "DATABASE"

[keys]
master_key = "w3mBAnxwtMUx4E7y4vnVnWV0xJ8yPEoBcbRP9o0Vf2k="
algorithms = ["ES256"]

[passwords]
memory_kib = 64
iterations = 1
"#;

pub(crate) const PASSWORD: &str = "password of alice";
const SIGN_IN: [(&str, &str); 3] = [
    ("grant_type", "password"),
    ("username", "alice"),
    ("password", PASSWORD),
];

fn refreshing(token: &str) -> [(&str, &str); 2] {
    [("grant_type", "refresh_token"), ("refresh_token", token)]
}

fn http() -> reqwest::Client {
    let client = vouchsafe_tests::http_client().timeout(REQUEST_LIMIT);
    client.build().unwrap()
}

/// A configured instance, whether or not a process of it runs.
pub(crate) struct Place {
    folder: TempDir,
    http: reqwest::Client,
}

impl Place {
    /// Over a new database that has a schema and nothing else.
    pub(crate) async fn new() -> Self {
        Self::on(DatabaseKind::of_this_run()).await
    }

    async fn on(kind: DatabaseKind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = Box::pin(kind.migrated(folder.path())).await;
        Self::over(folder, &url)
    }

    fn over(folder: TempDir, database_url: &str) -> Self {
        let config = CONFIG.replace("DATABASE", database_url);
        fs::write(folder.path().join("vouchsafe.toml"), config).unwrap();
        let http = http();
        Self { folder, http }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What its processes have logged and what their commands said.
    fn log(&self) -> String {
        let log = fs::read(self.path("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// The issuer over its database, inside this process.
    async fn inside(&self) -> Issuer {
        let file = Some(self.path("vouchsafe.toml"));
        let config = Config::load(&Sources::new(file, Vec::new(), Vec::new())).unwrap();
        Box::pin(open_issuer(&config, real_machine())).await.unwrap()
    }

    /// Makes the client `app` and the person `alice`, and gives the issuer that made them.
    pub(crate) async fn furnish(&self) -> Issuer {
        let inside = self.inside().await;
        create_client(&inside, "app").await;
        let alice = UserDraft {
            username: "alice".to_owned(),
            email: None,
            password: Some(SecretString::new(PASSWORD.to_owned())),
            roles: Vec::new(),
        };
        inside.create_user(&alice, &TestApp::operator()).await.unwrap();
        inside
    }

    /// A command line of this instance, which dies at the step that is named.
    fn command(&self, program: PathBuf, failpoint: Option<&str>, line: &str) -> Command {
        let log = File::options().create(true).append(true).open(self.path("log"));
        let mut command = Command::new("/bin/sh");
        command
            // To a file that may not grow: then a write fails, and the process is told so and not ended.
            .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
            .arg(program)
            .args(line.split_whitespace())
            .args(["--config", "vouchsafe.toml", "-o", "json"])
            .current_dir(self.folder.path())
            .env_clear()
            .env("USER", "crash-tester")
            .envs(failpoint.map(|name| ("VOUCHSAFE_FAILPOINT", name)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.unwrap());
        command
    }

    /// Runs a command to its end.
    fn run(&self, failpoint: Option<&str>, line: &str) -> ExitStatus {
        self.command(process::server(CAN_DIE), failpoint, line)
            .status()
            .unwrap()
    }

    /// Runs a command that must die at a step.
    fn dies(&self, failpoint: &str, line: &str) {
        let status = self.run(Some(failpoint), line);
        assert_eq!(status.signal(), Some(SIGABRT), "{line}: {status}: {}", self.log());
    }

    /// Begins to serve.
    fn start(&self, program: PathBuf, failpoint: Option<&str>) -> Server<'_> {
        let [address, management] = process::free_addresses();
        let child = self
            .command(program, failpoint, "serve")
            .env("VOUCHSAFE_SERVER__LISTEN", address.to_string())
            .env("VOUCHSAFE_SERVER__MANAGEMENT_LISTEN", management.to_string())
            .spawn()
            .unwrap();
        Server {
            place: self,
            child,
            address,
            management,
        }
    }

    /// Serves, and is ready.
    async fn serve_by(&self, variable: &str, failpoint: Option<&str>) -> Server<'_> {
        for _ in 0..5 {
            let mut server = self.start(process::server(variable), failpoint);
            if server.becomes_ready().await {
                return server;
            }
            // Another process may take a port between our look and the listen.
            assert!(self.log().contains("cannot listen on "), "{}", self.log());
        }
        panic!("no port is free")
    }

    pub(crate) async fn serve(&self, failpoint: Option<&str>) -> Server<'_> {
        self.serve_by(CAN_DIE, failpoint).await
    }

    /// Serves until it dies at a step that a request is not needed for.
    async fn serve_and_die(&self, failpoint: &str) {
        let mut server = self.start(process::server(CAN_DIE), Some(failpoint));
        server.dies().await;
    }
}

/// A process of `vouchsafe serve`, gone with the test that started it.
pub(crate) struct Server<'p> {
    place: &'p Place,
    child: Child,
    pub(crate) address: SocketAddr,
    management: SocketAddr,
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server<'_> {
    /// False when it ended instead.
    async fn becomes_ready(&mut self) -> bool {
        let readyz = format!("http://{}/readyz", self.management);
        let (child, http) = (&mut self.child, &self.place.http);
        soon("a server that is ready", async || {
            if child.try_wait().unwrap().is_some() {
                return Some(false);
            }
            let answer = http.get(&readyz).send().await;
            answer.is_ok_and(|answer| answer.status() == 200).then_some(true)
        })
        .await
    }

    /// Waits for its death at a step.
    pub(crate) async fn dies(&mut self) {
        let child = &mut self.child;
        let status = soon("the end of a server", async || child.try_wait().unwrap()).await;
        assert_eq!(status.signal(), Some(SIGABRT), "{status}: {}", self.place.log());
    }

    fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends a form of the client `app` and gives every byte that comes back before the connection is gone.
    pub(crate) async fn bytes_for(&self, path: &str, form: &[(&str, &str)]) -> Vec<u8> {
        let mut url = reqwest::Url::parse("http://form/").unwrap();
        url.query_pairs_mut().extend_pairs(form);
        let body = url.query().unwrap_or_default();
        let pair = STANDARD.encode(format!("app:{CLIENT_SECRET}"));
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: as.example\r\nauthorization: Basic {pair}\r\ncontent-type: \
             application/x-www-form-urlencoded\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        let mut bytes = Vec::new();
        // One that is refused or breaks has ended too.
        if let Ok(mut stream) = TcpStream::connect(self.address).await {
            let _ = stream.write_all(request.as_bytes()).await;
            let _ = timeout(REQUEST_LIMIT, stream.read_to_end(&mut bytes)).await;
        }
        bytes
    }

    /// What it answered to a form over which it died.
    async fn last_words(&mut self, path: &str, form: &[(&str, &str)]) -> Vec<u8> {
        let bytes = self.bytes_for(path, form).await;
        self.dies().await;
        bytes
    }

    pub(crate) async fn ask(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        let url = format!("http://{}{path}", self.address);
        let request = self
            .place
            .http
            .post(url)
            .basic_auth("app", Some(CLIENT_SECRET))
            .form(form);
        Answer::read(request.send().await.unwrap()).await
    }

    async fn sign_in(&self) -> Answer {
        self.ask("/token", &SIGN_IN).await
    }

    async fn refresh(&self, token: &str) -> Answer {
        self.ask("/token", &refreshing(token)).await
    }

    async fn revoke(&self, token: &str) -> Answer {
        self.ask("/revoke", &[("token", token)]).await
    }

    async fn credentials(&self) -> Answer {
        self.ask("/token", &[("grant_type", "client_credentials")]).await
    }

    async fn is_active(&self, token: &str) -> bool {
        let answer = self.ask("/introspect", &[("token", token)]).await;
        let active = answer.json.get("active").and_then(Value::as_bool);
        active.unwrap_or_else(|| panic!("{} {}", answer.status, answer.text))
    }

    /// The kids of its key set.
    async fn published(&self) -> BTreeSet<String> {
        let url = format!("http://{}/.well-known/jwks.json", self.address);
        let answer = Answer::read(self.place.http.get(url).send().await.unwrap()).await;
        assert_eq!(answer.status, 200);
        let keys = answer.json.get("keys").and_then(Value::as_array).unwrap();
        let kid = |key: &Value| key.get("kid").and_then(Value::as_str).unwrap().to_owned();
        keys.iter().map(kid).collect()
    }

    /// From now on each write of this process to a file fails as on a full disk, or none does any more.
    fn fill_disk(&self, full: bool) {
        let limit = if full { "0" } else { "unlimited" };
        let status = Command::new("prlimit")
            .args(["--pid", &self.child.id().to_string()])
            .arg(format!("--fsize={limit}:unlimited"))
            .status();
        assert!(status.unwrap().success());
    }
}

async fn create_client(inside: &Issuer, id: &str) {
    let draft = ClientDraft {
        auth_method: Some(ClientAuthMethod::ClientSecretBasic),
        grants: Some(vec![
            GrantType::ClientCredentials,
            GrantType::RefreshToken,
            GrantType::Password,
        ]),
        scope: Some(ScopeSet::parse("openid").unwrap()),
        rotation: Some(Rotation::Always),
        ..ClientDraft::default()
    };
    let secret = SecretString::new(CLIENT_SECRET.to_owned());
    inside
        .create_client(
            Some(ClientId::parse(id).unwrap()),
            &draft,
            Some(secret),
            &TestApp::operator(),
        )
        .await
        .unwrap();
}

/// The family of an answer, as it is in the database.
async fn family(inside: &Issuer, answer: &Answer) -> Family {
    inside.store().family(&sid_of(answer)).await.unwrap().unwrap()
}

/// Every family there is, ended and expired ones too.
pub(crate) async fn families(inside: &Issuer) -> Vec<FamilyId> {
    let filter = FamilyFilter {
        ended_too: true,
        ..FamilyFilter::default()
    };
    let found = inside
        .store()
        .families(&filter, inside.now(), 1_000)
        .await
        .unwrap();
    found.into_iter().map(|summary| summary.family.id).collect()
}

async fn kids(inside: &Issuer) -> BTreeSet<Kid> {
    let keys = inside.list_keys().await.unwrap();
    keys.into_iter().map(|key| key.kid).collect()
}

/// The key that signs.
async fn signing_kid(inside: &Issuer) -> Kid {
    let keys = inside.list_keys().await.unwrap();
    let mut active = keys
        .into_iter()
        .filter(|key| key.purpose == Purpose::Signing && key.state == "active");
    active.next().unwrap().kid
}

async fn state_of(inside: &Issuer, kid: &Kid) -> &'static str {
    let keys = inside.list_keys().await.unwrap();
    keys.iter().find(|key| key.kid == *kid).unwrap().state
}

/// Asserts that each kind of key has exactly one that is active, and that the server publishes exactly the keys that
/// sign, will sign or have signed, and signs with one of them.
async fn assert_whole(inside: &Issuer, server: &Server<'_>, when: &str) {
    let keys = inside.list_keys().await.unwrap();
    for purpose in [Purpose::Signing, Purpose::RefreshMac, Purpose::SecretHash] {
        let active = keys
            .iter()
            .filter(|key| key.purpose == purpose && key.state == "active")
            .count();
        assert_eq!(active, 1, "{when}: {keys:?}");
    }
    let next = keys.iter().any(|key| is_signing(key) && key.state == "next");
    assert!(next, "{when}: {keys:?}");
    let known: BTreeSet<String> = keys
        .iter()
        .filter(|key| is_signing(key) && !["retired", "compromised"].contains(&key.state))
        .map(|key| key.kid.to_string())
        .collect();
    let same = async || (server.published().await == known).then_some(());
    soon("a server that publishes what is in the database", same).await;
    let token = server.credentials().await;
    let token = token.str("access_token");
    let kid = kid_of(token);
    assert!(known.contains(kid.as_str()), "{when}: {kid} signs");
    assert!(server.is_active(token).await, "{when}");
}

fn is_signing(key: &KeyView) -> bool {
    key.purpose == Purpose::Signing
}

/// Begins a family like that one, which ended long ago.
async fn begin_expired(inside: &Issuer, like: &Family) {
    let entropy = real_machine().entropy;
    let long_ago = like.created_at.minus(DAY * 500);
    let family = Family {
        id: FamilyId::random(&*entropy),
        auth_time: long_ago,
        seq: 0,
        current_jti: Jti::random(&*entropy),
        previous_jti: None,
        rotated_at: long_ago,
        recent: Recent::default(),
        created_at: long_ago,
        idle_expires_at: long_ago,
        absolute_expires_at: long_ago,
        ended: None,
        session_id: None,
        claims: None,
        ..like.clone()
    };
    let audit = AuditEntry {
        at: like.created_at,
        event: "family_begun",
        actor_kind: "system",
        actor: None,
        client_id: Some(family.client_id.clone()),
        subject: Some(family.subject.clone()),
        sid: Some(family.id.clone()),
        detail: Map::new(),
    };
    let new = NewFamily {
        family,
        password_hash: None,
    };
    assert!(inside.store().begin_family(&new, &audit).await.unwrap());
}

#[tokio::test]
async fn f1_f3_r7_a_death_before_the_commit_changed_nothing_and_told_nothing() {
    let place = Place::new().await;
    let inside = place.furnish().await;
    let mut server = place.serve(Some("refresh.before_commit")).await;
    let first = server.sign_in().await;
    let token = first.str("refresh_token");
    // A successor that no commit knows has been given to nobody.
    assert_eq!(server.last_words("/token", &refreshing(token)).await, b"");
    let row = family(&inside, &first).await;
    assert_eq!(row.seq, 0);
    assert_eq!(first.refresh_claims()["jti"], row.current_jti.as_str());
    let server = place.serve(None).await;
    let second = server.refresh(token).await;
    assert_eq!(second.refresh_claims()["seq"], 1);
    let third = server.refresh(second.str("refresh_token")).await;
    assert_eq!(third.refresh_claims()["seq"], 2);
}

#[tokio::test]
async fn f2_f3_r2_r7_a_death_after_the_commit_is_made_up_for_by_the_retry() {
    let place = Place::new().await;
    let inside = place.furnish().await;
    // The second signature is that of the refresh: it comes when the rotation is in the database already, so no
    // successor is ever signed that might not be.
    for failpoint in ["refresh.after_commit", "token.before_sign:2"] {
        let mut server = place.serve(Some(failpoint)).await;
        let first = server.sign_in().await;
        let token = first.str("refresh_token");
        let said = server.last_words("/token", &refreshing(token)).await;
        assert_eq!(said, b"", "{failpoint}");
        let row = family(&inside, &first).await;
        assert_eq!(row.seq, 1, "{failpoint}");
        let server = place.serve(None).await;
        let again = server.refresh(token).await;
        assert_eq!(again.refresh_claims()["seq"], 1, "{failpoint}");
        assert_eq!(
            again.refresh_claims()["jti"],
            row.current_jti.as_str(),
            "{failpoint}"
        );
        let once_more = server.refresh(token).await;
        assert_eq!(once_more.str("refresh_token"), again.str("refresh_token"));
        assert_eq!(family(&inside, &first).await.seq, 1, "one rotation");
        let next = server.refresh(again.str("refresh_token")).await;
        assert_eq!(next.refresh_claims()["seq"], 2);
    }
}

#[tokio::test]
async fn f1_f2_r8_a_death_under_many_refreshes_signs_nobody_out() {
    let place = Place::new().await;
    let inside = place.furnish().await;
    for failpoint in ["refresh.before_commit:2", "refresh.after_commit:2"] {
        let mut server = place.serve(Some(failpoint)).await;
        let mut firsts = Vec::new();
        for _ in 0..16 {
            firsts.push(server.sign_in().await);
        }
        let forms: Vec<_> = firsts
            .iter()
            .map(|first| refreshing(first.str("refresh_token")))
            .collect();
        // Over and over, so that there is a second commit, whatever came together in the first.
        for _ in 0..8 {
            let answers = join_all(forms.iter().map(|form| server.bytes_for("/token", form))).await;
            if answers.iter().any(Vec::is_empty) {
                break;
            }
        }
        server.dies().await;
        let server = place.serve(None).await;
        for first in &firsts {
            let again = server.refresh(first.str("refresh_token")).await;
            assert_eq!(again.refresh_claims()["seq"], 1, "{failpoint}");
            let row = family(&inside, first).await;
            assert_eq!(row.seq, 1, "{failpoint}");
            assert_eq!(
                again.refresh_claims()["jti"],
                row.current_jti.as_str(),
                "{failpoint}"
            );
        }
    }
}

#[tokio::test]
async fn r7_a_death_in_a_sign_in_leaves_a_session_that_nobody_holds_or_none() {
    let place = Place::new().await;
    let inside = place.furnish().await;
    for (failpoint, begun) in [("family.before_commit", 0), ("family.after_commit", 1)] {
        let before = families(&inside).await.len();
        let mut server = place.serve(Some(failpoint)).await;
        assert_eq!(server.last_words("/token", &SIGN_IN).await, b"", "{failpoint}");
        assert_eq!(families(&inside).await.len(), before + begun, "{failpoint}");
        let server = place.serve(None).await;
        let first = server.sign_in().await;
        assert_eq!(first.outcome(), "200", "{failpoint}");
        let second = server.refresh(first.str("refresh_token")).await;
        assert_eq!(second.outcome(), "200", "{failpoint}");
        assert_eq!(families(&inside).await.len(), before + begun + 1, "{failpoint}");
    }
}

#[tokio::test]
async fn r6_r7_a_death_in_a_revocation_leaves_a_session_alive_or_dead_with_all_its_tokens() {
    let place = Place::new().await;
    let inside = place.furnish().await;
    let logged = async || inside.store().log_heads().await.unwrap().revocation;
    for (failpoint, dead) in [("revoke.before_commit", false), ("revoke.after_commit", true)] {
        let before = logged().await;
        let mut server = place.serve(Some(failpoint)).await;
        let first = server.sign_in().await;
        let (access, refresh) = (first.str("access_token"), first.str("refresh_token"));
        let said = server.last_words("/revoke", &[("token", refresh)]).await;
        assert_eq!(said, b"", "{failpoint}: nothing is said to be revoked");
        assert_eq!(logged().await - before, i64::from(dead), "{failpoint}");
        let server = place.serve(None).await;
        for token in [access, refresh] {
            assert_eq!(server.is_active(token).await, !dead, "{failpoint}");
        }
        assert_eq!(server.revoke(refresh).await.outcome(), "200", "{failpoint}");
        assert_eq!(logged().await - before, 1, "{failpoint}: it ends once");
        assert!(!server.is_active(access).await, "{failpoint}");
        let refused = server.refresh(refresh).await;
        assert_eq!(refused.outcome(), "400 invalid_grant revoked", "{failpoint}");
    }
}

#[tokio::test]
async fn f5_k2_k3_k8_a_death_in_a_change_of_keys_leaves_one_whole_set() {
    let place = Place::new().await;
    let inside = place.furnish().await;
    let server = place.serve(None).await;
    let steps = [
        ("keys.generated", false),
        ("keys.before_commit", false),
        ("keys.after_commit", true),
    ];
    for (failpoint, done) in steps {
        let before = kids(&inside).await;
        place.dies(failpoint, "keys rotate");
        let after = kids(&inside).await;
        assert!(after.is_superset(&before), "{failpoint}");
        assert_eq!(after.len() - before.len(), usize::from(done), "{failpoint}");
        assert_whole(&inside, &server, failpoint).await;
    }
    // What the last one committed is a whole rotation: there is nothing left to do.
    let before = kids(&inside).await;
    assert!(place.run(None, "keys rotate").success(), "{}", place.log());
    assert_eq!(kids(&inside).await, before);
    let bad = signing_kid(&inside).await;
    for (failpoint, done) in steps {
        place.dies(failpoint, &format!("keys revoke {bad} --yes"));
        let state = if done { "compromised" } else { "active" };
        assert_eq!(state_of(&inside, &bad).await, state, "{failpoint}");
        assert_whole(&inside, &server, failpoint).await;
    }
    let revoked_twice = place.run(None, &format!("keys revoke {bad} --yes"));
    assert_eq!(revoked_twice.code(), Some(4), "{}", place.log());
}

#[tokio::test]
async fn f5_k3_a_death_while_the_first_keys_are_made_leaves_none_or_all() {
    let place = Place::new().await;
    for failpoint in ["keys.generated", "keys.before_commit", "keys.after_commit"] {
        place.serve_and_die(failpoint).await;
    }
    let server = place.serve(None).await;
    let inside = place.furnish().await;
    // One that signs and the next one, one for refresh tokens, one for client secrets.
    assert_eq!(kids(&inside).await.len(), 4);
    assert_whole(&inside, &server, "at last").await;
}

#[tokio::test]
async fn f6_a_death_in_a_sweep_takes_nothing_that_is_needed_and_the_next_sweep_goes_on() {
    let place = Place::new().await;
    let inside = place.furnish().await;
    let server = place.serve(None).await;
    let (living, ended) = (server.sign_in().await, server.sign_in().await);
    assert_eq!(server.revoke(ended.str("refresh_token")).await.outcome(), "200");
    drop(server);
    let kept = [family(&inside, &living).await, family(&inside, &ended).await];
    let expired = async || families(&inside).await.len() - kept.len();
    for (failpoint, swept) in [("sweep.before_commit", false), ("sweep.after_commit", true)] {
        for _ in 0..20 {
            begin_expired(&inside, &kept[0]).await;
        }
        let before = expired().await;
        place.serve_and_die(failpoint).await;
        let after = expired().await;
        // They are few enough for one commit.
        assert_eq!(after, if swept { 0 } else { before }, "{failpoint}");
    }
    for _ in 0..20 {
        begin_expired(&inside, &kept[0]).await;
    }
    let server = place.serve(None).await;
    let none = async || (expired().await == 0).then_some(());
    soon("a sweep", none).await;
    assert_eq!(family(&inside, &living).await, kept[0]);
    assert_eq!(family(&inside, &ended).await, kept[1]);
    assert_eq!(server.refresh(living.str("refresh_token")).await.outcome(), "200");
    let refused = server.refresh(ended.str("refresh_token")).await;
    assert_eq!(refused.outcome(), "400 invalid_grant revoked");
}

#[tokio::test]
async fn the_usual_server_has_no_steps_at_which_it_dies() {
    let place = Place::new().await;
    let _inside = place.furnish().await;
    let server = place.serve_by(USUAL, Some("refresh.before_commit")).await;
    let first = server.sign_in().await;
    let second = server.refresh(first.str("refresh_token")).await;
    assert_eq!(second.outcome(), "200");
}

/// The issuer's own disk is that of the database; `faults` fills the disk of a PostgreSQL.
mod on_sqlite {
    use super::*;

    #[tokio::test]
    async fn f12_a_full_disk_is_503_and_the_process_lives_and_goes_on() {
        let place = Place::on(DatabaseKind::Sqlite).await;
        let inside = place.furnish().await;
        let mut server = place.serve(None).await;
        let first = server.sign_in().await;
        let (access, refresh) = (first.str("access_token"), first.str("refresh_token"));
        // The log is a file on that disk too.
        server.fill_disk(true);
        for _ in 0..3 {
            server.sign_in().await.assert_must_wait("a sign-in");
            server.refresh(refresh).await.assert_must_wait("a refresh");
            server.revoke(refresh).await.assert_must_wait("a revocation");
            assert!(server.is_active(access).await);
            assert_eq!(server.credentials().await.outcome(), "200");
            assert!(!server.published().await.is_empty());
        }
        assert!(server.is_running(), "{}", place.log());
        assert_eq!(
            family(&inside, &first).await.seq,
            0,
            "nothing came through by halves"
        );
        server.fill_disk(false);
        let mut token = refresh.to_owned();
        let refreshing = async {
            for seq in 1..=100 {
                let answer = server.refresh(&token).await;
                assert_eq!(answer.refresh_claims()["seq"], seq);
                token = answer.str("refresh_token").to_owned();
            }
        };
        // Beside another process that writes: a transaction still takes the write lock when it begins.
        let beside = async {
            for n in 0..100 {
                create_client(&inside, &format!("beside-{n}")).await;
            }
        };
        tokio::join!(refreshing, beside);
        assert_eq!(family(&inside, &first).await.seq, 100);
    }
}

/// A database that is away: `cli` tells of a file that is not there.
mod on_postgres {
    use super::*;

    #[tokio::test]
    async fn f7_a_start_without_the_database_fails_at_once_and_says_so() {
        let [nobody] = process::free_addresses();
        let url = format!("postgres://vouchsafe:sesame@{nobody}/vouchsafe?sslmode=disable");
        let place = Place::over(tempfile::tempdir().unwrap(), &url);
        let status = place.run(None, "serve");
        let log = place.log();
        assert_eq!(status.code(), Some(5), "{log}");
        assert!(log.contains("the database"), "{log}");
        assert!(!log.contains("sesame"), "{log}");
    }
}
