#!/usr/bin/env python3
"""Reads segments.json by the text of docs/FORMAT.md and docs/PROTOCOL.md alone.

Shares no code with the engine. Needs `cryptography` and `zstandard` (PyPI). Prints `N passed, 0 failed`, and exits
with 1 if anything differs from what the file says.
"""

import base64
import hashlib
import hmac
import json
import pathlib
import struct
import sys
import uuid

import zstandard
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

HERE = pathlib.Path(__file__).parent
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
HEADER_LEN, SIGNATURE_LEN, TAG_LEN = 115, 64, 16
DATA, CARRIED, CLOSING, CONTROL, CONTROL_CLOSING = 0x01, 0x02, 0x03, 0x41, 0x43
VALUE_BYTES_MAX, DEPTH_MAX = 1 << 20, 64
CARRIED_DEPTH_MAX, EXTENSIONS_MAX = 8, 16
SEGMENT_BYTES_MAX, PLAIN_MAX = 2 << 20, (2 << 20) + (64 << 10)
COLLECTION_MAX = FIELD_MAX = 128
FIELDS_MAX, NAMES_MAX, LOGS_MAX = 1024, 1 << 16, 16384
HEADS_PART_MAX, RUNS_MAX = 4096, 1024


class Bad(Exception):
    """A segment fails; `step` says where."""

    def __init__(self, step, why=""):
        super().__init__(f"{step}: {why}")
        self.step = step


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def label(name):
    return b"subrosa/1 " + name.encode()


def expand(prk, info, length):
    """HKDF-Expand with SHA-256 (RFC 5869)."""
    out, block, counter = b"", b"", 1
    while len(out) < length:
        block = hmac.digest(prk, block + info + bytes([counter]), "sha256")
        out, counter = out + block, counter + 1
    return out[:length]


def signed(point, name, payload, signature):
    """ECDSA P-256 with SHA-256 over label | payload, r | s, low s only."""
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    if s > ORDER // 2:
        return False
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        key.verify(encode_dss_signature(r, s), label(name) + payload, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


def log_id(public):
    return sha(label("log"), public)[:16]


def padded_len(length):
    """Padme, at least 256."""
    if length <= 256:
        return 256
    exponent = length.bit_length() - 1
    zeros = exponent - exponent.bit_length()
    step = 1 << zeros
    return (length + step - 1) // step * step


class Reader:
    """Big-endian integers and LEB128 varints from the front of some bytes; `step` is named when they do not parse."""

    def __init__(self, data, step):
        self.data, self.at, self.step = data, 0, step

    def left(self):
        return len(self.data) - self.at

    def need(self, holds, why):
        if not holds:
            raise Bad(self.step, why)

    def take(self, count):
        self.need(count <= self.left(), "truncated")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, size):
        return int.from_bytes(self.take(size), "big")

    def varint(self):
        value, shift = 0, 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                self.need(byte or shift == 7, "overlong integer")
                self.need(value < 1 << 64, "integer over 64 bits")
                return value
            self.need(shift < 70, "integer over ten bytes")

    def zigzag(self):
        value = self.varint()
        return (value >> 1) ^ -(value & 1)

    def counted(self, each, limit):
        count = self.varint()
        self.need(count * each <= self.left() and count <= limit, "count")
        return count

    def text(self, limit):
        length = self.varint()
        self.need(length <= limit, "text too long")
        try:
            return self.take(length).decode()
        except UnicodeDecodeError:
            raise Bad(self.step, "not UTF-8") from None

    def finish(self):
        self.need(self.left() == 0, "trailing bytes")


# Segment


def parse(data):
    """The header as a dict, body and signature."""
    reader = Reader(data, "shape")
    reader.need(len(data) <= SEGMENT_BYTES_MAX, "segment too large")
    header = {"suite": reader.number(1), "kind": reader.number(1), "place": reader.number(1)}
    header |= {"log": reader.take(16).hex(), "seq": reader.number(8), "epoch": reader.number(4)}
    header |= {"prev": reader.take(32).hex(), "salt": reader.take(16).hex()}
    header |= {"commit": reader.take(32).hex(), "body_len": reader.number(4)}
    reader.need(header["suite"] == 2, "suite")
    reader.need(header["kind"] >> 6 in (0, 1), "class")
    reader.need(header["place"] <= 3, "place")
    alone = is_control(header) or header["kind"] in (CARRIED, CLOSING) or header["kind"] & 0x20
    reader.need(header["place"] == 3 or not alone, "place of a kind that is a group of its own")
    reader.need(header["seq"] or header["prev"] == bytes(32).hex(), "first segment with one before it")
    reader.need(header["body_len"] >= TAG_LEN, "body length")
    body, signature = reader.take(header["body_len"]), reader.take(SIGNATURE_LEN)
    reader.finish()
    return header, body, signature


