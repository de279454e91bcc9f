//! Documents that caches may keep, and the description of this interface with a page to try it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG};
use poem::endpoint::make;
use poem::{Endpoint, IntoResponse, Request, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::{Any, Type};

/// The page runs its own inline script and asks only this origin.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
     img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
const MAX_AGE: Duration = Duration::from_secs(300);

/// A JSON document with its entity tag and lifetime, or word that it has not changed.
pub(super) struct CachedAnswer {
    bytes: Option<Arc<[u8]>>,
    etag: String,
    max_age: Duration,
}

/// Answers with the document, unless the caller has it already (RFC 9110 13.1.2).
pub(super) fn cached(bytes: Arc<[u8]>, etag: String, max_age: Duration, known: Option<&str>) -> CachedAnswer {
    let same = |tag: &str| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag;
    let unchanged = known.is_some_and(|known| known.split(',').map(str::trim).any(same));
    CachedAnswer {
        bytes: (!unchanged).then_some(bytes),
        etag,
        max_age,
    }
}

/// A strong entity tag of a document.
pub(super) fn etag_of(bytes: &[u8]) -> String {
    use base64::Engine as _;
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let short = digest.as_ref().get(..16).unwrap_or_default();
    format!(
        "\"{}\"",
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(short)
    )
}

impl IntoResponse for CachedAnswer {
    fn into_response(self) -> Response {
        let answer = Response::builder().header(ETAG, self.etag).header(
            CACHE_CONTROL,
            format!("public, max-age={}", self.max_age.as_secs()),
        );
        match self.bytes {
            Some(bytes) => answer
                .header(CONTENT_TYPE, "application/json")
                .body(bytes::Bytes::from_owner(bytes)),
            None => answer.status(StatusCode::NOT_MODIFIED).finish(),
        }
    }
}

impl ApiResponse for CachedAnswer {
    fn meta() -> MetaResponses {
        let response = |status: u16, description, content| MetaResponse {
            description,
            status: Some(status),
            status_range: None,
            content,
            headers: Vec::new(),
        };
        let document = MetaMediaType {
            content_type: "application/json",
            schema: <Any<serde_json::Value> as Type>::schema_ref(),
        };
        MetaResponses {
            responses: vec![
                response(
                    200,
                    "The document, with `ETag` and `Cache-Control`.",
                    vec![document],
                ),
                response(304, "It has not changed.", Vec::new()),
            ],
        }
    }

    fn register(_: &mut Registry) {}
}

/// The description and the page, each made when it is first asked for.
#[derive(Clone)]
pub(super) struct Document(Arc<Made>);

struct Made {
    server: String,
    description: OnceLock<Arc<[u8]>>,
    page: OnceLock<bytes::Bytes>,
}

impl Document {
    pub(super) fn new(server: String) -> Self {
        Self(Arc::new(Made {
            server,
            description: OnceLock::new(),
            page: OnceLock::new(),
        }))
    }

    /// `GET /openapi.json`.
    pub(super) fn description(self) -> impl Endpoint<Output = Response> {
        make(move |request: Request| {
            let made = self
                .0
                .description
                .get_or_init(|| description_of(Some(&self.0.server)).into_bytes().into());
            let known = request.header("if-none-match").map(str::to_owned);
            let answer = cached(Arc::clone(made), etag_of(made), MAX_AGE, known.as_deref());
            async move { answer.into_response() }
        })
    }

    /// `GET /docs`.
    pub(super) fn page(self) -> impl Endpoint<Output = Response> {
        make(move |_: Request| {
            let made = self
                .0
                .page
                .get_or_init(|| super::service(Some(&self.0.server)).swagger_ui_html().into());
            let response = Response::builder()
                .header(CONTENT_TYPE, "text/html; charset=utf-8")
                .header(CONTENT_SECURITY_POLICY, PAGE_POLICY)
                .header(CACHE_CONTROL, format!("public, max-age={}", MAX_AGE.as_secs()))
                .body(made.clone());
            async move { response }
        })
    }
}

/// The description of one issuer, pretty printed.
pub(super) fn description_of(server: Option<&str>) -> String {
    let mut text = super::service(server).spec();
    text.push('\n');
    text
}
