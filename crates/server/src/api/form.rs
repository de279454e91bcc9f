//! The body of a form endpoint, read strictly, with the shape that the description shows.

use std::marker::PhantomData;

use http::StatusCode;
use http::header::CONTENT_TYPE;
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaMediaType, MetaRequest, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use vouchsafe_protocol::{ErrorCode, Form, Reason, Refusal};

use super::error::ApiError;

pub(super) const FORM: &str = "application/x-www-form-urlencoded";

/// A form. `D` only describes its fields; nothing is read by way of it.
pub(super) struct OAuthForm<D>(pub(super) Form, PhantomData<D>);

/// The same where `resource` may repeat (RFC 8707 2).
pub(super) struct ResourceForm<D>(pub(super) Form, PhantomData<D>);

macro_rules! form_extractor {
    ($name:ident, $parse:path) => {
        impl<'a, D: Type> ApiExtractor<'a> for $name<D> {
            const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

            type ParamType = ();
            type ParamRawType = ();

            fn register(registry: &mut Registry) {
                D::register(registry);
            }

            fn request_meta() -> Option<MetaRequest> {
                Some(described::<D>())
            }

            async fn from_request(
                request: &'a Request,
                body: &mut RequestBody,
                _: ExtractParamOptions<()>,
            ) -> poem::Result<Self> {
                let bytes = form_body(request, body).await?;
                let form = $parse(&bytes).map_err(|error| ApiError::from(Refusal::from(error)))?;
                Ok(Self(form, PhantomData))
            }
        }
    };
}

form_extractor!(OAuthForm, Form::parse);
form_extractor!(ResourceForm, Form::parse_with_resources);

fn described<D: Type>() -> MetaRequest {
    MetaRequest {
        description: None,
        content: vec![MetaMediaType {
            content_type: FORM,
            schema: D::schema_ref(),
        }],
        required: true,
    }
}

/// The bytes of a form.
async fn form_body(request: &Request, body: &mut RequestBody) -> Result<bytes::Bytes, ApiError> {
    no_query(request)?;
    if media_type(request) != Some(FORM) {
        return Err(unsupported_media_type());
    }
    take(body).await
}

/// The bytes of the body; the pipeline has bounded them.
pub(super) async fn take(body: &mut RequestBody) -> Result<bytes::Bytes, ApiError> {
    let malformed = |_| ApiError::from(Refusal::new(ErrorCode::InvalidRequest, Reason::MalformedBody));
    match body.take() {
        Ok(body) => body.into_bytes().await.map_err(|_| malformed(())),
        Err(_) => Err(malformed(())),
    }
}

/// Parameters stand in the body, never in the address, where logs would keep them (RFC 6749 2.3.1, 3.2).
pub(super) fn no_query(request: &Request) -> Result<(), ApiError> {
    match request.uri().query() {
        None | Some("") => Ok(()),
        Some(_) => Err(Refusal::new(ErrorCode::InvalidRequest, Reason::ParametersInQuery).into()),
    }
}

/// The media type without its parameters; none when the header is missing, doubled or no text.
pub(super) fn media_type(request: &Request) -> Option<&str> {
    let mut values = request.headers().get_all(CONTENT_TYPE).iter();
    let only = values.next()?.to_str().ok()?;
    if values.next().is_some() {
        return None;
    }
    let essence = only.split(';').next()?.trim();
    [FORM, "application/json"]
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(essence))
}

pub(super) fn unsupported_media_type() -> ApiError {
    let refusal = Refusal::new(ErrorCode::InvalidRequest, Reason::UnsupportedMediaType);
    ApiError::new(StatusCode::BAD_REQUEST, refusal)
}
