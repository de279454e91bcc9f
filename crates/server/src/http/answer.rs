//! The one shape of a refusal on the wire (RFC 6749 section 5.2), whoever refuses; and that people are told by a page.

use http::StatusCode;
use http::header::{
    ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, PRAGMA, RETRY_AFTER,
};
use http::request::Parts;
use poem::{Body, Response};
use serde::Serialize;
use vouchsafe_protocol::{ErrorCode, Reason, Refusal};

/// The reason of a refusal, as the wire tells it: an extension of the answer, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusalReason(pub &'static str);

/// Who asked for a page, as far as it matters to what a page says.
#[derive(Clone, Debug)]
pub struct Asker {
    /// The query of the request.
    pub query: String,
    /// `Accept-Language`.
    pub languages: Option<String>,
}

impl Asker {
    pub(super) fn of(parts: &Parts) -> Self {
        let languages = parts.headers.get(ACCEPT_LANGUAGE);
        Self {
            query: parts.uri.query().unwrap_or_default().to_owned(),
            languages: languages.and_then(|value| value.to_str().ok()).map(str::to_owned),
        }
    }
}

/// A page and its Content-Security-Policy.
#[derive(Debug)]
pub struct Html {
    /// The page.
    pub text: String,
    /// The policy.
    pub policy: HeaderValue,
}

/// Makes a page of a refusal; none when that fails, and JSON is better than nothing.
pub type Teller = Box<dyn Fn(&Asker, StatusCode, Refusal) -> Option<Html> + Send + Sync>;

/// Puts a page in the place of the JSON of a refusal. Status and headers stay.
pub(super) fn tell(response: &mut Response, asker: &Asker, teller: &Teller) {
    let refusal = response.data::<Refusal>().copied();
    let Some(html) = refusal.and_then(|refusal| teller(asker, response.status(), refusal)) else {
        return;
    };
    response.set_body(html.text);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, html.policy);
}

#[derive(Serialize)]
struct RefusalBody<'a> {
    error: &'a str,
    error_description: &'a str,
    reason: &'a str,
}

/// A refusal as JSON `{"error","error_description","reason"}` with `Cache-Control: no-store`, and with its
/// [`RefusalReason`] as an extension.
///
/// 503 and 429 carry `Retry-After: 1` (seconds); a caller that knows better replaces it.
pub fn refusal_response(status: StatusCode, refusal: Refusal) -> Response {
    let reason = match refusal.reason {
        // Told apart, they would say that the client exists and the secret is right.
        Reason::WrongAuthMethod if refusal.code == ErrorCode::InvalidClient => Reason::BadCredentials,
        reason => reason,
    };
    let body = Body::from_json(RefusalBody {
        error: refusal.code.as_str(),
        error_description: refusal.description(),
        reason: reason.as_str(),
    })
    .unwrap_or_else(|_| Body::from("{\"error\":\"server_error\"}"));
    let mut response = Response::builder()
        .status(status)
        .content_type("application/json")
        .header(CACHE_CONTROL, "no-store")
        .header(PRAGMA, "no-cache")
        .extension(Refusal { reason, ..refusal })
        .extension(RefusalReason(reason.as_str()));
    if matches!(
        status,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
    ) {
        response = response.header(RETRY_AFTER, "1");
    }
    response.body(body)
}

/// A refusal as the error of a handler; an error takes no extensions from its response, so the reason is handed on.
pub fn refusal_error(response: Response) -> poem::Error {
    let reason = response.data::<RefusalReason>().copied();
    let mut error = poem::Error::from_response(response);
    if let Some(reason) = reason {
        error.set_data(reason);
    }
    error
}

/// The refusal that says what a bare status says, for errors of the framework that no handler mapped.
pub fn refusal_for_status(status: StatusCode) -> Refusal {
    let (code, reason) = match status {
        StatusCode::BAD_REQUEST => (ErrorCode::InvalidRequest, Reason::MalformedBody),
        StatusCode::UNAUTHORIZED => (ErrorCode::InvalidClient, Reason::BadCredentials),
        StatusCode::NOT_FOUND => (ErrorCode::InvalidRequest, Reason::NotFound),
        StatusCode::METHOD_NOT_ALLOWED => (ErrorCode::InvalidRequest, Reason::MethodNotAllowed),
        StatusCode::REQUEST_TIMEOUT => (ErrorCode::InvalidRequest, Reason::Deadline),
        StatusCode::PAYLOAD_TOO_LARGE => (ErrorCode::InvalidRequest, Reason::BodyTooLarge),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => (ErrorCode::InvalidRequest, Reason::UnsupportedMediaType),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => (ErrorCode::InvalidRequest, Reason::HeadersTooLarge),
        StatusCode::TOO_MANY_REQUESTS => (ErrorCode::TemporarilyUnavailable, Reason::TooManyAttempts),
        StatusCode::SERVICE_UNAVAILABLE => (ErrorCode::TemporarilyUnavailable, Reason::Busy),
        other if other.is_client_error() => (ErrorCode::InvalidRequest, Reason::InvalidParameter),
        _ => (ErrorCode::ServerError, Reason::Internal),
    };
    Refusal::new(code, reason)
}

#[cfg(test)]
mod tests {
    use super::{RefusalReason, refusal_error, refusal_for_status, refusal_response};
    use http::StatusCode;
    use std::error::Error;
    use vouchsafe_protocol::{ErrorCode, Reason, Refusal};

    #[tokio::test]
    async fn h13_a_refusal_is_json_and_not_stored() -> Result<(), Box<dyn Error>> {
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        let response = refusal_response(status, refusal_for_status(status));
        assert_eq!(response.status(), status);
        assert_eq!(response.content_type(), Some("application/json"));
        assert_eq!(response.header("cache-control"), Some("no-store"));
        assert_eq!(response.header("pragma"), Some("no-cache"));
        assert_eq!(response.header("retry-after"), None);
        let body = response.into_body().into_string().await?;
        assert!(body.starts_with("{\"error\":\"invalid_request\",\"error_description\":\""));
        assert!(body.ends_with("\"reason\":\"body_too_large\"}"));
        Ok(())
    }

    #[test]
    fn a_refusal_for_now_says_when_to_retry() {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let response = refusal_response(status, refusal_for_status(status));
        assert_eq!(response.header("retry-after"), Some("1"));
    }

    #[tokio::test]
    async fn t05_a_wrong_method_reads_like_a_wrong_secret() -> Result<(), Box<dyn Error>> {
        let body = |reason| {
            let refusal = Refusal::new(ErrorCode::InvalidClient, reason);
            refusal_response(StatusCode::UNAUTHORIZED, refusal)
                .into_body()
                .into_string()
        };
        assert_eq!(
            body(Reason::WrongAuthMethod).await?,
            body(Reason::BadCredentials).await?
        );
        Ok(())
    }

    #[test]
    fn t05_the_log_gets_the_reason_as_the_wire_tells_it() {
        for (reason, word) in [
            (Reason::WrongAuthMethod, "bad_credentials"),
            (Reason::BadCredentials, "bad_credentials"),
            (Reason::Expired, "expired"),
        ] {
            let refusal = Refusal::new(ErrorCode::InvalidClient, reason);
            let response = refusal_response(StatusCode::UNAUTHORIZED, refusal);
            assert_eq!(response.data(), Some(&RefusalReason(word)));
            let response = refusal_error(response).into_response();
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
            assert_eq!(response.data(), Some(&RefusalReason(word)));
        }
    }
}
