//! `GET` and `POST /logout` (OpenID Connect RP-Initiated Logout 1.0): a client asks, the person decides, and the browser
//! goes back if the client registered where to.

use http::{Method, StatusCode};
use poem::Response;
use vouchsafe_issuer::{Error, Logout as Judged, LogoutRequest, TicketPurpose};
use vouchsafe_protocol::{ErrorCode, Form, Reason, Refusal};

use super::continuation::Continuation;
use super::respond;
use super::view::{Logout, SignedOut};
use super::visit::Visit;

pub(super) async fn ask(mut visit: Visit) -> Response {
    if visit.method == Method::POST {
        let continuation = Continuation::logout(&visit.form.encoded());
        return respond::go(&visit, continuation.as_str());
    }
    let continuation = Continuation::logout(&visit.query);
    let judged = match judge(&visit, &visit.query).await {
        Ok(judged) => judged,
        Err(error) => return visit.fail(error),
    };
    if visit.visitor.session.is_none() {
        return after(&visit, &judged);
    }
    let ticket = visit.ticket(TicketPurpose::SignOut, continuation.as_str());
    let (ticket, username) = match (ticket, visit.username().await) {
        (Ok(ticket), Ok(username)) => (ticket, username),
        (Err(error), _) | (_, Err(error)) => return visit.fail(error),
    };
    let view = Logout {
        page: visit.page(judged.client.as_deref()),
        ticket,
        continue_to: continuation.as_str().to_owned(),
        username: Some(username),
        client: judged.client_name().map(str::to_owned),
    };
    respond::page(&visit, StatusCode::OK, &view.page, &view)
}

async fn judge(visit: &Visit, query: &str) -> Result<Judged, Error> {
    let mut form = Form::parse(query.as_bytes()).map_err(Refusal::from)?;
    let request = LogoutRequest::take(&mut form)?;
    visit.state.issuer.judge_logout(&request, &visit.visitor).await
}

pub(super) async fn decide(mut visit: Visit) -> Response {
    if visit.method != Method::POST {
        return respond::go(&visit, "/logout");
    }
    let continuation = visit.continuation();
    let Some(continuation) = continuation.filter(|to| to.logout_query().is_some()) else {
        return visit.refuse(Refusal::new(ErrorCode::InvalidRequest, Reason::InvalidParameter));
    };
    if visit
        .takes(TicketPurpose::SignOut, continuation.as_str())
        .is_none()
    {
        return visit.foreign();
    }
    let judged = judge(&visit, continuation.logout_query().unwrap_or_default()).await;
    let judged = match judged {
        Ok(judged) => judged,
        Err(error) => return visit.fail(error),
    };
    if visit.form.get("decision") != Some("sign_out") {
        return respond::go(&visit, Continuation::account().as_str());
    }
    if let Some(session) = visit.visitor.session.clone() {
        if let Err(error) = visit.state.issuer.end_session(&session).await {
            return visit.fail(error);
        }
        visit.forget();
    }
    after(&visit, &judged)
}

/// Back to the client, if it registered where to.
fn after(visit: &Visit, judged: &Judged) -> Response {
    match judged.target() {
        Some(target) => respond::leave(visit, &target),
        None => respond::go(visit, "/signed-out"),
    }
}

pub(super) async fn signed_out(visit: Visit) -> Response {
    let view = SignedOut {
        page: visit.page(None),
        client: None,
        back: None,
    };
    respond::page(&visit, StatusCode::OK, &view.page, &view)
}
