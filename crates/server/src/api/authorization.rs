//! Client credentials as they come: by the header or in the body, never both (RFC 6749 2.3).

use std::net::IpAddr;

use http::header::AUTHORIZATION;
use poem::{Request, RequestBody};
use poem_openapi::registry::Registry;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use vouchsafe_issuer::{Authenticated, Credentials};
use vouchsafe_protocol::{
    BasicCredentials, ClientAuthMethod, ErrorCode, Form, PostedCredentials, Reason, Refusal, TokenRequest,
};

use super::error::ApiError;
use super::limits::Source;
use super::security_scheme;
use super::state::ApiState;
use super::token_answer::TokenAnswer;
use crate::http::address::ClientAddress;

const SCHEME: &str = "ClientSecretBasic";

/// The `Authorization` header, if any, and where the request comes from.
pub(super) struct ClientAuthorization {
    header: Header,
    address: Option<IpAddr>,
}

enum Header {
    Absent,
    Basic(BasicCredentials),
    Unusable,
}

impl<'a> ApiExtractor<'a> for ClientAuthorization {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        security_scheme::describe(
            registry,
            SCHEME,
            "basic",
            "Client id and secret, form-encoded before base64 (RFC 6749 2.3.1). Instead of the header, \
                     `client_id` and `client_secret` may stand in the body; a public client sends `client_id` only.",
        );
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![SCHEME]
    }

    fn has_security_fallback() -> bool {
        true
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let mut values = request.headers().get_all(AUTHORIZATION).iter();
        let header = match (values.next(), values.next()) {
            (None, _) => Header::Absent,
            (Some(value), None) => {
                BasicCredentials::parse(value.as_bytes()).map_or(Header::Unusable, Header::Basic)
            }
            (Some(_), Some(_)) => Header::Unusable,
        };
        let address = ClientAddress::of(request);
        Ok(Self { header, address })
    }
}

impl ClientAuthorization {
    /// Takes the client's credentials out of header and form; whether they came by the header is told beside them.
    fn credentials(self, form: &mut Form) -> Result<(Credentials, bool), ApiError> {
        let posted = PostedCredentials::take(form);
        let refused = |code, reason| ApiError::from(Refusal::new(code, reason));
        if posted.assertion_present {
            let alone = matches!(self.header, Header::Absent) && posted.client_secret.is_none();
            return Err(if alone {
                refused(ErrorCode::InvalidClient, Reason::BadCredentials)
            } else {
                refused(ErrorCode::InvalidRequest, Reason::MultipleCredentials)
            });
        }
        match (self.header, posted.client_id, posted.client_secret) {
            (Header::Basic(_) | Header::Unusable, _, Some(_)) => {
                Err(refused(ErrorCode::InvalidRequest, Reason::MultipleCredentials))
            }
            (Header::Unusable, _, None) => {
                Err(refused(ErrorCode::InvalidClient, Reason::BadCredentials).challenged(true))
            }
            (Header::Basic(basic), Some(posted), None) if posted != basic.client_id => {
                Err(refused(ErrorCode::InvalidRequest, Reason::MultipleCredentials))
            }
            (Header::Basic(basic), _, None) => Ok((
                Credentials {
                    client_id: basic.client_id,
                    secret: Some(basic.secret),
                    method: ClientAuthMethod::ClientSecretBasic,
                },
                true,
            )),
            (Header::Absent, Some(client_id), secret) => {
                let method = match secret {
                    Some(_) => ClientAuthMethod::ClientSecretPost,
                    None => ClientAuthMethod::None,
                };
                Ok((
                    Credentials {
                        client_id,
                        secret,
                        method,
                    },
                    false,
                ))
            }
            (Header::Absent, None, _) => Err(refused(ErrorCode::InvalidClient, Reason::BadCredentials)),
        }
    }

    /// Authenticates the client, counting wrong secrets by address.
    pub(super) async fn authenticate(self, state: &ApiState, form: &mut Form) -> Result<Caller, ApiError> {
        let address = self.address;
        let (credentials, by_header) = self.credentials(form)?;
        let source = Source::new(address, &credentials.client_id);
        let now = state.issuer.now();
        if credentials.secret.is_some() {
            state.limits.may_try_secret(&source, now)?;
        }
        match state.issuer.authenticate(&credentials).await {
            Ok(client) => Ok(Caller {
                client,
                source,
                by_header,
            }),
            Err(error) => {
                let error = ApiError::from(error).challenged(by_header);
                if credentials.secret.is_some() && error.refusal().reason == Reason::BadCredentials {
                    state.limits.wrong_secret(&source, now);
                }
                Err(error)
            }
        }
    }
}

/// A client that proved who it is, and where it asks from.
pub(super) struct Caller {
    pub(super) client: Authenticated,
    pub(super) source: Source,
    by_header: bool,
}

impl Caller {
    /// Asks for a token, counting wrong passwords by address.
    pub(super) async fn token(
        &self,
        state: &ApiState,
        request: &TokenRequest,
    ) -> Result<TokenAnswer, ApiError> {
        let confidential = self.client.is_confidential();
        let username = match request {
            TokenRequest::Password { username, .. } => Some(username.as_str()),
            _ => None,
        };
        let now = state.issuer.now();
        if let Some(username) = username {
            state
                .limits
                .may_try_password(&self.source, confidential, username, now)?;
        }
        let granted = state
            .issuer
            .token(&self.client, request, &self.source.address)
            .await;
        granted.map(TokenAnswer::from).map_err(|error| {
            let error = self.refused(error);
            if let (Some(username), Reason::BadPassword) = (username, error.refusal().reason) {
                state
                    .limits
                    .wrong_password(&self.source, confidential, username, now);
            }
            error
        })
    }

    /// A refusal after authentication, with the challenge where it has to be.
    pub(super) fn refused(&self, error: vouchsafe_issuer::Error) -> ApiError {
        ApiError::from(error).challenged(self.by_header)
    }
}
