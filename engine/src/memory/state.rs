//! What the core keeps in memory of its store: interned names, vaults, keyrings, members, the clock.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use subrosa_model::control::{CappedLogs, Keyring, Members, NamedGroup};
use subrosa_model::keys::{KeyPair, SigningKey};
use subrosa_model::merge::{CapStep, HybridClock, LogNo, LogTable, Stamp};
use subrosa_protocol::ids::{Head, LogId, Pin, PublicKeyBytes, Seq, VaultId};
use subrosa_protocol::segment::{Class, SealedSegment};
use subrosa_protocol::vouch::Vouch;
use subrosa_store::doors::DoorsView;
use subrosa_store::error::StoreError;
use subrosa_store::keys::{CollectionNo, VaultNo};
use subrosa_store::logs::{BranchNo, LogRow, LogsView, UnreadRow};
use subrosa_store::unsealed::UnsealedView;
use subrosa_store::vaults::{CollectionRow, VaultRow, VaultsView};

use crate::error::Error;
use crate::memory::branches::Branches;
use crate::memory::extents::{GroupExtent, Probe, READER_VERSION, WaitReason};
use crate::memory::open_batch::{Batches, OnItsWay, unsaid};
use crate::memory::passing::{self, PassingVaults};
use crate::memory::relay_view::RelayView;
use crate::memory::risks::Risks;
use crate::memory::uncertified::{Notes, Waiting};

/// Interned names, as readers need them; replaced after each commit that adds one.
#[derive(Clone, Default)]
pub(crate) struct Shared {
    pub(crate) logs: LogTable,
    pub(crate) collections: Collections,
    /// Vaults whose records pass from one cap to another.
    pub(crate) passing: PassingVaults,
}

/// Collections and their numbers.
#[derive(Clone, Default)]
pub(crate) struct Collections {
    numbers: HashMap<VaultNo, HashMap<Arc<str>, CollectionNo>>,
    names: Vec<(VaultNo, Arc<str>)>,
}

impl Collections {
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    pub(crate) fn number(&self, vault: VaultNo, name: &str) -> Option<CollectionNo> {
        self.numbers.get(&vault)?.get(name).copied()
    }

    pub(crate) fn name(&self, number: CollectionNo) -> Option<&Arc<str>> {
        self.names.get(number.0 as usize).map(|entry| &entry.1)
    }

    /// The collections of one vault, in no order.
    pub(crate) fn of(&self, vault: VaultNo) -> impl Iterator<Item = (CollectionNo, &Arc<str>)> {
        let names = self.names.iter().enumerate().filter(move |(_, entry)| entry.0 == vault);
        names.map(|(index, entry)| (CollectionNo(index as u32), &entry.1))
    }

    pub(crate) fn add(&mut self, vault: VaultNo, name: &str) -> CollectionNo {
        let number = CollectionNo(u32::try_from(self.names.len()).expect("names fit in memory"));
        let name: Arc<str> = name.into();
        self.names.push((vault, name.clone()));
        self.numbers.entry(vault).or_default().insert(name, number);
        number
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        for (vault, name) in self.names.drain(len.min(self.names.len())..) {
            if let Some(numbers) = self.numbers.get_mut(&vault) {
                numbers.remove(&name);
            }
        }
    }
}

/// The writer's view of the store.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) clock: HybridClock,
    pub(crate) logs: LogTable,
    pub(crate) collections: Collections,
    pub(crate) vaults: BTreeMap<VaultNo, VaultState>,
    /// Logs that wait in front of a group, and why: what was found by opening it is stored, the rest is found again at each
    /// open. A transaction that fails leaves it as it was before.
    pub(crate) waits: Arc<BTreeMap<BranchNo, WaitReason>>,
    /// Vaults whose records pass from one cap to another.
    pub(crate) passing: PassingVaults,
    /// The log whose round went on last.
    pub(crate) last_in_round: Option<(VaultNo, BranchNo)>,
    /// A transaction failed and what the store holds could not be read again: to be done before the next one.
    pub(crate) stale: bool,
    /// The device was closed; nothing is here any more.
    pub(crate) closed: bool,
}

