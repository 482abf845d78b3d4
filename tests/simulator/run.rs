//! Runs a plan: each action against the world, the model beside it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use subrosa::testing::simulated::SimJoin;
use subrosa::{Error, Record, Value};

use super::carry::Acks;
use super::dice::Dice;
use super::failure::{Failure, Kind};
use super::model::{Cell, Effect, FieldNo, OPS_MAX, OpNo, OpSet, RecNo};
use super::plan::{Action, Plan, SITES_MAX};
use super::sights::{Sight, Sights};
use super::world::{World, field_name, record_id, value_of};

/// Records of an import: enough for a bulk write.
pub(super) const IMPORTED: u16 = 260;
/// How long a site tries to sync.
const SYNC_MS: u64 = 60_000;
/// How long an old device waits for the relay to hold the word of a new one.
const JOIN_MS: u64 = 30_000;

thread_local! {
    static PANICKED: RefCell<String> = const { RefCell::new(String::new()) };
}

/// What came of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// What a checker found first.
    pub result: Result<(), Failure>,
    /// A number that comes of every decision on the way: two runs of one plan have the same.
    pub trace: u64,
    /// What it met.
    pub sights: Sights,
}

impl Plan {
    /// Runs it, and then lets everything come to rest and looks at it.
    ///
    /// # Errors
    /// What a checker found first.
    pub fn run(&self) -> Result<(), Failure> {
        self.run_counted().result
    }

    /// The same, with what was decided and met on the way.
    #[must_use]
    pub fn run_counted(&self) -> Ran {
        hear_panics();
        let mut made = None;
        let ran = catch_unwind(AssertUnwindSafe(|| {
            let world = made.insert(World::prepared(self.seed, self.devices, self.relays)?);
            self.run_in(world)
        }));
        let result = ran.unwrap_or_else(|_| Err(Failure::new(Kind::Panic, PANICKED.take())));
        let (trace, sights) =
            made.as_ref().map_or_else(Default::default, |world| (world.trace, world.sights.clone()));
        Ran { result, trace, sights }
    }

    fn run_in(&self, world: &mut World) -> Result<(), Failure> {
        for step in &self.steps {
            world.dice = Dice::of(&[self.seed, 1 + u64::from(step.no)]);
            let done = world.act_minded(step.action);
            done.map_err(|failure| Failure {
                text: format!("step {} ({}): {}", step.no, step.action, failure.text),
                ..failure
            })?;
            world.look_around();
        }
        world.dice = Dice::of(&[self.seed, 0]);
        let rested = world.come_to_rest();
        world.look_around();
        rested
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
    pub(super) fn site(&self, site: u8) -> usize {
        usize::from(site) % self.sites.len()
    }

    pub(super) fn relay(&self, relay: u8) -> usize {
        usize::from(relay) % self.relays.len()
    }

    /// One action. It ends where a disk fails, as it may; then the process is started again.
    fn act_minded(&mut self, action: Action) -> Result<(), Failure> {
        match self.act(action) {
            Err(failure) if failure.kind == Kind::DiskFails => {}
            done => done?,
        }
        self.mind_all()
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

    /// One local call, and what it must show at once.
    pub(super) fn write(&mut self, site: usize, effects: Vec<(RecNo, Effect)>) -> Result<(), Failure> {
        self.open(site)?;
        if self.sites[site].device.is_none() || !self.is_honest(site) {
            return Ok(());
        }
        let (mut kept, mut anew) = (Vec::new(), Vec::new());
        for (record, effect) in effects {
            let shown = self.shown(site, record)?;
            let does = match &effect {
                Effect::Delete => shown.is_some(),
                Effect::Put(cells) => cells.iter().all(|(field, cell)| {
                    *cell == Cell::Set || shown.as_ref().is_some_and(|shown| shown.contains_key(field))
                }),
            };
            anew.extend(shown.is_none().then_some(record));
            kept.extend(does.then_some((record, effect)));
        }
        if kept.is_empty() || self.model.len() >= OPS_MAX {
            return Ok(());
        }
        let seen = self.seen(site)?;
        let op = self.model.add(seen, kept.clone());
        self.authors.push(self.sites[site].owner);
        anew.into_iter().for_each(|record| self.model.begin_anew(op, record));
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
                self.sights.note(Sight::Write);
                self.sights.add(Sight::WrongClock, u64::from(self.sites[site].clock.is_wrong()));
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
                    let failure = self.call_fails(site, &error);
                    if failure.kind != Kind::DiskFails {
                        return Err(Failure { text: format!("op {op} at {}", failure.text), ..failure });
                    }
                }
                self.sights.note(Sight::CallStopped);
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
        if self.model.len() >= OPS_MAX || self.sites[site].device.is_none() || !self.is_honest(site) {
            return Ok(());
        }
        let seen = self.seen(site)?;
        let op = self.model.add(seen, Vec::new());
        self.authors.push(self.sites[site].owner);
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

    fn join(&mut self, site: usize, relay: usize) -> Result<(), Failure> {
        self.open(site)?;
        let is_open = self.sites[site].device.is_some() && self.is_honest(site);
        if self.sites.len() >= usize::from(SITES_MAX) || self.model.len() >= OPS_MAX || !is_open {
            return Ok(());
        }
        let old = self.vault_at(site)?;
        // Who sees that a device was let in need not see what its author had seen of records.
        let op = self.model.add(OpSet::default(), Vec::new());
        self.authors.push(self.sites[site].owner);
        let owner = self.add_identity();
        self.identities[owner].joined = Some(op);
        let new = self.new_site(owner, super::disk::Image::default());
        let mut join = SimJoin::new(self.setup(new));
        let added = join.add_to(&old);
        drop(old);
        let joined = match self.settle_call(site, op, added) {
            Ok(true) => {
                let synced = self.sync(site, relay, JOIN_MS);
                synced.and_then(|()| self.hand_over(join, op, (site, new), relay))
            }
            done => done.map(drop),
        };
        if self.sites[new].device.is_none() {
            self.sites.pop();
        }
        joined
    }

    /// The new device gets its keys from the old one, once the relay has the word of it; else that is taken back, or stays and the
    /// device is listed without keys.
    fn hand_over(
        &mut self,
        join: SimJoin,
        op: OpNo,
        (old, new): (usize, usize),
        relay: usize,
    ) -> Result<(), Failure> {
        if self.sites[old].device.is_none() {
            return Ok(());
        }
        let (vault, peer) = (self.vault_at(old)?, self.relays[relay].peer);
        let fails = |world: &Self, error: Error| world.call_fails(old, &error);
        if join.is_at_relay(&vault, &peer).map_err(|error| fails(self, error))? {
            let device = join.finish(&vault, Some(&peer)).map_err(|error| fails(self, error))?;
            self.sites[new].device = Some(device);
            if self.relays[relay].lying.is_none() {
                self.relays[relay].held.insert(op);
            }
            self.sights.note(Sight::Join);
            return Ok(());
        }
        // Should taking it back fail, it may have happened all the same.
        self.excused.insert(op);
        self.sites[old].known = self.sites[old].known.minus(OpSet::of(op));
        let is_back = join.withdraw(&vault).map_err(|error| fails(self, error))?;
        self.sights.note(if is_back { Sight::JoinTakenBack } else { Sight::JoinWithoutKeys });
        if !is_back {
            self.excused = self.excused.minus(OpSet::of(op));
        }
        Ok(())
    }
}

fn put(field: FieldNo, cell: Cell) -> Effect {
    Effect::Put([(field, cell)].into())
}
