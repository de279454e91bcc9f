//! Refresh under races: many callers, two replicas, revocations, and a database that lost a line.
#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails where it is")]

use std::future::Future;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream;
use serde_json::Value;
use vouchsafe_protocol::{ClientId, SecretString};
use vouchsafe_store::{Family, RevokeReason};
use vouchsafe_tests::{Setup, TestApp, TestClient, captured_logs, password_of};

use crate::refresh::{Forge, MASTER_KEY, events_of, family_of, is_logged, sid_of};
use crate::timeline::Timeline;

const SECOND: Duration = Duration::from_secs(1);

/// As many as the property asks for.
const TRIALS: usize = 10_000;
const AT_ONCE: usize = 32;

async fn start() -> TestApp {
    Setup::default().set("keys.master_key", MASTER_KEY).start().await
}

/// A second replica of the same issuer over the same database.
async fn replica(app: &TestApp) -> TestApp {
    Setup::default()
        .set("keys.master_key", MASTER_KEY)
        .set("issuer", &app.issuer)
        .beside(app)
        .start()
        .await
}

/// Lets others go first for some turns.
async fn late<T>(turns: usize, future: impl Future<Output = T>) -> T {
    for _ in 0..turns {
        tokio::task::yield_now().await;
    }
    future.await
}

