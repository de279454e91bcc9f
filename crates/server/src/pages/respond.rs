//! Answers of pages: HTML under a strict policy, 303 to the next page, and the ways of an answer to a client.

use askama::Template;
use http::StatusCode;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, LOCATION, RETRY_AFTER, SET_COOKIE};
use poem::{IntoResponse as _, Response};
use vouchsafe_issuer::{Answer, AuthorizeError};
use vouchsafe_protocol::{ErrorCode, Reason, Refusal, ResponseMode, redirect_uri};

use super::locale;
use super::view::{ErrorPage, FormPost, Page, PageError, WayBack};
use super::visit::Visit;
use super::visit::ui_locales;
use crate::http::answer::{Asker, Html, RefusalReason};

/// No script, no style of its own, no frame. There is no `form-action`: Chromium would hold the redirect after a form to
/// it, and that goes to the client.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'; img-src 'self'";
const SCRIPT: &str = "; script-src 'self'";

/// A page.
pub(super) fn page(visit: &Visit, status: StatusCode, page: &Page, template: &impl Template) -> Response {
    html(visit, status, &policy(page, ""), template)
}

fn html(visit: &Visit, status: StatusCode, policy: &str, template: &impl Template) -> Response {
    let Ok(body) = template.render() else {
        tracing::error!(event = "page_not_rendered");
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut response = Response::builder()
        .status(status)
        .header(CONTENT_TYPE, "text/html; charset=utf-8")
        .header(CONTENT_SECURITY_POLICY, policy)
        .body(body);
    set_cookie(visit, &mut response);
    if let Some(wait) = visit.wait_header() {
        response.headers_mut().insert(RETRY_AFTER, wait);
    }
    response
}

/// The policy of a page, with the origin of the picture that it shows.
fn policy(page: &Page, more: &str) -> String {
    let logo = page.brand.as_ref().and_then(|brand| brand.logo.as_deref());
    let origin = logo
        .and_then(|logo| url::Url::parse(logo).ok())
        .filter(|logo| logo.scheme() == "https")
        .map(|logo| format!(" {}", logo.origin().ascii_serialization()));
    format!("{POLICY}{}{more}", origin.unwrap_or_default())
}

/// On to another page of ours; always 303, so that nothing that was posted is posted again (RFC 9700 4.12).
pub(super) fn go(visit: &Visit, place: &str) -> Response {
    see_other(visit, &format!("{}{place}", visit.base()))
}

/// On to another address, which is registered.
pub(super) fn leave(visit: &Visit, address: &str) -> Response {
    see_other(visit, address)
}

fn see_other(visit: &Visit, address: &str) -> Response {
    let Ok(location) = HeaderValue::try_from(address) else {
        tracing::error!(event = "redirect_unwritable");
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().insert(LOCATION, location);
    set_cookie(visit, &mut response);
    response
}

fn set_cookie(visit: &Visit, response: &mut Response) {
    if let Some(cookie) = visit.cookie_header() {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
}

/// An answer to a client, the way it asked for.
pub(super) fn answer(visit: &Visit, answer: Answer) -> Response {
    match answer.mode {
        ResponseMode::Query => leave(visit, &answer.location()),
        ResponseMode::FormPost => {
            let page = visit.page(None);
            let policy = policy(&page, SCRIPT);
            let view = FormPost {
                page,
                action: answer.redirect_uri,
                fields: fields_of(answer.parameters),
            };
            html(visit, StatusCode::OK, &policy, &view)
        }
    }
}

fn fields_of(parameters: Vec<(&'static str, String)>) -> Vec<(String, String)> {
    let fields = parameters.into_iter();
    fields.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Why there is no next step, told to whom it concerns.
pub(super) fn unauthorized(visit: &Visit, error: AuthorizeError) -> Response {
    match error {
        AuthorizeError::Page(error) => visit.fail(error),
        // Whoever made up a client to have people sent somewhere has them asked first (RFC 9700 4.11.2).
        AuthorizeError::Answer {
            answer: told,
            refusal,
            stranger: true,
        } => {
            let status = crate::api::error::status_of(refusal.code);
            told_here(visit, (refusal, status), Some(way_back(*told)))
        }
        AuthorizeError::Answer {
            answer: told,
            refusal,
            stranger: false,
        } => {
            let mut response = answer(visit, *told);
            response
                .extensions_mut()
                .insert(RefusalReason(refusal.reason.as_str()));
            response
        }
    }
}

/// What the person may do with an answer that is not sent by itself.
fn way_back(answer: Answer) -> WayBack {
    let host = redirect_uri::host_of(&answer.redirect_uri);
    match answer.mode {
        ResponseMode::Query => WayBack {
            address: answer.location(),
            host,
            fields: Vec::new(),
        },
        ResponseMode::FormPost => WayBack {
            address: answer.redirect_uri,
            host,
            fields: fields_of(answer.parameters),
        },
    }
}

/// The page of a refusal.
pub(super) fn error(visit: &Visit, refusal: Refusal, status: StatusCode) -> Response {
    told_here(visit, (refusal, status), None)
}

/// The page of a refusal that came before anybody looked who visits; none when it cannot be made.
pub(crate) fn refusal(base: &str, asker: &Asker, told: (Refusal, StatusCode)) -> Option<Html> {
    let languages = asker.languages.as_deref();
    let page = Page {
        lang: locale::choose(ui_locales(&asker.query).as_deref(), languages),
        brand: None,
        css: super::assets::style_sheet(),
        base: base.to_owned(),
    };
    let policy = HeaderValue::try_from(policy(&page, "")).ok()?;
    let text = error_page(page, told, None).render().ok()?;
    Some(Html { text, policy })
}

fn error_page(page: Page, (refusal, status): (Refusal, StatusCode), back: Option<WayBack>) -> ErrorPage {
    ErrorPage {
        page,
        error: kind_of(refusal, status),
        back,
        code: refusal.code.as_str(),
        reason: refusal.reason.as_str(),
    }
}

fn told_here(visit: &Visit, (refusal, status): (Refusal, StatusCode), back: Option<WayBack>) -> Response {
    let view = error_page(visit.page(None), (refusal, status), back);
    let mut response = html(visit, status, &policy(&view.page, ""), &view);
    response
        .extensions_mut()
        .insert(RefusalReason(refusal.reason.as_str()));
    response
}

fn kind_of(refusal: Refusal, status: StatusCode) -> PageError {
    match (refusal.reason, refusal.code) {
        (Reason::UnknownClient, _) => PageError::UnknownClient,
        (Reason::UnregisteredRedirectUri, _) => PageError::BadRedirect,
        (Reason::NotFound, _) => PageError::NotFound,
        (Reason::ForeignForm, _) => PageError::Forbidden,
        (Reason::DecidedBefore, _) => PageError::Decided,
        (_, ErrorCode::InvalidRequestUri) => PageError::Expired,
        (_, ErrorCode::TemporarilyUnavailable) => PageError::Unavailable,
        _ if status.is_server_error() => PageError::Failed,
        _ => PageError::BadRequest,
    }
}
