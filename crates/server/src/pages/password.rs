//! `GET` and `POST /account/password`: another password for whoever knows the present one.

use http::{Method, StatusCode};
use poem::Response;
use vouchsafe_issuer::{Issuer, NewPassword, TicketPurpose};
use vouchsafe_protocol::{Reason, SecretString};

use super::authorize::ask;
use super::continuation::Continuation;
use super::respond;
use super::view::{Password, PasswordError};
use super::visit::{Handled, Visit};

const ABOUT: &str = "/account/password";

pub(super) async fn handle(mut visit: Visit) -> Handled {
    if visit.visitor.session.is_none() {
        return Ok(ask(&visit, "/sign-in", &Continuation::password()));
    }
    if visit.method != Method::POST {
        return show(&mut visit, None, StatusCode::OK).await;
    }
    match change(&mut visit).await {
        Ok(response) => Ok(response),
        Err((problem, status)) => show(&mut visit, Some(problem), status).await,
    }
}

async fn show(visit: &mut Visit, error: Option<PasswordError>, status: StatusCode) -> Handled {
    let (ticket, username) = visit.ticket_and_name(TicketPurpose::Password, ABOUT).await?;
    let view = Password {
        page: visit.page(None),
        ticket,
        username,
        error,
    };
    Ok(respond::page(visit, status, &view.page, &view))
}

async fn change(visit: &mut Visit) -> Result<Response, (PasswordError, StatusCode)> {
    if visit.takes(TicketPurpose::Password, ABOUT).is_none() {
        return Err((PasswordError::Expired, StatusCode::FORBIDDEN));
    }
    let username = match visit.username().await {
        Ok(username) => username,
        Err(error) => return Ok(visit.fail(error)),
    };
    let now = visit.state.issuer.now();
    let limits = std::sync::Arc::clone(&visit.state.limits);
    let asked = limits.may_try_password(&visit.source, false, &username, now);
    if visit.is_stopped(asked) {
        return Err((PasswordError::TooMany, StatusCode::TOO_MANY_REQUESTS));
    }
    let mut secret = |name| SecretString::new(visit.form.take(name).unwrap_or_default());
    let (current, new) = (secret("current_password"), secret("new_password"));
    if !Issuer::is_good_password(&new) {
        return Err((PasswordError::TooShort, StatusCode::BAD_REQUEST));
    }
    let passwords = NewPassword {
        current: &current,
        new: &new,
    };
    let issuer = std::sync::Arc::clone(&visit.state.issuer);
    let changed = issuer
        .change_password(&visit.visitor, passwords, visit.whereabouts())
        .await;
    match changed {
        Ok(Some(begun)) => {
            visit.keep(begun.cookie);
            Ok(respond::go(visit, "/account?done=password"))
        }
        Ok(None) => Ok(ask(visit, "/sign-in", &Continuation::account())),
        Err(error) => match error.refusal().reason {
            Reason::BadPassword => {
                limits.wrong_password(&visit.source, false, &username, now);
                Err((PasswordError::Wrong, StatusCode::BAD_REQUEST))
            }
            Reason::Busy => Err((PasswordError::Busy, StatusCode::SERVICE_UNAVAILABLE)),
            _ => Ok(visit.fail(error)),
        },
    }
}
