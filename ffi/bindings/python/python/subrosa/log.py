"""The library's log, on request, as records of Python's `logging`. It holds ids and numbers only."""

from __future__ import annotations

import logging

from ._ffi import NULL, CData, call, ffi, lib, text

TRACE = 5
_LEVELS = {1: logging.ERROR, 2: logging.WARNING, 3: logging.INFO, 4: logging.DEBUG, 5: TRACE}
_loggers: dict[int, tuple[CData, logging.Logger]] = {}


def log_to(logger: logging.Logger | None = None, level: int = logging.INFO) -> None:
    """Sends what the library logs, at `level` and above, to a logger: "subrosa" unless one is given.

    One logger at a time: another call replaces it. Handlers run on the library's threads and must not call this
    package.
    """
    target = logger if logger is not None else logging.getLogger("subrosa")
    level_max = max((ours for ours, theirs in _LEVELS.items() if theirs >= level), default=1)
    handle = ffi.new_handle(target)
    _loggers[int(ffi.cast("uintptr_t", handle))] = (handle, target)
    call(lib.subrosa_log_set, level_max, _log, handle, _free)


def log_off() -> None:
    """Back to silence, which is the default."""
    call(lib.subrosa_log_set, 0, NULL, NULL, NULL)


@ffi.callback("void(void *, int32_t, const char *)")  # type: ignore[untyped-decorator]
def _log(user: CData, level: int, message: CData) -> None:
    logger: logging.Logger = ffi.from_handle(user)
    logger.log(_LEVELS.get(level, TRACE), "%s", text(message))


@ffi.callback("void(void *)")  # type: ignore[untyped-decorator]
def _free(user: CData) -> None:
    _loggers.pop(int(ffi.cast("uintptr_t", user)), None)
