//! The secrets that one device keeps about one vault, and their bytes in the store (`docs/FORMAT.md`, "Keyring").

use std::sync::Arc;

use subrosa_protocol::codec::{DecodeError, Reader, Writer};
use subrosa_protocol::ids::{Epoch, Generation, LogId, Pin};
use subrosa_protocol::limits::{INCARNATIONS_MAX, STATEMENT_BYTES_MAX, STATEMENTS_MAX, TOKEN_BYTES_MAX};
use subrosa_protocol::statement::{Statement, recovery_commitment};
use zeroize::Zeroizing;

use crate::control::entry::read_public;
use crate::control::error::BirthError;
use crate::control::prekey::PREKEY_SUITE;
use crate::entropy::Entropy;
use crate::keys::secret::{ControlKey, EpochKey, RecoveryEntropy};
use crate::keys::{KeyPair, PublicKey};

/// Everything secret that one device keeps about one vault, and the statements that go with it.
///
/// Wiped on drop; `Debug` prints counts only. [`Self::encode`] is its form in the sealed store, and its only way
/// out of memory.
pub struct Keyring {
    /// What the vault's recovery commitment commits to.
    pub recovery: RecoverySeed,
    /// One for each epoch whose control key is known, by rising epoch; never empty. The last one is live.
    pub epochs: Vec<EpochSecrets>,
    /// The logs that this device writes now.
    pub logs: OwnLogs,
    /// Logs that it wrote before and that are to be closed, oldest first.
    pub old_logs: Vec<OwnLogs>,
    /// Signs statements and vouches for logs; kept when logs are replaced.
    pub admin: KeyPair,
    /// This device's prekeys, newest last.
    pub prekeys: Vec<PrekeySecret>,
    /// What relays are told of the members.
    pub statements: HeldStatements,
    /// What relays granted this vault, by the pin of the relay; each pin once.
    pub grants: Vec<(Pin, Vec<u8>)>,
}

/// The recovery key, as far as a device knows it.
pub struct RecoverySeed {
    /// The recovery public key.
    pub public: PublicKey,
    /// Makes the commitments of two vaults differ.
    pub nonce: [u8; 16],
    /// What the recovery key derives from: only in the home vault, at its founder, and until the user has confirmed the
    /// words. It is never handed to another device.
    pub entropy: Option<RecoveryEntropy>,
}

/// The keys of one epoch.
pub struct EpochSecrets {
    /// Its number.
    pub epoch: Epoch,
    /// Seals data. `None` once it is shredded, or when it has never been here.
    pub key: Option<Arc<EpochKey>>,
    /// Seals control segments; outlives the epoch key.
    pub control: ControlKey,
    /// Proves a writer; `None` for readers and for epochs that are over.
    pub write: Option<KeyPair>,
}

/// The keys of a device's two logs.
pub struct OwnLogs {
    /// Which pair of logs of this device they are.
    pub incarnation: u32,
    /// Signs control segments.
    pub control: KeyPair,
    /// Signs data segments.
    pub data: KeyPair,
}

/// The secret half of a prekey.
pub struct PrekeySecret {
    /// The control log of the pair of logs that it belongs to.
    pub log: LogId,
    /// Its number among those of that pair.
    pub number: u32,
    /// The pair, of the one suite that there is.
    pub pair: KeyPair,
}

/// The statements of a vault that a device holds, each encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeldStatements {
    /// The whole chain from generation 0; never empty.
    Whole(Vec<Vec<u8>>),
    /// Only the last one, as a pairing brings it. A relay has the chain; before it is here and checked, nothing is sealed
    /// or pushed, and no vault created.
    Last(Vec<u8>),
}

impl HeldStatements {
    /// The last one.
    pub fn last(&self) -> &[u8] {
        match self {
            Self::Whole(chain) => chain.last().expect("a chain has a generation 0"),
            Self::Last(statement) => statement,
        }
    }

    /// What a pairing brings: the last statement of a vault. One of generation 0 is the whole chain.
    pub fn received(last: Vec<u8>) -> Self {
        match Statement::decode(&last) {
            Ok(statement) if statement.generation == Generation(0) => Self::Whole(vec![last]),
            _ => Self::Last(last),
        }
    }

    /// The whole chain; `None` while only its last statement is here.
    pub fn whole(&self) -> Option<&[Vec<u8>]> {
        match self {
            Self::Whole(chain) => Some(chain),
            Self::Last(_) => None,
        }
    }

