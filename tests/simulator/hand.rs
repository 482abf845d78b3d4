//! Draws plans: what dice alone would seldom deal hangs together here.

use std::collections::VecDeque;

use subrosa::testing::forging::FORGERIES;

use super::dice::Dice;
use super::disk::{Ail, Loss};
use super::lies::{LIES, Lie};
use super::model::{FIELDS, FieldNo, RECORDS, RecNo};
use super::plan::{Action, Back, Plan, RelayNo, SITES_MAX, SiteNo, Step, THEMES, Theme};

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        let mut dice = Dice::of(&[seed, 0x706c_616e]);
        let theme = Theme::of(seed);
        // Most plans are small, as small ones are fast and find most.
        let is_large = dice.percent(8);
        let relays = match is_large {
            true => dice.pick(&[1, 2, 3]),
            false if theme.has(Theme::Relays) => dice.pick(&[1, 1, 2, 2, 3]),
            false => 1,
        };
        let devices = if is_large { dice.pick(&[5, 6, 7]) } else { dice.pick(&[2, 2, 2, 3, 3, 4]) };
        let len = dice.pick(&[8, 10, 12, 16, 20, 28, 36]);
        let mut hand = Hand::new(dice, theme, devices, relays);
        if hand.dice.percent(15) {
            let latency = hand.latency();
            hand.next.push_back(latency);
        }
        let steps = (0..len).map(|no| Step { no, action: hand.draw() }).collect();
        Self { seed, devices, relays, steps }
    }
}

/// Draws actions. Dice alone would seldom deal what hangs together, so an action may bring others behind it.
struct Hand {
    dice: Dice,
    theme: Theme,
    sites: u8,
    relays: u8,
    /// Whether a store, a relay's database was put aside, and a clock is wrong.
    backup: bool,
    relay_backup: bool,
    wrong: Option<SiteNo>,
    /// Whether a relay's clock is late, or some device's was. Both at once look like a clock that ran ahead and was put right.
    relay_late: bool,
    late: bool,
    /// The member that lies, if one does.
    liar: SiteNo,
    next: VecDeque<Action>,
}

impl Hand {
    const fn new(dice: Dice, theme: Theme, sites: u8, relays: u8) -> Self {
        let next = VecDeque::new();
        Self {
            dice,
            theme,
            sites,
            relays,
            backup: false,
            relay_backup: false,
            wrong: None,
            relay_late: false,
            late: false,
            liar: sites - 1,
            next,
        }
    }

    fn site(&mut self) -> SiteNo {
        self.dice.below(u64::from(self.sites)) as SiteNo
    }

    fn relay(&mut self) -> RelayNo {
        self.dice.below(u64::from(self.relays)) as RelayNo
    }

    fn record(&mut self) -> RecNo {
        // Most of it about one record, or nothing meets.
        self.dice.pick(&[0, 0, 0, 0, 1, 2]) % RECORDS
    }

    fn field(&mut self) -> FieldNo {
        self.dice.below(u64::from(FIELDS)) as FieldNo
    }

    fn loss(&mut self) -> Loss {
        self.dice.pick(&[Loss::Nothing, Loss::Everything, Loss::Writes, Loss::Sectors])
    }

    fn draw(&mut self) -> Action {
        if let Some(action) = self.next.pop_front() {
            return action;
        }
        if self.theme != Theme::Calm && self.dice.percent(35) {
            return self.draw_themed();
        }
        let site = self.site();
        match self.dice.below(100) {
            0..=39 => self.draw_edit(site),
            40..=64 => Action::Sync(site, self.relay()),
            65..=72 => self.draw_round(),
            73..=77 => Action::Connect(site, self.relay()),
            78..=79 => Action::Cut(site, self.relay()),
            80..=83 => Action::Steps(self.dice.below(40) as u8),
            84..=85 => Action::Run(self.dice.pick(&[1, 3, 20])),
            86..=89 => Action::SyncUnheard(site, self.relay()),
            90..=91 => Action::Reopen(site),
            92..=96 => Action::Stop(site, self.dice.below(30) as u8, self.loss()),
            97..=98 => Action::RelayStop(self.relay(), self.dice.below(30) as u8, self.loss()),
            _ => Action::Wait(self.dice.pick(&[1, 10, 60, 600])),
        }
    }

