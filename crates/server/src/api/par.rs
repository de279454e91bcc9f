//! `POST /par` (RFC 9126).

use poem::web::Data;
use poem_openapi::payload::Json;
use poem_openapi::types::Password;
use poem_openapi::{ApiResponse, Object, OpenApi};

use super::Tag;
use super::authorization::ClientAuthorization;
use super::error::ApiError;
use super::form::ResourceForm;
use super::state::ApiState;

pub(super) struct ParApi;

/// An authorization request, pushed ahead. The other parameters of the authorization endpoint are taken as well.
#[derive(Object)]
#[oai(rename = "PushedRequest")]
pub(super) struct PushedFields {
    /// The client, unless it stands in the header.
    client_id: Option<String>,
    /// The client's secret, unless it stands in the header.
    client_secret: Option<Password>,
    /// `code`.
    response_type: String,
    /// Where the answer goes.
    redirect_uri: Option<String>,
    /// The scopes asked for, separated by spaces.
    scope: Option<String>,
    /// The audience (RFC 8707); may repeat.
    resource: Option<String>,
    /// Comes back with the answer.
    state: Option<String>,
    /// The challenge of PKCE.
    code_challenge: Option<String>,
    /// `S256`.
    code_challenge_method: Option<String>,
}

/// What to name at the authorization endpoint (RFC 9126 2.2).
#[derive(Object)]
#[oai(rename = "PushedAnswer")]
pub(super) struct PushedBody {
    /// Stands for the parameters, once.
    request_uri: String,
    /// Seconds until it ends.
    expires_in: u64,
}

/// An answer.
#[derive(ApiResponse)]
pub(super) enum PushedAnswer {
    /// The request is kept.
    #[oai(status = 201)]
    Kept(Json<PushedBody>),
}

#[OpenApi]
impl ParApi {
    /// Push an authorization request
    #[oai(path = "/par", method = "post", tag = "Tag::Clients", operation_id = "par")]
    async fn par(
        &self,
        state: Data<&ApiState>,
        authorization: ClientAuthorization,
        form: ResourceForm<PushedFields>,
    ) -> Result<PushedAnswer, ApiError> {
        let mut form = form.0;
        let caller = authorization.authenticate(state.0, &mut form).await?;
        state.limits.may_push(&caller.source, state.issuer.now())?;
        let pushed = state.issuer.push_authorization(&caller.client, form).await;
        let pushed = pushed.map_err(|error| caller.refused(error))?;
        Ok(PushedAnswer::Kept(Json(PushedBody {
            request_uri: pushed.request_uri,
            expires_in: pushed.expires_in.as_secs(),
        })))
    }
}
