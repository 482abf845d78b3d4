"""Pairing: a new device joins a user's devices, with a link and a code of six digits that the user carries over."""

from __future__ import annotations

import os
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from ._ffi import NULL, CData, call, ffi, lib, milliseconds, take_secret, take_text, utf8
from ._handles import Handle
from .keys import Key
from .vault import DeviceInfo, device_info, new_device_info
from .waiting import Cancel, awaiting, blocking

if TYPE_CHECKING:
    from .device import Device

H = TypeVar("H", bound=Handle)


class _Async(Handle):
    __slots__ = ()

    async def __aenter__(self: H) -> H:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await awaiting(lambda _: self.close())


@dataclass(frozen=True, slots=True)
class PairRequest:
    """A device that answered the link: the code that it must be showing, and the name it gives itself."""

    code: str
    name: str


class PairOffer(_Async):
    """The old device's side. It goes on while it is waited for. Closing it withdraws the link."""

    __slots__ = ("_device",)
    _slot = ffi.typeof("subrosa_pair_offer **")
    _closing_waits = True

    @staticmethod
    def _closer(ptr: CData) -> None:
        lib.subrosa_pair_offer_close(ptr)

    def __init__(self, device: Device, relay: str | None) -> None:
        raw = utf8(relay or "")
        arguments = (device._ptr, raw if raw else NULL, len(raw))
        super().__init__(lib.subrosa_pair_offer_start, *arguments)
        self._device = device

    @property
    def link(self) -> str:
        """For the new device, as a QR code say. A secret until it was used."""
        out = ffi.new("subrosa_secret *")
        call(lib.subrosa_pair_offer_link, self._ptr, out)
        return take_secret(out).decode("utf-8")

    async def wait(self, timeout: float | None = None, cancel: Cancel | None = None) -> PairRequest:
        """Until a device answers. `TIMEOUT` leaves the offer standing: wait again."""
        ptr, limit = self._ptr, milliseconds(timeout)
        return await awaiting(lambda token: _request(ptr, limit, token), cancel)

    def wait_blocking(self, timeout: float | None = None, cancel: Cancel | None = None) -> PairRequest:
        ptr, limit = self._ptr, milliseconds(timeout)
        return blocking(lambda token: _request(ptr, limit, token), cancel)

    async def confirm(self, typed: str) -> DeviceInfo:
        """Takes the device in, if `typed` is the code that the user read off it. Ends the offer either way.
        Cancelling the task does not undo it: the device may be listed already."""
        ptr, raw = self._ptr, _typed(typed)
        return await awaiting(lambda _: _confirm(ptr, raw))

    def confirm_blocking(self, typed: str) -> DeviceInfo:
        ptr, raw = self._ptr, _typed(typed)
        return blocking(lambda _: _confirm(ptr, raw))

    async def confirm_equal(self) -> DeviceInfo:
        """As `confirm`, when the user has compared the codes on both devices and said that they are equal."""
        ptr = self._ptr
        return await awaiting(lambda _: _confirm(ptr, b""))

    def confirm_equal_blocking(self) -> DeviceInfo:
        ptr = self._ptr
        return blocking(lambda _: _confirm(ptr, b""))

    def decline(self) -> None:
        call(lib.subrosa_pair_offer_decline, self._ptr)


class PairJoin(_Async):
    """The new device's side. It goes on while it is waited for."""

    __slots__ = ("_key",)
    _slot = ffi.typeof("subrosa_pair_join **")
    _closing_waits = True

    @staticmethod
    def _closer(ptr: CData) -> None:
        lib.subrosa_pair_join_close(ptr)

    def __init__(self, path: str | os.PathLike[str], key: Key, link: str, options: CData) -> None:
        folder, raw = os.fsencode(path), utf8(link)
        arguments = (folder, len(folder), key._ptr, options, raw, len(raw))
        super().__init__(lib.subrosa_pair_join_start, *arguments)
        self._key = key

    async def code(self, timeout: float | None = None, cancel: Cancel | None = None) -> str:
        """The code to show to the user. `TIMEOUT`: ask again."""
        ptr, limit = self._ptr, milliseconds(timeout)
        return await awaiting(lambda token: _code(ptr, limit, token), cancel)

    def code_blocking(self, timeout: float | None = None, cancel: Cancel | None = None) -> str:
        ptr, limit = self._ptr, milliseconds(timeout)
        return blocking(lambda token: _code(ptr, limit, token), cancel)

    async def device(self, timeout: float | None = None, cancel: Cancel | None = None) -> Device:
        """The new device, open, once the old one has confirmed. It is handed out once."""
        ptr, key, limit = self._ptr, self._key, milliseconds(timeout)
        return await awaiting(lambda token: _joined(ptr, key, limit, token), cancel)

    def device_blocking(self, timeout: float | None = None, cancel: Cancel | None = None) -> Device:
        ptr, key, limit = self._ptr, self._key, milliseconds(timeout)
        return blocking(lambda token: _joined(ptr, key, limit, token), cancel)


def _request(ptr: CData, limit: int, token: CData) -> PairRequest:
    call(lib.subrosa_pair_offer_wait, ptr, limit, token)
    code, name = ffi.new("subrosa_pair_code *"), ffi.new("subrosa_buf *")
    call(lib.subrosa_pair_offer_request, ptr, code, name)
    return PairRequest(_digits(code), take_text(name))


def _typed(text: str) -> bytes:
    """To the library no code at all means that the user compared the codes, which an empty input must never mean."""
    if not text:
        raise ValueError("no code was typed")
    return utf8(text)


def _confirm(ptr: CData, typed: bytes) -> DeviceInfo:
    """No bytes: the codes are equal."""
    out = new_device_info()
    code, name = ffi.new("subrosa_pair_code *"), ffi.new("subrosa_buf *")
    call(lib.subrosa_pair_offer_request, ptr, code, name)
    named = take_text(name)
    call(lib.subrosa_pair_offer_confirm, ptr, typed if typed else NULL, len(typed), out)
    return device_info(named, out)


def _code(ptr: CData, limit: int, token: CData) -> str:
    out = ffi.new("subrosa_pair_code *")
    call(lib.subrosa_pair_join_wait_code, ptr, limit, token, out)
    return _digits(out)


def _joined(ptr: CData, key: Key, limit: int, token: CData) -> Device:
    from .device import Device

    return Device(key, lib.subrosa_pair_join_wait_device, ptr, limit, token)


def _digits(code: CData) -> str:
    raw: bytes = ffi.string(code.text)
    return raw.decode("ascii")
