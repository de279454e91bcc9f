//! Several replicas on one database: what one does while another does not know it yet.

use std::time::Duration;

use vouchsafe_store::{RotateJob, RotateOutcome};
use vouchsafe_tests::{Setup, TestApp, kid_of};

use crate::refresh::{family_of, sid_of};
use crate::refresh_model::job_for;

#[tokio::test]
async fn r8_a_refresh_that_waited_behind_a_slow_database_is_judged_by_when_it_came() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let web = app.public_client("native", "openid").await;
    let first = web.sign_in("alice").await;
    let family = family_of(&app, &sid_of(&first)).await;
    let late = job_for(&family, app.now());
    app.clock.advance(Duration::from_secs(4));
    let retried = web.refresh(first.str("refresh_token")).await;
    app.clock.advance(Duration::from_secs(600));
    let store = app.inside().store();
    let outcome = store.rotate(late.clone()).await.unwrap();
    let RotateOutcome::Retried(row, _) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(row.current_jti.as_str(), retried.refresh_claims()["jti"]);
    // The same token of somebody who comes only now is a copy.
    let copy = RotateJob {
        asked_at: app.now(),
        ..late
    };
    let outcome = store.rotate(copy).await.unwrap();
    assert!(matches!(outcome, RotateOutcome::Reused), "{outcome:?}");
}

#[tokio::test]
async fn k4_no_family_is_left_alive_under_a_mac_key_that_another_replica_revoked() {
    let first = TestApp::start().await;
    let second = Setup::default()
        .beside(&first)
        .set("issuer", &first.issuer)
        .start()
        .await;
    first.user("alice", &[]).await;
    let web = first.client("web", "openid").await;
    let begun = web.sign_in("alice").await;
    let kid = kid_of(begun.str("refresh_token"));
    second.inside().follow().await.unwrap();
    let moved = web.at(&second).refresh(begun.str("refresh_token")).await;
    let ended = second
        .inside()
        .revoke_key(&kid, &TestApp::operator())
        .await
        .unwrap();
    assert_eq!(ended, 1);
    // The first replica has not heard of it.
    let born = web.sign_in("alice").await;
    assert_eq!(born.outcome(), "503 temporarily_unavailable store_unavailable");
    assert_eq!(
        web.refresh(moved.str("refresh_token")).await.outcome(),
        "400 invalid_grant revoked"
    );
    assert_eq!(
        first.inside().store().living_families(first.now()).await.unwrap(),
        0
    );
    first.inside().follow().await.unwrap();
    let again = web.sign_in("alice").await;
    assert_ne!(kid_of(again.str("refresh_token")), kid);
}

#[tokio::test]
async fn r6_a_person_with_very_many_families_is_locked_out_whole_and_each_is_named() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let web = app.client("web", "openid").await;
    let first = web.sign_in("alice").await;
    let family = family_of(&app, &sid_of(&first)).await;
    for _ in 0..1200 {
        crate::refresh_model::begin(&app, &family, 3600, 7200).await;
    }
    let heads = app.inside().store().log_heads().await.unwrap();
    app.inside()
        .set_user_locked("alice", true, &TestApp::operator())
        .await
        .unwrap();
    let after = app.inside().store().log_heads().await.unwrap();
    assert_eq!(after.revocation - heads.revocation, 1202);
    let entries = app
        .inside()
        .store()
        .revocations_after(heads.revocation, 5000)
        .await
        .unwrap();
    let numbers: Vec<i64> = entries.iter().map(|entry| entry.n).collect();
    assert_eq!(
        numbers,
        (heads.revocation + 1..=after.revocation).collect::<Vec<_>>()
    );
    assert_eq!(app.inside().store().living_families(app.now()).await.unwrap(), 0);
    assert!(!web.is_active(first.str("access_token")).await);
}
