//! What plans meet: how often something really happened, and which states were reached. A plan that wipes an empty relay, or cuts
//! a link that is idle, tests nothing; without these counts nobody would know.

use std::fmt;

use super::lies::Lie;

macro_rules! sights {
    ($($name:ident = $text:literal,)*) => {
        /// One thing that a plan may meet.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Sight {
            $(#[doc = $text] $name,)*
        }

        impl Sight {
            /// All of them, with what they are.
            pub const TABLE: &[(Self, &'static str)] = &[$((Self::$name, $text),)*];
        }
    };
}

sights! {
    Write = "local calls that were acknowledged",
    CallStopped = "local calls that a disk cut short",
    LinkCut = "links lost with something under way",
    LinkEnds = "links that ended by an error",
    Unheard = "links whose acknowledgements were lost",
    Stop = "disks of devices that stopped",
    StopLost = "disks of devices that stopped and lost something",
    StopOpening = "disks that stopped while their store was opened",
    RelayStop = "disks of relays that stopped",
    RelayStopLost = "disks of relays that stopped and lost something",
    ReadFails = "reads of devices that failed",
    WriteFails = "writes of devices that failed",
    SyncFails = "syncs of devices that failed",
    SyncForgets = "syncs of devices that failed and forgot what they were to write",
    Full = "disks of devices that were full when something new was written",
    ReadOn = "stores that could be read after such a failure before they were opened again",
    ReadNoMore = "stores that could not",
    OpenFull = "stores that did not open while their disk was full",
    RelayAils = "reads, writes and syncs of relays that failed",
    RelayFull = "disks of relays that were full when something new was written",
    OpenRelayFull = "relays that did not start while their disk was full",
    Reopen = "stores closed and opened again",
    Back = "backups put back in place of something newer",
    Elsewhere = "backups put back beside the store",
    Copy = "stores copied",
    Move = "stores moved",
    Wipe = "relays that lost their disk with something on it",
    RelayBack = "relays whose disk was put back with something missing",
    WrongClock = "local calls by a wrong clock",
    Join = "devices let in",
    JoinTakenBack = "devices that were not let in, as the relay had no word of it",
    JoinWithoutKeys = "devices listed without keys, as the relay had no word of it and it was on its way",
    Forked = "logs forked, at each device",
    NewLogs = "new logs opened",
    Carried = "segments carried, at relays in the end",
    Closing = "closing segments, at relays in the end",
    Held = "steps after which a device held groups for its clock",
    Capped = "steps after which a device knew caps",
    Waits = "steps after which a log waited in front of a group",
    Quarantined = "steps after which a device had logs without a certificate",
    Notes = "steps after which names waited for a certificate",
    AtRisk = "steps after which a device had puts that a delete may hide",
    Covered = "steps after which such a put was hidden and not yet looked at",
    Rests = "vaults that rested on a link",
    RefusedQuota = "links on which something was refused for a quota",
    RefusedFull = "links on which something was refused for a full disk",
    RefusedInternal = "links on which something was refused for a failure of the relay",
    Refused = "links on which something else was refused",
    Late = "frames that took their time",
    WrongRelayClock = "links with a relay whose clock is wrong",
    Asked = "times that a device knew to have all that its relay had",
    AskedMore = "such times after which it showed more than before",
    AskedWaits = "such times that say little, as something received was not merged yet",
    Disagrees = "relays that showed other heads after all were compared",
    Disputed = "relays that claimed another future and showed none",
    LieForgets = "frames that a relay acknowledged and threw away",
    LieMute = "frames of a relay that acknowledged nothing",
    LieHides = "frames of a relay that hid a log",
    LieFreezes = "frames of a relay that fed nothing any more",
    LieWorlds = "frames of a relay with two databases",
    LieAlters = "frames that a relay altered",
    LieGarbles = "frames that a relay garbled",
    LieRepeats = "frames that a relay said again",
    LieDrops = "frames of a relay that loses some",
    LieInvents = "frames to which a relay added segments of its own",
    LieRefuses = "frames that a relay refused for any reason",
    LieClaims = "frames of a relay that claimed other futures",
    Forged = "times that a member sealed what no honest one does",
    NotForged = "times that its store did not let it",
    WaitedForCarriers = "plans in which others had to carry",
}

impl Sight {
    /// A relay lied so.
    #[must_use]
    pub const fn of_lie(lie: Lie) -> Self {
        match lie {
            Lie::Forgets => Self::LieForgets,
            Lie::Mute => Self::LieMute,
            Lie::Hides => Self::LieHides,
            Lie::Freezes => Self::LieFreezes,
            Lie::Worlds => Self::LieWorlds,
            Lie::Alters => Self::LieAlters,
            Lie::Garbles => Self::LieGarbles,
            Lie::Repeats => Self::LieRepeats,
            Lie::Drops => Self::LieDrops,
            Lie::Invents => Self::LieInvents,
            Lie::Refuses => Self::LieRefuses,
            Lie::Claims => Self::LieClaims,
        }
    }
}

const COUNT: usize = Sight::TABLE.len();

/// How often each was met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sights {
    times: [u64; COUNT],
    /// In how many plans.
    plans: [u64; COUNT],
}

impl Default for Sights {
    fn default() -> Self {
        Self { times: [0; COUNT], plans: [0; COUNT] }
    }
}

impl Sights {
    /// It was met once more.
    pub const fn note(&mut self, sight: Sight) {
        self.add(sight, 1);
    }

    /// It was met so many times more, perhaps none.
    pub const fn add(&mut self, sight: Sight, times: u64) {
        self.times[sight as usize] += times;
    }

    /// How often it was met.
    #[must_use]
    pub const fn times(&self, sight: Sight) -> u64 {
        self.times[sight as usize]
    }

    /// Takes in those of one plan.
    pub fn take_plan(&mut self, plan: &Self) {
        for at in 0..COUNT {
            self.times[at] += plan.times[at];
            self.plans[at] += u64::from(plan.times[at] > 0);
        }
    }
}

impl fmt::Display for Sights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (sight, text) in Sight::TABLE {
            let at = *sight as usize;
            writeln!(f, "  {:>8} in {:>6} plans  {text}", self.times[at], self.plans[at])?;
        }
        Ok(())
    }
}
