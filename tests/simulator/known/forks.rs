//! Stores that were copied, put back and moved, relays that lost what they had, disks that failed.

use super::{Kind, Known};

const ANY: &[Kind] = &[
    Kind::ComesBack,
    Kind::Hidden,
    Kind::Stale,
    Kind::Field,
    Kind::Lost,
    Kind::Missing,
    Kind::Differ,
    Kind::SyncEnds,
];
const MEMBERS: &[Kind] = &[Kind::Members, Kind::Missing, Kind::SyncEnds, Kind::Lost];
const DATA: &[Kind] = &[Kind::ComesBack, Kind::Hidden, Kind::Stale, Kind::Field, Kind::Differ];
const RELAYS: &[&str] = &["wipe", "relay-restore"];
const BACK: &[&str] = &["restore in-place"];

/// All of them.
pub(super) const FORKS: &[Known] = &[
    Known {
        name: "restored-delete",
        what: "a backup is put back, and what was deleted since is there again",
        plan: "seed 1 devices 2 relays 1
            0 put 1 0 0
            1 backup 1
            2 sync 1 0
            3 sync 0 0
            4 delete 0 0
            5 sync 0 0
            6 sync 1 0
            7 restore 0 in-place",
        is_mended: true,
        faults: &["pending-in-new-logs", "new-logs-at-opening"],
        kinds: &[Kind::ComesBack],
        has: &[BACK, &["delete", "transaction"]],
        without: &["wipe", "relay-restore", "copy", "move", "sync-unheard", "join", "clock"],
    },
    Known {
        name: "undelete-copy",
        what: "a store and a copy of it are both used, and what one of them deleted is there again",
        plan: "seed 1 devices 2 relays 1
            0 put 0 0 0
            1 put 0 1 0
            2 copy 0
            3 sync 0 0
            4 sync 1 0
            5 delete 2 0
            6 delete 1 1
            7 sync 1 0",
        is_mended: true,
        faults: &["pending-in-new-logs", "new-logs-at-opening"],
        kinds: &[Kind::ComesBack],
        has: &[&["copy", "restore elsewhere"], &["delete", "transaction"]],
        without: &["wipe", "relay-restore", "move", "sync-unheard", "join", "clock", "restore in-place"],
    },
    Known {
        name: "t7",
        what: "a backup is put back in site, and the relay has lost its disk",
        plan: "seed 1 devices 2 relays 1
            0 backup 0
            1 put 0 0 0
            2 sync 0 0
            3 sync 1 0
            4 restore 0 in-place
            5 wipe 0
            6 put 0 1 0
            7 sync 0 0
            8 put 0 2 0
            9 sync 0 0
            10 sync 1 0",
        is_mended: true,
        faults: &["not-carried", "not-carried-for-others", "loose-forgotten"],
        kinds: ANY,
        has: &[BACK, &["wipe"]],
        without: &["copy", "relay-restore", "clock"],
    },
    Known {
        name: "t8",
        what: "two copies of a store each let a device in",
        plan: "seed 1 devices 2 relays 1
            0 backup 0
            1 restore 0 elsewhere
            2 join 0 0
            3 join 2 0",
        is_mended: true,
        faults: &["entries-not-repeated"],
        kinds: MEMBERS,
        has: &[&["join"], &["restore elsewhere", "copy"]],
        without: RELAYS,
    },
    Known {
        name: "t8b",
        what: "a backup is put back in site, and the first thing that its user does is to let a device in",
        plan: "seed 1 devices 2 relays 1
            0 backup 0
            1 join 0 0
            2 sync 0 0
            3 sync 1 0
            4 restore 0 in-place
            5 join 0 0",
        is_mended: true,
        faults: &["entries-not-repeated"],
        kinds: MEMBERS,
        has: &[&["join"], BACK],
        without: RELAYS,
    },
    Known {
        name: "orphan",
        what: "a device is let in, and before anybody hears of it the relay loses its disk and who let it in gets an older store",
        plan: "seed 10049934 devices 3 relays 1
            15 backup 0
            16 join 0 1
            19 restore 0 in-place
            20 wipe 1
            25 sync 1 1
            29 join 3 1",
        is_mended: true,
        faults: &["listing-not-kept"],
        kinds: MEMBERS,
        has: &[&["join"], BACK, &["wipe", "relay-restore"]],
        without: &[],
    },
    Known {
        name: "t20",
        what: "put, delete, put again; new logs; another device deletes the record, and they differ",
        plan: "seed 1 devices 2 relays 1
            0 put 0 0 0
            1 sync 0 0
            2 delete 0 0
            3 sync 0 0
            4 put 0 0 0
            5 move 0
            6 sync 0 0
            7 sync 1 0
            8 delete 1 0
            9 sync 1 0",
        is_mended: true,
        faults: &["new-logs-at-opening"],
        kinds: DATA,
        has: &[&["move"], &["delete", "transaction"], &["put", "transaction"]],
        without: &["copy", "restore", "sync-unheard", "wipe", "relay-restore", "clock"],
    },
    Known {
        name: "t21",
        what: "an acknowledgement is lost, new logs are opened, and what is deleted then is there again",
        plan: "seed 1 devices 2 relays 1
            0 put 0 0 0
            1 sync-unheard 0 0
            2 move 0
            3 delete 0 0
            4 sync 0 0",
        is_mended: true,
        faults: &["new-logs-at-opening"],
        kinds: DATA,
        has: &[
            &["sync-unheard", "cut", "stop", "steps"],
            &["move", "restore elsewhere", "copy", "clock"],
            &["delete", "transaction"],
        ],
        without: &["wipe", "relay-restore"],
    },
    Known {
        name: "wiped-relay",
        what: "a store and an older copy of it fill a relay that lost its disk: the vault splits",
        plan: "seed 1 devices 2 relays 1
            0 put 0 0 0
            1 backup 0
            2 put 0 0 1
            3 sync 0 0
            4 sync 1 0
            5 restore 0 in-place
            6 wipe 0
            7 put 0 0 2
            8 sync 0 0",
        is_mended: true,
        faults: &["one-future", "not-carried-for-others"],
        kinds: ANY,
        has: &[&["wipe", "relay-restore"], &["restore", "copy"]],
        without: &["clock"],
    },
    Known {
        name: "two-relays",
        what: "two relays hold two futures of one log",
        plan: "seed 1 devices 2 relays 2
            0 backup 0
            1 put 0 0 0
            2 sync 0 0
            3 restore 0 in-place
            4 put 0 0 1
            5 sync 0 1",
        is_mended: true,
        faults: &["own-future-unseen", "one-future"],
        kinds: ANY,
        has: &[&["restore", "copy"], &["sync 1"]],
        without: &["wipe", "relay-restore", "clock"],
    },
    Known {
        name: "short-relay",
        what: "a relay that lost its disk is filled by a copy of a store, whose log is shorter than the store's own",
        plan: "seed 389 devices 2 relays 1
            0 put 1 0 2
            2 copy 1
            5 sync 1 0
            7 wipe 0
            9 put 1 2 2
            10 sync 3 0",
        is_mended: true,
        faults: &["own-future-unseen", "one-future", "any-chain-appended"],
        kinds: &[Kind::SyncEnds, Kind::Missing],
        has: &[&["wipe", "relay-restore"], &["restore", "copy"]],
        without: &["clock"],
    },
    Known {
        name: "hidden-edit",
        what: "a copy of a store clears a field that the store has put, of which it knows nothing",
        plan: "seed 101217 devices 3 relays 1
            4 copy 0
            8 put 0 0 1
            10 sync 0 0
            12 sync 2 0
            13 put 2 0 1
            17 put 3 0 2
            19 delete 3 0
            22 put 3 0 2
            25 sync 3 0
            26 sync 0 0",
        is_mended: true,
        faults: &["shown-again-as-new"],
        kinds: &[Kind::Hidden, Kind::Field, Kind::Stale],
        has: &[&["copy", "restore"], &["delete"], &["put"]],
        without: &["clock"],
    },
    Known {
        name: "lost-closing",
        what: "a device has seen the end of a log that a relay lost: what it deleted counts as deleted without knowing it",
        plan: "seed 419371 devices 1 relays 1
            0 relay-backup 0
            1 put 1 0 0
            2 copy 1
            6 copy 1
            7 put 2 0 2
            8 sync 2 0
            9 sync 3 0
            12 delete 3 0
            14 relay-restore 0
            15 sync 4 0",
        is_mended: true,
        faults: &["closings-seen"],
        kinds: &[Kind::ComesBack],
        has: &[&["copy", "restore"], &["delete"], &["wipe", "relay-restore"]],
        without: &["clock"],
    },
    Known {
        name: "covered-edit",
        what: "a delete that did not know what a copy of a store wrote hides it",
        plan: "seed 1 devices 2 relays 1
            0 put 0 0 0
            1 copy 0
            2 put 2 0 1
            3 put 0 0 2
            4 sync 0 0
            5 sync 1 0
            6 delete 1 0
            7 sync 1 0",
        is_mended: true,
        faults: &["nothing-shown-again"],
        kinds: &[Kind::Hidden, Kind::Field],
        has: &[&["copy", "restore"], &["delete", "transaction"]],
        without: &["wipe", "relay-restore", "join"],
    },
    Known {
        name: "hidden-for-good",
        what: "as covered-edit, and the delete was sealed when the other future had come",
        plan: "seed 1 devices 2 relays 1
            0 put 0 0 0
            1 sync 0 0
            2 sync 1 0
            3 copy 0
            4 put 2 0 1
            5 put 0 0 2
            6 sync 0 0
            7 sync 1 0
            8 delete 1 0
            9 sync 2 0
            10 sync 1 0",
        is_mended: true,
        faults: &["batches-span-forks", "nothing-shown-again"],
        kinds: &[Kind::Hidden, Kind::Field],
        has: &[&["copy", "restore"], &["delete", "transaction"]],
        without: &["wipe", "relay-restore", "join"],
    },
    Known {
        name: "tie",
        what: "a store and a copy of it stamp alike what they write in one field, and devices do not show the same",
        plan: "seed 1 devices 2 relays 1
            0 put 0 1 0
            1 copy 0
            2 clock 0 -3600
            3 clock 2 -3600
            4 put 0 0 0
            5 put 2 0 0",
        is_mended: true,
        faults: &["first-of-a-tie"],
        kinds: &[Kind::Differ],
        has: &[&["copy", "restore"], &["clock"]],
        without: &["wipe", "relay-restore", "join"],
    },
    Known {
        name: "old-fields",
        what: "what a record had before it was deleted is there again when it is written anew",
        plan: "seed 1 devices 2 relays 1
            0 put 0 0 0
            1 delete 0 0
            2 put 0 0 1",
        is_mended: true,
        faults: &["puts-name-nothing"],
        kinds: &[Kind::Field],
        has: &[&["put", "transaction"], &["delete", "transaction"]],
        without: &["copy", "restore", "clock", "wipe", "relay-restore"],
    },
    Known {
        name: "lost-write",
        what: "a disk stops behind a write that had returned, and the write is gone",
        plan: "seed 1 devices 2 relays 1
            0 put 0 0 0
            1 stop 0 0 everything
            2 sync 0 0",
        is_mended: true,
        faults: &["writes-not-durable", "disk-not-synced"],
        kinds: &[Kind::LostAtStop],
        has: &[&["stop"]],
        without: &["copy", "restore"],
    },
    Known {
        name: "forgetful-relay",
        what: "a relay's disk fails, and what the relay has acknowledged is gone",
        plan: "seed 1 devices 2 relays 1
            0 put 0 0 0
            1 sync 0 0
            2 relay-ail 0 0 sync
            3 put 1 1 0
            4 sync 1 0
            5 put 1 1 0
            6 sync 1 0",
        is_mended: true,
        faults: &["acks-not-durable"],
        kinds: &[Kind::HeadsShrink],
        has: &[&["relay-stop", "relay-ail", "relay-fill"]],
        without: &["wipe", "relay-restore"],
    },
    Known {
        name: "own-future",
        what: "a store and a copy of it are both used, and what one of them wrote reaches nobody",
        plan: "seed 1 devices 2 relays 1
            0 copy 0
            1 put 0 0 0
            2 put 2 0 1
            3 sync 0 0
            4 sync 2 0",
        is_mended: true,
        faults: &["not-carried", "own-future-unseen", "loose-forgotten"],
        kinds: &[Kind::Missing, Kind::SyncEnds, Kind::Lost],
        has: &[&["copy", "restore"]],
        without: &["wipe", "relay-restore", "clock", "join"],
    },
    Known {
        name: "relay-of-a-copy",
        what: "a relay that lost its disk has what a copy of a store wrote, and feeds it to nobody who knows more of the log",
        plan: "seed 1 devices 2 relays 1
            0 copy 1
            1 put 1 0 0
            2 sync 1 0
            3 put 1 0 1
            4 sync 1 0
            5 sync 0 0
            6 wipe 0
            7 put 2 0 2
            8 sync 2 0",
        is_mended: true,
        faults: &["heads-name-the-tip"],
        kinds: &[Kind::SyncEnds],
        has: &[&["copy", "restore"], &["wipe", "relay-restore"]],
        without: &["clock"],
    },
    Known {
        name: "not-sent-again",
        what: "a relay loses its disk, and what it lost is not sent again",
        plan: "seed 303 devices 2 relays 1
            0 put 0 0 2
            1 sync 0 0
            2 sync 0 0
            3 wipe 0",
        is_mended: true,
        faults: &["lost-not-sent-again"],
        kinds: &[Kind::Missing, Kind::Lost, Kind::SyncEnds, Kind::Members],
        has: &[&["wipe", "relay-restore"]],
        without: &["copy", "clock"],
    },
    Known {
        name: "late-carrying",
        what: "a relay that lost its disk is given one future of a log, and the other one is not carried before the sync ends",
        plan: "seed 60038163 devices 1 relays 2
            1 backup 0
            2 put 0 0 1
            10 sync 0 1
            11 put 0 0 2
            12 sync 0 0
            13 restore 0 in-place
            14 sync 0 1
            15 sync 0 0
            22 wipe 0
            24 sync 0 0
            25 restore 0 in-place",
        is_mended: true,
        faults: &["carried-too-late"],
        kinds: &[Kind::Lost, Kind::Missing],
        has: &[BACK, &["wipe", "relay-restore"]],
        without: &["clock", "join"],
    },
];
