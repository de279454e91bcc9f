//! Names of things, checked once where they enter and kept byte for byte; none of them is a secret.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use url::{Host, Url};

use crate::entropy::{Entropy, random_token};

const SUBJECT_PREFIX: &str = "usr_";
const RANDOM_BYTES: usize = 16;
const RANDOM_CHARS: usize = 22;
const MAX_URI_BYTES: usize = 500;

/// A text that breaks the rules of its kind; the text itself is not repeated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a valid {kind}")]
pub struct InvalidId {
    kind: &'static str,
}

/// Makes a checked newtype over `String`; `$check` is a `fn(&str) -> bool`.
macro_rules! string_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $check:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Checks `text` and keeps it as it is.
            ///
            /// # Errors
            /// When `text` breaks the rules of this type.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                if $check(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidId { kind: $kind })
                }
            }

            /// The text as it was given.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::parse(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

string_id! {
    /// The name of a client (RFC 6749 section 2.2): 1 to 200 printable ASCII characters without
    /// space, `%`, `+`, `"` and `\`, and never of the form of a [`Subject`].
    ClientId, "client id", is_client_id
}

string_id! {
    /// The name of a user in `sub`: `usr_` and 22 characters of base64url.
    Subject, "subject", is_subject
}

string_id! {
    /// The name of a refresh token family, `sid` in claims: 22 characters of base64url.
    FamilyId, "family id", is_random_id
}

string_id! {
    /// The name of one token (RFC 7519 section 4.1.7): 22 characters of base64url, 128 bits.
    Jti, "token id", is_random_id
}

string_id! {
    /// The name of a key (RFC 7515 section 4.1.4): 1 to 64 characters of base64url.
    Kid, "key id", is_kid
}

string_id! {
    /// A resource server (RFC 8707 section 2): an absolute URI of at most 500 characters without
    /// fragment, compared byte for byte and never normalised.
    ResourceUri, "resource", is_resource_uri
}

string_id! {
    /// The issuer (RFC 8414 section 2): an https URL, or http on a loopback host, in canonical
    /// spelling, without query, fragment, credentials, trailing slash or escapes; a path is allowed.
    IssuerUrl, "issuer", is_issuer_url
}

string_id! {
    /// The name of a role: 1 to 64 characters of `a-z`, `0-9`, `.`, `_`, `:` and `-`.
    RoleName, "role name", is_role_name
}

impl Subject {
    /// A new name of 128 random bits.
    pub fn random(entropy: &dyn Entropy) -> Self {
        Self(SUBJECT_PREFIX.to_owned() + &random_token(entropy, RANDOM_BYTES))
    }
}

impl FamilyId {
    /// A new name of 128 random bits.
    pub fn random(entropy: &dyn Entropy) -> Self {
        Self(random_token(entropy, RANDOM_BYTES))
    }
}

impl Jti {
    /// A new name of 128 random bits.
    pub fn random(entropy: &dyn Entropy) -> Self {
        Self(random_token(entropy, RANDOM_BYTES))
    }
}

impl Kid {
    /// A new name of 128 random bits.
    pub fn random(entropy: &dyn Entropy) -> Self {
        Self(random_token(entropy, RANDOM_BYTES))
    }
}

impl IssuerUrl {
    /// The issuer with `path` appended, with exactly one slash between them.
    pub fn join(&self, path: &str) -> String {
        format!("{}/{}", self.0, path.strip_prefix('/').unwrap_or(path))
    }

    /// Whether this is an http URL, which only a loopback host may have.
    pub fn is_loopback_http(&self) -> bool {
        self.0.starts_with("http://")
    }

    /// The host without port; an IPv6 address keeps its brackets.
    pub fn host(&self) -> &str {
        let (authority, _) = self.split();
        match authority.split_once(']') {
            Some((address, _)) => authority.get(..=address.len()).unwrap_or(authority),
            None => authority.split_once(':').map_or(authority, |(host, _)| host),
        }
    }

