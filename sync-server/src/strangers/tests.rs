use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::*;

const LINKS: usize = 10_000;

fn at(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn door() -> Door {
    Door::new(at(0), LINKS)
}

/// A host; each `network` is a /24 of its own.
fn host(network: u32, n: u32) -> Origin {
    Origin::of(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + (network << 8) + n)))
}

/// Lets one in that has shown its address.
fn knock(door: &mut Door, now: Duration, origin: Origin) -> Answer {
    door.knock(now, origin, Address::Shown)
}

fn enters(door: &mut Door, now: Duration, origin: Origin) -> Option<Ticket> {
    match knock(door, now, origin) {
        Answer::Enter { ticket, .. } => Some(ticket),
        Answer::ShowAddress | Answer::Refused => None,
    }
}

fn flood(door: &mut Door, now: Duration, origin: Origin, tries: usize) -> usize {
    (0..tries).filter(|_| enters(door, now, origin).is_some()).count()
}

#[test]
fn a_host_with_1024_silent_links_keeps_nobody_else_out() {
    let mut door = door();
    let let_in = flood(&mut door, at(0), host(0, 1), 1024);
    assert_eq!(let_in, limits::UNAUTHENTICATED_PER_HOST_MAX);
    for n in 2..100 {
        assert!(enters(&mut door, at(0), host(n, 1)).is_some(), "network {n}");
    }
    assert!(enters(&mut door, at(0), host(0, 2)).is_some(), "its neighbour gets in too");
    assert_eq!(door.tried().refused, 1024 - let_in as u64);
}

#[test]
fn a_network_of_hosts_keeps_nobody_else_out_and_its_quiet_hosts_get_in() {
    let mut door = door();
    let loud: usize = (0..8).map(|n| flood(&mut door, at(0), host(0, n), 200)).sum();
    assert!(loud >= limits::UNAUTHENTICATED_PER_NETWORK_MAX);
    assert_eq!(door.strangers_by.network(&host(0, 0)), limits::UNAUTHENTICATED_PER_NETWORK_MAX);
    assert!(enters(&mut door, at(0), host(0, 200)).is_some(), "the fullest host makes room");
    assert!(enters(&mut door, at(0), host(1, 1)).is_some());
    assert_eq!(door.strangers_by.network(&host(0, 0)), limits::UNAUTHENTICATED_PER_NETWORK_MAX);
}

#[test]
fn a_newcomer_takes_the_place_of_the_oldest_silent_stranger_of_the_fullest_network() {
    let mut door = door();
    let unknown = limits::UNAUTHENTICATED_LINKS_MAX - limits::MEMBERS_RESERVE;
    let first = enters(&mut door, at(0), host(0, 1)).unwrap();
    let second = enters(&mut door, at(0), host(0, 1)).unwrap();
    door.met(first);
    flood(&mut door, at(0), host(0, 1), 98);
    for network in 1.. {
        if door.strangers.len() == unknown {
            break;
        }
        flood(&mut door, at(0), host(network, 1), 4);
    }
    let answer = knock(&mut door, at(0), host(9_000, 1));
    assert!(matches!(answer, Answer::Enter { instead_of: Some(gone), .. } if gone == second), "{answer:?}");
    assert!(
        !door.strangers.contains_key(&second) && door.strangers.contains_key(&first),
        "it has met somebody"
    );
    assert_eq!(door.strangers.len(), unknown);
    assert_eq!(knock(&mut door, at(0), host(0, 1)), Answer::Refused, "the fullest takes from nobody");
    door.gone(second); // its link notices later
    assert_eq!(door.strangers.len(), unknown);
}

#[test]
fn a_crowded_host_takes_turns_among_its_own() {
    let mut door = door();
    let first = enters(&mut door, at(0), host(0, 1)).unwrap();
    flood(&mut door, at(0), host(0, 1), 1000);
    assert_eq!(knock(&mut door, at(2), host(0, 1)), Answer::Refused, "each has its time to speak");
    let answer = knock(&mut door, at(3), host(0, 1));
    assert!(matches!(answer, Answer::Enter { instead_of: Some(gone), .. } if gone == first), "{answer:?}");
}

