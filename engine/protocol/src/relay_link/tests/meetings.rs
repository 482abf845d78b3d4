use super::*;
use crate::ids::RendezvousId;

const A: LinkNo = LinkNo(1);
const B: LinkNo = LinkNo(2);
const C: LinkNo = LinkNo(3);

/// A link of the only host, unless a test says otherwise.
fn by(link: LinkNo) -> Asker {
    from(link, [192, 0, 2, 1])
}

fn from(link: LinkNo, addr: [u8; 4]) -> Asker {
    Asker { link, origin: Origin::of(addr.into()) }
}

fn id(n: u8) -> RendezvousId {
    RendezvousId::from_bytes([n; 16])
}

/// (link, what it was told)
fn told(deliveries: Vec<PeerFrame>) -> Vec<(LinkNo, String)> {
    let short = |delivery: PeerFrame| {
        let what = match delivery.frame {
            RelayFrame::RendezvousReady { .. } => "ready".to_owned(),
            RelayFrame::RendezvousData { message, .. } => format!("data {}", message.len()),
            RelayFrame::Error(refusal) => refusal.code.to_string(),
            other => panic!("{other:?}"),
        };
        (delivery.link, what)
    };
    deliveries.into_iter().map(short).collect()
}

fn none() -> String {
    ErrorCode::NoRendezvous.to_string()
}

#[test]
fn a_meeting_is_of_two_once_and_five_minutes() {
    let mut table = Rendezvous::new(at(0));
    assert!(table.handle(at(0), by(A), RendezvousRequest::Open(id(1))).is_empty());
    assert_eq!(told(table.handle(at(0), by(B), RendezvousRequest::Open(id(1)))), [(B, none())], "taken");
    assert_eq!(
        told(table.handle(at(0), by(A), RendezvousRequest::Join(id(1)))),
        [(A, none())],
        "with itself"
    );
    let ready = told(table.handle(at(1), by(B), RendezvousRequest::Join(id(1))));
    assert_eq!(ready, [(A, "ready".to_owned()), (B, "ready".to_owned())]);
    assert_eq!(told(table.handle(at(1), by(C), RendezvousRequest::Join(id(1)))), [(C, none())]);
    let data = |n: usize| RendezvousRequest::Data(id(1), vec![0; n]);
    assert_eq!(told(table.handle(at(2), by(A), data(5))), [(B, "data 5".to_owned())]);
    assert_eq!(told(table.handle(at(2), by(B), data(6))), [(A, "data 6".to_owned())]);
    assert_eq!(told(table.handle(at(2), by(C), data(7))), [(C, none())]);
    assert_eq!(told(table.handle(at(299), by(A), data(5))).len(), 1);
    assert_eq!(told(table.handle(at(300), by(A), data(5))), [(A, none())], "over");
    assert!(table.is_empty());
}

#[test]
fn leaving_ends_a_meeting_for_both() {
    let mut table = Rendezvous::new(at(0));
    table.handle(at(0), by(A), RendezvousRequest::Open(id(1)));
    table.handle(at(0), by(A), RendezvousRequest::Open(id(2)));
    table.handle(at(0), by(B), RendezvousRequest::Join(id(1)));
    assert_eq!(told(table.leave(at(1), B)), [(A, none())]);
    assert_eq!(table.len(), 1);
    assert_eq!(
        told(table.handle(at(1), by(C), RendezvousRequest::Join(id(1)))),
        [(C, none())],
        "one joiner ever"
    );
    assert!(table.leave(at(1), A).is_empty());
    assert!(table.is_empty());
}

#[test]
fn opening_and_joining_are_limited() {
    let limited = ErrorCode::RateLimited.to_string();
    let mut table = Rendezvous::new(at(0));
    for n in 0..limits::RENDEZVOUS_PER_LINK_MAX {
        assert!(table.handle(at(0), by(A), RendezvousRequest::Open(id(n as u8))).is_empty());
    }
    assert_eq!(told(table.handle(at(0), by(A), RendezvousRequest::Open(id(99)))), [(A, limited.clone())]);
    let join = |table: &mut Rendezvous, secs, who| {
        told(table.handle(at(secs), who, RendezvousRequest::Join(id(77)))) != [(who.link, limited.clone())]
    };
    let tries = 2 * limits::JOINS_BURST_HOST as usize;
    let heard = (0..tries).filter(|_| join(&mut table, 0, by(B))).count();
    assert_eq!(heard, limits::JOINS_BURST_HOST as usize);
    assert_eq!(table.limited(), 1 + (tries - heard) as u64);
    assert!(join(&mut table, 1, by(B)), "refilled");
}

