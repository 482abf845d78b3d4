//! Lists.

use std::ffi::c_char;

use subrosa::{DeviceInfo, DeviceRole, ForksOfDevice, HeldOfDevice};

use super::library::quietly;
use super::{
    Caller, close, object, subrosa_error, subrosa_list, subrosa_public_key, subrosa_sync_vault,
    subrosa_vault_id,
};
use crate::memory::Sized32;

/// Reads, writes, adds and removes devices.
pub const SUBROSA_ROLE_ADMIN: i32 = 1;
/// Reads and writes.
pub const SUBROSA_ROLE_WRITER: i32 = 2;
/// Reads.
pub const SUBROSA_ROLE_READER: i32 = 3;

/// A device that belongs to a vault.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct subrosa_device_info {
    /// `sizeof(subrosa_device_info)`, set by the caller.
    pub struct_size: u32,
    /// `SUBROSA_ROLE_...`; other numbers are roles of later versions.
    pub role: i32,
    /// 1 if it is this device.
    pub is_this: u32,
    /// 0 for the founder, who was added by nobody.
    pub has_added_by: u32,
    /// What names it.
    pub public_key: subrosa_public_key,
    /// Who let it in.
    pub added_by: subrosa_public_key,
}

// SAFETY: `repr(C)`, starts with a `u32`, and holds integers only.
unsafe impl Sized32 for subrosa_device_info {
    const ZERO: Self = Self {
        struct_size: 0,
        role: 0,
        is_this: 0,
        has_added_by: 0,
        public_key: subrosa_public_key { bytes: [0; 65] },
        added_by: subrosa_public_key { bytes: [0; 65] },
    };
    const SIZE_MIN: usize = size_of::<Self>();
}

impl From<&DeviceInfo> for subrosa_device_info {
    fn from(info: &DeviceInfo) -> Self {
        Self {
            role: match info.role {
                DeviceRole::Admin => SUBROSA_ROLE_ADMIN,
                DeviceRole::Writer => SUBROSA_ROLE_WRITER,
                DeviceRole::Reader => SUBROSA_ROLE_READER,
                _ => 0,
            },
            is_this: info.is_this.into(),
            has_added_by: info.added_by.is_some().into(),
            public_key: info.public.into(),
            added_by: info.added_by.map_or(Self::ZERO.added_by, Into::into),
            ..Self::ZERO
        }
    }
}

/// A device whose logs have several futures: its store was copied, or put back from a backup, and went on twice. All of them are kept and
/// merged, and nothing need be done.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct subrosa_fork_info {
    /// `sizeof(subrosa_fork_info)`, set by the caller.
    pub struct_size: u32,
    /// 1 if it is this device.
    pub is_this: u32,
    /// So many of its logs have several futures.
    pub logs: u64,
    /// So many futures they have beyond one each.
    pub futures: u64,
    /// The device.
    pub public_key: subrosa_public_key,
}

// SAFETY: `repr(C)`, starts with a `u32`, and holds integers only.
unsafe impl Sized32 for subrosa_fork_info {
    const ZERO: Self = Self {
        struct_size: 0,
        is_this: 0,
        logs: 0,
        futures: 0,
        public_key: subrosa_public_key { bytes: [0; 65] },
    };
    const SIZE_MIN: usize = size_of::<Self>();
}

impl From<&ForksOfDevice> for subrosa_fork_info {
    fn from(forks: &ForksOfDevice) -> Self {
        Self {
            is_this: forks.is_own.into(),
            logs: forks.logs,
            futures: forks.futures,
            public_key: forks.device.into(),
            ..Self::ZERO
        }
    }
}

/// What is held of a device: it is here, and was made more than five minutes ahead of this device's clock. It is merged when its time
/// comes, or when its device says that its clock ran ahead.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct subrosa_held_info {
    /// `sizeof(subrosa_held_info)`, set by the caller.
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// So many groups of edits; those beyond the first 1,024 segments of a log are not counted.
    pub groups: u64,
    /// When the first of them is merged, in Unix milliseconds of this device's clock.
    pub until_ms: u64,
    /// The device.
    pub public_key: subrosa_public_key,
}

