//! The claims of the tokens this service makes, with their exact names on the wire.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::id::{ClientId, FamilyId, Jti};
use crate::scope::ScopeSet;
use crate::time::{Timestamp, bounded_integer};

/// The `typ` of an access token (RFC 9068 section 2.1).
pub const TYP_ACCESS_TOKEN: &str = "at+jwt";
/// The `typ` of a refresh token of this service.
pub const TYP_REFRESH_TOKEN: &str = "rt+jwt";

/// The value of `aud` (RFC 7519 section 4.1.3): one text or a list of texts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Audience {
    /// One audience, written as a text.
    One(String),
    /// Any number of audiences, written as a list.
    Many(Vec<String>),
}

impl Audience {
    /// One audience becomes a text, any other number a list.
    pub fn from_set(audiences: Vec<String>) -> Self {
        match <[String; 1]>::try_from(audiences) {
            Ok([one]) => Self::One(one),
            Err(many) => Self::Many(many),
        }
    }

    /// Whether `audience` is named, byte for byte.
    pub fn contains(&self, audience: &str) -> bool {
        self.iter().any(|known| known == audience)
    }

    /// The audiences in the order of the wire.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let all = match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many.as_slice(),
        };
        all.iter().map(String::as_str)
    }
}

/// The claims of an access token (RFC 9068 section 2.2). Other members are ignored when reading;
/// `null` is never written and never read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AccessTokenClaims {
    /// The issuer.
    pub iss: String,
    /// The user, or the client when it acts for itself.
    pub sub: String,
    /// The resource servers the token is for.
    pub aud: Audience,
    /// The client the token was given to.
    pub client_id: ClientId,
    /// The granted scopes; always written, `""` when there are none.
    pub scope: ScopeSet,
    /// When the token was made.
    pub iat: Timestamp,
    /// The first second in which the token is no longer valid.
    pub exp: Timestamp,
    /// The token's own name.
    pub jti: Jti,
    /// The refresh token family the token came from.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "not_null"
    )]
    pub sid: Option<FamilyId>,
    /// When the user last proved who they are.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "not_null"
    )]
    pub auth_time: Option<Timestamp>,
    /// The authentication context class.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "not_null"
    )]
    pub acr: Option<String>,
    /// The authentication methods (RFC 8176).
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "not_null"
    )]
    pub amr: Option<Vec<String>>,
    /// The user's roles (RFC 9068 section 2.2.3.1).
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "not_null"
    )]
    pub roles: Option<Vec<String>>,
}

/// The claims of a refresh token, which only this service reads. Other members are ignored when
/// reading; `null` is never written and never read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RefreshTokenClaims {
    /// The issuer.
    pub iss: String,
    /// The issuer again: no one else may read the token.
    pub aud: String,
    /// The client the token was given to.
    pub client_id: ClientId,
    /// The family.
    pub sid: FamilyId,
    /// The place in the family, from zero upwards.
    #[serde(deserialize_with = "bounded_integer")]
    pub seq: i64,
    /// The token's own name.
    pub jti: Jti,
    /// When the token was made.
    pub iat: Timestamp,
    /// The first second in which the token is no longer valid.
    pub exp: Timestamp,
    /// The scopes of the grant.
    pub scope: ScopeSet,
    /// The resources of the grant.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "not_null"
    )]
    pub resource: Option<Vec<String>>,
    /// The key the token is bound to (RFC 7800 section 3.1), by confirmation method.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "not_null"
    )]
    pub cnf: Option<BTreeMap<String, String>>,
}

