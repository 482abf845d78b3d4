//! What the core keeps in memory of its store: interned names, vaults, keyrings, members, the clock.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use redb::{ReadableDatabase as _, ReadableTable as _};
use subrosa_protocol::ids::{Chain, LogId, PublicKeyBytes, Seq, VaultId};
use subrosa_protocol::segment::{Class, SealedSegment};

use super::OpenStore;
use crate::control::{Keyring, Members};
use crate::keys::{KeyPair, SigningKey};
use crate::merge::{Clock, LogNo, LogTable, Stamp};
use crate::store::StoreError;
use crate::store::tables::{
    COLLECTIONS, CollectionNo, HEADS, KEYRINGS, LOGS, META, QUARANTINE, SEGMENTS, VAULTS, VaultNo,
    segment_key,
};
use crate::store::waiting::WaitingView;
use crate::wiped::Wiped;
use crate::{Error, Options};

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
    pub(crate) clock: Clock,
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
    /// Bytes in quarantine.
    pub(crate) quarantine_bytes: u64,
    /// Per log, the last segment looked at for the end of a group that is not complete yet.
    pub(crate) probed: HashMap<LogNo, Seq>,
    /// Per log without a certificate, the last segment that was offered and not kept.
    pub(crate) noted: HashMap<LogNo, Seq>,
    /// Heads that merged segments say their authors have seen, until they are here or were asked for.
    pub(crate) named: HashMap<LogId, Seq>,
    /// Wall time at which the first of its groups held for the clock may be merged; `u64::MAX` if none is.
    pub(crate) held_until_ms: u64,
    /// Set once this open has compared our own head with the relay; then bulk writes are sealed as they commit.
    pub(crate) may_seal: bool,
}

/// The logs that this device writes now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwnLogNos {
    pub(crate) control: LogNo,
    pub(crate) data: LogNo,
}

/// A log whose key is known.
#[derive(Clone, Copy)]
pub(crate) struct LogInfo {
    pub(crate) id: LogId,
    pub(crate) public: PublicKeyBytes,
    /// Fixed by its first segment.
    pub(crate) class: Option<Class>,
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

/// Row of a log: its id, and once the key is known `vault | public | class`.
pub(crate) struct LogRow {
    pub(crate) id: LogId,
    pub(crate) known: Option<(VaultNo, PublicKeyBytes, Option<Class>)>,
}

impl LogRow {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut row = self.id.as_bytes().to_vec();
        if let Some((vault, public, class)) = &self.known {
            row.extend_from_slice(&vault.0.to_be_bytes());
            row.extend_from_slice(public.as_bytes());
            row.push(match class {
                None => 0,
                Some(Class::Data) => 1,
                Some(Class::Control) => 2,
            });
        }
        row
    }

