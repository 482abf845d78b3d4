//! What a target takes at most: for the fuzzer, that it looks for more, and for whoever sets a bound (`run --measure`).

use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{LazyLock, Mutex};

use crate::decoders::{Memory, Target};

/// Parts into which a bound is divided: reaching another one is as good to the fuzzer as reaching another branch.
const PARTS: usize = 32;

/// libFuzzer reads and clears these after each input. Other systems have no such section: there it looks for branches alone.
#[cfg_attr(target_os = "linux", unsafe(link_section = "__libfuzzer_extra_counters"))]
static REACHED: [AtomicU8; 2 * PARTS] = [const { AtomicU8::new(0) }; 2 * PARTS];

/// The folder that `SUBROSA_FUZZ_MEASURE` names: then nothing is held against a bound, and what was found is written there.
static FOLDER: LazyLock<Option<PathBuf>> =
    LazyLock::new(|| std::env::var_os("SUBROSA_FUZZ_MEASURE").map(PathBuf::from));

static MOST: Mutex<Most> =
    Mutex::new(Most { largest: Taken { peak: 0, len: 0 }, steepest: Taken { peak: 0, len: 1 }, share: 0 });

/// What one input took.
#[derive(Clone, Copy)]
struct Taken {
    peak: usize,
    len: usize,
}

impl Taken {
    /// Hundredths of bytes for each byte of the input, beyond what may be taken for any.
    const fn slope(self, memory: Memory) -> usize {
        let len = if self.len == 0 { 1 } else { self.len };
        self.peak.saturating_sub(memory.fixed) * 100 / len
    }
}

struct Most {
    largest: Taken,
    steepest: Taken,
    /// Percent of the bound.
    share: usize,
}

/// Tells the fuzzer what part of its bound an input took.
pub(crate) fn steer(peak: usize, bound: usize) {
    let part = (peak * PARTS / bound).min(REACHED.len() - 1);
    REACHED[part].store(1, Ordering::Relaxed);
}

/// Writes down what an input took if it is the most so far; `false` if nobody measures.
pub(crate) fn note(target: &Target, input: &[u8], peak: usize) -> bool {
    let Some(folder) = &*FOLDER else { return false };
    let taken = Taken { peak, len: input.len() };
    let share = peak * 100 / target.memory.for_input(input.len());
    let mut most = MOST.lock().expect("nothing below panics while it holds this");
    let is_largest = peak > most.largest.peak;
    let is_steepest = taken.slope(target.memory) > most.steepest.slope(target.memory);
    if !is_largest && !is_steepest && share <= most.share {
        return true;
    }
    if is_largest {
        most.largest = taken;
    }
    if is_steepest {
        most.steepest = taken;
    }
    most.share = most.share.max(share);
    let slope = most.steepest.slope(target.memory);
    let said = format!(
        "{}: at most {} bytes, for {}; at most {}.{:02} a byte beyond {}, for {}; {}% of the bound\n",
        target.name,
        most.largest.peak,
        most.largest.len,
        slope / 100,
        slope % 100,
        target.memory.fixed,
        most.steepest.len,
        most.share,
    );
    drop(most);
    let write = |what: &str, bytes: &[u8]| {
        std::fs::write(folder.join(format!("{}{what}", target.name)), bytes)
            .expect("the folder can be written");
    };
    write("", said.as_bytes());
    write(".input", input);
    true
}
