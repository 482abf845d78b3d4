//! Random sequences of calls over the C ABI, without guidance: what `tests/fuzz` does for hours, for seconds. Replay one
//! with `SUBROSA_SEED`.

#[expect(
    clippy::too_many_lines,
    clippy::multiple_unsafe_ops_per_block,
    reason = "a table of calls; one promise covers them"
)]
#[path = "../../tests/fuzz/src/calls.rs"]
mod calls;
#[path = "../../tests/fuzz/src/draw.rs"]
mod draw;
#[expect(clippy::multiple_unsafe_ops_per_block, reason = "one promise covers the calls")]
#[path = "../../tests/fuzz/src/world.rs"]
mod world;

use subrosa::{Entropy as _, SeededEntropy};

/// Sequences of one run.
const SEEDS: u64 = 256;
/// Bytes that a sequence is drawn from.
const INPUT_BYTES: usize = 2048;

#[test]
fn random_calls_get_documented_answers() {
    let replayed =
        std::env::var("SUBROSA_SEED").ok().map(|seed| seed.parse::<u64>().expect("SUBROSA_SEED is a number"));
    let seeds = replayed.map_or(0..SEEDS, |seed| seed..seed + 1);
    for seed in seeds {
        println!("SUBROSA_SEED={seed}");
        let mut input = vec![0; INPUT_BYTES];
        SeededEntropy::dangerous_from_seed(seed).fill(&mut input);
        world::run(&input);
    }
}
