"""Streams of what happens: iterate with `for` or `async for`, or ask with `next`.

The library keeps a queue for each stream, and this side pulls from it, so a slow reader delays nobody: a queue that
overflows says so with `LAGGED`, and goes on.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Any, Generic, TypeVar

from ._enums import OpenEnum
from ._ffi import NULL, CData, call, failure, ffi, lib, made, milliseconds, own_error
from ._handles import Handle
from .waiting import Cancel, awaiting, blocking, new_event

T = TypeVar("T")
S = TypeVar("S", bound="Stream[Any]")

# Events taken out of the library's queue at once.
_BATCH_MAX = 256


class ChangeKind(Enum):
    INSERTED = "inserted"
    UPDATED = "updated"
    REMOVED = "removed"
    # More happened than the queue holds: read again what matters.
    LAGGED = "lagged"


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to a record. `id` is `None` exactly when the kind is `LAGGED`."""

    kind: ChangeKind
    id: uuid.UUID | None
    collection: str
    vault: bytes


class SyncState(OpenEnum):
    OFFLINE = 1
    CONNECTING = 2
    SYNCING = 3
    LIVE = 4
    REFUSED = 5
    SUSPENDED = 6


class SyncEventKind(Enum):
    STATE = "state"
    # What the relay had is stored.
    CAUGHT_UP = "caught up"
    # Caught up both ways.
    SYNCED = "synced"
    REFUSED = "refused"
    # The relay hides or lost something.
    DISAGREES = "disagrees"
    LAGGED = "lagged"


@dataclass(frozen=True, slots=True)
class SyncEvent:
    """What happened to a sync. `state` goes with `STATE`, `vault` with the kinds that concern one, `code` (the
    relay's) and `retry_after` (seconds) with `REFUSED`."""

    kind: SyncEventKind
    state: SyncState | None = None
    vault: bytes = b""
    code: int = 0
    retry_after: float = 0.0


class _Over:
    """The source has ended."""


_OVER = _Over()
_Queue = deque["T | _Over"]


class Stream(Handle, Generic[T]):
    """Events of one source, from the moment it was made. It keeps its source open, and ends with it."""

    __slots__ = ("_parse", "_ready", "_source")
    _closing_waits = True

    @staticmethod
    def _closer(ptr: CData) -> None:
        lib.subrosa_events_close(ptr, NULL)

    def __init__(self, source: Any, parse: Callable[[CData], T | _Over | None], add: Any, *arguments: Any) -> None:
        super().__init__(made(lib.subrosa_events_new, "subrosa_events"))
        self._source = source
        self._parse = parse
        self._ready: _Queue[T] = deque()
        try:
            call(add, self._ptr, *arguments, 0)
        except BaseException:
            self.close()
            raise

    def next(self, timeout: float | None = None, cancel: Cancel | None = None) -> T | None:
        """The next event, or `None` when the time (seconds, `None` for no limit) is over. `CLOSED` at the end."""
        item = self._next(timeout, cancel)
        if isinstance(item, _Over):
            raise own_error(lib.SUBROSA_CLOSED, "the source of the events has ended")
        return item

    def _next(self, timeout: float | None, cancel: Cancel | None) -> T | _Over | None:
        ptr, parse, ready = self._ptr, self._parse, self._ready
        if not ready:
            _pull(ptr, parse, ready, 0, NULL)
        if not ready and timeout != 0:
            limit = milliseconds(timeout)
            blocking(lambda token: _pull(ptr, parse, ready, limit, token), cancel)
        return self._take()

    def _take(self) -> T | _Over | None:
        try:
            item = self._ready.popleft()
        except IndexError:
            return None
        if isinstance(item, _Over):
            self._ready.append(item)
        return item

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        while True:
            item = self._next(None, None)
            if isinstance(item, _Over):
                raise StopIteration
            if item is not None:
                return item

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        # The thread that waits must not keep this object: who drops it closes it, and so ends the wait.
        ptr, parse, ready = self._ptr, self._parse, self._ready
        while True:
            item = self._take()
            if isinstance(item, _Over):
                raise StopAsyncIteration
            if item is not None:
                return item
            await awaiting(lambda token: _pull(ptr, parse, ready, -1, token))

    async def __aenter__(self: S) -> S:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Closing a queue waits for nobody: it wakes whoever waits.
        self.close()


def _pull(
    ptr: CData, parse: Callable[[CData], T | _Over | None], ready: _Queue[T], timeout_ms: int, token: CData
) -> None:
    """Moves what the library's queue holds, waiting for the first event only. Nothing is lost when it is ended: what
    was taken out is in `ready`."""
    event, slot = new_event(), ffi.new("subrosa_error **")
    for _ in range(_BATCH_MAX):
        status = lib.subrosa_events_wait(ptr, timeout_ms, token, event, slot)
        if status in (lib.SUBROSA_CLOSED, lib.SUBROSA_INVALID_HANDLE):
            lib.subrosa_error_free(slot[0])
            ready.append(_OVER)
            return
        if status:
            raise failure(status, slot)
        if event.kind == lib.SUBROSA_EVENT_NONE:
            return
        try:
            item = _OVER if event.kind == lib.SUBROSA_EVENT_OVER else parse(event)
        finally:
            lib.subrosa_event_free(event)
        if item is not None:
            ready.append(item)
        timeout_ms = 0


_CHANGES = {1: ChangeKind.INSERTED, 2: ChangeKind.UPDATED, 3: ChangeKind.REMOVED}


def parse_change(event: CData) -> Change | _Over | None:
    vault = bytes(event.vault.bytes)
    collection = ffi.buffer(event.text.data, event.text.len)[:].decode("utf-8") if event.text.len else ""
    if event.kind == lib.SUBROSA_EVENT_LAGGED:
        return Change(ChangeKind.LAGGED, None, collection, vault)
    if event.kind == lib.SUBROSA_EVENT_RECORD and (kind := _CHANGES.get(event.detail)) is not None:
        return Change(kind, uuid.UUID(bytes=bytes(event.record.bytes)), collection, vault)
    return None  # a kind that a newer library knows


def parse_sync_event(event: CData) -> SyncEvent | _Over | None:
    kind, vault = event.kind, bytes(event.vault.bytes)
    if kind == lib.SUBROSA_EVENT_SYNC_STATE:
        return SyncEvent(SyncEventKind.STATE, state=SyncState(event.detail))
    if kind == lib.SUBROSA_EVENT_REFUSED:
        return SyncEvent(SyncEventKind.REFUSED, vault=vault, code=event.detail, retry_after=event.number / 1000)
    simple = {
        lib.SUBROSA_EVENT_CAUGHT_UP: SyncEventKind.CAUGHT_UP,
        lib.SUBROSA_EVENT_SYNCED: SyncEventKind.SYNCED,
        lib.SUBROSA_EVENT_DISAGREES: SyncEventKind.DISAGREES,
        lib.SUBROSA_EVENT_LAGGED: SyncEventKind.LAGGED,
    }
    return SyncEvent(simple[kind], vault=vault) if kind in simple else None


class Watch(Stream[Change]):
    """Changes of a vault or a collection, from this device and from others."""

    __slots__ = ()


class SyncEvents(Stream[SyncEvent]):
    """What happens to a sync."""

    __slots__ = ()
