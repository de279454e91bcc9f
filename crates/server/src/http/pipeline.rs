//! What happens to one request before and after its handler: the limits, the route table, the detached task.

use std::any::Any;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_MAX_AGE, CONNECTION, HOST,
};
use http::request::Parts;
use http::uri::Scheme;
use http::{HeaderValue, Method, Request, StatusCode, Version};
use hyper::body::Body;
use poem::endpoint::{BoxEndpoint, DynEndpoint};
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Addr, RequestParts, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use vouchsafe_protocol::{Clock, ErrorCode, Reason, Refusal};

use super::access::AccessLog;
use super::address::{AddressBlock, ClientAddress, client_address};
use super::answer::{Asker, Teller, refusal_for_status, refusal_response, tell};
use super::body::{self, BodyError, BodyRoom, Buffered, Room};
use super::finish::{Circumstances, finish};
use super::route::{self, RouteSpec, Verdict};

/// What proxies say about the client. Read here once; handlers see [`ClientAddress`] and cannot be misled.
const FORWARDING_HEADERS: [&str; 5] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
];

/// Bounds of one request and of all requests together.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Header lines of a request.
    pub header_count: usize,
    /// Bytes of a request body.
    pub body_bytes: usize,
    /// Bytes of all request bodies that are being read or handled; one address gets a sixteenth of them.
    pub all_body_bytes: usize,
    /// Time to receive a body.
    pub body_deadline: Duration,
    /// Handlers that run at once; as many again of those that answer from memory.
    pub in_flight: u32,
    /// Time to wait for one of these places.
    pub place_deadline: Duration,
    /// Time to wait for a handler; the handler itself is never cut off.
    pub handler_deadline: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_count: 100,
            body_bytes: 64 * 1024,
            all_body_bytes: 64 * 1024 * 1024,
            body_deadline: Duration::from_secs(10),
            in_flight: 1_024,
            place_deadline: Duration::from_secs(1),
            handler_deadline: Duration::from_secs(3),
        }
    }
}

/// The two ends of the socket that a request came by.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    /// The socket's peer: a client or a proxy.
    pub peer: SocketAddr,
    /// Our end.
    pub local: SocketAddr,
    /// TLS ends here.
    pub tls: bool,
}

/// Takes every request of a listener through the same limits to its handler, and every answer back.
pub struct Pipeline {
    endpoint: Arc<dyn DynEndpoint<Output = Response>>,
    routes: &'static [RouteSpec],
    limits: Limits,
    trusted_proxies: Vec<AddressBlock>,
    hsts: bool,
    clock: Arc<dyn Clock>,
    access: Arc<AccessLog>,
    places: Arc<Semaphore>,
    /// For `cacheable` routes, which never wait behind slow handlers.
    memory_places: Arc<Semaphore>,
    room: BodyRoom,
    teller: Option<Teller>,
}

