//! What the core keeps in memory of its store: interned names, vaults, keyrings, members, the clock.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use redb::{ReadableDatabase as _, ReadableTable as _};
use subrosa_model::control::{Keyring, MemberChanges, Members};
use subrosa_model::keys::{KeyPair, SigningKey};
use subrosa_model::merge::{HybridClock, LogNo, LogTable, Stamp};
use subrosa_model::wiped::Wiped;
use subrosa_protocol::ids::{Chain, LogId, Pin, PublicKeyBytes, Seq, VaultId};
use subrosa_protocol::segment::{Class, SealedSegment};
use subrosa_store::error::StoreError;
use subrosa_store::tables::{
    COLLECTIONS, CollectionNo, HEADS, KEYRINGS, LOGS, META, QUARANTINE, SEGMENTS, VAULTS, VaultNo,
    segment_key,
};
use subrosa_store::unsealed::UnsealedView;

use crate::device::Options;
use crate::error::Error;
use crate::life::OpenStore;
use crate::logs::notes::Notes;
use crate::logs::quarantine::Reason;
use crate::logs::shown::RelayView;
use crate::logs::waiting::Waiting;

/// Interned names, as readers need them; replaced after each commit that adds one.
#[derive(Clone, Default)]
pub(crate) struct Shared {
    pub(crate) logs: LogTable,
    pub(crate) collections: Collections,
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
    pub(crate) own: OwnLogNos,
    /// Signs data segments, fast.
    pub(crate) signer: SigningKey,
    /// Number of the next bulk write.
    pub(crate) next_batch: u64,
    /// Per log, the last segment looked at for the end of a group that is not complete yet.
    pub(crate) probed: HashMap<LogNo, Seq>,
    /// Data logs to look at for groups that can be merged.
    pub(crate) unmerged: BTreeSet<LogNo>,
    /// Logs whose next group is held for the clock, and until when.
    pub(crate) held: BTreeMap<LogNo, u64>,
    /// Per log, the bytes of second futures kept as evidence.
    pub(crate) evidence: HashMap<LogNo, usize>,
    /// Logs without a certificate.
    pub(crate) waiting: Waiting,
    /// Names of logs without a certificate.
    pub(crate) notes: Notes,
    /// What relays are known to hold.
    pub(crate) relays: HashMap<Pin, RelayView>,
    /// How often members or their logs have changed in this open.
    pub(crate) member_changes: u64,
    /// Heads that merged segments say their authors have seen, until they are here or were asked for.
    pub(crate) named: HashMap<LogId, Seq>,
    /// Set once this open has compared our own head with the relay; then bulk writes are sealed as they commit.
    pub(crate) may_seal: bool,
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

/// What became of a control segment.
pub(crate) enum Folded {
    /// No key that is held here opens it.
    Shut,
    /// It opens, and its entries do not hold, or not yet: it counts for nothing.
    Refused,
    /// Its entries are taken in.
    Taken(MemberChanges),
}

/// Last segment of a log, and how far it is merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogHead {
    pub(crate) seq: Seq,
    pub(crate) chain: Chain,
    /// The first segment that is not merged; in a control log, the first one of which not all signatures were found to
    /// hold.
    pub(crate) merged: Seq,
}

impl LogHead {
    pub(crate) fn encode(&self) -> [u8; 48] {
        let mut row = [0; 48];
        row[..8].copy_from_slice(&self.seq.0.to_be_bytes());
        row[8..40].copy_from_slice(self.chain.as_bytes());
        row[40..].copy_from_slice(&self.merged.0.to_be_bytes());
        row
    }

    pub(crate) fn decode(row: &[u8; 48]) -> Self {
        let (seq, rest) = row.split_first_chunk::<8>().expect("48 bytes hold a seq");
        let (chain, merged) = rest.split_first_chunk::<32>().expect("40 bytes hold a chain");
        let mut merged_bytes = [0; 8];
        merged_bytes.copy_from_slice(merged);
        Self {
            seq: Seq(u64::from_be_bytes(*seq)),
            chain: Chain::from_bytes(*chain),
            merged: Seq(u64::from_be_bytes(merged_bytes)),
        }
    }
}

