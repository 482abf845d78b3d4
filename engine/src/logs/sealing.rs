//! Sealing: pending ops become segments, in one durable transaction (`docs/FORMAT.md`, "Sealing").
//!
//! It runs only when this open has compared its own heads with the relay's: a restored copy must find out before it
//! writes a second future of its logs. Only what stands in the segment table is ever sent.

use subrosa_model::merge::{GroupHead, LogNo};
use subrosa_model::seal::{Packed, Place, seal};
use subrosa_protocol::ids::{Chain, Pin, Seq, Signature, VaultId};
use subrosa_protocol::segment::{Class, GroupPlace, Kind};
use subrosa_store::error::StoreError;
use subrosa_store::keys::VaultNo;
use subrosa_store::logs::CheckedSegment;
use subrosa_store::unsealed::{BatchKind, BatchNo};

use crate::error::Error;
use crate::faults;
use crate::life::Core;
use crate::life::commit::Tx;
use crate::records::{by_time, decode_pending};

pub(crate) mod fill;

use fill::Filler;

/// Bytes of batches sealed in one transaction, but for whole ones: what is read and written for them fits into the
/// write buffer of the default cache, so that no page travels to the disk and back before the commit.
pub(crate) const SEAL_BYTES_MAX: u64 = 4 << 20;

/// What sealing did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sealed {
    /// Segments made.
    pub(crate) segments: u64,
    /// Whether ops are left for another call.
    pub(crate) more: bool,
}

impl Core {
    /// Seals what waits in a vault: its control entries, then its batches in their order, each a group.
    /// Nothing while the vault needs an update, or its statements are not here and checked: what was written stays pending.
    pub(crate) fn seal(&self, vault: &VaultId) -> Result<Sealed, Error> {
        let number = self.lock_state()?.vault_no(vault)?;
        if !self.with_vault(vault, |state| Ok(state.may_speak()))? {
            return Ok(Sealed::default());
        }
        if !self.read(|doors| doors.unsealed()?.any(number))? {
            self.lock_state()?.vaults.get_mut(&number).ok_or(Error::NoVault)?.may_seal = true;
            return Ok(Sealed::default());
        }
        self.write(|tx| {
            tx.vault_mut(number)?.may_seal = true;
            let before = tx.own_next(number)?;
            let more = tx.seal_batches(number)?;
            let segments = tx.own_next(number)?.0 - before.0;
            Ok(Sealed { segments, more })
        })
    }

    /// As [`Core::seal`], after what others cannot get from a relay otherwise.
    pub(crate) fn seal_for(&self, vault: &VaultId, relay: &Pin) -> Result<Sealed, Error> {
        let number = self.lock_state()?.vault_no(vault)?;
        self.put_right_late(number)?;
        let may_speak = self.with_vault(vault, |state| Ok(state.may_speak()))?;
        let carried = if may_speak { self.carry(number, relay)? } else { Sealed::default() };
        if carried.more {
            return Ok(carried);
        }
        let closed = if may_speak { self.close_old_logs(number, relay)? } else { 0 };
        let mut sealed = self.seal(vault)?;
        if may_speak && !sealed.more && !faults::NOTHING_SHOWN_AGAIN {
            sealed.more = self.repair(number)?;
        }
        Ok(Sealed { segments: carried.segments + closed + sealed.segments, ..sealed })
    }

    /// Whether an admin of a vault has written what must not be ignored and is not understood here.
    pub(crate) fn is_update_needed(&self, vault: &VaultId) -> Result<bool, Error> {
        self.with_vault(vault, |state| Ok(state.members.update_needed()))
    }

    /// Says that the relay is not at hand any more: writes stay pending, and are coalesced.
    pub(crate) fn stop_sealing(&self) {
        // A device that is closed seals nothing.
        let Ok(mut state) = self.lock_state() else { return };
        for vault in state.vaults.values_mut() {
            vault.may_seal = false;
        }
    }

    /// Number of records with pending ops, of bulk bodies, and of control entries that wait.
    pub(crate) fn pending(&self, vault: &VaultId) -> Result<u64, Error> {
        let number = self.lock_state()?.vault_no(vault)?;
        self.read(|doors| doors.unsealed()?.count(number))
    }
}

