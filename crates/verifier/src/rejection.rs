//! Why a token was not accepted, as a closed set: one word for logs and metrics, nothing of the
//! token itself.

/// The first check that a token failed; none of them says anything to the bearer beyond
/// `invalid_token` (RFC 6750 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Rejection {
    /// Not a compact JWS, or one with a header that is not acceptable (RFC 7515).
    #[error("the token is malformed")]
    Malformed,
    /// `typ` is missing or not `at+jwt` (RFC 9068 section 4).
    #[error("the token is not an access token")]
    WrongType,
    /// The header names no key.
    #[error("the token names no key")]
    MissingKid,
    /// The key source does not know the `kid`.
    #[error("the token names an unknown key")]
    UnknownKey,
    /// The algorithm is not allowed, or not the key's (RFC 8725 section 3.1).
    #[error("the algorithm is not allowed")]
    WrongAlgorithm,
    /// The signature does not verify.
    #[error("the signature is wrong")]
    BadSignature,
    /// A required claim is missing or of the wrong type (RFC 9068 section 2.2).
    #[error("the claims are malformed")]
    BadClaims,
    /// `iss` is not the expected issuer, byte for byte.
    #[error("the token is from another issuer")]
    WrongIssuer,
    /// `aud` does not name the expected audience.
    #[error("the token is for another audience")]
    WrongAudience,
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `iat` or `nbf` lies in the future.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `exp` is further from `iat` than any token of this issuer lives.
    #[error("the token lives too long")]
    LifetimeTooLong,
    /// The token, or something it stems from, was revoked.
    #[error("the token was revoked")]
    Revoked,
}

impl Rejection {
    /// A stable word in snake case, for logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "malformed_token",
            Self::WrongType => "wrong_type",
            Self::MissingKid => "missing_kid",
            Self::UnknownKey => "unknown_key",
            Self::WrongAlgorithm => "wrong_algorithm",
            Self::BadSignature => "bad_signature",
            Self::BadClaims => "bad_claims",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongAudience => "wrong_audience",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::LifetimeTooLong => "lifetime_too_long",
            Self::Revoked => "revoked",
        }
    }
}
