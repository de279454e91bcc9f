//! The words of OAuth 2 and OpenID Connect as types and strict parsers: no I/O, no cryptography,
//! no clock and no randomness of its own.

mod algorithm;
mod basic;
mod chain;
mod claims;
mod client_auth_method;
mod entropy;
mod error;
pub mod failpoint;
mod form;
mod grant_type;
mod id;
mod revocation;
mod scope;
mod secret;
mod time;
mod token_request;
mod wire;

pub use algorithm::SigningAlgorithm;
pub use basic::{BasicCredentials, BasicError};
pub use chain::Chain;
pub use claims::{AccessTokenClaims, Audience, RefreshTokenClaims, TYP_ACCESS_TOKEN, TYP_REFRESH_TOKEN};
pub use client_auth_method::ClientAuthMethod;
pub use entropy::{Entropy, random_token};
pub use error::{ErrorCode, Reason, Refusal};
pub use form::{DuplicateName, Form, FormError};
pub use grant_type::GrantType;
pub use id::{ClientId, FamilyId, InvalidId, IssuerUrl, Jti, Kid, ResourceUri, RoleName, Subject};
pub use revocation::{RevocationEntry, RevocationKind};
pub use scope::{InvalidScope, OFFLINE_ACCESS, OPENID, ScopeSet, ScopeToken, is_oidc_scope};
pub use secret::{SecretBytes, SecretString};
pub use time::{Clock, Timestamp};
pub use token_request::{PostedCredentials, TokenInquiry, TokenRequest, TokenTypeHint};
pub use wire::UnknownName;
