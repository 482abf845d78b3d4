//! What crosses the border as memory: inputs of the caller, outputs of the caller, and buffers of ours.
//!
//! The lengths of inputs are checked here, and nothing is read before that. Outputs are blank from the start of a call,
//! so that they are written on every path.

use std::ffi::c_char;
use std::marker::PhantomData;
use std::mem::size_of;

use zeroize::Zeroize as _;

use crate::failure::Failure;
use crate::status::{
    SUBROSA_INVALID_ARGUMENT, SUBROSA_INVALID_UTF8, SUBROSA_TOO_LARGE, SUBROSA_UNKNOWN_OPTION,
};

/// Longest input of any call, in bytes: more is refused before it is read.
pub const SUBROSA_INPUT_BYTES_MAX: usize = 1 << 30;

/// Bytes or text of the library's. Free with `subrosa_buf_free`. `data` is NULL when `len` is 0.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct subrosa_buf {
    /// The bytes.
    pub data: *mut u8,
    /// How many.
    pub len: usize,
    /// The library's own note.
    pub cap: usize,
}

/// A secret of the library's. Free with `subrosa_secret_free`, which wipes it first. `data` is NULL when `len` is 0.
#[repr(C)]
pub struct subrosa_secret {
    /// The bytes.
    pub data: *mut u8,
    /// How many.
    pub len: usize,
    /// The library's own note.
    pub cap: usize,
}

impl subrosa_buf {
    /// Hands bytes over to the caller.
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        let (data, len, cap) = give(bytes);
        Self { data, len, cap }
    }

    /// Takes them back; blank afterwards.
    ///
    /// # Safety
    /// The struct is as [`Self::new`] made it, or blank.
    pub(crate) unsafe fn free(&mut self) {
        let blank = std::mem::replace(self, Self::BLANK);
        // SAFETY: what the caller promises; the struct no longer says so.
        drop(unsafe { take(blank.data, blank.len, blank.cap) });
    }
}

impl subrosa_secret {
    /// Hands a secret over to the caller.
    pub(crate) fn new(bytes: &[u8]) -> Self {
        // A vector of exactly this size does not move, which would leave a copy behind.
        let (data, len, cap) = give(bytes.to_vec());
        Self { data, len, cap }
    }

    /// Wipes it; blank afterwards.
    ///
    /// # Safety
    /// As [`subrosa_buf::free`].
    pub(crate) unsafe fn free(&mut self) {
        let blank = std::mem::replace(self, Self::BLANK);
        // SAFETY: what the caller promises; the struct no longer says so.
        unsafe { take(blank.data, blank.len, blank.cap) }.zeroize();
    }
}

/// Takes a vector apart for C.
fn give(bytes: Vec<u8>) -> (*mut u8, usize, usize) {
    if bytes.is_empty() {
        return (std::ptr::null_mut(), 0, 0);
    }
    let mut bytes = std::mem::ManuallyDrop::new(bytes);
    (bytes.as_mut_ptr(), bytes.len(), bytes.capacity())
}

/// Undoes [`give`].
///
/// # Safety
/// The three are what `give` returned, once.
unsafe fn take(data: *mut u8, len: usize, cap: usize) -> Vec<u8> {
    if data.is_null() || cap == 0 || len > cap {
        return Vec::new();
    }
    // SAFETY: these were the parts of a vector, and nobody else has taken it back.
    unsafe { Vec::from_raw_parts(data, len, cap) }
}

/// What an output holds until there is something better.
pub(crate) trait Blank {
    /// Zero, NULL, false.
    const BLANK: Self;
}

impl<T> Blank for *mut T {
    const BLANK: Self = std::ptr::null_mut();
}

impl<T> Blank for *const T {
    const BLANK: Self = std::ptr::null();
}

macro_rules! blank {
    ($($type:ty = $blank:expr),* $(,)?) => {
        $(impl $crate::memory::Blank for $type {
            const BLANK: Self = $blank;
        })*
    };
}
pub(crate) use blank;

