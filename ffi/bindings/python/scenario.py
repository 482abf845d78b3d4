"""Runs the scenarios of `ffi/scenario` through this package and prints the transcript. See the README there.

python scenario.py FOLDER-OF-SCENARIOS EMPTY-WORK-FOLDER
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import sys
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import subrosa
from subrosa import values

Step = dict[str, Any]
WAIT_SECONDS = 30.0
PROFILES = {"subrosa/1": subrosa.Profile.SUBROSA_1, "supabase-e2ee-v1": subrosa.Profile.SUPABASE_E2EE_V1}


class Run:
    """The variables of one file."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.keys: dict[str, subrosa.Key] = {}
        self.devices: dict[str, tuple[subrosa.Device, str, str]] = {}
        self.vaults: dict[tuple[str, str], subrosa.Vault] = {}
        self.ids: dict[str, uuid.UUID] = {}
        self.txs: dict[str, subrosa.Tx] = {}
        self.watches: dict[str, subrosa.Watch] = {}
        self.sessions: dict[str, subrosa.Session] = {}
        self.messages: dict[str, bytes] = {}
        self.syncs: dict[str, subrosa.Sync] = {}

    def step(self, step: Step) -> str | None:
        do: Callable[[Step], str | None] = getattr(self, f"do_{step['do']}")
        return do(step)

    def close(self) -> None:
        for watch in self.watches.values():
            watch.close()
        for name in list(self.devices):
            self.do_close({"device": name})

    # -- names

    def device(self, step: Step) -> subrosa.Device:
        return self.devices[step["device"]][0]

    def vault(self, step: Step) -> subrosa.Vault:
        return self.vaults[step["device"], step["vault"]]

    def notes(self, step: Step) -> subrosa.Collection:
        return self.vault(step).collection(step["collection"])

    def tx(self, step: Step) -> subrosa.Tx | None:
        return self.txs[step["tx"]] if "tx" in step else None

    def id(self, name: str) -> uuid.UUID:
        return subrosa.record_id(name.removeprefix("name:")) if name.startswith("name:") else self.ids[name]

    def alias(self, id: uuid.UUID | None) -> str:
        found = [name for name, theirs in self.ids.items() if theirs == id]
        return found[0] if found else "unknown"

    # -- keys and devices

    def do_key(self, step: Step) -> None:
        self.keys[step["key"]] = subrosa.Key.generate()

    def do_import_key(self, step: Step) -> None:
        self.keys[step["key"]] = subrosa.Key.from_pkcs8(bytes.fromhex(step["pkcs8"]))

    def do_create(self, step: Step) -> None:
        device = subrosa.Device.create(self.work / step["dir"], self.keys[step["key"]], step["name"])
        self.devices[step["device"]] = (device, step["key"], step["dir"])

    def do_open(self, step: Step) -> None:
        device = subrosa.Device.open(self.work / step["dir"], self.keys[step["key"]])
        self.devices[step["device"]] = (device, step["key"], step["dir"])

    def do_close(self, step: Step) -> None:
        name = step["device"]
        self.devices.pop(name)[0].close()
        self.syncs.pop(name, None)
        self.vaults = {key: vault for key, vault in self.vaults.items() if key[0] != name}

    def do_restart(self, step: Step) -> None:
        _, key, folder = self.devices[step["device"]]
        self.do_close(step)
        self.do_open({"device": step["device"], "key": key, "dir": folder})

    def do_copy(self, step: Step) -> None:
        shutil.copytree(self.work / step["dir"], self.work / step["to"])

    def do_suspend(self, step: Step) -> None:
        self.device(step).suspend(5.0)

    def do_resume(self, step: Step) -> None:
        self.device(step).resume()

    def do_network_changed(self, step: Step) -> None:
        self.device(step).network_changed()

    def do_verify(self, step: Step) -> str:
        return "good" if self.device(step).verify().good else "bad"

    # -- vaults

    def do_create_vault(self, step: Step) -> None:
        self.vaults[step["device"], step["vault"]] = self.device(step).create_vault(step["vault"])

    def do_open_vault(self, step: Step) -> None:
        self.vaults[step["device"], step["vault"]] = self.device(step).vault(step["vault"])

    def do_vaults(self, step: Step) -> str:
        return ",".join(vault.name for vault in self.device(step).vaults())

    def do_devices(self, step: Step) -> str:
        found = self.vault(step).devices()
        return ",".join(f"{one.name}:{one.role.name.lower()}{':this' if one.is_this else ''}" for one in found)

    def do_forks(self, step: Step) -> str:
        found = self.vault(step).forks()
        return ",".join(f"{one.name}:{one.logs}:{one.futures}{':this' if one.is_this else ''}" for one in found)

    def do_held(self, step: Step) -> str:
        held = self.vault(step).held()
        return ",".join([f"{one.name}:{one.groups}" for one in held.devices] + ["late"] * held.clock_is_late)

    def do_collections(self, step: Step) -> str:
        return ",".join(self.vault(step).collections())

    # -- records

    def do_insert(self, step: Step) -> None:
        self.ids[step["as"]] = self.notes(step).insert(subrosa.Json(step["json"]), tx=self.tx(step))

    def do_put(self, step: Step) -> None:
        self.notes(step).put(self.id(step["id"]), subrosa.Json(step["json"]), tx=self.tx(step))

    def do_replace(self, step: Step) -> None:
        self.notes(step).replace(self.id(step["id"]), subrosa.Json(step["json"]), tx=self.tx(step))

    def do_get(self, step: Step) -> str:
        text = self.notes(step).get_json(self.id(step["id"]), tx=self.tx(step))
        if text is None:
            return "absent"
        # The way through Python's own values loses nothing either.
        again = values.dumps(values.loads(text.encode())).decode()
        return text if again == text else f"{text} became {again}"

    def do_await(self, step: Step) -> str:
        end = time.monotonic() + WAIT_SECONDS
        with self.notes(step).watch() as changes:
            while (found := self.do_get(step)) != step["expect"] and (left := end - time.monotonic()) > 0:
                changes.next(left)
        return found

    def do_set(self, step: Step) -> None:
        with subrosa.Record.new() as record:
            for field, (kind, text) in step["fields"].items():
                if kind == "json":
                    record.set_json(field, text)
                else:
                    record.set(field, _typed(kind, text))
            self.notes(step).put(self.id(step["id"]), record, tx=self.tx(step))

    def do_field(self, step: Step) -> str:
        record = self.notes(step).get_record(self.id(step["id"]), tx=self.tx(step))
        if record is None:
            return "no record"
        with record:
            return _field(record, step["field"])

    def do_delete(self, step: Step) -> str:
        return "existed" if self.notes(step).delete(self.id(step["id"]), tx=self.tx(step)) else "absent"

    def do_names(self, step: Step) -> str:
        names: list[str] = []
        while True:
            after, limit = names[-1] if names else None, step["limit"]
            page = self.notes(step).field_names(self.id(step["id"]), after=after, limit=limit, tx=self.tx(step))
            if page is None:
                return "absent"
            names += page
            if len(page) < limit:
                return ",".join(names)

    def do_get_field(self, step: Step) -> str:
        found = self.notes(step).get_field_json(self.id(step["id"]), step["field"], tx=self.tx(step))
        return "absent" if found is None else found

    def do_delete_field(self, step: Step) -> str:
        existed = self.notes(step).delete_field(self.id(step["id"]), step["field"], tx=self.tx(step))
        return "existed" if existed else "absent"

    def do_count(self, step: Step) -> str:
        return str(self.notes(step).count(tx=self.tx(step)))

    def do_scan(self, step: Step) -> str:
        found = self.notes(step).scan(page=step["limit"], tx=self.tx(step))
        return ",".join(self.alias(id) for id, _ in found)

    def do_get_many(self, step: Step) -> str:
        found = self.notes(step).get_many_json([self.id(name) for name in step["ids"]], tx=self.tx(step))
        return "|".join("absent" if text is None else text for text in found)

    def do_write_many(self, step: Step) -> None:
        rows = [self._row(row) for row in step["rows"]]
        ids = self.notes(step).write_many(rows, tx=self.tx(step))
        for row, id in zip(step["rows"], ids, strict=True):
            if "as" in row:
                self.ids[row["as"]] = id

    def _row(self, row: Step) -> subrosa.Row:
        if row["op"] == "insert":
            return subrosa.Insert(subrosa.Json(row["json"]))
        if row["op"] == "delete":
            return subrosa.Delete(self.id(row["id"]))
        kinds: dict[str, type[subrosa.Put] | type[subrosa.Replace] | type[subrosa.Import]]
        kinds = {"put": subrosa.Put, "replace": subrosa.Replace, "import": subrosa.Import}
        return kinds[row["op"]](self.id(row["id"]), subrosa.Json(row["json"]))

    # -- transactions and events

    def do_begin(self, step: Step) -> None:
        vault = self.vault(step)
        self.txs[step["tx"]] = vault.write(timeout=0) if step["mode"] == "write" else vault.read()

    def do_commit(self, step: Step) -> None:
        self.txs.pop(step["tx"]).commit()

    def do_abort(self, step: Step) -> None:
        self.txs.pop(step["tx"]).abort()

    def do_watch(self, step: Step) -> None:
        source = self.notes(step) if "collection" in step else self.vault(step)
        self.watches[step["events"]] = source.watch()

    def do_events(self, step: Step) -> str:
        watch, seen = self.watches[step["events"]], []
        expected = step["expect"].count(",") + 1 if step["expect"] else 0
        for _ in range(expected):
            if (change := watch.next(10.0)) is not None:
                seen.append(change)
        while (change := watch.next(0)) is not None:
            seen.append(change)
        return ",".join(f"{change.kind.value} {self.alias(change.id)}" for change in seen)

    # -- sessions

    def do_session(self, step: Step) -> None:
        peer = self.keys[step["peer"]].public if "peer" in step else None
        made = self.keys[step["key"]].session(step["context"].encode(), peer=peer, profile=PROFILES[step["profile"]])
        self.sessions[step["session"]] = made

    def do_seal(self, step: Step) -> str:
        sealed = self.sessions[step["session"]].seal(step["text"].encode(), step["aad"].encode())
        self.messages[step["as"]] = sealed
        return str(len(sealed))

    def do_unseal(self, step: Step) -> str:
        sealed = bytes.fromhex(step["hex"]) if "hex" in step else self.messages[step["message"]]
        return self.sessions[step["session"]].open(sealed, step["aad"].encode()).decode()

    # -- sync and pairing

    def do_sync(self, step: Step) -> None:
        self.syncs[step["device"]] = self.device(step).sync(os.environ["SUBROSA_TEST_RELAY"])

    def do_wait_synced(self, step: Step) -> None:
        self.syncs[step["device"]].wait_blocking(idle=WAIT_SECONDS)

    def do_stop_sync(self, step: Step) -> None:
        self.syncs.pop(step["device"]).stop()

    def do_pair(self, step: Step) -> str:
        return self._pair(step, lambda code: code)

    def do_pair_wrong_code(self, step: Step) -> str:
        return self._pair(step, lambda code: "".join(str((int(digit) + 1) % 10) for digit in code))

    def _pair(self, step: Step, typed: Callable[[str], str]) -> str:
        key, folder = self.keys[step["key"]], self.work / step["dir"]
        with (
            self.device(step).pair_offer(os.environ["SUBROSA_TEST_RELAY"]) as offer,
            subrosa.Device.pair_join(folder, key, offer.link, step["name"]) as join,
        ):
            # Each side goes on while it is waited for, so one of them needs a thread.
            codes: queue.SimpleQueue[str] = queue.SimpleQueue()

            def new_device() -> subrosa.Device:
                codes.put(join.code_blocking(WAIT_SECONDS))
                return join.device_blocking(WAIT_SECONDS)

            with ThreadPoolExecutor(1) as pool:
                joined = pool.submit(new_device)
                request = offer.wait_blocking(WAIT_SECONDS)
                offer.confirm_blocking(typed(codes.get(timeout=WAIT_SECONDS)))
                self.devices[step["new"]] = (joined.result(), step["key"], step["dir"])
            return request.name

    def do_tick(self, step: Step) -> None:
        start = time.time_ns() // 1_000_000
        while time.time_ns() // 1_000_000 == start:
            pass


