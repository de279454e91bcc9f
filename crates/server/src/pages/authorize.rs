//! `GET` and `POST /authorize` (RFC 6749 3.1, OpenID Connect Core 3.1.2.1).

use http::Method;
use poem::Response;
use vouchsafe_issuer::{AuthorizeError, Judged, Step};
use vouchsafe_protocol::{ErrorCode, Reason, Refusal};

use super::continuation::Continuation;
use super::respond;
use super::view::query_of;
use super::visit::Visit;

pub(super) async fn handle(mut visit: Visit) -> Response {
    if visit.method == Method::POST {
        return posted(&visit);
    }
    let continuation = Continuation::authorize(&visit.query);
    if !continuation.fits() {
        return visit.refuse(Refusal::new(ErrorCode::InvalidRequest, Reason::InvalidParameter));
    }
    let judged = match judge(&mut visit, &continuation).await {
        Ok(judged) => judged,
        Err(error) => return respond::unauthorized(&visit, error),
    };
    let proofs = visit.proofs(&continuation);
    let step = visit
        .state
        .issuer
        .authorize(&judged, &visit.visitor, proofs)
        .await;
    take(&visit, &continuation, step)
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
pub(super) async fn judge(visit: &mut Visit, continuation: &Continuation) -> Result<Judged, AuthorizeError> {
    let bare = continuation.bare();
    let query = bare.authorization_query().unwrap_or_default();
    let judged = visit.state.issuer.judge_authorization(query.as_bytes()).await?;
    visit.speak(judged.request.ui_locales.as_deref());
    Ok(judged)
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
