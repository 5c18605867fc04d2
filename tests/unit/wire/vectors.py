"""The golden vectors of the client protocol, captured from the reference stack."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NotRequired, TypedDict, cast

PATH = Path(__file__).parents[2] / "vectors" / "client-protocol.json"


class Vector(TypedDict):
    kind: str
    name: str
    encoding: str
    direction: str
    transport: str
    hex: NotRequired[str]
    text: NotRequired[str]
    decoded: object


ALL = cast("list[Vector]", json.loads(PATH.read_text(encoding="utf-8")))


def wire(vector: Vector) -> bytes:
    """The bytes of a vector."""
    return bytes.fromhex(vector["hex"]) if "hex" in vector else vector.get("text", "").encode()


def decoded(vector: Vector) -> dict[str, object]:
    """What the reference makes of it."""
    return cast("dict[str, object]", vector["decoded"])
