from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import subrosa


@pytest.fixture
def key() -> subrosa.Key:
    return subrosa.Key.generate()


@pytest.fixture
def device(tmp_path: Path, key: subrosa.Key) -> Iterator[subrosa.Device]:
    with subrosa.Device.create(tmp_path / "store", key, "laptop") as device:
        yield device


@pytest.fixture
def vault(device: subrosa.Device) -> subrosa.Vault:
    return device.create_vault("personal")


@pytest.fixture
def notes(vault: subrosa.Vault) -> subrosa.Collection:
    return vault.collection("notes")
