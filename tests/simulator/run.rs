//! Runs a plan: each action against the world, the model beside it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use subrosa::testing::simulated::SimJoin;
use subrosa::{Error, Record, Value};

use super::carry::Acks;
use super::dice::Dice;
use super::disk::SimDisk;
use super::failure::{Failure, Kind};
use super::model::{Cell, Effect, FieldNo, OPS_MAX, OpNo, OpSet, RecNo};
use super::plan::{Action, Back, Plan, SITES_MAX};
use super::world::{Backup, World, field_name, record_id, value_of};

/// Records of an import: enough for a bulk write.
pub(super) const IMPORTED: u16 = 260;
/// How long a site tries to sync.
const SYNC_MS: u64 = 60_000;
/// How long an old device waits for the relay before the new one gets its keys all the same.
const JOIN_MS: u64 = 15_000;

thread_local! {
    static PANICKED: RefCell<String> = const { RefCell::new(String::new()) };
}

impl Plan {
    /// Runs it, and then lets everything come to rest and looks at it.
    ///
    /// # Errors
    /// What a checker found first.
    pub fn run(&self) -> Result<(), Failure> {
        self.run_traced().0
    }

    /// The same, with a number that comes of every decision on the way: two runs of one plan have the same.
    pub fn run_traced(&self) -> (Result<(), Failure>, u64) {
        hear_panics();
        let mut trace = 0;
        let ran = catch_unwind(AssertUnwindSafe(|| {
            let mut world = World::prepared(self.seed, self.devices, self.relays)?;
            let ran = self.run_in(&mut world);
            trace = world.trace;
            ran
        }));
        (ran.unwrap_or_else(|_| Err(Failure::new(Kind::Panic, PANICKED.take()))), trace)
    }

    fn run_in(&self, world: &mut World) -> Result<(), Failure> {
        for step in &self.steps {
            world.dice = Dice::of(&[self.seed, 1 + u64::from(step.no)]);
            let done = world.act(step.action);
            done.map_err(|failure| Failure {
                text: format!("step {} ({}): {}", step.no, step.action, failure.text),
                ..failure
            })?;
        }
        world.dice = Dice::of(&[self.seed, 0]);
        world.come_to_rest()
    }
}

/// Keeps what a panic says for whoever ran the plan, and off the screen.
fn hear_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICKED.set(panic.to_string());
            if std::env::var_os("RUST_BACKTRACE").is_some() {
                before(panic);
            }
        }));
    });
}

impl World {
    fn site(&self, site: u8) -> usize {
        usize::from(site) % self.sites.len()
    }

    fn relay(&self, relay: u8) -> usize {
        usize::from(relay) % self.relays.len()
    }

    fn act(&mut self, action: Action) -> Result<(), Failure> {
        match action {
            Action::Put(site, record, field) => {
                self.write(self.site(site), vec![(record, put(field, Cell::Set))])
            }
            Action::Unset(site, record, field) => {
                self.write(self.site(site), vec![(record, put(field, Cell::Unset))])
            }
            Action::Delete(site, record) => self.write(self.site(site), vec![(record, Effect::Delete)]),
            Action::Transaction(site, record, deleted) => {
                let mut effects = vec![(record, put(0, Cell::Set))];
                effects.extend((record != deleted).then_some((deleted, Effect::Delete)));
                self.write(self.site(site), effects)
            }
            Action::Import(site) => self.import(self.site(site)),
            Action::Connect(site, relay) => self.connect(self.site(site), self.relay(relay), Acks::Heard),
            Action::Cut(site, relay) => {
                let between = (self.site(site), self.relay(relay));
                self.hang_up(|wire| (wire.site, wire.relay) == between);
                Ok(())
            }
            Action::Steps(steps) => {
                self.tick()?;
                (0..steps).try_for_each(|_| self.step().map(drop))
            }
            Action::Run(seconds) => self.carry(u64::from(seconds) * 1000, |_| false),
            Action::Wait(seconds) => self.carry(u64::from(seconds) * 1000, |_| false),
            Action::Sync(site, relay) => self.sync(self.site(site), self.relay(relay), SYNC_MS),
            Action::SyncUnheard(site, relay) => self.sync_unheard(self.site(site), self.relay(relay)),
            Action::Join(site, relay) => self.join(self.site(site), self.relay(relay)),
            action => self.act_on_machines(action),
        }
    }

