//! What a program in Rust pays for the calls that `ffi/c-tests/bench.c` times in C, in the same form: a line of JSON for a
//! case. `ffi/bench` runs all languages in turn and compares.

use std::hint::black_box;
use std::time::Instant;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use subrosa::{Collection, Device, KeyPair, Options, OsEntropy, Record, RecordId, SoftwareKey, Value};

const RECORDS: usize = 1000;
const SAMPLES: usize = 31;
const JSON_BYTES: usize = 256;

#[derive(Serialize, Deserialize)]
struct Note {
    done: bool,
    number: i64,
    text: String,
}

fn main() -> anyhow::Result<()> {
    // cargo bench passes a flag of its own; without a folder, a temporary one.
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let scratch = tempfile::tempdir()?;
    let folder = folder.map_or_else(|| scratch.path().join("store"), Into::into);
    let key = SoftwareKey::new(KeyPair::generate(&OsEntropy));
    let device = Device::create(folder, std::sync::Arc::new(key), Options::default())?;
    let vault = device.create_vault("bench")?;
    let (notes, written) = (vault.collection::<Note>("notes"), vault.collection::<Note>("written"));
    let typed: Vec<Note> = (0..RECORDS).map(note).collect();
    let records = typed.iter().map(record).collect::<Option<Vec<Record>>>().context("a note is a map")?;
    let ids = notes.insert_many(&typed)?;

    cases("typed", &notes, &written, &typed, &ids)?;
    cases("record", &vault.records("notes"), &vault.records("written"), &records, &ids)?;
    let as_json = vault.records("notes");
    measure("get_many 1000, record to JSON", 5, || {
        for record in as_json.get_many(&ids)?.into_iter().flatten() {
            black_box(Value::Map(record.0).to_json_string());
        }
        Ok(())
    })?;
    let texts: Vec<String> =
        records.iter().map(|record| Value::Map(record.0.clone()).to_json_string()).collect();
    let written = vault.records("written");
    measure("insert_many 1000, record from JSON", 1, || {
        let parsed = texts.iter().filter_map(|text| match Value::from_json_str(text) {
            Ok(Value::Map(fields)) => Some(Record(fields)),
            _ => None,
        });
        black_box(written.insert_many(&parsed.collect::<Vec<_>>())?);
        Ok(())
    })
}

/// A note whose JSON has [`JSON_BYTES`] bytes, as the one in C.
fn note(number: usize) -> Note {
    let frame = format!("{{\"done\":false,\"number\":{number},\"text\":\"\"}}").len();
    Note { done: false, number: number as i64, text: "x".repeat(JSON_BYTES - frame) }
}

fn record(note: &Note) -> Option<Record> {
    match Value::from_serde(note) {
        Ok(Value::Map(fields)) => Some(Record(fields)),
        _ => None,
    }
}

fn cases<T: Serialize + serde::de::DeserializeOwned>(
    what: &str,
    notes: &Collection<T>,
    written: &Collection<T>,
    records: &[T],
    ids: &[RecordId],
) -> anyhow::Result<()> {
    let mut next = ids.iter().cycle();
    measure(&format!("get 256 B, {what}"), 2000, || {
        let id = next.next().context("there are ids")?;
        black_box(notes.get(*id)?);
        Ok(())
    })?;
    measure(&format!("get_many 1000, {what}"), 5, || {
        black_box(notes.get_many(ids)?);
        Ok(())
    })?;
    measure(&format!("insert_many 1000, {what}"), 1, || {
        black_box(written.insert_many(records)?);
        Ok(())
    })
}

#[expect(clippy::disallowed_methods, reason = "measuring takes a clock")]
fn measure(case: &str, calls: u32, mut call: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut samples = Vec::with_capacity(SAMPLES);
    for sample in 0..=SAMPLES {
        let since = Instant::now();
        for _ in 0..calls {
            call()?;
        }
        // The first warms up.
        if sample > 0 {
            samples.push(since.elapsed().as_nanos() as f64 / f64::from(calls));
        }
    }
    samples.sort_by(f64::total_cmp);
    let (median, least, most) = (samples[SAMPLES / 2], samples[0], samples[SAMPLES - 1]);
    println!("{{\"case\":\"{case}\",\"ns\":{median:.1},\"min\":{least:.1},\"max\":{most:.1}}}");
    Ok(())
}