impl Tx<'_> {
    pub(crate) fn own_next(&self, vault: VaultNo) -> Result<Seq, Error> {
        let log = self.vault(vault)?.own.data;
        Ok(self.logs.head(log.into())?.map_or(Seq(0), |head| head.seq.next()))
    }

    /// Seals what waits: control entries, then batches, the open one too, oldest first, until enough is sealed for one transaction;
    /// says whether some are left.
    pub(crate) fn seal_batches(&mut self, vault: VaultNo) -> Result<bool, Error> {
        self.seal_entries(vault)?;
        self.close_batch(vault)?;
        let mut bytes = 0;
        while let Some((number, batch)) = self.unsealed.first_batch(vault)? {
            if bytes >= SEAL_BYTES_MAX {
                return Ok(true);
            }
            bytes += batch.bytes;
            match batch.kind {
                BatchKind::Open(_) => return Err(StoreError::Inconsistent.into()),
                BatchKind::Closed(head) => self.seal_batch(vault, number, head)?,
                BatchKind::Bulk => {
                    let rows = self.unsealed.take_bulk(vault, number)?;
                    let bodies: Option<Vec<_>> = rows.iter().map(|row| Packed::from_row(row)).collect();
                    self.seal_bodies(vault, bodies.ok_or(StoreError::Inconsistent)?.iter())?;
                }
            }
        }
        Ok(false)
    }

    /// Seals bodies as one group.
    pub(crate) fn seal_bodies<'b>(
        &mut self,
        vault: VaultNo,
        bodies: impl ExactSizeIterator<Item = &'b Packed>,
    ) -> Result<(), Error> {
        let count = bodies.len();
        for (index, body) in bodies.enumerate() {
            self.seal_data(vault, GroupPlace::of(index, count), body)?;
        }
        Ok(())
    }

    /// Seals the ops of a closed batch as one group, in the order of time.
    fn seal_batch(&mut self, vault: VaultNo, batch: BatchNo, head: GroupHead) -> Result<(), Error> {
        let rows = self.unsealed.take_ops(vault, batch)?;
        let collections = self.state.collections.clone();
        let mut ops = Vec::with_capacity(rows.len());
        for (key, row) in &rows {
            let collection = collections.name(key.collection()).ok_or(StoreError::Inconsistent)?;
            ops.extend(decode_pending(key.record(), collection, row)?.into_ops());
        }
        ops.sort_by(by_time);
        let (mut filler, mut sealed) = (Filler::new(head), 0);
        for op in &ops {
            filler.push(op);
            for body in filler.take_full() {
                self.seal_data(vault, GroupPlace::of(sealed, usize::MAX), &body)?;
                sealed += 1;
            }
        }
        let (rest, _) = filler.finish();
        for (body, index) in rest.iter().zip(sealed..) {
            self.seal_data(vault, GroupPlace::of(index, sealed + rest.len()), body)?;
        }
        Ok(())
    }

    /// Seals one body as the next segment of our data log.
    fn seal_data(&mut self, vault: VaultNo, group: GroupPlace, data: &Packed) -> Result<(), Error> {
        let log = self.vault(vault)?.own.data;
        self.seal_next(vault, log, Kind::DATA, group, data)
    }

    /// Seals one segment of a log of ours and stores it.
    pub(crate) fn seal_next(
        &mut self,
        vault: VaultNo,
        log: LogNo,
        kind: Kind,
        group: GroupPlace,
        data: &Packed,
    ) -> Result<(), Error> {
        let head = self.logs.head(log.into())?;
        let (seq, prev) = head.map_or((Seq(0), Chain::ZERO), |head| (head.seq.next(), head.chain));
        let entropy = self.core.options.entropy.clone();
        let state = self.vault(vault)?;
        if state.members.update_needed() {
            return Err(Error::UpdateNeeded);
        }
        let live = state.keyring.live_epoch();
        let info = state.logs.get(&log).ok_or(Error::NoVault)?;
        let place = Place { group, vault: state.id, prev, kind, log: info.id, seq, epoch: live.epoch };
        let sealed = match kind.class() {
            Class::Control => {
                let signer = &state.keyring.logs.control;
                seal(&place, data, (&live.control).into(), &*entropy, |label, payload| {
                    Signature::from_bytes(signer.sign(label, payload))
                })
            }
            Class::Data => {
                let key = live.key.as_deref().ok_or(Error::NotPermitted)?;
                let signer = &state.signer;
                seal(&place, data, key.into(), &*entropy, |label, payload| {
                    Signature::from_bytes(signer.sign(label, payload))
                })
            }
        };
        // What is ours is merged; in a control log, unless something before it was not taken in.
        let behind = head.filter(|head| kind.class() == Class::Control && head.merged <= head.seq);
        let merged = behind.map_or(seq.next(), |head| head.merged);
        Ok(self.logs.store_segment(log.into(), &CheckedSegment::sealed_here(sealed), merged)?)
    }
}
