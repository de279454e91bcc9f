//! The claims of ID tokens (OpenID Connect Core 2) and of logout tokens (OpenID Connect Back-Channel Logout 2.4).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::id::{ClientId, FamilyId, Jti};
use crate::time::Timestamp;

/// The `typ` of an ID token.
pub const TYP_ID_TOKEN: &str = "JWT";
/// The `typ` of a logout token (OpenID Connect Back-Channel Logout 2.4).
pub const TYP_LOGOUT_TOKEN: &str = "logout+jwt";
/// The event that a logout token tells.
pub const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// The claims of an ID token.
#[derive(Clone, Debug, Serialize)]
pub struct IdTokenClaims {
    /// The issuer.
    pub iss: String,
    /// The person, as the client knows them.
    pub sub: String,
    /// The client.
    pub aud: ClientId,
    /// When it was made.
    pub iat: Timestamp,
    /// The first second in which it is no longer valid.
    pub exp: Timestamp,
    /// When the person proved who they are.
    pub auth_time: Timestamp,
    /// What the request said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// How well they proved it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// By which means (RFC 8176).
    pub amr: Vec<String>,
    /// Half a digest of the access token beside it.
    pub at_hash: String,
    /// The family, which a logout token names.
    pub sid: FamilyId,
    /// What was asked for by name.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// What is read of an ID token that comes back as a hint.
#[derive(Clone, Debug, Deserialize)]
pub struct IdTokenHint {
    /// The issuer.
    pub iss: String,
    /// The person, as the client knows them.
    pub sub: String,
    /// The client.
    pub aud: ClientId,
    /// The family.
    pub sid: FamilyId,
}

/// The claims of a logout token.
#[derive(Clone, Debug, Serialize)]
pub struct LogoutTokenClaims {
    /// The issuer.
    pub iss: String,
    /// The client.
    pub aud: ClientId,
    /// When it was made.
    pub iat: Timestamp,
    /// The first second in which it is no longer valid.
    pub exp: Timestamp,
    /// Its own name.
    pub jti: Jti,
    /// [`LOGOUT_EVENT`] and an empty object.
    pub events: Map<String, Value>,
    /// The person, as the client knows them.
    pub sub: String,
    /// The family that ended.
    pub sid: FamilyId,
}
