//! Frozen segments: `tests/vectors/segments.json`, which `tests/vectors/read_segments.py` reads without this code.
//!
//! Normally the file is only checked: every segment in it verifies, opens, decodes and encodes to the same bytes
//! again, and every bad one fails at the step that it names. `SUBROSA_WRITE_VECTORS=1` writes the file anew, from fixed
//! entropy and fixed keys. Signatures are deterministic here (RFC 6979, not ring), so whatever is not compressed comes
//! out byte for byte the same; compressed bodies depend on the version of zstd and are only opened.

mod bad;
mod bodies;
mod describe;

use std::sync::OnceLock;

use hkdf::Hkdf;
use serde_json::{Value, json};
use sha2::Sha256;
use subrosa_model::carried::{Carried, Closing, innermost};
use subrosa_model::control::{
    DeviceAdded, DeviceName, DeviceRole, Founded, Founding, LogBirth, Members, OwnLogs, PrekeySecret,
    SignedPrekey, decode_entries, device_added, encode_entries, found_vault,
};
use subrosa_model::entropy::{Entropy, SeededEntropy};
use subrosa_model::keys::secret::SegmentKey;
use subrosa_model::keys::{KeyPair, KeyProvider, SoftwareKey};
use subrosa_model::merge::{
    BodyWriter, Cell, CheckedBody, FieldCell, GroupHead, Op, OpKind, Put, RecordId, Run, Seen, Slotted,
    Stamp, Tombstone, Value as Field, ValueBuf,
};
use subrosa_model::seal::{OpenError, Packed, Place, seal};
use subrosa_protocol::codec::Extensions;
use subrosa_protocol::digest::digest;
use subrosa_protocol::ids::{Chain, Epoch, Head, LogId, PublicKeyBytes, Seq, Signature, VaultId};
use subrosa_protocol::labels;
use subrosa_protocol::segment::{Class, GroupPlace, Kind, SealedSegment, VerifiedSegment};
use subrosa_protocol::statement::{Signer, Statement};

use self::describe::{carried_content, closing_content, control_content, data_content, hex, place_of, unhex};

/// 2025-01-01 00:00:00 UTC.
const START_MS: u64 = 1_735_689_600_000;

/// The vault and the devices of `control.json`.
pub(super) struct World {
    pub(super) founded: Founded,
    founder: SoftwareKey,
    phone: SoftwareKey,
    pub(super) phone_logs: OwnLogs,
}

/// A log on its way.
struct Log<'w> {
    pair: &'w KeyPair,
    kind: Kind,
    next: Seq,
    prev: Chain,
}

/// Gives one fixed salt.
struct Salt([u8; 16]);

impl Entropy for Salt {
    fn fill(&self, out: &mut [u8]) {
        out.copy_from_slice(&self.0);
    }
}

pub(super) fn public_of(pair: &KeyPair) -> PublicKeyBytes {
    pair.public().into()
}

impl World {
    fn new() -> Self {
        let entropy = SeededEntropy::dangerous_from_seed;
        let founder = SoftwareKey::generate(&entropy(1));
        let phone = SoftwareKey::generate(&entropy(2));
        let founded = found_vault(&founder, "Ada's laptop", &Founding::Home, &entropy(3)).unwrap();
        Self { founded, founder, phone, phone_logs: OwnLogs::generate(0, &entropy(5)) }
    }

    pub(super) const fn vault(&self) -> VaultId {
        self.founded.vault
    }

