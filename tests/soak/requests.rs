//! The requests that actors make: each leaves a line in the history.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::family::Family;
use crate::history::{Ask, Class, Event, FamilyNote, Outcome, Silence};
use crate::rng::Rng;
use crate::tokens::{AccessToken, RefreshToken, Tokens};
use crate::wire::{Answer, App};
use crate::world::World;

/// How long a client asks for the successor of one token. With what it did before, that stays inside the retry window.
const PATIENCE: Duration = Duration::from_secs(45);

/// How a refresh token is presented.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manner {
    /// By a thief.
    pub(crate) stolen: bool,
    /// It was presented before.
    pub(crate) retry: bool,
    /// The answer does not reach the client.
    pub(crate) lost: bool,
    /// The connection is dropped after so long.
    pub(crate) cut: Option<Duration>,
}

/// What the caller of a token endpoint learns.
pub(crate) enum Reply {
    /// Tokens.
    Granted(Box<Tokens>),
    /// No, for this reason.
    Refused(Box<str>),
    /// Ask again.
    Later,
}

/// A question about a token, or the wish to end it.
struct Inquiry<'a> {
    path: &'static str,
    app: &'a App,
    token: &'a str,
    ask: Ask,
}

impl World {
    /// Signs any person in at this application, until it is done or the run is over.
    pub(crate) async fn sign_in(&self, class: Class, app: Arc<App>, rng: &mut Rng) -> Option<Family> {
        let person = rng.pick(&self.people)?;
        let form = [
            ("grant_type", "password"),
            ("username", person.name.as_str()),
            ("password", person.password),
        ];
        let caller = rng.below(self.options.clients);
        let (mut replica, mut retry) = (self.any_replica(rng), false);
        while !self.is_over() {
            let turn = self.sign_ins.acquire().await.ok()?;
            let start = self.now();
            let url = self.fleet.url(replica, "/token");
            let posted = self.wire.post(caller, &url, &app, &form).await;
            let end = self.now();
            drop(turn);
            let (outcome, reply) = judge(posted, None);
            let family = match reply {
                Reply::Granted(tokens) => Some(self.begin(class, &app, *tokens)),
                Reply::Refused(_) | Reply::Later => None,
            };
            let refused = family.is_none() && !outcome.is_later();
            self.history.note(Event {
                family: family.as_ref().map(|family| family.number),
                replica,
                ask: Ask::SignIn,
                outcome,
                start,
                end,
                retry,
                lost: false,
            });
            if family.is_some() || refused {
                return family;
            }
            sleep(rng.millis(50, 250)).await;
            retry = true;
            replica = self.other_replica(replica, rng);
        }
        None
    }

    fn begin(&self, class: Class, app: &Arc<App>, tokens: Tokens) -> Family {
        self.signatures.saw(&tokens.access);
        let number = self.history.begin(FamilyNote {
            sid: tokens.sid.clone(),
            class,
            client_id: app.id.clone(),
        });
        Family::new(number, Arc::clone(app), tokens, self.now())
    }

    /// Presents a refresh token once.
    pub(crate) async fn refresh(
        &self,
        family: &Family,
        token: &RefreshToken,
        replica: usize,
        manner: Manner,
    ) -> Reply {
        let form = [("grant_type", "refresh_token"), ("refresh_token", &*token.text)];
        let url = self.fleet.url(replica, "/token");
        let start = self.now();
        let asked = self.wire.post(family.number, &url, &family.app, &form);
        let posted = match manner.cut {
            None => asked.await,
            Some(after) => timeout(after, asked).await.unwrap_or(Err(Silence::Dropped)),
        };
        let end = self.now();
        let (outcome, reply) = judge(posted, Some(&family.sid));
        if let Reply::Granted(tokens) = &reply {
            self.signatures.saw(&tokens.access);
        }
        let ask = if manner.stolen {
            Ask::Steal(token.id.clone())
        } else {
            Ask::Refresh(token.id.clone())
        };
        self.history.note(Event {
            family: Some(family.number),
            replica,
            ask,
            outcome,
            start,
            end,
            retry: manner.retry,
            lost: manner.lost,
        });
        reply
    }

    /// Presents a refresh token, the same one again at another replica where there is no answer, until there is one.
    /// None, and a fault in the history, when there is none for too long.
    pub(crate) async fn refresh_until_heard(
        &self,
        family: &Family,
        token: &RefreshToken,
        manner: Manner,
        rng: &mut Rng,
    ) -> Option<Reply> {
        let since = self.now();
        let (mut replica, mut manner) = (self.any_replica(rng), manner);
        loop {
            match self.refresh(family, token, replica, manner).await {
                Reply::Later => {}
                reply => return Some(reply),
            }
            if self.is_abandoned() {
                return None;
            }
            if self.now().saturating_sub(since) > PATIENCE {
                self.history.fault(format!(
                    "family {} got no answer to token {} for {PATIENCE:?}",
                    family.number, token.id.seq
                ));
                return None;
            }
            sleep(rng.millis(20, 200)).await;
            manner.retry = true;
            replica = self.other_replica(replica, rng);
        }
    }