    /// What is done to processes, disks and clocks.
    fn act_on_machines(&mut self, action: Action) -> Result<(), Failure> {
        match action {
            Action::Reopen(site) => {
                let site = self.site(site);
                self.close(site);
                self.open(site)
            }
            Action::Stop(site, changes, loss) => {
                let site = self.site(site);
                self.sites[site].loss = loss;
                self.sites[site].disk.stop_after(Some(changes.into()));
                Ok(())
            }
            Action::Backup(site) => {
                let backup = self.copied(self.site(site));
                self.backups.push(backup);
                Ok(())
            }
            Action::Restore(back, how) => self.restore(back, how),
            Action::Copy(site) => {
                let copy = self.copied(self.site(site));
                self.put_elsewhere(&copy)
            }
            Action::Move(site) => {
                let site = self.site(site);
                self.close(site);
                let of = &mut self.sites[site];
                of.disk = SimDisk::holding(of.disk.image());
                self.open(site)
            }
            Action::Clock(site, seconds) => {
                let site = self.site(site);
                self.sites[site].clock.set_ahead(i64::from(seconds) * 1000);
                self.tick()
            }
            Action::ClockRight(site) => {
                let site = self.site(site);
                self.sites[site].clock.set_ahead(0);
                self.tick()
            }
            action => self.act_on_relays(action),
        }
    }

