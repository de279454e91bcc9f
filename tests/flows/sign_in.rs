//! Signing in by name and password: every failure reads and costs the same, guessing is slow, and nobody honest is
//! turned away for it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it is")]

use std::collections::BTreeSet;
use std::iter::repeat_n;
use std::pin::pin;
use std::sync::mpsc;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::poll;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use sea_orm::{ConnectionTrait as _, Statement};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;
use vouchsafe::machine::real_machine;
use vouchsafe_issuer::{AdminError, ClientDraft, User, UserDraft};
use vouchsafe_protocol::{
    ClientId, FamilyId, GrantType, Jti, Kid, RevocationKind, ScopeSet, SecretString, Subject,
};
use vouchsafe_store::{AuditEntry, Family, NewFamily, NewRevocation, Recent};
use vouchsafe_tests::{Answer, START, Setup, TestApp, TestClient, password_of};

use crate::timeline::connect;

const WRONG: &str = "not the password";
const REFUSED: &str = "400 invalid_grant bad_password";
const BUSY: &str = "503 temporarily_unavailable busy";

/// Sign-ins of one name that are under way at once; more of them wait.
const OF_ONE_NAME: usize = 4;
/// With the two cores of a small machine, 200 sign-ins at once.
const BEYOND: usize = 134;
/// Longer than any pause, and than the memory for failures of one address.
const MINUTE: Duration = Duration::from_secs(61);

async fn sign_in(client: &TestClient<'_>, name: &str, password: &str) -> Answer {
    let form = [
        ("grant_type", "password"),
        ("username", name),
        ("password", password),
    ];
    client.token(&form).await
}

/// Makes an account with this password, or none.
async fn make(app: &TestApp, name: &str, password: Option<&str>) -> Result<User, AdminError> {
    let draft = UserDraft {
        username: name.to_owned(),
        email: None,
        password: password.map(|password| SecretString::new(password.to_owned())),
        roles: Vec::new(),
    };
    app.inside().create_user(&draft, &TestApp::operator()).await
}

async fn stored_hash(app: &TestApp, name: &str) -> String {
    let candidate = app.inside().store().login_candidate(name).await.unwrap().unwrap();
    candidate.password_hash.unwrap().expose().to_owned()
}

/// A runtime that hashes one password at a time, so that a test can hold all of them back.
pub(crate) fn one_hash_at_a_time() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .build()
        .unwrap()
}

/// Holds back every hash of the present runtime until it is dropped.
#[must_use]
pub(crate) fn hold_hashes() -> mpsc::Sender<()> {
    let (hold, held) = mpsc::channel();
    drop(tokio::task::spawn_blocking(move || held.recv()));
    hold
}

/// How many passwords may be hashed or wait for it.
pub(crate) fn places(app: &TestApp) -> usize {
    let cost = app.inside().config().password_cost;
    cost.permits + cost.queue
}

/// Names for `count` sign-ins at once of which none waits for another of its name.
pub(crate) async fn crowd(app: &TestApp, count: usize) -> Vec<String> {
    let mut names = Vec::new();
    for number in 0..count.div_ceil(OF_ONE_NAME) {
        let name = format!("person{number}");
        app.user(&name, &[]).await;
        names.extend(repeat_n(name, OF_ONE_NAME));
    }
    names.truncate(count);
    names
}

/// Signs all of them in at once; answers come with the place of the name.
pub(crate) fn all_at_once<'a>(
    client: TestClient<'a>,
    names: &'a [String],
) -> FuturesUnordered<impl Future<Output = (usize, Answer)> + 'a> {
    names
        .iter()
        .enumerate()
        .map(move |(place, name)| async move { (place, client.sign_in(name).await) })
        .collect()
}

