"""Against a real relay, whose URL is in SUBROSA_TEST_RELAY (ffi/scenario/with-relay sets it)."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import threading
import time
import weakref
from pathlib import Path

import pytest

import subrosa
from subrosa import _handles
from subrosa._ffi import NULL, ffi
from subrosa.sync import vault_at_relay
from subrosa.vault import held_of_device

RELAY = os.environ.get("SUBROSA_TEST_RELAY", "")
pytestmark = pytest.mark.skipif(not RELAY, reason="no relay")
SECONDS = 30.0


async def paired(tmp_path: Path, laptop: subrosa.Device) -> subrosa.Device:
    """A second device, through the whole pairing."""
    async with laptop.pair_offer(RELAY) as offer:
        async with subrosa.Device.pair_join(tmp_path / "phone", subrosa.Key.generate(), offer.link, "phone") as join:
            request, code = await asyncio.gather(offer.wait(SECONDS), join.code(SECONDS))
            assert (request.code, request.name) == (code, "phone")
            info, phone = await asyncio.gather(offer.confirm(code), join.device(SECONDS))
            assert (info.name, info.role, info.is_this) == ("phone", subrosa.Role.ADMIN, False)
            assert info.public_key == phone.public_key
            return phone


def test_two_devices_converge(tmp_path: Path, device: subrosa.Device) -> None:
    async def scenario() -> None:
        notes = device.create_vault("personal").collection("notes")
        id = notes.insert({"title": "Call Anna", "done": False})
        async with device.sync(RELAY) as sync:
            await sync.wait(SECONDS)
            with await paired(tmp_path, device) as phone:
                theirs = phone.vault("personal").collection("notes")
                with phone.sync(RELAY) as phone_sync, notes.watch() as changes:
                    await phone_sync.wait(SECONDS)
                    assert theirs.get(id) == {"title": "Call Anna", "done": False}
                    theirs.put(id, {"done": True})
                    change = await asyncio.wait_for(anext(changes), SECONDS)
                    assert (change.kind, change.id) == (subrosa.ChangeKind.UPDATED, id)
                    assert notes.get(id) == {"title": "Call Anna", "done": True}
                    assert phone_sync.status().failure is subrosa.Failure.NONE
            await sync.wait(SECONDS)
            delivery = device.vault("personal").delivery(RELAY)
            assert delivery.held == delivery.acknowledged > 0

    asyncio.run(scenario())


def test_a_sync_that_nobody_keeps_goes_on_and_ends_with_its_device(tmp_path: Path, key: subrosa.Key) -> None:
    device = subrosa.Device.create(tmp_path / "s", key)
    device.create_vault("personal")
    device.sync(RELAY)
    reaped = threading.Event()
    _handles._reap(lambda _: reaped.set(), NULL)  # behind all that was abandoned
    assert reaped.wait(SECONDS)
    with pytest.raises(subrosa.SubrosaError) as caught:
        device.sync(RELAY)
    assert caught.value.name == "BUSY"
    gone = weakref.ref(device)
    del device, caught
    gc.collect()
    assert gone() is None
    end = time.monotonic() + SECONDS
    while True:
        try:
            subrosa.Device.open(tmp_path / "s", key).close()
            break
        except subrosa.SubrosaError as error:
            assert error.name == "STORE_LOCKED"
            assert time.monotonic() < end


def test_a_sync_that_was_stopped_makes_room_for_the_next(device: subrosa.Device) -> None:
    device.create_vault("personal")
    for _ in range(3):
        device.sync(RELAY).stop()
    with device.sync(RELAY) as sync:
        assert not sync.closed
    assert sync.closed


def test_sync_tells_how_it_goes(device: subrosa.Device) -> None:
    device.create_vault("personal").collection("notes").insert({})
    device.relay = RELAY
    assert device.relay == RELAY
    device.relay = None
    assert device.relay is None
    device.relay = RELAY
    with device.sync() as sync:
        with pytest.raises(subrosa.SubrosaError) as caught:
            device.sync()
        assert caught.value.name == "BUSY"
        events = sync.events()
        sync.wait_blocking(SECONDS)
        # A link that is live may have something to send again at any moment.
        while not (sync.status().state is subrosa.SyncState.LIVE and sync.reason() == "live"):
            assert events.next(SECONDS) is not None
        sync.stop()
        assert subrosa.SyncEventKind.LAGGED not in [event.kind for event in events]  # it ends with its source
        with pytest.raises(subrosa.SubrosaError) as caught:
            sync.status()
        assert caught.value.name in ("INVALID_HANDLE", "SYNC_STOPPED", "CLOSED")


def test_events_of_a_sync_end_with_it(device: subrosa.Device) -> None:
    device.create_vault("personal")
    sync = device.sync(RELAY)
    events = sync.events()

    def stop() -> None:
        sync.wait_blocking(SECONDS)
        sync.stop()

    stopper = threading.Thread(target=stop)
    stopper.start()
    kinds = [event.kind for event in events]
    stopper.join()
    assert subrosa.SyncEventKind.STATE in kinds


def test_who_asks_later_is_told_of_a_store_that_went_on_twice(tmp_path: Path, key: subrosa.Key) -> None:
    first, copied = tmp_path / "store", tmp_path / "copied"
    with subrosa.Device.create(first, key, "laptop") as device:
        vault = device.create_vault("personal")
        assert (vault.forks(), vault.held(), vault.update_needed) == ([], subrosa.HeldGroups([], False), False)

    def write_and_sync(where: Path) -> None:
        with subrosa.Device.open(where, key) as device, device.sync(RELAY) as sync:
            device.vault("personal").collection("notes").insert({})
            sync.wait_blocking(SECONDS)
            status = sync.status()
            assert (status.clock_ahead, status.held_until, sync.vaults()) == (0, 0, [])

    write_and_sync(first)
    shutil.copytree(first, copied)
    write_and_sync(first)
    write_and_sync(copied)
    with subrosa.Device.open(copied, key) as device:
        vault = device.vault("personal")
        assert vault.forks() == [subrosa.ForksOfDevice("laptop", True, key.public, 1, 1)]
        assert vault.collection("notes").count() == 3


def test_what_is_held_and_what_is_the_matter_is_read_from_the_structs(key: subrosa.Key) -> None:
    held = ffi.new("subrosa_held_info *", {"groups": 2, "until_ms": 1_900_000_000_500})
    held.public_key.bytes = key.public.data
    expected = subrosa.HeldOfDevice("phone", key.public, 2, 1_900_000_000.5)
    assert held_of_device("phone", held) == expected
    vault = ffi.new("subrosa_sync_vault *", {"refused": 7, "disagrees": 1, "update_needed": 1})
    vault.vault.bytes = b"\xab" * 32
    told = subrosa.VaultAtRelay(b"\xab" * 32, 7, "why", disagrees=True, disputed=False, update_needed=True)
    assert vault_at_relay("why", vault) == told


def nowhere() -> str:
    """The relay's URL with a port on which nobody answers."""
    head, rest = RELAY.split("://", 1)
    address, secret = rest.split("/", 1)
    return f"{head}://{address.rsplit(':', 1)[0]}:1/{secret}"


