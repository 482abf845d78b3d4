//! The corpora of `tests/fuzz`, once each and slightly damaged, without the fuzzer: a decoder that changed for the worse is seen
//! by whoever changes it.

#[expect(dead_code, reason = "the fuzzer measures memory, this test does not")]
#[path = "../fuzz/src/decoders/mod.rs"]
mod decoders;

use std::path::PathBuf;

use decoders::TARGETS;

fn corpora() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

fn inputs(target: &str) -> Vec<Vec<u8>> {
    let folder = corpora().join(target);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("a file").path())
        .collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).expect("an input")).collect()
}

#[test]
fn every_decoder_answers_its_corpus_whole_cut_off_and_with_a_bit_turned() {
    for target in TARGETS {
        let inputs = inputs(target.name);
        assert!(!inputs.is_empty(), "{} has a corpus", target.name);
        for input in &inputs {
            (target.run)(input);
            (target.run)(&input[..input.len() / 2]);
            // A few places are enough here; the fuzzer turns them all.
            for part in 0..8_usize {
                let mut damaged = input.clone();
                let at = input.len() * part / 8;
                if let Some(byte) = damaged.get_mut(at) {
                    *byte ^= 1 << part;
                    (target.run)(&damaged);
                }
            }
        }
    }
}

#[test]
fn no_two_decoders_have_one_name_and_one_corpus() {
    for (at, target) in TARGETS.iter().enumerate() {
        assert!(TARGETS[..at].iter().all(|before| before.name != target.name), "{}", target.name);
    }
}

#[test]
fn every_corpus_is_small_and_belongs_to_a_target() {
    let known =
        |name: &str| TARGETS.iter().any(|target| target.name == name) || ["rows", "c_abi"].contains(&name);
    for entry in std::fs::read_dir(corpora()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(known(&name), "{name}");
        let bytes: usize = inputs(&name).iter().map(Vec::len).sum();
        assert!(bytes <= CORPUS_BYTES_MAX, "{name} has {bytes} bytes: tests/fuzz/minimise");
    }
}

/// A corpus is read by people's clones too.
const CORPUS_BYTES_MAX: usize = 256 << 10;
