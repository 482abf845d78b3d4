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
use super::plan::{Action, Back, PLACES_MAX, Plan};
use super::world::{Backup, World, field_name, record_id, value_of};

/// Records of an import: enough for a bulk write.
pub(super) const IMPORTED: u16 = 260;
/// How long a place tries to sync.
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
    fn place(&self, place: u8) -> usize {
        usize::from(place) % self.places.len()
    }

    fn relay(&self, relay: u8) -> usize {
        usize::from(relay) % self.relays.len()
    }

    fn act(&mut self, action: Action) -> Result<(), Failure> {
        match action {
            Action::Put(place, record, field) => {
                self.write(self.place(place), vec![(record, put(field, Cell::Set))])
            }
            Action::Unset(place, record, field) => {
                self.write(self.place(place), vec![(record, put(field, Cell::Unset))])
            }
            Action::Delete(place, record) => self.write(self.place(place), vec![(record, Effect::Delete)]),
            Action::Transaction(place, record, deleted) => {
                let mut effects = vec![(record, put(0, Cell::Set))];
                effects.extend((record != deleted).then_some((deleted, Effect::Delete)));
                self.write(self.place(place), effects)
            }
            Action::Import(place) => self.import(self.place(place)),
            Action::Connect(place, relay) => self.connect(self.place(place), self.relay(relay), Acks::Heard),
            Action::Cut(place, relay) => {
                let between = (self.place(place), self.relay(relay));
                self.hang_up(|wire| (wire.place, wire.relay) == between);
                Ok(())
            }
            Action::Steps(steps) => {
                self.tick()?;
                (0..steps).try_for_each(|_| self.step().map(drop))
            }
            Action::Run(seconds) => self.carry(u64::from(seconds) * 1000, |_| false),
            Action::Wait(seconds) => self.carry(u64::from(seconds) * 1000, |_| false),
            Action::Sync(place, relay) => self.sync(self.place(place), self.relay(relay), SYNC_MS),
            Action::SyncUnheard(place, relay) => self.sync_unheard(self.place(place), self.relay(relay)),
            Action::Join(place, relay) => self.join(self.place(place), self.relay(relay)),
            action => self.act_on_machines(action),
        }
    }

    /// What is done to processes, disks and clocks.
    fn act_on_machines(&mut self, action: Action) -> Result<(), Failure> {
        match action {
            Action::Reopen(place) => {
                let place = self.place(place);
                self.close(place);
                self.open(place)
            }
            Action::Stop(place, changes, loss) => {
                let place = self.place(place);
                self.places[place].loss = loss;
                self.places[place].disk.stop_after(Some(changes.into()));
                Ok(())
            }
            Action::Backup(place) => {
                let backup = self.copied(self.place(place));
                self.backups.push(backup);
                Ok(())
            }
            Action::Restore(back, how) => self.restore(back, how),
            Action::Copy(place) => {
                let copy = self.copied(self.place(place));
                self.put_elsewhere(&copy)
            }
            Action::Move(place) => {
                let place = self.place(place);
                self.close(place);
                self.places[place].inode += 1;
                self.open(place)
            }
            Action::Clock(place, seconds) => {
                let place = self.place(place);
                self.places[place].clock.set_ahead(i64::from(seconds) * 1000);
                self.tick()
            }
            Action::ClockRight(place) => {
                let place = self.place(place);
                self.places[place].clock.set_ahead(0);
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
    fn write(&mut self, place: usize, effects: Vec<(RecNo, Effect)>) -> Result<(), Failure> {
        self.open(place)?;
        let mut kept = Vec::new();
        for (record, effect) in effects {
            let shown = self.shown(place, record)?;
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
        let seen = self.seen(place)?;
        let op = self.model.add(seen, kept.clone());
        let vault = self.vault_at(place)?;
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
        if self.settle_call(place, op, done)? {
            kept.iter().try_for_each(|(record, effect)| self.check_own(place, op, (*record, effect)))?;
        }
        Ok(())
    }

    /// What became of a local call: says whether it was acknowledged.
    fn settle_call(&mut self, place: usize, op: OpNo, done: Result<(), Error>) -> Result<bool, Failure> {
        match done {
            Ok(()) => {
                // Who was let in by a device that has not seen the vault yet is not listed there yet.
                if !self.identities.iter().any(|identity| identity.joined == Some(op)) {
                    self.places[place].known.insert(op);
                }
                self.truth.set(self.truth.ms() + 10);
                self.tick()?;
                Ok(self.places[place].device.is_some())
            }
            Err(error) => {
                if !self.places[place].disk.is_dead() {
                    return Err(Failure::new(Kind::CallFails, format!("op {op} at place {place}: {error}")));
                }
                // It may have happened all the same.
                self.excused.insert(op);
                self.mind_stop(place)?;
                Ok(false)
            }
        }
    }

    fn check_own(&self, place: usize, op: OpNo, (record, effect): (RecNo, &Effect)) -> Result<(), Failure> {
        let shown = self.shown(place, record)?;
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
        let text = format!("op {op} on record {record} at place {place}: {effect:?}, and it shows {shown:?}");
        Err(Failure::new(Kind::WriteWithoutEffect, text))
    }

    fn import(&mut self, place: usize) -> Result<(), Failure> {
        self.open(place)?;
        if self.model.len() >= OPS_MAX {
            return Ok(());
        }
        let seen = self.seen(place)?;
        let op = self.model.add(seen, Vec::new());
        self.imports.insert(op);
        let vault = self.vault_at(place)?;
        let (bulk, ops) = (vault.records("bulk"), vault.records("ops"));
        let done = vault.write(|tx| {
            let record = Record([("x".to_owned(), value_of(op))].into());
            for _ in 0..IMPORTED {
                bulk.in_tx(tx).insert(&record)?;
            }
            ops.in_tx(tx).put(record_id(op), &Record([("op".to_owned(), Value::from(i64::from(op)))].into()))
        });
        drop((vault, bulk, ops));
        self.settle_call(place, op, done).map(drop)
    }

    fn sync_unheard(&mut self, place: usize, relay: usize) -> Result<(), Failure> {
        let between = (place, relay);
        self.hang_up(|wire| (wire.place, wire.relay) == between);
        self.connect(place, relay, Acks::Unheard)?;
        self.carry(3_000, |_| false)?;
        self.hang_up(|wire| (wire.place, wire.relay) == between);
        Ok(())
    }

    fn copied(&self, place: usize) -> Backup {
        let of = &self.places[place];
        let token = of.token.lock().ok().and_then(|token| token.clone());
        Backup { place, image: of.disk.image(), token }
    }

    fn put_elsewhere(&mut self, copy: &Backup) -> Result<(), Failure> {
        if self.places.len() >= usize::from(PLACES_MAX) {
            return Ok(());
        }
        let owner = self.places[copy.place].owner;
        let place = self.new_place(owner, copy.image.clone(), copy.token.clone());
        self.open(place)
    }

    fn restore(&mut self, back: u8, how: Back) -> Result<(), Failure> {
        let Some(last) = self.backups.len().checked_sub(1) else { return Ok(()) };
        let Backup { place, image, token } = &self.backups[last - usize::from(back) % (last + 1)];
        let copy = Backup { place: *place, image: image.clone(), token: token.clone() };
        if how == Back::Elsewhere {
            return self.put_elsewhere(&copy);
        }
        let place = copy.place;
        self.open(place)?;
        let lost = self.seen(place)?;
        self.excuse(lost, (Some(place), None))?;
        self.close(place);
        let of = &mut self.places[place];
        (of.disk, of.known) = (SimDisk::holding(copy.image), OpSet::default());
        if let Ok(mut token) = of.token.lock() {
            *token = copy.token;
        }
        of.inode += u64::from(how == Back::NewFiles);
        self.open(place)
    }

    fn join(&mut self, place: usize, relay: usize) -> Result<(), Failure> {
        self.open(place)?;
        if self.places.len() >= usize::from(PLACES_MAX) || self.model.len() >= OPS_MAX {
            return Ok(());
        }
        let seen = self.seen(place)?;
        let op = self.model.add(seen, Vec::new());
        let owner = self.add_identity();
        self.identities[owner].joined = Some(op);
        let new = self.new_place(owner, super::disk::Image::default(), None);
        let join = SimJoin::new(self.setup(new));
        let added = join.add_to(&self.vault_at(place)?);
        if !self.settle_call(place, op, added)? {
            self.places.pop();
            return Ok(());
        }
        self.sync(place, relay, JOIN_MS)?;
        let old = self.vault_at(place)?;
        let device = join.finish(&old);
        drop(old);
        let device = device.map_err(|error| Failure::new(Kind::CallFails, format!("joining: {error}")))?;
        self.places[new].device = Some(device);
        Ok(())
    }
}

fn put(field: FieldNo, cell: Cell) -> Effect {
    Effect::Put([(field, cell)].into())
}
