//! The answer of the token endpoint and of `/refresh`.

use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object};
use vouchsafe_issuer::TokenGrant;

/// What was granted (RFC 6749 5.1).
#[derive(Object)]
#[oai(rename = "Token")]
pub(super) struct TokenBody {
    /// A JWT access token (RFC 9068).
    access_token: String,
    /// Always `Bearer`.
    token_type: String,
    /// Seconds until the access token ends.
    expires_in: u64,
    /// Every scope granted, separated by spaces; may be empty.
    scope: String,
    /// Who the person is (OpenID Connect Core 2), where `openid` was granted.
    #[oai(skip_serializing_if_is_none)]
    id_token: Option<String>,
    /// For the next access token; replaces the one that was sent.
    #[oai(skip_serializing_if_is_none)]
    refresh_token: Option<String>,
    /// Seconds until the refresh token ends unless it is used.
    #[oai(skip_serializing_if_is_none)]
    refresh_token_expires_in: Option<u64>,
}

/// A grant.
#[derive(ApiResponse)]
pub(super) enum TokenAnswer {
    /// The tokens.
    #[oai(status = 200)]
    Granted(Json<TokenBody>),
}

impl From<TokenGrant> for TokenAnswer {
    fn from(grant: TokenGrant) -> Self {
        let (refresh_token, life) = grant
            .refresh
            .map(|refresh| (refresh.token, refresh.expires_in))
            .unzip();
        Self::Granted(Json(TokenBody {
            access_token: grant.access_token,
            token_type: "Bearer".to_owned(),
            expires_in: grant.expires_in.as_secs(),
            scope: grant.scope.to_string(),
            id_token: grant.id_token,
            refresh_token,
            refresh_token_expires_in: life.map(|life| life.as_secs()),
        }))
    }
}
