//! The token endpoint's decision: which grant, and whether the client may use it.

use std::fmt;
use std::time::Duration;

use vouchsafe_protocol::{ErrorCode, GrantType, Reason, ScopeSet, TokenRequest};

use crate::grant::authorization_code::PresentedCode;
use crate::{Authenticated, Error, Issuer};

/// What a grant came to (RFC 6749 5.1).
#[derive(Clone)]
pub struct TokenGrant {
    /// The access token.
    pub access_token: String,
    /// How long it lives.
    pub expires_in: Duration,
    /// Every scope granted.
    pub scope: ScopeSet,
    /// The ID token, where `openid` was granted.
    pub id_token: Option<String>,
    /// The refresh token, where there is one.
    pub refresh: Option<RefreshGrant>,
}

/// The refresh token of a grant.
#[derive(Clone)]
pub struct RefreshGrant {
    /// The token.
    pub token: String,
    /// How long it lives unless it is used.
    pub expires_in: Duration,
}

impl fmt::Debug for TokenGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenGrant")
            .field("scope", &self.scope)
            .field("refresh", &self.refresh)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RefreshGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshGrant")
            .field("expires_in", &self.expires_in)
            .finish_non_exhaustive()
    }
}

impl Issuer {
    /// Answers a token request of a client that proved who it is. `source` says where it comes from, for the back-off
    /// of wrong passwords.
    ///
    /// # Errors
    /// A refusal of RFC 6749 5.2 or RFC 8707 2; the store's.
    pub async fn token(
        &self,
        client: &Authenticated,
        request: &TokenRequest,
        source: &str,
    ) -> Result<TokenGrant, Error> {
        if !client.grants.contains(&request.grant_type()) {
            return Err(Error::refused(
                ErrorCode::UnauthorizedClient,
                Reason::GrantNotAllowed,
            ));
        }
        match request {
            TokenRequest::ClientCredentials { scope, resource } => {
                self.client_credentials(client, scope.as_ref(), resource.as_ref())
                    .await
            }
            TokenRequest::RefreshToken {
                refresh_token,
                scope,
                resource,
            } => {
                self.refresh(client, refresh_token, scope.as_ref(), resource.as_ref())
                    .await
            }
            TokenRequest::AuthorizationCode {
                code,
                redirect_uri,
                code_verifier,
                resource,
            } => {
                self.authorization_code(
                    client,
                    PresentedCode {
                        code,
                        redirect_uri: redirect_uri.as_deref(),
                        verifier: code_verifier.as_ref(),
                        resource: resource.as_ref(),
                    },
                )
                .await
            }
            TokenRequest::DeviceCode {
                device_code,
                resource,
            } => self.device_code(client, device_code, resource.as_ref()).await,
            TokenRequest::Password {
                username,
                password,
                scope,
                resource,
            } => {
                self.password(
                    client,
                    (username, password),
                    source,
                    scope.as_ref(),
                    resource.as_ref(),
                )
                .await
            }
        }
    }

    /// Every grant that this issuer answers.
    #[must_use]
    pub fn grants() -> [GrantType; 5] {
        [
            GrantType::AuthorizationCode,
            GrantType::DeviceCode,
            GrantType::ClientCredentials,
            GrantType::RefreshToken,
            GrantType::Password,
        ]
    }
}