def _typed(kind: str, text: str) -> bool | int | float | str | bytes | None:
    readers: dict[str, Callable[[str], bool | int | float | str | bytes | None]] = {
        "null": lambda _: None,
        "bool": lambda text: text == "true",
        "i64": int,
        "f64": float,
        "text": str,
        "bytes": bytes.fromhex,
    }
    return readers[kind](text)


def _field(record: subrosa.Record, field: str) -> str:
    match record.kind(field):
        case subrosa.Kind.BOOL:
            return f"bool:{json.dumps(record.get_bool(field))}"
        case subrosa.Kind.I64:
            return f"i64:{record.get_i64(field)}"
        case subrosa.Kind.F64:
            assert float(record.get_json(field)) == record.get_f64(field)
            return f"f64:{record.get_json(field)}"
        case subrosa.Kind.TEXT:
            return f"text:{record.get_text(field)}"
        case subrosa.Kind.BYTES:
            return f"bytes:{record.get_bytes(field).hex()}"
        case other:
            return other.name.lower()


def run_file(path: Path, work: Path) -> bool:
    """Whether every step gave what the file says."""
    run, good = Run(work / path.stem), True
    run.work.mkdir(parents=True)
    try:
        for number, step in enumerate(json.loads(path.read_text("utf-8"))["steps"], start=1):
            wanted = f"error {step['error']}" if "error" in step else step.get("expect")
            try:
                answer = run.step(step)
                got = "ok" if answer is None else answer
            except subrosa.SubrosaError as error:
                got = f"error {error.name}"
                if got != wanted:
                    print(error, file=sys.stderr)
                    wanted = wanted or "no error"
            print(f"{path.name} {number} {step['do']} {got}")
            if wanted is not None and got != wanted:
                print(f"{path.name} step {number}: got {got!r}, expected {wanted!r}", file=sys.stderr)
                good = False
                break
    finally:
        run.close()
    return good


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    folder, work = Path(sys.argv[1]), Path(sys.argv[2])
    # A transcript is UTF-8, whatever the locale.
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    results = [run_file(path, work) for path in sorted(folder.glob("*.json"))]
    return 0 if results and all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
