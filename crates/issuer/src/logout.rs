//! Signing out at a client's wish (OpenID Connect RP-Initiated Logout 1.0): who asks, and whether the browser may go back
//! there. Whether it comes to that, the person decides.

use std::sync::Arc;

use url::form_urlencoded;
use vouchsafe_protocol::{
    ClientId, ErrorCode, FamilyId, Form, IdTokenHint, OFFLINE_ACCESS, Reason, Refusal, redirect_uri,
};
use vouchsafe_store::{ApplicationType, Client, RevokeReason};

use crate::{Actor, Error, Issuer};

/// The most bytes in `state`.
const MAX_STATE: usize = 8192;
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

/// What a request comes to.
#[derive(Clone, Debug)]
pub struct Logout {
    /// The client that asks; none where nobody says so, or where what they say cannot be believed.
    pub client: Option<Arc<Client>>,
    /// Whether an ID token of ours bears out that this client asks.
    pub by_hint: bool,
    /// Registered by the client.
    redirect_uri: Option<String>,
    state: Option<String>,
    /// The client's family that outlived the browser session it was granted in.
    left: Option<(ClientId, FamilyId)>,
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

/// Who asks, and where they want the browser.
type Asker = (Arc<Client>, Option<String>);

impl Issuer {
    /// Judges a request to sign out. It ends nothing. Whoever is sent here with words that cannot be believed may sign out
    /// all the same; they are told of no client and sent on to nowhere.
    ///
    /// # Errors
    /// `invalid_request` for a hint that contradicts `client_id`. The store's; [`Error::StaleView`],
    /// [`Error::StateRollback`].
    pub async fn judge_logout(&self, request: &LogoutRequest) -> Result<Logout, Error> {
        // A hint by a key that was found compromised is none.
        self.must_be_current().await?;
        let hint = request.id_token_hint.as_deref();
        let hint = hint.and_then(|token| self.read_id_token_hint(token));
        let asker = match self.who_asks(request, hint.as_ref()).await {
            Err(Error::Refused(doubt)) if doubt.reason != Reason::ClientMismatch => {
                tracing::info!(event = "logout_request_doubted", reason = doubt.reason.as_str());
                None
            }
            asker => asker?,
        };
        let left = match &hint {
            Some(hint) => self.left_by(hint).await?,
            None => None,
        };
        let (client, redirect_uri) = asker.unzip();
        Ok(Logout {
            by_hint: client.is_some() && hint.is_some(),
            client,
            redirect_uri: redirect_uri.flatten(),
            state: request.state.clone(),
            left,
        })
    }

    async fn who_asks(
        &self,
        request: &LogoutRequest,
        hint: Option<&IdTokenHint>,
    ) -> Result<Option<Asker>, Error> {
        if hint.is_none() && request.id_token_hint.is_some() {
            return Err(refused(Reason::MalformedToken));
        }
        let asked = request.post_logout_redirect_uri.clone();
        let Some(id) = client_id_of(request, hint)? else {
            return match asked {
                // Whose address it is cannot be known.
                Some(_) => Err(refused(Reason::MissingParameter)),
                None => Ok(None),
            };
        };
        let client = self.client(&id).await?;
        let client = client.filter(|client| client.disabled_at.is_none());
        let client = client.ok_or_else(|| refused(Reason::UnknownClient))?;
        match asked {
            Some(asked) if !is_registered(&client, &asked) => Err(refused(Reason::UnregisteredRedirectUri)),
            asked => Ok(Some((client, asked))),
        }
    }

    /// The family of a hint, where it would have ended with a browser session that ran out.
    async fn left_by(&self, hint: &IdTokenHint) -> Result<Option<(ClientId, FamilyId)>, Error> {
        let family = self.store.family(&hint.sid).await?;
        let family = family.filter(|family| family.ended.is_none() && !family.scope.contains(OFFLINE_ACCESS));
        // One without a session was never a browser's: a device's, say.
        let Some((family, session)) = family.and_then(|family| {
            let session = family.session_id.clone()?;
            Some((family, session))
        }) else {
            return Ok(None);
        };
        let alive = self.store.session(&session, self.now()).await?;
        Ok(alive.is_none().then_some((family.client_id, family.id)))
    }

    /// Ends what the client that asks still holds of a browser session that ran out.
    ///
    /// # Errors
    /// The store's; [`Error::StateRollback`].
    pub async fn end_left(&self, logout: &Logout) -> Result<(), Error> {
        if let Some((client_id, sid)) = &logout.left {
            let actor = Actor::Client(client_id.clone());
            self.end_family(sid, RevokeReason::SignedOut, &actor, Some(client_id))
                .await?;
        }
        Ok(())
    }
}

fn refused(reason: Reason) -> Error {
    Error::refused(ErrorCode::InvalidRequest, reason)
}

/// The client by the audience of the hint, by `client_id`, or by both, which then agree.
fn client_id_of(request: &LogoutRequest, hint: Option<&IdTokenHint>) -> Result<Option<ClientId>, Error> {
    match (hint, request.client_id.as_deref()) {
        (Some(hint), Some(named)) if hint.aud.as_str() != named => Err(refused(Reason::ClientMismatch)),
        (Some(hint), _) => Ok(Some(hint.aud.clone())),
        (None, Some(named)) => match ClientId::parse(named) {
            Ok(named) => Ok(Some(named)),
            Err(_) => Err(refused(Reason::UnknownClient)),
        },
        (None, None) => Ok(None),
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
            by_hint: false,
            redirect_uri: redirect_uri.map(str::to_owned),
            state: state.map(str::to_owned),
            left: None,
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
            sid: FamilyId::parse("AAAAAAAAAAAAAAAAAAAAAA").unwrap(),
        };
        for (of_hint, named, client) in [
            (None, None, Some(None)),
            (Some("web"), None, Some(Some("web"))),
            (None, Some("web"), Some(Some("web"))),
            (Some("web"), Some("web"), Some(Some("web"))),
            (Some("web"), Some("phone"), None),
            (Some("web"), Some("not a client"), None),
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
