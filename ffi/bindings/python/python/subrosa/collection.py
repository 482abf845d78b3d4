"""Records, by their ids, in a collection of a vault."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ._ffi import BOOL, BUF, ID, NULL, CData, call, ffi, lib, own_error, take_bytes, utf8
from ._handles import Handle
from ._lists import Texts
from .errors import SubrosaError
from .events import Watch, parse_change
from .record import Record
from .values import Json, dumps, loads

if TYPE_CHECKING:
    from .vault import Tx, Vault

_ROW = struct.Struct("<IBBH16s")
_ROW_REST = _ROW.size - 4
_NO_ID = bytes(16)
_JSON = 1
_ABSENT, _INSERT, _PUT, _REPLACE, _DELETE, _TOO_LARGE, _IMPORT = 0, 2, 3, 4, 5, 6, 7

# What is given to be written: a dict, JSON text, or (to single calls) a record object.
Content = dict[str, Any] | Json


def record_id(name: str) -> uuid.UUID:
    """The id that stands for a name, the same everywhere: for records that exist once, such as settings."""
    raw, out = utf8(name), ffi.new(ID)
    call(lib.subrosa_id_from_name, raw, len(raw), out)
    return uuid.UUID(bytes=ffi.buffer(out)[:])


@dataclass(frozen=True, slots=True)
class Insert:
    record: Content


@dataclass(frozen=True, slots=True)
class Put:
    id: uuid.UUID
    fields: Content


@dataclass(frozen=True, slots=True)
class Replace:
    id: uuid.UUID
    record: Content


@dataclass(frozen=True, slots=True)
class Delete:
    id: uuid.UUID


@dataclass(frozen=True, slots=True)
class Import:
    """As `Put`, for a record that was exported: it may have more fields than a write may add."""

    id: uuid.UUID
    fields: Content


Row = Insert | Put | Replace | Delete | Import


def _tx(tx: Tx | None) -> CData:
    return NULL if tx is None else tx._ptr


def _id(record: uuid.UUID) -> CData:
    return ffi.from_buffer(ID, record.bytes)


class Collection(Handle):
    """Every call is a transaction of its own, unless it is given one of the same vault."""

    __slots__ = ("_name", "_vault")
    _slot = ffi.typeof("subrosa_collection **")

    @staticmethod
    def _closer(ptr: CData) -> None:
        lib.subrosa_collection_close(ptr)

    def __init__(self, vault: Vault, name: str) -> None:
        raw = utf8(name)
        super().__init__(lib.subrosa_collection_open, vault._ptr, raw, len(raw))
        self._vault = vault
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    @property
    def vault(self) -> Vault:
        return self._vault

    def insert(self, record: Content | Record, *, tx: Tx | None = None) -> uuid.UUID:
        """Stores a new record, durably when it returns, and gives its id."""
        out = ffi.new(ID)
        if isinstance(record, Record):
            call(lib.subrosa_insert, self._ptr, _tx(tx), record._ptr, out)
        else:
            raw = dumps(record)
            call(lib.subrosa_insert_json, self._ptr, _tx(tx), raw, len(raw), out)
        return uuid.UUID(bytes=ffi.buffer(out)[:])

    def put(self, id: uuid.UUID, fields: Content | Record, *, tx: Tx | None = None) -> None:
        """Sets these fields and leaves the others; makes the record when there is none."""
        self._write(lib.subrosa_put, lib.subrosa_put_json, id, fields, tx)

    def replace(self, id: uuid.UUID, record: Content | Record, *, tx: Tx | None = None) -> None:
        """As `put`, and removes other fields."""
        self._write(lib.subrosa_replace, lib.subrosa_replace_json, id, record, tx)

    def _write(self, of_record: Any, of_json: Any, id: uuid.UUID, content: Content | Record, tx: Tx | None) -> None:
        if isinstance(content, Record):
            call(of_record, self._ptr, _tx(tx), _id(id), content._ptr)
        else:
            raw = dumps(content)
            call(of_json, self._ptr, _tx(tx), _id(id), raw, len(raw))

    def get(self, id: uuid.UUID, *, tx: Tx | None = None) -> dict[str, Any] | None:
        raw = self._get(id, tx)
        return None if raw is None else loads(raw)

    def get_json(self, id: uuid.UUID, *, tx: Tx | None = None) -> Json | None:
        """The record's JSON as the engine writes it: compact, keys sorted."""
        raw = self._get(id, tx)
        return None if raw is None else Json(raw.decode("utf-8"))

    def _get(self, id: uuid.UUID, tx: Tx | None) -> bytes | None:
        out, found = ffi.new(BUF), ffi.new(BOOL)
        call(lib.subrosa_get_json, self._ptr, _tx(tx), _id(id), out, found)
        return take_bytes(out) if found[0] else None

    def get_record(self, id: uuid.UUID, *, tx: Tx | None = None) -> Record | None:
        record = Record(lib.subrosa_get, self._ptr, _tx(tx), _id(id))
        return record if record._ptr else None

    def field_names(
        self, id: uuid.UUID, *, after: str | None = None, limit: int = 1000, tx: Tx | None = None
    ) -> list[str] | None:
        """Names of the fields behind `after`, at most `limit`, in the order of their bytes; the record may be of any size."""
        raw = NULL if after is None else utf8(after)
        length = 0 if after is None else len(raw)
        with Texts(lib.subrosa_field_names, self._ptr, _tx(tx), _id(id), raw, length, limit) as found:
            return [found.text(index) for index in range(len(found))] if found._ptr else None

    def get_field(self, id: uuid.UUID, field: str, *, tx: Tx | None = None) -> dict[str, Any] | None:
        """One field of a record of any size, as a record that has this field alone; None if there is none."""
        raw = self._get_field(id, field, tx)
        return None if raw is None else {field: loads(raw)}

    def get_field_json(self, id: uuid.UUID, field: str, *, tx: Tx | None = None) -> Json | None:
        """The JSON of one field's value."""
        raw = self._get_field(id, field, tx)
        return None if raw is None else Json(raw.decode("utf-8"))

    def _get_field(self, id: uuid.UUID, field: str, tx: Tx | None) -> bytes | None:
        raw, out, found = utf8(field), ffi.new(BUF), ffi.new(BOOL)
        call(lib.subrosa_get_field_json, self._ptr, _tx(tx), _id(id), raw, len(raw), out, found)
        return take_bytes(out) if found[0] else None

    def delete_field(self, id: uuid.UUID, field: str, *, tx: Tx | None = None) -> bool:
        """Deletes one field of a record of any size; whether there was one. The record stays."""
        raw, out = utf8(field), ffi.new(BOOL)
        call(lib.subrosa_delete_field, self._ptr, _tx(tx), _id(id), raw, len(raw), out)
        return bool(out[0])

    def delete(self, id: uuid.UUID, *, tx: Tx | None = None) -> bool:
        """Whether there was such a record."""
        out = ffi.new(BOOL)
        call(lib.subrosa_delete, self._ptr, _tx(tx), _id(id), out)
        return bool(out[0])

    def count(self, *, tx: Tx | None = None) -> int:
        """How many records there are. It reads them all."""
        out = ffi.new("uint64_t *")
        call(lib.subrosa_count, self._ptr, _tx(tx), out)
        return int(out[0])

    def scan(
        self, *, after: uuid.UUID | None = None, page: int = 1000, tx: Tx | None = None
    ) -> Iterator[tuple[uuid.UUID, dict[str, Any]]]:
        """All records in the order of their ids, read in pages. Without a transaction each page is a snapshot of its
        own, and what is inserted behind the current page is seen. A record that is larger than is read whole raises
        `RECORD_TOO_LARGE` in its place, with its id as `error.record`: go on with that as `after`."""
        for ids, payloads in self._pages(after, page, tx):
            yield from zip(ids, _loads_all(payloads), strict=True)

    def scan_json(
        self, *, after: uuid.UUID | None = None, page: int = 1000, tx: Tx | None = None
    ) -> Iterator[tuple[uuid.UUID, Json]]:
        for ids, payloads in self._pages(after, page, tx):
            for id, payload in zip(ids, payloads, strict=True):
                yield id, Json(payload.decode("utf-8"))

    def _pages(
        self, after: uuid.UUID | None, page: int, tx: Tx | None
    ) -> Iterator[tuple[list[uuid.UUID], list[bytes]]]:
        more = True
        while more:
            out, flag = ffi.new(BUF), ffi.new(BOOL)
            start = NULL if after is None else _id(after)
            call(lib.subrosa_page, self._ptr, _tx(tx), start, page, _JSON, out, flag)
            ids, payloads, refused = [], [], None
            for op, id, payload in _rows(take_bytes(out)):
                if op == _TOO_LARGE:
                    refused = _too_large(id)
                    break
                ids.append(uuid.UUID(bytes=id))
                payloads.append(payload)
            more = bool(flag[0])
            if ids:
                after = ids[-1]
                yield ids, payloads
            if refused is not None:
                raise refused

    def get_many(self, ids: Sequence[uuid.UUID], *, tx: Tx | None = None) -> list[dict[str, Any] | None]:
        """What `get` gives for each id, from one snapshot, in one call."""
        rows = self._get_many(ids, tx)
        found = iter(_loads_all([payload for payload in rows if payload is not None]))
        return [None if payload is None else next(found) for payload in rows]

    def get_many_json(self, ids: Sequence[uuid.UUID], *, tx: Tx | None = None) -> list[Json | None]:
        return [None if raw is None else Json(raw.decode("utf-8")) for raw in self._get_many(ids, tx)]

    def _get_many(self, ids: Sequence[uuid.UUID], tx: Tx | None) -> list[bytes | None]:
        packed = b"".join([id.bytes for id in ids])
        out = ffi.new(BUF)
        pointer = ffi.from_buffer(ID, packed) if packed else NULL
        call(lib.subrosa_get_many, self._ptr, _tx(tx), pointer, len(ids), _JSON, out)
        found: list[bytes | None] = []
        for op, id, payload in _rows(take_bytes(out)):
            if op == _TOO_LARGE:
                raise _too_large(id)
            found.append(None if op == _ABSENT else payload)
        return found

    def insert_many(self, records: Iterable[Content], *, tx: Tx | None = None) -> list[uuid.UUID]:
        """Stores new records: all, in one transaction, or none. At most 65,536, or 64 MiB, at once."""
        pack = _ROW.pack
        parts: list[bytes] = []
        for record in records:
            raw = dumps(record)
            parts.append(pack(_ROW_REST + len(raw), _INSERT, _JSON, 0, _NO_ID))
            parts.append(raw)
        return self._write_packed(b"".join(parts), tx)

    def write_many(self, rows: Iterable[Row], *, tx: Tx | None = None) -> list[uuid.UUID]:
        """Writes rows of any kind: all, in one transaction, or none. Gives the id of each."""
        return self._write_packed(b"".join([_pack(row) for row in rows]), tx)

    def _write_packed(self, packed: bytes, tx: Tx | None) -> list[uuid.UUID]:
        out = ffi.new(BUF)
        call(lib.subrosa_write_many, self._ptr, _tx(tx), packed, len(packed), out)
        ids = take_bytes(out)
        return [uuid.UUID(bytes=ids[at : at + 16]) for at in range(0, len(ids), 16)]

    def watch(self) -> Watch:
        """What happens to the collection's records from now on, here and on other devices."""
        return Watch(self, parse_change, lib.subrosa_events_add_collection, self._ptr)


