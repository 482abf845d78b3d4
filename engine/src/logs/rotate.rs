//! New logs for this device: after its store was restored from a copy, or when its clock was far ahead.
//!
//! What of the old data log nobody else is known to hold is issued again under the new log, with its original times;
//! the rest of the old log is foreign data from here on, and another copy of this store may go on writing it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use subrosa_model::control::{BirthError, ControlError, LogBirth, MemberChanges, OwnLogs, PrekeySecret};
use subrosa_model::keys::KeyPair;
use subrosa_model::merge::{BodyPlace, CheckedBody, LogMove, LogNo, PendingOps, RowBuf, Stamp, Tombstone};
use subrosa_model::seal::Packed;
use subrosa_model::wiped::Wiped;
use subrosa_protocol::ids::{LogId, Seq};
use subrosa_protocol::limits::INCARNATIONS_MAX;
use subrosa_protocol::segment::{Class, GroupPlace, Kind};
use subrosa_store::error::StoreError;
use subrosa_store::keys::{RecordKey, VaultNo};
use subrosa_store::logs::LogTip;
use subrosa_store::unsealed::BatchKind;

use crate::error::{Error, LifeError, PeerFault};
use crate::life::Core;
use crate::life::commit::Tx;
use crate::logs::batches::NewOps;
use crate::memory::cost::look_at_row;
use crate::memory::state::OwnLogNos;
use crate::records::{Before, decode_pending, decode_state};

/// How often a relay can make us open new logs before the store is opened again: it could lie about what it holds,
/// and a vault has room for a limited number of logs.
const ROTATIONS_PER_OPEN_MAX: u32 = 16;
/// From here on its word is not enough: a device has a limited number of logs in its life, and the rest is for other copies
/// of its store that were seen to write.
const UNPROVED_INCARNATIONS_MAX: u32 = INCARNATIONS_MAX / 2;

/// Logs to open, ready but for being stored.
pub(crate) struct NewLogs {
    logs: OwnLogs,
    prekey: PrekeySecret,
    /// Data of segment 0 of the control log.
    certificate: Vec<u8>,
}

#[cfg(test)]
impl NewLogs {
    /// Has the certificate say where logs begin.
    pub(crate) fn certify_bases(
        &mut self,
        core: &Core,
        vault: &subrosa_protocol::ids::VaultId,
        bases: &[(subrosa_protocol::ids::LogId, subrosa_protocol::ids::Base)],
    ) {
        use subrosa_model::control::{SignedEntry, decode_entries, encode_entries, with_bases};
        let [signed] = <[_; 1]>::try_from(decode_entries(&self.certificate).unwrap()).unwrap();
        let extensions = with_bases(signed.extensions, bases);
        let raised = SignedEntry::sign(core.key(), vault, signed.number, signed.entry, extensions).unwrap();
        self.certificate = encode_entries(&[raised]);
    }
}

/// The ops of one group to issue again, encoded as pending rows, by record.
type Unit = BTreeMap<RecordKey, Wiped>;

impl Core {
    /// Makes the keys of new logs for a vault, and has the device key sign for them. Before the turn: that key may have
    /// to ask a user, and nobody shall wait for that.
    ///
    /// # Errors
    /// [`BirthError::LogsUsedUp`]: nothing has changed.
    pub(crate) fn new_logs(&self, number: VaultNo) -> Result<NewLogs, Error> {
        let entropy = &*self.options.entropy;
        let (id, logs, admin) = {
            let state = self.lock_state()?;
            let vault = state.vaults.get(&number).ok_or(Error::NoVault)?;
            let admin = vault.keyring.admin.dangerous_to_pkcs8_der();
            (vault.id, vault.keyring.next_logs(entropy)?, KeyPair::from_stored(&admin)?)
        };
        let prekey = PrekeySecret::generate(&logs, entropy);
        let number = self.next_number(&id)?;
        let birth = LogBirth { vault: &id, number, logs: &logs, admin: &admin, prekey: &prekey };
        let certificate = birth.entries(self.key())?;
        Ok(NewLogs { logs, prekey, certificate })
    }

    /// New logs for every vault but those in which this device has had all its logs: there nothing can be sealed that
    /// another copy has sealed already, for its own head is compared first, and what is here can be read.
    pub(crate) fn new_logs_of_all(&self) -> Result<Vec<(VaultNo, NewLogs)>, Error> {
        let vaults: Vec<_> = self.lock_state()?.vaults.keys().copied().collect();
        let new = vaults.into_iter().map(|vault| match self.new_logs(vault) {
            Err(Error::Birth(BirthError::LogsUsedUp)) => {
                tracing::warn!("this device has had all its logs in a vault");
                Ok(None)
            }
            new => new.map(|new| Some((vault, new))),
        });
        new.filter_map(Result::transpose).collect()
    }

