//! A world: sites with stores, relays, links between them, one clock that is right, and what people know of it all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use subrosa::testing::simulated::{SimPeer, SimSetup, SimSite, SimStanding};
use subrosa::{
    Clock, Device, Error, KeyProvider as _, Record, RecordId, SeededEntropy, SoftwareKey, Value, Vault,
    VaultId,
};
use subrosa_protocol::ids::{LogId, Seq};
use subrosa_relay::testing::{Now, SimRelay};

use super::carry::Wire;
use super::dice::Dice;
use super::disk::{Image, Loss, SimDisk};
use super::failure::{Failure, Kind};
use super::lies::Liar;
use super::model::{FieldNo, Model, OpNo, OpSet, RecNo, Shown};
use super::sights::{Sight, Sights};

/// When worlds begin, in Unix milliseconds.
pub(super) const BEGINNING_MS: u64 = 1_700_000_000_000;
/// What users write begins so, and must not be read by anybody else.
pub(super) const SECRET: &str = "sekret-";
/// How often a store is tried to be opened: a disk stops once, and fails once.
const OPEN_TRIES: usize = 4;
/// The vault's name.
pub(super) const VAULT: &str = "personal";

/// The right time, as all clocks of a world tell it but for how far they are off.
#[derive(Clone, Default)]
pub(super) struct Truth(Arc<AtomicU64>);

impl Truth {
    pub(super) fn ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, ms: u64) {
        self.0.store(ms, Ordering::Relaxed);
    }
}

/// A machine's clock.
pub(super) struct SimClock {
    truth: Truth,
    ahead_ms: AtomicI64,
}

impl Clock for SimClock {
    fn now_ms(&self) -> u64 {
        self.truth.ms().saturating_add_signed(self.ahead_ms.load(Ordering::Relaxed))
    }
}

impl SimClock {
    pub(super) fn set_ahead(&self, ms: i64) {
        self.ahead_ms.store(ms, Ordering::Relaxed);
    }

    pub(super) fn is_wrong(&self) -> bool {
        self.ahead_ms.load(Ordering::Relaxed) != 0
    }
}

/// A store's folder on some machine.
pub(super) struct Site {
    /// Which device it is, or was copied from.
    pub(super) owner: usize,
    pub(super) disk: SimDisk,
    pub(super) clock: Arc<SimClock>,
    /// What a stop that is under way does.
    pub(super) loss: Loss,
    pub(super) device: Option<Device>,
    /// What was acknowledged or shown here, and must be here after a stop.
    pub(super) known: OpSet,
    /// How it stood when it was last looked at.
    pub(super) standing: SimStanding,
}

/// A device's key.
pub(super) struct Identity {
    pub(super) key: Arc<SoftwareKey>,
    /// The op that let it in, if the plan did.
    pub(super) joined: Option<OpNo>,
}

/// A copy of a store that was put aside.
pub(super) struct Backup {
    pub(super) site: usize,
    pub(super) image: Image,
}

/// A relay.
pub(super) struct Relay {
    pub(super) key: Vec<u8>,
    pub(super) peer: SimPeer,
    pub(super) disk: SimDisk,
    pub(super) loss: Loss,
    pub(super) relay: Option<SimRelay>,
    /// Ops that it is known to hold, or that are carried to it in a while.
    pub(super) held: OpSet,
    /// Those among them that whoever asks must be shown.
    pub(super) shown: OpSet,
    pub(super) heads: BTreeMap<LogId, Seq>,
    pub(super) backup: Option<RelayBackup>,
    /// Each vault's, if it has one.
    pub(super) quota_bytes: Option<u64>,
    /// Frames take up to so long.
    pub(super) latency_ms: u64,
    /// Its clock.
    pub(super) ahead_ms: i64,
    /// While it lies.
    pub(super) lying: Option<Lying>,
}

/// A relay that lies.
pub(super) struct Lying {
    pub(super) liar: Liar,
    /// To one site alone.
    pub(super) to: Option<usize>,
    /// Its other database.
    pub(super) other: Option<SimRelay>,
}

