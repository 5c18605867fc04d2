from __future__ import annotations

from typing import Literal

import pytest
from live_world import Counter, World, begin, failure_of, identity

from rivetkit_core.errors import RivetError, ValidationError
from rivetkit_core.testing import settle
from rivetkit_core.wire import cbor
from rivetkit_core.wire.messages import Event, SubscriptionRequest


@pytest.fixture
def world() -> World:
    return World()


ON, OFF = SubscriptionRequest("changed", True), SubscriptionRequest("changed", False)


async def test_a_stream_subscribes_when_it_is_entered_and_unsubscribes_when_left(world: World) -> None:
    async with world.connected() as conn:
        stream = conn.events(Counter.changed)
        assert world.link.sent == []
        async with stream:
            assert world.link.sent == [ON]
        assert world.link.sent == [ON, OFF]


async def test_iterating_subscribes_as_well(world: World) -> None:
    async with world.connected() as conn:
        stream = conn.events(Counter.changed)
        reading = await begin(anext(stream))
        assert world.link.sent == [ON]
        await world.emit(4)
        assert await reading == 4
        await stream.aclose()


async def test_only_the_first_and_the_last_stream_of_an_event_tell_the_actor(world: World) -> None:
    async with world.connected() as conn:
        async with conn.events(Counter.changed) as one, conn.events(Counter.changed) as two:
            await world.emit(1)
            assert (await anext(one), await anext(two)) == (1, 1)
        assert world.link.sent == [ON, OFF]


async def test_a_tuple_payload_comes_from_several_arguments(world: World) -> None:
    async with world.connected() as conn, conn.events(Counter.moved) as moved:
        world.link.deliver(Event("moved", cbor.encode([3, "x"])))
        assert await anext(moved) == (3, "x")


async def test_events_by_name_are_plain_arguments(world: World) -> None:
    async with world.connected() as conn, conn.events_by_name("other") as other:
        world.link.deliver(Event("other", cbor.encode([1, {"a": 2}])))
        assert await anext(other) == (1, {"a": 2})


async def test_a_payload_of_another_type_is_raised_and_the_stream_goes_on(world: World) -> None:
    async with world.connected() as conn, conn.events(Counter.changed) as changed:
        await world.emit("one", 2)
        with pytest.raises(ValidationError):
            await anext(changed)
        assert await anext(changed) == 2


async def test_a_slow_reader_gets_what_was_held_and_then_fails(world: World) -> None:
    async with world.connected() as conn, conn.events(Counter.changed, buffer=2) as changed:
        await world.emit(1, 2, 3, 4)
        assert [await anext(changed), await anext(changed)] == [1, 2]
        with pytest.raises(RivetError, match=r"client\.reader_too_slow.*changed.*2") as caught:
            await anext(changed)
        assert identity(caught.value) == "client.reader_too_slow"
        assert world.link.sent == [ON, OFF]
        with pytest.raises(StopAsyncIteration):
            await anext(changed)


@pytest.mark.parametrize(
    ("when_full", "kept"),
    [pytest.param("drop_oldest", [2, 3], id="oldest"), pytest.param("drop_newest", [1, 2], id="newest")],
)
async def test_a_slow_reader_may_choose_to_miss_events(
    world: World, when_full: Literal["drop_oldest", "drop_newest"], kept: list[int]
) -> None:
    async with (
        world.connected() as conn,
        conn.events(Counter.changed, buffer=2, when_full=when_full) as changed,
    ):
        await world.emit(1, 2, 3)
        assert [await anext(changed), await anext(changed)] == kept
        await world.emit(4)
        assert await anext(changed) == 4


async def test_a_buffer_holds_at_least_one_event(world: World) -> None:
    async with world.connected() as conn:
        with pytest.raises(ValueError, match="at least 1"):
            conn.events(Counter.changed, buffer=0)


async def test_a_cancelled_reader_loses_no_event(world: World) -> None:
    async with world.connected() as conn, conn.events(Counter.changed) as changed:
        reading = await begin(anext(changed))
        world.link.deliver(Event("changed", cbor.encode([1])))
        reading.cancel()
        await settle()
        assert await anext(changed) == 1


async def test_closing_a_stream_ends_its_reader(world: World) -> None:
    async with world.connected() as conn:
        stream = conn.events(Counter.changed)
        reading = await begin(anext(stream, None))
        await stream.aclose()
        assert await reading is None


async def test_closing_the_connection_ends_its_streams(world: World) -> None:
    async with world.connected() as conn:
        stream = conn.events(Counter.changed)
        reading = await begin(anext(stream, None))
    assert await reading is None


async def test_a_stream_of_a_closed_connection_ends_at_once(world: World) -> None:
    async with world.connected() as conn:
        pass
    assert [value async for value in conn.events(Counter.changed)] == []


async def test_leaving_a_stream_after_a_link_broke_is_told_to_the_next_link_by_silence(world: World) -> None:
    async with world.connected() as conn:
        async with conn.events(Counter.changed):
            world.link.lose()
        await settle()
        assert world.link.sent == []


async def test_once_takes_one_event_and_unsubscribes(world: World) -> None:
    async with world.connected() as conn:
        waiting = await begin(conn.once(Counter.changed))
        await world.emit(5, 6)
        assert await waiting == 5
        assert world.link.sent == [ON, OFF]


async def test_once_times_out_and_unsubscribes(world: World) -> None:
    async with world.connected() as conn:
        waiting = await begin(conn.once(Counter.changed, timeout=2.0))
        await world.clock.advance(2.0)
        assert identity(await failure_of(waiting)) == "client.timed_out"
        assert world.link.sent == [ON, OFF]


async def test_once_fails_when_the_connection_is_closed(world: World) -> None:
    async with world.connected() as conn:
        waiting = await begin(conn.once(Counter.changed))
    assert identity(await failure_of(waiting)) == "client.disposed"
