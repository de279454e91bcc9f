//! Whose address a request counts against: the socket's peer, or what a configured proxy says about its own peer.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use http::HeaderMap;
use poem::Request;

/// The address of the client, as far as it can be believed. A request extension of every handled request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientAddress(pub IpAddr);

impl ClientAddress {
    /// The address that the pipeline found for a request.
    pub fn of(request: &Request) -> Option<IpAddr> {
        request.data::<Self>().map(|address| address.0)
    }
}

/// A block of addresses in CIDR notation (RFC 4632, RFC 4291 section 2.3), or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressBlock {
    network: IpAddr,
    prefix: u8,
}

/// Why a text is no [`AddressBlock`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddressBlock {
    /// The part before the slash is no IPv4 or IPv6 address, or an IPv4-mapped one.
    #[error("not an address such as 10.0.0.0/8 or 2001:db8::/32")]
    Address,
    /// The part after the slash is no number within the width of the address.
    #[error("the prefix length must be a number of 0 to 32 for IPv4 and 0 to 128 for IPv6")]
    Prefix,
    /// Bits behind the prefix are set, so it is unclear what was meant.
    #[error("bits behind the prefix are set; write the first address of the block")]
    HostBits,
}

impl AddressBlock {
    /// Whether the block holds `address`; an IPv4-mapped IPv6 address counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                u32::from(address) & mask_v4(self.prefix) == u32::from(network)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                u128::from(address) & mask_v6(self.prefix) == u128::from(network)
            }
            _ => false,
        }
    }
}

impl FromStr for AddressBlock {
    type Err = InvalidAddressBlock;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let network: IpAddr = address.parse().map_err(|_| InvalidAddressBlock::Address)?;
        if network.to_canonical() != network {
            return Err(InvalidAddressBlock::Address);
        }
        let width = if network.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => width,
            Some(digits) => parse_prefix(digits, width)?,
        };
        let block = Self { network, prefix };
        if block.contains(network) {
            Ok(block)
        } else {
            Err(InvalidAddressBlock::HostBits)
        }
    }
}

fn parse_prefix(digits: &str, width: u8) -> Result<u8, InvalidAddressBlock> {
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(InvalidAddressBlock::Prefix);
    }
    digits
        .parse::<u8>()
        .ok()
        .filter(|prefix| *prefix <= width)
        .ok_or(InvalidAddressBlock::Prefix)
}

fn mask_v4(prefix: u8) -> u32 {
    u32::MAX
        .checked_shl(32_u32.saturating_sub(u32::from(prefix)))
        .unwrap_or(0)
}

fn mask_v6(prefix: u8) -> u128 {
    u128::MAX
        .checked_shl(128_u32.saturating_sub(u32::from(prefix)))
        .unwrap_or(0)
}

/// The client of a request whose socket peer is `peer`.
///
/// `X-Forwarded-For` counts only when the peer is a trusted proxy, and then the rightmost entry that is not one;
/// what is unreadable ends the walk at the last address that a trusted proxy vouched for.
pub(super) fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[AddressBlock]) -> ClientAddress {
    let is_trusted = |address: IpAddr| trusted.iter().any(|block| block.contains(address));
    let mut nearest = peer.to_canonical();
    if !is_trusted(nearest) {
        return ClientAddress(nearest);
    }
    for line in headers.get_all("x-forwarded-for").iter().rev() {
        let Ok(line) = line.to_str() else {
            return ClientAddress(nearest);
        };
        for entry in line.rsplit(',') {
            let Some(address) = parse_entry(entry.trim()) else {
                return ClientAddress(nearest);
            };
            nearest = address;
            if !is_trusted(nearest) {
                return ClientAddress(nearest);
            }
        }
    }
    ClientAddress(nearest)
}

