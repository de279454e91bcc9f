//! A client application in a test, and the answers it gets.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::header::HeaderMap;
use serde_json::Value;
use vouchsafe_protocol::{ClientAuthMethod, Kid};

use crate::app::{CLIENT_SECRET, password_of};
use crate::{CALLBACK, TestApp, VERIFIER};

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as text.
    pub text: String,
    /// The body as JSON, or null.
    pub json: Value,
}

impl Answer {
    /// Reads a response whole.
    pub async fn read(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Self {
            status,
            headers,
            text,
            json,
        }
    }

    /// A string member of the body.
    pub fn str(&self, member: &str) -> &str {
        self.json[member]
            .as_str()
            .unwrap_or_else(|| panic!("no {member} in {} {}", self.status, self.text))
    }

    /// One header, if it is there.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Status, error and reason in one line, such as `400 invalid_grant reused`; `200` for a success.
    pub fn outcome(&self) -> String {
        match (self.json["error"].as_str(), self.json["reason"].as_str()) {
            (Some(error), Some(reason)) => format!("{} {error} {reason}", self.status),
            _ => self.status.to_string(),
        }
    }

    /// Asserts that it tells to come back, and nothing else; `what` was asked for.
    pub fn assert_must_wait(&self, what: &str) {
        assert_eq!(self.status, 503, "{what}: {}", self.text);
        assert_eq!(self.json["error"], "temporarily_unavailable", "{what}");
        assert!(self.header("retry-after").is_some(), "{what}");
        for member in ["access_token", "refresh_token", "active"] {
            assert!(self.json.get(member).is_none(), "{what}: {}", self.text);
        }
    }

    /// The claims of the access token.
    pub fn claims(&self) -> Value {
        claims_of(self.str("access_token"))
    }

    /// The claims of the refresh token.
    pub fn refresh_claims(&self) -> Value {
        claims_of(self.str("refresh_token"))
    }
}

/// The claims of a JWT, unchecked.
pub fn claims_of(token: &str) -> Value {
    part_of(token, 1)
}

/// The key that a JWT names, unchecked.
pub fn kid_of(token: &str) -> Kid {
    Kid::parse(part_of(token, 0)["kid"].as_str().unwrap()).unwrap()
}

fn part_of(token: &str, number: usize) -> Value {
    let part = token.split('.').nth(number).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// A client application.
#[derive(Clone, Copy)]
pub struct TestClient<'a> {
    app: &'a TestApp,
    /// Its id.
    pub id: &'static str,
    method: ClientAuthMethod,
}

impl<'a> TestClient<'a> {
    pub(crate) fn new(app: &'a TestApp, id: &str, method: ClientAuthMethod) -> Self {
        Self {
            app,
            id: Box::leak(id.to_owned().into_boxed_str()),
            method,
        }
    }

    /// The same client at another replica.
    pub fn at(self, app: &TestApp) -> TestClient<'_> {
        TestClient {
            app,
            id: self.id,
            method: self.method,
        }
    }

    /// Posts a form to a path, authenticated by the client's method.
    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        let mut fields: Vec<(&str, &str)> = form.to_vec();
        let mut request = self.app.http.post(format!("{}{path}", self.app.base));
        match self.method {
            ClientAuthMethod::ClientSecretBasic => {
                let pair = STANDARD.encode(format!("{}:{CLIENT_SECRET}", self.id));
                request = request.header("authorization", format!("Basic {pair}"));
            }
            ClientAuthMethod::ClientSecretPost => {
                fields.extend([("client_id", self.id), ("client_secret", CLIENT_SECRET)]);
            }
            ClientAuthMethod::None => fields.push(("client_id", self.id)),
        }
        Answer::read(request.form(&fields).send().await.unwrap()).await
    }

    /// Asks for a token.
    pub async fn token(&self, form: &[(&str, &str)]) -> Answer {
        self.post("/token", form).await
    }

    /// Asks for a token for itself.
    pub async fn credentials(&self) -> Answer {
        self.token(&[("grant_type", "client_credentials")]).await
    }

    /// Signs a person in whom [`TestApp::user`] made.
    pub async fn sign_in(&self, name: &str) -> Answer {
        let password = password_of(name);
        self.token(&[
            ("grant_type", "password"),
            ("username", name),
            ("password", &password),
        ])
        .await
    }

    /// Redeems a code of [`crate::Browser::code`].
    pub async fn redeem(&self, code: &str) -> Answer {
        self.redeem_with(code, &[]).await
    }

    /// The same with other parameters; an empty one is left out.
    pub async fn redeem_with(&self, code: &str, more: &[(&str, &str)]) -> Answer {
        let usual = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ];
        let mut form: Vec<(&str, &str)> = usual
            .into_iter()
            .filter(|(name, _)| !more.iter().any(|(other, _)| other == name))
            .collect();
        form.extend(more.iter().filter(|(_, value)| !value.is_empty()));
        self.token(&form).await
    }

    /// Refreshes.
    pub async fn refresh(&self, token: &str) -> Answer {
        self.token(&[("grant_type", "refresh_token"), ("refresh_token", token)])
            .await
    }

    /// Introspects.
    pub async fn introspect(&self, token: &str) -> Answer {
        self.post("/introspect", &[("token", token)]).await
    }

    /// True when introspection says so.
    pub async fn is_active(&self, token: &str) -> bool {
        let answer = self.introspect(token).await;
        answer.json["active"]
            .as_bool()
            .unwrap_or_else(|| panic!("{} {}", answer.status, answer.text))
    }

    /// Revokes.
    pub async fn revoke(&self, token: &str) -> Answer {
        self.post("/revoke", &[("token", token)]).await
    }
}
