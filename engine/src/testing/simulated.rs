//! Devices of a simulation: on disks in memory, with a clock and randomness that are given, their links stepped by hand.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use subrosa_model::control::{
    DeviceAdded, DeviceName, DeviceRole, EpochSecrets, HeldStatements, Keyring, OwnLogs, PrekeySecret,
    RecoverySeed, SignedPrekey, device_added,
};
use subrosa_model::entropy::Entropy;
use subrosa_model::keys::secret::EpochKey;
use subrosa_model::keys::{KeyPair, KeyProvider, PublicKey};
use subrosa_model::merge::LogNo;
use subrosa_protocol::codec::Reader;
use subrosa_store::error::StoreError;
pub use subrosa_store::sealed::Disk;
pub use subrosa_store::testing::{DiskOpener, SimSite};

use crate::clock::Clock;
use crate::device::Device;
use crate::error::{Error, SyncFailure};
use crate::life::Core;
use crate::life::opening::MadeFor;
use crate::logs::entries::Queued;
use crate::logs::settling;
use crate::memory::state::VaultState;
use crate::options::Options;
use crate::people::pairing::frontier;
use crate::people::vaults::NewVault;
pub use crate::sync::stepped::{SimLink, SimNews, SimOutput, SimPeer};
use crate::vault::Vault;

/// Pages that a simulated device keeps in memory.
const CACHE_BYTES: usize = 1 << 20;

/// What a device of a simulation is opened with.
pub struct SimSetup {
    /// Where its store lies.
    pub site: SimSite,
    /// Its key.
    pub key: Arc<dyn KeyProvider>,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// Randomness, new for every opening: two copies of a store must not draw the same.
    pub entropy: Arc<dyn Entropy>,
}

impl SimSetup {
    fn options(self) -> (Arc<dyn KeyProvider>, Options) {
        let options = Options::default().clock(self.clock).entropy(self.entropy).cache_bytes(CACHE_BYTES);
        (self.key, Options { site: Some(Arc::new(self.site)), ..options })
    }

    /// Makes a store, for a device that founds vaults.
    ///
    /// # Errors
    /// As [`Device::create`].
    pub fn create(self) -> Result<Device, Error> {
        let (key, options) = self.options();
        Device::create(NOWHERE, key, options)
    }

    /// Opens what is there.
    ///
    /// # Errors
    /// As [`Device::open`].
    pub fn open(self) -> Result<Device, Error> {
        let (key, options) = self.options();
        Device::open(NOWHERE, key, options)
    }
}

/// The path of a store that lies in no folder. Nobody looks at it.
const NOWHERE: &str = "";

/// A device that is being let into a vault: what pairing does ([`PairOffer::confirm`](crate::PairOffer::confirm) and what it ends
/// with), without the messages between the two.
pub struct SimJoin {
    setup: SimSetup,
    logs: OwnLogs,
    prekey: PrekeySecret,
    queued: Option<Queued>,
}

impl SimJoin {
    /// One that has made its keys.
    #[must_use]
    pub fn new(setup: SimSetup) -> Self {
        let logs = OwnLogs::generate(0, &*setup.entropy);
        let prekey = PrekeySecret::generate(&logs, &*setup.entropy);
        Self { setup, logs, prekey, queued: None }
    }

    /// Who is let in.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.setup.key.public()
    }

    /// Has an old device write "device added".
    ///
    /// # Errors
    /// Those of a write.
    pub fn add_to(&mut self, vault: &Vault) -> Result<(), Error> {
        let (core, id) = (&vault.core, vault.id());
        let queued = core.append_control(&id, |number| {
            let added = DeviceAdded {
                device: self.public(),
                prekey: SignedPrekey::sign(&*self.setup.key, 0, self.prekey.pair.public())?,
                name: DeviceName::new("device")?,
                role: DeviceRole::Admin,
            };
            Ok(device_added(core.key(), &id, number, added)?)
        })?;
        self.queued = Some(queued);
        Ok(())
    }

    /// Whether the relay holds the word of it: the new device gets no keys before.
    ///
    /// # Errors
    /// What the store says.
    pub fn is_at_relay(&self, vault: &Vault, relay: &SimPeer) -> Result<bool, Error> {
        let Some(queued) = &self.queued else { return Ok(false) };
        vault.core.is_entry_acknowledged(&vault.id(), &relay.pin, &queued.rank)
    }

    /// Takes the word of it back, if it is not on its way; says whether it was.
    ///
    /// # Errors
    /// Those of a write.
    pub fn withdraw(&self, vault: &Vault) -> Result<bool, Error> {
        let Some(queued) = &self.queued else { return Ok(false) };
        vault.core.withdraw_entry(&vault.id(), queued.place)
    }

    /// Makes the new device's store of what the old device hands over, which is told what that relay holds, if one is named.
    ///
    /// # Errors
    /// As [`Device::create`].
    pub fn finish(self, vault: &Vault, relay: Option<&SimPeer>) -> Result<Device, Error> {
        let Self { setup, logs, prekey, queued } = self;
        let listing = queued.ok_or(StoreError::Inconsistent)?.entry;
        let (old, id) = (&vault.core, vault.id());
        let heads = relay.map_or_else(|| Ok(Vec::new()), |relay| frontier(old, &id, &relay.pin))?;
        let admin = KeyPair::generate(&*setup.entropy);
        let keyring = old.with_vault(&id, |state| bundle(&state.keyring, logs, admin, prekey))?;
        let (key, options) = setup.options();
        let core = Core::create(Path::new(NOWHERE), key, options, MadeFor::Joining, settling::settle)?;
        core.join_vault(NewVault { id, name: vault.name().to_owned(), keyring }, listing, &heads)?;
        Ok(Device::of(core))
    }
}

