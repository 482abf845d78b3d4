"""Measures calls through this package, and the same through SQLCipher where `sqlcipher3` is installed.

python bench.py [ROUNDS] prints a JSON object a line: case, and nanoseconds for one operation: median, least and most of
all rounds. Every round measures every case once, so that a busy moment of the machine hits all of them. Build the wheel
with the release profile first. Both stores lie in the same temporary folder and are durable when a write returns:
SQLCipher runs with WAL and synchronous=FULL.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import subrosa
from subrosa._ffi import lib

try:
    import sqlcipher3  # type: ignore[import-not-found, import-untyped, unused-ignore]
except ImportError:
    sqlcipher3 = None

MANY = 1000
RECORD_BYTES = 256
Case = tuple[str, int, Callable[[], object]]


def record(number: int) -> dict[str, Any]:
    """A record of 256 bytes as JSON."""
    made = {"done": False, "number": number, "text": ""}
    made["text"] = "x" * (RECORD_BYTES - len(json.dumps(made, separators=(",", ":"))))
    return made


def of_subrosa(folder: Path) -> list[Case]:
    device = subrosa.Device.create(folder / "subrosa", subrosa.Key.generate())
    notes = device.create_vault("bench").collection("notes")
    records = [record(number) for number in range(MANY)]
    ids = notes.insert_many(records)
    one = ids[MANY // 2]
    return [
        ("subrosa abi_version (a call that does nothing)", 20_000, lib.subrosa_abi_version),
        ("subrosa get, dict of 256 B", 2_000, lambda: notes.get(one)),
        ("subrosa get, JSON text of 256 B", 2_000, lambda: notes.get_json(one)),
        ("subrosa get_many, 1000 dicts", 10, lambda: notes.get_many(ids)),
        ("subrosa get_many, 1000 JSON texts", 10, lambda: notes.get_many_json(ids)),
        ("subrosa insert_many, 1000 dicts", 1, lambda: notes.insert_many(records)),
        ("subrosa insert, durable", 5, lambda: notes.insert(records[0])),
    ]


def of_sqlcipher(folder: Path) -> list[Case]:
    assert sqlcipher3 is not None
    base = sqlcipher3.connect(str(folder / "sqlcipher.db"), isolation_level=None)
    base.execute(f"PRAGMA key = \"x'{os.urandom(32).hex()}'\"")
    assert base.execute("PRAGMA journal_mode = WAL").fetchone()[0] == "wal"
    base.execute("PRAGMA synchronous = FULL")
    base.execute("CREATE TABLE notes (id BLOB PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID")
    records = [record(number) for number in range(MANY)]
    ids: list[bytes] = insert_many(base, records)
    one = ids[MANY // 2]
    select = "SELECT body FROM notes WHERE id = ?"
    select_many = f"SELECT id, body FROM notes WHERE id IN ({','.join('?' * MANY)})"

    def get_many(decode: Callable[[str], Any]) -> list[Any]:
        found = {id: decode(body) for id, body in base.execute(select_many, ids)}
        return [found.get(id) for id in ids]

    return [
        ("sqlcipher SELECT 1", 20_000, lambda: base.execute("SELECT 1").fetchone()),
        ("sqlcipher get, dict of 256 B", 2_000, lambda: json.loads(base.execute(select, (one,)).fetchone()[0])),
        ("sqlcipher get, JSON text of 256 B", 2_000, lambda: base.execute(select, (one,)).fetchone()[0]),
        ("sqlcipher get_many, 1000 dicts", 10, lambda: get_many(json.loads)),
        ("sqlcipher get_many, 1000 JSON texts", 10, lambda: get_many(str)),
        ("sqlcipher insert_many, 1000 dicts", 1, lambda: insert_many(base, records)),
        ("sqlcipher insert, durable", 5, lambda: insert_many(base, records[:1])),
    ]


def insert_many(base: Any, records: list[dict[str, Any]]) -> list[bytes]:
    """In one transaction, with ids in the order of time, as Subrosa's are."""
    ids = [time.time_ns().to_bytes(8, "big") + uuid.uuid4().bytes[8:] for _ in records]
    rows = [
        (id, json.dumps(one, separators=(",", ":"), ensure_ascii=False)) for id, one in zip(ids, records, strict=True)
    ]
    base.execute("BEGIN IMMEDIATE")
    base.executemany("INSERT INTO notes VALUES (?, ?)", rows)
    base.execute("COMMIT")
    return ids


def measure(repeat: int, operation: Callable[[], object]) -> float:
    begin = time.perf_counter_ns()
    for _ in range(repeat):
        operation()
    return (time.perf_counter_ns() - begin) / repeat


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    with tempfile.TemporaryDirectory() as folder:
        cases = of_subrosa(Path(folder))
        if sqlcipher3 is None:
            print("sqlcipher3 is not installed: its cases are left out", file=sys.stderr)
        else:
            cases += of_sqlcipher(Path(folder))
        for _, _, operation in cases:
            operation()
        times: list[list[float]] = [[] for _ in cases]
        for _ in range(rounds):
            for seen, (_, repeat, operation) in zip(times, cases, strict=True):
                seen.append(measure(repeat, operation))
        for seen, (name, _, _) in zip(times, cases, strict=True):
            numbers = {"ns": round(statistics.median(seen)), "min": round(min(seen)), "max": round(max(seen))}
            print(json.dumps({"case": name, **numbers}))


if __name__ == "__main__":
    main()
