//! Keys and sessions.

use std::ffi::c_void;
use std::sync::Arc;

use subrosa::PublicKey;

use super::library::quietly;
use super::{
    Caller, User, close, handle, object, subrosa_error, subrosa_free_fn, subrosa_key, subrosa_session,
};
use crate::api::keys::{HostKey, KeyObject, SessionObject};
use crate::failure::Failure;
use crate::memory::{Sized32, blank, subrosa_buf, subrosa_secret};
use crate::status::{SUBROSA_BAD_SIGNATURE, SUBROSA_UNKNOWN_OPTION};

/// A public key: 65 bytes, the uncompressed form of SEC 1 (`04 | X | Y`). It names a device.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct subrosa_public_key {
    /// The bytes.
    pub bytes: [u8; 65],
}

blank!(subrosa_public_key = Self { bytes: [0; 65] });

impl From<PublicKey> for subrosa_public_key {
    fn from(key: PublicKey) -> Self {
        Self { bytes: *key.as_bytes() }
    }
}

impl subrosa_public_key {
    fn check(&self) -> Result<PublicKey, Failure> {
        Ok(PublicKey::from_sec1(&self.bytes)?)
    }
}

/// Computes ECDH with `peer`: the X coordinate of the shared point, 32 bytes big endian, leading zeros kept. 0, or the
/// provider's own code. May block, as for a fingerprint. Called on the thread that needs it, which may be the library's;
/// must not call the library. Asked when a device is made (twice: once to check that what it answers fits the public key),
/// opened and resumed, when a session is made, and when this device is let into a vault. Suspending and closing the device
/// wait while it is asked for opening or resuming, and only then.
pub type subrosa_agree_fn = Option<
    unsafe extern "C" fn(user: *mut c_void, peer: *const subrosa_public_key, shared_x: *mut u8) -> i32,
>;

/// Signs the SHA-256 of a message with ECDSA: `r | s`, 64 bytes; any `s` is fine. As `subrosa_agree_fn` otherwise. Asked when
/// a vault is founded, when a device is let in, on both sides, and, also by the thread that syncs, when new logs are begun:
/// for a store that came back from a copy, or whose clock was far ahead. Nothing else waits while it is asked, but for
/// opening and resuming.
pub type subrosa_sign_fn = Option<
    unsafe extern "C" fn(user: *mut c_void, message: *const u8, len: usize, signature: *mut u8) -> i32,
>;

/// A P-256 key that lives elsewhere: in a Secure Enclave, StrongBox or TPM.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct subrosa_key_provider {
    /// `sizeof(subrosa_key_provider)`.
    pub struct_size: u32,
    /// 0.
    pub flags: u32,
    /// Passed to the callbacks.
    pub user: *mut c_void,
    /// Called with `user` once the key is not needed any more, or at once if making it fails.
    pub user_free: subrosa_free_fn,
    /// The public half.
    pub public_key: subrosa_public_key,
    /// Key agreement.
    pub agree: subrosa_agree_fn,
    /// Signing.
    pub sign: subrosa_sign_fn,
}

// SAFETY: `repr(C)`, starts with a `u32`; NULL is a function that is not there, and any other address is one by rule 4.
unsafe impl Sized32 for subrosa_key_provider {
    const ZERO: Self = Self {
        struct_size: 0,
        flags: 0,
        user: std::ptr::null_mut(),
        user_free: None,
        public_key: subrosa_public_key { bytes: [0; 65] },
        agree: None,
        sign: None,
    };
    const SIZE_MIN: usize = size_of::<Self>();
}

/// A provider's functions.
struct Provider {
    user: User,
    public: PublicKey,
    agree: unsafe extern "C" fn(*mut c_void, *const subrosa_public_key, *mut u8) -> i32,
    sign: unsafe extern "C" fn(*mut c_void, *const u8, usize, *mut u8) -> i32,
}

impl HostKey for Provider {
    fn public(&self) -> PublicKey {
        self.public
    }

    fn agree(&self, peer: &[u8; 65], shared_x: &mut [u8; 32]) -> Result<(), i32> {
        let peer = subrosa_public_key { bytes: *peer };
        // SAFETY: rule 4 of this library.
        match self.user.call(|user| unsafe { (self.agree)(user, &raw const peer, shared_x.as_mut_ptr()) }) {
            0 => Ok(()),
            code => Err(code),
        }
    }

    fn sign(&self, message: &[u8], signature: &mut [u8; 64]) -> Result<(), i32> {
        // SAFETY: rule 4 of this library.
        match self.user.call(|user| unsafe {
            (self.sign)(user, message.as_ptr(), message.len(), signature.as_mut_ptr())
        }) {
            0 => Ok(()),
            code => Err(code),
        }
    }
}

/// Makes a new key pair in memory. Keep it (`subrosa_key_to_pkcs8`) in the keystore of the system: nothing else opens what
/// it sealed. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_key_generate(
    out: *mut *mut subrosa_key,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run(|| {
        out.required()?.set(handle(Arc::new(KeyObject::generate()))?);
        Ok(())
    })
}