blank!(
    bool = false,
    i32 = 0,
    i64 = 0,
    u64 = 0,
    usize = 0,
    f64 = 0.0,
    subrosa_buf = Self { data: std::ptr::null_mut(), len: 0, cap: 0 },
    subrosa_secret = Self { data: std::ptr::null_mut(), len: 0, cap: 0 },
);

impl<const N: usize> Blank for [u8; N] {
    const BLANK: Self = [0; N];
}

/// A place of the caller's for a result; it holds a blank until then.
pub(crate) struct Out<'a, T> {
    place: *mut T,
    call: PhantomData<&'a mut T>,
}

impl<'a, T: Blank> Out<'a, T> {
    /// Makes the place blank.
    ///
    /// # Safety
    /// `place` is NULL, or valid for writes of a `T` for `'a`.
    pub(crate) unsafe fn new(place: *mut T) -> Self {
        if !place.is_null() {
            // SAFETY: what the caller promises.
            unsafe { place.write(T::BLANK) };
        }
        Self { place, call: PhantomData }
    }

    /// Refuses NULL.
    pub(crate) fn required(self) -> Result<Self, Failure> {
        if self.place.is_null() { Err(null("an output is NULL")) } else { Ok(self) }
    }

    /// Writes the result; nowhere, if the caller does not want it.
    pub(crate) fn set(self, value: T) {
        if !self.place.is_null() {
            // SAFETY: `new` was promised a valid place, for a time that this borrow does not outlive.
            unsafe { self.place.write(value) };
        }
    }
}

/// A struct that starts with its size, which tells the caller's version of it from ours.
///
/// # Safety
/// The type is `repr(C)`, starts with a `u32`, and any bytes are a valid value of it.
pub(crate) unsafe trait Sized32: Copy {
    /// Zero everywhere.
    const ZERO: Self;
    /// What the first version of the struct had.
    const SIZE_MIN: usize;
}

/// Reads a struct of the caller's, in his version: what he does not have is zero, what we do not know must be.
///
/// # Safety
/// `place` is NULL, or valid for reads of as many bytes as its first `u32` says.
pub(crate) unsafe fn read_sized<T: Sized32>(place: *const T) -> Result<Option<T>, Failure> {
    if place.is_null() {
        return Ok(None);
    }
    // SAFETY: the struct starts with its size.
    let theirs = unsafe { place.cast::<u32>().read_unaligned() } as usize;
    if theirs < T::SIZE_MIN || theirs > STRUCT_BYTES_MAX {
        return Err(Failure::new(SUBROSA_INVALID_ARGUMENT, "struct_size is not the size of the struct"));
    }
    // SAFETY: the caller promises as many bytes.
    let bytes = unsafe { std::slice::from_raw_parts(place.cast::<u8>(), theirs) };
    let ours = size_of::<T>();
    if bytes.get(ours..).is_some_and(|tail| tail.iter().any(|byte| *byte != 0)) {
        return Err(Failure::new(SUBROSA_UNKNOWN_OPTION, "an option of a newer version of the library"));
    }
    let mut value = T::ZERO;
    // SAFETY: at most as many bytes as either has, and any bytes are a value of the type.
    unsafe {
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), (&raw mut value).cast::<u8>(), theirs.min(ours));
    }
    Ok(Some(value))
}

/// A report that the caller wants, in his version of its struct.
pub(crate) struct SizedOut<'a, T> {
    place: *mut T,
    bytes: usize,
    call: PhantomData<&'a mut T>,
}

