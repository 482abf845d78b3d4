//! Devices.

use std::ffi::c_char;

use super::{
    Caller, Closing, handle, object, subrosa_device, subrosa_error, subrosa_key, subrosa_list,
    subrosa_public_key,
};
use crate::api::device::{DeviceObject, DeviceOptions};
use crate::api::list::ListObject;
use crate::api::task;
use crate::failure::Failure;
use crate::handles;
use crate::memory::{Sized32, subrosa_buf, subrosa_secret};
use crate::status::{SUBROSA_UNKNOWN_OPTION, SUBROSA_WOULD_DEADLOCK};
use zeroize::Zeroizing;

/// How a device is opened. All zero but `struct_size` is fine.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct subrosa_device_options {
    /// `sizeof(subrosa_device_options)`.
    pub struct_size: u32,
    /// 0.
    pub flags: u32,
    /// Memory for pages of the database, in plaintext; 0 for 16 MiB.
    pub cache_bytes: u64,
    /// What this device is called in lists of devices, 1 to 128 bytes without control characters; NULL for `"device"`. Used
    /// when a store is made, which keeps it; not looked at when one is opened.
    pub device_name: *const c_char,
    /// Its length in bytes.
    pub device_name_len: usize,
    /// How long a write with `tx` NULL waits, in milliseconds, for a write transaction that another thread holds, before it
    /// fails with `SUBROSA_BUSY`; 0 for as long as that takes.
    pub write_wait_ms: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: `repr(C)`, starts with a `u32`, and holds integers and raw pointers only.
unsafe impl Sized32 for subrosa_device_options {
    const ZERO: Self = Self {
        struct_size: 0,
        flags: 0,
        cache_bytes: 0,
        device_name: std::ptr::null(),
        device_name_len: 0,
        write_wait_ms: 0,
        reserved: 0,
    };
    const SIZE_MIN: usize = std::mem::offset_of!(Self, write_wait_ms);
}

/// What `subrosa_device_verify` checked and found. All is well if `bad_segments` is 0.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct subrosa_verify_report {
    /// `sizeof(subrosa_verify_report)`, set by the caller.
    pub struct_size: u32,
    /// 1 if the account of free pages was wrong and has been made anew.
    pub repaired: u32,
    /// Vaults checked.
    pub vaults: u64,
    /// Logs whose chain was walked.
    pub logs: u64,
    /// Segments whose place, chain and signature hold.
    pub segments: u64,
    /// Segments that do not.
    pub bad_segments: u64,
    /// Logs of devices that no control entry lists here so far. Not a fault.
    pub uncertified_logs: u64,
    /// Segments in quarantine.
    pub quarantined: u64,
}

// SAFETY: `repr(C)`, starts with a `u32`, and holds integers only.
unsafe impl Sized32 for subrosa_verify_report {
    const ZERO: Self = Self {
        struct_size: 0,
        repaired: 0,
        vaults: 0,
        logs: 0,
        segments: 0,
        bad_segments: 0,
        uncertified_logs: 0,
        quarantined: 0,
    };
    const SIZE_MIN: usize = size_of::<Self>();
}

/// How a store uses its file.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct subrosa_space_report {
    /// `sizeof(subrosa_space_report)`, set by the caller.
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// Length of the file.
    pub file_bytes: u64,
    /// Keys, values, and what finds them.
    pub live_bytes: u64,
    /// The rest. Compacting wins back a part of it.
    pub dead_bytes: u64,
}

// SAFETY: `repr(C)`, starts with a `u32`, and holds integers only.
unsafe impl Sized32 for subrosa_space_report {
    const ZERO: Self = Self { struct_size: 0, reserved: 0, file_bytes: 0, live_bytes: 0, dead_bytes: 0 };
    const SIZE_MIN: usize = size_of::<Self>();
}

impl Caller {
    /// Options, checked. NULL gives the defaults.
    pub(super) fn device_options(
        &self,
        options: *const subrosa_device_options,
    ) -> Result<DeviceOptions<'_>, Failure> {
        let options = self.read_sized(options)?.unwrap_or(subrosa_device_options::ZERO);
        if options.flags != 0 || options.reserved != 0 {
            return Err(Failure::new(SUBROSA_UNKNOWN_OPTION, "a flag that this version does not know"));
        }
        let name = self.text(options.device_name, options.device_name_len)?;
        Ok(DeviceOptions { cache_bytes: options.cache_bytes, name, write_wait_ms: options.write_wait_ms })
    }
}

