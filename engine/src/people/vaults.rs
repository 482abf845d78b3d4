//! Vaults of this store: founding, joining, their control entries and keyrings.

use subrosa_model::control::{DeviceRole, Founding, Keyring, LogBirth, SignedEntry, found_vault};
use subrosa_model::keys::PublicKey;
use subrosa_model::merge::LogNo;
use subrosa_protocol::addr::RelayAddr;
use subrosa_protocol::ids::{Head, VaultId};
use subrosa_protocol::limits;
use subrosa_store::error::StoreError;
use subrosa_store::keys::VaultNo;
use subrosa_store::vaults::VaultRow;

use crate::error::Error;
use crate::faults;
use crate::life::Core;
use crate::life::commit::Tx;
use crate::logs::entries::Queued;
use crate::memory::state::{OwnLogNos, VaultState};

/// A vault about to be put into the store.
pub(crate) struct NewVault {
    pub(crate) id: VaultId,
    pub(crate) name: String,
    /// With log keys of this device's own.
    pub(crate) keyring: Keyring,
}

/// A device that belongs to a vault.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// Its public key, which names it.
    pub public: PublicKey,
    /// What its user called it.
    pub name: String,
    /// What it may do.
    pub role: DeviceRole,
    /// Who let it in; `None` for the founder.
    pub added_by: Option<PublicKey>,
    /// Whether it is this one.
    pub is_this: bool,
}

impl Core {
    /// Notes where this device syncs; `None` for nowhere.
    pub(crate) fn set_relay(&self, relay: Option<&RelayAddr>) -> Result<(), Error> {
        let text = relay.map(RelayAddr::to_string).unwrap_or_default();
        self.write(|tx| Ok(tx.vaults.put_relay(&text)?))
    }

    /// Founds a vault; the first one is the home vault.
    pub(crate) fn create_vault(&self, name: &str) -> Result<VaultId, Error> {
        check_vault_name(name)?;
        let device_name = self.device_name()?.unwrap_or_default();
        loop {
            let home = self.recovery_of_home(name)?;
            let founding = home.map_or(Founding::Home, Founding::Beside);
            // Signed before the turn: the device key may have to ask a user, and nobody shall wait for that.
            let founded = found_vault(self.key(), &device_name, &founding, &*self.options.entropy)?;
            let id = founded.vault;
            let new = NewVault { id, name: name.to_owned(), keyring: founded.keyring };
            let added = self.write(|tx| {
                // Another thread has founded the home vault meanwhile: this one is to stand beside it.
                if tx.state.vaults.is_empty() != home.is_none() {
                    return Ok(false);
                }
                tx.add_vault(new, &founded.genesis_entries).map(|_| true)
            })?;
            if added {
                return Ok(id);
            }
        }
    }

    /// The recovery key of the home vault, if there is one; refuses a name that is taken.
    fn recovery_of_home(&self, new_name: &str) -> Result<Option<PublicKey>, Error> {
        let state = self.lock_state()?;
        if state.vaults.values().any(|vault| vault.name == new_name) {
            return Err(Error::VaultExists);
        }
        Ok(state.vaults.values().next().map(|home| home.keyring.recovery.public))
    }

    /// Puts the vault that this device was let into into a store made for it, which is finished with that. `frontier` is what the
    /// relay must show of it at least. `listing` is the word by which it was let in: it stands in this device's own log from the beginning,
    /// for the relay and who wrote it may both lose it.
    pub(crate) fn join_vault(
        &self,
        new: NewVault,
        listing: SignedEntry,
        frontier: &[Head],
    ) -> Result<(), Error> {
        check_vault_name(&new.name)?;
        let Keyring { logs, admin, prekeys, .. } = &new.keyring;
        let prekey = prekeys.last().ok_or(StoreError::Inconsistent)?;
        let birth = LogBirth { vault: &new.id, number: 0, logs, admin, prekey };
        let data = if faults::LISTING_NOT_KEPT {
            birth.entries(self.key())?
        } else {
            birth.entries_with_listing(self.key(), listing)?
        };
        self.write(|tx| {
            tx.vaults.put_name(&tx.core.options.device_name)?;
            let vault = tx.add_vault(new, &data)?;
            tx.expect_frontier(vault, frontier)
        })
    }

    /// Lets a control entry wait for sealing, made and signed by `make` with the number that it has among this device's, once it is
    /// durable here; it counts here from then on. `make` runs before the turn: two at once may have one number, and their
    /// hashes decide.
    pub(crate) fn append_control(
        &self,
        vault: &VaultId,
        make: impl FnOnce(u64) -> Result<SignedEntry, Error>,
    ) -> Result<Queued, Error> {
        let entry = make(self.next_number(vault)?)?;
        let rank = entry.rank();
        let place = self.write(|tx| {
            let number = tx.state.vault_no(vault)?;
            tx.queue_entry(number, entry.clone())
        })?;
        self.notify_pending();
        Ok(Queued { place, rank, entry })
    }

    /// The number of this device's next control entry in a vault.
    pub(crate) fn next_number(&self, vault: &VaultId) -> Result<u64, Error> {
        let public = self.public();
        self.with_vault(vault, |state| Ok(state.members.next_number(&public)))
    }
}

impl Tx<'_> {
    fn add_vault(&mut self, new: NewVault, control: &[u8]) -> Result<VaultNo, Error> {
        let taken = |vault: &VaultState| vault.name == new.name || vault.id == new.id;
        if self.state.vaults.values().any(taken) {
            return Err(Error::VaultExists);
        }
        let number = VaultNo(self.state.vaults.keys().next_back().map_or(0, |last| last.0 + 1));
        self.vaults.put_vault(number, &VaultRow { id: new.id, name: new.name.clone() })?;
        let none_yet = OwnLogNos { control: LogNo(u32::MAX), data: LogNo(u32::MAX) };
        let vault = VaultState::new(new.id, new.name, new.keyring, none_yet);
        self.touch(number);
        self.state.vaults.insert(number, vault);
        self.put_keyring(number)?;
        self.install_logs(number, control)?;
        Ok(number)
    }
}

fn check_vault_name(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > limits::COLLECTION_NAME_BYTES_MAX || name.chars().any(char::is_control)
    {
        return Err(Error::VaultName);
    }
    Ok(())
}
