//! The bodies of the token, introspection and revocation endpoints, read from a form into types.

use std::fmt;

use crate::error::{ErrorCode, Reason, Refusal};
use crate::form::Form;
use crate::grant_type::GrantType;
use crate::id::ResourceUri;
use crate::scope::ScopeSet;
use crate::secret::SecretString;
use crate::wire::wire_names;

/// A request at the token endpoint, without the client's credentials. Unknown parameters are
/// ignored (RFC 6749 section 3.2).
pub enum TokenRequest {
    /// RFC 6749 section 4.4.2.
    ClientCredentials {
        /// The asked scopes; none means the default.
        scope: Option<ScopeSet>,
        /// The asked resource (RFC 8707 section 2).
        resource: Option<ResourceUri>,
    },
    /// RFC 6749 section 6.
    RefreshToken {
        /// The token as presented, not checked in any way.
        refresh_token: SecretString,
        /// The asked scopes; none means all of the grant.
        scope: Option<ScopeSet>,
        /// The asked resource (RFC 8707 section 2).
        resource: Option<ResourceUri>,
    },
    /// RFC 6749 section 4.1.3.
    AuthorizationCode {
        /// The code as presented, not checked in any way.
        code: SecretString,
        /// The redirect URI of the authorization request, if it named one.
        redirect_uri: Option<String>,
        /// The verifier of PKCE (RFC 7636 section 4.5), not checked in any way.
        code_verifier: Option<SecretString>,
        /// The asked resource (RFC 8707 section 2.2).
        resource: Option<ResourceUri>,
    },
    /// RFC 8628 section 3.4.
    DeviceCode {
        /// The code as presented, not checked in any way.
        device_code: SecretString,
        /// The asked resource (RFC 8707 section 2.2).
        resource: Option<ResourceUri>,
    },
    /// RFC 6749 section 4.3.2.
    Password {
        /// The user's name as typed, at most [`TokenRequest::MAX_USERNAME_BYTES`].
        username: String,
        /// The password as typed, at most [`TokenRequest::MAX_PASSWORD_BYTES`].
        password: SecretString,
        /// The asked scopes; none means the default.
        scope: Option<ScopeSet>,
        /// The asked resource (RFC 8707 section 2).
        resource: Option<ResourceUri>,
    },
}

impl TokenRequest {
    /// The most bytes in a user's name.
    pub const MAX_USERNAME_BYTES: usize = 255;
    /// The most bytes in a password; a longer one is refused before it is hashed, never cut.
    pub const MAX_PASSWORD_BYTES: usize = 1024;

    /// Takes the parameters of the grant out of `form`.
    ///
    /// # Errors
    /// `invalid_request` for absent or oversized parameters, `unsupported_grant_type`,
    /// `invalid_scope` for a malformed scope, `invalid_target` for a malformed resource.
    pub fn parse(form: &mut Form) -> Result<Self, Refusal> {
        let grant_type: GrantType = required(form, "grant_type")?.parse().map_err(|_| UNKNOWN)?;
        match grant_type {
            GrantType::ClientCredentials => Ok(Self::ClientCredentials {
                scope: take_scope(form)?,
                resource: take_resource(form)?,
            }),
            GrantType::RefreshToken => Self::refresh(form),
            GrantType::Password => {
                let username = required(form, "username")?;
                let password = SecretString::new(required(form, "password")?);
                if username.len() > Self::MAX_USERNAME_BYTES
                    || password.expose().len() > Self::MAX_PASSWORD_BYTES
                {
                    return Err(Refusal::new(ErrorCode::InvalidRequest, Reason::InvalidParameter));
                }
                Ok(Self::Password {
                    username,
                    password,
                    scope: take_scope(form)?,
                    resource: take_resource(form)?,
                })
            }
            GrantType::AuthorizationCode => Ok(Self::AuthorizationCode {
                code: SecretString::new(required(form, "code")?),
                redirect_uri: form.take("redirect_uri"),
                code_verifier: form.take("code_verifier").map(SecretString::new),
                resource: take_resource(form)?,
            }),
            GrantType::DeviceCode => Ok(Self::DeviceCode {
                device_code: SecretString::new(required(form, "device_code")?),
                resource: take_resource(form)?,
            }),
        }
    }

