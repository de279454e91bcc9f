//! One log line per request, also when the client went away before the answer; refusals only as many as a log bears.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use poem::Response;
use vouchsafe_protocol::Clock;

use super::address::ClientAddress;
use super::answer::RefusalReason;
use super::route::RouteSpec;
use super::throttle::Throttle;

/// Logged as the status of a request whose client did not wait; the number is nginx's.
const CLIENT_GONE: u16 = 499;
/// Lines a second about answers that the client is to blame for; the others are told as a number.
const REFUSALS_PER_SECOND: u32 = 50;

/// Where the lines of one pipeline go.
pub(super) struct AccessLog {
    clock: Arc<dyn Clock>,
    refusals: Throttle,
}

/// What is written when a request has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Due {
    /// Lines that were left out of a second that is over.
    left_out: u64,
    /// The request gets its own line.
    line: bool,
}

impl AccessLog {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            refusals: Throttle::new(REFUSALS_PER_SECOND),
        }
    }

    pub(super) fn begin(
        self: &Arc<Self>,
        method: &Method,
        route: Option<&'static RouteSpec>,
        address: ClientAddress,
    ) -> AccessLine {
        AccessLine {
            log: Arc::clone(self),
            started: self.clock.monotonic(),
            method: method_word(method),
            route: route.map_or("-", |route| route.path),
            address,
            status: CLIENT_GONE,
            reason: None,
        }
    }

    fn due(&self, status: u16, now: Duration) -> Due {
        Due {
            left_out: self.refusals.turn(now),
            // A flood is told by its count, whether it is refused (4xx) or turned away for want of room (503).
            line: !matches!(status, 400..500 | 503) || self.refusals.lets_through(),
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        tell_left_out(self.refusals.left_out());
    }
}

fn tell_left_out(count: u64) {
    if count > 0 {
        tracing::info!(event = "requests_coalesced", count);
    }
}

/// Writes its line when dropped. Holds nothing that the client wrote: no path, query, header or unknown method.
pub(super) struct AccessLine {
    log: Arc<AccessLog>,
    started: Duration,
    method: &'static str,
    route: &'static str,
    address: ClientAddress,
    status: u16,
    reason: Option<&'static str>,
}

impl AccessLine {
    pub(super) fn answered(mut self, response: &Response) {
        self.status = response.status().as_u16();
        self.reason = response.data().map(|reason: &RefusalReason| reason.0);
    }
}

impl Drop for AccessLine {
    fn drop(&mut self) {
        let now = self.log.clock.monotonic();
        let due = self.log.due(self.status, now);
        tell_left_out(due.left_out);
        if !due.line {
            return;
        }
        let taken = now.saturating_sub(self.started);
        tracing::info!(
            event = "request",
            method = self.method,
            route = self.route,
            status = self.status,
            reason = self.reason,
            ms = u64::try_from(taken.as_millis()).unwrap_or(u64::MAX),
            address = %self.address.0,
        );
    }
}

/// A method is any token that the client likes to send, so only the registered ones are named.
fn method_word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::CONNECT => "CONNECT",
        Method::TRACE => "TRACE",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::{AccessLog, Due, method_word};
    use crate::http::address::ClientAddress;
    use crate::http::answer::{refusal_for_status, refusal_response};
    use http::{Method, StatusCode};
    use poem::Response;
    use std::io;
    use std::net::Ipv4Addr;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex, PoisonError};
    use std::time::Duration;
    use tracing::Dispatch;
    use tracing::dispatcher::with_default;
    use tracing_subscriber::fmt;
    use vouchsafe_protocol::{Clock, Timestamp};

    const START: Duration = Duration::from_secs(3_600);

    /// Stands at so many milliseconds.
    struct Hand(AtomicU64);

    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            Timestamp::from_unix(0)
        }

        fn monotonic(&self) -> Duration {
            Duration::from_millis(self.0.load(Ordering::SeqCst))
        }
    }

    fn log() -> (Arc<Hand>, Arc<AccessLog>) {
        let clock = Arc::new(Hand(AtomicU64::new(5_000)));
        let log = AccessLog::new(Arc::<Hand>::clone(&clock));
        (clock, Arc::new(log))
    }

    fn request(log: &Arc<AccessLog>, response: &Response) {
        let address = ClientAddress(Ipv4Addr::LOCALHOST.into());
        log.begin(&Method::POST, None, address).answered(response);
    }

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Written {
        fn take(&self) -> String {
            let bytes = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
            String::from_utf8_lossy(&bytes).into_owned()
        }
    }

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What `act` logs. It acts twice: the first time makes its lines known, and then a second subscriber makes sure
    /// that no other test's thread has switched them off.
    fn logged(act: impl Fn()) -> String {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        with_default(&Dispatch::new(subscriber), || {
            act();
            let _second = Dispatch::new(fmt().with_writer(io::sink).finish());
            written.take();
            act();
        });
        written.take()
    }

    #[test]
    fn h16_unknown_methods_are_not_logged_as_sent() {
        assert_eq!(method_word(&Method::POST), "POST");
        let made_up = Method::from_bytes(b"HUNTER2").map(|method| method_word(&method));
        assert!(matches!(made_up, Ok("other")));
    }

    #[test]
    fn refusals_are_coalesced_and_nothing_else() {
        let (_, log) = log();
        let nothing_left_out = |line| Due { left_out: 0, line };
        for _ in 0..50 {
            assert_eq!(log.due(400, START), nothing_left_out(true));
        }
        for status in [400, 401, 429, 499, 503] {
            assert_eq!(log.due(status, START), nothing_left_out(false), "{status}");
        }
        for status in [200, 204, 304, 500] {
            assert_eq!(log.due(status, START), nothing_left_out(true), "{status}");
        }
        let next = START + Duration::from_secs(1);
        let told = Due {
            left_out: 5,
            line: true,
        };
        assert_eq!(log.due(200, next), told);
        assert_eq!(log.due(400, next), nothing_left_out(true));
    }

    #[test]
    fn a_line_tells_the_reason_of_a_refusal() {
        let text = logged(|| {
            let (_, log) = log();
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            request(&log, &refusal_response(status, refusal_for_status(status)));
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("status=413"), "{text}");
        assert!(text.contains("reason=\"body_too_large\""), "{text}");
        let text = logged(|| request(&log().1, &Response::from("ok")));
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("status=200"), "{text}");
        assert!(!text.contains("reason"), "{text}");
    }

    #[test]
    fn a_flood_of_refusals_is_told_as_a_number() {
        let text = logged(|| {
            let (clock, log) = log();
            let refusal = Response::from(StatusCode::NOT_FOUND);
            for _ in 0..60 {
                request(&log, &refusal);
            }
            clock.0.store(6_000, Ordering::SeqCst);
            for _ in 0..53 {
                request(&log, &refusal);
            }
        });
        let told: Vec<&str> = text
            .lines()
            .filter(|line| line.contains("event=\"requests_coalesced\""))
            .collect();
        assert!(
            matches!(*told, [first, last] if first.contains("count=10") && last.contains("count=3")),
            "{told:?}"
        );
        assert_eq!(text.lines().count(), 102);
    }
}
