//! One request for a page: who visits, in which language, from where, and whether a form comes from a page of ours.

use std::time::Duration;

use http::header::{ACCEPT_LANGUAGE, HeaderMap, ORIGIN, RETRY_AFTER, USER_AGENT};
use http::{HeaderValue, Method, StatusCode};
use poem::{Request, Response};
use vouchsafe_issuer::{Client, Error, Proofs, Ticket, TicketPurpose, Visitor, Whereabouts};
use vouchsafe_protocol::{ErrorCode, Form, Reason, Refusal, SecretString};

use super::agent;
use super::brand::Brand;
use super::continuation::Continuation;
use super::cookie::Cookie;
use super::locale;
use super::respond;
use super::texts::Lang;
use super::view::Page;
use crate::api::ApiState;
use crate::api::error::ApiError;
use crate::api::limits::Source;
use crate::http::address::ClientAddress;

/// Who may post a form to a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Posts {
    /// Pages of ours.
    Ours,
    /// Clients too, from where they are (OpenID Connect Core 3.1.2.1, RP-Initiated Logout 1.0 2): whatever they ask is asked
    /// again on a page.
    Clients,
}

/// A page; or one that says why there is none, which ends the work at once.
pub(super) type Handled = Result<Response, Box<Response>>;

/// A request for a page.
pub(super) struct Visit {
    pub(super) state: ApiState,
    pub(super) method: Method,
    pub(super) query: String,
    pub(super) lang: Lang,
    /// What the browser says of languages.
    accept_language: Option<String>,
    pub(super) visitor: Visitor,
    pub(super) source: Source,
    pub(super) agent: Option<String>,
    /// The fields of a POST.
    pub(super) form: Form,
    /// What the cookie is to hold from now on; an empty one takes it away.
    set_cookie: Option<SecretString>,
    /// How long whoever asks too often is told to wait.
    wait: Option<Duration>,
}

impl Visit {
    /// Reads the request. A body that is no form, and a form from where none may come, are refused here.
    pub(super) async fn begin(
        state: ApiState,
        mut request: Request,
        posts: Posts,
    ) -> Result<Self, Box<Response>> {
        let headers = request.headers().clone();
        let query = request.uri().query().unwrap_or_default().to_owned();
        let address = ClientAddress::of(&request);
        let accept = text(&headers, ACCEPT_LANGUAGE.as_str());
        let lang = locale::choose(ui_locales(&query).as_deref(), accept);
        let mut visit = Self {
            method: request.method().clone(),
            lang,
            accept_language: accept.map(str::to_owned),
            visitor: Visitor::default(),
            source: Source::new(address, ""),
            agent: text(&headers, USER_AGENT.as_str())
                .map(agent::in_words)
                .filter(|agent| !agent.is_empty()),
            form: Form::default(),
            set_cookie: None,
            wait: None,
            query,
            state,
        };
        if visit.method == Method::POST {
            visit.form = match posted(&mut request).await {
                Ok(form) => form,
                Err(refusal) => return Err(Box::new(visit.refuse(refusal))),
            };
            let continuation = visit.form.get("continue").and_then(Continuation::parse);
            visit.speak(continuation.and_then(|to| to.ui_locales()).as_deref());
            let origin = visit.state.issuer.config().issuer.origin();
            if posts == Posts::Ours && !is_of_ours(&headers, origin) {
                return Err(Box::new(visit.foreign()));
            }
        }
        let cookie = visit.cookie().read(&headers);
        let visitor = visit.state.issuer.visitor(cookie.as_deref()).await;
        visit.visitor = visitor.map_err(|error| visit.failed(error))?;
        Ok(visit)
    }

    /// Takes the language that a request asks for, if it asks for any.
    pub(super) fn speak(&mut self, ui_locales: Option<&str>) {
        if ui_locales.is_some() {
            self.lang = locale::choose(ui_locales, self.accept_language.as_deref());
        }
    }

    fn cookie(&self) -> Cookie {
        Cookie::of(&self.state.issuer.config().issuer)
    }

    /// What the browser is named by in tickets; one without a cookie is given one.
    pub(super) fn browser(&mut self) -> String {
        if let Some(browser) = &self.visitor.browser {
            return browser.clone();
        }
        let (cookie, browser) = self.state.issuer.new_browser();
        self.set_cookie = Some(cookie);
        self.visitor.browser = Some(browser.clone());
        browser
    }

    /// A ticket for a form of this browser.
    pub(super) fn ticket(&mut self, purpose: TicketPurpose, about: &str) -> Result<String, Error> {
        let browser = self.browser();
        self.state.issuer.ticket(purpose, &browser, about)
    }

    /// The same, and the name of whoever is signed in.
    pub(super) async fn ticket_and_name(
        &mut self,
        purpose: TicketPurpose,
        about: &str,
    ) -> Result<(String, String), Box<Response>> {
        let ticket = self.ticket(purpose, about);
        let ticket = ticket.map_err(|error| self.failed(error))?;
        let name = self.username().await;
        Ok((ticket, name.map_err(|error| self.failed(error))?))
    }

    /// Whether the form of this request carries a ticket of this browser.
    pub(super) fn takes(&self, purpose: TicketPurpose, about: &str) -> Option<Ticket> {
        let browser = self.visitor.browser.as_deref()?;
        let ticket = self.form.get("ticket")?;
        self.state.issuer.open_ticket(purpose, browser, about, ticket)
    }

