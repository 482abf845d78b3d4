"""Watching: in order, ended promptly, closed when dropped."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
import time
import uuid
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import subrosa
from subrosa import ChangeKind
from subrosa._ffi import lib
from subrosa.events import parse_change

PROMPT_SECONDS = 5.0


def waiting_threads() -> int:
    return sum(1 for thread in threading.enumerate() if thread.name == "subrosa-wait")


def no_thread_waits() -> None:
    end = time.monotonic() + PROMPT_SECONDS
    while waiting_threads():
        assert time.monotonic() < end, "a thread still waits in the library"
        gc.collect()


def test_changes_come_in_order(notes: subrosa.Collection) -> None:
    with notes.watch() as changes:
        id = notes.insert({"n": 1})
        notes.put(id, {"n": 2})
        notes.delete(id)
        seen = [changes.next(10) for _ in range(3)]
        assert changes.next(0) is None
        assert changes.next(0.01) is None
    assert [change and (change.kind, change.id, change.collection) for change in seen] == [
        (ChangeKind.INSERTED, id, "notes"),
        (ChangeKind.UPDATED, id, "notes"),
        (ChangeKind.REMOVED, id, "notes"),
    ]


def test_a_vault_is_watched_as_a_whole(vault: subrosa.Vault) -> None:
    with vault.watch() as changes:
        vault.collection("a").insert({})
        vault.collection("b").insert({})
        seen = [changes.next(10), changes.next(10)]
    assert [change and (change.collection, change.vault) for change in seen] == [("a", vault.id), ("b", vault.id)]


def test_a_transaction_arrives_when_it_commits(vault: subrosa.Vault, notes: subrosa.Collection) -> None:
    with notes.watch() as changes:
        with vault.write() as tx:
            notes.insert({}, tx=tx)
            assert changes.next(0) is None
        assert changes.next(10) is not None


def test_a_loop_over_a_watch_ends_with_the_device(device: subrosa.Device, notes: subrosa.Collection) -> None:
    changes = notes.watch()
    notes.insert({})
    first = threading.Event()

    def close() -> None:
        assert first.wait(10)
        device.close()

    closer = threading.Thread(target=close)
    closer.start()
    seen = 0
    for _ in changes:
        seen += 1
        first.set()
    closer.join()
    assert seen == 1


def test_a_cancel_token_ends_a_wait_from_another_thread(notes: subrosa.Collection) -> None:
    cancel = subrosa.Cancel()
    with notes.watch() as changes:
        timer = threading.Timer(0.05, cancel.fire)
        timer.start()
        with pytest.raises(subrosa.SubrosaError) as caught:
            changes.next(cancel=cancel)
        assert caught.value.name == "CANCELLED"
        with pytest.raises(subrosa.SubrosaError):
            changes.next(cancel=cancel)
        notes.insert({})
        assert changes.next(10) is not None
    timer.join()


def test_ctrl_c_ends_a_wait_of_the_main_thread(notes: subrosa.Collection) -> None:
    # Where a shell started this in the background, SIGINT is ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with notes.watch() as changes:
            timer = threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT))
            timer.start()
            with pytest.raises(KeyboardInterrupt):
                changes.next()
            timer.join()
            no_thread_waits()
    finally:
        signal.signal(signal.SIGINT, before)


def test_async_iteration(notes: subrosa.Collection) -> None:
    async def scenario() -> None:
        seen: list[ChangeKind] = []

        async def read() -> None:
            async for change in changes:
                seen.append(change.kind)
                if len(seen) == 3:
                    break

        async with notes.watch() as changes:
            reader = asyncio.create_task(read())
            id = notes.insert({"n": 1})
            await asyncio.sleep(0)
            notes.put(id, {"n": 2})
            notes.delete(id)
            await asyncio.wait_for(reader, 10)
        assert seen == [ChangeKind.INSERTED, ChangeKind.UPDATED, ChangeKind.REMOVED]

    asyncio.run(scenario())
    no_thread_waits()


def test_cancelling_the_task_ends_the_wait_promptly(notes: subrosa.Collection) -> None:
    async def scenario() -> None:
        async def read() -> None:
            async for _ in notes.watch():
                pass

        reader = asyncio.create_task(read())
        while not waiting_threads():
            assert not reader.done(), reader.exception()
            await asyncio.sleep(0)
        begin = time.monotonic()
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        del reader
        no_thread_waits()
        assert time.monotonic() - begin < PROMPT_SECONDS

    asyncio.run(scenario())


def test_a_timeout_of_one_step_loses_nothing(notes: subrosa.Collection) -> None:
    async def scenario() -> None:
        async with notes.watch() as changes:
            for number in range(20):
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(anext(changes), 0.001)
                id = notes.insert({"n": number})
                change = await asyncio.wait_for(anext(changes), 10)
                assert change.id == id

    asyncio.run(scenario())
    no_thread_waits()


def test_async_iteration_ends_with_the_device(device: subrosa.Device, notes: subrosa.Collection) -> None:
    async def scenario() -> list[ChangeKind]:
        changes = notes.watch()
        notes.insert({})

        async def read() -> list[ChangeKind]:
            return [change.kind async for change in changes]

        reader = asyncio.create_task(read())
        while not waiting_threads():
            assert not reader.done(), reader.exception()
            await asyncio.sleep(0)
        await asyncio.to_thread(device.close)
        return await asyncio.wait_for(reader, 10)

    assert asyncio.run(scenario()) == [ChangeKind.INSERTED]


def test_a_dropped_watch_is_closed_while_a_task_waited_on_it(notes: subrosa.Collection) -> None:
    loop = asyncio.new_event_loop()
    changes = notes.watch()
    gone = weakref.ref(changes)
    task = loop.create_task(changes.__anext__())
    while not waiting_threads():
        assert not task.done(), task.exception()
        loop.run_until_complete(asyncio.sleep(0))
    task.cancel()
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()
    del task, changes
    gc.collect()
    assert gone() is None
    no_thread_waits()


def test_two_tasks_share_a_watch(notes: subrosa.Collection) -> None:
    async def scenario() -> None:
        async with notes.watch() as changes:
            one, two = asyncio.create_task(anext(changes)), asyncio.create_task(anext(changes))
            await asyncio.sleep(0)
            ids = {notes.insert({}), notes.insert({})}
            found = await asyncio.wait_for(asyncio.gather(one, two), 10)
            assert {change.id for change in found} == ids

    asyncio.run(scenario())
    no_thread_waits()


def waiting_readers(changes: subrosa.Watch) -> int:
    return len(changes._inbox._waiting)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PROMPT_SECONDS
    while not condition():
        assert time.monotonic() < end
        os.sched_yield()


def test_every_thread_that_reads_a_watch_sees_its_end(device: subrosa.Device, notes: subrosa.Collection) -> None:
    changes = notes.watch()
    seen: list[subrosa.Change] = []
    readers = [threading.Thread(target=lambda: seen.extend(changes), daemon=True) for _ in range(3)]
    for reader in readers:
        reader.start()
    until(lambda: waiting_readers(changes) == 3)
    id = notes.insert({})
    until(lambda: len(seen) == 1 and waiting_readers(changes) == 3)
    device.close()
    for reader in readers:
        reader.join(PROMPT_SECONDS)
    assert not any(reader.is_alive() for reader in readers)
    assert [change.id for change in seen] == [id]
    assert list(changes) == []
    no_thread_waits()


def test_every_task_that_reads_a_watch_sees_its_end(device: subrosa.Device, notes: subrosa.Collection) -> None:
    async def read(changes: subrosa.Watch) -> list[subrosa.Change]:
        return [change async for change in changes]

    async def scenario() -> None:
        changes = notes.watch()
        thread = threading.Thread(target=lambda: list(changes), daemon=True)
        thread.start()
        tasks = [asyncio.create_task(read(changes)) for _ in range(3)]
        while waiting_readers(changes) < 4:
            await asyncio.sleep(0)
        await asyncio.to_thread(device.close)
        assert await asyncio.wait_for(asyncio.gather(*tasks), PROMPT_SECONDS) == [[], [], []]
        await asyncio.to_thread(thread.join, PROMPT_SECONDS)
        assert not thread.is_alive()

    asyncio.run(scenario())
    no_thread_waits()


class Held(subrosa.Watch):
    """A watch whose first event stays on its way, taken out of the library's queue but not here yet."""

    __slots__ = ("arrive", "taken")

    def __init__(self, notes: subrosa.Collection) -> None:
        self.taken, self.arrive = taken, arrive = threading.Event(), threading.Event()

        def parse(event: Any) -> subrosa.Change | None:
            if not taken.is_set():
                taken.set()
                assert arrive.wait(PROMPT_SECONDS)
            return parse_change(event)

        super().__init__(notes, parse, lib.subrosa_events_add_collection, notes._ptr)


