//! Vaults, and the names of their collections.

use std::ffi::c_char;
use std::sync::Arc;

use subrosa::VaultId;

use super::library::quietly;
use super::{
    Caller, close, handle, object, subrosa_collection, subrosa_device, subrosa_error, subrosa_list,
    subrosa_vault,
};
use crate::api::list::ListObject;
use crate::api::vault::VaultObject;
use crate::memory::{blank, subrosa_buf};

/// Names a vault, the same on every device.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct subrosa_vault_id {
    /// The bytes.
    pub bytes: [u8; 32],
}

blank!(subrosa_vault_id = Self { bytes: [0; 32] });

impl From<VaultId> for subrosa_vault_id {
    fn from(id: VaultId) -> Self {
        Self { bytes: *id.as_bytes() }
    }
}

/// Founds a vault. Works offline; a relay learns of it at the first sync. The first vault of a device is its home vault,
/// into which other devices are paired. Errors: `SUBROSA_VAULT_EXISTS`, `SUBROSA_VAULT_NAME`; what the key's provider returns;
/// `SUBROSA_BUSY`, `SUBROSA_SUSPENDED`, `SUBROSA_IO`, `SUBROSA_DISK_FULL` as for a write. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_vault_create(
    device: *mut subrosa_device,
    name: *const c_char,
    len: usize,
    out: *mut *mut subrosa_vault,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(device, || {
        let (name, out) = (caller.text(name, len)?, out.required()?);
        out.set(handle(VaultObject::create(object(device)?, name)?)?);
        Ok(())
    })
}

/// A vault by its name on this device. Errors: `SUBROSA_NO_VAULT`. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_vault_open(
    device: *mut subrosa_device,
    name: *const c_char,
    len: usize,
    out: *mut *mut subrosa_vault,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(device, || {
        let (name, out) = (caller.text(name, len)?, out.required()?);
        out.set(handle(VaultObject::open(object(device)?, name)?)?);
        Ok(())
    })
}

/// A vault by its id. Errors: `SUBROSA_NO_VAULT`. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_vault_open_by_id(
    device: *mut subrosa_device,
    id: *const subrosa_vault_id,
    out: *mut *mut subrosa_vault,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(device, || {
        let (id, out) = (caller.value(id)?, out.required()?);
        out.set(handle(VaultObject::open_by_id(object(device)?, id.bytes)?)?);
        Ok(())
    })
}

/// Closes the handle of a vault. NULL, and a second time, are fine. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn subrosa_vault_close(vault: *mut subrosa_vault) {
    quietly(|| drop(close(vault)));
}

/// The vault's id. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_vault_id_of(
    vault: *mut subrosa_vault,
    out: *mut subrosa_vault_id,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(vault, || {
        out.required()?.set(object(vault)?.vault.id().into());
        Ok(())
    })
}

/// The vault's name on this device. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_vault_name(
    vault: *mut subrosa_vault,
    out: *mut subrosa_buf,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(vault, || {
        let out = out.required()?;
        out.set(subrosa_buf::new(object(vault)?.vault.name().as_bytes().to_vec()));
        Ok(())
    })
}

/// Names of the collections that hold a record, sorted. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_vault_collections(
    vault: *mut subrosa_vault,
    out: *mut *mut subrosa_list,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(vault, || {
        let out = out.required()?;
        out.set(handle(Arc::new(ListObject::Names(object(vault)?.vault.collections()?)))?);
        Ok(())
    })
}

/// The devices that belong to the vault, most senior first: `subrosa_list_text_view` has their names, `subrosa_list_device`
/// the rest. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_vault_devices(
    vault: *mut subrosa_vault,
    out: *mut *mut subrosa_list,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(vault, || {
        let out = out.required()?;
        let vault = object(vault)?;
        vault.device.check_open()?;
        out.set(handle(Arc::new(ListObject::Devices(vault.vault.devices()?)))?);
        Ok(())
    })
}

/// The devices whose logs have several futures in the vault, because their stores were copied or put back from a backup:
/// `subrosa_list_text_view` has their names, `subrosa_list_forks` the rest. `SUBROSA_EVENT_FORKED` says that there is another one. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_vault_forks(
    vault: *mut subrosa_vault,
    out: *mut *mut subrosa_list,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(vault, || {
        let out = out.required()?;
        let vault = object(vault)?;
        vault.device.check_open()?;
        out.set(handle(Arc::new(ListObject::Forks(vault.vault.forks()?)))?);
        Ok(())
    })
}

/// The devices of whose edits something is held for this device's clock: `subrosa_list_text_view` has their names, `subrosa_list_held` how
/// much, and until when. `SUBROSA_EVENT_HELD` says when that changes. `clock_is_late`, which may be NULL, becomes true if everybody's is held
/// that has written something: then it is probably this device's own clock that is wrong. Costs nothing while nothing is held. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_vault_held(
    vault: *mut subrosa_vault,
    out: *mut *mut subrosa_list,
    clock_is_late: *mut bool,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let (out, clock_is_late) = (caller.out(out), caller.out(clock_is_late));
    caller.run_on(vault, || {
        let out = out.required()?;
        let vault = object(vault)?;
        vault.device.check_open()?;
        let held = vault.vault.held()?;
        out.set(handle(Arc::new(ListObject::Held(held.devices)))?);
        clock_is_late.set(held.clock_is_late);
        Ok(())
    })
}

/// Whether an admin of the vault has written what only a newer version understands: it is read and received, and nothing that is written
/// here is sent before the application is updated. `SUBROSA_EVENT_UPDATE_NEEDED` says it as it happens. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_vault_is_update_needed(
    vault: *mut subrosa_vault,
    out: *mut bool,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(vault, || {
        let out = out.required()?;
        let vault = object(vault)?;
        vault.device.check_open()?;
        out.set(vault.vault.is_update_needed()?);
        Ok(())
    })
}

/// How much waits for sealing: records with edits that no segment holds yet, and parts of bulk writes. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_vault_pending(
    vault: *mut subrosa_vault,
    out: *mut u64,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(vault, || {
        let out = out.required()?;
        out.set(object(vault)?.vault.pending()?);
        Ok(())
    })
}

/// How many sealed segments are held here, and how many of them `relay` (NULL and 0: the stored one) is known to hold
/// durably. Either result may be NULL. Errors: `SUBROSA_RELAY_ADDRESS`, `SUBROSA_NO_RELAY`. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_vault_delivery(
    vault: *mut subrosa_vault,
    relay: *const c_char,
    len: usize,
    held: *mut u64,
    acknowledged: *mut u64,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let (held, acknowledged) = (caller.out(held), caller.out(acknowledged));
    caller.run_on(vault, || {
        let delivery = object(vault)?.delivery(caller.text(relay, len)?)?;
        held.set(delivery.0);
        acknowledged.set(delivery.1);
        Ok(())
    })
}

/// A collection of a vault. It need not hold anything yet. Errors: `SUBROSA_COLLECTION_NAME`. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_collection_open(
    vault: *mut subrosa_vault,
    name: *const c_char,
    len: usize,
    out: *mut *mut subrosa_collection,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(vault, || {
        let (name, out) = (caller.text(name, len)?, out.required()?);
        out.set(handle(object(vault)?.collection(name)?)?);
        Ok(())
    })
}

/// Closes the handle of a collection. NULL, and a second time, are fine. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn subrosa_collection_close(collection: *mut subrosa_collection) {
    quietly(|| drop(close(collection)));
}
