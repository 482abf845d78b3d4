//! Lists: results of more than one item, which do not change.

use std::sync::Arc;

use subrosa::{DeviceInfo, ForksOfDevice, HeldOfDevice, VaultInfo};

use super::sync::VaultAtRelay;

use crate::failure::Failure;
use crate::handles::Object;
use crate::status::SUBROSA_INVALID_ARGUMENT;

/// A list of vaults, devices or names, or of what is to be known of some of them.
pub(crate) enum ListObject {
    Vaults(Vec<VaultInfo>),
    Devices(Vec<DeviceInfo>),
    Names(Vec<String>),
    Forks(Vec<ForksOfDevice>),
    Held(Vec<HeldOfDevice>),
    AtRelay(Vec<VaultAtRelay>),
}

impl Object for ListObject {
    const KIND: u8 = 5;
}

impl ListObject {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Vaults(items) => items.len(),
            Self::Devices(items) => items.len(),
            Self::Names(items) => items.len(),
            Self::Forks(items) => items.len(),
            Self::Held(items) => items.len(),
            Self::AtRelay(items) => items.len(),
        }
    }

    pub(crate) fn text(&self, index: usize) -> Result<&str, Failure> {
        let text = match self {
            Self::Vaults(items) => items.get(index).map(|item| item.name.as_str()),
            Self::Devices(items) => items.get(index).map(|item| item.name.as_str()),
            Self::Names(items) => items.get(index).map(String::as_str),
            // Who is not listed has no name.
            Self::Forks(items) => items.get(index).map(|item| item.name.as_deref().unwrap_or_default()),
            Self::Held(items) => items.get(index).map(|item| item.name.as_deref().unwrap_or_default()),
            Self::AtRelay(items) => items.get(index).map(|item| item.fault.as_str()),
        };
        text.ok_or_else(out_of_range)
    }

    pub(crate) fn vault(&self, index: usize) -> Result<&VaultInfo, Failure> {
        let Self::Vaults(items) = self else { return Err(other_list()) };
        items.get(index).ok_or_else(out_of_range)
    }

    pub(crate) fn device(&self, index: usize) -> Result<&DeviceInfo, Failure> {
        let Self::Devices(items) = self else { return Err(other_list()) };
        items.get(index).ok_or_else(out_of_range)
    }

    pub(crate) fn forks(&self, index: usize) -> Result<&ForksOfDevice, Failure> {
        let Self::Forks(items) = self else { return Err(other_list()) };
        items.get(index).ok_or_else(out_of_range)
    }

    pub(crate) fn held(&self, index: usize) -> Result<&HeldOfDevice, Failure> {
        let Self::Held(items) = self else { return Err(other_list()) };
        items.get(index).ok_or_else(out_of_range)
    }

    pub(crate) fn at_relay(&self, index: usize) -> Result<&VaultAtRelay, Failure> {
        let Self::AtRelay(items) = self else { return Err(other_list()) };
        items.get(index).ok_or_else(out_of_range)
    }

    pub(crate) fn vaults(items: Vec<VaultInfo>) -> Arc<Self> {
        Arc::new(Self::Vaults(items))
    }
}

fn out_of_range() -> Failure {
    Failure::new(SUBROSA_INVALID_ARGUMENT, "the index is beyond the end of the list")
}

fn other_list() -> Failure {
    Failure::new(SUBROSA_INVALID_ARGUMENT, "a list of other items")
}
