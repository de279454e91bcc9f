//! The headers that every answer carries, whoever made it.

use std::io;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ALLOW,
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, PRAGMA,
    REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderValue, StatusCode, Version};
use http_body_util::combinators::BoxBody;
use hyper::body::Body as _;
use poem::Response;

use super::route::RouteSpec;

/// What the headers of an answer depend on.
#[derive(Clone, Copy)]
pub(super) struct Circumstances {
    pub(super) route: Option<&'static RouteSpec>,
    pub(super) version: Version,
    /// The request was HEAD: headers as for GET, no body (RFC 9110 section 9.3.2).
    pub(super) head: bool,
    /// Browsers may insist on https from now on.
    pub(super) hsts: bool,
}

/// Completes an answer.
pub(super) fn finish(response: &mut Response, about: Circumstances) {
    let status = response.status();
    let length = settle_body(response, about.head);
    let headers = response.headers_mut();
    if headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| value == "application/json; charset=utf-8")
    {
        // JSON has one encoding and no such parameter (RFC 8259 section 11).
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    if length == Some(0) {
        headers.remove(CONTENT_TYPE);
    } else if about.head
        && let Some(length) = length
    {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    cache_headers(headers, about.route.is_some_and(|route| route.cacheable));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    if about.hsts {
        let one_year = HeaderValue::from_static("max-age=31536000");
        headers.insert(STRICT_TRANSPORT_SECURITY, one_year);
    }
    // Illegal in HTTP/2 (RFC 9113 section 8.2.2).
    if about.version >= Version::HTTP_2 {
        headers.remove(CONNECTION);
    }
    if status == StatusCode::METHOD_NOT_ALLOWED
        && let Some(allow) = about.route.and_then(RouteSpec::allow)
    {
        headers.insert(ALLOW, allow);
    }
    frame_headers(headers);
    cors_headers(headers, about.route.is_some_and(|route| route.cors));
}

/// Gives the length of the body, where it is known, and drops the body of an answer to HEAD.
fn settle_body(response: &mut Response, head: bool) -> Option<u64> {
    let body: BoxBody<Bytes, io::Error> = response.take_body().into();
    let length = body.size_hint().exact();
    if !head {
        response.set_body(body);
    }
    length
}

/// Nothing is stored that does not say so itself, where it may; `Pragma` says it to HTTP/1.0 (RFC 6749 section 5.1).
fn cache_headers(headers: &mut HeaderMap, cacheable: bool) {
    if !cacheable || !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    let no_store = |value: &HeaderValue| value.to_str().is_ok_and(|value| value.contains("no-store"));
    if headers.get_all(CACHE_CONTROL).iter().any(no_store) {
        headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    }
}

/// No page is ever framed (RFC 9700 section 4.16); a page's own policy must say so itself.
fn frame_headers(headers: &mut HeaderMap) {
    let is_page = headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"text/html"));
    if is_page {
        headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        headers
            .entry(CONTENT_SECURITY_POLICY)
            .or_insert(HeaderValue::from_static("frame-ancestors 'none'"));
    }
}

/// Any origin, never with credentials: the routes that allow it read no cookie (RFC 9700 section 2.6).
fn cors_headers(headers: &mut HeaderMap, allowed: bool) {
    headers.remove(ACCESS_CONTROL_ALLOW_CREDENTIALS);
    if allowed {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("WWW-Authenticate, DPoP-Nonce, Retry-After"),
        );
    } else {
        headers.remove(ACCESS_CONTROL_ALLOW_ORIGIN);
        headers.remove(ACCESS_CONTROL_EXPOSE_HEADERS);
    }
}

#[cfg(test)]
mod tests {
    use super::{Circumstances, finish};
    use crate::http::route::RouteSpec;
    use http::{Method, StatusCode, Version};
    use poem::Response;

    static OPEN: RouteSpec = RouteSpec {
        path: "/jwks",
        methods: &[Method::GET, Method::HEAD],
        cors: true,
        cacheable: true,
        page: false,
    };
    static CLOSED: RouteSpec = RouteSpec {
        path: "/login",
        methods: &[Method::GET],
        cors: false,
        cacheable: false,
        page: false,
    };

