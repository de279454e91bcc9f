//! `GET` and `POST /userinfo` (OpenID Connect Core 5.3): the access token stands in the header, or in the form of a POST
//! (RFC 6750 2.1, 2.2).

use http::StatusCode;
use http::header::{HeaderValue, WWW_AUTHENTICATE};
use poem::web::Data;
use poem::{IntoResponse, Request, RequestBody, Response};
use poem_openapi::payload::Json;
use poem_openapi::registry::Registry;
use poem_openapi::types::Any;
use poem_openapi::{ApiExtractor, ApiExtractorType, ApiResponse, ExtractParamOptions, OpenApi};
use vouchsafe_protocol::{Form, Refusal, SecretString};

use super::Tag;
use super::bearer::{bearer_of, no_token, several};
use super::error::{ApiError, NO_TOKEN};
use super::form::{FORM, media_type, take};
use super::security_scheme;
use super::state::ApiState;

const SCHEME: &str = "AccessToken";
/// Bytes of a token.
const LONGEST_TOKEN: usize = 16 * 1024;

pub(super) struct UserinfoApi;

/// The access token of the request; none if it brought none.
pub(super) struct Bearer(Option<SecretString>);

impl<'a> ApiExtractor<'a> for Bearer {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        security_scheme::describe(
            registry,
            SCHEME,
            "bearer",
            "A live access token with the scope `openid`.",
        );
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![SCHEME]
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let in_header = bearer_of(request.headers(), LONGEST_TOKEN)?;
        let in_form = match media_type(request) {
            Some(FORM) => in_form(&take(body).await?)?,
            _ => None,
        };
        match (in_header, in_form) {
            (Some(_), Some(_)) => Err(several().into()),
            (in_header, in_form) => Ok(Self(in_header.or(in_form))),
        }
    }
}

fn in_form(body: &[u8]) -> Result<Option<SecretString>, ApiError> {
    let form = Form::parse(body);
    let mut form = form.map_err(|error| ApiError::from(Refusal::from(error)).of_bearer())?;
    match form.take("access_token") {
        Some(token) if token.len() > LONGEST_TOKEN => Err(no_token()),
        token => Ok(token.map(SecretString::new)),
    }
}

/// An answer.
#[derive(ApiResponse)]
pub(super) enum UserinfoAnswer {
    /// What is told of the person.
    #[oai(status = 200)]
    Told(Json<Any<serde_json::Value>>),
}

#[OpenApi]
impl UserinfoApi {
    /// What is known of the person
    #[oai(
        path = "/userinfo",
        method = "get",
        tag = "Tag::Clients",
        operation_id = "userinfo"
    )]
    async fn get(&self, state: Data<&ApiState>, bearer: Bearer) -> poem::Result<UserinfoAnswer> {
        answer(state.0, bearer).await
    }

    /// The same, with the token in a form
    #[oai(
        path = "/userinfo",
        method = "post",
        tag = "Tag::Clients",
        operation_id = "post_userinfo"
    )]
    async fn post(&self, state: Data<&ApiState>, bearer: Bearer) -> poem::Result<UserinfoAnswer> {
        answer(state.0, bearer).await
    }
}

async fn answer(state: &ApiState, Bearer(token): Bearer) -> poem::Result<UserinfoAnswer> {
    let Some(token) = token else {
        return Err(poem::Error::from_response(without_token()));
    };
    let told = state.issuer.userinfo(token.expose()).await;
    let told = told.map_err(ApiError::from)?;
    Ok(UserinfoAnswer::Told(Json(Any(serde_json::Value::Object(told)))))
}

/// Who brings no token is told how to, and nothing else (RFC 6750 3.1).
fn without_token() -> Response {
    let mut response = StatusCode::UNAUTHORIZED.into_response();
    let challenge = HeaderValue::from_static(NO_TOKEN);
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    response
}
