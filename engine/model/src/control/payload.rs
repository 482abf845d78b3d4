//! What the known control entries say (`docs/FORMAT.md`, "Control entries").

use sha2::{Digest as _, Sha256};
use subrosa_protocol::codec::{DecodeError, Extensions, Reader, Writer};
use subrosa_protocol::ids::{PublicKeyBytes, VaultId};
use subrosa_protocol::labels;
use subrosa_protocol::limits::INCARNATIONS_MAX;

use super::entry::read_public;
use super::keyring::OwnLogs;
use super::name::{DeviceName, DeviceRole};
use super::prekey::SignedPrekey;
use crate::keys::{BadSignature, KeyPair, PublicKey};

/// The first entry of a vault. The SHA-256 of its payload and extensions is the genesis hash, part of the vault's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    /// `SHA-256(label | recovery public | nonce)`.
    pub recovery_commitment: [u8; 32],
    /// The first device, which is the entry's author too.
    pub founder: PublicKey,
    /// The founder's name.
    pub name: DeviceName,
    /// Random, so that no two vaults begin alike.
    pub nonce: [u8; 32],
}

/// A listed device lists another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceAdded {
    /// The new device.
    pub device: PublicKey,
    /// Its first prekey; the signature shows that the new device holds its key.
    pub prekey: SignedPrekey,
    /// Its name.
    pub name: DeviceName,
    /// What it may do.
    pub role: DeviceRole,
}

/// A device says which two logs are its own. Stands at seq 0 of the control log that it names, so that log's
/// key has signed it as well; the data log's key and the admin key sign in the proofs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogCertificate {
    /// The vault.
    pub vault: VaultId,
    /// The owner, which is the entry's author too.
    pub device: PublicKey,
    /// Counts the owner's pairs of logs, below [`INCARNATIONS_MAX`]; a restored copy may use a number twice.
    pub incarnation: u32,
    /// Signs the control log.
    pub control_log: PublicKeyBytes,
    /// Signs the data log.
    pub data_log: PublicKeyBytes,
    /// Signs statements and vouches for logs; the same in all certificates of a device.
    pub admin_key: PublicKeyBytes,
    /// What others seal to for this pair of logs.
    pub prekey: SignedPrekey,
    /// By the data log's key over the fields above, under [`labels::LOG_PROOF`]: nobody can claim the log of
    /// another.
    pub data_proof: [u8; 64],
    /// By the admin key over the same, under [`labels::ADMIN_PROOF`].
    pub admin_proof: [u8; 64],
}

impl Genesis {
    /// SHA-256 of payload and extensions.
    pub fn hash(&self, extensions: &Extensions) -> [u8; 32] {
        let mut w = Writer::with_capacity(512);
        self.write(&mut w);
        extensions.write(&mut w);
        Sha256::digest(w.finish()).into()
    }

    pub(super) fn write(&self, w: &mut Writer) {
        w.bytes(&self.recovery_commitment).bytes(self.founder.as_bytes());
        self.name.write(w);
        w.bytes(&self.nonce);
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            recovery_commitment: r.array()?,
            founder: read_public(r)?,
            name: DeviceName::read(r)?,
            nonce: r.array()?,
        })
    }
}

impl DeviceAdded {
    pub(super) fn write(&self, w: &mut Writer) {
        w.bytes(self.device.as_bytes());
        self.prekey.write(w);
        self.name.write(w);
        w.u8(self.role as u8);
    }

    /// `None` if role or suite belong to a newer version.
    pub(super) fn read(r: &mut Reader<'_>) -> Result<Option<Self>, DecodeError> {
        let device = read_public(r)?;
        let prekey = SignedPrekey::read(r)?;
        let name = DeviceName::read(r)?;
        let role = DeviceRole::from_wire(r.u8()?);
        let (Some(prekey), Some(role)) = (prekey, role) else { return Ok(None) };
        Ok(Some(Self { device, prekey, name, role }))
    }
}

impl LogCertificate {
    /// Fills in a certificate of `logs` and lets data log and admin key sign it.
    pub fn prove(
        vault: VaultId,
        device: PublicKey,
        logs: &OwnLogs,
        admin: &KeyPair,
        prekey: SignedPrekey,
    ) -> Self {
        let mut certificate = Self {
            vault,
            device,
            incarnation: logs.incarnation,
            control_log: logs.control.public().into(),
            data_log: logs.data.public().into(),
            admin_key: admin.public().into(),
            prekey,
            data_proof: [0; 64],
            admin_proof: [0; 64],
        };
        let proved = certificate.proved_bytes();
        certificate.data_proof = logs.data.sign(labels::LOG_PROOF, &proved);
        certificate.admin_proof = admin.sign(labels::ADMIN_PROOF, &proved);
        certificate
    }

    fn proved_bytes(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(512);
        w.bytes(self.vault.as_bytes()).bytes(self.device.as_bytes()).u32(self.incarnation);
        w.bytes(self.control_log.as_bytes()).bytes(self.data_log.as_bytes());
        w.bytes(self.admin_key.as_bytes());
        self.prekey.write(&mut w);
        w.finish()
    }

    pub(super) fn write(&self, w: &mut Writer) {
        w.bytes(&self.proved_bytes()).bytes(&self.data_proof).bytes(&self.admin_proof);
    }

    /// `None` if the suite of its prekey belongs to a newer version.
    pub(super) fn read(r: &mut Reader<'_>) -> Result<Option<Self>, DecodeError> {
        let vault = VaultId::from_bytes(r.array()?);
        let device = read_public(r)?;
        let incarnation = r.u32()?;
        if incarnation >= INCARNATIONS_MAX {
            return Err(DecodeError::TooLarge {
                what: "incarnation",
                announced: u64::from(incarnation),
                limit: u64::from(INCARNATIONS_MAX) - 1,
            });
        }
        let [control_log, data_log, admin_key] =
            [read_public(r)?, read_public(r)?, read_public(r)?].map(Into::into);
        let prekey = SignedPrekey::read(r)?;
        let (data_proof, admin_proof) = (r.array()?, r.array()?);
        Ok(prekey.map(|prekey| Self {
            vault,
            device,
            incarnation,
            control_log,
            data_log,
            admin_key,
            prekey,
            data_proof,
            admin_proof,
        }))
    }

    pub(super) fn verify_proofs(&self) -> Result<(), BadSignature> {
        let proved = self.proved_bytes();
        let proves = |public: &PublicKeyBytes, label, proof| {
            let public = PublicKey::from_sec1(public.as_bytes()).map_err(|_| BadSignature)?;
            public.verify(label, &proved, proof)
        };
        self.prekey.verify(&self.device)?;
        proves(&self.data_log, labels::LOG_PROOF, &self.data_proof)?;
        proves(&self.admin_key, labels::ADMIN_PROOF, &self.admin_proof)
    }
}
