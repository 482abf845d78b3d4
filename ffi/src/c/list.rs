//! Lists.

use std::ffi::c_char;

use subrosa::{DeviceInfo, DeviceRole};

use super::library::quietly;
use super::{Caller, close, object, subrosa_error, subrosa_list, subrosa_public_key, subrosa_vault_id};
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

/// How many items; 0 for NULL and for what is no list. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn subrosa_list_len(list: *const subrosa_list) -> usize {
    quietly(|| object(list).map_or(0, |list| list.len()))
}

/// The name of a vault, device or collection: not NUL-terminated, valid until the list is closed.
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

/// Closes a list. NULL, and a second time, are fine. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn subrosa_list_close(list: *mut subrosa_list) {
    quietly(|| drop(close(list)));
}
