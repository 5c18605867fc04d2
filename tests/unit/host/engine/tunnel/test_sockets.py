"""Websockets through the tunnel (envoy-protocol 6.4)."""

from __future__ import annotations

import asyncio

import pytest

from rivetkit_core.actor.connections import Connection
from rivetkit_core.actor.lifecycle import StopKind
from rivetkit_core.errors import UserError
from rivetkit_core.testing import settle
from rivetkit_core.wire import cbor
from rivetkit_core.wire.envoy.messages import (
    EngineWebSocketClose,
    EngineWebSocketOpen,
    HostWebSocketClose,
    HostWebSocketOpen,
    WebSocketMessage,
)
from rivetkit_core.wire.messages import (
    ActionRequest,
    ActionResponse,
    Encoding,
    ErrorMessage,
    Init,
)
from tests.unit.actor.scripted import Script, Scripted, World
from tests.unit.host.engine.tunnel.fakes import Engine, connect, engine_of, frame


async def echo(_: Scripted, args: list[object]) -> object:
    return args


def ask(id: int, name: str, *args: object) -> WebSocketMessage:
    return frame(ActionRequest(id, name, cbor.encode(list(args))))


def answers(engine: Engine, number: int = 1) -> list[int]:
    """Ids of the actions answered so far."""
    return [message.id for message in engine.frames(number) if isinstance(message, ActionResponse)]


async def test_a_client_is_accepted_before_its_first_message() -> None:
    async with engine_of(World(Script())) as engine:
        await engine.give(1, connect())
        opened, init = engine.about(1)
        assert opened == HostWebSocketOpen(can_hibernate=False)
        assert isinstance(init, WebSocketMessage)
        assert not init.binary
        (conn_id,) = engine.actors[0].connections
        assert engine.frames(1) == [Init("actor1", conn_id)]


async def test_an_encoding_that_is_not_text_travels_as_binary() -> None:
    async with engine_of(World(Script())) as engine:
        await engine.give(1, connect(encoding="bare"))
        (init,) = [kind for kind in engine.about(1) if isinstance(kind, WebSocketMessage)]
        assert init.binary
        assert isinstance(engine.frames(1, Encoding.BARE)[0], Init)


async def test_actions_are_answered_over_a_websocket() -> None:
    async with engine_of(World(Script(actions={"echo": echo}))) as engine:
        await engine.give(1, connect(), ask(1, "echo", "hello"), ask(2, "echo"))
        assert answers(engine) == [1, 2]


async def test_a_query_does_not_hide_the_route() -> None:
    async with engine_of(World(Script())) as engine:
        await engine.give(1, connect("/connect?x=1"))
        assert isinstance(engine.frames(1)[0], Init)


@pytest.mark.parametrize(
    ("opened", "closed"),
    [
        pytest.param(connect("/inspector/connect"), (1011, "actor.not_found"), id="path"),
        pytest.param(connect("/websocket/"), (1000, ""), id="no-handler"),
        pytest.param(connect(encoding="xml"), (1003, "actor.unsupported_websocket_encoding"), id="encoding"),
        pytest.param(connect(actor_id="other"), (1011, "actor.not_found#ray1"), id="actor"),
        pytest.param(
            EngineWebSocketOpen("actor1", "/connect", {"sec-websocket-protocol": "rivet_conn_params.%ff"}),
            (1011, "request.invalid"),
            id="params-not-utf8",
        ),
        pytest.param(
            EngineWebSocketOpen("actor1", "/connect", {"sec-websocket-protocol": "rivet_conn_params.{"}),
            (1011, "request.invalid"),
            id="params-not-json",
        ),
    ],
)
async def test_a_client_is_refused_after_opening(
    opened: EngineWebSocketOpen, closed: tuple[int, str]
) -> None:
    opened = EngineWebSocketOpen(opened.actor_id, opened.path, {**opened.headers, "x-rivet-ray-id": "ray1"})
    async with engine_of(World(Script())) as engine:
        await engine.give(1, opened)
        assert engine.about(1) == [HostWebSocketOpen(can_hibernate=False), HostWebSocketClose(*closed)]


