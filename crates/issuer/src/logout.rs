//! Signing out at a client's wish (OpenID Connect RP-Initiated Logout 1.0): who asks, and whether the browser may go back
//! there. Whether it comes to that, the person decides.

use std::sync::Arc;

use url::form_urlencoded;
use vouchsafe_protocol::{ClientId, ErrorCode, Form, IdTokenHint, Reason, Refusal, redirect_uri};
use vouchsafe_store::{ApplicationType, Client};

use crate::{Error, Issuer, Visitor};

/// The most bytes in `state`.
const MAX_STATE: usize = 2048;
const MAX_LOCALES: usize = 255;

/// A request at the end-session endpoint (OpenID Connect RP-Initiated Logout 1.0 section 2). `logout_hint` is ignored:
/// whoever is signed in at the browser is meant.
#[derive(Clone, Debug, Default)]
pub struct LogoutRequest {
    /// An ID token that the client got.
    pub id_token_hint: Option<String>,
    /// The client.
    pub client_id: Option<String>,
    /// Where the browser is to go afterwards.
    pub post_logout_redirect_uri: Option<String>,
    /// What the client wants to hear again there.
    pub state: Option<String>,
    /// The languages of the page, best first, as they were sent.
    pub ui_locales: Option<String>,
}

impl LogoutRequest {
    /// Takes the request out of `form`. Unknown parameters are ignored.
    ///
    /// # Errors
    /// `invalid_request` for an oversized parameter.
    pub fn take(form: &mut Form) -> Result<Self, Refusal> {
        let mut bounded = |name: &str, most: usize| match form.take(name) {
            Some(text) if text.len() > most => {
                Err(Refusal::new(ErrorCode::InvalidRequest, Reason::InvalidParameter))
            }
            text => Ok(text),
        };
        Ok(Self {
            state: bounded("state", MAX_STATE)?,
            ui_locales: bounded("ui_locales", MAX_LOCALES)?,
            id_token_hint: form.take("id_token_hint"),
            client_id: form.take("client_id"),
            post_logout_redirect_uri: form.take("post_logout_redirect_uri"),
        })
    }
}

/// A request that was found good.
#[derive(Clone, Debug)]
pub struct Logout {
    /// The client that asks; none where nobody says so.
    pub client: Option<Arc<Client>>,
    /// Whether the hint is of the person who is signed in; none without a hint, or with nobody signed in.
    pub is_of_visitor: Option<bool>,
    /// Registered by the client.
    redirect_uri: Option<String>,
    state: Option<String>,
}

impl Logout {
    /// What the client is called.
    #[must_use]
    pub fn client_name(&self) -> Option<&str> {
        let client = self.client.as_deref()?;
        Some(client.name.as_deref().unwrap_or(client.id.as_str()))
    }

    /// Where the browser goes once the person signed out, `state` included; none for a page of ours.
    #[must_use]
    pub fn target(&self) -> Option<String> {
        let uri = self.redirect_uri.as_deref()?;
        let Some(state) = &self.state else {
            return Some(uri.to_owned());
        };
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("state", state);
        let joint = if uri.contains('?') { '&' } else { '?' };
        Some(format!("{uri}{joint}{}", query.finish()))
    }
}

impl Issuer {
    /// Judges a request to sign out. It ends nothing.
    ///
    /// # Errors
    /// `invalid_request`, which is told to the person and to nobody else: for a hint that is none of ours or of another
    /// client, a client that is not known, and an address that it did not register. The store's; [`Error::StaleView`],
    /// [`Error::StateRollback`].
    pub async fn judge_logout(&self, request: &LogoutRequest, visitor: &Visitor) -> Result<Logout, Error> {
        // A hint by a key that was found compromised is none.
        self.must_be_current().await?;
        let hint = match &request.id_token_hint {
            Some(token) => {
                let hint = self.read_id_token_hint(token);
                Some(hint.ok_or_else(|| refused(Reason::MalformedToken))?)
            }
            None => None,
        };
        let client = match client_id_of(request, hint.as_ref())? {
            Some(id) => Some(self.living_client(&id).await?),
            None => None,
        };
        let redirect_uri = match (&request.post_logout_redirect_uri, &client) {
            (Some(asked), Some(client)) if is_registered(client, asked) => Some(asked.clone()),
            (Some(_), Some(_)) => return Err(refused(Reason::UnregisteredRedirectUri)),
            // Whose address it is cannot be known.
            (Some(_), None) => return Err(refused(Reason::MissingParameter)),
            (None, _) => None,
        };
        let is_of_visitor = match (&hint, &client, &visitor.session) {
            (Some(hint), Some(client), Some(session)) => {
                let sub = self.sub_for(client, &session.subject).await?;
                Some(sub.as_str() == hint.sub)
            }
            _ => None,
        };
        Ok(Logout {
            client,
            is_of_visitor,
            redirect_uri,
            state: request.state.clone(),
        })
    }

