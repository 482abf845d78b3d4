"""The store of one device, in one folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from ._ffi import NULL, CData, call, ffi, lib, milliseconds, octets, take_secret, take_text, utf8
from ._handles import Handle, devices
from .keys import Key, PublicKey
from .pairing import PairJoin, PairOffer
from .sync import Sync
from .vault import Names, Vault

Path = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class VaultInfo:
    name: str
    id: bytes


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What reading everything found."""

    vaults: int
    logs: int
    segments: int
    bad_segments: int
    uncertified_logs: int
    quarantined: int
    repaired: int

    @property
    def good(self) -> bool:
        return self.bad_segments == 0


@dataclass(frozen=True, slots=True)
class SpaceReport:
    file_bytes: int
    live_bytes: int
    dead_bytes: int


def _options(name: str | None, cache_bytes: int, write_wait: float | None) -> CData:
    """The struct, and what it points to."""
    raw = utf8(name or "")
    text = ffi.new("char[]", raw)
    made = ffi.new(
        "subrosa_device_options *",
        {
            "struct_size": ffi.sizeof("subrosa_device_options"),
            "cache_bytes": cache_bytes,
            "device_name": text if raw else NULL,
            "device_name_len": len(raw),
            # To the library 0 is no limit.
            "write_wait_ms": 0 if write_wait is None else max(1, milliseconds(write_wait)),
        },
    )
    # Tied to the struct's life; cffi does not follow pointers.
    return ffi.gc(made, lambda _, text=text: None)


class Device(Handle):
    """Open while this object is. Thread-safe, and so is what it gives out, except `Tx` and `Record`."""

    __slots__ = ("_key",)
    _slot = ffi.typeof("subrosa_device **")
    _closing_waits = True

    @staticmethod
    def _closer(ptr: CData) -> None:
        lib.subrosa_device_close(ptr, NULL)

    def __init__(self, key: Key, make: Any, *arguments: Any) -> None:
        super().__init__(make, *arguments)
        self._key = key
        devices.add(self)

    @classmethod
    def create(
        cls,
        path: Path,
        key: Key,
        name: str = "device",
        *,
        cache_bytes: int = 0,
        write_wait: float | None = None,
    ) -> Device:
        """Makes a store in a folder. `name`: 1 to 128 bytes, no control characters. `cache_bytes` 0 is the default of
        16 MiB. `write_wait`: how long, in seconds, a write without `tx` waits for a transaction that another thread
        has open, before it fails with `BUSY`; `None`: as long as it takes."""
        folder = os.fsencode(path)
        options = _options(name, cache_bytes, write_wait)
        return cls(key, lib.subrosa_device_create, folder, len(folder), key._ptr, options)

    @classmethod
    def open(cls, path: Path, key: Key, *, cache_bytes: int = 0, write_wait: float | None = None) -> Device:
        """Opens the store in a folder. Options are those of `create`; the name is the one that is stored."""
        folder = os.fsencode(path)
        options = _options(None, cache_bytes, write_wait)
        return cls(key, lib.subrosa_device_open, folder, len(folder), key._ptr, options)

    @staticmethod
    def pair_join(
        path: Path,
        key: Key,
        link: str,
        name: str = "device",
        *,
        cache_bytes: int = 0,
        write_wait: float | None = None,
    ) -> PairJoin:
        """Starts to make this a further device of the user who was given the link. Options are those of `create`."""
        return PairJoin(path, key, link, _options(name, cache_bytes, write_wait))

    def _release(self) -> None:
        call(lib.subrosa_device_close, self._ptr)

    @property
    def name(self) -> str:
        out = ffi.new("subrosa_buf *")
        call(lib.subrosa_device_name, self._ptr, out)
        return take_text(out)

    @property
    def public_key(self) -> PublicKey:
        out = ffi.new("subrosa_public_key *")
        call(lib.subrosa_device_public_key, self._ptr, out)
        return PublicKey(bytes(out.bytes))

    @property
    def relay(self) -> str | None:
        """The stored relay's URL. A secret if it holds an invite."""
        out = ffi.new("subrosa_secret *")
        call(lib.subrosa_device_relay, self._ptr, out)
        return take_secret(out).decode("utf-8") or None

    @relay.setter
    def relay(self, url: str | None) -> None:
        raw = utf8(url or "")
        call(lib.subrosa_device_set_relay, self._ptr, raw if raw else NULL, len(raw))

    def vaults(self) -> list[VaultInfo]:
        with Names(lib.subrosa_device_vaults, self._ptr) as found:
            return [VaultInfo(found.text(index), found.vault_id(index)) for index in range(len(found))]

    def create_vault(self, name: str) -> Vault:
        raw = utf8(name)
        return Vault(self, lib.subrosa_vault_create, raw, len(raw))

    def vault(self, name: str) -> Vault:
        raw = utf8(name)
        return Vault(self, lib.subrosa_vault_open, raw, len(raw))

    def vault_by_id(self, id: bytes) -> Vault:
        raw = octets(id, "a vault's id")
        if len(raw) != 32:
            raise ValueError("a vault's id has 32 bytes")
        return Vault(self, lib.subrosa_vault_open_by_id, ffi.new("subrosa_vault_id *", (list(raw),)))

    def sync(self, relay: str | None = None) -> Sync:
        """Starts to sync in the background, with the stored relay unless one is given. `BUSY` when one runs. It goes on
        until it is stopped or the device is closed, whether or not the result is kept."""
        return Sync(self, relay)

    def pair_offer(self, relay: str | None = None) -> PairOffer:
        return PairOffer(self, relay)

    def suspend(self, timeout: float = 5.0) -> None:
        """Lets go of the file and the network, for a host that may freeze the process. Calls answer `SUSPENDED`."""
        call(lib.subrosa_suspend, self._ptr, milliseconds(timeout))

    def resume(self) -> None:
        call(lib.subrosa_resume, self._ptr)

    def network_changed(self) -> None:
        """Has a sync look for its relay anew at once."""
        call(lib.subrosa_network_changed, self._ptr)

    def verify(self) -> VerifyReport:
        """Reads and checks everything."""
        out = ffi.new("subrosa_verify_report *")
        out.struct_size = ffi.sizeof("subrosa_verify_report")
        call(lib.subrosa_device_verify, self._ptr, out)
        return VerifyReport(
            out.vaults,
            out.logs,
            out.segments,
            out.bad_segments,
            out.uncertified_logs,
            out.quarantined,
            out.repaired,
        )

    def compact(self) -> None:
        call(lib.subrosa_device_compact, self._ptr)

    def space(self) -> SpaceReport:
        out = ffi.new("subrosa_space_report *")
        out.struct_size = ffi.sizeof("subrosa_space_report")
        call(lib.subrosa_device_space, self._ptr, out)
        return SpaceReport(out.file_bytes, out.live_bytes, out.dead_bytes)
