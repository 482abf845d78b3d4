"""Loads the library and calls it. Nothing outside of this package uses these names.

`SUBROSA_LIB` names a library to load instead of the one in the wheel.
"""

from __future__ import annotations

import importlib.util
import os
import threading
from pathlib import Path
from typing import Any

from .errors import SubrosaError

ABI_VERSION = 1

# cffi's objects have no useful static types; everything public around them does.
CData = Any


def _load() -> tuple[Any, Any]:
    override = os.environ.get("SUBROSA_LIB")
    if override is None:
        from . import _subrosa  # made by maturin: the declarations, and the library beside them

        return _subrosa.ffi, _subrosa.lib
    # Not imported as a part of its package, which would load the library of the wheel as well.
    path = Path(__file__).parent / "_subrosa" / "ffi.py"
    spec = importlib.util.spec_from_file_location("subrosa._declarations", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"no cffi declarations at {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ffi, module.ffi.dlopen(override)


ffi, lib = _load()
NULL: CData = ffi.NULL

if lib.subrosa_abi_version() != ABI_VERSION:
    raise ImportError(
        f"the subrosa library has ABI version {lib.subrosa_abi_version()}, this package needs {ABI_VERSION}"
    )

# Looking a type up by its name costs as much as a call; these are made in every call on records.
ERROR_SLOT: CData = ffi.typeof("subrosa_error **")
BUF: CData = ffi.typeof("subrosa_buf *")
BOOL: CData = ffi.typeof("bool *")
ID: CData = ffi.typeof("subrosa_id *")

# The exception that a key provider's callback raised during a call on this thread: the cause of the call's error.
provider_fault = threading.local()


def text(pointer: CData) -> str:
    """A static or borrowed C string."""
    raw: bytes = ffi.string(pointer)
    return raw.decode("utf-8", "replace")


def status_name(code: int) -> str:
    return text(lib.subrosa_status_name(code))


def own_error(code: int, message: str, path: str | None = None) -> SubrosaError:
    """An error that this package found before the library had to."""
    return SubrosaError(code, status_name(code), message, path=path)


def failure(status: int, slot: CData) -> BaseException:
    """The exception for a status; takes the error out of its slot. A `SubrosaError`, unless a key provider was ended by
    what is no `Exception`, such as Ctrl-C: that goes on as it is."""
    error = slot[0]
    slot[0] = NULL
    try:
        made = SubrosaError(
            status,
            status_name(status),
            text(lib.subrosa_error_message(error)),
            retryable=bool(lib.subrosa_error_retryable(error)),
            number=int(lib.subrosa_error_number(error)),
            causes=tuple(text(lib.subrosa_error_cause(error, i)) for i in range(lib.subrosa_error_causes(error))),
        )
    finally:
        lib.subrosa_error_free(error)
    if status in (lib.SUBROSA_KEY_PROVIDER, lib.SUBROSA_KEY_PROVIDER_SIGNATURE):
        cause: BaseException | None = getattr(provider_fault, "exception", None)
        provider_fault.exception = None
        if cause is not None and not isinstance(cause, Exception):
            return cause
        made.__cause__ = cause
    return made


def call(function: Any, *arguments: Any) -> None:
    """Calls a fallible function, whose last parameter is the error's slot."""
    slot = ffi.new(ERROR_SLOT)
    status = function(*arguments, slot)
    if status:
        raise failure(status, slot)


def take_bytes(buf: CData) -> bytes:
    """The bytes of a `subrosa_buf`, which is freed."""
    taken: bytes = ffi.buffer(buf.data, buf.len)[:] if buf.len else b""
    lib.subrosa_buf_free(buf)
    return taken


def take_secret(secret: CData) -> bytes:
    """The bytes of a `subrosa_secret`, which is wiped; the copy that Python holds is not."""
    taken: bytes = ffi.buffer(secret.data, secret.len)[:] if secret.len else b""
    lib.subrosa_secret_free(secret)
    return taken


def take_text(buf: CData) -> str:
    return take_bytes(buf).decode("utf-8")


def utf8(value: str) -> bytes:
    """Text for the library. Half of a surrogate pair has no UTF-8 form."""
    try:
        return value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise own_error(lib.SUBROSA_INVALID_UTF8, "text holds half of a surrogate pair") from error


def octets(value: bytes | bytearray | memoryview, what: str) -> CData:
    """Bytes for the library, and nothing else: cffi would take a list of numbers as well. `len` of it is in bytes."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, (bytearray, memoryview)):
        return ffi.from_buffer("uint8_t[]", value)
    raise TypeError(f"{what} is bytes, not {type(value).__name__}")


def milliseconds(timeout: float | None) -> int:
    """Seconds to what the library counts in; `None` is no limit."""
    if timeout is None:
        return -1
    return min(max(0, int(timeout * 1000 + 0.999)), 0x7FFF_FFFF)
