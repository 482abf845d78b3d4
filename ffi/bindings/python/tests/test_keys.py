"""Keys, providers of keys, sessions."""

from __future__ import annotations

import gc
import logging
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import subrosa


class Software(subrosa.KeyProvider):
    """A provider as an application would write one, on another library's keys."""

    def __init__(self) -> None:
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.calls: list[str] = []
        self.before: Callable[[str], None] = lambda operation: None

    @property
    def public_key(self) -> subrosa.PublicKey:
        public = self.private.public_key()
        return subrosa.PublicKey(public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))

    def agree(self, peer: subrosa.PublicKey) -> bytes:
        self.calls.append("agree")
        self.before("agree")
        theirs = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), peer.data)
        return self.private.exchange(ec.ECDH(), theirs)

    def sign(self, message: bytes) -> bytes:
        self.calls.append("sign")
        self.before("sign")
        r, s = utils.decode_dss_signature(self.private.sign(message, ec.ECDSA(SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def test_a_provider_opens_a_store(tmp_path: Path) -> None:
    provider = Software()
    key = subrosa.Key.from_provider(provider)
    assert key.public == provider.public_key
    with subrosa.Device.create(tmp_path / "s", key) as device:
        id = device.create_vault("personal").collection("notes").insert({"n": 1})
    assert provider.calls
    with subrosa.Device.open(tmp_path / "s", key) as device:
        assert device.vault("personal").collection("notes").get(id) == {"n": 1}


def test_a_provider_signs(key: subrosa.Key) -> None:
    provided = subrosa.Key.from_provider(Software())
    signature = provided.sign(b"label", b"message")
    provided.public.verify(b"label", b"message", signature)
    for label, message in ((b"other", b"message"), (b"label", b"other")):
        with pytest.raises(subrosa.SubrosaError) as caught:
            provided.public.verify(label, message, signature)
        assert caught.value.name == "BAD_SIGNATURE"
    with pytest.raises(subrosa.SubrosaError) as caught:
        provided.to_pkcs8()
    assert caught.value.name == "KEY_NOT_EXPORTABLE"


def test_an_exception_of_a_provider_is_the_cause(caplog: pytest.LogCaptureFixture) -> None:
    provider = Software()
    key = subrosa.Key.from_provider(provider)

    def refuse(operation: str) -> None:
        raise PermissionError("the finger said no")

    provider.before = refuse
    with caplog.at_level(logging.WARNING), pytest.raises(subrosa.SubrosaError) as caught:
        key.sign(b"label", b"message")
    assert caught.value.name == "KEY_PROVIDER"
    assert isinstance(caught.value.__cause__, PermissionError)
    assert "sign raised PermissionError" in caplog.text
    assert "finger" not in caplog.text


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_ends_a_program_ends_it_from_within_a_provider(kind: type[BaseException], tmp_path: Path) -> None:
    provider = Software()
    key = subrosa.Key.from_provider(provider)

    def interrupt(operation: str) -> None:
        raise kind

    provider.before = interrupt
    for call in (lambda: key.sign(b"", b""), lambda: subrosa.Device.create(tmp_path / "s", key)):
        with pytest.raises(kind):
            call()
    provider.before = lambda operation: None
    assert len(key.sign(b"", b"")) == 64


def test_a_providers_own_code_is_the_number() -> None:
    provider = Software()
    key = subrosa.Key.from_provider(provider)

    def refuse(operation: str) -> None:
        raise subrosa.KeyProviderError(1234)

    provider.before = refuse
    with pytest.raises(subrosa.SubrosaError) as caught:
        key.session(b"x", peer=subrosa.Key.generate().public).seal(b"")
    assert (caught.value.name, caught.value.number) == ("KEY_PROVIDER", 1234)
    provider.before = lambda operation: None
    key.session(b"x", peer=subrosa.Key.generate().public).seal(b"")


def test_a_provider_that_gives_too_little_is_refused() -> None:
    class Short(Software):
        def sign(self, message: bytes) -> bytes:
            return b"short"

    with pytest.raises(subrosa.SubrosaError) as caught:
        subrosa.Key.from_provider(Short()).sign(b"", b"")
    assert caught.value.name == "KEY_PROVIDER"
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_provider_that_signs_wrongly_is_found_out() -> None:
    class Wrong(Software):
        def sign(self, message: bytes) -> bytes:
            return super().sign(message + b"x")

    with pytest.raises(subrosa.SubrosaError) as caught:
        subrosa.Key.from_provider(Wrong()).sign(b"", b"")
    assert caught.value.name == "KEY_PROVIDER_SIGNATURE"


def test_a_provider_may_wait_for_another_thread() -> None:
    provider, asked, answered = Software(), threading.Event(), threading.Event()

    def prompt(operation: str) -> None:
        asked.set()
        assert answered.wait(10)

    provider.before = prompt
    key = subrosa.Key.from_provider(provider)

    def touch() -> None:
        assert asked.wait(10)
        answered.set()

    user = threading.Thread(target=touch)
    user.start()
    assert len(key.sign(b"", b"")) == 64
    user.join()


def test_a_provider_lives_as_long_as_its_key_is_used() -> None:
    provider = Software()
    gone = weakref.ref(provider)
    key = subrosa.Key.from_provider(provider)
    del provider
    gc.collect()
    assert len(key.sign(b"", b"")) == 64
    key.close()
    gc.collect()
    assert gone() is None


def test_a_refused_provider_is_let_go() -> None:
    class Broken(Software):
        @property
        def public_key(self) -> subrosa.PublicKey:
            off_curve = super().public_key
            object.__setattr__(off_curve, "data", b"\x04" + bytes(64))
            return off_curve

    provider = Broken()
    gone = weakref.ref(provider)
    with pytest.raises(subrosa.SubrosaError) as caught:
        subrosa.Key.from_provider(provider)
    assert caught.value.name == "NOT_ON_CURVE"
    del provider, caught
    gc.collect()
    assert gone() is None


def test_public_keys_are_checked_and_compared() -> None:
    public = subrosa.Key.generate().public
    assert subrosa.PublicKey.from_spki(public.to_spki()) == public
    assert len({public, subrosa.PublicKey(public.data)}) == 1
    with pytest.raises(subrosa.SubrosaError) as caught:
        subrosa.PublicKey(b"\x04" + bytes(64))
    assert caught.value.name == "NOT_ON_CURVE"
    with pytest.raises(ValueError, match="65"):
        subrosa.PublicKey(b"")


def test_only_bytes_are_bytes(key: subrosa.Key) -> None:
    session, signature = key.session(), key.sign(b"label", b"message")
    numbers: Any = list(b"message")
    calls: list[Callable[[], object]] = [
        lambda: key.sign(b"label", numbers),
        lambda: key.sign(numbers, b"message"),
        lambda: key.session(numbers),
        lambda: key.public.verify(b"label", numbers, signature),
        lambda: key.public.verify(b"label", b"message", numbers),
        lambda: session.seal(numbers),
        lambda: session.seal(b"", numbers),
        lambda: session.open(numbers),
        lambda: subrosa.Key.from_pkcs8(numbers),
        lambda: subrosa.PublicKey.from_spki(numbers),
        lambda: subrosa.PublicKey(numbers),
        lambda: key.sign(b"label", "message"),  # type: ignore[arg-type]
    ]
    for call in calls:
        with pytest.raises(TypeError, match="is bytes, not"):
            call()


def test_bytes_of_every_kind_are_the_same(key: subrosa.Key) -> None:
    session, message = key.session(bytearray(b"x")), memoryview(b"message")
    signature = key.sign(bytearray(b"label"), message)
    key.public.verify(b"label", bytearray(b"message"), memoryview(signature))
    assert key.session(b"x").open(memoryview(session.seal(message, bytearray(b"1"))), b"1") == b"message"
    assert subrosa.Key.from_pkcs8(bytearray(key.to_pkcs8())).public == key.public
    public = subrosa.PublicKey(bytearray(key.public.data))  # type: ignore[arg-type]
    assert len({public, key.public}) == 1


def test_sessions_open_what_they_sealed() -> None:
    anna, ben = subrosa.Key.generate(), subrosa.Key.generate()
    ours, theirs = anna.session(b"chat", peer=ben.public), ben.session(b"chat", peer=anna.public)
    assert theirs.open(ours.seal(b"hello", b"1"), b"1") == b"hello"
    with pytest.raises(subrosa.SubrosaError) as caught:
        theirs.open(ours.seal(b"hello", b"1"), b"2")
    assert caught.value.name == "NOT_AUTHENTIC"
    with pytest.raises(subrosa.SubrosaError) as caught:
        anna.session(b"chat", peer=anna.public)
    assert caught.value.name == "PEER_IS_SELF"
    other = anna.session(profile=subrosa.Profile.SUPABASE_E2EE_V1)
    assert other.open(other.seal(b"")) == b""
