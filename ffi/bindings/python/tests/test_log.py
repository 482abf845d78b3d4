"""The library is silent, unless it is asked to speak; then it names nothing that is content."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

import subrosa


def move(old: Path, new: Path, key: subrosa.Key) -> None:
    """Opens a copy of a store; the library says that it is open."""
    shutil.copytree(old, new)
    with subrosa.Device.open(new, key) as device:
        device.vault("planted-vault").collection("planted-name").insert({"planted-field": "planted-value"})


def test_the_log_speaks_when_asked(tmp_path: Path, key: subrosa.Key, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1, "subrosa.test")
    with subrosa.Device.create(tmp_path / "a", key, "planted-device") as device:
        device.create_vault("planted-vault").collection("planted-name").insert({"planted-field": 1})
    subrosa.log_to(logging.getLogger("subrosa.test"), level=1)
    try:
        move(tmp_path / "a", tmp_path / "b", key)
    finally:
        subrosa.log_off()
    spoken = [(record.levelno, record.getMessage()) for record in caplog.records]
    assert (logging.INFO, "a store is open") in spoken
    assert not any("planted" in message for _, message in spoken)
    move(tmp_path / "b", tmp_path / "c", key)
    assert len(caplog.records) == len(spoken)


def test_the_level_is_a_limit(tmp_path: Path, key: subrosa.Key, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1, "subrosa.test")
    with subrosa.Device.create(tmp_path / "a", key) as device:
        device.create_vault("planted-vault")
    subrosa.log_to(logging.getLogger("subrosa.test"), level=logging.WARNING)
    try:
        move(tmp_path / "a", tmp_path / "b", key)
    finally:
        subrosa.log_off()
    assert caplog.records == []


def test_another_logger_replaces_the_first() -> None:
    from subrosa import log

    for name in ("one", "two", "three"):
        subrosa.log_to(logging.getLogger(name))
        assert [logger.name for _, logger in log._loggers.values()] == [name]
    subrosa.log_off()
    assert log._loggers == {}