/// Row of a log: `vault | public | class`.
pub(crate) struct LogRow {
    pub(crate) vault: VaultNo,
    pub(crate) public: PublicKeyBytes,
    pub(crate) class: Class,
}

impl LogRow {
    /// Bytes of a row.
    pub(crate) const LEN: usize = 4 + 65 + 1;

    pub(crate) fn encode(&self) -> [u8; Self::LEN] {
        let mut row = [0; Self::LEN];
        row[..4].copy_from_slice(&self.vault.0.to_be_bytes());
        row[4..69].copy_from_slice(self.public.as_bytes());
        row[69] = match self.class {
            Class::Data => 1,
            Class::Control => 2,
        };
        row
    }

    pub(crate) fn decode(row: &[u8; Self::LEN]) -> Option<Self> {
        let (vault, rest) = row.split_first_chunk::<4>()?;
        let (public, rest) = rest.split_first_chunk::<65>()?;
        let class = match rest {
            [1] => Class::Data,
            [2] => Class::Control,
            _ => return None,
        };
        let vault = VaultNo(u32::from_be_bytes(*vault));
        Some(Self { vault, public: PublicKeyBytes::from_bytes(*public), class })
    }
}

/// The logs of each vault.
type LogsOfVaults = BTreeMap<VaultNo, BTreeMap<LogNo, LogInfo>>;

/// Splits a row of the segment table into chain and segment.
pub(crate) fn split_segment_row(row: &[u8]) -> Result<(Chain, SealedSegment), StoreError> {
    let (chain, bytes) = row.split_first_chunk::<32>().ok_or(StoreError::Inconsistent)?;
    let segment =
        SealedSegment::parse(bytes::Bytes::copy_from_slice(bytes)).map_err(|_| StoreError::Inconsistent)?;
    Ok((Chain::from_bytes(*chain), segment))
}

impl State {
    /// Reads everything that the core keeps in memory. Control logs are folded anew: they are short.
    pub(crate) fn load(open: &OpenStore, _options: &Options) -> Result<Self, Error> {
        let txn = open.db.begin_read().map_err(|error| open.explain(error))?;
        let (mut state, logs) = Self::load_names(&txn).map_err(|error| open.explain(error))?;
        state.load_vaults(&txn, logs).map_err(|error| match error {
            Error::Store(error) => open.explain(error),
            other => other,
        })?;
        Ok(state)
    }

    fn load_names(txn: &redb::ReadTransaction) -> Result<(Self, LogsOfVaults), StoreError> {
        let (mut state, mut logs) = (Self::default(), LogsOfVaults::new());
        if let Some(row) = txn.open_table(META)?.get("clock")? {
            let bytes = row.value().try_into().map_err(|_| StoreError::Inconsistent)?;
            state.clock = HybridClock::new(Stamp(u64::from_be_bytes(bytes)));
        }
        for row in txn.open_table(LOGS)?.iter()? {
            let (number, row) = row?;
            let LogRow { vault, public, class } =
                LogRow::decode(row.value()).ok_or(StoreError::Inconsistent)?;
            let (number, id) = (LogNo(number.value()), LogId::of(&public));
            if state.logs.intern(vault, id, class) != number {
                return Err(StoreError::Inconsistent);
            }
            logs.entry(vault).or_default().insert(number, LogInfo { id, public, class });
        }
        let mut collections = Vec::new();
        for row in txn.open_table(COLLECTIONS)?.iter()? {
            let (key, number) = row?;
            let (vault, name) = key.value().split_first_chunk::<4>().ok_or(StoreError::Inconsistent)?;
            let name = std::str::from_utf8(name).map_err(|_| StoreError::Inconsistent)?;
            collections.push((number.value(), VaultNo(u32::from_be_bytes(*vault)), name.to_owned()));
        }
        collections.sort_unstable_by_key(|entry| entry.0);
        for (number, vault, name) in collections {
            if state.collections.add(vault, &name) != CollectionNo(number) {
                return Err(StoreError::Inconsistent);
            }
        }
        Ok((state, logs))
    }

