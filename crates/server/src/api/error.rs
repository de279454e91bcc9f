//! The one table from refusals to status, headers and body. Failures are logged here, once; the reason of a refusal
//! stands in the line of its request.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use http::StatusCode;
use http::header::{HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiResponse, Object};
use vouchsafe_issuer::Error;
use vouchsafe_protocol::{Chain, ErrorCode, Reason, Refusal, SecretString};

use crate::http::answer::{refusal_error, refusal_response};

/// An error as RFC 6749 5.2 gives it, with a stable reason beside the code.
#[derive(Object)]
#[oai(rename = "Error")]
pub(super) struct ErrorBody {
    /// The code of RFC 6749 5.2, RFC 8707 2 or RFC 6749 4.1.2.1.
    error: String,
    /// A sentence from a closed set.
    error_description: String,
    /// A stable word that a program may act on.
    reason: String,
}

/// A refusal on its way out.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    refusal: Refusal,
    retry_after: Option<Duration>,
    challenge: Challenge,
}

/// What `WWW-Authenticate` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Challenge {
    /// Nothing.
    None,
    /// The client came with HTTP Basic and is told so (RFC 6749 5.2).
    Basic,
    /// What the bearer token was found to be (RFC 6750 3).
    Bearer,
    /// That a bearer token is needed: who brings none is told nothing else (RFC 6750 3.1).
    NoToken,
}

impl Challenge {
    /// What a code asks for wherever it is said.
    fn of(code: ErrorCode) -> Self {
        match code {
            ErrorCode::InvalidToken | ErrorCode::InsufficientScope => Self::Bearer,
            _ => Self::None,
        }
    }

    fn header(self, code: ErrorCode) -> Option<HeaderValue> {
        let said = match (self, code) {
            (Self::None, _) => return None,
            (Self::Basic, _) => "Basic realm=\"vouchsafe\", charset=\"UTF-8\"",
            (Self::Bearer, ErrorCode::InvalidRequest) => {
                "Bearer realm=\"vouchsafe\", error=\"invalid_request\""
            }
            (Self::Bearer, ErrorCode::InvalidToken) => "Bearer realm=\"vouchsafe\", error=\"invalid_token\"",
            (Self::Bearer, ErrorCode::InsufficientScope) => {
                "Bearer realm=\"vouchsafe\", error=\"insufficient_scope\", scope=\"openid\""
            }
            (Self::Bearer | Self::NoToken, _) => NO_TOKEN,
        };
        Some(HeaderValue::from_static(said))
    }
}

/// How a bearer token is asked for.
pub(super) const NO_TOKEN: &str = "Bearer realm=\"vouchsafe\"";

impl ApiError {
    pub(super) fn new(status: StatusCode, refusal: Refusal) -> Self {
        Self {
            status,
            refusal,
            retry_after: None,
            challenge: Challenge::of(refusal.code),
        }
    }

    pub(super) fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Adds the challenge when the client authenticated by the header.
    pub(super) fn challenged(mut self, by_header: bool) -> Self {
        if by_header && self.status == StatusCode::UNAUTHORIZED {
            self.challenge = Challenge::Basic;
        }
        self
    }

    /// Says of the request that its bearer token is what is wrong with it.
    pub(super) fn of_bearer(mut self) -> Self {
        self.challenge = Challenge::Bearer;
        self
    }

    /// Where a token is needed and `brought` is none, asks for one and says no more.
    pub(super) fn for_token(mut self, brought: Option<&SecretString>) -> Self {
        if brought.is_none() && self.refusal.code == ErrorCode::InvalidToken {
            self.challenge = Challenge::NoToken;
        }
        self
    }

    /// When it is worth asking again, where somebody is told to wait.
    pub(crate) fn wait(&self) -> Option<Duration> {
        self.retry_after
    }

    pub(crate) fn refusal(&self) -> Refusal {
        self.refusal
    }

    pub(super) fn into_response(self) -> poem::Response {
        let mut response = refusal_response(self.status, self.refusal);
        if let Some(wait) = self.retry_after {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        if let Some(challenge) = self.challenge.header(self.refusal.code) {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// The status of each code.
pub(crate) fn status_of(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::InvalidClient | ErrorCode::InvalidToken => StatusCode::UNAUTHORIZED,
        ErrorCode::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorCode::InsufficientScope => StatusCode::FORBIDDEN,
        _ => StatusCode::BAD_REQUEST,
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self::new(status_of(refusal.code), refusal)
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let refusal = error.refusal();
        let status = status_of(refusal.code);
        if status.is_server_error() && refusal.reason != Reason::Busy {
            tracing::error!(
                event = "request_failed",
                reason = refusal.reason.as_str(),
                error = %Chain(&error)
            );
        }
        let answer = Self::new(status, refusal);
        match error.retry_after() {
            Some(wait) => answer.retry_after(wait + spread()),
            None => answer,
        }
    }
}

/// Up to two seconds more, so that those who were turned away together do not come back together. Seeded anew each time;
/// nothing secret rests on it.
fn spread() -> Duration {
    Duration::from_secs(RandomState::new().hash_one(()) % 3)
}

impl From<ApiError> for poem::Error {
    fn from(error: ApiError) -> Self {
        refusal_error(error.into_response())
    }
}

impl ApiResponse for ApiError {
    fn meta() -> MetaResponses {
        let response = |status: u16, description| MetaResponse {
            description,
            status: Some(status),
            status_range: None,
            content: vec![MetaMediaType {
                content_type: "application/json",
                schema: ErrorBody::schema_ref(),
            }],
            headers: Vec::new(),
        };
        MetaResponses {
            responses: vec![
                response(400, "The request is refused (RFC 6749 5.2)."),
                response(401, "The client did not prove who it is."),
                response(
                    429,
                    "Too many failures from this address; `Retry-After` says when to come back.",
                ),
                response(
                    503,
                    "Nothing was changed or the outcome is unknown; ask again after `Retry-After`.",
                ),
            ],
        }
    }

    fn register(registry: &mut Registry) {
        ErrorBody::register(registry);
    }
}