impl Relay {
    /// The database that a link is with; the other one has a disk that nothing ever happens to.
    pub(super) fn database(&mut self, other: bool) -> Option<&mut SimRelay> {
        if other { self.lying.as_mut()?.other.as_mut() } else { self.relay.as_mut() }
    }

    /// The same, to look at.
    pub(super) fn looked_at(&self, other: bool) -> Option<&SimRelay> {
        if other { self.lying.as_ref()?.other.as_ref() } else { self.relay.as_ref() }
    }

    /// Who lies to a site.
    pub(super) fn liar_to(&mut self, site: usize) -> Option<&mut Liar> {
        let lying = self.lying.as_mut()?;
        lying.to.is_none_or(|to| to == site).then_some(&mut lying.liar)
    }

    /// Whether a site is shown another database than others.
    pub(super) fn shows_other_to(&self, site: usize) -> bool {
        let other = |lying: &Lying| lying.other.is_some() && lying.to.map_or(site % 2 == 1, |to| to == site);
        self.lying.as_ref().is_some_and(other)
    }
}

/// A copy of a relay's database that was put aside.
#[derive(Clone, Default)]
pub(super) struct RelayBackup {
    pub(super) image: Image,
    pub(super) held: OpSet,
    pub(super) shown: OpSet,
}

/// See the module.
pub(super) struct World {
    pub(super) seed: u64,
    pub(super) dice: Dice,
    /// Comes of every decision so far.
    pub(super) trace: u64,
    pub(super) truth: Truth,
    base: Instant,
    /// How often something was opened, which gives each opening its own randomness.
    opened: u64,
    pub(super) vault: Option<VaultId>,
    pub(super) identities: Vec<Identity>,
    pub(super) sites: Vec<Site>,
    pub(super) relays: Vec<Relay>,
    pub(super) wires: Vec<Wire>,
    pub(super) backups: Vec<Backup>,
    pub(super) model: Model,
    /// Which device made each op.
    pub(super) authors: Vec<usize>,
    /// What may be nowhere: the only copy of it was taken away, or the call was cut short.
    pub(super) excused: OpSet,
    /// How links ended lately.
    pub(super) ended: BTreeMap<(usize, usize), String>,
    /// Ops that imported many records.
    pub(super) imports: OpSet,
    /// Whether something happened for which new logs are opened.
    pub(super) may_fork: bool,
    /// Devices that are members and lie.
    pub(super) liars: BTreeSet<usize>,
    /// Whether somebody has lied.
    pub(super) hostile: bool,
    /// What the plan has met.
    pub(super) sights: Sights,
}

impl World {
    /// An empty one.
    #[expect(clippy::disallowed_methods, reason = "a base for times that the simulation then moves itself")]
    pub(super) fn new(seed: u64) -> Self {
        let truth = Truth::default();
        truth.set(BEGINNING_MS);
        Self {
            seed,
            dice: Dice::of(&[seed]),
            trace: 0,
            truth,
            base: Instant::now(),
            opened: 0,
            vault: None,
            identities: Vec::new(),
            sites: Vec::new(),
            relays: Vec::new(),
            wires: Vec::new(),
            backups: Vec::new(),
            model: Model::default(),
            authors: Vec::new(),
            excused: OpSet::default(),
            ended: BTreeMap::new(),
            imports: OpSet::default(),
            may_fork: false,
            liars: BTreeSet::new(),
            hostile: false,
            sights: Sights::default(),
        }
    }

    /// Now, for links of devices.
    pub(super) fn instant(&self) -> Instant {
        self.base + Duration::from_millis(self.truth.ms() - BEGINNING_MS)
    }

    /// The moment of an instant, in Unix milliseconds, rounded up.
    pub(super) fn ms_of(&self, instant: Instant) -> u64 {
        let micros = instant.saturating_duration_since(self.base).as_micros();
        BEGINNING_MS + u64::try_from(micros.div_ceil(1000)).unwrap_or(u64::MAX / 2)
    }

