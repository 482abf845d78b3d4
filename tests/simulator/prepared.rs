//! Worlds in which devices have been paired and relays know the vault, made once and cloned from then on.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use subrosa::testing::simulated::{SimJoin, SimPeer};
use subrosa::{KeyPair, SeededEntropy, SoftwareKey, VaultId};
use subrosa_relay::testing::SimRelay;

use super::disk::{Image, Loss, SimDisk};
use super::failure::{Failure, Kind};
use super::model::OpSet;
use super::world::{Identity, Relay, VAULT, World};

/// See the module.
pub(super) struct Prepared {
    vault: VaultId,
    now_ms: u64,
    sites: Vec<Image>,
    relays: Vec<Image>,
}

thread_local! {
    static MADE: RefCell<BTreeMap<(u8, u8), Arc<Prepared>>> = const { RefCell::new(BTreeMap::new()) };
}

impl World {
    /// A world with so many devices and relays, in which nothing was written yet.
    pub(super) fn prepared(seed: u64, devices: u8, relays: u8) -> Result<Self, Failure> {
        let made = MADE.with_borrow(|made| made.get(&(devices, relays)).cloned());
        let made = match made {
            Some(made) => made,
            None => {
                let fresh = Arc::new(prepare(devices, relays)?);
                MADE.with_borrow_mut(|made| made.insert((devices, relays), fresh.clone()));
                fresh
            }
        };
        let mut world = Self::new(seed);
        world.truth.set(made.now_ms);
        world.vault = Some(made.vault);
        for (owner, image) in made.sites.iter().enumerate() {
            world.add_identity();
            let site = world.new_site(owner, image.clone());
            world.open(site)?;
        }
        for image in &made.relays {
            world.add_relay(image.clone())?;
        }
        Ok(world)
    }

    /// A new device's key.
    pub(super) fn add_identity(&mut self) -> usize {
        let entropy = SeededEntropy::dangerous_from_seed(1_000 + self.identities.len() as u64);
        let key = Arc::new(SoftwareKey::generate(&entropy));
        self.identities.push(Identity { key, joined: None });
        self.identities.len() - 1
    }

    fn add_relay(&mut self, image: Image) -> Result<(), Failure> {
        let entropy = SeededEntropy::dangerous_from_seed(2_000 + self.relays.len() as u64);
        let key = KeyPair::generate(&entropy).dangerous_to_pkcs8_der().to_vec();
        let (disk, fresh) = (SimDisk::holding(image), self.fresh());
        let opened = disk.clone();
        let relay = SimRelay::open(&key, Box::new(move || opened.clone()), fresh, None)
            .map_err(|error| Failure::new(Kind::OpenFails, format!("relay: {error}")))?;
        let (public, pin) = relay.identity();
        self.relays.push(Relay {
            key,
            peer: SimPeer { pin, key: public, exporter: [0; 32] },
            disk,
            loss: Loss::Nothing,
            relay: Some(relay),
            held: OpSet::default(),
            shown: OpSet::default(),
            quota_bytes: None,
            latency_ms: 0,
            ahead_ms: 0,
            heads: BTreeMap::new(),
            backup: None,
            lying: None,
        });
        Ok(())
    }
}

fn prepare(devices: u8, relays: u8) -> Result<Prepared, Failure> {
    let mut world = World::new(u64::from(devices) << 8 | u64::from(relays));
    let fails = |error: subrosa::Error| Failure::new(Kind::CallFails, error.to_string());
    for _ in 0..relays {
        world.add_relay(Image::default())?;
    }
    for owner in 0..usize::from(devices) {
        world.add_identity();
        let site = world.new_site(owner, Image::default());
        let setup = world.setup(site);
        let device = if site == 0 {
            let device = setup.create().map_err(fails)?;
            world.vault = Some(device.create_vault(VAULT).map_err(fails)?.id());
            device
        } else {
            let (old, mut join) = (world.vault_at(0)?, SimJoin::new(setup));
            join.add_to(&old).map_err(fails)?;
            join.finish(&old, None).map_err(fails)?
        };
        world.sites[site].device = Some(device);
    }
    // Twice, so that everybody has seen everybody's certificates.
    for _ in 0..2 {
        for site in 0..world.sites.len() {
            for relay in 0..world.relays.len() {
                world.sync(site, relay, 60_000)?;
                if !world.is_idle_at(site, relay) {
                    return Err(Failure::new(Kind::SyncEnds, format!("site {site} in a new world")));
                }
            }
        }
    }
    for site in 0..world.sites.len() {
        world.close(site);
    }
    for relay in 0..world.relays.len() {
        world.close_relay(relay);
    }
    Ok(Prepared {
        vault: world.vault.unwrap_or(VaultId::ZERO),
        now_ms: world.truth.ms(),
        sites: world.sites.iter().map(|site| site.disk.image()).collect(),
        relays: world.relays.iter().map(|relay| relay.disk.image()).collect(),
    })
}

impl World {
    /// Whether the last link of a site with a relay did not end by an error.
    fn is_idle_at(&self, site: usize, relay: usize) -> bool {
        !self.ended.contains_key(&(site, relay))
    }
}
