//! Token buckets by origin: how often a host, a network and everybody together may do something.
//!
//! Memory is bounded: at most [`limits::ORIGINS_MAX`] hosts and as many networks are counted apart. A host beyond
//! that is counted with its network, a network beyond that with all others that came too late.

use std::collections::HashMap;
use std::time::Duration;

use super::origin::{Origin, Prefix};
use crate::limits;

/// How often a thing may happen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// In a second, on average.
    pub per_sec: f64,
    /// At once.
    pub burst: f64,
}

/// The rates of one kind of thing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Of all origins together.
    pub whole: Rate,
    /// Of one network, see [`Origin::network`].
    pub network: Rate,
    /// Of one host, see [`Origin::host`].
    pub host: Rate,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    level: f64,
    filled: Duration,
}

impl Bucket {
    const fn full(rate: Rate, now: Duration) -> Self {
        Self { level: rate.burst, filled: now }
    }

    fn fill(&mut self, rate: Rate, now: Duration) {
        let passed = now.saturating_sub(self.filled).as_secs_f64();
        self.filled = now.max(self.filled);
        self.level = (self.level + passed * rate.per_sec).min(rate.burst);
    }
}

/// The buckets of hosts, or of networks. One that is full again is as good as none.
#[derive(Debug)]
struct Level {
    rate: Rate,
    buckets: HashMap<Prefix, Bucket>,
    swept: Option<Duration>,
}

impl Level {
    fn new(rate: Rate) -> Self {
        Self { rate, buckets: HashMap::new(), swept: None }
    }

    /// The bucket of `prefix`, filled up to now; `None` when too many others are counted.
    fn bucket(&mut self, now: Duration, prefix: Prefix) -> Option<&mut Bucket> {
        if self.buckets.len() >= limits::ORIGINS_MAX && !self.buckets.contains_key(&prefix) {
            self.sweep(now);
            if self.buckets.len() >= limits::ORIGINS_MAX {
                return None;
            }
        }
        let rate = self.rate;
        let bucket = self.buckets.entry(prefix).or_insert_with(|| Bucket::full(rate, now));
        bucket.fill(rate, now);
        Some(bucket)
    }

    /// Forgets full buckets, once a second at most: more often would be work for each that comes.
    fn sweep(&mut self, now: Duration) {
        if self.swept.is_some_and(|swept| now < swept + SWEEP_EVERY) {
            return;
        }
        self.swept = Some(now);
        let rate = self.rate;
        self.buckets.retain(|_, bucket| {
            bucket.fill(rate, now);
            bucket.level < rate.burst
        });
    }
}

/// Least time between two sweeps of one level.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// See the module's documentation.
#[derive(Debug)]
pub struct Buckets {
    whole: (Rate, Bucket),
    /// Networks that are not counted apart, together; a quarter of the whole.
    rest: (Rate, Bucket),
    hosts: Level,
    networks: Level,
}

impl Buckets {
    /// Full buckets for all.
    #[must_use]
    pub fn new(now: Duration, rates: Rates) -> Self {
        let Rates { whole, network, host } = rates;
        let rest = Rate { per_sec: whole.per_sec / 4.0, burst: whole.burst / 4.0 };
        Self {
            whole: (whole, Bucket::full(whole, now)),
            rest: (rest, Bucket::full(rest, now)),
            hosts: Level::new(host),
            networks: Level::new(network),
        }
    }

    /// Whether `origin` may do it now. What it may not takes nothing from others.
    pub fn take(&mut self, now: Duration, origin: &Origin) -> bool {
        let Self { whole: (rate, whole), rest: (rest_rate, rest), hosts, networks } = self;
        whole.fill(*rate, now);
        rest.fill(*rest_rate, now);
        let host = hosts.bucket(now, origin.host());
        let network = networks.bucket(now, origin.network()).unwrap_or(rest);
        let mut all = [Some(whole), Some(network), host];
        if all.iter().flatten().any(|bucket| bucket.level < 1.0) {
            return false;
        }
        all.iter_mut().flatten().for_each(|bucket| bucket.level -= 1.0);
        true
    }

    /// Hosts and networks that are counted apart.
    #[must_use]
    pub fn tracked(&self) -> usize {
        self.hosts.buckets.len() + self.networks.buckets.len()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use super::*;

    const RATES: Rates = Rates {
        whole: Rate { per_sec: 100.0, burst: 400.0 },
        network: Rate { per_sec: 4.0, burst: 40.0 },
        host: Rate { per_sec: 2.0, burst: 20.0 },
    };

    fn at(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn v4(n: u32) -> Origin {
        Origin::of(IpAddr::V4(Ipv4Addr::from_bits(n)))
    }

    fn taken(buckets: &mut Buckets, now: Duration, origin: &Origin, tries: usize) -> usize {
        (0..tries).filter(|_| buckets.take(now, origin)).count()
    }

    #[test]
    fn a_host_and_a_network_have_their_share_and_leave_the_rest_to_others() {
        let mut buckets = Buckets::new(at(0), RATES);
        let (loud, neighbour, far) = (v4(0x0a00_0001), v4(0x0a00_0002), v4(0x0b00_0001));
        assert_eq!(taken(&mut buckets, at(0), &loud, 10_000), 20);
        assert_eq!(taken(&mut buckets, at(0), &neighbour, 10_000), 20);
        assert_eq!(taken(&mut buckets, at(0), &v4(0x0a00_0003), 100), 0, "its network has had its share");
        assert_eq!(taken(&mut buckets, at(0), &far, 10_000), 20, "what was refused took nothing from others");
        assert_eq!(taken(&mut buckets, at(3), &loud, 100), 6, "refilled");
        assert_eq!(taken(&mut buckets, at(2), &loud, 100), 0, "a clock that falls back gives nothing");
    }

    #[test]
    fn memory_is_bounded_with_a_million_origins() {
        let mut buckets = Buckets::new(at(0), RATES);
        let mut admitted = 0;
        for n in 0..1_000_000_u128 {
            let addr = Ipv6Addr::from_bits((0x2001 << 112) | (n << 80)); // a /48 each
            admitted += usize::from(buckets.take(at(0), &Origin::of(IpAddr::V6(addr))));
        }
        assert_eq!(admitted, 400, "everybody together has a limit");
        assert!(buckets.tracked() <= 2 * limits::ORIGINS_MAX, "{}", buckets.tracked());
        assert!(buckets.take(at(60), &v4(0x0a00_0001)), "full buckets are forgotten, others find a place");
    }

    #[test]
    fn who_comes_when_the_table_is_full_shares_with_the_others_that_did() {
        let rates = Rates { whole: Rate { per_sec: 0.0, burst: 100_000.0 }, ..RATES };
        let mut buckets = Buckets::new(at(0), rates);
        for n in 0..limits::ORIGINS_MAX as u32 {
            assert!(buckets.take(at(0), &v4(n << 8)));
        }
        let late: usize =
            (0..50_000_u32).map(|n| usize::from(buckets.take(at(0), &v4(0x8000_0000 | n << 8)))).sum();
        assert_eq!(late, 25_000, "a quarter of the whole");
        assert_eq!(buckets.tracked(), 2 * limits::ORIGINS_MAX);
    }
}
