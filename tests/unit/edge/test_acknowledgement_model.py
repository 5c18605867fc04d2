"""Random orders of completion, sleeps and crashes, against what gateways and clients may rely on."""

from __future__ import annotations

import asyncio
import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from rivetkit_core.actor.acknowledgements import Acknowledgements, Delivery
from rivetkit_core.actor.task import ActorTask
from rivetkit_core.config import ActorConfig
from rivetkit_core.testing import settle
from rivetkit_core.wire import cbor
from rivetkit_core.wire.message_index import SPAN, is_later
from rivetkit_core.wire.messages import ActionResponse
from rivetkit_core.wire.persisted import ConnRecord, conn_key, encode_conn
from tests.unit.actor.scripted import Script, Scripted, World, end_all
from tests.unit.edge.guests import Guest, sleep, wake

_START = 65_520


class Life:
    """An actor with one guest, whose actions finish when the test says so."""

    def __init__(self) -> None:
        self.gates: dict[object, asyncio.Event] = {}
        self.finished: set[object] = set()
        script = Script(actions={"work": self._work}, config=ActorConfig(sleep_grace_period=1.0))
        self.world = World(script)
        self.guest = Guest(self.world, last=_START)
        self.sent = 0
        self.task: ActorTask

    async def begin(self) -> None:
        await sleep(await self.world.started())
        record = ConnRecord("c", cbor.NULL, cbor.NULL, (), *self.guest.id, _START, 0, "/connect")
        await self.world.storage.apply({conn_key("c"): encode_conn(record)})
        self.task = await wake(self.world, self.guest)

    async def step(self, kind: str, number: int) -> None:
        match kind:
            case "send":
                await self.guest.request(self.sent, "work", self.sent)
                self.sent += 1
            case "finish" if self.sent:
                self._finish(number % self.sent)
                await settle()
            case "save":
                await self.world.clock.advance(1.5)
            case "sleep":
                stopping = asyncio.create_task(sleep(self.task, self.guest))
                await settle()
                await self.guest.request(self.sent, "work", self.sent)  # in the middle of it
                self.sent += 1
                await self.world.clock.advance(2)
                await stopping
                self.task = await wake(self.world, self.guest)
            case _:
                pass
        self.check()

    async def end(self) -> None:
        for id in range(self.sent):
            self._finish(id)
        await self.world.clock.advance(3)
        self.check()
        assert sorted(self.answered()) == list(range(self.sent))
        if self.sent:
            assert self.guest.channel.acked[-1] == (_START + self.sent) % SPAN

    def check(self) -> None:
        """Nobody is answered twice, and what is acknowledged has been answered."""
        answered = self.answered()
        assert len(answered) == len(set(answered))
        acked = self.guest.channel.acked
        assert not any(is_later(before, after) for before, after in itertools.pairwise(acked))
        if acked:
            assert set(answered) >= set(range((acked[-1] - _START) % SPAN))

    def answered(self) -> list[int]:
        self.guest.news()
        return [message.id for message in self.guest.received if isinstance(message, ActionResponse)]

    def _finish(self, id: int) -> None:
        self.finished.add(id)
        self.gates.setdefault(id, asyncio.Event()).set()

    async def _work(self, _: Scripted, args: list[object]) -> object:
        await self.gates.setdefault(args[0], asyncio.Event()).wait()
        return args[0]


STEP = st.tuples(st.sampled_from(["send", "send", "finish", "finish", "save", "sleep"]), st.integers(0, 40))


@settings(deadline=None)
@given(st.lists(STEP, max_size=40))
def test_every_message_is_answered_once_whatever_sleeps_meanwhile(steps: list[tuple[str, int]]) -> None:
    async def live() -> None:
        life = Life()
        await life.begin()
        for kind, number in steps:
            await life.step(kind, number)
        await life.end()
        await end_all()

    asyncio.run(live())


@given(st.data())
def test_what_is_completed_is_an_unbroken_row(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, SPAN - 1))
    count = data.draw(st.integers(1, 60))
    messages, done = Acknowledgements(start), set[int]()
    begun: list[Delivery] = []
    for step in range(1, count + 1):
        delivery = messages.begin((start + step) % SPAN, 1)
        assert delivery is not None
        begun.append(delivery)
    for position in data.draw(st.permutations(range(count))):
        messages.finish(begun[position])
        done.add(position + 1)
        row = next(step for step in range(count + 1) if step + 1 not in done)
        assert messages.completed == (start + row) % SPAN
        assert messages.beyond == {(start + step) % SPAN for step in done if step > row}


async def test_who_is_too_far_ahead_waits_until_something_is_stored() -> None:
    messages = Acknowledgements()
    delivery = messages.begin(1, 64 * 1024 * 1024)
    assert delivery is not None
    waiting = asyncio.create_task(messages.room())
    messages.finish(delivery)
    await settle()
    assert messages.is_crowded
    assert not waiting.done()
    messages.stored(1)
    await waiting
    assert not messages.is_crowded
