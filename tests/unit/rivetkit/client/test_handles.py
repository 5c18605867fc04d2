from __future__ import annotations

from typing import cast

import pytest
from live_world import Counter, Steady, World, begin, failure_of, identity, named

from rivetkit import Actor, Contract, Event, LiveStub, Stub, action, create_state
from rivetkit.client import Client
from rivetkit.client._retry import CALL_BUDGET
from rivetkit_core.errors import ActorNotFound, ValidationError, error
from rivetkit_core.host.port import ById, ByKey
from rivetkit_core.testing import FakeClock
from rivetkit_core.testing.links import ScriptedAccess
from rivetkit_core.wire import cbor


class CounterContract(Contract):
    changed = Event[int]()

    @action
    async def increment(self, by: int = 1) -> int:
        raise NotImplementedError


class CounterStub(Stub, CounterContract): ...


class LiveCounter(LiveStub, CounterContract): ...


class Room(Actor):
    state: str = ""

    @create_state
    def initial(self, title: str) -> str:
        return title

    @action
    async def title(self) -> str:
        return self.state


@pytest.fixture
def world() -> World:
    return World()


async def test_a_call_goes_to_the_actor_with_encoded_arguments(world: World) -> None:
    world.access.next_call(cbor.encode(3))
    assert await world.counter.call(Counter.increment, 2) == 3
    [call] = world.access.calls
    assert call.target == ByKey("counter", ("a",), create=True)
    assert (call.action, cbor.decode(call.args), call.params) == ("increment", [2], None)


async def test_wrong_arguments_are_refused_before_anything_is_sent(world: World) -> None:
    with pytest.raises(ValidationError):
        await world.counter.call(Counter.increment, cast("int", "many"))
    assert world.access.calls == []


async def test_a_call_by_name_takes_and_gives_plain_data(world: World) -> None:
    world.access.next_call(cbor.encode([1, "two"]))
    assert await world.counter.call_by_name("anything", {"a": 1}) == [1, "two"]
    assert cbor.decode(world.access.calls[0].args) == [{"a": 1}]


async def test_parameters_go_with_every_call(world: World) -> None:
    handle = world.client.get(Counter, "a", params={"name": "Ada"})
    world.access.next_call(cbor.encode(1), cbor.encode(2))
    await handle.call(Counter.increment)
    await handle.action(Counter.increment, params={"name": "Bob"})()
    sent = [cbor.decode(call.params or b"") for call in world.access.calls]
    assert sent == [{"name": "Ada"}, {"name": "Bob"}]


async def test_parameters_that_cannot_travel_are_refused(world: World) -> None:
    with pytest.raises(ValidationError, match="connection parameters"):
        await world.client.get(Counter, "a", params=object()).call(Counter.increment)


async def test_a_call_without_an_answer_times_out(world: World) -> None:
    call = await begin(world.counter.action(Counter.increment, timeout=2.0)())
    await world.clock.advance(2.0)
    assert identity(await failure_of(call)) == "client.timed_out"


async def test_the_default_timeout_is_the_clients() -> None:
    clock = FakeClock()
    client = Client(transport=ScriptedAccess(), clock=clock, entropy=Steady(), timeout=1.5)
    call = await begin(client.get(Counter, "a").call(Counter.increment))
    await clock.advance(1.5)
    assert identity(await failure_of(call)) == "client.timed_out"


@pytest.mark.parametrize(
    "code",
    [
        "actor.starting",
        "actor.stopping",
        "actor.destroying",
        "actor.not_ready",
        "actor.not_found",
        "guard.actor_wake_retries_exceeded",
    ],
)
async def test_a_call_between_two_lives_is_repeated(world: World, code: str) -> None:
    failure = named(code)
    world.access.next_call(failure, failure, cbor.encode(1))
    call = await begin(world.counter.call(Counter.increment))
    await world.clock.advance(0.1)
    assert await call == 1
    assert len(world.access.calls) == 3


async def test_a_call_to_an_actor_that_is_being_destroyed_finds_out_that_it_is_gone(world: World) -> None:
    world.access.next_call(named("actor.destroyed_while_waiting_for_ready"), error("actor.not_found"))
    call = await begin(world.client.get_for_id(Counter, "actor-9").call(Counter.increment))
    await world.clock.advance(0.1)
    assert identity(await failure_of(call)) == "actor.not_found"


async def test_repeating_ends(world: World) -> None:
    world.access.next_call(*[error("actor.starting")] * 100)
    call = await begin(world.counter.call(Counter.increment))
    await world.clock.advance(CALL_BUDGET)
    assert identity(await failure_of(call)) == "actor.starting"


