"""Key pairs, wherever they live, and sessions that need nothing but keys."""

from __future__ import annotations

import abc
import logging
from dataclasses import dataclass
from enum import IntEnum

from ._ffi import CData, call, ffi, lib, made, provider_fault, take_bytes, take_secret
from ._handles import Handle


class Profile(IntEnum):
    """How a session's messages are sealed."""

    SUBROSA_1 = 1
    SUPABASE_E2EE_V1 = 2


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A point on P-256, SEC1 uncompressed. Making one checks it."""

    data: bytes

    def __post_init__(self) -> None:
        if len(self.data) != 65:
            raise ValueError("a public key has 65 bytes")
        call(lib.subrosa_public_key_check, self._c())

    def _c(self) -> CData:
        return ffi.new("subrosa_public_key *", (list(self.data),))

    @classmethod
    def from_spki(cls, der: bytes) -> PublicKey:
        out = ffi.new("subrosa_public_key *")
        call(lib.subrosa_public_key_from_spki, der, len(der), out)
        return cls(bytes(out.bytes))

    def to_spki(self) -> bytes:
        out = ffi.new("uint8_t[91]")
        call(lib.subrosa_public_key_to_spki, self._c(), out)
        return bytes(out)

    def verify(self, label: bytes, message: bytes, signature: bytes) -> None:
        """Raises `BAD_SIGNATURE` unless `Key.sign` of the same label made it."""
        if len(signature) != 64:
            raise ValueError("a signature has 64 bytes")
        arguments = (self._c(), label, len(label), message, len(message), signature)
        call(lib.subrosa_public_key_verify, *arguments)

    def __repr__(self) -> str:
        return f"PublicKey({self.data[1:5].hex()}..)"


class KeyProviderError(Exception):
    """Raised by a provider with its own code, which becomes `SubrosaError.number`."""

    def __init__(self, code: int, message: str = "") -> None:
        super().__init__(message or f"key provider's code {code}")
        self.code = code


class KeyProvider(abc.ABC):
    """A private key that lives elsewhere: in a keystore, a token, another process.

    The methods may block, are called on any thread, and must not call this package. An exception becomes the error
    `KEY_PROVIDER`; on the calling thread it is that error's cause.
    """

    @property
    @abc.abstractmethod
    def public_key(self) -> PublicKey: ...

    @abc.abstractmethod
    def agree(self, peer: PublicKey) -> bytes:
        """ECDH: the 32 bytes of the shared point's x."""

    @abc.abstractmethod
    def sign(self, message: bytes) -> bytes:
        """ECDSA with SHA-256: the 64 bytes of r and s."""


class Key(Handle):
    """A device's identity. Who has it can open the device's store."""

    __slots__ = ()

    @staticmethod
    def _closer(ptr: CData) -> None:
        lib.subrosa_key_close(ptr)

    @classmethod
    def generate(cls) -> Key:
        return cls(made(lib.subrosa_key_generate, "subrosa_key"))

    @classmethod
    def from_pkcs8(cls, der: bytes) -> Key:
        return cls(made(lib.subrosa_key_from_pkcs8, "subrosa_key", der, len(der)))

    @classmethod
    def from_provider(cls, provider: KeyProvider) -> Key:
        handle = ffi.new_handle(provider)
        record = ffi.new(
            "subrosa_key_provider *",
            {
                "struct_size": ffi.sizeof("subrosa_key_provider"),
                "user": handle,
                "user_free": _provider_free,
                "public_key": (list(provider.public_key.data),),
                "agree": _provider_agree,
                "sign": _provider_sign,
            },
        )
        # Before the call: the library frees what it was given also when it refuses.
        _providers[int(ffi.cast("uintptr_t", handle))] = handle
        return cls(made(lib.subrosa_key_from_provider, "subrosa_key", record))

    def to_pkcs8(self) -> bytes:
        """The private key, in memory that Python does not wipe. `KEY_NOT_EXPORTABLE` for a provider's key."""
        out = ffi.new("subrosa_secret *")
        call(lib.subrosa_key_to_pkcs8, self._ptr, out)
        return take_secret(out)

    @property
    def public(self) -> PublicKey:
        out = ffi.new("subrosa_public_key *")
        call(lib.subrosa_key_public, self._ptr, out)
        return PublicKey(bytes(out.bytes))

    def sign(self, label: bytes, message: bytes) -> bytes:
        out = ffi.new("uint8_t[64]")
        call(lib.subrosa_key_sign, self._ptr, label, len(label), message, len(message), out)
        return bytes(out)

    def session(
        self, context: bytes = b"", *, peer: PublicKey | None = None, profile: Profile = Profile.SUBROSA_1
    ) -> Session:
        """A session with oneself, or with the holder of `peer`'s private key."""
        rest = (int(profile), context, len(context))
        if peer is None:
            return Session(made(lib.subrosa_session_self, "subrosa_session", self._ptr, *rest))
        return Session(made(lib.subrosa_session_peer, "subrosa_session", self._ptr, peer._c(), *rest))