#[tokio::test]
async fn l01_every_failed_sign_in_reads_the_same() {
    let app = TestApp::start().await;
    for name in ["alice", "locked"] {
        app.user(name, &[]).await;
    }
    make(&app, "empty", None).await.unwrap();
    let operator = TestApp::operator();
    app.inside()
        .set_user_locked("locked", true, &operator)
        .await
        .unwrap();
    let web = app.client("web", "openid").await;
    let subject = app.inside().show_user("alice").await.unwrap().subject;
    let mut wrong = sign_in(&web, "alice", WRONG).await;
    assert_eq!(wrong.outcome(), REFUSED);
    wrong.headers.remove("date");
    let longest = "x".repeat(255);
    for (name, password) in [
        ("nobody", WRONG),
        ("nobody", "x"),
        ("locked", WRONG),
        ("locked", &password_of("locked")),
        ("empty", WRONG),
        ("empty", "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$AAAA"),
        // No account can have these names, and a subject is no name.
        ("a b\u{202e}", WRONG),
        (&longest, WRONG),
        (subject.as_str(), &password_of("alice")),
    ] {
        let mut other = sign_in(&web, name, password).await;
        other.headers.remove("date");
        assert_eq!(
            (other.status, &other.text, &other.headers),
            (wrong.status, &wrong.text, &wrong.headers),
            "{name:?}"
        );
    }
}

#[test]
fn l01_l02_every_failed_sign_in_costs_one_hash_and_a_bad_request_none() {
    one_hash_at_a_time().block_on(async {
        let app = TestApp::start().await;
        let web = app.client("web", "openid").await;
        for name in ["alice", "locked", "paused"] {
            app.user(name, &[]).await;
        }
        make(&app, "empty", None).await.unwrap();
        let operator = TestApp::operator();
        app.inside()
            .set_user_locked("locked", true, &operator)
            .await
            .unwrap();
        for _ in 0..15 {
            sign_in(&web, "paused", WRONG).await;
        }
        let names = crowd(&app, places(&app) + 1).await;
        let hold = hold_hashes();
        let mut crowd = all_at_once(web, &names);
        let (_, first_refused) = crowd.next().await.unwrap();
        assert_eq!(first_refused.outcome(), BUSY);
        // Every place is taken: who wants a hash is turned away, whoever it is.
        for (name, password) in [
            ("alice", password_of("alice").as_str()),
            ("alice", WRONG),
            ("nobody", WRONG),
            ("locked", &password_of("locked")),
            ("paused", &password_of("paused")),
            ("empty", WRONG),
        ] {
            assert_eq!(sign_in(&web, name, password).await.outcome(), BUSY, "{name}");
        }
        let too_long = sign_in(&web, "alice", &"x".repeat(1_025)).await;
        assert_eq!(too_long.outcome(), "400 invalid_request invalid_parameter");
        let unknown_scope = [
            ("grant_type", "password"),
            ("username", "alice"),
            ("password", WRONG),
            ("scope", "everything"),
        ];
        assert_eq!(web.token(&unknown_scope).await.status, 400);
        drop(hold);
        while let Some((_, answer)) = crowd.next().await {
            assert_eq!(answer.outcome(), "200");
        }
    });
}

#[tokio::test]
async fn l02_long_passwords_are_refused_and_none_is_cut() {
    let app = TestApp::start().await;
    let web = app.client("web", "openid").await;
    let longest = "x".repeat(1_024);
    make(&app, "alice", Some(&longest)).await.unwrap();
    assert_eq!(sign_in(&web, "alice", &longest).await.outcome(), "200");
    let with_other_end = format!("{}y", &longest[1..]);
    for (password, outcome) in [
        ("x".repeat(10_000_000), "413 invalid_request body_too_large"),
        ("x".repeat(1_025), "400 invalid_request invalid_parameter"),
        (with_other_end, REFUSED),
        ("x".repeat(1_023), REFUSED),
        ("x".repeat(72), REFUSED),
    ] {
        let answer = sign_in(&web, "alice", &password).await;
        assert_eq!(answer.outcome(), outcome, "{} bytes", password.len());
    }
    for (name, length) in [("longer", 1_025), ("shorter", 7)] {
        let made = make(&app, name, Some(&"x".repeat(length))).await;
        assert!(matches!(made, Err(AdminError::Invalid(_))), "{length} bytes");
    }
}

