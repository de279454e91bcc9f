//! `POST /par` (RFC 9126).

use http::StatusCode;
use http::header::{AUTHORIZATION, HeaderMap};
use poem::web::Data;
use poem_openapi::payload::Json;
use poem_openapi::types::Password;
use poem_openapi::{ApiResponse, Object, OpenApi};
use vouchsafe_protocol::{ErrorCode, Form, Reason, Refusal};

use super::Tag;
use super::authorization::ClientAuthorization;
use super::error::ApiError;
use super::form::ResourceForm;
use super::limits::Source;
use super::state::ApiState;
use crate::http::address::ClientAddress;

/// The longest request that is kept, form-encoded, in bytes.
const LONGEST: usize = 16 * 1024;

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
        address: Data<&ClientAddress>,
        headers: &HeaderMap,
        authorization: ClientAuthorization,
        form: ResourceForm<PushedFields>,
    ) -> Result<PushedAnswer, ApiError> {
        let mut form = form.0;
        meet_stranger(state.0, (*address.0, headers), &form).await?;
        let caller = authorization.authenticate(state.0, &mut form).await?;
        state.limits.may_push(&caller.source, state.issuer.now())?;
        if form.encoded().len() > LONGEST {
            let refusal = Refusal::new(ErrorCode::InvalidRequest, Reason::BodyTooLarge);
            return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, refusal));
        }
        let pushed = state.issuer.push_authorization(&caller.client, form).await;
        let pushed = pushed.map_err(|error| caller.refused(error))?;
        Ok(PushedAnswer::Kept(Json(PushedBody {
            request_uri: pushed.request_uri,
            expires_in: pushed.expires_in.as_secs(),
        })))
    }
}

/// A client that shows nothing but its id may be known by a document alone: that is read before the client is asked for,
/// counted by address.
pub(super) async fn meet_stranger(
    state: &ApiState,
    (address, headers): (ClientAddress, &HeaderMap),
    form: &Form,
) -> Result<(), ApiError> {
    let secret = headers.contains_key(AUTHORIZATION) || form.get("client_secret").is_some();
    let Some(client_id) = form.get("client_id").filter(|_| !secret) else {
        return Ok(());
    };
    if state.issuer.needs_document(client_id) {
        let source = Source::new(Some(address.0), client_id);
        state.limits.may_fetch_document(&source, state.issuer.now())?;
    }
    Ok(state.issuer.meet_stranger(client_id).await?)
}
