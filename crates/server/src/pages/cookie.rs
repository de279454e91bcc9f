//! The one cookie of the pages: a random word that names a browser, and from the sign-in on a session.

use std::time::Duration;

use http::HeaderValue;
use http::header::{COOKIE, HeaderMap};
use vouchsafe_protocol::{IssuerUrl, SecretString};

/// Base64url of 256 bits.
const CHARS: usize = 43;

/// The cookie of an issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cookie {
    /// The browser itself holds the name to this host, this path and TLS.
    Https,
    /// Of an issuer on loopback, without TLS.
    Loopback,
}

impl Cookie {
    pub(super) fn of(issuer: &IssuerUrl) -> Self {
        if issuer.is_loopback_http() {
            Self::Loopback
        } else {
            Self::Https
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Https => "__Host-vouchsafe",
            Self::Loopback => "vouchsafe",
        }
    }

    /// What a browser brought, if it is something that we could have set.
    pub(super) fn read(self, headers: &HeaderMap) -> Option<String> {
        let lines = headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|line| line.to_str().ok());
        let mut pairs = lines
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='));
        let (_, value) = pairs.find(|(found, _)| *found == self.name())?;
        let base64url = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (value.len() == CHARS && value.bytes().all(base64url)).then(|| value.to_owned())
    }

    /// `Set-Cookie` for so long; an empty value takes the cookie away.
    pub(super) fn set(self, value: &SecretString, life: Duration) -> Option<HeaderValue> {
        let life = if value.expose().is_empty() {
            0
        } else {
            life.as_secs()
        };
        let secure = match self {
            Self::Https => "; Secure",
            Self::Loopback => "",
        };
        let header = format!(
            "{}={}; Path=/; HttpOnly; SameSite=Lax{secure}; Max-Age={life}",
            self.name(),
            value.expose()
        );
        let mut header = HeaderValue::try_from(header).ok()?;
        header.set_sensitive(true);
        Some(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brought(lines: &[&'static str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(COOKIE, HeaderValue::from_static(line));
        }
        Cookie::Loopback.read(&headers)
    }

    #[test]
    fn l09_only_what_we_could_have_set_is_read() {
        const GOOD: &str = "vouchsafe=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA-_";
        assert_eq!(
            brought(&["theme=dark", GOOD]),
            GOOD.split_once('=').map(|(_, value)| value.to_owned())
        );
        for bad in [
            "",
            "vouchsafe=",
            "vouchsafe=AAAA",
            "Vouchsafe=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA-_",
            "__Host-vouchsafe=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA-_",
            "vouchsafe=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA+/",
        ] {
            assert_eq!(brought(&[bad]), None, "{bad}");
        }
    }

    #[test]
    fn l09_it_is_for_this_host_and_for_no_script() {
        let life = Duration::from_secs(60);
        let set = |cookie: Cookie, value: &str| {
            let header = cookie.set(&SecretString::new(value.to_owned()), life).unwrap();
            assert!(header.is_sensitive());
            header.to_str().unwrap().to_owned()
        };
        assert_eq!(
            set(Cookie::Https, "x"),
            "__Host-vouchsafe=x; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=60"
        );
        assert_eq!(
            set(Cookie::Loopback, ""),
            "vouchsafe=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"
        );
    }
}