#[test]
fn l03_f27_a_rush_is_turned_away_beyond_the_queue_and_stops_nothing_else() {
    one_hash_at_a_time().block_on(async {
        let app = TestApp::start().await;
        let web = app.client("web", "openid").await;
        app.user("alice", &[]).await;
        let alice = web.sign_in("alice").await;
        let places = places(&app);
        let names = crowd(&app, places + BEYOND).await;
        let hold = hold_hashes();
        let mut rush = all_at_once(web, &names);
        for _ in 0..BEYOND {
            let (_, refused) = rush.next().await.unwrap();
            assert_eq!(refused.outcome(), BUSY);
            let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
            assert!(wait >= 1);
        }
        // No hash has been made so far, and what needs none passes.
        assert_eq!(web.refresh(alice.str("refresh_token")).await.outcome(), "200");
        assert_eq!(web.credentials().await.outcome(), "200");
        assert!(web.is_active(alice.str("access_token")).await);
        let jwks = format!("{}/.well-known/jwks.json", app.base);
        assert_eq!(app.http.get(jwks).send().await.unwrap().status(), 200);
        drop(hold);
        let mut let_in = 0;
        while let Some((_, answer)) = rush.next().await {
            assert_eq!(answer.outcome(), "200");
            let_in += 1;
        }
        assert_eq!(let_in, places);
    });
}

#[test]
fn l05_being_turned_away_for_want_of_room_is_no_failure() {
    one_hash_at_a_time().block_on(async {
        let app = TestApp::start().await;
        let web = app.client("web", "openid").await;
        app.user("alice", &[]).await;
        let names = crowd(&app, places(&app) + 1).await;
        let hold = hold_hashes();
        let mut crowd = all_at_once(web, &names);
        assert_eq!(crowd.next().await.unwrap().1.outcome(), BUSY);
        for _ in 0..30 {
            assert_eq!(web.sign_in("alice").await.outcome(), BUSY);
        }
        drop(hold);
        while let Some((_, answer)) = crowd.next().await {
            assert_eq!(answer.outcome(), "200");
        }
        assert_eq!(web.sign_in("alice").await.outcome(), "200");
    });
}

#[tokio::test]
async fn l05_guessing_is_slowed_and_the_true_person_passes_after_the_pause() {
    let app = TestApp::start().await;
    let web = app.client("web", "openid").await;
    for name in ["alice", "bob"] {
        app.user(name, &[]).await;
    }
    let before = web.sign_in("alice").await;
    // Who mistypes a few times does not even notice.
    for _ in 0..5 {
        assert_eq!(sign_in(&web, "alice", WRONG).await.outcome(), REFUSED);
    }
    assert_eq!(web.sign_in("alice").await.outcome(), "200");
    // Another spelling of the name is no other account.
    let mut wrong = String::new();
    for guess in 0..12 {
        let name = ["alice", "ALICE", "\u{ff41}lice"][guess % 3];
        let answer = sign_in(&web, name, WRONG).await;
        assert_eq!(answer.outcome(), REFUSED);
        wrong = answer.text;
    }
    // In the pause the right password reads like a wrong one, or guessing would go on.
    let paused = web.sign_in("alice").await;
    assert_eq!((paused.status, paused.text), (400, wrong));
    // It is about this name and about passwords only.
    assert_eq!(web.sign_in("bob").await.outcome(), "200");
    assert_eq!(web.refresh(before.str("refresh_token")).await.outcome(), "200");
    app.advance(MINUTE).await;
    assert_eq!(web.sign_in("alice").await.outcome(), "200");
    // A success forgets what was before.
    assert_eq!(sign_in(&web, "alice", WRONG).await.outcome(), REFUSED);
    assert_eq!(web.sign_in("alice").await.outcome(), "200");
}