@pytest.mark.parametrize(
    "code",
    [
        "actor.overloaded",
        "actor.dropped_reply",
        "client.connection_lost",
        "actor.aborted",
        "guard.actor_stopped_while_waiting",
        "user.nope",
    ],
)
async def test_a_failure_that_may_have_had_effects_is_not_repeated(world: World, code: str) -> None:
    failure = named(code)
    world.access.next_call(failure, cbor.encode(1))
    assert await failure_of(world.counter.call(Counter.increment)) is failure
    assert len(world.access.calls) == 1


async def test_a_get_handle_fails_at_once_when_there_is_no_actor(world: World) -> None:
    world.access.next_call(error("actor.not_found"), cbor.encode(1))
    with pytest.raises(ActorNotFound):
        await world.client.get(Counter, "a").call(Counter.increment)


async def test_keys_are_a_string_or_several() -> None:
    access = ScriptedAccess()
    client = Client(transport=access)
    access.next_call(*[cbor.encode(1)] * 3)
    for key in ("a", ["a", "b"], ()):
        await client.get(Counter, key).call(Counter.increment)
    assert [call.target for call in access.calls] == [
        ByKey("counter", ("a",)),
        ByKey("counter", ("a", "b")),
        ByKey("counter", ()),
    ]


async def test_a_key_consists_of_strings(world: World) -> None:
    with pytest.raises(TypeError, match="strings, not 3"):
        world.client.get(Counter, cast("list[str]", [3]))


async def test_an_input_is_packed_by_the_actors_state_factory(world: World) -> None:
    world.access.next_call(cbor.encode("x"))
    await world.client.get_or_create(Room, "a", input=Room.initial("hi"), region="eu").call(Room.title)
    target = world.access.calls[0].target
    assert target == ByKey("room", ("a",), create=True, input=cbor.encode("hi"), region="eu")


async def test_create_returns_a_handle_that_stays_with_the_actor(world: World) -> None:
    handle = await world.client.create(Counter, "a")
    assert await handle.resolve() == "id of counter"
    world.access.next_call(cbor.encode(1))
    await handle.call(Counter.increment)
    assert world.access.calls[0].target == ById("id of counter")


async def test_a_handle_by_id_does_not_name_the_actor(world: World) -> None:
    world.access.next_call(cbor.encode(1))
    await world.client.get_for_id(Counter, "actor-9").call(Counter.increment)
    assert world.access.calls[0].target == ById("actor-9")


async def test_actors_of_other_languages_are_reached_by_name(world: World) -> None:
    world.access.next_call(cbor.encode(5), cbor.encode(None))
    assert await world.client.get_by_name("counter", "a").call_by_name("increment", 5) == 5
    by_name = world.client.get_or_create_by_name("room", ["x"], input={"title": "hi"})
    assert await by_name.call_by_name("title") is None
    assert [call.target for call in world.access.calls] == [
        ByKey("counter", ("a",)),
        ByKey("room", ("x",), create=True, input=cbor.encode({"title": "hi"})),
    ]
    assert await (await world.client.create_by_name("room")).resolve() == "id of room"


async def test_a_contract_types_a_handle_by_name(world: World) -> None:
    handle = world.client.get_by_name("counter", "a", CounterContract)
    world.access.next_call(cbor.encode(5))
    assert await CounterStub(handle).increment(by=5) == 5


async def test_a_live_stub_receives_events(world: World) -> None:
    handle = world.client.get_by_name("counter", "a", CounterContract)
    async with handle.connect() as conn, LiveCounter(conn).changed as changed:
        await world.emit(8)
        assert await anext(changed) == 8


async def test_a_contract_alone_does_not_say_which_actor_is_meant(world: World) -> None:
    with pytest.raises(TypeError, match="get_by_name"):
        world.client.get(CounterContract, "a")


async def test_an_actor_in_this_process_has_no_gateway_url(world: World) -> None:
    assert identity(await failure_of(world.counter.gateway_url())) == "actor.invalid_operation"


async def test_a_closed_client_refuses_calls_and_connections(world: World) -> None:
    async with world.client:
        handle = world.counter
    assert identity(await failure_of(handle.call(Counter.increment))) == "client.disposed"
    assert identity(await failure_of(handle.connect().__aenter__())) == "client.disposed"
    assert identity(await failure_of(world.client.create(Counter))) == "client.disposed"


async def test_a_transport_that_was_given_is_not_closed(world: World) -> None:
    await world.client.aclose()
    assert not world.access.closed


async def test_a_handle_does_not_show_its_input(world: World) -> None:
    handle = world.client.get_or_create(Room, ["a"], input=Room.initial("secret"))
    assert repr(handle) == "<ActorHandle of actor room['a']>"
