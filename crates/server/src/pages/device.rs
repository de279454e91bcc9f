//! `/device` (RFC 8628 3.3): a person types the code that a device shows, sees who asks for what, and lets it in or not.

use http::{Method, StatusCode};
use poem::Response;
use vouchsafe_issuer::{DeviceRequest, Session, TicketPurpose};
use vouchsafe_protocol::{ErrorCode, Reason, Refusal};

use super::authorize::ask;
use super::consent::host_of;
use super::continuation::Continuation;
use super::respond;
use super::scopes::lines;
use super::view::{DeviceCode, DeviceConfirm, DeviceDone};
use super::visit::{Handled, Visit};

/// What the ticket of the first form is about.
const ABOUT: &str = "/device";

/// `GET` and `POST /device`.
pub(super) async fn enter(mut visit: Visit) -> Handled {
    if visit.method != Method::POST {
        let typed = visit.parameter("user_code").unwrap_or_default();
        let wrong = visit.parameter("error").is_some();
        let status = if wrong {
            StatusCode::BAD_REQUEST
        } else {
            StatusCode::OK
        };
        return show_form(&mut visit, typed, wrong, status);
    }
    if visit.takes(TicketPurpose::DeviceCode, ABOUT).is_none() {
        return Ok(visit.foreign());
    }
    let typed = visit.form.take("user_code").unwrap_or_default();
    Ok(respond::go(&visit, Continuation::device(&typed).as_str()))
}

fn show_form(visit: &mut Visit, typed: String, wrong: bool, status: StatusCode) -> Handled {
    let ticket = visit.ticket(TicketPurpose::DeviceCode, ABOUT);
    let view = DeviceCode {
        ticket: ticket.map_err(|error| visit.failed(error))?,
        page: visit.page(None),
        user_code: typed,
        error: wrong,
    };
    Ok(respond::page(visit, status, &view.page, &view))
}

/// `GET` and `POST /device/confirm`: only for whoever is signed in, and never confirmed by an address alone.
pub(super) async fn confirm(mut visit: Visit) -> Handled {
    let typed = match visit.method {
        Method::POST => visit.form.take("user_code"),
        _ => visit.parameter("user_code"),
    };
    let typed = typed.unwrap_or_default();
    let here = Continuation::device(&typed);
    let Some(session) = visit.visitor.session.clone() else {
        return Ok(ask(&visit, "/sign-in", &here));
    };
    if visit.method == Method::POST {
        return decide(visit, &session, &typed, &here).await;
    }
    let (limits, now) = (
        std::sync::Arc::clone(&visit.state.limits),
        visit.state.issuer.now(),
    );
    let person = session.subject.as_str();
    let asked = limits.may_try_user_code(&visit.source, person, now);
    if visit.is_stopped(asked) {
        return Ok(too_many(&visit));
    }
    let request = visit.state.issuer.device_request(&typed).await;
    match request.map_err(|error| visit.failed(error))? {
        Some(request) => show_question(&mut visit, request).await,
        None => {
            limits.wrong_user_code(&visit.source, person, now);
            show_form(&mut visit, typed, true, StatusCode::BAD_REQUEST)
        }
    }
}

fn too_many(visit: &Visit) -> Response {
    let refusal = Refusal::new(ErrorCode::TemporarilyUnavailable, Reason::TooManyAttempts);
    respond::error(visit, refusal, StatusCode::TOO_MANY_REQUESTS)
}

async fn show_question(visit: &mut Visit, request: DeviceRequest) -> Handled {
    // As the device shows it, however it was typed.
    let user_code = request.user_code.to_string();
    let here = Continuation::device(&user_code);
    let ticket = visit.ticket_and_name(TicketPurpose::DeviceConfirm, here.as_str());
    let (ticket, username) = ticket.await?;
    let client = &request.client;
    let view = DeviceConfirm {
        page: visit.page(Some(client)),
        ticket,
        user_code,
        username,
        client: client.name.clone().unwrap_or_else(|| client.id.to_string()),
        client_host: client.is_stranger().then(|| host_of(client, None)),
        scopes: lines(visit.lang, &request.scopes),
        source: request.source.clone(),
    };
    Ok(respond::page(visit, StatusCode::OK, &view.page, &view))
}

async fn decide(visit: Visit, session: &Session, typed: &str, here: &Continuation) -> Handled {
    let Some(ticket) = visit.takes(TicketPurpose::DeviceConfirm, here.as_str()) else {
        return Ok(visit.foreign());
    };
    let allow = match visit.form.get("decision") {
        Some("allow") => true,
        Some("deny") => false,
        _ => return Err(visit.unclear(Reason::MissingParameter)),
    };
    let issuer = &visit.state.issuer;
    let decided = issuer.decide_device(session, typed, allow, &ticket).await;
    Ok(match decided.map_err(|error| visit.failed(error))? {
        true if allow => respond::go(&visit, "/device/done?outcome=allowed"),
        true => respond::go(&visit, "/device/done?outcome=denied"),
        // It waited when the page was shown: somebody decided meanwhile, or it is over.
        false => visit.refuse(Refusal::new(ErrorCode::InvalidRequest, Reason::DecidedBefore)),
    })
}

/// `GET /device/done`.
pub(super) async fn done(visit: Visit) -> Handled {
    let view = DeviceDone {
        page: visit.page(None),
        allowed: visit.parameter("outcome").as_deref() == Some("allowed"),
    };
    Ok(respond::page(&visit, StatusCode::OK, &view.page, &view))
}
