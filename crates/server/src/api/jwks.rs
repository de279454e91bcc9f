//! `GET /.well-known/jwks.json` (RFC 7517 5), from memory.

use poem::web::Data;
use poem_openapi::OpenApi;
use poem_openapi::param::Header;

use super::Tag;
use super::document::{CachedAnswer, cached};
use super::state::ApiState;

pub(super) struct JwksApi;

#[OpenApi]
impl JwksApi {
    /// The public keys
    ///
    /// Holds every key that a token accepted now may be signed with, and the next ones. `Cache-Control` follows from
    /// the rotation plan.
    #[oai(
        path = "/.well-known/jwks.json",
        method = "get",
        tag = "Tag::Metadata",
        operation_id = "jwks"
    )]
    async fn jwks(
        &self,
        state: Data<&ApiState>,
        #[oai(name = "If-None-Match")] known: Header<Option<String>>,
    ) -> CachedAnswer {
        let jwks = state.issuer.jwks();
        cached(jwks.bytes, jwks.etag, jwks.max_age, known.0.as_deref())
    }
}