/// What the head of a request earns it.
enum Admission {
    Run(&'static RouteSpec),
    Preflight(&'static RouteSpec),
    Refuse(StatusCode, Refusal),
}

impl Admission {
    fn refuse(status: StatusCode, code: ErrorCode, reason: Reason) -> Self {
        Self::Refuse(status, Refusal::new(code, reason))
    }
}

impl Pipeline {
    /// A pipeline to `endpoint`, which sees only requests that `routes` lists.
    ///
    /// `hsts`: the issuer is https, also where a proxy ends TLS. `clock` only measures for the log.
    pub fn new(
        endpoint: BoxEndpoint<'static>,
        routes: &'static [RouteSpec],
        limits: Limits,
        trusted_proxies: Vec<AddressBlock>,
        hsts: bool,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            endpoint: Arc::from(endpoint),
            routes,
            limits,
            trusted_proxies,
            hsts,
            access: Arc::new(AccessLog::new(Arc::clone(&clock))),
            clock,
            places: Arc::new(Semaphore::new(limits.in_flight as usize)),
            memory_places: Arc::new(Semaphore::new(limits.in_flight as usize)),
            room: BodyRoom::new(limits.all_body_bytes),
            teller: None,
        }
    }

    /// The same, telling people by pages what is refused on routes that are pages.
    #[must_use]
    pub fn with_pages(self, teller: Teller) -> Self {
        Self {
            teller: Some(teller),
            ..self
        }
    }

    /// Answers one request. Dropping this future never stops a handler that has begun.
    pub async fn handle<B>(&self, request: Request<B>, connection: Connection) -> Response
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Send,
    {
        let (parts, body) = request.into_parts();
        let address = client_address(connection.peer.ip(), &parts.headers, &self.trusted_proxies);
        let route = route::find(self.routes, parts.uri.path());
        let line = self.access.begin(&parts.method, route, address);
        let about = Circumstances {
            route,
            version: parts.version,
            head: parts.method == Method::HEAD,
            hsts: self.hsts || connection.tls,
        };
        let asker = route.filter(|route| route.page).map(|_| Asker::of(&parts));
        let mut response = match self.admit(&parts, route) {
            Admission::Run(route) => self.run(route, parts, body, address, connection).await,
            Admission::Preflight(route) => {
                body::linger(body, &parts.headers);
                preflight_response(route)
            }
            Admission::Refuse(status, refusal) => {
                body::linger(body, &parts.headers);
                refusal_response(status, refusal)
            }
        };
        if let (Some(asker), Some(teller)) = (&asker, &self.teller) {
            tell(&mut response, asker, teller);
        }
        finish(&mut response, about);
        line.answered(&response);
        response
    }

    /// Completes when no handler runs. Nothing new may be handed in meanwhile: it would wait.
    pub async fn drained(&self) {
        // The semaphores are never closed, so there is no error to report.
        let _all_places = self.places.acquire_many(self.limits.in_flight).await;
        let _all_of_memory = self.memory_places.acquire_many(self.limits.in_flight).await;
    }

    /// Whether `peer` is a proxy that speaks for many clients.
    pub(super) fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|block| block.contains(peer))
    }

    /// The time of the pipeline's clock, for what is logged beside it.
    pub(super) fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    fn admit(&self, parts: &Parts, route: Option<&'static RouteSpec>) -> Admission {
        if parts.headers.len() > self.limits.header_count {
            return Admission::refuse(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                ErrorCode::InvalidRequest,
                Reason::HeadersTooLarge,
            );
        }
        if !host_is_clear(parts) {
            return Admission::refuse(
                StatusCode::BAD_REQUEST,
                ErrorCode::InvalidRequest,
                Reason::InvalidParameter,
            );
        }
        let Some(route) = route else {
            return Admission::refuse(StatusCode::NOT_FOUND, ErrorCode::InvalidRequest, Reason::NotFound);
        };
        match route.verdict(&parts.method) {
            Verdict::Run => Admission::Run(route),
            Verdict::Preflight => Admission::Preflight(route),
            Verdict::NotAllowed => Admission::refuse(
                StatusCode::METHOD_NOT_ALLOWED,
                ErrorCode::InvalidRequest,
                Reason::MethodNotAllowed,
            ),
        }
    }

    async fn run<B>(
        &self,
        route: &'static RouteSpec,
        parts: Parts,
        mut body: B,
        address: ClientAddress,
        connection: Connection,
    ) -> Response
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Send,
    {
        let read = body::read(&mut body, &self.limits, &self.room, address.0);
        let Buffered { bytes, room } = match read.await {
            Ok(buffered) => buffered,
            Err(error) => {
                if matches!(error, BodyError::TooLarge | BodyError::NoRoom) {
                    body::linger(body, &parts.headers);
                }
                return body_refusal(error);
            }
        };
        drop(body);
        let places = if route.cacheable {
            &self.memory_places
        } else {
            &self.places
        };
        let place = Arc::clone(places).acquire_owned();
        let Ok(Ok(place)) = timeout(self.limits.place_deadline, place).await else {
            return refusal_for_now(Reason::Busy);
        };
        let request = poem_request(parts, bytes, address, connection);
        let endpoint = Arc::clone(&self.endpoint);
        let task = tokio::spawn(call(endpoint, request, route.path, place, room));
        match timeout(self.limits.handler_deadline, task).await {
            Ok(Ok(response)) => response,
            // The task catches panics itself: this is a runtime that shuts down.
            Ok(Err(_)) => refusal_for_now(Reason::Busy),
            Err(_) => {
                tracing::warn!(event = "handler_slow", route = route.path);
                refusal_for_now(Reason::Deadline)
            }
        }
    }
}

/// One `Host` line and no second opinion (RFC 9112 section 3.2); HTTP/2 may leave it to `:authority`.
fn host_is_clear(parts: &Parts) -> bool {
    let hosts = parts.headers.get_all(HOST).iter().count();
    if parts.version == Version::HTTP_11 {
        hosts == 1
    } else {
        hosts <= 1
    }
}

