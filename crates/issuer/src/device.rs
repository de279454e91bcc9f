//! The first half of the device grant (RFC 8628 3.1 to 3.3): a device asks, and a person at a browser decides.

use std::sync::Arc;
use std::time::Duration;

use vouchsafe_protocol::{
    ErrorCode, GrantType, Reason, ResourceUri, ScopeSet, SecretString, Timestamp, UserCode,
};
use vouchsafe_store::{Client, DeviceCode, Session, StoreError};

use crate::audit::{Event, Remark, announce};
use crate::opaque::Opaque;
use crate::{Actor, Authenticated, Error, Issuer, Ticket};

/// Long enough to walk to another device and sign in there, short enough to leave no time for guesses.
const LIFE: Duration = Duration::from_secs(600);
/// What RFC 8628 3.2 takes for granted.
const INTERVAL: Duration = Duration::from_secs(5);
/// How often another user code is tried when one is taken.
const RETRIES: u32 = 5;
/// Where a person enters a user code.
const PAGE: &str = "/device";

/// What a device is told (RFC 8628 3.2).
#[derive(Clone, Debug)]
pub struct DeviceAuthorization {
    /// What the device asks for tokens with.
    pub device_code: SecretString,
    /// What the person types.
    pub user_code: UserCode,
    /// Where they type it.
    pub verification_uri: String,
    /// How long both are good.
    pub expires_in: Duration,
    /// How long the device waits between two questions.
    pub interval: Duration,
}

impl DeviceAuthorization {
    /// The address with the user code in it, which still has to be confirmed there.
    #[must_use]
    pub fn verification_uri_complete(&self) -> String {
        format!("{}?user_code={}", self.verification_uri, self.user_code)
    }
}

/// What a person is asked to let in.
#[derive(Clone, Debug)]
pub struct DeviceRequest {
    /// What the device shows.
    pub user_code: UserCode,
    /// The client that the device runs.
    pub client: Arc<Client>,
    /// Every scope that would be granted, and the resource that knows it.
    pub scopes: Vec<(String, Option<String>)>,
    /// The address that the device asked from.
    pub source: Option<String>,
    /// When it asked.
    pub created_at: Timestamp,
}

impl Issuer {
    /// Begins the device grant for a client that proved who it is. `source` is the address that the device asks from.
    ///
    /// # Errors
    /// `unauthorized_client`, `invalid_scope`, `invalid_target`; the store's.
    pub async fn device_authorization(
        &self,
        client: &Authenticated,
        scope: Option<&ScopeSet>,
        resources: &[ResourceUri],
        source: Option<&str>,
    ) -> Result<DeviceAuthorization, Error> {
        has_the_grant(client)?;
        let (targets, scope) = self.targets_and_scope(client, scope, resources).await?;
        self.keep_document_client(client).await?;
        let mut retries = 0;
        loop {
            let Opaque { token, hash } = Opaque::random(self.entropy());
            let now = self.now();
            let code = DeviceCode {
                hash,
                user_code: UserCode::random(self.entropy()),
                client_id: client.id.clone(),
                scope: scope.clone(),
                audience: self.audience_of(&targets),
                source: source.map(str::to_owned),
                created_at: now,
                expires_at: now.plus(LIFE),
                poll_interval: INTERVAL,
            };
            match self.store.begin_device(&code).await {
                Ok(()) => return Ok(self.told(token, code.user_code)),
                Err(StoreError::Exists { .. }) if retries < RETRIES => retries += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn told(&self, device_code: SecretString, user_code: UserCode) -> DeviceAuthorization {
        DeviceAuthorization {
            device_code,
            user_code,
            verification_uri: self.config.issuer.join(PAGE),
            expires_in: LIFE,
            interval: INTERVAL,
        }
    }

    /// What the device with this user code asks for, in whatever form the code was typed. None for a code that nobody waits
    /// with.
    ///
    /// # Errors
    /// The store's; [`Error::StateRollback`].
    pub async fn device_request(&self, user_code: &str) -> Result<Option<DeviceRequest>, Error> {
        let Some((code, client)) = self.waiting_device(user_code).await? else {
            return Ok(None);
        };
        let targets = self.targets_as_they_stand(&client, &code.audience);
        let scopes = self.scope_lines(&client, &targets, &code.scope);
        Ok(Some(DeviceRequest {
            user_code: code.user_code,
            client,
            scopes,
            source: code.source,
            created_at: code.created_at,
        }))
    }

    /// Lets a device in or turns it away, as the person of the session decided on the page that the ticket is of. What they
    /// allow is for this device and no consent. False when somebody decided before, or code or session are over.
    ///
    /// # Errors
    /// The store's; [`Error::StateRollback`].
    pub async fn decide_device(
        &self,
        session: &Session,
        user_code: &str,
        allow: bool,
        _shown: &Ticket,
    ) -> Result<bool, Error> {
        let Some((code, client)) = self.waiting_device(user_code).await? else {
            return Ok(false);
        };
        let actor = Actor::User(session.subject.clone());
        let audit = Remark::new(Event::DeviceDecided, &actor, self.now())
            .client(&client.id)
            .subject(&session.subject)
            .with("allowed", allow)
            .entry();
        let decided = self
            .store
            .decide_device(&code.hash, session, allow, &audit)
            .await?;
        if decided {
            announce(&audit);
        }
        Ok(decided)
    }

    /// A device that waits for a decision, and its client, which may still have one.
    async fn waiting_device(&self, user_code: &str) -> Result<Option<(DeviceCode, Arc<Client>)>, Error> {
        // What was decided may be undecided in a database that went back.
        self.must_have_its_past()?;
        let Some(user_code) = UserCode::parse(user_code) else {
            return Ok(None);
        };
        let Some(code) = self.store.pending_device(&user_code, self.now()).await? else {
            return Ok(None);
        };
        let client = self.client(&code.client_id).await?;
        let Some(client) = client.filter(|client| client.disabled_at.is_none()) else {
            return Ok(None);
        };
        self.know_resources_of(&client).await?;
        // What the client may not have now is not shown; so it must not be let in unseen either.
        let held = self.still_held(&client, &code.audience, &code.scope);
        Ok(held.is_ok().then_some((code, client)))
    }
}

fn has_the_grant(client: &Authenticated) -> Result<(), Error> {
    if client.grants.contains(&GrantType::DeviceCode) {
        Ok(())
    } else {
        Err(Error::refused(
            ErrorCode::UnauthorizedClient,
            Reason::GrantNotAllowed,
        ))
    }
}
