"""States of older classes are brought up to date, and states that cannot be read are left alone."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from rivetkit import Actor, InvalidActor, RivetError, action, actor, migrate_state
from rivetkit._compiler import compile_actor
from rivetkit_core.entropy import SeededEntropy
from rivetkit_core.host.embedded.host import EmbeddedHost
from rivetkit_core.host.port import ByKey
from rivetkit_core.testing import FakeClock, MemoryStore
from rivetkit_core.wire import cbor
from rivetkit_core.wire.persisted import ACTOR_KEY, decode_actor
from tests.unit.rivetkit.typed_fakes import start


class First(BaseModel):
    name: str = "Ada Lovelace"


class Second(BaseModel):
    state_version: ClassVar[int] = 2
    given: str = ""
    family: str = ""

    @migrate_state(1)
    @staticmethod
    def split_name(state: dict[str, Any]) -> dict[str, Any]:
        given, family = state["name"].split()
        return {"given": given, "family": family}


class Third(Second):
    state_version: ClassVar[int] = 3
    visits: int = 0

    @migrate_state(2)
    @staticmethod
    def count_visits(state: dict[str, Any]) -> dict[str, Any]:
        return {**state, "visits": 1}


@actor(name="person")
class FirstPerson(Actor):
    state: First

    @action
    def look(self) -> dict[str, Any]:
        return self.state.model_dump()


@actor(name="person")
class SecondPerson(Actor):
    state: Second

    @action
    def look(self) -> dict[str, Any]:
        return self.state.model_dump()


@actor(name="person")
class ThirdPerson(Actor):
    state: Third

    @action
    def look(self) -> dict[str, Any]:
        return self.state.model_dump()


PERSON = ByKey("person", ("a",), create=True)


async def look(store: MemoryStore, cls: type[Actor]) -> object:
    """One life of the host, in which the actor is called once."""
    host = EmbeddedHost([compile_actor(cls)], store=store, clock=FakeClock(), entropy=SeededEntropy(1))
    await host.open()
    try:
        return cbor.decode(await host.access.call(PERSON, "look", cbor.encode([]), params=None))
    finally:
        await host.close()


def stored(store: MemoryStore) -> object:
    [records] = store.records.values()
    return cbor.decode(decode_actor(records[ACTOR_KEY]).state)


async def test_an_older_state_climbs_every_step() -> None:
    store = MemoryStore()
    await look(store, FirstPerson)
    assert await look(store, ThirdPerson) == {"given": "Ada", "family": "Lovelace", "visits": 1}
    assert stored(store) == {
        "$version": 3,
        "$state": {"given": "Ada", "family": "Lovelace", "visits": 1},
    }


async def test_a_state_of_the_present_version_climbs_nothing() -> None:
    store = MemoryStore()
    await look(store, SecondPerson)
    assert await look(store, SecondPerson) == {"given": "", "family": ""}


async def test_a_state_without_versions_is_stored_as_it_is() -> None:
    store = MemoryStore()
    await look(store, FirstPerson)
    assert stored(store) == {"name": "Ada Lovelace"}


async def test_a_newer_state_is_refused_and_left_alone() -> None:
    store = MemoryStore()
    await look(store, ThirdPerson)
    [before] = store.records.values()
    kept = dict(before)
    for older in (SecondPerson, FirstPerson, SecondPerson):
        with pytest.raises(RivetError, match=r"actor\.state_unreadable: .* version 3, and this code knows"):
            await look(store, older)
    assert list(store.records.values()) == [kept]
    assert await look(store, ThirdPerson) == {"given": "", "family": "", "visits": 0}


async def test_a_step_that_fails_is_told_and_the_state_left_alone() -> None:
    store = MemoryStore()
    await look(store, FirstPerson)
    [records] = store.records.values()
    record = records[ACTOR_KEY] = records[ACTOR_KEY].replace(b"Ada Lovelace", b"AdaALovelace")
    with pytest.raises(RivetError, match=r"the step from version 1 failed with ValueError"):
        await look(store, SecondPerson)
    assert {records[ACTOR_KEY] for records in store.records.values()} == {record}


def test_a_state_that_only_looks_like_a_version_is_one_of_version_1() -> None:
    class Odd(Actor):
        state: dict[str, int] = {}  # noqa: RUF012 - copied for every actor

    instance = start(Odd)
    for state in ({"$version": 2}, {"$version": 2, "$state": 1, "x": 1}):
        instance.restore_state(cbor.encode(state))
        assert cbor.decode(instance.encode_state()) == state


def test_a_step_is_callable_in_a_test() -> None:
    assert Second.split_name({"name": "Ada Lovelace"}) == {"given": "Ada", "family": "Lovelace"}


class Unversioned(BaseModel):
    @migrate_state(1)
    @staticmethod
    def step(state: object) -> object:
        return state


class WithGap(BaseModel):
    state_version: ClassVar[int] = 4

    @migrate_state(1)
    @staticmethod
    def first(state: object) -> object:
        return state

    @migrate_state(3)
    @staticmethod
    def third(state: object) -> object:
        return state


class Twice(BaseModel):
    state_version: ClassVar[int] = 2

    @migrate_state(1)
    @staticmethod
    def first(state: object) -> object:
        return state

    @migrate_state(1)
    @staticmethod
    def again(state: object) -> object:
        return state


class Beyond(BaseModel):
    state_version: ClassVar[int] = 2

    @migrate_state(1)
    @staticmethod
    def first(state: object) -> object:
        return state

    @migrate_state(2)
    @staticmethod
    def second(state: object) -> object:
        return state


class NoNumber(BaseModel):
    state_version: ClassVar[str] = "2"


class WithSelf(BaseModel):
    state_version: ClassVar[int] = 2

    @migrate_state(1)
    def step(self, state: object) -> object:
        return state


class Awaits(BaseModel):
    state_version: ClassVar[int] = 2

    @migrate_state(1)
    @staticmethod
    async def step(state: object) -> object:
        return state


class FromNothing(BaseModel):
    state_version: ClassVar[int] = 1

    @migrate_state(0)
    @staticmethod
    def step(state: object) -> object:
        return state


class WithSelfActor(Actor):
    state: WithSelf


class AwaitsActor(Actor):
    state: Awaits


class FromNothingActor(Actor):
    state: FromNothing


class UnversionedActor(Actor):
    state: Unversioned


class WithGapActor(Actor):
    state: WithGap


class TwiceActor(Actor):
    state: Twice


class BeyondActor(Actor):
    state: Beyond


class NoNumberActor(Actor):
    state: NoNumber


@pytest.mark.parametrize(
    ("cls", "advice"),
    [
        (UnversionedActor, r"write `state_version: ClassVar\[int\] = 2` into it"),
        (WithGapActor, r"write a function with `@migrate_state\(2\)`"),
        (TwiceActor, "two steps from version 1: keep one"),
        (BeyondActor, "set `state_version` to 3, or remove the step"),
        (WithSelfActor, "a plain function of one argument"),
        (AwaitsActor, "a plain function of one argument"),
        (FromNothingActor, "versions count from 1"),
        (NoNumberActor, "does not say which version"),
    ],
)
def test_a_ladder_with_a_flaw_is_refused_at_registration(cls: type[Actor], advice: str) -> None:
    with pytest.raises(InvalidActor, match=advice):
        compile_actor(cls)
