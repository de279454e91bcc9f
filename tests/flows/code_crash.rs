//! A process that dies while it issues a code or redeems one, with many redemptions under way: a code leads to one family
//! at most, ever, and to none that nobody asked for again.
#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails where it is")]

use futures_util::future::join_all;
use reqwest::redirect::Policy;
use url::Url;
use vouchsafe_issuer::{ClientDraft, Issuer, Proofs, Step, Visitor, Whereabouts};
use vouchsafe_protocol::{ClientId, GrantType, SecretString};
use vouchsafe_tests::process::soon;
use vouchsafe_tests::{Answer, CALLBACK, CHALLENGE, TestApp, VERIFIER, http_client};

use crate::crash::{PASSWORD, Place, Server, families};

const AT_ONCE: usize = 10;
const REUSED: &str = "400 invalid_grant reused";
const WHEREABOUTS: Whereabouts<'static> = Whereabouts {
    source: "127.0.0.1",
    agent: None,
};

fn redeeming(code: &str) -> [(&str, &str); 4] {
    [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ]
}

/// The query of a request of the client `app`.
fn request() -> String {
    let parameters = [
        ("client_id", "app"),
        ("response_type", "code"),
        ("redirect_uri", CALLBACK),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let url = Url::parse_with_params("http://request/", parameters).unwrap();
    url.query().unwrap().to_owned()
}

/// The client `app`, now one of the code flow that nobody is asked about, and the person `alice`.
async fn furnish(place: &Place) -> Issuer {
    let inside = place.furnish().await;
    let draft = ClientDraft {
        grants: Some(vec![GrantType::AuthorizationCode, GrantType::RefreshToken]),
        redirect_uris: Some(vec![CALLBACK.to_owned()]),
        skip_consent: Some(true),
        ..ClientDraft::default()
    };
    let id = ClientId::parse("app").unwrap();
    inside
        .update_client(&id, &draft, &TestApp::operator())
        .await
        .unwrap();
    inside
}

/// What the cookie holds of a browser at which alice is signed in.
async fn cookie(inside: &Issuer) -> String {
    let password = SecretString::new(PASSWORD.to_owned());
    let begun = inside
        .begin_session(&Visitor::default(), ("alice", &password), WHEREABOUTS)
        .await;
    begun.unwrap().cookie.expose().to_owned()
}

/// A code for alice, issued by this process.
async fn code(inside: &Issuer) -> String {
    let visitor = inside.visitor(Some(&cookie(inside).await)).await.unwrap();
    let judged = inside.judge_authorization(request().as_bytes()).await.unwrap();
    let step = inside
        .authorize(&judged, &visitor, Proofs::default())
        .await
        .unwrap();
    let mut parameters = match step {
        Step::Answer(answer) => answer.parameters,
        _ => Vec::new(),
    };
    parameters.retain(|(name, _)| *name == "code");
    parameters.pop().unwrap().1
}

/// Asks a server for a code, as a browser; none when it dies over that.
async fn ask_for_code(server: &Server<'_>, cookie: &str) -> Option<String> {
    let http = http_client().redirect(Policy::none()).build();
    let address = format!("http://{}/authorize?{}", server.address, request());
    let request = http.unwrap().get(address);
    let answer = request
        .header("cookie", format!("vouchsafe={cookie}"))
        .send()
        .await;
    let answer = answer.ok()?;
    assert_eq!(answer.status(), 303);
    let location = answer.headers().get("location")?.to_str().ok()?;
    let url = Url::parse(location).unwrap();
    let mut codes = url.query_pairs().filter(|(name, _)| name == "code");
    codes.next().map(|(_, code)| code.into_owned())
}

/// Redeems a code many times at once; gives what came back.
async fn redeem_at_once(server: &Server<'_>, code: &str) -> Vec<Answer> {
    let form = redeeming(code);
    join_all((0..AT_ONCE).map(|_| server.ask("/token", &form))).await
}

/// How many of the answers are tokens; each other one says that the code was used.
fn won(answers: &[Answer]) -> usize {
    let (won, lost): (Vec<&Answer>, Vec<&Answer>) = answers.iter().partition(|answer| answer.status == 200);
    for answer in lost {
        assert_eq!(answer.outcome(), REUSED);
    }
    won.len()
}

#[tokio::test]
async fn f4_a_death_in_a_redemption_leaves_one_family_of_the_code_or_none() {
    let place = Place::new().await;
    let inside = furnish(&place).await;
    for (failpoint, made) in [
        ("code.before_commit", 0),
        ("code.after_commit", 1),
        // The first signature comes when the family is in the database.
        ("token.before_sign", 1),
    ] {
        let before = families(&inside).await.len();
        let mut server = place.serve(Some(failpoint)).await;
        let code = code(&inside).await;
        let form = redeeming(&code);
        let answers = join_all((0..AT_ONCE).map(|_| server.bytes_for("/token", &form))).await;
        server.dies().await;
        for bytes in &answers {
            let said = String::from_utf8_lossy(bytes);
            assert!(!said.contains("access_token"), "{failpoint}: {said}");
        }
        assert_eq!(families(&inside).await.len(), before + made, "{failpoint}");

        let server = place.serve(None).await;
        let answers = redeem_at_once(&server, &code).await;
        // A code that led to a family leads to no second one, though nobody holds the first.
        assert_eq!(won(&answers), 1 - made, "{failpoint}");
        assert_eq!(won(&redeem_at_once(&server, &code).await), 0, "{failpoint}");
        assert_eq!(families(&inside).await.len(), before + 1, "{failpoint}");
    }
}

#[tokio::test]
async fn f4_deaths_one_after_the_other_leave_no_second_family() {
    let place = Place::new().await;
    let inside = furnish(&place).await;
    let code = code(&inside).await;
    for (failpoint, made) in [
        ("code.before_commit", 0),
        ("code.before_commit", 0),
        ("code.after_commit", 1),
    ] {
        let mut server = place.serve(Some(failpoint)).await;
        let form = redeeming(&code);
        join_all((0..AT_ONCE).map(|_| server.bytes_for("/token", &form))).await;
        server.dies().await;
        assert_eq!(families(&inside).await.len(), made, "{failpoint}");
    }
    // Two processes at once, now that it is used up.
    let servers = [place.serve(None).await, place.serve(None).await];
    let (one, other) = tokio::join!(
        redeem_at_once(&servers[0], &code),
        redeem_at_once(&servers[1], &code)
    );
    assert_eq!((won(&one), won(&other)), (0, 0));
    assert_eq!(families(&inside).await.len(), 1);
}

#[tokio::test]
async fn f4_of_two_processes_one_dies_and_the_other_redeems_the_code_once() {
    let place = Place::new().await;
    let inside = furnish(&place).await;
    for (failpoint, made) in [("code.before_commit", 0), ("code.after_commit", 1)] {
        let before = families(&inside).await.len();
        let lives = place.serve(None).await;
        let mut dies = place.serve(Some(failpoint)).await;
        let code = code(&inside).await;
        let form = redeeming(&code);
        let dying = join_all((0..AT_ONCE).map(|_| dies.bytes_for("/token", &form))).await;
        dies.dies().await;
        for bytes in &dying {
            assert!(
                !String::from_utf8_lossy(bytes).contains("access_token"),
                "{failpoint}"
            );
        }
        // Its transaction may hold the database for a moment after it.
        let answers = soon("an answer", async || {
            let answers = redeem_at_once(&lives, &code).await;
            let waits = answers.iter().any(|answer| answer.status == 503);
            assert!(answers.iter().filter(|answer| answer.status == 200).count() <= 1);
            (!waits).then_some(answers)
        })
        .await;
        assert!(won(&answers) <= 1 - made, "{failpoint}");
        assert_eq!(families(&inside).await.len(), before + 1, "{failpoint}");
    }
}

#[tokio::test]
async fn f4_a_death_before_a_code_is_issued_leaves_none_and_the_next_request_gets_one() {
    let place = Place::new().await;
    let inside = furnish(&place).await;
    let cookie = cookie(&inside).await;
    let mut server = place.serve(Some("code.before_issue")).await;
    assert_eq!(ask_for_code(&server, &cookie).await, None);
    server.dies().await;
    assert!(families(&inside).await.is_empty());
    let server = place.serve(None).await;
    let code = ask_for_code(&server, &cookie).await.unwrap();
    assert_eq!(won(&redeem_at_once(&server, &code).await), 1);
    assert_eq!(won(&redeem_at_once(&server, &code).await), 0);
    assert_eq!(families(&inside).await.len(), 1);
}