    /// What a kind of segment is sealed under.
    pub(super) fn key(&self, kind: Kind) -> SegmentKey<'_> {
        let keyring = &self.founded.keyring;
        if kind.class() == Class::Control {
            keyring.control_key(Epoch(0)).unwrap().into()
        } else {
            keyring.data_key(Epoch(0)).unwrap().into()
        }
    }

    /// Its bytes, for what is computed by hand here.
    pub(super) fn key_bytes(&self, kind: Kind) -> &[u8; 32] {
        match self.key(kind) {
            SegmentKey::Data(key) => key.dangerous_bytes(),
            SegmentKey::Control(key) => key.dangerous_bytes(),
        }
    }

    pub(super) const fn data_log(&self) -> &KeyPair {
        &self.founded.keyring.logs.data
    }

    fn log<'w>(&self, pair: &'w KeyPair, kind: Kind) -> Log<'w> {
        Log { pair, kind, next: Seq(0), prev: Chain::ZERO }
    }

    /// The entry that lists the phone, and the certificate of its logs.
    fn second_device(&self) -> [Vec<u8>; 2] {
        let prekey = KeyPair::generate(&SeededEntropy::dangerous_from_seed(4));
        let added = DeviceAdded {
            device: self.phone.public(),
            prekey: SignedPrekey::sign(&self.phone, 0, prekey.public()).unwrap(),
            name: DeviceName::new("téléphone").unwrap(),
            role: DeviceRole::Admin,
        };
        let listed = device_added(&self.founder, &self.vault(), 2, added).unwrap();
        [encode_entries(&[listed]), self.phone_certificate(&self.vault())]
    }
}

impl World {
    /// The certificate of the phone's logs, as it would be for a vault.
    pub(super) fn phone_certificate(&self, vault: &VaultId) -> Vec<u8> {
        let admin = KeyPair::generate(&SeededEntropy::dangerous_from_seed(6));
        let pair = KeyPair::generate(&SeededEntropy::dangerous_from_seed(4));
        let logs = &self.phone_logs;
        let prekey =
            PrekeySecret { pair, ..PrekeySecret::generate(logs, &SeededEntropy::dangerous_from_seed(7)) };
        LogBirth { vault, number: 0, logs, admin: &admin, prekey: &prekey }.entries(&self.phone).unwrap()
    }
}

impl Log<'_> {
    fn head(&self) -> Head {
        let before = self.next.0.checked_sub(1).expect("the log has begun");
        Head { log: LogId::of(&public_of(self.pair)), seq: Seq(before), chain: self.prev }
    }

    /// Seals the next segment and describes it.
    fn seal(&mut self, world: &World, name: &str, group: GroupPlace, data: &[u8]) -> Value {
        let place = Place {
            group,
            vault: world.vault(),
            prev: self.prev,
            kind: self.kind,
            log: LogId::of(&public_of(self.pair)),
            seq: self.next,
            epoch: Epoch(0),
        };
        let mut salt = [0; 16];
        salt.copy_from_slice(&labels::hash(b"salt of a test vector", &[name.as_bytes()])[..16]);
        let sign = |label: &[u8], payload: &[u8]| Signature::from_bytes(self.pair.sign(label, payload));
        let (segment, chain) = seal(&place, &Packed::of(data), world.key(self.kind), &Salt(salt), sign);
        self.prev = chain;
        self.next = self.next.next();
        describe(world, name, &public_of(self.pair), segment.bytes())
    }
}

/// Everything that the specification says about one good segment. Panics if it does not hold.
fn describe(world: &World, name: &str, public: &PublicKeyBytes, bytes: &[u8]) -> Value {
    let segment = SealedSegment::parse(bytes.to_vec().into()).unwrap();
    let header = *segment.header();
    let hdr = header.hash(&world.vault());
    let key = world.key(header.kind);
    let mut okm = [0; 64];
    let info = [labels::SEGMENT_KEY, &hdr].concat();
    Hkdf::<Sha256>::from_prk(world.key_bytes(header.kind)).unwrap().expand(&info, &mut okm).unwrap();
    let mut plaintext = segment.body().to_vec();
    let body_key = <[u8; 32]>::try_from(&okm[..32]).unwrap();
    subrosa_model::seal::aes256gcm_open(&body_key, &[0; 12], &hdr, &mut plaintext).unwrap();
    let chain = segment.verify(&world.vault(), public).unwrap();
    let opened = subrosa_model::seal::open(&world.vault(), &segment, key).unwrap();
    let content = match header.kind {
        Kind::CONTROL => control_content(&opened.data),
        Kind::DATA => data_content(&opened.data, place_of(&header)),
        Kind::CARRIED => carried_content(&opened.data, &world.vault()),
        kind if kind.closes() => closing_content(&opened.data),
        _ => Value::Null,
    };
    json!({
        "name": name,
        "public": hex(public.as_bytes()),
        "bytes": hex(bytes),
        "header": {
            "suite": bytes[0], "kind": header.kind.to_wire(), "place": header.place.to_wire(), "log": hex(header.log.as_bytes()), "seq": header.seq.0,
            "epoch": header.epoch.0, "prev": hex(header.prev.as_bytes()), "salt": hex(header.salt), "commit": hex(header.commit),
            "body_len": header.body_len,
        },
        "hdr": hex(hdr),
        "okm": hex(okm),
        "chain": hex(chain.as_bytes()),
        "signature": hex(segment.signature().as_bytes()),
        "plaintext": hex(&plaintext),
        "compressed": plaintext[0] & 1 != 0,
        "data": hex(&opened.data),
        "content": content,
    })
}