    pub(crate) fn decode(row: &[u8]) -> Option<Self> {
        let (id, rest) = row.split_first_chunk::<16>()?;
        let id = LogId::from_bytes(*id);
        if rest.is_empty() {
            return Some(Self { id, known: None });
        }
        let (vault, rest) = rest.split_first_chunk::<4>()?;
        let (public, rest) = rest.split_first_chunk::<65>()?;
        let class = match rest {
            [0] => None,
            [1] => Some(Class::Data),
            [2] => Some(Class::Control),
            _ => return None,
        };
        let vault = VaultNo(u32::from_be_bytes(*vault));
        Some(Self { id, known: Some((vault, PublicKeyBytes::from_bytes(*public), class)) })
    }
}

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
        let mut state = Self::load_names(&txn).map_err(|error| open.explain(error))?;
        state.load_vaults(&txn).map_err(|error| match error {
            Error::Store(error) => open.explain(error),
            other => other,
        })?;
        Ok(state)
    }

    fn load_names(txn: &redb::ReadTransaction) -> Result<Self, StoreError> {
        let mut state = Self::default();
        if let Some(row) = txn.open_table(META)?.get("clock")? {
            let bytes = row.value().try_into().map_err(|_| StoreError::Inconsistent)?;
            state.clock = Clock::new(Stamp(u64::from_be_bytes(bytes)));
        }
        for row in txn.open_table(LOGS)?.iter()? {
            let (number, row) = row?;
            let log = LogRow::decode(row.value()).ok_or(StoreError::Inconsistent)?;
            if state.logs.intern(log.id) != LogNo(number.value()) {
                return Err(StoreError::Inconsistent);
            }
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
        Ok(state)
    }

    fn load_vaults(&mut self, txn: &redb::ReadTransaction) -> Result<(), Error> {
        let keyrings = txn.open_table(KEYRINGS).map_err(StoreError::from)?;
        let mut logs = load_logs(txn)?;
        for row in txn.open_table(VAULTS).map_err(StoreError::from)?.iter().map_err(StoreError::from)? {
            let (number, row) = row.map_err(StoreError::from)?;
            let number = VaultNo(number.value());
            let (id, name) = decode_vault_row(row.value())?;
            let keyring =
                keyrings.get(number.0).map_err(StoreError::from)?.ok_or(StoreError::Inconsistent)?;
            let keyring = Keyring::decode(keyring.value()).map_err(|_| StoreError::Inconsistent)?;
            let named = (id, name, logs.remove(&number).unwrap_or_default());
            let vault = self.load_vault(txn, number, named, keyring)?;
            self.vaults.insert(number, vault);
        }
        Ok(())
    }

    fn load_vault(
        &self,
        txn: &redb::ReadTransaction,
        number: VaultNo,
        (id, name, logs): (VaultId, String, BTreeMap<LogNo, LogInfo>),
        keyring: Keyring,
    ) -> Result<VaultState, Error> {
        let own_no =
            |public: &PublicKeyBytes| self.logs.number(&LogId::of(public)).ok_or(StoreError::Inconsistent);
        let logs_keys = &keyring.logs;
        let own = OwnLogNos {
            control: own_no(&logs_keys.control.public().into())?,
            data: own_no(&logs_keys.data.public().into())?,
        };
        let signer = signer_of(&keyring);
        let mut vault = VaultState {
            id,
            name,
            keyring,
            members: Members::new(id),
            logs,
            own,
            signer,
            next_batch: 0,
            quarantine_bytes: 0,
            probed: HashMap::new(),
            noted: HashMap::new(),
            named: HashMap::new(),
            held_until_ms: u64::MAX,
            may_seal: false,
        };
        vault.fold_control(txn)?;
        vault.next_batch = WaitingView::open(txn)?.next_batch(number)?;
        vault.quarantine_bytes = quarantine_bytes(txn, &vault)?;
        Ok(vault)
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
    let der = keyring.logs.data.to_pkcs8_der();
    SigningKey::new(KeyPair::from_stored(&der).expect("a key pair reads what it has written"))
}

impl VaultState {
    /// Prepares the key of the current data log for signing.
    pub(crate) fn renew_signer(&mut self) {
        self.signer = signer_of(&self.keyring);
    }

    /// Applies every stored control segment to the members.
    fn fold_control(&mut self, txn: &redb::ReadTransaction) -> Result<(), Error> {
        let heads = txn.open_table(HEADS).map_err(StoreError::from)?;
        let segments = txn.open_table(SEGMENTS).map_err(StoreError::from)?;
        let control = self.logs.iter().filter(|(_, log)| log.class == Some(Class::Control));
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

    /// Applies one control segment; one that does not open counts for nothing, and stays for later.
    pub(crate) fn fold_control_segment(
        &mut self,
        log: &LogId,
        prev: &Chain,
        segment: &SealedSegment,
    ) -> bool {
        let Some(data) = self.open_control(prev, segment) else { return false };
        self.members.apply(*log, segment.header().seq, &data).is_ok()
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
        Some(crate::seal::open(&self.id, prev, segment, key).ok()?.data)
    }
}

/// The logs of each vault whose keys are known, read in one go.
fn load_logs(txn: &redb::ReadTransaction) -> Result<BTreeMap<VaultNo, BTreeMap<LogNo, LogInfo>>, StoreError> {
    let mut logs: BTreeMap<VaultNo, BTreeMap<LogNo, LogInfo>> = BTreeMap::new();
    for row in txn.open_table(LOGS)?.iter()? {
        let (log, row) = row?;
        let row = LogRow::decode(row.value()).ok_or(StoreError::Inconsistent)?;
        if let Some((vault, public, class)) = row.known {
            let info = LogInfo { id: row.id, public, class };
            logs.entry(vault).or_default().insert(LogNo(log.value()), info);
        }
    }
    Ok(logs)
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

fn quarantine_bytes(txn: &redb::ReadTransaction, vault: &VaultState) -> Result<u64, StoreError> {
    let table = txn.open_table(QUARANTINE)?;
    let mut bytes = 0;
    for log in vault.logs.keys() {
        let (first, last) = (segment_key(*log, Seq(0)), segment_key(*log, Seq(u64::MAX)));
        for row in table.range::<&[u8; 12]>(&first..=&last)? {
            bytes += row?.1.value().len() as u64;
        }
    }
    Ok(bytes)
}