    /// Asks as the resource server what an access token is worth.
    pub(crate) async fn introspect_access(
        &self,
        family: &Family,
        token: &AccessToken,
        replica: usize,
    ) -> Outcome {
        let inquiry = Inquiry {
            path: "/introspect",
            app: &self.server,
            token: &token.text,
            ask: Ask::IntrospectAccess(Arc::clone(&token.jti)),
        };
        self.inquire(family, inquiry, replica, false).await
    }

    /// Asks as its client what a refresh token is worth; only a client with a secret may.
    pub(crate) async fn introspect_refresh(
        &self,
        family: &Family,
        token: &RefreshToken,
        replica: usize,
    ) -> Outcome {
        let inquiry = Inquiry {
            path: "/introspect",
            app: &family.app,
            token: &token.text,
            ask: Ask::IntrospectRefresh(token.id.clone()),
        };
        self.inquire(family, inquiry, replica, false).await
    }

    /// Ends a family by one of its refresh tokens.
    pub(crate) async fn revoke_family(
        &self,
        family: &Family,
        token: &RefreshToken,
        replica: usize,
        retry: bool,
    ) -> Outcome {
        let inquiry = Inquiry {
            path: "/revoke",
            app: &family.app,
            token: &token.text,
            ask: Ask::RevokeFamily,
        };
        self.inquire(family, inquiry, replica, retry).await
    }

    /// Ends one access token.
    pub(crate) async fn revoke_access(
        &self,
        family: &Family,
        token: &AccessToken,
        replica: usize,
        retry: bool,
    ) -> Outcome {
        let inquiry = Inquiry {
            path: "/revoke",
            app: &family.app,
            token: &token.text,
            ask: Ask::RevokeAccess(Arc::clone(&token.jti)),
        };
        self.inquire(family, inquiry, replica, retry).await
    }

    async fn inquire(&self, family: &Family, inquiry: Inquiry<'_>, replica: usize, retry: bool) -> Outcome {
        let form = [("token", inquiry.token)];
        let url = self.fleet.url(replica, inquiry.path);
        let start = self.now();
        let posted = self.wire.post(family.number, &url, inquiry.app, &form).await;
        let end = self.now();
        let outcome = match posted {
            Err(silence) => Outcome::Silent(silence),
            Ok(answer) if answer.status == 200 => word_on(&inquiry.ask, &answer.json),
            Ok(answer) => answer.refusal(),
        };
        self.history.note(Event {
            family: Some(family.number),
            replica,
            ask: inquiry.ask,
            outcome: outcome.clone(),
            start,
            end,
            retry,
            lost: false,
        });
        outcome
    }
}

/// What a 200 says.
fn word_on(ask: &Ask, body: &Value) -> Outcome {
    if matches!(ask, Ask::RevokeFamily | Ask::RevokeAccess(_)) {
        return Outcome::Revoked;
    }
    match body.get("active").and_then(Value::as_bool) {
        Some(true) => Outcome::Active,
        Some(false) => Outcome::Inactive,
        None => Outcome::Absurd("an introspection that says nothing".into()),
    }
}

/// What an answer of the token endpoint is to the history, and to its caller. A family gets its own tokens only.
fn judge(posted: Result<Answer, Silence>, sid: Option<&str>) -> (Outcome, Reply) {
    let answer = match posted {
        Ok(answer) => answer,
        Err(silence) => return (Outcome::Silent(silence), Reply::Later),
    };
    if answer.status != 200 {
        let outcome = answer.refusal();
        let reply = match &outcome {
            Outcome::Refused { reason, .. } if !outcome.is_later() => Reply::Refused(reason.clone()),
            _ => Reply::Later,
        };
        return (outcome, reply);
    }
    let absurd = |why: &str| (Outcome::Absurd(why.into()), Reply::Refused(why.into()));
    match Tokens::read(&answer.json) {
        Ok(tokens) if sid.is_some_and(|sid| sid != tokens.sid) => absurd("tokens of another family"),
        Ok(tokens) => (
            Outcome::Granted(tokens.refresh.id.clone()),
            Reply::Granted(Box::new(tokens)),
        ),
        Err(why) => absurd(&why),
    }
}