/// Creates a store in the folder `dir`, which is made if it is not there. Only `key` opens it again; the handle of the key
/// may be closed. `options` may be NULL.
/// Errors: `SUBROSA_STORE_EXISTS`, `SUBROSA_STORE_LOCKED`, `SUBROSA_IO`, `SUBROSA_DISK_FULL`, what the key's provider
/// returns. Blocks for the disk. Since 0.1.
///
/// # Safety
/// Rules 1 to 3 of this library.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn subrosa_device_create(
    dir: *const c_char,
    dir_len: usize,
    key: *mut subrosa_key,
    options: *const subrosa_device_options,
    out: *mut *mut subrosa_device,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(key, || {
        let (dir, options, out) =
            (caller.text(dir, dir_len)?, caller.device_options(options)?, out.required()?);
        out.set(handle(DeviceObject::create(dir, &*object(key)?, &options)?)?);
        Ok(())
    })
}

/// Opens the store in the folder `dir`. One process opens a store at a time. `options` may be NULL.
/// Errors: `SUBROSA_STORE_MISSING`, `SUBROSA_WRONG_KEY`, `SUBROSA_STORE_LOCKED`, `SUBROSA_NEWER_FORMAT`, `SUBROSA_DAMAGED`,
/// `SUBROSA_NOT_A_STORE`, `SUBROSA_IO`, what the key's provider returns. Blocks for the disk; after a crash it reads the
/// whole file. Since 0.1.
///
/// # Safety
/// Rules 1 to 3 of this library.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn subrosa_device_open(
    dir: *const c_char,
    dir_len: usize,
    key: *mut subrosa_key,
    options: *const subrosa_device_options,
    out: *mut *mut subrosa_device,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(key, || {
        let (dir, options, out) =
            (caller.text(dir, dir_len)?, caller.device_options(options)?, out.required()?);
        out.set(handle(DeviceObject::open(dir, &*object(key)?, &options)?)?);
        Ok(())
    })
}

/// Closes a device: stops its sync, ends calls that wait (`SUBROSA_CLOSED`) and transactions that are open, waits for calls
/// and completions under way, closes the file. The handle is gone whatever this returns, but for
/// `SUBROSA_WOULD_DEADLOCK`. Handles of its vaults and of what belongs to them answer `SUBROSA_CLOSED` from now on (but for
/// the id and the name of a vault), and are still to be closed. NULL, and a second time, are fine; who closes it at the same
/// time waits, too. The same store can be opened again at once.
/// Errors: `SUBROSA_WOULD_DEADLOCK` from within a callback of its events or of a call on it; `SUBROSA_IO` if the file could
/// not be closed cleanly (what was committed is safe). Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_device_close(
    device: *mut subrosa_device,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run(|| {
        if device.is_null() {
            return Ok(());
        }
        let open = match handles::find::<DeviceObject>(device.addr()) {
            Ok(open) if task::is_in_callback_of(&open) => {
                return Err(Failure::new(SUBROSA_WOULD_DEADLOCK, "called from a callback of this device"));
            }
            Ok(open) => open,
            // Closed already.
            Err(failure) if failure.code == crate::status::SUBROSA_INVALID_HANDLE => return Ok(()),
            Err(failure) => return Err(failure),
        };
        // The handle goes last: who closes it meanwhile finds it, and waits.
        let _handle = Closing(device);
        open.close()
    })
}

/// The device's public key, which names it. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_device_public_key(
    device: *mut subrosa_device,
    out: *mut subrosa_public_key,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(device, || {
        out.required()?.set(object(device)?.device.public().into());
        Ok(())
    })
}

/// The name that the store was created with. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_device_name(
    device: *mut subrosa_device,
    out: *mut subrosa_buf,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(device, || {
        let out = out.required()?;
        out.set(subrosa_buf::new(object(device)?.device.name()?.into_bytes()));
        Ok(())
    })
}

