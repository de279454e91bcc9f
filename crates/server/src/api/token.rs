//! `POST /token` (RFC 6749 3.2).

use poem::web::Data;
use poem_openapi::types::Password;
use poem_openapi::{Object, OpenApi};
use vouchsafe_protocol::TokenRequest;

use super::Tag;
use super::authorization::ClientAuthorization;
use super::error::ApiError;
use super::form::OAuthForm;
use super::state::ApiState;
use super::token_answer::TokenAnswer;

pub(super) struct TokenApi;

/// A token request.
#[derive(Object)]
#[oai(rename = "TokenRequest")]
pub(super) struct TokenFields {
    /// `authorization_code`, `refresh_token`, `client_credentials`, `urn:ietf:params:oauth:grant-type:device_code` or
    /// `password`.
    grant_type: String,
    /// The client, unless it stands in the header.
    client_id: Option<String>,
    /// The client's secret, unless it stands in the header.
    client_secret: Option<Password>,
    /// The scopes asked for, separated by spaces; none means all that the client holds.
    scope: Option<String>,
    /// The audience (RFC 8707), once; none means the client's only one, else the issuer.
    resource: Option<String>,
    /// For `authorization_code`.
    code: Option<Password>,
    /// For `authorization_code`: the one of the authorization request, if that named one.
    redirect_uri: Option<String>,
    /// For `authorization_code`: the verifier of PKCE.
    code_verifier: Option<Password>,
    /// For the device grant.
    device_code: Option<Password>,
    /// For `refresh_token`.
    refresh_token: Option<Password>,
    /// For `password`.
    username: Option<String>,
    /// For `password`.
    password: Option<Password>,
}

#[OpenApi]
impl TokenApi {
    /// Get a token
    #[oai(
        path = "/token",
        method = "post",
        tag = "Tag::Clients",
        operation_id = "token"
    )]
    async fn token(
        &self,
        state: Data<&ApiState>,
        authorization: ClientAuthorization,
        form: OAuthForm<TokenFields>,
    ) -> Result<TokenAnswer, ApiError> {
        let mut form = form.0;
        let caller = authorization.authenticate(state.0, &mut form).await?;
        let request = TokenRequest::parse(&mut form)?;
        caller.token(state.0, &request).await
    }
}
