"""Finding CBOR items without decoding them.

Enough of the format to cut one item out of a larger message. Bounded: time is linear in the bytes looked
at, memory in the nesting, and nesting is limited. Contents (UTF-8, tags, numbers) are not judged.
"""

from __future__ import annotations

from rivetkit_core.errors import ProtocolError

MAX_DEPTH = 128
"""How deeply arrays, maps and tags may nest."""

UNSIGNED, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG, SIMPLE = range(8)

INDEFINITE = -1
_BREAK = 0xFF
_FOLLOWING = {24: 1, 25: 2, 26: 4, 27: 8}


def head(data: bytes, position: int) -> tuple[int, int, int]:
    """Read an item's head: major type, argument and the position after it.

    The argument is ``INDEFINITE`` for arrays and maps that end with a break. Indefinite strings are
    refused, as the reference implementation does. Of a simple value or float the argument is the raw bits.
    """
    try:
        first = data[position]
    except IndexError:
        raise ProtocolError(f"an item is missing at offset {position}") from None
    major, info = first >> 5, first & 0x1F
    position += 1
    if info < 24:
        return major, info, position
    size = _FOLLOWING.get(info)
    if size is None:
        if info == 31 and major in (ARRAY, MAP):
            return major, INDEFINITE, position
        raise ProtocolError(f"byte {first:#04x} at offset {position - 1} starts no item")
    end = position + size
    if end > len(data):
        raise ProtocolError(f"an item is cut off at offset {len(data)}")
    return major, int.from_bytes(data[position:end], "big"), end


def at_break(data: bytes, position: int) -> bool:
    """Whether the break that ends an indefinite item stands here."""
    return position < len(data) and data[position] == _BREAK


def item_end(data: bytes, start: int = 0) -> int:
    """Where the item that starts at ``start`` ends."""
    position = start
    open_items: list[int] = []  # items still to come per level; INDEFINITE until a break
    while True:
        if open_items and open_items[-1] == INDEFINITE and at_break(data, position):
            position += 1
            open_items.pop()
        else:
            inside, position = _enter(data, position)
            if inside:
                if len(open_items) >= MAX_DEPTH:
                    raise ProtocolError(f"nested deeper than {MAX_DEPTH}")
                open_items.append(inside)
                continue
        _count_finished(open_items)
        if not open_items:
            return position


def _count_finished(open_items: list[int]) -> None:
    """Account for one finished item, and for every container that it completes."""
    while open_items and open_items[-1] != INDEFINITE:
        open_items[-1] -= 1
        if open_items[-1]:
            break
        open_items.pop()


def _enter(data: bytes, position: int) -> tuple[int, int]:
    """How many items the one at ``position`` contains, and the position after its own bytes."""
    major, argument, position = head(data, position)
    if major in (BYTES, TEXT):
        end = position + argument
        if end > len(data):
            raise ProtocolError(f"a string of {argument} bytes is cut off at offset {len(data)}")
        return 0, end
    if major == ARRAY:
        return argument, position
    if major == MAP:
        return argument if argument == INDEFINITE else 2 * argument, position
    return (1 if major == TAG else 0), position
