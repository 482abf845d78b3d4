use super::*;
use crate::ids::RendezvousId;

const A: LinkNo = LinkNo(1);
const B: LinkNo = LinkNo(2);
const C: LinkNo = LinkNo(3);

fn id(n: u8) -> RendezvousId {
    RendezvousId::from_bytes([n; 16])
}

/// (link, what it was told)
fn told(deliveries: Vec<Delivery>) -> Vec<(LinkNo, String)> {
    let short = |delivery: Delivery| {
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
    assert!(table.handle(at(0), A, RendezvousRequest::Open(id(1))).is_empty());
    assert_eq!(told(table.handle(at(0), B, RendezvousRequest::Open(id(1)))), [(B, none())], "taken");
    assert_eq!(told(table.handle(at(0), A, RendezvousRequest::Join(id(1)))), [(A, none())], "with itself");
    let ready = told(table.handle(at(1), B, RendezvousRequest::Join(id(1))));
    assert_eq!(ready, [(A, "ready".to_owned()), (B, "ready".to_owned())]);
    assert_eq!(told(table.handle(at(1), C, RendezvousRequest::Join(id(1)))), [(C, none())]);
    let data = |n: usize| RendezvousRequest::Data(id(1), vec![0; n]);
    assert_eq!(told(table.handle(at(2), A, data(5))), [(B, "data 5".to_owned())]);
    assert_eq!(told(table.handle(at(2), B, data(6))), [(A, "data 6".to_owned())]);
    assert_eq!(told(table.handle(at(2), C, data(7))), [(C, none())]);
    assert_eq!(told(table.handle(at(299), A, data(5))).len(), 1);
    assert_eq!(told(table.handle(at(300), A, data(5))), [(A, none())], "over");
    assert!(table.is_empty());
}

#[test]
fn leaving_ends_a_meeting_for_both() {
    let mut table = Rendezvous::new(at(0));
    table.handle(at(0), A, RendezvousRequest::Open(id(1)));
    table.handle(at(0), A, RendezvousRequest::Open(id(2)));
    table.handle(at(0), B, RendezvousRequest::Join(id(1)));
    assert_eq!(told(table.handle(at(1), B, RendezvousRequest::Leave)), [(A, none())]);
    assert_eq!(table.len(), 1);
    assert_eq!(
        told(table.handle(at(1), C, RendezvousRequest::Join(id(1)))),
        [(C, none())],
        "one joiner ever"
    );
    assert!(table.handle(at(1), A, RendezvousRequest::Leave).is_empty());
    assert!(table.is_empty());
}

#[test]
fn opening_and_joining_are_limited() {
    let limited = ErrorCode::RateLimited.to_string();
    let mut table = Rendezvous::new(at(0));
    for n in 0..limits::RENDEZVOUS_PER_LINK_MAX {
        assert!(table.handle(at(0), A, RendezvousRequest::Open(id(n as u8))).is_empty());
    }
    assert_eq!(told(table.handle(at(0), A, RendezvousRequest::Open(id(99)))), [(A, limited.clone())]);
    let mut refused = 0;
    for _ in 0..2 * limits::JOINS_BURST as usize {
        let answer = told(table.handle(at(0), B, RendezvousRequest::Join(id(77))));
        refused += usize::from(answer == [(B, limited.clone())]);
    }
    assert_eq!(refused, limits::JOINS_BURST as usize);
    assert_eq!(told(table.handle(at(1), B, RendezvousRequest::Join(id(77)))), [(B, none())], "refilled");
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