fn stamp(n: u64) -> Stamp {
    Stamp(Stamp::from_ms(START_MS + n).0 + n)
}

fn record(n: u8) -> RecordId {
    RecordId::new_v7(START_MS + u64::from(n), [n; 10])
}

/// A put of registers on a record of `notes`.
fn put(n: u64, names: Tombstone, fields: &[(&str, Field)]) -> Vec<u8> {
    let values: Vec<_> =
        fields.iter().map(|(name, value)| (*name, ValueBuf::encode(value).unwrap())).collect();
    let cells =
        values.iter().map(|(name, value)| FieldCell { name, cell: Cell::Register(value.borrow()) }).collect();
    let kind = OpKind::Put(Put::new(names, cells).unwrap());
    body(Vec::new(), &[Op { record: record(1), collection: "notes", stamp: stamp(n), kind }])
}

/// A group of one body.
fn body(seen: Vec<Head>, ops: &[Op<'_>]) -> Vec<u8> {
    let latest = ops.iter().map(|op| op.stamp).max().unwrap_or_default();
    let mut head = GroupHead { seen: Seen::new(seen), ..GroupHead::of(latest) };
    head.runs.raise(Run::from_bytes(*b"a run   "), latest);
    filled(BodyWriter::first(ops.first().map(|op| op.stamp).unwrap_or_default(), &head), ops)
}

fn filled(mut writer: BodyWriter, ops: &[Op<'_>]) -> Vec<u8> {
    for op in ops {
        writer.push(op, usize::MAX).unwrap();
    }
    writer.encode()
}

fn json_value(text: &str) -> Field {
    Field::from_json_str(text).unwrap()
}

/// One value of each kind at its edges.
fn every_value() -> Vec<(&'static str, Field)> {
    [
        ("bytes", r#"{"$bytes":"AAECAwT/"}"#),
        ("false", "false"),
        ("float", "0.1"),
        ("float_max", "1.7976931348623157e308"),
        ("float_min", "5e-324"),
        ("float_whole", "2.0"),
        ("i64_max", "9223372036854775807"),
        ("i64_min", "-9223372036854775808"),
        ("list", r#"[null,true,[-1,63,64,-64,-65],{"$bytes":""}]"#),
        ("map", r#"{"":1,"$$bytes":{"$bytes":"AA=="},"a":{"b":[]},"é":2.5}"#),
        ("minus_zero", "-0.0"),
        ("named_like_a_form", r#"{"$$":{"$$text":[{"$":1,"$bytes":2},{"$$bytes":""}]}}"#),
        ("null", "null"),
        ("text", r#""sub rosa: \u0000 \n é \u7530 \ud83c\udf39""#),
        ("true", "true"),
    ]
    .map(|(name, text)| (name, json_value(text)))
    .to_vec()
}

fn tombstone(seen: &[(LogId, Stamp)]) -> Tombstone {
    let mut tombstone = Tombstone::default();
    for (log, stamp) in seen {
        tombstone.raise(*log, *stamp);
    }
    tombstone
}

/// The control segments of both devices; founder's genesis first.
fn control_segments(world: &World) -> (Vec<Value>, [Head; 2]) {
    let mut founder = world.log(&world.founded.keyring.logs.control, Kind::CONTROL);
    let mut phone = world.log(&world.phone_logs.control, Kind::CONTROL);
    let genesis = founder.seal(world, "genesis", GroupPlace::Whole, &world.founded.genesis_entries);
    let [added, certified] = world.second_device();
    let segments = vec![
        genesis,
        founder.seal(world, "device added", GroupPlace::Whole, &added),
        phone.seal(world, "certificate", GroupPlace::Whole, &certified),
    ];
    (segments, [founder.head(), phone.head()])
}

fn data_segments(world: &World, control: [Head; 2]) -> (Vec<Value>, Head) {
    let mut phone = world.log(&world.phone_logs.data, Kind::DATA);
    let mut log = world.log(world.data_log(), Kind::DATA);
    let mut made = Vec::new();
    let mut add =
        |log: &mut Log<'_>, name: &str, group, data: &[u8]| made.push(log.seal(world, name, group, data));
    let own = LogId::of(&public_of(log.pair));
    let none = Tombstone::default;

    add(&mut log, "one put", GroupPlace::Whole, &put(1, none(), &[("title", "Call Anna".into())]));
    let empty =
        [("bytes", r#"{"$bytes":""}"#), ("list", "[]"), ("map", "{}"), ("text", r#""""#), ("zero", "0")];
    add(
        &mut log,
        "empty values",
        GroupPlace::Whole,
        &put(2, none(), &empty.map(|(name, text)| (name, json_value(text)))),
    );
    add(&mut log, "no field", GroupPlace::Whole, &put(3, none(), &[]));
    add(&mut log, "every value", GroupPlace::Whole, &put(4, none(), &every_value()));
    add(&mut phone, "by the phone", GroupPlace::Whole, &put(5, none(), &[("title", "Call Bob".into())]));
    let seen = vec![control[0], control[1], phone.head()];
    let names = tombstone(&[(own, stamp(4)), (phone.head().log, stamp(5))]);
    let delete =
        |stamp, names| Op { record: record(1), collection: "notes", stamp, kind: OpKind::Delete(names) };
    add(&mut log, "delete, with seen", GroupPlace::Whole, &body(seen, &[delete(stamp(6), names.clone())]));
    add(&mut log, "put naming", GroupPlace::Whole, &put(7, names.clone(), &[("title", "Anew".into())]));
    let done = ValueBuf::encode(&true.into()).unwrap();
    let cells = vec![
        FieldCell { name: "done", cell: Cell::Register(done.borrow()) },
        FieldCell { name: "title", cell: Cell::Unset },
    ];
    let replace = Op {
        record: record(1),
        collection: "notes",
        stamp: stamp(8),
        kind: OpKind::Put(Put::new(none(), cells).unwrap()),
    };
    add(&mut log, "replace", GroupPlace::Whole, &body(Vec::new(), std::slice::from_ref(&replace)));
    let newer = vec![
        FieldCell {
            name: "count",
            cell: Cell::Unknown { tag: 300, bytes: Slotted::check(b"\x01\x02\x03").unwrap() },
        },
        FieldCell { name: "done", cell: Cell::Register(done.borrow()) },
    ];
    let unknown = OpKind::Unknown { tag: 129, bytes: Slotted::check(b"\x02of a later version").unwrap() };
    let ops = [
        Op {
            record: record(2),
            collection: "people",
            stamp: stamp(12),
            kind: OpKind::Put(Put::new(none(), newer).unwrap()),
        },
        Op { record: RecordId::from_name("today"), collection: "notes", stamp: stamp(11), kind: unknown },
        delete(stamp(13), names),
        replace,
    ];
    add(&mut log, "several ops, newer kinds", GroupPlace::Whole, &body(Vec::new(), &ops));
    let noise: &dyn Entropy = &SeededEntropy::dangerous_from_seed(6);
    let noise = Field::Bytes(noise.array::<700>().to_vec());
    add(&mut log, "not compressible, padded", GroupPlace::Whole, &put(20, none(), &[("noise", noise)]));
    let [first, middle, last] = group_of_three();
    add(&mut log, "first of group", GroupPlace::First, &first);
    add(&mut log, "middle of group", GroupPlace::Middle, &middle);
    add(&mut log, "last of group", GroupPlace::Last, &last);
    let text = "Rose is a rose is a rose is a rose. ".repeat(40);
    add(&mut log, "compressed", GroupPlace::Whole, &put(24, none(), &[("text", text.as_str().into())]));
    (made, phone.head())
}

/// The bodies of a group of three.
fn group_of_three() -> [Vec<u8>; 3] {
    let part = ValueBuf::encode(&1i64.into()).unwrap();
    let ops = [21, 22, 23].map(|n| {
        let cells = vec![FieldCell { name: "part", cell: Cell::Register(part.borrow()) }];
        let kind = OpKind::Put(Put::new(Tombstone::default(), cells).unwrap());
        Op { record: record(n as u8), collection: "notes", stamp: stamp(n), kind }
    });
    let first = BodyWriter::first(stamp(21), &GroupHead::of(stamp(23)));
    let behind = || BodyWriter::behind(stamp(22));
    [filled(first, &ops[..1]), filled(behind(), &ops[1..2]), filled(behind(), &ops[2..])]
}

fn statement(world: &World) -> Value {
    let bytes = &world.founded.statement;
    let statement = Statement::decode(bytes).unwrap();
    statement.check_first().unwrap();
    let Signer::Admin(signer) = &statement.signer else { panic!("the founder signs") };
    json!({
        "bytes": hex(bytes),
        "vault": hex(statement.vault.as_bytes()), "generation": 0, "epoch": 0,
        "read": hex(statement.read.as_bytes()), "write": hex(statement.write.as_bytes()),
        "admins": statement.admins.iter().map(|admin| hex(admin.as_bytes())).collect::<Vec<_>>(),
        "recovery_commitment": hex(statement.recovery_commitment), "previous": hex(statement.previous),
        "signer": hex(signer.as_bytes()), "signature": hex(statement.signature.as_bytes()),
        "hash": hex(statement.hash()),
    })
}

fn vault(world: &World) -> Value {
    let keyring = &world.founded.keyring;
    let entries = decode_entries(&world.founded.genesis_entries).unwrap();
    let signed = entries[0].encode();
    // author[65] | number u64 | payload | signature[64]
    let payload = &signed[73..signed.len() - 64];
    json!({
        "id": hex(world.vault().as_bytes()),
        "recovery_public": hex(keyring.recovery.public.as_bytes()),
        "recovery_nonce": hex(keyring.recovery.nonce),
        "recovery_commitment": hex(keyring.recovery.commitment()),
        "genesis_payload": hex(payload),
        "genesis_hash": hex(labels::hash(b"", &[payload])),
        "admin_key": hex(public_of(&keyring.admin).as_bytes()),
    })
}

fn keys(world: &World) -> Value {
    let keyring = &world.founded.keyring;
    let pair = |pair: &KeyPair| json!({ "pkcs8": hex(pair.dangerous_to_pkcs8_der()), "public": hex(pair.public().as_bytes()) });
    json!({
        "epoch_0": hex(world.key_bytes(Kind::DATA)),
        "control_0": hex(world.key_bytes(Kind::CONTROL)),
        "control_log": pair(&keyring.logs.control), "data_log": pair(world.data_log()),
        "second_control_log": pair(&world.phone_logs.control), "second_data_log": pair(&world.phone_logs.data),
    })
}

/// Carried and closing segments, in logs of their own, and one of a kind that only a newer version knows.
fn other_kinds(world: &World, carried: &Value) -> Vec<Value> {
    let mut log = world.log(&world.founded.keyring.logs.data, Kind::CARRIED);
    let mut carrier = world.log(&world.phone_logs.data, Kind::CARRIED);
    let inside = |entry: &Value| [unhex(&entry["public"]), unhex(&entry["bytes"])].concat();
    let once = log.seal(world, "carried", GroupPlace::Whole, &inside(carried));
    let twice = carrier.seal(world, "carried, and that carried", GroupPlace::Whole, &inside(&once));
    log.kind = Kind::from_wire(0x3e).unwrap();
    let newer = log.seal(world, "of a kind without ops of a newer version", GroupPlace::Whole, b"later");
    log.kind = Kind::CLOSING;
    let closing = log.seal(world, "closing", GroupPlace::Whole, &Closing::default().encode());
    carrier.kind = Kind::CLOSING;
    let extensions =
        Extensions::new().with(1, b"one".to_vec()).and_then(|one| one.with(200, Vec::new())).unwrap();
    let extended =
        carrier.seal(world, "closing, with extensions", GroupPlace::Whole, &Closing { extensions }.encode());
    let mut control = world.log(&world.phone_logs.control, Kind::CONTROL_CLOSING);
    let closed = control.seal(world, "closing of a control log", GroupPlace::Whole, b"");
    vec![once, twice, newer, closing, extended, closed]
}

fn made() -> Value {
    let world = World::new();
    let (mut segments, control) = control_segments(&world);
    let (data, phone) = data_segments(&world, control);
    let by_the_phone = data.iter().find(|entry| entry["name"] == "by the phone").unwrap();
    let others = other_kinds(&world, by_the_phone);
    let heads = [phone, control[0], control[1]];
    segments.extend(data);
    let lengths = [0, 1, 255, 256, 257, 272, 273, 1000, 4097, 64 << 10, 65_537, 1_048_581];
    json!({
        "note": "Test keys, published here: never use them. Layouts: docs/FORMAT.md; statement and digest: docs/PROTOCOL.md.",
        "vault": vault(&world),
        "keys": keys(&world),
        "statement_0": statement(&world),
        "digest": {
            "heads": heads.map(|head| json!({ "log": hex(head.log.as_bytes()), "seq": head.seq.0, "chain": hex(head.chain.as_bytes()) })),
            "digest": hex(digest(&heads).as_bytes()),
            "of_nothing": hex(digest(&[]).as_bytes()),
        },
        "padded": lengths.map(|len| [len, subrosa_protocol::segment::padded_len(len)]),
        "segments": segments,
        "other_kinds": others,
        "must_fail": bad::segments(&world),
    })
}

/// Where a segment fails: the steps of `docs/FORMAT.md`, "Opening", in their order.
fn step_that_fails(world: &World, public: &PublicKeyBytes, bytes: Vec<u8>) -> Option<&'static str> {
    let Ok(segment) = SealedSegment::parse(bytes.into()) else { return Some("shape") };
    if segment.verify(&world.vault(), public).is_err() {
        return Some("signature");
    }
    let header = segment.header();
    match subrosa_model::seal::open(&world.vault(), &segment, world.key(header.kind)) {
        Err(OpenError::OtherKey) => Some("commitment"),
        Err(OpenError::NotAuthentic) => Some("tag"),
        Err(OpenError::Malformed) => Some("plaintext"),
        Err(OpenError::Compression | OpenError::OverLimit) => Some("compression"),
        Ok(opened) if header.kind == Kind::CONTROL => {
            let taken = Members::new(world.vault()).apply(header.log, header.seq, &opened.data);
            taken.is_err().then_some("entries")
        }
        Ok(_) if header.kind == Kind::CARRIED => {
            let carried = VerifiedSegment::check(&world.vault(), *public, segment.clone()).unwrap();
            let found = innermost(&carried, |_| world.founded.keyring.data_key(Epoch(0)));
            found.is_err().then_some("carried")
        }
        Ok(opened) if header.kind.closes() => Closing::decode(&opened.data).is_err().then_some("closing"),
        Ok(opened) if header.kind == Kind::DATA => {
            CheckedBody::decode(&opened.data, place_of(header)).is_err().then_some("data")
        }
        Ok(_) => None,
    }
}

/// Leaves what depends on the version of zstd to the other tests, and names the rest.
fn parts(vectors: &Value) -> Vec<(String, &Value)> {
    let mut parts = Vec::new();
    for (name, part) in vectors.as_object().unwrap() {
        match part.as_array() {
            Some(entries) if entries.iter().all(Value::is_object) => {
                let named = |entry: &Value| format!("{name}: {}", entry["name"]);
                let fixed = entries.iter().filter(|entry| entry["compressed"] == false);
                parts.extend(fixed.map(|entry| (named(entry), entry)));
            }
            _ => parts.push((name.clone(), part)),
        }
    }
    parts
}

fn frozen() -> &'static Value {
    static FROZEN: OnceLock<Value> = OnceLock::new();
    frozen_once(&FROZEN, concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/segments.json"), made)
}

/// What a file of vectors holds, for all tests of it: it is written at most once, before any of them reads it.
fn frozen_once(frozen: &'static OnceLock<Value>, path: &str, made: impl FnOnce() -> Value) -> &'static Value {
    frozen.get_or_init(|| {
        if std::env::var_os("SUBROSA_WRITE_VECTORS").is_some() {
            std::fs::write(path, serde_json::to_string_pretty(&made()).unwrap() + "\n").unwrap();
        }
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    })
}

fn field<const N: usize>(entry: &Value, name: &str) -> [u8; N] {
    unhex(&entry[name]).try_into().unwrap()
}

#[test]
fn segment_bytes_are_frozen() {
    let (made, frozen) = (made(), frozen());
    let (made, frozen) = (parts(&made), parts(frozen));
    assert_eq!(made.len(), frozen.len());
    for (made, frozen) in made.iter().zip(&frozen) {
        assert!(made == frozen, "{} differs from {}", made.0, frozen.0);
    }
}

#[test]
fn frozen_segments_verify_open_decode_and_encode_to_the_same_bytes() {
    let (world, frozen) = (World::new(), frozen());
    let segments = frozen["segments"].as_array().unwrap();
    let others = frozen["other_kinds"].as_array().unwrap();
    assert!(segments.iter().any(|entry| entry["compressed"] == true), "one body is compressed");
    for entry in segments.iter().chain(others) {
        let name = entry["name"].as_str().unwrap();
        let public = PublicKeyBytes::from_bytes(field(entry, "public"));
        let bytes = unhex(&entry["bytes"]);
        assert_eq!(&describe(&world, name, &public, &bytes), entry, "{name}");
        assert_eq!(step_that_fails(&world, &public, bytes.clone()), None, "{name}");
        let data = unhex(&entry["data"]);
        match entry["header"]["kind"].as_u64().unwrap() {
            2 => assert_eq!(Carried::decode(&data).unwrap().encode(), data, "{name}"),
            3 | 0x43 => assert_eq!(Closing::decode(&data).unwrap().encode(), data, "{name}"),
            _ => {}
        }
        if entry["header"]["kind"] == 1 {
            let (segment, data) = (SealedSegment::parse(bytes.into()).unwrap(), unhex(&entry["data"]));
            let decoded = CheckedBody::decode(&data, place_of(segment.header())).unwrap();
            let mut writer = match decoded.head() {
                Some(head) => BodyWriter::first(decoded.base(), head),
                None => BodyWriter::behind(decoded.base()),
            };
            decoded.ops().iter().for_each(|op| writer.push(op, usize::MAX).unwrap());
            assert_eq!(writer.encode(), data, "{name}");
        }
    }
}

#[test]
fn frozen_bad_segments_fail_where_they_say() {
    let (world, frozen) = (World::new(), frozen());
    for entry in frozen["must_fail"].as_array().unwrap() {
        let name = entry["name"].as_str().unwrap();
        let public = PublicKeyBytes::from_bytes(field(entry, "public"));
        let failed = step_that_fails(&world, &public, unhex(&entry["bytes"]));
        assert_eq!(failed, entry["fails_at"].as_str(), "{name}");
    }
}
