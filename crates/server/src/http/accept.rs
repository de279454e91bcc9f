//! Takes connections and keeps each of them honest: no head, handshake or silence lasts for ever, and a stop lets what
//! has begun end.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::pipeline::{Connection, Pipeline};
use super::share::{Share, Shares};
use super::throttle::Throttle;

/// Connections of one listener; more wait in the kernel's queue.
const MAX_CONNECTIONS: u32 = 10_000;
/// Connections of one address that is no trusted proxy.
const MAX_CONNECTIONS_OF_ADDRESS: usize = 1_024;
/// Log lines a second about connections that are one too many of their address.
const CROWD_LINES_PER_SECOND: u32 = 1;
/// A pause after `accept` failed for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// For a whole TLS handshake.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// From the opened connection to its first request. It covers what hyper's own timer does not: telling HTTP/1 from
/// HTTP/2, and HTTP/2 heads.
const FIRST_REQUEST_DEADLINE: Duration = Duration::from_secs(29);
/// For a whole HTTP/1 head, from the moment the connection is idle: so idle connections close after it too.
const HEAD_DEADLINE: Duration = Duration::from_secs(25);
/// A connection that neither began a request nor moved an answer for this long is closed. Longer than any request lasts.
const QUIET_LIMIT: Duration = Duration::from_secs(60);
/// For the farewell on a connection that was quiet.
const QUIET_GRACE: Duration = Duration::from_secs(5);
/// When a stop is asked for: what a connection without a request yet gets to send it.
const FIRST_REQUEST_GRACE: Duration = Duration::from_millis(500);
/// When a stop is asked for: what running requests get to end.
const DRAIN_LIMIT: Duration = Duration::from_secs(25);

/// Bytes of an HTTP/1 head (hyper answers 431 beyond it) and of an HTTP/2 header list.
const MAX_HEAD_BYTES: u32 = 64 * 1024;
/// Header lines of an HTTP/1 head. More than the pipeline allows, so that its answer says why; beyond it hyper answers
/// a 431 without a body.
const HTTP1_MAX_HEADERS: usize = 256;
const HTTP2_STREAMS: u32 = 128;
/// Streams that were reset before we looked at them (rapid reset).
const HTTP2_PENDING_RESETS: usize = 20;
/// Streams that we reset for errors of the peer.
const HTTP2_ERROR_RESETS: usize = 128;
const HTTP2_STREAM_WINDOW: u32 = 64 * 1024;
const HTTP2_CONNECTION_WINDOW: u32 = 1024 * 1024;
const HTTP2_SEND_BUFFER: usize = 64 * 1024;
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(15);
/// No PING can be answered within a header block, so a head that drips in ends here.
const HTTP2_PING_DEADLINE: Duration = Duration::from_secs(10);

struct Server {
    http: Builder<TokioExecutor>,
    tls: Option<TlsAcceptor>,
    pipeline: Arc<Pipeline>,
    addresses: Shares,
    crowd_lines: Throttle,
}

/// Serves `listener` until `shutdown` holds `true` (or its sender is gone), then lets running requests end, for at most
/// 25 s. A failing `accept` is logged and tried again.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    pipeline: Arc<Pipeline>,
    mut shutdown: watch::Receiver<bool>,
) {
    let server = Arc::new(Server::new(
        tls,
        Arc::clone(&pipeline),
        MAX_CONNECTIONS_OF_ADDRESS,
    ));
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS as usize));
    let each_shutdown = shutdown.clone();
    let mut failing = false;
    loop {
        let accepted = tokio::select! {
            biased;
            () = asked_to_stop(&mut shutdown) => break,
            accepted = accept(&listener, &connections) => accepted,
        };
        match accepted {
            Ok((stream, peer, place)) => {
                failing = false;
                let Some(share) = server.admit(peer.ip()) else {
                    continue;
                };
                let server = Arc::clone(&server);
                let shutdown = each_shutdown.clone();
                tokio::spawn(async move {
                    server.converse(stream, peer, shutdown).await;
                    drop((place, share));
                });
            }
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                // One line for a whole row of failures.
                if !failing {
                    tracing::warn!(event = "accept_failed", %error);
                }
                failing = true;
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    drain(&connections, &pipeline).await;
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(connections)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, place))
}

