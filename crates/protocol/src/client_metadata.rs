//! What a client says of itself (RFC 7591 section 2, OpenID Connect Registration section 2), read strictly: unknown
//! members are passed over, `null` is absent, and whatever is of the wrong kind refuses the whole. An address that is only
//! shown, and is not fit to be, is absent too.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use url::Url;

use crate::id::is_uri_text;
use crate::{
    ClientAuthMethod, ErrorCode, GrantType, Reason, Refusal, ScopeSet, SecretString, SigningAlgorithm,
    redirect_uri,
};

/// The most redirect URIs, and the most targets after signing out.
const MAX_URIS: usize = 20;
/// The most items of any other list, and the longest of them, in bytes.
const MAX_ITEMS: usize = 50;
const MAX_NAME_CHARS: usize = 200;
const REDIRECT_URIS: &str = "redirect_uris";
/// What only the server says (RFC 7592 section 2.2).
const OF_THE_SERVER: [&str; 4] = [
    "registration_access_token",
    "registration_client_uri",
    "client_id_issued_at",
    "client_secret_expires_at",
];

/// Why a description was refused. What it says is not repeated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadMetadata {
    /// It is no JSON object.
    #[error("no JSON object")]
    Malformed,
    /// A member comes twice.
    #[error("a member comes twice")]
    Repeated,
    /// A member has a value outside its kind or limits.
    #[error("{0} has a value that is not taken")]
    Member(&'static str),
}

impl From<BadMetadata> for Refusal {
    fn from(bad: BadMetadata) -> Self {
        let (code, reason) = match bad {
            BadMetadata::Malformed => (ErrorCode::InvalidClientMetadata, Reason::MalformedBody),
            BadMetadata::Repeated => (ErrorCode::InvalidClientMetadata, Reason::DuplicateParameter),
            BadMetadata::Member(REDIRECT_URIS) => (ErrorCode::InvalidRedirectUri, Reason::InvalidParameter),
            BadMetadata::Member(_) => (ErrorCode::InvalidClientMetadata, Reason::InvalidParameter),
        };
        Self::new(code, reason)
    }
}

/// A description, member by member. The rules between them are not judged here.
#[derive(Clone, Debug, Default)]
pub struct ClientMetadata {
    /// `client_id`, in a document or an update.
    pub client_id: Option<String>,
    /// `client_secret`, in an update.
    pub client_secret: Option<SecretString>,
    /// A member is there that only the server says (RFC 7592 section 2.2).
    pub has_server_members: bool,
    /// `redirect_uris`, each plain text.
    pub redirect_uris: Vec<String>,
    /// `token_endpoint_auth_method`.
    pub token_endpoint_auth_method: Option<ClientAuthMethod>,
    /// `grant_types`, those that are known.
    pub grant_types: Option<Vec<GrantType>>,
    /// `client_name`.
    pub client_name: Option<String>,
    /// `client_uri`, https.
    pub client_uri: Option<String>,
    /// `logo_uri`, https.
    pub logo_uri: Option<String>,
    /// `policy_uri`, https.
    pub policy_uri: Option<String>,
    /// `tos_uri`, https.
    pub tos_uri: Option<String>,
    /// `scope`.
    pub scope: Option<ScopeSet>,
    /// `application_type`: whether it is `native`.
    pub native: Option<bool>,
    /// `post_logout_redirect_uris`, each plain text.
    pub post_logout_redirect_uris: Vec<String>,
    /// `backchannel_logout_uri`, plain text.
    pub backchannel_logout_uri: Option<String>,
    /// `id_token_signed_response_alg`.
    pub id_token_signed_response_alg: Option<SigningAlgorithm>,
    /// `subject_type`: whether it is `pairwise`.
    pub pairwise: bool,
    /// `sector_identifier_uri`, https.
    pub sector_identifier_uri: Option<String>,
}

impl ClientMetadata {
    /// Reads a JSON object; the caller has bounded its length.
    ///
    /// # Errors
    /// [`BadMetadata`].
    pub fn parse(json: &[u8]) -> Result<Self, BadMetadata> {
        let mut members: Members = serde_json::from_slice(json).map_err(|_| BadMetadata::Malformed)?;
        if members.repeated {
            return Err(BadMetadata::Repeated);
        }
        Self::read(&mut members)
    }

