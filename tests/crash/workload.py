"""Clients of every kind at once, which write down what the server lets them know.

World    all promises made so far, across restarts
Load     the clients of one round; they run until the server is gone
verify   asks a restarted server about everything in the world
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import TypeVar, cast

import httpx
import websockets
from websockets import Subprotocol

from rivetkit_core.wire import cbor, subprotocols
from rivetkit_core.wire.client_protocol import Codec
from rivetkit_core.wire.messages import (
    ActionRequest,
    ActionResponse,
    Encoding,
    Event,
    Init,
    SubscriptionRequest,
)
from tests.crash.api import Address, Api, Refused
from tests.crash.promises import Broken, Census, Entry, Ledger

T = TypeVar("T")

STRICT, THROTTLED = "strictLedger", "throttledLedger"
_ENCODINGS = tuple(Encoding)
_PIPELINED = 8
_SAMPLE = 5
_GONE = (OSError, EOFError, httpx.TransportError, websockets.WebSocketException)


@dataclass
class World:
    """Everything promised so far. A ledger leaves when somebody asks to destroy its actor."""

    ledgers: dict[Address, Ledger] = field(default_factory=dict[Address, Ledger])
    census: dict[str, Census] = field(default_factory=lambda: {STRICT: Census(), THROTTLED: Census()})
    acknowledged: int = 0
    seen: int = 0
    others: int = 0
    losses: list[float] = field(default_factory=list[float])

    def ledger(self, address: Address) -> Ledger:
        """The judge of an actor; asking for one by key counts as an attempt to create it."""
        if address not in self.ledgers:
            self.census[address.name].attempted.add(address.key)
            title = f"{address.name} {address.key} {address.actor_id or 'by key'}"
            self.ledgers[address] = Ledger(title, strict=address.name == STRICT)
        return self.ledgers[address]


class Load:
    """The clients of one round. Set ``ending`` before the kill: a connection lost earlier is a failure."""

    def __init__(self, api: Api, world: World, label: str) -> None:
        self.ending = False
        self._api = api
        self._world = world
        self._label = label

    async def run(self, strict: list[Address], throttled: list[Address]) -> None:
        """Run every client until the server is gone.

        Raises:
            ExceptionGroup: Something was promised twice, refused, or cut off before the kill.
        """
        encodings = itertools.cycle(_ENCODINGS)
        async with asyncio.TaskGroup() as clients:

            def start(work: Coroutine[object, object, None]) -> None:
                clients.create_task(self._until_gone(work))

            for number, address in enumerate([*strict, *throttled]):
                start(self._calls(address, f"{self._label}-calls-{number}", next(encodings)))
                start(self._socket(address, f"{self._label}-socket-{number}", next(encodings)))
            for address in strict:
                start(self._socket(address, f"{self._label}-more", next(encodings)))
            for name in (STRICT, THROTTLED):
                start(self._churn(name, next(encodings)))

    async def _until_gone(self, work: Coroutine[object, object, None]) -> None:
        try:
            await work
        except _GONE as failure:
            if not self.ending:
                raise Broken(f"a client lost the running server: {failure!r}") from failure
        else:
            if not self.ending:
                raise Broken("the running server closed a connection")

    async def _calls(self, address: Address, client: str, encoding: Encoding) -> None:
        ledger = self._world.ledger(address)
        for number in itertools.count(1):
            await self._append(ledger, address, (client, number), encoding)

    async def _append(self, ledger: Ledger, address: Address, entry: Entry, encoding: Encoding) -> None:
        ledger.sending(entry)
        position = await self._api.append(address, entry, encoding)
        self._world.acknowledged += 1
        ledger.know(entry, position, time.monotonic())

    async def _socket(self, address: Address, client: str, encoding: Encoding) -> None:
        ledger, codec = self._world.ledger(address), Codec(encoding)
        numbers = itertools.count(1)
        url = address.url(self._api.base.replace("http", "ws", 1), "/connect")
        offered = [Subprotocol(token) for token in subprotocols.build(encoding.value)]
        async with websockets.connect(url, subprotocols=offered, compression=None) as socket:

            async def send(message: ActionRequest | SubscriptionRequest) -> None:
                data = codec.encode_to_server(message)
                await socket.send(data.decode() if encoding is Encoding.JSON else data)

            async def append_next() -> None:
                number = next(numbers)
                ledger.sending((client, number))
                await send(ActionRequest(number, "append", cbor.encode([client, number])))

            await send(SubscriptionRequest("appended", subscribe=True))
            for _ in range(_PIPELINED):
                await append_next()
            async for frame in socket:
                if self._receive(ledger, client, codec, frame.encode() if isinstance(frame, str) else frame):
                    await append_next()

    def _receive(self, ledger: Ledger, client: str, codec: Codec, frame: bytes) -> bool:
        """Record one message; whether it answers a call."""
        match codec.decode_to_client(frame):
            case Init():
                return False
            case ActionResponse(number, output):
                self._world.acknowledged += 1
                ledger.know((client, number), cast("int", cbor.decode(output)), time.monotonic())
                return True
            case Event(_, args):
                author, number, position = cast("tuple[str, int, int]", cbor.decode(args))
                self._world.seen += 1
                ledger.know((author, number), position, time.monotonic())
                return False
            case failure:
                raise Broken(f"an action failed: {failure}")

    async def _churn(self, name: str, encoding: Encoding) -> None:
        """Create actors; destroy every other one, and create every other of these again."""
        for number in itertools.count(1):
            key = f"{self._label}-new-{number}"
            actor_id = await self._newcomer(name, key, encoding)
            if number % 2 == 0:
                await self._destroy(name, actor_id, key)
            if number % 4 == 0 and await self._newcomer(name, key, encoding) == actor_id:
                raise Broken(f"actor {key} came back under the id of a destroyed one")

    async def _newcomer(self, name: str, key: str, encoding: Encoding) -> str:
        census = self._world.census[name]
        census.attempted.add(key)
        actor_id = await self._api.create(name, key)
        census.created[actor_id] = key
        self._world.others += 1
        address = Address(name, key, actor_id)
        await self._append(self._world.ledger(address), address, ("creator", 1), encoding)
        return actor_id

    async def _destroy(self, name: str, actor_id: str, key: str) -> None:
        census = self._world.census[name]
        census.destroying.add(actor_id)
        self._world.ledgers.pop(Address(name, key, actor_id))
        await self._api.destroy(actor_id)
        census.destroyed.add(actor_id)
        self._world.others += 1


async def verify(
    api: Api, world: World, *, killed_at: float, allowance: float, sample: random.Random | None
) -> None:
    """Check a restarted server; with ``sample``, settled ledgers and destroyed actors only in part.

    Raises:
        Broken: A promise was not kept.
    """
    for name, census in world.census.items():
        listed = await api.placements(name)
        census.verify(listed)
        live = {placement.key for placement in listed.values() if not placement.destroyed}
        for address, ledger in world.ledgers.items():
            if address.name == name and ledger.promised and address.key not in live:
                raise Broken(f"{ledger.title} is not there any more")
        for actor_id in _some(sorted(census.destroyed), sample):
            await _check_gone(api, Address(name, "destroyed", actor_id))
    settled = [address for address, ledger in world.ledgers.items() if not ledger.pending]
    pending = [address for address, ledger in world.ledgers.items() if ledger.pending]
    for address, encoding in zip([*pending, *_some(settled, sample)], itertools.cycle(_ENCODINGS)):
        ledger = world.ledgers[address]
        ledger.restart(await api.generation(address))
        found = await api.numbers(address, encoding)
        lost = ledger.verify(found, lossless_until=killed_at - allowance)
        world.losses += [killed_at - at for at in lost]


async def _check_gone(api: Api, address: Address) -> None:
    with contextlib.suppress(Refused):
        await api.generation(address)
        raise Broken(f"destroyed actor {address.actor_id} answers")


def _some(items: list[T], sample: random.Random | None) -> list[T]:
    return items if sample is None or len(items) <= _SAMPLE else sample.sample(items, _SAMPLE)
