#!/usr/bin/env python3
"""Reads control.json and pairing.json by the text of docs/FORMAT.md and docs/PROTOCOL.md alone.

Shares no code with the engine. Needs `cryptography` (PyPI). Exits with an AssertionError at the first difference.
"""

import base64
import hashlib
import hmac
import json
import pathlib
import struct

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

HERE = pathlib.Path(__file__).parent
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def label(name):
    return b"subrosa/1 " + name.encode()


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def extract(salt, ikm):
    return hmac.digest(salt, ikm, "sha256")


def expand(prk, info, length):
    out, block, counter = b"", b"", 1
    while len(out) < length:
        block = hmac.digest(prk, block + info + bytes([counter]), "sha256")
        out, counter = out + block, counter + 1
    return out[:length]


def public_key(point):
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)


def point_of(private):
    form = serialization.PublicFormat.UncompressedPoint
    return private.public_key().public_bytes(serialization.Encoding.X962, form)


def load(pkcs8):
    return serialization.load_der_private_key(bytes.fromhex(pkcs8), None)


def check(point, name, payload, signature):
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
    assert s <= ORDER // 2, "high s"
    public_key(point).verify(encode_dss_signature(r, s), label(name) + payload, ec.ECDSA(hashes.SHA256()))


def derive_pair(secret, name):
    attempt = 0
    while True:
        scalar = int.from_bytes(expand(extract(bytes(32), secret), label(name) + struct.pack(">I", attempt), 32))
        if 0 < scalar < ORDER:
            return ec.derive_private_key(scalar, ec.SECP256R1())
        attempt += 1


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        assert self.at + count <= len(self.data), "truncated"
        self.at += count
        return self.data[self.at - count:self.at]

    def number(self, size):
        return int.from_bytes(self.take(size))

    def prefixed(self):
        return self.take(self.number(4))

    def option(self, size):
        return self.take(size) if {0: False, 1: True}[self.number(1)] else None

    def finish(self):
        assert self.at == len(self.data), "trailing bytes"


def prekey(reader, device):
    """Says whether its suite is known."""
    start = reader.at
    suite, _, length = reader.number(1), reader.number(4), reader.number(2)
    public = reader.take(length)
    if suite == 1:
        assert length == 65
        public_key(public)
    payload, signature = device + reader.data[start:reader.at], reader.take(64)
    if suite == 1:
        check(device, "prekey", payload, signature)
    return suite == 1


def read_name(reader):
    name = reader.prefixed()
    assert 1 <= len(name) <= 128
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in name.decode())
    return name.decode()


def read_extensions(reader, kind):
    """Up to the end; those that are known are checked. Says whether one is critical and not known."""
    tags = []
    while reader.at < len(reader.data):
        tag, bytes_ = reader.number(1), reader.take(reader.number(2))
        assert not tags or tags[-1] < tag, "extensions ascend"
        tags.append(tag)
        if kind == 3 and tag == 1:
            assert bytes_ and len(bytes_) % 32 == 0, "caps"
            logs = [bytes_[at:at + 16] for at in range(0, len(bytes_), 32)]  # then how far, and the cap
            assert len(logs) <= 512 and logs == sorted(set(logs)), "caps ascend"
        if kind == 3 and tag == 3:
            assert bytes_ and len(bytes_) % 64 == 0, "prefix caps"
            caps = [bytes_[at:at + 64] for at in range(0, len(bytes_), 64)]  # log, seq, chain and cap
            assert len(caps) <= 512 and caps == sorted(set(caps)), "prefix caps ascend"
    assert len(tags) <= 16, "too many extensions"
    return any(tag & 0x80 for tag in tags)


