//! New logs for this device: after another copy of its store was seen to write into the old ones, or when its clock was far ahead.
//!
//! What waits is sealed as the end of the old data log, under its key. That log is foreign data from here on, with several
//! futures, and another copy of this store may go on writing it.

use std::sync::PoisonError;

use subrosa_model::control::{CertifiedCaps, ControlError, LogBirth, MemberChanges, OwnLogs, PrekeySecret};
use subrosa_model::keys::KeyPair;
use subrosa_model::seal::Packed;
use subrosa_protocol::segment::{Class, GroupPlace, Kind};
use subrosa_store::error::StoreError;
use subrosa_store::keys::VaultNo;
use subrosa_store::logs::BranchNo;

use crate::error::{Error, LifeError, PeerFault};
use crate::faults;
use crate::life::Core;
use crate::life::commit::Tx;
use crate::life::gate::Turn;
use crate::memory::state::OwnLogNos;

/// How often new logs are opened in a vault before the store is opened again: a vault has room for a limited number of logs.
const ROTATIONS_PER_OPEN_MAX: u32 = 16;
/// Where a clock was put right so often in one opening, it is put right once in so many milliseconds from then on.
const PUT_RIGHT_EVERY_MS: u64 = 24 * 60 * 60 * 1000;

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

impl Core {
    /// Makes the keys of new logs for a vault, and has the device key sign for them. Before the turn: that key may have
    /// to ask a user, and nobody shall wait for that.
    ///
    /// # Errors
    /// [`BirthError::LogsUsedUp`]: nothing has changed.
    pub(crate) fn new_logs(&self, number: VaultNo) -> Result<NewLogs, Error> {
        self.new_logs_with_caps(number, &CertifiedCaps::default())
    }

    /// As [`Core::new_logs`]; their certificate sets caps.
    pub(crate) fn new_logs_with_caps(&self, number: VaultNo, caps: &CertifiedCaps) -> Result<NewLogs, Error> {
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
        let certificate = birth.entries_with_caps(self.key(), caps)?;
        Ok(NewLogs { logs, prekey, certificate })
    }

    /// Opens new logs for a vault, because another copy of this store has written into the old ones.
    ///
    /// # Errors
    /// [`PeerFault::DisputedLogs`] when nothing proves that, or when it has happened too often in this open; those of
    /// [`Tx::rotate_logs`].
    pub(crate) fn rotate_logs(&self, vault: &subrosa_protocol::ids::VaultId) -> Result<(), Error> {
        let number = {
            let state = self.lock_state()?;
            let number = state.vault_no(vault)?;
            let vault = state.vaults.get(&number).ok_or(Error::NoVault)?;
            if vault.members.update_needed() {
                return Err(Error::UpdateNeeded);
            }
            if !vault.own_log_shown {
                return Err(Error::Peer(PeerFault::DisputedLogs));
            }
            number
        };
        {
            let mut rotations = self.rotations.lock().unwrap_or_else(PoisonError::into_inner);
            let of_vault = rotations.entry(number).or_default();
            if *of_vault >= ROTATIONS_PER_OPEN_MAX {
                return Err(Error::Peer(PeerFault::DisputedLogs));
            }
            *of_vault += 1;
        }
        let new = self.new_logs(number)?;
        // As much as one transaction takes at a time; the last of it with the new logs.
        if !faults::PENDING_IN_NEW_LOGS {
            while self.write(|tx| tx.seal_batches(number))? {}
        }
        self.write(|tx| tx.rotate_logs(number, new))
    }

    /// Whether new logs may be opened for a vault because a clock is put right: often in one opening, and then once a day, so that a
    /// clock that is wrong and right again without end does not use up a device's logs.
    pub(crate) fn may_put_right(&self, vault: VaultNo, now_ms: u64) -> bool {
        let put_right = self.put_right.lock().unwrap_or_else(PoisonError::into_inner);
        put_right.get(&vault).is_none_or(|(count, last_ms)| {
            *count < ROTATIONS_PER_OPEN_MAX || now_ms.abs_diff(*last_ms) >= PUT_RIGHT_EVERY_MS
        })
    }

    /// New logs were opened for vaults because a clock was put right.
    pub(crate) fn note_put_right(&self, vaults: impl IntoIterator<Item = VaultNo>, now_ms: u64) {
        let mut put_right = self.put_right.lock().unwrap_or_else(PoisonError::into_inner);
        for vault in vaults {
            let (count, last_ms) = put_right.entry(vault).or_default();
            (*count, *last_ms) = (count.saturating_add(1), now_ms);
        }
    }

