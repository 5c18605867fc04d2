from __future__ import annotations

from typing import NamedTuple, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from rivetkit import Actor, Context, Contract, Event, InvalidActor, ValidationError, action, actor
from rivetkit_core.wire import cbor
from tests.unit.rivetkit.typed_fakes import FakeConnection, FakeContext, admit, call, start


class Place(NamedTuple):
    x: int
    y: int


@actor
class Ticker(Actor):
    changed = Event[int]()
    moved = Event[tuple[int, str]]()
    placed = Event[Place](name="placeChanged")
    noted = Event["Note"]()
    listed = Event[list[int]]()
    emptied = Event[None]()

    @action
    async def tick(self, value: object) -> None:
        self.changed.broadcast(cast("int", value))

    @action
    async def move(self) -> None:
        self.moved.broadcast((1, "a"))
        self.listed.broadcast([1, 2])
        self.placed.broadcast(Place(3, 4))
        self.emptied.broadcast(None)


class Promise(Contract):
    said = Event[str]()

    @action
    async def speak(self) -> None:
        raise NotImplementedError


class Promised(Actor, Promise):
    @action
    async def speak(self) -> None:
        self.said.broadcast("hi")


class Note(BaseModel):
    text: str


async def test_one_payload_is_one_argument() -> None:
    context = FakeContext()
    await call(start(Ticker, context), "tick", 5)
    assert context.broadcasts == [("changed", [5])]


async def test_only_tuples_are_spread() -> None:
    context = FakeContext()
    await call(start(Ticker, context), "move")
    assert context.broadcasts == [
        ("moved", [1, "a"]),
        ("listed", [[1, 2]]),
        ("placeChanged", [3, 4]),
        ("emptied", [None]),
    ]


async def test_a_wrong_payload_is_an_error_inside_the_actor() -> None:
    context = FakeContext()
    with pytest.raises(ValidationError, match="Invalid event `changed` payload"):
        await call(start(Ticker, context), "tick", "x")
    assert context.broadcasts == []


async def test_an_event_declared_by_a_contract_is_broadcast() -> None:
    context = FakeContext()
    await call(start(Promised, context), "speak")
    assert context.broadcasts == [("said", ["hi"])]


async def test_an_event_can_go_to_one_connection() -> None:
    ticker, conn = Ticker(), await admit(start(Ticker), FakeConnection())
    ticker.changed.send(conn.attachment, 7)  # pyright: ignore[reportArgumentType]  # set by before_connect
    assert conn.sent == [("changed", [7])]


def test_an_actor_without_a_runtime_broadcasts_to_nobody() -> None:
    Ticker().changed.broadcast(1)


def test_an_actor_without_a_runtime_still_checks_payloads() -> None:
    with pytest.raises(ValidationError):
        Ticker().changed.broadcast("x")  # pyright: ignore[reportArgumentType]  # the point of the test


def test_a_reference_decodes_a_single_payload() -> None:
    assert Ticker.changed.decode_args(cbor.encode([5.0])) == 5


def test_a_reference_decodes_a_spread_tuple() -> None:
    assert Ticker.moved.decode_args(cbor.encode([1, "a"])) == (1, "a")


def test_a_reference_decodes_a_named_tuple() -> None:
    assert Ticker.placed.decode_args(cbor.encode([1, 2])) == Place(1, 2)


@given(number=st.integers(-(2**53), 2**53), text=st.text())
def test_a_spread_payload_arrives_as_it_was_sent(number: int, text: str) -> None:
    context = FakeContext()
    ticker = Ticker()
    ticker.__rivet_context__ = Context(context.core)
    ticker.moved.broadcast((number, text))
    [(name, args)] = context.broadcasts
    assert (name, Ticker.moved.decode_args(cbor.encode(args))) == ("moved", (number, text))


def test_a_payload_type_may_be_declared_later() -> None:
    assert Ticker.noted.decode_args(cbor.encode([{"text": "x"}])) == Note(text="x")


def test_an_event_without_arguments_carries_none() -> None:
    assert Ticker.emptied.decode_args(cbor.encode([])) is None


def test_several_arguments_do_not_fit_a_single_payload() -> None:
    with pytest.raises(ValidationError, match="event `changed` payload"):
        Ticker.changed.decode_args(cbor.encode([1, 2]))


def test_the_name_for_clients_is_on_the_reference() -> None:
    assert (Ticker.placed.name, Ticker.changed.name) == ("placeChanged", "changed")


def test_an_event_without_a_type_is_refused() -> None:
    bare = Event()  # pyright: ignore[reportUnknownVariableType]  # the point of the test
    with pytest.raises(InvalidActor, match="does not say what it carries"):
        _ = bare.codec
