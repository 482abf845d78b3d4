"""What goes in comes out: the same value, of the same type."""

from __future__ import annotations

import enum
import math
import struct
from typing import Any

import pytest

import subrosa
from subrosa import values

ROUND_TRIPS: list[tuple[str, dict[str, Any]]] = [
    ("empty", {}),
    ("scalars", {"n": None, "t": True, "f": False, "s": 'Grüße 🌹\x00"\\\n'}),
    ("integers", {"min": -(2**63), "max": 2**63 - 1, "zero": 0}),
    ("floats", {"one": 1.0, "big": 1e300, "small": 5e-324, "half": -0.5, "exact": 2.0**53}),
    ("lists and maps", {"list": [1, 2.0, "x", [], {}], "map": {"a": {"b": [None]}}}),
    ("bytes", {"raw": b"\x00\xff\x10", "none": b""}),
    ("bytes deep inside", {"a": [{"b": b"1"}, {"c": {"d": b"2"}}]}),
    ("a map that looks like bytes", {"m": {"$bytes": "AAEC"}}),
    ("a map that looks escaped", {"m": {"$$bytes": {"$bytes": 1}}}),
    ("the record itself looks like bytes", {"$bytes": "AAEC"}),
    ("bytes under such a key", {"$bytes": b"x"}),
    ("two keys need no escape", {"m": {"$bytes": "AAEC", "x": 1}}),
    ("a text that quotes the mark", {"s": '{"$bytes":"AAEC"}'}),
    ("maps that look like other forms", {"m": {"$text": "x"}, "n": [{"$": {"$$": None}}, {"$bytes ": 1}]}),
    ("the record itself looks like a form", {"$text": 1}),
    ("no dollar in front", {"m": {"x$bytes": 1}}),
]


@pytest.mark.parametrize("record", [case[1] for case in ROUND_TRIPS], ids=[case[0] for case in ROUND_TRIPS])
def test_a_record_comes_back_as_it_was(notes: subrosa.Collection, record: dict[str, Any]) -> None:
    id = notes.insert(record)
    for found in (notes.get(id), notes.get_many([id])[0], dict(notes.scan())[id]):
        assert found == record
        assert typed(found) == typed(record)


def typed(value: Any) -> Any:
    """The value with the types that `==` does not tell apart."""
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [typed(item) for item in value]
    return type(value), value


def test_negative_zero_is_kept(notes: subrosa.Collection) -> None:
    found = notes.get(notes.insert({"z": -0.0}))
    assert found is not None
    assert struct.pack("<d", found["z"]) == struct.pack("<d", -0.0)


class Colour(enum.IntEnum):
    RED = 3


class Word(str):
    pass


def test_relatives_of_the_plain_types_are_stored_as_these(notes: subrosa.Collection) -> None:
    given = {"e": Colour.RED, "t": (1, 2), "w": Word("w"), "a": bytearray(b"a"), "m": memoryview(b"m")}
    found = notes.get(notes.insert(given))
    assert typed(found) == typed({"e": 3, "t": [1, 2], "w": "w", "a": b"a", "m": b"m"})


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**400])
@pytest.mark.parametrize("nested", [False, True])
def test_an_integer_that_does_not_fit_is_refused(notes: subrosa.Collection, number: int, nested: bool) -> None:
    with pytest.raises(subrosa.SubrosaError) as caught:
        notes.insert({"deep": [{"n": number}]} if nested else {"n": number})
    assert caught.value.name == "INTEGER_RANGE"
    assert caught.value.code == subrosa.Status.INTEGER_RANGE
    assert caught.value.path == ("record.deep[0].n" if nested else "record.n")
    assert "deep" not in str(caught.value)
    assert notes.count() == 0


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
def test_a_float_that_is_not_finite_is_refused(notes: subrosa.Collection, number: float) -> None:
    with pytest.raises(subrosa.SubrosaError) as caught:
        notes.insert({"n": [number]})
    assert caught.value.name == "NOT_FINITE"


@pytest.mark.parametrize(
    ("record", "path"),
    [
        ({"a": {1: "x"}}, "record.a"),
        ({"a": object()}, "record.a"),
        ({1: 2}, "record"),
        ({"a": [{1, 2}]}, "record.a[0]"),
    ],
)
def test_what_a_record_cannot_hold_is_a_type_error(notes: subrosa.Collection, record: Any, path: str) -> None:
    with pytest.raises(subrosa.NotStorable) as caught:
        notes.insert(record)
    assert caught.value.path == path
    assert isinstance(caught.value, TypeError)


def test_a_list_is_no_record(notes: subrosa.Collection) -> None:
    with pytest.raises(subrosa.NotStorable):
        notes.insert([])  # type: ignore[arg-type]


def test_a_list_that_contains_itself_is_refused(notes: subrosa.Collection) -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(subrosa.SubrosaError) as caught:
        notes.insert({"l": loop})
    assert caught.value.name == "TOO_DEEP"


def test_half_a_surrogate_pair_is_refused(notes: subrosa.Collection) -> None:
    with pytest.raises(subrosa.SubrosaError) as caught:
        notes.insert({"s": "\ud800"})
    assert caught.value.name == "INVALID_UTF8"


def test_json_text_is_taken_and_given(notes: subrosa.Collection) -> None:
    id = notes.insert(subrosa.Json('{ "b" : 1, "a": {"$bytes": "AAEC"} }'))
    assert notes.get_json(id) == '{"a":{"$bytes":"AAEC"},"b":1}'
    assert notes.get(id) == {"a": b"\x00\x01\x02", "b": 1}


def test_bad_json_names_its_place(notes: subrosa.Collection) -> None:
    with pytest.raises(subrosa.SubrosaError) as caught:
        notes.insert(subrosa.Json('{"a":!}'))
    assert (caught.value.name, caught.value.number) == ("NOT_JSON", 5)


@pytest.mark.parametrize("key", ["$bytes", "$$bytes", "$$$$bytes", "$", "$$", "$text", "$a$bytes", "$Bytes"])
def test_maps_of_one_key_that_begins_with_a_dollar_are_escaped(key: str) -> None:
    assert values.dumps({key: 1}) == f'{{"${key}":1}}'.encode()
    assert values.loads(values.dumps({key: 1})) == {key: 1}


@pytest.mark.parametrize("text", ['{"a":{"$text":"x"}}', '{"$text":"x"}', '{"a":[{"$":1}]}'])
def test_what_only_a_newer_library_writes_is_refused_by_its_name(notes: subrosa.Collection, text: str) -> None:
    with pytest.raises(subrosa.SubrosaError) as caught:
        values.loads(text.encode())
    assert caught.value.name == "NEWER_FORM"
    with pytest.raises(subrosa.SubrosaError) as caught:
        notes.insert(subrosa.Json(text))
    assert (caught.value.name, caught.value.code) == ("NEWER_FORM", subrosa.Status.NEWER_FORM)


@pytest.mark.parametrize("key", ["bytes", "a$bytes", "bytes$", ""])
def test_other_keys_are_not(key: str) -> None:
    assert values.dumps({key: 1}) == f'{{"{key}":1}}'.encode()