/// Keeps the URL of a relay in the store, with its invite if it has one; empty text forgets it.
/// Errors: `SUBROSA_RELAY_ADDRESS`. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_device_set_relay(
    device: *mut subrosa_device,
    url: *const c_char,
    len: usize,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run_on(device, || object(device)?.set_relay(caller.text(url, len)?))
}

/// The URL of the relay that is kept in the store; empty if there is none. An invite in it is a secret, so it comes as one:
/// free it with `subrosa_secret_free`. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_device_relay(
    device: *mut subrosa_device,
    out: *mut subrosa_secret,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(device, || {
        let out = out.required()?;
        let relay = object(device)?.device.relay()?.map(|relay| Zeroizing::new(relay.to_string()));
        out.set(subrosa_secret::new(relay.unwrap_or_default().as_bytes()));
        Ok(())
    })
}

/// Before the system suspends the application: pauses sync, closes the sockets, waits up to `deadline_ms` for an open
/// write transaction (then it is aborted), closes the file and gives up its lock. Calls then answer `SUBROSA_SUSPENDED`
/// until `subrosa_resume`. Errors: `SUBROSA_IO` if the file could not be closed cleanly; it is closed all the same. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_suspend(
    device: *mut subrosa_device,
    deadline_ms: i32,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run_on(device, || object(device)?.suspend(deadline_ms))
}

/// Takes the file again after `subrosa_suspend`, and goes on with sync if it ran; does nothing otherwise. Errors: as
/// `subrosa_device_open`; the device then stays suspended. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_resume(device: *mut subrosa_device, err: *mut *mut subrosa_error) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run_on(device, || Ok(object(device)?.device.resume()?))
}

/// Says that the network has changed, as from Wi-Fi to mobile: sync uses a new socket, and tries again at once if it was
/// offline. Returns at once. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_network_changed(
    device: *mut subrosa_device,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run_on(device, || object(device)?.network_changed())
}

/// Reads and checks every page, chain, signature and certificate. Other calls wait meanwhile.
/// Errors: `SUBROSA_DAMAGED` for the first page that is not what was written; `SUBROSA_BUSY` while a transaction is open.
/// Since 0.1.
///
/// # Safety
/// Rules 2 and 3 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_device_verify(
    device: *mut subrosa_device,
    out: *mut subrosa_verify_report,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run_on(device, || {
        let out = caller.sized_out(out, true)?;
        let report = object(device)?.device.verify()?;
        out.set(&subrosa_verify_report {
            repaired: report.repaired.into(),
            vaults: report.vaults,
            logs: report.logs,
            segments: report.segments,
            bad_segments: report.bad_segments,
            uncertified_logs: report.uncertified_logs,
            quarantined: report.quarantined,
            ..subrosa_verify_report::ZERO
        });
        Ok(())
    })
}

/// Gives free pages back to the file system. Other calls wait meanwhile. Errors: `SUBROSA_BUSY` while a transaction is
/// open, `SUBROSA_IO`, `SUBROSA_DISK_FULL`. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_device_compact(
    device: *mut subrosa_device,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run_on(device, || Ok(object(device)?.device.compact()?))
}

/// How the file is used. Reads every page. Since 0.1.
///
/// # Safety
/// Rules 2 and 3 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_device_space(
    device: *mut subrosa_device,
    out: *mut subrosa_space_report,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run_on(device, || {
        let out = caller.sized_out(out, true)?;
        let space = object(device)?.device.space()?;
        out.set(&subrosa_space_report {
            file_bytes: space.file_bytes,
            live_bytes: space.live_bytes,
            dead_bytes: space.dead_bytes,
            ..subrosa_space_report::ZERO
        });
        Ok(())
    })
}

/// The vaults of the device, the home vault first: `subrosa_list_text_view` has their names, `subrosa_list_vault_id` their
/// ids. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_device_vaults(
    device: *mut subrosa_device,
    out: *mut *mut subrosa_list,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(device, || {
        let out = out.required()?;
        out.set(handle(ListObject::vaults(object(device)?.device.vaults()?))?);
        Ok(())
    })
}