    /// Takes the parameters of a refresh out of `form`, where `grant_type` may be left out.
    ///
    /// # Errors
    /// As [`TokenRequest::parse`]; `unsupported_grant_type` for any other grant type.
    pub fn parse_refresh(form: &mut Form) -> Result<Self, Refusal> {
        match form.take("grant_type") {
            Some(other) if other != GrantType::RefreshToken.as_str() => Err(UNKNOWN),
            _ => Self::refresh(form),
        }
    }

    fn refresh(form: &mut Form) -> Result<Self, Refusal> {
        Ok(Self::RefreshToken {
            refresh_token: SecretString::new(required(form, "refresh_token")?),
            scope: take_scope(form)?,
            resource: take_resource(form)?,
        })
    }

    /// The grant type of the request.
    pub const fn grant_type(&self) -> GrantType {
        match self {
            Self::ClientCredentials { .. } => GrantType::ClientCredentials,
            Self::RefreshToken { .. } => GrantType::RefreshToken,
            Self::Password { .. } => GrantType::Password,
            Self::AuthorizationCode { .. } => GrantType::AuthorizationCode,
            Self::DeviceCode { .. } => GrantType::DeviceCode,
        }
    }
}

impl fmt::Debug for TokenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenRequest({})", self.grant_type())
    }
}

/// The client's credentials in the body (RFC 6749 section 2.3.1), not checked against anything.
pub struct PostedCredentials {
    /// `client_id` as sent.
    pub client_id: Option<String>,
    /// `client_secret` as sent.
    pub client_secret: Option<SecretString>,
    /// Whether `client_assertion` or `client_assertion_type` (RFC 7521 section 4.2) was sent.
    pub assertion_present: bool,
}

impl PostedCredentials {
    /// Takes the credentials out of `form`.
    pub fn take(form: &mut Form) -> Self {
        let assertion = form.take("client_assertion").map(SecretString::new);
        let assertion_type = form.take("client_assertion_type");
        Self {
            client_id: form.take("client_id"),
            client_secret: form.take("client_secret").map(SecretString::new),
            assertion_present: assertion.is_some() || assertion_type.is_some(),
        }
    }
}

impl fmt::Debug for PostedCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PostedCredentials([redacted])")
    }
}

/// What a client believes a token to be (RFC 7009 section 2.1); no answer depends on it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TokenTypeHint {
    /// An access token.
    AccessToken,
    /// A refresh token.
    RefreshToken,
}

impl TokenTypeHint {
    /// Every hint.
    pub const ALL: [Self; 2] = [Self::AccessToken, Self::RefreshToken];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccessToken => "access_token",
            Self::RefreshToken => "refresh_token",
        }
    }
}

wire_names!(TokenTypeHint, "token type hint");

/// The body of introspection (RFC 7662 section 2.1) and revocation (RFC 7009 section 2.1).
pub struct TokenInquiry {
    /// The token as presented, not checked in any way.
    pub token: SecretString,
}

impl TokenInquiry {
    /// Takes the token out of `form`; the hint is taken and ignored, whatever it says.
    ///
    /// # Errors
    /// `invalid_request` when there is no token.
    pub fn parse(form: &mut Form) -> Result<Self, Refusal> {
        form.take("token_type_hint");
        let token = SecretString::new(required(form, "token")?);
        Ok(Self { token })
    }
}

impl fmt::Debug for TokenInquiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenInquiry([redacted])")
    }
}

const UNKNOWN: Refusal = Refusal::new(ErrorCode::UnsupportedGrantType, Reason::UnknownGrant);

fn required(form: &mut Form, name: &str) -> Result<String, Refusal> {
    form.take(name)
        .ok_or(Refusal::new(ErrorCode::InvalidRequest, Reason::MissingParameter))
}

fn take_scope(form: &mut Form) -> Result<Option<ScopeSet>, Refusal> {
    let parsed = form.take("scope").map(|text| ScopeSet::parse(&text));
    parsed
        .transpose()
        .map_err(|_| Refusal::new(ErrorCode::InvalidScope, Reason::InvalidParameter))
}

fn take_resource(form: &mut Form) -> Result<Option<ResourceUri>, Refusal> {
    let parsed = form.take("resource").map(|text| ResourceUri::parse(&text));
    parsed
        .transpose()
        .map_err(|_| Refusal::new(ErrorCode::InvalidTarget, Reason::UnknownResource))
}

#[cfg(test)]
mod tests {

    use super::*;

    fn parse(body: &str) -> Result<TokenRequest, Refusal> {
        TokenRequest::parse(&mut Form::parse(body.as_bytes()).unwrap())
    }