    /// Now, for a relay.
    pub(super) fn relay_now(&self, relay: usize) -> Now {
        let ms = self.truth.ms();
        let wall_ms = ms.saturating_add_signed(self.relays[relay].ahead_ms);
        Now { mono: Duration::from_millis(ms - BEGINNING_MS), wall_ms }
    }

    /// Random bytes that nobody draws twice.
    pub(super) fn fresh<const N: usize>(&mut self) -> [u8; N] {
        self.opened += 1;
        let mut dice = Dice::of(&[self.seed, 0x6672_6573, self.opened]);
        std::array::from_fn(|_| dice.throw() as u8)
    }

    pub(super) fn new_site(&mut self, owner: usize, image: Image) -> usize {
        let clock = Arc::new(SimClock { truth: self.truth.clone(), ahead_ms: AtomicI64::new(0) });
        self.sites.push(Site {
            owner,
            disk: SimDisk::holding(image),
            clock,
            loss: Loss::Nothing,
            device: None,
            known: OpSet::default(),
            standing: SimStanding::default(),
        });
        self.sites.len() - 1
    }

    /// What the store at a site is opened with.
    pub(super) fn setup(&mut self, site: usize) -> SimSetup {
        let entropy = u64::from_be_bytes(self.fresh());
        let of = &self.sites[site];
        let disk = of.disk.clone();
        SimSetup {
            site: SimSite { disk: Box::new(move || Box::new(disk.clone())) },
            key: self.identities[of.owner].key.clone(),
            clock: of.clock.clone(),
            entropy: Arc::new(SeededEntropy::dangerous_from_seed(entropy)),
        }
    }

    /// Opens the store at a site if it is not open, and looks whether what was acknowledged is there. While its disk is full it
    /// may stay closed.
    pub(super) fn open(&mut self, site: usize) -> Result<(), Failure> {
        if self.sites[site].device.is_some() {
            return Ok(());
        }
        // A stop or a failure may come while it is being opened; the next try finds a disk that goes on.
        for _ in 0..OPEN_TRIES {
            match self.setup(site).open() {
                Ok(device) => {
                    self.sites[site].device = Some(device);
                    let seen = match self.seen(site) {
                        Err(failure) if failure.kind == Kind::DiskFails => {
                            self.note_refusal(site);
                            self.close(site);
                            continue;
                        }
                        seen => seen?,
                    };
                    let gone = self.sites[site].known.minus(seen);
                    if let Some(op) = gone.iter().next() {
                        return Err(Failure::new(Kind::LostAtStop, format!("op {op} at site {site}")));
                    }
                    self.sites[site].known = seen;
                    return Ok(());
                }
                Err(_) if self.sites[site].disk.is_dead() => {
                    self.sights.note(Sight::StopOpening);
                    self.revive(site);
                }
                Err(Error::Store(_)) if self.note_refusal(site) => {
                    if self.sites[site].disk.is_full() {
                        self.sights.note(Sight::OpenFull);
                        return Ok(());
                    }
                }
                Err(error) => {
                    return Err(Failure::new(Kind::OpenFails, format!("site {site}: {error}")));
                }
            }
        }
        Err(Failure::new(Kind::OpenFails, format!("site {site}")))
    }

    /// Ends the process at a site, and its links.
    pub(super) fn close(&mut self, site: usize) {
        self.hang_up(|wire| wire.site == site);
        self.sites[site].device = None;
    }

    /// The vault at a site whose store is open.
    pub(super) fn vault_at(&self, site: usize) -> Result<Vault, Failure> {
        let device = self.sites[site].device.as_ref();
        let device =
            device.ok_or_else(|| Failure::new(Kind::CallFails, format!("site {site} is not open")))?;
        device.vault(VAULT).map_err(|error| self.call_fails(site, &error))
    }

