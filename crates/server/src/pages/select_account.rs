//! `GET` and `POST /select-account`: go on as who is signed in, or as somebody else.

use http::{Method, StatusCode};
use vouchsafe_issuer::TicketPurpose;
use vouchsafe_protocol::Reason;

use super::authorize::{ask, judge};
use super::continuation::{Continuation, SELECTED};
use super::respond;
use super::view::SelectAccount;
use super::visit::{Handled, Visit};

pub(super) async fn handle(mut visit: Visit) -> Handled {
    let continuation = visit.continuation();
    let Some(continuation) = continuation.filter(|to| to.authorization_query().is_some()) else {
        return Err(visit.unclear(Reason::InvalidParameter));
    };
    let continuation = continuation.bare();
    if visit.visitor.session.is_none() {
        return Ok(ask(&visit, "/sign-in", &continuation));
    }
    if visit.method == Method::POST {
        return posted(&mut visit, &continuation);
    }
    show(&mut visit, &continuation).await
}

async fn show(visit: &mut Visit, continuation: &Continuation) -> Handled {
    let judged = judge(visit, continuation).await?;
    let ticket = visit.ticket_and_name(TicketPurpose::SelectAccount, continuation.as_str());
    let (ticket, username) = ticket.await?;
    let view = SelectAccount {
        page: visit.page(Some(&judged.client)),
        ticket,
        continue_to: continuation.as_str().to_owned(),
        username,
    };
    Ok(respond::page(visit, StatusCode::OK, &view.page, &view))
}

fn posted(visit: &mut Visit, continuation: &Continuation) -> Handled {
    if visit
        .takes(TicketPurpose::SelectAccount, continuation.as_str())
        .is_none()
    {
        return Ok(visit.foreign());
    }
    if visit.form.get("choice") != Some("current") {
        return Ok(ask(visit, "/sign-in", continuation));
    }
    let ticket = visit.ticket(TicketPurpose::Selected, continuation.as_str());
    let ticket = ticket.map_err(|error| visit.failed(error))?;
    Ok(respond::go(
        visit,
        continuation.with_proof(SELECTED, &ticket).as_str(),
    ))
}
