//! `POST /device_authorization` (RFC 8628 3.1).

use http::header::HeaderMap;
use poem::web::Data;
use poem_openapi::payload::Json;
use poem_openapi::types::Password;
use poem_openapi::{ApiResponse, Object, OpenApi};
use vouchsafe_issuer::DeviceAuthorization;
use vouchsafe_protocol::DeviceAuthorizationRequest;

use super::Tag;
use super::authorization::ClientAuthorization;
use super::error::ApiError;
use super::form::ResourceForm;
use super::par::meet_stranger;
use super::state::ApiState;
use crate::http::address::ClientAddress;

pub(super) struct DeviceAuthorizationApi;

/// What a device asks for.
#[derive(Object)]
#[oai(rename = "DeviceAuthorizationRequest")]
pub(super) struct DeviceFields {
    /// The client, unless it stands in the header.
    client_id: Option<String>,
    /// The client's secret, unless it stands in the header.
    client_secret: Option<Password>,
    /// The scopes asked for, separated by spaces; none means all that the client holds.
    scope: Option<String>,
    /// The audience (RFC 8707); may repeat.
    resource: Option<String>,
}

/// What the device shows, and what it asks for tokens with (RFC 8628 3.2).
#[derive(Object)]
#[oai(rename = "DeviceAuthorization")]
pub(super) struct DeviceBody {
    /// For the token endpoint.
    device_code: String,
    /// For the person to type.
    user_code: String,
    /// Where they type it.
    verification_uri: String,
    /// The same with the code in it, for a QR code.
    verification_uri_complete: String,
    /// Seconds until both codes end.
    expires_in: u64,
    /// Seconds between two questions at the token endpoint.
    interval: u64,
}

/// An answer.
#[derive(ApiResponse)]
pub(super) enum DeviceAnswer {
    /// A person may decide now.
    #[oai(status = 200)]
    Begun(Json<DeviceBody>),
}

impl From<DeviceAuthorization> for DeviceAnswer {
    fn from(begun: DeviceAuthorization) -> Self {
        Self::Begun(Json(DeviceBody {
            verification_uri_complete: begun.verification_uri_complete(),
            device_code: begun.device_code.expose().to_owned(),
            user_code: begun.user_code.to_string(),
            verification_uri: begun.verification_uri,
            expires_in: begun.expires_in.as_secs(),
            interval: begun.interval.as_secs(),
        }))
    }
}

#[OpenApi]
impl DeviceAuthorizationApi {
    /// Begin the device grant
    #[oai(
        path = "/device_authorization",
        method = "post",
        tag = "Tag::Clients",
        operation_id = "device_authorization"
    )]
    async fn device_authorization(
        &self,
        state: Data<&ApiState>,
        address: Data<&ClientAddress>,
        headers: &HeaderMap,
        authorization: ClientAuthorization,
        form: ResourceForm<DeviceFields>,
    ) -> Result<DeviceAnswer, ApiError> {
        let mut form = form.0;
        meet_stranger(state.0, (*address.0, headers), &form).await?;
        let caller = authorization.authenticate(state.0, &mut form).await?;
        let asked = DeviceAuthorizationRequest::parse(&mut form)?;
        state
            .limits
            .may_begin_device(&caller.source, state.issuer.now())?;
        let source = address.0.0.to_string();
        let begun = state
            .issuer
            .device_authorization(
                &caller.client,
                asked.scope.as_ref(),
                &asked.resources,
                Some(&source),
            )
            .await;
        let begun = begun.map_err(|error| caller.refused(error))?;
        Ok(DeviceAnswer::from(begun))
    }
}
