from __future__ import annotations

import asyncio
import gc
import math

import pytest
from live_world import Counter, World, begin, failure_of, identity

from rivetkit.client._live import CLOSE_TIMEOUT
from rivetkit.client._pending import MAX_WAITING
from rivetkit_core.errors import ConnectionLost, Overloaded, UserError, ValidationError, error
from rivetkit_core.testing import settle
from rivetkit_core.wire import cbor
from rivetkit_core.wire.messages import ErrorMessage


@pytest.fixture
def world() -> World:
    return World()


async def test_a_call_sends_its_arguments_and_returns_the_decoded_result(world: World) -> None:
    async with world.connected() as conn:
        call = await begin(conn.call(Counter.increment, by=2))
        world.link.answer(cbor.encode(7))
        assert await call == 7
        assert [(request.name, cbor.decode(request.args)) for request in world.link.requests] == [
            ("increment", [2])
        ]


async def test_answers_find_their_calls_in_any_order(world: World) -> None:
    async with world.connected() as conn:
        first, second = await begin(conn.call(Counter.increment)), await begin(conn.call(Counter.increment))
        world.link.answer(cbor.encode(2), index=1)
        world.link.answer(cbor.encode(1), index=0)
        assert (await first, await second) == (1, 2)


async def test_an_error_answer_is_raised_with_its_metadata(world: World) -> None:
    async with world.connected() as conn:
        call = await begin(conn.call(Counter.increment))
        action_id = world.link.requests[0].id
        world.link.deliver(ErrorMessage("user", "nope", "no", cbor.encode({"a": 1}), action_id))
        failure = await failure_of(call)
        assert isinstance(failure, UserError)
        assert (failure.code, failure.message, failure.metadata) == ("nope", "no", {"a": 1})


async def test_a_wrong_argument_is_refused_before_anything_is_sent(world: World) -> None:
    async with world.connected() as conn:
        with pytest.raises(ValidationError):
            await conn.call_by_name("increment", object())
        assert world.link.requests == []


async def test_a_call_by_name_carries_plain_data(world: World) -> None:
    async with world.connected() as conn:
        call = await begin(conn.call_by_name("price", "$eur", 5))
        world.link.answer(cbor.encode({"total": 5}))
        assert await call == {"total": 5}
        assert cbor.decode(world.link.requests[0].args) == ["$eur", 5]


async def test_a_call_without_an_answer_times_out(world: World) -> None:
    async with world.connected() as conn:
        call = await begin(conn.action(Counter.increment, timeout=3.0)())
        await world.clock.advance(3.0)
        assert identity(await failure_of(call)) == "client.timed_out"


async def test_a_call_waits_a_little_longer_than_a_server_gives_an_action(world: World) -> None:
    async with world.connected() as conn:
        call = await begin(conn.call(Counter.increment))
        await world.clock.advance(64.0)
        assert not call.done()
        await world.clock.advance(1.0)
        assert identity(await failure_of(call)) == "client.timed_out"


async def test_an_infinite_timeout_waits_for_ever(world: World) -> None:
    async with world.connected() as conn:
        call = await begin(conn.action(Counter.increment, timeout=math.inf)())
        await world.clock.advance(1_000_000.0)
        world.link.answer(cbor.encode(1))
        assert await call == 1


async def test_the_late_answer_of_a_cancelled_call_is_dropped(world: World) -> None:
    async with world.connected() as conn:
        cancelled = await begin(conn.call(Counter.increment))
        cancelled.cancel()
        await asyncio.wait([cancelled])
        following = await begin(conn.call(Counter.increment))
        world.link.answer(cbor.encode(1), index=0)
        world.link.answer(cbor.encode(2), index=1)
        assert await following == 2


async def test_an_answer_that_races_a_cancellation_is_dropped(world: World) -> None:
    async with world.connected() as conn:
        call = await begin(conn.call(Counter.increment))
        world.link.answer(cbor.encode(1))
        call.cancel()
        await asyncio.wait([call])
        assert call.cancelled()
        assert conn.status == "connected"


async def test_a_call_in_flight_is_lost_with_its_link_and_not_sent_again(world: World) -> None:
    async with world.connected() as conn:
        call = await begin(conn.call(Counter.increment))
        await world.lose()
        assert isinstance(await failure_of(call), ConnectionLost)
        assert len(world.access.links) == 2
        assert world.link.requests == []


async def test_a_lost_call_says_why_the_server_closed(world: World) -> None:
    async with world.connected() as conn:
        call = await begin(conn.call(Counter.increment))
        await world.lose(1011, "message.incoming_too_long")
        failure = await failure_of(call)
        assert isinstance(failure, ConnectionLost)
        assert "message.incoming_too_long" in failure.message


