//! `POST /revoke` (RFC 7009).

use poem::web::Data;
use poem_openapi::{ApiResponse, OpenApi};
use vouchsafe_protocol::TokenInquiry;

use super::Tag;
use super::authorization::ClientAuthorization;
use super::error::ApiError;
use super::form::OAuthForm;
use super::introspect::InquiryFields;
use super::state::ApiState;

pub(super) struct RevokeApi;

/// An answer.
#[derive(ApiResponse)]
pub(super) enum RevokeAnswer {
    /// The token is worth nothing any more; or it never was.
    #[oai(status = 200)]
    Done,
}

#[OpenApi]
impl RevokeApi {
    /// End a token
    ///
    /// An access token ends itself, a refresh token its whole session.
    #[oai(
        path = "/revoke",
        method = "post",
        tag = "Tag::Clients",
        operation_id = "revoke"
    )]
    async fn revoke(
        &self,
        state: Data<&ApiState>,
        authorization: ClientAuthorization,
        form: OAuthForm<InquiryFields>,
    ) -> Result<RevokeAnswer, ApiError> {
        let mut form = form.0;
        let caller = authorization.authenticate(state.0, &mut form).await?;
        let inquiry = TokenInquiry::parse(&mut form)?;
        let (client_id, now) = (caller.client.id.to_string(), state.issuer.now());
        state.limits.may_revoke(&client_id, now)?;
        let revoked = state.issuer.revoke(&caller.client, &inquiry.token).await;
        if revoked.map_err(|error| caller.refused(error))? {
            state.limits.revoked(&client_id, now);
        }
        Ok(RevokeAnswer::Done)
    }
}
