"""How many actions a second over live connections, next to a bare websockets echo."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, Sequence
from functools import partial

from benchmarks.comparison import Comparison, Row, Setup, calling
from benchmarks.load import Call
from benchmarks.questions.http import check_count
from benchmarks.sockets import EchoSocket, LiveSocket
from rivetkit_core.wire import cbor

_CASES = {
    "1 caller": (1, 1),
    "16 callers": (16, 1),
    "64 callers": (64, 1),
    "64 calls on 1 connection": (1, 64),
}


async def ask(setup: Setup) -> AsyncGenerator[Row]:
    server, bare = await setup.server("rivetkit"), await setup.server("websockets")
    for case, (sockets, calls) in _CASES.items():
        lives = await open_lives(setup, server.port, "throttled", case.replace(" ", "-"), sockets)
        echoes = [await EchoSocket.open(bare.port) for _ in range(sockets)]
        for echo in echoes:
            setup.stack.callback(echo.close)
        compared = await Comparison.of(
            setup,
            "live",
            case,
            calling("live action", increments(lives) * calls, server),
            calling("bare websocket echo", echoes * calls, bare),
        )
        check_count([live.result() for live in lives], sum(live.calls for live in lives))
        yield compared.row("live action", "bare websocket echo")


async def open_lives(setup: Setup, port: int, actor: str, key: str, count: int) -> list[LiveSocket]:
    """Live connections to one actor."""
    lives = [await LiveSocket.open(port, actor, key) for _ in itertools.repeat(None, count)]
    for live in lives:
        setup.stack.callback(live.close)
    return lives


def increments(lives: Sequence[LiveSocket]) -> list[Call]:
    """One caller for each connection."""
    return [partial(live.call, "increment", cbor.encode([1])) for live in lives]
