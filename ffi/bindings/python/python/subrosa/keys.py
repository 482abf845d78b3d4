"""Key pairs, wherever they live, and sessions that need nothing but keys."""

from __future__ import annotations

import abc
import logging
from dataclasses import dataclass
from enum import IntEnum

from ._ffi import CData, call, ffi, lib, octets, provider_fault, take_bytes, take_secret
from ._handles import Handle

Bytes = bytes | bytearray | memoryview


class Profile(IntEnum):
    """How a session's messages are sealed."""

    SUBROSA_1 = 1
    SUPABASE_E2EE_V1 = 2


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A point on P-256, SEC1 uncompressed. Making one checks it."""

    data: bytes

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", bytes(octets(self.data, "a public key")))
        if len(self.data) != 65:
            raise ValueError("a public key has 65 bytes")
        call(lib.subrosa_public_key_check, self._c())

    def _c(self) -> CData:
        return ffi.new("subrosa_public_key *", (list(self.data),))

    @classmethod
    def from_spki(cls, der: Bytes) -> PublicKey:
        raw, out = octets(der, "a public key's encoding"), ffi.new("subrosa_public_key *")
        call(lib.subrosa_public_key_from_spki, raw, len(raw), out)
        return cls(bytes(out.bytes))

    def to_spki(self) -> bytes:
        out = ffi.new("uint8_t[91]")
        call(lib.subrosa_public_key_to_spki, self._c(), out)
        return bytes(out)

    def verify(self, label: Bytes, message: Bytes, signature: Bytes) -> None:
        """Raises `BAD_SIGNATURE` unless `Key.sign` of the same label made it."""
        proof = octets(signature, "a signature")
        if len(proof) != 64:
            raise ValueError("a signature has 64 bytes")
        call(lib.subrosa_public_key_verify, self._c(), *_sized(label, "a label"), *_sized(message, "a message"), proof)

    def __repr__(self) -> str:
        return f"PublicKey({self.data[1:5].hex()}..)"


class KeyProviderError(Exception):
    """Raised by a provider with its own code, which becomes `SubrosaError.number`."""

    def __init__(self, code: int, message: str = "") -> None:
        super().__init__(message or f"key provider's code {code}")
        self.code = code

    def __reduce__(self) -> tuple[type[KeyProviderError], tuple[int, str]]:
        return type(self), (self.code, str(self))


class KeyProvider(abc.ABC):
    """A private key that lives elsewhere: in a keystore, a token, another process.

    The methods may block, are called on any thread, and must not call this package. An exception becomes the error
    `KEY_PROVIDER`; on the calling thread it is that error's cause. What is no `Exception`, such as `KeyboardInterrupt`,
    is raised by the call itself.
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
    _slot = ffi.typeof("subrosa_key **")

    @staticmethod
    def _closer(ptr: CData) -> None:
        lib.subrosa_key_close(ptr)

    @classmethod
    def generate(cls) -> Key:
        return cls(lib.subrosa_key_generate)

    @classmethod
    def from_pkcs8(cls, der: Bytes) -> Key:
        return cls(lib.subrosa_key_from_pkcs8, *_sized(der, "a key's encoding"))

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
        return cls(lib.subrosa_key_from_provider, record)

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

    def sign(self, label: Bytes, message: Bytes) -> bytes:
        out = ffi.new("uint8_t[64]")
        call(lib.subrosa_key_sign, self._ptr, *_sized(label, "a label"), *_sized(message, "a message"), out)
        return bytes(out)

    def session(
        self, context: Bytes = b"", *, peer: PublicKey | None = None, profile: Profile = Profile.SUBROSA_1
    ) -> Session:
        """A session with oneself, or with the holder of `peer`'s private key."""
        rest = (int(profile), *_sized(context, "a context"))
        if peer is None:
            return Session(lib.subrosa_session_self, self._ptr, *rest)
        return Session(lib.subrosa_session_peer, self._ptr, peer._c(), *rest)


class Session(Handle):
    """Seals and opens messages with keys alone: no store, no relay."""

    __slots__ = ()
    _slot = ffi.typeof("subrosa_session **")

    @staticmethod
    def _closer(ptr: CData) -> None:
        lib.subrosa_session_close(ptr)

    def seal(self, plain: Bytes, aad: Bytes = b"") -> bytes:
        out = ffi.new("subrosa_buf *")
        call(lib.subrosa_session_seal, self._ptr, *_sized(aad, "associated data"), *_sized(plain, "a message"), out)
        return take_bytes(out)

    def open(self, sealed: Bytes, aad: Bytes = b"") -> bytes:
        out = ffi.new("subrosa_secret *")
        call(lib.subrosa_session_open, self._ptr, *_sized(aad, "associated data"), *_sized(sealed, "a message"), out)
        return take_secret(out)


def _sized(value: Bytes, what: str) -> tuple[CData, int]:
    """Two parameters of the library: where bytes are, and how many."""
    data = octets(value, what)
    return data, len(data)


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