    /// What is here: the chain, or its last statement.
    pub fn list(&self) -> &[Vec<u8>] {
        match self {
            Self::Whole(chain) => chain,
            Self::Last(statement) => std::slice::from_ref(statement),
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let whole = r.u8()?;
        let mut list = read_list(r, "statements", STATEMENTS_MAX, 4, |r| {
            r.prefixed("statement", STATEMENT_BYTES_MAX).map(<[u8]>::to_vec)
        })?;
        match (whole, list.len()) {
            (0, 1) => Ok(Self::Last(list.remove(0))),
            (1, 1..) => Ok(Self::Whole(list)),
            (0 | 1, _) => Err(DecodeError::Invalid { what: "statements" }),
            (other, _) => Err(DecodeError::Unknown { what: "wholeness", value: u64::from(other) }),
        }
    }
}

impl PrekeySecret {
    /// The first prekey of a pair of logs.
    pub fn generate(logs: &OwnLogs, entropy: &dyn Entropy) -> Self {
        let log = LogId::of(&logs.control.public().into());
        Self { log, number: 0, pair: KeyPair::generate(entropy) }
    }
}

/// A keyring that does not decode. The store hands out only what was written, so it is of a newer version, or a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("keyring does not parse: {0}")]
pub struct KeyringError(#[from] DecodeError);

impl EpochSecrets {
    /// A new epoch with random keys.
    pub fn generate(epoch: Epoch, entropy: &dyn Entropy) -> Self {
        Self::live(epoch, EpochKey::generate(entropy), Some(KeyPair::generate(entropy)))
    }

    /// An epoch whose key is here.
    pub fn live(epoch: Epoch, key: EpochKey, write: Option<KeyPair>) -> Self {
        let control = key.control();
        Self { epoch, key: Some(Arc::new(key)), control, write }
    }

    /// Proves a reader; computed at each call, about 100 microseconds. `None` without the epoch key.
    pub fn read_key(&self) -> Option<KeyPair> {
        self.key.as_deref().map(EpochKey::read_key)
    }
}

impl OwnLogs {
    /// Two new logs.
    pub fn generate(incarnation: u32, entropy: &dyn Entropy) -> Self {
        Self { incarnation, control: KeyPair::generate(entropy), data: KeyPair::generate(entropy) }
    }
}

impl RecoverySeed {
    /// A new recovery key.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let seed = RecoveryEntropy::generate(entropy);
        let public = seed.key().public();
        Self { public, nonce: entropy.array(), entropy: Some(seed) }
    }

    /// Whether the entropy, if it is here, gives the public key.
    pub fn entropy_fits(&self) -> bool {
        let derived = self.entropy.as_ref().map(|seed| seed.key().public());
        derived.is_none_or(|public| public == self.public)
    }

    /// What statements and the genesis carry.
    pub fn commitment(&self) -> [u8; 32] {
        recovery_commitment(&self.public.into(), &self.nonce)
    }
}

impl Keyring {
    /// The live epoch.
    pub fn live_epoch(&self) -> &EpochSecrets {
        self.epochs.last().expect("a keyring has at least one epoch")
    }

    /// The keys of one epoch.
    pub fn epoch(&self, epoch: Epoch) -> Option<&EpochSecrets> {
        let at = self.epochs.binary_search_by_key(&epoch, |secrets| secrets.epoch).ok()?;
        self.epochs.get(at)
    }

    /// The key under which data of an epoch is sealed.
    pub fn data_key(&self, epoch: Epoch) -> Option<&EpochKey> {
        self.epoch(epoch)?.key.as_deref()
    }

    /// The key under which control segments of an epoch are sealed.
    pub fn control_key(&self, epoch: Epoch) -> Option<&ControlKey> {
        self.epoch(epoch).map(|secrets| &secrets.control)
    }

    /// The grant of one relay.
    pub fn grant(&self, relay: &Pin) -> Option<&[u8]> {
        self.grants.iter().find(|(pin, _)| pin == relay).map(|(_, grant)| grant.as_slice())
    }

    /// Keeps a relay's grant in place of the one before; `false` when it is known, or is no grant by its size.
    pub fn keep_grant(&mut self, relay: Pin, grant: &[u8]) -> bool {
        if grant.len() > TOKEN_BYTES_MAX || self.grant(&relay) == Some(grant) {
            return false;
        }
        self.grants.retain(|(pin, _)| *pin != relay);
        if self.grants.len() == GRANTS_MAX {
            self.grants.remove(0);
        }
        self.grants.push((relay, grant.to_vec()));
        true
    }

    /// Two logs to follow the present ones.
    ///
    /// # Errors
    /// [`BirthError::LogsUsedUp`] when the device has had as many as it may have.
    pub fn next_logs(&self, entropy: &dyn Entropy) -> Result<OwnLogs, BirthError> {
        if self.may_have_more_logs() {
            Ok(OwnLogs::generate(self.logs.incarnation.saturating_add(1), entropy))
        } else {
            Err(BirthError::LogsUsedUp)
        }
    }

    /// Whether there are logs behind these: a device has a limited number of them in a vault.
    pub const fn may_have_more_logs(&self) -> bool {
        self.logs.incarnation.saturating_add(1) < INCARNATIONS_MAX
    }