/// Reads a member that may be absent but not `null`.
fn not_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {

    use serde_json::{Map, Value};

    use super::*;

    const ACCESS: &str = r#"{
        "iss": "https://id.example", "sub": "usr_AAAAAAAAAAAAAAAAAAAAAA",
        "aud": "http://127.0.0.1:8000/mcp", "client_id": "web", "scope": "openid read",
        "iat": 1790000000, "exp": 1790000300, "jti": "AAAAAAAAAAAAAAAAAAAAAA"
    }"#;
    const ACCESS_OPTIONS: &str = r#"{
        "sid": "BBBBBBBBBBBBBBBBBBBBBB", "auth_time": 1789999000, "acr": "1",
        "amr": ["pwd"], "roles": ["admin"]
    }"#;
    const REFRESH: &str = r#"{
        "iss": "https://id.example", "aud": "https://id.example", "client_id": "web",
        "sid": "BBBBBBBBBBBBBBBBBBBBBB", "seq": 0, "jti": "AAAAAAAAAAAAAAAAAAAAAA",
        "iat": 1790000000, "exp": 1790000300, "scope": ""
    }"#;
    const REFRESH_OPTIONS: &str = r#"{
        "resource": ["https://api.example"], "cnf": {"jkt": "x"}
    }"#;

    fn object(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).unwrap()
    }

    fn with(base: &str, name: &str, value: &str) -> String {
        let mut members = object(base);
        members.insert(name.to_owned(), serde_json::from_str(value).unwrap());
        serde_json::to_string(&members).unwrap()
    }

    fn without(base: &str, name: &str) -> String {
        let mut members = object(base);
        members.remove(name).unwrap();
        serde_json::to_string(&members).unwrap()
    }

    fn merged(base: &str, more: &str) -> String {
        let mut members = object(base);
        members.extend(object(more));
        serde_json::to_string(&members).unwrap()
    }

    fn reads_access(text: &str) -> bool {
        serde_json::from_str::<AccessTokenClaims>(text).is_ok()
    }

    fn reads_refresh(text: &str) -> bool {
        serde_json::from_str::<RefreshTokenClaims>(text).is_ok()
    }

    #[test]
    fn cl7_claims_have_their_exact_names_and_no_null() {
        for text in [ACCESS.to_owned(), merged(ACCESS, ACCESS_OPTIONS)] {
            let claims: AccessTokenClaims = serde_json::from_str(&text).unwrap();
            let written = serde_json::to_string(&claims).unwrap();
            assert_eq!(object(&written), object(&text));
        }
        for text in [REFRESH.to_owned(), merged(REFRESH, REFRESH_OPTIONS)] {
            let claims: RefreshTokenClaims = serde_json::from_str(&text).unwrap();
            let written = serde_json::to_string(&claims).unwrap();
            assert_eq!(object(&written), object(&text));
        }
    }

    #[test]
    fn j04_required_claims_are_neither_absent_nor_of_another_type() {
        for (name, _) in object(ACCESS) {
            assert!(!reads_access(&without(ACCESS, &name)), "{name} absent");
            for value in ["null", "true", "{}", "[7]", "1.5"] {
                let text = with(ACCESS, &name, value);
                assert!(!reads_access(&text), "{name} {value}");
            }
        }
        for (name, _) in object(REFRESH) {
            assert!(!reads_refresh(&without(REFRESH, &name)), "{name} absent");
            for value in ["null", "true", "{}", "[7]", "[\"a\"]", "1.5"] {
                let text = with(REFRESH, &name, value);
                assert!(!reads_refresh(&text), "{name} {value}");
            }
        }
        assert!(!reads_access(&with(ACCESS, "iss", "[\"https://id.example\"]")));
    }

    #[test]
    fn j04_optional_claims_are_absent_rather_than_null() {
        for (name, _) in object(ACCESS_OPTIONS) {
            assert!(!reads_access(&with(ACCESS, &name, "null")), "{name}");
        }
        for (name, _) in object(REFRESH_OPTIONS) {
            assert!(!reads_refresh(&with(REFRESH, &name, "null")), "{name}");
        }
    }

    #[test]
    fn j06_numbers_are_bounded_integers() {
        for value in ["18446744073709551615", "1e300", "-1", "253402300800", "1.0"] {
            for name in ["iat", "exp", "auth_time"] {
                assert!(!reads_access(&with(ACCESS, name, value)), "{name} {value}");
            }
            for name in ["iat", "exp", "seq"] {
                assert!(!reads_refresh(&with(REFRESH, name, value)), "{name} {value}");
            }
        }
        assert!(reads_refresh(&with(REFRESH, "seq", "253402300799")));
    }

    #[test]
    fn unknown_members_are_ignored() {
        assert!(reads_access(&with(ACCESS, "act", "{\"sub\": \"x\"}")));
        assert!(reads_refresh(&with(REFRESH, "new", "[1]")));
    }

    #[test]
    fn cl8_an_audience_is_compared_byte_for_byte() {
        let list = |names: &[&str]| -> Vec<String> { names.iter().map(|name| (*name).to_owned()).collect() };
        for (names, json) in [
            (vec!["http://h:1/mcp"], "\"http://h:1/mcp\""),
            (vec!["a", "b"], "[\"a\",\"b\"]"),
            (vec![], "[]"),
        ] {
            let audience = Audience::from_set(list(&names));
            assert_eq!(serde_json::to_string(&audience).unwrap(), json);
            assert_eq!(serde_json::from_str::<Audience>(json).unwrap(), audience);
            assert!(audience.iter().eq(names.iter().copied()));
            assert!(names.iter().all(|name| audience.contains(name)));
            for other in ["", "http://h:1/mcp/", "HTTP://h:1/mcp", "c"] {
                assert!(!audience.contains(other), "{other}");
            }
        }
    }
}
