//! Control entries on their way: signed, numbered, and in no segment yet (`docs/FORMAT.md`, "Entries that wait").
//!
//! They wait in a table until this open has compared heads with a relay, like everything that is sealed: a copy of a store must
//! find out that it is one before it writes a second future of its logs. At this device they count at once. An entry is the
//! same entry wherever it stands, so one that stands in a segment which others cannot get is let wait here once more.

use std::collections::HashSet;

use subrosa_model::control::{
    ControlError, Entry, EntryRank, MemberChanges, SignedEntry, decode_entries, encode_entries,
};
use subrosa_model::merge::{LogNo, VaultNo};
use subrosa_protocol::ids::{LogId, Pin, Seq, VaultId};
use subrosa_protocol::limits::{CONTROL_ENTRIES_MAX, ENTRIES_REPEATED_MAX};
use subrosa_protocol::segment::{Class, SealedSegment};
use subrosa_store::error::StoreError;
use subrosa_store::unsealed::{EntryPlace, EntryRow, UnsealedView};

use crate::error::Error;
use crate::life::Core;
use crate::life::commit::Tx;
use crate::life::gate::Turn;
use crate::memory::fold::BEYOND_IMAGE_MAX;
use crate::memory::open_batch::OnItsWay;
use crate::memory::state::VaultState;

/// An entry that was let wait.
#[derive(Clone, Debug)]
pub(crate) struct Queued {
    /// Where it waits until it is sealed.
    pub(crate) place: EntryPlace,
    /// By which it is known in whatever segment.
    pub(crate) rank: EntryRank,
    /// As it is written.
    pub(crate) entry: SignedEntry,
}

/// Data of control segments of several entries: less than a page, so that what follows soon shares it.
const ENTRIES_BYTES: usize = 48 << 10;

