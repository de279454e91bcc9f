//! `GET` and `POST /sign-up`: an account for oneself, where that is switched on. Whether a name was taken is told to nobody.

use http::{Method, StatusCode};
use poem::Response;
use vouchsafe_issuer::{SignUp as Outcome, TicketPurpose};
use vouchsafe_protocol::{ErrorCode, Reason, Refusal, SecretString};

use super::continuation::Continuation;
use super::respond;
use super::view::{SignUp, SignUpError, query_of};
use super::visit::{Handled, Visit};

pub(super) async fn handle(mut visit: Visit) -> Handled {
    if !visit.state.issuer.config().sign_up {
        return Ok(closed(&visit));
    }
    let Some(continuation) = visit.continuation() else {
        return Err(visit.unclear(Reason::InvalidParameter));
    };
    let mut typed = Typed::default();
    if visit.method != Method::POST {
        return show(&mut visit, &continuation, StatusCode::OK, typed);
    }
    typed.username = visit.form.take("username").unwrap_or_default();
    typed.email = visit.form.take("email");
    match make(&mut visit, &continuation, &typed).await {
        Ok(response) => Ok(response),
        Err((problem, status)) => {
            typed.error = Some(problem);
            show(&mut visit, &continuation, status, typed)
        }
    }
}

fn closed(visit: &Visit) -> Response {
    let refusal = Refusal::new(ErrorCode::InvalidRequest, Reason::NotFound);
    respond::error(visit, refusal, StatusCode::NOT_FOUND)
}

#[derive(Default)]
struct Typed {
    username: String,
    email: Option<String>,
    error: Option<SignUpError>,
}

async fn make(
    visit: &mut Visit,
    continuation: &Continuation,
    typed: &Typed,
) -> Result<Response, (SignUpError, StatusCode)> {
    if visit
        .takes(TicketPurpose::SignUp, continuation.as_str())
        .is_none()
    {
        return Err((SignUpError::Expired, StatusCode::FORBIDDEN));
    }
    let now = visit.state.issuer.now();
    let asked = visit.state.limits.may_sign_up(&visit.source, now);
    if visit.is_stopped(asked) {
        return Err((SignUpError::TooMany, StatusCode::TOO_MANY_REQUESTS));
    }
    let password = SecretString::new(visit.form.take("password").unwrap_or_default());
    let issuer = std::sync::Arc::clone(&visit.state.issuer);
    let outcome = issuer
        .sign_up(&typed.username, typed.email.as_deref(), password)
        .await;
    match outcome {
        Ok(Outcome::Done) => {
            let address = format!(
                "/sign-in?continue={}&created=1",
                query_of(continuation.bare().as_str())
            );
            Ok(respond::go(visit, &address))
        }
        Ok(Outcome::Closed) => Ok(closed(visit)),
        Ok(Outcome::BadName) => Err((SignUpError::BadName, StatusCode::BAD_REQUEST)),
        Ok(Outcome::BadEmail) => Err((SignUpError::BadEmail, StatusCode::BAD_REQUEST)),
        Ok(Outcome::BadPassword) => Err((SignUpError::BadPassword, StatusCode::BAD_REQUEST)),
        Err(error) if error.refusal().reason == Reason::Busy => {
            Err((SignUpError::Busy, StatusCode::SERVICE_UNAVAILABLE))
        }
        Err(error) => Ok(visit.fail(error)),
    }
}

fn show(visit: &mut Visit, continuation: &Continuation, status: StatusCode, typed: Typed) -> Handled {
    let ticket = visit.ticket(TicketPurpose::SignUp, continuation.as_str());
    let view = SignUp {
        ticket: ticket.map_err(|error| visit.failed(error))?,
        page: visit.page(None),
        continue_to: continuation.as_str().to_owned(),
        username: typed.username,
        email: typed.email.unwrap_or_default(),
        error: typed.error,
    };
    Ok(respond::page(visit, status, &view.page, &view))
}