/// Some proxies write the port too, and then brackets around IPv6.
fn parse_entry(entry: &str) -> Option<IpAddr> {
    let bare = entry
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(entry);
    bare.parse::<IpAddr>()
        .ok()
        .or_else(|| entry.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
        .map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::{AddressBlock, ClientAddress, InvalidAddressBlock, client_address};
    use http::{HeaderMap, HeaderValue};
    use std::error::Error;
    use std::net::IpAddr;

    type Outcome = Result<(), Box<dyn Error>>;

    fn resolved(peer: &str, lines: &[&'static str], trusted: &[&str]) -> Result<String, Box<dyn Error>> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", HeaderValue::from_static(line));
        }
        let trusted = trusted
            .iter()
            .map(|block| block.parse::<AddressBlock>())
            .collect::<Result<Vec<AddressBlock>, _>>()?;
        let ClientAddress(address) = client_address(peer.parse()?, &headers, &trusted);
        Ok(address.to_string())
    }

    #[test]
    fn h09_an_untrusted_peer_is_itself() -> Outcome {
        assert_eq!(
            resolved("203.0.113.9", &["10.1.1.1"], &["10.0.0.0/8"])?,
            "203.0.113.9"
        );
        assert_eq!(resolved("203.0.113.9", &["10.1.1.1"], &[])?, "203.0.113.9");
        Ok(())
    }

    #[test]
    fn h09_the_rightmost_untrusted_entry_counts() -> Outcome {
        let trusted = ["10.0.0.0/8", "192.0.2.7"];
        let forged = ["1.1.1.1, 198.51.100.4, 10.2.2.2"];
        assert_eq!(resolved("10.0.0.1", &forged, &trusted)?, "198.51.100.4");
        let two_lines = ["1.1.1.1", "198.51.100.4", "10.2.2.2,192.0.2.7"];
        assert_eq!(resolved("10.0.0.1", &two_lines, &trusted)?, "198.51.100.4");
        Ok(())
    }

    #[test]
    fn h09_garbage_ends_the_walk() -> Outcome {
        let trusted = ["10.0.0.0/8"];
        assert_eq!(
            resolved("10.0.0.1", &["8.8.8.8, unknown, 10.2.2.2"], &trusted)?,
            "10.2.2.2"
        );
        assert_eq!(resolved("10.0.0.1", &[""], &trusted)?, "10.0.0.1");
        assert_eq!(resolved("10.0.0.1", &[], &trusted)?, "10.0.0.1");
        Ok(())
    }

    #[test]
    fn h09_ports_and_mapped_addresses_are_understood() -> Outcome {
        let trusted = ["10.0.0.0/8", "2001:db8::/32"];
        assert_eq!(
            resolved("::ffff:10.0.0.1", &["198.51.100.4:4711"], &trusted)?,
            "198.51.100.4"
        );
        assert_eq!(
            resolved("2001:db8::1", &["[2001:db9::2]:443"], &trusted)?,
            "2001:db9::2"
        );
        assert_eq!(
            resolved("2001:db8::1", &["[2001:db9::2]"], &trusted)?,
            "2001:db9::2"
        );
        Ok(())
    }

    #[test]
    fn blocks_are_checked() {
        let parse = |text: &str| text.parse::<AddressBlock>();
        for text in ["0.0.0.0/0", "::/0", "10.0.0.0/8", "192.0.2.7", "::1/128"] {
            assert!(parse(text).is_ok(), "{text}");
        }
        for text in ["", "10.0.0.0.0", "ten", "::ffff:10.0.0.0/104"] {
            assert_eq!(parse(text), Err(InvalidAddressBlock::Address), "{text}");
        }
        for text in ["10.0.0.0/", "10.0.0.0/33", "10.0.0.0/+8", "::/129", "::/300"] {
            assert_eq!(parse(text), Err(InvalidAddressBlock::Prefix), "{text}");
        }
        assert_eq!(parse("10.0.0.1/8"), Err(InvalidAddressBlock::HostBits));
    }

    #[test]
    fn blocks_end_where_they_end() -> Outcome {
        let block: AddressBlock = "172.16.0.0/12".parse()?;
        for (address, inside) in [
            ("172.15.255.255", false),
            ("172.16.0.0", true),
            ("172.31.255.255", true),
            ("172.32.0.0", false),
            ("::ffff:172.16.0.1", true),
            ("2001:db8::1", false),
        ] {
            assert_eq!(block.contains(address.parse::<IpAddr>()?), inside, "{address}");
        }
        Ok(())
    }
}