def read_entry(tag, body, vault):
    """Checks one signed entry, and says what it is; `known` is False of what belongs to a newer version."""
    assert len(body) >= 64
    unsigned, signature = body[:-64], body[-64:]
    reader = Reader(unsigned)
    author, number = reader.take(65), reader.number(8)
    public_key(author)
    label_, prefix = ("genesis", b"") if tag == 1 else ("control entry", vault)
    payload = Reader(unsigned[reader.at:])
    entry = {"tag": tag, "author": author, "rank": (number, sha(body)), "known": True, "critical": False}
    if tag == 1:
        entry |= {"commitment": payload.take(32)}
        assert payload.take(65) == author and number == 0
        entry |= {"name": read_name(payload), "nonce": payload.take(32), "hash": sha(payload.data)}
    elif tag == 2:
        entry |= {"device": payload.take(65)}
        public_key(entry["device"])
        entry["known"] = prekey(payload, entry["device"])
        entry |= {"name": read_name(payload), "role": payload.number(1)}
        entry["known"] &= entry["role"] <= 2
    elif tag == 3:
        assert payload.take(32) == vault and payload.take(65) == author
        assert payload.number(4) < 1024
        entry |= {"control": payload.take(65), "data": payload.take(65), "admin": payload.take(65)}
        for name in ("control", "data", "admin"):
            public_key(entry[name])
        entry["known"] = prekey(payload, author)
        proved = payload.data[:payload.at]
        proofs = payload.take(64), payload.take(64)
    else:
        entry |= {"known": False, "critical": bool(tag & 0x80)}
    if tag <= 3:
        entry["critical"] = read_extensions(payload, tag)
        entry["known"] &= not entry["critical"]
    if tag == 3 and entry["known"]:
        check(entry["data"], "proof of log", proved, proofs[0])
        check(entry["admin"], "proof of admin key", proved, proofs[1])
    check(author, label_, prefix + bytes([tag]) + unsigned, signature)
    return entry


def read_segment(segment, vault):
    """The entries of a control segment, each in a place where it may stand."""
    reader = Reader(bytes.fromhex(segment["data"]))
    count = reader.number(2)
    assert count <= 256
    entries = []
    for _ in range(count):
        tag, length = reader.number(1), reader.number(4)
        assert length <= 512 << 10
        entries.append(read_entry(tag, reader.take(length), vault))
    reader.finish()
    known = [entry for entry in entries if entry["known"]]
    certificates = [entry for entry in known if entry["tag"] == 3]
    for index, entry in enumerate(entries):
        assert not entry["known"] or entry["tag"] != 1 or (segment["seq"], index) == (0, 0), "genesis out of place"
    assert len(certificates) <= (segment["seq"] == 0), "certificate out of place"
    assert certificates or segment["seq"] or len(known) < len(entries), "a beginning without a certificate"
    for certificate in certificates:
        assert sha(label("log"), certificate["control"])[:16].hex() == segment["log"]
        assert certificate["control"] != certificate["data"]
        for genesis in (entry for entry in known if entry["tag"] == 1):
            assert genesis["author"] == certificate["author"]
            born = sha(label("vault"), genesis["commitment"], genesis["hash"], certificate["admin"])
            assert born == vault, "genesis of another vault"
    return entries


def fold(segments):
    """Who is a member, of the set of segments: each is a log and its entries."""
    every = [(log, entry) for log, entries in segments for entry in entries if entry["known"]]
    [founder] = [entry for _, entry in every if entry["tag"] == 1]
    # A device's certificate, and beside it the word by which it was let in, which counts there before the log does.
    births = [{entry["author"] for entry in entries if entry["known"] and entry["tag"] == 3} for _, entries in segments]
    words = [
        entry["rank"] for born, (_, entries) in zip(births, segments) for entry in entries
        if entry["known"] and entry["tag"] == 2 and entry["device"] in born
    ]
    owners = {log: entry["author"] for log, entry in every if entry["tag"] == 3}
    roles, before = {founder["author"]: 0}, None
    while before != roles:
        before = dict(roles)
        for log, entry in every:
            counts = owners.get(log) in before or entry["rank"] in words
            if entry["tag"] == 2 and counts and before.get(entry["author"]) == 0:
                roles[entry["device"]] = min(roles.get(entry["device"], 2), entry["role"])
    listed = [{"device": founder["author"], "name": founder["name"], "role": 0, "added_by": None}]
    for adder in listed:
        if adder["role"]:
            continue
        added = (entry for log, entry in every if entry["tag"] == 2 and owners.get(log) in roles)
        for entry in sorted(added, key=lambda entry: entry["rank"]):
            known = [device["device"] for device in listed]
            if entry["author"] == adder["device"] and entry["device"] not in known:
                device = {"device": entry["device"], "name": entry["name"], "role": roles[entry["device"]]}
                listed.append(device | {"added_by": adder["device"]})
    return listed


def read_statement(data, vault, genesis, recovery, epoch):
    body, signature = data[:-64], data[-64:]
    reader = Reader(body)
    assert reader.number(1) == 2
    assert reader.take(32) == vault and reader.number(8) == 0 and reader.number(4) == 0
    assert reader.take(65).hex() == epoch["read"]["public"]
    assert reader.take(65).hex() == epoch["write"]["public"]
    assert reader.number(2) == 1 and reader.take(65) == genesis["admin"]
    assert reader.take(32).hex() == recovery["commitment"] and reader.take(32) == genesis["hash"]
    assert reader.number(1) == 0 and reader.take(65) == genesis["admin"]
    reader.finish()
    check(genesis["admin"], "statement", body, signature)


