//! Frozen vectors: bytes that other programs wrote, and that must never change unnoticed.
//!
//! One module per source. HKDF-SHA256 and AES-GCM of Wycheproof run beside the code that wraps them
//! (`engine/model/src/keys/kdf.rs`, `engine/model/src/keys/cipher.rs`), for those primitives are not public.

mod interop;
mod wycheproof;

/// Bytes of a hexadecimal text.
fn hex(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).expect("vectors are lower case hexadecimal")
}
