//! A request at the authorization endpoint (RFC 6749 4.1.1, OpenID Connect Core 3.1.2.1), in two readings: first where an
//! answer may go, then what is asked.

use std::collections::BTreeSet;

use crate::claims_request::ClaimsRequest;
use crate::error::{ErrorCode, Reason, Refusal};
use crate::form::Form;
use crate::id::ResourceUri;
use crate::pkce::CodeChallenge;
use crate::scope::ScopeSet;
use crate::wire::wire_names;

/// The most bytes in `state`: some clients keep where a person was in it.
const MAX_STATE: usize = 8192;
const MAX_NONCE: usize = 2048;
const MAX_HINT: usize = 255;
const MAX_RESOURCES: usize = 10;

/// How the answer gets back to the client (OAuth 2.0 Multiple Response Types 2.1, Form Post Response Mode).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ResponseMode {
    /// In the query of the redirect URI.
    Query,
    /// As a form that the browser posts.
    FormPost,
}

impl ResponseMode {
    /// Every mode.
    pub const ALL: [Self; 2] = [Self::Query, Self::FormPost];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::FormPost => "form_post",
        }
    }
}

wire_names!(ResponseMode, "response mode");

/// What is to be asked of the person (OpenID Connect Core 3.1.2.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Prompt {
    /// Nothing.
    None,
    /// To prove who they are again.
    Login,
    /// To consent again.
    Consent,
    /// To choose an account.
    SelectAccount,
}

impl Prompt {
    /// Every prompt.
    pub const ALL: [Self; 4] = [Self::None, Self::Login, Self::Consent, Self::SelectAccount];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Login => "login",
            Self::Consent => "consent",
            Self::SelectAccount => "select_account",
        }
    }
}

wire_names!(Prompt, "prompt");

/// Where an answer goes, as the request says; nothing of it is checked against the client.
#[derive(Clone, Debug)]
pub struct AnswerTo {
    /// `redirect_uri`.
    pub redirect_uri: Option<String>,
    /// `state`.
    pub state: Option<String>,
    /// `response_mode`; none for one that is not known.
    pub response_mode: Option<ResponseMode>,
}

