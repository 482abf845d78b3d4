"""Devices, vaults, collections, transactions."""

from __future__ import annotations

import struct
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

import subrosa
from subrosa import Delete, Insert, Put, Replace


def test_five_lines_to_the_first_record(tmp_path: Path) -> None:
    key = subrosa.Key.generate()
    with subrosa.Device.create(tmp_path / "app-data", key) as device:
        notes = device.create_vault("personal").collection("notes")
        id = notes.insert({"title": "Call Anna", "done": False})
        assert notes.get(id) == {"title": "Call Anna", "done": False}


def test_the_store_survives_closing(tmp_path: Path, key: subrosa.Key) -> None:
    with subrosa.Device.create(tmp_path / "s", key, "laptop") as device:
        id = device.create_vault("personal").collection("notes").insert({"n": 1})
    again = subrosa.Key.from_pkcs8(key.to_pkcs8())
    with subrosa.Device.open(tmp_path / "s", again) as device:
        assert device.name == "laptop"
        assert device.public_key == key.public
        assert device.vault("personal").collection("notes").get(id) == {"n": 1}


def test_another_key_opens_nothing(tmp_path: Path, key: subrosa.Key) -> None:
    subrosa.Device.create(tmp_path / "s", key).close()
    with pytest.raises(subrosa.SubrosaError) as caught:
        subrosa.Device.open(tmp_path / "s", subrosa.Key.generate())
    assert caught.value.code == subrosa.Status.WRONG_KEY
    assert str(caught.value).startswith("WRONG_KEY: ")


def test_a_vault_describes_itself(device: subrosa.Device, vault: subrosa.Vault) -> None:
    vault.collection("notes").insert({})
    assert [(info.name, info.id) for info in device.vaults()] == [("personal", vault.id)]
    assert vault.name == "personal"
    assert vault.collections() == ["notes"]
    (info,) = vault.devices()
    assert (info.name, info.role, info.is_this) == ("laptop", subrosa.Role.ADMIN, True)
    assert info.public_key == device.public_key
    assert device.vault_by_id(vault.id).name == "personal"
    assert vault.pending() == 1


def test_reports(device: subrosa.Device, notes: subrosa.Collection) -> None:
    notes.insert({"n": 1})
    report = device.verify()
    assert report.good
    assert (report.vaults, report.bad_segments) == (1, 0)
    assert device.space().file_bytes > 0
    device.compact()
    assert notes.count() == 1


def test_a_relay_is_remembered_and_forgotten(device: subrosa.Device) -> None:
    assert device.relay is None
    with pytest.raises(subrosa.SubrosaError) as caught:
        device.relay = "http://example.org"
    assert caught.value.name == "RELAY_ADDRESS"
    with pytest.raises(subrosa.SubrosaError) as caught:
        device.sync()
    assert caught.value.name == "NO_RELAY"


def test_put_merges_and_replace_replaces(notes: subrosa.Collection) -> None:
    id = subrosa.record_id("today")
    notes.put(id, {"a": 1, "b": 2})
    notes.put(id, {"b": 3})
    assert notes.get(id) == {"a": 1, "b": 3}
    notes.replace(id, {"c": 4})
    assert notes.get(id) == {"c": 4}
    assert notes.delete(id) is True
    assert notes.delete(id) is False
    assert notes.get(id) is None


def test_a_scan_crosses_pages(notes: subrosa.Collection) -> None:
    ids = notes.insert_many({"n": n} for n in range(25))
    for page in (1, 7, 25, 26, 1000):
        found = list(notes.scan(page=page))
        assert [id for id, _ in found] == sorted(ids, key=lambda id: id.bytes)
        assert {record["n"] for _, record in found} == set(range(25))
    middle = sorted(ids, key=lambda id: id.bytes)[9]
    assert len(list(notes.scan(after=middle))) == 15
    assert [str(text) for _, text in notes.scan_json(page=10)] == [
        notes.get_json(id) for id in sorted(ids, key=lambda id: id.bytes)
    ]


