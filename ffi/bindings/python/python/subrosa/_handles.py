"""Handles: closed by `with`, by `close()`, or when nothing refers to them any more."""

from __future__ import annotations

import atexit
import os
import queue
import threading
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Any, ClassVar, TypeVar

from ._ffi import NULL, CData, call, ffi, lib

Self = TypeVar("Self", bound="Handle")


class Handle:
    """A token of the library. After `close` it is stale, which the library answers with `INVALID_HANDLE`."""

    __slots__ = ("__weakref__", "_finalizer", "_ptr")

    # Type of the place where the library puts the token.
    _slot: ClassVar[CData]

    # Whether closing waits for others. Then an abandoned handle is closed by a thread of its own: the garbage
    # collector may run anywhere, in a callback too that the closing would wait for.
    _closing_waits: ClassVar[bool] = False

    def __init__(self, make: Any, *arguments: Any, owner: object | None = None) -> None:
        """Calls `make`, which gives the token through its last parameter but one. The handle is closed when nothing
        refers to its owner any more: itself, unless another is given."""
        closer, out = type(self)._closer, ffi.new(self._slot)
        if self._closing_waits:
            _need_reaper()
        try:
            call(make, *arguments, out)
            self._ptr = out[0]
            close = _reap if self._closing_waits else _close_now
            self._finalizer = weakref.finalize(self if owner is None else owner, close, closer, self._ptr)
            self._finalizer.atexit = False
        except BaseException:
            # Ctrl-C may come when the library has made the handle and nobody here has it yet.
            closer(out[0])
            raise

    @staticmethod
    def _closer(ptr: CData) -> None:
        """Closes a token. Errors are not asked for: closing twice, NULL, or in a forked child, is harmless."""
        raise NotImplementedError

    @property
    def closed(self) -> bool:
        return not self._finalizer.alive

    def close(self) -> None:
        """Closes the handle. A second time does nothing."""
        if self._finalizer.detach() is not None:
            self._release()

    def _release(self) -> None:
        type(self)._closer(self._ptr)

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _close_now(closer: Callable[[CData], None], ptr: CData) -> None:
    closer(ptr)


_queue: queue.SimpleQueue[tuple[Callable[[CData], None], CData]] = queue.SimpleQueue()
_reaper: threading.Thread | None = None
_start = threading.Lock()


def _reap(closer: Callable[[CData], None], ptr: CData) -> None:
    """Runs in the garbage collector, so it may do nothing that takes a lock: this queue takes none."""
    _queue.put((closer, ptr))


def _need_reaper() -> None:
    """Starts the closing thread with the first handle that needs it: the garbage collector must not start one."""
    global _reaper
    if _reaper is None:
        with _start:
            if _reaper is None:
                _reaper = threading.Thread(target=_close_abandoned, name="subrosa-close", daemon=True)
                _reaper.start()


def _close_abandoned() -> None:
    while True:
        closer, ptr = _queue.get()
        closer(ptr)


def _after_fork() -> None:
    """A child has none of the parent's threads; it starts its own when it needs one."""
    global _queue, _reaper, _start
    _queue, _reaper, _start = queue.SimpleQueue(), None, threading.Lock()
    devices.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

# Devices that are open. Closing them ends all waits and all callbacks, so that the interpreter can end.
devices: weakref.WeakSet[Handle] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for device in list(devices):
        if device._finalizer.detach() is not None:
            device._closer(device._ptr)
    while True:
        try:
            closer, ptr = _queue.get_nowait()
        except queue.Empty:
            break
        closer(ptr)
    lib.subrosa_log_set(0, NULL, NULL, NULL, NULL)
