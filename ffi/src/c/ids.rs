//! Ids of records.

use std::ffi::c_char;

use subrosa::RecordId;

use super::library::quietly;
use super::{Caller, subrosa_error};
use crate::failure::Failure;
use crate::memory::blank;
use crate::status::SUBROSA_NOT_AN_ID;

/// Characters of an id's text, without the NUL.
pub const SUBROSA_ID_TEXT_LEN: usize = 36;

/// Names a record within its collection. Any 16 bytes are an id; they are compared in this order.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct subrosa_id {
    /// The bytes.
    pub bytes: [u8; 16],
}

blank!(subrosa_id = Self { bytes: [0; 16] });

impl From<RecordId> for subrosa_id {
    fn from(id: RecordId) -> Self {
        Self { bytes: *id.as_bytes() }
    }
}

impl From<subrosa_id> for RecordId {
    fn from(id: subrosa_id) -> Self {
        Self::from_bytes(id.bytes)
    }
}

/// Reads the text form of an id: a UUID with hyphens, in either case. Errors: `SUBROSA_NOT_AN_ID`. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_id_parse(
    text: *const c_char,
    len: usize,
    out: *mut subrosa_id,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run(|| {
        let (text, out) = (caller.text(text, len)?, out.required()?);
        let id: RecordId = text.parse().map_err(|error| Failure::of(SUBROSA_NOT_AN_ID, &error))?;
        out.set(id.into());
        Ok(())
    })
}

/// The id that stands for a name: the same in every collection, vault and device. Names are compared byte by byte.
/// Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_id_from_name(
    name: *const c_char,
    len: usize,
    out: *mut subrosa_id,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run(|| {
        let (name, out) = (caller.text(name, len)?, out.required()?);
        out.set(RecordId::from_name(name).into());
        Ok(())
    })
}

/// Writes an id as text: 36 characters, lower case, and a NUL. Does nothing if either is NULL. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library; `text` has room for 37 bytes.
///
/// cbindgen:ptrs-as-arrays=[[text; 37]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_id_text(id: *const subrosa_id, text: *mut c_char) {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(std::ptr::null_mut()) };
    let Some(id) = caller.optional(id) else { return };
    let out = caller.out(text.cast::<[u8; SUBROSA_ID_TEXT_LEN + 1]>());
    out.set(
        quietly(|| {
            let mut text = [0; SUBROSA_ID_TEXT_LEN + 1];
            text[..SUBROSA_ID_TEXT_LEN].copy_from_slice(RecordId::from(id).to_string().as_bytes());
            Text(text)
        })
        .0,
    );
}

/// The text of an id, NUL included.
struct Text([u8; SUBROSA_ID_TEXT_LEN + 1]);

impl Default for Text {
    fn default() -> Self {
        Self([0; SUBROSA_ID_TEXT_LEN + 1])
    }
}