#[tokio::test]
async fn l05_no_number_of_failures_locks_anybody_out_for_good() {
    let app = TestApp::start().await;
    let web = app.client("web", "openid").await;
    app.user("alice", &[]).await;
    for round in 0..90 {
        assert_eq!(sign_in(&web, "alice", WRONG).await.outcome(), REFUSED);
        // Guesses in the pause do not make it longer.
        if round % 10 == 0 {
            for _ in 0..5 {
                sign_in(&web, "alice", WRONG).await;
            }
        }
        app.clock.advance(MINUTE);
    }
    assert_eq!(web.sign_in("alice").await.outcome(), "200");
}

#[tokio::test]
async fn l05_many_honest_sign_ins_of_one_account_at_once_wait_and_succeed() {
    let app = TestApp::start().await;
    let web = app.client("web", "openid").await;
    app.user("alice", &[]).await;
    let answers = join_all((0..20).map(|_| web.sign_in("alice"))).await;
    let mut families = BTreeSet::new();
    for answer in &answers {
        assert_eq!(answer.outcome(), "200");
        families.insert(answer.claims()["sid"].as_str().unwrap().to_owned());
    }
    assert_eq!(families.len(), 20);
}

/// Sends wrong passwords until the address has to wait; gives the refusal and how many came before it.
async fn until_slowed(client: &TestClient<'_>, name: impl Fn(usize) -> String) -> Option<(usize, Answer)> {
    for number in 0..200 {
        let answer = sign_in(client, &name(number), WRONG).await;
        if answer.status == 429 {
            return Some((number, answer));
        }
        assert_eq!(answer.outcome(), REFUSED);
    }
    None
}

#[tokio::test]
async fn l05_wrong_passwords_from_one_address_are_slowed() {
    let app = TestApp::start().await;
    let browser = app.public_client("browser", "openid").await;
    app.user("alice", &[]).await;
    let slowed = until_slowed(&browser, |number| format!("name{number}")).await;
    let (number, refused) = slowed.unwrap();
    assert!(number >= 20, "people behind one address mistype too");
    assert_eq!(refused.outcome(), "429 temporarily_unavailable too_many_attempts");
    assert_eq!(browser.sign_in("alice").await.status, 429);
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    app.clock.advance(Duration::from_secs(wait));
    assert_eq!(browser.sign_in("alice").await.outcome(), "200");
}

#[tokio::test]
async fn l05_wrong_passwords_slow_nothing_else_behind_the_same_address() {
    let app = TestApp::start().await;
    let browser = app.public_client("browser", "openid").await;
    let web = app.client("web", "openid").await;
    for name in ["alice", "bob"] {
        app.user(name, &[]).await;
    }
    let alice = browser.sign_in("alice").await;
    let slowed = until_slowed(&browser, |number| format!("name{number}")).await;
    assert!(slowed.is_some());
    assert_eq!(browser.refresh(alice.str("refresh_token")).await.outcome(), "200");
    assert_eq!(web.credentials().await.outcome(), "200");
    assert!(web.is_active(web.credentials().await.str("access_token")).await);
    // All the people of a web application come from its one address: guesses on one of them are not the others'.
    assert_eq!(web.sign_in("bob").await.outcome(), "200");
    let slowed = until_slowed(&web, |_| "alice".to_owned()).await;
    assert!(slowed.is_some());
    assert_eq!(web.sign_in("alice").await.status, 429);
    assert_eq!(web.sign_in("bob").await.outcome(), "200");
}

#[tokio::test]
async fn a_raised_cost_reaches_the_stored_hash_at_the_next_sign_in() {
    let app = TestApp::start().await;
    let web = app.client("web", "openid").await;
    app.user("alice", &[]).await;
    let dearer = Setup::default()
        .set("passwords.iterations", "2")
        .beside(&app)
        .start()
        .await;
    let cheap = stored_hash(&app, "alice").await;
    assert!(cheap.contains(",t=1,"));
    let there = web.at(&dearer);
    assert_eq!(sign_in(&there, "alice", WRONG).await.outcome(), REFUSED);
    assert_eq!(stored_hash(&app, "alice").await, cheap);
    assert_eq!(there.sign_in("alice").await.outcome(), "200");
    let dear = stored_hash(&app, "alice").await;
    assert!(dear.contains(",t=2,"));
    assert_eq!(there.sign_in("alice").await.outcome(), "200");
    assert_eq!(stored_hash(&app, "alice").await, dear, "only once");
    assert_eq!(sign_in(&there, "alice", WRONG).await.outcome(), REFUSED);
    assert_eq!(web.sign_in("alice").await.outcome(), "200");
}