async def test_a_refusal_by_the_actor_is_said_and_closes() -> None:
    async def refuse(_: Scripted, conn: Connection) -> None:
        raise UserError("members only", code="rejected")

    async with engine_of(World(Script(conn_hooks={"before_connect": refuse}))) as engine:
        await engine.give(1, connect())
        assert isinstance(engine.frames(1)[0], ErrorMessage)
        assert engine.closes(1) == [(1011, "user.rejected")]


async def test_a_stopping_actor_leaves_a_new_client_to_the_next_generation() -> None:
    release = asyncio.Event()

    async def slow(_: Scripted, _args: list[object]) -> object:
        await release.wait()
        return None

    async with engine_of(World(Script(actions={"slow": slow}))) as engine:
        await engine.give(1, connect(), ask(1, "slow"))
        stopping = asyncio.create_task(engine.actors[0].stop(StopKind.SLEEP))
        await settle()
        await engine.give(2, connect())
        assert engine.about(2) == [HostWebSocketClose(1011, "actor.stopping")]
        release.set()
        await stopping


async def test_a_client_that_crosses_the_end_of_its_actor_is_tried_again() -> None:
    async with engine_of(World(Script())) as engine:
        await engine.actors.pop().stop(StopKind.SLEEP)
        await engine.tunnel.actor_ended("actor1", 1)
        await engine.give(1, connect())
        assert engine.about(1) == [HostWebSocketClose(1011, "actor.stopping")]


async def test_a_stopping_actor_answers_and_closes_before_it_has_ended() -> None:
    async with engine_of(World(Script(actions={"echo": echo}))) as engine:
        await engine.give(1, connect(), ask(1, "echo"))
        await engine.actors.pop().stop(StopKind.SLEEP)
        await engine.tunnel.actor_ended("actor1", 1)
        assert answers(engine) == [1]
        assert engine.closes(1) == [(1001, "ws.going_away")]


async def test_a_client_that_leaves_is_not_closed_again() -> None:
    world = World(Script())
    async with engine_of(world) as engine:
        await engine.give(1, connect(), EngineWebSocketClose(1000, ""))
        assert engine.closes(1) == []
        assert len(engine.actors[0].connections) == 0
    assert world.log.count("on_disconnect") == 1


async def test_frames_sent_before_leaving_are_served() -> None:
    seen: list[object] = []

    async def note(_: Scripted, args: list[object]) -> object:
        seen.extend(args)
        return None

    async with engine_of(World(Script(actions={"note": note}))) as engine:
        await engine.give(1, connect())
        engine.give_at(1, 1, ask(1, "note", "last"))
        engine.give_at(1, 2, EngineWebSocketClose(1000, ""))
        await settle()
    assert seen == ["last"]


async def test_the_engines_confirmation_of_a_close_changes_nothing() -> None:
    async with engine_of(World(Script())) as engine:
        await engine.give(1, connect("/elsewhere"))
        await engine.give(1, EngineWebSocketClose(1000))
        assert engine.closes(1) == [(1000, "")]


async def test_a_repeated_message_is_dropped() -> None:
    async with engine_of(World(Script(actions={"echo": echo}))) as engine:
        await engine.give(1, connect(), ask(1, "echo"))
        engine.give_at(1, 1, ask(1, "echo"))
        await settle()
        assert answers(engine) == [1]


async def test_a_gap_closes_the_websocket() -> None:
    async with engine_of(World(Script(actions={"echo": echo}))) as engine:
        await engine.give(1, connect())
        engine.give_at(1, 2, ask(1, "echo"))
        await settle()
        assert engine.closes(1) == [(1008, "ws.message_index_skip")]
        assert len(engine.actors[0].connections) == 0


async def test_numbers_wrap_around() -> None:
    async with engine_of(World(Script(actions={"echo": echo}))) as engine:
        engine.give_at(1, 65_535, connect())
        engine.give_at(1, 0, ask(1, "echo"))
        engine.give_at(1, 65_535, ask(2, "echo"))
        await settle()
        assert answers(engine) == [1]