    /// [`faults::NEW_LOGS_AT_OPENING`].
    pub(crate) fn open_new_logs(&self, turn: &Turn) -> Result<(), Error> {
        let vaults: Vec<VaultNo> = self.lock_state()?.vaults.keys().copied().collect();
        for vault in vaults {
            let new = self.new_logs(vault)?;
            self.write_in_turn(turn, |tx| tx.repeat_in_new_logs(vault, new))?;
        }
        Ok(())
    }

    /// As [`Core::rotate_logs`], as if another copy of this store had shown itself.
    #[cfg(test)]
    pub(crate) fn rotate_at_once(&self, vault: &subrosa_protocol::ids::VaultId) -> Result<(), Error> {
        self.write(|tx| {
            let number = tx.state.vault_no(vault)?;
            tx.vault_mut(number)?.own_log_shown = true;
            Ok(())
        })?;
        self.rotate_logs(vault)
    }
}

impl Tx<'_> {
    /// Opens new logs. What waits becomes the end of the old ones, under their keys and with its stamps: it is a branch like
    /// others, and nothing of another one was merged before.
    ///
    /// # Errors
    /// [`LifeError::Busy`] when `new` do not follow the present logs: another link has opened new ones meanwhile.
    pub(crate) fn rotate_logs(&mut self, vault: VaultNo, new: NewLogs) -> Result<(), Error> {
        let state = self.vault(vault)?;
        if state.keyring.logs.incarnation.saturating_add(1) != new.logs.incarnation {
            return Err(LifeError::Busy.into());
        }
        let old = self.vault(vault)?.own;
        if !faults::PENDING_IN_NEW_LOGS && !faults::NEW_LOGS_AT_OPENING {
            while self.seal_batches(vault)? {}
        }
        self.begin_logs(vault, new)?;
        // From here on it is a log like others.
        self.vault_mut(vault)?.unsaid.insert(old.data.into());
        for log in [old.data, old.control] {
            let id = self.vault(vault)?.logs.get(&log).ok_or(StoreError::Inconsistent)?.id;
            self.look_for_loose(vault, &id, None)?;
        }
        tracing::info!(vault = %self.vault(vault)?.id, "new logs opened");
        self.merge_ready(vault)
    }

    /// [`faults::NEW_LOGS_AT_OPENING`]: what was sealed last is sealed once more in new logs.
    fn repeat_in_new_logs(&mut self, vault: VaultNo, new: NewLogs) -> Result<(), Error> {
        let old: BranchNo = self.vault(vault)?.own.data.into();
        self.rotate_logs(vault, new)?;
        let Some(last) = self.logs.head(old)?.map(|head| head.seq) else { return Ok(()) };
        let is_whole = self.logs.header(old, last)?.is_some_and(|header| header.place == GroupPlace::Whole);
        let Ok(body) = self.open_stored(vault, old, last)? else { return Ok(()) };
        if is_whole { self.seal_bodies(vault, [&Packed::of(&body.data)].into_iter()) } else { Ok(()) }
    }

    /// Takes new log keys, and seals their certificate as segment 0 of the new control log.
    fn begin_logs(&mut self, vault: VaultNo, new: NewLogs) -> Result<OwnLogNos, Error> {
        self.vault_mut(vault)?.keyring.rotate_logs(new.logs, new.prekey);
        // The new data log has not named anything as seen.
        let state = self.vault(vault)?;
        let all: Vec<_> = state.logs.keys().flat_map(|log| state.branches.of(*log)).collect();
        for branch in all {
            self.logs.forget_said(branch)?;
            self.vault_mut(vault)?.unsaid.insert(branch);
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
        state.on_its_way = None;
        state.own_log_shown = false;
        state.branches.change();
        state.renew_signer();
        self.append_control(vault, data)?;
        Ok(own)
    }

    /// Seals control entries as the next segment of our control log and takes them in.
    pub(crate) fn append_control(&mut self, vault: VaultNo, data: &[u8]) -> Result<(), Error> {
        let log = self.vault(vault)?.own.control;
        self.seal_next(vault, log, Kind::CONTROL, GroupPlace::Whole, &Packed::of(data))?;
        let head = self.logs.head(log.into())?.ok_or(StoreError::Inconsistent)?;
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
}
