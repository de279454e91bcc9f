//! The closed set of what a refusal says: the code of the RFC, a bland sentence, and a stable reason.

use crate::wire::wire_names;

/// The value of `error` on the wire (RFC 6749 sections 4.1.2.1 and 5.2, RFC 8707 section 2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ErrorCode {
    /// The request is malformed.
    InvalidRequest,
    /// The client did not prove who it is.
    InvalidClient,
    /// The grant or the user's credentials are not valid.
    InvalidGrant,
    /// The client may not use this grant type.
    UnauthorizedClient,
    /// The service does not know this grant type.
    UnsupportedGrantType,
    /// The scope is malformed or beyond what may be granted.
    InvalidScope,
    /// The resource is malformed or not allowed.
    InvalidTarget,
    /// The service cannot answer now and may later.
    TemporarilyUnavailable,
    /// The service failed.
    ServerError,
    /// The owner or the service said no.
    AccessDenied,
    /// The response type is not one that this service gives (RFC 6749 section 4.1.2.1).
    UnsupportedResponseType,
    /// Nobody is signed in, and nobody may be asked (OpenID Connect Core section 3.1.2.6).
    LoginRequired,
    /// Consent is missing, and nobody may be asked.
    ConsentRequired,
    /// Something has to be asked, and nobody may be asked.
    InteractionRequired,
    /// An account has to be chosen, and nobody may be asked.
    AccountSelectionRequired,
    /// Request objects are not taken (OpenID Connect Core section 3.1.2.6).
    RequestNotSupported,
    /// Request objects are fetched from nowhere.
    RequestUriNotSupported,
    /// Clients do not register by an authorization request.
    RegistrationNotSupported,
    /// The pushed request is unknown, used up, over, or of another client (RFC 9126).
    InvalidRequestUri,
    /// Nobody decided on the device yet (RFC 8628 section 3.5).
    AuthorizationPending,
    /// The device asks too often (RFC 8628 section 3.5).
    SlowDown,
    /// The device code is past its time (RFC 8628 section 3.5).
    ExpiredToken,
    /// A redirect URI is not one that may be registered (RFC 7591 section 3.2.2).
    InvalidRedirectUri,
    /// What a client says of itself may not be registered (RFC 7591 section 3.2.2).
    InvalidClientMetadata,
    /// The bearer token is not valid (RFC 6750 section 3.1).
    InvalidToken,
    /// The bearer token lacks a scope (RFC 6750 section 3.1).
    InsufficientScope,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [Self; 26] = [
        Self::InvalidRequest,
        Self::InvalidClient,
        Self::InvalidGrant,
        Self::UnauthorizedClient,
        Self::UnsupportedGrantType,
        Self::InvalidScope,
        Self::InvalidTarget,
        Self::TemporarilyUnavailable,
        Self::ServerError,
        Self::AccessDenied,
        Self::UnsupportedResponseType,
        Self::LoginRequired,
        Self::ConsentRequired,
        Self::InteractionRequired,
        Self::AccountSelectionRequired,
        Self::RequestNotSupported,
        Self::RequestUriNotSupported,
        Self::RegistrationNotSupported,
        Self::InvalidRequestUri,
        Self::AuthorizationPending,
        Self::SlowDown,
        Self::ExpiredToken,
        Self::InvalidRedirectUri,
        Self::InvalidClientMetadata,
        Self::InvalidToken,
        Self::InsufficientScope,
    ];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::ServerError => "server_error",
            Self::AccessDenied => "access_denied",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::LoginRequired => "login_required",
            Self::ConsentRequired => "consent_required",
            Self::InteractionRequired => "interaction_required",
            Self::AccountSelectionRequired => "account_selection_required",
            Self::RequestNotSupported => "request_not_supported",
            Self::RequestUriNotSupported => "request_uri_not_supported",
            Self::RegistrationNotSupported => "registration_not_supported",
            Self::InvalidRequestUri => "invalid_request_uri",
            Self::AuthorizationPending => "authorization_pending",
            Self::SlowDown => "slow_down",
            Self::ExpiredToken => "expired_token",
            Self::InvalidRedirectUri => "invalid_redirect_uri",
            Self::InvalidClientMetadata => "invalid_client_metadata",
            Self::InvalidToken => "invalid_token",
            Self::InsufficientScope => "insufficient_scope",
        }
    }
}

wire_names!(ErrorCode, "error code");

/// Makes the enum, its list and its words from one table.
macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident => $word:literal,)+) => {
        /// Why a request was refused, for programs and logs; the words are stable.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Reason {
            $($(#[$doc])* $variant,)+
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The stable word.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }
    };
}

