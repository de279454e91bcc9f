//! Discovery: `openid-configuration` (OpenID Connect Discovery 4) and `oauth-authorization-server` (RFC 8414 3), one
//! content. It names only what is enforced.

use std::sync::Arc;
use std::time::Duration;

use poem::web::Data;
use poem::{Endpoint, Request, Response, endpoint::make};
use poem_openapi::OpenApi;
use poem_openapi::param::Header;
use serde_json::{Value, json};
use vouchsafe_issuer::Issuer;
use vouchsafe_protocol::ClientAuthMethod;

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
    let url = &issuer.config().issuer;
    let with_secret = [
        ClientAuthMethod::ClientSecretBasic,
        ClientAuthMethod::ClientSecretPost,
    ]
    .map(ClientAuthMethod::as_str);
    let every = ClientAuthMethod::ALL.map(ClientAuthMethod::as_str);
    json!({
        "issuer": url.as_str(),
        "token_endpoint": url.join("/token"),
        "jwks_uri": url.join("/.well-known/jwks.json"),
        "introspection_endpoint": url.join("/introspect"),
        "revocation_endpoint": url.join("/revoke"),
        "grant_types_supported": Issuer::grants().map(|grant| grant.as_str()),
        "response_types_supported": [],
        "subject_types_supported": ["public"],
        // Libraries take the algorithms of access tokens from here too.
        "id_token_signing_alg_values_supported": issuer.config().key_policy.algorithms,
        "token_endpoint_auth_methods_supported": every,
        "introspection_endpoint_auth_methods_supported": with_secret,
        "revocation_endpoint_auth_methods_supported": every,
    })
}