    /// An edit, which is often sent at once.
    fn draw_edit(&mut self, site: SiteNo) -> Action {
        let relay = self.relay();
        match self.dice.below(10) {
            0..=4 => self.next.push_back(Action::Sync(site, relay)),
            5 => self.next.push_back(Action::SyncUnheard(site, relay)),
            _ => {}
        }
        match self.dice.below(20) {
            0..=8 => Action::Put(site, self.record(), self.field()),
            9..=15 => Action::Delete(site, self.record()),
            16 => Action::Unset(site, self.record(), self.field()),
            17..=18 => Action::Transaction(site, self.record(), self.record()),
            _ => Action::Import(site),
        }
    }

    /// Everybody syncs, in turn.
    fn draw_round(&mut self) -> Action {
        let relay = self.relay();
        let first = self.site();
        let others = (1..self.sites).map(|site| (first + site) % self.sites);
        self.next.extend(others.map(|site| Action::Sync(site, relay)));
        Action::Sync(first, relay)
    }

    fn draw_themed(&mut self) -> Action {
        let theme = match self.theme {
            Theme::All => self.dice.pick(&THEMES[1..8]),
            // The ways of relays show where stores were put back.
            Theme::Relays => self.dice.pick(&[Theme::Relays, Theme::Copies]),
            Theme::Joins => self.dice.pick(&[Theme::Joins, Theme::Copies]),
            theme => theme,
        };
        let (site, relay) = (self.site(), self.relay());
        match theme {
            Theme::Copies => self.draw_copy(site),
            Theme::Clocks => self.draw_clock(site),
            Theme::Relays => self.draw_relay(relay),
            Theme::Disks if self.dice.percent(40) => self.draw_relay_disk(relay),
            Theme::Disks => self.draw_disk(site),
            Theme::Lies => self.draw_lie(relay),
            Theme::Forgeries => self.draw_forgery(),
            _ => self.copied(Action::Join(site, relay)),
        }
    }

    fn draw_relay(&mut self, relay: RelayNo) -> Action {
        match self.dice.below(10) {
            0..=2 if self.relay_backup => Action::RelayRestore(relay),
            3..=5 => {
                self.relay_backup = true;
                Action::RelayBackup(relay)
            }
            6 => {
                self.next.push_back(Action::QuotaOff(relay));
                self.draw_edits();
                Action::Quota(relay, self.dice.pick(&[0, 1, 4]))
            }
            7 => self.latency(),
            _ => Action::Wipe(relay),
        }
    }

    /// Edits and syncs, in front of whatever comes next.
    fn draw_edits(&mut self) {
        for _ in 0..self.dice.below(4) {
            let (site, relay) = (self.site(), self.relay());
            let sync = if self.dice.percent(20) {
                Action::SyncUnheard(site, relay)
            } else {
                Action::Sync(site, relay)
            };
            self.next.push_front(sync);
            let edit = match self.dice.below(6) {
                0 => Action::Import(site),
                1 => Action::Delete(site, self.record()),
                _ => Action::Put(site, self.record(), self.field()),
            };
            self.next.push_front(edit);
        }
    }

    fn ail(&mut self) -> Ail {
        self.dice.pick(&[Ail::Read, Ail::Write, Ail::Sync, Ail::SyncForgets, Ail::SyncDrops])
    }

    /// How many more of what a disk fails at come first.
    fn after(&mut self) -> u8 {
        self.dice.pick(&[0, 0, 1, 1, 2, 3, 4, 6, 9, 14])
    }

    fn draw_disk(&mut self, site: SiteNo) -> Action {
        if self.dice.percent(30) {
            self.next.push_back(Action::Room(site));
            self.draw_edits();
            // Much of what is edited finds room that was used before.
            self.next.push_front(Action::Import(site));
            return Action::Fill(site);
        }
        let ail = Action::Ail(site, self.after(), self.ail());
        // What was not made durable shows when the power is lost, soon after or while the store is opened again.
        let stop = Action::Stop(site, self.dice.below(40) as u8, self.loss());
        let edit = self.draw_edit(site);
        self.next.push_front(edit);
        match self.dice.below(10) {
            0..=2 => {
                self.next.push_front(ail);
                stop
            }
            3..=4 => {
                self.next.push_back(stop);
                let edit = self.draw_edit(site);
                self.next.push_back(edit);
                ail
            }
            _ => ail,
        }
    }

