//! Admins whom the control log lists and the last statement lacks: any admin who sees one adds it.
//!
//! A new device's admin key is known when its certificate is here, so whoever let it in extends the statement then; so does any
//! other admin who finds it missing later, as after a rival that knew nothing of it. Rivals of that are decided as all are
//! (`docs/PROTOCOL.md`, "Statements").

use subrosa_model::control::{DeviceRole, ListedDevice};
use subrosa_model::keys::PublicKey;
use subrosa_protocol::ids::{PublicKeyBytes, Signature, VaultId};
use subrosa_protocol::labels;
use subrosa_protocol::limits::{ADMINS_MAX, STATEMENTS_MAX};
use subrosa_protocol::statement::{Signer, Statement};

use crate::error::Error;
use crate::life::Core;
use crate::memory::state::VaultState;

impl Core {
    /// The statement that adds the admins whom the last one of `chain` lacks, if this device may sign it.
    pub(crate) fn extension(&self, vault: &VaultId, chain: &[Statement]) -> Result<Option<Statement>, Error> {
        if self.is_update_needed(vault)? {
            return Ok(None);
        }
        self.with_vault(vault, |state| Ok(extend(state, chain)))
    }
}

impl VaultState {
    /// Whether a device that this one let in is an admin and missing in the last statement, which this one may extend.
    pub(crate) fn lacks_admin_of(&self, own: &PublicKey) -> bool {
        let Ok(last) = Statement::decode(self.keyring.statements.last()) else { return false };
        let let_in = |device: &&ListedDevice| device.added_by.as_ref() == Some(own);
        let listed = self.members.devices().iter().filter(let_in);
        is_signer(self, &last) && admin_keys(self, listed).any(|key| !last.admins.contains(&key))
    }
}

fn extend(state: &VaultState, chain: &[Statement]) -> Option<Statement> {
    let last = chain.last().filter(|last| chain.len() < STATEMENTS_MAX && is_signer(state, last))?;
    // Whom a statement listed and a later one does not was taken out, and is not put back.
    let was_listed = |key: &PublicKeyBytes| chain.iter().any(|one| one.admins.contains(key));
    let mut admins = last.admins.clone();
    for key in admin_keys(state, state.members.devices().iter()) {
        if admins.len() < ADMINS_MAX && !was_listed(&key) && !admins.contains(&key) {
            admins.push(key);
        }
    }
    if admins.len() == last.admins.len() {
        return None;
    }
    let admin = &state.keyring.admin;
    let mut next = Statement {
        generation: last.generation.next(),
        previous: last.hash(),
        signer: Signer::Admin(admin.public().into()),
        admins,
        ..last.clone()
    };
    next.signature = Signature::from_bytes(admin.sign(labels::STATEMENT, &next.signed_bytes()));
    Some(next)
}

fn is_signer(state: &VaultState, last: &Statement) -> bool {
    last.admins.contains(&state.keyring.admin.public().into())
}

/// The admin keys of those devices that are admins, in their order, as far as their certificates are here.
fn admin_keys<'a>(
    state: &'a VaultState,
    devices: impl Iterator<Item = &'a ListedDevice>,
) -> impl Iterator<Item = PublicKeyBytes> {
    let admins = devices.filter(|device| device.role == DeviceRole::Admin);
    admins.filter_map(|device| state.members.admin_key(&device.public))
}
