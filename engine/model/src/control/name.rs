//! What a device is called and what it may do, as control entries say it.

use subrosa_protocol::codec::{DecodeError, Reader, Writer};
use subrosa_protocol::limits::DEVICE_NAME_BYTES_MAX;

use super::BirthError;

/// What a device may do in a vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum DeviceRole {
    /// Reads, writes, adds and removes devices.
    Admin = 0,
    /// Reads and writes.
    Writer = 1,
    /// Reads.
    Reader = 2,
}

/// A device's name: 1 to 128 bytes of UTF-8 without control characters, so that it can be shown anywhere.
/// `Debug` prints its length only: names are user text.
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceName(String);

impl DeviceName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`BirthError::DeviceName`].
    pub fn new(name: &str) -> Result<Self, BirthError> {
        if name.is_empty() || name.len() > DEVICE_NAME_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(BirthError::DeviceName { bytes: name.len() });
        }
        Ok(Self(name.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Appends `length u32 | UTF-8`.
    pub fn write(&self, w: &mut Writer) {
        w.prefixed(self.0.as_bytes());
    }

    /// Reads what [`Self::write`] wrote.
    pub fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        const WHAT: &str = "device name";
        let bytes = r.prefixed(WHAT, DEVICE_NAME_BYTES_MAX)?;
        let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::Invalid { what: WHAT })?;
        Self::new(text).map_err(|_| DecodeError::Invalid { what: WHAT })
    }
}

impl std::fmt::Debug for DeviceName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DeviceName({} bytes)", self.0.len())
    }
}

impl DeviceRole {
    /// `None` for a role of a later version.
    pub(super) const fn from_wire(value: u8) -> Option<Self> {
        match value {
            0 => Some(Self::Admin),
            1 => Some(Self::Writer),
            2 => Some(Self::Reader),
            _ => None,
        }
    }
}
