//! Drives the C ABI with random sequences of calls: any function, any handle or something that is none, any text.
//!
//! Whatever the caller does short of lying about memory, the library must answer with a status it documents, write all
//! results, and keep the data of the store. The process is the oracle: a crash, a hang, a panic or a leak of memory
//! (when built with a sanitizer) ends the run.
#![no_main]

mod calls;
mod draw;
mod world;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| world::run(data));