    async fn living_client(&self, id: &ClientId) -> Result<Arc<Client>, Error> {
        let known = self.client(id).await?;
        known
            .filter(|client| client.disabled_at.is_none())
            .ok_or_else(|| refused(Reason::UnknownClient))
    }
}

fn refused(reason: Reason) -> Error {
    Error::refused(ErrorCode::InvalidRequest, reason)
}

/// The client by the audience of the hint, by `client_id`, or by both, which then agree.
fn client_id_of(request: &LogoutRequest, hint: Option<&IdTokenHint>) -> Result<Option<ClientId>, Error> {
    let named = request.client_id.as_deref().map(ClientId::parse).transpose();
    let named = named.map_err(|_| refused(Reason::UnknownClient))?;
    match (hint, named) {
        (Some(hint), Some(named)) if hint.aud != named => Err(refused(Reason::ClientMismatch)),
        (Some(hint), _) => Ok(Some(hint.aud.clone())),
        (None, named) => Ok(named),
    }
}

/// The same text, or for native applications the same but for the port on loopback, as for redirect URIs.
fn is_registered(client: &Client, asked: &str) -> bool {
    let native = client.application_type == ApplicationType::Native;
    client
        .post_logout_redirect_uris
        .iter()
        .any(|registered| redirect_uri::matches(registered, asked, native))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logout(redirect_uri: Option<&str>, state: Option<&str>) -> Logout {
        Logout {
            client: None,
            is_of_visitor: None,
            redirect_uri: redirect_uri.map(str::to_owned),
            state: state.map(str::to_owned),
        }
    }

    #[test]
    fn l12_state_is_a_value_in_the_query_whatever_it_holds() {
        for (uri, state, target) in [
            ("https://app.example/bye", None, "https://app.example/bye"),
            (
                "https://app.example/bye",
                Some("a b"),
                "https://app.example/bye?state=a+b",
            ),
            (
                "https://app.example/bye?tenant=1",
                Some("x&error=1#y"),
                "https://app.example/bye?tenant=1&state=x%26error%3D1%23y",
            ),
            (
                "com.example.app:/bye",
                Some("\u{e4}"),
                "com.example.app:/bye?state=%C3%A4",
            ),
        ] {
            assert_eq!(logout(Some(uri), state).target().as_deref(), Some(target));
        }
        assert_eq!(logout(None, Some("x")).target(), None);
    }

    #[test]
    fn a_hint_and_a_client_id_agree() {
        let hint = |aud: &str| IdTokenHint {
            iss: "https://issuer.example".to_owned(),
            sub: "somebody".to_owned(),
            aud: ClientId::parse(aud).unwrap(),
            sid: vouchsafe_protocol::FamilyId::parse("AAAAAAAAAAAAAAAAAAAAAA").unwrap(),
        };
        for (of_hint, named, client) in [
            (None, None, Some(None)),
            (Some("web"), None, Some(Some("web"))),
            (None, Some("web"), Some(Some("web"))),
            (Some("web"), Some("web"), Some(Some("web"))),
            (Some("web"), Some("phone"), None),
            (None, Some("not a client"), None),
        ] {
            let request = LogoutRequest {
                client_id: named.map(str::to_owned),
                ..LogoutRequest::default()
            };
            let found = client_id_of(&request, of_hint.map(hint).as_ref()).ok();
            let found = found.map(|id| id.map(|id| id.to_string()));
            assert_eq!(
                found,
                client.map(|id| id.map(str::to_owned)),
                "{of_hint:?} {named:?}"
            );
        }
    }

    #[test]
    fn oversized_parameters_are_refused_and_unknown_ones_ignored() {
        let take = |text: &str| LogoutRequest::take(&mut Form::parse(text.as_bytes()).unwrap());
        let taken = take("state=s&logout_hint=alice&client_id=web&x=y").unwrap();
        assert_eq!(taken.state.as_deref(), Some("s"));
        assert_eq!(taken.client_id.as_deref(), Some("web"));
        assert!(take(&format!("state={}", "s".repeat(MAX_STATE))).is_ok());
        for (name, most) in [("state", MAX_STATE), ("ui_locales", MAX_LOCALES)] {
            assert!(take(&format!("{name}={}", "s".repeat(most + 1))).is_err());
        }
    }
}
