//! What can go wrong with a token or a key, in words that never repeat the input.

/// Why a token or a key was refused, or could not be made.
#[derive(Debug, thiserror::Error)]
pub enum JoseError {
    /// The compact form exceeds [`MAX_COMPACT_BYTES`](crate::MAX_COMPACT_BYTES).
    #[error("the token is too long")]
    TooLong,
    /// Not three non-empty parts in canonical base64url without padding (RFC 7515 section 3.1).
    #[error("not a compact JWS")]
    Malformed,
    /// The header is not a JSON object of `alg`, `typ`, `kid` and `cty`, each a string and given
    /// at most once (RFC 7515 section 4).
    #[error("the header is not acceptable")]
    Header,
    /// The header has no `typ` (RFC 8725 section 3.11).
    #[error("the header has no typ")]
    MissingType,
    /// The header's `alg` is `none` or not one of those supported (RFC 8725 section 3.1).
    #[error("the algorithm is not supported")]
    UnsupportedAlgorithm,
    /// The key is for another algorithm than the header says (RFC 8725 section 3.1).
    #[error("the key is for another algorithm")]
    AlgorithmMismatch,
    /// The signature or MAC does not verify.
    #[error("the signature is wrong")]
    BadSignature,
    /// The payload is not a JSON object without duplicate members, or not the claims asked for.
    #[error("the claims are not acceptable")]
    Claims,
    /// A public JWK carries private members (RFC 7518 section 6).
    #[error("the key contains private members")]
    PrivateMember,
    /// The key is malformed, too weak, or of a kind that is not supported.
    #[error("the key is not acceptable")]
    Key,
    /// Header or claims could not be written as JSON.
    #[error("the claims could not be serialised")]
    Serialise(#[source] serde_json::Error),
    /// The signer failed.
    #[error("the signer failed")]
    Sign(#[source] jsonwebtoken::signature::Error),
}