def test_many_rows_in_one_call(notes: subrosa.Collection) -> None:
    one, two = notes.insert_many([{"n": 1}, {"n": 2}])
    absent = uuid.uuid4()
    assert notes.get_many([two, absent, one]) == [{"n": 2}, None, {"n": 1}]
    ids = notes.write_many([Insert({"n": 3}), Put(one, {"m": b"\x01"}), Replace(two, {"m": 2}), Delete(absent)])
    assert ids[1:] == [one, two, absent]
    assert notes.get_many(ids) == [{"n": 3}, {"n": 1, "m": b"\x01"}, {"m": 2}, None]
    assert notes.get_many([]) == []
    assert notes.write_many([]) == []


def test_many_rows_are_all_or_nothing(notes: subrosa.Collection) -> None:
    with pytest.raises(subrosa.SubrosaError) as caught:
        notes.write_many([Insert({"n": 1}), Insert(subrosa.Json("[]"))])
    assert caught.value.name == "NOT_A_RECORD"
    assert notes.count() == 0


def test_a_transaction_commits_at_the_end_of_its_block(vault: subrosa.Vault, notes: subrosa.Collection) -> None:
    with vault.write() as tx:
        id = notes.insert({"n": 1}, tx=tx)
        assert notes.get(id) is None
        assert notes.get(id, tx=tx) == {"n": 1}
    assert notes.get(id) == {"n": 1}


