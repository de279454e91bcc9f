//! Counts failures of one caller in bounded memory, so that guessing is slow and nobody else is locked out.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use vouchsafe_protocol::Timestamp;

/// How many callers are remembered; one more forgets the one that was quiet for longest.
const MAX_KEYS: u64 = 100_000;
/// Keys are cut here, so that `MAX_KEYS` bounds bytes too.
const MAX_KEY_BYTES: usize = 256;

/// How long the caller has to wait, in whole seconds; the value of `Retry-After`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryAfter(pub Duration);

/// Failures in one fixed window and in the one before it.
#[derive(Clone, Copy, Debug)]
struct Counter {
    window: i64,
    current: u32,
    previous: u32,
}

impl Counter {
    /// The counter as it stands in `window`. A clock that went back changes nothing.
    fn at(self, window: i64) -> Self {
        match window.saturating_sub(self.window) {
            i64::MIN..=0 => self,
            1 => Self {
                window,
                current: 0,
                previous: self.current,
            },
            _ => Self::empty(window),
        }
    }

    fn empty(window: i64) -> Self {
        Self {
            window,
            current: 0,
            previous: 0,
        }
    }
}

/// Refuses a key after `limit` failures within a sliding window.
///
/// The window slides by weighing the previous fixed window with the part of it that is still in sight, so the state of
/// a key is three numbers. The caller chooses the key, such as `address|client`; see [`address_key`].
pub struct FailureLimiter {
    limit: u64,
    /// Seconds, at least 1.
    window: u64,
    failures: Cache<String, Counter>,
}

impl FailureLimiter {
    /// At most `limit` failures (at least 1) within `window` (whole seconds, at least one).
    pub fn new(limit: u32, window: Duration) -> Self {
        Self::with_capacity(limit, window, MAX_KEYS)
    }

    fn with_capacity(limit: u32, window: Duration, capacity: u64) -> Self {
        let failures = Cache::builder()
            .max_capacity(capacity)
            // The newest failure is always remembered: a flood of other keys cannot keep it out.
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self {
            limit: u64::from(limit.max(1)),
            window: window.as_secs().clamp(1, u64::from(u32::MAX)),
            failures,
        }
    }

    /// Whether `key` may try now.
    ///
    /// # Errors
    ///
    /// The time after which the next try is heard, when it failed too often.
    pub fn check(&self, key: &str, now: Timestamp) -> Result<(), RetryAfter> {
        let (window, elapsed) = self.position(now);
        match self.failures.get(bounded(key)) {
            Some(counter) => self.judge(counter.at(window), elapsed),
            None => Ok(()),
        }
    }

    /// Counts one failure of `key`.
    pub fn record_failure(&self, key: &str, now: Timestamp) {
        let (window, _) = self.position(now);
        self.failures.entry_by_ref(bounded(key)).and_upsert_with(|known| {
            let counter = known.map_or_else(|| Counter::empty(window), |entry| entry.into_value().at(window));
            Counter {
                current: counter.current.saturating_add(1),
                ..counter
            }
        });
    }

    /// Forgets the failures of `key`: it has shown that it knows the secret.
    pub fn record_success(&self, key: &str) {
        self.failures.invalidate(bounded(key));
    }

    /// The number of the fixed window and the seconds gone in it.
    fn position(&self, now: Timestamp) -> (i64, u64) {
        let length = i64::try_from(self.window).unwrap_or(i64::MAX);
        let second = now.as_unix();
        let elapsed = u64::try_from(second.rem_euclid(length)).unwrap_or(0);
        (second.div_euclid(length), elapsed)
    }

    fn judge(&self, counter: Counter, elapsed: u64) -> Result<(), RetryAfter> {
        let (current, previous) = (u64::from(counter.current), u64::from(counter.previous));
        let in_sight = self.window.saturating_sub(elapsed);
        let weighed = previous
            .saturating_mul(in_sight)
            .saturating_add(current.saturating_mul(self.window));
        if weighed < self.limit.saturating_mul(self.window) {
            return Ok(());
        }
        let wait = if current >= self.limit {
            // Heard once this window is the previous one and enough of it is out of sight.
            in_sight.saturating_add(self.out_of_sight(current, self.limit))
        } else {
            self.out_of_sight(previous, self.limit.saturating_sub(current))
                .saturating_sub(elapsed)
        };
        Err(RetryAfter(Duration::from_secs(wait.max(1))))
    }

    /// The first second of a window at which `count` failures of the previous one weigh less than `room`.
    fn out_of_sight(&self, count: u64, room: u64) -> u64 {
        count
            .saturating_sub(room)
            .saturating_mul(self.window)
            .checked_div(count)
            .unwrap_or(0)
            .saturating_add(1)
    }
}

