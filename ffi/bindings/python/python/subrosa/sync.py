"""Sync with a relay, in the background."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from ._enums import OpenEnum
from ._ffi import NULL, CData, call, ffi, lib, milliseconds, take_text, utf8
from ._handles import Handle
from ._lists import Texts
from .events import SyncEvents, SyncState, parse_sync_event
from .waiting import Cancel, awaiting, blocking

if TYPE_CHECKING:
    from .device import Device


class Failure(OpenEnum):
    """Why there is no connection."""

    NONE = 0
    NO_SOCKET = 1
    NO_ADDRESS = 2
    UNREACHABLE = 3
    WRONG_KEY = 4
    LOST = 5
    LINK = 6
    PEER = 7
    STORE = 8
    OTHER = 9


@dataclass(frozen=True, slots=True)
class SyncStatus:
    state: SyncState
    refused: int
    failure: Failure
    segments_done: int
    segments_known: int
    bytes_done: int
    bytes_known: int
    # By so many seconds this device's clock is ahead of the relay's, negative if behind, where that is more than five minutes.
    clock_ahead: float
    # When the first of what is held for the clock is merged, as `time.time` has it; 0 while nothing is held.
    held_until: float


@dataclass(frozen=True, slots=True)
class VaultAtRelay:
    """A vault with which not all is well at the relay.

    `refused` is the relay's code of its last refusal, 0 for none. `rests` says why it rests while the others go on, `None` if
    it does not. The relay hides something of it, or has lost it, if it `disagrees`; it claims another future of this device's
    log and does not show it if that is `disputed`. With `update_needed` nothing is sent before an update."""

    vault: bytes
    refused: int
    rests: str | None
    disagrees: bool
    disputed: bool
    update_needed: bool


class _Vaults(Texts):
    __slots__ = ()

    def vault(self, index: int) -> VaultAtRelay:
        out = ffi.new("subrosa_sync_vault *")
        out.struct_size = ffi.sizeof("subrosa_sync_vault")
        call(lib.subrosa_list_sync_vault, self._ptr, index, out)
        return vault_at_relay(self.text(index), out)


def vault_at_relay(rests: str, out: CData) -> VaultAtRelay:
    flags = bool(out.disagrees), bool(out.disputed), bool(out.update_needed)
    return VaultAtRelay(bytes(out.vault.bytes), int(out.refused), rests or None, *flags)


class Sync(Handle):
    """Runs until it is stopped or its device is closed. The device holds it, not this object, which may be dropped."""

    __slots__ = ("_device",)
    _slot = ffi.typeof("subrosa_sync **")
    _closing_waits = True

    @staticmethod
    def _closer(ptr: CData) -> None:
        lib.subrosa_sync_stop(ptr, NULL)

    def __init__(self, device: Device, relay: str | None) -> None:
        raw = utf8(relay or "")
        arguments = (device._ptr, raw if raw else NULL, len(raw))
        super().__init__(lib.subrosa_sync_start, *arguments, owner=device)
        self._device = device

    def status(self) -> SyncStatus:
        out = ffi.new("subrosa_sync_status *")
        out.struct_size = ffi.sizeof("subrosa_sync_status")
        call(lib.subrosa_sync_status_of, self._ptr, out)
        return SyncStatus(
            SyncState(out.state),
            out.refused,
            Failure(out.failure),
            out.segments_done,
            out.segments_known,
            out.bytes_done,
            out.bytes_known,
            out.clock_ahead_ms / 1000,
            out.held_until_ms / 1000,
        )

    def vaults(self) -> list[VaultAtRelay]:
        """The vaults with which not all is well at the relay; empty while all is well."""
        with _Vaults(lib.subrosa_sync_vaults, self._ptr) as found:
            return [found.vault(index) for index in range(len(found))]

    def reason(self) -> str:
        """One line for people: "live", "offline", "refused: quota", and the failure's text."""
        out = ffi.new("subrosa_buf *")
        call(lib.subrosa_sync_reason, self._ptr, out)
        return take_text(out)

    async def wait(self, idle: float | None = 30.0, cancel: Cancel | None = None) -> None:
        """Until everything is here and there. `NO_PROGRESS` after `idle` seconds without a step; `None`: never."""
        ptr, limit = self._ptr, milliseconds(idle)
        await awaiting(lambda token: _wait(ptr, limit, token), cancel)

    def wait_blocking(self, idle: float | None = 30.0, cancel: Cancel | None = None) -> None:
        ptr, limit = self._ptr, milliseconds(idle)
        blocking(lambda token: _wait(ptr, limit, token), cancel)

    def events(self) -> SyncEvents:
        return SyncEvents(self, parse_sync_event, lib.subrosa_events_add_sync, self._ptr)

    def stop(self) -> None:
        """The same as `close`."""
        self.close()

    async def __aenter__(self) -> Sync:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await awaiting(lambda _: self.close())


def _wait(ptr: CData, idle_ms: int, token: CData) -> None:
    call(lib.subrosa_sync_wait, ptr, idle_ms, token)