/// Errors of the connection that was to be accepted, not of accepting.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

async fn asked_to_stop(shutdown: &mut watch::Receiver<bool>) {
    // A sender that is gone asks for nothing any more, so that counts as asked.
    drop(shutdown.wait_for(|stop| *stop).await);
}

async fn drain(connections: &Semaphore, pipeline: &Pipeline) {
    let ended = async {
        let _all_places = connections.acquire_many(MAX_CONNECTIONS).await;
        pipeline.drained().await;
    };
    if timeout(DRAIN_LIMIT, ended).await.is_err() {
        tracing::warn!(event = "drain_cut_off");
    }
}

fn http_builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .max_buf_size(MAX_HEAD_BYTES as usize)
        .max_headers(HTTP1_MAX_HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS)
        .max_header_list_size(MAX_HEAD_BYTES)
        .max_pending_accept_reset_streams(HTTP2_PENDING_RESETS)
        .max_local_error_reset_streams(HTTP2_ERROR_RESETS)
        .initial_stream_window_size(HTTP2_STREAM_WINDOW)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
        .max_send_buf_size(HTTP2_SEND_BUFFER)
        .keep_alive_interval(HTTP2_PING_INTERVAL)
        .keep_alive_timeout(HTTP2_PING_DEADLINE);
    builder
}

impl Server {
    fn new(tls: Option<TlsAcceptor>, pipeline: Arc<Pipeline>, of_address: usize) -> Self {
        Self {
            http: http_builder(),
            tls,
            pipeline,
            addresses: Shares::new(of_address),
            crowd_lines: Throttle::new(CROWD_LINES_PER_SECOND),
        }
    }

    /// A connection's share of what its address may hold; nothing when the address holds that already. Proxies are not
    /// counted.
    fn admit(&self, peer: IpAddr) -> Option<Share> {
        let mut share = self.addresses.open(peer);
        if self.pipeline.trusts(peer) || share.grow(1) {
            return Some(share);
        }
        let left_out = self.crowd_lines.turn(self.pipeline.monotonic());
        if self.crowd_lines.lets_through() {
            tracing::warn!(event = "connection_refused", address = %peer, left_out);
        }
        None
    }

    /// One connection from its opening to its end.
    async fn converse(&self, stream: TcpStream, peer: SocketAddr, shutdown: watch::Receiver<bool>) {
        let first_request = sleep(FIRST_REQUEST_DEADLINE);
        // Both fail only when the peer is gone already.
        let (Ok(()), Ok(local)) = (stream.set_nodelay(true), stream.local_addr()) else {
            return;
        };
        let tls = self.tls.is_some();
        let connection = Connection { peer, local, tls };
        let Some(acceptor) = &self.tls else {
            return self.speak(stream, connection, first_request, shutdown).await;
        };
        match timeout(HANDSHAKE_DEADLINE, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => {
                self.speak(stream, connection, first_request, shutdown).await;
            }
            Ok(Err(error)) => tracing::debug!(event = "tls_failed", %error),
            Err(_) => tracing::debug!(event = "tls_too_slow"),
        }
    }

