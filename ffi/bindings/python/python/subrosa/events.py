"""Streams of what happens: iterate with `for` or `async for`, or ask with `next`.

The library keeps a queue for each stream, and this side pulls from it, so a slow reader delays nobody: a queue that
overflows says so with `LAGGED`, and goes on.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Any, Generic, TypeVar

from ._enums import OpenEnum
from ._ffi import NULL, CData, call, ffi, lib, own_error
from ._handles import Handle
from ._inbox import Inbox, Over
from .waiting import Cancel

T = TypeVar("T")
S = TypeVar("S", bound="Stream[Any]")


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
    UPDATE_NEEDED = "update_needed"
    # The relay claims another future of this device's log and does not show it.
    DISPUTED = "disputed"
    # A device's store was copied or put back and went on twice; everything of both is kept and merged.
    FORKED = "forked"
    # This device's clock and the relay's differ by more than five minutes, or agree again.
    CLOCK = "clock"
    # Something made ahead of this device's clock is held, or no more.
    HELD = "held"
    LAGGED = "lagged"


@dataclass(frozen=True, slots=True)
class SyncEvent:
    """What happened to a sync. `state` goes with `STATE`, `vault` with the kinds that concern one, `code` (the
    relay's) and `retry_after` (seconds) with `REFUSED`; `clock_ahead` (seconds, negative if behind, 0 when the clocks
    agree again) with `CLOCK`; `held_until` (a time as `time.time` has it, 0 when nothing is held) with `HELD`."""

    kind: SyncEventKind
    state: SyncState | None = None
    vault: bytes = b""
    code: int = 0
    retry_after: float = 0.0
    clock_ahead: float = 0.0
    held_until: float = 0.0


class Stream(Handle, Generic[T]):
    """Events of one source, from the moment it was made. It keeps its source open, and ends with it. Any number of
    threads and tasks may read it: each event goes to one of them, the end to all."""

    __slots__ = ("_inbox", "_source")
    _slot = ffi.typeof("subrosa_events **")
    _closing_waits = True

    @staticmethod
    def _closer(ptr: CData) -> None:
        lib.subrosa_events_close(ptr, NULL)

    def __init__(self, source: Any, parse: Callable[[CData], T | None], add: Any, *arguments: Any) -> None:
        super().__init__(lib.subrosa_events_new)
        self._source = source
        self._inbox = Inbox(self._ptr, parse)
        try:
            call(add, self._ptr, *arguments, 0)
        except BaseException:
            self.close()
            raise

    def next(self, timeout: float | None = None, cancel: Cancel | None = None) -> T | None:
        """The next event, or `None` when the time (seconds, `None` for no limit) is over. `CLOSED` at the end."""
        item = self._inbox.next(timeout, cancel)
        if isinstance(item, Over):
            raise own_error(lib.SUBROSA_CLOSED, "the source of the events has ended")
        return item

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        item = self._inbox.next(None, None)
        if isinstance(item, Over):
            raise StopIteration
        assert item is not None, "there is no limit of time"
        return item

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        item = await self._inbox.next_async()
        if isinstance(item, Over):
            raise StopAsyncIteration
        return item

    async def __aenter__(self: S) -> S:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Closing a queue waits for nobody: it wakes whoever waits.
        self.close()


_CHANGES = {1: ChangeKind.INSERTED, 2: ChangeKind.UPDATED, 3: ChangeKind.REMOVED}


def parse_change(event: CData) -> Change | None:
    vault = bytes(event.vault.bytes)
    collection = ffi.buffer(event.text.data, event.text.len)[:].decode("utf-8") if event.text.len else ""
    if event.kind == lib.SUBROSA_EVENT_LAGGED:
        return Change(ChangeKind.LAGGED, None, collection, vault)
    if event.kind == lib.SUBROSA_EVENT_RECORD and (kind := _CHANGES.get(event.detail)) is not None:
        return Change(kind, uuid.UUID(bytes=bytes(event.record.bytes)), collection, vault)
    return None  # a kind that a newer library knows


def parse_sync_event(event: CData) -> SyncEvent | None:
    kind, vault = event.kind, bytes(event.vault.bytes)
    if kind == lib.SUBROSA_EVENT_SYNC_STATE:
        return SyncEvent(SyncEventKind.STATE, state=SyncState(event.detail))
    if kind == lib.SUBROSA_EVENT_REFUSED:
        return SyncEvent(SyncEventKind.REFUSED, vault=vault, code=event.detail, retry_after=event.number / 1000)
    if kind == lib.SUBROSA_EVENT_CLOCK:
        return SyncEvent(SyncEventKind.CLOCK, clock_ahead=event.number / 1000)
    if kind == lib.SUBROSA_EVENT_HELD:
        return SyncEvent(SyncEventKind.HELD, held_until=event.number / 1000)
    simple = {
        lib.SUBROSA_EVENT_CAUGHT_UP: SyncEventKind.CAUGHT_UP,
        lib.SUBROSA_EVENT_SYNCED: SyncEventKind.SYNCED,
        lib.SUBROSA_EVENT_DISAGREES: SyncEventKind.DISAGREES,
        lib.SUBROSA_EVENT_UPDATE_NEEDED: SyncEventKind.UPDATE_NEEDED,
        lib.SUBROSA_EVENT_DISPUTED: SyncEventKind.DISPUTED,
        lib.SUBROSA_EVENT_LAGGED: SyncEventKind.LAGGED,
    }
    return SyncEvent(simple[kind], vault=vault) if kind in simple else None


class Watch(Stream[Change]):
    """Changes of a vault or a collection, from this device and from others."""

    __slots__ = ()


class SyncEvents(Stream[SyncEvent]):
    """What happens to a sync."""

    __slots__ = ()
