from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pytest
from pydantic import BaseModel

from rivetkit import Actor, Conn, RivetError, UserError, ValidationError, action, actor
from rivetkit._compiler import compile_actor, wire_name
from rivetkit_core.actor.factory import ActionSpec
from rivetkit_core.wire import cbor
from tests.unit.rivetkit.typed_fakes import FakeConnection, FakeContext, ImpatientClock, admit, call, start

if TYPE_CHECKING:
    from rivetkit.client import Client


class Member(BaseModel):
    name: str


@dataclass
class Visit:
    calls: int = 0


@actor(name="chatRoom", action_timeout=3.0, durability="strict")
class Room(Actor):
    state: list[str]
    conn: Conn[Member, Visit]
    vars: dict[str, int]

    async def create_vars(self) -> dict[str, int]:
        return {"made": 1}

    async def on_create(self) -> None:
        self.state.append("created")

    async def on_wake(self) -> None:
        self.state.append("woken")

    async def on_destroy(self) -> None:
        self.state.append("destroyed")

    async def on_state_change(self) -> None:
        self.vars["changes"] = self.vars.get("changes", 0) + 1

    async def on_before_connect(self, params: Member) -> None:
        if params.name == "Mallory":
            raise UserError("not you", code="banned", metadata=Member(name="Mallory"))

    async def create_conn_state(self, params: Member) -> Visit:
        return Visit(calls=len(params.name))

    async def on_connect(self, conn: Conn[Member, Visit]) -> None:
        self.state.append(f"{conn.params.name} came as {self.conn.id}")

    async def on_disconnect(self, conn: Conn[Member, Visit]) -> None:
        self.state.append(f"{conn.params.name} left")

    @action(durability="throttled")
    async def who(self) -> str:
        self.conn.state.calls += 1
        return f"{self.conn.params.name} {self.conn.state.calls}"

    @action
    def log(self) -> list[str]:
        return self.state

    @action
    async def who_later(self) -> str:
        return await asyncio.ensure_future(self.who())

    @action
    async def kick(self) -> None:
        await self.conn.disconnect("bye")

    @action
    async def count(self) -> int:
        return self.vars["made"]

    @action
    async def lie(self) -> int:
        return "no"  # pyright: ignore[reportReturnType]  # the point of the test

    @action
    async def fail(self) -> None:
        raise UserError("no", metadata={"member": Member(name="Ada"), "tags": {"x"}, "raw": b"\xff"})

    @action
    async def crash(self) -> None:
        raise KeyError("x")


def ada(**changes: str) -> FakeConnection:
    return FakeConnection(params=cbor.encode({"name": "Ada"} | changes))


async def test_an_action_knows_who_calls() -> None:
    room = start(Room)
    await room.create_state(None)
    assert await call(room, "who", conn=await admit(room, ada())) == "Ada 4"


async def test_tasks_of_an_action_know_who_calls() -> None:
    room = start(Room)
    await room.create_state(None)
    assert await call(room, "who_later", conn=await admit(room, ada())) == "Ada 4"


async def test_two_callers_at_once_stay_apart() -> None:
    room = start(Room)
    await room.create_state(None)
    first, second = await admit(room, ada()), await admit(room, ada(name="Bob"))
    answers = await asyncio.gather(call(room, "who_later", conn=first), call(room, "who_later", conn=second))
    assert answers == ["Ada 4", "Bob 4"]


async def test_without_a_caller_conn_is_refused() -> None:
    with pytest.raises(RivetError, match=r"self\.conn is not possible here: no connection is calling"):
        await call(start(Room), "who")


async def test_a_caller_does_not_leak_into_another_actor() -> None:
    inner = start(Room)

    class Outer(Actor):
        @action
        async def relay(self) -> object:
            return await call(inner, "who")

    outer = start(Outer)
    with pytest.raises(RivetError, match="no connection is calling"):
        await call(outer, "relay", conn=await admit(outer, FakeConnection()))


async def test_parameters_are_validated_before_any_hook() -> None:
    conn = FakeConnection(params=cbor.encode({"nmae": "Ada"}))
    with pytest.raises(ValidationError, match="Invalid connection params"):
        await start(Room).before_connect(conn.core)


async def test_a_refusal_carries_plain_metadata() -> None:
    with pytest.raises(UserError) as caught:
        await start(Room).before_connect(ada(name="Mallory").core)
    assert caught.value.metadata == {"name": "Mallory"}


async def test_lifecycle_hooks_run() -> None:
    room = start(Room)
    await room.create_state(None)
    await room.create_vars()
    await room.on_create(None)
    await room.on_wake()
    conn = await admit(room, ada())
    await room.on_disconnect(conn.core)
    await room.on_state_change()
    await room.on_destroy()
    assert await call(room, "log") == [
        "created",
        "woken",
        "Ada came as conn-1",
        "Ada left",
        "destroyed",
    ]


async def test_vars_come_from_their_hook() -> None:
    room = start(Room)
    await room.create_vars()
    assert await call(room, "count") == 1


async def test_a_connection_can_be_closed() -> None:
    room = start(Room)
    await room.create_state(None)
    conn = await admit(room, ada())
    await call(room, "kick", conn=conn)
    assert conn.closed == ["bye"]


async def test_connection_state_is_validated_when_it_is_assigned() -> None:
    room = start(Room)
    await room.create_state(None)
    attached = (await admit(room, ada())).attachment
    assert isinstance(attached, Conn)
    with pytest.raises(ValidationError, match="connection state"):
        attached.state = 3


async def test_a_connection_that_was_never_admitted_is_refused() -> None:
    with pytest.raises(RivetError, match="was not admitted"):
        await start(Room).on_connect(ada().core)


