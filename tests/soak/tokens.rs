//! Tokens as a client has them, and what can be read of them unchecked.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::history::TokenId;

/// A refresh token.
#[derive(Clone, Debug)]
pub(crate) struct RefreshToken {
    pub(crate) text: Arc<str>,
    pub(crate) id: TokenId,
}

/// An access token.
#[derive(Clone, Debug)]
pub(crate) struct AccessToken {
    pub(crate) text: Arc<str>,
    pub(crate) jti: Arc<str>,
    pub(crate) kid: String,
    /// Unix seconds.
    pub(crate) issued: i64,
    /// Unix seconds.
    pub(crate) expires: i64,
}

/// What a grant brings.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    pub(crate) sid: String,
    pub(crate) refresh: RefreshToken,
    pub(crate) access: AccessToken,
}

impl Tokens {
    /// Reads the answer of the token endpoint (RFC 6749 section 5.1).
    ///
    /// # Errors
    /// What is missing in it.
    pub(crate) fn read(answer: &Value) -> Result<Self, String> {
        let (refresh, access) = (text(answer, "refresh_token")?, text(answer, "access_token")?);
        let (claims, access_claims) = (part(&refresh, 1)?, part(&access, 1)?);
        let sid = text(&claims, "sid")?;
        if text(&access_claims, "sid")? != sid {
            return Err("access and refresh token are of two families".to_owned());
        }
        Ok(Self {
            refresh: RefreshToken {
                id: TokenId {
                    seq: number(&claims, "seq")?,
                    jti: text(&claims, "jti")?.into(),
                },
                text: refresh.into(),
            },
            access: AccessToken {
                jti: text(&access_claims, "jti")?.into(),
                kid: text(&part(&access, 0)?, "kid")?,
                issued: number(&access_claims, "iat")?,
                expires: number(&access_claims, "exp")?,
                text: access.into(),
            },
            sid,
        })
    }
}

/// Header (0) or claims (1) of a JWT, unchecked.
fn part(token: &str, place: usize) -> Result<Value, String> {
    let read = || {
        let bytes = URL_SAFE_NO_PAD.decode(token.split('.').nth(place)?).ok()?;
        serde_json::from_slice(&bytes).ok()
    };
    read().ok_or_else(|| "a token is no JWT".to_owned())
}

fn text(object: &Value, member: &str) -> Result<String, String> {
    let text = object.get(member).and_then(Value::as_str);
    text.map(str::to_owned).ok_or_else(|| format!("no {member}"))
}

fn number(object: &Value, member: &str) -> Result<i64, String> {
    let number = object.get(member).and_then(Value::as_i64);
    number.ok_or_else(|| format!("no {member}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn jwt(header: &Value, claims: &Value) -> String {
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        format!("{}.{}.c2ln", encode(header), encode(claims))
    }

    fn answer(sid: &str) -> Value {
        let access = json!({"sid": sid, "jti": "a", "iat": 100, "exp": 400});
        let refresh = json!({"sid": "family", "jti": "r", "seq": 3});
        json!({
            "access_token": jwt(&json!({"kid": "k"}), &access),
            "refresh_token": jwt(&json!({"kid": "m"}), &refresh),
        })
    }

    #[test]
    fn the_claims_of_both_tokens_are_read() {
        let tokens = Tokens::read(&answer("family")).unwrap();
        assert_eq!(tokens.sid, "family");
        let id = TokenId {
            seq: 3,
            jti: "r".into(),
        };
        assert_eq!(tokens.refresh.id, id);
        assert_eq!((tokens.access.kid.as_str(), &*tokens.access.jti), ("k", "a"));
        assert_eq!((tokens.access.issued, tokens.access.expires), (100, 400));
    }

    #[test]
    fn an_answer_that_is_none_is_told_from_one() {
        assert!(
            Tokens::read(&answer("another"))
                .unwrap_err()
                .contains("two families")
        );
        assert!(Tokens::read(&json!({})).unwrap_err().contains("refresh_token"));
        let garbled = json!({"access_token": "a.b.c", "refresh_token": "x"});
        assert!(Tokens::read(&garbled).unwrap_err().contains("JWT"));
    }
}
