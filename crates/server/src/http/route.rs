//! The table of what is served where, asked before any handler so that unknown paths and methods cost nothing.

use http::{HeaderValue, Method};

/// One served path and what the pipeline must know about it.
#[derive(Clone, Copy, Debug)]
pub struct RouteSpec {
    /// An exact path, or a prefix that ends in `/*` and covers everything below it.
    pub path: &'static str,
    /// What the handler takes. HEAD is listed beside GET where that only shows something, and the handler sees GET;
    /// OPTIONS follows from `cors` and is not listed.
    pub methods: &'static [Method],
    /// Any origin may call and read it, without credentials (RFC 9700 section 2.6).
    pub cors: bool,
    /// The handler may set its own `Cache-Control`; elsewhere it is always `no-store`. Such a handler answers from
    /// memory, so it never waits behind those that do not.
    pub cacheable: bool,
    /// A browser shows it to a person: also what is refused before the handler is a page.
    pub page: bool,
}

/// What a method means on a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Run,
    Preflight,
    NotAllowed,
}

impl RouteSpec {
    fn prefix(&self) -> Option<&'static str> {
        self.path.strip_suffix('*').filter(|prefix| prefix.ends_with('/'))
    }

    pub(super) fn verdict(&self, method: &Method) -> Verdict {
        if self.methods.contains(method) {
            Verdict::Run
        } else if self.cors && *method == Method::OPTIONS {
            Verdict::Preflight
        } else {
            Verdict::NotAllowed
        }
    }

    /// The value of `Allow` (RFC 9110 section 10.2.1), also right for `Access-Control-Allow-Methods`.
    pub(super) fn allow(&self) -> Option<HeaderValue> {
        let mut words: Vec<&str> = self.methods.iter().map(Method::as_str).collect();
        if self.cors {
            words.push("OPTIONS");
        }
        HeaderValue::try_from(words.join(", ")).ok()
    }
}

/// The route of a path: an exact one first, else the longest prefix. The path is compared as sent, never decoded.
pub(super) fn find(routes: &'static [RouteSpec], path: &str) -> Option<&'static RouteSpec> {
    routes
        .iter()
        .find(|route| route.path == path && route.prefix().is_none())
        .or_else(|| {
            routes
                .iter()
                .filter(|route| route.prefix().is_some_and(|prefix| path.starts_with(prefix)))
                .max_by_key(|route| route.path.len())
        })
}

#[cfg(test)]
mod tests {
    use super::{RouteSpec, Verdict, find};
    use http::{HeaderValue, Method};

    static ROUTES: &[RouteSpec] = &[
        RouteSpec {
            path: "/token",
            methods: &[Method::POST],
            cors: true,
            cacheable: false,
            page: false,
        },
        RouteSpec {
            path: "/docs/*",
            methods: &[Method::GET, Method::HEAD],
            cors: false,
            cacheable: true,
            page: false,
        },
        RouteSpec {
            path: "/docs/openapi.json",
            methods: &[Method::GET, Method::HEAD],
            cors: true,
            cacheable: true,
            page: false,
        },
        RouteSpec {
            path: "/authorize",
            methods: &[Method::GET, Method::POST],
            cors: false,
            cacheable: false,
            page: false,
        },
    ];

    fn path_of(path: &str) -> Option<&'static str> {
        find(ROUTES, path).map(|route| route.path)
    }

    #[test]
    fn exact_paths_win_over_prefixes() {
        assert_eq!(path_of("/token"), Some("/token"));
        assert_eq!(path_of("/docs/openapi.json"), Some("/docs/openapi.json"));
        assert_eq!(path_of("/docs/index.html"), Some("/docs/*"));
    }

    #[test]
    fn near_misses_are_unknown() {
        for path in ["", "/", "*", "/token/", "/Token", "/%74oken", "/docs", "/docsx/"] {
            assert_eq!(path_of(path), None, "{path}");
        }
    }

    #[test]
    fn h12_head_is_taken_where_it_is_listed_and_options_follows_cors() {
        let verdict = |path, method: Method| find(ROUTES, path).map(|r| r.verdict(&method));
        assert_eq!(verdict("/token", Method::POST), Some(Verdict::Run));
        assert_eq!(verdict("/token", Method::GET), Some(Verdict::NotAllowed));
        assert_eq!(verdict("/token", Method::HEAD), Some(Verdict::NotAllowed));
        assert_eq!(verdict("/token", Method::OPTIONS), Some(Verdict::Preflight));
        assert_eq!(verdict("/docs/a", Method::HEAD), Some(Verdict::Run));
        assert_eq!(verdict("/authorize", Method::GET), Some(Verdict::Run));
        assert_eq!(verdict("/authorize", Method::HEAD), Some(Verdict::NotAllowed));
        assert_eq!(verdict("/docs/a", Method::OPTIONS), Some(Verdict::NotAllowed));
    }

    #[test]
    fn h12_allow_lists_what_is_answered() {
        let allow = |path| find(ROUTES, path).and_then(RouteSpec::allow);
        let value = HeaderValue::from_static;
        assert_eq!(allow("/token"), Some(value("POST, OPTIONS")));
        assert_eq!(allow("/docs/a"), Some(value("GET, HEAD")));
        assert_eq!(allow("/authorize"), Some(value("GET, POST")));
        assert_eq!(allow("/docs/openapi.json"), Some(value("GET, HEAD, OPTIONS")));
    }
}
