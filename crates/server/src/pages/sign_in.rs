//! `GET` and `POST /sign-in`: a name and a password, and then on to where the person wanted to go.

use http::{Method, StatusCode};
use poem::Response;
use vouchsafe_issuer::{Client, Error, TicketPurpose};
use vouchsafe_protocol::{ErrorCode, Reason, Refusal, SecretString};

use super::authorize::judge;
use super::continuation::{Continuation, SIGNED_IN};
use super::respond;
use super::view::{SignIn, SignInError};
use super::visit::Visit;

const LONGEST_NAME: usize = 255;

pub(super) async fn handle(mut visit: Visit) -> Response {
    let Some(continuation) = visit.continuation() else {
        return visit.refuse(Refusal::new(ErrorCode::InvalidRequest, Reason::InvalidParameter));
    };
    if visit.method == Method::POST {
        return posted(visit, continuation).await;
    }
    let created = visit.parameter("created").is_some();
    let shown = Shown {
        username: None,
        error: None,
        created,
    };
    show(&mut visit, &continuation, StatusCode::OK, shown).await
}

/// What the form shows beside its fields.
struct Shown {
    /// As it was typed; none where nothing was typed yet.
    username: Option<String>,
    error: Option<SignInError>,
    created: bool,
}

async fn show(visit: &mut Visit, continuation: &Continuation, status: StatusCode, shown: Shown) -> Response {
    let mut hint = None;
    let mut client = None;
    if continuation.authorization_query().is_some() {
        match judge(visit, continuation).await {
            Ok(judged) => {
                hint = judged.request.login_hint.clone();
                client = Some(judged.client);
            }
            Err(error) => return respond::unauthorized(visit, error),
        }
    }
    let ticket = match visit.ticket(TicketPurpose::SignIn, continuation.as_str()) {
        Ok(ticket) => ticket,
        Err(error) => return visit.fail(error),
    };
    let client: Option<&Client> = client.as_deref();
    let view = SignIn {
        page: visit.page(client),
        ticket,
        continue_to: continuation.as_str().to_owned(),
        username: shown.username.or(hint).unwrap_or_default(),
        error: shown.error,
        created: shown.created,
        sign_up: visit.state.issuer.config().sign_up,
    };
    respond::page(visit, status, &view.page, &view)
}

async fn posted(mut visit: Visit, continuation: Continuation) -> Response {
    let username = visit.form.take("username").unwrap_or_default();
    let password = SecretString::new(visit.form.take("password").unwrap_or_default());
    if visit
        .takes(TicketPurpose::SignIn, continuation.as_str())
        .is_none()
    {
        return again(
            &mut visit,
            &continuation,
            username,
            SignInError::Expired,
            StatusCode::FORBIDDEN,
        )
        .await;
    }
    let now = visit.state.issuer.now();
    let limits = std::sync::Arc::clone(&visit.state.limits);
    let asked = limits.may_try_password(&visit.source, false, &username, now);
    if visit.is_stopped(asked) {
        return again(
            &mut visit,
            &continuation,
            username,
            SignInError::TooMany,
            StatusCode::TOO_MANY_REQUESTS,
        )
        .await;
    }
    if username.len() > LONGEST_NAME {
        return again(
            &mut visit,
            &continuation,
            String::new(),
            SignInError::Wrong,
            StatusCode::BAD_REQUEST,
        )
        .await;
    }
    let issuer = std::sync::Arc::clone(&visit.state.issuer);
    let begun = issuer
        .begin_session(&visit.visitor, (&username, &password), visit.whereabouts())
        .await;
    match begun {
        Ok(begun) => {
            let (browser, bare) = (begun.session.id.clone(), continuation.bare());
            visit.keep(begun.cookie);
            go_on(&visit, &bare, &browser)
        }
        Err(error) => match problem(&error) {
            Some((problem, status)) => {
                if problem == SignInError::Wrong {
                    limits.wrong_password(&visit.source, false, &username, now);
                }
                again(&mut visit, &continuation, username, problem, status).await
            }
            None => visit.fail(error),
        },
    }
}

/// On to where the person wanted to go, with proof that they signed in for it.
fn go_on(visit: &Visit, bare: &Continuation, browser: &str) -> Response {
    if bare.authorization_query().is_none() {
        return respond::go(visit, bare.as_str());
    }
    let issuer = &visit.state.issuer;
    match issuer.ticket(TicketPurpose::SignedIn, browser, bare.as_str()) {
        Ok(ticket) => respond::go(visit, bare.with_proof(SIGNED_IN, &ticket).as_str()),
        Err(error) => visit.fail(error),
    }
}

/// What the form says of an error; none for one that a page of its own is about.
fn problem(error: &Error) -> Option<(SignInError, StatusCode)> {
    let refusal = error.refusal();
    match (refusal.reason, refusal.code) {
        (Reason::BadPassword, _) => Some((SignInError::Wrong, StatusCode::BAD_REQUEST)),
        (Reason::Busy, ErrorCode::TemporarilyUnavailable) => {
            Some((SignInError::Busy, StatusCode::SERVICE_UNAVAILABLE))
        }
        _ => None,
    }
}

async fn again(
    visit: &mut Visit,
    continuation: &Continuation,
    username: String,
    problem: SignInError,
    status: StatusCode,
) -> Response {
    let shown = Shown {
        username: Some(username),
        error: Some(problem),
        created: false,
    };
    show(visit, continuation, status, shown).await
}