fn poem_request(
    mut parts: Parts,
    bytes: Bytes,
    address: ClientAddress,
    connection: Connection,
) -> poem::Request {
    if parts.method == Method::HEAD {
        parts.method = Method::GET;
    }
    for name in FORWARDING_HEADERS {
        parts.headers.remove(name);
    }
    parts.extensions.insert(address);
    let scheme = if connection.tls {
        Scheme::HTTPS
    } else {
        Scheme::HTTP
    };
    let local = LocalAddr(Addr::SocketAddr(connection.local));
    let remote = RemoteAddr(Addr::SocketAddr(connection.peer));
    let parts = RequestParts::from((parts, local, remote, scheme));
    poem::Request::from_parts(parts, poem::Body::from(bytes))
}

/// Runs the handler to its end, whoever still waits; its place and its body's room are given back after it.
async fn call(
    endpoint: Arc<dyn DynEndpoint<Output = Response>>,
    request: poem::Request,
    route: &'static str,
    place: OwnedSemaphorePermit,
    room: Option<Room>,
) -> Response {
    let handler = AssertUnwindSafe(DynEndpoint::call(&*endpoint, request));
    let response = match handler.catch_unwind().await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => unmapped(error, route),
        Err(payload) => panicked(payload.as_ref(), route),
    };
    drop((place, room));
    response
}

/// An error that no handler made an answer of is told by its status; its text may quote the request.
fn unmapped(error: poem::Error, route: &'static str) -> Response {
    if error.is_from_response() {
        return error.into_response();
    }
    let status = error.status();
    if status.is_server_error() {
        tracing::error!(event = "handler_unanswered", route, status = status.as_u16());
    }
    refusal_response(status, refusal_for_status(status))
}

/// Only a literal message is logged: a formatted one may hold what must not be.
fn panicked(payload: &(dyn Any + Send), route: &'static str) -> Response {
    let said = payload
        .downcast_ref::<&'static str>()
        .copied()
        .unwrap_or("(withheld)");
    tracing::error!(event = "handler_panicked", route, said);
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    refusal_response(status, Refusal::new(ErrorCode::ServerError, Reason::Internal))
}

fn refusal_for_now(reason: Reason) -> Response {
    refusal_response(
        StatusCode::SERVICE_UNAVAILABLE,
        Refusal::new(ErrorCode::TemporarilyUnavailable, reason),
    )
}

/// The rest of such a body is not worth keeping a connection in step for.
fn body_refusal(error: BodyError) -> Response {
    let (status, reason) = match error {
        BodyError::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, Reason::BodyTooLarge),
        BodyError::TooSlow => (StatusCode::REQUEST_TIMEOUT, Reason::Deadline),
        BodyError::Broken => (StatusCode::BAD_REQUEST, Reason::MalformedBody),
        BodyError::NoRoom => return refusal_for_now(Reason::Busy),
    };
    let refusal = Refusal::new(ErrorCode::InvalidRequest, reason);
    let mut response = refusal_response(status, refusal);
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(CONNECTION, close);
    response
}

/// The answer to a CORS preflight (Fetch standard); `finish` adds whom it is for.
fn preflight_response(route: &RouteSpec) -> Response {
    let mut response = Response::from(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    if let Some(methods) = route.allow() {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    }
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("Authorization, Content-Type, DPoP, MCP-Protocol-Version"),
    );
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    response
}

#[cfg(test)]
mod tests {
    use super::{Connection, Limits, Pipeline, RouteSpec};
    use crate::http::address::{AddressBlock, ClientAddress};
    use crate::http::answer::RefusalReason;
    use bytes::Bytes;
    use futures_util::stream;
    use http::{Method, Request, StatusCode, Version};
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;
    use poem::{Endpoint, EndpointExt, Response};
    use std::convert::Infallible;
    use std::error::Error;
    use std::net::{Ipv4Addr, SocketAddr};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;
    use tokio::time::{sleep, timeout};
    use vouchsafe_protocol::{Clock, Timestamp};

    type Outcome = Result<(), Box<dyn Error>>;

    const POST_ONLY: &[Method] = &[Method::POST];

    const fn post(path: &'static str) -> RouteSpec {
        RouteSpec {
            path,
            methods: POST_ONLY,
            cors: true,
            cacheable: false,
            page: false,
        }
    }

