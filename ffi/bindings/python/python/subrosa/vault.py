"""Vaults: named sets of collections, shared by the user's devices; and transactions on them."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ._enums import OpenEnum
from ._ffi import NULL, CData, call, ffi, lib, milliseconds, take_text, utf8
from ._handles import Handle
from ._lists import Texts
from .collection import Collection
from .errors import SubrosaError
from .events import Watch, parse_change
from .keys import PublicKey

if TYPE_CHECKING:
    from .device import Device

_READ, _WRITE = 1, 2


class Role(OpenEnum):
    ADMIN = 1
    WRITER = 2
    READER = 3


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """A device that is a member of a vault."""

    name: str
    role: Role
    is_this: bool
    public_key: PublicKey
    added_by: PublicKey | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """How many sealed segments are held here, and how many of them the relay is known to hold durably."""

    held: int
    acknowledged: int


@dataclass(frozen=True, slots=True)
class ForksOfDevice:
    """A device whose store was copied or put back from a backup, and went on twice. All of it is kept and merged.

    `logs` of its logs have several futures, `futures` more than one each. `name` is `None` if it is not listed."""

    name: str | None
    is_this: bool
    public_key: PublicKey
    logs: int
    futures: int


@dataclass(frozen=True, slots=True)
class HeldOfDevice:
    """Groups of edits that were made more than five minutes ahead of this device's clock. The first of them is merged at
    `until`, a time as `time.time` has it. `name` is `None` if the device is not listed."""

    name: str | None
    public_key: PublicKey
    groups: int
    until: float


@dataclass(frozen=True, slots=True)
class HeldGroups:
    """What is held for this device's clock. If that of everybody is, `clock_is_late`: this device's own is probably wrong."""

    devices: list[HeldOfDevice]
    clock_is_late: bool


class Names(Texts):
    """A list of vaults, devices or collections."""

    __slots__ = ()

    def vault_id(self, index: int) -> bytes:
        out = ffi.new("subrosa_vault_id *")
        call(lib.subrosa_list_vault_id, self._ptr, index, out)
        return bytes(out.bytes)

    def device(self, index: int) -> DeviceInfo:
        out = new_device_info()
        call(lib.subrosa_list_device, self._ptr, index, out)
        return device_info(self.text(index), out)

    def forks(self, index: int) -> ForksOfDevice:
        out = ffi.new("subrosa_fork_info *")
        out.struct_size = ffi.sizeof("subrosa_fork_info")
        call(lib.subrosa_list_forks, self._ptr, index, out)
        key = PublicKey(bytes(out.public_key.bytes))
        return ForksOfDevice(self.text(index) or None, bool(out.is_this), key, int(out.logs), int(out.futures))

    def held(self, index: int) -> HeldOfDevice:
        out = ffi.new("subrosa_held_info *")
        out.struct_size = ffi.sizeof("subrosa_held_info")
        call(lib.subrosa_list_held, self._ptr, index, out)
        return held_of_device(self.text(index), out)


def new_device_info() -> CData:
    out = ffi.new("subrosa_device_info *")
    out.struct_size = ffi.sizeof("subrosa_device_info")
    return out


def device_info(name: str, out: CData) -> DeviceInfo:
    added_by = PublicKey(bytes(out.added_by.bytes)) if out.has_added_by else None
    return DeviceInfo(name, Role(out.role), bool(out.is_this), PublicKey(bytes(out.public_key.bytes)), added_by)


def _held(ptr: CData, clock_is_late: CData, out: CData, slot: CData) -> int:
    """With the list where `Handle` looks for it."""
    return int(lib.subrosa_vault_held(ptr, out, clock_is_late, slot))


def held_of_device(name: str, out: CData) -> HeldOfDevice:
    return HeldOfDevice(name or None, PublicKey(bytes(out.public_key.bytes)), int(out.groups), out.until_ms / 1000)


class Vault(Handle):
    __slots__ = ("_device",)
    _slot = ffi.typeof("subrosa_vault **")

    @staticmethod
    def _closer(ptr: CData) -> None:
        lib.subrosa_vault_close(ptr)

    def __init__(self, device: Device, make: Any, *arguments: Any) -> None:
        super().__init__(make, device._ptr, *arguments)
        self._device = device

    @property
    def device(self) -> Device:
        return self._device

    @property
    def id(self) -> bytes:
        """32 bytes, the same on every device."""
        out = ffi.new("subrosa_vault_id *")
        call(lib.subrosa_vault_id_of, self._ptr, out)
        return bytes(out.bytes)

    @property
    def name(self) -> str:
        out = ffi.new("subrosa_buf *")
        call(lib.subrosa_vault_name, self._ptr, out)
        return take_text(out)

    def collection(self, name: str) -> Collection:
        """It need not exist: the first record makes it."""
        return Collection(self, name)

    def collections(self) -> list[str]:
        with Names(lib.subrosa_vault_collections, self._ptr) as found:
            return [found.text(index) for index in range(len(found))]

    def devices(self) -> list[DeviceInfo]:
        with Names(lib.subrosa_vault_devices, self._ptr) as found:
            return [found.device(index) for index in range(len(found))]

    def forks(self) -> list[ForksOfDevice]:
        """The devices whose stores were copied or put back from a backup, and went on twice."""
        with Names(lib.subrosa_vault_forks, self._ptr) as found:
            return [found.forks(index) for index in range(len(found))]

    def held(self) -> HeldGroups:
        """What is held because it was made more than five minutes ahead of this device's clock."""
        late = ffi.new("bool *")
        with Names(_held, self._ptr, late) as found:
            return HeldGroups([found.held(index) for index in range(len(found))], bool(late[0]))

    @property
    def update_needed(self) -> bool:
        """Whether nothing is sent before the application is updated."""
        out = ffi.new("bool *")
        call(lib.subrosa_vault_is_update_needed, self._ptr, out)
        return bool(out[0])

    def pending(self) -> int:
        """How much waits to be sealed: records with edits that no segment holds yet, and parts of bulk writes."""
        out = ffi.new("uint64_t *")
        call(lib.subrosa_vault_pending, self._ptr, out)
        return int(out[0])

    def delivery(self, relay: str | None = None) -> Delivery:
        raw = utf8(relay or "")
        held, acknowledged = ffi.new("uint64_t *"), ffi.new("uint64_t *")
        call(lib.subrosa_vault_delivery, self._ptr, raw if raw else NULL, len(raw), held, acknowledged)
        return Delivery(int(held[0]), int(acknowledged[0]))

    def write(self, timeout: float | None = 5.0) -> Tx:
        """A write transaction: committed at the end of its `with` block, aborted when the block raises.

        There is one at a time on a device. `BUSY` when another is still open after `timeout` seconds.
        """
        return Tx(self, _WRITE, timeout)

    def read(self) -> Tx:
        """A snapshot."""
        return Tx(self, _READ, 0)

    def watch(self) -> Watch:
        """What happens to the records of all collections from now on, here and on other devices."""
        return Watch(self, parse_change, lib.subrosa_events_add_vault, self._ptr)


