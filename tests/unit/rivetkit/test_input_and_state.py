from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import BaseModel

from rivetkit import Actor, RivetError, ValidationError, action, actor, create_state
from rivetkit_core.wire import cbor
from tests.unit.rivetkit.typed_fakes import FakeContext, call, start


class Message(BaseModel):
    author: str


class RoomState(BaseModel):
    title: str = "untitled"
    messages: list[Message] = []
    limit: int = 10


@actor(name="chatRoom")
class Room(Actor):
    state: RoomState

    @create_state
    def initial(self, title: str = "untitled") -> RoomState:
        return RoomState(title=title)

    @action
    def rename(self, title: Any) -> None:
        self.state.title = title

    @action
    def replace(self) -> None:
        self.state = RoomState(title="replaced")


class Both(Actor):
    state: RoomState

    @create_state
    async def initial(self, title: str, *, limit: int = 3) -> RoomState:
        return RoomState(title=title, limit=limit)


class Whole(Actor):
    state: RoomState

    @create_state
    def begin(self, room: RoomState) -> RoomState:
        return room


class Many(Actor):
    state: list[int]

    @create_state
    def initial(self, first: list[int]) -> list[int]:
        return first


class Counter(Actor):
    state: int = 5

    @action
    async def increment(self) -> int:
        self.state += 1
        return self.state


@dataclass
class Tally:
    counts: dict[str, int] = field(default_factory=dict[str, int])


class Tallying(Actor):
    state: Tally


class Listed(Actor):
    state: list[int] = [1]  # noqa: RUF012 - the runtime copies it


async def made(cls: type[Actor], input: bytes | None) -> object:
    instance = start(cls)
    await instance.create_state(input)
    return cbor.decode(instance.encode_state())


@pytest.mark.parametrize(
    ("encoded", "value"),
    [
        pytest.param(Room.initial(title="General").encode(), "General", id="whole"),
        pytest.param(Both.initial("x", limit=4).encode(), {"title": "x", "limit": 4}, id="by-name"),
        pytest.param(Both.initial("x").encode(), {"title": "x"}, id="given-ones-only"),
        pytest.param(
            Whole.begin(RoomState()).encode(), {"title": "untitled", "messages": [], "limit": 10}, id="model"
        ),
        pytest.param(Room.initial().encode(), "undefined", id="nothing"),
    ],
)
def test_input_travels_as_one_value(encoded: bytes, value: object) -> None:
    assert cbor.decode(encoded, undefined="undefined") == value


async def test_a_single_parameter_receives_the_input_whole() -> None:
    assert await made(Many, cbor.encode([1, 2])) == [1, 2]


async def test_several_parameters_receive_the_input_by_name() -> None:
    assert await made(Both, Both.initial("x", limit=4).encode()) == {"title": "x", "messages": [], "limit": 4}


async def test_a_list_is_not_spread() -> None:
    with pytest.raises(ValidationError, match="Invalid input"):
        await made(Both, cbor.encode(["x", 4]))


async def test_an_unknown_name_in_the_input_is_refused() -> None:
    with pytest.raises(ValidationError) as caught:
        await made(Both, cbor.encode({"title": "x", "limti": 4}))
    assert caught.value.issues[0].path == ("limti",)


@pytest.mark.parametrize("input", [None, b"\xf6", Room.initial().encode()], ids=["none", "null", "undefined"])
async def test_defaults_stand_in_for_a_missing_input(input: bytes | None) -> None:
    assert await made(Room, input) == {"title": "untitled", "messages": [], "limit": 10}


@pytest.mark.parametrize("cls", [Whole, Both])
async def test_a_required_input_that_is_missing_is_said_to_be(cls: type[Actor]) -> None:
    with pytest.raises(RivetError, match=r"actor\.missing_input"):
        await made(cls, None)


async def test_null_is_a_missing_required_input() -> None:
    with pytest.raises(RivetError, match=r"actor\.missing_input"):
        await made(Whole, b"\xf6")


def test_a_bad_input_is_refused_by_the_caller() -> None:
    with pytest.raises(ValidationError, match="Invalid input"):
        Room.initial(title=3)  # pyright: ignore[reportArgumentType]  # the point of the test


async def test_a_class_default_is_the_first_state() -> None:
    assert await made(Counter, None) == 5


async def test_a_state_type_with_defaults_makes_itself() -> None:
    assert await made(Tallying, None) == {"counts": {}}


def test_a_mutable_default_is_copied_for_each_actor() -> None:
    first, second = Listed(), Listed()
    first.state.append(2)
    assert second.state == [1]


async def test_stored_state_is_loaded_into_its_type() -> None:
    instance = start(Room)
    instance.restore_state(cbor.encode({"title": "x", "limit": 7.0}))
    assert cbor.decode(instance.encode_state()) == {"title": "x", "messages": [], "limit": 7}


def test_state_that_no_longer_fits_names_actor_and_field() -> None:
    with pytest.raises(ValidationError) as caught:
        start(Room).restore_state(cbor.encode({"messages": [{"text": "x"}]}))
    assert caught.value.message == (
        "State of chatRoom no longer fits RoomState: messages.0.author: Field required"
    )


async def test_equal_states_give_equal_bytes() -> None:
    first, second = start(Room), start(Room)
    await first.create_state(None)
    second.restore_state(first.encode_state())
    assert first.encode_state() == second.encode_state()


async def test_a_value_of_another_type_in_the_state_is_found_when_it_is_stored() -> None:
    room = start(Room)
    await room.create_state(None)
    await call(room, "rename", [1])
    with pytest.raises(ValidationError, match="state of chatRoom"):
        room.encode_state()


async def test_assigning_the_state_replaces_it() -> None:
    room = start(Room)
    await room.create_state(None)
    await call(room, "replace")
    assert cbor.decode(room.encode_state()) == {"title": "replaced", "messages": [], "limit": 10}


async def test_assigning_the_state_is_refused_inside_on_state_change() -> None:
    context = FakeContext()
    room = start(Room, context)
    await room.create_state(None)
    context.in_state_change = True
    with pytest.raises(RivetError, match="state_mutation_reentrant"):
        await call(room, "replace")


async def test_an_actor_without_a_runtime_keeps_its_state_as_a_plain_attribute() -> None:
    counter = Counter()
    counter.state = 41
    assert await counter.increment() == 42


def test_a_state_that_was_never_made_says_so() -> None:
    with pytest.raises(AttributeError, match="state of Room has not been made yet"):
        _ = Room().state


def test_an_actor_without_state_has_none() -> None:
    class Stateless(Actor): ...

    assert not start(Stateless).has_state
    with pytest.raises(RivetError, match="state_not_enabled"):
        start(Stateless).encode_state()


def test_the_initial_method_stays_callable_on_an_actor() -> None:
    assert Room().initial("x").title == "x"
