//! Frames that do not parse, of every kind that a relay sends: the link ends or the vault rests, and nothing else.

use subrosa_protocol::frame::TAG_TABLE;
use subrosa_tests::liar::{How, Lie};

use crate::stage::Stage;
use crate::support::{PATIENCE, clock};

#[test]
fn a_malformed_frame_of_every_kind_ends_the_link_or_rests_the_vault_and_leaves_nothing() {
    let mut stage = Stage::honest();
    let tags = TAG_TABLE.iter().filter(|(_, _, direction)| *direction != "C->R");
    let mut cases = 0;
    for (tag, name, _) in tags {
        for how in How::ALL {
            let what = format!("{name}, {how:?}");
            stage.relay.tell(Lie::Malformed { tag: *tag, how });
            let sync = stage.a.sync(stage.relay.url());
            let (events, deadline) = (sync.events(), clock() + PATIENCE);
            loop {
                let status = sync.status();
                if status.failure.is_some() || !status.resting.is_empty() {
                    break;
                }
                assert!(clock() < deadline, "{what}: {status:?}");
                let _ = events.next(std::time::Duration::from_millis(5));
            }
            cases += 1;
        }
    }
    assert_eq!(cases, 15 * How::ALL.len());
    stage.write_a("from a");
    stage.write_b("from b");
    stage.is_healed_by_honesty("malformed");
    stage.nothing_is_lost("malformed");
}
