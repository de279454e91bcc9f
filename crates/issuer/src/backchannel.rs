//! Telling clients that a session of theirs ended (OpenID Connect Back-Channel Logout 1.0): what waits in the out-box is
//! sent until it is heard, refused, or a day old. A client that does not answer keeps none of the others waiting.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, json};
use tokio::task::JoinSet;
use url::Url;
use vouchsafe_protocol::{
    Chain, ClientId, Jti, LOGOUT_EVENT, LogoutTokenClaims, TYP_LOGOUT_TOKEN, Timestamp,
};
use vouchsafe_store::{Client, LogoutDelivery};

use crate::{Error, Issuer, OutboundError};

const AT_ONCE: usize = 8;
/// Five turns of eight, each as long as the way out waits for an answer at most, end before the lease does.
const AT_A_TIME: u32 = 40;
const LEASE: Duration = Duration::from_secs(30);
const TOKEN_LIFE: Duration = Duration::from_secs(120);
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// Whoever was not there for so long is not told any more.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(24 * 3600);

/// What came of telling a client.
enum Told {
    /// It heard.
    Heard,
    /// There is nobody to hear any more.
    Nobody,
    /// It says that it cannot (OpenID Connect Back-Channel Logout 2.8).
    Refused,
    /// It can never be told at this address.
    Never(&'static str),
    /// It was not told this time, though it answered, or for a reason of ours.
    NotYet(String),
    /// It did not answer.
    Silent(String),
}

/// One run over what was due.
#[derive(Default)]
struct Run {
    heard: usize,
    /// Clients that are asked no more in this run.
    silent: HashSet<ClientId>,
}

impl Run {
    fn note(&mut self, client_id: ClientId, told: &Told) {
        match told {
            Told::Heard => self.heard += 1,
            Told::Silent(_) => {
                self.silent.insert(client_id);
            }
            Told::Nobody | Told::Refused | Told::Never(_) | Told::NotYet(_) => {}
        }
    }

    /// Waits until one of those under way is through.
    async fn wait(&mut self, under_way: &mut JoinSet<(ClientId, Told)>) {
        if let Some(Ok((client_id, told))) = under_way.join_next().await {
            self.note(client_id, &told);
        }
    }
}

impl Issuer {
    /// Tells clients of the sessions that ended, as many as fit a lease; says how many of them are told now. None while
    /// this process may not forget.
    ///
    /// # Errors
    /// The store's; [`Error::StaleView`], [`Error::StateRollback`]. What was not told stays due.
    pub async fn deliver_logouts(self: &Arc<Self>) -> Result<usize, Error> {
        if !self.may_forget() {
            return Ok(0);
        }
        self.must_be_current().await?;
        let due = self.store.take_deliveries(self.now(), LEASE, AT_A_TIME).await?;
        let (mut run, mut under_way) = (Run::default(), JoinSet::new());
        for delivery in due {
            while under_way.len() >= AT_ONCE {
                run.wait(&mut under_way).await;
            }
            let issuer = Arc::clone(self);
            let skipped = run.silent.contains(&delivery.client_id);
            under_way.spawn(async move {
                let told = match skipped {
                    true => Told::NotYet("it did not answer a moment ago".to_owned()),
                    false => issuer.tell(&delivery).await,
                };
                issuer.conclude(&delivery, &told).await;
                (delivery.client_id, told)
            });
        }
        while !under_way.is_empty() {
            run.wait(&mut under_way).await;
        }
        Ok(run.heard)
    }

    async fn tell(&self, delivery: &LogoutDelivery) -> Told {
        match self.try_to_tell(delivery).await {
            Ok(told) => told,
            Err(error) => Told::NotYet(Chain(&error).to_string()),
        }
    }

