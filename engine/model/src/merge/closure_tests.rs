//! Whatever merging has reached, the next local op encodes, waits, fits into a body and decodes.

use subrosa_protocol::ids::{Chain, Head, LogId, Seq};
use subrosa_protocol::limits::{
    FIELD_NAME_BYTES_MAX, HEADS_PART_MAX, LOGS_PER_VAULT_MAX, RUNS_MAX, SEGMENT_PLAIN_MAX, VALUE_BYTES_MAX,
};
use subrosa_protocol::segment::Class;

use super::body::{BodyPlace, BodyWriter, CheckedBody, GroupHead, Run, Seen};
use super::hlc::Stamp;
use super::id::RecordId;
use super::logs::{LogTable, VaultNo};
use super::op::{Cell, FieldCell, Op, OpKind, Put, Tombstone};
use super::pending::PendingOps;
use super::state::{Row, RowBuf};
use super::testing::buf;
use super::value::Value;

const VAULT: VaultNo = VaultNo(0);
const RECORD: RecordId = RecordId::from_bytes([9; 16]);

fn id(n: usize) -> LogId {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&(n as u32).wrapping_mul(0x9e37_79b1).to_be_bytes());
    LogId::from_bytes(bytes)
}

fn op(stamp: u64, kind: OpKind<'_>) -> Op<'_> {
    Op { record: RECORD, collection: "c", stamp: Stamp(stamp), kind }
}

/// The largest head that a group may have.
fn largest_head(latest: u64) -> GroupHead {
    let head = |n| Head { log: id(n), seq: Seq(u64::MAX), chain: Chain::from_bytes([0xff; 32]) };
    let mut group = GroupHead {
        seen: Seen::new((0..HEADS_PART_MAX).map(head).collect()),
        ..GroupHead::of(Stamp(latest))
    };
    (0..RUNS_MAX).for_each(|n| group.runs.raise(Run::from_bytes((n as u64).to_be_bytes()), Stamp(1)));
    group
}

/// The op waits, goes into a body behind the largest head, and comes back.
#[track_caller]
fn assert_travels(op: &Op<'_>) {
    let mut pending = PendingOps::default();
    pending.push(op.clone());
    let mut row = Vec::new();
    pending.encode(&mut row);
    assert!(PendingOps::decode(RECORD, "c", &row).is_ok_and(|pending| pending.ops() == [op.clone()]));
    let mut writer = BodyWriter::first(op.stamp, &largest_head(op.stamp.0));
    writer.push(op, SEGMENT_PLAIN_MAX).unwrap();
    let bytes = writer.encode();
    assert!(bytes.len() <= SEGMENT_PLAIN_MAX, "{} bytes", bytes.len());
    let body = CheckedBody::decode(&bytes, BodyPlace::First).unwrap();
    assert!(body.ops() == [op.clone()]);
}

/// Merges an op of each of so many logs into one record: an edit, and a delete that names what another log did.
fn merged(logs: &mut LogTable, count: usize) -> RowBuf {
    for n in 0..count {
        logs.intern(VAULT, id(n), Class::Data);
    }
    // Far apart, so that each name costs as many bytes as it can.
    let stamp = |n: usize| (n as u64 + 1) << 40;
    let ops: Vec<_> = (0..count)
        .map(|n| match n % 2 {
            0 => op(stamp(n), OpKind::Put(Put::new(Tombstone::default(), Vec::new()).unwrap())),
            _ => op(stamp(n), OpKind::Delete([(id(n), Stamp(stamp(n) - 1))].into_iter().collect())),
        })
        .collect();
    let empty = RowBuf::default();
    let mut state = Row::state(empty.borrow()).unwrap_or_default();
    for (n, op) in ops.iter().enumerate() {
        let number = logs.number(VAULT, &id(n)).unwrap();
        state.apply(number, op, &logs.of(VAULT));
    }
    RowBuf::of(&state, &mut Vec::new())
}

#[test]
fn the_next_op_travels_however_many_logs_have_touched_its_record() {
    let value = buf(Value::Bytes(vec![0xff; VALUE_BYTES_MAX - 4]));
    let name = "f".repeat(FIELD_NAME_BYTES_MAX);
    for count in [5_000, LOGS_PER_VAULT_MAX] {
        let mut logs = LogTable::default();
        let row = merged(&mut logs, count);
        let mut state = row.borrow().state().unwrap();
        let own = logs.number(VAULT, &id(0)).unwrap();
        let now = u64::MAX - 10;
        let names = state.tombstone_for_delete(&logs);
        assert_eq!(names.iter().len(), count, "each log is named");
        let delete = op(now, OpKind::Delete(names));
        assert_travels(&delete);
        state.apply(own, &delete, &logs.of(VAULT));
        assert!(!state.is_visible());
        // The put that begins the record anew names all of them, beside the largest value.
        let names = state.names_for_put(&logs);
        assert_eq!(names.iter().len(), count);
        let cells = vec![FieldCell { name: &name, cell: Cell::Register(value.borrow()) }];
        let put = op(now + 1, OpKind::Put(Put::new(names, cells).unwrap()));
        assert_travels(&put);
        state.apply(own, &put, &logs.of(VAULT));
        let row = RowBuf::of(&state, &mut Vec::new());
        assert!(row.borrow().state().unwrap().is_visible());
    }
}
