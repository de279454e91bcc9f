//! Refresh: one line, never a tree; kind to a retry, final after a reuse.

use std::time::Duration;

use vouchsafe_tests::TestApp;

#[tokio::test]
async fn t40_a_refresh_gives_a_new_pair_and_keeps_sid_and_end() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let web = app.client("web", "openid items:read").await;
    let first = web.sign_in("alice").await;
    assert_eq!(first.outcome(), "200");
    app.advance(Duration::from_secs(60)).await;
    let second = web.refresh(first.str("refresh_token")).await;
    assert_eq!(second.outcome(), "200");
    let (a, b) = (first.refresh_claims(), second.refresh_claims());
    assert_eq!(a["sid"], b["sid"]);
    assert_eq!(a["exp"], b["exp"]);
    assert_eq!(b["seq"], 1);
    assert_ne!(a["jti"], b["jti"]);
    assert_ne!(first.claims()["jti"], second.claims()["jti"]);
    assert_eq!(first.claims()["sid"], second.claims()["sid"]);
}

#[tokio::test]
async fn t41_r1_r2_r3_sixty_four_at_once_get_one_successor() {
    let app = TestApp::start().await;
    app.user("alice", &[]).await;
    let web = app.public_client("web", "openid").await;
    let first = web.sign_in("alice").await;
    let token = first.str("refresh_token").to_owned();
    let racers = (0..64).map(|_| web.refresh(&token));
    let answers = futures_util::future::join_all(racers).await;
    let successor = answers[0].str("refresh_token");
    for answer in &answers {
        assert_eq!(answer.outcome(), "200");
        assert_eq!(answer.str("refresh_token"), successor);
    }
    assert_eq!(answers[0].refresh_claims()["seq"], 1);
    assert_eq!(web.refresh(successor).await.refresh_claims()["seq"], 2);
}