    async fn try_to_tell(&self, delivery: &LogoutDelivery) -> Result<Told, Error> {
        let client = self.client(&delivery.client_id).await?;
        let Some(client) = client.filter(|client| client.disabled_at.is_none()) else {
            return Ok(Told::Nobody);
        };
        // It may have moved since.
        let Some(uri) = &client.backchannel_logout_uri else {
            return Ok(Told::Nobody);
        };
        let Ok(url) = Url::parse(uri) else {
            return Ok(Told::Never("it is no address"));
        };
        let sub = self.sub_for(&client, &delivery.subject).await?;
        let token = self.logout_token(&client, sub.as_str(), delivery, self.now())?;
        let form = [("logout_token", token.as_str())];
        Ok(match self.outbound.post_form(&url, &form).await {
            Ok(answer) => match answer.status {
                200 | 204 => Told::Heard,
                400 => Told::Refused,
                status => Told::NotYet(format!("status {status}")),
            },
            Err(OutboundError::Refused(why)) => Told::Never(why),
            Err(error) => Told::Silent(error.to_string()),
        })
    }

    fn logout_token(
        &self,
        client: &Client,
        sub: &str,
        delivery: &LogoutDelivery,
        now: Timestamp,
    ) -> Result<String, Error> {
        let claims = LogoutTokenClaims {
            iss: self.config.issuer.to_string(),
            aud: client.id.clone(),
            iat: now,
            exp: now.plus(TOKEN_LIFE),
            jti: Jti::random(self.entropy()),
            events: Map::from_iter([(LOGOUT_EVENT.to_owned(), json!({}))]),
            sub: sub.to_owned(),
            sid: delivery.sid.clone(),
        };
        let ring = self.keys.load();
        let signer = ring
            .signer(self.id_token_algorithm_of(client), now)
            .ok_or(Error::NoSigningKey)?;
        Ok(signer.sign(TYP_LOGOUT_TOKEN, &claims)?)
    }

    /// Notes what came of it. If that fails, the end of the lease makes it due again.
    async fn conclude(&self, delivery: &LogoutDelivery, told: &Told) {
        let now = self.now();
        let again = match told {
            Told::NotYet(_) | Told::Silent(_) if now.since(delivery.created_at) < GIVEN_UP_AFTER => {
                Some(now.plus(pause_after(delivery.attempts)))
            }
            _ => None,
        };
        let (event, why) = match told {
            Told::Heard => ("backchannel_logout_delivered", None),
            Told::Nobody => ("backchannel_logout_dropped", None),
            Told::Refused => ("backchannel_logout_refused", None),
            Told::Never(why) => ("backchannel_logout_given_up", Some(*why)),
            Told::NotYet(why) | Told::Silent(why) if again.is_none() => {
                ("backchannel_logout_given_up", Some(why.as_str()))
            }
            Told::NotYet(why) | Told::Silent(why) => ("backchannel_logout_failed", Some(why.as_str())),
        };
        tracing::info!(
            event,
            sid = delivery.sid.as_str(),
            client_id = delivery.client_id.as_str(),
            attempts = delivery.attempts.saturating_add(1),
            why,
        );
        if let Err(error) = self.store.conclude_delivery(&delivery.sid, again).await {
            tracing::warn!(
                event = "backchannel_logout_unnoted",
                sid = delivery.sid.as_str(),
                error = %Chain(&error)
            );
        }
    }
}

/// Each pause is twice the last one. `attempts` is how often it was tried before.
fn pause_after(attempts: i64) -> Duration {
    let doublings = u32::try_from(attempts.clamp(0, 16)).unwrap_or_default();
    FIRST_PAUSE
        .saturating_mul(2_u32.saturating_pow(doublings))
        .min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour() {
        for (attempts, seconds) in [
            (-1, 5),
            (0, 5),
            (1, 10),
            (2, 20),
            (9, 2560),
            (10, 3600),
            (i64::MAX, 3600),
        ] {
            assert_eq!(pause_after(attempts), Duration::from_secs(seconds), "{attempts}");
        }
    }
}
