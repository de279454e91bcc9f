//! Discovery: `openid-configuration` (OpenID Connect Discovery 4) and `oauth-authorization-server` (RFC 8414 3), one
//! content. It names only what is enforced.

use std::sync::Arc;
use std::time::Duration;

use poem::web::Data;
use poem::{Endpoint, Request, Response, endpoint::make};
use poem_openapi::OpenApi;
use poem_openapi::param::Header;
use serde_json::{Value, json};
use vouchsafe_issuer::{ACR, Issuer, RegistrationMode, supported_claims};
use vouchsafe_protocol::{ClientAuthMethod, OIDC_SCOPES, Prompt, ResponseMode, is_oidc_scope};

use super::Tag;
use super::document::{CachedAnswer, cached, etag_of};
use super::state::ApiState;

const MAX_AGE: Duration = Duration::from_secs(300);

pub(super) struct DiscoveryApi;

#[OpenApi]
impl DiscoveryApi {
    /// What this issuer offers, for OpenID Connect clients
    #[oai(
        path = "/.well-known/openid-configuration",
        method = "get",
        tag = "Tag::Metadata",
        operation_id = "openid_configuration"
    )]
    async fn openid(
        &self,
        state: Data<&ApiState>,
        #[oai(name = "If-None-Match")] known: Header<Option<String>>,
    ) -> CachedAnswer {
        answer(state.0, known.0.as_deref())
    }

    /// What this issuer offers, for OAuth clients
    #[oai(
        path = "/.well-known/oauth-authorization-server",
        method = "get",
        tag = "Tag::Metadata",
        operation_id = "authorization_server"
    )]
    async fn oauth(
        &self,
        state: Data<&ApiState>,
        #[oai(name = "If-None-Match")] known: Header<Option<String>>,
    ) -> CachedAnswer {
        answer(state.0, known.0.as_deref())
    }
}

/// The same content where RFC 8414 3.1 puts it for an issuer with a path.
pub(super) fn inserted(state: &ApiState) -> impl Endpoint<Output = Response> + use<> {
    let state = state.clone();
    make(move |request: Request| {
        let known = request.header("if-none-match").map(str::to_owned);
        let answer = answer(&state, known.as_deref());
        async move { poem::IntoResponse::into_response(answer) }
    })
}

fn answer(state: &ApiState, known: Option<&str>) -> CachedAnswer {
    let bytes: Arc<[u8]> = metadata(&state.issuer).to_string().into_bytes().into();
    let etag = etag_of(&bytes);
    cached(bytes, etag, MAX_AGE, known)
}

fn metadata(issuer: &Issuer) -> Value {
    let config = issuer.config();
    let url = &config.issuer;
    let with_secret = [
        ClientAuthMethod::ClientSecretBasic,
        ClientAuthMethod::ClientSecretPost,
    ]
    .map(ClientAuthMethod::as_str);
    let every = ClientAuthMethod::ALL.map(ClientAuthMethod::as_str);
    let mut metadata = json!({
        "issuer": url.as_str(),
        "authorization_endpoint": url.join("/authorize"),
        "pushed_authorization_request_endpoint": url.join("/par"),
        "device_authorization_endpoint": url.join("/device_authorization"),
        "token_endpoint": url.join("/token"),
        "userinfo_endpoint": url.join("/userinfo"),
        "end_session_endpoint": url.join("/logout"),
        "jwks_uri": url.join("/.well-known/jwks.json"),
        "introspection_endpoint": url.join("/introspect"),
        "revocation_endpoint": url.join("/revoke"),
        "scopes_supported": scopes(issuer),
        "claims_supported": claims(),
        "claims_parameter_supported": true,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "grant_types_supported": Issuer::grants().map(|grant| grant.as_str()),
        "response_types_supported": ["code"],
        "response_modes_supported": ResponseMode::ALL.map(ResponseMode::as_str),
        "prompt_values_supported": Prompt::ALL.map(Prompt::as_str),
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
        "acr_values_supported": [ACR],
        "subject_types_supported": ["public", "pairwise"],
        "ui_locales_supported": ["en", "de"],
        // Libraries take the algorithms of access tokens from here too.
        "id_token_signing_alg_values_supported": config.key_policy.algorithms,
        "token_endpoint_auth_methods_supported": every,
        "introspection_endpoint_auth_methods_supported": with_secret,
        "revocation_endpoint_auth_methods_supported": every,
        "backchannel_logout_supported": true,
        "backchannel_logout_session_supported": true,
    });
    if let Some(members) = metadata.as_object_mut() {
        if config.registration != RegistrationMode::Closed {
            members.insert("registration_endpoint".to_owned(), url.join("/register").into());
        }
        if config.registration == RegistrationMode::Open {
            members.insert("client_id_metadata_document_supported".to_owned(), true.into());
        }
    }
    metadata
}

/// What anybody may ask for: the scopes of OpenID Connect, and those of resources that are open.
fn scopes(issuer: &Issuer) -> Vec<String> {
    let open = issuer.open_scopes();
    let others = open.iter().filter(|scope| !is_oidc_scope(scope.as_str()));
    let of_oidc = OIDC_SCOPES.into_iter().map(str::to_owned);
    of_oidc.chain(others.map(ToString::to_string)).collect()
}

/// What tokens and userinfo may tell (OpenID Connect Discovery 3).
fn claims() -> Vec<&'static str> {
    let of_tokens = [
        "sub",
        "iss",
        "aud",
        "exp",
        "iat",
        "auth_time",
        "nonce",
        "acr",
        "amr",
        "at_hash",
        "sid",
    ];
    let mut claims = of_tokens.to_vec();
    claims.extend(supported_claims());
    claims
}