def test_a_transaction_aborts_when_its_block_raises(vault: subrosa.Vault, notes: subrosa.Collection) -> None:
    with pytest.raises(ZeroDivisionError), vault.write() as tx:
        notes.insert({"n": 1 // 0}, tx=tx)
    with pytest.raises(KeyError), vault.write() as tx:
        notes.insert({"n": 1}, tx=tx)
        raise KeyError
    assert notes.count() == 0


def test_a_block_may_end_its_transaction_itself(vault: subrosa.Vault, notes: subrosa.Collection) -> None:
    with vault.write() as tx:
        notes.insert({}, tx=tx)
        tx.abort()
    assert notes.count() == 0
    with vault.write() as tx:
        notes.insert({}, tx=tx)
        tx.commit()
    assert notes.count() == 1
    with pytest.raises(subrosa.SubrosaError):
        notes.insert({}, tx=tx)


def busy(call: Callable[[], object]) -> subrosa.SubrosaError:
    with pytest.raises(subrosa.SubrosaError) as caught:
        call()
    assert caught.value.name == "BUSY"
    return caught.value


def elsewhere(call: Callable[[], object]) -> None:
    """Runs a call on a thread of its own; what it raises is raised here."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(call).result()


def test_a_second_writer_is_told(vault: subrosa.Vault, notes: subrosa.Collection) -> None:
    with vault.write() as tx:
        # This thread would wait for itself, so trying again is of no use; another one may.
        assert not busy(lambda: vault.write(timeout=0)).retryable
        assert busy(lambda: elsewhere(lambda: vault.write(timeout=0))).retryable
        notes.insert({}, tx=tx)
    vault.write(timeout=0).abort()


def test_a_write_waits_for_a_transaction_no_longer_than_the_device_says(tmp_path: Path, key: subrosa.Key) -> None:
    subrosa.Device.create(tmp_path / "s", key, write_wait=0.01).close()
    with subrosa.Device.open(tmp_path / "s", key, write_wait=0.01) as device:
        vault = device.create_vault("personal")
        notes = vault.collection("notes")
        with vault.write() as tx:
            notes.insert({"n": 1}, tx=tx)
            assert busy(lambda: elsewhere(lambda: notes.insert({"n": 2}))).retryable
        elsewhere(lambda: notes.insert({"n": 2}))
        assert notes.count() == 2


MANY = 20_000


@contextmanager
def call_under_way(notes: subrosa.Collection, tx: subrosa.Tx) -> Iterator[None]:
    """Another thread is inside of a call with the transaction, for as long as some thousand records take."""
    records = [{"text": "x" * 1000}] * MANY

    def goes_through(call: Callable[[], object]) -> bool:
        try:
            call()
            return True
        except subrosa.SubrosaError as error:
            assert error.name == "BUSY"
            return False

    def write() -> None:
        while not goes_through(lambda: notes.insert_many(records, tx=tx)):
            pass  # it met the look below

    thread = threading.Thread(target=write)
    thread.start()
    while goes_through(lambda: notes.get(subrosa.record_id("none"), tx=tx)):
        pass
    yield
    thread.join()


def test_a_commit_that_is_busy_leaves_the_transaction_open(vault: subrosa.Vault, notes: subrosa.Collection) -> None:
    tx = vault.write()
    with call_under_way(notes, tx):
        busy(tx.commit)
        assert not tx.closed
    tx.commit()
    assert tx.closed
    assert notes.count() == MANY


def test_a_block_that_ends_during_a_call_of_its_transaction_aborts_it(
    vault: subrosa.Vault, notes: subrosa.Collection
) -> None:
    def block() -> None:
        with vault.write() as tx:
            leaving.enter_context(call_under_way(notes, tx))

    with ExitStack() as leaving:
        busy(block)
    vault.write(timeout=0).abort()
    assert notes.count() == 0


def test_a_snapshot_does_not_move(vault: subrosa.Vault, notes: subrosa.Collection) -> None:
    id = notes.insert({"n": 1})
    with vault.read() as tx:
        notes.put(id, {"n": 2})
        assert notes.get(id, tx=tx) == {"n": 1}
        with pytest.raises(subrosa.SubrosaError) as caught:
            notes.put(id, {"n": 3}, tx=tx)
        assert caught.value.name == "READ_ONLY"
    assert notes.get(id) == {"n": 2}


def test_a_suspended_device_says_so(device: subrosa.Device, notes: subrosa.Collection) -> None:
    id = notes.insert({"n": 1})
    device.suspend()
    with pytest.raises(subrosa.SubrosaError) as caught:
        notes.get(id)
    assert caught.value.name == "SUSPENDED"
    device.resume()
    assert notes.get(id) == {"n": 1}


def test_a_record_object_reads_fields_by_kind(notes: subrosa.Collection) -> None:
    id = subrosa.record_id("typed")
    with subrosa.Record.new() as record:
        record.set("i", 5)
        record.set("f", 1.0)
        record.set("t", "naïve")
        record.set("r", b"\x00\xff")
        record.set("b", True)
        record.set("n", None)
        record.set_json("l", "[1]")
        record.set("gone", 1)
        assert record.remove("gone") is True
        assert record.remove("gone") is False
        notes.put(id, record)
    found = notes.get_record(id)
    assert found is not None
    assert [name for name, _ in found.fields()] == ["b", "f", "i", "l", "n", "r", "t"]
    assert (found.get_i64("i"), found.get_f64("f"), found.get_text("t")) == (5, 1.0, "naïve")
    assert (found.get_bytes("r"), found.get_bool("b"), found.kind("n")) == (b"\x00\xff", True, subrosa.Kind.NULL)
    assert (found.kind("l"), found.kind("none"), len(found)) == (subrosa.Kind.LIST, subrosa.Kind.ABSENT, 7)
    for field, name in (("i", "WRONG_KIND"), ("none", "NO_FIELD")):
        with pytest.raises(subrosa.SubrosaError) as caught:
            found.get_text(field)
        assert caught.value.name == name
    assert notes.get_record(uuid.uuid4()) is None
    assert subrosa.Record.from_json('{"b": 1, "a": 2}').to_json() == '{"a":2,"b":1}'


@pytest.mark.parametrize("data", [b"\x01\x02", bytearray(b"\x01\x02"), memoryview(b"\x01\x02")])
def test_a_field_takes_bytes_of_every_kind(data: bytes | bytearray | memoryview) -> None:
    with subrosa.Record.new() as record:
        record.set("data", data)
        assert record.get_bytes("data") == b"\x01\x02"
        record.set("data", memoryview(struct.pack("2i", 1, 2)).cast("i"))
        assert record.get_bytes("data") == struct.pack("2i", 1, 2)


@pytest.mark.parametrize("value", [[1, 2, 3], (1, 2), {"a": 1}, object()])
def test_a_field_takes_nothing_that_only_looks_like_bytes(value: Any) -> None:
    with subrosa.Record.new() as record:
        with pytest.raises(subrosa.NotStorable) as caught:
            record.set("tags", value)
        assert caught.value.path == "record.tags"
        assert len(record) == 0


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1])
def test_a_field_takes_no_integer_that_does_not_fit(number: int) -> None:
    with subrosa.Record.new() as record:
        with pytest.raises(subrosa.SubrosaError) as caught:
            record.set("n", number)
        assert (caught.value.name, caught.value.path) == ("INTEGER_RANGE", "record.n")
        record.set("n", number - 1 if number > 0 else number + 1)


def test_names_give_the_same_id_everywhere() -> None:
    assert subrosa.record_id("today") == subrosa.record_id("today") != subrosa.record_id("tomorrow")


def test_single_fields_are_read_and_deleted(notes: subrosa.Collection) -> None:
    id = notes.insert({"": 0, "a": b"x", "b": {"$text": 1}, "c": 1.0})
    none = subrosa.record_id("none")
    assert notes.field_names(id) == ["", "a", "b", "c"]
    assert notes.field_names(id, limit=2) == ["", "a"]
    assert notes.field_names(id, after="") == ["a", "b", "c"]
    assert notes.field_names(id, after="c") == []
    assert notes.field_names(none) is None
    assert notes.get_field(id, "a") == {"a": b"x"}
    assert notes.get_field(id, "b") == {"b": {"$text": 1}}
    assert notes.get_field(id, "d") is None and notes.get_field(none, "a") is None
    with notes.vault.write() as tx:
        assert notes.delete_field(id, "a", tx=tx) and not notes.delete_field(id, "a", tx=tx)
        assert notes.get_field(id, "a", tx=tx) is None
    assert notes.get(id) == {"": 0, "b": {"$text": 1}, "c": 1.0}
    assert not notes.delete_field(none, "a")


def test_a_record_larger_than_is_read_whole_is_read_field_by_field_and_hides_no_other(notes: subrosa.Collection) -> None:
    small = notes.insert({"n": 1})
    large = notes.insert({"f00": 0})
    last = notes.insert({"n": 2})
    for n in range(17):
        notes.put(large, {f"f{n:02}": b"x" * ((1 << 20) - 64)})
    for read in (notes.get, notes.get_json, notes.get_record, lambda id: notes.get_many([small, id])):
        with pytest.raises(subrosa.SubrosaError) as caught:
            read(large)
        assert (caught.value.name, caught.value.code) == ("RECORD_TOO_LARGE", subrosa.Status.RECORD_TOO_LARGE)
    seen, after = [], None
    while True:
        try:
            for id, _ in notes.scan(after=after):
                seen.append(id)
            break
        except subrosa.SubrosaError as error:
            assert error.record == large
            after = error.record
    assert seen == [small, last]
    names = notes.field_names(large)
    assert names is not None and len(names) == 17
    field = notes.get_field(large, "f16")
    assert field is not None and len(field["f16"]) == (1 << 20) - 64
    assert notes.delete_field(large, "f16") and notes.delete_field(large, "f00")
    assert len(notes.get(large) or {}) == 15


def test_what_was_exported_may_have_more_fields_than_a_write_may_add(notes: subrosa.Collection) -> None:
    id, many = subrosa.record_id("many"), {str(n): n for n in range(1025)}
    with pytest.raises(subrosa.SubrosaError) as caught:
        notes.put(id, many)
    assert caught.value.name == "TOO_MANY_FIELDS"
    notes.write_many([subrosa.Import(id, many)])
    notes.put(id, {"0": -1})
    assert len(notes.get(id) or {}) == 1025
