//! A token in the header `Authorization` (RFC 6750 2.1): read once for every endpoint that takes one.

use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderValue};
use vouchsafe_protocol::{ErrorCode, Reason, Refusal, SecretString};

use super::error::ApiError;

/// The token of a request, `longest` bytes at most; none where the header is absent or of another scheme (RFC 6750 3.1).
///
/// # Errors
/// `invalid_request` for two of the header; `invalid_token` for what cannot be a token.
pub(super) fn bearer_of(headers: &HeaderMap, longest: usize) -> Result<Option<SecretString>, ApiError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) if !is_bearer(value) => Ok(None),
        (Some(value), None) => token_in(value, longest).map(Some).ok_or_else(no_token),
        (Some(_), Some(_)) => Err(several()),
    }
}

fn is_bearer(value: &HeaderValue) -> bool {
    let scheme = value.as_bytes().split(|byte| *byte == b' ').next();
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer"))
}

/// One plain word after the scheme.
fn token_in(value: &HeaderValue, longest: usize) -> Option<SecretString> {
    let (_, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim_start_matches(' ');
    let plain = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    (plain && token.len() <= longest).then(|| SecretString::new(token.to_owned()))
}

/// What was brought cannot be a token.
pub(super) fn no_token() -> ApiError {
    Refusal::new(ErrorCode::InvalidToken, Reason::MalformedToken).into()
}

/// A token came twice, or in two ways (RFC 6750 2).
pub(super) fn several() -> ApiError {
    ApiError::from(Refusal::new(
        ErrorCode::InvalidRequest,
        Reason::MultipleCredentials,
    ))
    .of_bearer()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Result<Option<String>, ErrorCode> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(AUTHORIZATION, HeaderValue::from_str(line).unwrap());
        }
        match bearer_of(&headers, 512) {
            Ok(token) => Ok(token.map(|token| token.expose().to_owned())),
            Err(error) => Err(error.refusal().code),
        }
    }

    #[test]
    fn a_bearer_token_is_one_plain_word() {
        for line in ["Bearer abc", "bearer abc", "BEARER  abc"] {
            assert_eq!(read(&[line]), Ok(Some("abc".to_owned())), "{line}");
        }
        assert!(read(&[&format!("Bearer {}", "a".repeat(512))]).is_ok());
        let long = format!("Bearer {}", "a".repeat(513));
        for line in ["Bearer", "Bearer ", "Bearer a b", long.as_str()] {
            assert_eq!(read(&[line]), Err(ErrorCode::InvalidToken), "{line}");
        }
        for line in ["", "Basic abc", "abc"] {
            assert_eq!(read(&[line]), Ok(None), "{line}");
        }
    }

    #[test]
    fn h10_none_is_none_and_two_are_too_many() {
        assert_eq!(read(&[]), Ok(None));
        for twice in [["Bearer a", "Bearer a"], ["Bearer a", "Basic b"]] {
            assert_eq!(read(&twice), Err(ErrorCode::InvalidRequest));
        }
    }
}