    /// Starts new logs, with their first prekey. Prekeys of older logs stay, for what was sealed to them, as far as there
    /// is room.
    ///
    /// The keys of the logs before are kept until [`Keyring::forget_old_logs`], of the newest 64.
    pub fn rotate_logs(&mut self, next: OwnLogs, prekey: PrekeySecret) {
        if self.old_logs.len() == OLD_LOGS_MAX {
            self.old_logs.remove(0);
        }
        self.old_logs.push(std::mem::replace(&mut self.logs, next));
        if self.prekeys.len() == PREKEYS_MAX {
            self.prekeys.remove(0);
        }
        self.prekeys.push(prekey);
    }

    /// Logs that were written before are closed, or left to another copy of the store: their keys go.
    pub fn forget_old_logs(&mut self, incarnation: u32) {
        self.old_logs.retain(|logs| logs.incarnation != incarnation);
    }

    /// The form in the store.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        // Sized beforehand: a buffer that grows leaves secrets behind where it was.
        let capacity = self.encoded_len();
        let mut w = Writer::with_capacity(capacity);
        w.u8(VERSION);
        w.bytes(self.recovery.public.as_bytes()).bytes(&self.recovery.nonce);
        write_option(&mut w, self.recovery.entropy.as_ref().map(|secret| &secret.dangerous_bytes()[..]));
        w.count(self.epochs.len());
        for secrets in &self.epochs {
            w.u32(secrets.epoch.0);
            write_option(&mut w, secrets.key.as_ref().map(|key| &key.dangerous_bytes()[..]));
            w.bytes(secrets.control.dangerous_bytes());
            write_option(
                &mut w,
                secrets.write.as_ref().map(KeyPair::dangerous_to_pkcs8_der).as_deref().map(|der| &der[..]),
            );
        }
        write_logs(&mut w, &self.logs);
        w.count(self.old_logs.len());
        self.old_logs.iter().for_each(|logs| write_logs(&mut w, logs));
        w.bytes(&self.admin.dangerous_to_pkcs8_der());
        w.count(self.prekeys.len());
        for prekey in &self.prekeys {
            w.bytes(prekey.log.as_bytes()).u8(PREKEY_SUITE).u32(prekey.number);
            w.bytes(&prekey.pair.dangerous_to_pkcs8_der());
        }
        let statements = self.statements.list();
        w.u8(u8::from(self.statements.whole().is_some())).count(statements.len());
        for statement in statements {
            w.prefixed(statement);
        }
        w.count(self.grants.len());
        for (pin, grant) in &self.grants {
            w.bytes(pin.as_bytes()).prefixed(grant);
        }
        let bytes = Zeroizing::new(w.finish());
        debug_assert_eq!(bytes.len(), capacity);
        bytes
    }

    fn encoded_len(&self) -> usize {
        let option = |held: bool, len: usize| 1 + if held { len } else { 0 };
        let epochs: usize = self
            .epochs
            .iter()
            .map(|secrets| {
                4 + option(secrets.key.is_some(), 32) + 32 + option(secrets.write.is_some(), PAIR_LEN)
            })
            .sum();
        let statements: usize = self.statements.list().iter().map(|statement| 4 + statement.len()).sum();
        let grants: usize = self.grants.iter().map(|(_, grant)| Pin::LEN + 4 + grant.len()).sum();
        1 + (65 + 16 + option(self.recovery.entropy.is_some(), 32))
            + (2 + epochs)
            + LOGS_LEN
            + (2 + self.old_logs.len() * LOGS_LEN)
            + PAIR_LEN
            + (2 + self.prekeys.len() * PREKEY_ROW_LEN)
            + (1 + 2 + statements)
            + (2 + grants)
    }

    /// Reads the form in the store, which has authenticated it: public keys are taken as they stand there.
    ///
    /// # Errors
    /// [`KeyringError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, KeyringError> {
        let mut r = Reader::new(bytes);
        match r.u8()? {
            VERSION => {}
            other => {
                return Err(DecodeError::Unknown { what: "keyring version", value: u64::from(other) }.into());
            }
        }
        let recovery = RecoverySeed {
            public: read_public(&mut r)?,
            nonce: r.array()?,
            entropy: read_option(&mut r, RecoveryEntropy::read)?,
        };
        let epochs = read_list(&mut r, "epochs", EPOCHS_MAX, 4 + 1 + 32 + 1, read_epoch)?;
        if epochs.is_empty() || !epochs.is_sorted_by(|a, b| a.epoch < b.epoch) {
            return Err(DecodeError::NotCanonical { what: "epochs" }.into());
        }
        let logs = read_logs(&mut r)?;
        let old_logs = read_list(&mut r, "old logs", OLD_LOGS_MAX, LOGS_LEN, read_logs)?;
        let admin = read_stored_pair(&mut r)?;
        let prekeys = read_list(&mut r, "prekeys", PREKEYS_MAX, PREKEY_ROW_LEN, read_prekey)?;
        let statements = HeldStatements::read(&mut r)?;
        let grants = read_list(&mut r, "grants", GRANTS_MAX, Pin::LEN + 4, |r| {
            Ok((Pin::from_bytes(r.array()?), r.prefixed("grant", TOKEN_BYTES_MAX)?.to_vec()))
        })?;
        r.finish()?;
        Ok(Self { recovery, epochs, logs, old_logs, admin, prekeys, statements, grants })
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyring")
            .field("epochs", &self.epochs.len())
            .field("incarnation", &self.logs.incarnation)
            .field("statements", &self.statements.list().len())
            .field("grants", &self.grants.len())
            .finish_non_exhaustive()
    }
}

