//! The store held to the decision: random uses of refresh tokens, in memory by the decision alone and in the real
//! database, with one outcome and one row.
#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails where it is")]

use std::time::Duration;

use futures_util::future::join_all;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{TestCaseResult, TestRunner};
use serde_json::Map;
use vouchsafe::machine::real_machine;
use vouchsafe_protocol::{ClientId, FamilyId, Jti, Kid, RevocationKind, Timestamp};
use vouchsafe_store::{
    AuditEntry, Decision, Ended, Family, NewFamily, NewRevocation, Presented, Recent, RevokeReason,
    RotateJob, RotateOutcome, decide,
};
use vouchsafe_tests::TestApp;

use crate::refresh::{family_of, sid_of};

#[derive(Clone, Debug)]
enum Event {
    Wait(u64),
    /// A token of the family is used, by its client or by another one; `stays` for a client without rotation.
    Use {
        which: Index,
        by_another: bool,
        stays: bool,
    },
    /// A token that nobody made, so many numbers away from the live one.
    Forged(i64),
    /// A token of no family.
    Unknown,
    Revoke,
}

/// One family and what happens to it.
#[derive(Clone, Debug)]
struct History {
    window: u64,
    idle: u64,
    absolute: u64,
    events: Vec<Event>,
}

fn event() -> impl Strategy<Value = Event> {
    let wait = prop_oneof![4 => 0..3_u64, 3 => 0..100_u64, 2 => 0..5000_u64];
    let used = (any::<Index>(), 0..20_u8, 0..8_u8).prop_map(|(which, by, stays)| Event::Use {
        which,
        by_another: by == 0,
        stays: stays == 0,
    });
    prop_oneof![
        6 => wait.prop_map(Event::Wait),
        16 => used,
        2 => (-3..=2_i64).prop_map(Event::Forged),
        1 => Just(Event::Unknown),
        1 => Just(Event::Revoke),
    ]
}

fn history() -> impl Strategy<Value = History> {
    let window = select(vec![0_u64, 30, 24 * 3600]);
    let (idle, absolute) = (
        select(vec![60_u64, 14 * 86_400]),
        select(vec![4000_u64, 90 * 86_400]),
    );
    (window, idle, absolute, vec(event(), 1..50)).prop_map(|(window, idle, absolute, events)| History {
        window,
        idle,
        absolute,
        events,
    })
}

/// The family as the decision alone moves it, beside the one in the database.
struct Twins<'a> {
    app: &'a TestApp,
    model: Family,
    history: &'a History,
    tokens: Vec<(i64, Jti)>,
}

fn new_jti() -> Jti {
    Jti::random(&*real_machine().entropy)
}

fn audit(event: &'static str, now: Timestamp) -> AuditEntry {
    AuditEntry {
        at: now,
        event,
        actor_kind: "system",
        actor: None,
        client_id: None,
        subject: None,
        sid: None,
        detail: Map::new(),
    }
}

fn revocation(sid: &FamilyId, now: Timestamp) -> NewRevocation {
    NewRevocation {
        kind: RevocationKind::Session,
        key: sid.to_string(),
        not_before: now,
        expires: now.plus(Duration::from_secs(3600)),
        at: now,
    }
}

/// One use of the live token of a family by its own client.
pub(crate) fn job_for(family: &Family, now: Timestamp) -> RotateJob {
    RotateJob {
        sid: family.id.clone(),
        client_id: family.client_id.clone(),
        seq: family.seq,
        jti: family.current_jti.clone(),
        new_jti: new_jti(),
        new_mac_kid: Kid::parse("another").unwrap(),
        rotate: true,
        idle_ttl: Duration::from_secs(3600),
        window: Duration::from_secs(30),
        asked_at: now,
        ending: revocation(&family.id, now),
        audit: audit("refresh_reuse_detected", now),
    }
}

pub(crate) async fn begin(app: &TestApp, like: &Family, idle: u64, absolute: u64) -> Family {
    let now = app.now();
    let family = Family {
        id: FamilyId::random(&*real_machine().entropy),
        seq: 0,
        current_jti: new_jti(),
        previous_jti: None,
        rotated_at: now,
        recent: Recent::default(),
        created_at: now,
        idle_expires_at: now.plus(Duration::from_secs(idle.min(absolute))),
        absolute_expires_at: now.plus(Duration::from_secs(absolute)),
        ended: None,
        session_id: None,
        claims: None,
        ..like.clone()
    };
    let new = NewFamily {
        family: family.clone(),
        password_hash: None,
    };
    let begun = app
        .inside()
        .store()
        .begin_family(&new, &audit("family_begun", now))
        .await;
    assert!(begun.unwrap());
    family
}

/// What the decision is called that led to an outcome, and the row or number that came with it.
fn read(outcome: RotateOutcome) -> (Decision, Option<Family>, Option<i64>) {
    match outcome {
        RotateOutcome::Advanced(family, _) => (Decision::Rotate, Some(family), None),
        RotateOutcome::Retried(family, _) => (Decision::Retry, Some(family), None),
        RotateOutcome::Superseded => (Decision::Superseded, None, None),
        RotateOutcome::Reused => (Decision::Reuse, None, None),
        RotateOutcome::Ended(reason) => (Decision::Ended(reason), None, None),
        RotateOutcome::Expired => (Decision::Expired, None, None),
        RotateOutcome::ClientMismatch => (Decision::ClientMismatch, None, None),
        RotateOutcome::Rollback(known) => (Decision::Rollback, None, known),
    }
}

