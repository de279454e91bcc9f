//! Client authentication (RFC 6749 2.3): one method, the registered one, compared in constant time.

use std::sync::Arc;

use subtle::Choice;
use vouchsafe_protocol::{ClientAuthMethod, ClientId, ErrorCode, Reason, SecretString};
use vouchsafe_store::Client;

use crate::{Error, Issuer};

/// What a request brought to say who it is from. Nothing of it is proven.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The client it claims to be.
    pub client_id: String,
    /// The secret, by any method but `none`.
    pub secret: Option<SecretString>,
    /// How it was brought.
    pub method: ClientAuthMethod,
}

/// A client that proved who it is; for a public client, one that exists.
#[derive(Clone, Debug)]
pub struct Authenticated(Arc<Client>);

impl std::ops::Deref for Authenticated {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.0
    }
}

impl Authenticated {
    /// True when the client holds a secret.
    #[must_use]
    pub fn is_confidential(&self) -> bool {
        self.0.auth_method != ClientAuthMethod::None
    }
}

impl Issuer {
    /// Proves who the client is. Unknown client, wrong secret, wrong method and disabled client give one answer after
    /// the same MAC.
    ///
    /// # Errors
    /// `invalid_client`; the store's; [`Error::StaleView`] and [`Error::StateRollback`], since what is remembered of a
    /// client may be wrong then.
    pub async fn authenticate(&self, credentials: &Credentials) -> Result<Authenticated, Error> {
        self.must_be_current().await?;
        self.must_have_its_past()?;
        let refused = Error::refused(ErrorCode::InvalidClient, Reason::BadCredentials);
        let client = match ClientId::parse(&credentials.client_id) {
            Ok(id) => self.client_as_read(&id).await?,
            Err(_) => None,
        };
        let proven = self.proves(client.as_deref(), credentials.secret.as_ref());
        match client {
            Some(client)
                if proven && client.auth_method == credentials.method && client.disabled_at.is_none() =>
            {
                Ok(Authenticated(client))
            }
            _ => Err(refused),
        }
    }

    /// Compares the secret with each live one; a public client proves itself by bringing none.
    pub(crate) fn proves(&self, client: Option<&Client>, secret: Option<&SecretString>) -> bool {
        let Some(secret) = secret else {
            return client.is_some_and(|client| client.auth_method == ClientAuthMethod::None);
        };
        let ring = self.keys.load();
        let now = self.now();
        let mut proven = Choice::from(0);
        let live = client.into_iter().flat_map(|client| &client.secrets);
        for known in live.filter(|known| known.expires_at.is_none_or(|end| now < end)) {
            if let Some(key) = ring.secret_hash_by(known.mac_kid.as_str()) {
                proven |= Choice::from(u8::from(key.verify(secret.expose().as_bytes(), &known.mac)));
            }
        }
        if client.is_none() {
            // The same MAC for nobody.
            std::hint::black_box(
                ring.secret_hash(now)
                    .map(|key| key.mac(secret.expose().as_bytes())),
            );
        }
        bool::from(proven)
    }
}
