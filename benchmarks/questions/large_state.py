"""What a megabyte of state costs an action that does not touch it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from functools import partial

from benchmarks.comparison import Comparison, Contender, Row, Setup, calling
from benchmarks.processes import ServerProcess
from benchmarks.questions.live import open_lives
from rivetkit_core.wire import cbor

_ROWS = 54_000  # nearly nineteen bytes each in CBOR
_SMALL, _LARGE = "small state", "1 MB of state"
_SECONDS = 2.0  # at least one save interval in every run


async def ask(setup: Setup) -> AsyncGenerator[Row]:
    server = await setup.server("rivetkit")
    longer = replace(setup, seconds=max(setup.seconds, _SECONDS))
    for actor, case in (("large", "throttled"), ("largeStrict", "strict")):
        large = await _contender(setup, server, actor, _LARGE, _ROWS)
        small = await _contender(setup, server, actor, _SMALL, 0)
        compared = await Comparison.of(longer, "large_state", f"{case}, 1 caller", large, small)
        yield compared.row(_LARGE, _SMALL)


async def _contender(setup: Setup, server: ServerProcess, actor: str, name: str, rows: int) -> Contender:
    [live] = await open_lives(setup, server.port, actor, name.replace(" ", "-"), 1)
    await live.call("fill", cbor.encode([rows]))
    return calling(name, [partial(live.call, "peek", cbor.encode([]))], server)