impl Tx<'_> {
    /// Lets an entry that this device has just signed wait for sealing. It counts here from now on.
    ///
    /// # Errors
    /// [`Error::UpdateNeeded`]: nothing is written any more in this vault.
    pub(crate) fn queue_entry(&mut self, vault: VaultNo, entry: SignedEntry) -> Result<EntryPlace, Error> {
        if self.vault(vault)?.members.update_needed() {
            return Err(Error::UpdateNeeded);
        }
        self.let_entry_wait(vault, entry)
    }

    /// Lets entries that were signed before, by whatever device of the vault, wait for sealing once more, byte for byte: they stand in
    /// segments that others cannot get. Passed over are those that wait already or stand in the control log that this device writes
    /// now, and certificates and geneses, which have their places. How many found no room: they can be repeated at a later open.
    ///
    /// # Errors
    /// [`Error::Control`] if one does not hold.
    pub(crate) fn repeat_entries(
        &mut self,
        vault: VaultNo,
        entries: Vec<SignedEntry>,
    ) -> Result<usize, Error> {
        let mut left_out = 0;
        for entry in entries {
            let has_a_place = matches!(entry.entry, Entry::Genesis(_) | Entry::LogCertificate(_));
            let on_its_way = self.on_its_way(vault)?;
            if has_a_place || on_its_way.ranks.contains(&entry.rank()) {
                continue;
            }
            if on_its_way.waiting >= ENTRIES_REPEATED_MAX {
                left_out += 1;
                continue;
            }
            self.let_entry_wait(vault, entry)?;
        }
        if left_out > 0 {
            tracing::warn!(left_out, "entries that others lack found no room among those that wait");
        }
        Ok(left_out)
    }

    /// Repeats the entries of stored control segments that others cannot get, as [`Tx::repeat_entries`] does. What does not open
    /// here, or does not hold, is passed over.
    pub(crate) fn repeat_segments<'s>(
        &mut self,
        vault: VaultNo,
        segments: impl IntoIterator<Item = &'s SealedSegment>,
    ) -> Result<usize, Error> {
        let state = self.vault(vault)?;
        let mut entries = Vec::new();
        for segment in segments {
            let of_segment = state.entries_in(segment).unwrap_or_default();
            entries.extend(of_segment.into_iter().filter(|entry| entry.verify(&state.id).is_ok()));
        }
        self.repeat_entries(vault, entries)
    }

    /// Seals the entries that wait as segments of our control log, in their order.
    pub(crate) fn seal_entries(&mut self, vault: VaultNo) -> Result<(), Error> {
        let rows = self.unsealed.entries(vault)?;
        if rows.is_empty() {
            return Ok(());
        }
        let mut rest = &rows[..];
        while !rest.is_empty() {
            let (mut entries, mut bytes) = (Vec::new(), 0);
            let share = rest.iter().take_while(|row| {
                bytes += row.data.len();
                bytes <= ENTRIES_BYTES.max(row.data.len())
            });
            let (now, later) = rest.split_at(share.take(CONTROL_ENTRIES_MAX).count());
            for EntryRow { place, data } in now {
                entries.extend(decoded(data)?);
                self.unsealed.forget_entry(vault, *place)?;
            }
            self.append_control(vault, &encode_entries(&entries))?;
            rest = later;
        }
        if let Some(on_its_way) = &mut self.vault_mut(vault)?.on_its_way {
            on_its_way.waiting = 0;
        }
        Ok(())
    }

    fn let_entry_wait(&mut self, vault: VaultNo, entry: SignedEntry) -> Result<EntryPlace, Error> {
        let (rank, data) = (entry.rank(), encode_entries(&[entry]));
        let place = self.unsealed.put_entry(vault, &data)?;
        let state = self.vault_mut(vault)?;
        if let Some(on_its_way) = &mut state.on_its_way {
            on_its_way.ranks.insert(rank);
            on_its_way.waiting += 1;
        }
        let certified = state.count_waiting_entry(&data)?;
        self.admit_and_merge(vault, certified)?;
        Ok(place)
    }

    /// What need not be repeated.
    fn on_its_way(&mut self, vault: VaultNo) -> Result<&OnItsWay, Error> {
        if self.vault(vault)?.on_its_way.is_none() {
            let own = self.vault(vault)?.own.control;
            let rows = self.unsealed.entries(vault)?;
            let mut ranks: HashSet<EntryRank> = self.entries_in_log(vault, own)?.into_iter().collect();
            for row in &rows {
                ranks.extend(decoded(&row.data)?.iter().map(SignedEntry::rank));
            }
            self.vault_mut(vault)?.on_its_way = Some(OnItsWay { ranks, waiting: rows.len() });
        }
        Ok(self.vault(vault)?.on_its_way.as_ref().ok_or(StoreError::Inconsistent)?)
    }

    /// The ranks of the entries in a control log of ours.
    fn entries_in_log(&self, vault: VaultNo, log: LogNo) -> Result<Vec<EntryRank>, Error> {
        let Some(head) = self.logs.head(log.into())? else { return Ok(Vec::new()) };
        let (state, mut ranks) = (self.vault(vault)?, Vec::new());
        for seq in head.base.seq.0..=head.seq.0 {
            let checked = self.logs.segment(log.into(), Seq(seq))?;
            let checked = checked.ok_or(StoreError::Inconsistent)?;
            ranks.extend(
                state.entries_in(checked.segment()).unwrap_or_default().iter().map(SignedEntry::rank),
            );
        }
        Ok(ranks)
    }
}

