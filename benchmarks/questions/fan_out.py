"""How long one broadcast takes to reach a hundred connections, next to a bare websockets broadcast."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable

from benchmarks.comparison import Comparison, Contender, Row, Setup
from benchmarks.load import HasCpu, Sample, summary
from benchmarks.questions.live import open_lives
from benchmarks.sockets import CODEC, FrameSocket
from rivetkit_core.wire import cbor
from rivetkit_core.wire.messages import Event

_CONNECTIONS = 100
_EVENT = Event("changed", cbor.encode([7]))


class _Arrivals:
    """Counts what arrives until the last connection has it."""

    def __init__(self) -> None:
        self._left = 0
        self._done: asyncio.Future[None] | None = None

    def expect(self, count: int) -> asyncio.Future[None]:
        self._left, self._done = count, asyncio.get_running_loop().create_future()
        return self._done

    def one(self, event: object) -> None:
        if event != _EVENT:
            raise RuntimeError(f"{event} arrived instead of {_EVENT}")
        self._left -= 1
        if self._left == 0 and self._done is not None:
            self._done.set_result(None)
        if self._left < 0:
            raise RuntimeError("more events arrived than were sent")


async def ask(setup: Setup) -> AsyncGenerator[Row]:
    compared = await Comparison.of(
        setup, "fan_out", f"{_CONNECTIONS} connections", await _broadcast(setup), await _bare(setup)
    )
    yield compared.row("broadcast", "bare websockets broadcast", "events/s")


async def _broadcast(setup: Setup) -> Contender:
    server = await setup.server("rivetkit")
    arrivals = _Arrivals()
    lives = await open_lives(setup, server.port, "throttled", "fan-out", _CONNECTIONS)
    for live in lives:
        live.on_event = arrivals.one
        live.subscribe("changed")
        await live.call("increment", cbor.encode([0]))  # messages are handled in order: it is subscribed now
    [sender] = await open_lives(setup, server.port, "throttled", "fan-out", 1)

    async def once() -> None:
        await asyncio.gather(arrivals.expect(_CONNECTIONS), sender.call("announce", cbor.encode([7])))

    return _rounds("broadcast", once, server)


async def _bare(setup: Setup) -> Contender:
    server = await setup.server("websockets")
    arrivals = _Arrivals()

    def arrived(frame: bytes) -> None:
        arrivals.one(CODEC.decode_to_client(frame[1:]))

    for _ in range(_CONNECTIONS - 1):
        setup.stack.callback((await FrameSocket.open(server.port, "/", "", arrived)).close)
    sender = await FrameSocket.open(server.port, "/", "", arrived)
    setup.stack.callback(sender.close)
    frame = b"!" + CODEC.encode_to_client(_EVENT)

    async def once() -> None:
        done = arrivals.expect(_CONNECTIONS)
        sender.send(frame)
        await done

    return _rounds("bare websockets broadcast", once, server)


def _rounds(name: str, once: Callable[[], Awaitable[None]], server: HasCpu) -> Contender:
    async def run(seconds: float) -> Sample:
        times: list[float] = []
        cpu, server_cpu = time.process_time(), server.cpu_seconds()
        started = time.perf_counter()
        while (before := time.perf_counter()) < started + seconds:
            await once()
            times.append(time.perf_counter() - before)
        elapsed = time.perf_counter() - started
        shares = (time.process_time() - cpu) / elapsed, (server.cpu_seconds() - server_cpu) / elapsed
        return summary(times, elapsed, *shares, weight=_CONNECTIONS)

    return Contender(name, run)
