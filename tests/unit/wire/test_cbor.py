from __future__ import annotations

import datetime as dt
import enum
import uuid
from collections import OrderedDict
from typing import NamedTuple, cast

import pytest

from rivetkit_core.errors import ProtocolError
from rivetkit_core.wire import cbor
from rivetkit_core.wire.cbor_scan import MAX_DEPTH


class Color(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Point(NamedTuple):
    x: int
    y: int


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(2**32 - 1, "1affffffff", id="widest int"),
        pytest.param(-(2**32), "3affffffff", id="lowest int"),
        pytest.param(2**32, "fb41f0000000000000", id="wider int is a float"),
        pytest.param(2**53, "826724426967496e747039303037313939323534373430393932", id="bigint"),
        pytest.param(b"\x01\x02", "826b2455696e74384172726179644151493d", id="bytes"),
        pytest.param(memoryview(b"\x01\x02"), "826b2455696e74384172726179644151493d", id="memoryview"),
        pytest.param(cbor.UNDEFINED, "826a24556e646566696e656400", id="undefined"),
        pytest.param({2, 1}, "826424536574820102", id="set"),
        pytest.param(("$x", 1), "826324247801", id="pair that looks like a tag"),
        pytest.param(["$x", 1, 2], "836224780102", id="triple"),
        pytest.param({1: True, False: None}, "a26131f56566616c7365f6", id="keys become text"),
        pytest.param(Color.RED, "63726564", id="text enum"),
        pytest.param(Level.HIGH, "03", id="int enum"),
        pytest.param(Point(1, 2), "820102", id="named tuple"),
        pytest.param(OrderedDict[str, object](a=1), "a1616101", id="dict subclass"),
        pytest.param(dt.datetime(2023, 11, 14, 22, 13, 20, tzinfo=dt.UTC), "c11a6553f100", id="date"),
        pytest.param(dt.datetime(1969, 12, 31, 23, 59, 59, tzinfo=dt.UTC), "c1fbbff0000000000000", id="old"),
    ],
)
def test_a_value_is_written_in_compat_form(value: object, expected: str) -> None:
    assert cbor.encode(value).hex() == expected


def test_a_date_after_2106_is_a_float_because_wide_ints_are_bigints_to_javascript() -> None:
    late = dt.datetime(2200, 1, 1, tzinfo=dt.UTC)

    assert cbor.encode(late)[:2] == b"\xc1\xfb"
    assert cbor.decode(cbor.encode(late)) == late


def test_default_replaces_what_has_no_form() -> None:
    number = uuid.UUID(int=7)

    assert cbor.decode(cbor.encode({number: [number]}, default=str)) == {str(number): [str(number)]}


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(object(), id="object"),
        pytest.param([uuid.UUID(int=1)], id="uuid"),
        pytest.param({(1, 2): 3}, id="tuple key"),
        pytest.param({1: 1, "1": 2}, id="keys of equal text"),
        pytest.param(dt.datetime(2020, 1, 1), id="date without a zone"),
        pytest.param("\ud800", id="lone surrogate"),
        pytest.param(10**5000, id="int of too many digits"),
    ],
)
def test_what_has_no_form_is_refused(value: object) -> None:
    with pytest.raises(ProtocolError):
        cbor.encode(value)


def test_a_circular_value_is_refused() -> None:
    circular: list[object] = []
    circular += [circular, circular]

    with pytest.raises(ProtocolError, match="circular"):
        cbor.encode(circular)


def nested(depth: int) -> object:
    value: object = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_nesting_up_to_the_limit_survives() -> None:
    deepest = nested(MAX_DEPTH)
    data = cbor.encode(deepest)

    assert cbor.decode(data) == deepest
    assert cbor.item_end(data, 0) == len(data)


def test_nesting_beyond_the_limit_is_refused_everywhere() -> None:
    with pytest.raises(ProtocolError):
        cbor.encode(nested(MAX_DEPTH + 1))
    for decode in (cbor.decode, cbor.decode_compat, cbor.item_end):
        with pytest.raises(ProtocolError):
            decode(b"\x81" * (MAX_DEPTH + 1) + b"\xf6")


def test_undefined_is_what_the_caller_wants() -> None:
    assert cbor.decode(b"\x82\xf7\x01") == [None, 1]
    assert cbor.decode(b"\x82\xf7\x01", undefined=cbor.UNDEFINED) == [cbor.UNDEFINED, 1]


def test_results_are_mutable() -> None:
    value = cast("dict[str, list[object]]", cbor.decode(cbor.encode({"a": [{"b": b"c"}]})))
    value["a"].append(1)

    assert value == {"a": [{"b": b"c"}, 1]}


@pytest.mark.parametrize(
    "data",
    [
        pytest.param("", id="nothing"),
        pytest.param("0101", id="two items"),
        pytest.param("a1410102", id="bytes key"),
        pytest.param("e5", id="simple value"),
        pytest.param("62c328", id="invalid UTF-8"),
        pytest.param("8263245365", id="cut off"),
        pytest.param("826724426967496e7461", id="cut off tag"),
        pytest.param("826724426967496e7463307831", id="bigint in hexadecimal"),
        pytest.param("826b2455696e74384172726179612a", id="invalid base64"),
        pytest.param("826424536574f6", id="set without an array"),
        pytest.param("c1fb7ff8000000000000", id="date that is not a number"),
        pytest.param("d81c8101", id="shared reference"),
        pytest.param("d84543010203", id="typed array with half an element"),
        pytest.param("bf6161ff", id="odd indefinite map"),
    ],
)
def test_malformed_bytes_are_refused(data: str) -> None:
    with pytest.raises(ProtocolError):
        cbor.decode(bytes.fromhex(data))


def test_a_set_of_arrays_becomes_a_list() -> None:
    assert cbor.decode(bytes.fromhex("d90102818101")) == [[1]]


def test_an_item_is_cut_out_of_the_middle() -> None:
    data = b"\x01" + cbor.encode({"a": [1, {"b": "c"}]}) + b"\x02"

    assert cbor.item_end(data, 1) == len(data) - 1


def test_the_exact_decoder_alone_gives_the_same_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """Releases of the C library that cannot limit nesting are not used to decode."""
    value: dict[str, object] = {"a": [1, -1, 1.5, "é", None, True, b"x", 2**40], "b": {}}
    data = cbor.encode(value)
    monkeypatch.setattr(cbor, "_LIBRARY_KEEPS_LIMITS", False)

    assert cbor.decode(data) == value