def is_control(header):
    return header["kind"] >> 6 == 1


def verify_segment(data, vault, public):
    """Shape and signature: what a relay can check. Header, hdr, body, preimage and signature."""
    header, body, signature = parse(data)
    hdr = sha(label("segment"), vault, data[:79], data[111:115])
    preimage = hdr + bytes.fromhex(header["commit"]) + sha(body)
    if log_id(public).hex() != header["log"] or not signed(public, "chain", preimage, signature):
        raise Bad("signature")
    return header, hdr, body, preimage, signature


def open_segment(data, vault, public, keys):
    """Every step of docs/FORMAT.md "Opening", in its order. What was found on the way, as a dict."""
    header, hdr, body, preimage, signature = verify_segment(data, vault, public)
    okm = expand(keys["control" if is_control(header) else "data"], label("segment key") + hdr, 64)
    if okm[32:] != bytes.fromhex(header["commit"]):
        raise Bad("commitment")
    try:
        plaintext = AESGCM(okm[:32]).decrypt(bytes(12), body, hdr)
    except InvalidTag:
        raise Bad("tag") from None
    flags, content = unpack(plaintext)
    found = {"header": header, "hdr": hdr.hex(), "okm": okm.hex(), "signature": signature.hex()}
    found |= {"chain": sha(label("chain"), preimage).hex(), "plaintext": plaintext.hex(), "data": content.hex()}
    found |= {"compressed": bool(flags & 1)}
    if header["kind"] == CONTROL:
        found["content"] = read_entries(content, vault, header)
    elif header["kind"] == DATA:
        found["content"] = read_body(content, bool(header["place"] & 1))
    elif header["kind"] == CARRIED:
        found["content"] = read_carried(content, vault, keys)
    elif header["kind"] in (CLOSING, CONTROL_CLOSING):
        found["content"] = {"extensions": read_extensions(Reader(content, "closing"))}
    else:
        found["content"] = None
    return found


def read_carried(data, vault, keys, depth=1):
    """log public[65] | segment, which is checked; what that carries is checked too."""
    reader = Reader(data, "carried")
    reader.need(depth <= CARRIED_DEPTH_MAX, "too deep")
    public = reader.take(65)
    inside = reader.take(reader.left())
    try:
        header, hdr, body, preimage, _ = verify_segment(inside, vault, public)
    except Bad as bad:
        raise Bad("carried", str(bad)) from None
    reader.need(not is_control(header), "of a control log")
    if header["kind"] == CARRIED:
        key = expand(keys["data"], label("segment key") + hdr, 64)[:32]
        read_carried(unpack(AESGCM(key).decrypt(bytes(12), body, hdr))[1], vault, keys, depth + 1)
    return {"public": public.hex(), "segment": inside.hex(), "chain": sha(label("chain"), preimage).hex()}


def read_extensions(reader):
    """(tag u8 | length u16 | bytes)*, ascending"""
    found = []
    while reader.left():
        tag, length = reader.number(1), reader.number(2)
        reader.need(not found or found[-1]["tag"] < tag, "order of extensions")
        found.append({"tag": tag, "bytes": reader.take(length).hex()})
    reader.need(len(found) <= EXTENSIONS_MAX, "too many extensions")
    return found


