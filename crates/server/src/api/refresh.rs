//! `POST /refresh`: `grant_type=refresh_token` for apps that speak JSON or form.

use std::marker::PhantomData;

use poem::web::Data;
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaMediaType, MetaRequest, Registry};
use poem_openapi::types::{Password, Type};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions, Object, OpenApi};
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use vouchsafe_protocol::{ErrorCode, Form, Reason, Refusal, TokenRequest};

use super::Tag;
use super::authorization::ClientAuthorization;
use super::error::ApiError;
use super::form::{FORM, media_type, no_query, take, unsupported_media_type};
use super::state::ApiState;
use super::token_answer::TokenAnswer;

pub(super) struct RefreshApi;

/// A refresh request.
#[derive(Object)]
#[oai(rename = "RefreshRequest")]
pub(super) struct RefreshFields {
    /// The newest refresh token.
    refresh_token: Password,
    /// The client, unless it stands in the header.
    client_id: Option<String>,
    /// The client's secret, unless it stands in the header.
    client_secret: Option<Password>,
    /// Fewer scopes than were granted.
    scope: Option<String>,
    /// The audience that was granted.
    resource: Option<String>,
}

/// A form or a flat JSON object of strings.
pub(super) struct RefreshBody(Form, PhantomData<RefreshFields>);

impl<'a> ApiExtractor<'a> for RefreshBody {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        RefreshFields::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let content = |content_type| MetaMediaType {
            content_type,
            schema: RefreshFields::schema_ref(),
        };
        Some(MetaRequest {
            description: None,
            content: vec![content("application/json"), content(FORM)],
            required: true,
        })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        no_query(request)?;
        let Some(media_type) = media_type(request) else {
            return Err(unsupported_media_type().into());
        };
        let bytes = take(body).await?;
        let form = if media_type == FORM {
            Form::parse(&bytes)
        } else {
            Form::from_members(members(&bytes)?)
        };
        Ok(Self(
            form.map_err(|error| ApiError::from(Refusal::from(error)))?,
            PhantomData,
        ))
    }
}

/// The members of a flat JSON object of strings; a nested or other-typed one is refused.
fn members(bytes: &[u8]) -> Result<Vec<(String, String)>, ApiError> {
    struct Members(Vec<(String, String)>);
    impl<'de> Deserialize<'de> for Members {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Flat;
            impl<'de> Visitor<'de> for Flat {
                type Value = Members;

                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("an object of strings")
                }

                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                    let mut members = Vec::new();
                    while let Some(member) = map.next_entry::<String, String>()? {
                        members.push(member);
                    }
                    Ok(Members(members))
                }
            }
            deserializer.deserialize_map(Flat)
        }
    }
    let malformed = ApiError::from(Refusal::new(ErrorCode::InvalidRequest, Reason::MalformedBody));
    serde_json::from_slice::<Members>(bytes)
        .map(|members| members.0)
        .map_err(|_| malformed)
}

#[OpenApi]
impl RefreshApi {
    /// Get the next token
    #[oai(
        path = "/refresh",
        method = "post",
        tag = "Tag::Clients",
        operation_id = "refresh"
    )]
    async fn refresh(
        &self,
        state: Data<&ApiState>,
        authorization: ClientAuthorization,
        body: RefreshBody,
    ) -> Result<TokenAnswer, ApiError> {
        let mut form = body.0;
        let caller = authorization.authenticate(state.0, &mut form).await?;
        let request = TokenRequest::parse_refresh(&mut form)?;
        caller.token(state.0, &request).await
    }
}
