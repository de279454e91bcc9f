//! One log line per request, also when the client went away before the answer.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use vouchsafe_protocol::Clock;

use super::address::ClientAddress;
use super::route::RouteSpec;

/// Logged as the status of a request whose client did not wait; the number is nginx's.
const CLIENT_GONE: u16 = 499;

/// Writes its line when dropped. Holds nothing that the client wrote: no path, query, header or unknown method.
pub(super) struct AccessLine {
    clock: Arc<dyn Clock>,
    started: Duration,
    method: &'static str,
    route: &'static str,
    address: ClientAddress,
    status: u16,
}

impl AccessLine {
    pub(super) fn begin(
        clock: &Arc<dyn Clock>,
        method: &Method,
        route: Option<&'static RouteSpec>,
        address: ClientAddress,
    ) -> Self {
        Self {
            clock: Arc::clone(clock),
            started: clock.monotonic(),
            method: method_word(method),
            route: route.map_or("-", |route| route.path),
            address,
            status: CLIENT_GONE,
        }
    }

    pub(super) fn answered(mut self, status: StatusCode) {
        self.status = status.as_u16();
    }
}

impl Drop for AccessLine {
    fn drop(&mut self) {
        let taken = self.clock.monotonic().saturating_sub(self.started);
        tracing::info!(
            method = self.method,
            route = self.route,
            status = self.status,
            ms = u64::try_from(taken.as_millis()).unwrap_or(u64::MAX),
            address = %self.address.0,
            "request"
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
    use super::method_word;
    use http::Method;

    #[test]
    fn h16_unknown_methods_are_not_logged_as_sent() {
        assert_eq!(method_word(&Method::POST), "POST");
        let made_up = Method::from_bytes(b"HUNTER2").map(|method| method_word(&method));
        assert!(matches!(made_up, Ok("other")));
    }
}