async def test_a_client_that_floods_is_closed() -> None:
    release = asyncio.Event()

    async def slow(_: Scripted, conn: Connection) -> None:
        await release.wait()

    async with engine_of(World(Script(conn_hooks={"on_connect": slow}))) as engine:
        await engine.give(1, connect())
        for index in range(1, 1026):
            engine.give_at(1, index, ask(index, "echo"))
        release.set()
        await settle()
        assert engine.closes(1) == [(1011, "actor.overloaded")]


async def test_a_frame_above_the_engines_limit_closes_the_websocket() -> None:
    async with engine_of(World(Script(actions={"echo": echo}))) as engine:
        engine.tunnel.max_payload = 1000
        await engine.give(1, connect(), ask(1, "echo", "x" * 2000))
        assert answers(engine) == []
        assert engine.closes(1) == [(1009, "message.outgoing_too_long")]
        assert len(engine.actors[0].connections) == 0


async def test_a_websocket_opened_once_more_goes_on() -> None:
    async with engine_of(World(Script(actions={"echo": echo}))) as engine:
        await engine.give(1, connect(), ask(1, "echo"))
        engine.give_at(1, 0, connect())
        engine.give_at(1, 1, ask(2, "echo"))
        await settle()
        assert answers(engine) == [1, 2]
        assert len(engine.actors[0].connections) == 1


async def test_a_websocket_that_has_ended_is_forgotten() -> None:
    async with engine_of(World(Script())) as engine:
        await engine.give(1, connect(), EngineWebSocketClose(1000))
        engine.give_at(1, 0, connect())
        await settle()
        assert len(engine.actors[0].connections) == 1
        assert len([frame for frame in engine.frames(1) if isinstance(frame, Init)]) == 1


async def test_closing_the_tunnel_closes_every_websocket() -> None:
    async with engine_of(World(Script())) as engine:
        await engine.give(1, connect())
        await engine.tunnel.close()
        assert engine.closes(1) == [(1001, "ws.going_away")]
        assert len(engine.actors[0].connections) == 0


async def test_messages_of_a_websocket_are_numbered_without_a_gap() -> None:
    async with engine_of(World(Script(actions={"echo": echo}))) as engine:
        await engine.give(1, connect(), ask(1, "echo"), ask(2, "echo"))
        assert engine.indices(1) == [0, 1, 2, 3]


async def test_frames_wait_while_the_engine_does_not_read() -> None:
    async with engine_of(World(Script(actions={"echo": echo}))) as engine:
        await engine.give(1, connect())
        engine.reads.clear()
        await engine.give(1, ask(1, "echo"), ask(2, "echo"))
        assert answers(engine) == []
        engine.reads.set()
        await settle()
        assert answers(engine) == [1, 2]


async def test_a_client_whose_frames_wait_too_long_is_closed() -> None:
    async with engine_of(World(Script(actions={"echo": echo}))) as engine:
        await engine.give(1, connect())
        engine.reads.clear()
        backlog = engine.actors[0].factory.config.connection_backlog
        for id in range(backlog + 2):
            await engine.give(1, ask(id, "echo"))
        engine.reads.set()
        await settle()
        assert engine.closes(1) == [(1011, "actor.overloaded")]


async def test_an_actor_that_could_not_start_says_why_and_closes() -> None:
    async with engine_of(World(Script())) as engine:
        engine.start_failure = UserError("no", code="broken", metadata={"why": "tired"})
        await engine.give(1, connect())
        assert engine.about(1)[0] == HostWebSocketOpen(can_hibernate=False)
        assert engine.frames(1) == [ErrorMessage("user", "broken", "no", cbor.encode({"why": "tired"}))]
        assert engine.closes(1) == [(1011, "user.broken")]


async def test_an_actor_that_could_not_start_closes_a_client_of_an_unknown_encoding_too() -> None:
    async with engine_of(World(Script())) as engine:
        engine.start_failure = UserError("no", code="broken")
        await engine.give(1, connect(encoding="xml"))
        assert engine.frames(1) == []
        assert engine.closes(1) == [(1011, "user.broken")]
