//! Where a link comes from, as far as limits are concerned: its host, and the network around it.
//!
//! One host is an IPv4 address or an IPv6 /64, which is what one line gets; a network is an IPv4 /24 or an IPv6
//! /48, which is what one customer gets. Limits hold for both, so that neither many connections of one
//! address nor many addresses of one network keep everybody else out.

use std::collections::HashMap;
use std::net::IpAddr;

const V4_HOST: u8 = 128;
const V4_NETWORK: u8 = 120;
const V6_HOST: u8 = 64;
const V6_NETWORK: u8 = 48;

/// Addresses that begin alike; IPv4 ones as IPv6 maps them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    bits: u128,
    len: u8,
}

impl Prefix {
    const fn of(bits: u128, len: u8) -> Self {
        Self { bits: bits & (u128::MAX << (128 - len as u32)), len }
    }
}

/// Where a link comes from. See the module's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    host: Prefix,
    network: Prefix,
}

impl Origin {
    /// The origin of a link whose peer has this address.
    #[must_use]
    pub fn of(addr: IpAddr) -> Self {
        let bits = match addr {
            IpAddr::V4(addr) => addr.to_ipv6_mapped().to_bits(),
            IpAddr::V6(addr) => addr.to_bits(),
        };
        let is_v4 = bits >> 32 == 0xffff;
        let (host, network) = if is_v4 { (V4_HOST, V4_NETWORK) } else { (V6_HOST, V6_NETWORK) };
        Self { host: Prefix::of(bits, host), network: Prefix::of(bits, network) }
    }

    /// The IPv4 address, or the IPv6 /64.
    #[must_use]
    pub const fn host(&self) -> Prefix {
        self.host
    }

    /// The IPv4 /24, or the IPv6 /48.
    #[must_use]
    pub const fn network(&self) -> Prefix {
        self.network
    }
}

/// How much of something is of which host and network. It holds nothing of whoever has none.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    whole: usize,
    hosts: HashMap<Prefix, usize>,
    networks: HashMap<Prefix, usize>,
}

impl Tally {
    /// All of it.
    #[must_use]
    pub const fn whole(&self) -> usize {
        self.whole
    }

    /// What is of the host of `origin`.
    #[must_use]
    pub fn host(&self, origin: &Origin) -> usize {
        self.hosts.get(&origin.host).copied().unwrap_or(0)
    }

    /// What is of the network of `origin`.
    #[must_use]
    pub fn network(&self, origin: &Origin) -> usize {
        self.networks.get(&origin.network).copied().unwrap_or(0)
    }

    /// `amount` more is of `origin`.
    pub fn add(&mut self, origin: &Origin, amount: usize) {
        self.whole += amount;
        *self.hosts.entry(origin.host).or_default() += amount;
        *self.networks.entry(origin.network).or_default() += amount;
    }

    /// `amount` less is of `origin`; it was added before.
    pub fn remove(&mut self, origin: &Origin, amount: usize) {
        self.whole = self.whole.saturating_sub(amount);
        lessen(&mut self.hosts, origin.host, amount);
        lessen(&mut self.networks, origin.network, amount);
    }
}

fn lessen(amounts: &mut HashMap<Prefix, usize>, prefix: Prefix, amount: usize) {
    if let Some(held) = amounts.get_mut(&prefix) {
        *held = held.saturating_sub(amount);
        if *held == 0 {
            amounts.remove(&prefix);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(addr: &str) -> Origin {
        Origin::of(addr.parse().unwrap())
    }

    #[test]
    fn a_host_is_an_ipv4_address_or_an_ipv6_64_and_a_network_a_24_or_a_48() {
        let rows = [
            ("the same address, mapped", "192.0.2.1", "::ffff:192.0.2.1", true, true),
            ("neighbours", "192.0.2.1", "192.0.2.254", false, true),
            ("another /24", "192.0.2.1", "192.0.3.1", false, false),
            ("one /64", "2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true, true),
            ("one /48", "2001:db8:1:2::1", "2001:db8:1:3::1", false, true),
            ("another /48", "2001:db8:1:2::1", "2001:db8:2:2::1", false, false),
            ("two families", "0.0.0.1", "::1", false, false),
        ];
        for (name, a, b, one_host, one_network) in rows {
            let (a, b) = (origin(a), origin(b));
            assert_eq!(a.host() == b.host(), one_host, "{name}");
            assert_eq!(a.network() == b.network(), one_network, "{name}");
        }
    }

    #[test]
    fn a_tally_forgets_whoever_has_nothing() {
        let (one, two, far) = (origin("192.0.2.1"), origin("192.0.2.2"), origin("198.51.100.1"));
        let mut tally = Tally::default();
        tally.add(&one, 5);
        tally.add(&two, 7);
        tally.add(&far, 9);
        assert_eq!((tally.whole(), tally.host(&one), tally.network(&one)), (21, 5, 12));
        for (of, amount) in [(one, 5), (two, 7), (far, 9)] {
            tally.remove(&of, amount);
        }
        assert_eq!((tally.whole(), tally.hosts.len(), tally.networks.len()), (0, 0, 0));
    }
}
