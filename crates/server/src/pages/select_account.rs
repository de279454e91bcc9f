//! `GET` and `POST /select-account`: go on as who is signed in, or as somebody else.

use http::{Method, StatusCode};
use poem::Response;
use vouchsafe_issuer::TicketPurpose;
use vouchsafe_protocol::{ErrorCode, Reason, Refusal};

use super::authorize::{ask, judge};
use super::continuation::{Continuation, SELECTED};
use super::respond;
use super::view::SelectAccount;
use super::visit::Visit;

pub(super) async fn handle(mut visit: Visit) -> Response {
    let continuation = visit.continuation();
    let Some(continuation) = continuation.filter(|to| to.authorization_query().is_some()) else {
        return visit.refuse(Refusal::new(ErrorCode::InvalidRequest, Reason::InvalidParameter));
    };
    let continuation = continuation.bare();
    if visit.visitor.session.is_none() {
        return ask(&visit, "/sign-in", &continuation);
    }
    if visit.method == Method::POST {
        return posted(&mut visit, &continuation);
    }
    show(&mut visit, &continuation).await
}

async fn show(visit: &mut Visit, continuation: &Continuation) -> Response {
    let judged = match judge(visit, continuation).await {
        Ok(judged) => judged,
        Err(error) => return respond::unauthorized(visit, error),
    };
    let ticket = visit.ticket(TicketPurpose::SelectAccount, continuation.as_str());
    let (ticket, username) = match (ticket, visit.username().await) {
        (Ok(ticket), Ok(username)) => (ticket, username),
        (Err(error), _) | (_, Err(error)) => return visit.fail(error),
    };
    let view = SelectAccount {
        page: visit.page(Some(&judged.client)),
        ticket,
        continue_to: continuation.as_str().to_owned(),
        username,
    };
    respond::page(visit, StatusCode::OK, &view.page, &view)
}

fn posted(visit: &mut Visit, continuation: &Continuation) -> Response {
    if visit
        .takes(TicketPurpose::SelectAccount, continuation.as_str())
        .is_none()
    {
        return visit.foreign();
    }
    match visit.form.get("choice") {
        Some("current") => match visit.ticket(TicketPurpose::Selected, continuation.as_str()) {
            Ok(ticket) => respond::go(visit, continuation.with_proof(SELECTED, &ticket).as_str()),
            Err(error) => visit.fail(error),
        },
        _ => ask(visit, "/sign-in", continuation),
    }
}
