//! What is held for the clock, as the app is told of it.

use std::collections::{BTreeMap, BTreeSet};

use subrosa_model::keys::PublicKey;
use subrosa_model::merge::LogNo;
use subrosa_protocol::ids::VaultId;
use subrosa_protocol::segment::Class;
use subrosa_store::error::StoreError;
use subrosa_store::logs::{BranchNo, LogsView};

use crate::error::Error;
use crate::life::Core;
use crate::memory::state::VaultState;

/// Segments of one log that are looked at to count what is held of it.
const COUNTED_MAX: u64 = 1024;

/// What of a vault is held: it is here, and counts as more than five minutes ahead of this device's clock. It is merged when its
/// time comes, or its device says that its clock ran ahead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeldGroups {
    /// Whose it is.
    pub devices: Vec<HeldOfDevice>,
    /// Everybody's is held that has written something, so it is probably this device's own clock that is late. Of a single other
    /// device that is said only if a relay's clock says the same.
    pub clock_is_late: bool,
}

/// What is held of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeldOfDevice {
    /// Its key.
    pub device: PublicKey,
    /// Its name, if it is listed.
    pub name: Option<String>,
    /// So many groups of edits; those beyond the first 1,024 segments of a log are not counted.
    pub groups: u64,
    /// When the first of them is merged, in Unix milliseconds of this device's clock.
    pub until_ms: u64,
}

impl Core {
    /// What is held of a vault.
    pub(crate) fn held(&self, vault: &VaultId) -> Result<HeldGroups, Error> {
        let me = self.public();
        let (held, others) =
            self.with_vault(vault, |state| Ok((held_branches(state), data_logs(state, &me))))?;
        if held.is_empty() {
            return Ok(HeldGroups::default());
        }
        let (of_devices, others) = self.read(|doors| {
            let logs = doors.logs()?;
            let mut of_devices = BTreeMap::<PublicKey, (u64, u64)>::new();
            for (branch, device, until) in &held {
                let of_device = of_devices.entry(*device).or_insert((0, u64::MAX));
                of_device.0 += groups(&logs, *branch)?;
                of_device.1 = of_device.1.min(*until);
            }
            let mut writing = BTreeSet::new();
            for (log, device) in others {
                if logs.head(log.into())?.is_some() {
                    writing.insert(device);
                }
            }
            Ok((of_devices, writing))
        })?;
        let is_late_for_relay = self.clock_ahead_ms().is_some_and(|ahead| ahead < 0);
        let all = others.iter().all(|device| of_devices.contains_key(device));
        let clock_is_late = all && (others.len() > 1 || (others.len() == 1 && is_late_for_relay));
        let devices = self.with_vault(vault, |state| {
            let devices = of_devices.into_iter().map(|(device, (groups, until_ms))| {
                let name = state.members.device(&device).map(|listed| listed.name.as_str().to_owned());
                HeldOfDevice { device, name, groups, until_ms }
            });
            Ok(devices.collect())
        })?;
        Ok(HeldGroups { devices, clock_is_late })
    }
}

/// The branches with a group that is held, whose they are, and until when.
fn held_branches(state: &VaultState) -> Vec<(BranchNo, PublicKey, u64)> {
    let held = state.held.iter().filter_map(|(branch, until)| {
        let device = state.members.certified(&state.info(*branch)?.id)?.device;
        Some((*branch, device, *until))
    });
    held.collect()
}

/// The data logs of others.
fn data_logs(state: &VaultState, me: &PublicKey) -> Vec<(LogNo, PublicKey)> {
    let data = state.logs.iter().filter(|(_, info)| info.class == Class::Data);
    let devices = data.filter_map(|(log, info)| Some((*log, state.members.certified(&info.id)?.device)));
    devices.filter(|(_, device)| device != me).collect()
}

/// How many groups of a branch are here and not merged.
fn groups(logs: &LogsView, branch: BranchNo) -> Result<u64, StoreError> {
    let Some(tip) = logs.head(branch)? else { return Ok(0) };
    let mut groups = 0;
    for segment in logs.segments(branch, tip.merged.max(tip.base.seq)..=tip.seq)?.take(COUNTED_MAX as usize) {
        groups += u64::from(segment?.segment().header().place.is_last());
    }
    Ok(groups)
}
