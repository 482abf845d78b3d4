//! Markers planted in everything that a user names or writes never show outside of the engine: not in the store's
//! files, not in the relay's, not in what the relay decrypts, not in logs, not in errors.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::Result;
use subrosa::{Device, Error, Options, OsEntropy, Record, RecordId, SoftwareKey, Value};
use subrosa_relay::Relay;
use subrosa_tests::{PATIENCE, init_relay, loopback, new_device, pair, url_of};

const COLLECTION: &str = "zqcollectionzq";
const FIELD: &str = "zqfieldzq";
const VALUE: &str = "zqvaluezq";
const KEY_IN_MAP: &str = "zqmapkeyzq";
const NAME: &str = "zqrecordnamezq";
const ID: [u8; 16] = *b"zqrecordididzqzq";
const BYTES: &[u8] = b"zqrawbyteszq";
const VAULT: &str = "zqvaultnamezq";
const DEVICE: &str = "zqdevicenamezq";

fn markers() -> Vec<Vec<u8>> {
    let mut markers: Vec<Vec<u8>> = [COLLECTION, FIELD, VALUE, KEY_IN_MAP, NAME, VAULT, DEVICE]
        .iter()
        .map(|text| text.as_bytes().to_vec())
        .collect();
    markers.push(ID.to_vec());
    markers.push(RecordId::from_name(NAME).as_bytes().to_vec());
    markers.push(BYTES.to_vec());
    markers
}

/// Panics if a marker, or its text in hexadecimal, is in `haystack`.
fn search(place: &str, haystack: &[u8]) {
    for marker in markers() {
        let hex = data_encoding::HEXLOWER.encode(&marker).into_bytes();
        let uuid =
            <[u8; 16]>::try_from(&marker[..]).map(|id| RecordId::from_bytes(id).to_string().into_bytes());
        for form in [Some(marker.clone()), Some(hex), uuid.ok()].into_iter().flatten() {
            let found = haystack.windows(form.len()).any(|window| window.eq_ignore_ascii_case(&form));
            assert!(!found, "{} is in {place}", String::from_utf8_lossy(&marker));
        }
    }
}

fn search_dir(dir: &Path) -> Result<usize> {
    let mut files = 0;
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            files += search_dir(&path)?;
        } else if path.is_file() {
            search(&path.display().to_string(), &std::fs::read(&path)?);
            files += 1;
        }
    }
    Ok(files)
}

fn marked() -> Record {
    let map = BTreeMap::from([(KEY_IN_MAP.to_owned(), Value::from(VALUE))]);
    Record(BTreeMap::from([
        (FIELD.to_owned(), Value::from(VALUE)),
        ("nested".to_owned(), Value::Map(map)),
        ("bytes".to_owned(), Value::Bytes(BYTES.to_vec())),
    ]))
}

/// Keeps everything that the engine and the relay say.
struct Listener(Arc<Mutex<Vec<u8>>>);

impl tracing::Subscriber for Listener {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("subrosa")
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        struct Text<'a>(&'a mut String);
        impl tracing::field::Visit for Text<'_> {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                let _ = write!(self.0, "{field}={value:?} ");
            }
        }
        let mut text = String::new();
        event.record(&mut Text(&mut text));
        self.0.lock().expect("no listener panics").extend_from_slice(text.as_bytes());
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn nothing_that_a_user_names_or_writes_shows_outside_of_the_engine() -> Result<()> {
    let logs = Arc::new(Mutex::new(Vec::new()));
    tracing::subscriber::set_global_default(Listener(logs.clone()))?;
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("relay");
    init_relay(&data)?;
    let wire = Arc::new(Mutex::new(Vec::new()));
    let tapped = wire.clone();
    let relay = Relay::start_tapped(
        loopback(([127, 0, 0, 1], 0).into()),
        &data,
        Some(Arc::new(move |frame: &[u8]| tapped.lock().expect("no tap panics").extend_from_slice(frame))),
    )?;
    let url = url_of(&data, relay.addr())?;

    let a = new_device(&dir.path().join("a"))?;
    a.create_vault(VAULT)?;
    let b = pair(&a, &dir.path().join("b"), &url)?;
    for device in [&a, &b] {
        write_marked(device)?;
    }
    for device in [&a, &b, &a] {
        device.sync(&url)?.wait_caught_up(PATIENCE)?;
    }
    let records = b.vault("personal")?.records(COLLECTION);
    assert_eq!(records.get(RecordId::from_bytes(ID))?, Some(marked()), "it did arrive");

    open_a_copy(dir.path())?;
    search("errors", errors(&a)?.as_bytes());
    search("the log", &logs.lock().expect("no listener panics"));
    assert!(!logs.lock().expect("no listener panics").is_empty(), "something was logged");
    let frames = wire.lock().expect("no tap panics").clone();
    assert!(frames.len() > 4096, "frames were seen");
    search("a frame at the relay", &frames);
    relay.stop();
    drop((a, b));
    assert!(search_dir(dir.path())? >= 6, "stores and relay have files");
    Ok(())
}

fn write_marked(device: &Device) -> Result<()> {
    let vault = device.vault("personal")?;
    let records = vault.records(COLLECTION);
    records.put(RecordId::from_bytes(ID), &marked())?;
    records.put(RecordId::from_name(NAME), &marked())?;
    records.delete(RecordId::from_name(NAME))?;
    vault.write(|tx| {
        for _ in 0..300 {
            records.in_tx(tx).insert(&marked())?;
        }
        Ok(())
    })?;
    Ok(())
}

/// A store that was copied says so in the log.
fn open_a_copy(dir: &Path) -> Result<()> {
    let key = Arc::new(SoftwareKey::generate(&OsEntropy));
    let (first, second) = (dir.join("first"), dir.join("second"));
    let options = || Options::default().device_name(DEVICE);
    let device = Device::create(&first, key.clone(), options())?;
    device.create_vault("personal")?;
    write_marked(&device)?;
    drop(device);
    std::fs::create_dir(&second)?;
    for entry in std::fs::read_dir(&first)? {
        let entry = entry?;
        std::fs::copy(entry.path(), second.join(entry.file_name()))?;
    }
    write_marked(&Device::open(&second, key, options())?)
}

/// Everything that goes wrong with marked things, as text.
fn errors(device: &Device) -> Result<String> {
    let vault = device.vault("personal")?;
    let mut text = String::new();
    let mut note = |error: Option<Error>| {
        let error = error.expect("it is refused");
        let _ = write!(text, "{error} {error:?} ");
    };
    note(device.create_vault(VAULT).err());
    note(device.vault(&VAULT.repeat(2)).err());
    note(vault.records(&COLLECTION.repeat(20)).put(RecordId::from_bytes(ID), &marked()).err());
    let long_field = Record(BTreeMap::from([(FIELD.repeat(30), Value::from(1))]));
    note(vault.records(COLLECTION).put(RecordId::from_bytes(ID), &long_field).err());
    let long_value =
        Record(BTreeMap::from([(FIELD.to_owned(), Value::from(VALUE.repeat(200_000).as_str()))]));
    note(vault.records(COLLECTION).put(RecordId::from_bytes(ID), &long_value).err());
    note(vault.collection::<BTreeMap<String, i64>>(COLLECTION).get(RecordId::from_bytes(ID)).err());
    let json = Value::from_json_str(&format!("{{\"{FIELD}\": {VALUE}}}"));
    let _ = write!(text, "{:?}", json.err());
    let _ = write!(text, "{device:?} {vault:?} {:?}", vault.records(COLLECTION));
    Ok(text)
}
