//! How vaults and logs begin (`docs/FORMAT.md` sections 6 and 7): the first control entries, keys and statement.

use subrosa_protocol::ids::{Epoch, Generation, Head, PublicKeyBytes, Signature, VaultId};
use subrosa_protocol::labels;
use subrosa_protocol::statement::{Signer, Statement};

use super::{
    BirthError, ControlEntry, DeviceAdded, DeviceName, Entry, EpochSecrets, Genesis, Keyring, LogCertificate,
    OwnLogs, PrekeySecret, RecoverySeed, SignedEntry, SignedPrekey, encode_entries,
};
use crate::entropy::Entropy;
use crate::keys::{KeyError, KeyPair, KeyProvider, PublicKey};

/// Which vault of a user is being founded.
pub enum Founding {
    /// The first: recovery key and user secret are made with it.
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
    let (user_secret, recovery) = match founding {
        Founding::Home => (Some(entropy.secret()), RecoverySeed::generate(entropy)),
        Founding::Beside(public) => {
            (None, RecoverySeed { public: *public, nonce: entropy.array(), entropy: None })
        }
    };
    let epoch = EpochSecrets::generate(Epoch(0), entropy);
    let logs = OwnLogs::generate(0, entropy);
    let prekey = PrekeySecret { number: 0, pair: KeyPair::generate(entropy) };

    let genesis = Genesis {
        recovery_commitment: recovery.commitment(),
        founder: device.public(),
        prekey: SignedPrekey::sign(device, prekey.number, prekey.pair.public())?,
        name,
        nonce: entropy.array(),
    };
    let genesis_hash = genesis.hash();
    let vault = VaultId::derive(&genesis.recovery_commitment, &genesis_hash, &logs.control.public().into());
    let signed = SignedEntry::sign(device, &vault, Vec::new(), Entry::Genesis(genesis))?;
    let genesis_entries = encode_entries(&[
        ControlEntry::Known(Box::new(signed)),
        certificate_entry(device, &vault, &logs, Vec::new())?,
    ]);
    let statement = first_statement(vault, &epoch, &logs, recovery.commitment(), genesis_hash).encode();
    let keyring = Keyring {
        user_secret,
        recovery,
        epochs: vec![epoch],
        logs,
        old_control_logs: Vec::new(),
        prekeys: vec![prekey],
        statements: vec![statement.clone()],
        grants: Vec::new(),
    };
    Ok(Founded { vault, keyring, genesis_entries, statement })
}

/// Data of segment 0 of a control log: the certificate of a device's two logs.
///
/// # Errors
/// [`KeyError`] of the device key.
pub fn certificate(
    device: &dyn KeyProvider,
    vault: &VaultId,
    logs: &OwnLogs,
    cited: Vec<Head>,
) -> Result<Vec<u8>, KeyError> {
    Ok(encode_entries(&[certificate_entry(device, vault, logs, cited)?]))
}

/// Data of a control segment that adds a device.
///
/// # Errors
/// [`KeyError`] of the device key.
pub fn device_added(
    device: &dyn KeyProvider,
    vault: &VaultId,
    cited: Vec<Head>,
    added: DeviceAdded,
) -> Result<Vec<u8>, KeyError> {
    let signed = SignedEntry::sign(device, vault, cited, Entry::DeviceAdded(added))?;
    Ok(encode_entries(&[ControlEntry::Known(Box::new(signed))]))
}

fn certificate_entry(
    device: &dyn KeyProvider,
    vault: &VaultId,
    logs: &OwnLogs,
    cited: Vec<Head>,
) -> Result<ControlEntry, KeyError> {
    let control = logs.control.public();
    let certificate = LogCertificate::prove(*vault, device.public(), logs.incarnation, &control, &logs.data);
    let signed = SignedEntry::sign(device, vault, cited, Entry::LogCertificate(certificate))?;
    Ok(ControlEntry::Known(Box::new(signed)))
}

fn first_statement(
    vault: VaultId,
    epoch: &EpochSecrets,
    logs: &OwnLogs,
    recovery_commitment: [u8; 32],
    genesis_hash: [u8; 32],
) -> Statement {
    let read = epoch.read_key().expect("a new epoch has its key");
    let write = epoch.write.as_ref().expect("a new epoch has its write key");
    let founder = PublicKeyBytes::from(logs.control.public());
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
    let signature = logs.control.sign(labels::STATEMENT, &statement.signed_bytes());
    statement.signature = Signature::from_bytes(signature);
    statement
}

#[cfg(test)]
mod tests;