async def test_a_result_of_another_type_is_an_error_of_the_actor() -> None:
    with pytest.raises(ValidationError, match="action `lie` output"):
        await call(start(Room), "lie")


async def test_an_unknown_action_is_not_found() -> None:
    with pytest.raises(RivetError, match="Action `nope` was not found"):
        await call(start(Room), "nope")


async def test_error_metadata_becomes_plain_data() -> None:
    with pytest.raises(UserError) as caught:
        await call(start(Room), "fail")
    assert caught.value.metadata == {"member": {"name": "Ada"}, "tags": ["x"], "raw": b"\xff"}


async def test_other_exceptions_pass_unchanged() -> None:
    with pytest.raises(KeyError):
        await call(start(Room), "crash")


def test_a_factory_has_name_options_and_actions() -> None:
    factory = compile_actor(Room)
    assert (factory.name, factory.config.action_timeout, factory.config.durability) == (
        "chatRoom",
        3.0,
        "strict",
    )
    assert factory.actions["who"] == ActionSpec("throttled")
    assert factory.actions["log"] == ActionSpec(None)


def test_the_class_name_is_the_name_with_a_small_first_letter() -> None:
    class GameLobby(Actor): ...

    assert wire_name(GameLobby) == "gameLobby"


def test_a_subclass_inherits_options_but_not_the_name() -> None:
    @actor(durability="throttled")
    class Lounge(Room): ...

    factory = compile_actor(Lounge)
    assert (factory.name, factory.config.action_timeout, factory.config.durability) == (
        "lounge",
        3.0,
        "throttled",
    )


def test_a_bare_decorator_and_none_at_all_inherit_options() -> None:
    @actor
    class Lounge(Room): ...

    class Cellar(Room): ...

    factories = [compile_actor(cls) for cls in (Lounge, Cellar)]
    assert [(made.name, made.config.action_timeout) for made in factories] == [
        ("lounge", 3.0),
        ("cellar", 3.0),
    ]


def test_only_an_overridden_hook_observes_state() -> None:
    class Quiet(Actor):
        state: int = 0

    assert (start(Room).observes_state, start(Quiet).observes_state) == (True, False)


class Shared(Actor):
    vars: list[int] = []  # noqa: RUF012 - the runtime copies it

    @action
    async def add(self) -> int:
        self.vars.append(1)
        return len(self.vars)


async def test_default_vars_are_copied_for_each_generation() -> None:
    for _ in range(2):
        instance = start(Shared)
        await instance.create_vars()
        assert await call(instance, "add") == 1


class Loud(Actor):
    @action
    async def say(self, text: str, *, mark: str = "!") -> str:
        return text

    async def on_before_action_response(self, name: str, args: tuple[object, ...], output: str) -> object:
        if output == "fail":
            raise KeyError(output)
        if output == "hang":
            await asyncio.Event().wait()
        return 5 if output == "number" else f"{name}{args} {output.upper()}"


async def test_a_response_hook_replaces_the_result() -> None:
    assert await call(start(Loud), "say", "hi") == "say('hi', '!') HI"


@pytest.mark.parametrize("text", ["fail", "number"])
async def test_a_failing_response_hook_is_logged_and_ignored(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        assert await call(start(Loud), "say", text) == text
    assert "on_before_action_response failed" in caplog.text


async def test_a_hanging_response_hook_is_given_up() -> None:
    assert await call(start(Loud, FakeContext(clock=ImpatientClock())), "say", "hang") == "hang"


class Curious(Actor):
    @action
    async def look(self) -> dict[str, object]:
        ctx = self.ctx
        ctx.request_save(max_wait=0.5)
        await ctx.save_state()
        await ctx.wait_aborted()
        await ctx.destroy()
        return {
            "id": ctx.actor_id,
            "name": ctx.name,
            "key": ctx.key,
            "generation": ctx.generation,
            "region": ctx.region,
            "input": ctx.input,
            "conns": [conn.id for conn in ctx.conns],
            "aborted": ctx.aborted,
        }

    @action
    async def clients(self) -> bool:
        return self.ctx.client is self.ctx.client


async def test_the_context_shows_the_runtime() -> None:
    context = FakeContext(input=cbor.encode({"a": 1}))
    instance = start(Curious, context)
    context.connections["conn-1"] = await admit(instance, FakeConnection())
    context.connections["half-open"] = FakeConnection(id="half-open")
    assert await call(instance, "look") == {
        "id": "actor-1",
        "name": "room",
        "key": ["a", "b"],
        "generation": 1,
        "region": "local",
        "input": {"a": 1},
        "conns": ["conn-1"],
        "aborted": False,
    }
    assert context.calls == ["request_save 0.5", "save_state", "wait_aborted", "destroy"]


async def test_without_a_runtime_there_is_no_context() -> None:
    with pytest.raises(RivetError, match="made without a runtime"):
        _ = Curious().ctx


async def test_a_runtime_without_clients_says_so() -> None:
    with pytest.raises(RivetError, match="this runtime has no client"):
        await call(start(Curious), "clients")


async def test_the_client_is_made_once() -> None:
    made: list[object] = []

    def make(core: object) -> Client:
        made.append(core)
        return cast("Client", object())

    instance = start(Curious, client_factory=make)
    assert await call(instance, "clients") is True
    assert len(made) == 1


async def test_parameters_of_an_untyped_actor_are_plain_data() -> None:
    class Open(Actor): ...

    instance = start(Open)
    conn = FakeConnection(params=cbor.encode({"any": 1}))
    await admit(instance, conn)
    assert cast("Conn[Any, None]", conn.attachment).params == {"any": 1}
