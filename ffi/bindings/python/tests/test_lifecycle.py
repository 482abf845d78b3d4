"""Closing, forgetting, forking, ending: nothing here may hang, crash, or lose what was written."""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import subrosa
from subrosa._ffi import call, ffi, lib, status_name


def eventually(condition: Callable[[], bool]) -> None:
    """Waits for what a library's or the closing thread does."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        os.sched_yield()


def test_calls_after_close_are_errors(device: subrosa.Device, key: subrosa.Key) -> None:
    vault = device.create_vault("personal")
    notes = vault.collection("notes")
    id, tx, watch = notes.insert({}), vault.read(), notes.watch()
    other = vault.collection("other")
    other.close()
    with pytest.raises(subrosa.SubrosaError) as caught:
        other.count()
    assert caught.value.name == "INVALID_HANDLE"
    device.close()
    device.close()
    assert device.closed
    calls: list[Callable[[], object]] = [
        device.vaults, vault.devices, notes.count, notes.watch, vault.read, lambda: device.vault("personal"),
        lambda: notes.get(id), lambda: notes.insert({}), lambda: notes.get(id, tx=tx), device.verify, device.sync,
    ]  # fmt: skip
    for late in calls:
        with pytest.raises(subrosa.SubrosaError) as caught:
            late()
        assert caught.value.name in ("CLOSED", "INVALID_HANDLE", "TX_OVER")
    assert list(watch) == []
    with pytest.raises(subrosa.SubrosaError) as caught:
        watch.next(0)
    assert caught.value.name == "CLOSED"
    key.close()
    with pytest.raises(subrosa.SubrosaError) as caught:
        key.sign(b"", b"")
    assert caught.value.name == "INVALID_HANDLE"


def test_a_handle_of_another_type_is_an_error(device: subrosa.Device, key: subrosa.Key) -> None:
    with pytest.raises(subrosa.SubrosaError) as caught:
        call(lib.subrosa_device_compact, ffi.cast("subrosa_device *", key._ptr))
    assert caught.value.name == "WRONG_HANDLE"


def test_what_hangs_on_a_device_keeps_it_open(tmp_path: Path, key: subrosa.Key) -> None:
    notes = subrosa.Device.create(tmp_path / "s", key).create_vault("personal").collection("notes")
    gc.collect()
    assert notes.get(notes.insert({"n": 1})) == {"n": 1}
    watch = notes.watch()
    notes.insert({"n": 2})
    del notes
    gc.collect()
    change = watch.next(10)
    assert change is not None and change.kind is subrosa.ChangeKind.INSERTED


def test_an_abandoned_device_is_closed(tmp_path: Path, key: subrosa.Key) -> None:
    device = subrosa.Device.create(tmp_path / "s", key)
    vault = device.create_vault("personal")
    notes = vault.collection("notes")
    id = notes.insert({"n": 1})
    abandoned = [device.create_vault("other"), vault.read(), vault.write(), notes.watch()]
    gone = weakref.ref(device)
    del device, vault, notes, abandoned
    gc.collect()
    assert gone() is None

    def opened() -> bool:
        try:
            with subrosa.Device.open(tmp_path / "s", key) as again:
                return again.vault("personal").collection("notes").get(id) == {"n": 1}
        except subrosa.SubrosaError as error:
            assert error.name == "STORE_LOCKED"
            return False

    eventually(opened)


def test_an_abandoned_transaction_lets_the_next_one_in(vault: subrosa.Vault, notes: subrosa.Collection) -> None:
    tx = vault.write()
    notes.insert({}, tx=tx)
    del tx
    gc.collect()
    with vault.write(timeout=0) as tx:
        notes.insert({}, tx=tx)
    assert notes.count() == 1


def test_thousands_of_abandoned_handles_do_no_harm(vault: subrosa.Vault, notes: subrosa.Collection) -> None:
    id = notes.insert({"n": 1})
    for _ in range(2000):
        notes.get_record(id)
        vault.read()
        vault.collection("x")
    for _ in range(200):
        notes.watch()
    assert notes.get(id) == {"n": 1}


def test_eight_threads_write_and_read(notes: subrosa.Collection) -> None:
    failures: list[BaseException] = []

    def work(worker: int) -> None:
        try:
            for number in range(20):
                record = {"worker": worker, "number": number}
                assert notes.get(notes.insert(record)) == record
            assert sum(1 for _, record in notes.scan(page=7) if record["worker"] == worker) == 20
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert notes.count() == 160


def test_closing_under_eight_threads_gives_errors_only(tmp_path: Path, key: subrosa.Key) -> None:
    device = subrosa.Device.create(tmp_path / "s", key)
    notes = device.create_vault("personal").collection("notes")
    names: list[str] = []
    stored: list[object] = []
    running = threading.Barrier(9)

    def work() -> None:
        running.wait()
        try:
            while True:
                stored.append(notes.insert({}))
        except subrosa.SubrosaError as error:
            names.append(error.name)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    running.wait()
    eventually(lambda: len(stored) > 8)
    device.close()
    for thread in threads:
        thread.join(30)
    assert len(names) == 8
    assert set(names) <= {"CLOSED", "INVALID_HANDLE"}
    with subrosa.Device.open(tmp_path / "s", key) as again:
        assert again.vault("personal").collection("notes").count() == len(stored)


class Interrupted:
    """A library after whose call Ctrl-C comes: before anybody has what the call gave."""

    def __init__(self, name: str, module: Any = lib) -> None:
        self.name, self.module = name, module

    def __getattr__(self, name: str) -> Any:
        function = getattr(self.module, name)
        if name != self.name:
            return function

        def interrupted(*arguments: Any) -> None:
            function(*arguments)
            raise KeyboardInterrupt

        return interrupted


def test_ctrl_c_as_a_transaction_begins_leaves_none_open(vault: subrosa.Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("subrosa.vault.lib", Interrupted("subrosa_tx_begin"))
        with pytest.raises(KeyboardInterrupt) as caught:
            vault.write()
    vault.write(timeout=0).abort()
    with monkeypatch.context() as patch:
        patch.setattr("weakref.finalize", Interrupted("finalize", weakref).finalize)
        with pytest.raises(KeyboardInterrupt) as caught:
            vault.write()
    vault.write(timeout=0).abort()
    del caught


@pytest.mark.parametrize("name", ["create", "open"])
def test_ctrl_c_as_a_device_is_opened_leaves_none_open(
    name: str, tmp_path: Path, key: subrosa.Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "open":
        subrosa.Device.create(tmp_path / "s", key).close()
    with monkeypatch.context() as patch:
        patch.setattr("subrosa.device.lib", Interrupted(f"subrosa_device_{name}"))
        with pytest.raises(KeyboardInterrupt) as caught:
            getattr(subrosa.Device, name)(tmp_path / "s", key)
    subrosa.Device.open(tmp_path / "s", key).close()
    del caught


def test_ctrl_c_after_a_commit_leaves_it_committed(
    vault: subrosa.Vault, notes: subrosa.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("subrosa.vault.lib", Interrupted("subrosa_tx_commit"))
        with pytest.raises(KeyboardInterrupt), vault.write() as tx:
            notes.insert({}, tx=tx)
    vault.write(timeout=0).abort()
    assert notes.count() == 1


def test_errors_survive_pickling(notes: subrosa.Collection) -> None:
    with pytest.raises(subrosa.NotStorable) as not_storable:
        notes.insert({"a": object()})
    with pytest.raises(subrosa.SubrosaError) as refused:
        notes.insert({"a": 2**63})
    for error in (not_storable.value, refused.value, subrosa.KeyProviderError(5), subrosa.KeyProviderError(5, "no")):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_a_forked_child_is_told(device: subrosa.Device, vault: subrosa.Vault, notes: subrosa.Collection) -> None:
    id = notes.insert({"n": 1})
    watch = notes.watch()
    waiter = threading.Thread(target=watch.next)
    waiter.start()
    eventually(lambda: len(watch._inbox._waiting) == 1)
    calls: list[Callable[[], object]] = [
        lambda: notes.get(id),
        lambda: notes.insert({}),
        device.vaults,
        vault.read,
        notes.watch,
        watch.next,
    ]
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        # Whatever happens here, this copy of the test run ends here.
        try:
            said = []
            for late in calls:
                try:
                    late()
                    said.append("OK")
                except subrosa.SubrosaError as error:
                    said.append(error.name)
            os.write(writer, ",".join(said).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as said_by_child:
        assert said_by_child.read() == ",".join(["FORKED"] * 6)
    assert os.waitpid(child, 0)[1] == 0
    assert notes.get(notes.insert({"n": 2})) == {"n": 2}
    waiter.join(10)
    assert not waiter.is_alive()


def test_a_forked_child_that_cleans_up_ends(tmp_path: Path) -> None:
    """The child runs exit handlers and the garbage collector over handles that are not its own."""
    end_of(
        f"""
        import gc, os
        device = subrosa.Device.create({str(tmp_path / "s")!r}, subrosa.Key.generate())
        vault = device.create_vault("personal")
        kept = [vault.collection("notes"), vault.watch(), vault.read()]
        child = os.fork()
        if child == 0:
            kept.clear(); gc.collect()
            raise SystemExit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        vault.collection("notes").insert({{}})
        """
    )


@pytest.mark.parametrize(
    "waiter",
    [
        "threading.Thread(target=lambda: list(notes.watch()), daemon=True).start()",
        "kept = notes.watch()",
        "asyncio.new_event_loop().create_task(anext(notes.watch()))",
        "loop = asyncio.new_event_loop(); task = loop.create_task(anext(aiter(notes.watch()))); "
        "loop.call_later(0.05, loop.stop); loop.run_forever()",
        "kept = vault.write()",
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_the_interpreter_ends_with_something_live(tmp_path: Path, waiter: str) -> None:
    end_of(
        f"""
        import asyncio, threading, warnings
        warnings.simplefilter("ignore")
        device = subrosa.Device.create({str(tmp_path / "s")!r}, subrosa.Key.generate())
        vault = device.create_vault("personal")
        notes = vault.collection("notes")
        notes.insert({{"n": 1}})
        subrosa.log_to(level=1)
        {waiter}
        """
    )


def end_of(script: str) -> None:
    """Runs a script to its end."""
    lines = [line.strip() if not line.startswith(" " * 12) else line[8:] for line in script.splitlines()]
    done = subprocess.run(
        [sys.executable, "-c", "import subrosa\n" + "\n".join(lines)], timeout=30, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_another_abi_is_refused() -> None:
    source = Path(subrosa.__file__).with_name("_ffi.py").read_text("utf-8")
    changed = source.replace("ABI_VERSION = 1", "ABI_VERSION = 99")
    assert changed != source
    script = (
        "import types, subrosa; m = types.ModuleType('subrosa._other'); m.__package__ = 'subrosa'; "
        f"m.__file__ = subrosa._ffi.__file__; exec({changed!r}, m.__dict__)"
    )
    done = subprocess.run([sys.executable, "-c", script], timeout=30, capture_output=True, text=True)
    assert "ABI version 1, this package needs 99" in done.stderr


def test_every_status_of_the_header_has_its_name() -> None:
    for status in subrosa.Status:
        assert getattr(lib, f"SUBROSA_{status.name}") == status
        assert status_name(status) == status.name
    for code in range(-1, 1000):
        assert (status_name(code) == "UNKNOWN") == (code not in set(subrosa.Status))
    assert subrosa.SyncState(77).value == 77
    assert subrosa.version().count(".") == 2