    fn draw_relay_disk(&mut self, relay: RelayNo) -> Action {
        if self.dice.percent(30) {
            self.next.push_back(Action::RelayRoom(relay));
            self.draw_edits();
            let site = self.site();
            self.next.push_front(Action::Sync(site, relay));
            self.next.push_front(Action::Import(site));
            return Action::RelayFill(relay);
        }
        if self.dice.percent(40) {
            let loss = self.loss();
            self.next.push_back(Action::RelayStop(relay, self.dice.below(12) as u8, loss));
        }
        self.draw_edits();
        Action::RelayAil(relay, self.after(), self.ail())
    }

    fn latency(&mut self) -> Action {
        let relay = self.relay();
        Action::Latency(relay, self.dice.pick(&[0, 5, 80, 80, 400, 400, 3_000]))
    }

    fn draw_copy(&mut self, site: SiteNo) -> Action {
        match self.dice.below(10) {
            0..=4 => self.tell_of_copy(site),
            5..=6 => self.tell_of_move(site),
            7 if self.backup => {
                let back = self.back();
                Action::Restore(self.dice.pick(&[0, 0, 1, 2]), back)
            }
            8 => self.copied(Action::Copy(site)),
            _ => {
                self.backup = true;
                Action::Backup(site)
            }
        }
    }

    fn back(&mut self) -> Back {
        self.dice.pick(&[Back::InPlace, Back::InPlace, Back::InPlace, Back::Elsewhere, Back::Elsewhere])
    }

    /// A story, of which any part may be missing.
    fn tell(&mut self, parts: &[(u64, Action)]) -> Action {
        for (percent, action) in parts {
            if self.dice.percent(*percent) {
                self.next.push_back(*action);
            }
        }
        self.next.pop_front().unwrap_or(Action::Steps(1))
    }

    /// A store is put aside, life goes on, and it is put back or used beside the other.
    fn tell_of_copy(&mut self, site: SiteNo) -> Action {
        let (other, relay, elsewhere) = (self.site(), self.relay(), self.relay());
        let (record, field) = (self.record(), self.field());
        let (relays, joins) = (self.theme.has(Theme::Relays), self.theme.has(Theme::Joins));
        let of = |theme: bool, percent: u64| if theme { percent } else { 0 };
        let beside = self.dice.percent(30);
        let back = self.back();
        let again = if beside { self.copied(Action::Steps(0)) } else { Action::Restore(0, back) };
        let aside = if beside { Action::Copy(site) } else { Action::Backup(site) };
        self.backup |= !beside;
        let mut edits = Vec::new();
        for _ in 0..3 {
            edits.push(Action::Put(site, self.record(), self.field()));
        }
        let copy = if beside { self.sites - 1 } else { site };
        let forget = self.dice.pick(&[Action::Wipe(relay), Action::RelayRestore(relay)]);
        self.tell(&[
            (50, Action::Put(site, record, field)),
            (30, Action::Sync(site, relay)),
            (of(relays, 30), Action::RelayBackup(relay)),
            (100, aside),
            (50, edits[0]),
            (of(joins, 50), Action::Join(site, relay)),
            (70, Action::Sync(site, relay)),
            (60, Action::Sync(other, relay)),
            (50, Action::Delete(other, record)),
            (50, Action::Sync(other, relay)),
            (40, Action::Sync(site, relay)),
            (90, again),
            (of(relays, 50), forget),
            (of(joins, 50), Action::Join(copy, relay)),
            (30, Action::Delete(copy, record)),
            (30, edits[1]),
            (60, Action::Sync(copy, elsewhere)),
            (30, edits[2]),
            (30, Action::Sync(site, elsewhere)),
        ])
    }

    /// New logs are opened while something is under way.
    fn tell_of_move(&mut self, site: SiteNo) -> Action {
        let (other, relay, record) = (self.site(), self.relay(), self.record());
        let (first, second) = (self.field(), self.field());
        self.tell(&[
            (80, Action::Put(site, record, first)),
            (50, Action::Sync(site, relay)),
            (50, Action::Delete(site, record)),
            (30, Action::SyncUnheard(site, relay)),
            (40, Action::Sync(site, relay)),
            (60, Action::Put(site, record, second)),
            (100, Action::Move(site)),
            (30, Action::Delete(site, record)),
            (70, Action::Sync(site, relay)),
            (60, Action::Sync(other, relay)),
            (60, Action::Delete(other, record)),
            (40, Action::Sync(other, relay)),
        ])
    }

