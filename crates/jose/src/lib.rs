//! Makes and checks a compact JWS (RFC 7515) strictly on ring, whoever it is from: the one place
//! that decides what a well-formed token is, so that no caller has to.

mod compact;
mod error;
mod jwk;
mod provider;
mod sign;
mod strict_json;
mod verifying_key;

pub use jsonwebtoken::Algorithm;
pub use jsonwebtoken::crypto::{JwtSigner, JwtVerifier};
pub use jsonwebtoken::signature;

pub use crate::compact::{MAX_COMPACT_BYTES, UnverifiedJws, VerifiedPayload};
pub use crate::error::JoseError;
pub use crate::jwk::PublicJwk;
pub use crate::provider::provider;
pub use crate::sign::sign;
pub use crate::verifying_key::VerifyingKey;
