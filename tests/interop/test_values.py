"""The notation for JavaScript values, on both ends of the channel."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest

from tests.interop.values import UNDEFINED, BigInt, JsMap, pack, unpack


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        -1,
        0.5,
        math.inf,
        "ü",
        UNDEFINED,
        BigInt(1),
        b"\x00\xff",
        datetime(2024, 1, 1, 12, 0, 0, 250_000, tzinfo=UTC),
        {1, 2},
        JsMap(((1, "one"), ("two", BigInt(2)))),
        [1, [b"", UNDEFINED]],
        {"a": {"b": BigInt(3)}},
        {"@": "bigint", "v": "not a tag"},
    ],
)
def test_a_value_survives_packing(value: object) -> None:
    result = unpack(pack(value))
    assert result == value
    assert type(result) is type(value)


def test_an_int_no_number_can_hold_becomes_a_bigint() -> None:
    assert type(unpack(pack(2**53 - 1))) is int
    assert type(unpack(pack(2**53))) is BigInt


def test_a_value_without_a_notation_is_refused() -> None:
    with pytest.raises(TypeError, match="complex"):
        pack([1j])