    fn read(members: &mut Members) -> Result<Self, BadMetadata> {
        members.response_types()?;
        Ok(Self {
            has_server_members: OF_THE_SERVER.iter().any(|name| members.has(name)),
            client_id: members.text("client_id")?,
            client_secret: members.text("client_secret")?.map(SecretString::new),
            redirect_uris: members.uris(REDIRECT_URIS)?,
            token_endpoint_auth_method: members.word("token_endpoint_auth_method")?,
            grant_types: members.grant_types()?,
            client_name: members.name("client_name")?,
            client_uri: members.shown("client_uri")?,
            logo_uri: members.shown("logo_uri")?,
            policy_uri: members.shown("policy_uri")?,
            tos_uri: members.shown("tos_uri")?,
            scope: members.scope()?,
            native: members.either("application_type", "web", "native")?,
            post_logout_redirect_uris: members.uris("post_logout_redirect_uris")?,
            backchannel_logout_uri: members.plain("backchannel_logout_uri")?,
            id_token_signed_response_alg: members.word("id_token_signed_response_alg")?,
            pairwise: members
                .either("subject_type", "public", "pairwise")?
                .unwrap_or(false),
            sector_identifier_uri: members.https("sector_identifier_uri")?,
        })
    }
}

/// The members of an object, none of them `null`.
struct Members {
    values: BTreeMap<String, Value>,
    repeated: bool,
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let (mut values, mut repeated) = (BTreeMap::new(), false);
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    repeated |= values.insert(name, value).is_some();
                }
                values.retain(|_, value| !value.is_null());
                Ok(Members { values, repeated })
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl Members {
    fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// A text; an empty one is absent.
    fn text(&mut self, name: &'static str) -> Result<Option<String>, BadMetadata> {
        match self.values.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
            Some(_) => Err(BadMetadata::Member(name)),
        }
    }

    fn checked(
        &mut self,
        name: &'static str,
        check: impl Fn(&str) -> bool,
    ) -> Result<Option<String>, BadMetadata> {
        match self.text(name)? {
            Some(text) if !check(&text) => Err(BadMetadata::Member(name)),
            text => Ok(text),
        }
    }

    /// A word of a closed set.
    fn word<T: FromStr>(&mut self, name: &'static str) -> Result<Option<T>, BadMetadata> {
        let text = self.text(name)?;
        text.map(|word| word.parse().map_err(|_| BadMetadata::Member(name)))
            .transpose()
    }

    /// Whether it is the second of two words.
    fn either(&mut self, name: &'static str, first: &str, second: &str) -> Result<Option<bool>, BadMetadata> {
        let word = self.checked(name, |word| word == first || word == second)?;
        Ok(word.map(|word| word == second))
    }

    fn name(&mut self, name: &'static str) -> Result<Option<String>, BadMetadata> {
        let shown = self.checked(name, is_shown_text)?;
        Ok(shown
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty()))
    }

    fn https(&mut self, name: &'static str) -> Result<Option<String>, BadMetadata> {
        self.checked(name, is_https)
    }

    /// An address that people are shown.
    fn shown(&mut self, name: &'static str) -> Result<Option<String>, BadMetadata> {
        let fit = |text: &String| is_https(text) && redirect_uri::is_plain(text);
        Ok(self.text(name)?.filter(fit))
    }

    fn plain(&mut self, name: &'static str) -> Result<Option<String>, BadMetadata> {
        self.checked(name, redirect_uri::is_plain)
    }

    fn scope(&mut self) -> Result<Option<ScopeSet>, BadMetadata> {
        self.word("scope")
    }

    fn list(&mut self, name: &'static str, most: usize) -> Result<Option<Vec<String>>, BadMetadata> {
        let bad = BadMetadata::Member(name);
        let items = match self.values.remove(name) {
            None => return Ok(None),
            Some(Value::Array(items)) if items.len() <= most => items,
            Some(_) => return Err(bad),
        };
        let text = |item| match item {
            Value::String(text) => Ok(text),
            _ => Err(bad),
        };
        items.into_iter().map(text).collect::<Result<_, _>>().map(Some)
    }

    fn uris(&mut self, name: &'static str) -> Result<Vec<String>, BadMetadata> {
        let uris = self.list(name, MAX_URIS)?.unwrap_or_default();
        if uris.iter().all(|uri| redirect_uri::is_plain(uri)) {
            Ok(uris)
        } else {
            Err(BadMetadata::Member(name))
        }
    }

    /// Those that are known, each once; refused when none is (RFC 7591 section 2: the rest may be left out).
    fn grant_types(&mut self) -> Result<Option<Vec<GrantType>>, BadMetadata> {
        const NAME: &str = "grant_types";
        let Some(words) = self.list(NAME, MAX_ITEMS)? else {
            return Ok(None);
        };
        let said = |grant: &GrantType| words.iter().any(|word| word == grant.as_str());
        let known: Vec<GrantType> = GrantType::ALL.into_iter().filter(said).collect();
        match (known.is_empty(), words.is_empty()) {
            (false, _) => Ok(Some(known)),
            (true, true) => Ok(None),
            (true, false) => Err(BadMetadata::Member(NAME)),
        }
    }

    /// There is one response type; whoever knows others must know that one too.
    fn response_types(&mut self) -> Result<(), BadMetadata> {
        const NAME: &str = "response_types";
        let words = self.list(NAME, MAX_ITEMS)?.unwrap_or_default();
        if words.is_empty() || words.iter().any(|word| word == "code") {
            Ok(())
        } else {
            Err(BadMetadata::Member(NAME))
        }
    }
}