#[test]
fn a_host_that_joins_without_end_keeps_nobody_else_from_pairing() {
    let mut table = Rendezvous::new(at(0));
    table.handle(at(0), from(A, [198, 51, 100, 7]), RendezvousRequest::Open(id(1)));
    for n in 0..100_000 {
        let loud = from(LinkNo(100 + n), [192, 0, 2, (n % 200) as u8]);
        table.handle(at(0), loud, RendezvousRequest::Join(id(99)));
    }
    let ready = table.handle(at(0), from(B, [203, 0, 113, 1]), RendezvousRequest::Join(id(1)));
    assert_eq!(told(ready), [(A, "ready".to_owned()), (B, "ready".to_owned())]);
}

#[test]
fn members_of_one_host_leave_places_to_others() {
    let mut table = Rendezvous::new(at(0));
    let mut open = |n: u64, addr: [u8; 4]| {
        let name = RendezvousId::from_bytes(u128::from(n).to_be_bytes());
        table.handle(at(0), from(LinkNo(n), addr), RendezvousRequest::Open(name)).is_empty()
    };
    assert_eq!((0..1000).filter(|n| open(*n, [192, 0, 2, 1])).count(), limits::RENDEZVOUS_PER_HOST_MAX);
    assert_eq!((1000..2000).filter(|n| open(*n, [192, 0, 2, 2])).count(), limits::RENDEZVOUS_PER_HOST_MAX);
    assert!(!open(2000, [192, 0, 2, 3]), "its network has its share");
    assert!(open(2001, [198, 51, 100, 1]));
    assert!(!table.leave(at(0), LinkNo(0)).iter().any(|_| true));
    assert!(
        table.handle(at(0), from(C, [192, 0, 2, 3]), RendezvousRequest::Open(id(5))).is_empty(),
        "one left"
    );
    table.handle(at(300), from(C, [192, 0, 2, 3]), RendezvousRequest::Data(id(5), Vec::new()));
    assert!(table.is_empty());
    assert!(table.handle(at(300), by(A), RendezvousRequest::Open(id(6))).is_empty());
}

#[test]
fn a_peer_whose_frame_is_too_slow_is_told_when_to_come_back() {
    let mut link = open_link(Admission::Open);
    link.handle(at(1), Input::TooSlow).unwrap();
    let outputs = drain(&mut link);
    assert!(matches!(&outputs[..], [
        Output::Send(RelayFrame::Error(refusal)),
        Output::Close(ErrorCode::RateLimited),
    ] if refusal.code == ErrorCode::RateLimited && refusal.retry_after_secs == limits::RETRY_SECS));
}

#[test]
fn a_link_that_guesses_rendezvous_is_cut_off() {
    let mut link = open_link(Admission::Closed);
    for _ in 0..limits::JOINS_PER_LINK_MAX {
        feed_in(&mut link, &ClientFrame::RendezvousJoin { id: id(1) }).unwrap();
        assert!(matches!(drain(&mut link)[..], [Output::Rendezvous(RendezvousRequest::Join(_))]));
    }
    feed_in(&mut link, &ClientFrame::RendezvousJoin { id: id(1) }).unwrap();
    assert!(matches!(drain(&mut link).last(), Some(Output::Close(ErrorCode::RateLimited))));

    let mut joined = open_link(Admission::Closed);
    joined.handle(at(5), Input::Deliver(RelayFrame::RendezvousReady { id: id(1) })).unwrap();
    let deadline = joined.deadline().unwrap().as_secs();
    assert_eq!(deadline, 5 + limits::RENDEZVOUS_SECONDS, "a joiner has the meeting's time");
}
