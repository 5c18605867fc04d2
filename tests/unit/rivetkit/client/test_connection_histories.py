"""Random histories of one connection: whatever happens, every call settles and nothing is sent twice."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st
from live_world import Counter, World

from rivetkit_core.errors import RivetError, error
from rivetkit_core.testing import settle
from rivetkit_core.wire import cbor
from rivetkit_core.wire.messages import ActionResponse, ErrorMessage, Event

Step = tuple[str, int]

KINDS = [
    *("call", "cancel", "answer", "fail", "answer_unknown", "event"),
    *("lose", "down", "refuse_send", "forbid", "pass_time", "run"),
]
STEPS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 5)), max_size=40)


class History:
    """Applies steps and keeps every call that was started."""

    def __init__(self) -> None:
        self.world = World()
        self.conn = self.world.counter.connect()
        self.calls: list[asyncio.Future[int]] = []
        self.outcomes: list[int | BaseException] = []
        self.unsettled = 0

    async def take(self, step: Step) -> None:
        kind, number = step
        link = self.world.link
        match kind:
            case "call":
                self.calls.append(asyncio.ensure_future(self.conn.call(Counter.increment, number)))
            case "cancel" if self.calls:
                self.calls[number % len(self.calls)].cancel()
            case "answer" if link.requests:
                request = link.requests[number % len(link.requests)]
                link.deliver(ActionResponse(request.id, cbor.encode(number)))
            case "fail" if link.requests:
                request = link.requests[number % len(link.requests)]
                link.deliver(ErrorMessage("user", "no", "no", None, request.id))
            case "answer_unknown":
                link.deliver(ActionResponse(1000 + number, cbor.encode(number)))
            case "event":
                link.deliver(Event("changed", cbor.encode([number])))
            case "lose":
                link.lose()
            case "down":
                self.world.access.next_connect(error("client.request_failed", reason="down"))
            case "refuse_send":
                link.refuse_next = error("actor.overloaded", channel="connection", capacity=1)
            case "forbid":
                link.lose(1011, "auth.forbidden")
            case "pass_time":
                await self.world.clock.advance(number)
            case _:
                await settle()


async def live_through(steps: list[Step]) -> History:
    history = History()
    async with history.conn, history.conn.events(Counter.changed, buffer=2, when_full="drop_oldest"):
        for step in steps:
            await history.take(step)
    await settle()
    history.unsettled = sum(not call.done() for call in history.calls)
    for call in history.calls:
        call.cancel()
    history.outcomes = await asyncio.gather(*history.calls, return_exceptions=True)
    return history


def sent_ids(history: History) -> list[int]:
    return [request.id for link in history.world.access.links for request in link.requests]


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_every_call_settles_with_an_answer_or_an_error_of_ours(steps: list[Step]) -> None:
    history = asyncio.run(live_through(steps))
    assert history.unsettled == 0
    expected = int | RivetError | asyncio.CancelledError
    assert [outcome for outcome in history.outcomes if not isinstance(outcome, expected)] == []


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_no_call_is_sent_twice(steps: list[Step]) -> None:
    ids = sent_ids(asyncio.run(live_through(steps)))
    assert len(ids) == len(set(ids))


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_every_link_is_closed_in_the_end(steps: list[Step]) -> None:
    history = asyncio.run(live_through(steps))
    assert all(link.closed is not None for link in history.world.access.links)
