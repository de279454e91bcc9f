//! A database that went back in time: a restored backup, a fail-over that lost commits. It is noticed, nothing is minted
//! from it, and once that is accepted nothing comes back that was ended.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that cannot go on fails where it is"
)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sea_orm::{ConnectOptions, ConnectionTrait as _, DatabaseConnection, DbBackend, Statement};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;
use vouchsafe::app::{App, StartError};
use vouchsafe::config::{Config, Sources};
use vouchsafe::machine::real_machine;
use vouchsafe_issuer::{Machine, Standing};
use vouchsafe_keys::{KeyAlgorithm, Purpose, Urgency};
use vouchsafe_protocol::{FamilyId, Kid};
use vouchsafe_tests::{
    Answer, Cluster, DatabaseKind, Setup, Snapshot, TestApp, TestClient, captured_logs, claims_of,
    on_postgres,
};

/// It guards nothing.
const MASTER_KEY: &str = "i5MdE0xqlkANcaeUT0k9nAdiIZ/Gl3UZaEdZLZgIBf0=";

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// A database that can be put back to where it was.
enum Timeline {
    File {
        folder: TempDir,
    },
    Cluster {
        cluster: Box<Cluster>,
        url: String,
        snapshot: Option<Snapshot>,
    },
}

impl Timeline {
    async fn file() -> Self {
        let folder = tempfile::tempdir().unwrap();
        DatabaseKind::Sqlite.migrated(folder.path()).await;
        Self::File { folder }
    }

    async fn cluster() -> Self {
        let cluster = Box::new(Cluster::start().await);
        let url = cluster.database().await;
        Self::Cluster {
            cluster,
            url,
            snapshot: None,
        }
    }

    fn url(&self) -> String {
        match self {
            Self::File { folder } => format!("sqlite:{}", database_in(folder.path()).display()),
            Self::Cluster { url, .. } => url.clone(),
        }
    }

    /// Makes the backup, anew each time.
    async fn remember(&mut self) {
        let url = self.url();
        match self {
            Self::File { folder } => {
                let backup = backup_in(folder.path());
                let _ = fs::remove_file(&backup);
                let connection = connect(&url).await;
                let sql = format!("VACUUM INTO '{}'", backup.display());
                connection.execute_unprepared(&sql).await.unwrap();
                connection.close().await.unwrap();
            }
            Self::Cluster {
                cluster, snapshot, ..
            } => {
                cluster.stop_immediately().await;
                *snapshot = Some(cluster.copy_data().await);
                cluster.start_again().await;
            }
        }
    }

    /// Puts the backup in the place of the database while nobody has it open.
    async fn go_back(&self) {
        match self {
            Self::File { folder } => {
                let file = database_in(folder.path());
                for name in ["vouchsafe.db-wal", "vouchsafe.db-shm"] {
                    let _ = fs::remove_file(folder.path().join(name));
                }
                fs::copy(backup_in(folder.path()), file).unwrap();
            }
            Self::Cluster { .. } => self.go_back_under_way().await,
        }
    }

    /// Puts the backup in the place of the database under running issuers.
    async fn go_back_under_way(&self) {
        match self {
            Self::File { folder } => put_back(&self.url(), &backup_in(folder.path())).await,
            Self::Cluster {
                cluster, snapshot, ..
            } => {
                cluster.stop_immediately().await;
                cluster.restore_data(snapshot.as_ref().unwrap()).await;
                cluster.start_again().await;
            }
        }
    }
}

fn database_in(folder: &Path) -> PathBuf {
    folder.join("vouchsafe.db")
}

fn backup_in(folder: &Path) -> PathBuf {
    folder.join("backup.db")
}

async fn connect(url: &str) -> DatabaseConnection {
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    sea_orm::Database::connect(options).await.unwrap()
}

/// Makes every table what it is in another file, in one transaction.
async fn put_back(url: &str, backup: &Path) {
    let connection = connect(url).await;
    let sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    let tables = connection
        .query_all_raw(Statement::from_string(DbBackend::Sqlite, sql))
        .await
        .unwrap();
    let mut script = format!(
        "ATTACH DATABASE '{}' AS backup; BEGIN IMMEDIATE; ",
        backup.display()
    );
    for table in tables {
        let name: String = table.try_get("", "name").unwrap();
        script.push_str(&format!(
            "DELETE FROM main.\"{name}\"; INSERT INTO main.\"{name}\" SELECT * FROM backup.\"{name}\"; "
        ));
    }
    script.push_str("COMMIT; DETACH DATABASE backup");
    connection.execute_unprepared(&script).await.unwrap();
    connection.close().await.unwrap();
}

