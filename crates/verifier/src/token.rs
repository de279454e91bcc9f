//! An access token before and after its proof, as two types: only [`Verifier::check`] turns the
//! one into the other.
//!
//! [`Verifier::check`]: crate::Verifier::check

use vouchsafe_jose::{JoseError, UnverifiedJws};
use vouchsafe_protocol::AccessTokenClaims;

use crate::rejection::Rejection;

/// A well-formed token that nobody has vouched for yet.
#[derive(Debug)]
pub struct UnverifiedToken<'a>(UnverifiedJws<'a>);

impl<'a> UnverifiedToken<'a> {
    /// Takes a token apart and checks the shape of its header.
    ///
    /// # Errors
    /// [`Rejection::WrongType`] without a `typ`, [`Rejection::WrongAlgorithm`] when `alg` is `none`
    /// or unknown, [`Rejection::Malformed`] for everything else.
    pub fn parse(token: &'a str) -> Result<Self, Rejection> {
        match UnverifiedJws::parse(token) {
            Ok(jws) => Ok(Self(jws)),
            Err(JoseError::MissingType) => Err(Rejection::WrongType),
            Err(JoseError::UnsupportedAlgorithm) => Err(Rejection::WrongAlgorithm),
            Err(_) => Err(Rejection::Malformed),
        }
    }

    /// Whether `typ` is `expected`, a media type without `application/` (RFC 7515 section 4.1.9).
    pub fn typ_is(&self, expected: &str) -> bool {
        self.0.has_typ(expected)
    }

    /// The `kid` of the header, if there is one.
    pub fn kid(&self) -> Option<&str> {
        self.0.kid()
    }

    pub(crate) fn jws(&self) -> &UnverifiedJws<'a> {
        &self.0
    }
}

/// An access token that passed every check at the time it was checked.
#[derive(Clone, Debug)]
pub struct VerifiedToken {
    claims: AccessTokenClaims,
    kid: String,
}

impl VerifiedToken {
    pub(crate) fn new(claims: AccessTokenClaims, kid: String) -> Self {
        Self { claims, kid }
    }

    /// The claims.
    pub fn claims(&self) -> &AccessTokenClaims {
        &self.claims
    }

    /// The `kid` of the key that signed it.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Whether `scope` was granted.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.claims.scope.contains(scope)
    }
}