/// Reads an unencrypted PKCS#8 key of P-256: DER of 67, 79, 138 or 150 bytes. `der` is copied; wipe yours.
/// Errors: `SUBROSA_KEY_ENCODING`, `SUBROSA_KEY_RANGE`, `SUBROSA_KEY_MISMATCH`. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_key_from_pkcs8(
    der: *const u8,
    len: usize,
    out: *mut *mut subrosa_key,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run(|| {
        let der = caller.bytes(der, len)?;
        out.required()?.set(handle(Arc::new(KeyObject::from_pkcs8(der)?))?);
        Ok(())
    })
}

/// Writes a key in memory as PKCS#8 DER, 138 bytes. Errors: `SUBROSA_KEY_NOT_EXPORTABLE` for a provider's key. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_key_to_pkcs8(
    key: *mut subrosa_key,
    out: *mut subrosa_secret,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(key, || {
        let out = out.required()?;
        out.set(subrosa_secret::new(&object(key)?.to_pkcs8()?));
        Ok(())
    })
}

/// The public half. Since 0.1.
///
/// # Safety
/// Rule 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_key_public(
    key: *mut subrosa_key,
    out: *mut subrosa_public_key,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(key, || {
        out.required()?.set(object(key)?.provider.public().into());
        Ok(())
    })
}

/// Signs `label | message` (ECDSA, SHA-256): `r | s` with a low `s`. Errors: what a provider returns. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library; `signature` has room for 64 bytes.
///
/// cbindgen:ptrs-as-arrays=[[signature; 64]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_key_sign(
    key: *mut subrosa_key,
    label: *const u8,
    label_len: usize,
    message: *const u8,
    message_len: usize,
    signature: *mut u8,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let signature = caller.out(signature.cast::<[u8; 64]>());
    caller.run_on(key, || {
        let (label, message) = (caller.bytes(label, label_len)?, caller.bytes(message, message_len)?);
        signature.required()?.set(object(key)?.sign(label, message)?);
        Ok(())
    })
}

/// Makes a key of a provider's functions. The struct is copied; `user` is the library's from now on, even if this fails.
/// `agree` and `sign` are called during calls that need the key (opening a device, founding a vault, pairing, syncing).
/// Errors: `SUBROSA_INVALID_ARGUMENT` without one of the functions, `SUBROSA_NOT_ON_CURVE`, `SUBROSA_UNKNOWN_OPTION`.
/// Since 0.1.
///
/// # Safety
/// Rules 2, 3 and 4 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_key_from_provider(
    provider: *const subrosa_key_provider,
    out: *mut *mut subrosa_key,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run(|| {
        let null = || crate::memory::null("a provider, or one of its functions, is NULL");
        // Whatever is wrong with the rest, `user` is ours as soon as we have seen it.
        let user = caller.user_of(provider);
        let provider = caller.read_sized(provider)?.ok_or_else(null)?;
        if provider.flags != 0 {
            return Err(Failure::new(SUBROSA_UNKNOWN_OPTION, "a flag that this version does not know"));
        }
        let public = provider.public_key.check()?;
        let (agree, sign) = (provider.agree.ok_or_else(null)?, provider.sign.ok_or_else(null)?);
        let key = KeyObject::hosted(Provider { user, public, agree, sign });
        out.required()?.set(handle(Arc::new(key))?);
        Ok(())
    })
}

impl Caller {
    /// The `user` of a provider whose struct may be of another version: it is in all of them.
    fn user_of(&self, provider: *const subrosa_key_provider) -> User {
        const NONE: User = User::new(std::ptr::null_mut(), None);
        if provider.is_null() {
            return NONE;
        }
        // SAFETY: the struct starts with its size.
        let size = unsafe { provider.cast::<u32>().read_unaligned() } as usize;
        let end = std::mem::offset_of!(subrosa_key_provider, public_key);
        if size < end {
            return NONE;
        }
        // SAFETY: within the struct's bytes.
        let user = unsafe { &raw const (*provider).user };
        // SAFETY: as above.
        let free = unsafe { &raw const (*provider).user_free };
        // SAFETY: as above.
        let user = unsafe { user.read_unaligned() };
        // SAFETY: as above.
        User::new(user, unsafe { free.read_unaligned() })
    }
}

/// Closes a key; devices and sessions opened with it go on. NULL, and a second time, are fine. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn subrosa_key_close(key: *mut subrosa_key) {
    quietly(|| drop(close(key)));
}

/// Whether these bytes are a point of P-256 in the uncompressed form. Errors: `SUBROSA_KEY_ENCODING`,
/// `SUBROSA_NOT_ON_CURVE`. Since 0.1.
///
/// # Safety
/// Rule 1 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_public_key_check(
    key: *const subrosa_public_key,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run(|| caller.value(key)?.check().map(drop))
}

