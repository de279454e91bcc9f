//! `/account`: where one is signed in, what clients hold, what one allowed; with a button to end each.

use http::StatusCode;
use poem::Response;
use vouchsafe_issuer::{AccountView, AppOfPerson, Consent, Session, TicketPurpose};
use vouchsafe_protocol::{ClientId, FamilyId, ScopeSet, Timestamp};

use super::authorize::ask;
use super::consent::lines;
use super::continuation::Continuation;
use super::respond;
use super::texts::{Lang, fill};
use super::view::{Account, AccountNotice, AppLine, ConsentLine, SessionLine};
use super::visit::Visit;
use crate::cli::time::utc;

/// What tickets of the forms on this page are about.
const ABOUT: &str = "/account";

pub(super) async fn show(mut visit: Visit) -> Response {
    let Some(session) = visit.visitor.session.clone() else {
        return ask(&visit, "/sign-in", &Continuation::account());
    };
    let account = match visit.state.issuer.account(&session.subject).await {
        Ok(Some(account)) => account,
        Ok(None) => return ask(&visit, "/sign-in", &Continuation::account()),
        Err(error) => return visit.fail(error),
    };
    let ticket = match visit.ticket(TicketPurpose::Account, ABOUT) {
        Ok(ticket) => ticket,
        Err(error) => return visit.fail(error),
    };
    let lang = visit.lang;
    let AccountView {
        user,
        sessions,
        apps,
        consents,
    } = account;
    let view = Account {
        page: visit.page(None),
        ticket,
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
    respond::page(&visit, StatusCode::OK, &view.page, &view)
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
    AppLine {
        sid: app.sid.to_string(),
        client: app.client,
        scopes: words(lang, &app.scope, ""),
        since: time(app.since),
        last_used: time(app.last_used_at),
        offline: app.offline,
    }
}

fn consent_line(lang: Lang, consent: Consent, client: String) -> ConsentLine {
    ConsentLine {
        client_id: consent.client_id.to_string(),
        client,
        scopes: words(lang, &consent.scope, &consent.audience),
        since: time(consent.granted_at),
    }
}

fn words(lang: Lang, scope: &ScopeSet, audience: &str) -> Vec<String> {
    let at = (!audience.is_empty()).then(|| audience.to_owned());
    let scopes: Vec<(String, Option<String>)> = scope
        .iter()
        .map(|scope| (scope.to_string(), at.clone()))
        .collect();
    let text = |line: super::view::ScopeLine| match line.at {
        Some(place) => format!(
            "{} {}",
            line.words,
            fill(lang.texts().scope_at, &[("place", &place)])
        ),
        None => line.words,
    };
    lines(lang, &scopes).into_iter().map(text).collect()
}

pub(super) async fn end_session(mut visit: Visit) -> Response {
    let Some(session) = held(&visit) else {
        return visit.foreign();
    };
    let Some(ended) = visit.form.take("session") else {
        return respond::go(&visit, ABOUT);
    };
    let done = visit.state.issuer.end_own_session(&session.subject, &ended).await;
    if let Err(error) = done {
        return visit.fail(error);
    }
    if ended == session.id {
        visit.forget();
        return respond::go(&visit, "/signed-out");
    }
    respond::go(&visit, "/account?done=session")
}

pub(super) async fn end_app(mut visit: Visit) -> Response {
    let Some(session) = held(&visit) else {
        return visit.foreign();
    };
    let sid = visit.form.take("sid").and_then(|sid| FamilyId::parse(&sid).ok());
    if let Some(sid) = sid
        && let Err(error) = visit.state.issuer.end_own_app(&session.subject, &sid).await
    {
        return visit.fail(error);
    }
    respond::go(&visit, "/account?done=app")
}

pub(super) async fn withdraw(mut visit: Visit) -> Response {
    let Some(session) = held(&visit) else {
        return visit.foreign();
    };
    let id = visit
        .form
        .take("client_id")
        .and_then(|id| ClientId::parse(&id).ok());
    if let Some(id) = id
        && let Err(error) = visit.state.issuer.withdraw_consent(&session.subject, &id).await
    {
        return visit.fail(error);
    }
    respond::go(&visit, "/account?done=consent")
}

pub(super) async fn sign_out(mut visit: Visit) -> Response {
    let Some(session) = held(&visit) else {
        return visit.foreign();
    };
    if let Err(error) = visit.state.issuer.end_session(&session).await {
        return visit.fail(error);
    }
    visit.forget();
    respond::go(&visit, "/signed-out")
}

/// The session of whoever posts a form of this page; none for a form from elsewhere.
fn held(visit: &Visit) -> Option<Session> {
    visit.takes(TicketPurpose::Account, ABOUT)?;
    visit.visitor.session.clone()
}
