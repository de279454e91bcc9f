//! What tests of real processes need: the built servers, addresses for them to listen on, and patience with what they
//! do in their own time.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::sleep;

/// Names the server as it is released; for [`server`].
pub const USUAL: &str = "VOUCHSAFE_BIN";
/// Names the server that can be told to die at a named step; for [`server`].
pub const CAN_DIE: &str = "VOUCHSAFE_FAILPOINT_BIN";

const EVERY: Duration = Duration::from_millis(10);
/// Half a minute of [`EVERY`].
const TIMES: usize = 3_000;

/// The built server that this variable of the environment names.
pub fn server(variable: &str) -> PathBuf {
    let named = std::env::var_os(variable)
        .unwrap_or_else(|| panic!("{variable} does not name a built server: run `cargo xtask test`"));
    std::fs::canonicalize(&named).unwrap_or_else(|error| {
        panic!(
            "{variable} names {}: {error}; run `cargo xtask test`",
            named.display()
        )
    })
}

/// Addresses of this machine that nobody listens on, held at once so that they differ. Another process may take one
/// before it is used.
pub fn free_addresses<const N: usize>() -> [SocketAddr; N] {
    let sockets = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    sockets.map(|socket| socket.local_addr().unwrap())
}

/// Waits for something that must come, looking again and again, for half a minute and what the looking takes.
pub async fn soon<T>(what: &str, mut ready: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..TIMES {
        if let Some(value) = ready().await {
            return value;
        }
        sleep(EVERY).await;
    }
    panic!("waited in vain for {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_free_differ() {
        let [one, another] = free_addresses();
        assert_ne!(one, another);
    }

    #[tokio::test]
    async fn what_comes_late_is_waited_for() {
        let mut looks = 0;
        let third = async || {
            looks += 1;
            (looks == 3).then_some("it")
        };
        assert_eq!(soon("the third look", third).await, "it");
        assert_eq!(looks, 3);
    }
}