def _pack(row: Row) -> bytes:
    match row:
        case Insert(record):
            raw = dumps(record)
            return _ROW.pack(_ROW_REST + len(raw), _INSERT, _JSON, 0, _NO_ID) + raw
        case Put(id, fields):
            raw = dumps(fields)
            return _ROW.pack(_ROW_REST + len(raw), _PUT, _JSON, 0, id.bytes) + raw
        case Replace(id, record):
            raw = dumps(record)
            return _ROW.pack(_ROW_REST + len(raw), _REPLACE, _JSON, 0, id.bytes) + raw
        case Import(id, fields):
            raw = dumps(fields)
            return _ROW.pack(_ROW_REST + len(raw), _IMPORT, _JSON, 0, id.bytes) + raw
        case Delete(id):
            return _ROW.pack(_ROW_REST, _DELETE, 0, 0, id.bytes)
    raise TypeError(f"a row is Insert, Put, Replace, Import or Delete, not {type(row).__name__}")


def _rows(packed: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    at, end, unpack = 0, len(packed), _ROW.unpack_from
    while at < end:
        length, op, _, _, id = unpack(packed, at)
        start, at = at + _ROW.size, at + 4 + length
        if length < _ROW_REST or at > end:
            raise own_error(lib.SUBROSA_BAD_ROWS, "a row of the result does not parse")
        yield op, id, packed[start:at]


def _too_large(id: bytes) -> SubrosaError:
    error = own_error(lib.SUBROSA_RECORD_TOO_LARGE, "a record is larger than is read at once: read it field by field")
    error.record = uuid.UUID(bytes=id)
    return error


def _loads_all(payloads: list[bytes]) -> list[dict[str, Any]]:
    """Decodes many texts as one list, which saves a call of the decoder for each."""
    decoded: list[dict[str, Any]] = loads(b"[" + b",".join(payloads) + b"]")
    return decoded


__all__ = ["Collection", "Content", "Delete", "Import", "Insert", "Put", "Replace", "Row", "record_id"]