/// One vault.
pub(crate) struct VaultState {
    pub(crate) id: VaultId,
    pub(crate) name: String,
    pub(crate) keyring: Keyring,
    pub(crate) members: Members,
    pub(crate) logs: BTreeMap<LogNo, LogInfo>,
    /// Logs that have several futures.
    pub(crate) branches: Branches,
    /// Puts in futures of old logs of this device that a delete may hide.
    pub(crate) risks: Risks,
    pub(crate) own: OwnLogNos,
    /// Signs data segments, fast.
    pub(crate) signer: SigningKey,
    /// What it has not sealed.
    pub(crate) batches: Batches,
    /// Branches of which more may be merged than its data log has named as seen.
    pub(crate) unsaid: BTreeSet<BranchNo>,
    /// Per branch, what was seen of a group whose end is not here.
    pub(crate) probed: HashMap<BranchNo, Probe>,
    /// Per branch, the latest stamp of the last group that is merged, once it was asked for.
    pub(crate) latests: HashMap<BranchNo, Stamp>,
    /// The same of the last group up to some segments, that are far behind it.
    pub(crate) latest_at: HashMap<(BranchNo, Seq), Stamp>,
    /// Groups that are to be merged in a transaction of their own, each the next one of its branch.
    pub(crate) large: BTreeMap<BranchNo, GroupExtent>,
    /// Branches of data logs to look at for groups that can be merged.
    pub(crate) unmerged: BTreeSet<BranchNo>,
    /// Logs that go on with a segment of another class than was certified: nothing after it can be taken in. Found again
    /// in each open.
    pub(crate) cut_off: BTreeSet<LogNo>,
    /// Control logs that go on with a kind of a newer version, and from where: of those only that have a number or are in quarantine.
    pub(crate) unknown_control: HashMap<LogId, Seq>,
    /// Branches whose next group is held for the clock, and until when.
    pub(crate) held: BTreeMap<BranchNo, u64>,
    /// Logs without a certificate.
    pub(crate) waiting: Waiting,
    /// Names of logs without a certificate.
    pub(crate) notes: Notes,
    /// What relays are known to hold.
    pub(crate) relays: HashMap<Pin, RelayView>,
    /// Per relay, the logs that may have something which it lacks; found once in an open, then kept up.
    pub(crate) unsent: HashMap<Pin, BTreeSet<LogNo>>,
    /// Control entries that need not be repeated, once that was asked.
    pub(crate) on_its_way: Option<OnItsWay>,
    /// What this device was told that a relay must show, and has not been shown.
    pub(crate) frontier: Vec<Head>,
    /// Control segments that were read at the opening, beyond the image of the members.
    pub(crate) beyond_image: usize,
    /// How often members or their logs have changed in this open.
    pub(crate) member_changes: u64,
    /// Logs of which the cap is to be looked at, besides those that the members say.
    pub(crate) caps_due: CappedLogs,
    pub(crate) prefixes: Prefixes,
    /// Heads that merged segments say their authors have seen, until they are here or were asked for.
    pub(crate) named: BTreeMap<LogId, Seq>,
    /// The same of logs that have no number here, which a member may have made up.
    pub(crate) named_strangers: BTreeMap<LogId, Seq>,
    /// This device's vouches for its own logs: none while it is no admin, or until they are asked for.
    pub(crate) vouches: Vec<(LogId, Vouch)>,
    /// A segment of a log that we write now was shown which is not here, and its signature holds: another copy of this store
    /// has written it. Without that, nothing but a relay's word says so.
    pub(crate) own_log_shown: bool,
    /// The latest stamp written in it, while the device's clock was put right and this vault could not be: its clock goes by itself,
    /// so that in its log what is written later counts as later, and no other vault is dragged along.
    pub(crate) own_clock: Option<Stamp>,
    /// Set once this open has compared our own head with the relay; then bulk writes are sealed as they commit.
    pub(crate) may_seal: bool,
}

/// What is known of groups that caps name.
#[derive(Default)]
pub(crate) struct Prefixes {
    /// What was found of each log that was looked at in this open.
    pub(crate) found: HashMap<LogNo, FoundPrefixes>,
    /// Groups that are here and cannot be read before a key comes.
    pub(crate) unread: BTreeMap<LogId, BTreeSet<NamedGroup>>,
}

