"""Declared actors that choose who may hear what, and who has to go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from rivetkit import (
    Actor,
    ActorConnection,
    ActorHandle,
    Conn,
    Event,
    EventRef,
    Forbidden,
    InvalidActor,
    Queue,
    QueueRef,
    Registry,
    RivetError,
    UserError,
    action,
    actor,
)
from rivetkit._compiler import compile_actor


class Hall(Actor):
    """Lets in whoever says so, and writes down who came and went."""

    state: list[str]
    conn: Conn[str, str]

    said = Event[str]()
    whispered = Event[str](name="whisper")

    async def create_conn_state(self, params: str) -> str:
        return params.upper()

    async def on_before_subscribe(self, event: str) -> None:
        self.state.append(f"{self.conn.state} asks for {event}")
        if event == "secret":
            raise UserError("there are no secrets", code="no_secrets")

    async def can_subscribe(self, event: EventRef[Any, Any]) -> bool:
        self.state.append(f"{self.conn.state} may hear {event.name}")
        return event != Hall.whispered or self.conn.params == "friend"

    async def on_disconnect(self, conn: Conn[str, str]) -> None:
        if conn.params != "clerk":
            self.state.append(f"{conn.state} left {len(self.visitors())}")

    def visitors(self) -> list[Conn[str, str]]:
        return [conn for conn in self.ctx.conns if conn.params != "clerk"]

    @action
    def log(self) -> list[str]:
        return self.state

    @action
    def heard(self) -> list[list[str]]:
        return [sorted(conn.subscriptions) for conn in self.visitors()]

    @action
    def stays(self) -> bool:
        return self.conn.is_hibernatable

    @action
    def tell(self, text: str) -> None:
        self.said.broadcast(text)
        self.whispered.broadcast(text)

    @action
    async def clear(self, who: str) -> int:
        return await self.ctx.disconnect_conns(lambda conn: conn.params == who, reason="closing time")

    @action
    async def clear_all(self) -> int:
        return await self.ctx.disconnect_conns()

    @action
    async def clear_vaguely(self) -> int:
        return await self.ctx.disconnect_conns(lambda conn: cast("bool", conn.params))


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    registry = Registry(Hall, Vague, data_dir=":memory:")
    async with registry.lifespan():
        yield registry


@pytest.fixture
def hall(registry: Registry) -> ActorHandle[Hall]:
    return registry.client.get_or_create(Hall, "a", params="clerk")


def enter(registry: Registry, who: str) -> ActorConnection[Hall]:
    return registry.client.get_or_create(Hall, "a").connect(params=who)


async def lost(conn: ActorConnection[Any]) -> RivetError:
    """The next failure of a connection."""
    failed: asyncio.Future[RivetError] = asyncio.get_running_loop().create_future()
    remove = conn.on_error(lambda failure: failed.done() or failed.set_result(failure))
    try:
        return await failed
    finally:
        remove()


class Vague(Actor):
    """Says neither yes nor no."""

    said = Event[str]()
    jobs = Queue[str]()

    async def can_subscribe(self, event: EventRef[Any, Any]) -> bool:
        return cast("bool", "yes")

    async def can_publish(self, queue: QueueRef[Any, Any, Any]) -> bool:
        return cast("bool", None)


async def test_the_hooks_are_asked_in_order_with_the_caller(
    registry: Registry, hall: ActorHandle[Hall]
) -> None:
    async with enter(registry, "friend") as conn, conn.events(Hall.whispered) as whispers:
        while await hall.call(Hall.heard) != [["whisper"]]:
            pass
        await hall.call(Hall.tell, "psst")
        assert await anext(whispers) == "psst"
    assert (await hall.call(Hall.log))[:2] == ["FRIEND asks for whisper", "FRIEND may hear whisper"]


async def test_an_actor_sees_which_connections_outlive_its_sleep(
    registry: Registry, hall: ActorHandle[Hall]
) -> None:
    async with enter(registry, "friend") as conn:
        assert await conn.call(Hall.stays)
    assert not await hall.call(Hall.stays)


async def test_a_refused_subscription_ends_the_connection(
    registry: Registry, hall: ActorHandle[Hall]
) -> None:
    async with enter(registry, "stranger") as conn, conn.events(Hall.whispered) as whispers:
        with pytest.raises(Forbidden):
            await anext(whispers)


async def test_the_older_hook_refuses_with_its_own_reason(
    registry: Registry, hall: ActorHandle[Hall]
) -> None:
    async with enter(registry, "friend") as conn, conn.events_by_name("secret") as secrets:
        with pytest.raises(RivetError) as caught:
            await anext(secrets)
    assert (caught.value.group, caught.value.code) == ("user", "no_secrets")


async def test_a_name_that_is_no_event_is_asked_of_the_older_hook_only(
    registry: Registry, hall: ActorHandle[Hall]
) -> None:
    async with enter(registry, "stranger") as conn, conn.events_by_name("nothing"):
        while await hall.call(Hall.heard) != [["nothing"]]:
            pass
    assert (await hall.call(Hall.log))[0] == "STRANGER asks for nothing"
    assert not any("may hear nothing" in line for line in await hall.call(Hall.log))


async def test_unsubscribing_asks_nobody(registry: Registry, hall: ActorHandle[Hall]) -> None:
    async with enter(registry, "friend") as conn:
        async with conn.events(Hall.said):
            while await hall.call(Hall.heard) != [["said"]]:
                pass
        while await hall.call(Hall.heard) != [[]]:
            pass
        assert len(await hall.call(Hall.log)) == 2


async def test_an_answer_that_is_neither_yes_nor_no_opens_no_door(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    vague = registry.client.get_or_create(Vague, "a")
    async with vague.connect() as conn, conn.events(Vague.said):
        assert (await lost(conn)).code == "internal_error"
    assert "can_subscribe has to return True or False, not str" in caplog.text
    with pytest.raises(RivetError) as refused:
        await vague.send(Vague.jobs, "x")
    assert refused.value.code == "internal_error"
    assert "can_publish has to return True or False, not NoneType" in caplog.text


async def test_those_who_are_picked_are_disconnected(registry: Registry, hall: ActorHandle[Hall]) -> None:
    async with enter(registry, "ada") as ada, enter(registry, "bob") as bob:
        before, losing = bob.connection_id, asyncio.create_task(lost(ada))
        assert await hall.call(Hall.clear, "ada") == 1
        assert "closing time" in (await losing).message
        assert bob.connection_id == before
        assert "ADA left 1" in await hall.call(Hall.log)


async def test_without_a_choice_everybody_goes(registry: Registry) -> None:
    hall = registry.client.get_or_create(Hall, "a", params="clerk")
    async with enter(registry, "ada"), enter(registry, "bob"):
        assert await hall.call(Hall.clear_all) == 3


async def test_a_choice_that_is_neither_yes_nor_no_disconnects_nobody(
    registry: Registry, hall: ActorHandle[Hall], caplog: pytest.LogCaptureFixture
) -> None:
    async with enter(registry, "ada") as ada:
        before = ada.connection_id
        with pytest.raises(RivetError):
            await hall.call(Hall.clear_vaguely)
        assert "what picks connections has to return True or False, not str" in caplog.text
        await ada.call(Hall.tell, "still here")
        assert ada.connection_id == before


class Misspelt(Actor):
    async def can_subscrbe(self, event: object) -> bool:
        return False


class Unasked(Actor):
    async def can_subscribe(self) -> bool:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]  # the mistake
        return False


class Blocking(Actor):
    def can_subscribe(self, event: object) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride]  # the mistake
        return False


class Taken(Actor):
    can_subscribe: Any = Event[int]()


@pytest.mark.parametrize(
    ("cls", "advice"),
    [
        (Misspelt, "did you mean can_subscribe"),
        (Unasked, "accept 1 argument"),
        (Blocking, "hooks are async"),
        (Taken, "a name the runtime uses"),
    ],
)
def test_a_mistaken_hook_is_explained(cls: type[Actor], advice: str) -> None:
    with pytest.raises(InvalidActor, match=advice):
        compile_actor(cls)


@actor
class Own(Actor):
    async def can_open_doors(self) -> bool:
        return True


def test_authors_have_predicates_of_their_own() -> None:
    compile_actor(Own)
