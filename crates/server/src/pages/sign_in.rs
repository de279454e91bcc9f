//! `GET` and `POST /sign-in`: a name and a password, and then on to where the person wanted to go.

use http::{Method, StatusCode};
use vouchsafe_issuer::{Client, Error, TicketPurpose};
use vouchsafe_protocol::{ErrorCode, Reason, SecretString};

use super::authorize::judge;
use super::continuation::{Continuation, SIGNED_IN};
use super::respond;
use super::view::{SignIn, SignInError};
use super::visit::{Handled, Visit};

pub(super) async fn handle(mut visit: Visit) -> Handled {
    let Some(continuation) = visit.continuation() else {
        return Err(visit.unclear(Reason::InvalidParameter));
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

async fn show(visit: &mut Visit, continuation: &Continuation, status: StatusCode, shown: Shown) -> Handled {
    let mut hint = None;
    let mut client = None;
    if continuation.authorization_query().is_some() {
        let judged = judge(visit, continuation).await?;
        hint = judged.request.login_hint;
        client = Some(judged.client);
    }
    let ticket = visit.ticket(TicketPurpose::SignIn, continuation.as_str());
    let client: Option<&Client> = client.as_deref();
    let view = SignIn {
        ticket: ticket.map_err(|error| visit.failed(error))?,
        page: visit.page(client),
        continue_to: continuation.as_str().to_owned(),
        username: shown.username.or(hint).unwrap_or_default(),
        error: shown.error,
        created: shown.created,
        sign_up: visit.state.issuer.config().sign_up,
    };
    Ok(respond::page(visit, status, &view.page, &view))
}

async fn posted(mut visit: Visit, continuation: Continuation) -> Handled {
    let username = visit.form.take("username").unwrap_or_default();
    let password = SecretString::new(visit.form.take("password").unwrap_or_default());
    if visit
        .takes(TicketPurpose::SignIn, continuation.as_str())
        .is_none()
    {
        let problem = (SignInError::Expired, StatusCode::FORBIDDEN);
        return again(&mut visit, &continuation, username, problem).await;
    }
    let now = visit.state.issuer.now();
    let limits = std::sync::Arc::clone(&visit.state.limits);
    let asked = limits.may_try_password(&visit.source, false, &username, now);
    if visit.is_stopped(asked) {
        let problem = (SignInError::TooMany, StatusCode::TOO_MANY_REQUESTS);
        return again(&mut visit, &continuation, username, problem).await;
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
            Some(problem) => {
                if problem.0 == SignInError::Wrong {
                    limits.wrong_password(&visit.source, false, &username, now);
                }
                again(&mut visit, &continuation, username, problem).await
            }
            None => Err(visit.failed(error)),
        },
    }
}

/// On to where the person wanted to go, with proof that they signed in for it.
fn go_on(visit: &Visit, bare: &Continuation, browser: &str) -> Handled {
    if bare.authorization_query().is_none() {
        return Ok(respond::go(visit, bare.as_str()));
    }
    let issuer = &visit.state.issuer;
    let ticket = issuer.ticket(TicketPurpose::SignedIn, browser, bare.as_str());
    let ticket = ticket.map_err(|error| visit.failed(error))?;
    Ok(respond::go(visit, bare.with_proof(SIGNED_IN, &ticket).as_str()))
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
    (problem, status): (SignInError, StatusCode),
) -> Handled {
    let shown = Shown {
        username: Some(username),
        error: Some(problem),
        created: false,
    };
    show(visit, continuation, status, shown).await
}
