//! Lists: results of more than one item, which do not change.

use std::sync::Arc;

use subrosa::{DeviceInfo, VaultInfo};

use crate::failure::Failure;
use crate::handles::Object;
use crate::status::SUBROSA_INVALID_ARGUMENT;

/// A list of vaults, devices or names.
pub(crate) enum ListObject {
    Vaults(Vec<VaultInfo>),
    Devices(Vec<DeviceInfo>),
    Names(Vec<String>),
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
        }
    }

    pub(crate) fn text(&self, index: usize) -> Result<&str, Failure> {
        let text = match self {
            Self::Vaults(items) => items.get(index).map(|item| &item.name),
            Self::Devices(items) => items.get(index).map(|item| &item.name),
            Self::Names(items) => items.get(index),
        };
        text.map(String::as_str).ok_or_else(out_of_range)
    }

    pub(crate) fn vault(&self, index: usize) -> Result<&VaultInfo, Failure> {
        let Self::Vaults(items) = self else { return Err(other_list()) };
        items.get(index).ok_or_else(out_of_range)
    }

    pub(crate) fn device(&self, index: usize) -> Result<&DeviceInfo, Failure> {
        let Self::Devices(items) = self else { return Err(other_list()) };
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