#[tokio::test]
async fn f7_a_replica_without_its_database_sends_away_and_the_other_goes_on() {
    let app = start().await;
    app.user("alice", &[]).await;
    let native = app.public_client("native", "openid").await;
    let other = replica(&app).await;
    let first = native.at(&other).sign_in("alice").await;
    other.inside().store().close().await;
    let away = native.at(&other).refresh(first.str("refresh_token")).await;
    assert_eq!(away.status, 503, "{}", away.text);
    assert_eq!(away.json["error"], "temporarily_unavailable");
    assert!(away.header("retry-after").is_some());
    let second = native.refresh(first.str("refresh_token")).await;
    assert_eq!(second.refresh_claims()["seq"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t41_r1_r2_r3_sixty_four_racers_at_two_replicas_get_one_successor() {
    let app = start().await;
    app.user("alice", &[]).await;
    let native = app.public_client("native", "openid").await;
    let other = replica(&app).await;
    let doors = [native, native.at(&other)];
    let first = native.sign_in("alice").await;
    let mut token = first.str("refresh_token").to_owned();
    for generation in 1..=4 {
        let answers = join_all((0..64).map(|n| doors[n % 2].refresh(&token))).await;
        let successor = answers[0].str("refresh_token").to_owned();
        for answer in &answers {
            assert_eq!(answer.outcome(), "200");
            assert_eq!(answer.str("refresh_token"), successor);
        }
        let row = family_of(&app, &sid_of(&first)).await;
        assert_eq!(row.seq, generation);
        assert_eq!(
            answers[0].refresh_claims()["jti"],
            row.current_jti.as_str(),
            "the live token is the one that all got"
        );
        token = successor;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r1_r8_honest_tabs_that_race_at_two_replicas_and_lose_answers_are_never_signed_out() {
    let app = start().await;
    app.user("alice", &[]).await;
    let native = app.public_client("native", "openid").await;
    let other = replica(&app).await;
    let doors = [native, native.at(&other)];
    let first = native.sign_in("alice").await;
    let mut newest = (0, first.str("refresh_token").to_owned());
    let mut tabs = vec![newest.1.clone(); 6];
    let is_lost = |round: usize, tab: usize| (round * 7 + tab * 3).is_multiple_of(4);
    for round in 0..30 {
        app.advance(SECOND * 5).await;
        let asked = tabs
            .iter()
            .enumerate()
            .map(|(tab, token)| doors[(tab + round) % 2].refresh(token));
        let answers = join_all(asked).await;
        for (tab, answer) in answers.iter().enumerate() {
            let outcome = answer.outcome();
            assert!(
                ["200", "400 invalid_grant superseded"].contains(&outcome.as_str()),
                "round {round}, tab {tab}: {outcome}"
            );
            if outcome == "200" && !is_lost(round, tab) {
                let seq = answer.refresh_claims()["seq"].as_i64().unwrap();
                if seq > newest.0 {
                    newest = (seq, answer.str("refresh_token").to_owned());
                }
            }
        }
        // A tab that was answered takes the newest token from where the tabs keep it; another asks again.
        for (tab, token) in tabs.iter_mut().enumerate() {
            if !is_lost(round, tab) {
                token.clone_from(&newest.1);
            }
        }
    }
    assert_eq!(family_of(&app, &sid_of(&first)).await.ended, None);
    assert_eq!(native.refresh(&newest.1).await.outcome(), "200");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t42_r5_sixty_four_thieves_at_two_replicas_end_the_family_once() {
    let app = start().await;
    app.user("alice", &[]).await;
    let native = app.public_client("native", "openid").await;
    let other = replica(&app).await;
    let doors = [native, native.at(&other)];
    let (first, other_session) = (native.sign_in("alice").await, native.sign_in("alice").await);
    let second = native.refresh(first.str("refresh_token")).await;
    app.advance(SECOND * 31).await;
    // Each writer has written since the clock moved, so that it does not take the jump for a stall.
    for door in doors {
        let answer = door.refresh(other_session.str("refresh_token")).await;
        assert_eq!(answer.outcome(), "200");
    }
    let stolen = first.str("refresh_token");
    for answer in join_all((0..64).map(|n| doors[n % 2].refresh(stolen))).await {
        assert_eq!(answer.outcome(), "400 invalid_grant reused");
    }
    for door in doors {
        let victim = door.refresh(second.str("refresh_token")).await;
        assert_eq!(victim.outcome(), "400 invalid_grant reused");
    }
    let events = events_of(&app, &sid_of(&first)).await;
    assert_eq!(events, ["refresh_reuse_detected", "family_begun"]);
    assert_eq!(app.inside().store().log_heads().await.unwrap().revocation, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f21_r8_a_herd_that_refreshes_in_one_second_loses_no_family() {
    let app = start().await;
    app.user("alice", &[]).await;
    let native = app.public_client("native", "openid").await;
    let forge = Forge::of(&app).await;
    let like = family_of(&app, &sid_of(&native.sign_in("alice").await)).await;
    let mut families = Vec::new();
    for _ in 0..256 {
        families.push(forge.begin(&app, &like).await);
    }
    let tokens: Vec<String> = families.iter().map(|family| forge.token(family)).collect();
    // Twice: the second is a retry.
    for _ in 0..2 {
        let answers = join_all(tokens.iter().map(|token| native.refresh(token))).await;
        for (answer, family) in answers.iter().zip(&families) {
            assert_eq!(answer.outcome(), "200");
            assert_eq!(answer.refresh_claims()["sid"], family.id.as_str());
            assert_eq!(answer.refresh_claims()["seq"], 1);
        }
    }
}

#[tokio::test]
async fn f10_r12_older_data_are_noticed_and_end_nothing() {
    drop(captured_logs());
    let mut timeline = Timeline::of_this_run().await;
    let app = Setup::default()
        .set("keys.master_key", MASTER_KEY)
        .set("database.url", &timeline.url())
        .start()
        .await;
    app.user("alice", &[]).await;
    let web = app.client("web", "openid").await;
    let first = web.sign_in("alice").await;
    let second = web.refresh(first.str("refresh_token")).await;
    app.inside().store().close().await;
    timeline.remember().await;
    let going_on = replica(&app).await;
    let web = web.at(&going_on);
    let third = web.refresh(second.str("refresh_token")).await;
    let fourth = web.refresh(third.str("refresh_token")).await;
    let later = web.sign_in("alice").await;
    going_on.inside().store().close().await;
    timeline.go_back().await;
    let restored = replica(&app).await;
    let web = web.at(&restored);
    let sid = sid_of(&first);
    let row = family_of(&restored, &sid).await;
    assert_eq!(row.seq, 1);
    for lost in [&fourth, &third, &later] {
        let refused = web.refresh(lost.str("refresh_token")).await;
        assert_eq!(refused.outcome(), "400 invalid_grant state_rollback");
        assert!(is_logged("state_rollback", &sid_of(lost)));
        assert!(!web.is_active(lost.str("refresh_token")).await);
        assert!(web.is_active(lost.str("access_token")).await);
    }
    assert_eq!(family_of(&restored, &sid).await, row);
    // Whoever holds what the database knows goes on; the numbers of the lost line coincide now, its names do not.
    let mut known = second.str("refresh_token").to_owned();
    for seq in [2, 3] {
        let next = web.refresh(&known).await;
        assert_eq!(next.refresh_claims()["seq"], seq);
        for lost in [&third, &fourth] {
            let refused = web.refresh(lost.str("refresh_token")).await;
            assert_eq!(refused.outcome(), "400 invalid_grant state_rollback");
        }
        known = next.str("refresh_token").to_owned();
    }
    assert_eq!(events_of(&restored, &sid).await, ["family_begun"]);
    assert_eq!(web.refresh(&known).await.outcome(), "200");
}

/// What a refresh and a revocation of one family race in.
struct Race<'a> {
    app: &'a TestApp,
    /// Refreshes here.
    here: TestClient<'a>,
    /// Revokes there.
    there: TestClient<'a>,
    forge: Forge,
    like: Family,
}

impl<'a> Race<'a> {
    async fn new(app: &'a TestApp, here: TestClient<'a>, there: TestClient<'a>) -> Self {
        let forge = Forge::of(app).await;
        let like = family_of(app, &sid_of(&here.sign_in("alice").await)).await;
        Self {
            app,
            here,
            there,
            forge,
            like,
        }
    }

    /// Runs once; says whether the refresh was granted.
    async fn run(&self, n: usize) -> bool {
        let family = self.forge.begin(self.app, &self.like).await;
        let token = self.forge.token(&family);
        let (refresh, revoke) = (self.here.refresh(&token), self.there.revoke(&token));
        // Either has a start of some turns in some of the trials.
        let turns = n % 13;
        let (refreshed, revoked) = if n.is_multiple_of(2) {
            tokio::join!(refresh, late(turns, revoke))
        } else {
            tokio::join!(late(turns, refresh), revoke)
        };
        assert_eq!(revoked.outcome(), "200", "trial {n}");
        let row = family_of(self.app, &family.id).await;
        let reason = row.ended.map(|ended| ended.reason);
        assert_eq!(reason, Some(RevokeReason::Revoked), "trial {n}");
        let granted = refreshed.status == 200;
        if granted {
            let access = refreshed.str("access_token");
            assert!(!self.there.is_active(access).await, "trial {n}");
        } else {
            assert_eq!(refreshed.outcome(), "400 invalid_grant revoked", "trial {n}");
        }
        if n.is_multiple_of(16) {
            let successor = refreshed.json.get("refresh_token").and_then(Value::as_str);
            for dead in [Some(token.as_str()), successor].into_iter().flatten() {
                assert!(!self.there.is_active(dead).await, "trial {n}");
                let refused = self.here.refresh(dead).await;
                assert_eq!(refused.outcome(), "400 invalid_grant revoked", "trial {n}");
            }
        }
        granted
    }

    /// Runs so many times, some at once; says how often the refresh was granted.
    async fn run_all(&self, trials: usize, at_once: usize) -> usize {
        let granted = stream::iter((0..trials).map(|n| self.run(n))).buffer_unordered(at_once);
        granted
            .filter(|granted| std::future::ready(*granted))
            .count()
            .await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t47_r6_after_a_revocation_answered_no_token_of_the_family_is_ever_live() {
    let app = start().await;
    app.user("alice", &[]).await;
    let web = app.client("web", "openid").await;
    let race = Race::new(&app, web, web).await;
    let granted = race.run_all(TRIALS, AT_ONCE).await;
    assert!(
        0 < granted && granted < TRIALS,
        "no race: {granted} of {TRIALS} refreshes were granted"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t47_r6_a_revocation_at_one_replica_ends_what_another_one_issues() {
    let app = start().await;
    app.user("alice", &[]).await;
    let web = app.client("web", "openid").await;
    let other = replica(&app).await;
    let race = Race::new(&app, web, web.at(&other)).await;
    let trials = 400;
    let granted = race.run_all(trials, 8).await;
    assert!(
        0 < granted && granted < trials,
        "no race: {granted} of {trials} refreshes were granted"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t47_r6_sixty_four_revocations_at_once_are_one() {
    let app = start().await;
    app.user("alice", &[]).await;
    let web = app.client("web", "openid").await;
    let other = replica(&app).await;
    let doors = [web, web.at(&other)];
    let first = web.sign_in("alice").await;
    let token = first.str("refresh_token");
    for answer in join_all((0..64).map(|n| doors[n % 2].revoke(token))).await {
        assert_eq!(answer.outcome(), "200");
    }
    for door in doors {
        assert!(!door.is_active(first.str("access_token")).await);
        assert!(!door.is_active(token).await);
    }
    let events = events_of(&app, &sid_of(&first)).await;
    assert_eq!(events, ["family_revoked", "family_begun"]);
    assert_eq!(app.inside().store().log_heads().await.unwrap().revocation, 1);
}

/// What ends everything of a person or a client.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Lock,
    Password,
    SessionsOfUser,
    SessionsOfClient,
}

async fn end(app: &TestApp, how: End) {
    let (inside, actor) = (app.inside(), TestApp::operator());
    match how {
        End::Lock => inside.set_user_locked("alice", true, &actor).await.unwrap(),
        End::Password => {
            let same = SecretString::new(password_of("alice"));
            inside.set_user_password("alice", &same, &actor).await.unwrap();
        }
        End::SessionsOfUser => {
            let ended = inside.revoke_sessions_of_user("alice", &actor).await;
            ended.map(drop).unwrap();
        }
        End::SessionsOfClient => {
            let web = ClientId::parse("web").unwrap();
            let ended = inside.revoke_sessions_of_client(&web, &actor).await;
            ended.map(drop).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t46_t53_r6_what_is_issued_while_everything_of_a_person_ends_is_dead_after_it() {
    let app = start().await;
    app.user("alice", &[]).await;
    let web = app.client("web", "openid").await;
    let forge = Forge::of(&app).await;
    let like = family_of(&app, &sid_of(&web.sign_in("alice").await)).await;
    let ways = [
        End::Lock,
        End::Password,
        End::SessionsOfUser,
        End::SessionsOfClient,
    ];
    for n in 0..80 {
        let how = ways[n % ways.len()];
        let mut tokens = Vec::new();
        for _ in 0..4 {
            tokens.push(forge.token(&forge.begin(&app, &like).await));
        }
        let (mut answers, newcomer, ()) = tokio::join!(
            join_all(tokens.iter().map(|token| web.refresh(token))),
            web.sign_in("alice"),
            late(n % 11, end(&app, how))
        );
        // A lock is the one end that a new session may not follow.
        if how == End::Lock && newcomer.status == 200 {
            answers.push(newcomer);
        }
        app.advance(SECOND * 5).await;
        for answer in &answers {
            if answer.status == 200 {
                assert!(!web.is_active(answer.str("access_token")).await, "{how:?}");
                assert!(!web.is_active(answer.str("refresh_token")).await, "{how:?}");
            } else {
                assert_eq!(answer.outcome(), "400 invalid_grant revoked", "{how:?}");
            }
        }
        app.inside()
            .set_user_locked("alice", false, &TestApp::operator())
            .await
            .unwrap();
    }
}
