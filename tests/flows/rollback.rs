//! A database that went back in time: a restored backup, a fail-over that lost commits. It is noticed, nothing is minted
//! from it, and once that is accepted nothing comes back that was ended.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that cannot go on fails where it is"
)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use vouchsafe::app::{App, StartError};
use vouchsafe::config::Config;
use vouchsafe::machine::real_machine;
use vouchsafe_issuer::{AcceptedRollback, Standing, Swept};
use vouchsafe_keys::{KeyAlgorithm, Purpose, Urgency};
use vouchsafe_protocol::{FamilyId, Kid};
use vouchsafe_tests::process::{self, soon};
use vouchsafe_tests::{
    Answer, DatabaseKind, Setup, TestApp, TestClient, TestClock, captured_logs, claims_of, kid_of,
};

use crate::timeline::Timeline;

/// It guards nothing.
const MASTER_KEY: &str = "i5MdE0xqlkANcaeUT0k9nAdiIZ/Gl3UZaEdZLZgIBf0=";

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
/// Whatever ends an access token may be forgotten by then.
const LATER: Duration = Duration::from_secs(26 * 3600);

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
    setup.set("state.dir", dir.to_str().unwrap())
}

async fn close(app: &TestApp) {
    app.inside().store().close().await;
}

/// What an application opened by hand needs that keeps its state in a folder.
fn config(first: &TestApp, dir: &Path) -> Config {
    first.config(&[("state.dir", dir.to_str().unwrap())])
}

/// Why an application does not open.
async fn refusal(first: &TestApp, dir: &Path) -> StartError {
    match App::open(config(first, dir), first.machine()).await {
        Ok(_) => panic!("it opens"),
        Err(error) => error,
    }
}