def test_waiting_gives_up_without_progress(device: subrosa.Device) -> None:
    device.create_vault("personal").collection("notes").insert({})
    with device.sync(nowhere()) as sync:
        with pytest.raises(subrosa.SubrosaError) as caught:
            sync.wait_blocking(0.2)
        assert (caught.value.name, caught.value.retryable) == ("NO_PROGRESS", True)


def test_cancelling_the_task_ends_waiting_for_sync(device: subrosa.Device) -> None:
    device.create_vault("personal").collection("notes").insert({})

    async def scenario() -> None:
        async with device.sync(nowhere()) as sync:
            begin = time.monotonic()
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(sync.wait(None), 0.05)
            cancel = subrosa.Cancel()
            asyncio.get_running_loop().call_later(0.05, cancel.fire)
            with pytest.raises(subrosa.SubrosaError) as caught:
                await sync.wait(None, cancel)
            assert caught.value.name == "CANCELLED"
            assert time.monotonic() - begin < 10

    asyncio.run(scenario())
    end = time.monotonic() + 10
    while any(thread.name == "subrosa-wait" for thread in threading.enumerate()):
        assert time.monotonic() < end


def test_closing_the_device_ends_waiting(device: subrosa.Device) -> None:
    device.create_vault("personal").collection("notes").insert({})
    sync = device.sync(nowhere())
    names: list[str] = []

    def wait() -> None:
        with pytest.raises(subrosa.SubrosaError) as caught:
            sync.wait_blocking(None)
        names.append(caught.value.name)

    waiter = threading.Thread(target=wait)
    waiter.start()
    device.close()
    waiter.join(SECONDS)
    assert names and names[0] in ("CLOSED", "SYNC_STOPPED", "INVALID_HANDLE")


def test_a_wrong_code_pairs_nobody(tmp_path: Path, device: subrosa.Device) -> None:
    device.create_vault("personal")

    async def scenario() -> None:
        async with device.pair_offer(RELAY) as offer:
            with pytest.raises(subrosa.SubrosaError) as caught:
                await offer.wait(0.01)
            assert caught.value.name == "TIMEOUT"
            async with subrosa.Device.pair_join(tmp_path / "x", subrosa.Key.generate(), offer.link, "x") as join:
                _, code = await asyncio.gather(offer.wait(SECONDS), join.code(SECONDS))
                with pytest.raises(ValueError, match="typed"):
                    await offer.confirm("")
                with pytest.raises(subrosa.SubrosaError) as caught:
                    await offer.confirm(f"{(int(code) + 1) % 1_000_000:06}")
                assert caught.value.name == "PAIR_WRONG_CODE"

    asyncio.run(scenario())
    assert len(device.vault("personal").devices()) == 1


def test_a_declined_device_is_told(tmp_path: Path, device: subrosa.Device) -> None:
    device.create_vault("personal")

    async def scenario() -> None:
        async with device.pair_offer(RELAY) as offer:
            async with subrosa.Device.pair_join(tmp_path / "x", subrosa.Key.generate(), offer.link, "x") as join:
                await asyncio.gather(offer.wait(SECONDS), join.code(SECONDS))
                offer.decline()
                with pytest.raises(subrosa.SubrosaError) as caught:
                    await join.device(SECONDS)
                assert caught.value.name in ("PAIR_DECLINED", "PAIR_ABORTED")

    asyncio.run(scenario())


def test_a_cancelled_offer_can_be_waited_for_again(tmp_path: Path, device: subrosa.Device) -> None:
    device.create_vault("personal")

    async def scenario() -> None:
        async with device.pair_offer(RELAY) as offer:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(offer.wait(), 0.05)
            async with subrosa.Device.pair_join(tmp_path / "x", subrosa.Key.generate(), offer.link, "x") as join:
                request, code = await asyncio.gather(offer.wait(SECONDS), join.code(SECONDS))
                assert (request.name, request.code) == ("x", code)
                info, phone = await asyncio.gather(offer.confirm_equal(), join.device(SECONDS))
                assert info.public_key == phone.public_key

    asyncio.run(scenario())


def test_a_link_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(subrosa.SubrosaError) as caught:
        subrosa.Device.pair_join(tmp_path / "x", subrosa.Key.generate(), "subrosa://nonsense")
    assert caught.value.name == "PAIR_LINK"
