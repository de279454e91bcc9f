//! The table of what is served where, which the pipeline asks before any handler runs.

use http::Method;

use crate::http::route::RouteSpec;
use crate::pages::PAGES;

const fn open(path: &'static str, methods: &'static [Method], cacheable: bool) -> RouteSpec {
    RouteSpec {
        path,
        methods,
        cors: true,
        cacheable,
        page: false,
    }
}

const fn private(path: &'static str, methods: &'static [Method], cacheable: bool) -> RouteSpec {
    RouteSpec {
        path,
        methods,
        cors: false,
        cacheable,
        page: false,
    }
}

const GET: &[Method] = &[Method::GET, Method::HEAD];
const BOTH: &[Method] = &[Method::GET, Method::POST, Method::HEAD];
const REGISTERED: &[Method] = &[Method::GET, Method::PUT, Method::DELETE, Method::HEAD];
const POST: &[Method] = &[Method::POST];

/// Every public path but those of pages, which have a table of their own.
const ROUTES: &[RouteSpec] = &[
    open("/token", POST, false),
    open("/refresh", POST, false),
    private("/introspect", POST, false),
    open("/revoke", POST, false),
    open("/par", POST, false),
    open("/device_authorization", POST, false),
    open("/userinfo", BOTH, false),
    open("/register", POST, false),
    open("/register/*", REGISTERED, false),
    private("/assets/*", GET, true),
    open("/.well-known/jwks.json", GET, true),
    open("/.well-known/openid-configuration", GET, true),
    open("/.well-known/oauth-authorization-server", GET, true),
    open("/openapi.json", GET, true),
    private("/docs", GET, true),
];

/// Every path of the management listener.
pub(crate) const MANAGEMENT_ROUTES: &[RouteSpec] =
    &[private("/livez", GET, false), private("/readyz", GET, false)];

/// The public paths of an issuer with this path. The table is kept for the life of the process.
pub(crate) fn routes_under(path: &str) -> &'static [RouteSpec] {
    let pages = PAGES.iter().map(|page| RouteSpec {
        page: true,
        ..private(page.path, page.methods, false)
    });
    let mut routes: Vec<RouteSpec> = ROUTES.iter().copied().chain(pages).collect();
    if !path.is_empty() {
        let keep = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
        for route in &mut routes {
            route.path = keep(format!("{path}{}", route.path));
        }
        let inserted = keep(format!("/.well-known/oauth-authorization-server{path}"));
        routes.push(open(inserted, GET, true));
    }
    Box::leak(routes.into_boxed_slice())
}