def test_an_event_that_arrives_as_its_task_gives_up_goes_to_the_next_one(notes: subrosa.Collection) -> None:
    async def scenario() -> None:
        async with Held(notes) as changes:
            first = asyncio.create_task(anext(changes))
            while not waiting_readers(changes):
                await asyncio.sleep(0)
            ids = [notes.insert({})]
            assert await asyncio.to_thread(changes.taken.wait, PROMPT_SECONDS)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            second = asyncio.create_task(anext(changes))
            await asyncio.sleep(0)
            ids.append(notes.insert({}))
            for _ in range(100):
                await asyncio.sleep(0)
            changes.arrive.set()
            seen = [await asyncio.wait_for(second, PROMPT_SECONDS), await asyncio.wait_for(anext(changes), 10)]
            assert [change.id for change in seen] == ids

    asyncio.run(scenario())
    no_thread_waits()


def test_an_event_that_arrives_as_its_thread_gives_up_goes_to_the_next_one(notes: subrosa.Collection) -> None:
    with Held(notes) as changes:
        cancel, names = subrosa.Cancel(), []

        def give_up() -> None:
            with pytest.raises(subrosa.SubrosaError) as caught:
                changes.next(cancel=cancel)
            names.append(caught.value.name)

        thread = threading.Thread(target=give_up)
        thread.start()
        until(lambda: waiting_readers(changes) == 1)
        ids = [notes.insert({})]
        assert changes.taken.wait(PROMPT_SECONDS)
        cancel.fire()
        thread.join(PROMPT_SECONDS)
        assert names == ["CANCELLED"]
        ids.append(notes.insert({}))
        changes.arrive.set()
        # Not even a look overtakes what is on its way, or misses it.
        seen = [changes.next(0), changes.next(0)]
        assert [change and change.id for change in seen] == ids
        assert changes.next(0) is None