    fn load_vaults(&mut self, txn: &redb::ReadTransaction, mut logs: LogsOfVaults) -> Result<(), Error> {
        let keyrings = txn.open_table(KEYRINGS).map_err(StoreError::from)?;
        for row in txn.open_table(VAULTS).map_err(StoreError::from)?.iter().map_err(StoreError::from)? {
            let (number, row) = row.map_err(StoreError::from)?;
            let number = VaultNo(number.value());
            let (id, name) = decode_vault_row(row.value())?;
            let keyring =
                keyrings.get(number.0).map_err(StoreError::from)?.ok_or(StoreError::Inconsistent)?;
            let keyring = Keyring::decode(keyring.value()).map_err(|_| StoreError::Inconsistent)?;
            let mut vault = self.new_vault(number, id, name, keyring)?;
            vault.logs = logs.remove(&number).unwrap_or_default();
            vault.load(txn, number)?;
            self.vaults.insert(number, vault);
        }
        self.load_unmerged(txn)?;
        Ok(self.load_evidence(txn)?)
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
    fn load_unmerged(&mut self, txn: &redb::ReadTransaction) -> Result<(), StoreError> {
        for row in txn.open_table(HEADS)?.iter()? {
            let (log, row) = row?;
            let (log, head) = (LogNo(log.value()), LogHead::decode(row.value()));
            let vault = self.logs.vault(log).ok_or(StoreError::Inconsistent)?;
            if head.merged <= head.seq
                && let Some(vault) = self.vaults.get_mut(&vault)
                && vault.logs.get(&log).is_some_and(|info| info.class == Class::Data)
            {
                vault.unmerged.insert(log);
            }
        }
        Ok(())
    }

    fn load_evidence(&mut self, txn: &redb::ReadTransaction) -> Result<(), StoreError> {
        for row in txn.open_table(QUARANTINE)?.iter()? {
            let (key, row) = row?;
            if row.value().first() != Some(&(Reason::Equivocation as u8)) {
                continue;
            }
            let (log, _) = split_segment_key(key.value());
            let vault = self.logs.vault(log).and_then(|vault| self.vaults.get_mut(&vault));
            let vault = vault.ok_or(StoreError::Inconsistent)?;
            *vault.evidence.entry(log).or_default() += row.value().len();
        }
        Ok(())
    }

    /// A copy of the names for readers.
    pub(crate) fn shared(&self) -> Shared {
        Shared { logs: self.logs.clone(), collections: self.collections.clone() }
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
    /// A vault of which nothing is known yet but its keyring.
    pub(crate) fn new(id: VaultId, name: String, keyring: Keyring, own: OwnLogNos) -> Self {
        Self {
            id,
            name,
            members: Members::new(id),
            logs: BTreeMap::new(),
            own,
            signer: signer_of(&keyring),
            keyring,
            next_batch: 0,
            probed: HashMap::new(),
            unmerged: BTreeSet::new(),
            held: BTreeMap::new(),
            evidence: HashMap::new(),
            waiting: Waiting::default(),
            notes: Notes::default(),
            relays: HashMap::new(),
            member_changes: 0,
            named: HashMap::new(),
            may_seal: false,
        }
    }

    fn load(&mut self, txn: &redb::ReadTransaction, number: VaultNo) -> Result<(), Error> {
        self.fold_control(txn)?;
        self.waiting = Waiting::load(txn, number, |log, prev, segment| {
            self.fold_control_segment(log, prev, segment);
        })?;
        self.notes = Notes::load(txn, number)?;
        self.next_batch = UnsealedView::open(txn)?.next_batch(number)?;
        Ok(())
    }

    /// Wall time at which the first of its groups held for the clock may be merged; `u64::MAX` if none is.
    pub(crate) fn held_until_ms(&self) -> u64 {
        self.held.values().min().copied().unwrap_or(u64::MAX)
    }

    /// Prepares the key of the current data log for signing.
    pub(crate) fn renew_signer(&mut self) {
        self.signer = signer_of(&self.keyring);
    }

    /// Applies every stored control segment to the members.
    fn fold_control(&mut self, txn: &redb::ReadTransaction) -> Result<(), Error> {
        let heads = txn.open_table(HEADS).map_err(StoreError::from)?;
        let segments = txn.open_table(SEGMENTS).map_err(StoreError::from)?;
        let control = self.logs.iter().filter(|(_, log)| log.class == Class::Control);
        for (number, log) in control.map(|(number, log)| (*number, *log)).collect::<Vec<_>>() {
            let Some(head) = heads.get(number.0).map_err(StoreError::from)? else { continue };
            let head = LogHead::decode(head.value());
            let mut prev = Chain::ZERO;
            let range = segment_key(number, Seq(0))..=segment_key(number, head.seq);
            for row in segments
                .range::<&[u8; 12]>(&range.start().clone()..=&range.end().clone())
                .map_err(StoreError::from)?
            {
                let (_, row) = row.map_err(StoreError::from)?;
                let (chain, segment) = split_segment_row(row.value())?;
                if segment.header().seq < head.merged {
                    self.fold_checked_segment(&log.id, &prev, &segment);
                } else {
                    self.fold_control_segment(&log.id, &prev, &segment);
                }
                prev = chain;
            }
        }
        Ok(())
    }

    /// Whether a data segment was sealed under a key of this vault that is held here.
    pub(crate) fn opens(&self, prev: &Chain, segment: &SealedSegment) -> bool {
        let key = self.keyring.data_key(segment.header().epoch);
        key.is_some_and(|key| subrosa_model::seal::open(&self.id, prev, segment, key).is_ok())
    }

    /// Applies one control segment. One that is not taken in counts for nothing, and stays for later.
    pub(crate) fn fold_control_segment(
        &mut self,
        log: &LogId,
        prev: &Chain,
        segment: &SealedSegment,
    ) -> Folded {
        let Some(data) = self.open_control(prev, segment) else { return Folded::Shut };
        match self.members.apply(*log, segment.header().seq, &data) {
            Ok(changes) => {
                self.member_changes += u64::from(changes != MemberChanges::default());
                Folded::Taken(changes)
            }
            Err(_) => Folded::Refused,
        }
    }

    /// As [`Self::fold_control_segment`], of one that was taken in before this open.
    fn fold_checked_segment(&mut self, log: &LogId, prev: &Chain, segment: &SealedSegment) {
        let Some(data) = self.open_control(prev, segment) else { return };
        if let Err(error) = self.members.apply_checked(*log, segment.header().seq, &data) {
            tracing::warn!(%log, %error, "a control segment that was taken in counts no more");
        }
    }

    fn open_control(&self, prev: &Chain, segment: &SealedSegment) -> Option<Wiped> {
        let key = self.keyring.control_key(segment.header().epoch)?;
        Some(subrosa_model::seal::open(&self.id, prev, segment, key).ok()?.data)
    }
}

pub(crate) fn encode_vault_row(id: &VaultId, name: &str) -> Vec<u8> {
    let mut row = id.as_bytes().to_vec();
    row.extend_from_slice(name.as_bytes());
    row
}

fn decode_vault_row(row: &[u8]) -> Result<(VaultId, String), StoreError> {
    let (id, name) = row.split_first_chunk::<32>().ok_or(StoreError::Inconsistent)?;
    let name = String::from_utf8(name.to_vec()).map_err(|_| StoreError::Inconsistent)?;
    Ok((VaultId::from_bytes(*id), name))
}

/// Log and seq of the key of a segment, and of its quarantine entry.
pub(crate) fn split_segment_key(key: &[u8; 12]) -> (LogNo, Seq) {
    let (mut log, mut seq) = ([0; 4], [0; 8]);
    log.copy_from_slice(&key[..4]);
    seq.copy_from_slice(&key[4..]);
    (LogNo(u32::from_be_bytes(log)), Seq(u64::from_be_bytes(seq)))
}
