//! Reading an authorization request: first the client and the address that an answer may go to; whatever is wrong until
//! then is told to the person. Then all else; whatever is wrong there is told to the client.

use std::sync::Arc;

use vouchsafe_protocol::{
    AnswerTo, AuthorizationRequest, ClientId, ErrorCode, Form, GrantType, Prompt, Reason, Refusal,
    ResponseMode, ScopeSet, ScopeToken, redirect_uri,
};
use vouchsafe_store::{ApplicationType, Client};

use super::answer::{Answer, AuthorizeError};
use super::push::reference_of;
use crate::audience::Target;
use crate::opaque::hash_of;
use crate::person_claims::{keep_allowed, scope_of};
use crate::session::ACR;
use crate::{Error, Issuer};

/// A request that was found good, and what follows from it.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The client.
    pub client: Arc<Client>,
    /// What it asks.
    pub request: AuthorizationRequest,
    pub(super) way: Way,
    pub(super) targets: Vec<Target>,
    /// The most that may be granted.
    pub(super) scope: ScopeSet,
    /// What claims asked for by name need beside it; it is consented to like the rest, and no token carries it.
    pub(super) by_name: ScopeSet,
    /// `sub` of the ID token that the request names as a hint.
    pub(super) hint: Option<String>,
    /// The digest that a pushed request is kept under.
    pub(super) pushed: Option<String>,
}

/// Where an answer goes.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) redirect_uri: String,
    /// Whether the request named it; then the token request must, too (RFC 6749 4.1.3).
    pub(super) named: bool,
    state: Option<String>,
    mode: ResponseMode,
    issuer: String,
    /// Nobody vouches for the client, and it bears a page.
    stranger: bool,
}

impl Way {
    pub(super) fn answer(&self, mut parameters: Vec<(&'static str, String)>) -> Answer {
        if let Some(state) = &self.state {
            parameters.push(("state", state.clone()));
        }
        parameters.push(("iss", self.issuer.clone()));
        Answer {
            redirect_uri: self.redirect_uri.clone(),
            mode: self.mode,
            parameters,
        }
    }

    pub(super) fn refuse(&self, refusal: Refusal) -> AuthorizeError {
        let answer = self.answer(vec![
            ("error", refusal.code.as_str().to_owned()),
            ("error_description", refusal.description().to_owned()),
        ]);
        AuthorizeError::Answer {
            answer: Box::new(answer),
            refusal,
            stranger: self.stranger,
        }
    }

    /// A failure of ours goes to the client too: a hidden frame shows no page.
    pub(super) fn fail(&self, error: Error) -> AuthorizeError {
        if let Error::Refused(refusal) = error {
            return self.refuse(refusal);
        }
        tracing::error!(
            event = "authorization_failed",
            error = %vouchsafe_protocol::Chain(&error)
        );
        self.refuse(error.refusal())
    }
}

impl Judged {
    /// The address that the browser will be sent to.
    #[must_use]
    pub fn redirect_uri(&self) -> &str {
        &self.way.redirect_uri
    }

    /// Whether no page may be shown.
    pub(super) fn is_silent(&self) -> bool {
        self.request.prompt.contains(&Prompt::None)
    }

    /// Whether the client says whom it expects.
    pub(super) fn expects_somebody(&self) -> bool {
        self.hint.is_some() || self.request.claims.sub.is_some()
    }

    /// Tells the client no.
    #[must_use]
    pub fn deny(&self) -> Answer {
        let denied = Refusal::new(ErrorCode::AccessDenied, Reason::Denied);
        match self.way.refuse(denied) {
            AuthorizeError::Answer { answer, .. } => *answer,
            AuthorizeError::Page(_) => self.way.answer(Vec::new()),
        }
    }
}

impl Issuer {
    /// Judges the query of an authorization request.
    ///
    /// # Errors
    /// [`AuthorizeError`].
    pub async fn judge_authorization(&self, query: &[u8]) -> Result<Judged, AuthorizeError> {
        let mut form = Form::parse_with_resources(query).map_err(Refusal::from)?;
        let client = self.client_named(form.take("client_id")).await?;
        let pushed = form.get("request_uri").and_then(reference_of).map(hash_of);
        if let Some(reference) = &pushed {
            form = self.pushed_form(&client, reference).await?;
        }
        self.judge(client, form, pushed).await
    }

