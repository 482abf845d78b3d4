//! What devices of a newer version will do, and devices of simulations, for tests across packages. Only there with the feature `testing`; no part of the
//! API, and not for applications.

pub mod forging;
pub mod simulated;

use std::time::Duration;

use subrosa_model::control::{Entry, HeldStatements, SignedEntry, UnknownEntry, encode_entries};
use subrosa_model::entropy::OsEntropy;
use subrosa_model::keys::KeyPair;
use subrosa_model::seal::Packed;
use subrosa_protocol::codec::Extensions;
use subrosa_protocol::ids::Signature;
use subrosa_protocol::labels;
use subrosa_protocol::segment::{GroupPlace, Kind};
use subrosa_protocol::statement::{Signer, Statement};

use crate::error::{Error, PeerFault};
use crate::people::pairing::PairOffer;
use crate::vault::Vault;

/// Has this device write a control entry of a tag that no version knows; from 0x80 on it is critical. Its own memory learns of
/// it when the store is opened again.
///
/// # Errors
/// Those of a write.
pub fn write_unknown_entry(vault: &Vault, tag: u8) -> Result<(), Error> {
    let (core, id) = (&vault.core, vault.id());
    let entry = Entry::Unknown(UnknownEntry::new(tag, b"later".to_vec()));
    let signed = SignedEntry::sign(core.key(), &id, core.next_number(&id)?, entry, Extensions::new())?;
    let data = encode_entries(&[signed]);
    core.write(|tx| {
        let number = tx.state.vault_no(&id)?;
        let log = tx.vault(number)?.own.control;
        tx.seal_next(number, log, Kind::CONTROL, GroupPlace::Whole, &Packed::of(&data))
    })
}

/// Has this device, an admin, sign one more statement with the keys of the last one. The next link brings it to the relay.
///
/// # Errors
/// Those of a write.
pub fn sign_next_statement(vault: &Vault) -> Result<(), Error> {
    let id = vault.id();
    vault.core.write(|tx| {
        let number = tx.state.vault_no(&id)?;
        let keyring = &mut tx.vault_mut(number)?.keyring;
        let mut chain = keyring.statements.list().to_vec();
        let last = Statement::decode(keyring.statements.last()).map_err(|_| PeerFault::BadStatements)?;
        let (generation, previous) = (last.generation.next(), last.hash());
        let signer = Signer::Admin(keyring.admin.public().into());
        let mut next = Statement { generation, previous, signer, ..last };
        next.signature = Signature::from_bytes(keyring.admin.sign(labels::STATEMENT, &next.signed_bytes()));
        chain.push(next.encode());
        keyring.statements = HeldStatements::Whole(chain);
        tx.put_keyring(number)
    })
}

/// Has this device, an admin, sign a rival of its last statement which every relay prefers to that: with one admin more.
///
/// # Errors
/// Those of a write, and [`PeerFault::BadStatements`] without a chain of two.
pub fn replace_last_statement(vault: &Vault) -> Result<(), Error> {
    let id = vault.id();
    vault.core.write(|tx| {
        let number = tx.state.vault_no(&id)?;
        let keyring = &mut tx.vault_mut(number)?.keyring;
        let mut chain = keyring.statements.list().to_vec();
        let last = chain.pop().filter(|_| !chain.is_empty()).ok_or(PeerFault::BadStatements)?;
        let last = Statement::decode(&last).map_err(|_| PeerFault::BadStatements)?;
        let mut rival = last.clone();
        while rival.hash() >= last.hash() {
            rival.admins.clone_from(&last.admins);
            rival.admins.push(KeyPair::generate(&OsEntropy).public().into());
            let signature = keyring.admin.sign(labels::STATEMENT, &rival.signed_bytes());
            rival.signature = Signature::from_bytes(signature);
        }
        chain.push(rival.encode());
        keyring.statements = HeldStatements::Whole(chain);
        tx.put_keyring(number)
    })
}

/// How many statements this device holds, and whether they are the whole chain.
///
/// # Errors
/// [`Error::NoVault`], and those of a device's life.
pub fn statements_held(vault: &Vault) -> Result<(usize, bool), Error> {
    vault.core.with_vault(&vault.id(), |state| {
        let held = &state.keyring.statements;
        Ok((held.list().len(), held.whole().is_some()))
    })
}

/// How long the relay may take to acknowledge the word of a new device, instead of half a minute.
pub const fn set_push_wait(offer: &mut PairOffer, wait: Duration) {
    offer.push_wait = wait;
}