class Session(Handle):
    """Seals and opens messages with keys alone: no store, no relay."""

    __slots__ = ()

    @staticmethod
    def _closer(ptr: CData) -> None:
        lib.subrosa_session_close(ptr)

    def seal(self, plain: bytes, aad: bytes = b"") -> bytes:
        out = ffi.new("subrosa_buf *")
        call(lib.subrosa_session_seal, self._ptr, aad, len(aad), plain, len(plain), out)
        return take_bytes(out)

    def open(self, sealed: bytes, aad: bytes = b"") -> bytes:
        out = ffi.new("subrosa_secret *")
        call(lib.subrosa_session_open, self._ptr, aad, len(aad), sealed, len(sealed), out)
        return take_secret(out)


# Handles of providers that the library knows, until it frees them.
_providers: dict[int, CData] = {}
_PROVIDER_FAILED = -1
_log = logging.getLogger("subrosa.key_provider")


def _provided(user: CData, operation: str, argument: PublicKey | bytes, out: CData, size: int) -> int:
    provider: KeyProvider = ffi.from_handle(user)
    try:
        result = provider.agree(argument) if isinstance(argument, PublicKey) else provider.sign(argument)
        if not isinstance(result, bytes) or len(result) != size:
            raise ValueError(f"a key provider's {operation} gives {size} bytes")
        ffi.memmove(out, result, size)
        return 0
    except BaseException as error:
        # Only the type: what a provider says of itself may be nobody else's business.
        _log.warning("%s raised %s", operation, type(error).__name__)
        provider_fault.exception = error
        return error.code if isinstance(error, KeyProviderError) and error.code else _PROVIDER_FAILED


@ffi.callback("int32_t(void *, const subrosa_public_key *, uint8_t *)", error=_PROVIDER_FAILED)  # type: ignore[untyped-decorator]
def _provider_agree(user: CData, peer: CData, shared_x: CData) -> int:
    return _provided(user, "agree", _unchecked(bytes(peer.bytes)), shared_x, 32)


@ffi.callback("int32_t(void *, const uint8_t *, size_t, uint8_t *)", error=_PROVIDER_FAILED)  # type: ignore[untyped-decorator]
def _provider_sign(user: CData, message: CData, length: int, signature: CData) -> int:
    return _provided(user, "sign", ffi.buffer(message, length)[:] if length else b"", signature, 64)


@ffi.callback("void(void *)")  # type: ignore[untyped-decorator]
def _provider_free(user: CData) -> None:
    _providers.pop(int(ffi.cast("uintptr_t", user)), None)


def _unchecked(data: bytes) -> PublicKey:
    """A key that the library hands in: a callback must not call the library to check it."""
    key = object.__new__(PublicKey)
    object.__setattr__(key, "data", data)
    return key