    /// Scheme, host and port: what a browser sends as `Origin`.
    pub fn origin(&self) -> &str {
        let path = self.path();
        self.0.strip_suffix(path).unwrap_or(&self.0)
    }

    /// The path with its leading slash; empty when there is none.
    pub fn path(&self) -> &str {
        self.split().1
    }

    /// Host with port, and path.
    fn split(&self) -> (&str, &str) {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        rest.split_at(rest.find('/').unwrap_or(rest.len()))
    }
}

fn is_client_id(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'%' | b'+' | b'"' | b'\\');
    is_word(text, 200, allowed) && !text.starts_with(SUBJECT_PREFIX)
}

fn is_subject(text: &str) -> bool {
    text.strip_prefix(SUBJECT_PREFIX).is_some_and(is_random_id)
}

fn is_random_id(text: &str) -> bool {
    text.len() == RANDOM_CHARS && text.bytes().all(is_base64url)
}

fn is_kid(text: &str) -> bool {
    is_word(text, 64, is_base64url)
}

fn is_role_name(text: &str) -> bool {
    is_word(text, 64, |byte| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b':' | b'-')
    })
}

fn is_word(text: &str, max: usize, allowed: impl Fn(u8) -> bool) -> bool {
    (1..=max).contains(&text.len()) && text.bytes().all(allowed)
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

fn is_resource_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    // The URL parser mends `https:host` and `https:///host`; a name compared by bytes must not need it.
    let has_host = rest.starts_with("//") && !rest.starts_with("///");
    text.len() <= MAX_URI_BYTES
        && !rest.is_empty()
        && (!web || has_host)
        && !text.contains('#')
        && is_uri_text(text)
        && Url::parse(text).is_ok()
}

/// Only the characters of RFC 3986 section 2, each `%` with its two digits.
pub(crate) fn is_uri_text(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte);
    let escaped = |tail: &str| tail.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    text.bytes().all(allowed) && text.split('%').skip(1).all(escaped)
}

fn is_issuer_url(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else {
        return false;
    };
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let scheme_fits = match url.scheme() {
        "https" => true,
        "http" => loopback,
        _ => false,
    };
    // Equal to its own canonical form, so that clients which normalise still compare equal.
    let canonical = url.as_str().strip_suffix('/').unwrap_or(url.as_str());
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    scheme_fits
        && text.len() <= MAX_URI_BYTES
        && text == canonical
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.path().bytes().all(plain)
        && !url.path().contains("//")
}

#[cfg(test)]
mod tests {

    use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

    use super::*;

    #[derive(Default)]
    struct Counting {
        next: AtomicU8,
        asked: AtomicUsize,
    }

    impl Entropy for Counting {
        fn fill(&self, buf: &mut [u8]) {
            self.asked.fetch_add(buf.len(), Ordering::Relaxed);
            buf.fill(self.next.fetch_add(1, Ordering::Relaxed));
        }
    }

    const WORD: &str = "AAAAAAAAAA-_0123456789";

    fn subject() -> String {
        format!("usr_{WORD}")
    }

    #[test]
    fn j09_random_ids_take_128_bits_each_and_read_back() {
        let entropy = Counting::default();
        let first = Jti::random(&entropy);
        let second = Jti::random(&entropy);
        assert_ne!(first, second);
        assert_eq!(Jti::parse(first.as_str()), Ok(first));
        let family = FamilyId::random(&entropy);
        assert_eq!(FamilyId::parse(family.as_str()), Ok(family));
        let kid = Kid::random(&entropy);
        assert_eq!(Kid::parse(kid.as_str()), Ok(kid));
        let subject = Subject::random(&entropy);
        assert_eq!(Subject::parse(subject.as_str()), Ok(subject));
        assert_eq!(entropy.asked.load(Ordering::Relaxed), 5 * 16);
    }

