//! The algorithms that may sign what others verify (RFC 7518 section 3.1, RFC 8037 section 3.1).

use crate::wire::wire_names;

/// A JWS algorithm of this service's published keys.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum SigningAlgorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// Ed25519.
    EdDsa,
}

impl SigningAlgorithm {
    /// Every algorithm.
    pub const ALL: [Self; 3] = [Self::Es256, Self::Rs256, Self::EdDsa];

    /// The value of `alg` on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
            Self::EdDsa => "EdDSA",
        }
    }
}

wire_names!(SigningAlgorithm, "signing algorithm");

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn names_survive_the_wire() {
        for algorithm in SigningAlgorithm::ALL {
            assert_eq!(algorithm.as_str().parse::<SigningAlgorithm>(), Ok(algorithm));
            let json = serde_json::to_string(&algorithm).unwrap();
            assert_eq!(json, format!("\"{algorithm}\""));
            assert_eq!(
                serde_json::from_str::<SigningAlgorithm>(&json).unwrap(),
                algorithm
            );
        }
    }

    #[test]
    fn j01_none_and_symmetric_algorithms_are_not_named() {
        for word in ["none", "None", "nOnE", "HS256", "es256", "EDDSA", ""] {
            assert!(word.parse::<SigningAlgorithm>().is_err(), "{word:?} was accepted");
        }
    }
}