@pytest.mark.parametrize("seconds", [0.0001, 0.001])
def test_steps_that_time_out_lose_nothing_and_keep_the_order(notes: subrosa.Collection, seconds: float) -> None:
    ids = [subrosa.record_id(f"{number}") for number in range(300)]

    def write() -> None:
        for id in ids:
            notes.put(id, {})

    async def scenario() -> None:
        seen: list[uuid.UUID | None] = []
        writer = threading.Thread(target=write)
        async with notes.watch() as changes:
            writer.start()
            end = time.monotonic() + 60
            while len(seen) < len(ids):
                assert time.monotonic() < end
                try:
                    seen.append((await asyncio.wait_for(anext(changes), seconds)).id)
                except asyncio.TimeoutError:
                    await asyncio.sleep(0)
            writer.join()
        assert seen == ids

    asyncio.run(scenario())
    no_thread_waits()


def test_a_look_after_a_wait_that_timed_out_finds_what_was_written(notes: subrosa.Collection) -> None:
    with notes.watch() as changes:
        for _ in range(100):
            assert changes.next(0.0001) is None
            id = notes.insert({})
            change = changes.next(0)
            assert change is not None and change.id == id
        assert waiting_readers(changes) == 0
    no_thread_waits()


def test_a_signal_handler_may_fire_a_cancel_token(notes: subrosa.Collection) -> None:
    cancel = subrosa.Cancel()
    before = signal.signal(signal.SIGUSR1, lambda *_: cancel.fire())
    try:
        with notes.watch() as changes:

            def interrupt() -> None:
                until(lambda: waiting_readers(changes) == 1)
                os.kill(os.getpid(), signal.SIGUSR1)

            thread = threading.Thread(target=interrupt)
            thread.start()
            with pytest.raises(subrosa.SubrosaError) as caught:
                changes.next(PROMPT_SECONDS, cancel)
            assert caught.value.name == "CANCELLED"
            thread.join()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_signal_may_come_while_its_thread_changes_the_token() -> None:
    cancel = subrosa.Cancel()

    def fire_within() -> None:
        with cancel._lock:  # as a handler finds it that interrupts `fire`, or the start of a wait
            cancel.fire()

    thread = threading.Thread(target=fire_within, daemon=True)
    thread.start()
    thread.join(PROMPT_SECONDS)
    assert not thread.is_alive() and cancel.fired


def test_a_reader_that_sleeps_is_told_that_it_lagged(notes: subrosa.Collection) -> None:
    with notes.watch() as changes:
        for _ in range(2):
            notes.insert_many({} for _ in range(33_000))  # the queue holds 65,536
        kinds = set()
        while (change := changes.next(0)) is not None:
            kinds.add(change.kind)
            if change.kind is ChangeKind.LAGGED:
                assert change.id is None
        assert ChangeKind.LAGGED in kinds
        id = notes.insert({})
        change = changes.next(10)
        assert change is not None and change.id == id
