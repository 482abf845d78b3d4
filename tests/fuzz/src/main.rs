//! Fuzzes one of the decoders, which `SUBROSA_FUZZ_TARGET` names, and holds what it allocates against its bound.
#![no_main]

mod decoders;
mod measure;
mod meter;

use std::sync::OnceLock;

use decoders::{TARGETS, Target};
use libfuzzer_sys::fuzz_target;

/// What only this binary can see: packed rows of a caller of the C ABI.
const ROWS: Target = Target { name: "rows", run: subrosa_ffi::testing::rows, memory: decoders::JSON };

fn chosen() -> &'static Target {
    static CHOSEN: OnceLock<&'static Target> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        let name = std::env::var("SUBROSA_FUZZ_TARGET").unwrap_or_default();
        let found = TARGETS.iter().chain([&ROWS]).find(|target| target.name == name);
        found.unwrap_or_else(|| panic!("no target {name:?}"))
    })
}

fuzz_target!(|data: &[u8]| {
    let target = chosen();
    let bound = target.memory.for_input(data.len());
    let peak = meter::peak_of(|| (target.run)(data));
    measure::steer(peak, bound);
    let only_measured = measure::note(target, data, peak);
    assert!(
        only_measured || peak <= bound,
        "{peak} bytes were allocated for {}, the bound is {bound}",
        data.len()
    );
});