#[test]
fn a_share_of_the_places_is_kept_for_networks_of_members() {
    let mut door = door();
    let member = enters(&mut door, at(0), host(0xff_00, 1)).unwrap();
    door.proved(at(0), member);
    assert_eq!(door.strangers.len(), 0, "who proved a key is no stranger");
    for network in 0..4096 {
        enters(&mut door, at(0), host(network, 1));
    }
    assert_eq!(door.strangers.len(), limits::UNAUTHENTICATED_LINKS_MAX - limits::MEMBERS_RESERVE);
    assert_eq!(knock(&mut door, at(0), host(5000, 1)), Answer::Refused, "a botnet, one each");
    for n in 2..100 {
        assert!(enters(&mut door, at(0), host(0xff_00, n)).is_some(), "where a member was before");
    }
    assert!(
        enters(&mut door, at(3), host(5000, 1)).is_some(),
        "others find room when the first had their time"
    );
}

#[test]
fn who_forges_addresses_uses_up_nothing_of_their_owners() {
    let mut door = door();
    let victim = host(7, 7);
    for _ in 0..RETRY_ABOVE {
        assert!(matches!(door.knock(at(0), victim, Address::Claimed), Answer::Enter { .. }));
    }
    for _ in 0..100_000 {
        assert_eq!(door.knock(at(0), victim, Address::Claimed), Answer::ShowAddress);
    }
    assert!(enters(&mut door, at(0), victim).is_some());
}

#[test]
fn handshakes_of_a_host_are_limited_even_if_each_ends_at_once() {
    let mut door = door();
    let mut made = 0;
    for _ in 0..10_000 {
        if let Some(ticket) = enters(&mut door, at(0), host(0, 1)) {
            made += 1;
            door.gone(ticket);
        }
    }
    assert_eq!(made, limits::HANDSHAKES_BURST_HOST as usize);
    assert!(enters(&mut door, at(0), host(1, 1)).is_some());
    assert!(enters(&mut door, at(1), host(0, 1)).is_some(), "refilled");
}

#[test]
fn members_of_one_host_leave_connections_to_others() {
    let mut door = Door::new(at(0), 400);
    let join = |door: &mut Door, origin| {
        let ticket = enters(door, at(0), origin);
        ticket.inspect(|ticket| door.proved(at(0), *ticket)).is_some()
    };
    assert_eq!((0..400).filter(|_| join(&mut door, host(0, 1))).count(), 100);
    assert_eq!((0..400).filter(|_| join(&mut door, host(0, 2))).count(), 100);
    assert!(!join(&mut door, host(0, 3)), "its network has had its share");
    assert!(join(&mut door, host(1, 1)));
    let mut small = Door::new(at(0), 3);
    assert_eq!((0..9).filter(|_| join(&mut small, host(0, 1))).count(), 3, "a small relay has no shares");
}

#[test]
fn memory_stays_bounded_however_many_networks_come() {
    let mut door = door();
    let origin = |n: u128| Origin::of(IpAddr::V6(Ipv6Addr::from_bits((0x2001 << 112) | (n << 80))));
    let mut entered = 0;
    for n in 0..40_000 {
        let now = Duration::from_micros(100 * n as u64);
        if let Some(ticket) = enters(&mut door, now, origin(n)) {
            entered += 1;
            if entered % 2 == 0 {
                door.proved(now, ticket);
                door.gone(ticket);
            }
        }
    }
    assert!(entered > 2 * limits::UNAUTHENTICATED_LINKS_MAX, "those that had their time gave way: {entered}");
    assert!(door.strangers.len() <= limits::UNAUTHENTICATED_LINKS_MAX);
    assert_eq!(door.links.len(), door.strangers.len());
    assert_eq!(door.strangers_by.whole(), door.strangers.len());
    assert!(door.shown.tracked() <= 2 * limits::ORIGINS_MAX);
    for n in 0..100_000 {
        door.known.add(at(n as u64 / 1000), origin(n).network());
    }
    assert_eq!(door.known.last.len(), limits::KNOWN_NETWORKS_MAX);
    assert_eq!(door.known.by_age.len(), limits::KNOWN_NETWORKS_MAX);
    assert!(door.known.has(&origin(99_999).network()) && !door.known.has(&origin(0).network()));
}