    fn act_on_relays(&mut self, action: Action) -> Result<(), Failure> {
        match action {
            Action::Wipe(relay) => {
                let relay = self.relay(relay);
                self.close_relay(relay);
                let held = std::mem::take(&mut self.relays[relay].held);
                self.relays[relay].disk = SimDisk::default();
                self.relays[relay].heads.clear();
                self.excuse(held, (None, None))?;
                self.open_relay(relay)
            }
            Action::RelayBackup(relay) => {
                let relay = self.relay(relay);
                let of = &mut self.relays[relay];
                of.backup = Some((of.disk.image(), of.held));
                Ok(())
            }
            Action::RelayRestore(relay) => {
                let relay = self.relay(relay);
                let Some((image, held)) = self.relays[relay].backup.clone() else { return Ok(()) };
                self.close_relay(relay);
                let lost = std::mem::replace(&mut self.relays[relay].held, held);
                self.relays[relay].disk = SimDisk::holding(image);
                self.relays[relay].heads.clear();
                self.excuse(lost, (None, None))?;
                self.open_relay(relay)
            }
            Action::RelayStop(relay, changes, loss) => {
                let relay = self.relay(relay);
                self.relays[relay].loss = loss;
                self.relays[relay].disk.stop_after(Some(changes.into()));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// One local call, and what it must show at once.
    fn write(&mut self, site: usize, effects: Vec<(RecNo, Effect)>) -> Result<(), Failure> {
        self.open(site)?;
        let mut kept = Vec::new();
        for (record, effect) in effects {
            let shown = self.shown(site, record)?;
            let does = match &effect {
                Effect::Delete => shown.is_some(),
                Effect::Put(cells) => cells.iter().all(|(field, cell)| {
                    *cell == Cell::Set || shown.as_ref().is_some_and(|shown| shown.contains_key(field))
                }),
            };
            kept.extend(does.then_some((record, effect)));
        }
        if kept.is_empty() || self.model.len() >= OPS_MAX {
            return Ok(());
        }
        let seen = self.seen(site)?;
        let op = self.model.add(seen, kept.clone());
        let vault = self.vault_at(site)?;
        let (notes, ops) = (vault.records("notes"), vault.records("ops"));
        let done = vault.write(|tx| {
            for (record, effect) in &kept {
                let id = record_id((*record).into());
                match effect {
                    Effect::Delete => {
                        notes.in_tx(tx).delete(id)?;
                    }
                    Effect::Put(cells) => {
                        let set = cells.iter().filter(|(_, cell)| **cell == Cell::Set);
                        let fields: BTreeMap<_, _> =
                            set.map(|(field, _)| (field_name(*field), value_of(op))).collect();
                        if !fields.is_empty() {
                            notes.in_tx(tx).put(id, &Record(fields))?;
                        }
                        for (field, _) in cells.iter().filter(|(_, cell)| **cell == Cell::Unset) {
                            notes.in_tx(tx).delete_field(id, &field_name(*field))?;
                        }
                    }
                }
            }
            ops.in_tx(tx).put(record_id(op), &Record([("op".to_owned(), Value::from(i64::from(op)))].into()))
        });
        drop((vault, notes, ops));
        if self.settle_call(site, op, done)? {
            kept.iter().try_for_each(|(record, effect)| self.check_own(site, op, (*record, effect)))?;
        }
        Ok(())
    }

    /// What became of a local call: says whether it was acknowledged.
    fn settle_call(&mut self, site: usize, op: OpNo, done: Result<(), Error>) -> Result<bool, Failure> {
        match done {
            Ok(()) => {
                // Who was let in by a device that has not seen the vault yet is not listed there yet.
                if !self.identities.iter().any(|identity| identity.joined == Some(op)) {
                    self.sites[site].known.insert(op);
                }
                self.truth.set(self.truth.ms() + 10);
                self.tick()?;
                Ok(self.sites[site].device.is_some())
            }
            Err(error) => {
                if !self.sites[site].disk.is_dead() {
                    return Err(Failure::new(Kind::CallFails, format!("op {op} at site {site}: {error}")));
                }
                // It may have happened all the same.
                self.excused.insert(op);
                self.mind_stop(site)?;
                Ok(false)
            }
        }
    }

    fn check_own(&self, site: usize, op: OpNo, (record, effect): (RecNo, &Effect)) -> Result<(), Failure> {
        let shown = self.shown(site, record)?;
        let shows = match effect {
            Effect::Delete => shown.is_none(),
            Effect::Put(cells) => shown.as_ref().is_some_and(|shown| {
                cells.iter().all(|(field, cell)| match cell {
                    Cell::Set => shown.get(field) == Some(&op),
                    Cell::Unset => !shown.contains_key(field),
                })
            }),
        };
        if shows {
            return Ok(());
        }
        let text = format!("op {op} on record {record} at site {site}: {effect:?}, and it shows {shown:?}");
        Err(Failure::new(Kind::WriteWithoutEffect, text))
    }

    fn import(&mut self, site: usize) -> Result<(), Failure> {
        self.open(site)?;
        if self.model.len() >= OPS_MAX {
            return Ok(());
        }
        let seen = self.seen(site)?;
        let op = self.model.add(seen, Vec::new());
        self.imports.insert(op);
        let vault = self.vault_at(site)?;
        let (bulk, ops) = (vault.records("bulk"), vault.records("ops"));
        let done = vault.write(|tx| {
            let record = Record([("x".to_owned(), value_of(op))].into());
            for _ in 0..IMPORTED {
                bulk.in_tx(tx).insert(&record)?;
            }
            ops.in_tx(tx).put(record_id(op), &Record([("op".to_owned(), Value::from(i64::from(op)))].into()))
        });
        drop((vault, bulk, ops));
        self.settle_call(site, op, done).map(drop)
    }

    fn sync_unheard(&mut self, site: usize, relay: usize) -> Result<(), Failure> {
        let between = (site, relay);
        self.hang_up(|wire| (wire.site, wire.relay) == between);
        self.connect(site, relay, Acks::Unheard)?;
        self.carry(3_000, |_| false)?;
        self.hang_up(|wire| (wire.site, wire.relay) == between);
        Ok(())
    }

    fn copied(&self, site: usize) -> Backup {
        Backup { site, image: self.sites[site].disk.image() }
    }

    fn put_elsewhere(&mut self, copy: &Backup) -> Result<(), Failure> {
        if self.sites.len() >= usize::from(SITES_MAX) {
            return Ok(());
        }
        let owner = self.sites[copy.site].owner;
        let site = self.new_site(owner, copy.image.clone());
        self.open(site)
    }

    fn restore(&mut self, back: u8, how: Back) -> Result<(), Failure> {
        let Some(last) = self.backups.len().checked_sub(1) else { return Ok(()) };
        let Backup { site, image } = &self.backups[last - usize::from(back) % (last + 1)];
        let copy = Backup { site: *site, image: image.clone() };
        if how == Back::Elsewhere {
            return self.put_elsewhere(&copy);
        }
        let site = copy.site;
        self.open(site)?;
        let lost = self.seen(site)?;
        self.excuse(lost, (Some(site), None))?;
        self.close(site);
        let of = &mut self.sites[site];
        (of.disk, of.known) = (SimDisk::holding(copy.image), OpSet::default());
        self.open(site)
    }

    fn join(&mut self, site: usize, relay: usize) -> Result<(), Failure> {
        self.open(site)?;
        if self.sites.len() >= usize::from(SITES_MAX) || self.model.len() >= OPS_MAX {
            return Ok(());
        }
        let seen = self.seen(site)?;
        let op = self.model.add(seen, Vec::new());
        let owner = self.add_identity();
        self.identities[owner].joined = Some(op);
        let new = self.new_site(owner, super::disk::Image::default());
        let join = SimJoin::new(self.setup(new));
        let added = join.add_to(&self.vault_at(site)?);
        if !self.settle_call(site, op, added)? {
            self.sites.pop();
            return Ok(());
        }
        self.sync(site, relay, JOIN_MS)?;
        let old = self.vault_at(site)?;
        let device = join.finish(&old);
        drop(old);
        let device = device.map_err(|error| Failure::new(Kind::CallFails, format!("joining: {error}")))?;
        self.sites[new].device = Some(device);
        Ok(())
    }
}

fn put(field: FieldNo, cell: Cell) -> Effect {
    Effect::Put([(field, cell)].into())
}
