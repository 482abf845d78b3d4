//! Closing what this device wrote before: the last segment of an old log, at a relay's tip.
//!
//! Behind a closing segment nobody writes any more, so another copy of this store that goes on with the log finds out at once,
//! and a closed log is one that nobody need look after. It takes nothing back: whatever else the key signed is a branch.

use subrosa_model::carried::Closing;
use subrosa_model::keys::KeyPair;
use subrosa_model::merge::{LogNo, VaultNo};
use subrosa_model::seal::{Packed, Place, seal};
use subrosa_protocol::ids::{LogId, Pin, Signature};
use subrosa_protocol::segment::{Class, GroupPlace, Kind};
use subrosa_store::error::StoreError;
use subrosa_store::logs::{BranchNo, CheckedSegment};

use crate::error::Error;
use crate::life::Core;
use crate::life::commit::{Durable, Tx};
use crate::memory::cost::look_at_log;
use crate::memory::state::VaultState;

/// What is to be done with an old log at a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// The relay has a closing segment of it, or has gone on another way: another copy of this store looks after it.
    Done,
    /// Its branch at the relay can be closed.
    Close(BranchNo),
    /// The relay lacks something of it.
    Later,
}

impl Core {
    /// Closes the old logs of a vault at a relay that has all of its branch of them; how many segments that took.
    pub(crate) fn close_old_logs(&self, vault: VaultNo, relay: &Pin) -> Result<u64, Error> {
        let is_due =
            |state: &VaultState| !state.keyring.old_logs.is_empty() && state.branches.may_close(relay);
        if !self.lock_state()?.vaults.get(&vault).is_some_and(is_due) {
            return Ok(0);
        }
        // Losing it costs another try.
        self.write_with(Durable::Later, |tx| {
            let closed = tx.close_old_logs(vault, relay)?;
            tx.vault_mut(vault)?.branches.looked_to_close(*relay);
            Ok(closed)
        })
    }
}

impl Tx<'_> {
    fn close_old_logs(&mut self, vault: VaultNo, relay: &Pin) -> Result<u64, Error> {
        let mut closed = 0;
        let old = |tx: &Self, at: usize| -> Result<Option<(u32, [LogNo; 2])>, Error> {
            let Some(logs) = tx.vault(vault)?.keyring.old_logs.get(at) else { return Ok(None) };
            let number = |pair: &KeyPair| {
                let number = tx.state.logs.number(vault, &LogId::of(&pair.public().into()));
                number.ok_or(StoreError::Inconsistent)
            };
            Ok(Some((logs.incarnation, [number(&logs.control)?, number(&logs.data)?])))
        };
        let mut at = 0;
        while let Some((incarnation, logs)) = old(self, at)? {
            look_at_log();
            let mut is_done = true;
            for log in logs {
                match self.ending(vault, log, relay)? {
                    Ending::Done => {}
                    Ending::Later => is_done = false,
                    Ending::Close(branch) => {
                        is_done = false;
                        self.close_branch(vault, at, branch)?;
                        closed += 1;
                    }
                }
            }
            if is_done {
                self.vault_mut(vault)?.keyring.forget_old_logs(incarnation);
                self.put_keyring(vault)?;
            } else {
                at += 1;
            }
        }
        Ok(closed)
    }

    fn ending(&self, vault: VaultNo, log: LogNo, relay: &Pin) -> Result<Ending, Error> {
        let Some(theirs) = self.relays.head(relay, log)? else { return Ok(Ending::Later) };
        let found = self.find_held(vault, log, theirs.seq, |chain| *chain == theirs.chain)?;
        let Some((branch, _)) = found else { return Ok(Ending::Later) };
        let tip = self.logs.head(branch)?.ok_or(StoreError::Inconsistent)?;
        if tip.seq > theirs.seq {
            return Ok(Ending::Later);
        }
        if tip.closed {
            return Ok(Ending::Done);
        }
        for (refused, _) in self.refused(vault, log, relay)? {
            if self.logs.head(refused)?.is_some_and(|tip| tip.closed) {
                return Ok(Ending::Done);
            }
        }
        Ok(Ending::Close(branch))
    }

    /// Closes a branch of the logs that are the old ones at a place of the keyring.
    fn close_branch(&mut self, vault: VaultNo, at: usize, branch: BranchNo) -> Result<(), Error> {
        let tip = self.logs.head(branch)?.ok_or(StoreError::Inconsistent)?;
        let entropy = self.core.options.entropy.clone();
        let state = self.vault(vault)?;
        let info = state.info(branch).ok_or(StoreError::Inconsistent)?;
        let old = state.keyring.old_logs.get(at).ok_or(StoreError::Inconsistent)?;
        let live = state.keyring.live_epoch();
        let (kind, pair, key) = match info.class {
            Class::Control => (Kind::CONTROL_CLOSING, &old.control, (&live.control).into()),
            Class::Data => (Kind::CLOSING, &old.data, live.key.as_deref().ok_or(Error::NotPermitted)?.into()),
        };
        let place = Place {
            group: GroupPlace::Whole,
            vault: state.id,
            prev: tip.chain,
            kind,
            log: info.id,
            seq: tip.seq.next(),
            epoch: live.epoch,
        };
        let data = Packed::of(&Closing::default().encode());
        let sealed = seal(&place, &data, key, &*entropy, |label, payload| {
            Signature::from_bytes(pair.sign(label, payload))
        });
        let checked = CheckedSegment::sealed_here(sealed);
        if info.class == Class::Data {
            return self.store_data(vault, branch, &checked);
        }
        let merged = if tip.merged > tip.seq { place.seq.next() } else { tip.merged };
        Ok(self.logs.store_segment(branch, &checked, merged)?)
    }
}