    /// HTTP on an open connection.
    async fn speak<I>(
        &self,
        io: I,
        connection: Connection,
        first_request: Sleep,
        mut shutdown: watch::Receiver<bool>,
    ) where
        I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let activity = Arc::new(Activity::default());
        let service = {
            let pipeline = Arc::clone(&self.pipeline);
            let activity = Arc::clone(&activity);
            service_fn(move |request: Request<Incoming>| {
                activity.note();
                let pipeline = Arc::clone(&pipeline);
                let activity = Arc::clone(&activity);
                async move {
                    let answer = pipeline.handle(request, connection).await;
                    let answer: Response<BoxBody<Bytes, io::Error>> = answer.into();
                    Ok::<_, Infallible>(answer.map(|body| Watched { body, activity }))
                }
            })
        };
        let mut http = pin!(self.http.serve_connection(TokioIo::new(io), service));
        let stopping = tokio::select! {
            ended = http.as_mut() => return note_end(ended),
            () = activity.quiet(first_request) => false,
            () = asked_to_stop(&mut shutdown) => true,
        };
        if stopping
            && activity.is_untouched()
            && let Ok(ended) = timeout(FIRST_REQUEST_GRACE, http.as_mut()).await
        {
            return note_end(ended);
        }
        let patience = if stopping {
            DRAIN_LIMIT
        } else {
            activity.farewell()
        };
        http.as_mut().graceful_shutdown();
        if let Ok(ended) = timeout(patience, http).await {
            note_end(ended);
        }
    }
}

/// Peers break off all the time: that is worth a line only to someone who looks for it.
fn note_end<E: std::fmt::Display>(ended: Result<(), E>) {
    if let Err(error) = ended {
        tracing::debug!(event = "connection_failed", %error);
    }
}

/// Counts what moves on a connection.
#[derive(Default)]
struct Activity(AtomicU64);

