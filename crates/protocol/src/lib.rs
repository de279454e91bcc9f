//! The words of OAuth 2 and OpenID Connect as types and strict parsers: no I/O, no cryptography,
//! no clock and no randomness of its own.

mod algorithm;
mod authorization_request;
mod basic;
mod chain;
mod claims;
mod claims_request;
mod client_auth_method;
mod client_metadata;
mod device_authorization;
mod entropy;
mod error;
pub mod failpoint;
mod form;
mod grant_type;
mod id;
mod id_token;
mod pkce;
pub mod redirect_uri;
mod revocation;
mod scope;
mod secret;
mod time;
mod token_request;
mod user_code;
mod wire;

pub use algorithm::SigningAlgorithm;
pub use authorization_request::{AnswerTo, AuthorizationRequest, Prompt, ResponseMode};
pub use basic::{BasicCredentials, BasicError};
pub use chain::Chain;
pub use claims::{AccessTokenClaims, Audience, RefreshTokenClaims, TYP_ACCESS_TOKEN, TYP_REFRESH_TOKEN};
pub use claims_request::ClaimsRequest;
pub use client_auth_method::ClientAuthMethod;
pub use client_metadata::{BadMetadata, ClientMetadata};
pub use device_authorization::DeviceAuthorizationRequest;
pub use entropy::{Entropy, random_token};
pub use error::{ErrorCode, Reason, Refusal};
pub use form::{DuplicateName, Form, FormError};
pub use grant_type::GrantType;
pub use id::{ClientId, FamilyId, InvalidId, IssuerUrl, Jti, Kid, ResourceUri, RoleName, Subject};
pub use id_token::{
    IdTokenClaims, IdTokenHint, LOGOUT_EVENT, LogoutTokenClaims, TYP_ID_TOKEN, TYP_LOGOUT_TOKEN,
};
pub use pkce::{CodeChallenge, CodeVerifier};
pub use revocation::{RevocationEntry, RevocationKind};
pub use scope::{InvalidScope, OFFLINE_ACCESS, OIDC_SCOPES, OPENID, ScopeSet, ScopeToken, is_oidc_scope};
pub use secret::{SecretBytes, SecretString};
pub use time::{Clock, Timestamp};
pub use token_request::{PostedCredentials, TokenInquiry, TokenRequest, TokenTypeHint};
pub use user_code::UserCode;
pub use wire::UnknownName;