    static ROUTES: &[RouteSpec] = &[
        post("/echo"),
        post("/slow"),
        post("/panic"),
        post("/lost"),
        RouteSpec {
            path: "/jwks",
            methods: &[Method::GET, Method::HEAD],
            cors: true,
            cacheable: true,
            page: false,
        },
        RouteSpec {
            path: "/login",
            methods: &[Method::GET, Method::POST],
            cors: false,
            cacheable: false,
            page: false,
        },
    ];

    struct Still;

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            Timestamp::from_unix(0)
        }

        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
    }

    #[derive(Clone, Default)]
    struct Probe {
        slow_one_ended: Arc<AtomicBool>,
    }

    impl Endpoint for Probe {
        type Output = Response;

        async fn call(&self, request: poem::Request) -> poem::Result<Response> {
            match request.uri().path() {
                "/panic" => std::panic::panic_any(String::from("hunter2")),
                "/lost" => Err(poem::Error::from_string("hunter2", StatusCode::BAD_GATEWAY)),
                "/slow" => {
                    sleep(Duration::from_millis(200)).await;
                    self.slow_one_ended.store(true, Ordering::SeqCst);
                    Ok(Response::from("late"))
                }
                "/jwks" => Ok(Response::builder()
                    .header("cache-control", "public, max-age=300")
                    .content_type("application/json")
                    .body("{}")),
                _ => {
                    let address = request.data::<ClientAddress>().map(|known| known.0);
                    let misleading = request.header("x-forwarded-for").is_some();
                    let body = request.into_body().into_string().await?;
                    Ok(Response::from(format!("{address:?} {misleading} {body}")))
                }
            }
        }
    }

    fn pipeline_to(probe: Probe, limits: Limits) -> Pipeline {
        let proxy = "192.0.2.1".parse::<AddressBlock>();
        let proxies = proxy.into_iter().collect();
        let endpoint = probe.boxed();
        Pipeline::new(endpoint, ROUTES, limits, proxies, false, Arc::new(Still))
    }

    fn pipeline() -> Pipeline {
        pipeline_to(Probe::default(), Limits::default())
    }

    fn connection() -> Connection {
        let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
        Connection {
            peer: SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 4711)),
            local: here,
            tls: false,
        }
    }

    fn request(method: Method, path: &str, body: &str) -> http::Result<Request<Full<Bytes>>> {
        Request::builder()
            .method(method)
            .uri(path)
            .header("host", "as.example")
            .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
    }

    async fn answer(method: Method, path: &str, body: &str) -> http::Result<Response> {
        let request = request(method, path, body)?;
        Ok(pipeline().handle(request, connection()).await)
    }

    async fn text(response: Response) -> Result<String, Box<dyn Error>> {
        Ok(response.into_body().into_string().await?)
    }

    #[tokio::test]
    async fn a_handler_gets_the_whole_body() -> Outcome {
        let response = answer(Method::POST, "/echo", "a=b").await?;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.header("cache-control"), Some("no-store"));
        assert_eq!(text(response).await?, "Some(192.0.2.1) false a=b");
        Ok(())
    }

    #[tokio::test]
    async fn h09_a_handler_sees_the_judged_address_only() -> Outcome {
        let mut request = request(Method::POST, "/echo", "")?;
        let forwarded = http::HeaderValue::from_static("1.1.1.1, 198.51.100.4");
        request.headers_mut().insert("x-forwarded-for", forwarded);
        let response = pipeline().handle(request, connection()).await;
        assert_eq!(text(response).await?, "Some(198.51.100.4) false ");
        Ok(())
    }

    #[tokio::test]
    async fn h12_unknown_paths_and_methods_are_json() -> Outcome {
        let unknown = answer(Method::POST, "/echo/", "").await?;
        assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
        assert_eq!(unknown.content_type(), Some("application/json"));
        assert_eq!(unknown.data(), Some(&RefusalReason("not_found")));
        assert_eq!(unknown.header("pragma"), Some("no-cache"));
        let wrong = answer(Method::GET, "/echo", "").await?;
        assert_eq!(wrong.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(wrong.header("allow"), Some("POST, OPTIONS"));
        assert_eq!(wrong.header("access-control-allow-origin"), Some("*"));
        let body = text(wrong).await?;
        assert!(body.contains("\"reason\":\"method_not_allowed\""), "{body}");
        Ok(())
    }

    #[tokio::test]
    async fn h12_head_is_answered_like_get_without_a_body_and_only_where_it_is_listed() -> Outcome {
        let response = answer(Method::HEAD, "/jwks", "").await?;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.header("content-length"), Some("2"));
        let cached = response.header("cache-control");
        assert_eq!(cached, Some("public, max-age=300"));
        assert_eq!(text(response).await?, "");
        let response = answer(Method::HEAD, "/login", "").await?;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.header("allow"), Some("GET, POST"));
        Ok(())
    }

    #[tokio::test]
    async fn h19_preflight_is_answered_on_open_routes_only() -> Outcome {
        let open = answer(Method::OPTIONS, "/echo", "").await?;
        assert_eq!(open.status(), StatusCode::NO_CONTENT);
        for (name, value) in [
            ("access-control-allow-origin", Some("*")),
            ("access-control-allow-methods", Some("POST, OPTIONS")),
            (
                "access-control-allow-headers",
                Some("Authorization, Content-Type, DPoP, MCP-Protocol-Version"),
            ),
            ("access-control-max-age", Some("86400")),
            ("access-control-allow-credentials", None),
            ("content-type", None),
        ] {
            assert_eq!(open.header(name), value, "{name}");
        }
        let closed = answer(Method::OPTIONS, "/login", "").await?;
        assert_eq!(closed.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(closed.header("access-control-allow-origin"), None);
        Ok(())
    }

    #[tokio::test]
    async fn h01_a_large_body_is_refused() -> Outcome {
        let response = answer(Method::POST, "/echo", &"x".repeat(64 * 1024 + 1)).await?;
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(response.header("connection"), Some("close"));
        assert!(text(response).await?.contains("body_too_large"));
        Ok(())
    }

    #[tokio::test]
    async fn h05_a_silent_body_is_given_up() -> Outcome {
        let limits = Limits {
            body_deadline: Duration::from_millis(20),
            ..Limits::default()
        };
        let silent = stream::pending::<Result<Frame<Bytes>, Infallible>>();
        let request = Request::builder()
            .method(Method::POST)
            .uri("/echo")
            .header("host", "as.example")
            .body(StreamBody::new(silent))?;
        let pipeline = pipeline_to(Probe::default(), limits);
        let response = pipeline.handle(request, connection()).await;
        assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
        assert_eq!(response.header("connection"), Some("close"));
        Ok(())
    }

    #[tokio::test]
    async fn h07_too_many_headers_are_refused() -> Outcome {
        let mut request = request(Method::POST, "/echo", "")?;
        for _ in 0..100 {
            let value = http::HeaderValue::from_static("1");
            request.headers_mut().append("x-more", value);
        }
        let response = pipeline().handle(request, connection()).await;
        let too_large = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        assert_eq!(response.status(), too_large);
        Ok(())
    }

    #[tokio::test]
    async fn one_host_is_needed_and_two_are_too_many() -> Outcome {
        let host = http::HeaderValue::from_static("evil.example");
        let mut two = request(Method::POST, "/echo", "")?;
        two.headers_mut().append("host", host);
        let mut none = request(Method::POST, "/echo", "")?;
        none.headers_mut().remove("host");
        for request in [two, none] {
            let response = pipeline().handle(request, connection()).await;
            assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        }
        let mut http2 = request(Method::POST, "/echo", "")?;
        http2.headers_mut().remove("host");
        *http2.version_mut() = Version::HTTP_2;
        let response = pipeline().handle(http2, connection()).await;
        assert_eq!(response.status(), StatusCode::OK);
        Ok(())
    }

    #[tokio::test]
    async fn h21_a_panic_is_a_bland_500_and_nothing_is_lost() -> Outcome {
        let limits = Limits {
            in_flight: 1,
            ..Limits::default()
        };
        let pipeline = pipeline_to(Probe::default(), limits);
        for _ in 0..3 {
            let panicking = request(Method::POST, "/panic", "")?;
            let response = pipeline.handle(panicking, connection()).await;
            assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
            let body = text(response).await?;
            assert!(body.starts_with("{\"error\":\"server_error\""), "{body}");
            assert!(!body.contains("hunter2"));
        }
        let request = request(Method::POST, "/echo", "")?;
        let response = pipeline.handle(request, connection()).await;
        assert_eq!(response.status(), StatusCode::OK);
        Ok(())
    }

    #[tokio::test]
    async fn an_unmapped_error_says_nothing_of_its_cause() -> Outcome {
        let response = answer(Method::POST, "/lost", "").await?;
        assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
        assert_eq!(response.content_type(), Some("application/json"));
        assert!(!text(response).await?.contains("hunter2"));
        Ok(())
    }

    #[tokio::test]
    async fn f8_a_slow_handler_is_answered_for_and_goes_on() -> Outcome {
        let probe = Probe::default();
        let limits = Limits {
            handler_deadline: Duration::from_millis(20),
            ..Limits::default()
        };
        let pipeline = pipeline_to(probe.clone(), limits);
        let slow = request(Method::POST, "/slow", "")?;
        let response = pipeline.handle(slow, connection()).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.header("retry-after"), Some("1"));
        pipeline.drained().await;
        assert!(probe.slow_one_ended.load(Ordering::SeqCst));
        Ok(())
    }

    #[tokio::test]
    async fn a_handler_outlives_a_client_that_goes_away() -> Outcome {
        let probe = Probe::default();
        let pipeline = pipeline_to(probe.clone(), Limits::default());
        let slow = request(Method::POST, "/slow", "")?;
        let gone = timeout(Duration::from_millis(20), pipeline.handle(slow, connection()));
        assert!(gone.await.is_err());
        assert!(!probe.slow_one_ended.load(Ordering::SeqCst));
        pipeline.drained().await;
        assert!(probe.slow_one_ended.load(Ordering::SeqCst));
        Ok(())
    }

    #[tokio::test]
    async fn f8_the_queue_for_handlers_is_bounded_in_time() -> Outcome {
        let limits = Limits {
            in_flight: 1,
            place_deadline: Duration::from_millis(20),
            ..Limits::default()
        };
        let pipeline = pipeline_to(Probe::default(), limits);
        let slow = pipeline.handle(request(Method::POST, "/slow", "")?, connection());
        let second = async {
            sleep(Duration::from_millis(20)).await;
            let request = request(Method::POST, "/echo", "")?;
            Ok::<_, http::Error>(pipeline.handle(request, connection()).await)
        };
        let (slow, second) = tokio::join!(slow, second);
        assert_eq!(slow.status(), StatusCode::OK);
        let second = second?;
        assert_eq!(second.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(text(second).await?.contains("\"reason\":\"busy\""));
        Ok(())
    }

    #[tokio::test]
    async fn f8_answers_from_memory_do_not_wait_for_slow_handlers() -> Outcome {
        let limits = Limits {
            in_flight: 1,
            place_deadline: Duration::from_millis(20),
            ..Limits::default()
        };
        let probe = Probe::default();
        let pipeline = pipeline_to(probe.clone(), limits);
        let slow = pipeline.handle(request(Method::POST, "/slow", "")?, connection());
        let cached = async {
            sleep(Duration::from_millis(20)).await;
            let request = request(Method::GET, "/jwks", "")?;
            let response = pipeline.handle(request, connection()).await;
            let slow_one_runs = !probe.slow_one_ended.load(Ordering::SeqCst);
            Ok::<_, http::Error>((response.status(), slow_one_runs))
        };
        let (slow, cached) = tokio::join!(slow, cached);
        assert_eq!(slow.status(), StatusCode::OK);
        assert_eq!(cached?, (StatusCode::OK, true));
        Ok(())
    }

    #[tokio::test]
    async fn h05_bodies_behind_a_proxy_count_by_the_judged_address() -> Outcome {
        let limits = Limits {
            all_body_bytes: 16 * 10,
            ..Limits::default()
        };
        let pipeline = pipeline_to(Probe::default(), limits);
        let sent = async |client: &'static str, path: &str| {
            let mut request = request(Method::POST, path, "123456")?;
            let client = http::HeaderValue::from_static(client);
            request.headers_mut().insert("x-forwarded-for", client);
            Ok::<_, http::Error>(pipeline.handle(request, connection()).await)
        };
        let others = async {
            sleep(Duration::from_millis(20)).await;
            let same = sent("198.51.100.4", "/echo").await?;
            let other = sent("198.51.100.5", "/echo").await?;
            Ok::<_, http::Error>((same, other.status()))
        };
        let (slow, others) = tokio::join!(sent("198.51.100.4", "/slow"), others);
        assert_eq!(slow?.status(), StatusCode::OK);
        let (same, other) = others?;
        assert_eq!(same.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(same.data(), Some(&RefusalReason("busy")));
        assert_eq!(other, StatusCode::OK);
        let after = sent("198.51.100.4", "/echo").await?;
        assert_eq!(after.status(), StatusCode::OK);
        Ok(())
    }
}