async def test_answers_that_arrived_before_the_link_broke_still_count(world: World) -> None:
    async with world.connected() as conn:
        call = await begin(conn.call(Counter.increment))
        world.link.answer(cbor.encode(1))
        world.link.lose()
        assert await call == 1


async def test_calls_made_while_disconnected_are_sent_in_order_once_connected(world: World) -> None:
    async with world.connected() as conn:
        world.access.next_connect(error("client.request_failed", reason="down"))
        await world.lose()
        calls = [await begin(conn.call(Counter.increment, by)) for by in (1, 2)]
        await world.clock.advance(0.25)
        assert [cbor.decode(request.args) for request in world.link.requests] == [[1], [2]]
        world.link.answer(cbor.encode(1), index=0)
        world.link.answer(cbor.encode(2), index=1)
        assert [await call for call in calls] == [1, 2]


async def test_a_call_made_before_a_broken_link_is_noticed_goes_to_the_next_one(world: World) -> None:
    async with world.connected() as conn:
        world.link.lose()
        call = await begin(conn.call(Counter.increment, 3))
        assert [cbor.decode(request.args) for request in world.link.requests] == [[3]]
        world.link.answer(cbor.encode(3))
        assert await call == 3


async def test_a_failure_that_races_a_cancellation_is_not_reported_as_unseen(world: World) -> None:
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    async with world.connected() as conn:
        call = await begin(conn.call(Counter.increment))
        conn.on_status_change(lambda _: call.cancel())
        await world.lose(1011, "auth.forbidden")
        assert call.cancelled()
    gc.collect()
    assert reported == []


async def test_a_call_that_waits_for_the_connection_times_out(world: World) -> None:
    async with world.connected() as conn:
        world.access.next_connect(*[error("client.request_failed", reason="down")] * 50)
        await world.lose()
        call = await begin(conn.action(Counter.increment, timeout=2.0)())
        await world.clock.advance(2.0)
        assert identity(await failure_of(call)) == "client.timed_out"


async def test_too_many_waiting_calls_are_refused(world: World) -> None:
    async with world.connected() as conn:
        world.access.next_connect(*[error("client.request_failed", reason="down")] * 50)
        await world.lose()
        waiting = [await begin(conn.call(Counter.increment)) for _ in range(MAX_WAITING)]
        with pytest.raises(Overloaded):
            await conn.call(Counter.increment)
        for call in waiting:
            call.cancel()
        await asyncio.wait(waiting)


async def test_a_call_the_link_refuses_fails_alone(world: World) -> None:
    async with world.connected() as conn:
        world.link.refuse_next = error("actor.overloaded", channel="connection", capacity=1)
        with pytest.raises(Overloaded):
            await conn.call(Counter.increment)
        call = await begin(conn.call(Counter.increment))
        world.link.answer(cbor.encode(1))
        assert await call == 1


async def test_closing_fails_open_calls(world: World) -> None:
    async with world.connected() as conn:
        call = await begin(conn.call(Counter.increment))
    assert identity(await failure_of(call)) == "client.disposed"
    assert world.link.closed == (1000, "Disposed")


async def test_a_call_after_closing_is_refused(world: World) -> None:
    async with world.connected() as conn:
        pass
    assert identity(await failure_of(conn.call(Counter.increment))) == "client.disposed"


async def test_a_call_on_a_connection_that_was_not_entered_is_refused(world: World) -> None:
    failure = await failure_of(world.counter.connect().call(Counter.increment))
    assert identity(failure) == "actor.invalid_operation"


async def test_closing_the_client_closes_its_connections(world: World) -> None:
    async with world.connected() as conn:
        call = await begin(conn.call(Counter.increment))
        await world.client.aclose()
        assert identity(await failure_of(call)) == "client.disposed"
        assert conn.status == "closed"


async def test_a_connection_opens_once(world: World) -> None:
    async with world.connected() as conn:
        pass
    with pytest.raises(Exception, match="a connection opens once"):
        async with conn:
            pass


async def test_a_link_that_does_not_close_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    conn = world.counter.connect()
    await conn.__aenter__()
    monkeypatch.setattr(world.link, "close", never)
    closing = await begin(conn.aclose())
    assert not closing.done()
    await world.clock.advance(CLOSE_TIMEOUT)
    await closing


async def test_a_result_of_another_type_fails_the_call_alone(world: World) -> None:
    async with world.connected() as conn:
        call = await begin(conn.call(Counter.increment))
        world.link.answer(cbor.encode("seven"))
        assert isinstance(await failure_of(call), ValidationError)
        assert conn.status == "connected"


async def test_ids_are_not_used_again_after_a_reconnect(world: World) -> None:
    async with world.connected() as conn:
        lost = await begin(conn.call(Counter.increment))
        first = world.link.requests[0].id
        await world.lose()
        await failure_of(lost)
        call = await begin(conn.call(Counter.increment))
        assert world.link.requests[0].id != first
        call.cancel()
        await settle()