/// The first application on a database, whose clock and name the others share.
async fn first_on(url: &str, dir: &Path) -> TestApp {
    let setup = Setup::default().set("database.url", url);
    with_state(setup, dir).start().await
}

/// Another application on the same database; a restart, if the one before is closed.
fn again(first: &TestApp, dir: &Path) -> Setup {
    let setup = Setup::default().beside(first).set("issuer", &first.issuer);
    with_state(setup, dir)
}

fn with_state(setup: Setup, dir: &Path) -> Setup {
    setup
        .set("keys.master_key", MASTER_KEY)
        .set("state.dir", dir.to_str().unwrap())
}

async fn close(app: &TestApp) {
    app.inside().store().close().await;
}

/// What an application opened by hand needs, with a folder for its state or without.
fn config(first: &TestApp, dir: Option<&Path>) -> Config {
    let mut settings = vec![
        ("issuer", first.issuer.as_str()),
        ("database.url", first.database_url()),
        ("keys.master_key", MASTER_KEY),
        ("keys.algorithms", "ES256"),
        ("passwords.memory_kib", "64"),
        ("passwords.iterations", "1"),
    ];
    settings.extend(dir.map(|dir| ("state.dir", dir.to_str().unwrap())));
    let flags = settings
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    Config::load(&Sources::new(None, Vec::new(), flags)).unwrap()
}

fn machine(first: &TestApp) -> Machine {
    Machine {
        clock: Arc::clone(&first.clock) as _,
        entropy: real_machine().entropy,
        database_clock: None,
    }
}

/// Why an application does not open.
async fn refusal(first: &TestApp, dir: &Path) -> StartError {
    match App::open(config(first, Some(dir)), machine(first)).await {
        Ok(_) => panic!("it opens"),
        Err(error) => error,
    }
}

/// What the file outside the database says.
fn state(dir: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(dir.join("state.json")).unwrap()).unwrap()
}

fn number(state: &Value, member: &str) -> i64 {
    state.get(member).and_then(Value::as_i64).unwrap()
}

fn has_kid(state: &Value, member: &str, kid: &Kid) -> bool {
    let kids = state.get(member).and_then(Value::as_array).unwrap();
    kids.iter().any(|known| known.as_str() == Some(kid.as_str()))
}

/// Changes the file as it would be if its replica had seen more.
fn knows_more(dir: &Path, change: impl FnOnce(&mut serde_json::Map<String, Value>)) {
    let mut state = state(dir);
    change(state.as_object_mut().unwrap());
    fs::write(dir.join("state.json"), state.to_string()).unwrap();
}

