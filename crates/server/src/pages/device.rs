//! `/device` (RFC 8628 3.3): a person types the code that a device shows, sees who asks for what, and lets it in or not.

use http::{Method, StatusCode};
use poem::Response;
use vouchsafe_issuer::{DeviceRequest, TicketPurpose};
use vouchsafe_protocol::{ErrorCode, Reason, Refusal};

use super::authorize::ask;
use super::consent::{host_of, lines};
use super::continuation::Continuation;
use super::respond;
use super::view::{DeviceCode, DeviceConfirm, DeviceDone, query_of};
use super::visit::Visit;

/// What the ticket of the first form is about.
const ABOUT: &str = "/device";

/// `GET` and `POST /device`.
pub(super) async fn enter(mut visit: Visit) -> Response {
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
        return visit.foreign();
    }
    let typed = visit.form.take("user_code").unwrap_or_default();
    respond::go(&visit, Continuation::device(&typed).as_str())
}

fn show_form(visit: &mut Visit, typed: String, wrong: bool, status: StatusCode) -> Response {
    let ticket = match visit.ticket(TicketPurpose::DeviceCode, ABOUT) {
        Ok(ticket) => ticket,
        Err(error) => return visit.fail(error),
    };
    let view = DeviceCode {
        page: visit.page(None),
        ticket,
        user_code: typed,
        error: wrong,
    };
    respond::page(visit, status, &view.page, &view)
}

/// `GET` and `POST /device/confirm`: only for whoever is signed in, and never confirmed by an address alone.
pub(super) async fn confirm(mut visit: Visit) -> Response {
    let typed = match visit.method {
        Method::POST => visit.form.take("user_code"),
        _ => visit.parameter("user_code"),
    };
    let typed = typed.unwrap_or_default();
    let here = Continuation::device(&typed);
    let Some(session) = visit.visitor.session.clone() else {
        return ask(&visit, "/sign-in", &here);
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
        return too_many(&visit);
    }
    match visit.state.issuer.device_request(&typed, Some(&session)).await {
        Ok(Some(request)) => show_question(&mut visit, request).await,
        Ok(None) => {
            limits.wrong_user_code(&visit.source, person, now);
            show_form(&mut visit, typed, true, StatusCode::BAD_REQUEST)
        }
        Err(error) => visit.fail(error),
    }
}

fn too_many(visit: &Visit) -> Response {
    let refusal = Refusal::new(ErrorCode::TemporarilyUnavailable, Reason::TooManyAttempts);
    respond::error(visit, refusal, StatusCode::TOO_MANY_REQUESTS)
}

async fn show_question(visit: &mut Visit, request: DeviceRequest) -> Response {
    // As the device shows it, however it was typed.
    let user_code = request.user_code.to_string();
    let here = Continuation::device(&user_code);
    let ticket = visit.ticket(TicketPurpose::DeviceConfirm, here.as_str());
    let (ticket, username) = match (ticket, visit.username().await) {
        (Ok(ticket), Ok(username)) => (ticket, username),
        (Err(error), _) | (_, Err(error)) => return visit.fail(error),
    };
    let client = &request.client;
    let view = DeviceConfirm {
        page: visit.page(Some(client)),
        ticket,
        user_code,
        username,
        client: client.name.clone().unwrap_or_else(|| client.id.to_string()),
        client_host: client.is_self_registered().then(|| host_of(client)),
        scopes: lines(visit.lang, &request.scopes),
        source: request.source.clone(),
    };
    respond::page(visit, StatusCode::OK, &view.page, &view)
}

async fn decide(
    visit: Visit,
    session: &vouchsafe_issuer::Session,
    typed: &str,
    here: &Continuation,
) -> Response {
    let Some(ticket) = visit.takes(TicketPurpose::DeviceConfirm, here.as_str()) else {
        return visit.foreign();
    };
    let allow = match visit.form.get("decision") {
        Some("allow") => true,
        Some("deny") => false,
        _ => return visit.refuse(Refusal::new(ErrorCode::InvalidRequest, Reason::MissingParameter)),
    };
    let issuer = &visit.state.issuer;
    match issuer.decide_device(session, typed, allow, &ticket).await {
        Ok(true) if allow => respond::go(&visit, "/device/done?outcome=allowed"),
        Ok(true) => respond::go(&visit, "/device/done?outcome=denied"),
        // It was decided before, or is over.
        Ok(false) => respond::go(&visit, &format!("/device?error=1&user_code={}", query_of(typed))),
        Err(error) => visit.fail(error),
    }
}

/// `GET /device/done`.
pub(super) async fn done(visit: Visit) -> Response {
    let view = DeviceDone {
        page: visit.page(None),
        allowed: visit.parameter("outcome").as_deref() == Some("allowed"),
    };
    respond::page(&visit, StatusCode::OK, &view.page, &view)
}
