//! Clocks that were wrong, and put right.

use super::{Kind, Known};

/// All of them.
pub(super) const CLOCKS: &[Known] = &[
    Known {
        name: "clock-put-right",
        what: "a clock ran ahead and was put right: what is written then has no effect (T5 is the same)",
        plan: "seed 1 devices 2 relays 1
            0 clock 1 900
            1 put 1 0 0
            2 sync 1 0
            3 clock-right 1
            4 put 1 0 0
            5 sync 1 0
            6 put 1 0 0
            7 sync 1 0",
        is_mended: true,
        faults: &["caps-do-not-order"],
        kinds: &[Kind::WriteWithoutEffect],
        has: &[&["clock"], &["clock-right"]],
        without: &["copy", "restore in-place", "move"],
    },
    Known {
        name: "t5",
        what: "as clock-put-right, an hour ahead, the relay heard before the next edit",
        plan: "seed 1 devices 2 relays 1
            0 clock 0 3600
            1 put 0 0 0
            2 sync 0 0
            3 clock-right 0
            4 sync 0 0
            5 put 0 0 0
            6 sync 0 0
            7 sync 1 0",
        is_mended: true,
        faults: &["caps-do-not-order"],
        kinds: &[Kind::WriteWithoutEffect, Kind::Stale],
        has: &[&["clock"], &["clock-right"], &["sync"]],
        without: &["copy", "restore in-place", "move"],
    },
    Known {
        name: "clocks-on-both-sides",
        what: "the clocks of both ran ahead, one deletes what the other wrote, and then they are put right one by one",
        plan: "seed 1 devices 2 relays 1
            0 put 0 0 0
            1 sync 0 0
            2 sync 1 0
            3 clock 0 3600
            4 clock 1 3600
            5 put 1 0 1
            6 sync 1 0
            7 sync 0 0
            8 delete 0 0
            9 sync 0 0
            10 clock-right 0
            11 sync 0 0
            12 put 0 0 2
            13 sync 0 0
            14 clock-right 1
            15 put 1 0 0
            16 sync 1 0",
        is_mended: true,
        faults: &["caps-not-applied"],
        kinds: &[Kind::WriteWithoutEffect, Kind::Withheld, Kind::Differ, Kind::ComesBack, Kind::Hidden],
        has: &[&["clock"], &["clock-right"], &["delete"]],
        without: &["copy", "restore in-place", "restore new-files", "move"],
    },
    Known {
        name: "caps-at-once",
        what: "a clock that ran ahead was put right in part and then for good: what was written last loses to what was written first",
        plan: "seed 101066 devices 1 relays 1
            3 clock 2 86400
            4 put 2 0 1
            11 clock 2 400
            13 sync-unheard 2 0
            21 put 2 0 1",
        is_mended: true,
        faults: &["caps-alike"],
        kinds: &[Kind::Stale],
        has: &[&["clock"], &["put"], &["sync"]],
        without: &["copy", "restore", "move", "clock-right"],
    },
    Known {
        name: "over-a-fast-clock",
        what: "a clock that ran ahead wrote over what one that is a little fast wrote: it loses once it is put right",
        plan: "seed 100022 devices 2 relays 1
            12 clock 2 20
            21 put 2 0 1
            22 sync 2 0
            25 sync-unheard 1 0
            27 put 1 2 0
            28 sync 1 0
            30 sync-unheard 2 0
            31 clock 2 86400
            32 put 2 2 0",
        is_mended: true,
        faults: &["caps-at-now"],
        kinds: &[Kind::Stale],
        has: &[&["clock"], &["put"], &["sync"]],
        without: &["copy", "restore", "move"],
    },
    Known {
        name: "wall-behind",
        what: "a clock that ran ahead falls far behind: what its device wrote is gone there until it is right",
        plan: "seed 100196 devices 1 relays 1
            0 clock 1 30000000
            1 put 1 0 2
            8 clock 1 -3600
            22 sync 0 0
            23 stop 1 2 everything
            25 put 0 0 0",
        is_mended: true,
        faults: &[],
        kinds: &[Kind::LostAtStop],
        has: &[&["clock"], &["put"], &["sync"]],
        without: &["copy", "restore", "move"],
    },
    Known {
        name: "let-in-ahead",
        what: "a device that was let in writes while its clock is far ahead, before it may seal: others do not get it when that is right",
        plan: "seed 100739 devices 2 relays 1
            22 join 1 0
            23 clock 2 30000000
            24 put 2 2 0",
        is_mended: true,
        faults: &["never-put-right-late"],
        kinds: &[Kind::Withheld],
        has: &[&["clock"], &["join"]],
        without: &["copy", "restore", "move"],
    },
    Known {
        name: "two-put-right",
        what: "two clocks ran ahead; who wrote over the other's is put right first, and loses when the other one is",
        plan: "seed 101702 devices 3 relays 1
            0 clock 0 86400
            1 put 0 0 1
            5 sync 0 0
            8 clock 2 30000000
            10 sync 2 0
            13 clock-right 2
            14 put 2 0 1
            15 sync 2 0
            16 sync-unheard 0 0",
        is_mended: true,
        faults: &["prefixes-not-capped"],
        kinds: &[Kind::Stale],
        has: &[&["clock"], &["clock-right"], &["put"], &["sync"]],
        without: &["copy", "restore", "move"],
    },
    Known {
        name: "seen-ahead",
        what: "what was written over is capped, what it was written over is not, for it is not here: that wins once its author is put right",
        plan: "seed 2 devices 3 relays 2
            0 clock 0 86400
            1 clock 1 86400
            2 clock 2 86400
            3 import 0
            4 import 0
            5 import 0
            6 import 0
            7 put 0 0 0
            8 sync 0 0
            9 sync 1 0
            10 put 1 0 0
            11 quota 1 5
            12 sync 1 1
            13 sync 2 1
            14 clock-right 2
            15 sync 2 1
            16 quota-off 1
            17 wait 1000",
        is_mended: true,
        faults: &["seen-not-capped"],
        kinds: &[Kind::Stale],
        has: &[&["clock"], &["clock-right"], &["put"], &["sync"]],
        without: &["copy", "restore", "move"],
    },
    Known {
        name: "seen-before",
        what: "what was written over is capped as an older store is put back, what it was written over is not: a log said before that it was seen",
        plan: "seed 224663 devices 3 relays 2
            1 clock 0 86400
            2 clock 1 86400
            4 put 1 0 0
            6 put 0 0 0
            8 backup 1
            15 sync 0 0
            18 sync 1 0
            19 put 1 0 0
            20 sync 1 0
            27 restore 1 in-place
            28 clock-right 1
            29 sync 1 0",
        is_mended: true,
        faults: &["seen-not-capped"],
        kinds: &[Kind::Stale],
        has: &[&["clock"], &["restore"], &["put"], &["sync"]],
        without: &[],
    },
    Known {
        name: "futures-ahead",
        what: "two copies of a store whose clock runs ahead: what one has seen and written over wins, as the other caps the log of both",
        plan: "seed 1 devices 2 relays 2
            0 copy 0
            1 clock 0 86400
            2 clock 1 86400
            4 clock 2 86400
            5 put 1 0 0
            6 sync 1 1
            7 sync 2 1
            8 put 2 0 0
            9 put 0 1 0
            10 clock-right 0
            11 sync 0 0
            130 wait 1000",
        is_mended: false,
        faults: &[],
        kinds: &[Kind::Stale],
        has: &[&["clock"], &["copy"], &["put", "transaction"], &["sync"]],
        without: &[],
    },
    Known {
        name: "lost-ahead",
        what: "what was written by a clock that ran ahead comes back to its author's device, where an older store was put back",
        plan: "seed 10161101 devices 1 relays 1
            3 backup 0
            9 clock 0 3600
            10 put 0 0 0
            16 sync 6 0
            17 restore 2 in-place",
        is_mended: true,
        faults: &["own-stays-held"],
        kinds: &[Kind::Withheld],
        has: &[&["clock"], &["restore", "copy"]],
        without: &["clock-right"],
    },
    Known {
        name: "clock-wrong-twice",
        what: "a clock that ran ahead is put less wrong and then right: what was written over an older value gives way to it",
        plan: "seed 11139 devices 1 relays 1
            16 clock 1 30000000
            17 transaction 1 0 0
            19 clock 1 400
            21 sync 1 0
            23 put 1 0 0",
        is_mended: true,
        faults: &["earlier-not-capped"],
        kinds: &[Kind::Stale, Kind::WriteWithoutEffect],
        has: &[&["clock"], &["sync"]],
        without: &["copy", "restore", "move", "relay-clock", "clock-right"],
    },
    Known {
        name: "cap-of-a-wrong-relay",
        what: "a clock that ran ahead is put right at a relay whose clock runs ahead, and the cap is never lowered",
        plan: "seed 10089 devices 2 relays 1
            3 relay-clock 0 900
            5 clock 2 86400
            9 transaction 2 1 2
            11 clock-right 2
            13 sync 2 0",
        is_mended: true,
        faults: &["earlier-not-capped"],
        kinds: &[Kind::Withheld],
        has: &[&["relay-clock"], &["clock"]],
        without: &[],
    },
    Known {
        name: "clock-of-a-new-device",
        what: "the clock of a device that was just let in ran ahead and is put right before it may seal anything",
        plan: "seed 20929 devices 3 relays 1
            26 join 2 0
            29 clock 3 400
            30 put 3 1 0",
        is_mended: true,
        faults: &["never-put-right-late"],
        kinds: &[Kind::Withheld, Kind::WriteWithoutEffect],
        has: &[&["join"], &["clock"]],
        without: &[],
    },
    Known {
        name: "clock-of-a-stranger",
        what: "as clock-of-a-new-device, at a relay where nobody has said who it is",
        plan: "seed 32724 devices 3 relays 2
            9 join 2 0
            19 clock 3 30000000
            20 import 3
            21 clock-right 3
            22 sync 3 1
            23 sync 3 1",
        is_mended: true,
        faults: &["never-put-right-late"],
        kinds: &[Kind::Withheld, Kind::WriteWithoutEffect],
        has: &[&["join"], &["clock"], &["sync 1"]],
        without: &[],
    },
];
