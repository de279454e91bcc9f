//! Clients: create, list, show, update, rotate a secret, delete. A secret is made here, shown once and kept as a MAC.

use std::time::Duration;

use vouchsafe_protocol::{
    ClientAuthMethod, ClientId, GrantType, ResourceUri, RevocationKind, ScopeSet, SecretString,
    SigningAlgorithm, Timestamp, random_token,
};
use vouchsafe_store::{
    ApplicationType, Client, ClientOrigin, ClientSecret, NewRevocation, Rotation, StoreError,
};

use super::{AdminError, or_not_found};
use crate::audit::{Event, Remark};
use crate::{Actor, Error, Issuer};

const SECRET_BYTES: usize = 32;
const SHORTEST_IMPORTED: usize = 32;
const LONGEST_IMPORTED: usize = 512;
/// Within this long every replica knows of a change.
const LEARNING: Duration = Duration::from_secs(6);
/// Two live secrets, so that one can be replaced without an outage.
const OLDER_KEPT: usize = 1;

/// What an operator says of a client; what is not said stays as it is, or takes the default of RFC 7591 2.
#[derive(Clone, Debug, Default)]
pub struct ClientDraft {
    /// `client_name`.
    pub name: Option<String>,
    /// `token_endpoint_auth_method`.
    pub auth_method: Option<ClientAuthMethod>,
    /// `application_type`.
    pub application_type: Option<ApplicationType>,
    /// `grant_types`.
    pub grants: Option<Vec<GrantType>>,
    /// `scope`.
    pub scope: Option<ScopeSet>,
    /// The audiences it may ask for.
    pub resources: Option<Vec<ResourceUri>>,
    /// `redirect_uris`.
    pub redirect_uris: Option<Vec<String>>,
    /// `post_logout_redirect_uris`.
    pub post_logout_redirect_uris: Option<Vec<String>>,
    /// `backchannel_logout_uri`.
    pub backchannel_logout_uri: Option<String>,
    /// Signs its access tokens.
    pub signing_algorithm: Option<SigningAlgorithm>,
    /// `id_token_signed_response_alg`.
    pub id_token_algorithm: Option<SigningAlgorithm>,
    /// `subject_type`.
    pub pairwise: Option<bool>,
    /// Whether it may leave PKCE out.
    pub pkce_optional: Option<bool>,
    /// Whether nobody is asked for consent.
    pub skip_consent: Option<bool>,
    /// `client_uri`.
    pub client_uri: Option<String>,
    /// `logo_uri`.
    pub logo_uri: Option<String>,
    /// `policy_uri`.
    pub policy_uri: Option<String>,
    /// `tos_uri`.
    pub tos_uri: Option<String>,
    /// Its colour on pages.
    pub brand_color: Option<String>,
    /// Lifetime of its access tokens in seconds.
    pub access_ttl: Option<i64>,
    /// Idle lifetime of its refresh tokens in seconds.
    pub refresh_idle_ttl: Option<i64>,
    /// Absolute lifetime of its refresh tokens in seconds.
    pub refresh_absolute_ttl: Option<i64>,
    /// Whether a refresh replaces its refresh token.
    pub rotation: Option<Rotation>,
    /// Whether it may do nothing.
    pub disabled: Option<bool>,
}

/// A client that was made or given a secret, with the secret's only appearance.
#[derive(Clone, Debug)]
pub struct CreatedClient {
    /// The client.
    pub client: Client,
    /// Its secret, unless it is public.
    pub secret: Option<SecretString>,
}

impl ClientDraft {
    /// Lays what is said over what is there.
    fn over(&self, mut client: Client, now: Timestamp) -> Client {
        fn put<T: Clone>(place: &mut T, said: Option<&T>) {
            if let Some(said) = said {
                place.clone_from(said);
            }
        }
        put(&mut client.auth_method, self.auth_method.as_ref());
        put(&mut client.application_type, self.application_type.as_ref());
        put(&mut client.grants, self.grants.as_ref());
        put(&mut client.scope, self.scope.as_ref());
        put(&mut client.resources, self.resources.as_ref());
        put(&mut client.redirect_uris, self.redirect_uris.as_ref());
        put(
            &mut client.post_logout_redirect_uris,
            self.post_logout_redirect_uris.as_ref(),
        );
        put(&mut client.rotation, self.rotation.as_ref());
        client.name = self.name.clone().or(client.name);
        client.backchannel_logout_uri = self
            .backchannel_logout_uri
            .clone()
            .or(client.backchannel_logout_uri);
        put(&mut client.pairwise, self.pairwise.as_ref());
        put(&mut client.pkce_optional, self.pkce_optional.as_ref());
        put(&mut client.skip_consent, self.skip_consent.as_ref());
        client.client_uri = self.client_uri.clone().or(client.client_uri);
        client.logo_uri = self.logo_uri.clone().or(client.logo_uri);
        client.policy_uri = self.policy_uri.clone().or(client.policy_uri);
        client.tos_uri = self.tos_uri.clone().or(client.tos_uri);
        client.brand_color = self.brand_color.clone().or(client.brand_color);
        client.id_token_algorithm = self.id_token_algorithm.or(client.id_token_algorithm);
        client.signing_algorithm = self.signing_algorithm.or(client.signing_algorithm);
        client.access_ttl = self.access_ttl.or(client.access_ttl);
        client.refresh_idle_ttl = self.refresh_idle_ttl.or(client.refresh_idle_ttl);
        client.refresh_absolute_ttl = self.refresh_absolute_ttl.or(client.refresh_absolute_ttl);
        if let Some(disabled) = self.disabled {
            client.disabled_at = disabled.then(|| client.disabled_at.unwrap_or(now));
        }
        client
    }
}

