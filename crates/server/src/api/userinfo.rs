//! `GET` and `POST /userinfo` (OpenID Connect Core 5.3): the access token stands in the header, or in the form of a POST
//! (RFC 6750 2.1, 2.2).

use http::StatusCode;
use http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use poem::web::Data;
use poem::{IntoResponse, Request, RequestBody, Response};
use poem_openapi::payload::Json;
use poem_openapi::registry::{MetaSecurityScheme, Registry};
use poem_openapi::types::Any;
use poem_openapi::{ApiExtractor, ApiExtractorType, ApiResponse, ExtractParamOptions, OpenApi};
use vouchsafe_protocol::{ErrorCode, Form, Reason, Refusal, SecretString};

use super::Tag;
use super::error::ApiError;
use super::form::{FORM, media_type, take};
use super::state::ApiState;

const SCHEME: &str = "AccessToken";

pub(super) struct UserinfoApi;

/// The access token of the request; none if it brought none.
pub(super) struct Bearer(Option<SecretString>);

impl<'a> ApiExtractor<'a> for Bearer {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        registry.create_security_scheme(
            SCHEME,
            MetaSecurityScheme {
                ty: "http",
                description: Some("A live access token with the scope `openid`."),
                name: None,
                key_in: None,
                scheme: Some("bearer"),
                bearer_format: None,
                flows: None,
                openid_connect_url: None,
            },
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
        let mut values = request.headers().get_all(AUTHORIZATION).iter();
        let in_header = match (values.next(), values.next()) {
            (None, _) => None,
            (Some(value), None) => Some(in_header(value)?),
            (Some(_), Some(_)) => return Err(malformed().into()),
        };
        let in_form = if media_type(request) == Some(FORM) {
            let form = Form::parse(&take(body).await?);
            let mut form = form.map_err(|error| ApiError::from(Refusal::from(error)))?;
            form.take("access_token").map(SecretString::new)
        } else {
            None
        };
        match (in_header, in_form) {
            (Some(_), Some(_)) => Err(malformed().into()),
            (in_header, in_form) => Ok(Self(in_header.or(in_form))),
        }
    }
}

fn in_header(value: &HeaderValue) -> Result<SecretString, ApiError> {
    let token = value.to_str().ok().and_then(|value| value.split_once(' '));
    match token {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            Ok(SecretString::new(token.trim().to_owned()))
        }
        _ => Err(Refusal::new(ErrorCode::InvalidToken, Reason::MalformedToken).into()),
    }
}

fn malformed() -> ApiError {
    Refusal::new(ErrorCode::InvalidRequest, Reason::MultipleCredentials).into()
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
    let challenge = HeaderValue::from_static("Bearer realm=\"vouchsafe\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    response
}