/// The groups of a log that caps name and that are here and read.
#[derive(Clone, Default)]
pub(crate) struct FoundPrefixes {
    /// What they are capped by; nothing where they are too many to be told apart.
    pub(crate) steps: Vec<CapStep>,
    /// The latest stamp of all of them.
    pub(crate) to: Option<Stamp>,
}

/// The logs that this device writes now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwnLogNos {
    pub(crate) control: LogNo,
    pub(crate) data: LogNo,
}

/// A log with a certificate, or one of ours.
#[derive(Clone, Copy)]
pub(crate) struct LogInfo {
    pub(crate) id: LogId,
    pub(crate) public: PublicKeyBytes,
    /// As the certificate says.
    pub(crate) class: Class,
}

/// The logs of each vault.
type LogsOfVaults = BTreeMap<VaultNo, BTreeMap<LogNo, LogInfo>>;

impl State {
    /// Reads everything that the core keeps in memory.
    pub(crate) fn load(doors: &DoorsView) -> Result<Self, Error> {
        let (mut state, logs) = Self::load_names(doors)?;
        state.load_vaults(doors, logs)?;
        Ok(state)
    }

    fn load_names(doors: &DoorsView) -> Result<(Self, LogsOfVaults), StoreError> {
        let (mut state, mut logs) = (Self::default(), LogsOfVaults::new());
        let vaults = doors.vaults()?;
        if let Some(latest) = vaults.clock()? {
            state.clock = HybridClock::new(latest);
        }
        for row in doors.logs()?.logs()? {
            let (number, LogRow { vault, public, class }) = row?;
            let id = LogId::of(&public);
            if state.logs.intern(vault, id, class) != number {
                return Err(StoreError::Inconsistent);
            }
            logs.entry(vault).or_default().insert(number, LogInfo { id, public, class });
        }
        let passes = doors.passes()?;
        state.logs.set_caps(Arc::new(passes.caps()?.collect::<Result<_, _>>()?));
        state.passing = passing::load(&passes)?;
        let mut collections = vaults.collections()?.collect::<Result<Vec<_>, _>>()?;
        collections.sort_unstable_by_key(|row| row.number);
        for CollectionRow { vault, name, number } in collections {
            if state.collections.add(vault, &name) != number {
                return Err(StoreError::Inconsistent);
            }
        }
        Ok((state, logs))
    }

    fn load_vaults(&mut self, doors: &DoorsView, mut logs_of_vaults: LogsOfVaults) -> Result<(), Error> {
        let (vaults, logs, unsealed) = (doors.vaults()?, doors.logs()?, doors.unsealed()?);
        let branches = logs.branches()?.collect::<Result<Vec<_>, _>>()?;
        for row in vaults.vaults()? {
            let (number, VaultRow { id, name }) = row?;
            let keyring = vaults.keyring(number)?.ok_or(StoreError::Inconsistent)?;
            let keyring = Keyring::decode(keyring.as_bytes()).map_err(|_| StoreError::Inconsistent)?;
            let mut vault = self.new_vault(number, id, name, keyring)?;
            vault.logs = logs_of_vaults.remove(&number).unwrap_or_default();
            for (branch, row) in &branches {
                if vault.logs.contains_key(&row.log) {
                    vault.branches.add(*branch, *row);
                }
            }
            vault.load((&logs, &vaults, &unsealed), number)?;
            self.vaults.insert(number, vault);
        }
        self.load_unmerged(&logs)?;
        self.load_rounds(&logs)?;
        self.load_unread(&logs)?;
        Ok(())
    }

    fn new_vault(
        &self,
        number: VaultNo,
        id: VaultId,
        name: String,
        keyring: Keyring,
    ) -> Result<VaultState, Error> {
        let own_no = |public: &PublicKeyBytes| {
            self.logs.number(number, &LogId::of(public)).ok_or(StoreError::Inconsistent)
        };
        let logs = &keyring.logs;
        let own = OwnLogNos {
            control: own_no(&logs.control.public().into())?,
            data: own_no(&logs.data.public().into())?,
        };
        Ok(VaultState::new(id, name, keyring, own))
    }

