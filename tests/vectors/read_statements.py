#!/usr/bin/env python3
"""Reads statements.json by the text of docs/PROTOCOL.md, "Statements", alone.

Shares no code with the engine. Needs `cryptography` (PyPI). Exits with an AssertionError at the first difference.
"""

import hashlib
import json
import pathlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

HERE = pathlib.Path(__file__).parent
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
STATEMENT_BYTES_MAX, ADMINS_MAX = 4096, 32


class Misshapen(Exception):
    pass


class Broken(Exception):
    pass


class BadSignature(Exception):
    pass


class Seniority(Exception):
    pass


def sha(label, *parts):
    return hashlib.sha256(b"subrosa/1 " + label + b"".join(parts)).digest()


def verify(point, payload, signature):
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
    if not (0 < r < ORDER and 0 < s <= ORDER // 2):
        raise BadSignature
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        key.verify(encode_dss_signature(r, s), b"subrosa/1 statement" + payload, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        raise BadSignature from None


class Statement:
    def __init__(self, data):
        if len(data) > STATEMENT_BYTES_MAX:
            raise Misshapen("too long")
        self.data, self.at = data, 0
        if self.take(1) != b"\x02":
            raise Misshapen("version")
        self.vault = self.take(32)
        self.generation = int.from_bytes(self.take(8))
        self.epoch = int.from_bytes(self.take(4))
        self.read, self.write = self.take(65), self.take(65)
        count = int.from_bytes(self.take(2))
        if not 1 <= count <= ADMINS_MAX:
            raise Misshapen("admins")
        self.admins = [self.take(65) for _ in range(count)]
        if len(set(self.admins)) != count:
            raise Misshapen("an admin twice")
        self.recovery_commitment, self.previous = self.take(32), self.take(32)
        self.signer = self.take(1)[0]
        self.recovery = self.admin = None
        if self.signer in (1, 2):
            self.recovery = (self.take(65), self.take(16))
        if self.signer in (0, 2):
            self.admin = self.take(65)
        if self.signer > 2:
            raise Misshapen("signer")
        self.payload = data[: self.at]
        self.signatures = [self.take(64) for _ in range(2 if self.signer == 2 else 1)]
        if self.at != len(data):
            raise Misshapen("bytes left over")
        self.hash = sha(b"statement hash", data)

    def take(self, count):
        part = self.data[self.at : self.at + count]
        if len(part) != count:
            raise Misshapen("cut short")
        self.at += count
        return part

    def check_signatures(self):
        signers = ([self.recovery[0]] if self.recovery else []) + ([self.admin] if self.admin else [])
        for signer, signature in zip(signers, self.signatures, strict=True):
            verify(signer, self.payload, signature)

    def check_first(self):
        if self.generation != 0 or len(self.admins) != 1:
            raise Broken
        if self.vault != sha(b"vault", self.recovery_commitment, self.previous, self.admins[0]):
            raise Broken
        if self.signer != 0 or self.admin != self.admins[0]:
            raise BadSignature
        self.check_signatures()

    def check_follows(self, before):
        if self.vault != before.vault or self.generation != before.generation + 1:
            raise Broken
        if self.previous != before.hash or self.epoch < before.epoch:
            raise Broken
        stay = [admin for admin in before.admins if admin in self.admins]
        if self.admins[: len(stay)] != stay:
            raise Seniority
        if self.admin is not None and self.admin not in before.admins:
            raise BadSignature
        if self.recovery is not None:
            if sha(b"recovery commitment", *self.recovery) != before.recovery_commitment:
                raise BadSignature
        self.check_signatures()


BOTH, RECOVERY, ADMIN = range(3)


def standings(chain):
    """How senior each signer is, as (number, kind, number of the admin beside); the least is the most senior."""
    numbers, coming, recovery = {}, 1, 0
    commitment = words = chain[0].recovery_commitment
    found = []
    for statement in chain:
        if statement.generation == 0:
            standing = (1, ADMIN, 0)
        else:
            by = [(numbers[statement.admin], ADMIN, 0)] if statement.admin else []
            if statement.recovery:
                kind = (BOTH, by[0][0]) if statement.admin else (RECOVERY, 0)
                by.append((recovery, *kind))
            standing = min(by)
        found.append(standing)
        before, numbers = numbers, {}
        for admin in statement.admins:
            numbers[admin] = before.get(admin, coming)
            coming += admin not in before
        if standing[0] == 0:
            words = statement.recovery_commitment
        if statement.recovery_commitment == words:
            recovery = 0
        elif statement.recovery_commitment != commitment:
            recovery = standing[0]
        commitment = statement.recovery_commitment
    return found


def prefers(a, b):
    """Whether chain `a` stays, and not `b`."""
    shared = 0
    while shared < min(len(a), len(b)) and a[shared].data == b[shared].data:
        shared += 1
    if shared in (len(a), len(b)):
        return len(a) > len(b)
    rest_a, rest_b = standings(a)[shared:], standings(b)[shared:]
    if min(rest_a) != min(rest_b):
        return min(rest_a) < min(rest_b)
    if min(rest_a)[:2] == (0, RECOVERY):
        return False
    return (rest_a[0], a[shared].hash) < (rest_b[0], b[shared].hash)


def fails(what, error):
    try:
        what()
    except error:
        return True
    return False


def read(vector):
    statement = Statement(bytes.fromhex(vector["bytes"]))
    pair = statement.recovery
    found = {
        "hash": statement.hash.hex(), "vault": statement.vault.hex(),
        "generation": statement.generation, "epoch": statement.epoch,
        "read": statement.read.hex(), "write": statement.write.hex(),
        "admins": [admin.hex() for admin in statement.admins],
        "recovery_commitment": statement.recovery_commitment.hex(), "previous": statement.previous.hex(),
        "signer": statement.signer,
        "signer_recovery": [pair[0].hex(), pair[1].hex()] if pair else None,
        "signer_admin": statement.admin.hex() if statement.admin else None,
    }
    assert found | {"name": vector["name"], "bytes": vector["bytes"]} == vector, vector["name"]
    return statement


def main():
    vectors = json.loads((HERE / "statements.json").read_text())
    chain = [read(vector) for vector in vectors["chain"]]
    chain[0].check_first()
    for before, statement in zip(chain, chain[1:]):
        statement.check_follows(before)
    assert sorted(statement.signer for statement in chain[1:]) == [0, 1, 2]
    rivals = [read(vector) for vector in vectors["rivals"]]
    for rival in rivals:
        rival.check_follows(chain[1])
    for i, there in enumerate(rivals):
        for j, new in enumerate(rivals):
            assert prefers([*chain[:2], new], [*chain[:2], there]) == (j < i), (vectors["rivals"][j]["name"], i)
    for pair in vectors["pairs_behind_1"]:
        a, b = ([*chain[:2], *(Statement(bytes.fromhex(one)) for one in pair[side])] for side in "ab")
        for before, statement in [*zip(a, a[1:]), *zip(b, b[1:])]:
            statement.check_follows(before)
        assert (prefers(a, b), prefers(b, a)) == (pair["stays"] == "a", pair["stays"] == "b"), pair["name"]
    for vector in vectors["misshapen"]:
        assert fails(lambda: Statement(bytes.fromhex(vector["bytes"])), Misshapen), vector["name"]
    errors = {"broken": Broken, "seniority": Seniority, "signature": BadSignature}
    for vector in vectors["must_not_follow_1"]:
        statement = Statement(bytes.fromhex(vector["bytes"]))
        assert fails(lambda: statement.check_follows(chain[1]), errors[vector["why"]]), vector["name"]
    for vector in vectors["must_not_found"]:
        statement = Statement(bytes.fromhex(vector["bytes"]))
        assert fails(statement.check_first, (Broken, BadSignature)), vector["name"]
    bad = sum(len(vectors[name]) for name in ("misshapen", "must_not_follow_1", "must_not_found"))
    pairs = len(vectors["pairs_behind_1"])
    print(f"{len(chain) + len(rivals)} statements and {pairs} pairs of chains read, {bad} refused")


main()
