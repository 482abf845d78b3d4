"""Numbers with names, from a library that may be newer than this package."""

from __future__ import annotations

from enum import IntEnum


class OpenEnum(IntEnum):
    """An unknown number becomes a member without a name of its own, instead of an exception."""

    @classmethod
    def _missing_(cls, value: object) -> OpenEnum | None:
        if not isinstance(value, int):
            return None
        member = int.__new__(cls, value)
        member._name_ = f"UNKNOWN_{value}"
        member._value_ = value
        return member