/// A name that shows as what it is: short, no control characters, and none that turn the writing direction.
fn is_shown_text(text: &str) -> bool {
    let turns = |letter: char| {
        matches!(
            letter,
            '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
                | '\u{feff}'
        )
    };
    text.chars().count() <= MAX_NAME_CHARS && !text.chars().any(|letter| letter.is_control() || turns(letter))
}

/// An https URL of plain text, without credentials.
fn is_https(text: &str) -> bool {
    let starts_with_host = text
        .strip_prefix("https://")
        .is_some_and(|rest| !rest.starts_with('/'));
    starts_with_host
        && text.len() <= redirect_uri::MAX_BYTES
        && is_uri_text(text)
        && Url::parse(text).is_ok_and(|url| url.username().is_empty() && url.password().is_none())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(value: &Value) -> Result<ClientMetadata, BadMetadata> {
        ClientMetadata::parse(value.to_string().as_bytes())
    }

    fn refused(value: Value) -> BadMetadata {
        parse(&value).unwrap_err()
    }

    #[test]
    fn cl18_a_description_is_read_and_unknown_members_are_passed_over() {
        let metadata = parse(&json!({
            "redirect_uris": ["https://app.example/cb", "http://127.0.0.1/cb"],
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token", "implicit", "authorization_code"],
            "response_types": ["code", "token"],
            "client_name": " Caf\u{e9} ",
            "client_uri": "https://app.example/",
            "logo_uri": null,
            "policy_uri": "",
            "scope": "openid items:read",
            "application_type": "native",
            "id_token_signed_response_alg": "RS256",
            "subject_type": "pairwise",
            "contacts": ["a@app.example"],
            "jwks": {"keys": []},
            "software_id": 7,
            "skip_consent": true,
        }))
        .unwrap();
        assert_eq!(metadata.redirect_uris.len(), 2);
        assert_eq!(metadata.token_endpoint_auth_method, Some(ClientAuthMethod::None));
        let grants = vec![GrantType::AuthorizationCode, GrantType::RefreshToken];
        assert_eq!(metadata.grant_types, Some(grants));
        assert_eq!(metadata.client_name.as_deref(), Some("Caf\u{e9}"));
        assert_eq!(metadata.client_uri.as_deref(), Some("https://app.example/"));
        assert_eq!((metadata.logo_uri, metadata.policy_uri), (None, None));
        assert_eq!(metadata.scope, ScopeSet::parse("openid items:read").ok());
        assert_eq!(metadata.native, Some(true));
        assert_eq!(
            metadata.id_token_signed_response_alg,
            Some(SigningAlgorithm::Rs256)
        );
        assert!(metadata.pairwise && !metadata.has_server_members);
    }

    #[test]
    fn an_empty_description_says_nothing() {
        let metadata = parse(&json!({"grant_types": [], "response_types": [], "scope": ""})).unwrap();
        assert!(metadata.redirect_uris.is_empty());
        assert!(metadata.grant_types.is_none() && metadata.scope.is_none() && metadata.native.is_none());
    }

    #[test]
    fn h10_what_is_no_object_or_says_a_thing_twice_is_refused() {
        for json in [
            "",
            "[]",
            "null",
            "\"x\"",
            "{",
            "{} {}",
            "{\"a\":1,}",
            "\u{feff}{}",
        ] {
            let refused = ClientMetadata::parse(json.as_bytes()).unwrap_err();
            assert_eq!(refused, BadMetadata::Malformed, "{json}");
        }
        for json in [
            r#"{"client_name":"a","client_name":"b"}"#,
            r#"{"client_name":"a","client\u005fname":"a"}"#,
            r#"{"scope":null,"scope":"openid"}"#,
            r#"{"unknown":1,"unknown":1}"#,
        ] {
            let refused = ClientMetadata::parse(json.as_bytes()).unwrap_err();
            assert_eq!(refused, BadMetadata::Repeated, "{json}");
        }
    }

    #[test]
    fn c02_a06_redirect_uris_have_an_error_of_their_own() {
        let many: Vec<String> = (0..21).map(|n| format!("https://app.example/{n}")).collect();
        for uris in [
            json!("https://app.example/cb"),
            json!([7]),
            json!([null]),
            json!(["app.example/cb"]),
            json!(["https://app.example/cb#x"]),
            json!(["JaVaScript:alert(1)"]),
            json!(["https://app.example\\@evil.example/"]),
            json!(many),
        ] {
            let bad = refused(json!({"redirect_uris": uris}));
            assert_eq!(bad, BadMetadata::Member("redirect_uris"));
            assert_eq!(Refusal::from(bad).code, ErrorCode::InvalidRedirectUri);
        }
    }

    #[test]
    fn c04_values_of_another_kind_or_outside_the_known_are_refused() {
        let long = "x".repeat(201);
        for (name, value) in [
            ("client_id", json!(["a"])),
            ("token_endpoint_auth_method", json!("private_key_jwt")),
            ("token_endpoint_auth_method", json!("None")),
            ("grant_types", json!("authorization_code")),
            ("grant_types", json!(["implicit"])),
            ("response_types", json!(["token"])),
            ("client_name", json!(1)),
            ("client_name", json!(long)),
            ("client_name", json!("a\nb")),
            ("client_name", json!("a\u{0}")),
            ("client_name", json!("Bank\u{202e}knaB")),
            ("client_name", json!("a\u{2066}b")),
            ("client_uri", json!(["https://app.example/"])),
            ("logo_uri", json!({"en": "https://app.example/logo"})),
            ("policy_uri", json!(7)),
            ("tos_uri", json!(true)),
            ("scope", json!(["openid"])),
            ("scope", json!("a  b")),
            ("scope", json!("a\"b")),
            ("application_type", json!("service")),
            ("post_logout_redirect_uris", json!(["nowhere"])),
            ("backchannel_logout_uri", json!("https://app.example/#x")),
            ("id_token_signed_response_alg", json!("none")),
            ("id_token_signed_response_alg", json!("HS256")),
            ("subject_type", json!("both")),
            ("sector_identifier_uri", json!("http://app.example/uris.json")),
        ] {
            let bad = refused(json!({name: value}));
            assert_eq!(bad, BadMetadata::Member(name));
            assert_eq!(Refusal::from(bad).code, ErrorCode::InvalidClientMetadata);
        }
    }

    #[test]
    fn c02_an_address_that_is_not_fit_to_be_shown_is_absent() {
        let long = format!("https://app.example/{}", "a".repeat(500));
        for address in [
            "http://app.example/",
            "http://localhost:3000/",
            "data:image/png;base64,AAAA",
            "https:///app.example/logo",
            "javascript:alert(1)",
            "https://user@app.example/",
            "https://app.example/#about",
            "app.example",
            long.as_str(),
        ] {
            let metadata = parse(&json!({
                "client_uri": address,
                "logo_uri": address,
                "policy_uri": address,
                "tos_uri": address,
            }))
            .unwrap();
            let shown = [
                metadata.client_uri,
                metadata.logo_uri,
                metadata.policy_uri,
                metadata.tos_uri,
            ];
            assert!(shown.iter().all(Option::is_none), "{address}: {shown:?}");
        }
    }

    #[test]
    fn c01_what_only_the_server_says_is_noticed() {
        for name in OF_THE_SERVER {
            assert!(parse(&json!({name: 1})).unwrap().has_server_members, "{name}");
            assert!(!parse(&json!({name: null})).unwrap().has_server_members, "{name}");
        }
        let metadata = parse(&json!({"client_secret": "s"})).unwrap();
        assert_eq!(format!("{:?}", metadata.client_secret), "Some([redacted])");
    }
}
