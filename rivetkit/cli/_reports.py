"""What workers tell their supervisor, and it them: lines over two pipes.

supervisor -> worker   its standard input: ``leave`` when all workers end; its end, when the supervisor died
worker -> supervisor   one line of JSON per report, on a pipe whose descriptor the worker is given
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import cast

CONFIGURATION_ERROR = 78
"""Exit code of a worker that cannot work as configured, and would not the next time (EX_CONFIG)."""

LEAVE = b"leave\n"

MAX_REPORT = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Ready:
    """The engine has accepted the worker.

    Attributes:
        actors: The names it serves.
        bound: Seconds its orderly end may take.
        where: In words.
    """

    actors: tuple[str, ...]
    bound: float
    where: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """The worker cannot work as configured. ``traceback`` may be empty."""

    message: str
    traceback: str = ""


Report = Ready | Refusal


def encode_report(report: Report) -> bytes:
    """A report as one line."""
    return json.dumps({type(report).__name__: asdict(report)}).encode() + b"\n"


def decode_report(line: bytes) -> Report:
    """Read what ``encode_report`` wrote; both ends are of one release."""
    ((kind, fields),) = cast("dict[str, dict[str, object]]", json.loads(line)).items()
    if kind == Ready.__name__:
        actors = tuple(cast("list[str]", fields["actors"]))
        return Ready(actors, cast("float", fields["bound"]), str(fields["where"]))
    return Refusal(str(fields["message"]), str(fields["traceback"]))