    /// Everybody's clock is ahead, life goes on, and the clocks are put right one by one while it does.
    fn tell_of_phases(&mut self) -> Action {
        let mut first = self.dice.below(u64::from(self.sites)) as u8;
        for site in 0..self.sites {
            let ahead = self.dice.pick(&[900, 3_600, 7_200, 86_400, 864_000]);
            self.next.push_back(Action::Clock(site, ahead));
        }
        for _ in 0..self.dice.below(4) + 2 {
            self.draw_phase();
        }
        for _ in 0..self.sites {
            self.next.push_back(Action::ClockRight(first));
            first = (first + 1) % self.sites;
            for _ in 0..self.dice.below(3) {
                self.draw_phase();
            }
        }
        self.next.pop_front().unwrap_or(Action::Steps(1))
    }

    /// An edit with syncs around it, or a store that is copied or put back.
    fn draw_phase(&mut self) {
        let (site, other, relay) = (self.site(), self.site(), self.relay());
        if self.theme.has(Theme::Copies) && self.dice.percent(20) {
            let back = self.back();
            let action = match self.dice.below(3) {
                0 => self.copied(Action::Copy(site)),
                1 if self.backup => Action::Restore(0, back),
                _ => {
                    self.backup = true;
                    Action::Backup(site)
                }
            };
            self.next.push_back(action);
        }
        let edit = match self.dice.below(4) {
            0 => Action::Delete(site, self.record()),
            _ => Action::Put(site, self.record(), self.field()),
        };
        let all = [Action::Sync(site, relay), edit, Action::Sync(site, relay), Action::Sync(other, relay)];
        for action in all {
            if self.dice.percent(70) {
                self.next.push_back(action);
            }
        }
    }

    fn draw_clock(&mut self, site: SiteNo) -> Action {
        if !self.relay_late && !self.late && self.dice.percent(10) {
            return self.tell_of_phases();
        }
        if let Some(wrong) = self.wrong.take_if(|_| self.dice.percent(60)) {
            let edit = self.draw_edit(wrong);
            self.next.push_front(edit);
            return Action::ClockRight(wrong);
        }
        let ahead: i32 = self.dice.pick(&[400, 900, 3_600, 86_400, 30_000_000, -30, -3_600, -30_000_000, 20]);
        if self.dice.percent(20) {
            let relay = self.relay();
            let ahead = if self.late { ahead.abs() } else { ahead };
            self.relay_late |= ahead < 0;
            return Action::RelayClock(relay, if self.dice.percent(40) { 0 } else { ahead });
        }
        let ahead = if self.relay_late { ahead.abs() } else { ahead };
        self.late |= ahead < 0;
        self.wrong = Some(site);
        let edit = self.draw_edit(site);
        self.next.push_front(edit);
        Action::Clock(site, ahead)
    }

    /// There is one site more from now on.
    fn copied(&mut self, action: Action) -> Action {
        self.sites = (self.sites + 1).min(SITES_MAX);
        action
    }

    /// A relay lies for a while.
    fn draw_lie(&mut self, relay: RelayNo) -> Action {
        if self.dice.percent(35) {
            return Action::Honest(relay);
        }
        let lie = self.dice.pick(&LIES.map(|(_, lie)| lie));
        let to = if self.dice.percent(35) { Some(self.site()) } else { None };
        if self.dice.percent(30) {
            self.next.push_back(Action::Honest(relay));
        }
        if self.dice.percent(30) && lie != Lie::Worlds {
            let site = self.site();
            self.next.push_front(Action::Reopen(site));
        }
        self.draw_edits();
        Action::Lie(relay, lie, to)
    }

    /// The last of the devices that are there from the beginning is the one that lies, so that others can be looked at.
    fn draw_forgery(&mut self) -> Action {
        let liar = self.liar;
        let relay = self.relay();
        self.draw_edits();
        if self.dice.percent(80) {
            self.next.push_front(Action::Sync(liar, relay));
        }
        if self.dice.percent(15) && self.sites < SITES_MAX {
            self.next.push_front(Action::Sync(self.sites, relay));
            let forgery = self.dice.pick(&FORGERIES.map(|(_, forgery)| forgery));
            self.next.push_front(Action::Forge(self.sites, forgery));
            let copy = self.copied(Action::Copy(liar));
            self.next.push_front(copy);
        }
        Action::Forge(liar, self.dice.pick(&FORGERIES.map(|(_, forgery)| forgery)))
    }
}
