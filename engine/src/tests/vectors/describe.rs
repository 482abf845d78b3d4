//! The content of a segment as JSON.

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use subrosa_model::carried::{Carried, Closing};
use subrosa_model::control::{Entry, SignedEntry, decode_entries};
use subrosa_model::merge::{BodyPlace, Cell, CheckedBody, FieldCell, Op, OpKind, Tombstone};
use subrosa_protocol::ids::{Head, VaultId};
use subrosa_protocol::segment::Header;

pub(super) fn hex(bytes: impl AsRef<[u8]>) -> String {
    HEXLOWER.encode(bytes.as_ref())
}

pub(super) fn unhex(text: &Value) -> Vec<u8> {
    HEXLOWER.decode(text.as_str().unwrap().as_bytes()).unwrap()
}

fn heads(heads: &[Head]) -> Vec<Value> {
    let one = |head: &Head| {
        json!({
            "log": hex(head.log.as_bytes()), "seq": head.seq.0, "chain": hex(head.chain.as_bytes()),
        })
    };
    heads.iter().map(one).collect()
}

/// The entries of a control segment.
pub(super) fn control_content(data: &[u8]) -> Value {
    let entry = |signed: &SignedEntry| {
        let (kind, name) = match &signed.entry {
            Entry::Genesis(genesis) => ("genesis", Some(genesis.name.as_str())),
            Entry::DeviceAdded(added) => ("device added", Some(added.name.as_str())),
            Entry::LogCertificate(_) => ("log certificate", None),
            Entry::Unknown(_) => panic!("only known kinds are made"),
        };
        json!({
            "entry": kind, "author": hex(signed.author.as_bytes()), "number": signed.number, "name": name,
        })
    };
    decode_entries(data).unwrap().iter().map(entry).collect()
}

/// The body of a data segment.
pub(super) fn data_content(data: &[u8], place: BodyPlace) -> Value {
    let body = CheckedBody::decode(data, place).unwrap();
    let head = body.head().map(|head| {
        json!({
            "latest": head.latest.0,
            "runs": head.runs.iter().map(|(run, stamp)| json!([hex(run.as_bytes()), stamp.0])).collect::<Vec<_>>(),
            "seen": heads(head.seen.heads()), "complete": head.seen.is_complete(),
        })
    });
    json!({
        "head": head, "base": body.base().0, "ops": body.ops().iter().map(op).collect::<Vec<_>>(),
    })
}

/// Where the body of a segment stands in its group.
pub(super) const fn place_of(header: &Header) -> BodyPlace {
    BodyPlace::once_more(header.place)
}

fn op(op: &Op<'_>) -> Value {
    let mut said = json!({
        "record": op.record.to_string(), "collection": op.collection, "stamp": op.stamp.0,
    });
    match &op.kind {
        OpKind::Put(put) => {
            said["op"] = if put.names().is_empty() { "put" } else { "put naming" }.into();
            said["tombstone"] = tombstone(put.names());
            said["cells"] = put.cells().iter().map(cell).collect();
        }
        OpKind::Delete(names) => {
            said["op"] = "delete".into();
            said["tombstone"] = tombstone(names);
        }
        OpKind::Unknown { tag, bytes } => {
            said["op"] = (*tag).into();
            said["bytes"] = hex(bytes.as_bytes()).into();
        }
    }
    said
}

fn tombstone(names: &Tombstone) -> Value {
    names.iter().map(|(log, stamp)| json!([hex(log.as_bytes()), stamp.0])).collect()
}

fn cell(cell: &FieldCell<'_>) -> Value {
    match cell.cell {
        Cell::Register(value) => json!({
            "field": cell.name, "cell": "register",
            "json": value.decode().unwrap().to_json_string(), "hash": hex(value.value_hash()),
        }),
        Cell::Unset => json!({ "field": cell.name, "cell": "unset" }),
        Cell::Unknown { tag, bytes } => {
            json!({ "field": cell.name, "cell": tag, "bytes": hex(bytes.as_bytes()) })
        }
    }
}

/// What a carried segment has inside.
pub(super) fn carried_content(data: &[u8], vault: &VaultId) -> Value {
    let inside = Carried::decode(data).unwrap().check(vault).unwrap();
    json!({
        "public": hex(inside.public().as_bytes()),
        "segment": hex(inside.segment().bytes()),
        "chain": hex(inside.chain().as_bytes()),
    })
}

/// The extensions of a closing segment.
pub(super) fn closing_content(data: &[u8]) -> Value {
    let closing = Closing::decode(data).unwrap();
    let extensions = closing.extensions.iter().map(|(tag, bytes)| json!({ "tag": tag, "bytes": hex(bytes) }));
    json!({ "extensions": extensions.collect::<Vec<_>>() })
}
