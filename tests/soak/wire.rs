//! Requests as client applications send them, each to the replica that was chosen for it.

use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::time::Duration;

use serde_json::Value;

use crate::history::{Outcome, Silence};

/// How long a client waits for an answer. Shorter than the longest stop of a server, so that some requests are given up
/// and carried out later all the same.
const PATIENCE: Duration = Duration::from_secs(3);

/// Callers that share an address: far fewer than the connections that a server grants one.
const CALLERS_OF_ADDRESS: usize = 200;

/// How a client application authenticates.
#[derive(Clone, Debug)]
pub(crate) enum Auth {
    Basic(String),
    Post(String),
    Public,
}

/// A client application.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) id: String,
    pub(crate) auth: Auth,
}

impl App {
    pub(crate) fn is_public(&self) -> bool {
        matches!(self.auth, Auth::Public)
    }
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    retry_after: bool,
    pub(crate) json: Value,
}

impl Answer {
    /// What it says when it is not what was asked for.
    pub(crate) fn refusal(&self) -> Outcome {
        let word = |member: &str| -> Box<str> {
            let word = self.json.get(member).and_then(Value::as_str);
            word.unwrap_or_default().into()
        };
        Outcome::Refused {
            status: self.status,
            error: word("error"),
            reason: word("reason"),
            retry_after: self.retry_after,
        }
    }
}

/// Connections to the servers, from as many addresses as the callers need.
pub(crate) struct Wire(Vec<reqwest::Client>);

impl Wire {
    /// For so many callers.
    ///
    /// # Errors
    /// Why there is no client.
    pub(crate) fn new(callers: usize) -> Result<Self, String> {
        let lanes = (callers / CALLERS_OF_ADDRESS).saturating_add(1).min(200);
        let mut clients = Vec::with_capacity(lanes);
        for lane in 0..lanes {
            let client = vouchsafe_tests::http_client()
                .no_proxy()
                .timeout(PATIENCE)
                .local_address(own_address(lane));
            clients.push(client.build().map_err(|error| error.to_string())?);
        }
        Ok(Self(clients))
    }

    fn lane(&self, caller: usize) -> Result<&reqwest::Client, Silence> {
        let lane = caller.checked_rem(self.0.len()).unwrap_or(0);
        self.0.get(lane).ok_or(Silence::Unreachable)
    }

    /// Posts a form as this application.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(crate) async fn post(
        &self,
        caller: usize,
        url: &str,
        app: &App,
        form: &[(&str, &str)],
    ) -> Result<Answer, Silence> {
        let mut fields = form.to_vec();
        let mut request = self.lane(caller)?.post(url);
        match &app.auth {
            Auth::Basic(secret) => request = request.basic_auth(&app.id, Some(secret)),
            Auth::Post(secret) => {
                fields.extend([("client_id", app.id.as_str()), ("client_secret", secret.as_str())]);
            }
            Auth::Public => fields.push(("client_id", app.id.as_str())),
        }
        let response = request.form(&fields).send().await;
        let response = response.map_err(|error| silence(&error))?;
        let status = response.status().as_u16();
        let retry_after = response.headers().contains_key("retry-after");
        let body = response.bytes().await.map_err(|error| silence(&error))?;
        Ok(Answer {
            status,
            retry_after,
            json: serde_json::from_slice(&body).unwrap_or(Value::Null),
        })
    }

    /// Status and body of a document.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(crate) async fn get(&self, url: &str) -> Result<(u16, Vec<u8>), Silence> {
        let response = self.lane(0)?.get(url).send().await;
        let response = response.map_err(|error| silence(&error))?;
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(|error| silence(&error))?;
        Ok((status, body.to_vec()))
    }
}

fn silence(error: &reqwest::Error) -> Silence {
    if error.is_timeout() {
        Silence::TimedOut
    } else if error.is_connect() {
        Silence::Unreachable
    } else {
        Silence::Broken
    }
}

/// A loopback address that no server listens on. From the servers' own address, a connection could take the port of a
/// server that is down just now, which then could not come back.
fn own_address(lane: usize) -> Option<IpAddr> {
    let last = u8::try_from(lane.saturating_add(2)).ok()?;
    let address = Ipv4Addr::new(127, 0, 0, last);
    // Not every system has more than one.
    TcpListener::bind((address, 0))
        .is_ok()
        .then_some(IpAddr::V4(address))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_keeps_what_the_rules_look_at() {
        let answer = Answer {
            status: 503,
            retry_after: true,
            json: json!({"error": "temporarily_unavailable", "reason": "busy"}),
        };
        let expected = Outcome::Refused {
            status: 503,
            error: "temporarily_unavailable".into(),
            reason: "busy".into(),
            retry_after: true,
        };
        assert_eq!(answer.refusal(), expected);
    }

    #[tokio::test]
    async fn nobody_there_is_no_answer() {
        let wire = Wire::new(1_000).unwrap();
        assert_eq!(wire.0.len(), 6);
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let app = App {
            id: "native".to_owned(),
            auth: Auth::Public,
        };
        let answer = wire.post(7, &format!("http://{free}/token"), &app, &[]).await;
        assert_eq!(answer.unwrap_err(), Silence::Unreachable);
    }
}