/// Opens an application by the order of an operator who accepts what was lost; says what that came to.
async fn accept(first: &TestApp, dir: &Path) -> Result<Option<AcceptedRollback>, StartError> {
    let opened = App::open_accepting_rollback(config(first, dir), first.machine(), TestApp::operator());
    let (app, accepted) = Box::pin(opened).await?;
    app.issuer().store().close().await;
    Ok(accepted)
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

/// One heartbeat, and what is known with it written down outside, as the task of a server does.
async fn beat_and_keep(app: &TestApp, dir: &Path) {
    assert_eq!(beat(app).await, Standing::Current);
    let known = app.inside().high_water();
    let beat = known.beat.unwrap();
    knows_more(dir, |state| {
        for (name, n) in [
            ("heartbeat", known.mark.heartbeat),
            ("revocation", known.mark.revocation),
            ("change", known.mark.change),
        ] {
            state.insert(name.to_owned(), json!(n));
        }
        let beat = json!({ "epoch": beat.epoch, "n": beat.n, "nonce": beat.nonce, "at": beat.at.as_unix() });
        state.insert("beat".to_owned(), beat);
    });
}

/// The keys as they are stored, by their ids: what is left of each.
async fn stored_keys(app: &TestApp) -> Vec<(String, bool)> {
    let (rows, _) = app.inside().store().keys().await.unwrap();
    let mut keys: Vec<_> = rows
        .into_iter()
        .map(|row| (row.kid.to_string(), row.sealed.is_some()))
        .collect();
    keys.sort();
    keys
}

/// Waits until the heartbeat has taken out of the database all that is in it now.
async fn kept(dir: &Path, app: &TestApp) {
    let mark = app.inside().store().mark().await.unwrap();
    soon("a heartbeat", async || {
        let state = state(dir);
        let kept = number(&state, "heartbeat") > mark.heartbeat
            && number(&state, "revocation") == mark.revocation
            && number(&state, "change") >= mark.change;
        kept.then_some(())
    })
    .await;
}

/// One heartbeat, as soon as the database answers: connections that broke are found out one by one.
async fn beat(app: &TestApp) -> Standing {
    soon("a database that answers", async || app.inside().beat().await.ok()).await
}

/// Waits until every kind of connection works again.
async fn recovered(app: &TestApp) {
    let (store, mut in_a_row) = (app.inside().store(), 0);
    soon("a database that answers", async || {
        let read = store.living_families(app.now()).await.is_ok();
        in_a_row = if read && store.mark().await.is_ok() {
            in_a_row + 1
        } else {
            0
        };
        (in_a_row == 10).then_some(())
    })
    .await;
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

#[tokio::test]
async fn f13_f14_a_restored_backup_is_refused_and_brings_nothing_back() {
    let mut timeline = Timeline::of_this_run().await;
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
    let accepted = accept(&first, &dir).await.unwrap().unwrap();
    assert_eq!((accepted.families, accepted.keys, accepted.mark.epoch), (2, 2, 2));

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
async fn f10_r12_lost_commits_are_noticed_and_nobody_is_punished() {
    drop(captured_logs());
    let mut timeline = Timeline::of_this_run().await;
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
    assert!(app.inside().follow().await.is_err());
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
async fn f10_a_running_server_notices_by_itself_and_goes_on_by_itself() {
    let mut timeline = Timeline::of_this_run().await;
    let outside = tempfile::tempdir().unwrap();
    let (dir, other_dir) = (outside.path().join("a"), outside.path().join("b"));
    let first = first_on(&timeline.url(), &dir).await;
    let web = first.client("web", "openid").await;
    timeline.remember().await;
    let running = again(&first, &other_dir).with_tasks().start().await;
    let web = web.at(&running);
    assert_eq!(web.credentials().await.outcome(), "200");
    kept(&other_dir, &running).await;
    timeline.go_back_under_way().await;
    let becomes = async |wanted: &str| {
        soon(wanted, async || {
            (web.credentials().await.outcome() == wanted).then_some(())
        })
        .await;
    };
    becomes("503 temporarily_unavailable state_rollback").await;
    // Whoever starts the next one accepts it, by the file of the one that runs.
    let accepted = accept(&first, &other_dir).await.unwrap();
    assert_eq!(accepted.unwrap().mark.epoch, 2);
    first.clock.advance(SECOND * 2);
    becomes("200").await;
}

#[tokio::test]
async fn f10_r12_one_lost_beat_is_noticed_though_another_replica_counts_its_number_again() {
    let mut timeline = Timeline::of_this_run().await;
    let outside = tempfile::tempdir().unwrap();
    let (dir, other_dir) = (outside.path().join("a"), outside.path().join("b"));
    let app = first_on(&timeline.url(), &dir).await;
    app.user("alice", &[]).await;
    let web = app.client("web", "openid").await;
    let alice = web.sign_in("alice").await;
    let other = again(&app, &other_dir).start().await;
    beat_and_keep(&app, &dir).await;
    beat_and_keep(&other, &other_dir).await;
    timeline.remember().await;
    for replica in [&app, &other] {
        recovered(replica).await;
    }

    // One rotation and one beat are lost.
    let lost = web.refresh(alice.str("refresh_token")).await;
    assert_eq!(lost.outcome(), "200");
    beat_and_keep(&app, &dir).await;
    let known = app.inside().store().mark().await.unwrap();
    timeline.go_back_under_way().await;
    for replica in [&app, &other] {
        recovered(replica).await;
    }
    // The other one lost nothing of its own, and fills the gap.
    beat_and_keep(&other, &other_dir).await;
    assert_eq!(app.inside().store().mark().await.unwrap(), known);
    assert!(app.inside().has_its_past() && other.inside().has_its_past());

    // A connection that broke may keep the first note from being left.
    for replica in [&app, &app, &app, &other] {
        assert_eq!(beat(replica).await, Standing::Behind);
        assert!(!replica.inside().has_its_past() && !is_ready(replica).await);
        let refused = web.at(replica).credentials().await;
        assert_eq!(refused.outcome(), "503 temporarily_unavailable state_rollback");
    }
    assert_eq!(
        app.inside().store().mark().await.unwrap(),
        known,
        "it was touched"
    );
    for dir in [&dir, &other_dir, &outside.path().join("new")] {
        assert!(matches!(refusal(&app, dir).await, StartError::Rollback(_)));
    }

    app.clock.advance(MINUTE);
    let accepted = accept(&app, &other_dir).await.unwrap().unwrap();
    assert_eq!((accepted.families, accepted.mark.epoch), (1, 2));
    app.clock.advance(SECOND * 2);
    for replica in [&app, &other] {
        assert_eq!(beat(replica).await, Standing::NewEpoch);
        assert_eq!(beat(replica).await, Standing::Current);
        assert!(replica.inside().has_its_past());
        let refused = web.at(replica).refresh(lost.str("refresh_token")).await;
        assert_eq!(refused.status, 400, "{}", refused.text);
        assert_eq!(web.at(replica).sign_in("alice").await.outcome(), "200");
    }
    // What was remembered of the epoch before is not asked for any more.
    close(&again(&app, &dir).start().await).await;
}

#[tokio::test]
async fn f13_a_server_that_knows_nothing_hides_no_loss_from_one_that_does() {
    let mut timeline = Timeline::of_this_run().await;
    let outside = tempfile::tempdir().unwrap();
    let dir = outside.path().join("state");
    let first = first_on(&timeline.url(), &dir).await;
    beat_and_keep(&first, &dir).await;
    close(&first).await;
    timeline.remember().await;
    let later = again(&first, &dir).start().await;
    beat_and_keep(&later, &dir).await;
    close(&later).await;
    timeline.go_back().await;

    let unknowing = Setup::default().beside(&first).set("issuer", &first.issuer);
    let unknowing = unknowing.start().await;
    for _ in 0..5 {
        assert_eq!(beat(&unknowing).await, Standing::Current);
    }
    let known = number(&state(&dir), "heartbeat");
    assert!(unknowing.inside().store().mark().await.unwrap().heartbeat > known);
    let StartError::Rollback(told) = refusal(&first, &dir).await else {
        panic!("refused for another reason")
    };
    assert!(
        told.to_string().contains("not the last beat of this server"),
        "{told}"
    );
    // Who was refused leaves no note: its file could be the one that is wrong.
    assert_eq!(beat(&unknowing).await, Standing::Current);
}

#[tokio::test]
async fn f10_nothing_is_forgotten_while_the_past_is_lost() {
    let mut timeline = Timeline::of_this_run().await;
    let outside = tempfile::tempdir().unwrap();
    let dir = outside.path().join("state");
    let setup = Setup::default().set("database.url", &timeline.url());
    let setup = setup.set("keys.retention", "61m");
    let app = with_state(setup, &dir).start().await;
    let web = app.client("web", "openid").await;
    let token = web.credentials().await;
    assert_eq!(web.revoke(token.str("access_token")).await.status, 200);
    rotate_now(&app).await;
    assert_eq!(beat(&app).await, Standing::Current);
    timeline.remember().await;
    recovered(&app).await;
    assert_eq!(beat(&app).await, Standing::Current);
    timeline.go_back_under_way().await;
    recovered(&app).await;
    assert!(app.inside().may_forget());
    assert_eq!(beat(&app).await, Standing::Behind);
    assert!(!app.inside().may_forget());

    let keys = stored_keys(&app).await;
    app.clock.advance(LATER);
    assert!(app.inside().sweep_backlog().await.unwrap().revocations > 0);
    assert_eq!(app.inside().sweep(100).await.unwrap(), Swept::default());
    assert!(app.inside().keys_are_due());
    app.inside().advance_keys().await.unwrap();
    assert_eq!(stored_keys(&app).await, keys);

    let operator = TestApp::operator();
    let accepted = app.inside().accept_rollback(&operator);
    assert!(Box::pin(accepted).await.unwrap().is_some());
    assert!(app.inside().sweep(100).await.unwrap().revocations > 0);
    app.inside().advance_keys().await.unwrap();
    assert_ne!(stored_keys(&app).await, keys);
}

#[tokio::test]
async fn f18_a_clock_that_jumps_ahead_makes_nobody_forget() {
    let now = real_machine().clock.now();
    let clock = Arc::new(TestClock::at(now));
    let setup = Setup::default().on_postgres().clock(&clock).with_database_time();
    let app = setup.set("keys.retention", "61m").start().await;
    let web = app.client("web", "openid").await;
    let (sound, ended) = (web.credentials().await, web.credentials().await);
    let (sound, ended) = (sound.str("access_token"), ended.str("access_token"));
    assert_eq!(web.revoke(ended).await.status, 200);
    rotate_now(&app).await;
    assert!(app.inside().may_forget());
    let keys = stored_keys(&app).await;

    // The time that is told goes on with the monotonic clock: it is as far ahead as a database that jumped would make
    // it, and the machine's own time is not.
    clock.advance(LATER);
    clock.step_back(LATER);
    assert!(!app.inside().may_forget());
    assert!(app.inside().sweep_backlog().await.unwrap().revocations > 0);
    app.inside().follow().await.unwrap();
    assert_eq!(app.inside().sweep(100).await.unwrap(), Swept::default());
    assert!(app.inside().keys_are_due());
    app.inside().advance_keys().await.unwrap();
    assert_eq!(stored_keys(&app).await, keys);

    // A measurement that took long changes nothing, the next one does.
    soon("agreement", async || {
        app.inside().measure_clock().await.unwrap();
        app.inside().may_forget().then_some(())
    })
    .await;
    app.inside().follow().await.unwrap();
    app.inside().advance_keys().await.unwrap();
    assert!(!web.is_active(ended).await);
    assert!(web.is_active(sound).await);
    assert_eq!(stored_keys(&app).await, keys);
}

#[tokio::test]
async fn f13_a_clock_that_was_ahead_once_does_not_stop_minting_for_a_day() {
    drop(captured_logs());
    let outside = tempfile::tempdir().unwrap();
    let dir = outside.path().join("state");
    let first = with_state(Setup::default(), &dir).start().await;
    let web = first.client("web", "openid").await;
    let old = web.credentials().await;
    close(&first).await;
    knows_more(&dir, |state| {
        state.insert("heartbeat".to_owned(), json!(500));
        let ahead = first.now().plus(LATER).as_unix();
        state.insert("seen_at".to_owned(), json!(ahead));
    });
    assert_eq!(accept(&first, &dir).await.unwrap().unwrap().mark.epoch, 2);
    assert!(captured_logs().contains("\"state_seen_ahead\""));
    first.clock.advance(MINUTE + SECOND * 2);
    let restored = again(&first, &dir).start().await;
    let web = web.at(&restored);
    assert!(!web.is_active(old.str("access_token")).await);
    let fresh = web.credentials().await;
    assert_eq!(fresh.outcome(), "200");
    assert!(web.is_active(fresh.str("access_token")).await);
}

#[tokio::test]
async fn f14_a_revoked_key_stays_revoked_whatever_it_was_for() {
    let mut timeline = Timeline::of_this_run().await;
    let outside = tempfile::tempdir().unwrap();
    let dir = outside.path().join("state");
    let first = first_on(&timeline.url(), &dir).await;
    first.user("alice", &[]).await;
    let web = first.client("web", "openid").await;
    let before = web.sign_in("alice").await;
    timeline.remember().await;
    recovered(&first).await;
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
    assert_eq!(accept(&first, &dir).await.unwrap().unwrap().keys, 2);
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
    let accepted = accept(&first, &dir).await.unwrap().unwrap();
    assert_eq!((accepted.known.heartbeat, accepted.keys), (500, 0));
    assert!(accepted.mark.heartbeat > 500);

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
    assert_eq!(accept(&first, &dir).await.unwrap(), None);
    let again = again(&first, &dir).start().await;
    assert_eq!(again.inside().store().mark().await.unwrap().epoch, 1);
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
            accept(&first, &dir).await.unwrap_err()
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
    let opened = App::open(first.config(&[]), first.machine()).await;
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
        let mut command = Command::new(process::server(process::USUAL));
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