    fn about(route: &'static RouteSpec) -> Circumstances {
        Circumstances {
            route: Some(route),
            version: Version::HTTP_11,
            head: false,
            hsts: true,
        }
    }

    fn finished(mut response: Response, about: Circumstances) -> Response {
        finish(&mut response, about);
        response
    }

    #[test]
    fn h19_open_routes_answer_any_origin_and_closed_ones_none() {
        let claim = || {
            Response::builder()
                .header("access-control-allow-origin", "https://evil.example")
                .header("access-control-allow-credentials", "true")
                .finish()
        };
        let open = finished(claim(), about(&OPEN));
        assert_eq!(open.header("access-control-allow-origin"), Some("*"));
        assert_eq!(open.header("access-control-allow-credentials"), None);
        let closed = finished(claim(), about(&CLOSED));
        assert_eq!(closed.header("access-control-allow-origin"), None);
        assert_eq!(closed.header("access-control-allow-credentials"), None);
    }

    #[test]
    fn only_cacheable_routes_may_be_cached_and_only_when_they_say_so() {
        let public = || {
            Response::builder()
                .header("cache-control", "public, max-age=300")
                .finish()
        };
        let cache = |response: Response| response.header("cache-control").map(str::to_owned);
        assert_eq!(
            cache(finished(public(), about(&OPEN))).as_deref(),
            Some("public, max-age=300")
        );
        assert_eq!(
            cache(finished(public(), about(&CLOSED))).as_deref(),
            Some("no-store")
        );
        assert_eq!(
            cache(finished(Response::from("x"), about(&OPEN))).as_deref(),
            Some("no-store")
        );
    }

    #[test]
    fn no_store_never_comes_without_no_cache() {
        let said = |value: &'static str| Response::builder().header("cache-control", value).finish();
        for (response, route, pragma) in [
            (said("public, max-age=300"), &OPEN, None),
            (said("public, max-age=300"), &CLOSED, Some("no-cache")),
            (said("private, no-store"), &OPEN, Some("no-cache")),
            (Response::from("x"), &OPEN, Some("no-cache")),
            (Response::from("x"), &CLOSED, Some("no-cache")),
        ] {
            let response = finished(response, about(route));
            assert_eq!(response.header("pragma"), pragma, "{response:?}");
        }
    }

    #[test]
    fn h20_pages_cannot_be_framed() {
        let page = Response::builder()
            .content_type("text/html; charset=utf-8")
            .body("<p>");
        let page = finished(page, about(&CLOSED));
        assert_eq!(page.header("x-frame-options"), Some("DENY"));
        assert_eq!(
            page.header("content-security-policy"),
            Some("frame-ancestors 'none'")
        );
        assert_eq!(page.header("referrer-policy"), Some("same-origin"));
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(page.header("strict-transport-security"), Some("max-age=31536000"));
    }

    #[test]
    fn empty_answers_have_no_content_type() {
        let empty = Response::builder().content_type("text/plain").finish();
        let empty = finished(empty, about(&CLOSED));
        assert_eq!(empty.header("content-type"), None);
    }

    #[test]
    fn head_keeps_the_headers_and_drops_the_body() {
        let response = Response::builder()
            .content_type("application/json")
            .body("{\"keys\":[]}");
        let head = Circumstances {
            head: true,
            ..about(&OPEN)
        };
        let response = finished(response, head);
        assert_eq!(response.header("content-length"), Some("11"));
        assert_eq!(response.header("content-type"), Some("application/json"));
        assert!(response.into_body().is_empty());
    }

    #[test]
    fn h12_a_405_of_anyone_lists_the_methods() {
        let response = finished(Response::from(StatusCode::METHOD_NOT_ALLOWED), about(&OPEN));
        assert_eq!(response.header("allow"), Some("GET, HEAD, OPTIONS"));
    }

    #[test]
    fn connection_headers_stay_out_of_http2() {
        let close = || Response::builder().header("connection", "close").body("late");
        let http2 = Circumstances {
            version: Version::HTTP_2,
            ..about(&CLOSED)
        };
        assert_eq!(finished(close(), http2).header("connection"), None);
        let http1 = about(&CLOSED);
        assert_eq!(finished(close(), http1).header("connection"), Some("close"));
    }
}