#[tokio::test]
async fn a_raised_cost_turns_none_of_many_sign_ins_away() {
    let app = TestApp::start().await;
    let web = app.client("web", "openid").await;
    app.user("alice", &[]).await;
    let dearer = Setup::default()
        .set("passwords.iterations", "2")
        .beside(&app)
        .start()
        .await;
    let there = web.at(&dearer);
    let answers = join_all((0..20).map(|_| there.sign_in("alice"))).await;
    for answer in answers {
        assert_eq!(answer.outcome(), "200");
    }
    assert!(stored_hash(&app, "alice").await.contains(",t=2,"));
}

#[tokio::test]
async fn look_alikes_of_a_name_are_refused_and_spellings_of_it_are_one() {
    let app = TestApp::start().await;
    let web = app.client("web", "openid").await;
    let alice = app.user("alice", &[]).await;
    for name in [
        "alice",
        "Alice",
        "ALICE",
        "\u{ff21}\u{ff2c}\u{ff29}\u{ff23}\u{ff25}",
        "\u{430}lice",
        "al\u{456}ce",
        "a1ice",
    ] {
        let made = make(&app, name, Some("another password")).await;
        assert!(matches!(made, Err(AdminError::Refused(_))), "{name}");
    }
    let password = password_of("alice");
    for name in [
        "alice",
        "Alice",
        "ALICE",
        "\u{ff41}\u{ff4c}\u{ff49}\u{ff43}\u{ff45}",
    ] {
        let answer = sign_in(&web, name, &password).await;
        assert_eq!(answer.outcome(), "200", "{name}");
        assert_eq!(answer.claims()["sub"], alice);
    }
    for name in ["\u{430}lice", "a1ice", " alice", "alice "] {
        assert_eq!(
            sign_in(&web, name, &password).await.outcome(),
            REFUSED,
            "{name:?}"
        );
    }
    make(&app, "re\u{301}mi", Some("password of remi")).await.unwrap();
    for name in ["r\u{e9}mi", "re\u{301}mi", "R\u{c9}MI", "RE\u{301}MI"] {
        let answer = sign_in(&web, name, "password of remi").await;
        assert_eq!(answer.outcome(), "200", "{name}");
    }
}

/// What may happen to a sign-in between the check of its password and the birth of its family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meanwhile {
    Nothing,
    PasswordSet,
    Locked,
    Deleted,
    ClientDisabled,
    ClientDeleted,
}

async fn happen(app: &TestApp, what: Meanwhile, user: &str, client: &str) {
    let (inside, operator) = (app.inside(), TestApp::operator());
    let client = ClientId::parse(client).unwrap();
    let done = match what {
        Meanwhile::Nothing => Ok(()),
        Meanwhile::PasswordSet => {
            let password = SecretString::new("another password".to_owned());
            inside.set_user_password(user, &password, &operator).await
        }
        Meanwhile::Locked => inside.set_user_locked(user, true, &operator).await,
        Meanwhile::Deleted => inside.delete_user(user, &operator).await,
        Meanwhile::ClientDisabled => {
            let draft = ClientDraft {
                disabled: Some(true),
                ..ClientDraft::default()
            };
            inside.update_client(&client, &draft, &operator).await.map(drop)
        }
        Meanwhile::ClientDeleted => inside.delete_client(&client, &operator).await,
    };
    done.unwrap();
}