    /// Finds the data logs that have segments which are not merged.
    fn load_unmerged(&mut self, logs: &LogsView) -> Result<(), StoreError> {
        for row in logs.heads()? {
            let (branch, head) = row?;
            let vault = self.vault_of(branch).ok_or(StoreError::Inconsistent)?;
            if head.merged <= head.seq
                && let Some(vault) = self.vaults.get_mut(&vault)
                && vault.info(branch).is_some_and(|info| info.class == Class::Data)
            {
                vault.unmerged.insert(branch);
            }
        }
        Ok(())
    }

    fn load_rounds(&mut self, logs: &LogsView) -> Result<(), StoreError> {
        for row in logs.rounds()? {
            let (log, round) = row?;
            let vault = self.vault_of(log).and_then(|vault| self.vaults.get_mut(&vault));
            vault.ok_or(StoreError::Inconsistent)?.notes.rounds.insert(log, round);
        }
        Ok(())
    }

    /// Finds the logs that wait in front of a group which this version of the program cannot merge.
    fn load_unread(&mut self, logs: &LogsView) -> Result<(), StoreError> {
        for row in logs.unread()? {
            let (log, UnreadRow { first, reason, version }) = row?;
            let stands_there = logs.head(log)?.is_some_and(|head| head.merged == first);
            if let Some(reason) = WaitReason::of_code(reason)
                && version == READER_VERSION
                && stands_there
            {
                self.wait(log, reason);
            }
        }
        Ok(())
    }

    /// A log waits from here on.
    pub(crate) fn wait(&mut self, log: BranchNo, reason: WaitReason) {
        Arc::make_mut(&mut self.waits).insert(log, reason);
    }

    /// A log does not wait, but for the clock.
    pub(crate) fn wait_no_more(&mut self, log: BranchNo) {
        if self.waits.contains_key(&log) {
            Arc::make_mut(&mut self.waits).remove(&log);
        }
    }

    /// Has logs looked at again that wait for a key of a vault: it may have come. They are to be forgotten where it is
    /// stored that they wait.
    pub(crate) fn retry_shut(&mut self, vault: VaultNo) -> Vec<BranchNo> {
        let shut = self.waits.iter().filter(|(_, reason)| **reason == WaitReason::StaysShut);
        let shut: Vec<_> =
            shut.map(|(log, _)| *log).filter(|log| self.vault_of(*log) == Some(vault)).collect();
        if let Some(vault) = self.vaults.get_mut(&vault) {
            vault.branches.has_new_keys = true;
            for (log, groups) in std::mem::take(&mut vault.prefixes.unread) {
                vault.caps_due.groups.entry(log).or_default().extend(groups);
            }
        }
        for log in &shut {
            self.wait_no_more(*log);
            self.vaults.get_mut(&vault).map(|vault| vault.unmerged.insert(*log));
        }
        shut
    }

    /// A copy of the names for readers.
    pub(crate) fn shared(&self) -> Shared {
        let (logs, collections) = (self.logs.clone(), self.collections.clone());
        Shared { logs, collections, passing: self.passing.clone() }
    }

    /// The vault of a branch.
    pub(crate) fn vault_of(&self, branch: BranchNo) -> Option<VaultNo> {
        if let Some(log) = branch.log() {
            return self.logs.vault(log);
        }
        self.vaults.iter().find(|(_, vault)| vault.branches.row(branch).is_some()).map(|(number, _)| *number)
    }

    pub(crate) fn vault_no(&self, id: &VaultId) -> Result<VaultNo, Error> {
        let found = self.vaults.iter().find(|(_, vault)| vault.id == *id);
        found.map(|(number, _)| *number).ok_or(Error::NoVault)
    }
}

/// The fast form of a keyring's data log key.
pub(crate) fn signer_of(keyring: &Keyring) -> SigningKey {
    let der = keyring.logs.data.dangerous_to_pkcs8_der();
    SigningKey::new(KeyPair::from_stored(&der).expect("a key pair reads what it has written"))
}

impl VaultState {
    /// How many keys that open data are here.
    pub(crate) fn epoch_keys(&self) -> usize {
        self.keyring.epochs.iter().filter(|epoch| epoch.key.is_some()).count()
    }