    /// Judges the parameters of a client.
    pub(super) async fn judge(
        &self,
        client: Arc<Client>,
        mut form: Form,
        pushed: Option<String>,
    ) -> Result<Judged, AuthorizeError> {
        let to = AnswerTo::take(&mut form)?;
        let (redirect_uri, named) = redirect_uri_of(&client, to.redirect_uri)?;
        let mut way = Way {
            redirect_uri,
            named,
            state: to.state,
            mode: to.response_mode.unwrap_or(ResponseMode::Query),
            issuer: self.config.issuer.to_string(),
            stranger: client.is_stranger() && !is_silent(form.get("prompt")),
        };
        if to.response_mode.is_none() {
            way.mode = ResponseMode::Query;
            return Err(way.refuse(INVALID));
        }
        if !client.grants.contains(&GrantType::AuthorizationCode) {
            return Err(way.refuse(Refusal::new(
                ErrorCode::UnauthorizedClient,
                Reason::GrantNotAllowed,
            )));
        }
        let mut request = AuthorizationRequest::take(&mut form).map_err(|refusal| way.refuse(refusal))?;
        needs_pkce(&client, &request).map_err(|refusal| way.refuse(refusal))?;
        let hint = self.hint_of(&request).map_err(|refusal| way.refuse(refusal))?;
        let (scope, resources) = (request.scope.as_ref(), request.resources.as_slice());
        let judged = self.targets_and_scope(&client, scope, resources).await;
        let (targets, scope) = judged.map_err(|error| way.fail(error))?;
        let held = self.scope_of_client(&client);
        let by_name = scopes_of_names(&mut request, &held).difference(&scope);
        Ok(Judged {
            client,
            request,
            way,
            targets,
            scope,
            by_name,
            hint,
            pushed,
        })
    }

    /// Reads the hint at who is expected. An essential context that nobody here can be let in by is a failed sign-in (OpenID
    /// Connect Core 5.5.1.1).
    fn hint_of(&self, request: &AuthorizationRequest) -> Result<Option<String>, Refusal> {
        let essential = &request.claims.essential_acr;
        if !essential.is_empty() && essential.iter().all(|acr| acr != ACR) {
            return Err(Refusal::new(ErrorCode::AccessDenied, Reason::InvalidParameter));
        }
        let Some(token) = &request.id_token_hint else {
            return Ok(None);
        };
        let hint = self.read_id_token_hint(token);
        let malformed = Refusal::new(ErrorCode::InvalidRequest, Reason::MalformedToken);
        hint.map(|hint| Some(hint.sub)).ok_or(malformed)
    }

    async fn client_named(&self, id: Option<String>) -> Result<Arc<Client>, AuthorizeError> {
        let unknown = Refusal::new(ErrorCode::InvalidRequest, Reason::UnknownClient);
        let id = id.ok_or(unknown)?;
        let id = ClientId::parse(&id).map_err(|_| unknown)?;
        self.must_have_its_past()?;
        let client = self.client_to_sign_in(&id).await?.ok_or(unknown)?;
        if client.disabled_at.is_some() {
            return Err(unknown.into());
        }
        Ok(client)
    }

    async fn pushed_form(&self, client: &Client, reference: &str) -> Result<Form, AuthorizeError> {
        let gone = Refusal::new(ErrorCode::InvalidRequestUri, Reason::Expired);
        let parameters = self
            .store
            .pushed_request(reference, &client.id, self.now())
            .await?;
        let parameters = parameters.ok_or(gone)?;
        Ok(Form::parse_with_resources(parameters.as_bytes()).map_err(Refusal::from)?)
    }
}

/// Whether no page may be shown, as far as a request can be read that may be wrong elsewhere.
fn is_silent(prompt: Option<&str>) -> bool {
    prompt.is_some_and(|prompt| prompt.split(' ').any(|word| word == Prompt::None.as_str()))
}

/// The scopes that claims asked for by name belong to.
fn scopes_of_names(request: &mut AuthorizationRequest, held: &ScopeSet) -> ScopeSet {
    let claims = &mut request.claims;
    keep_allowed(claims, held);
    let names = claims.id_token.iter().chain(&claims.userinfo);
    names
        .filter_map(|name| ScopeToken::parse(scope_of(name)?).ok())
        .collect()
}

const INVALID: Refusal = Refusal::new(ErrorCode::InvalidRequest, Reason::InvalidParameter);

/// The registered redirect URI that is asked for; the only one may be left out (RFC 6749 3.1.2.3).
fn redirect_uri_of(client: &Client, asked: Option<String>) -> Result<(String, bool), Refusal> {
    let unregistered = Refusal::new(ErrorCode::InvalidRequest, Reason::UnregisteredRedirectUri);
    let native = client.application_type == ApplicationType::Native;
    match asked {
        Some(asked) => {
            let registered = client
                .redirect_uris
                .iter()
                .any(|registered| redirect_uri::matches(registered, &asked, native));
            if registered {
                Ok((asked, true))
            } else {
                Err(unregistered)
            }
        }
        None => match client.redirect_uris.as_slice() {
            [only] => Ok((only.clone(), false)),
            _ => Err(unregistered),
        },
    }
}

/// PKCE is needed, but for a client that authenticates, was registered with that leniency, and sends a nonce (RFC 9700
/// 2.1.1).
fn needs_pkce(client: &Client, request: &AuthorizationRequest) -> Result<(), Refusal> {
    let public = client.auth_method == vouchsafe_protocol::ClientAuthMethod::None;
    let lenient = client.pkce_optional && !public && request.nonce.is_some();
    if request.code_challenge.is_some() || lenient {
        Ok(())
    } else {
        Err(Refusal::new(ErrorCode::InvalidRequest, Reason::PkceRequired))
    }
}