    fn fields(request: TokenRequest) -> (GrantType, Vec<String>, Option<String>, Option<String>) {
        let grant_type = request.grant_type();
        let (own, scope, resource) = match request {
            TokenRequest::ClientCredentials { scope, resource } => (vec![], scope, resource),
            TokenRequest::RefreshToken {
                refresh_token,
                scope,
                resource,
            } => (vec![refresh_token.expose().to_owned()], scope, resource),
            TokenRequest::Password {
                username,
                password,
                scope,
                resource,
            } => (vec![username, password.expose().to_owned()], scope, resource),
            TokenRequest::AuthorizationCode {
                code,
                redirect_uri,
                code_verifier,
                resource,
            } => {
                let own = [
                    Some(code.expose().to_owned()),
                    redirect_uri,
                    code_verifier.map(|verifier| verifier.expose().to_owned()),
                ];
                (own.into_iter().flatten().collect(), None, resource)
            }
            TokenRequest::DeviceCode {
                device_code,
                resource,
            } => (vec![device_code.expose().to_owned()], None, resource),
        };
        (
            grant_type,
            own,
            scope.map(|scope| scope.to_string()),
            resource.map(|resource| resource.to_string()),
        )
    }

    #[test]
    fn t40_each_grant_takes_its_own_parameters() {
        let asked = "scope=b+a&resource=http%3A%2F%2Fh%3A1%2Fmcp&unknown=x";
        for (body, grant_type, own) in [
            (
                "grant_type=client_credentials",
                GrantType::ClientCredentials,
                vec![],
            ),
            (
                "grant_type=refresh_token&refresh_token=r.t&username=ignored",
                GrantType::RefreshToken,
                vec!["r.t".to_owned()],
            ),
            (
                "grant_type=password&username=ann&password=p+w",
                GrantType::Password,
                vec!["ann".to_owned(), "p w".to_owned()],
            ),
        ] {
            let bare = fields(parse(body).unwrap());
            assert_eq!(bare, (grant_type, own.clone(), None, None), "{body}");
            let full = fields(parse(&format!("{body}&{asked}")).unwrap());
            let scope = Some("a b".to_owned());
            let resource = Some("http://h:1/mcp".to_owned());
            assert_eq!(full, (grant_type, own, scope, resource), "{body}");
        }
    }

    #[test]
    fn t20_d02_codes_come_with_what_they_are_redeemed_by() {
        let request =
            parse("grant_type=authorization_code&code=c&redirect_uri=u&code_verifier=v&scope=x").unwrap();
        let own = ["c", "u", "v"].map(str::to_owned).to_vec();
        assert_eq!(fields(request), (GrantType::AuthorizationCode, own, None, None));
        let request = parse("grant_type=urn:ietf:params:oauth:grant-type:device_code&device_code=d").unwrap();
        let own = vec!["d".to_owned()];
        assert_eq!(fields(request), (GrantType::DeviceCode, own, None, None));
    }

    #[test]
    fn t62_refusals_name_what_is_wrong() {
        use ErrorCode::{InvalidRequest, InvalidScope, InvalidTarget, UnsupportedGrantType};
        use Reason::{InvalidParameter, MissingParameter, UnknownGrant, UnknownResource};
        for (body, code, reason) in [
            ("", InvalidRequest, MissingParameter),
            ("grant_type=", InvalidRequest, MissingParameter),
            ("scope=a", InvalidRequest, MissingParameter),
            ("grant_type=implicit", UnsupportedGrantType, UnknownGrant),
            ("grant_type=Password", UnsupportedGrantType, UnknownGrant),
            ("grant_type=authorization_code", InvalidRequest, MissingParameter),
            (
                "grant_type=urn:ietf:params:oauth:grant-type:device_code",
                InvalidRequest,
                MissingParameter,
            ),
            ("grant_type=refresh_token", InvalidRequest, MissingParameter),
            (
                "grant_type=refresh_token&refresh_token=",
                InvalidRequest,
                MissingParameter,
            ),
            ("grant_type=password&username=a", InvalidRequest, MissingParameter),
            ("grant_type=password&password=a", InvalidRequest, MissingParameter),
            (
                "grant_type=client_credentials&scope=a++b",
                InvalidScope,
                InvalidParameter,
            ),
            (
                "grant_type=refresh_token&refresh_token=x&scope=%22",
                InvalidScope,
                InvalidParameter,
            ),
            (
                "grant_type=password&username=a&password=b&scope=%5c",
                InvalidScope,
                InvalidParameter,
            ),
            (
                "grant_type=client_credentials&resource=mcp",
                InvalidTarget,
                UnknownResource,
            ),
            (
                "grant_type=refresh_token&refresh_token=x&resource=https://h/%23f",
                InvalidTarget,
                UnknownResource,
            ),
            (
                "grant_type=password&username=a&password=b&resource=/x",
                InvalidTarget,
                UnknownResource,
            ),
        ] {
            assert_eq!(parse(body).err(), Some(Refusal::new(code, reason)), "{body}");
        }
    }

