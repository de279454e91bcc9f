//! Client credentials in the `Authorization` header (RFC 7617, with the form-encoding of RFC 6749
//! section 2.3.1).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use zeroize::Zeroizing;

use crate::form::decode_component;
use crate::secret::SecretString;

/// Why a header holds no Basic credentials.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BasicError {
    /// More than [`BasicCredentials::MAX_BYTES`].
    #[error("authorization header too long")]
    TooLong,
    /// Another scheme than Basic.
    #[error("not the Basic scheme")]
    OtherScheme,
    /// The Basic scheme with something that is not encoded credentials.
    #[error("malformed Basic credentials")]
    Malformed,
}

/// A client id and its secret, decoded but not checked against anything.
pub struct BasicCredentials {
    /// The client's id; never empty.
    pub client_id: String,
    /// The client's secret; may be empty.
    pub secret: SecretString,
}

impl BasicCredentials {
    /// The most bytes in the header's value.
    pub const MAX_BYTES: usize = 4 * 1024;

    /// Reads the value of an `Authorization` header.
    ///
    /// # Errors
    /// When the value is too long, of another scheme, not base64 in its standard alphabet (padded
    /// in full or not at all), or when a part is no strict form-encoding of printable text.
    pub fn parse(header_value: &[u8]) -> Result<Self, BasicError> {
        if header_value.len() > Self::MAX_BYTES {
            return Err(BasicError::TooLong);
        }
        let mut halves = header_value.splitn(2, |byte| *byte == b' ');
        let scheme = halves.next().unwrap_or_default();
        if !scheme.eq_ignore_ascii_case(b"Basic") {
            return Err(BasicError::OtherScheme);
        }
        let encoded = halves.next().unwrap_or_default().trim_ascii_start();
        let decoded = if encoded.contains(&b'=') {
            STANDARD.decode(encoded)
        } else {
            STANDARD_NO_PAD.decode(encoded)
        };
        let decoded = Zeroizing::new(decoded.map_err(|_| BasicError::Malformed)?);
        let mut parts = decoded.splitn(2, |byte| *byte == b':');
        let (Some(id), Some(secret)) = (parts.next(), parts.next()) else {
            return Err(BasicError::Malformed);
        };
        if id.is_empty() {
            return Err(BasicError::Malformed);
        }
        Ok(Self {
            client_id: decode_component(id).map_err(|_| BasicError::Malformed)?,
            secret: decode_component(secret)
                .map(SecretString::new)
                .map_err(|_| BasicError::Malformed)?,
        })
    }
}

impl fmt::Debug for BasicCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BasicCredentials([redacted])")
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    fn header(scheme: &str, credentials: &[u8]) -> Vec<u8> {
        format!("{scheme} {}", STANDARD.encode(credentials)).into_bytes()
    }

    fn error(header_value: &[u8]) -> Option<BasicError> {
        BasicCredentials::parse(header_value).err()
    }

    #[test]
    fn cl3_both_parts_are_form_decoded() {
        for (sent, id, secret) in [
            ("web-app:s3cret", "web-app", "s3cret"),
            ("web%2Dapp:s3%2ecret%5F", "web-app", "s3.cret_"),
            ("a%3Ab:c", "a:b", "c"),
            ("a:b:c", "a", "b:c"),
            ("a:b%2Bc+d", "a", "b+c d"),
            ("a:%C3%A4", "a", "\u{e4}"),
            ("a:", "a", ""),
        ] {
            let credentials = BasicCredentials::parse(&header("Basic", sent.as_bytes())).unwrap();
            assert_eq!(credentials.client_id, id, "{sent}");
            assert_eq!(credentials.secret.expose(), secret, "{sent}");
        }
    }

    #[test]
    fn cl3_the_scheme_has_no_case_and_padding_is_whole_or_absent() {
        for value in [
            "Basic YTpi",
            "basic YTpi",
            "BASIC  YTpi",
            "Basic YTpiYw==",
            "Basic YTpiYw",
            "Basic YTpiY2Q=",
            "Basic YTpiY2Q",
        ] {
            let credentials = BasicCredentials::parse(value.as_bytes()).unwrap();
            assert_eq!(credentials.client_id, "a", "{value}");
            assert!(credentials.secret.expose().starts_with('b'), "{value}");
        }
    }

    #[test]
    fn t01_other_schemes_are_told_apart() {
        for value in ["", "Bearer YTpi", "BasicYTpi", "Basi YTpi", " Basic YTpi"] {
            assert_eq!(error(value.as_bytes()), Some(BasicError::OtherScheme), "{value}");
        }
    }

    #[test]
    fn t01_malformed_base64_is_refused() {
        for value in [
            "Basic",
            "Basic ",
            "Basic YTpiYw=",
            "Basic YTpi=",
            "Basic YTpi====",
            "Basic YTpiYx==",
            "Basic YTpiYx",
            "Basic YTp\u{0}",
            "Basic YTpi YTpi",
            "Basic YTo_Pz8_",
            "Basic YWI=",
            "Basic OnNlY3JldA==",
        ] {
            assert_eq!(error(value.as_bytes()), Some(BasicError::Malformed), "{value:?}");
        }
    }

    #[test]
    fn h16_controls_and_broken_escapes_are_refused_in_both_parts() {
        let cases: [&[u8]; 11] = [
            b"\x00",
            b"%00",
            b"\r\n",
            b"%0d%0a",
            b"%7f",
            b"\xff",
            b"%c0%80",
            b"%ed%a0%80",
            b"%",
            b"%4",
            b"%xy",
        ];
        for hostile in cases {
            let id = [b"a".as_slice(), hostile, b":b".as_slice()].concat();
            let secret = [b"a:b".as_slice(), hostile].concat();
            assert_eq!(
                error(&header("Basic", &id)),
                Some(BasicError::Malformed),
                "id {hostile:?}"
            );
            assert_eq!(
                error(&header("Basic", &secret)),
                Some(BasicError::Malformed),
                "secret {hostile:?}"
            );
        }
    }

    #[test]
    fn h07_the_header_has_a_limit() {
        // 3,066 bytes encode to 4,088, and with the scheme to 4,094; three more go beyond.
        let longest = header("Basic", format!("a:{}", "b".repeat(3_064)).as_bytes());
        assert!(longest.len() <= BasicCredentials::MAX_BYTES);
        assert!(BasicCredentials::parse(&longest).is_ok());
        let too_long = header("Basic", format!("a:{}", "b".repeat(3_067)).as_bytes());
        assert_eq!(error(&too_long), Some(BasicError::TooLong));
    }

    #[test]
    fn o01_debug_never_shows_credentials() {
        let credentials = BasicCredentials::parse(&header("Basic", b"ann:hunter2")).unwrap();
        assert_eq!(format!("{credentials:?}"), "BasicCredentials([redacted])");
    }
}
