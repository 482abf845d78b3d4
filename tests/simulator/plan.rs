//! Plans: what people, machines and networks do, as a list that can be printed, read back, and cut down.
//!
//! A plan follows from its seed. Devices, copies and relays are named by small numbers that wrap around what is there, so
//! that a plan stays one whatever is left out of it; each step keeps the number that its dice come from.

use subrosa::testing::forging::Forgery;

use super::disk::{Ail, Loss};
use super::lies::Lie;
use super::model::{FieldNo, RecNo};

/// Where a store lies: one of the sites that there are, a device or a copy of one.
pub type SiteNo = u8;
/// One of the relays.
pub type RelayNo = u8;

/// How a store is put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Back {
    /// In place of what is there.
    InPlace,
    /// Beside what is there: on another machine, which has no other store of that device.
    Elsewhere,
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// A field of a record gets a new value.
    Put(SiteNo, RecNo, FieldNo),
    /// A record is deleted.
    Delete(SiteNo, RecNo),
    /// A field is removed.
    Unset(SiteNo, RecNo, FieldNo),
    /// A transaction puts a field of the first record and deletes the second.
    Transaction(SiteNo, RecNo, RecNo),
    /// Many records are imported at once.
    Import(SiteNo),
    /// A link is made and stays.
    Connect(SiteNo, RelayNo),
    /// A link is lost, with whatever is under way.
    Cut(SiteNo, RelayNo),
    /// So many steps of whatever is connected.
    Steps(u8),
    /// Links do what they do for so many seconds.
    Run(u8),
    /// A site syncs until it is caught up both ways, or for a minute.
    Sync(SiteNo, RelayNo),
    /// A site pushes all it has, and the link is lost before an acknowledgement comes.
    SyncUnheard(SiteNo, RelayNo),
    /// A process ends and opens its store again.
    Reopen(SiteNo),
    /// A disk stops after so many changes; the process is started again, what was not synced lost in this way.
    Stop(SiteNo, u8, Loss),
    /// A copy of a store is put aside.
    Backup(SiteNo),
    /// A backup, counted from the last one, is put back.
    Restore(u8, Back),
    /// A store is copied, and the copy is used on another machine.
    Copy(SiteNo),
    /// A store is moved to another disk.
    Move(SiteNo),
    /// A clock goes so many seconds ahead, or behind.
    Clock(SiteNo, i32),
    /// A clock is put right.
    ClockRight(SiteNo),
    /// So many seconds pass, and links do what they do.
    Wait(u16),
    /// A relay loses its disk.
    Wipe(RelayNo),
    /// A copy of a relay's database is put aside.
    RelayBackup(RelayNo),
    /// It is put back.
    RelayRestore(RelayNo),
    /// A relay's disk stops after so many changes; it is started again.
    RelayStop(RelayNo, u8, Loss),
    /// A site lets a new device in, over a relay.
    Join(SiteNo, RelayNo),
    /// A disk fails once, after so many more of what it fails at.
    Ail(SiteNo, u8, Ail),
    /// A disk is full.
    Fill(SiteNo),
    /// It has room again.
    Room(SiteNo),
    /// A relay's disk fails once.
    RelayAil(RelayNo, u8, Ail),
    /// A relay's disk is full.
    RelayFill(RelayNo),
    /// It has room again.
    RelayRoom(RelayNo),
    /// A relay is started again with a quota of so many KiB more than the vault has there.
    Quota(RelayNo, u8),
    /// A relay is started again without.
    QuotaOff(RelayNo),
    /// Frames between a relay and its links take up to so many milliseconds.
    Latency(RelayNo, u16),
    /// A relay's clock goes so many seconds ahead, or behind.
    RelayClock(RelayNo, i32),
    /// A relay lies from now on, to everybody or to one site.
    Lie(RelayNo, Lie, Option<SiteNo>),
    /// It lies no more, and all its links are made anew.
    Honest(RelayNo),
    /// A member seals something that no honest one does; from then on nobody asks what it shows.
    Forge(SiteNo, Forgery),
}

/// An action with the number that its dice come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// That number.
    pub no: u16,
    /// What happens.
    pub action: Action,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Where all dice come from.
    pub seed: u64,
    /// Devices that are there from the beginning, paired and in sync.
    pub devices: u8,
    /// Relays.
    pub relays: u8,
    /// What happens.
    pub steps: Vec<Step>,
}

/// What a plan is about: each kind of trouble is looked for with little else around, and all of them together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Theme {
    /// Edits, links that are lost, processes and disks that stop.
    Calm,
    /// Stores that are copied, put back, moved.
    Copies,
    /// Clocks that are wrong.
    Clocks,
    /// Several relays, and relays that lose what they had.
    Relays,
    /// Devices that are let in, and copies of stores that let devices in.
    Joins,
    /// Disks that fail, or are full, at devices and relays.
    Disks,
    /// Relays that lie.
    Lies,
    /// Members that lie.
    Forgeries,
    /// All of it.
    All,
}

/// All themes.
pub const THEMES: [Theme; 9] = [
    Theme::Calm,
    Theme::Copies,
    Theme::Clocks,
    Theme::Relays,
    Theme::Joins,
    Theme::Disks,
    Theme::Lies,
    Theme::Forgeries,
    Theme::All,
];

impl Theme {
    /// The one of a seed.
    #[must_use]
    pub const fn of(seed: u64) -> Self {
        THEMES[(seed % THEMES.len() as u64) as usize]
    }

    pub(super) const fn has(self, theme: Self) -> bool {
        self as u8 == theme as u8 || matches!(self, Self::All)
    }
}

/// Sites that there may be.
pub const SITES_MAX: u8 = 9;