impl Core {
    /// Whether a relay has acknowledged a segment of the control log that this device writes which has an entry.
    pub(crate) fn is_entry_acknowledged(
        &self,
        vault: &VaultId,
        relay: &Pin,
        entry: &EntryRank,
    ) -> Result<bool, Error> {
        self.with_vault(vault, |state| {
            self.read(|doors| {
                let (logs, own) = (doors.logs()?, state.own.control);
                let (Some(held), Some(at_relay)) =
                    (logs.head(own.into())?, doors.relays()?.head(relay, own)?)
                else {
                    return Ok(false);
                };
                // What is new is at the end.
                for seq in (held.base.seq.0..=held.seq.min(at_relay.seq).0).rev() {
                    for segment in logs.segments(own.into(), Seq(seq)..=Seq(seq))? {
                        let entries = state.entries_in(segment?.segment()).unwrap_or_default();
                        if entries.iter().any(|of_segment| of_segment.rank() == *entry) {
                            return Ok(true);
                        }
                    }
                }
                Ok(false)
            })
        })
    }

    /// Takes an entry back that is in no segment, so that nobody else can have heard of it; `false` if it is in one by now, or was taken
    /// back before.
    pub(crate) fn withdraw_entry(&self, vault: &VaultId, place: EntryPlace) -> Result<bool, Error> {
        let withdrawn = self.write(|tx| {
            let number = tx.state.vault_no(vault)?;
            let withdrawn = tx.unsealed.forget_entry(number, place)?;
            if withdrawn {
                // An image may have been written that has it.
                tx.vaults.forget_members(number)?;
            }
            Ok(withdrawn)
        })?;
        if withdrawn {
            // What has counted does not go by itself: members are folded anew.
            self.reload()?;
        }
        Ok(withdrawn)
    }

    /// Writes images of members anew that lack much: an opening shall cost what has changed since the last one.
    pub(crate) fn keep_images(&self, turn: &Turn) -> Result<(), Error> {
        let lacking: Vec<VaultNo> = {
            let state = self.lock_state()?;
            let lacking = state.vaults.iter().filter(|(_, vault)| vault.beyond_image >= BEYOND_IMAGE_MAX);
            lacking.map(|(number, _)| *number).collect()
        };
        if lacking.is_empty() {
            return Ok(());
        }
        self.write_in_turn(turn, |tx| {
            for vault in &lacking {
                let image = tx.vault(*vault)?.image(|log| tx.logs.head(log))?;
                tx.vaults.put_members(*vault, &image)?;
                tx.vault_mut(*vault)?.beyond_image = 0;
            }
            Ok(())
        })
    }
}

impl VaultState {
    /// Has an entry that waits count here: as if it stood in our control log.
    pub(crate) fn count_waiting_entry(&mut self, data: &[u8]) -> Result<Vec<LogId>, Error> {
        let log = self.logs.get(&self.own.control).ok_or(Error::NoVault)?.id;
        let changes = match self.members.apply_waiting(log, data) {
            // Of a device that nobody has listed here yet: it counts when somebody does.
            Err(ControlError::TooManyWaiting { .. }) => MemberChanges::default(),
            changes => changes?,
        };
        self.member_changes += 1;
        Ok(changes.logs_certified)
    }

    /// Has the entries count again that wait, when the store is opened.
    pub(crate) fn load_entries(&mut self, unsealed: &UnsealedView, number: VaultNo) -> Result<(), Error> {
        let log = self.logs.get(&self.own.control).ok_or(StoreError::Inconsistent)?.id;
        for EntryRow { data, .. } in unsealed.entries(number)? {
            if let Err(error) = self.members.apply_waiting_checked(log, &data) {
                tracing::warn!(%log, %error, "a control entry that waits does not count");
            }
        }
        Ok(())
    }

    /// The entries of a control segment, if it opens here.
    fn entries_in(&self, segment: &SealedSegment) -> Option<Vec<SignedEntry>> {
        if segment.header().kind.class() != Class::Control {
            return None;
        }
        decode_entries(&self.open_control(segment)?).ok()
    }
}

/// The store has authenticated them, and they were encoded here.
fn decoded(data: &[u8]) -> Result<Vec<SignedEntry>, StoreError> {
    decode_entries(data).map_err(|_| StoreError::Inconsistent)
}