    /// The ops that a device shows to have seen: each leaves a record of its own in the transaction that it is, and a device
    /// that was let in is listed.
    pub(super) fn seen(&self, site: usize) -> Result<OpSet, Failure> {
        let vault = self.vault_at(site)?;
        let fails = |error| self.call_fails(site, &error);
        let mut seen = OpSet::default();
        for record in vault.records("ops").scan() {
            let (id, _) = record.map_err(fails)?;
            seen.insert(op_of(&id));
        }
        for device in vault.devices().map_err(fails)? {
            let who = self.identities.iter().find(|identity| identity.key.public() == device.public);
            if let Some(op) = who.and_then(|identity| identity.joined) {
                seen.insert(op);
            }
        }
        Ok(seen)
    }

    /// What a device shows of a record.
    pub(super) fn shown(&self, site: usize, record: RecNo) -> Result<Shown, Failure> {
        let found = self.vault_at(site)?.records("notes").get(record_id(record.into()));
        let found = found.map_err(|error| self.call_fails(site, &error))?;
        Ok(found.map(|Record(fields)| {
            fields.iter().filter_map(|(name, value)| read_field(name, value)).collect()
        }))
    }

    /// Opens a relay's database if it is not open. While its disk is full it may stay closed.
    pub(super) fn open_relay(&mut self, relay: usize) -> Result<(), Failure> {
        for _ in 0..OPEN_TRIES {
            if self.relays[relay].relay.is_some() {
                return Ok(());
            }
            let fresh = self.fresh();
            let of = &mut self.relays[relay];
            let disk = of.disk.clone();
            match SimRelay::open(&of.key, Box::new(move || disk.clone()), fresh, of.quota_bytes) {
                Ok(open) => of.relay = Some(open),
                Err(_) if of.disk.is_dead() => self.revive_relay(relay),
                Err(_) if of.disk.take_refusal().is_some() => {
                    if of.disk.is_full() {
                        self.sights.note(Sight::OpenRelayFull);
                        return Ok(());
                    }
                    self.sights.note(Sight::RelayAils);
                }
                Err(error) => {
                    return Err(Failure::new(Kind::OpenFails, format!("relay {relay}: {error}")));
                }
            }
        }
        Ok(())
    }

    pub(super) fn close_relay(&mut self, relay: usize) {
        self.hang_up(|wire| wire.relay == relay);
        self.relays[relay].relay = None;
    }

    /// What of `held` nobody else has, now that one site or one relay loses it.
    pub(super) fn excuse(
        &mut self,
        held: OpSet,
        (site, relay): (Option<usize>, Option<usize>),
    ) -> Result<(), Failure> {
        let mut elsewhere = OpSet::default();
        for other in self.honest_sites().into_iter().filter(|other| Some(*other) != site) {
            self.open(other)?;
            elsewhere = elsewhere.plus(self.seen_or_known(other)?);
        }
        for (other, of) in self.relays.iter().enumerate() {
            if Some(other) != relay {
                elsewhere = elsewhere.plus(of.held);
            }
        }
        self.excused = self.excused.plus(held.minus(elsewhere));
        Ok(())
    }
}

/// The id of a record.
pub(super) fn record_id(number: u16) -> RecordId {
    let mut bytes = [7; 16];
    bytes[14..].copy_from_slice(&number.to_be_bytes());
    RecordId::from_bytes(bytes)
}

fn op_of(id: &RecordId) -> OpNo {
    let bytes = id.as_bytes();
    OpNo::from_be_bytes([bytes[14], bytes[15]]) % super::model::OPS_MAX as OpNo
}

/// The value that an op writes.
pub(super) fn value_of(op: OpNo) -> Value {
    Value::from(format!("{SECRET}{op}"))
}

/// A field's name.
pub(super) fn field_name(field: FieldNo) -> String {
    format!("{SECRET}{field}")
}

fn read_field(name: &str, value: &Value) -> Option<(FieldNo, OpNo)> {
    let Value::Text(value) = value else { return None };
    Some((name.strip_prefix(SECRET)?.parse().ok()?, value.strip_prefix(SECRET)?.parse().ok()?))
}