/// What a pairing's bundle makes of a keyring.
fn bundle(ring: &Keyring, logs: OwnLogs, admin: KeyPair, prekey: PrekeySecret) -> Result<Keyring, Error> {
    let live = ring.live_epoch();
    let write = live.write.as_ref().map(|pair| KeyPair::from_stored(&pair.dangerous_to_pkcs8_der()));
    let key = live.key.as_ref().ok_or(StoreError::Inconsistent)?;
    let key =
        EpochKey::read(&mut Reader::new(key.dangerous_bytes())).map_err(|_| StoreError::Inconsistent)?;
    let RecoverySeed { public, nonce, .. } = ring.recovery;
    Ok(Keyring {
        recovery: RecoverySeed { public, nonce, entropy: None },
        epochs: vec![EpochSecrets::live(live.epoch, key, write.transpose()?)],
        logs,
        old_logs: Vec::new(),
        admin,
        prekeys: vec![prekey],
        statements: HeldStatements::received(ring.statements.last().to_vec()),
        grants: ring.grants.clone(),
    })
}

/// Connects a device with a relay.
///
/// # Errors
/// What ends a link.
pub fn connect(device: &Device, now: Instant, peer: &SimPeer) -> Result<SimLink, SyncFailure> {
    SimLink::open(device.core.clone(), now, peer)
}

/// Whether another device's log has a future here that this one does not carry yet.
fn carries_later(device: &Device, vault: &VaultState, log: LogNo) -> bool {
    let certified = vault.info(log.into()).and_then(|info| vault.members.certified(&info.id));
    let rows = vault.branches.of(log).filter_map(|branch| vault.branches.row(branch));
    let is_due = rows.map(|row| row.carry_at_ms).min().is_some_and(|at_ms| at_ms <= device.core.now_ms());
    !is_due && certified.is_some_and(|certified| certified.device != device.core.public())
}

/// Until when groups are held for this device's clock, in milliseconds from now; `None` if none is.
#[must_use]
pub fn held_ms(device: &Device) -> Option<u64> {
    let state = device.core.lock_state().ok()?;
    let until = state.vaults.values().map(VaultState::held_until_ms).min()?;
    (until != u64::MAX).then(|| until.saturating_sub(device.core.now_ms()))
}

/// How a device stands: what a simulation counts, to know that its plans come to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SimStanding {
    /// How many futures logs have here beyond their first ones.
    pub forks: usize,
    /// Logs of others of which something is to be carried, and not yet.
    pub carries_later: usize,
    /// How often it has opened new logs, over all vaults.
    pub new_logs: u32,
    /// Branches whose next group is held for the clock.
    pub held: usize,
    /// Branches that wait in front of a group which does not open or decode.
    pub waits: usize,
    /// Logs without a certificate of which segments wait.
    pub quarantined: usize,
    /// Branches with names of logs without a certificate.
    pub notes: usize,
    /// Logs with a cap.
    pub capped: usize,
    /// Vaults with puts that a delete may hide which did not know them.
    pub at_risk: usize,
    /// Those in which one was deleted.
    pub covered: usize,
}

impl SimStanding {
    /// Whether everything that was received is merged.
    #[must_use]
    pub const fn has_merged_all(&self) -> bool {
        self.held == 0 && self.waits == 0 && self.quarantined == 0
    }
}

/// How a device stands; as nothing, when it is closed.
#[must_use]
pub fn standing(device: &Device) -> SimStanding {
    let Ok(state) = device.core.lock_state() else { return SimStanding::default() };
    let mut standing =
        SimStanding { waits: state.waits.len(), capped: state.logs.caps().len(), ..SimStanding::default() };
    for vault in state.vaults.values() {
        standing.forks += vault.branches.len();
        standing.carries_later +=
            vault.branches.forked().filter(|log| carries_later(device, vault, *log)).count();
        standing.new_logs += vault.keyring.logs.incarnation;
        standing.held += vault.held.len();
        standing.quarantined += vault.waiting.len();
        standing.at_risk += usize::from(vault.risks.any);
        standing.covered += usize::from(vault.risks.any && vault.risks.covered);
        standing.notes += vault.notes.counts.len();
    }
    standing
}
