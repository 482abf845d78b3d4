"""What was taken out of the library's queue for a stream, and who waits for more.

Any number of threads and tasks wait at a time, but one pull is under way, on a thread of its own. When it ends, all of
them look here, and who finds nothing waits for the next pull. So events stay in order, none is lost with somebody who
has left, and everybody sees the end. A pull that nobody waits for any more is cancelled; what it has taken by then is
here for whoever comes next.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final, Generic, TypeAlias, TypeVar

from ._ffi import ERROR_SLOT, NULL, CData, failure, ffi, lib, own_error
from .waiting import Bell, Cancel, Token, in_thread

T = TypeVar("T")

_EVENT: CData = ffi.typeof("subrosa_event *")
# Events taken out of the library's queue at once.
_BATCH_MAX = 256


class Over:
    """The source has ended."""


_OVER: Final = Over()
_Item: TypeAlias = T | Over | BaseException


class Inbox(Generic[T]):
    """It does not keep its stream: who drops the stream closes it, and so ends the pull."""

    def __init__(self, ptr: CData, parse: Callable[[CData], T | None]) -> None:
        self._ptr = ptr
        self._parse = parse
        self._process = os.getpid()
        # Held for moments only, and for all of what follows.
        self._lock = threading.Lock()
        # Nothing comes after `_OVER`, which stays. An exception is raised where it stands.
        self._ready: deque[_Item[T]] = deque()
        self._waiting: set[Callable[[], object]] = set()
        # Ends the pull under way.
        self._pull: Token | None = None

    def next(self, timeout: float | None, cancel: Cancel | None) -> T | Over | None:
        """For a thread: `None` when the time is over."""
        self._check_process()
        end = math.inf if timeout is None else time.monotonic() + timeout
        bell = Bell()
        if cancel is not None:
            cancel._link(bell)
        while True:
            with self._lock:
                if not self._ready and self._pull is None:
                    self._move(self._ready, 0, NULL)
                if (item := self._take()) is not None:
                    return item
                # A cancelled pull ends at once, perhaps with what happened before this call.
                ending = self._pull is not None and not self._waiting
                left = math.inf if ending else end - time.monotonic()
                if left <= 0:
                    return None
                if cancel is not None and cancel.fired:
                    raise own_error(lib.SUBROSA_CANCELLED, "cancelled")
                self._join(bell.fire)
            try:
                bell.wait(left)
            finally:
                self._leave(bell.fire)

    async def next_async(self) -> T | Over:
        """For a task."""
        self._check_process()
        while True:
            woken = asyncio.Event()
            wake = partial(asyncio.get_running_loop().call_soon_threadsafe, woken.set)
            with self._lock:
                if (item := self._take()) is not None:
                    return item
                self._join(wake)
            try:
                await woken.wait()
            finally:
                self._leave(wake)

    def _check_process(self) -> None:
        """A forked child has a copy of this, but not the thread that pulls, nor perhaps one to open the lock."""
        if os.getpid() != self._process:
            raise own_error(lib.SUBROSA_FORKED, "the stream belongs to the process that this one was forked from")

    def _take(self) -> T | Over | None:
        if not self._ready:
            return None
        item = self._ready[0]
        if isinstance(item, Over):
            return item
        self._ready.popleft()
        if isinstance(item, BaseException):
            raise item
        return item

    def _join(self, wake: Callable[[], object]) -> None:
        """Has the end of a pull call `wake`."""
        if self._pull is None:
            pull = Token()
            try:
                in_thread(partial(self._run, pull))
            except BaseException:
                pull.fire()  # the thread may run all the same, if this is Ctrl-C
                raise
            self._pull = pull
        self._waiting.add(wake)

    def _leave(self, wake: Callable[[], object]) -> None:
        with self._lock:
            self._waiting.discard(wake)
            if self._pull is not None and not self._waiting:
                self._pull.fire()

    def _run(self, pull: Token) -> None:
        taken: list[_Item[T]] = []
        try:
            self._move(taken, -1, pull._ptr)
        finally:
            with self._lock:
                self._ready.extend(taken)
                if self._pull is pull:
                    self._pull = None
                waiting, self._waiting = self._waiting, set()
            for wake in waiting:
                with contextlib.suppress(RuntimeError):  # its loop is closed: nobody waits
                    wake()

    def _move(self, to: deque[_Item[T]] | list[_Item[T]], timeout_ms: int, token: CData) -> None:
        """Moves what the library's queue holds, waiting for the first event only."""
        event, slot = ffi.new(_EVENT), ffi.new(ERROR_SLOT)
        event.struct_size = ffi.sizeof(event[0])
        for _ in range(_BATCH_MAX):
            status = lib.subrosa_events_wait(self._ptr, timeout_ms, token, event, slot)
            if status:
                error = failure(status, slot)
                if status in (lib.SUBROSA_CLOSED, lib.SUBROSA_INVALID_HANDLE):
                    to.append(_OVER)
                elif status != lib.SUBROSA_CANCELLED:
                    to.append(error)
                return
            if event.kind == lib.SUBROSA_EVENT_NONE:
                return
            if event.kind == lib.SUBROSA_EVENT_OVER:
                to.append(_OVER)
                return
            try:
                item = self._parse(event)
            finally:
                lib.subrosa_event_free(event)
            if item is not None:
                to.append(item)
            timeout_ms = 0