reasons! {
    /// The body is not strict `application/x-www-form-urlencoded`.
    MalformedBody => "malformed_body",
    /// The body has another media type.
    UnsupportedMediaType => "unsupported_media_type",
    /// The body is larger than allowed.
    BodyTooLarge => "body_too_large",
    /// A parameter came twice.
    DuplicateParameter => "duplicate_parameter",
    /// A required parameter is absent or empty.
    MissingParameter => "missing_parameter",
    /// A parameter has a value outside its grammar or limits.
    InvalidParameter => "invalid_parameter",
    /// Parameters came in the query.
    ParametersInQuery => "parameters_in_query",
    /// The client used more than one authentication method.
    MultipleCredentials => "multiple_credentials",
    /// The client is unknown or its credentials are wrong.
    BadCredentials => "bad_credentials",
    /// The endpoint does not take this method.
    MethodNotAllowed => "method_not_allowed",
    /// No such endpoint.
    NotFound => "not_found",
    /// The client used another authentication method than the registered one.
    WrongAuthMethod => "wrong_auth_method",
    /// The grant is past its time.
    Expired => "expired",
    /// The grant was used again after its window.
    Reused => "reused",
    /// A newer grant has taken the place of this one.
    Superseded => "superseded",
    /// The grant was revoked.
    Revoked => "revoked",
    /// The grant belongs to another client.
    ClientMismatch => "client_mismatch",
    /// The token is not one this service makes.
    MalformedToken => "malformed_token",
    /// The token is well made but not known.
    UnknownToken => "unknown_token",
    /// The token is newer than the stored state.
    StateRollback => "state_rollback",
    /// The grant type is not registered for the client.
    GrantNotAllowed => "grant_not_allowed",
    /// The grant type is not known.
    UnknownGrant => "unknown_grant",
    /// The scope is not registered for the client.
    ScopeNotAllowed => "scope_not_allowed",
    /// No such resource.
    UnknownResource => "unknown_resource",
    /// The resource is not registered for the client.
    ResourceNotAllowed => "resource_not_allowed",
    /// The resource is not part of the grant.
    ResourceNotGranted => "resource_not_granted",
    /// The scope is not part of the grant.
    ScopeNotGranted => "scope_not_granted",
    /// The user is unknown or the password is wrong.
    BadPassword => "bad_password",
    /// A public client may not do this.
    PublicClientNotAllowed => "public_client_not_allowed",
    /// Too many attempts failed.
    TooManyAttempts => "too_many_attempts",
    /// The service has no capacity left.
    Busy => "busy",
    /// The store does not answer.
    StoreUnavailable => "store_unavailable",
    /// The view of the store is older than allowed.
    StaleView => "stale_view",
    /// The clocks of the issuer and of its database are too far apart.
    ClockSkew => "clock_skew",
    /// There is no key to sign with.
    NoSigningKey => "no_signing_key",
    /// The request was not answered in time.
    Deadline => "deadline",
    /// The headers are larger than allowed.
    HeadersTooLarge => "headers_too_large",
    /// No such client.
    UnknownClient => "unknown_client",
    /// The redirect URI is not one that the client registered.
    UnregisteredRedirectUri => "unregistered_redirect_uri",
    /// The request lacks the challenge of PKCE, or has one that is not S256.
    PkceRequired => "pkce_required",
    /// The code was not issued for what it is redeemed with.
    CodeMismatch => "code_mismatch",
    /// The verifier does not fit the challenge.
    BadVerifier => "bad_verifier",
    /// Nobody is signed in.
    NotSignedIn => "not_signed_in",
    /// Another person is signed in.
    OtherPerson => "other_person",
    /// The person has not consented.
    NoConsent => "no_consent",
    /// The person said no.
    Denied => "denied",
    /// A form came from elsewhere, or too late.
    ForeignForm => "foreign_form",
    /// The decision was made before.
    DecidedBefore => "decided_before",
    /// Nobody decided yet.
    Pending => "pending",
    /// The answer is asked for too often.
    TooSoon => "too_soon",
    /// Registration is not open to this caller.
    RegistrationClosed => "registration_closed",
    /// A fault of the service.
    Internal => "internal",
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refused request: the code of the RFC, and the stable reason beside it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[error("{code}: {reason}")]
pub struct Refusal {
    /// The code of the RFC.
    pub code: ErrorCode,
    /// The stable word that a program may act on.
    pub reason: Reason,
}

impl Refusal {
    /// A refusal with this code and reason.
    pub const fn new(code: ErrorCode, reason: Reason) -> Self {
        Self { code, reason }
    }

    /// A sentence for `error_description`, in the characters of RFC 6749 section 5.2.
    ///
    /// Credentials and grants each have a single sentence, so that it is no oracle.
    pub const fn description(&self) -> &'static str {
        match self.code {
            ErrorCode::InvalidRequest => describe_request(self.reason),
            ErrorCode::InvalidClient => "Client authentication failed.",
            ErrorCode::InvalidGrant => "The grant is not valid.",
            ErrorCode::UnauthorizedClient => "The client may not use this grant type.",
            ErrorCode::UnsupportedGrantType => "The grant type is not supported.",
            ErrorCode::InvalidScope => match self.reason {
                Reason::ScopeNotAllowed | Reason::ScopeNotGranted => "A requested scope may not be granted.",
                _ => "The scope is not valid.",
            },
            ErrorCode::InvalidTarget => "The resource is not valid for this request.",
            ErrorCode::TemporarilyUnavailable => "The service is unavailable, try again later.",
            ErrorCode::ServerError => "The service failed to answer the request.",
            ErrorCode::AccessDenied => "The request was denied.",
            ErrorCode::UnsupportedResponseType => "The response type is not supported.",
            ErrorCode::LoginRequired => "The user is not signed in.",
            ErrorCode::ConsentRequired => "The user has not consented.",
            ErrorCode::InteractionRequired => "The user has to be asked.",
            ErrorCode::AccountSelectionRequired => "The user has to choose an account.",
            ErrorCode::RequestNotSupported => "Request objects are not supported.",
            ErrorCode::RequestUriNotSupported => "Request objects by reference are not supported.",
            ErrorCode::RegistrationNotSupported => "Registration by this request is not supported.",
            ErrorCode::InvalidRequestUri => "The pushed request is not valid.",
            ErrorCode::AuthorizationPending => "The user has not decided yet.",
            ErrorCode::SlowDown => "The device asks too often.",
            ErrorCode::ExpiredToken => "The device code has expired.",
            ErrorCode::InvalidRedirectUri => "A redirect URI may not be registered.",
            ErrorCode::InvalidClientMetadata => "The client metadata may not be registered.",
            ErrorCode::InvalidToken => "The access token is not valid.",
            ErrorCode::InsufficientScope => "The access token lacks a scope.",
        }
    }
}