impl AnswerTo {
    /// Takes what says where an answer goes out of `form`.
    ///
    /// # Errors
    /// `invalid_request` for an oversized `state`.
    pub fn take(form: &mut Form) -> Result<Self, Refusal> {
        let response_mode = match form.take("response_mode") {
            None => Some(ResponseMode::Query),
            Some(word) => word.parse().ok(),
        };
        Ok(Self {
            redirect_uri: form.take("redirect_uri"),
            state: bounded(form, "state", MAX_STATE)?,
            response_mode,
        })
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct AuthorizationRequest {
    /// The asked scopes; none means the default.
    pub scope: Option<ScopeSet>,
    /// The asked resources (RFC 8707 section 2).
    pub resources: Vec<ResourceUri>,
    /// The challenge of PKCE.
    pub code_challenge: Option<CodeChallenge>,
    /// What the ID token is to repeat.
    pub nonce: Option<String>,
    /// What the person is to be asked; `none` stands alone.
    pub prompt: BTreeSet<Prompt>,
    /// How many seconds ago the person may have proved who they are.
    pub max_age: Option<u64>,
    /// Who the client believes it is, to be shown in the form.
    pub login_hint: Option<String>,
    /// An ID token of the person that the client expects.
    pub id_token_hint: Option<String>,
    /// The contexts that would be welcome, best first.
    pub acr_values: Vec<String>,
    /// The claims asked for by name.
    pub claims: ClaimsRequest,
    /// The languages of pages, best first, as they were sent.
    pub ui_locales: Option<String>,
}

impl AuthorizationRequest {
    /// Takes what is asked for out of `form`, after [`AnswerTo::take`]. Unknown parameters are ignored.
    ///
    /// # Errors
    /// The codes of RFC 6749 4.1.2.1, OpenID Connect Core 3.1.2.6 and RFC 8707 2.
    pub fn take(form: &mut Form) -> Result<Self, Refusal> {
        if form.take("request").is_some() {
            return refused(ErrorCode::RequestNotSupported);
        }
        if form.take("request_uri").is_some() {
            return refused(ErrorCode::RequestUriNotSupported);
        }
        if form.take("registration").is_some() {
            return refused(ErrorCode::RegistrationNotSupported);
        }
        match form.take("response_type").as_deref() {
            Some("code") => {}
            Some(_) => return refused(ErrorCode::UnsupportedResponseType),
            None => return Err(Refusal::new(ErrorCode::InvalidRequest, Reason::MissingParameter)),
        }
        Ok(Self {
            code_challenge: take_challenge(form)?,
            scope: take_scope(form)?,
            resources: take_resources(form)?,
            nonce: bounded(form, "nonce", MAX_NONCE)?,
            prompt: take_prompt(form)?,
            max_age: take_max_age(form)?,
            login_hint: bounded(form, "login_hint", MAX_HINT)?,
            id_token_hint: form.take("id_token_hint"),
            acr_values: words(form.take("acr_values")),
            claims: take_claims(form)?,
            ui_locales: bounded(form, "ui_locales", MAX_HINT)?,
        })
    }
}

fn refused<T>(code: ErrorCode) -> Result<T, Refusal> {
    Err(Refusal::new(code, Reason::InvalidParameter))
}

fn bounded(form: &mut Form, name: &str, most: usize) -> Result<Option<String>, Refusal> {
    match form.take(name) {
        Some(text) if text.len() > most => refused(ErrorCode::InvalidRequest),
        text => Ok(text),
    }
}

fn words(text: Option<String>) -> Vec<String> {
    let text = text.unwrap_or_default();
    text.split(' ')
        .filter(|word| !word.is_empty())
        .take(20)
        .map(str::to_owned)
        .collect()
}

/// A challenge and its method come together, and the method is S256 (RFC 7636 4.3, RFC 9700 2.1.1).
fn take_challenge(form: &mut Form) -> Result<Option<CodeChallenge>, Refusal> {
    let bad = Refusal::new(ErrorCode::InvalidRequest, Reason::PkceRequired);
    match (form.take("code_challenge"), form.take("code_challenge_method")) {
        (None, None) => Ok(None),
        (Some(challenge), Some(method)) if method == "S256" => {
            CodeChallenge::parse(&challenge).map(Some).ok_or(bad)
        }
        _ => Err(bad),
    }
}

pub(crate) fn take_scope(form: &mut Form) -> Result<Option<ScopeSet>, Refusal> {
    let parsed = form.take("scope").map(|text| ScopeSet::parse(&text)).transpose();
    parsed.map_err(|_| Refusal::new(ErrorCode::InvalidScope, Reason::InvalidParameter))
}

pub(crate) fn take_resources(form: &mut Form) -> Result<Vec<ResourceUri>, Refusal> {
    let bad = Refusal::new(ErrorCode::InvalidTarget, Reason::UnknownResource);
    let mut resources = Vec::new();
    for text in form.take_all("resource") {
        let resource = ResourceUri::parse(&text).map_err(|_| bad)?;
        if !resources.contains(&resource) {
            resources.push(resource);
        }
    }
    if resources.len() > MAX_RESOURCES {
        return Err(bad);
    }
    Ok(resources)
}

fn take_prompt(form: &mut Form) -> Result<BTreeSet<Prompt>, Refusal> {
    let mut prompts = BTreeSet::new();
    for word in words(form.take("prompt")) {
        match word.parse::<Prompt>() {
            Ok(prompt) => prompts.insert(prompt),
            Err(_) => return refused(ErrorCode::InvalidRequest),
        };
    }
    if prompts.contains(&Prompt::None) && prompts.len() > 1 {
        return refused(ErrorCode::InvalidRequest);
    }
    Ok(prompts)
}

fn take_max_age(form: &mut Form) -> Result<Option<u64>, Refusal> {
    match form.take("max_age") {
        None => Ok(None),
        Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => match text.parse() {
            Ok(age) => Ok(Some(age)),
            Err(_) => refused(ErrorCode::InvalidRequest),
        },
        Some(_) => refused(ErrorCode::InvalidRequest),
    }
}

fn take_claims(form: &mut Form) -> Result<ClaimsRequest, Refusal> {
    match form.take("claims").map(|text| ClaimsRequest::parse(&text)) {
        None => Ok(ClaimsRequest::default()),
        Some(Some(claims)) => Ok(claims),
        Some(None) => refused(ErrorCode::InvalidRequest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn take(query: &str) -> Result<AuthorizationRequest, Refusal> {
        let mut form = Form::parse_with_resources(query.as_bytes()).unwrap();
        AuthorizationRequest::take(&mut form)
    }

    fn code_of(query: &str) -> &'static str {
        match take(query) {
            Ok(_) => "good",
            Err(refusal) => refusal.code.as_str(),
        }
    }

    #[test]
    fn a08_a11_a18_a20_a21_each_bad_parameter_has_its_code() {
        let code = "response_type=code";
        for (query, wanted) in [
            (code.to_owned(), "good"),
            (String::new(), "invalid_request"),
            ("response_type=token".to_owned(), "unsupported_response_type"),
            ("response_type=code+token".to_owned(), "unsupported_response_type"),
            ("response_type=id_token".to_owned(), "unsupported_response_type"),
            (format!("{code}&request=x"), "request_not_supported"),
            (
                format!("{code}&request_uri=https://x.example/"),
                "request_uri_not_supported",
            ),
            (
                format!("{code}&registration=%7B%7D"),
                "registration_not_supported",
            ),
            (format!("{code}&code_challenge={CHALLENGE}"), "invalid_request"),
            (
                format!("{code}&code_challenge={CHALLENGE}&code_challenge_method=plain"),
                "invalid_request",
            ),
            (
                format!("{code}&code_challenge={CHALLENGE}&code_challenge_method=s256"),
                "invalid_request",
            ),
            (
                format!("{code}&code_challenge={CHALLENGE}&code_challenge_method=S256"),
                "good",
            ),
            (format!("{code}&code_challenge_method=S256"), "invalid_request"),
            (format!("{code}&scope=a%22"), "invalid_scope"),
            (format!("{code}&resource=relative"), "invalid_target"),
            (
                format!("{code}&resource=https://a.example/%23f"),
                "invalid_target",
            ),
            (format!("{code}&prompt=none+login"), "invalid_request"),
            (format!("{code}&prompt=create"), "invalid_request"),
            (format!("{code}&max_age=-1"), "invalid_request"),
            (format!("{code}&max_age=abc"), "invalid_request"),
            (format!("{code}&max_age=0"), "good"),
            (format!("{code}&claims=%5B%5D"), "invalid_request"),
            (format!("{code}&nonce={}", "n".repeat(3000)), "invalid_request"),
        ] {
            assert_eq!(code_of(&query), wanted, "{query}");
        }
    }

    #[test]
    fn a_state_may_be_long_and_not_without_end() {
        for (bytes, good) in [(MAX_STATE, true), (MAX_STATE + 1, false)] {
            let mut form = Form::parse(format!("state={}", "s".repeat(bytes)).as_bytes()).unwrap();
            assert_eq!(AnswerTo::take(&mut form).is_ok(), good, "{bytes}");
        }
    }

    #[test]
    fn h10_resources_repeat_and_nothing_else() {
        let request =
            take("response_type=code&resource=https://a.example/&resource=https://b.example/").unwrap();
        assert_eq!(request.resources.len(), 2);
        assert!(Form::parse_with_resources(b"scope=a&scope=b").is_err());
    }
}