pub(crate) fn blank(id: ClientId, now: Timestamp) -> Client {
    Client {
        id,
        name: None,
        auth_method: ClientAuthMethod::ClientSecretBasic,
        application_type: ApplicationType::Web,
        grants: vec![GrantType::AuthorizationCode],
        scope: ScopeSet::empty(),
        resources: Vec::new(),
        redirect_uris: Vec::new(),
        post_logout_redirect_uris: Vec::new(),
        backchannel_logout_uri: None,
        signing_algorithm: None,
        id_token_algorithm: None,
        pairwise: false,
        sector_identifier: None,
        pkce_optional: false,
        skip_consent: false,
        origin: ClientOrigin::Operator,
        registration: None,
        document_expires_at: None,
        client_uri: None,
        logo_uri: None,
        policy_uri: None,
        tos_uri: None,
        brand_color: None,
        access_ttl: None,
        refresh_idle_ttl: None,
        refresh_absolute_ttl: None,
        rotation: Rotation::Always,
        disabled_at: None,
        created_at: now,
        updated_at: now,
        secrets: Vec::new(),
    }
}

impl Issuer {
    /// Makes a client; without an id, one is made up. `imported` is a secret it has already.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn create_client(
        &self,
        id: Option<ClientId>,
        draft: &ClientDraft,
        imported: Option<SecretString>,
        actor: &Actor,
    ) -> Result<CreatedClient, AdminError> {
        let now = self.now();
        let id = match id {
            Some(id) => id,
            None => ClientId::parse(&format!("client-{}", random_token(self.entropy(), 12)))
                .map_err(|_| AdminError::Failed(Error::Internal("an id of ours is not one")))?,
        };
        let mut client = draft.over(blank(id, now), now);
        self.check_resources(draft)?;
        self.check_client(&client)?;
        let secret = self.secret_for(&client, imported)?;
        if let Some(secret) = &secret {
            client.secrets.push(self.mac_of(secret, now)?);
        }
        let audit = Remark::new(Event::ClientCreated, actor, now)
            .client(&client.id)
            .entry();
        let stored = self.store.insert_client(&client, &audit).await;
        self.or_arrived(stored, &client.id, client.secrets.first())
            .await?;
        self.concluded(&audit).await?;
        Ok(CreatedClient { client, secret })
    }

    /// Refuses a new client that breaks a rule of its own, whatever resources there are.
    pub(super) fn check_new_client(&self, id: &ClientId, draft: &ClientDraft) -> Result<(), AdminError> {
        let now = self.now();
        self.check_client(&draft.over(blank(id.clone(), now), now))
    }

    /// One client.
    ///
    /// # Errors
    /// [`AdminError::NotFound`], [`AdminError::Failed`].
    pub async fn show_client(&self, id: &ClientId) -> Result<Client, AdminError> {
        self.store
            .client(id)
            .await?
            .ok_or_else(|| AdminError::not_found("client", id))
    }

    /// At most `limit` clients after the id `after`, by id.
    ///
    /// # Errors
    /// [`AdminError::Failed`].
    pub async fn list_clients(&self, after: &str, limit: u32) -> Result<Vec<Client>, AdminError> {
        Ok(self.store.clients(after, limit).await?)
    }

    /// Changes what the draft says. Disabling ends its families and tokens.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn update_client(
        &self,
        id: &ClientId,
        draft: &ClientDraft,
        actor: &Actor,
    ) -> Result<Client, AdminError> {
        let now = self.now();
        let before = self.show_client(id).await?;
        let read_at = before.updated_at;
        let was_enabled = before.disabled_at.is_none();
        let was_public = before.auth_method == ClientAuthMethod::None;
        let mut client = draft.over(before, now);
        if was_public != (client.auth_method == ClientAuthMethod::None) {
            return Err(AdminError::invalid(
                "a client cannot turn from public to confidential or back; make a new one",
            ));
        }
        // Two changes in one second still differ, so that the guard tells them apart.
        client.updated_at = now.max(read_at.plus(Duration::from_secs(1)));
        self.check_resources(draft)?;
        self.check_client(&client)?;
        let ending =
            (was_enabled && client.disabled_at.is_some()).then(|| self.final_client_revocation(id, now));
        let audit = Remark::new(Event::ClientUpdated, actor, now)
            .client(id)
            .with("disabled", client.disabled_at.is_some())
            .entry();
        self.store
            .update_client(&client, read_at, ending.as_ref(), &audit)
            .await?;
        self.concluded(&audit).await?;
        Ok(client)
    }

    /// Gives a client a new secret. The one before stays live beside it, unless `only` says otherwise.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn rotate_client_secret(
        &self,
        id: &ClientId,
        imported: Option<SecretString>,
        only: bool,
        actor: &Actor,
    ) -> Result<CreatedClient, AdminError> {
        let now = self.now();
        let client = self.show_client(id).await?;
        let Some(secret) = self.secret_for(&client, imported)? else {
            return Err(AdminError::Refused("a public client has no secret".to_owned()));
        };
        let kept = if only { 0 } else { OLDER_KEPT };
        let audit = Remark::new(Event::ClientSecretRotated, actor, now)
            .client(id)
            .with("kept", kept)
            .entry();
        let made = self.mac_of(&secret, now)?;
        let stored = self.store.rotate_client_secret(id, &made, kept, &audit).await;
        or_not_found(self.or_arrived(stored, id, Some(&made)).await, "client", id)?;
        self.concluded(&audit).await?;
        Ok(CreatedClient {
            client: self.show_client(id).await?,
            secret: Some(secret),
        })
    }

    /// Removes a client and ends its families and tokens.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn delete_client(&self, id: &ClientId, actor: &Actor) -> Result<(), AdminError> {
        let now = self.now();
        let revocation = self.final_client_revocation(id, now);
        let audit = Remark::new(Event::ClientDeleted, actor, now).client(id).entry();
        or_not_found(
            self.store.delete_client(id, &revocation, &audit).await,
            "client",
            id,
        )?;
        self.concluded(&audit).await
    }

    /// Covers also what a replica signs before it learns of the end.
    pub(crate) fn final_client_revocation(&self, id: &ClientId, now: Timestamp) -> NewRevocation {
        let mut revocation = self.revocation(RevocationKind::Client, id.as_str(), now);
        revocation.not_before = revocation.not_before.max(now.plus(LEARNING));
        revocation
    }

    fn secret_for(
        &self,
        client: &Client,
        imported: Option<SecretString>,
    ) -> Result<Option<SecretString>, AdminError> {
        match (client.auth_method, imported) {
            (ClientAuthMethod::None, None) => Ok(None),
            (ClientAuthMethod::None, Some(_)) => Err(AdminError::invalid("a public client has no secret")),
            (_, None) => Ok(Some(SecretString::new(random_token(
                self.entropy(),
                SECRET_BYTES,
            )))),
            (_, Some(secret)) => {
                let length = secret.expose().len();
                // Many clients send Basic without the form-encoding that these need (RFC 6749 2.3.1).
                let by_header = client.auth_method == ClientAuthMethod::ClientSecretBasic;
                let misread = |byte| by_header && matches!(byte, b'%' | b'+');
                let plain = secret
                    .expose()
                    .bytes()
                    .all(|byte| byte.is_ascii_graphic() && !misread(byte));
                if plain && (SHORTEST_IMPORTED..=LONGEST_IMPORTED).contains(&length) {
                    Ok(Some(secret))
                } else {
                    Err(AdminError::invalid(
                        "an imported secret has 32 to 512 printable ASCII characters, for client_secret_basic without % and +",
                    ))
                }
            }
        }
    }

    /// An answer that was lost on its way is not a failure when the secret is there: done again, the one in use would go
    /// for one that nobody was shown.
    async fn or_arrived(
        &self,
        stored: Result<(), StoreError>,
        id: &ClientId,
        secret: Option<&ClientSecret>,
    ) -> Result<(), StoreError> {
        let (Err(StoreError::Unavailable(_)), Some(secret)) = (&stored, secret) else {
            return stored;
        };
        let arrived = |client: &Client| client.secrets.iter().any(|there| there.id == secret.id);
        match self.store.client(id).await {
            Ok(Some(client)) if arrived(&client) => Ok(()),
            _ => stored,
        }
    }

    pub(crate) fn mac_of(&self, secret: &SecretString, now: Timestamp) -> Result<ClientSecret, Error> {
        let ring = self.keys.load();
        let key = ring.secret_hash(now).ok_or(Error::NoSigningKey)?;
        Ok(ClientSecret {
            id: random_token(self.entropy(), 12),
            mac_kid: key.kid().clone(),
            mac: key.mac(secret.expose().as_bytes()).to_vec(),
            created_at: now,
            expires_at: None,
        })
    }
}
