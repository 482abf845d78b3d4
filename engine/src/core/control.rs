//! Vaults of this store: founding, joining, their control entries and keyrings.

use std::collections::HashMap;

use subrosa_protocol::ids::{Head, VaultId};
use subrosa_protocol::limits;
use subrosa_protocol::segment::Class;

use super::Core;
use super::commit::Tx;
use super::state::{OwnLogNos, VaultState, encode_vault_row, signer_of};
use crate::Error;
use crate::control::{Founding, Keyring, Members, certificate, found_vault};
use crate::merge::LogNo;
use crate::store::tables::VaultNo;

/// A vault about to be put into the store.
pub(crate) struct NewVault {
    pub(crate) id: VaultId,
    pub(crate) name: String,
    /// With log keys of this device's own.
    pub(crate) keyring: Keyring,
}

impl Core {
    /// Founds a vault; the first one is the home vault.
    pub(crate) fn create_vault(&self, name: &str) -> Result<VaultId, Error> {
        check_vault_name(name)?;
        self.write(|tx| {
            let home = tx.state.vaults.values().next();
            let founding = home.map_or(Founding::Home, |home| Founding::Beside(&home.keyring));
            let options = &tx.core.options;
            let founded = found_vault(tx.core.key(), &options.device_name, &founding, &*options.entropy)?;
            let id = founded.vault;
            let new = NewVault { id, name: name.to_owned(), keyring: founded.keyring };
            tx.add_vault(new, &founded.genesis_entries)?;
            Ok(id)
        })
    }

    /// Puts a vault into the store that this device was let into; its logs are certified at once.
    pub(crate) fn join_vault(&self, new: NewVault) -> Result<(), Error> {
        check_vault_name(&new.name)?;
        self.write(|tx| {
            let data = certificate(tx.core.key(), &new.id, &new.keyring.logs, Vec::new())?;
            tx.add_vault(new, &data)
        })
    }

    /// Appends control entries, made by `make` from the control heads that they cite, and waits until they are
    /// durable here.
    pub(crate) fn append_control(
        &self,
        vault: &VaultId,
        make: impl FnOnce(Vec<Head>) -> Result<Vec<u8>, Error>,
    ) -> Result<(), Error> {
        self.write(|tx| {
            let number = tx.state.vault_no(vault)?;
            let cited = tx.control_heads(number)?;
            tx.append_control(number, &make(cited)?)
        })?;
        self.notify_pending();
        Ok(())
    }

    /// Runs `f` on a vault's members and keyring.
    pub(crate) fn with_vault<R>(
        &self,
        vault: &VaultId,
        f: impl FnOnce(&VaultState) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let state = self.lock_state()?;
        let number = state.vault_no(vault)?;
        f(state.vaults.get(&number).ok_or(Error::NoVault)?)
    }
}

impl Tx<'_> {
    fn add_vault(&mut self, new: NewVault, control: &[u8]) -> Result<(), Error> {
        let taken = |vault: &VaultState| vault.name == new.name || vault.id == new.id;
        if self.state.vaults.values().any(taken) {
            return Err(Error::VaultExists);
        }
        let number = VaultNo(self.state.vaults.keys().next_back().map_or(0, |last| last.0 + 1));
        self.tables.vaults.insert(number.0, &encode_vault_row(&new.id, &new.name)[..])?;
        let none_yet = OwnLogNos { control: LogNo(u32::MAX), data: LogNo(u32::MAX) };
        let vault = VaultState {
            id: new.id,
            name: new.name,
            members: Members::new(new.id),
            logs: std::collections::BTreeMap::new(),
            own: none_yet,
            signer: signer_of(&new.keyring),
            keyring: new.keyring,
            next_batch: 0,
            quarantine_bytes: 0,
            probed: HashMap::new(),
            noted: HashMap::new(),
            named: HashMap::new(),
            may_seal: false,
        };
        self.touch(number);
        self.state.vaults.insert(number, vault);
        self.put_keyring(number)?;
        self.install_logs(number, control)?;
        Ok(())
    }

    /// Writes a vault's keyring to its row.
    pub(crate) fn put_keyring(&mut self, vault: VaultNo) -> Result<(), Error> {
        let row = self.vault(vault)?.keyring.encode();
        self.tables.keyrings.insert(vault.0, &row[..])?;
        Ok(())
    }

    /// Heads of the control logs that are known: what a new entry cites.
    pub(crate) fn control_heads(&self, vault: VaultNo) -> Result<Vec<Head>, Error> {
        let mut heads = Vec::new();
        for (log, info) in &self.vault(vault)?.logs {
            if info.class == Some(Class::Control)
                && let Some(head) = self.head(*log)?
            {
                heads.push(Head { log: info.id, seq: head.seq, chain: head.chain });
            }
        }
        Ok(heads)
    }
}

fn check_vault_name(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > limits::COLLECTION_NAME_BYTES_MAX || name.chars().any(char::is_control)
    {
        return Err(Error::VaultName);
    }
    Ok(())
}
