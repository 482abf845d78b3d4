//! How vaults and logs begin (`docs/FORMAT.md` sections 6 and 7): the first control entries, keys and statement.

use subrosa_protocol::codec::Extensions;
use subrosa_protocol::ids::{Epoch, Generation, PublicKeyBytes, Signature, VaultId};
use subrosa_protocol::labels;
use subrosa_protocol::limits::CAPS_PER_CERTIFICATE_MAX;
use subrosa_protocol::statement::{Signer, Statement};

use super::{
    BirthError, CertifiedCaps, DeviceAdded, DeviceName, Entry, EpochSecrets, Genesis, HeldStatements,
    Keyring, LogCertificate, OwnLogs, PrekeySecret, RecoverySeed, SignedEntry, SignedPrekey, encode_entries,
    with_caps, with_prefix_caps,
};
use crate::entropy::Entropy;
use crate::keys::{KeyError, KeyPair, KeyProvider, PublicKey};

/// Which vault of a user is being founded.
pub enum Founding {
    /// The first: the recovery key is made with it.
    Home,
    /// A further one: it takes the recovery key of the home vault, under a nonce of its own.
    Beside(PublicKey),
}

/// A vault as it begins.
pub struct Founded {
    /// Its id.
    pub vault: VaultId,
    /// Its secrets; statement 0 is in it.
    pub keyring: Keyring,
    /// Data of the control log's segment 0: genesis, then the certificate of the founder's logs.
    pub genesis_entries: Vec<u8>,
    /// Statement of generation 0, encoded.
    pub statement: Vec<u8>,
}

/// Founds a vault.
///
/// # Errors
/// [`BirthError`]; nothing was made.
pub fn found_vault(
    device: &dyn KeyProvider,
    device_name: &str,
    founding: &Founding,
    entropy: &dyn Entropy,
) -> Result<Founded, BirthError> {
    let name = DeviceName::new(device_name)?;
    let recovery = match founding {
        Founding::Home => RecoverySeed::generate(entropy),
        Founding::Beside(public) => RecoverySeed { public: *public, nonce: entropy.array(), entropy: None },
    };
    let epoch = EpochSecrets::generate(Epoch(0), entropy);
    let logs = OwnLogs::generate(0, entropy);
    let admin = KeyPair::generate(entropy);
    let prekey = PrekeySecret::generate(&logs, entropy);
    let genesis = Genesis {
        recovery_commitment: recovery.commitment(),
        founder: device.public(),
        name,
        nonce: entropy.array(),
    };
    let genesis_hash = genesis.hash(&Extensions::new());
    let founder = PublicKeyBytes::from(admin.public());
    let vault = VaultId::derive(&genesis.recovery_commitment, &genesis_hash, &founder);
    let entry = Entry::Genesis(genesis);
    let genesis = SignedEntry::sign(device, &vault, 0, entry, Extensions::new())?;
    let birth = LogBirth { vault: &vault, number: 1, logs: &logs, admin: &admin, prekey: &prekey };
    let genesis_entries = encode_entries(&[genesis, birth.certificate(device, Extensions::new())?]);
    let statement = first_statement(vault, &epoch, &admin, recovery.commitment(), genesis_hash).encode();
    let keyring = Keyring {
        recovery,
        epochs: vec![epoch],
        logs,
        old_logs: Vec::new(),
        admin,
        prekeys: vec![prekey],
        statements: HeldStatements::Whole(vec![statement.clone()]),
        grants: Vec::new(),
    };
    Ok(Founded { vault, keyring, genesis_entries, statement })
}

/// A pair of logs that begins.
pub struct LogBirth<'a> {
    /// The vault.
    pub vault: &'a VaultId,
    /// Of the certificate, among the device's entries.
    pub number: u64,
    /// The logs.
    pub logs: &'a OwnLogs,
    /// The device's admin key.
    pub admin: &'a KeyPair,
    /// What others seal to for these logs.
    pub prekey: &'a PrekeySecret,
}

impl LogBirth<'_> {
    /// Data of segment 0 of the control log: the certificate of the device's two logs.
    ///
    /// # Errors
    /// [`KeyError`] of the device key.
    pub fn entries(&self, device: &dyn KeyProvider) -> Result<Vec<u8>, KeyError> {
        Ok(encode_entries(&[self.certificate(device, Extensions::new())?]))
    }

    /// As [`Self::entries`], with caps; of each kind the first [`CAPS_PER_CERTIFICATE_MAX`].
    ///
    /// # Errors
    /// [`KeyError`] of the device key.
    pub fn entries_with_caps(
        &self,
        device: &dyn KeyProvider,
        caps: &CertifiedCaps,
    ) -> Result<Vec<u8>, KeyError> {
        let own: Vec<_> =
            caps.own.iter().take(CAPS_PER_CERTIFICATE_MAX).map(|(log, step)| (*log, *step)).collect();
        let prefixes: Vec<_> = caps.prefixes.iter().take(CAPS_PER_CERTIFICATE_MAX).copied().collect();
        let mut extensions = Extensions::new();
        if !own.is_empty() {
            extensions = with_caps(extensions, &own).expect("so many ascending caps fit");
        }
        if !prefixes.is_empty() {
            extensions = with_prefix_caps(extensions, &prefixes).expect("so many ascending caps fit");
        }
        Ok(encode_entries(&[self.certificate(device, extensions)?]))
    }

    /// As [`Self::entries`], of the first logs of a device that was let in: with the word by which it was, so that whoever has its logs
    /// knows it.
    ///
    /// # Errors
    /// [`KeyError`] of the device key.
    pub fn entries_with_listing(
        &self,
        device: &dyn KeyProvider,
        listing: SignedEntry,
    ) -> Result<Vec<u8>, KeyError> {
        Ok(encode_entries(&[self.certificate(device, Extensions::new())?, listing]))
    }

    fn certificate(&self, device: &dyn KeyProvider, extensions: Extensions) -> Result<SignedEntry, KeyError> {
        let prekey = SignedPrekey::sign(device, self.prekey.number, self.prekey.pair.public())?;
        let body = LogCertificate::prove(*self.vault, device.public(), self.logs, self.admin, prekey);
        let entry = Entry::LogCertificate(Box::new(body));
        SignedEntry::sign(device, self.vault, self.number, entry, extensions)
    }
}

/// The entry that adds a device.
///
/// # Errors
/// [`KeyError`] of the device key.
pub fn device_added(
    device: &dyn KeyProvider,
    vault: &VaultId,
    number: u64,
    added: DeviceAdded,
) -> Result<SignedEntry, KeyError> {
    SignedEntry::sign(device, vault, number, Entry::DeviceAdded(added), Extensions::new())
}

fn first_statement(
    vault: VaultId,
    epoch: &EpochSecrets,
    admin: &KeyPair,
    recovery_commitment: [u8; 32],
    genesis_hash: [u8; 32],
) -> Statement {
    let read = epoch.read_key().expect("a new epoch has its key");
    let write = epoch.write.as_ref().expect("a new epoch has its write key");
    let founder = PublicKeyBytes::from(admin.public());
    let mut statement = Statement {
        vault,
        generation: Generation(0),
        epoch: epoch.epoch,
        read: read.public().into(),
        write: write.public().into(),
        admins: vec![founder],
        recovery_commitment,
        previous: genesis_hash,
        signer: Signer::Admin(founder),
        signature: Signature::ZERO,
    };
    let signature = admin.sign(labels::STATEMENT, &statement.signed_bytes());
    statement.signature = Signature::from_bytes(signature);
    statement
}

#[cfg(test)]
mod tests;