    /// What the browser proved for a request.
    pub(super) fn proofs(&self, continuation: &Continuation) -> Proofs {
        let (signed_in, selected) = continuation.proofs();
        let (Some(browser), bare) = (self.visitor.browser.as_deref(), continuation.bare()) else {
            return super::continuation::UNPROVEN;
        };
        let holds = |purpose, ticket: Option<&str>| {
            ticket.is_some_and(|ticket| {
                let issuer = &self.state.issuer;
                issuer
                    .open_ticket(purpose, browser, bare.as_str(), ticket)
                    .is_some()
            })
        };
        Proofs {
            signed_in: holds(TicketPurpose::SignedIn, signed_in),
            selected: holds(TicketPurpose::Selected, selected),
        }
    }

    /// Where the person goes on, as the form or the query says; none for an address that is not ours.
    pub(super) fn continuation(&mut self) -> Option<Continuation> {
        let said = match self.method {
            Method::POST => self.form.take("continue"),
            _ => self.parameter("continue"),
        };
        match said {
            Some(said) => Continuation::parse(&said),
            None => Some(Continuation::account()),
        }
    }

    /// One parameter of the query.
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        Form::parse_with_resources(self.query.as_bytes()).ok()?.take(name)
    }

    /// Where somebody signs in.
    pub(super) fn whereabouts(&self) -> Whereabouts<'_> {
        Whereabouts {
            source: &self.source.address,
            agent: self.agent.as_deref(),
        }
    }

    /// Whether a limit stands in the way; if one does, the answer says for how long.
    pub(super) fn is_stopped(&mut self, asked: Result<(), ApiError>) -> bool {
        self.wait = asked.err().and_then(|error| error.wait());
        self.wait.is_some()
    }

    /// `Retry-After`, when there is something to wait for.
    pub(super) fn wait_header(&self) -> Option<HeaderValue> {
        self.wait.map(|wait| HeaderValue::from(wait.as_secs().max(1)))
    }

    /// What every page knows.
    pub(super) fn page(&self, client: Option<&Client>) -> Page {
        Page {
            lang: self.lang,
            brand: client.and_then(Brand::of),
            css: super::assets::style_sheet(),
            base: self.base().to_owned(),
        }
    }

    pub(super) fn base(&self) -> &str {
        self.state.issuer.config().issuer.path()
    }

    /// The name of whoever is signed in; empty when the account is gone.
    pub(super) async fn username(&self) -> Result<String, Error> {
        match &self.visitor.session {
            Some(session) => {
                let name = self.state.issuer.username(&session.subject).await?;
                Ok(name.unwrap_or_default())
            }
            None => Ok(String::new()),
        }
    }

    /// Gives the browser a new cookie with the answer.
    pub(super) fn keep(&mut self, cookie: SecretString) {
        self.set_cookie = Some(cookie);
    }

    /// Takes the cookie away with the answer.
    pub(super) fn forget(&mut self) {
        self.set_cookie = Some(SecretString::new(String::new()));
    }

    /// `Set-Cookie`, when there is something to set.
    pub(super) fn cookie_header(&self) -> Option<HeaderValue> {
        let life = self.state.issuer.config().session_absolute_ttl;
        self.cookie().set(self.set_cookie.as_ref()?, life)
    }

    /// The page of a request that was refused.
    pub(super) fn refuse(&self, refusal: Refusal) -> Response {
        respond::error(self, refusal, crate::api::error::status_of(refusal.code))
    }

    /// The page of a form that came from elsewhere, or too late.
    pub(super) fn foreign(&self) -> Response {
        let refusal = Refusal::new(ErrorCode::InvalidRequest, Reason::ForeignForm);
        respond::error(self, refusal, StatusCode::FORBIDDEN)
    }

    /// The page of a failure; ours are logged, once.
    pub(super) fn fail(&self, error: Error) -> Response {
        let error = ApiError::from(error);
        let mut response = self.refuse(error.refusal());
        if let Some(wait) = error.wait() {
            let wait = HeaderValue::from(wait.as_secs().max(1));
            response.headers_mut().insert(RETRY_AFTER, wait);
        }
        response
    }

    /// The same, for what ends the work of a handler at once.
    pub(super) fn failed(&self, error: Error) -> Box<Response> {
        Box::new(self.fail(error))
    }

    /// The page of a request with a parameter that is missing or makes no sense.
    pub(super) fn unclear(&self, reason: Reason) -> Box<Response> {
        Box::new(self.refuse(Refusal::new(ErrorCode::InvalidRequest, reason)))
    }
}

async fn posted(request: &mut Request) -> Result<Form, Refusal> {
    let malformed = Refusal::new(ErrorCode::InvalidRequest, Reason::MalformedBody);
    let is_form = crate::api::is_form(request);
    if !is_form {
        return Err(Refusal::new(
            ErrorCode::InvalidRequest,
            Reason::UnsupportedMediaType,
        ));
    }
    let bytes = request.take_body().into_bytes().await.map_err(|_| malformed)?;
    Ok(Form::parse_with_resources(&bytes)?)
}

/// The languages that a page is asked for in: by itself, or by the request that the person goes on to.
pub(super) fn ui_locales(query: &str) -> Option<String> {
    let mut form = Form::parse_with_resources(query.as_bytes()).ok()?;
    form.take("ui_locales").or_else(|| {
        let continuation = Continuation::parse(&form.take("continue")?)?;
        continuation.ui_locales()
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Whether a form was posted by a page of ours: as the browser says (Fetch Metadata), else by its `Origin`. A browser that
/// says neither is held to the ticket alone.
fn is_of_ours(headers: &HeaderMap, origin: &str) -> bool {
    if let Some(site) = text(headers, "sec-fetch-site") {
        return site == "same-origin";
    }
    match headers.get(ORIGIN) {
        Some(value) => value.as_bytes() == origin.as_bytes(),
        None => true,
    }
}
