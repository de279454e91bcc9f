//! How a client proves who it is at the token endpoint (RFC 7591 section 2).

use crate::wire::wire_names;

/// The registered `token_endpoint_auth_method` of a client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ClientAuthMethod {
    /// Id and secret in the `Authorization` header (RFC 6749 section 2.3.1).
    ClientSecretBasic,
    /// Id and secret in the body (RFC 6749 section 2.3.1).
    ClientSecretPost,
    /// A public client: an id and nothing else.
    None,
}

impl ClientAuthMethod {
    /// Every method.
    pub const ALL: [Self; 3] = [Self::ClientSecretBasic, Self::ClientSecretPost, Self::None];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::None => "none",
        }
    }
}

wire_names!(ClientAuthMethod, "client authentication method");

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn names_survive_the_wire() {
        for method in ClientAuthMethod::ALL {
            assert_eq!(method.as_str().parse::<ClientAuthMethod>(), Ok(method));
            let json = serde_json::to_string(&method).unwrap();
            assert_eq!(json, format!("\"{method}\""));
            assert_eq!(serde_json::from_str::<ClientAuthMethod>(&json).unwrap(), method);
        }
    }

    #[test]
    fn t05_other_words_are_not_methods() {
        for word in ["", "None", "client_secret", "client_secret_jwt", "basic"] {
            assert!(word.parse::<ClientAuthMethod>().is_err(), "{word:?} was accepted");
        }
    }
}
