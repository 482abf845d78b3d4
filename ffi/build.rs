//! Names the shared library, and aligns it for systems with pages of 16 KiB (Android 15 and later).

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let os = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if os == "linux" || os == "android" {
        // On Android a library is found by its file name: no version in it.
        let name = if os == "android" { "libsubrosa.so" } else { "libsubrosa.so.1" };
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,{name}");
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,max-page-size=16384");
    }
}