impl Activity {
    fn note(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn is_untouched(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    /// Completes when the first request did not come in time, or later when nothing moved for [`QUIET_LIMIT`].
    async fn quiet(&self, first_request: Sleep) {
        first_request.await;
        let mut seen = 0;
        loop {
            let moved = self.0.load(Ordering::Relaxed);
            if moved == seen {
                return;
            }
            seen = moved;
            sleep(QUIET_LIMIT).await;
        }
    }

    /// What a quiet connection gets to close in order: nothing when it never said anything.
    fn farewell(&self) -> Duration {
        if self.is_untouched() {
            Duration::ZERO
        } else {
            QUIET_GRACE
        }
    }
}

/// The body of an answer; reports each part that the connection takes.
struct Watched {
    body: BoxBody<Bytes, io::Error>,
    activity: Arc<Activity>,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_ready() {
            self.activity.note();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::{Activity, Server, serve};
    use crate::http::address::AddressBlock;
    use crate::http::pipeline::{Limits, Pipeline};
    use crate::http::route::RouteSpec;
    use http::Method;
    use poem::endpoint::make_sync;
    use poem::{EndpointExt, Response};
    use std::error::Error;
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::watch;
    use tokio::task::JoinHandle;
    use tokio::time::{sleep, timeout};
    use vouchsafe_protocol::{Clock, Timestamp};

    type Outcome = Result<(), Box<dyn Error>>;

    static ROUTES: &[RouteSpec] = &[RouteSpec {
        path: "/jwks",
        methods: &[Method::GET],
        cors: true,
        cacheable: true,
        page: false,
    }];

    struct Still;

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            Timestamp::from_unix(0)
        }

        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
    }

    struct Running {
        address: SocketAddr,
        stop: watch::Sender<bool>,
        task: JoinHandle<()>,
    }

    fn pipeline(proxies: Vec<AddressBlock>) -> Arc<Pipeline> {
        let endpoint = make_sync(|_| Response::from("{}")).boxed();
        let limits = Limits::default();
        let pipeline = Pipeline::new(endpoint, ROUTES, limits, proxies, false, Arc::new(Still));
        Arc::new(pipeline)
    }

    async fn running() -> Result<Running, Box<dyn Error>> {
        let pipeline = pipeline(Vec::new());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(serve(listener, None, pipeline, stopped));
        Ok(Running { address, stop, task })
    }

    async fn exchange(address: SocketAddr, request: &str) -> Result<String, Box<dyn Error>> {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn a_request_is_answered_and_a_stop_ends_serving() -> Outcome {
        let running = running().await?;
        let request = "GET /jwks HTTP/1.1\r\nhost: as.example\r\nconnection: close\r\n\r\n";
        let answer = exchange(running.address, request).await?;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("\r\ncontent-length: 2\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\n{}"), "{answer}");
        running.stop.send(true)?;
        timeout(Duration::from_secs(5), running.task).await??;
        assert!(TcpStream::connect(running.address).await.is_err());
        Ok(())
    }

    #[tokio::test]
    async fn o03_idle_and_silent_connections_do_not_hold_up_a_stop() -> Outcome {
        let running = running().await?;
        let silent = TcpStream::connect(running.address).await?;
        let mut idle = TcpStream::connect(running.address).await?;
        idle.write_all(b"GET /jwks HTTP/1.1\r\nhost: as.example\r\n\r\n")
            .await?;
        let mut first = [0; 12];
        idle.read_exact(&mut first).await?;
        assert_eq!(&first, b"HTTP/1.1 200");
        running.stop.send(true)?;
        timeout(Duration::from_secs(5), running.task).await??;
        drop((silent, idle));
        Ok(())
    }

    #[tokio::test]
    async fn o03_a_connection_that_was_just_opened_is_still_heard() -> Outcome {
        let running = running().await?;
        let mut late = TcpStream::connect(running.address).await?;
        sleep(Duration::from_millis(50)).await;
        running.stop.send(true)?;
        sleep(Duration::from_millis(50)).await;
        late.write_all(b"GET /jwks HTTP/1.1\r\nhost: as.example\r\nconnection: close\r\n\r\n")
            .await?;
        let mut answer = String::new();
        late.read_to_string(&mut answer).await?;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        Ok(())
    }

    #[tokio::test]
    async fn h07_an_oversized_head_is_refused() -> Outcome {
        let running = running().await?;
        for lines in [100, 101, 255, 1_000] {
            let more = "x-more: 1\r\n".repeat(lines - 2);
            let request =
                format!("GET /jwks HTTP/1.1\r\nhost: as.example\r\nconnection: close\r\n{more}\r\n");
            let answer = exchange(running.address, &request).await?;
            let status = if lines > 100 { "431" } else { "200" };
            let line = format!("HTTP/1.1 {status} ");
            assert!(answer.starts_with(&line), "{lines} {answer}");
            let is_ours = answer.contains("\"reason\":\"headers_too_large\"");
            assert_eq!(is_ours, (101..=255).contains(&lines), "{lines} {answer}");
        }
        Ok(())
    }

    #[test]
    fn h04_one_address_cannot_take_all_connections() -> Outcome {
        let proxies = vec!["10.0.0.0/8".parse()?];
        let server = Server::new(None, pipeline(proxies), 2);
        let client: IpAddr = "192.0.2.1".parse()?;
        let first = server.admit(client);
        let second = server.admit(client);
        assert!(first.is_some() && second.is_some());
        assert!(server.admit(client).is_none());
        assert!(server.admit("192.0.2.2".parse()?).is_some());
        drop(first);
        let third = server.admit(client);
        assert!(third.is_some());
        let proxy: IpAddr = "::ffff:10.1.2.3".parse()?;
        let of_proxy: Vec<_> = (0..10).map(|_| server.admit(proxy)).collect();
        assert!(of_proxy.iter().all(Option::is_some));
        Ok(())
    }

    #[tokio::test]
    async fn h01_the_refusal_of_a_large_body_can_be_read() -> Outcome {
        let running = running().await?;
        let head = "GET /jwks HTTP/1.1\r\nhost: as.example\r\ncontent-length: 3000000\r\n\r\n";
        let request = format!("{head}{}", "x".repeat(3_000_000));
        let answer = exchange(running.address, &request).await?;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        assert!(answer.contains("\"reason\":\"body_too_large\""), "{answer}");
        Ok(())
    }

    #[tokio::test]
    async fn h04_a_connection_without_a_request_counts_as_quiet() {
        let activity = Activity::default();
        let deadline = sleep(Duration::from_millis(10));
        let quiet = timeout(Duration::from_secs(5), activity.quiet(deadline));
        assert!(quiet.await.is_ok());
        assert_eq!(activity.farewell(), Duration::ZERO);
        activity.note();
        let deadline = sleep(Duration::from_millis(10));
        let busy = timeout(Duration::from_millis(100), activity.quiet(deadline));
        assert!(busy.await.is_err());
    }
}