    /// A vault of which nothing is known yet but its keyring.
    pub(crate) fn new(id: VaultId, name: String, keyring: Keyring, own: OwnLogNos) -> Self {
        Self {
            id,
            name,
            members: Members::new(id),
            logs: BTreeMap::new(),
            branches: Branches::default(),
            risks: Risks::default(),
            own,
            signer: signer_of(&keyring),
            keyring,
            batches: Batches::default(),
            unsaid: BTreeSet::new(),
            probed: HashMap::new(),
            latests: HashMap::new(),
            latest_at: HashMap::new(),
            large: BTreeMap::new(),
            unmerged: BTreeSet::new(),
            cut_off: BTreeSet::new(),
            unknown_control: HashMap::new(),
            held: BTreeMap::new(),
            waiting: Waiting::default(),
            notes: Notes::default(),
            relays: HashMap::new(),
            unsent: HashMap::new(),
            on_its_way: None,
            frontier: Vec::new(),
            beyond_image: 0,
            member_changes: 0,
            caps_due: CappedLogs { all: true, ..CappedLogs::default() },
            prefixes: Prefixes::default(),
            named: BTreeMap::new(),
            named_strangers: BTreeMap::new(),
            vouches: Vec::new(),
            own_log_shown: false,
            own_clock: None,
            may_seal: false,
        }
    }

    fn load(
        &mut self,
        (logs, vaults, unsealed): (&LogsView, &VaultsView, &UnsealedView),
        number: VaultNo,
    ) -> Result<(), Error> {
        self.fold_control(logs, vaults, number)?;
        self.waiting = Waiting::load(logs, number, |segment, looked| {
            self.fold_segment(segment, looked);
        })?;
        self.load_entries(unsealed, number)?;
        self.frontier = vaults.frontier(number)?;
        self.own_clock = vaults.clock_of(number)?;
        self.notes = Notes::load(logs, number)?;
        self.batches = Batches::load(unsealed, number)?;
        self.branches.load_loose(logs, number, self.epoch_keys())?;
        self.risks = Risks::load(logs, number, self.branches.len() > 0)?;
        let own = self.own.data;
        let others =
            self.logs.keys().copied().filter(|log| *log != own).flat_map(|log| self.branches.of(log));
        self.unsaid = unsaid(logs, others)?;
        Ok(())
    }

    /// The log of a branch, with its number.
    pub(crate) fn log_of(&self, branch: BranchNo) -> Result<LogNo, StoreError> {
        self.branches.log_of(branch).ok_or(StoreError::Inconsistent)
    }

    /// What is known of a branch's log.
    pub(crate) fn info(&self, branch: BranchNo) -> Option<&LogInfo> {
        self.logs.get(&self.branches.log_of(branch)?)
    }

    /// Whether this device writes a log now.
    pub(crate) fn is_live(&self, log: LogNo) -> bool {
        log == self.own.data || log == self.own.control
    }

    /// Whether a relay may refuse something that is to be carried, as far as is known without a look at each branch.
    pub(crate) fn may_carry_for(&self, relay: &Pin, now_ms: u64) -> bool {
        self.branches.forked().next().is_some()
            && !self.branches.is_settled(relay, self.member_changes, now_ms)
    }

    /// Whether a certificate of this device caps the data log that it writes now: another copy of this store made it, for it comes
    /// with new logs. What is written into a capped log from now on would count as no later than the cap.
    pub(crate) fn is_live_log_capped(&self) -> bool {
        self.logs.get(&self.own.data).is_some_and(|info| self.members.cap(&info.id).is_some())
    }

    /// Wall time at which the first of its groups held for the clock may be merged; `u64::MAX` if none is.
    pub(crate) fn held_until_ms(&self) -> u64 {
        self.held.values().min().copied().unwrap_or(u64::MAX)
    }

    /// Whether this device may seal in it: it understands what must not be ignored, and has checked the statements from the
    /// vault's id to the one that it was let in under.
    pub(crate) fn may_speak(&self) -> bool {
        !self.members.update_needed() && self.keyring.statements.whole().is_some()
    }

    /// Prepares the key of the current data log for signing.
    pub(crate) fn renew_signer(&mut self) {
        self.signer = signer_of(&self.keyring);
    }

    /// Whether a data segment was sealed under a key of this vault that is held here.
    pub(crate) fn opens(&self, segment: &SealedSegment) -> bool {
        let key = self.keyring.data_key(segment.header().epoch);
        key.is_some_and(|key| subrosa_model::seal::open(&self.id, segment, key).is_ok())
    }
}