fn unborn(app: &TestApp, client: &str, subject: &str, hash: String) -> NewFamily {
    let (now, entropy) = (app.now(), real_machine().entropy);
    let end = now.plus(Duration::from_secs(3_600));
    NewFamily {
        family: Family {
            id: FamilyId::random(&*entropy),
            client_id: ClientId::parse(client).unwrap(),
            subject: Subject::parse(subject).unwrap(),
            scope: ScopeSet::parse("openid").unwrap(),
            audience: Vec::new(),
            auth_time: now,
            acr: None,
            amr: vec!["pwd".to_owned()],
            refreshable: true,
            seq: 0,
            current_jti: Jti::random(&*entropy),
            previous_jti: None,
            mac_kid: Kid::random(&*entropy),
            rotated_at: now,
            recent: Recent::default(),
            created_at: now,
            idle_expires_at: end,
            absolute_expires_at: end,
            ended: None,
            session_id: None,
            claims: None,
        },
        password_hash: Some(SecretString::new(hash)),
    }
}

fn remark(app: &TestApp, sid: Option<&FamilyId>) -> AuditEntry {
    AuditEntry {
        at: app.now(),
        event: "family_begun",
        actor_kind: "system",
        actor: None,
        client_id: None,
        subject: None,
        sid: sid.cloned(),
        detail: serde_json::Map::new(),
    }
}

#[tokio::test]
async fn t29_no_family_begins_on_what_changed_since_the_password_was_checked() {
    let app = TestApp::start().await;
    for what in [
        Meanwhile::Nothing,
        Meanwhile::PasswordSet,
        Meanwhile::Locked,
        Meanwhile::Deleted,
        Meanwhile::ClientDisabled,
        Meanwhile::ClientDeleted,
    ] {
        let name = format!("{what:?}").to_lowercase();
        let client = app.client(&format!("web-{name}"), "openid").await;
        let subject = app.user(&name, &[]).await;
        let hash = stored_hash(&app, &name).await;
        let new = unborn(&app, client.id, &subject, hash);
        happen(&app, what, &name, client.id).await;
        let (store, sid) = (app.inside().store(), &new.family.id);
        let begun = store.begin_family(&new, &remark(&app, Some(sid))).await.unwrap();
        assert_eq!(begun, what == Meanwhile::Nothing, "{what:?}");
        assert_eq!(store.family(sid).await.unwrap().is_some(), begun, "{what:?}");
        let rows = store.audit_tail(10).await.unwrap();
        let noted = rows.iter().any(|row| row.sid.as_deref() == Some(sid.as_str()));
        assert_eq!(noted, begun, "{what:?}");
    }
}

/// How many names have failed sign-ins, or ones under way.
async fn attempts(app: &TestApp) -> usize {
    let database = connect(app.database_url()).await;
    let sql = "SELECT name FROM sign_in_attempt";
    let statement = Statement::from_string(database.get_database_backend(), sql);
    let rows = database.query_all_raw(statement).await.unwrap();
    database.close().await.unwrap();
    rows.len()
}

#[test]
fn t29_a_lock_or_a_new_password_overtakes_a_sign_in_under_way() {
    one_hash_at_a_time().block_on(async {
        let app = TestApp::start().await;
        let web = app.client("web", "openid").await;
        let mut names = vec!["alice".to_owned(), "bob".to_owned()];
        app.user("alice", &[]).await;
        let bob = app.user("bob", &[]).await;
        names.extend(crowd(&app, places(&app) - 1).await);
        let another_hash = SecretString::new(stored_hash(&app, "alice").await);
        let hold = hold_hashes();
        let (first, others) = names.split_at(2);
        let (first, mut others) = (all_at_once(web, first), all_at_once(web, others));
        let mut first = pin!(first.collect::<Vec<_>>());
        // Whose attempt is counted has a place and was read; there is none left for the last one.
        while attempts(&app).await < 2 {
            assert!(poll!(&mut first).is_pending());
            sleep(Duration::from_millis(5)).await;
        }
        let (_, refused) = others.next().await.unwrap();
        assert_eq!(refused.outcome(), BUSY);
        let operator = TestApp::operator();
        app.inside()
            .set_user_locked("alice", true, &operator)
            .await
            .unwrap();
        let revocation = NewRevocation {
            kind: RevocationKind::Subject,
            key: bob.clone(),
            not_before: app.now(),
            expires: app.now().plus(Duration::from_secs(86_400)),
            at: app.now(),
        };
        let bob = Subject::parse(&bob).unwrap();
        let store = app.inside().store();
        store
            .set_password(&bob, &another_hash, "", &revocation, &remark(&app, None))
            .await
            .unwrap();
        drop(hold);
        for (place, answer) in first.await {
            assert_eq!(answer.outcome(), REFUSED, "{place}");
        }
        while let Some((place, answer)) = others.next().await {
            assert_eq!(answer.outcome(), "200", "{place}");
        }
    });
}