class Tx(Handle):
    """A transaction, open from the moment it is made. Used by one thread at a time; ended by `commit`, by `abort`, by
    the end of its `with` block, or when it is dropped (aborted)."""

    __slots__ = ("_vault",)
    _slot = ffi.typeof("subrosa_tx **")

    @staticmethod
    def _closer(ptr: CData) -> None:
        lib.subrosa_tx_abort(ptr)

    def __init__(self, vault: Vault, mode: int, timeout: float | None) -> None:
        super().__init__(lib.subrosa_tx_begin, vault._ptr, mode, milliseconds(timeout))
        self._vault = vault

    def commit(self) -> None:
        """What was written arrives at once everywhere. The transaction is over, whatever this raises, except for
        `BUSY`: another thread is inside of a call with it, and it goes on."""
        try:
            call(lib.subrosa_tx_commit, self._ptr)
        except SubrosaError as error:
            if error.code != lib.SUBROSA_BUSY:
                self._finalizer.detach()
            raise
        self._finalizer.detach()

    def abort(self) -> None:
        """Forgets what was written. If another thread is inside of a call with it, it is over when that call is."""
        self.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and not self.closed:
                self.commit()
        finally:
            # Also when the commit is `BUSY`: nobody would end the transaction after its block.
            self.abort()