impl<T: Sized32> SizedOut<'_, T> {
    /// Makes the place blank, but for its size; NULL where `required` is false wants no report.
    ///
    /// # Safety
    /// `place` is NULL, or valid for reads and writes of as many bytes as its first `u32` says, for `'a`.
    pub(crate) unsafe fn new(place: *mut T, required: bool) -> Result<Self, Failure> {
        if place.is_null() {
            let none = Self { place, bytes: 0, call: PhantomData };
            return if required { Err(null("an output is NULL")) } else { Ok(none) };
        }
        // SAFETY: the struct starts with its size.
        let theirs = unsafe { place.cast::<u32>().read_unaligned() } as usize;
        if theirs < T::SIZE_MIN || theirs > STRUCT_BYTES_MAX {
            return Err(Failure::new(SUBROSA_INVALID_ARGUMENT, "struct_size is not the size of the struct"));
        }
        // SAFETY: the caller promises as many bytes.
        let rest = unsafe { place.cast::<u8>().add(size_of::<u32>()) };
        // SAFETY: as above.
        unsafe { rest.write_bytes(0, theirs - size_of::<u32>()) };
        Ok(Self { place, bytes: theirs, call: PhantomData })
    }

    /// Writes the report, as much of it as the caller knows, but not over its size.
    pub(crate) fn set(self, value: &T) {
        let head = size_of::<u32>();
        let Some(bytes) = self.bytes.min(size_of::<T>()).checked_sub(head) else { return };
        // SAFETY: within a value of the type.
        let from = unsafe { std::ptr::from_ref(value).cast::<u8>().add(head) };
        // SAFETY: within the caller's struct, as `new` was promised.
        let to = unsafe { self.place.cast::<u8>().add(head) };
        // SAFETY: both have that many bytes, and do not overlap: one is ours.
        unsafe { std::ptr::copy_nonoverlapping(from, to, bytes) };
    }
}

/// No struct of any version is larger: more is a mistake, not a newer version.
const STRUCT_BYTES_MAX: usize = 4096;

/// Bytes of the caller's.
///
/// # Safety
/// `data` is NULL, or valid for reads of `len` bytes for `'a`, which nobody changes meanwhile.
pub(crate) unsafe fn bytes<'a>(data: *const u8, len: usize) -> Result<&'a [u8], Failure> {
    if len == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(null("data is NULL, and its length is not 0"));
    }
    if isize::try_from(len).is_err() {
        return Err(Failure::new(SUBROSA_INVALID_ARGUMENT, "a length is beyond PTRDIFF_MAX"));
    }
    if len > SUBROSA_INPUT_BYTES_MAX {
        return Err(Failure::new(SUBROSA_TOO_LARGE, "an input is over SUBROSA_INPUT_BYTES_MAX"));
    }
    // SAFETY: what the caller promises; not NULL, and no longer than an object can be.
    Ok(unsafe { std::slice::from_raw_parts(data, len) })
}

/// Text of the caller's.
///
/// # Safety
/// As [`bytes`].
pub(crate) unsafe fn text<'a>(data: *const c_char, len: usize) -> Result<&'a str, Failure> {
    // SAFETY: what the caller promises.
    let bytes = unsafe { bytes(data.cast(), len) }?;
    std::str::from_utf8(bytes).map_err(|_| Failure::new(SUBROSA_INVALID_UTF8, "text is not UTF-8"))
}

/// A value that the caller points at.
///
/// # Safety
/// `place` is NULL, or valid for reads of a `T`.
pub(crate) unsafe fn value<T: Copy>(place: *const T) -> Result<T, Failure> {
    if place.is_null() {
        return Err(null("an input is NULL"));
    }
    // SAFETY: what the caller promises.
    Ok(unsafe { place.read_unaligned() })
}

/// As [`value`], `None` for NULL.
///
/// # Safety
/// As [`value`].
pub(crate) unsafe fn optional<T: Copy>(place: *const T) -> Option<T> {
    if place.is_null() {
        return None;
    }
    // SAFETY: what the caller promises.
    Some(unsafe { place.read_unaligned() })
}

pub(crate) fn null(message: &str) -> Failure {
    Failure::new(SUBROSA_INVALID_ARGUMENT, message)
}
