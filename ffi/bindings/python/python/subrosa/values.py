"""Records as JSON text, both ways without loss.

`int` is a 64-bit integer and `float` is a float, never mixed; `bytes` are `{"$bytes": base64}`. Any other object whose only key
begins with `$` belongs to a newer engine; a map with such a key has one more `$` in front. The engine reads and writes the same.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Iterable
from typing import Any

from ._ffi import lib, own_error, utf8
from .errors import NotStorable

INT_MIN = -(2**63)
INT_MAX = 2**63 - 1
_BYTES_KEY = "$bytes"
# The engine allows 64 levels and says so; this one only keeps a list that contains itself from running forever.
_DEPTH_MAX = 200
# Written as they are. `float` is among them because the encoder itself refuses what is not finite.
_PLAIN = frozenset({str, bool, float, type(None)})

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")).encode
_decode = json.JSONDecoder().decode


class Json(str):
    """A record as JSON text, taken as it is: for text that is there already."""

    __slots__ = ()


def dumps(record: dict[str, Any] | Json) -> bytes:
    """A record as JSON text in UTF-8."""
    if type(record) is not dict:
        if isinstance(record, Json):
            return utf8(record)
        if not isinstance(record, dict):
            raise NotStorable(f"a record is a dict, not {type(record).__name__}", "record")
    value: Any = record if _is_plain(record) else _rebuild(record, "record", 0)
    try:
        return utf8(_encode(value))
    except ValueError as error:
        raise own_error(lib.SUBROSA_NOT_FINITE, "a float of the record is infinite or not a number") from error


def _is_plain(record: dict[str, Any], depth: int = 0) -> bool:
    """Whether the encoder writes this map as it should be, with nothing that needs a second look."""
    for key in record:
        if type(key) is not str:
            return False
    if len(record) == 1 and next(iter(record)).startswith("$"):
        return False
    return _are_plain(record.values(), depth + 1)


def _are_plain(values: Iterable[Any], depth: int) -> bool:
    if depth > _DEPTH_MAX:
        return False
    for value in values:
        kind = type(value)
        if kind in _PLAIN:
            continue
        if kind is int:
            if not INT_MIN <= value <= INT_MAX:
                return False
        elif kind is dict:
            if not _is_plain(value, depth):
                return False
        elif kind is not list or not _are_plain(value, depth + 1):
            return False
    return True


def _rebuild(value: Any, path: str, depth: int) -> Any:
    """The value in terms of JSON; refuses what has none, with the place where it is."""
    kind = type(value)
    if kind in _PLAIN or isinstance(value, str):
        return value
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        if not INT_MIN <= value <= INT_MAX:
            raise own_error(lib.SUBROSA_INTEGER_RANGE, "integer is outside the range of 64 signed bits", path=path)
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {_BYTES_KEY: binascii.b2a_base64(value, newline=False).decode("ascii")}
    if depth >= _DEPTH_MAX:
        raise own_error(lib.SUBROSA_TOO_DEEP, f"nested deeper than {_DEPTH_MAX}", path=path)
    if isinstance(value, (list, tuple)):
        return [_rebuild(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise NotStorable(f"a map's key is {type(key).__name__}, not str", path)
        built = {key: _rebuild(item, f"{path}.{key}", depth + 1) for key, item in value.items()}
        if len(built) == 1 and (only := next(iter(built))).startswith("$"):
            return {f"${only}": built[only]}
        return built
    raise NotStorable(f"a record cannot hold {type(value).__name__}", path)


def loads(text: bytes) -> Any:
    """What the library wrote."""
    # A quote within a text is escaped, so this is the beginning of a map; and the engine does not escape dollar signs.
    if b'{"$' in text:
        return json.loads(text, object_hook=_unmark)
    return _decode(text.decode("utf-8"))


def _unmark(found: dict[str, Any]) -> Any:
    """Turns a marked map into what it stands for. Called for the innermost map first."""
    if len(found) != 1:
        return found
    ((key, value),) = found.items()
    if key == _BYTES_KEY:
        return binascii.a2b_base64(value)
    if key.startswith("$$"):
        return {key[1:]: value}
    if key.startswith("$"):
        raise own_error(lib.SUBROSA_NEWER_FORM, "a value of a kind that this version does not know")
    return found
