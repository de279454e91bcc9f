//! Clients that register themselves (RFC 7591) and change what they said (RFC 7592).

use std::time::Duration;

use vouchsafe_protocol::{
    ClientAuthMethod, ClientId, ClientMetadata, ErrorCode, Reason, SecretString, Timestamp, random_token,
};
use vouchsafe_store::{AuditEntry, Client, ClientOrigin, RegistrationMac, StoreError};

use crate::admin::client::blank;
use crate::audit::{Event, Remark, announce};
use crate::config::RegistrationMode;
use crate::opaque::hash_of;
use crate::self_description::bad_metadata;
use crate::subject::keeps_names;
use crate::{Actor, Error, Issuer};

const ID_BYTES: usize = 12;
const SECRET_BYTES: usize = 32;

/// A client that registered itself, with the only appearance of its secrets.
#[derive(Clone, Debug)]
pub struct Registered {
    /// The client.
    pub client: Client,
    /// Its secret, unless it is public.
    pub secret: Option<SecretString>,
    /// What it changes itself with (RFC 7592 3).
    pub registration_access_token: SecretString,
}

/// One answer for a token that is absent, wrong, used up or another client's, and for a client that is not there.
fn invalid_token() -> Error {
    Error::refused(ErrorCode::InvalidToken, Reason::UnknownToken)
}

impl Issuer {
    /// Registers a client (RFC 7591 3). It may sign people in and no more; no operator vouches for it.
    ///
    /// # Errors
    /// `invalid_token` where registration is closed or the initial access token is not one; `invalid_client_metadata`,
    /// `invalid_redirect_uri`; the store's.
    pub async fn register_client(
        &self,
        said: &ClientMetadata,
        initial_token: Option<&SecretString>,
        now: Timestamp,
    ) -> Result<Registered, Error> {
        self.must_be_current().await?;
        let initial = self.initial_token(initial_token, now).await?;
        let id = ClientId::parse(&format!("client-{}", random_token(self.entropy(), ID_BYTES)))
            .map_err(|_| Error::Internal("an id of ours is not one"))?;
        let method = said.token_endpoint_auth_method;
        let stranger = Client {
            origin: ClientOrigin::Registered,
            auth_method: method.unwrap_or(ClientAuthMethod::ClientSecretBasic),
            ..blank(id, now)
        };
        let mut client = self.described(stranger, said).await?;
        let random = || SecretString::new(random_token(self.entropy(), SECRET_BYTES));
        let secret = (client.auth_method != ClientAuthMethod::None).then(random);
        if let Some(secret) = &secret {
            client.secrets.push(self.mac_of(secret, now)?);
        }
        let registration_access_token = random();
        client.registration = Some(self.registration_mac(&registration_access_token, now)?);
        let audit = remark(Event::ClientCreated, &client, now);
        let stored = self
            .store
            .insert_registered_client(&client, initial.as_deref(), &audit);
        if !stored.await? {
            return Err(invalid_token());
        }
        announce(&audit);
        self.follow().await?;
        Ok(Registered {
            client,
            secret,
            registration_access_token,
        })
    }

    /// A client that proves to be itself by its registration access token (RFC 7592 2.1). No client, another's token and
    /// a wrong one give one answer after the same MAC.
    ///
    /// # Errors
    /// `invalid_token`; the store's.
    pub async fn registered_client(&self, id: &str, token: Option<&SecretString>) -> Result<Client, Error> {
        self.must_have_its_past()?;
        let client = match ClientId::parse(id) {
            Ok(id) => self.store.client(&id).await?,
            Err(_) => None,
        };
        let proven = token.is_some_and(|token| self.proves_registration(client.as_ref(), token));
        client
            .filter(|client| proven && client.disabled_at.is_none())
            .ok_or_else(invalid_token)
    }