/// Reads a public key from SubjectPublicKeyInfo DER (RFC 5480), 91 bytes. Errors: `SUBROSA_KEY_ENCODING`,
/// `SUBROSA_NOT_ON_CURVE`. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_public_key_from_spki(
    der: *const u8,
    len: usize,
    out: *mut subrosa_public_key,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run(|| {
        out.required()?.set(PublicKey::from_spki_der(caller.bytes(der, len)?)?.into());
        Ok(())
    })
}

/// Writes a public key as SubjectPublicKeyInfo DER (RFC 5480). Errors: as `subrosa_public_key_check`. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library; `der` has room for 91 bytes.
///
/// cbindgen:ptrs-as-arrays=[[der; 91]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_public_key_to_spki(
    key: *const subrosa_public_key,
    der: *mut u8,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let der = caller.out(der.cast::<[u8; 91]>());
    caller.run(|| {
        der.required()?.set(caller.value(key)?.check()?.to_spki_der());
        Ok(())
    })
}

/// Checks a signature of `subrosa_key_sign`. Errors: `SUBROSA_BAD_SIGNATURE`, whatever is wrong with it. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library; `signature` has 64 bytes.
///
/// cbindgen:ptrs-as-arrays=[[signature; 64]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_public_key_verify(
    key: *const subrosa_public_key,
    label: *const u8,
    label_len: usize,
    message: *const u8,
    message_len: usize,
    signature: *const u8,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    caller.run(|| {
        let (label, message) = (caller.bytes(label, label_len)?, caller.bytes(message, message_len)?);
        let signature = caller.value(signature.cast::<[u8; 64]>())?;
        let verified = caller.value(key)?.check()?.verify(label, message, &signature);
        verified.map_err(|error| Failure::of(SUBROSA_BAD_SIGNATURE, &error))
    })
}

/// Opens the session of a key with itself: for what only its owner shall read. `context` says what it is for; another
/// context is another session. Errors: `SUBROSA_INVALID_ARGUMENT` for a profile that is none, or takes no context. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_session_self(
    key: *mut subrosa_key,
    profile: i32,
    context: *const u8,
    context_len: usize,
    out: *mut *mut subrosa_session,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(key, || {
        let context = caller.bytes(context, context_len)?;
        let session = SessionObject::new(&*object(key)?, None, profile, context)?;
        out.required()?.set(handle(Arc::new(session))?);
        Ok(())
    })
}

/// Opens the session with another key. Both sides get the same one. Errors: `SUBROSA_PEER_IS_SELF`,
/// `SUBROSA_NOT_ON_CURVE`, and as `subrosa_session_self`. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_session_peer(
    key: *mut subrosa_key,
    peer: *const subrosa_public_key,
    profile: i32,
    context: *const u8,
    context_len: usize,
    out: *mut *mut subrosa_session,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(key, || {
        let context = caller.bytes(context, context_len)?;
        let peer = caller.value(peer)?.check()?;
        let session = SessionObject::new(&*object(key)?, Some(&peer), profile, context)?;
        out.required()?.set(handle(Arc::new(session))?);
        Ok(())
    })
}

/// Seals bytes: `nonce[12] | ciphertext | tag[16]`, 28 bytes longer. `aad` is authenticated and not sent; both sides must
/// come to the same. Errors: `SUBROSA_NO_AAD_HERE`, `SUBROSA_TOO_LARGE`. Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_session_seal(
    session: *mut subrosa_session,
    aad: *const u8,
    aad_len: usize,
    plain: *const u8,
    plain_len: usize,
    out: *mut subrosa_buf,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(session, || {
        let (aad, plain) = (caller.bytes(aad, aad_len)?, caller.bytes(plain, plain_len)?);
        out.required()?.set(subrosa_buf::new(object(session)?.seal(aad, plain)?));
        Ok(())
    })
}

/// Opens what the other side sealed. Errors: `SUBROSA_NOT_AUTHENTIC`, `SUBROSA_MESSAGE_TOO_SHORT`, `SUBROSA_NO_AAD_HERE`.
/// Since 0.1.
///
/// # Safety
/// Rules 1 and 2 of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn subrosa_session_open(
    session: *mut subrosa_session,
    aad: *const u8,
    aad_len: usize,
    sealed: *const u8,
    sealed_len: usize,
    out: *mut subrosa_secret,
    err: *mut *mut subrosa_error,
) -> i32 {
    // SAFETY: promised by the caller.
    let caller = unsafe { Caller::new(err) };
    let out = caller.out(out);
    caller.run_on(session, || {
        let (aad, sealed) = (caller.bytes(aad, aad_len)?, caller.bytes(sealed, sealed_len)?);
        out.required()?.set(subrosa_secret::new(&object(session)?.open(aad, sealed)?));
        Ok(())
    })
}

/// Closes a session and wipes its key. NULL, and a second time, are fine. Since 0.1.
#[unsafe(no_mangle)]
pub extern "C" fn subrosa_session_close(session: *mut subrosa_session) {
    quietly(|| drop(close(session)));
}
