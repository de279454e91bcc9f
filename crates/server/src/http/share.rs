//! Counts what each address holds, so that no address takes all there is.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::rate_limit::address_key;

/// What addresses hold of one thing. An address is remembered only while it holds some.
#[derive(Clone)]
pub(super) struct Shares {
    most: usize,
    held: Arc<Mutex<HashMap<String, usize>>>,
}

impl Shares {
    /// Each address may hold `most`; an IPv6 address counts by its /64.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            held: Arc::default(),
        }
    }

    /// A share of `address`, empty as yet.
    pub(super) fn open(&self, address: IpAddr) -> Share {
        Share {
            shares: self.clone(),
            key: address_key(address),
            amount: 0,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        // Whoever holds the lock changes one number.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one connection or body holds of its address's share, given back on drop.
pub(super) struct Share {
    shares: Shares,
    key: String,
    amount: usize,
}

impl Share {
    /// Takes `more`, or nothing when the address would hold too much then.
    pub(super) fn grow(&mut self, more: usize) -> bool {
        let mut held = self.shares.lock();
        let before = held.get(&self.key).copied().unwrap_or(0);
        let after = before.saturating_add(more);
        if after > self.shares.most {
            return false;
        }
        if let Some(all) = held.get_mut(&self.key) {
            *all = after;
        } else if after > 0 {
            held.insert(self.key.clone(), after);
        }
        self.amount = self.amount.saturating_add(more);
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.shares.lock();
        let Some(all) = held.get_mut(&self.key) else {
            return;
        };
        *all = all.saturating_sub(self.amount);
        if *all == 0 {
            held.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Shares;
    use std::net::{AddrParseError, IpAddr};

    type Outcome = Result<(), AddrParseError>;

    fn address(text: &str) -> Result<IpAddr, AddrParseError> {
        text.parse()
    }

    #[test]
    fn h05_an_address_takes_its_share_and_no_more() -> Outcome {
        let shares = Shares::new(10);
        let mut first = shares.open(address("192.0.2.1")?);
        let mut second = shares.open(address("192.0.2.1")?);
        assert!(first.grow(6));
        assert!(!second.grow(5));
        assert!(second.grow(4));
        assert!(!first.grow(1));
        let mut other = shares.open(address("192.0.2.2")?);
        assert!(other.grow(10));
        assert!(!other.grow(usize::MAX));
        drop(first);
        assert!(second.grow(6));
        Ok(())
    }

    #[test]
    fn h05_ipv6_addresses_share_by_their_network() -> Outcome {
        let shares = Shares::new(1);
        let mut one = shares.open(address("2001:db8:1:2::1")?);
        let mut neighbour = shares.open(address("2001:db8:1:2:ffff::2")?);
        let mut elsewhere = shares.open(address("2001:db8:1:3::1")?);
        assert!(one.grow(1));
        assert!(!neighbour.grow(1));
        assert!(elsewhere.grow(1));
        Ok(())
    }

    #[test]
    fn h18_only_addresses_that_hold_something_are_remembered() -> Outcome {
        let shares = Shares::new(10);
        let mut empty = shares.open(address("192.0.2.1")?);
        assert!(empty.grow(0));
        assert!(!empty.grow(11));
        assert_eq!(shares.lock().len(), 0);
        let mut first = shares.open(address("192.0.2.1")?);
        let mut second = shares.open(address("192.0.2.1")?);
        assert!(first.grow(1) && second.grow(2));
        drop((first, empty));
        assert_eq!(shares.lock().len(), 1);
        drop(second);
        assert_eq!(shares.lock().len(), 0);
        Ok(())
    }
}