def unpack(plaintext):
    """flags u8 | length u32 | data | zeros"""
    reader = Reader(plaintext, "plaintext")
    flags, length = reader.number(1), reader.number(4)
    reader.need(flags & ~1 == 0, "unknown flag")
    data = reader.take(length)
    reader.need(len(plaintext) == padded_len(5 + length), "not padded as specified")
    reader.need(not any(reader.take(reader.left())), "padding is not zero")
    if not flags & 1:
        return flags, data
    try:
        size = zstandard.frame_content_size(data)
        if not 0 <= size <= PLAIN_MAX:
            raise Bad("compression", "decompresses to too much")
        return flags, zstandard.ZstdDecompressor().decompress(data, max_output_size=PLAIN_MAX, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise Bad("compression", str(error)) from None


# Body of a data segment


class Names:
    """A table whose entries stand in the order of their first use, each used, none twice."""

    def __init__(self, reader, entries):
        self.reader, self.entries, self.used = reader, entries, 0
        reader.need(len(set(entries)) == len(entries), "name that stands twice")

    def next(self, reader):
        index = reader.varint()
        reader.need(index <= self.used and index < len(self.entries), "order of a table")
        self.used = max(self.used, index + 1)
        return self.entries[index]

    def finish(self):
        self.reader.need(self.used == len(self.entries), "unused entry")


def read_heads(reader, count, seq):
    heads = [{"log": reader.take(16).hex(), "seq": seq(), "chain": reader.take(32).hex()} for _ in range(count)]
    logs = [head["log"] for head in heads]
    reader.need(logs == sorted(set(logs)), "order of heads")
    return heads


def read_head(reader):
    latest, runs, seen = reader.number(8), [], []
    for _ in range(reader.counted(16, RUNS_MAX)):
        runs.append([reader.take(8).hex(), reader.number(8)])
    names = [run for run, _ in runs]
    reader.need(names == sorted(set(names)), "order of runs")
    reader.need(all(stamp <= latest for _, stamp in runs), "run later than its group")
    complete = reader.number(1)
    reader.need(complete in (0, 1), "flag")
    for _ in range(reader.counted(49, HEADS_PART_MAX)):
        seen.append((reader.take(16).hex(), reader.varint(), reader.take(32).hex()))
    reader.need(seen == sorted(set(seen)), "order of seen heads")
    seen = [{"log": log, "seq": seq, "chain": chain} for log, seq, chain in seen]
    return {"latest": latest, "runs": runs, "seen": seen, "complete": bool(complete)}


def read_body(data, first, latest=None):
    """A body of a data segment; `latest` is what the first body of its group says, where it is known."""
    reader = Reader(data, "data")
    head = read_head(reader) if first else None
    latest = head["latest"] if first else latest
    base = stamp = reader.number(8)
    longest = max(COLLECTION_MAX, FIELD_MAX)
    strings = Names(reader, [reader.text(longest) for _ in range(reader.counted(1, NAMES_MAX))])
    logs = Names(reader, [reader.take(16) for _ in range(reader.counted(16, LOGS_MAX))])
    ops = []
    while reader.left():
        tag, length = reader.varint(), reader.varint()
        op = Reader(reader.take(length), "data")
        stamp = (stamp + op.zigzag()) % (1 << 64)
        op.need(latest is None or stamp <= latest, "op later than its group")
        record, collection = uuid.UUID(bytes=op.take(16)), strings.next(op)
        well_named = 0 < len(collection.encode()) <= COLLECTION_MAX and not any(is_control_character(c) for c in collection)
        op.need(well_named, "collection name")
        ops.append({"record": str(record), "collection": collection, "stamp": stamp} | read_op(tag, stamp, op, strings, logs))
    strings.finish()
    logs.finish()
    return {"head": head, "base": base, "ops": ops}


def is_control_character(character):
    return ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0


def read_op(tag, stamp, op, strings, logs):
    op.need(tag, "op tag")
    if tag not in (1, 2, 3):
        return {"op": tag, "bytes": with_slot(op.take(op.left())).hex()}
    tombstone = read_tombstone(op, stamp, logs) if tag != 1 else []
    if tag == 3:
        op.finish()
        return {"op": "delete", "tombstone": tombstone}
    op.need(tag == 1 or tombstone, "naming nothing")
    cells = []
    while op.left():
        field = strings.next(op)
        op.need(len(field.encode()) <= FIELD_MAX, "field name")
        cells.append({"field": field} | read_cell(op))
    fields = [cell["field"].encode() for cell in cells]
    op.need(fields == sorted(set(fields)) and len(fields) <= FIELDS_MAX, "order of fields")
    return {"op": "put" if tag == 1 else "put naming", "tombstone": tombstone, "cells": cells}


def read_tombstone(op, stamp, logs):
    entries = []
    for _ in range(op.counted(2, LOGS_MAX)):
        entries.append([logs.next(op).hex(), (stamp + op.zigzag()) % (1 << 64)])
    names = [log for log, _ in entries]
    op.need(names == sorted(set(names)), "order of logs")
    return entries


def read_cell(op):
    tag, length = op.varint(), op.varint()
    op.need(tag and length <= VALUE_BYTES_MAX, "cell")
    content = op.take(length)
    if tag == 1:
        reader = Reader(content, "data")
        value = read_value(reader, DEPTH_MAX)
        reader.finish()
        return {"cell": "register", "json": value, "hash": sha(content).hex()}
    if tag == 2:
        op.need(not content, "unset with bytes")
        return {"cell": "unset"}
    return {"cell": tag, "bytes": with_slot(content).hex()}


def with_slot(content):
    """length u8 | slot, then what only newer versions read"""
    reader = Reader(content, "data")
    reader.take(reader.number(1))
    return content


def read_value(reader, depth):
    """The value as Python's json would read it from the canonical text."""
    tag = reader.take(1)[0]
    if tag <= 2:
        return (None, False, True)[tag]
    if tag == 3:
        return reader.zigzag()
    if tag == 4:
        (value,) = struct.unpack(">d", reader.take(8))
        reader.need(value - value == 0, "not finite")
        return value
    if tag == 5:
        return reader.text(VALUE_BYTES_MAX)
    if tag == 6:
        return {"$bytes": base64.b64encode(reader.take(reader.varint())).decode()}
    reader.need(tag in (7, 8), "value tag")
    reader.need(depth, "too deep")
    if tag == 7:
        return [read_value(reader, depth - 1) for _ in range(reader.counted(1, VALUE_BYTES_MAX))]
    keys, values = [], []
    for _ in range(reader.counted(2, VALUE_BYTES_MAX)):
        keys.append(reader.text(VALUE_BYTES_MAX))
        values.append(read_value(reader, depth - 1))
    encoded = [key.encode() for key in keys]
    reader.need(encoded == sorted(set(encoded)), "order of keys")
    if len(keys) == 1 and keys[0].startswith("$"):
        keys = ["$" + keys[0]]
    return dict(zip(keys, values))


# Control entries


def read_entries(data, vault, header):
    reader, found, certificate, genesis = Reader(data, "entries"), [], None, None
    count = reader.number(2)
    reader.need(count <= 256, "count of entries")
    for index in range(count):
        tag, length = reader.number(1), reader.number(4)
        reader.need(length <= 512 << 10, "entry too large")
        entry, said = read_entry(tag, reader.take(length), vault)
        reader.need(tag != 1 or (header["seq"], index) == (0, 0), "genesis out of place")
        genesis = said if tag == 1 else genesis
        certificate = said if tag == 3 else certificate
        found.append(entry)
    reader.finish()
    reader.need((certificate is not None) == (header["seq"] == 0), "certificate out of place")
    if certificate:
        reader.need(log_id(certificate["control"]).hex() == header["log"], "certificate of another log")
    if genesis:
        born = sha(label("vault"), genesis["commitment"], genesis["hash"], certificate["admin"])
        reader.need(born == vault, "genesis of another vault")
    return found


def read_entry(tag, data, vault):
    """The entries here have no extensions, and are all known: read_control.py has the others."""
    reader = Reader(data[:-64], "entries")
    author, number = reader.take(65), reader.number(8)
    payload = reader.data[73:]
    if tag == 1:
        holds = signed(author, "genesis", bytes([tag]) + reader.data, data[-64:])
    else:
        holds = signed(author, "control entry", vault + bytes([tag]) + reader.data, data[-64:])
    reader.need(holds, "author's signature")
    kind = {1: "genesis", 2: "device added", 3: "log certificate"}[tag]
    entry, said = {"entry": kind, "author": author.hex(), "number": number, "name": None}, {}
    if tag == 1:
        said = {"commitment": reader.take(32), "hash": sha(payload)}
        reader.need(reader.take(65) == author and number == 0, "founder")
        entry["name"] = read_name(reader)
        reader.take(32)
    elif tag == 2:
        read_prekey(reader, reader.take(65))
        entry["name"] = read_name(reader)
        reader.need(reader.number(1) <= 2, "role")
    else:
        reader.need(reader.take(32) == vault and reader.take(65) == author, "certificate of another vault")
        reader.need(reader.number(4) < 1024, "incarnation")
        said = {"control": reader.take(65), "data": reader.take(65), "admin": reader.take(65)}
        read_prekey(reader, author)
        proved = payload[:-128]
        reader.need(signed(said["data"], "proof of log", proved, reader.take(64)), "proof of the data log")
        reader.need(signed(said["admin"], "proof of admin key", proved, reader.take(64)), "proof of the admin key")
    reader.finish()
    return entry, said


def read_prekey(reader, device):
    front, public, signature = reader.take(7), reader.take(65), reader.take(64)
    reader.need(front[0] == 1 and front[5:] == b"\0\x41", "suite")
    reader.need(signed(device, "prekey", device + front + public, signature), "prekey")


def read_name(reader):
    length = reader.number(4)
    reader.need(1 <= length <= 128, "name")
    return reader.take(length).decode()


# Checks


def same(ours, theirs):
    """Equality that tells 1 from 1.0 and true, and 0.0 from -0.0."""
    if type(ours) is not type(theirs):
        return False
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(same(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    return repr(ours) == repr(theirs)


def with_values(content):
    """Turns the JSON texts of values into values."""
    for op in content.get("ops", []) if isinstance(content, dict) else []:
        for cell in op.get("cells", []):
            if "json" in cell:
                cell["json"] = json.loads(cell["json"])
    return content


class Tally:
    """What holds and what does not; what does not is named at once."""

    def __init__(self):
        self.held = self.failed = 0

    def result(self, name, holds):
        if holds:
            self.held += 1
        else:
            self.failed += 1
            print("FAILED:", name, file=sys.stderr)

    def end(self):
        print(f"{self.held} passed, {self.failed} failed")
        sys.exit(1 if self.failed else 0)


def check_vault(vectors):
    vault = {name: bytes.fromhex(value) for name, value in vectors["vault"].items()}
    keys, statement = vectors["keys"], vectors["statement_0"]
    yield sha(label("recovery commitment"), vault["recovery_public"], vault["recovery_nonce"]) == vault["recovery_commitment"]
    yield sha(vault["genesis_payload"]) == vault["genesis_hash"]
    parts = vault["recovery_commitment"], vault["genesis_hash"], vault["admin_key"]
    yield sha(label("vault"), *parts) == vault["id"]
    yield expand(bytes.fromhex(keys["epoch_0"]), label("control"), 32).hex() == keys["control_0"]
    yield json.loads((HERE / "control.json").read_text())["vault"] == vectors["vault"]["id"]

    data = bytes.fromhex(statement["bytes"])
    reader = Reader(data, "statement")
    yield reader.number(1) == 2
    read = {"bytes": data.hex(), "vault": reader.take(32).hex(), "generation": reader.number(8)}
    read |= {"epoch": reader.number(4), "read": reader.take(65).hex(), "write": reader.take(65).hex()}
    read["admins"] = [reader.take(65).hex() for _ in range(reader.number(2))]
    read |= {"recovery_commitment": reader.take(32).hex(), "previous": reader.take(32).hex()}
    yield reader.number(1) == 0
    read |= {"signer": reader.take(65).hex(), "signature": reader.take(64).hex()}
    reader.finish()
    yield read | {"hash": sha(label("statement hash"), data).hex()} == statement
    yield statement["vault"] == vectors["vault"]["id"] and statement["previous"] == vectors["vault"]["genesis_hash"]
    yield statement["admins"] == [statement["signer"]] == [vectors["vault"]["admin_key"]]
    yield signed(bytes.fromhex(statement["signer"]), "statement", data[:-64], data[-64:])


def check_digest(vectors):
    total = int.from_bytes(sha(label("digest")), "big")
    for head in vectors["digest"]["heads"]:
        log, chain = bytes.fromhex(head["log"]), bytes.fromhex(head["chain"])
        total += int.from_bytes(sha(label("digest"), log, struct.pack(">Q", head["seq"]), chain), "big")
    yield (total % 2**256).to_bytes(32, "big").hex() == vectors["digest"]["digest"]
    yield sha(label("digest")).hex() == vectors["digest"]["of_nothing"]
    for length, padded in vectors["padded"]:
        yield padded_len(length) == padded


def main():
    vectors = json.loads((HERE / "segments.json").read_text())
    tally = Tally()
    result = tally.result
    for part in (check_vault, check_digest):
        for number, holds in enumerate(part(vectors)):
            result(f"{part.__name__} {number}", holds)
    vault = bytes.fromhex(vectors["vault"]["id"])
    keys = {"data": bytes.fromhex(vectors["keys"]["epoch_0"]), "control": bytes.fromhex(vectors["keys"]["control_0"])}
    chains = {}
    for segment in vectors["segments"] + vectors["other_kinds"]:
        data, public = bytes.fromhex(segment["bytes"]), bytes.fromhex(segment["public"])
        given = {"name": segment["name"], "public": segment["public"]}
        try:
            found = given | {"bytes": segment["bytes"]} | open_segment(data, vault, public, keys)
        except Bad as bad:
            result(f"{segment['name']} ({bad})", False)
            continue
        with_values(segment["content"])
        result(segment["name"], same(found, segment))
        if segment in vectors["other_kinds"]:
            continue
        log, seq = found["header"]["log"], found["header"]["seq"]
        result(f"place of {segment['name']}", chains.get(log, (0, bytes(32).hex())) == (seq, found["header"]["prev"]))
        chains[log] = (seq + 1, found["chain"])
    for segment in vectors["must_fail"]:
        data, public = bytes.fromhex(segment["bytes"]), bytes.fromhex(segment["public"])
        try:
            open_segment(data, vault, public, keys)
            step = "nowhere"
        except Bad as bad:
            step = bad.step
        result(f"{segment['name']} fails at {step}", step == segment["fails_at"])
    tally.end()


if __name__ == "__main__":
    main()
