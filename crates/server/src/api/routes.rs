//! The table of what is served where, which the pipeline asks before any handler runs.

use http::Method;

use crate::http::route::RouteSpec;

const fn open(path: &'static str, methods: &'static [Method], cacheable: bool) -> RouteSpec {
    RouteSpec {
        path,
        methods,
        cors: true,
        cacheable,
    }
}

const fn private(path: &'static str, methods: &'static [Method], cacheable: bool) -> RouteSpec {
    RouteSpec {
        path,
        methods,
        cors: false,
        cacheable,
    }
}

const GET: &[Method] = &[Method::GET];
const BOTH: &[Method] = &[Method::GET, Method::POST];
const REGISTERED: &[Method] = &[Method::GET, Method::PUT, Method::DELETE];
const POST: &[Method] = &[Method::POST];

/// Every public path.
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
    private("/authorize", BOTH, false),
    private("/sign-in", BOTH, false),
    private("/select-account", BOTH, false),
    private("/consent", BOTH, false),
    private("/device", BOTH, false),
    private("/device/confirm", BOTH, false),
    private("/device/done", GET, false),
    private("/sign-up", BOTH, false),
    private("/account", GET, false),
    private("/account/session", POST, false),
    private("/account/app", POST, false),
    private("/account/consent", POST, false),
    private("/account/sign-out", POST, false),
    private("/account/password", BOTH, false),
    private("/logout", BOTH, false),
    private("/sign-out", POST, false),
    private("/signed-out", GET, false),
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

/// The public paths of an issuer with this path. One table is kept for the life of the process.
pub(crate) fn routes_under(path: &str) -> &'static [RouteSpec] {
    if path.is_empty() {
        return ROUTES;
    }
    let keep = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
    let mut routes: Vec<RouteSpec> = ROUTES
        .iter()
        .map(|route| RouteSpec {
            path: keep(format!("{path}{}", route.path)),
            ..*route
        })
        .collect();
    routes.push(open(
        keep(format!("/.well-known/oauth-authorization-server{path}")),
        GET,
        true,
    ));
    Box::leak(routes.into_boxed_slice())
}
