//! `/account`: where one is signed in, what clients hold, what one allowed; with a button to end each.

use http::StatusCode;
use vouchsafe_issuer::{AccountView, AppOfPerson, Consent, Session, TicketPurpose};
use vouchsafe_protocol::{ClientId, FamilyId, OFFLINE_ACCESS, Timestamp};

use super::authorize::ask;
use super::continuation::Continuation;
use super::respond;
use super::scopes::sentences;
use super::texts::Lang;
use super::view::{Account, AccountNotice, AppLine, ConsentLine, SessionLine};
use super::visit::{Handled, Visit};
use crate::cli::time::utc;

/// What tickets of the forms on this page are about.
const ABOUT: &str = "/account";

pub(super) async fn show(mut visit: Visit) -> Handled {
    let Some(session) = visit.visitor.session.clone() else {
        return Ok(ask(&visit, "/sign-in", &Continuation::account()));
    };
    let account = visit.state.issuer.account(&session.subject).await;
    let Some(account) = account.map_err(|error| visit.failed(error))? else {
        return Ok(ask(&visit, "/sign-in", &Continuation::account()));
    };
    let ticket = visit.ticket(TicketPurpose::Account, ABOUT);
    let lang = visit.lang;
    let AccountView {
        user,
        sessions,
        apps,
        consents,
    } = account;
    let view = Account {
        ticket: ticket.map_err(|error| visit.failed(error))?,
        page: visit.page(None),
        username: user.username,
        sessions: sessions
            .into_iter()
            .map(|line| session_line(lang, line, &session.id))
            .collect(),
        apps: apps.into_iter().map(|app| app_line(lang, app)).collect(),
        consents: consents
            .into_iter()
            .map(|(consent, client)| consent_line(lang, consent, client))
            .collect(),
        notice: notice(visit.parameter("done").as_deref()),
    };
    Ok(respond::page(&visit, StatusCode::OK, &view.page, &view))
}

fn notice(done: Option<&str>) -> Option<AccountNotice> {
    match done? {
        "session" => Some(AccountNotice::SessionEnded),
        "app" => Some(AccountNotice::AppEnded),
        "consent" => Some(AccountNotice::ConsentWithdrawn),
        "password" => Some(AccountNotice::PasswordChanged),
        _ => None,
    }
}

/// To the minute.
fn time(at: Timestamp) -> String {
    let whole = utc(at);
    format!("{} UTC", whole.get(..16).unwrap_or(&whole))
}

fn session_line(lang: Lang, session: Session, current: &str) -> SessionLine {
    SessionLine {
        current: session.id == current,
        agent: session
            .agent
            .unwrap_or_else(|| lang.texts().unknown_browser.to_owned()),
        since: time(session.created_at),
        last_seen: time(session.last_seen_at),
        id: session.id,
    }
}

fn app_line(lang: Lang, app: AppOfPerson) -> AppLine {
    // That it stays is said of devices too, whatever they asked for; it need not be said twice.
    let mut scopes = app.scopes;
    scopes.retain(|(scope, _)| scope != OFFLINE_ACCESS);
    AppLine {
        scopes: sentences(lang, &scopes),
        sid: app.sid.to_string(),
        client: app.client,
        since: time(app.since),
        last_used: time(app.last_used_at),
        offline: app.offline,
    }
}

fn consent_line(lang: Lang, consent: Consent, client: String) -> ConsentLine {
    let audience = Some(consent.audience).filter(|audience| !audience.is_empty());
    let scopes = consent
        .scope
        .iter()
        .map(|scope| (scope.to_string(), audience.clone()));
    ConsentLine {
        scopes: sentences(lang, &scopes.collect::<Vec<_>>()),
        client_id: consent.client_id.to_string(),
        client,
        since: time(consent.granted_at),
    }
}

pub(super) async fn end_session(mut visit: Visit) -> Handled {
    let Some(session) = held(&visit) else {
        return Ok(visit.foreign());
    };
    let Some(ended) = visit.form.take("session") else {
        return Ok(respond::go(&visit, ABOUT));
    };
    let done = visit.state.issuer.end_own_session(&session.subject, &ended).await;
    done.map_err(|error| visit.failed(error))?;
    if ended == session.id {
        visit.forget();
        return Ok(respond::go(&visit, "/signed-out"));
    }
    Ok(respond::go(&visit, "/account?done=session"))
}

pub(super) async fn end_app(mut visit: Visit) -> Handled {
    let Some(session) = held(&visit) else {
        return Ok(visit.foreign());
    };
    let sid = visit.form.take("sid").and_then(|sid| FamilyId::parse(&sid).ok());
    if let Some(sid) = sid {
        let done = visit.state.issuer.end_own_app(&session.subject, &sid).await;
        done.map_err(|error| visit.failed(error))?;
    }
    Ok(respond::go(&visit, "/account?done=app"))
}

pub(super) async fn withdraw(mut visit: Visit) -> Handled {
    let Some(session) = held(&visit) else {
        return Ok(visit.foreign());
    };
    let id = visit.form.take("client_id");
    if let Some(id) = id.and_then(|id| ClientId::parse(&id).ok()) {
        let done = visit.state.issuer.withdraw_consent(&session.subject, &id).await;
        done.map_err(|error| visit.failed(error))?;
    }
    Ok(respond::go(&visit, "/account?done=consent"))
}

pub(super) async fn sign_out(mut visit: Visit) -> Handled {
    let Some(session) = held(&visit) else {
        return Ok(visit.foreign());
    };
    let ended = visit.state.issuer.end_session(&session).await;
    ended.map_err(|error| visit.failed(error))?;
    visit.forget();
    Ok(respond::go(&visit, "/signed-out"))
}

/// The session of whoever posts a form of this page; none for a form from elsewhere.
fn held(visit: &Visit) -> Option<Session> {
    visit.takes(TicketPurpose::Account, ABOUT)?;
    visit.visitor.session.clone()
}