def read_keyring(data, vector):
    reader, epoch, logs = Reader(data), vector["epoch_0"], vector["founder_logs"]
    assert reader.number(1) == 3
    assert reader.take(65).hex() == vector["recovery"]["public"]
    assert reader.take(16).hex() == vector["recovery"]["nonce"]
    assert reader.option(32).hex() == vector["recovery"]["entropy"]
    assert reader.number(2) == 1 and reader.number(4) == 0
    assert reader.option(32).hex() == epoch["key"] and reader.take(32).hex() == epoch["control_key"]
    assert reader.option(138).hex() == epoch["write"]["pkcs8"]
    assert reader.number(4) == 0
    assert reader.take(138).hex() == logs["control"]["pkcs8"] and reader.take(138).hex() == logs["data"]["pkcs8"]
    assert reader.number(2) == 0, "no old logs"
    assert reader.take(138).hex() == vector["founder_admin"]["pkcs8"]
    assert reader.number(2) == 1
    assert reader.take(16) == sha(label("log"), bytes.fromhex(logs["control"]["public"]))[:16]
    assert reader.number(1) == 1 and reader.number(4) == 0
    load(reader.take(138).hex())
    assert reader.number(1) == 1, "the whole chain"
    assert reader.number(2) == 1 and reader.prefixed().hex() == vector["statement_0"]
    assert reader.number(2) == 0
    reader.finish()


def read_shape(shape, vault):
    entry = read_entry(shape["tag"], bytes.fromhex(shape["bytes"]), vault)
    assert (entry["known"], entry["critical"]) == (shape["counts"], shape["critical"]), shape["name"]
    number, digest = entry["rank"]
    assert (number, digest.hex()) == (shape["number"], shape["hash"]), shape["name"]


def refuse(segment, vault):
    try:
        read_segment(segment, vault)
    except (AssertionError, ValueError, InvalidSignature):
        return
    raise AssertionError(f"taken in: {segment['name']}")


def control():
    vector = json.loads((HERE / "control.json").read_text())
    vault, recovery, epoch = bytes.fromhex(vector["vault"]), vector["recovery"], vector["epoch_0"]
    key = bytes.fromhex(epoch["key"])
    assert expand(key, label("control"), 32).hex() == epoch["control_key"]
    assert point_of(derive_pair(key, "read")).hex() == epoch["read"]["public"]
    public = bytes.fromhex(recovery["public"])
    assert point_of(derive_pair(bytes.fromhex(recovery["entropy"]), "recovery key")) == public
    commitment = sha(label("recovery commitment"), public, bytes.fromhex(recovery["nonce"]))
    assert commitment.hex() == recovery["commitment"]
    segments = [(segment["log"], read_segment(segment, vault)) for segment in vector["segments"]]
    for order in (segments, segments[::-1]):
        members = [
            device | {key: device[key] and device[key].hex() for key in ("device", "added_by")}
            for device in fold(order)
        ]
        assert members == vector["members"], members
    for shape in vector["entries"]:
        read_shape(shape, vault)
    for segment in vector["bad"]:
        refuse(segment, vault)
    first = segments[0][1]
    genesis = first[0] | {"admin": first[1]["admin"]}
    read_statement(bytes.fromhex(vector["statement_0"]), vault, genesis, recovery, epoch)
    read_keyring(bytes.fromhex(vector["keyring"]), vector)


def hpke_open(recipient, sender, psk, psk_id, info, sealed):
    """RFC 9180, mode AuthPSK, DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM, first message."""
    kem, suite = b"KEM\x00\x10", b"HPKE\x00\x10\x00\x01\x00\x02"

    def labeled_extract(ids, salt, name, ikm):
        return extract(salt or bytes(32), b"HPKE-v1" + ids + name + ikm)

    def labeled_expand(ids, prk, name, context, length):
        return expand(prk, length.to_bytes(2) + b"HPKE-v1" + ids + name + context, length)

    encapped, ciphertext = sealed[:65], sealed[65:]
    shared = b"".join(recipient.exchange(ec.ECDH(), public_key(point)) for point in (encapped, sender))
    context = encapped + point_of(recipient) + sender
    secret = labeled_expand(kem, labeled_extract(kem, b"", b"eae_prk", shared), b"shared_secret", context, 32)
    psk_id_hash = labeled_extract(suite, b"", b"psk_id_hash", psk_id)
    context = b"\x03" + psk_id_hash + labeled_extract(suite, b"", b"info_hash", info)
    secret = labeled_extract(suite, secret, b"secret", psk)
    key = labeled_expand(suite, secret, b"key", context, 32)
    nonce = labeled_expand(suite, secret, b"base_nonce", context, 12)
    return AESGCM(key).decrypt(nonce, ciphertext, b"")