/// The part of a key that names the address: IPv4 as it is, IPv6 by its /64, which one caller usually owns whole.
pub fn address_key(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let network = u128::from(address) & (u128::MAX << 64);
            format!("{}/64", Ipv6Addr::from(network))
        }
    }
}

fn bounded(key: &str) -> &str {
    let mut end = key.len().min(MAX_KEY_BYTES);
    while !key.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    key.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{FailureLimiter, RetryAfter, address_key, bounded};
    use std::error::Error;
    use std::net::IpAddr;
    use std::time::Duration;
    use vouchsafe_protocol::Timestamp;

    const MINUTE: Duration = Duration::from_secs(60);
    const START: Timestamp = Timestamp::from_unix(1_800_000_000);

    fn after(seconds: u64) -> Timestamp {
        START.plus(Duration::from_secs(seconds))
    }

    fn failed(times: u32) -> FailureLimiter {
        let limiter = FailureLimiter::new(5, MINUTE);
        for _ in 0..times {
            limiter.record_failure("192.0.2.1|app", START);
        }
        limiter
    }

    #[test]
    fn t06_the_limit_is_reached_by_failures_only() {
        assert_eq!(failed(4).check("192.0.2.1|app", START), Ok(()));
        assert!(failed(5).check("192.0.2.1|app", START).is_err());
        let limiter = failed(4);
        for _ in 0..100 {
            assert_eq!(limiter.check("192.0.2.1|app", START), Ok(()));
        }
    }

    #[test]
    fn t06_nobody_else_is_locked_out() {
        let limiter = failed(50);
        assert_eq!(limiter.check("192.0.2.2|app", START), Ok(()));
        assert_eq!(limiter.check("192.0.2.1|other", START), Ok(()));
    }

    #[test]
    fn t06_success_clears() {
        let limiter = failed(5);
        limiter.record_success("192.0.2.1|app");
        assert_eq!(limiter.check("192.0.2.1|app", START), Ok(()));
    }

    #[test]
    fn t06_retry_after_is_the_first_moment_that_is_heard() {
        for times in [5, 7, 50] {
            let limiter = failed(times);
            for asked_at in [0, 1, 30, 59] {
                let Err(RetryAfter(wait)) = limiter.check("192.0.2.1|app", after(asked_at)) else {
                    unreachable!("{times} failures are too many at second {asked_at}");
                };
                let heard = after(asked_at).plus(wait);
                assert_eq!(limiter.check("192.0.2.1|app", heard), Ok(()));
                let early = heard.minus(Duration::from_secs(1));
                assert!(limiter.check("192.0.2.1|app", early).is_err());
            }
        }
    }

    #[test]
    fn t06_the_previous_window_weighs_what_is_in_sight() {
        let limiter = failed(5);
        assert_eq!(limiter.check("192.0.2.1|app", after(60 + 30)), Ok(()));
        for _ in 0..3 {
            limiter.record_failure("192.0.2.1|app", after(60 + 30));
        }
        assert!(limiter.check("192.0.2.1|app", after(60 + 30)).is_err());
        assert_eq!(limiter.check("192.0.2.1|app", after(60 + 40)), Ok(()));
    }

    #[test]
    fn t06_a_clock_that_goes_back_forgives_nothing() {
        let limiter = failed(5);
        let earlier = START.minus(Duration::from_secs(600));
        assert!(limiter.check("192.0.2.1|app", earlier).is_err());
    }

    #[test]
    fn h18_memory_is_bounded_by_the_number_of_keys() {
        let limiter = FailureLimiter::with_capacity(5, MINUTE, 1_000);
        for key in 0..20_000 {
            limiter.record_failure(&format!("192.0.2.1|{key}"), START);
        }
        for _ in 0..10 {
            limiter.failures.run_pending_tasks();
        }
        assert!(limiter.failures.entry_count() <= 1_000);
    }

    #[test]
    fn h18_memory_is_bounded_by_the_length_of_keys() {
        assert_eq!(bounded(&"x".repeat(1_000_000)).len(), 256);
        assert_eq!(bounded(&"\u{20ac}".repeat(1_000)).len(), 255);
        assert_eq!(bounded("short"), "short");
    }

    #[test]
    fn t06_ipv6_callers_count_by_their_network() -> Result<(), Box<dyn Error>> {
        let key = |text: &str| text.parse::<IpAddr>().map(address_key);
        assert_eq!(key("2001:db8:1:2::5")?, "2001:db8:1:2::/64");
        assert_eq!(key("2001:db8:1:2:ffff::1")?, "2001:db8:1:2::/64");
        assert_eq!(key("192.0.2.1")?, "192.0.2.1");
        assert_eq!(key("::ffff:192.0.2.1")?, "192.0.2.1");
        Ok(())
    }
}