// SAFETY: `repr(C)`, starts with a `u32`, and holds integers only.
unsafe impl Sized32 for subrosa_held_info {
    const ZERO: Self = Self {
        struct_size: 0,
        reserved: 0,
        groups: 0,
        until_ms: 0,
        public_key: subrosa_public_key { bytes: [0; 65] },
    };
    const SIZE_MIN: usize = size_of::<Self>();
}

impl From<&HeldOfDevice> for subrosa_held_info {
    fn from(held: &HeldOfDevice) -> Self {
        Self { groups: held.groups, until_ms: held.until_ms, public_key: held.device.into(), ..Self::ZERO }
    }
}

/// How many items; 0 for NULL and for what is no list. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn subrosa_list_len(list: *const subrosa_list) -> usize {
    quietly(|| object(list).map_or(0, |list| list.len()))
}

/// The name of a vault, device or collection, empty for a device that is not listed; of `subrosa_sync_vaults`, why a vault rests, empty if it
/// does not. Not NUL-terminated, valid until the list is closed.
/// Errors: `SUBROSA_INVALID_ARGUMENT` beyond the end. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_list_text_view(
    list: *const subrosa_list,
    index: usize,
    text: *mut *const c_char,
    len: *mut usize,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let text = caller.out(text);
    let len = caller.out(len);
    caller.run_on(list, || {
        let (text, len) = (text.required()?, len.required()?);
        let list = object(list)?;
        let item = list.text(index)?;
        text.set(item.as_ptr().cast());
        len.set(item.len());
        Ok(())
    })
}

/// The id of a vault in a list of vaults. Errors: `SUBROSA_INVALID_ARGUMENT` beyond the end and in other lists. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_list_vault_id(
    list: *const subrosa_list,
    index: usize,
    out: *mut subrosa_vault_id,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(list, || {
        out.required()?.set(object(list)?.vault(index)?.id.into());
        Ok(())
    })
}

/// A device in a list of devices. Errors: `SUBROSA_INVALID_ARGUMENT` beyond the end and in other lists. Since 0.1.
///
/// # Safety
/// Rules 2 and 3 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_list_device(
    list: *const subrosa_list,
    index: usize,
    out: *mut subrosa_device_info,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run_on(list, || {
        let out = caller.sized_out(out, true)?;
        out.set(&object(list)?.device(index)?.into());
        Ok(())
    })
}

/// A device in a list of `subrosa_vault_forks`. Errors: `SUBROSA_INVALID_ARGUMENT` beyond the end and in other lists. Since 0.1.
///
/// # Safety
/// Rules 2 and 3 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_list_forks(
    list: *const subrosa_list,
    index: usize,
    out: *mut subrosa_fork_info,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run_on(list, || {
        let out = caller.sized_out(out, true)?;
        out.set(&object(list)?.forks(index)?.into());
        Ok(())
    })
}

/// A device in a list of `subrosa_vault_held`. Errors: `SUBROSA_INVALID_ARGUMENT` beyond the end and in other lists. Since 0.1.
///
/// # Safety
/// Rules 2 and 3 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_list_held(
    list: *const subrosa_list,
    index: usize,
    out: *mut subrosa_held_info,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run_on(list, || {
        let out = caller.sized_out(out, true)?;
        out.set(&object(list)?.held(index)?.into());
        Ok(())
    })
}

/// A vault in a list of `subrosa_sync_vaults`. Errors: `SUBROSA_INVALID_ARGUMENT` beyond the end and in other lists. Since 0.1.
///
/// # Safety
/// Rules 2 and 3 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_list_sync_vault(
    list: *const subrosa_list,
    index: usize,
    out: *mut subrosa_sync_vault,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run_on(list, || {
        let out = caller.sized_out(out, true)?;
        out.set(&object(list)?.at_relay(index)?.into());
        Ok(())
    })
}

/// Closes a list. NULL, and a second time, are fine. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn subrosa_list_close(list: *mut subrosa_list) {
    quietly(|| drop(close(list)));
}
