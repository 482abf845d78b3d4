"""Waiting: for a thread, for a task, and how either is ended early.

A call that waits runs in a daemon thread, unless the caller is in one of its own already: a task must not block its
loop, and the main thread must be able to take a signal. A thread costs some 50 us, which is nothing beside a wait.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import weakref
from collections.abc import Callable
from typing import Protocol, TypeVar

from ._ffi import NULL, CData, ffi, lib
from ._handles import Handle

T = TypeVar("T")


class Token(Handle):
    """A cancel token of the library: one for each call that waits."""

    __slots__ = ()
    _slot = ffi.typeof("subrosa_cancel **")

    @staticmethod
    def _closer(ptr: CData) -> None:
        lib.subrosa_cancel_close(ptr)

    def __init__(self) -> None:
        super().__init__(lib.subrosa_cancel_new)

    def fire(self) -> None:
        lib.subrosa_cancel_fire(self._ptr, NULL)


class Bell:
    """Wakes one thread, from anywhere. `SimpleQueue` is safe in a signal handler, which may have interrupted this very
    thread inside of `wait`; a `threading.Event` is not."""

    def __init__(self) -> None:
        self._rung: queue.SimpleQueue[None] = queue.SimpleQueue()

    def fire(self) -> None:
        self._rung.put(None)

    def wait(self, seconds: float) -> None:
        try:
            self._rung.get(timeout=min(seconds, threading.TIMEOUT_MAX))
        except queue.Empty:
            pass


class _Fired(Protocol):
    def fire(self) -> None: ...


class Cancel:
    """Ends waits early, from any thread: they raise `SubrosaError` with the name `CANCELLED`.

    One may be given to any number of waits. Once it has fired, further waits end at once.
    """

    def __init__(self) -> None:
        # A signal handler that fires may have interrupted this thread while it has the lock.
        self._lock = threading.RLock()
        self._waits: weakref.WeakSet[_Fired] = weakref.WeakSet()
        self._fired = False

    @property
    def fired(self) -> bool:
        return self._fired

    def fire(self) -> None:
        with self._lock:
            self._fired = True
            waits = list(self._waits)
        for wait in waits:
            wait.fire()

    def _link(self, wait: _Fired) -> None:
        with self._lock:
            self._waits.add(wait)
            fired = self._fired
        if fired:
            wait.fire()


def _token(cancel: Cancel | None) -> Token:
    token = Token()
    if cancel is not None:
        cancel._link(token)
    return token


def in_thread(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="subrosa-wait", daemon=True).start()


def blocking(work: Callable[[CData], T], cancel: Cancel | None = None) -> T:
    """Waits in this thread. In the main thread Ctrl-C ends the wait."""
    token = _token(cancel)
    if threading.current_thread() is not threading.main_thread():
        return work(token._ptr)
    results: list[T] = []
    errors: list[BaseException] = []
    done = threading.Event()

    def run() -> None:
        try:
            results.append(work(token._ptr))
        except BaseException as error:
            errors.append(error)
        finally:
            done.set()

    in_thread(run)
    try:
        done.wait()
    except BaseException:
        token.fire()
        raise
    if errors:
        raise errors.pop()
    return results.pop()


async def awaiting(work: Callable[[CData], T], cancel: Cancel | None = None) -> T:
    """Waits without blocking the loop. When the task is cancelled, the wait in the library ends."""
    token = _token(cancel)
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: list[T], error: BaseException | None) -> None:
        if future.done():
            return  # the task was cancelled; a handle that came too late is closed as abandoned
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result[0])

    def run() -> None:
        try:
            try:
                result = [work(token._ptr)]
            except BaseException as error:
                loop.call_soon_threadsafe(settle, [], error)
            else:
                loop.call_soon_threadsafe(settle, result, None)
        except RuntimeError:
            pass  # the loop is closed: nobody waits

    in_thread(run)
    try:
        return await future
    except asyncio.CancelledError:
        token.fire()
        raise
