"""A record as an object of the library: fields by name, each with its exact kind.

`dict`s do for nearly everything; this is for reading one field of a large record without decoding the rest.
"""

from __future__ import annotations

from ._enums import OpenEnum
from ._ffi import CData, call, ffi, lib, octets, own_error, take_bytes, take_text, utf8
from ._handles import Handle
from .errors import NotStorable
from .values import INT_MAX, INT_MIN, Json


class Kind(OpenEnum):
    """What a field holds."""

    ABSENT = 0
    NULL = 1
    BOOL = 2
    I64 = 3
    F64 = 4
    TEXT = 5
    BYTES = 6
    LIST = 7
    MAP = 8


class Record(Handle):
    """Used by one thread at a time."""

    __slots__ = ()
    _slot = ffi.typeof("subrosa_record **")

    @staticmethod
    def _closer(ptr: CData) -> None:
        lib.subrosa_record_close(ptr)

    @classmethod
    def new(cls) -> Record:
        return cls(lib.subrosa_record_new)

    @classmethod
    def from_json(cls, json: str) -> Record:
        raw = utf8(json)
        return cls(lib.subrosa_record_from_json, raw, len(raw))

    def to_json(self) -> Json:
        out = ffi.new("subrosa_buf *")
        call(lib.subrosa_record_to_json, self._ptr, out)
        return Json(take_text(out))

    def set(self, field: str, value: bool | int | float | str | bytes | bytearray | memoryview | None) -> None:
        """Sets a field to a single value; lists and maps go through `set_json`."""
        name = utf8(field)
        head = (self._ptr, name, len(name))
        if value is None:
            call(lib.subrosa_record_set_null, *head)
        elif isinstance(value, bool):
            call(lib.subrosa_record_set_bool, *head, value)
        elif isinstance(value, int):
            if not INT_MIN <= value <= INT_MAX:
                message = "integer is outside the range of 64 signed bits"
                raise own_error(lib.SUBROSA_INTEGER_RANGE, message, path=f"record.{field}")
            call(lib.subrosa_record_set_i64, *head, value)
        elif isinstance(value, float):
            call(lib.subrosa_record_set_f64, *head, value)
        elif isinstance(value, str):
            raw = utf8(value)
            call(lib.subrosa_record_set_text, *head, raw, len(raw))
        elif isinstance(value, (bytes, bytearray, memoryview)):
            data = octets(value, "a field")
            call(lib.subrosa_record_set_bytes, *head, data, len(data))
        else:
            raise NotStorable(f"a field cannot be set to {type(value).__name__}", f"record.{field}")

    def set_json(self, field: str, json: str) -> None:
        name, raw = utf8(field), utf8(json)
        call(lib.subrosa_record_set_json, self._ptr, name, len(name), raw, len(raw))

    def remove(self, field: str) -> bool:
        """Whether the field was there."""
        name, out = utf8(field), ffi.new("bool *")
        call(lib.subrosa_record_remove, self._ptr, name, len(name), out)
        return bool(out[0])

    def __len__(self) -> int:
        out = ffi.new("size_t *")
        call(lib.subrosa_record_len, self._ptr, out)
        return int(out[0])

    def fields(self) -> list[tuple[str, Kind]]:
        """Names and kinds, in the order of the names' bytes."""
        text, length, kind = ffi.new("const char **"), ffi.new("size_t *"), ffi.new("int32_t *")
        found = []
        for index in range(len(self)):
            call(lib.subrosa_record_field_view, self._ptr, index, text, length, kind)
            found.append((ffi.buffer(text[0], length[0])[:].decode("utf-8"), Kind(kind[0])))
        return found

    def kind(self, field: str) -> Kind:
        name, out = utf8(field), ffi.new("int32_t *")
        call(lib.subrosa_record_kind, self._ptr, name, len(name), out)
        return Kind(out[0])

    def get_bool(self, field: str) -> bool:
        name, out = utf8(field), ffi.new("bool *")
        call(lib.subrosa_record_get_bool, self._ptr, name, len(name), out)
        return bool(out[0])

    def get_i64(self, field: str) -> int:
        name, out = utf8(field), ffi.new("int64_t *")
        call(lib.subrosa_record_get_i64, self._ptr, name, len(name), out)
        return int(out[0])

    def get_f64(self, field: str) -> float:
        name, out = utf8(field), ffi.new("double *")
        call(lib.subrosa_record_get_f64, self._ptr, name, len(name), out)
        return float(out[0])

    def get_text(self, field: str) -> str:
        name, out, length = utf8(field), ffi.new("const char **"), ffi.new("size_t *")
        call(lib.subrosa_record_get_text_view, self._ptr, name, len(name), out, length)
        return ffi.buffer(out[0], length[0])[:].decode("utf-8") if length[0] else ""

    def get_bytes(self, field: str) -> bytes:
        name, out, length = utf8(field), ffi.new("const uint8_t **"), ffi.new("size_t *")
        call(lib.subrosa_record_get_bytes_view, self._ptr, name, len(name), out, length)
        data: bytes = ffi.buffer(out[0], length[0])[:] if length[0] else b""
        return data

    def get_json(self, field: str) -> Json:
        name, out = utf8(field), ffi.new("subrosa_buf *")
        call(lib.subrosa_record_get_json, self._ptr, name, len(name), out)
        return Json(take_bytes(out).decode("utf-8"))