/// Waits until the heartbeat has taken out of the database all that is in it now.
async fn kept(dir: &Path, app: &TestApp) {
    let mark = app.inside().store().mark().await.unwrap();
    for _ in 0..200 {
        let state = state(dir);
        if number(&state, "heartbeat") > mark.heartbeat
            && number(&state, "revocation") == mark.revocation
            && number(&state, "change") >= mark.change
        {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("no heartbeat: {}", state(dir));
}

/// One heartbeat, as soon as the database answers: connections that broke are found out one by one.
async fn beat(app: &TestApp) -> Standing {
    for _ in 0..200 {
        match app.inside().beat().await {
            Ok(standing) => return standing,
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
    panic!("the database does not answer")
}

/// Waits until every kind of connection works again.
async fn recovered(app: &TestApp) {
    let (store, mut in_a_row) = (app.inside().store(), 0);
    for _ in 0..200 {
        let read = store.living_families(app.now()).await.is_ok();
        if read && store.mark().await.is_ok() {
            in_a_row += 1;
        } else {
            in_a_row = 0;
            sleep(Duration::from_millis(20)).await;
        }
        if in_a_row == 10 {
            return;
        }
    }
    panic!("the database does not answer")
}

/// The key that a token was made with.
fn kid_of(token: &str) -> Kid {
    let header = token.split('.').next().unwrap();
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    Kid::parse(header.get("kid").and_then(Value::as_str).unwrap()).unwrap()
}

async fn published(app: &TestApp) -> Vec<String> {
    let jwks = app.http.get(format!("{}/.well-known/jwks.json", app.base)).send();
    let jwks = Answer::read(jwks.await.unwrap()).await;
    assert_eq!(jwks.status, 200);
    let keys = jwks.json.get("keys").and_then(Value::as_array).unwrap().clone();
    let kid = |key: Value| key.get("kid").and_then(Value::as_str).unwrap().to_owned();
    keys.into_iter().map(kid).collect()
}

async fn is_ready(app: &TestApp) -> bool {
    let ready = app.http.get(format!("{}/readyz", app.management)).send();
    ready.await.unwrap().status() == 200
}

async fn state_of(app: &TestApp, kid: &Kid) -> &'static str {
    let keys = app.inside().list_keys().await.unwrap();
    keys.iter().find(|key| key.kid == *kid).unwrap().state
}

async fn rotate_now(app: &TestApp) {
    let lines = app.inside().signing_lines();
    let now = Urgency::Now { force: true };
    let operator = TestApp::operator();
    let rotated = app.inside().rotate_keys(&lines, now, &operator);
    rotated.await.unwrap();
    app.advance(SECOND * 10).await;
}

/// Every token that was ever issued.
#[derive(Default)]
struct Issued {
    access: Vec<String>,
    refresh: Vec<String>,
}

impl Issued {
    /// Keeps what an answer brought, and gives its refresh token.
    fn keep(&mut self, answer: &Answer) -> String {
        assert_eq!(answer.status, 200, "{}", answer.text);
        self.access.push(answer.str("access_token").to_owned());
        let refresh = answer.json.get("refresh_token").and_then(Value::as_str);
        let refresh = refresh.unwrap_or_default().to_owned();
        if !refresh.is_empty() {
            self.refresh.push(refresh.clone());
        }
        refresh
    }

    /// Presents all of them; says how those fared that were not refused for good.
    async fn accepted(&self, web: TestClient<'_>) -> Vec<String> {
        let mut accepted = Vec::new();
        for token in &self.refresh {
            let outcome = web.refresh(token).await.outcome();
            if !outcome.starts_with("400 invalid_grant ") {
                accepted.push(outcome);
            }
        }
        for token in self.access.iter().chain(&self.refresh) {
            if web.is_active(token).await {
                accepted.push("active".to_owned());
            }
        }
        accepted
    }
}

async fn a_restored_backup_is_refused_and_brings_nothing_back(mut timeline: Timeline) {
    let outside = tempfile::tempdir().unwrap();
    let dir = outside.path().join("state");
    let first = first_on(&timeline.url(), &dir).await;
    for name in ["alice", "bob"] {
        first.user(name, &[]).await;
    }
    let web = first.client("web", "openid").await;
    let mut issued = Issued::default();
    let alice = issued.keep(&web.sign_in("alice").await);
    let alice = issued.keep(&web.refresh(&alice).await);
    let bob = issued.keep(&web.sign_in("bob").await);
    let spent = kid_of(issued.access.first().unwrap());
    close(&first).await;
    timeline.remember().await;

    // What the backup lacks: rotations, an end, families, a person, a rotated key and a revoked one.
    let later = again(&first, &dir).with_tasks().start().await;
    let at_later = web.at(&later);
    let alice = issued.keep(&at_later.refresh(&alice).await);
    issued.keep(&at_later.refresh(&alice).await);
    assert_eq!(at_later.revoke(&bob).await.status, 200);
    issued.keep(&at_later.sign_in("bob").await);
    later.user("carol", &[]).await;
    issued.keep(&at_later.sign_in("carol").await);
    rotate_now(&later).await;
    issued.keep(&at_later.credentials().await);
    let denied = kid_of(issued.access.last().unwrap());
    assert_ne!(denied, spent);
    later
        .inside()
        .revoke_key(&denied, &TestApp::operator())
        .await
        .unwrap();
    issued.keep(&at_later.credentials().await);
    kept(&dir, &later).await;
    close(&later).await;
    drop(later);
    timeline.go_back().await;
    first.clock.advance(MINUTE);

    let StartError::Rollback(told) = refusal(&first, &dir).await else {
        panic!("refused for another reason")
    };
    let told = told.to_string();
    for part in [
        "state.json knows epoch 1",
        "--accept-rollback",
        "all 2 live sessions",
    ] {
        assert!(told.contains(part), "{told}");
    }
    let opened =
        App::open_accepting_rollback(config(&first, Some(&dir)), machine(&first), TestApp::operator());
    let (app, accepted) = Box::pin(opened).await.unwrap();
    let accepted = accepted.unwrap();
    assert_eq!((accepted.families, accepted.keys, accepted.mark.epoch), (2, 2, 2));
    app.issuer().store().close().await;
    drop(app);

    first.clock.advance(SECOND * 2);
    let restored = again(&first, &dir).start().await;
    let web = web.at(&restored);
    assert_eq!(issued.accepted(web).await, Vec::<String>::new());
    let carol = issued.refresh.last().unwrap();
    assert_eq!(
        web.refresh(carol).await.outcome(),
        "400 invalid_grant state_rollback"
    );
    assert!(!published(&restored).await.contains(&denied.to_string()));
    assert_eq!(state_of(&restored, &denied).await, "compromised");
    assert_eq!(state_of(&restored, &spent).await, "verify_only");
    let kept = state(&dir);
    assert!(has_kid(&kept, "denied_kids", &denied) && has_kid(&kept, "spent_kids", &spent));
    assert_eq!(number(&kept, "epoch"), 2);
    let audit = restored.inside().store().audit_tail(50).await.unwrap();
    assert!(audit.iter().any(|entry| entry.event == "state_rollback_accepted"));

    // Honest people go on.
    let alice = web.sign_in("alice").await;
    assert!(![denied, spent].contains(&kid_of(alice.str("access_token"))));
    assert!(web.is_active(alice.str("access_token")).await);
    assert_eq!(web.refresh(alice.str("refresh_token")).await.outcome(), "200");
}

#[tokio::test]
async fn f13_f14_a_restored_file_is_refused_and_brings_nothing_back() {
    Box::pin(a_restored_backup_is_refused_and_brings_nothing_back(
        Timeline::file().await,
    ))
    .await;
}

#[tokio::test]
async fn f13_f14_a_restored_cluster_is_refused_and_brings_nothing_back() {
    if !on_postgres() {
        return;
    }
    Box::pin(a_restored_backup_is_refused_and_brings_nothing_back(
        Timeline::cluster().await,
    ))
    .await;
}

async fn lost_commits_are_noticed_and_nobody_is_punished(mut timeline: Timeline) {
    drop(captured_logs());
    let outside = tempfile::tempdir().unwrap();
    let (dir, other_dir) = (outside.path().join("a"), outside.path().join("b"));
    let app = first_on(&timeline.url(), &dir).await;
    for name in ["alice", "bob"] {
        app.user(name, &[]).await;
    }
    let web = app.client("web", "openid").await;
    let mut issued = Issued::default();
    let alice = issued.keep(&web.sign_in("alice").await);
    let bob = issued.keep(&web.sign_in("bob").await);
    let family = FamilyId::parse(claims_of(&alice).get("sid").and_then(Value::as_str).unwrap()).unwrap();
    let other = again(&app, &other_dir).start().await;
    assert_eq!([beat(&app).await, beat(&other).await], [Standing::Current; 2]);
    timeline.remember().await;
    recovered(&app).await;

    // A lost rotation leaves no trace but the token itself.
    let second = issued.keep(&web.refresh(&alice).await);
    let third = issued.keep(&web.refresh(&second).await);
    timeline.go_back_under_way().await;
    recovered(&app).await;
    for lost in [&third, &second] {
        let refused = web.refresh(lost).await;
        assert_eq!(refused.outcome(), "400 invalid_grant state_rollback");
    }
    let row = app.inside().store().family(&family).await.unwrap().unwrap();
    assert_eq!((row.ended, row.seq), (None, 0));

    // Everything else leaves one in the numbers.
    assert_eq!([beat(&app).await, beat(&other).await], [Standing::Current; 2]);
    assert_eq!(web.revoke(&bob).await.status, 200);
    assert_eq!([beat(&app).await, beat(&other).await], [Standing::Current; 2]);
    timeline.go_back_under_way().await;
    recovered(&app).await;
    let found = app.inside().store().mark().await.unwrap();
    for _ in 0..3 {
        assert_eq!([beat(&app).await, beat(&other).await], [Standing::Behind; 2]);
    }
    assert_eq!(
        app.inside().store().mark().await.unwrap(),
        found,
        "it was touched"
    );
    assert!(captured_logs().contains("\"known\":\"Mark {"));
    let access = issued.access.first().unwrap().clone();
    for answer in [
        web.credentials().await,
        web.sign_in("alice").await,
        web.refresh(&alice).await,
        web.introspect(&access).await,
        web.introspect(&alice).await,
        web.revoke(&access).await,
        web.revoke(&bob).await,
    ] {
        assert_eq!(answer.outcome(), "503 temporarily_unavailable state_rollback");
        assert!(answer.header("retry-after").is_some());
    }
    app.inside().follow().await.unwrap();
    assert!(!is_ready(&app).await);
    assert!(!published(&app).await.is_empty());
    assert_eq!(app.inside().store().living_families(app.now()).await.unwrap(), 2);

    app.clock.advance(MINUTE);
    let operator = TestApp::operator();
    let accepted = app.inside().accept_rollback(&operator);
    let accepted = Box::pin(accepted).await.unwrap().unwrap();
    assert_eq!((accepted.families, accepted.mark.epoch), (2, 2));
    assert!(accepted.known.heartbeat > found.heartbeat && accepted.mark.heartbeat > accepted.known.heartbeat);
    recovered(&other).await;
    assert_eq!(beat(&other).await, Standing::NewEpoch);
    app.clock.advance(SECOND * 2);
    for replica in [&app, &other] {
        replica.inside().follow().await.unwrap();
        assert_eq!(beat(replica).await, Standing::Current);
        assert!(is_ready(replica).await);
        let web = web.at(replica);
        assert_eq!(issued.accepted(web).await, Vec::<String>::new());
        let alice = web.sign_in("alice").await;
        assert_eq!(web.refresh(alice.str("refresh_token")).await.outcome(), "200");
    }
}

#[tokio::test]
async fn f10_r12_a_file_that_loses_commits_is_noticed_and_nobody_is_punished() {
    Box::pin(lost_commits_are_noticed_and_nobody_is_punished(
        Timeline::file().await,
    ))
    .await;
}

#[tokio::test]
async fn f10_r12_a_cluster_that_loses_commits_is_noticed_and_nobody_is_punished() {
    if !on_postgres() {
        return;
    }
    Box::pin(lost_commits_are_noticed_and_nobody_is_punished(
        Timeline::cluster().await,
    ))
    .await;
}

#[tokio::test]
async fn f10_a_running_server_notices_by_itself_and_goes_on_by_itself() {
    let mut timeline = Timeline::file().await;
    let outside = tempfile::tempdir().unwrap();
    let (dir, other_dir) = (outside.path().join("a"), outside.path().join("b"));
    let first = first_on(&timeline.url(), &dir).await;
    let web = first.client("web", "openid").await;
    timeline.remember().await;
    let running = again(&first, &other_dir).with_tasks().start().await;
    let web = web.at(&running);
    assert_eq!(web.credentials().await.outcome(), "200");
    kept(&other_dir, &running).await;
    kept(&other_dir, &running).await;
    timeline.go_back_under_way().await;
    let becomes = async |wanted: &str| {
        for _ in 0..200 {
            if web.credentials().await.outcome() == wanted {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("never {wanted}");
    };
    becomes("503 temporarily_unavailable state_rollback").await;
    // Whoever starts the next one accepts it, by the file of the one that runs.
    let opened = App::open_accepting_rollback(
        config(&first, Some(&other_dir)),
        machine(&first),
        TestApp::operator(),
    );
    let (app, accepted) = Box::pin(opened).await.unwrap();
    assert_eq!(accepted.unwrap().mark.epoch, 2);
    app.issuer().store().close().await;
    first.clock.advance(SECOND * 2);
    becomes("200").await;
}

#[tokio::test]
async fn f14_a_revoked_key_stays_revoked_whatever_it_was_for() {
    let mut timeline = Timeline::file().await;
    let outside = tempfile::tempdir().unwrap();
    let dir = outside.path().join("state");
    let first = first_on(&timeline.url(), &dir).await;
    first.user("alice", &[]).await;
    let web = first.client("web", "openid").await;
    let before = web.sign_in("alice").await;
    timeline.remember().await;
    let leaked = [
        kid_of(before.str("access_token")),
        kid_of(before.str("refresh_token")),
    ];
    for kid in &leaked {
        first
            .inside()
            .revoke_key(kid, &TestApp::operator())
            .await
            .unwrap();
    }
    close(&first).await;
    // A start takes it out of the database, as every heartbeat does.
    let restarted = again(&first, &dir).start().await;
    close(&restarted).await;
    timeline.go_back().await;
    first.clock.advance(MINUTE);
    let opened =
        App::open_accepting_rollback(config(&first, Some(&dir)), machine(&first), TestApp::operator());
    let (app, accepted) = Box::pin(opened).await.unwrap();
    assert_eq!(accepted.unwrap().keys, 2);
    app.issuer().store().close().await;
    first.clock.advance(SECOND * 2);
    let restored = again(&first, &dir).start().await;
    let web = web.at(&restored);
    let refused = web.refresh(before.str("refresh_token")).await;
    assert_eq!(refused.outcome(), "400 invalid_grant malformed_token");
    let after = web.sign_in("alice").await;
    for kid in &leaked {
        assert_eq!(state_of(&restored, kid).await, "compromised");
        assert!(!published(&restored).await.contains(&kid.to_string()));
        assert_ne!(kid_of(after.str("access_token")), *kid);
        assert_ne!(kid_of(after.str("refresh_token")), *kid);
    }
}

#[tokio::test]
async fn f13_f14_another_replica_adopts_the_new_epoch_and_upholds_what_it_knows() {
    let folder = tempfile::tempdir().unwrap();
    let url = DatabaseKind::of_this_run().migrated(folder.path()).await;
    let outside = tempfile::tempdir().unwrap();
    let (dir, other_dir) = (outside.path().join("a"), outside.path().join("b"));
    let first = first_on(&url, &dir).await;
    let web = first.client("web", "openid").await;
    let old = web.credentials().await;
    let leaked = kid_of(old.str("access_token"));
    let keys = first.inside().list_keys().await.unwrap();
    let of_mac = |key: &&vouchsafe_issuer::KeyView| key.purpose == Purpose::RefreshMac;
    let mac = keys.iter().find(of_mac).unwrap().kid.clone();
    close(&again(&first, &other_dir).start().await).await;
    close(&first).await;
    knows_more(&dir, |state| {
        state.insert("heartbeat".to_owned(), json!(500));
    });
    // The other one saw more, and knows of ends that the first one never heard of.
    knows_more(&other_dir, |state| {
        state.insert("heartbeat".to_owned(), json!(9000));
        state.insert("denied_kids".to_owned(), json!([leaked]));
        state.insert("spent_kids".to_owned(), json!([mac]));
    });
    for dir in [&dir, &other_dir] {
        assert!(matches!(refusal(&first, dir).await, StartError::Rollback(_)));
    }
    first.clock.advance(MINUTE);
    let opened =
        App::open_accepting_rollback(config(&first, Some(&dir)), machine(&first), TestApp::operator());
    let (app, accepted) = Box::pin(opened).await.unwrap();
    let accepted = accepted.unwrap();
    assert_eq!((accepted.known.heartbeat, accepted.keys), (500, 0));
    assert!(accepted.mark.heartbeat > 500);
    app.issuer().store().close().await;

    first.clock.advance(SECOND * 2);
    let other = again(&first, &other_dir).start().await;
    assert_eq!(state_of(&other, &leaked).await, "compromised");
    assert_eq!(state_of(&other, &mac).await, "verify_only");
    assert!(!published(&other).await.contains(&leaked.to_string()));
    let kept = state(&other_dir);
    assert_eq!(number(&kept, "epoch"), 2);
    assert!(number(&kept, "heartbeat") < 9000, "it counts anew");
    assert!(has_kid(&kept, "denied_kids", &leaked));
    let web = web.at(&other);
    assert!(!web.is_active(old.str("access_token")).await);
    let fresh = web.credentials().await;
    assert_ne!(kid_of(fresh.str("access_token")), leaked);
    let unhashed = (KeyAlgorithm::Hs256, Purpose::RefreshMac);
    let keys = other.inside().list_keys().await.unwrap();
    let active = keys
        .iter()
        .filter(|key| (key.algorithm, key.purpose) == unhashed && key.state == "active");
    assert_eq!(active.count(), 1);
}

#[tokio::test]
async fn f13_a_denied_kid_that_an_operator_wrote_down_is_denied_at_the_next_start() {
    let outside = tempfile::tempdir().unwrap();
    let dir = outside.path().join("state");
    let first = with_state(Setup::default(), &dir).start().await;
    let web = first.client("web", "openid").await;
    let old = web.credentials().await;
    let leaked = kid_of(old.str("access_token"));
    close(&first).await;
    knows_more(&dir, |state| {
        state.insert("denied_kids".to_owned(), json!([leaked]));
    });
    let next = again(&first, &dir).start().await;
    assert_eq!(state_of(&next, &leaked).await, "compromised");
    assert!(!web.at(&next).is_active(old.str("access_token")).await);
    assert_eq!(
        next.inside().store().mark().await.unwrap().epoch,
        1,
        "nothing went back"
    );
}

#[tokio::test]
async fn f13_without_a_rollback_there_is_nothing_to_accept() {
    let outside = tempfile::tempdir().unwrap();
    let dir = outside.path().join("state");
    let first = with_state(Setup::default(), &dir).start().await;
    first.user("alice", &[]).await;
    let web = first.client("web", "openid").await;
    let alice = web.sign_in("alice").await;
    assert_eq!(beat(&first).await, Standing::Current);
    let operator = TestApp::operator();
    let none = first.inside().accept_rollback(&operator);
    assert_eq!(Box::pin(none).await.unwrap(), None);
    close(&first).await;
    let opened =
        App::open_accepting_rollback(config(&first, Some(&dir)), machine(&first), TestApp::operator());
    let (app, accepted) = Box::pin(opened).await.unwrap();
    assert_eq!(accepted, None);
    assert_eq!(app.issuer().store().mark().await.unwrap().epoch, 1);
    app.issuer().store().close().await;
    let again = again(&first, &dir).start().await;
    let refreshed = web.at(&again).refresh(alice.str("refresh_token")).await;
    assert_eq!(refreshed.outcome(), "200");
}

#[tokio::test]
async fn f13_a_damaged_file_stops_the_start_and_a_missing_one_is_told() {
    drop(captured_logs());
    let outside = tempfile::tempdir().unwrap();
    let dir = outside.path().join("state");
    let first = with_state(Setup::default(), &dir).start().await;
    assert_eq!(beat(&first).await, Standing::Current);
    close(&first).await;
    let file = dir.join("state.json");
    let told = |event: &str| {
        let log = captured_logs();
        let name = file.to_str().unwrap().to_owned();
        log.lines()
            .any(|line| line.contains(&format!("\"{event}\"")) && line.contains(&name))
    };
    fs::write(&file, "{").unwrap();
    for on_purpose in [false, true] {
        let error = if on_purpose {
            let config = config(&first, Some(&dir));
            let opened = App::open_accepting_rollback(config, machine(&first), TestApp::operator());
            Box::pin(opened).await.map(drop).unwrap_err()
        } else {
            refusal(&first, &dir).await
        };
        let StartError::Refused(said) = error else {
            panic!("refused for another reason")
        };
        assert!(said.contains("state.json is damaged"), "{said}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "{");
    }
    assert!(!told("state_file_missing"));
    fs::remove_file(&file).unwrap();
    close(&again(&first, &dir).start().await).await;
    assert!(told("state_file_missing"));
    assert_eq!(number(&state(&dir), "epoch"), 1);
    let opened = App::open(config(&first, None), machine(&first)).await;
    opened.unwrap().issuer().store().close().await;
    assert!(captured_logs().contains("\"state_dir_unset\""));
}

/// An instance of the binary in a folder.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = "issuer = \"http://127.0.0.1:8080\"\n[server]\nlisten = \"127.0.0.1:0\"\n\
                    management_listen = \"127.0.0.1:0\"\n[database]\nurl = \"sqlite:vouchsafe.db\"\n[keys]\n\
                    algorithms = [\"ES256\"]\nmaster_key_file = \"master.key\"\n[state]\ndir = \"state\"\n";
        fs::write(folder.path().join("vouchsafe.toml"), text).unwrap();
        fs::write(folder.path().join("master.key"), MASTER_KEY).unwrap();
        Self(folder)
    }

    fn command(&self, line: &str) -> Command {
        let named = std::env::var_os("VOUCHSAFE_BIN").unwrap_or_else(|| {
            panic!("VOUCHSAFE_BIN does not name the built server: run `cargo xtask test`")
        });
        let mut command = Command::new(fs::canonicalize(named).unwrap());
        command
            .args(line.split_whitespace())
            .args(["--config", "vouchsafe.toml"])
            .current_dir(self.0.path())
            .env_clear()
            .env("USER", "tester")
            .stdin(Stdio::null());
        command
    }

    fn run(&self, line: &str) -> Output {
        self.command(line).output().unwrap()
    }

    /// What a command that was carried out printed.
    fn value(&self, line: &str) -> Value {
        let ran = self.run(line);
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{line}: {said}");
        serde_json::from_slice(&ran.stdout).unwrap()
    }

    /// What a command that was refused said.
    fn refused(&self, line: &str) -> String {
        let ran = self.run(line);
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert_eq!(ran.status.code(), Some(4), "{line}: {said}");
        said
    }

    fn serve(&self, flag: &str) -> Serving {
        let mut command = self.command(&format!("serve {flag}"));
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Serving(child.unwrap())
    }
}

/// A server, gone with its test.
struct Serving(Child);

impl Serving {
    /// Waits until its log says that it is ready; gives what it printed before, if it was to print something.
    fn until_ready(&mut self, printed: bool) -> Value {
        let log = BufReader::new(self.0.stderr.take().unwrap());
        let mut lines = log.lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains("\"ready\"")), "the server ended");
        let mut text = String::new();
        if printed {
            let out = BufReader::new(self.0.stdout.take().unwrap());
            for line in out.lines().map_while(Result::ok) {
                text.push_str(&line);
                if line == "}" {
                    break;
                }
            }
        }
        serde_json::from_str(&text).unwrap_or_default()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn f13_f14_the_command_line_refuses_remembers_and_accepts() {
    let place = Place::new();
    place.value("db migrate");
    let signing = |wanted: &dyn Fn(&Value) -> bool| {
        let keys = place.value("keys list");
        let found = keys.as_array().unwrap().iter().find(|key| wanted(key)).cloned();
        found.unwrap()
    };
    let active = signing(&|key| key["purpose"] == "signing" && key["state"] == "active");
    let leaked = Kid::parse(active["kid"].as_str().unwrap()).unwrap();
    let folder = place.0.path();
    fs::copy(folder.join("vouchsafe.db"), folder.join("backup.db")).unwrap();

    // The first server begins the file; without one the command line keeps it.
    place.serve("").until_ready(false);
    place.value(&format!("keys revoke {leaked} --yes"));
    let dir = folder.join("state");
    let known = state(&dir);
    assert!(has_kid(&known, "denied_kids", &leaked));
    assert!(number(&known, "revocation") > 0);

    for name in ["vouchsafe.db-wal", "vouchsafe.db-shm"] {
        let _ = fs::remove_file(folder.join(name));
    }
    fs::copy(folder.join("backup.db"), folder.join("vouchsafe.db")).unwrap();
    for line in ["serve", "keys list", "client list", "keys rotate"] {
        let said = place.refused(line);
        assert!(said.contains("state/state.json knows epoch 1"), "{said}");
        assert!(said.contains("`vouchsafe serve --accept-rollback`"), "{said}");
    }
    let examined = place.run("doctor");
    let findings: Value = serde_json::from_slice(&examined.stdout).unwrap();
    let of_state = findings
        .as_array()
        .unwrap()
        .iter()
        .find(|finding| finding["check"] == "state");
    assert_eq!(of_state.unwrap()["status"], "fail");

    let told = place.serve("--accept-rollback").until_ready(true);
    let expected = json!({ "accepted_rollback": true, "ended_sessions": 0, "ended_keys": 1, "epoch": 2 });
    assert_eq!(told, expected);
    let restored = signing(&|key| key["kid"] == leaked.as_str());
    assert_eq!(restored["state"], "compromised");
    let told = place.serve("--accept-rollback").until_ready(true);
    assert_eq!(told, json!({ "accepted_rollback": false }));
    place.serve("").until_ready(false);
    assert_eq!(number(&state(&dir), "epoch"), 2);
}
