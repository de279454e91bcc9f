//! The grant types this service knows by name (RFC 6749 section 4, RFC 8628 section 3.4).

use crate::wire::wire_names;

/// The value of `grant_type` at the token endpoint.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum GrantType {
    /// RFC 6749 section 4.1.
    AuthorizationCode,
    /// RFC 6749 section 6.
    RefreshToken,
    /// RFC 6749 section 4.4.
    ClientCredentials,
    /// RFC 6749 section 4.3.
    Password,
    /// RFC 8628 section 3.4.
    DeviceCode,
}

impl GrantType {
    /// Every grant type.
    pub const ALL: [Self; 5] = [
        Self::AuthorizationCode,
        Self::RefreshToken,
        Self::ClientCredentials,
        Self::Password,
        Self::DeviceCode,
    ];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::RefreshToken => "refresh_token",
            Self::ClientCredentials => "client_credentials",
            Self::Password => "password",
            Self::DeviceCode => "urn:ietf:params:oauth:grant-type:device_code",
        }
    }
}

wire_names!(GrantType, "grant type");

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn names_survive_the_wire() {
        for grant in GrantType::ALL {
            assert_eq!(grant.as_str().parse::<GrantType>(), Ok(grant));
            let json = serde_json::to_string(&grant).unwrap();
            assert_eq!(json, format!("\"{grant}\""));
            assert_eq!(serde_json::from_str::<GrantType>(&json).unwrap(), grant);
        }
    }

    #[test]
    fn t62_other_words_are_not_grant_types() {
        for word in [
            "",
            "Password",
            "password ",
            "implicit",
            "device_code",
            "refresh_token\u{0}",
            "urn:ietf:params:oauth:grant-type:token-exchange",
        ] {
            assert!(word.parse::<GrantType>().is_err(), "{word:?} was accepted");
        }
    }
}