def read_bundle(bundle):
    """The parts fit together: the last statement is the vault's, and names the keys."""
    reader = Reader(bundle)
    assert reader.number(1) == 3
    vault, _ = reader.take(32), reader.prefixed().decode()
    commitment = sha(label("recovery commitment"), reader.take(65), reader.take(16))
    epoch, key, write = reader.number(4), reader.take(32), reader.option(138)
    older = [reader.take(36)[:4] for _ in range(reader.number(2))]
    assert older == sorted(set(older))
    statement = Reader(reader.prefixed())
    assert statement.number(1) == 2 and statement.take(32) == vault
    statement.take(8)
    assert statement.number(4) == epoch
    assert statement.take(65) == point_of(derive_pair(key, "read"))
    assert statement.take(65) == point_of(load(write.hex()))
    statement.take(65 * statement.number(2))
    assert statement.take(32) == commitment
    listing = Reader(reader.prefixed())
    assert (listing.number(2), listing.number(1)) == (1, 2), "the word by which it is let in"
    read_entry(2, listing.prefixed(), vault)
    listing.finish()
    assert reader.prefixed().decode().startswith("subrosa://")
    for _ in range(reader.number(2)):
        reader.take(32)
        reader.prefixed()
    frontier = [reader.take(56)[:16] for _ in range(reader.number(2))]
    assert frontier == sorted(set(frontier))
    reader.finish()


def pairing():
    vector = json.loads((HERE / "pairing.json").read_text())
    hosts, fragment = vector["link"].removeprefix("subrosa://").split("/pair#")
    assert hosts == "a:1"
    link = base64.b32decode(fragment.upper())
    assert len(link) == 120
    key_hash, secret = link[48:80], link[80:112]
    link_hash = sha(label("pair link"), link)

    def mac(tag, *parts):
        return expand(secret, b"".join([label("pair mac"), bytes([tag]), *parts]), 32)

    messages = [(message["from"], bytes.fromhex(message["bytes"])) for message in vector["messages"]]
    senders = [sender for sender, _ in messages]
    commit, reveal, opened, *pieces, done = [message for _, message in messages]
    assert senders == ["new", "old", "new"] + ["old"] * len(pieces) + ["new"]
    commitment = commit[2:34]
    assert commit[:2] == b"\x01\x02" and commit[34:] == mac(1, link_hash, commitment)
    old_half = reveal[1:-32]
    assert reveal[0] == 2 and reveal[-32:] == mac(2, link_hash, commitment, old_half)
    assert sha(label("pair key"), old_half[:65]) == key_hash
    new_half, proof = opened[1:-96], opened[-96:-32]
    transcript = link_hash + commitment + old_half + new_half
    assert opened[0] == 3 and opened[-32:] == mac(3, transcript, proof)
    assert sha(label("pair commit"), link_hash, new_half) == commitment
    check(new_half[97:162], "pair proof", transcript, proof)
    assert prekey(Reader(new_half[162:298]), new_half[97:162])
    code = int.from_bytes(sha(label("pair code"), transcript)) % 1_000_000
    assert f"{code:06}" == vector["code"]
    assert [piece[:3] for piece in pieces] == [bytes([4, i, len(pieces)]) for i in range(len(pieces))]
    sealed = b"".join(piece[3:] for piece in pieces)
    ephemeral, info = load(vector["new_ephemeral_pkcs8"]), sha(label("pair transcript"), transcript)
    assert point_of(ephemeral) == new_half[:65]
    bundle = hpke_open(ephemeral, old_half[:65], secret, label("pair psk"), info, sealed)
    assert bundle.hex() == vector["bundle"]
    assert bundle[1:33] == old_half[164:196], "the home vault comes first"
    read_bundle(bundle)
    assert done == b"\x05" + mac(5, info)


if __name__ == "__main__":
    control()
    pairing()
    print("control.json and pairing.json hold")
