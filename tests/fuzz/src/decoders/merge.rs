//! What records are made of, where it is stored and on its way.

use std::collections::BTreeMap;

use subrosa_model::carried::{Carried, Closing};
use subrosa_model::merge::{
    BodyPlace, BodyWriter, CheckedBody, GroupHead, LogTable, Op, OpKind, PendingOps, Put, RecordId,
    RecordState, Stamp, Value, ValueBuf, ValueRef, VaultNo,
};
use subrosa_model::seal::Packed;
use subrosa_protocol::ids::{LogId, VaultId};
use subrosa_protocol::segment::Class;

pub(super) fn value(data: &[u8]) {
    let checked = ValueRef::check(data);
    let decoded = ValueRef::trusted(data).decode();
    if data.len() <= subrosa_protocol::limits::VALUE_BYTES_MAX {
        assert_eq!(checked.is_ok(), decoded.is_ok());
    }
    let Ok(value) = decoded else { return };
    if let Ok(encoded) = ValueBuf::encode(&value) {
        assert_eq!(encoded.borrow().as_bytes(), data);
    }
    let printed = value.to_json_string();
    assert!(Value::from_json_str(&printed).expect("what was printed is JSON") == value);
}

pub(super) fn first_body(data: &[u8]) {
    body(data, BodyPlace::First);
}

/// The group's latest stamp, and a body.
pub(super) fn later_body(data: &[u8]) {
    if let Some((latest, data)) = data.split_first_chunk() {
        body(data, BodyPlace::Behind { latest: Stamp(u64::from_be_bytes(*latest)) });
    }
}

/// A body that decodes has one encoding; it can be merged, and from the state that it comes to the next local ops can be made,
/// stored, sealed and read.
fn body(data: &[u8], place: BodyPlace) {
    let Ok(body) = CheckedBody::decode(data, place) else { return };
    let mut writer = match body.head() {
        Some(head) => BodyWriter::first(body.base(), head),
        None => BodyWriter::behind(body.base()),
    };
    for op in body.ops() {
        writer.push(op, usize::MAX).expect("no more names than a body may have");
    }
    assert_eq!(writer.encode(), data);
    let mut logs = LogTable::default();
    let author = logs.intern(VaultNo(0), LogId::from_bytes([1; 16]), Class::Data);
    for log in body.named() {
        logs.intern(VaultNo(0), *log, Class::Data);
    }
    let mut records: BTreeMap<RecordId, Vec<_>> = BTreeMap::new();
    body.ops().iter().for_each(|op| records.entry(op.record).or_default().push(op));
    for ops in records.into_values().take(16) {
        let mut state = RecordState::default();
        for op in &ops {
            state.apply(author, op, &logs.of(VaultNo(0)));
            assert!(!state.apply(author, op, &logs.of(VaultNo(0))), "an op is taken in once");
        }
        let mut stored = Vec::new();
        state.encode(&mut stored);
        assert_eq!(RecordState::decode(&stored).as_ref(), Ok(&state));
        next_ops(&state, &logs, ops[0]);
    }
}

/// What a device does next to a record.
fn next_ops(state: &RecordState<'_>, logs: &LogTable, like: &Op<'_>) {
    let stamp = Stamp(u64::MAX);
    let put = Put::new(state.names_for_put(logs), Vec::new()).expect("names have no limit");
    let mut pending = PendingOps::default();
    for kind in [OpKind::Put(put), OpKind::Delete(state.tombstone_for_delete(logs))] {
        pending.push(Op { kind, stamp, ..like.clone() });
    }
    let mut waiting = Vec::new();
    pending.encode(&mut waiting);
    assert_eq!(PendingOps::decode(like.record, like.collection, &waiting).as_ref(), Ok(&pending));
    let mut writer = BodyWriter::first(stamp, &GroupHead::of(stamp));
    for op in pending.ops() {
        writer.push(op, usize::MAX).expect("two ops name little");
    }
    let sealed = writer.encode();
    let read = CheckedBody::decode(&sealed, BodyPlace::First).expect("a body of our own");
    assert_eq!(read.ops(), pending.ops());
}

pub(super) fn row(data: &[u8]) {
    let Ok(state) = RecordState::decode(data) else { return };
    assert_eq!(RecordState::row_is_visible(data), Ok(state.is_visible()));
    let mut again = Vec::new();
    state.encode(&mut again);
    assert_eq!(again, data);
}

pub(super) fn pending_row(data: &[u8]) {
    let Ok(pending) = PendingOps::decode(RecordId::from_bytes([0; 16]), "c", data) else { return };
    let mut again = Vec::new();
    pending.encode(&mut again);
    assert_eq!(again, data);
}

/// What stands in a segment once it is opened; and what waits for sealing.
pub(super) fn plaintext(data: &[u8]) {
    if let Some(plain) = subrosa_model::seal::testing::unpack(data) {
        assert!(plain.len() <= subrosa_protocol::limits::SEGMENT_PLAIN_MAX.max(data.len()));
        let packed = Packed::of(&plain);
        let again = Packed::from_row(&packed.to_row()).expect("what was written").unpack();
        assert!(again.is_ok_and(|again| again[..] == plain[..]));
    }
    if let Some(packed) = Packed::from_row(data) {
        let _ = packed.unpack();
    }
}

pub(super) fn carried(data: &[u8]) {
    if let Ok(carried) = Carried::decode(data) {
        assert_eq!(carried.encode(), data);
        let _ = carried.check(&VaultId::from_bytes([1; 32]));
    }
}

pub(super) fn closing(data: &[u8]) {
    if let Ok(closing) = Closing::decode(data) {
        assert_eq!(closing.encode(), data);
    }
}
