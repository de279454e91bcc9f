//! `POST /introspect` (RFC 7662).

use poem::web::Data;
use poem_openapi::payload::Json;
use poem_openapi::types::{Any, Password};
use poem_openapi::{ApiResponse, Object, OpenApi};
use vouchsafe_issuer::{ActiveToken, Introspection};
use vouchsafe_protocol::{AccessTokenClaims, RefreshTokenClaims, Timestamp, TokenInquiry};

use super::Tag;
use super::authorization::ClientAuthorization;
use super::error::ApiError;
use super::form::OAuthForm;
use super::state::ApiState;

pub(super) struct IntrospectApi;

/// A question about one token.
#[derive(Object)]
#[oai(rename = "TokenInquiry")]
pub(super) struct InquiryFields {
    /// The token.
    token: Password,
    /// Read and ignored: the token itself says what it is.
    token_type_hint: Option<String>,
    /// The client, unless it stands in the header.
    client_id: Option<String>,
    /// The client's secret, unless it stands in the header.
    client_secret: Option<Password>,
}

/// What a token is worth (RFC 7662 2.2). Only `active` when it is worth nothing or nothing to this caller.
#[derive(Object, Default)]
#[oai(rename = "Introspection", skip_serializing_if_is_none)]
pub(super) struct IntrospectionBody {
    /// Whether it would be accepted now.
    active: bool,
    /// Its scopes.
    scope: Option<String>,
    /// The client it was issued to.
    client_id: Option<String>,
    /// `Bearer`, for an access token.
    token_type: Option<String>,
    /// When it ends, in Unix seconds.
    exp: Option<i64>,
    /// When it was issued.
    iat: Option<i64>,
    /// Who it speaks for.
    sub: Option<String>,
    /// Whom it is for: a string, or a list when there are several.
    aud: Option<Any<serde_json::Value>>,
    /// The issuer.
    iss: Option<String>,
    /// Its id.
    jti: Option<String>,
    /// The session it belongs to.
    sid: Option<String>,
    /// When the person proved who they are.
    auth_time: Option<i64>,
    /// How well.
    acr: Option<String>,
    /// By which means.
    amr: Option<Vec<String>>,
    /// The person's roles, included ones too.
    roles: Option<Vec<String>>,
}

/// An answer.
#[derive(ApiResponse)]
pub(super) enum IntrospectionAnswer {
    /// What it is worth.
    #[oai(status = 200)]
    Known(Json<IntrospectionBody>),
}

#[OpenApi]
impl IntrospectApi {
    /// Ask what a token is worth
    ///
    /// Tells of tokens issued to the caller and of access tokens for a resource that the caller serves.
    #[oai(
        path = "/introspect",
        method = "post",
        tag = "Tag::ResourceServers",
        operation_id = "introspect"
    )]
    async fn introspect(
        &self,
        state: Data<&ApiState>,
        authorization: ClientAuthorization,
        form: OAuthForm<InquiryFields>,
    ) -> Result<IntrospectionAnswer, ApiError> {
        let mut form = form.0;
        let caller = authorization.authenticate(state.0, &mut form).await?;
        let inquiry = TokenInquiry::parse(&mut form)?;
        let found = state.issuer.introspect(&caller.client, &inquiry.token).await;
        let found = found.map_err(|error| caller.refused(error))?;
        Ok(IntrospectionAnswer::Known(Json(match found {
            Introspection::Inactive => IntrospectionBody::default(),
            Introspection::Active(token) => match *token {
                ActiveToken::Access(claims) => access(claims),
                ActiveToken::Refresh {
                    claims,
                    subject,
                    expires,
                } => refresh(claims, subject, expires),
            },
        })))
    }
}

fn access(claims: AccessTokenClaims) -> IntrospectionBody {
    IntrospectionBody {
        active: true,
        scope: Some(claims.scope.to_string()),
        client_id: Some(claims.client_id.to_string()),
        token_type: Some("Bearer".to_owned()),
        exp: Some(claims.exp.as_unix()),
        iat: Some(claims.iat.as_unix()),
        sub: Some(claims.sub),
        aud: serde_json::to_value(&claims.aud).ok().map(Any),
        iss: Some(claims.iss),
        jti: Some(claims.jti.to_string()),
        sid: claims.sid.map(|sid| sid.to_string()),
        auth_time: claims.auth_time.map(Timestamp::as_unix),
        acr: claims.acr,
        amr: claims.amr,
        roles: claims.roles,
    }
}

fn refresh(claims: RefreshTokenClaims, subject: String, expires: Timestamp) -> IntrospectionBody {
    IntrospectionBody {
        active: true,
        scope: Some(claims.scope.to_string()),
        client_id: Some(claims.client_id.to_string()),
        exp: Some(expires.as_unix()),
        iat: Some(claims.iat.as_unix()),
        sub: Some(subject),
        iss: Some(claims.iss),
        jti: Some(claims.jti.to_string()),
        sid: Some(claims.sid.to_string()),
        ..IntrospectionBody::default()
    }
}
