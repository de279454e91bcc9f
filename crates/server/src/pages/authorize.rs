//! `GET` and `POST /authorize` (RFC 6749 3.1, OpenID Connect Core 3.1.2.1).

use std::sync::Arc;

use http::{Method, StatusCode};
use poem::Response;
use vouchsafe_issuer::{AuthorizeError, Judged, Step};
use vouchsafe_protocol::{ErrorCode, Form, Reason, Refusal};

use super::continuation::Continuation;
use super::respond;
use super::view::query_of;
use super::visit::{Handled, Visit};

pub(super) async fn handle(mut visit: Visit) -> Handled {
    if visit.method == Method::POST {
        return Ok(posted(&visit));
    }
    let continuation = Continuation::authorize(&visit.query);
    if !continuation.fits() {
        return Err(visit.unclear(Reason::InvalidParameter));
    }
    let judged = judge(&mut visit, &continuation).await?;
    let proofs = visit.proofs(&continuation);
    let step = visit
        .state
        .issuer
        .authorize(&judged, &visit.visitor, proofs)
        .await;
    Ok(take(&visit, &continuation, step))
}

/// A request that came as a form goes on as one that came by address: so it can be come back to.
fn posted(visit: &Visit) -> Response {
    if !visit.query.is_empty() {
        return visit.refuse(Refusal::new(ErrorCode::InvalidRequest, Reason::ParametersInQuery));
    }
    let continuation = Continuation::authorize(&visit.form.encoded());
    respond::go(visit, continuation.as_str())
}

/// Judges the authorization request that a person goes on to; from then on pages speak the language that it asks for.
pub(super) async fn judge(visit: &mut Visit, continuation: &Continuation) -> Result<Judged, Box<Response>> {
    let bare = continuation.bare();
    let query = bare.authorization_query().unwrap_or_default();
    may_meet(visit, query)?;
    let judged = visit.state.issuer.judge_authorization(query.as_bytes()).await;
    let judged = judged.map_err(|error| Box::new(respond::unauthorized(visit, error)))?;
    visit.speak(judged.request.ui_locales.as_deref());
    Ok(judged)
}

/// Whoever names clients that nobody knows makes us ask for their documents.
fn may_meet(visit: &mut Visit, query: &str) -> Result<(), Box<Response>> {
    let issuer = Arc::clone(&visit.state.issuer);
    let named = Form::parse_with_resources(query.as_bytes()).ok();
    let client_id = named.and_then(|mut form| form.take("client_id"));
    if client_id.is_some_and(|id| issuer.needs_document(&id)) {
        let now = issuer.now();
        let asked = visit.state.limits.may_fetch_document(&visit.source, now);
        if visit.is_stopped(asked) {
            let refusal = Refusal::new(ErrorCode::TemporarilyUnavailable, Reason::TooManyAttempts);
            return Err(Box::new(respond::error(
                visit,
                refusal,
                StatusCode::TOO_MANY_REQUESTS,
            )));
        }
    }
    Ok(())
}

/// Shows the next step.
pub(super) fn take(
    visit: &Visit,
    continuation: &Continuation,
    step: Result<Step, AuthorizeError>,
) -> Response {
    match step {
        Err(error) => respond::unauthorized(visit, error),
        Ok(Step::SignIn) => ask(visit, "/sign-in", &continuation.bare()),
        Ok(Step::SelectAccount(_)) => ask(visit, "/select-account", &continuation.bare()),
        Ok(Step::Consent(_)) => ask(visit, "/consent", continuation),
        Ok(Step::Answer(answer)) => respond::answer(visit, *answer),
    }
}

/// On to a page that asks, and from there on to where the person wanted to go.
pub(super) fn ask(visit: &Visit, page: &str, continuation: &Continuation) -> Response {
    respond::go(
        visit,
        &format!("{page}?continue={}", query_of(continuation.as_str())),
    )
}
