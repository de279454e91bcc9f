//! `GET` and `POST /logout` (OpenID Connect RP-Initiated Logout 1.0): a client asks, the person decides, and the browser
//! goes back if the client registered where to.

use http::{Method, StatusCode};
use poem::Response;
use vouchsafe_issuer::{Logout as Judged, LogoutRequest, TicketPurpose};
use vouchsafe_protocol::{Form, Reason, Refusal};

use super::continuation::Continuation;
use super::respond;
use super::view::{Logout, SignedOut};
use super::visit::{Handled, Visit};

pub(super) async fn ask(mut visit: Visit) -> Handled {
    if visit.method == Method::POST {
        if !visit.query.is_empty() {
            return Err(visit.unclear(Reason::ParametersInQuery));
        }
        let continuation = Continuation::logout(&visit.form.encoded());
        return Ok(respond::go(&visit, continuation.as_str()));
    }
    let continuation = Continuation::logout(&visit.query);
    let judged = judge(&visit, &visit.query).await?;
    if visit.visitor.session.is_none() {
        return unasked(&visit, &judged).await;
    }
    let ticket = visit.ticket_and_name(TicketPurpose::SignOut, continuation.as_str());
    let (ticket, username) = ticket.await?;
    let view = Logout {
        page: visit.page(judged.client.as_deref()),
        ticket,
        continue_to: continuation.as_str().to_owned(),
        username,
        client: judged.client_name().map(str::to_owned),
    };
    Ok(respond::page(&visit, StatusCode::OK, &view.page, &view))
}

async fn judge(visit: &Visit, query: &str) -> Result<Judged, Box<Response>> {
    let refused = |refusal| Box::new(visit.refuse(refusal));
    let form = Form::parse(query.as_bytes());
    let mut form = form.map_err(|error| refused(Refusal::from(error)))?;
    let request = LogoutRequest::take(&mut form).map_err(refused)?;
    let judged = visit.state.issuer.judge_logout(&request).await;
    judged.map_err(|error| visit.failed(error))
}

/// Where nobody is signed in there is nothing to ask. Only who holds an ID token of ours may have people sent on by an
/// address alone; all others are shown the way.
async fn unasked(visit: &Visit, judged: &Judged) -> Handled {
    end_left(visit, judged).await?;
    match judged.target() {
        Some(target) if !judged.by_hint => {
            let view = SignedOut {
                page: visit.page(judged.client.as_deref()),
                client: judged.client_name().map(str::to_owned),
                back: Some(target),
            };
            Ok(respond::page(visit, StatusCode::OK, &view.page, &view))
        }
        target => Ok(after(visit, target)),
    }
}

pub(super) async fn decide(mut visit: Visit) -> Handled {
    let continuation = visit.continuation();
    let Some(continuation) = continuation.filter(|to| to.logout_query().is_some()) else {
        return Err(visit.unclear(Reason::InvalidParameter));
    };
    if visit
        .takes(TicketPurpose::SignOut, continuation.as_str())
        .is_none()
    {
        return Ok(visit.foreign());
    }
    let judged = judge(&visit, continuation.logout_query().unwrap_or_default()).await?;
    if visit.form.get("decision") != Some("sign_out") {
        return Ok(respond::go(&visit, Continuation::account().as_str()));
    }
    if let Some(session) = visit.visitor.session.clone() {
        let ended = visit.state.issuer.end_session(&session).await;
        ended.map_err(|error| visit.failed(error))?;
        visit.forget();
    }
    end_left(&visit, &judged).await?;
    Ok(after(&visit, judged.target()))
}

async fn end_left(visit: &Visit, judged: &Judged) -> Result<(), Box<Response>> {
    let ended = visit.state.issuer.end_left(judged).await;
    ended.map_err(|error| visit.failed(error))
}

/// Back to the client, if it registered where to.
fn after(visit: &Visit, target: Option<String>) -> Response {
    match target {
        Some(target) => respond::leave(visit, &target),
        None => respond::go(visit, "/signed-out"),
    }
}

pub(super) async fn signed_out(visit: Visit) -> Handled {
    let view = SignedOut {
        page: visit.page(None),
        client: None,
        back: None,
    };
    Ok(respond::page(&visit, StatusCode::OK, &view.page, &view))
}