    #[test]
    fn h15_empty_scope_and_resource_count_as_omitted() {
        let request = parse("grant_type=client_credentials&scope=&resource=").unwrap();
        assert_eq!(
            fields(request),
            (GrantType::ClientCredentials, vec![], None, None)
        );
    }

    #[test]
    fn l02_oversized_passwords_are_refused_and_never_cut() {
        for (username, password, accepted) in [
            (255, 1024, true),
            (1, 1025, false),
            (1, 60_000, false),
            (256, 1, false),
        ] {
            let body = format!(
                "grant_type=password&username={}&password={}",
                "u".repeat(username),
                "p".repeat(password)
            );
            let parsed = parse(&body).map(fields);
            let expected = if accepted {
                let own = vec!["u".repeat(username), "p".repeat(password)];
                Ok((GrantType::Password, own, None, None))
            } else {
                Err(Refusal::new(ErrorCode::InvalidRequest, Reason::InvalidParameter))
            };
            assert_eq!(parsed, expected, "{username} {password}");
        }
    }

    #[test]
    fn t02_posted_credentials_leave_the_form() {
        for (body, id, secret, assertion) in [
            ("x=1", None, None, false),
            ("client_id=web", Some("web"), None, false),
            ("client_id=web&client_secret=s", Some("web"), Some("s"), false),
            ("client_id=&client_secret=", None, None, false),
            ("client_assertion=j.w.t", None, None, true),
            ("client_assertion_type=urn:x", None, None, true),
            ("client_assertion=&client_assertion_type=", None, None, false),
        ] {
            let mut form = Form::parse(body.as_bytes()).unwrap();
            let posted = PostedCredentials::take(&mut form);
            assert_eq!(posted.client_id.as_deref(), id, "{body}");
            let sent = posted.client_secret.as_ref().map(SecretString::expose);
            assert_eq!(sent, secret, "{body}");
            assert_eq!(posted.assertion_present, assertion, "{body}");
            form.take("x");
            assert!(form.is_empty(), "{body}");
        }
    }

    #[test]
    fn cl25_any_hint_is_ignored() {
        for body in [
            "token=t",
            "token=t&token_type_hint=",
            "token=t&token_type_hint=access_token",
            "token=t&token_type_hint=refresh_token",
            "token=t&token_type_hint=nonsense",
        ] {
            let mut form = Form::parse(body.as_bytes()).unwrap();
            assert_eq!(
                TokenInquiry::parse(&mut form).unwrap().token.expose(),
                "t",
                "{body}"
            );
            assert!(form.is_empty(), "{body}");
        }
        for hint in TokenTypeHint::ALL {
            assert_eq!(hint.as_str().parse::<TokenTypeHint>(), Ok(hint));
        }
        for body in ["", "token=", "token_type_hint=access_token"] {
            let mut form = Form::parse(body.as_bytes()).unwrap();
            assert_eq!(
                TokenInquiry::parse(&mut form).err(),
                Some(Refusal::new(ErrorCode::InvalidRequest, Reason::MissingParameter)),
                "{body}"
            );
        }
    }

    #[test]
    fn o01_debug_never_shows_a_value() {
        let body = "client_id=SEED&client_secret=SEED&client_assertion=SEED&token=SEED\
                    &username=SEED&password=SEED&refresh_token=SEED&scope=SEED\
                    &resource=https://SEED.example";
        for grant in ["client_credentials", "refresh_token", "password"] {
            let body = format!("grant_type={grant}&{body}");
            let mut form = Form::parse(body.as_bytes()).unwrap();
            let posted = PostedCredentials::take(&mut form);
            let inquiry = TokenInquiry::parse(&mut form).unwrap();
            let request = TokenRequest::parse(&mut form).unwrap();
            let shown = format!("{posted:?} {inquiry:?} {request:?} {form:?}");
            assert!(!shown.contains("SEED"), "{shown}");
            assert!(shown.contains(grant), "{shown}");
        }
    }
}
