//! A database that is away, slow, silent, full or read-only, or whose answer is lost; a replica that cannot see the keys
//! or whose clock is wrong: what is told, what goes on, and that everything recovers by itself.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that cannot go on fails where it is"
)]

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{sleep, timeout};
use vouchsafe_issuer::{AdminError, ClientDraft};
use vouchsafe_keys::Urgency;
use vouchsafe_protocol::{ClientAuthMethod, ClientId, GrantType, RevocationEntry, ScopeSet};
use vouchsafe_tests::process::soon;
use vouchsafe_tests::{Answer, Setup, TestApp, TestClient, kid_of};
use vouchsafe_verifier::{ExpectedAudience, KeySet, Rejection, RevocationIndex, UnverifiedToken, Verifier};

use crate::refresh::{family_of, sid_of};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// No request and no recovery takes longer; what hangs fails instead.
const AT_LAST: Duration = Duration::from_secs(9);
const FORCED: Urgency = Urgency::Now { force: true };

/// What is told from memory.
const METADATA: [&str; 3] = [
    "/.well-known/jwks.json",
    "/.well-known/openid-configuration",
    "/.well-known/oauth-authorization-server",
];

/// A second replica of the same issuer.
fn beside(app: &TestApp) -> Setup {
    Setup::default().beside(app).set("issuer", &app.issuer)
}

async fn get(app: &TestApp, url: String) -> Answer {
    Answer::read(app.http.get(url).send().await.unwrap()).await
}

/// Asks until it is served, as a client does that is told to come back.
async fn served(ask: impl AsyncFn() -> Answer) -> Answer {
    soon("service", async || {
        let answer = ask().await;
        if answer.status == 503 {
            answer.assert_must_wait("a retry");
            // Many ask at once here, and none of them goes on without a pause.
            sleep(Duration::from_millis(25)).await;
            return None;
        }
        Some(answer)
    })
    .await
}

/// Signs alice in so many times, few enough at once for one name.
async fn sessions(client: TestClient<'_>, count: usize) -> Vec<Answer> {
    let mut sessions = Vec::new();
    while sessions.len() < count {
        sessions.extend(join_all((0..8).map(|_| client.sign_in("alice"))).await);
    }
    sessions.truncate(count);
    sessions
}

/// A client of a machine, as an operator makes it.
fn machine_client() -> ClientDraft {
    ClientDraft {
        auth_method: Some(ClientAuthMethod::ClientSecretBasic),
        grants: Some(vec![GrantType::ClientCredentials]),
        scope: Some(ScopeSet::parse("items:read").unwrap()),
        ..ClientDraft::default()
    }
}

async fn rotate(app: &TestApp, urgency: Urgency) -> Result<usize, AdminError> {
    let inside = app.inside();
    inside
        .rotate_keys(&inside.signing_lines(), urgency, &TestApp::operator())
        .await
}

/// Checks an access token as a resource server does that has this key set.
fn check(app: &TestApp, jwks: &Answer, answer: &Answer) -> Result<(), Rejection> {
    let keys = KeySet::from_json(jwks.text.as_bytes()).unwrap();
    let verifier = Verifier::new(app.issuer.as_str(), ExpectedAudience::Is(app.issuer.clone()));
    let token = UnverifiedToken::parse(answer.str("access_token"))?;
    let none = RevocationIndex::new();
    verifier.check(&token, &keys, &none, app.now()).map(drop)
}

#[tokio::test]
async fn f15_k5_a_replica_that_follows_nothing_publishes_what_the_other_signs_with() {
    for urgency in [Some(Urgency::Planned), Some(FORCED), None] {
        let app = TestApp::start().await;
        let paused = beside(&app).start().await;
        let web = app.client("web", "openid").await;
        let old = kid_of(web.credentials().await.str("access_token"));
        match urgency {
            Some(urgency) => assert_ne!(rotate(&app, urgency).await.unwrap(), 0),
            None => {
                let revoked = app.inside().revoke_key(&old, &TestApp::operator()).await;
                revoked.map(drop).unwrap();
            }
        }
        let mut signed_by = Vec::new();
        for passed in [Duration::ZERO, SECOND * 5, HOUR, DAY] {
            app.advance(passed).await;
            let token = web.credentials().await;
            signed_by.push(kid_of(token.str("access_token")));
            // Its key set is made by the clock from what it read at its start.
            let jwks = get(&paused, format!("{}{}", paused.base, METADATA[0])).await;
            assert_eq!(check(&app, &jwks, &token), Ok(()), "{urgency:?} {passed:?}");
        }
        assert!(
            signed_by.iter().any(|kid| *kid != old),
            "{urgency:?}: nothing changed"
        );
    }
}