    /// Replaces what a client said of itself (RFC 7592 2.2). By which names it knows people, and whether it is public, stays
    /// what it is. With another name or other redirect URIs it has to ask everybody anew.
    ///
    /// # Errors
    /// As for [`Issuer::registered_client`] and [`Issuer::register_client`].
    pub async fn update_registered(
        &self,
        id: &str,
        token: Option<&SecretString>,
        said: &ClientMetadata,
        now: Timestamp,
    ) -> Result<Client, Error> {
        let before = self.registered_client(id, token).await?;
        if said.client_id.as_deref() != Some(before.id.as_str()) {
            return Err(bad_metadata(Reason::ClientMismatch));
        }
        let secret = said.client_secret.as_ref();
        let foreign = secret.is_some_and(|secret| !self.proves(Some(&before), Some(secret)));
        if said.has_server_members || foreign {
            return Err(bad_metadata(Reason::InvalidParameter));
        }
        let method = said.token_endpoint_auth_method.unwrap_or(before.auth_method);
        let public = ClientAuthMethod::None;
        if (method == public) != (before.auth_method == public) {
            return Err(bad_metadata(Reason::WrongAuthMethod));
        }
        let read_at = before.updated_at;
        let after = Client {
            auth_method: method,
            updated_at: now.max(read_at.plus(Duration::from_secs(1))),
            ..before.clone()
        };
        let mut client = self.described(after, said).await?;
        // An operator vouched for what it was.
        client.skip_consent = client.skip_consent && client.is_shown_as(&before);
        if !keeps_names(&before, &client) {
            return Err(bad_metadata(Reason::InvalidParameter));
        }
        let audit = remark(Event::ClientUpdated, &client, now);
        match self
            .store
            .update_registered_client(&client, read_at, &audit)
            .await
        {
            Ok(()) => {}
            // The next try reads it anew.
            Err(StoreError::Stale { .. }) => return Err(Error::Busy),
            Err(error) => return Err(error.into()),
        }
        announce(&audit);
        self.follow().await?;
        Ok(client)
    }

    /// Removes a client that asks for it (RFC 7592 2.3), and ends its families and tokens.
    ///
    /// # Errors
    /// As for [`Issuer::registered_client`].
    pub async fn delete_registered(
        &self,
        id: &str,
        token: Option<&SecretString>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let client = self.registered_client(id, token).await?;
        let revocation = self.final_client_revocation(&client.id, now);
        let audit = remark(Event::ClientDeleted, &client, now);
        match self.store.delete_client(&client.id, &revocation, &audit).await {
            Ok(()) => {}
            Err(StoreError::NotFound { .. }) => return Err(invalid_token()),
            Err(error) => return Err(error.into()),
        }
        announce(&audit);
        self.follow().await
    }

    /// The digest of the initial access token, where one is needed. It is used up only when the client is written.
    async fn initial_token(
        &self,
        token: Option<&SecretString>,
        now: Timestamp,
    ) -> Result<Option<String>, Error> {
        match (self.config.registration, token) {
            (RegistrationMode::Open, _) => Ok(None),
            (RegistrationMode::Token, Some(token)) => {
                let hash = hash_of(token.expose());
                if self.store.has_registration_token(&hash, now).await? {
                    Ok(Some(hash))
                } else {
                    Err(invalid_token())
                }
            }
            (RegistrationMode::Token, None) => Err(invalid_token()),
            (RegistrationMode::Closed, _) => Err(Error::refused(
                ErrorCode::InvalidToken,
                Reason::RegistrationClosed,
            )),
        }
    }

    fn registration_mac(&self, token: &SecretString, now: Timestamp) -> Result<RegistrationMac, Error> {
        let ring = self.keys.load();
        let key = ring.secret_hash(now).ok_or(Error::NoSigningKey)?;
        Ok(RegistrationMac {
            kid: key.kid().clone(),
            mac: key.mac(token.expose().as_bytes()).to_vec(),
        })
    }

    fn proves_registration(&self, client: Option<&Client>, token: &SecretString) -> bool {
        let ring = self.keys.load();
        let token = token.expose().as_bytes();
        let known = client.and_then(|client| client.registration.as_ref());
        let key = known.and_then(|known| ring.secret_hash_by(known.kid.as_str()));
        match (known, key) {
            (Some(known), Some(key)) => key.verify(token, &known.mac),
            _ => {
                // The same MAC for nobody.
                std::hint::black_box(ring.secret_hash(self.now()).map(|key| key.mac(token)));
                false
            }
        }
    }
}

fn remark(event: Event, client: &Client, now: Timestamp) -> AuditEntry {
    Remark::new(event, &Actor::Client(client.id.clone()), now)
        .client(&client.id)
        .with("origin", client.origin.as_str())
        .entry()
}