#[tokio::test]
async fn tokens_for_a_person_say_who_how_and_when() {
    let app = TestApp::start().await;
    app.role("viewer", "items:read", &[]).await;
    app.role("editor", "items:write", &["viewer"]).await;
    let subject = app.user("alice", &["editor"]).await;
    let web = app.client("web", "openid").await;
    let first = web.sign_in("alice").await;
    let claims = first.claims();
    assert_eq!(claims["sub"], subject);
    assert_eq!(claims["client_id"], "web");
    assert_eq!(claims["auth_time"], START);
    assert_eq!(claims["amr"], json!(["pwd"]));
    assert_eq!(claims["roles"], json!(["editor", "viewer"]));
    assert!(FamilyId::parse(claims["sid"].as_str().unwrap()).is_ok());
    assert_eq!(claims["sid"], first.refresh_claims()["sid"]);
    assert_eq!(first.refresh_claims().get("sub"), None);
    // A refresh is no sign-in, and it knows the roles of its own day.
    app.inside()
        .set_user_roles("alice", &[], &TestApp::operator())
        .await
        .unwrap();
    app.advance(MINUTE).await;
    let later = web.refresh(first.str("refresh_token")).await.claims();
    for member in ["sub", "sid", "auth_time", "amr"] {
        assert_eq!(later[member], claims[member], "{member}");
    }
    assert_eq!(later["roles"], json!([]));
    assert_eq!(later["iat"], START + 61);
    // Another sign-in is another session.
    let again = web.sign_in("alice").await.claims();
    assert_ne!(again["sid"], claims["sid"]);
    assert_eq!(again["auth_time"], START + 61);
    // A client that speaks for itself has none of it.
    let own = web.credentials().await.claims();
    for member in ["sid", "auth_time", "amr", "acr", "roles"] {
        assert_eq!(own.get(member), None, "{member}");
    }
}

#[tokio::test]
async fn t62_the_password_grant_is_off_unless_it_was_registered() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    for (id, grants) in [
        ("by-default", None),
        ("machine", Some(vec![GrantType::ClientCredentials])),
        (
            "browser",
            Some(vec![GrantType::AuthorizationCode, GrantType::RefreshToken]),
        ),
    ] {
        let client = app.client_with(id, "openid", |draft| draft.grants = grants).await;
        for password in [password_of("alice").as_str(), WRONG] {
            let answer = sign_in(&client, "alice", password).await;
            assert_eq!(
                answer.outcome(),
                "400 unauthorized_client grant_not_allowed",
                "{id}"
            );
        }
    }
}

#[tokio::test]
async fn f18_l05_a_clock_that_ran_ahead_locks_nobody_out() {
    let app = TestApp::start().await;
    let web = app.client("web", "openid").await;
    app.user("alice", &[]).await;
    app.clock.advance(MINUTE * 60);
    for _ in 0..12 {
        assert_eq!(sign_in(&web, "alice", WRONG).await.outcome(), REFUSED);
    }
    app.clock.step_back(MINUTE * 60);
    assert_eq!(web.sign_in("alice").await.outcome(), "200");
}
