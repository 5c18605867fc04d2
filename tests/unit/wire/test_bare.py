from __future__ import annotations

import pytest

from rivetkit_core.errors import ProtocolError
from rivetkit_core.wire.bare import Reader, Writer


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 2**32, 2**64 - 1])
def test_a_uint_survives(value: int) -> None:
    writer = Writer()
    writer.uint(value)
    reader = Reader(writer.finish())

    assert reader.uint() == value
    reader.finish()


@pytest.mark.parametrize("padded", [b"\x80\x00", b"\x81\x80\x00", b"\x80" * 9 + b"\x00"])
def test_a_padded_uint_is_refused(padded: bytes) -> None:
    with pytest.raises(ProtocolError, match="padded"):
        Reader(padded).uint()


@pytest.mark.parametrize("wide", [b"\xff" * 9 + b"\x02", b"\xff" * 10, b"\xff" * 100])
def test_a_uint_over_64_bits_is_refused(wide: bytes) -> None:
    with pytest.raises(ProtocolError, match="64 bits"):
        Reader(wide).uint()


@pytest.mark.parametrize("data", [b"\x02", b"\xff"])
def test_a_bool_is_zero_or_one(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        Reader(data).bool()


def test_text_must_be_utf8() -> None:
    with pytest.raises(ProtocolError, match="UTF-8"):
        Reader(b"\x02\xc3\x28").str()


def test_a_list_longer_than_its_bytes_is_refused_before_reading() -> None:
    def read() -> int:
        raise AssertionError

    with pytest.raises(ProtocolError, match="list of 127"):
        Reader(b"\x7f\x00").list(read)


@pytest.mark.parametrize("value", [-1, 2**64])
def test_a_number_that_does_not_fit_is_not_written(value: int) -> None:
    for write in (Writer().uint, Writer().u64, Writer().u8):
        with pytest.raises(ProtocolError):
            write(value)


def test_fixed_data_has_its_size() -> None:
    with pytest.raises(ProtocolError):
        Writer().fixed(b"123", 4)


def test_a_map_survives() -> None:
    entries = {"a": 1, "": 2}
    writer = Writer()
    writer.map(entries, writer.str, writer.u16)
    reader = Reader(writer.finish())

    assert reader.map(reader.str, reader.u16) == entries
    reader.finish()


def test_a_map_longer_than_its_bytes_is_refused_before_reading() -> None:
    def read() -> int:
        raise AssertionError

    with pytest.raises(ProtocolError, match="map of 127"):
        Reader(b"\x7f\x00").map(read, read)


def test_a_map_with_a_key_twice_is_refused() -> None:
    reader = Reader(b"\x02\x01\x05\x01\x06")

    with pytest.raises(ProtocolError, match="key twice"):
        reader.map(reader.u8, reader.u8)
