"""The strings the tests pull on their actors, and what the actors saw."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field


@dataclass
class Probe:
    """What actors saw, and gates that hold them. One per test."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    starts: int = 0
    failing_starts: int = 0
    destroying: asyncio.Event = field(default_factory=asyncio.Event)
    destroyed: list[str] = field(default_factory=list[str])
    disconnected: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    asleep: asyncio.Event = field(default_factory=asyncio.Event)
    awake: asyncio.Event = field(default_factory=asyncio.Event)
    slept: list[int] = field(default_factory=list[int])
    woken: list[int] = field(default_factory=list[int])
    rang: asyncio.Queue[str] = field(default_factory=asyncio.Queue[str])


class _Current:
    probe = Probe()


current = _Current()
