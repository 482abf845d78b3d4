use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// What a peer and a driver may do to a link, in any order.
#[derive(Clone, Debug)]
enum Event {
    Bytes(Vec<u8>),
    Frame(usize),
    Answer(usize),
    Appended(bool),
    Changed(bool),
    Timeout(u64),
    Drain,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => vec(any::<u8>(), 0..200).prop_map(Event::Bytes),
        12 => (0..17usize).prop_map(Event::Frame),
        8 => (0..3usize).prop_map(Event::Answer),
        4 => any::<bool>().prop_map(Event::Appended),
        1 => any::<bool>().prop_map(Event::Changed),
        1 => (0..1000u64).prop_map(Event::Timeout),
        1 => Just(Event::Drain),
    ]
}

fn frame(n: usize) -> ClientFrame {
    let (vault, log) = (vault(), LogId::from_bytes([1; 16]));
    let id = crate::ids::RendezvousId::from_bytes([1; 16]);
    match n {
        0 => hello(),
        1 => auth(3, Role::Writer, vault),
        2 => auth(2, Role::Reader, vault),
        3 => auth(5, Role::Writer, VaultId::from_bytes([5; 32])),
        4 => ClientFrame::Create { vault, credential: Credential::None },
        5 => ClientFrame::Statement { vault, statement: following(&statements()[0], 6, 7).encode() },
        6 => subscribe(0, LIFE),
        7 => subscribe(9, Incarnation::ZERO),
        8 => log_frame(Key::new(5).public(), None),
        9 => ClientFrame::Push { vault, segments: vec![segment(1, 0, 16), segment(1, 1, 990)] },
        10 => ClientFrame::Heads {
            vault,
            last: true,
            heads: vec![ShortHead { log, seq: Seq(3), chain: [0; 16], base: Base::WHOLE }],
        },
        11 => ClientFrame::Want { vault, log, from: Seq(1), to: Seq(0) },
        12 => ClientFrame::RendezvousJoin { id },
        13 => parts(&statements()).remove(0),
        14 => ClientFrame::Statements(StatementsPart { vault, last: false, statements: vec![vec![1; 99]] }),
        15 => ClientFrame::StatementsWant { vault, from: Generation(0) },
        _ => ClientFrame::RendezvousData { id, message: vec![0; 9] },
    }
}

/// An honest driver's answer to a question: well, empty, or failed.
fn answer(question: &Output, how: usize) -> Option<Input> {
    let well = how == 0;
    let input = match question {
        Output::LoadVault(_) => Input::Vault(well.then(state)),
        Output::Create(_) if well => Input::Created(Ok(Created { state: state(), grant: vec![1] })),
        Output::Create(_) => Input::Created(Err(ErrorCode::RelayFull)),
        Output::JoinStatements { .. } if well => {
            let mut state = state();
            let first = state.statements[0].clone();
            let next = following(&first, 6, 7);
            state.statements = [first, next].into();
            Input::StatementStored(Ok(state))
        }
        Output::JoinStatements { .. } => Input::StatementStored(Err(ErrorCode::StatementRefused)),
        Output::LoadStatements { .. } => {
            Input::Statements(if well { vec![statements()[0].encode(); 70] } else { Vec::new() })
        }
        Output::LoadDigest(_) => {
            Input::Digest { last: Rseq(9), digest: if well { SAID } else { digest_of_nothing() } }
        }
        Output::LoadHeads(_) => Input::Heads(Vec::new()),
        Output::MatchHeads { heads, .. } => {
            let found =
                |client: &ShortHead| HeadMatch { client: *client, last: Some(Seq(1)), chain_there: None };
            Input::Matched(heads.iter().map(found).collect())
        }
        _ => return None,
    };
    Some(if how == 2 { Input::Failed } else { input })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn nothing_a_peer_sends_panics_or_escapes_the_rules(events in vec(event(), 1..60)) {
        let mut link = link_of(Admission::Open);
        let mut question: Option<Output> = None;
        let mut appends: Vec<Append> = Vec::new();
        let mut closed = false;
        let mut now = at(1);
        for event in events {
            let input = match event {
                Event::Bytes(bytes) if link.accepts_frame() => Input::Frame(bytes.into()),
                Event::Frame(n) if link.accepts_frame() => Input::Frame(frame(n).encode().slice(4..)),
                Event::Bytes(_) | Event::Frame(_) => continue,
                Event::Answer(how) => match question.take().and_then(|question| answer(&question, how)) {
                    Some(input) => input,
                    None => continue,
                },
                Event::Appended(well) => {
                    let Some(append) = appends.pop() else { continue };
                    let header = *append.segments[0].header();
                    let entry = Head { log: header.log, seq: header.seq, chain: Chain::ZERO };
                    let refused = Refused {
                        code: ErrorCode::Conflict, retry_after_secs: 0, log: header.log, seq: header.seq,
                    };
                    Input::Appended(Appended {
                        vault: append.vault,
                        bytes: append.bytes,
                        entries: if well { vec![entry] } else { Vec::new() },
                        rseq: Rseq(1),
                        refused: if well { Vec::new() } else { vec![refused] },
                    })
                }
                Event::Changed(same) => {
                    let mut state = state();
                    if !same {
                        let first = state.statements[0].clone();
                        let next = following(&first, 6, 7);
                        state.statements = [first, next].into();
                    }
                    Input::StatementsChanged(vault(), state)
                }
                Event::Timeout(secs) => {
                    now = at(secs);
                    Input::Timeout
                }
                Event::Drain => Input::Drain,
            };
            let result = link.handle(now, input);
            prop_assert_ne!(result, Err(LinkError::Driver), "this driver keeps the order");
            for output in drain(&mut link) {
                prop_assert!(!closed, "nothing follows Close");
                match output {
                    Output::Close(_) => closed = true,
                    Output::Append(append) => {
                        prop_assert!(append.segments.iter().all(|s| s.bytes().len() <= 1000));
                        appends.push(append);
                    }
                    Output::Send(frame) => {
                        let bytes = frame.encode();
                        prop_assert_eq!(RelayFrame::decode(&bytes[4..]).unwrap(), frame);
                    }
                    other => {
                        if answer(&other, 0).is_some() {
                            prop_assert!(question.is_none(), "one question at a time");
                            question = Some(other);
                        }
                    }
                }
            }
            prop_assert!(appends.len() <= limits::APPENDS_PER_LINK_MAX);
            prop_assert!(!(closed && link.accepts_frame()));
        }
    }
}
