use std::net::{IpAddr, Ipv4Addr};

use super::*;

const FRAME: usize = limits::FRAME_BYTES_MAX;
const WHOLE: usize = limits::FRAMES_BYTES_MAX;

fn at(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn owner(vault: u8, network: u32, n: u32) -> Owner {
    let addr = Ipv4Addr::from_bits(0x0a00_0000 + (network << 8) + n);
    Owner { origin: Origin::of(IpAddr::V4(addr)), vault: Some(VaultId::from_bytes([vault; 32])) }
}

fn granted(verdicts: &[Verdict]) -> usize {
    verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Granted(_))).count()
}

fn lost(verdicts: &[Verdict]) -> Vec<FrameNo> {
    let lost = |verdict: &Verdict| match verdict {
        Verdict::Lost(no) => Some(*no),
        Verdict::Granted(_) => None,
    };
    verdicts.iter().filter_map(lost).collect()
}

/// Every link of some begins a largest frame, and stops.
fn stall(intake: &mut Intake, owners: impl Iterator<Item = Owner>) -> usize {
    owners.map(|owner| granted(&intake.ask(at(0), owner, FRAME).1)).sum()
}

#[test]
fn four_hundred_unfinished_frames_hold_their_share_and_no_more() {
    let rows = [
        ("one vault, one host", WHOLE / limits::FRAMES_SHARE_HOST, 1, 1, 1),
        ("one vault, one network", WHOLE / limits::FRAMES_SHARE, 1, 1, 100),
        ("one vault, many networks", WHOLE / limits::FRAMES_SHARE, 1, 100, 1),
        ("many vaults, one host", WHOLE / limits::FRAMES_SHARE_HOST, 100, 1, 1),
        ("all different", WHOLE, 100, 100, 1),
    ];
    for (name, share, vaults, networks, hosts) in rows {
        let mut intake = Intake::new(WHOLE);
        let owners = (0..400).map(|n| owner((n % vaults) as u8, n % networks, n % hosts));
        let let_in = stall(&mut intake, owners);
        assert_eq!(let_in, share / FRAME, "{name}");
        assert!(intake.taken() <= share, "{name}");
    }
}

#[test]
fn who_stalls_holds_up_nobody_of_another_vault_and_network() {
    let mut intake = Intake::new(WHOLE);
    stall(&mut intake, (0..400).map(|n| owner(1, 1, n % 200)));
    let (no, told) = intake.ask(at(0), owner(2, 2, 1), FRAME);
    assert_eq!(told, [Verdict::Granted(no)]);
    let (near, told) = intake.ask(at(0), owner(3, 1, 1), FRAME);
    assert!(told.is_empty(), "its network has its share");
    let first = lost(&intake.tick(at(10)));
    assert_eq!(first.len(), 1, "the first of those that stall makes room");
    assert!(lost(&intake.tick(at(10))).is_empty(), "one after the other");
    assert_eq!(granted(&intake.gone(at(10), first[0])), 1);
    assert!(matches!(intake.held.get(&near), Some(held) if held.owner == owner(3, 1, 1)), "it came first");
}

#[test]
fn an_honest_member_of_the_same_vault_waits_for_one_place_only() {
    let mut intake = Intake::new(WHOLE);
    let let_in: usize = (0..3).map(|n| stall(&mut intake, (0..400).map(|_| owner(1, n, 1)))).sum();
    assert_eq!(let_in, WHOLE / limits::FRAMES_SHARE / FRAME);
    assert!(intake.taken() + FRAME > WHOLE / limits::FRAMES_SHARE);
    let (honest, told) = intake.ask(at(1), owner(1, 3, 1), FRAME);
    assert!(told.is_empty());
    let slow = lost(&intake.tick(at(10)));
    let told = intake.gone(at(10), slow[0]);
    assert!(told.contains(&Verdict::Granted(honest)), "whose host has least under way comes first");
}

#[test]
fn a_slow_frame_keeps_its_place_while_it_moves_or_nobody_waits() {
    let mut intake = Intake::new(WHOLE);
    let mine = owner(1, 1, 1);
    let per_host = WHOLE / limits::FRAMES_SHARE_HOST / FRAME;
    let held: Vec<FrameNo> = (0..per_host).map(|_| intake.ask(at(0), mine, FRAME).0).collect();
    assert!(intake.tick(at(12)).is_empty(), "nobody waits");
    for no in &held {
        intake.arrived(*no, 1000 * 1024);
    }
    let (next, told) = intake.ask(at(40), mine, FRAME);
    assert!(told.is_empty(), "31 seconds earned");
    intake.arrived(held[0], 2000 * 1024);
    intake.arrived(held[1], FRAME);
    assert_eq!(lost(&intake.tick(at(41))), [held[2]], "neither the one that moves nor the one that is whole");
    assert_eq!(intake.gone(at(41), held[1]), [Verdict::Granted(next)]);
    assert_eq!(intake.lost(), 1);
}

#[test]
fn what_ends_while_it_waits_leaves_nothing_behind() {
    let mut intake = Intake::new(WHOLE);
    let all: Vec<FrameNo> = (0..50).map(|_| intake.ask(at(0), owner(1, 1, 1), FRAME).0).collect();
    for no in all.into_iter().rev() {
        intake.gone(at(0), no);
    }
    assert_eq!((intake.taken(), intake.held.len(), intake.waiting.len()), (0, 0, 0));
    assert!(intake.shares.vaults.is_empty());
}

#[test]
fn small_frames_do_not_pass_a_large_one_for_ever() {
    let mut intake = Intake::new(WHOLE);
    let all = WHOLE / FRAME;
    let held: Vec<FrameNo> =
        (0..all).map(|n| intake.ask(at(0), owner(n as u8, n as u32, 1), FRAME).0).collect();
    assert!(held.len() == all && intake.taken() > WHOLE - FRAME);
    let (large, told) = intake.ask(at(0), owner(100, 100, 1), FRAME);
    assert!(told.is_empty());
    for n in 101..200 {
        let (_, told) = intake.ask(at(0), owner(n, u32::from(n), 1), 20_000);
        assert!(told.is_empty(), "there is a little room, and it is kept");
    }
    assert_eq!(intake.gone(at(0), held[0])[0], Verdict::Granted(large));
}
