//! Plans: what people, machines and networks do, as a list that can be printed, read back, and cut down.
//!
//! A plan follows from its seed. Devices, copies and relays are named by small numbers that wrap around what is there, so
//! that a plan stays one whatever is left out of it; each step keeps the number that its dice come from.

use super::dice::Dice;
use super::disk::Loss;
use super::model::{FIELDS, FieldNo, RECORDS, RecNo};

/// Where a store lies: one of the places that there are, a device or a copy of one.
pub type PlaceNo = u8;
/// One of the relays.
pub type RelayNo = u8;

/// How a store is put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Back {
    /// Over the same files.
    InPlace,
    /// As new files in the same folder.
    NewFiles,
    /// Beside what is there: on another machine, which has no other store of that device.
    Elsewhere,
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// A field of a record gets a new value.
    Put(PlaceNo, RecNo, FieldNo),
    /// A record is deleted.
    Delete(PlaceNo, RecNo),
    /// A field is removed.
    Unset(PlaceNo, RecNo, FieldNo),
    /// A transaction puts a field of the first record and deletes the second.
    Transaction(PlaceNo, RecNo, RecNo),
    /// Many records are imported at once.
    Import(PlaceNo),
    /// A link is made and stays.
    Connect(PlaceNo, RelayNo),
    /// A link is lost, with whatever is under way.
    Cut(PlaceNo, RelayNo),
    /// So many steps of whatever is connected.
    Steps(u8),
    /// Links do what they do for so many seconds.
    Run(u8),
    /// A place syncs until it is caught up both ways, or for a minute.
    Sync(PlaceNo, RelayNo),
    /// A place pushes all it has, and the link is lost before an acknowledgement comes.
    SyncUnheard(PlaceNo, RelayNo),
    /// A process ends and opens its store again.
    Reopen(PlaceNo),
    /// A disk stops after so many changes; the process is started again, what was not synced lost in this way.
    Stop(PlaceNo, u8, Loss),
    /// A copy of a store is put aside.
    Backup(PlaceNo),
    /// A backup, counted from the last one, is put back.
    Restore(u8, Back),
    /// A store is copied, and the copy is used on another machine.
    Copy(PlaceNo),
    /// A store is moved to another disk.
    Move(PlaceNo),
    /// A clock goes so many seconds ahead, or behind.
    Clock(PlaceNo, i32),
    /// A clock is put right.
    ClockRight(PlaceNo),
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
    /// A place lets a new device in, over a relay.
    Join(PlaceNo, RelayNo),
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
    /// All of it.
    All,
}

/// All themes.
pub const THEMES: [Theme; 6] =
    [Theme::Calm, Theme::Copies, Theme::Clocks, Theme::Relays, Theme::Joins, Theme::All];

impl Theme {
    /// The one of a seed.
    #[must_use]
    pub const fn of(seed: u64) -> Self {
        THEMES[(seed % THEMES.len() as u64) as usize]
    }

    const fn has(self, theme: Self) -> bool {
        self as u8 == theme as u8 || matches!(self, Self::All)
    }
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        let mut dice = Dice::of(&[seed, 0x706c_616e]);
        let theme = Theme::of(seed);
        let relays = if theme.has(Theme::Relays) { dice.pick(&[1, 1, 2, 2, 3]) } else { 1 };
        let devices = dice.pick(&[2, 2, 2, 3, 3, 4]);
        let len = dice.pick(&[6, 8, 10, 12, 14, 18, 24]);
        let mut hand = Hand { dice, theme, places: devices, relays };
        let steps = (0..len).map(|no| Step { no, action: hand.draw() }).collect();
        Self { seed, devices, relays, steps }
    }
}

/// Draws actions.
struct Hand {
    dice: Dice,
    theme: Theme,
    places: u8,
    relays: u8,
}

impl Hand {
    fn place(&mut self) -> PlaceNo {
        self.dice.below(u64::from(self.places)) as PlaceNo
    }

    fn relay(&mut self) -> RelayNo {
        self.dice.below(u64::from(self.relays)) as RelayNo
    }

    fn record(&mut self) -> RecNo {
        // Most of it about one record, or nothing meets.
        self.dice.pick(&[0, 0, 0, 1, 2]) % RECORDS
    }

    fn field(&mut self) -> FieldNo {
        self.dice.below(u64::from(FIELDS)) as FieldNo
    }

    fn loss(&mut self) -> Loss {
        self.dice.pick(&[Loss::Nothing, Loss::Everything, Loss::Writes, Loss::Sectors])
    }

    fn draw(&mut self) -> Action {
        let themed = self.theme != Theme::Calm && self.dice.percent(35);
        if themed {
            return self.draw_themed();
        }
        let place = self.place();
        match self.dice.below(100) {
            0..=23 => Action::Put(place, self.record(), self.field()),
            24..=37 => Action::Delete(place, self.record()),
            38..=40 => Action::Unset(place, self.record(), self.field()),
            41..=44 => Action::Transaction(place, self.record(), self.record()),
            45 => Action::Import(place),
            46..=77 => Action::Sync(place, self.relay()),
            78..=81 => Action::Connect(place, self.relay()),
            82..=83 => Action::Cut(place, self.relay()),
            84..=86 => Action::Steps(self.dice.below(40) as u8),
            87..=88 => Action::Run(self.dice.pick(&[1, 3, 20])),
            89..=91 => Action::SyncUnheard(place, self.relay()),
            92..=93 => Action::Reopen(place),
            94..=96 => Action::Stop(place, self.dice.below(30) as u8, self.loss()),
            97 => Action::RelayStop(self.relay(), self.dice.below(30) as u8, self.loss()),
            _ => Action::Wait(self.dice.pick(&[1, 10, 60, 600])),
        }
    }

    fn draw_themed(&mut self) -> Action {
        let theme = match self.theme {
            Theme::All => self.dice.pick(&THEMES[1..5]),
            // The ways of relays show where stores were put back.
            Theme::Relays => self.dice.pick(&[Theme::Relays, Theme::Copies]),
            Theme::Joins => self.dice.pick(&[Theme::Joins, Theme::Copies]),
            theme => theme,
        };
        let place = self.place();
        match theme {
            Theme::Copies => match self.dice.below(10) {
                0..=2 => Action::Backup(place),
                3..=6 => {
                    let back = self.dice.pick(&[Back::InPlace, Back::InPlace, Back::NewFiles, Back::Elsewhere]);
                    Action::Restore(self.dice.pick(&[0, 0, 0, 1, 2]), back)
                }
                7..=8 => self.copied(Action::Copy(place)),
                _ => Action::Move(place),
            },
            Theme::Clocks => match self.dice.below(10) {
                0..=4 => {
                    let ahead = [400, 900, 3_600, 86_400, 30_000_000, -30, -3_600, -30_000_000, 20];
                    Action::Clock(place, self.dice.pick(&ahead))
                }
                _ => Action::ClockRight(place),
            },
            Theme::Relays => match self.dice.below(10) {
                0..=2 => Action::RelayBackup(self.relay()),
                3..=5 => Action::RelayRestore(self.relay()),
                _ => Action::Wipe(self.relay()),
            },
            _ => {
                let relay = self.relay();
                self.copied(Action::Join(place, relay))
            }
        }
    }

    /// There is one place more from now on.
    fn copied(&mut self, action: Action) -> Action {
        self.places = (self.places + 1).min(PLACES_MAX);
        action
    }
}

/// Places that there may be.
pub const PLACES_MAX: u8 = 7;