    /// Opens new logs for a vault, because the relay holds another future of the old ones.
    ///
    /// # Errors
    /// [`PeerFault::DisputedLogs`] when that has happened too often in this open, or has often happened and the relay shows
    /// nothing of that future; those of [`Tx::rotate_logs`].
    pub(crate) fn rotate_logs(&self, vault: &subrosa_protocol::ids::VaultId) -> Result<(), Error> {
        if self.rotations.fetch_add(1, Ordering::Relaxed) >= ROTATIONS_PER_OPEN_MAX {
            return Err(Error::Peer(PeerFault::DisputedLogs));
        }
        let number = {
            let state = self.lock_state()?;
            let number = state.vault_no(vault)?;
            let vault = state.vaults.get(&number).ok_or(Error::NoVault)?;
            let unproved = UNPROVED_INCARNATIONS_MAX..INCARNATIONS_MAX - 1;
            if !vault.own_log_shown && unproved.contains(&vault.keyring.logs.incarnation) {
                return Err(Error::Peer(PeerFault::DisputedLogs));
            }
            number
        };
        let new = self.new_logs(number)?;
        self.write(|tx| tx.rotate_logs(number, None, new))
    }
}

impl Tx<'_> {
    /// Opens new logs. With `restamp`, ops that are issued again get new times from that wall time on.
    ///
    /// # Errors
    /// [`LifeError::Busy`] when `new` do not follow the present logs: another link has opened new ones meanwhile.
    pub(crate) fn rotate_logs(
        &mut self,
        vault: VaultNo,
        restamp: Option<u64>,
        new: NewLogs,
    ) -> Result<(), Error> {
        let state = self.vault(vault)?;
        if state.keyring.logs.incarnation.saturating_add(1) != new.logs.incarnation {
            return Err(LifeError::Busy.into());
        }
        let old = state.own;
        let accepted = self.accepted(old.data)?;
        let whole = self.last_whole(old.data, accepted)?;
        let moved = self.take_moved(vault, old.data, whole)?;
        // Its future is what the others hold.
        self.logs.cut_log(old.data, accepted)?;
        if let Some(head) = self.logs.head(old.data)? {
            self.logs
                .put_head(old.data, &LogTip { merged: whole.map_or(head.base.seq, Seq::next), ..head })?;
        }
        let new = self.begin_logs(vault, new)?;
        self.reassign(vault, (old.data, new.data), &moved, restamp)?;
        tracing::info!(vault = %self.vault(vault)?.id, "new logs opened");
        Ok(())
    }

    /// The last segment of an own log that some relay is known to hold.
    fn accepted(&self, log: LogNo) -> Result<Option<Seq>, Error> {
        let mut accepted = None;
        for head in self.relays.heads_of(log) {
            look_at_row();
            accepted = accepted.max(head?.map(|head| head.seq));
        }
        Ok(accepted)
    }

    /// The last segment at or before `accepted` that ends a group: what a relay has of a group without its end is merged by
    /// nobody.
    fn last_whole(&self, log: LogNo, accepted: Option<Seq>) -> Result<Option<Seq>, Error> {
        let Some(head) = self.logs.head(log)? else { return Ok(None) };
        let mut last = accepted.map(|accepted| accepted.min(head.seq));
        while let Some(seq) = last {
            look_at_row();
            if self.logs.header(log, seq)?.ok_or(StoreError::Inconsistent)?.place.is_last() {
                break;
            }
            last = seq.0.checked_sub(1).map(Seq);
        }
        Ok(last)
    }

    /// Collects the ops to issue again, group by group, oldest first: what is sealed and not accepted, then what waits.
    fn take_moved(&mut self, vault: VaultNo, log: LogNo, accepted: Option<Seq>) -> Result<Vec<Unit>, Error> {
        let mut units = Vec::<Unit>::new();
        if let Some(head) = self.logs.head(log)? {
            for seq in accepted.map_or(0, |seq| seq.0 + 1)..=head.seq.0 {
                let place = self.place_of(log, Seq(seq))?;
                if place == BodyPlace::First || units.is_empty() {
                    units.push(Unit::new());
                }
                if let (Ok(body), Some(unit)) = (self.open_stored(vault, log, Seq(seq))?, units.last_mut()) {
                    self.add_body(vault, place, &body.data, unit)?;
                }
            }
        }
        while let Some((batch, row)) = self.unsealed.first_batch(vault)? {
            let unit = match row.kind {
                BatchKind::Bulk => {
                    let (mut unit, mut place) = (Unit::new(), BodyPlace::First);
                    for row in self.unsealed.take_bulk(vault, batch)? {
                        let body = Packed::from_row(&row).ok_or(StoreError::Inconsistent)?;
                        let body = body.unpack().map_err(|_| StoreError::Inconsistent)?;
                        self.add_body(vault, place, &body, &mut unit)?;
                        place = BodyPlace::once_more(GroupPlace::Middle);
                    }
                    unit
                }
                BatchKind::Open(_) | BatchKind::Closed(_) => {
                    self.unsealed.take_ops(vault, batch)?.into_iter().collect()
                }
            };
            units.push(unit);
        }
        self.batches_mut(vault)?.open = None;
        Ok(units)
    }

    /// Adds the ops of a body of ours to those of its group.
    fn add_body(
        &mut self,
        vault: VaultNo,
        place: BodyPlace,
        body: &[u8],
        unit: &mut Unit,
    ) -> Result<(), Error> {
        let body = CheckedBody::decode(body, place).map_err(|_| StoreError::Inconsistent)?;
        for op in body.ops() {
            let collection = self.intern_collection(vault, op.collection)?;
            let row = unit.entry(RecordKey::new(vault, collection, &op.record)).or_default();
            let earlier = std::mem::take(row);
            let mut pending = decode_pending(op.record, op.collection, &earlier)?;
            pending.push(op.clone());
            let mut encoded = Vec::new();
            pending.encode(&mut encoded);
            *row = Wiped::new(encoded);
        }
        Ok(())
    }

    /// Takes new log keys, and seals their certificate as segment 0 of the new control log.
    fn begin_logs(&mut self, vault: VaultNo, new: NewLogs) -> Result<OwnLogNos, Error> {
        self.vault_mut(vault)?.keyring.rotate_logs(new.logs, new.prekey);
        // The new data log has not named anything as seen.
        for log in self.vault(vault)?.logs.keys().copied().collect::<Vec<_>>() {
            self.logs.forget_said(log)?;
            self.vault_mut(vault)?.unsaid.insert(log);
        }
        self.put_keyring(vault)?;
        self.install_logs(vault, &new.certificate)
    }

    /// Registers the keyring's logs as ours and seals segment 0 of the control log.
    pub(crate) fn install_logs(&mut self, vault: VaultNo, data: &[u8]) -> Result<OwnLogNos, Error> {
        let (control, data_log) = {
            let logs = &self.vault(vault)?.keyring.logs;
            (logs.control.public().into(), logs.data.public().into())
        };
        let own = OwnLogNos {
            control: self.register_log(vault, &control, Class::Control)?,
            data: self.register_log(vault, &data_log, Class::Data)?,
        };
        let state = self.vault_mut(vault)?;
        state.own = own;
        state.own_log_shown = false;
        state.renew_signer();
        self.append_control(vault, data)?;
        Ok(own)
    }

    /// Seals control entries as the next segment of our control log and takes them in.
    pub(crate) fn append_control(&mut self, vault: VaultNo, data: &[u8]) -> Result<(), Error> {
        let log = self.vault(vault)?.own.control;
        self.seal_next(vault, log, Kind::CONTROL, GroupPlace::Whole, &Packed::of(data))?;
        let head = self.logs.head(log)?.ok_or(StoreError::Inconsistent)?;
        let state = self.vault_mut(vault)?;
        let id = state.logs.get(&log).ok_or(Error::NoVault)?.id;
        let changes = match state.members.apply(id, head.seq, data) {
            // Of a device that nobody has listed here yet: it counts when somebody does.
            Err(ControlError::TooManyWaiting { .. }) => MemberChanges::default(),
            changes => changes?,
        };
        state.member_changes += 1;
        self.admit_and_merge(vault, changes.logs_certified)
    }

    /// Rewrites the state of moved records, and lets their ops wait again, each group as one.
    fn reassign(
        &mut self,
        vault: VaultNo,
        (old, new): (LogNo, LogNo),
        units: &[Unit],
        restamp: Option<u64>,
    ) -> Result<(), Error> {
        let (old_id, new_id) = {
            let logs = &self.vault(vault)?.logs;
            let id = |log| logs.get(&log).map(|info| info.id).ok_or(Error::NoVault);
            (id(old)?, id(new)?)
        };
        let stamps = self.new_stamps(old_id, units, restamp)?;
        let stamped = |stamp: Stamp| stamps.get(&stamp).copied().unwrap_or(stamp);
        let moved: BTreeSet<RecordKey> = units.iter().flat_map(|unit| unit.keys().copied()).collect();
        let staying = self.staying(vault, old, &moved)?;
        let moving = |key: &RecordKey| LogMove { old: old_id, new: new_id, after: staying.get(key).copied() };
        let mut scratch = Vec::new();
        for key in &moved {
            let held = self.records.get(key)?.map(|stored| stored.row().to_buf());
            if let Some(held) = held {
                let mut state = decode_state(Some(held.borrow()))?;
                state.reassign_log(&moving(key), &self.state.logs.of(vault), stamped);
                let row = RowBuf::of(&state, &mut scratch);
                self.records.replace(key, Before::Row(held.borrow()), row.borrow())?;
            }
        }
        let collections = self.state.collections.clone();
        for unit in units {
            let (mut rows, mut ops, mut latest) = (Vec::with_capacity(unit.len()), 0, Stamp::default());
            for (key, row) in unit {
                let collection = collections.name(key.collection()).ok_or(StoreError::Inconsistent)?;
                let mut pending: PendingOps<'_> = decode_pending(key.record(), collection, row)?;
                pending.reassign_log(&moving(key), stamped);
                ops += pending.ops().len();
                latest = pending.ops().iter().map(|op| op.stamp).fold(latest, Stamp::max);
                let mut encoded = Vec::new();
                pending.encode(&mut encoded);
                rows.push((key, &**collection, Wiped::new(encoded)));
            }
            let rows = rows.iter().map(|(key, collection, row)| (*key, *collection, &row[..])).collect();
            if ops > 0 {
                self.queue(vault, &NewOps { rows, ops, latest })?;
            }
        }
        self.merge_again(vault, old, &moved)
    }

    /// New times for moved ops, in their old order; empty when times are kept.
    fn new_stamps(
        &mut self,
        old: LogId,
        units: &[Unit],
        restamp: Option<u64>,
    ) -> Result<BTreeMap<Stamp, Stamp>, Error> {
        let Some(now_ms) = restamp else { return Ok(BTreeMap::new()) };
        let mut named = BTreeMap::<Stamp, Vec<(LogId, Stamp)>>::new();
        for (key, row) in units.iter().flatten() {
            for op in decode_pending(key.record(), "-", row)?.ops() {
                let names = op.names().into_iter().flat_map(Tombstone::iter);
                named.entry(op.stamp).or_default().extend(names);
            }
        }
        let (mut stamps, mut last) = (BTreeMap::new(), Stamp::default());
        for (stamp, names) in named {
            // What moves is named by its new time, and what stays by the old one. An op is later than what it names.
            let moves = |log: &LogId, stamp| stamps.get(stamp).copied().filter(|_| *log == old);
            let names = names.iter().map(|(log, stamp)| moves(log, stamp).unwrap_or(*stamp));
            let before = names.fold(last, Stamp::max);
            last = self.state.clock.tick(now_ms).max(Stamp(before.0.saturating_add(1)));
            stamps.insert(stamp, last);
        }
        Ok(stamps)
    }

    /// Of each moved record, the stamp of its last op that stays in the old log.
    fn staying(
        &self,
        vault: VaultNo,
        old: LogNo,
        moved: &BTreeSet<RecordKey>,
    ) -> Result<BTreeMap<RecordKey, Stamp>, Error> {
        let mut staying = BTreeMap::new();
        self.for_each_op_of(vault, old, moved, |key, op| {
            let last = staying.entry(key).or_insert(op.stamp);
            *last = op.stamp.max(*last);
            Ok(())
        })?;
        Ok(staying)
    }

    /// Takes in once more what stays in the old log of moved records: cells that a moved op had replaced.
    fn merge_again(&mut self, vault: VaultNo, old: LogNo, moved: &BTreeSet<RecordKey>) -> Result<(), Error> {
        let mut rows: BTreeMap<RecordKey, RowBuf> = BTreeMap::new();
        let mut scratch = Vec::new();
        self.for_each_op_of(vault, old, moved, |key, op| {
            let row = match rows.remove(&key) {
                Some(row) => Some(row),
                None => self.records.get(&key)?.map(|stored| stored.row().to_buf()),
            };
            let mut state = decode_state(row.as_ref().map(RowBuf::borrow))?;
            state.apply(old, op, &self.state.logs.of(vault));
            rows.insert(key, RowBuf::of(&state, &mut scratch));
            Ok(())
        })?;
        for (key, row) in rows {
            self.records.replace(&key, Before::Stored, row.borrow())?;
        }
        Ok(())
    }

    /// Visits the ops on moved records in what is stored of a log.
    fn for_each_op_of(
        &self,
        vault: VaultNo,
        log: LogNo,
        moved: &BTreeSet<RecordKey>,
        mut visit: impl FnMut(RecordKey, &subrosa_model::merge::Op<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Some(head) = self.logs.head(log)? else { return Ok(()) };
        if moved.is_empty() {
            return Ok(());
        }
        for seq in 0..head.merged.0 {
            let Ok(body) = self.open_stored(vault, log, Seq(seq))? else { continue };
            let place = self.place_of(log, Seq(seq))?;
            let Ok(body) = CheckedBody::decode(&body.data, place) else { continue };
            for op in body.ops() {
                let Some(collection) = self.state.collections.number(vault, op.collection) else { continue };
                let key = RecordKey::new(vault, collection, &op.record);
                if moved.contains(&key) {
                    visit(key, op)?;
                }
            }
        }
        Ok(())
    }
}