const fn describe_request(reason: Reason) -> &'static str {
    match reason {
        Reason::MalformedBody => "The request body is malformed.",
        Reason::UnsupportedMediaType => "The content type is not one that this address takes.",
        Reason::BodyTooLarge => "The request body is too large.",
        Reason::HeadersTooLarge => "The request headers are too large.",
        Reason::DuplicateParameter => "A parameter is given more than once.",
        Reason::MissingParameter => "A required parameter is missing.",
        Reason::InvalidParameter => "A parameter has an invalid value.",
        Reason::ParametersInQuery => "Parameters belong in the request body.",
        Reason::MultipleCredentials => "More than one client authentication method is used.",
        Reason::MethodNotAllowed => "The request method is not allowed here.",
        Reason::NotFound => "There is nothing at this address.",
        Reason::Deadline => "The request was not complete in time.",
        Reason::PkceRequired => "A code_challenge with the method S256 is required.",
        Reason::UnregisteredRedirectUri => "The redirect_uri is not registered for the client.",
        _ => "The request is not valid.",
    }
}

#[cfg(test)]
mod tests {

    use std::collections::BTreeSet;

    use super::*;

    fn descriptions(code: ErrorCode) -> BTreeSet<&'static str> {
        Reason::ALL
            .iter()
            .map(|reason| Refusal::new(code, *reason).description())
            .collect()
    }

    #[test]
    fn codes_survive_the_wire() {
        for code in ErrorCode::ALL {
            let json = serde_json::to_string(&code).unwrap();
            assert_eq!(json, format!("\"{code}\""));
            assert_eq!(serde_json::from_str::<ErrorCode>(&json).unwrap(), code);
        }
        assert!(serde_json::from_str::<ErrorCode>("\"Invalid_Request\"").is_err());
    }

    #[test]
    fn reasons_are_distinct_snake_case_words() {
        let words: BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(words.len(), 52);
        assert_eq!(words.len(), Reason::ALL.len());
        for word in words {
            assert!(
                word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
                "{word}"
            );
        }
    }

    #[test]
    fn t01_l01_credentials_and_grants_have_one_sentence_each() {
        for code in [
            ErrorCode::InvalidClient,
            ErrorCode::InvalidGrant,
            ErrorCode::InvalidTarget,
        ] {
            assert_eq!(descriptions(code).len(), 1, "{code}");
        }
    }

    #[test]
    fn h22_descriptions_are_a_small_set_in_the_allowed_characters() {
        let all: BTreeSet<&str> = ErrorCode::ALL.into_iter().flat_map(descriptions).collect();
        assert!(all.len() <= 41, "{all:?}");
        for sentence in all {
            assert!(sentence.ends_with('.'));
            assert!(
                sentence
                    .bytes()
                    .all(|byte| matches!(byte, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e)),
                "{sentence}"
            );
        }
    }

    #[test]
    fn cl22_request_errors_say_what_to_mend() {
        let distinct = descriptions(ErrorCode::InvalidRequest);
        assert_eq!(distinct.len(), 15);
        let refusal = Refusal::new(ErrorCode::InvalidRequest, Reason::DuplicateParameter);
        assert_eq!(refusal.description(), "A parameter is given more than once.");
        assert_eq!(refusal.to_string(), "invalid_request: duplicate_parameter");
    }
}