/// Every entry of the revocation log.
async fn revocations(app: &TestApp) -> Vec<RevocationEntry> {
    app.inside().store().revocations_after(0, 10_000).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn f28_fifty_writers_at_two_replicas_each_learn_what_became_of_their_write() {
    let app = TestApp::start().await;
    let other = beside(&app).start().await;
    for name in ["alice", "bob"] {
        app.user(name, &[]).await;
    }
    let web = app.client("web", "openid").await;
    let doors = [web, web.at(&other)];
    let issuers = [app.inside(), other.inside()];
    let mut refreshed = sessions(web, 10).await;
    let revoked = sessions(web, 10).await;
    let operator = TestApp::operator();
    for round in 0..3 {
        let refreshes = join_all(refreshed.iter().enumerate().map(|(n, newest)| {
            let (door, token) = (doors[(n + round) % 2], newest.str("refresh_token"));
            served(async move || door.refresh(token).await)
        }));
        let sign_ins = join_all((0..10).map(|n| served(async move || doors[n % 2].sign_in("bob").await)));
        let revoked_again = join_all(revoked.iter().enumerate().map(|(n, first)| {
            let (door, token) = (doors[(n + round) % 2], first.str("refresh_token"));
            served(async move || door.revoke(token).await)
        }));
        let clients = join_all((0..10).map(|n| {
            let id = ClientId::parse(&format!("client-{round}-{n}")).unwrap();
            let draft = machine_client();
            let (issuer, operator) = (issuers[n % 2], &operator);
            async move {
                issuer
                    .create_client(Some(id), &draft, None, operator)
                    .await
                    .map(drop)
            }
        }));
        let ends = join_all((0..10).map(|n| {
            let (issuer, operator) = (issuers[n % 2], &operator);
            async move { issuer.revoke_sessions_of_user("bob", operator).await.map(drop) }
        }));
        let all = timeout(AT_LAST, async {
            tokio::join!(refreshes, sign_ins, revoked_again, clients, ends)
        });
        let (answers, signed_in, ended, made, ends) = all.await.unwrap();
        for answer in answers.iter().chain(&ended) {
            assert_eq!(answer.outcome(), "200", "round {round}");
        }
        for answer in signed_in {
            // All of bob's sessions end meanwhile, also one that has just begun.
            let outcomes = ["200", "400 invalid_grant revoked"];
            assert!(outcomes.contains(&answer.outcome().as_str()), "{}", answer.text);
        }
        for done in made.into_iter().chain(ends) {
            done.unwrap();
        }
        refreshed = answers;
    }
    for newest in &refreshed {
        assert_eq!(newest.refresh_claims()["seq"], 3);
        assert_eq!(family_of(&app, &sid_of(newest)).await.seq, 3);
    }
    // Each write is whole: its entry in the log has a number of its own, and no number is missing.
    let log = revocations(&app).await;
    let numbers: Vec<i64> = log.iter().map(|entry| entry.n).collect();
    let head = app.inside().store().log_heads().await.unwrap().revocation;
    assert_eq!(numbers, (1..=head).collect::<Vec<_>>());
    for first in &revoked {
        let sid = sid_of(first);
        let entries = log.iter().filter(|entry| entry.key == sid.as_str()).count();
        assert_eq!(entries, 1, "{sid} ended once");
    }
}

/// What only PostgreSQL can suffer: on one in every run, also when plain `cargo test` is about SQLite.
mod on_postgres {
    use std::pin::pin;
    use std::sync::Arc;

    use serde_json::Value;
    use vouchsafe::machine::real_machine;
    use vouchsafe_issuer::KeyView;
    use vouchsafe_keys::Purpose;
    use vouchsafe_protocol::Timestamp;
    use vouchsafe_store::Database;
    use vouchsafe_tests::{Cluster, Proxy, TestClock, captured_logs};

    use super::*;

    /// An application whose way to its database is in the test's hands.
    struct Behind {
        app: TestApp,
        proxy: Proxy,
    }

    async fn behind_a_proxy() -> Behind {
        let cluster = Cluster::shared().await;
        let proxy = Proxy::start(cluster);
        let url = proxy.url(&cluster.database().await);
        let app = Setup::default().set("database.url", &url).start().await;
        Behind { app, proxy }
    }

    async fn is_ready(app: &TestApp) -> bool {
        get(app, format!("{}/readyz", app.management)).await.status == 200
    }

    async fn is_alive(app: &TestApp) -> bool {
        get(app, format!("{}/livez", app.management)).await.status == 200
    }

    /// Asserts that what is told from memory is told.
    async fn assert_metadata(app: &TestApp) {
        for path in METADATA {
            let answer = get(app, format!("{}{path}", app.base)).await;
            assert_eq!(answer.status, 200, "{path}");
        }
    }

    /// Asserts that each session, asked for with its first token as often as it takes, is found rotated once.
    async fn assert_rotated_once(app: &TestApp, client: TestClient<'_>, sessions: &[Answer]) {
        let retried = sessions.iter().map(|first| {
            let token = first.str("refresh_token");
            served(async move || client.refresh(token).await)
        });
        for (first, again) in sessions.iter().zip(join_all(retried).await) {
            assert_eq!(again.outcome(), "200");
            let row = family_of(app, &sid_of(first)).await;
            let (seq, jti) = (again.refresh_claims(), row.current_jti.as_str());
            assert_eq!(seq.get("seq").and_then(Value::as_i64), Some(1));
            assert_eq!(seq.get("jti").and_then(Value::as_str), Some(jti));
            assert_eq!(row.seq, 1, "one rotation, however often it was asked for");
        }
    }

    /// The numbers of keys that sign and that sign next.
    async fn signing_keys(app: &TestApp) -> (usize, usize) {
        let keys = app.inside().list_keys().await.unwrap();
        let is = |key: &KeyView, state: &str| key.purpose == Purpose::Signing && key.state == state;
        let count = |state: &str| keys.iter().filter(|key| is(key, state)).count();
        (count("active"), count("next"))
    }

    /// Refreshes one after the other until that is refused for the first time; gives the newest token.
    async fn refresh_until_refused(client: TestClient<'_>, first: &Answer) -> String {
        let mut token = first.str("refresh_token").to_owned();
        for _ in 0..20_000 {
            let answer = client.refresh(&token).await;
            if answer.status != 200 {
                answer.assert_must_wait("a refresh in flight");
                return token;
            }
            token = answer.str("refresh_token").to_owned();
        }
        panic!("the database went on")
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn f7_a_database_that_stops_under_load_is_told_by_503_and_comes_back_by_itself() {
        let cluster = Cluster::start().await;
        let url = cluster.database().await;
        let app = Setup::default()
            .set("database.url", &url)
            .with_tasks()
            .start()
            .await;
        app.user("alice", &[]).await;
        let web = app.client("web", "openid").await;
        let busy = sessions(web, 8).await;
        let (idle, own) = (web.sign_in("alice").await, web.credentials().await);
        soon("readiness", async || is_ready(&app).await.then_some(())).await;
        let in_flight = join_all(busy.iter().map(|first| refresh_until_refused(web, first)));
        let (newest, ()) = tokio::join!(in_flight, async {
            for first in &busy {
                let moved = async || (family_of(&app, &sid_of(first)).await.seq > 0).then_some(());
                soon("a refresh of everybody", moved).await;
            }
            cluster.stop_immediately().await;
        });

        let (refresh, access) = (idle.str("refresh_token"), own.str("access_token"));
        let other_form = [("refresh_token", refresh)];
        let answers = tokio::join!(
            web.sign_in("alice"),
            web.refresh(refresh),
            web.post("/refresh", &other_form),
            web.revoke(refresh),
            web.revoke(access),
            web.introspect(refresh),
        );
        answers.0.assert_must_wait("a sign-in");
        answers.1.assert_must_wait("a refresh");
        answers.2.assert_must_wait("a refresh at /refresh");
        answers.3.assert_must_wait("a revocation of a session");
        answers.4.assert_must_wait("a revocation of an access token");
        answers.5.assert_must_wait("a question about a refresh token");
        // What memory vouches for, it vouches for as long as its lease.
        app.clock.advance(SECOND * 6);
        let (token, question) = (web.credentials().await, web.introspect(access).await);
        assert_eq!(token.outcome(), "503 temporarily_unavailable stale_view");
        assert_eq!(question.outcome(), "503 temporarily_unavailable stale_view");
        question.assert_must_wait("a question about an access token");
        assert_metadata(&app).await;
        assert!(!is_ready(&app).await);
        assert!(is_alive(&app).await);

        cluster.start_again().await;
        soon("readiness", async || is_ready(&app).await.then_some(())).await;
        for (first, token) in busy.iter().zip(&newest) {
            let again = served(async || web.refresh(token).await).await;
            assert_eq!(again.outcome(), "200", "nobody is signed out");
            let row = family_of(&app, &sid_of(first)).await;
            assert_eq!(again.refresh_claims()["seq"], row.seq);
            assert_eq!(again.refresh_claims()["jti"], row.current_jti.as_str());
        }
        // Neither revocation was said to be done, and neither was.
        let again = served(async || web.refresh(refresh).await).await;
        assert_eq!(again.refresh_claims()["seq"], 1);
        assert!(web.is_active(access).await);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn f8_a_database_that_takes_five_seconds_an_answer_holds_up_nobody_beyond_the_deadline() {
        let Behind { app, proxy } = behind_a_proxy().await;
        app.user("alice", &[]).await;
        let native = app.public_client("native", "openid").await;
        let waiting = sessions(native, 40).await;
        proxy.delay(SECOND * 5);
        let asked = waiting
            .iter()
            .map(|first| native.refresh(first.str("refresh_token")));
        let mut answers = pin!(join_all(asked));
        let metadata = async {
            for _ in 0..20 {
                assert_metadata(&app).await;
            }
        };
        tokio::select! {
            biased;
            () = metadata => {}
            _ = &mut answers => panic!("what is told from memory waited for the database"),
        }
        for answer in timeout(AT_LAST, answers).await.unwrap() {
            answer.assert_must_wait("a refresh");
        }
        proxy.heal();
        assert_rotated_once(&app, native, &waiting).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn f8_a_database_that_says_nothing_is_noticed_and_what_it_was_asked_is_done_once() {
        let Behind { app, proxy } = behind_a_proxy().await;
        app.user("alice", &[]).await;
        let native = app.public_client("native", "openid").await;
        let waiting = sessions(native, 16).await;
        proxy.hang();
        let asked = waiting
            .iter()
            .map(|first| native.refresh(first.str("refresh_token")));
        let (answers, ready) = timeout(AT_LAST, async { tokio::join!(join_all(asked), is_ready(&app)) })
            .await
            .unwrap();
        for answer in &answers {
            answer.assert_must_wait("a refresh");
        }
        assert!(!ready);
        assert!(is_alive(&app).await);
        assert_metadata(&app).await;
        proxy.heal();
        assert_rotated_once(&app, native, &waiting).await;
        soon("readiness", async || is_ready(&app).await.then_some(())).await;
    }

    #[tokio::test]
    async fn f9_r2_r4_a_rotation_whose_answer_is_lost_is_found_by_the_retry() {
        let Behind { app, proxy } = behind_a_proxy().await;
        app.user("alice", &[]).await;
        let native = app.public_client("native", "openid").await;
        let first = native.sign_in("alice").await;
        let token = first.str("refresh_token");
        proxy.cut_after_commit(1);
        let unknown = native.refresh(token).await;
        unknown.assert_must_wait("an unknown outcome");
        assert_eq!(proxy.lost_commits(), 1);
        let row = family_of(&app, &sid_of(&first)).await;
        assert_eq!(row.seq, 1, "the database did commit");
        let again = native.refresh(token).await;
        assert_eq!(again.refresh_claims()["jti"], row.current_jti.as_str());
        assert_eq!(
            native.refresh(token).await.str("refresh_token"),
            again.str("refresh_token")
        );
        assert_eq!(family_of(&app, &sid_of(&first)).await.seq, 1, "one rotation");
        let next = native.refresh(again.str("refresh_token")).await;
        assert_eq!(next.refresh_claims()["seq"], 2);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn f9_r8_rotations_that_were_committed_together_and_lost_their_answer_are_each_done_once() {
        let Behind { app, proxy } = behind_a_proxy().await;
        app.user("alice", &[]).await;
        let native = app.public_client("native", "openid").await;
        let waiting = sessions(native, 32).await;
        proxy.cut_after_commit(2);
        // Over and over, so that there is a second commit, whatever came together in the first.
        for _ in 0..8 {
            let asked = waiting
                .iter()
                .map(|first| native.refresh(first.str("refresh_token")));
            for answer in join_all(asked).await {
                if answer.status != 200 {
                    answer.assert_must_wait("an unknown outcome");
                }
            }
        }
        assert_eq!(proxy.lost_commits(), 1);
        assert_rotated_once(&app, native, &waiting).await;
    }

    #[tokio::test]
    async fn f9_r6_a_revocation_whose_answer_is_lost_is_not_said_to_be_done_and_ends_once() {
        let Behind { app, proxy } = behind_a_proxy().await;
        app.user("alice", &[]).await;
        let web = app.client("web", "openid").await;
        let first = web.sign_in("alice").await;
        let (access, refresh) = (first.str("access_token"), first.str("refresh_token"));
        proxy.cut_after_commit(1);
        web.revoke(refresh).await.assert_must_wait("an unknown outcome");
        assert_eq!(proxy.lost_commits(), 1);
        assert_eq!(web.revoke(refresh).await.outcome(), "200");
        assert_eq!(app.inside().store().log_heads().await.unwrap().revocation, 1);
        assert!(!web.is_active(access).await);
        let refused = web.refresh(refresh).await;
        assert_eq!(refused.outcome(), "400 invalid_grant revoked");
    }

    #[tokio::test]
    async fn f9_k3_a_rotation_of_keys_whose_answer_is_lost_is_found_done() {
        let Behind { app, proxy } = behind_a_proxy().await;
        let web = app.client("web", "openid").await;
        assert_eq!(signing_keys(&app).await, (1, 1));
        proxy.cut_after_commit(1);
        let unknown = rotate(&app, Urgency::Planned).await;
        assert!(matches!(unknown, Err(AdminError::Failed(_))), "{unknown:?}");
        assert_eq!(proxy.lost_commits(), 1);
        assert_eq!(signing_keys(&app).await, (1, 2));
        // Planned again, it finds that nothing is left to do.
        assert_eq!(rotate(&app, Urgency::Planned).await.unwrap(), 0);
        assert_eq!(signing_keys(&app).await, (1, 2));
        app.advance(HOUR * 24).await;
        assert_eq!(signing_keys(&app).await, (1, 1));
        assert_eq!(web.credentials().await.outcome(), "200");
    }

    /// The maintenance database of the cluster that a database is in, and the database's own name.
    fn maintenance(url: &str) -> (String, String) {
        let (place, parameters) = url.split_once('?').unwrap();
        let (server, name) = place.rsplit_once('/').unwrap();
        (format!("{server}/postgres?{parameters}"), name.to_owned())
    }

    /// Makes a database read-only, or writable again, for every session; those that there are end.
    async fn set_read_only(url: &str, read_only: bool) {
        let cluster = Cluster::shared().await;
        let (postgres, name) = maintenance(url);
        let mode = if read_only { "on" } else { "off" };
        let alter = format!("ALTER DATABASE {name} SET default_transaction_read_only = {mode}");
        cluster.sql(&postgres, &alter).await;
        let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
        cluster.sql(&postgres, &end).await;
    }

    #[tokio::test]
    async fn f11_a_read_only_database_refuses_what_writes_and_answers_what_reads() {
        let app = Setup::default().on_postgres().start().await;
        app.user("alice", &[]).await;
        let web = app.client("web", "openid").await;
        let first = web.sign_in("alice").await;
        let (access, refresh) = (first.str("access_token"), first.str("refresh_token"));
        set_read_only(app.database_url(), true).await;
        // Each connection of the pool learns once that its session has ended.
        let known = served(async || web.introspect(refresh).await).await;
        assert_eq!(known.json["active"], true);
        for _ in 0..3 {
            web.sign_in("alice").await.assert_must_wait("a sign-in");
            web.refresh(refresh).await.assert_must_wait("a refresh");
            web.revoke(refresh).await.assert_must_wait("a revocation");
            web.revoke(access)
                .await
                .assert_must_wait("a revocation of an access token");
            app.clock.advance(SECOND * 6);
            assert_eq!(served(async || web.credentials().await).await.outcome(), "200");
            assert!(web.is_active(access).await);
            assert!(web.is_active(refresh).await);
            assert_metadata(&app).await;
        }
        let made = app
            .inside()
            .create_client(None, &machine_client(), None, &TestApp::operator())
            .await;
        assert!(matches!(made, Err(AdminError::Failed(_))));
        assert_eq!(family_of(&app, &sid_of(&first)).await.seq, 0);
        set_read_only(app.database_url(), false).await;
        let next = served(async || web.refresh(refresh).await).await;
        assert_eq!(next.refresh_claims()["seq"], 1);
    }

    #[tokio::test]
    async fn f12_a_full_disk_of_the_database_is_503_and_is_over_when_there_is_room() {
        let cluster = Cluster::shared().await;
        let app = Setup::default().on_postgres().start().await;
        let url = app.database_url();
        app.user("alice", &[]).await;
        let web = app.client("web", "openid").await;
        let first = web.sign_in("alice").await;
        let (access, refresh) = (first.str("access_token"), first.str("refresh_token"));
        let full = "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                    RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; \
                    END $$";
        cluster.sql(url, full).await;
        let tables = ["refresh_family", "revocation_log"];
        for table in tables {
            let full = format!(
                "CREATE TRIGGER no_room BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION no_room()"
            );
            cluster.sql(url, &full).await;
        }
        let events = async || app.inside().store().audit_tail(1_000).await.unwrap().len();
        let before = events().await;
        for _ in 0..3 {
            web.sign_in("alice").await.assert_must_wait("a sign-in");
            web.refresh(refresh).await.assert_must_wait("a refresh");
            web.revoke(refresh).await.assert_must_wait("a revocation");
            web.revoke(access)
                .await
                .assert_must_wait("a revocation of an access token");
            assert!(web.is_active(access).await);
            assert_eq!(web.credentials().await.outcome(), "200");
        }
        assert_eq!(events().await, before, "nothing came through by halves");
        assert_eq!(family_of(&app, &sid_of(&first)).await.seq, 0);
        for table in tables {
            cluster
                .sql(url, &format!("DROP TRIGGER no_room ON {table}"))
                .await;
        }
        let next = web.refresh(refresh).await;
        assert_eq!(next.refresh_claims()["seq"], 1);
        let ended = web.revoke(next.str("refresh_token")).await;
        assert_eq!(ended.outcome(), "200");
        assert!(!web.is_active(access).await);
    }

    #[tokio::test]
    async fn f16_k10_a_replica_that_cannot_read_the_keys_stops_signing_until_it_can() {
        let proxy = Proxy::start(Cluster::shared().await);
        let app = Setup::default().on_postgres().start().await;
        let through = proxy.url(app.database_url());
        let other = beside(&app).set("database.url", &through).start().await;
        let here = app.client("web", "openid").await;
        let there = here.at(&other);
        let old = kid_of(there.credentials().await.str("access_token"));
        proxy.block("issuer_key");
        rotate(&app, FORCED).await.unwrap();
        app.clock.advance(SECOND * 6);
        let new = kid_of(here.credentials().await.str("access_token"));
        assert_ne!(new, old);
        for _ in 0..3 {
            let refused = there.credentials().await;
            assert_eq!(refused.outcome(), "503 temporarily_unavailable stale_view");
            refused.assert_must_wait("a token");
            app.clock.advance(SECOND * 2);
        }
        assert_metadata(&other).await;
        assert!(!is_ready(&other).await);
        proxy.heal();
        app.clock.advance(SECOND * 2);
        let token = served(async || there.credentials().await).await;
        assert_eq!(kid_of(token.str("access_token")), new);
        other.inside().beat().await.unwrap();
        assert!(is_ready(&other).await);
    }

    /// Two replicas that take the time from their database, the machine of the second one wrong by so many seconds.
    async fn two_machines(wrong_by: i64) -> (TestApp, TestApp) {
        let now = real_machine().clock.now();
        let wrong = Timestamp::from_unix(now.as_unix() + wrong_by);
        let app = Setup::default()
            .on_postgres()
            .clock(&Arc::new(TestClock::at(now)))
            .with_database_time()
            .start()
            .await;
        let other = beside(&app)
            .clock(&Arc::new(TestClock::at(wrong)))
            .with_database_time()
            .start()
            .await;
        (app, other)
    }

    /// Asserts that a token was issued in these seconds, whoever issued it.
    fn assert_issued_now(answer: &Answer) {
        let claims = answer.claims();
        let issued = claims.get("iat").and_then(Value::as_i64).unwrap();
        let now = real_machine().clock.now().as_unix();
        assert!((now - 10..=now + 2).contains(&issued), "{issued} is not {now}");
    }

    #[tokio::test]
    async fn f18_a_machine_that_is_some_seconds_off_issues_by_the_time_of_the_database_and_is_not_ready() {
        drop(captured_logs());
        for wrong_by in [45, -45] {
            let (app, other) = two_machines(wrong_by).await;
            app.user("alice", &[]).await;
            let (web, native) = (
                app.client("web", "openid").await,
                app.public_client("native", "openid").await,
            );
            let there = web.at(&other);
            let (here_own, there_own) = (web.credentials().await, there.credentials().await);
            for own in [&here_own, &there_own] {
                assert_issued_now(own);
                // Neither takes a token of the other for one from the future or the past.
                for client in [web, there] {
                    assert!(client.is_active(own.str("access_token")).await, "{wrong_by}");
                }
            }
            // The window of a retry is one and the same everywhere: it is less than the machine is wrong by.
            let first = native.at(&other).sign_in("alice").await;
            let second = native.refresh(first.str("refresh_token")).await;
            let again = native.at(&other).refresh(first.str("refresh_token")).await;
            assert_eq!(again.outcome(), "200", "{wrong_by}");
            assert_eq!(again.str("refresh_token"), second.str("refresh_token"));
            // A key that signs five seconds from now signs nowhere before.
            let old = kid_of(web.credentials().await.str("access_token"));
            rotate(&app, FORCED).await.unwrap();
            other.inside().follow().await.unwrap();
            assert_eq!(
                kid_of(there.credentials().await.str("access_token")),
                old,
                "{wrong_by}"
            );
            assert!(is_ready(&app).await);
            assert!(!is_ready(&other).await);
            other.inside().measure_clock().await.unwrap();
            assert!(captured_logs().contains("clock_skew"));
        }
    }

    #[tokio::test]
    async fn f18_a_machine_that_is_an_hour_or_a_day_off_issues_nothing_and_harms_nobody() {
        for wrong_by in [3_600, -3_600, -86_400] {
            let (app, other) = two_machines(wrong_by).await;
            app.user("alice", &[]).await;
            let web = app.client("web", "openid").await;
            let there = web.at(&other);
            let (first, next) = (web.sign_in("alice").await, web.sign_in("alice").await);
            let refused = [
                there.credentials().await,
                there.sign_in("alice").await,
                there.refresh(first.str("refresh_token")).await,
            ];
            for answer in &refused {
                answer.assert_must_wait("a token");
            }
            assert!(!is_ready(&other).await);
            // What it reads and ends is by the time of the database too.
            assert!(there.is_active(first.str("access_token")).await, "{wrong_by}");
            assert!(there.is_active(first.str("refresh_token")).await, "{wrong_by}");
            let ended = there.revoke(next.str("refresh_token")).await;
            assert_eq!(ended.outcome(), "200", "{wrong_by}");
            app.inside().follow().await.unwrap();
            assert!(!web.is_active(next.str("access_token")).await, "{wrong_by}");
            let refreshed = web.refresh(first.str("refresh_token")).await;
            assert_eq!(refreshed.refresh_claims()["seq"], 1, "{wrong_by}");
            assert_issued_now(&refreshed);
            assert!(web.is_active(refreshed.str("access_token")).await, "{wrong_by}");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn f22_clients_that_storm_back_after_an_outage_are_all_served_and_rotated_once() {
        let Behind { app, proxy } = behind_a_proxy().await;
        app.user("alice", &[]).await;
        let native = app.public_client("native", "openid").await;
        let clients = sessions(native, 64).await;
        proxy.cut();
        let storm = assert_rotated_once(&app, native, &clients);
        let outage = async {
            let refused = async || (native.sign_in("alice").await.status == 503).then_some(());
            soon("an outage", refused).await;
            sleep(SECOND).await;
            assert_metadata(&app).await;
            proxy.heal();
        };
        timeout(AT_LAST, async { tokio::join!(storm, outage) })
            .await
            .unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn f26_slow_questions_do_not_take_the_connections_of_refreshes() {
        let Behind { app, proxy } = behind_a_proxy().await;
        app.user("alice", &[]).await;
        let web = app.client("web", "openid").await;
        let late = app.public_client("late", "openid").await;
        let (asked_about, used) = (web.sign_in("alice").await, web.sign_in("alice").await);
        // Of a client that the application has yet to read, as it has to read each one once in a while.
        let used_elsewhere = late.at(&beside(&app).start().await).sign_in("alice").await;
        // A question reads one family; a rotation reads those of its batch and holds them.
        proxy.hold(|text| text.contains("FROM refresh_family WHERE id = $1"));
        let questions = join_all((0..64).map(|_| web.introspect(asked_about.str("refresh_token"))));
        let meanwhile = async {
            settled(&proxy).await;
            // Older than its freshness, so that the view has to be read again.
            app.clock.advance(SECOND * 6);
            let refreshed = web.refresh(used.str("refresh_token")).await;
            assert_eq!(refreshed.outcome(), "200");
            let of_late = late.refresh(used_elsewhere.str("refresh_token")).await;
            assert_eq!(of_late.outcome(), "200");
            assert_eq!(web.credentials().await.outcome(), "200");
            assert!(web.is_active(refreshed.str("access_token")).await);
            assert_eq!(web.sign_in("alice").await.outcome(), "200");
            assert!(proxy.holding() > 0, "nothing was held up meanwhile");
            proxy.heal();
        };
        let (answers, ()) = timeout(AT_LAST, async { tokio::join!(questions, meanwhile) })
            .await
            .unwrap();
        for answer in answers {
            if answer.status != 200 {
                answer.assert_must_wait("a question");
            }
        }
    }

    /// Waits until as many statements are held as can come.
    async fn settled(proxy: &Proxy) {
        let (mut held, mut unchanged) = (0, 0);
        let same_again = async || {
            let now = proxy.holding();
            unchanged = if now == held { unchanged + 1 } else { 0 };
            held = now;
            (held > 0 && unchanged > 20).then_some(())
        };
        soon("statements that are held", same_again).await;
    }

    #[tokio::test]
    async fn a_database_is_reached_by_tls_only_if_its_ca_and_its_name_are_the_ones_that_were_meant() {
        let cluster = Cluster::start_with_tls().await;
        let (_, name) = maintenance(&cluster.database().await);
        let open = async |host: &str, root: &str| {
            let database = format!("postgres://vouchsafe@{host}:{}/{name}", cluster.port());
            let root = Cluster::tls_file(root);
            let url = format!("{database}?sslmode=verify-full&sslrootcert={}", root.display());
            Database::open(&url, false).await
        };
        for host in ["localhost", "127.0.0.1"] {
            open(host, "ca.crt").await.unwrap().close().await;
        }
        let refused = [
            // What a server shows does not vouch for itself.
            ("localhost", "server.crt", "UnknownIssuer"),
            // The same server, by an address that its certificate does not name.
            ("127.0.0.2", "ca.crt", "NotValidForName"),
        ];
        for (host, root, why) in refused {
            let error = open(host, root).await.unwrap_err();
            assert!(format!("{error:?}").contains(why), "{host} {root}: {error:?}");
        }
    }
}