impl Twins<'_> {
    fn now(&self) -> Timestamp {
        self.app.now()
    }

    /// What the decision says of a job, and the family after it.
    fn decide(&mut self, job: &RotateJob) -> Decision {
        let presented = Presented {
            client_id: &job.client_id,
            seq: job.seq,
            jti: &job.jti,
        };
        let now = self.app.now();
        let family = &mut self.model;
        let decision = decide(family, presented, now, job.window);
        match decision {
            // The token is made again, under the key of today.
            Decision::Retry => family.mac_kid = job.new_mac_kid.clone(),
            Decision::Rotate => {
                let end = now.plus(job.idle_ttl).min(family.absolute_expires_at);
                family.idle_expires_at = end;
                family.mac_kid = job.new_mac_kid.clone();
                if job.rotate {
                    family.recent = family.recent.after(family.seq, now);
                    family.seq += 1;
                    let replaced = std::mem::replace(&mut family.current_jti, job.new_jti.clone());
                    family.previous_jti = Some(replaced);
                    family.rotated_at = now;
                    self.tokens.push((family.seq, job.new_jti.clone()));
                }
            }
            Decision::Reuse => {
                let reason = RevokeReason::Reused;
                family.ended = Some(Ended { at: now, reason });
            }
            _ => {}
        }
        decision
    }

    fn job(&self) -> RotateJob {
        RotateJob {
            idle_ttl: Duration::from_secs(self.history.idle),
            window: Duration::from_secs(self.history.window),
            ..job_for(&self.model, self.now())
        }
    }

    /// Uses a token in both worlds.
    async fn rotate(&mut self, job: RotateJob) -> TestCaseResult {
        let expected = self.decide(&job);
        let (decision, row, known) = read(self.app.inside().store().rotate(job).await.unwrap());
        prop_assert_eq!(decision, expected);
        if let Some(row) = row {
            prop_assert_eq!(&row, &self.model);
        }
        if decision == Decision::Rollback {
            prop_assert_eq!(known, Some(self.model.seq));
        }
        Ok(())
    }

    async fn take(&mut self, event: &Event) -> TestCaseResult {
        let store = self.app.inside().store();
        match event {
            Event::Wait(seconds) => self.app.clock.advance(Duration::from_secs(*seconds)),
            Event::Use {
                which,
                by_another,
                stays,
            } => {
                let mut job = self.job();
                (job.seq, job.jti) = which.get(&self.tokens).clone();
                if *by_another {
                    job.client_id = ClientId::parse("rival").unwrap();
                }
                job.rotate = !stays;
                self.rotate(job).await?;
            }
            Event::Forged(away) => {
                let mut job = self.job();
                job.seq = (job.seq + away).max(0);
                job.jti = new_jti();
                self.rotate(job).await?;
            }
            Event::Unknown => {
                let mut job = self.job();
                job.sid = FamilyId::random(&*real_machine().entropy);
                let outcome = store.rotate(job).await.unwrap();
                prop_assert!(matches!(outcome, RotateOutcome::Rollback(None)), "{:?}", outcome);
            }
            Event::Revoke => {
                let now = self.now();
                let reason = RevokeReason::Revoked;
                let entry = revocation(&self.model.id, now);
                let ended = store
                    .revoke_family(&self.model.id, reason, &entry, &audit("family_revoked", now))
                    .await;
                prop_assert_eq!(ended.unwrap(), self.model.ended.is_none());
                self.model.ended.get_or_insert(Ended { at: now, reason });
            }
        }
        prop_assert_eq!(&family_of(self.app, &self.model.id).await, &self.model);
        Ok(())
    }
}

async fn run(app: &TestApp, like: &Family, history: &History) -> TestCaseResult {
    let model = begin(app, like, history.idle, history.absolute).await;
    let mut twins = Twins {
        app,
        tokens: vec![(0, model.current_jti.clone())],
        model,
        history,
    };
    for event in &history.events {
        twins.take(event).await?;
    }
    Ok(())
}

/// An application with a person and a client, and a family of theirs.
async fn prepare() -> (TestApp, Family) {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let web = app.client("web", "openid").await;
    let like = family_of(&app, &sid_of(&web.sign_in("alice").await)).await;
    (app, like)
}

#[test]
fn r1_to_r6_r10_to_r14_the_database_does_what_the_decision_says() {
    // One thread, so that no rotation is half done when the clock moves.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (app, like) = runtime.block_on(prepare());
    let config = ProptestConfig {
        cases: 96,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let outcome =
        TestRunner::new(config).run(&history(), |history| runtime.block_on(run(&app, &like, &history)));
    outcome.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r1_r2_r3_of_many_first_uses_waiting_together_one_rotates() {
    let (app, like) = prepare().await;
    let store = app.inside().store();
    let mut families = Vec::new();
    for _ in 0..8 {
        families.push(begin(&app, &like, 3600, 7200).await);
    }
    // Sixteen uses of each family, all in the queue before the first is written.
    let jobs = (0..16)
        .flat_map(|_| &families)
        .map(|family| job_for(family, app.now()));
    let outcomes = join_all(jobs.map(|job| store.rotate(job))).await;
    for family in &families {
        let row = family_of(&app, &family.id).await;
        assert_eq!(row.seq, 1);
        assert_eq!(row.previous_jti.as_ref(), Some(&family.current_jti));
        let mut advanced = 0;
        for outcome in &outcomes {
            match outcome.as_ref().unwrap() {
                RotateOutcome::Advanced(other, _) if other.id == family.id => {
                    advanced += 1;
                    assert_eq!(*other, row);
                }
                RotateOutcome::Retried(other, _) if other.id == family.id => assert_eq!(*other, row),
                RotateOutcome::Advanced(..) | RotateOutcome::Retried(..) => {}
                unexpected => panic!("{unexpected:?}"),
            }
        }
        assert_eq!(advanced, 1);
    }
}