    #[test]
    fn h16_client_ids_are_plain_words() {
        let longest = "c".repeat(200);
        for text in [
            "a",
            "web-app_1.2~x",
            "https://app.example/client.json",
            "a:b@c",
            "usr",
            "xusr_a",
            longest.as_str(),
        ] {
            assert_eq!(ClientId::parse(text).unwrap().as_str(), text);
        }
        let too_long = "c".repeat(201);
        for text in [
            "",
            " ",
            "a b",
            "a%20b",
            "a+b",
            "a\"b",
            "a\\b",
            "a\u{0}b",
            "a\r\nb",
            "a\u{7f}b",
            "\u{e4}",
            too_long.as_str(),
        ] {
            assert!(ClientId::parse(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn t15_a_client_id_never_looks_like_a_subject() {
        let subject = subject();
        assert!(ClientId::parse(&subject).is_err());
        assert!(ClientId::parse("usr_x").is_err());
        assert!(Subject::parse("web-app").is_err());
        assert_eq!(Subject::parse(&subject).unwrap().as_str(), subject);
    }

    #[test]
    fn t13_random_ids_have_one_length_and_one_alphabet() {
        assert!(Jti::parse(WORD).is_ok() && FamilyId::parse(WORD).is_ok());
        for text in [
            "",
            "AAAAAAAAAA-_012345678",
            "AAAAAAAAAA-_01234567890",
            "AAAAAAAAAA+/0123456789",
            "AAAAAAAAAA-_01234567 9",
            "AAAAAAAAAA-_01234567=9",
            "AAAAAAAAAA-_01234567\u{e4}",
        ] {
            assert!(Jti::parse(text).is_err(), "{text:?} was accepted");
            assert!(FamilyId::parse(text).is_err(), "{text:?} was accepted");
            assert!(
                Subject::parse(&format!("usr_{text}")).is_err(),
                "{text:?} was accepted"
            );
        }
        assert!(Subject::parse(WORD).is_err());
    }

    #[test]
    fn t13_key_ids_are_short_base64url_words() {
        let (longest, too_long) = ("k".repeat(64), "k".repeat(65));
        for text in ["k", "2026-01_A", longest.as_str()] {
            assert!(Kid::parse(text).is_ok(), "{text:?} was refused");
        }
        for text in ["", "../../etc/passwd", "k'--", "k.", "k ", too_long.as_str()] {
            assert!(Kid::parse(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn role_names_are_lower_case_words() {
        let (longest, too_long) = ("r".repeat(64), "r".repeat(65));
        for text in ["admin", "a.b_c:d-9", longest.as_str()] {
            assert!(RoleName::parse(text).is_ok(), "{text:?} was refused");
        }
        for text in ["", "Admin", "a b", "a/b", "\u{e4}", too_long.as_str()] {
            assert!(RoleName::parse(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn cl8_resources_are_kept_byte_for_byte() {
        let longest = format!("https://api.example/{}", "r".repeat(480));
        for text in [
            "http://127.0.0.1:8000/mcp",
            "https://api.example",
            "https://api.example/",
            "HTTPS://API.Example:443/a/../b",
            "https://api.example/a%2fb?x=1",
            "urn:example:api",
            "api://default",
            longest.as_str(),
        ] {
            assert_eq!(ResourceUri::parse(text).unwrap().as_str(), text);
        }
        let (bare, slash) = (
            ResourceUri::parse("https://api.example").unwrap(),
            ResourceUri::parse("https://api.example/").unwrap(),
        );
        assert_ne!(bare, slash);
    }

    #[test]
    fn a15_relative_resources_and_fragments_are_refused() {
        let too_long = format!("https://api.example/{}", "r".repeat(481));
        for text in [
            "",
            "api",
            "/mcp",
            "//api.example/mcp",
            "https:",
            "https://",
            "https:api.example",
            "https:///api.example",
            "urn:",
            "1x:y",
            "https://api.example/#",
            "https://api.example/#part",
            "https://api.example/a b",
            " https://api.example",
            "https://api.example/\u{e4}",
            "https://api.example/\n",
            "https://api.example/a\\b",
            "https://api.example/\"",
            "https://api.example/%",
            "https://api.example/%2",
            "https://api.example/%zz",
            "https://api.example:99999/",
            too_long.as_str(),
        ] {
            assert!(ResourceUri::parse(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn cl1_the_issuer_is_one_exact_string() {
        for text in [
            "https://id.example",
            "https://id.example:8443",
            "https://id.example/tenant",
            "https://id.example/a/b-c",
            "https://[2001:db8::1]/t",
            "http://localhost:8080",
            "http://127.0.0.1:8080",
            "http://127.8.9.10",
            "http://[::1]:8080/t",
        ] {
            let issuer = IssuerUrl::parse(text).unwrap();
            assert_eq!(issuer.as_str(), text);
            assert_eq!(issuer.is_loopback_http(), text.starts_with("http:"));
        }
        let too_long = format!("https://id.example/{}", "t".repeat(482));
        for text in [
            "https://id.example/",
            "https://id.example/tenant/",
            "https://id.example//tenant",
            "https://id.example/a/../b",
            "https://id.example/a%20b",
            "https://ID.example",
            "HTTPS://id.example",
            "https://id.example:443",
            "http://localhost:80",
            "https://id.example?x=1",
            "https://id.example/t?",
            "https://id.example/t#",
            "https://id.example#x",
            "https://user@id.example",
            "https://user:pass@id.example",
            "https://:pass@id.example",
            "https://@id.example",
            "https://id.ex\u{e4}mple",
            "https://id.example\n",
            " https://id.example",
            "https:id.example",
            "id.example",
            "ftp://id.example",
            "",
            too_long.as_str(),
        ] {
            assert!(IssuerUrl::parse(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn o02_http_issuers_only_on_loopback() {
        for text in [
            "http://id.example",
            "http://localhost.example",
            "http://foo.localhost",
            "http://localhost.",
            "http://128.0.0.1",
            "http://10.0.0.1",
            "http://0.0.0.0",
            "http://127.1",
            "http://2130706433",
            "http://[::]",
            "http://[::2]",
            "http://[::ffff:127.0.0.1]",
        ] {
            assert!(IssuerUrl::parse(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn cl2_an_issuer_comes_apart_and_joins() {
        for (text, origin, host, path) in [
            ("https://id.example", "https://id.example", "id.example", ""),
            (
                "https://id.example:8443/t/u",
                "https://id.example:8443",
                "id.example",
                "/t/u",
            ),
            ("http://[::1]:8080/t", "http://[::1]:8080", "[::1]", "/t"),
            ("http://[::1]", "http://[::1]", "[::1]", ""),
        ] {
            let issuer = IssuerUrl::parse(text).unwrap();
            assert_eq!(issuer.origin(), origin);
            assert_eq!(issuer.host(), host);
            assert_eq!(issuer.path(), path);
            assert_eq!(issuer.join("/token"), format!("{text}/token"));
            assert_eq!(issuer.join("token"), format!("{text}/token"));
        }
    }

    #[test]
    fn h16_ids_are_checked_when_read_from_json() {
        assert!(serde_json::from_str::<ClientId>("\"a\\u0000b\"").is_err());
        assert!(serde_json::from_str::<Jti>("\"short\"").is_err());
        assert!(serde_json::from_str::<Kid>("7").is_err());
        let kid: Kid = serde_json::from_str("\"k1\"").unwrap();
        assert_eq!(serde_json::to_string(&kid).unwrap(), "\"k1\"");
    }

    #[test]
    fn h22_errors_do_not_repeat_the_text() {
        let error = ClientId::parse("<script> \u{0}").unwrap_err();
        assert_eq!(error.to_string(), "not a valid client id");
    }
}
