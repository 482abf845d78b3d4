"""Watching: in order, ended promptly, closed when dropped."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
import time
import weakref

import pytest

import subrosa
from subrosa import ChangeKind

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