/// Appends `0`, or `1 | value`.
pub fn write_option(w: &mut Writer, value: Option<&[u8]>) {
    match value {
        Some(value) => w.u8(1).bytes(value),
        None => w.u8(0),
    };
}

/// Reads what [`write_option`] wrote.
pub fn read_option<T>(
    r: &mut Reader<'_>,
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Option<T>, DecodeError> {
    match r.u8()? {
        0 => Ok(None),
        1 => read(r).map(Some),
        other => Err(DecodeError::Unknown { what: "presence", value: u64::from(other) }),
    }
}

/// Reads a key pair in the 138-byte form, which is the only one written.
pub fn read_pair(r: &mut Reader<'_>) -> Result<KeyPair, DecodeError> {
    KeyPair::from_pkcs8_der(r.bytes(PAIR_LEN)?).map_err(|_| DecodeError::Invalid { what: "key pair" })
}

/// As [`read_pair`], of what the store has authenticated: nothing is multiplied.
fn read_stored_pair(r: &mut Reader<'_>) -> Result<KeyPair, DecodeError> {
    KeyPair::from_stored(r.bytes(PAIR_LEN)?).map_err(|_| DecodeError::Invalid { what: "key pair" })
}

fn write_logs(w: &mut Writer, logs: &OwnLogs) {
    w.u32(logs.incarnation);
    w.bytes(&logs.control.dangerous_to_pkcs8_der()).bytes(&logs.data.dangerous_to_pkcs8_der());
}

fn read_logs(r: &mut Reader<'_>) -> Result<OwnLogs, DecodeError> {
    Ok(OwnLogs { incarnation: r.u32()?, control: read_stored_pair(r)?, data: read_stored_pair(r)? })
}

fn read_prekey(r: &mut Reader<'_>) -> Result<PrekeySecret, DecodeError> {
    let log = LogId::from_bytes(r.array()?);
    match r.u8()? {
        PREKEY_SUITE => Ok(PrekeySecret { log, number: r.u32()?, pair: read_stored_pair(r)? }),
        other => Err(DecodeError::Unknown { what: "prekey suite", value: u64::from(other) }),
    }
}

fn read_epoch(r: &mut Reader<'_>) -> Result<EpochSecrets, DecodeError> {
    let epoch = Epoch(r.u32()?);
    let key = read_option(r, EpochKey::read)?.map(Arc::new);
    let control = ControlKey::read(r)?;
    Ok(EpochSecrets { epoch, key, control, write: read_option(r, read_stored_pair)? })
}

/// Reads `count u16 | items`, the count checked against `limit` and against the bytes left.
pub fn read_list<T>(
    r: &mut Reader<'_>,
    what: &'static str,
    limit: usize,
    each: usize,
    mut read: impl FnMut(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let count = r.count(what, limit, each)?;
    // Sized beforehand: a list that grows leaves secrets behind where it was, and takes three times as much while it does.
    let mut list = Vec::with_capacity(count);
    for _ in 0..count {
        list.push(read(r)?);
    }
    Ok(list)
}

const VERSION: u8 = 3;
/// Bytes of a key pair: PKCS#8 with the public key inside.
pub const PAIR_LEN: usize = 138;
/// Epochs of one vault: a rotation a week for 150 years.
pub const EPOCHS_MAX: usize = 8192;
/// Prekeys held at a time, the oldest going first; one comes with each pair of logs.
const PREKEYS_MAX: usize = 256;
/// Pairs of logs that are to be closed: as many as are opened in one opening of a store, four times.
const OLD_LOGS_MAX: usize = 64;
/// Bytes of a pair of logs.
const LOGS_LEN: usize = 4 + 2 * PAIR_LEN;
/// Bytes of one: log, suite, number and pair.
const PREKEY_ROW_LEN: usize = 16 + 1 + 4 + PAIR_LEN;
/// Relays of one vault.
pub const GRANTS_MAX: usize = 64;

#[cfg(test)]
mod tests;
