//! Faults by which relays or members that lie would get something.

use super::super::failure::Kind;
use super::Known;

pub(super) const LIARS: &[Known] = &[
    Known {
        name: "acknowledged-and-thrown-away",
        what: "a relay says that it has what it has thrown away, is honest later, and what it lacks is not sent again",
        plan: "seed 1 devices 2 relays 1
            0 sync 0 0
            1 lie 0 forgets all
            2 put 0 0 1
            3 sync 0 0
            4 sync 0 0
            5 sync 0 0
            6 honest 0",
        is_mended: true,
        faults: &["lost-not-sent-again"],
        kinds: &[Kind::Lost, Kind::Missing, Kind::SyncEnds],
        has: &[&["lie"]],
        without: &["copy", "clock"],
    },
    Known {
        name: "made-up-left",
        what: "a relay makes up logs, is honest later, and what it made up stays where it waits for a certificate",
        plan: "seed 6 devices 1 relays 1
            1 lie 0 invents all
            3 sync 0 0",
        is_mended: true,
        faults: &["made-up-stays"],
        kinds: &[Kind::LeftBehind],
        has: &[&["lie"]],
        without: &[],
    },
    Known {
        name: "misplaced",
        what: "a member writes a segment from the middle of a group that never began, and the others take it for damage",
        plan: "seed 43 devices 2 relays 1
            9 forge 3 middle",
        is_mended: true,
        faults: &["misplaced-is-damage"],
        kinds: &[Kind::SyncEnds, Kind::CallFails, Kind::OpenFails],
        has: &[&["forge"]],
        without: &[],
    },
];
